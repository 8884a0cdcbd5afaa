"""The pattern contract: the built-in ones keep it, and each way of breaking it is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tfgrid_compose.errors import PatternError, TfgridError
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.patterns.model import Pattern, lookup

GOOD: dict[str, Any] = {
    "name": "tiny", "version": "1", "description": "One machine", "roles": {"vm": {"hooks": True}},
    "variables": {"vm_cpu": "roles.vm.cpu"}, "options": {"image": "x"},
}  # fmt: skip
TERRAFORM = "\n".join(f'variable "{name}" {{}}' for name in ("vm_cpu", "image", "mnemonic", "tfgrid_network"))


@pytest.fixture(autouse=True)
def own_home(home: Path) -> Path:
    return home


def write(root: Path, data: dict[str, Any] | str = GOOD, name: str = "tiny", terraform: str = TERRAFORM) -> Path:
    folder = root / name
    (folder / "infrastructure").mkdir(parents=True)
    (folder / "platform").mkdir()
    (folder / "platform" / "site.yml").write_text("[]\n")
    (folder / "infrastructure" / "main.tf").write_text(terraform + '\n  output "machines" {}\n# variable "no" {}\n')
    (folder / "pattern.yaml").write_text(data if isinstance(data, str) else yaml.safe_dump(data))
    return folder


def breaches(folder: Path) -> list[str]:
    with pytest.raises(PatternError, match="breaks the pattern contract") as caught:
        patterns.load_folder(folder)
    assert caught.value.why == caught.value.details[0]
    assert caught.value.exit_code == 3
    return caught.value.details


@pytest.mark.parametrize("name", sorted(path.parent.name for path in patterns.BUILTIN.glob("*/pattern.yaml")))
def test_every_pattern_that_we_ship_keeps_the_contract(name: str) -> None:
    loaded = patterns.load(name)
    assert loaded.pattern.name == name
    assert loaded.playbook.is_file()
    assert loaded.infrastructure.is_dir()
    assert loaded.pattern.hook_role() in loaded.pattern.roles


def test_the_bash_tools_default_pattern_is_there() -> None:
    assert "single-vm" in patterns.names()
    assert patterns.load("single-vm").pattern.hook_role() == "vm"


def test_a_pattern_that_does_not_exist_suggests_the_nearest() -> None:
    with pytest.raises(PatternError, match="there is no pattern `singel-vm`") as caught:
        patterns.load("singel-vm")
    assert (caught.value.code, caught.value.fix) == ("pattern-not-found", "did you mean `single-vm`?")
    with pytest.raises(PatternError) as caught:
        patterns.load("zzz")
    assert caught.value.fix == "tfgrid-compose patterns"


def test_a_pattern_of_the_user_is_found_and_may_replace_a_built_in_one(home: Path) -> None:
    root = home / "config" / "tfgrid-compose" / "patterns"
    write(root)
    mine = write(root, {**GOOD, "name": "single-vm"}, "single-vm")
    (root / "no-pattern").mkdir()
    assert patterns.names()[:2] == ["single-vm", "tiny"]
    assert patterns.names().count("single-vm") == 1
    assert patterns.load("single-vm").folder == mine


def test_a_good_pattern_loads_with_its_defaults(tmp_path: Path) -> None:
    pattern = patterns.load_folder(write(tmp_path)).pattern
    assert (pattern.contract, pattern.outputs, pattern.platform) == (1, ["machines"], "platform/site.yml")
    assert (pattern.roles["vm"].count, pattern.roles["vm"].defaults.memory) == (1, 2048)


@pytest.mark.parametrize(
    ("change", "breach"),
    [
        ({"name": "Tiny"}, "name: String should match pattern"),
        ({"name": None}, "name: Input should be a valid string"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"contract": 2}, "contract: Input should be less than or equal to 1"),
        ({"roles": {"vm": {"hoks": True}}}, "roles.vm.hoks: Extra inputs"),
        ({"roles": {"vm": {"count": 101}}}, "roles.vm.count: Input should be less"),
        ({"roles": {"vm": {"defaults": {"cpu": 33}}}}, "roles.vm.defaults.cpu: Input should be less"),
        ({"generate": {"key": {"bytes": 65}}}, "generate.key.bytes: Input should be less"),
        ({"generate": {"key": {}}}, "generate.key.bytes: Field required"),
        ({"commands": {"x": {"description": "d"}}}, "commands.x.run: Field required"),
        ({"variables": {"vm_cpu": 3}}, "variables.vm_cpu: Input should be a valid string"),
        ({"options": {"image": [1]}}, "options.image.str: Input should be a valid string"),
    ],
)
def test_a_value_outside_the_contract_is_named(tmp_path: Path, change: dict[str, Any], breach: str) -> None:
    found = breaches(write(tmp_path, {**GOOD, **change}))
    assert found[0].startswith(breach), found


@pytest.mark.parametrize("key", ["name", "version", "description", "roles", "variables"])
def test_a_required_key_that_is_missing_is_named(tmp_path: Path, key: str) -> None:
    assert breaches(write(tmp_path, {name: value for name, value in GOOD.items() if name != key})) == [f"{key}: Field required"]


def test_every_breach_is_listed_at_once(tmp_path: Path) -> None:
    data = {**GOOD, "name": "other", "variables": {"vm_cpu": "a.b", "lost": "a.b"}, "outputs": ["machines", "address"]}
    folder = write(tmp_path, data, terraform=TERRAFORM + '\nvariable "extra" {}')
    (folder / "platform" / "site.yml").unlink()
    assert breaches(folder) == [
        "the folder is called tiny, the pattern other",
        "platform/site.yml does not exist",
        "variable `lost` is not declared in Terraform",
        "Terraform variable `extra` gets no value",
        "output `address` is promised and not there",
    ]


@pytest.mark.parametrize("name", ["mnemonic", "tfgrid_network"])
def test_every_pattern_must_take_the_account_and_the_network(tmp_path: Path, name: str) -> None:
    terraform = TERRAFORM.replace(f'variable "{name}" {{}}', "")
    assert breaches(write(tmp_path, terraform=terraform)) == [f"variable `{name}` is not declared in Terraform"]


def test_a_pattern_without_terraform_files_says_so(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "infrastructure" / "main.tf").unlink()
    assert breaches(folder) == ["infrastructure holds no Terraform files"]


def test_terraform_may_be_spread_over_files(tmp_path: Path) -> None:
    folder = write(tmp_path, terraform="")
    (folder / "infrastructure" / "variables.tf").write_text(TERRAFORM)
    assert patterns.load_folder(folder).pattern.name == "tiny"


def test_the_digests_change_with_their_own_part_only(tmp_path: Path) -> None:
    folder = write(tmp_path)

    def digests() -> tuple[str, str]:
        loaded = patterns.load_folder(folder)
        return loaded.infrastructure_digest, loaded.platform_digest

    before = digests()
    (folder / "platform" / "__pycache__").mkdir()
    (folder / "platform" / "__pycache__" / "x.pyc").write_text("x")
    assert digests() == before
    (folder / "platform" / "templates").mkdir()
    (folder / "platform" / "templates" / "a.j2").write_text("x")
    changed = digests()
    assert changed[0] == before[0]
    assert changed[1] != before[1]
    (folder / "infrastructure" / "main.tf").rename(folder / "infrastructure" / "all.tf")
    assert digests()[0] != before[0]


def test_hooks_run_on_the_role_that_has_them_or_else_on_the_first() -> None:
    base = {**GOOD, "roles": {"gateway": {}, "backend": {"hooks": True}}}
    assert Pattern.model_validate(base).hook_role() == "backend"
    assert Pattern.model_validate({**base, "roles": {"gateway": {}, "backend": {}}}).hook_role() == "gateway"


def test_a_dotted_path_leads_to_a_value_or_names_the_missing_part() -> None:
    context = {"roles": {"vm": {"cpu": 2, "none": None}}}
    assert lookup(context, "roles.vm.cpu") == 2
    assert lookup(context, "roles.vm.none") is None
    for path, missing in (("roles.gateway.cpu", "gateway"), ("roles.vm.cpu.more", "more"), ("x", "x")):
        with pytest.raises(KeyError, match=missing):
            lookup(context, path)


@pytest.mark.parametrize("content", ["", "- a\n", "a: [\n"])
def test_a_pattern_file_that_is_no_mapping_is_explained(tmp_path: Path, content: str) -> None:
    with pytest.raises(TfgridError, match=r"pattern\.yaml"):
        patterns.load_folder(write(tmp_path, content))


def test_a_pattern_file_that_is_no_mapping_is_a_pattern_error(tmp_path: Path) -> None:
    with pytest.raises(PatternError):
        patterns.load_folder(write(tmp_path, ""))


def test_a_pattern_without_roles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PatternError, match="breaks the pattern contract"):
        patterns.load_folder(write(tmp_path, {**GOOD, "roles": {}, "variables": {"vm_cpu": "a.b"}}))


def test_terraform_that_is_no_text_is_a_pattern_error(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "infrastructure" / "more.tf").write_bytes(b"# \xff\n")
    with pytest.raises(PatternError):
        patterns.load_folder(folder)
