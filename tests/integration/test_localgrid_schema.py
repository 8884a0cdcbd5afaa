"""The provider's schema and validators as Terraform itself sees them over the wire."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import HEAD, SHIM, Workspace, terraform_environment
from tests.integration.fake_engine import FakeKernel
from tfgrid_compose.localgrid.provider import schema

pytestmark = pytest.mark.integration

RESOURCES = ("grid_network", "grid_deployment")
FLAGS = ("required", "optional", "computed", "sensitive")
DOCUMENTS = resources.files("tfgrid_compose.grids") / "provider_schema"


CONTRACTS = Path(__file__).parents[1] / "contracts"


def documented() -> dict[str, Any]:
    """The real provider's schema as the contract has it, without descriptions."""
    found: dict[str, Any] = json.loads((CONTRACTS / "grid-schema.json").read_text())["provider_schemas"][schema.PROVIDER]
    return found


def packaged() -> dict[str, Any]:
    """The copy that the local grid serves from."""
    found: dict[str, Any] = json.loads((DOCUMENTS / "grid-1.11.3.json").read_text())["provider_schemas"][schema.PROVIDER]
    return found


def shape(block: dict[str, Any], path: str = "") -> dict[str, Any]:
    """{dotted path: everything that decides which configurations are valid} of a block."""
    found: dict[str, Any] = {}
    for name, raw in block.get("attributes", {}).items():
        found[path + name] = (raw["type"], {flag: raw.get(flag, False) for flag in FLAGS})
    for name, raw in block.get("block_types", {}).items():
        found[f"{path}{name} {{}}"] = (raw["nesting_mode"], raw.get("min_items", 0), raw.get("max_items", 0))
        found |= shape(raw["block"], f"{path}{name}.")
    return found


def served(text: str) -> dict[str, Any]:
    """The schema in what Terraform printed."""
    found: dict[str, Any] = json.loads(text)["provider_schemas"][schema.PROVIDER]
    return found


@pytest.fixture(scope="module")
def fetched(sealed: Workspace) -> dict[str, Any]:
    """The schema through the attached provider, whose engine can't be opened."""
    sealed.write("")
    return served(sealed.run("providers", "schema", "-json"))


@pytest.mark.parametrize("name", RESOURCES)
def test_terraform_sees_the_real_providers_resources(fetched: dict[str, Any], name: str) -> None:
    ours, real = fetched["resource_schemas"][name], documented()["resource_schemas"][name]
    assert ours["version"] == real["version"]
    assert shape(ours["block"]) == shape(real["block"])


def test_terraform_sees_the_real_providers_own_settings(fetched: dict[str, Any]) -> None:
    assert shape(fetched["provider"]["block"]) == shape(documented()["provider"]["block"])


def test_what_is_packaged_is_the_contract() -> None:
    ours, real = packaged(), documented()
    for kind in ("resource_schemas", "data_source_schemas"):
        assert {name: shape(item["block"]) for name, item in ours[kind].items()} == {
            name: shape(item["block"]) for name, item in real[kind].items()
        }
    assert shape(ours["provider"]["block"]) == shape(real["provider"]["block"])
    assert json.loads((DOCUMENTS / "grid-1.11.3-extras.json").read_text()) == json.loads(
        (CONTRACTS / "grid-schema-extras.json").read_text()
    )


def test_descriptions_reach_terraform(fetched: dict[str, Any]) -> None:
    ours = fetched["resource_schemas"]["grid_deployment"]["block"]["attributes"]["node"]["description"]
    assert ours == packaged()["resource_schemas"]["grid_deployment"]["block"]["attributes"]["node"]["description"] != ""


def test_only_resources_that_work_are_offered(fetched: dict[str, Any]) -> None:
    assert sorted(fetched["resource_schemas"]) == sorted(RESOURCES)


