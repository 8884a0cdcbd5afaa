"""Every pattern, rendered from a matrix of manifests, is what the real provider's schema, validators and limits take."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import matrix, rules
from tests.conformance.render import Case, variables
from tests.conformance.service import OLD, Recorded, SchemaService, extras
from tests.conformance.trial import Trial
from tfgrid_compose.deploy.outputs import parse_outputs
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.patterns.load import LoadedPattern
from tfgrid_compose.state.store import Store

pytestmark = pytest.mark.integration

OURS = Path(__file__).parent / "patterns"
MATRICES: dict[str, Callable[[str], Iterator[Case]]] = {"single-vm": matrix.single_vm, "many-roles": matrix.many_roles}
PATTERNS = [
    *(path.parent for path in sorted(patterns.BUILTIN.glob("*/pattern.yaml"))),
    *(path.parent for path in sorted(OURS.glob("*/pattern.yaml"))),
]
# Terraform's time grows with the square of the modules in one run.
CHUNK = 12
RESOURCES = {
    "grid_network", "grid_deployment", "grid_kubernetes", "grid_scheduler", "grid_name_proxy", "grid_fqdn_proxy",
    "data.grid_gateway_domain",
}  # fmt: skip


class Done:
    """The whole matrix, applied once, a few configurations in each run of Terraform."""

    def __init__(self, folder: Path) -> None:
        self.cases: dict[str, tuple[LoadedPattern, Case, dict[str, Any]]] = {}
        self.trials: list[Trial] = []
        loaded = [patterns.load_folder(path) for path in PATTERNS]
        with Store(folder / "state.db") as store:
            for pattern in loaded:
                self._render(store, folder, pattern)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Trial.apply, self.trials))

    def _render(self, store: Store, folder: Path, pattern: LoadedPattern) -> None:
        for place, case in enumerate(MATRICES[pattern.pattern.name](pattern.pattern.name)):
            if place % CHUNK == 0:
                self.trials.append(Trial(folder / f"run-{len(self.trials)}"))
                self.trials[-1].folder.mkdir()
            number = len(self.cases)
            values = variables(store, folder, number, pattern, case)
            self.cases[f"case_{number}"] = (pattern, case, values)
            self.trials[-1].add(f"case_{number}", pattern.infrastructure, values)

    @property
    def recorded(self) -> list[Recorded]:
        """Every resource of every configuration."""
        return [item for trial in self.trials for item in trial.service.recorded]

    @property
    def outputs(self) -> dict[str, Any]:
        """{case: its outputs}."""
        return {name: value for trial in self.trials for name, value in trial.outputs.items()}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """The matrix, in a home of its own."""
    folder = tmp_path_factory.mktemp("conformance")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
            patch.setenv(variable, str(folder / "home"))
        os.makedirs(folder / "home", mode=0o700)
        yield Done(folder)


def test_every_pattern_has_a_matrix() -> None:
    assert {path.name for path in PATTERNS} == set(MATRICES)


def test_every_configuration_fits_the_schema_and_its_validators(done: Done, capsys: pytest.CaptureFixture[str]) -> None:
    problems = [(item.get("address"), item["summary"], item.get("detail")) for trial in done.trials for item in trial.diagnostics]
    assert problems == []
    assert sum(len(trial.service.providers) for trial in done.trials) >= len(done.cases), "each configures its provider"
    counts = Counter(pattern.pattern.name for pattern, *_ in done.cases.values())
    with capsys.disabled():
        shown = ", ".join(f"{name} x {count} manifests" for name, count in counts.items())
        total = f"{len(done.cases)} configurations, {len(done.recorded)} resources"
        print(f"\nconformance: {len(counts)} patterns ({shown}) = {total} validated")


def test_the_matrix_is_as_wide_as_it_says(done: Done) -> None:
    assert len(matrix.NETWORKS) == 15
    used = {tuple(sorted(case.manifest.get("network", {}).get("provision", []))) for _, case, _ in done.cases.values()}
    assert len(used - {()}) == 15
    assert {len(case.manifest.get("disks", [])) for _, case, _ in done.cases.values()} == {0, 1, 2}
    machines = [vm for item in done.recorded if item.type == "grid_deployment" for vm in item.config["vms"]]
    for key, low, high in (("cpu", 1, 32), ("memory", 256, 262144), ("rootfs_size", 1024, 10485760)):
        values = [vm[key] for vm in machines if vm[key] is not None]
        assert (min(values), max(values)) == (low, high), f"{key} is tried at both of its limits"
    assert {item.type for item in done.recorded} == RESOURCES, "every resource and data source of the schema is used"


def test_every_value_keeps_the_rules_that_no_schema_has(done: Done) -> None:
    known = extras()
    found = [(item.type, text) for item in done.recorded for text in rules.breaches(item.type, item.config, known)]
    assert found == []
    settings = [config for trial in done.trials for config in trial.service.providers]
    assert [text for config in settings for text in rules.breaches("provider", config, known)] == []
    assert {(config["mnemonic"], config["network"]) for config in settings} == {("words of a test", "main")}


def test_what_the_user_wrote_arrives_as_it_is(done: Done) -> None:
    by_id = {
        item.config["name"].removeprefix("vm_"): item.config
        for item in done.recorded
        if item.type == "grid_deployment" and item.config["name"].startswith("vm_")
    }
    checked = 0
    for pattern, case, values in done.cases.values():
        if pattern.pattern.name != "single-vm":
            continue
        config = by_id[values["deployment_id"]]
        (vm,) = config["vms"]
        assert config["solution_type"] == f"tfgrid-compose/{case.manifest['name']}"
        assert vm["env_vars"] == {"SSH_KEY": values["SSH_KEY"]}
        assert (vm["flist"], vm["entrypoint"]) == (values["vm_flist"], values["vm_entrypoint"])
        assert [(disk["name"], disk["size"]) for disk in config["disks"]] == [
            (disk["name"], disk["size"]) for disk in values["data_disks"]
        ]
        assert [mount["mount_point"] for mount in vm["mounts"]] == [disk["mount"] for disk in values["data_disks"]]
        wanted = case.manifest.get("network", {}).get("provision") or ["wireguard", "mycelium"]
        assert vm["publicip6"] == ("ipv6" in wanted)
        assert (vm["mycelium_ip_seed"] is not None) == ("mycelium" in wanted)
        checked += 1
    assert checked == len(by_id) > 150


def test_the_outputs_are_what_the_engine_needs(done: Done) -> None:
    assert done.outputs.keys() == done.cases.keys()
    for name, (pattern, case, _) in done.cases.items():
        parse_outputs(pattern.pattern, done.outputs[name])
        if pattern.pattern.name == "single-vm":
            (machine,) = done.outputs[name]["machines"]
            wanted = case.manifest.get("network", {}).get("provision") or []
            assert bool(machine["ipv4_address"]) == ("ipv4" in wanted or "public_ipv4" in case.manifest.get("network", {}))
            assert "/" not in machine["ipv4_address"] + machine["ipv6_address"], "a prefix is no address"
            assert done.outputs[name]["primary_ip"]


@pytest.mark.parametrize("name", [path.name for path in PATTERNS])
def test_the_schema_of_an_old_provider_refuses_every_pattern(done: Done, name: str, tmp_path: Path) -> None:
    trial = Trial(tmp_path, SchemaService(name=OLD))
    pattern, _, values = next(
        item for item in done.cases.values() if item[0].pattern.name == name and item[1].manifest.get("disks")
    )
    trial.add("old", pattern.infrastructure, values)
    trial.add_changed("renamed", pattern.infrastructure, values, "  mnemonic", "  mnemonics")
    text = json.dumps(trial.validate())
    assert 'An argument named \\"mnemonic\\" is not expected here. Did you mean \\"mnemonics\\"?' in text
    assert 'The argument \\"mnemonics\\" is required' in text
    assert 'The argument \\"disk_name\\" is required' in text