def test_a_spawned_plugin_serves_the_same_schema(home: Path, tmp_path: Path, fetched: dict[str, Any]) -> None:
    folder = tmp_path / "by-hand"
    folder.mkdir()
    (folder / "main.tf").write_text(HEAD)
    printed = subprocess.run(
        [sys.executable, "-m", "tfgrid_compose", "localgrid", "terraform-rc", "--path"],
        capture_output=True,
        text=True,
        check=True,
    )
    settings = Path(printed.stdout.strip())
    assert settings.stat().st_mode & 0o777 == 0o600
    env = {**terraform_environment(folder, {}), "TF_CLI_CONFIG_FILE": str(settings)}
    done = subprocess.run([*SHIM, "providers", "schema", "-json"], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert served(done.stdout) == fetched
    assert not (home / "state" / "tfgrid-compose" / "state.db").exists(), "reading a schema must make no database"
    bad = 'resource "grid_network" "n" {\n  name = "a-b"\n  nodes = [1]\n  ip_range = "10.1.0.0/16"\n}\n'
    (folder / "main.tf").write_text(HEAD + bad)
    refused = subprocess.run([*SHIM, "validate", "-no-color"], cwd=folder, env=env, capture_output=True, text=True)
    assert "must only include alphanumeric and underscore characters" in refused.stdout + refused.stderr


def test_the_configuration_for_terraform_by_hand_can_be_printed(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tfgrid_compose", "localgrid", "terraform-rc"],
        capture_output=True, text=True, check=True, env={**os.environ, "TFGRID_LOCALGRID": "1"},
    )  # fmt: skip
    assert '"threefoldtech/grid" = ' in done.stdout
    launcher = home / "state" / "tfgrid-compose" / "terraform-local" / "terraform-provider-grid"
    assert "export TFGRID_LOCALGRID=1\n" in launcher.read_text(), "the plugin must work on the grid that was chosen"
    assert launcher.stat().st_mode & 0o777 == 0o700


def test_the_plugin_refuses_to_run_outside_terraform(home: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "tfgrid_compose", "localgrid", "provider"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "This is a Terraform provider plugin" in done.stderr


# Validators

NETWORK = {"name": '"net"', "nodes": "[1]", "ip_range": '"10.1.0.0/16"'}
VM = {"name": '"vm"', "flist": '"https://hub.grid.tf/x.flist"', "memory": "1024"}
QSFS = {
    "name": '"q"', "cache": "1", "encryption_key": '"k"', "expected_shards": "1", "minimal_shards": "1",
    "max_zdb_data_dir_size": "1", "redundant_groups": "1", "redundant_nodes": "1",
}  # fmt: skip
LETTERS = "must only include alphanumeric and underscore characters"


def words(values: dict[str, str]) -> str:
    """`key = value` lines."""
    return "".join(f"  {key} = {value}\n" for key, value in values.items())


def network(**changes: str) -> str:
    """A network that is valid but for the changes."""
    return f'resource "grid_network" "n" {{\n{words({**NETWORK, **changes})}}}\n'


def deployment(blocks: str = "", **changes: str) -> str:
    """A deployment that is valid but for the changes."""
    values = {"node": "1", "network_name": '"net"', **changes}
    return f'resource "grid_deployment" "d" {{\n{words(values)}{blocks}}}\n'


def vm(extra: str = "", **changes: str) -> str:
    """A machine that is valid but for the changes."""
    return f"  vms {{\n{words({**VM, **changes})}{extra}  }}\n"


def disk(**changes: str) -> str:
    """A disk that is valid but for the changes."""
    return "  disks {\n" + words({"name": '"data"', "size": "1", **changes}) + "  }\n"


# rule's place in the extras: (configuration, words of the diagnostic, attribute that it points at)
REFUSED: list[tuple[str, str, str, str]] = [
    ("grid_network.name", network(name='"a-b"'), f"invalid value for name ({LETTERS})", "name"),
    ("grid_network.ip_range", network(ip_range='"10.1.0.0/24"'), "between 16 and 16 significant bits, got: 24", "ip_range"),
    ("grid_network.ip_range", network(ip_range='"10.1.2.0/16"'), "expected 10.1.0.0/16, got 10.1.2.0/16", "ip_range"),
    ("grid_network.ip_range", network(ip_range='"nonsense"'), "to contain a valid Value, got: nonsense", "ip_range"),
    ("grid_deployment.name", deployment(name='"a b"'), f"invalid value for name ({LETTERS})", "name"),
    ("grid_deployment.disks.name", deployment(disk(name='"a-b"')), f"disks.0.name ({LETTERS})", "name"),
    ("grid_deployment.disks.size", deployment(disk(size="0")), "disks.0.size to be in the range (1 - 10240), got 0", "size"),
    ("grid_deployment.disks.size", deployment(disk(size="10241")), "range (1 - 10240), got 10241", "size"),
    ("grid_deployment.vms.name", deployment(vm(name='"a.b"')), f"invalid value for vms.0.name ({LETTERS})", "name"),
    ("grid_deployment.vms.ip", deployment(vm(ip='"10.1.3"')), "expected vms.0.ip to contain a valid IP, got: 10.1.3", "ip"),
    ("grid_deployment.vms.cpu", deployment(vm(cpu="0")), "vms.0.cpu to be in the range (1 - 32), got 0", "cpu"),
    ("grid_deployment.vms.cpu", deployment(vm(cpu="33")), "vms.0.cpu to be in the range (1 - 32), got 33", "cpu"),
    ("grid_deployment.vms.memory", deployment(vm(memory="255")), "range (256 - 262144), got 255", "memory"),
    ("grid_deployment.vms.memory", deployment(vm(memory="262145")), "range (256 - 262144), got 262145", "memory"),
    ("grid_deployment.vms.rootfs_size", deployment(vm(rootfs_size="1023")), "range (1024 - 10485760), got 1023", "rootfs_size"),
    ("grid_deployment.vms.gpus", deployment(vm(gpus='["nonsense"]')), "vms.0.gpus.0 (not a valid gpu id)", "gpus"),
    ("grid_deployment.zdbs.name", deployment('  zdbs {\n    name = "a-b"\n    password = "p"\n    size = 1\n  }\n'),
     f"zdbs.0.name ({LETTERS})", "name"),
    ("grid_deployment.qsfs.name", deployment(
        "  qsfs {\n" + words({**QSFS, "name": '"a-b"'}) + "    groups {}\n    metadata {\n      encryption_key = \"k\"\n"
        "      prefix = \"p\"\n    }\n  }\n"), f"qsfs.0.name ({LETTERS})", "name"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "body", "text", "attribute"), REFUSED, ids=[f"{rule}-{n}" for n, (rule, *_) in enumerate(REFUSED)]
)
def test_a_value_that_the_real_provider_refuses_is_refused_at_its_attribute(
    sealed: Workspace, rule: str, body: str, text: str, attribute: str
) -> None:
    sealed.write(body)
    found = sealed.diagnostics()
    assert len(found) == 1, found
    assert text in found[0]["summary"]
    line = body.splitlines()[found[0]["range"]["start"]["line"] - 1 - HEAD.count("\n")]
    assert line.strip().startswith(f"{attribute} ="), f"the diagnostic points at {line!r}"


def test_every_validator_of_the_two_resources_has_a_case() -> None:
    extras = json.loads((DOCUMENTS / "grid-1.11.3-extras.json").read_text())
    rules = {
        f"{name}.{attribute}" for name in RESOURCES for attribute, extra in extras[name].items()
        if "Validate" in extra or "ElemValidate" in extra
    }  # fmt: skip
    assert rules == {rule for rule, *_ in REFUSED}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (network(nodes="[]"), "nodes must not be empty"),
        (network(name='"ygg"'), "'ygg' is reserved network name"),
        (deployment(vm(flist='"https://hub.grid.tf/x"')), "should have a valid flist extension"),
        (deployment(vm('    mounts {\n      name = "gone"\n      mount_point = "/data"\n    }\n')), "mount gone was not found"),
        (deployment(vm(gpus='["0000:28:00.0/1002/731f"]')), "usage of GPU is not allowed unless node is rented"),
        (deployment('  zdbs {\n    name = "a"\n    password = "p"\n    size = 1\n  }\n'), "the local grid has no zdbs"),
    ],
)
def test_what_no_schema_can_say_is_checked_before_anything_is_made(sealed: Workspace, body: str, text: str) -> None:
    sealed.write(body)
    assert text in " ".join(item["summary"] for item in sealed.diagnostics())


def test_several_problems_are_reported_at_once(sealed: Workspace) -> None:
    sealed.write(deployment(vm(cpu="99", memory="1") + vm(name='"-"')))
    assert len(sealed.diagnostics()) == 3


@pytest.mark.parametrize(
    "body",
    [
        network() + deployment(vm()),
        network(mycelium_keys=f'{{ "1" = "{"ab" * 32}" }}', add_wg_access="true"),
        deployment(disk() + vm('    mounts {\n      name = "data"\n      mount_point = "/data"\n    }\n',
                               cpu="32", memory="262144")),
        'variable "n" {\n  type = number\n}\nvariable "names" {\n  type = set(string)\n}\n'
        + deployment(
            '  dynamic "disks" {\n    for_each = var.names\n    content {\n'
            '      name = disks.value\n      size = var.n\n    }\n  }\n'
            + vm('    dynamic "mounts" {\n      for_each = var.names\n      content {\n        name = mounts.value\n'
                 '        mount_point = "/${mounts.value}"\n      }\n    }\n', cpu="var.n"), node="var.n"),
    ],
    ids=["plain", "all of a network", "disk and limits", "values that are not known yet"],
)  # fmt: skip
def test_good_configurations_are_valid(sealed: Workspace, body: str) -> None:
    sealed.write(body)
    assert sealed.diagnostics() == []


@pytest.mark.parametrize(
    "name", sorted(path.name for path in (Path(schema.__file__).parents[2] / "patterns" / "builtin").iterdir())
)
def test_the_terraform_of_every_built_in_pattern_is_valid(sealed: Workspace, name: str, tmp_path: Path) -> None:
    source = Path(schema.__file__).parents[2] / "patterns" / "builtin" / name / "infrastructure"
    for file in source.glob("*.tf"):
        (tmp_path / file.name).write_text(file.read_text())
    assert Workspace(tmp_path, sealed.env).diagnostics() == []


# Plans


def test_a_plan_fills_in_defaults_and_marks_what_the_grid_will_choose(workspace: Workspace, kernel: FakeKernel) -> None:
    workspace.write(network() + deployment(vm() + disk()))
    changes = workspace.plan()
    network_, deployment_ = changes["grid_network.n"], changes["grid_deployment.d"]
    assert network_["actions"] == deployment_["actions"] == ["create"]
    assert (network_["after"]["solution_type"], network_["after"]["add_wg_access"]) == ("Network", False)
    unknown = {"id", "access_wg_config", "external_ip", "external_sk", "node_deployment_id", "nodes_ip_range", "public_node_id"}
    assert {key for key, value in network_["after_unknown"].items() if value is True} == unknown
    machine = deployment_["after"]["vms"][0]
    assert (machine["cpu"], machine["planetary"], machine["corex"], machine["description"]) == (1, False, False, "")
    assert {key for key, value in deployment_["after_unknown"]["vms"][0].items() if value is True} == {
        "computedip", "computedip6", "console_url", "ip", "mycelium_ip", "planetary_ip",
    }  # fmt: skip
    assert deployment_["after"]["disks"] == [{"name": "data", "size": 1, "description": ""}]
    assert (deployment_["after"]["name"], deployment_["after"]["solution_provider"]) == ("vm", 0)
    assert kernel.calls == [], "a plan makes nothing"


def test_the_provider_block_is_checked_too(sealed: Workspace) -> None:
    (sealed.folder / "main.tf").write_text(HEAD.replace('"dev"', '"moon"') + network())
    assert "network to be one of" in sealed.diagnostics()[0]["summary"]


def test_an_empty_mnemonic_is_refused_before_anything_is_made(sealed: Workspace) -> None:
    (sealed.folder / "main.tf").write_text(HEAD.replace('"words of a test"', '""') + network())
    assert sealed.call("plan", "-input=false", "-no-color").returncode != 0
    assert "mnemonic/seed is empty" in sealed.last
