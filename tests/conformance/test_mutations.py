"""The suite sees what it is there for: each kind of fault, put into a pattern, is refused at its place."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import rules
from tests.conformance.render import Case, variables
from tests.conformance.service import extras
from tests.conformance.test_patterns import OURS
from tests.conformance.trial import Trial
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.state.store import Store

pytestmark = pytest.mark.integration

SINGLE, MANY = patterns.BUILTIN / "single-vm", OURS / "many-roles"
VM = '    name             = "vm"\n'
MASTER = '    name      = "master"\n'

# kind of fault -> (pattern, what stands there, what is put there, words of the refusal)
FAULTS: dict[str, list[tuple[Path, str, str, str]]] = {
    "unknown attribute": [
        (SINGLE, VM, VM + "    flavour = 1\n", 'An argument named "flavour" is not expected here'),
        (SINGLE, "  add_wg_access =", "  wg_access = true\n  add_wg_access =", 'An argument named "wg_access" is not expected here'),
        (SINGLE, "        mount_point =", '        disk_name = "a"\n        mount_point =', 'An argument named "disk_name" is not expected'),
        (SINGLE, "  mnemonic = ", "  mnemonics = ", 'An argument named "mnemonics" is not expected here'),
        (SINGLE, VM, VM + "    volumes {\n    }\n", 'Blocks of type "volumes" are not expected here'),
        (SINGLE, 'resource "grid_network"', 'resource "grid_net" "x" {\n}\nresource "grid_network"', 'does not support resource type "grid_net"'),
    ],
    "missing required": [
        (SINGLE, "    flist            = var.vm_flist\n", "", 'The argument "flist" is required'),
        (SINGLE, "  nodes         = [var.vm_node]\n", "", 'The argument "nodes" is required'),
        (SINGLE, "        name        = mounts.value.name\n", "", 'The argument "name" is required'),
        (SINGLE, "  mnemonic = var.mnemonic\n", "", 'The argument "mnemonic" is required'),
        (MANY, "  token        = var.cluster_token\n", "", 'The argument "token" is required'),
        (MANY, "    wireguard = var.network.wireguard\n", "", 'The argument "wireguard" is required'),
    ],
    "wrong type": [
        (SINGLE, "    cpu              = var.vm_cpu", '    cpu = "two"', 'attribute "cpu": a number is required'),
        (SINGLE, "  nodes         = [var.vm_node]", '  nodes = "7"', 'attribute "nodes": list of number required'),
        (SINGLE, "  nodes         = [var.vm_node]", '  nodes = ["seven"]', "a number is required"),
        (SINGLE, "    publicip         = var.provision_ipv4", '    publicip = "perhaps"', 'attribute "publicip": a bool is required'),
        (SINGLE, "      SSH_KEY = var.SSH_KEY", "      SSH_KEY = [var.SSH_KEY]", "string required"),
        (MANY, "  fqdn            = var.domain", "  fqdn = [var.domain]", 'attribute "fqdn": string required'),
    ],
    "wrong nesting": [
        (SINGLE, VM, VM + '    disks {\n      name = "a"\n      size = 1\n    }\n', 'Blocks of type "disks" are not expected here'),
        (SINGLE, "  vms {", '  mounts {\n    name = "a"\n    mount_point = "/a"\n  }\n  vms {', 'Blocks of type "mounts" are not expected'),
        (SINGLE, "    env_vars = {", "    env_vars {", 'Blocks of type "env_vars" are not expected here'),
        (SINGLE, '  dynamic "disks" {', '  zdbs = []\n  dynamic "disks" {', 'An argument named "zdbs" is not expected here'),
        (MANY, "  master {", "  workers {\n    master {\n    }\n  }\n  master {", 'Blocks of type "master" are not expected here'),
    ],
    "count of blocks": [
        (MANY, "  master {", '  master {\n    name = "m"\n    node = 1\n    cpu = 1\n    memory = 1024\n    disk_size = 1\n  }\n  master {',
         'No more than 1 "master" blocks are allowed'),
        (MANY, "  master {", '  dynamic "master" {\n    for_each = []\n    content {', 'At least 1 "master" blocks are required'),
        (MANY, "    groups {", '    dynamic "groups" {\n      for_each = []\n      content {', 'At least 1 "groups" blocks are required'),
        (MANY, "  requests {", '  dynamic "requests" {\n    for_each = []\n    content {', 'At least 1 "requests" blocks are required'),
    ],
    "value that the grid computes": [
        (SINGLE, VM, VM + '    computedip = "1.2.3.4/24"\n', "computedip: this field cannot be set"),
        (SINGLE, "  add_wg_access =", "  public_node_id = 5\n  add_wg_access =", "public_node_id: this field cannot be set"),
    ],
    "range or pattern": [
        (SINGLE, "    cpu              = var.vm_cpu", "    cpu = 33", "to be in the range (1 - 32), got 33"),
        (SINGLE, "    memory           = var.vm_mem", "    memory = 255", "to be in the range (256 - 262144), got 255"),
        (SINGLE, "var.vm_disk * 1024", "1023", "to be in the range (1024 - 10485760), got 1023"),
        (MANY, "    disk_size = var.roles.master.disk", "    disk_size = 10241", "to be in the range (1 - 10240), got 10241"),
        (SINGLE, 'name          = "net_${var.deployment_id}"', 'name = "net-a"', "alphanumeric and underscore"),
        (SINGLE, "var.ip_range", '"10.1.0.0/24"', "between 16 and 16 significant bits"),
        (SINGLE, "var.tfgrid_network", '"mainnet"', "to be one of"),
    ],
}  # fmt: skip
ALL = [(f"{kind.replace(' ', '_')}_{n}", *fault) for kind, faults in FAULTS.items() for n, fault in enumerate(faults)]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """{name of the fault: all that Terraform said about its files}; one run for all of them."""
    folder = tmp_path_factory.mktemp("faults")
    trial, values = Trial(folder), {}
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
            patch.setenv(variable, str(folder))
        with Store(folder / "state.db") as store:
            for number, root in enumerate((SINGLE, MANY)):
                manifest = {"name": "app", "disks": [{"name": "data", "size": 1, "mount": "/data"}]}
                loaded = patterns.load_folder(root)
                values[root] = variables(store, folder, number, loaded, Case(root.name, manifest))
        for name, root, old, new, _ in ALL:
            if "dynamic" in new and "for_each = []" in new:
                new = _emptied(root, old, new)
                old = _block(root, old)
            trial.add_changed(name, root / "infrastructure", values[root], old, new)
        found: dict[str, str] = defaultdict(str)
        for item in trial.validate():
            place = re.match(r"sources/([^/]+)/", item.get("range", {}).get("filename", ""))
            name = place[1] if place else str(item.get("address", "")).split(".")[-1]
            found[name] += f"{item['summary']} {item.get('detail', '')}\n"
    yield found


def _block(root: Path, start: str) -> str:
    """A whole block of a pattern's file, from its first line to the line that closes it."""
    text = (root / "infrastructure" / "main.tf").read_text()
    begin = text.index(start)
    indent = re.match(r" *", start)
    end = text.index("\n" + (indent.group() if indent else "") + "}", begin) + len("\n}") + (len(indent.group()) if indent else 0)
    return text[begin:end]


def _emptied(root: Path, old: str, new: str) -> str:
    """The block as a dynamic one that makes nothing."""
    return _block(root, old).replace(old, new, 1) + "\n}"


@pytest.mark.parametrize(("name", "words"), [(name, words) for name, *_, words in ALL])
def test_a_fault_is_refused(refused: dict[str, str], name: str, words: str) -> None:
    assert words in refused.get(name, ""), f"{name}: {refused.get(name, 'nothing was said')}"


def test_there_are_faults_of_every_kind() -> None:
    assert len(ALL) >= 35
    assert {"unknown attribute", "missing required", "wrong type", "wrong nesting"} < FAULTS.keys()


# The rules that no schema has


def machine(**changes: Any) -> dict[str, Any]:
    """A deployment with one machine, good but for the changes to the machine."""
    vm = {"name": "vm", "cpu": 1, "memory": 256, "flist": "https://h/x.flist", "mounts": [], "mycelium_ip_seed": None, **changes}
    return {"name": "d", "solution_type": "", "vms": [vm], "disks": [], "zdbs": [], "qsfs": []}


def network(**changes: Any) -> dict[str, Any]:
    """A network, good but for the changes."""
    return {"name": "n", "nodes": [7], "ip_range": "10.1.0.0/16", "mycelium_keys": {}, "solution_type": "", **changes}


@pytest.mark.parametrize(("kind", "config", "words"), [
    ("grid_deployment", machine(cpu=0), "vms.cpu: IntBetween(1, 32) refuses 0"),
    ("grid_deployment", machine(memory=1.5), "refuses 1.5"),
    ("grid_deployment", machine(name="a-b"), "vms.name: StringMatch"),
    ("grid_deployment", machine(name="a" * 37), "is not 1 to 36 letters"),
    ("grid_deployment", machine(ip="10.1.3"), "IsIPAddress refuses"),
    ("grid_deployment", machine(gpus=["nonsense"]), "vms.gpus: StringMatch"),
    ("grid_deployment", machine(flist="https://h/x"), "flist: https://h/x is none"),
    ("grid_deployment", machine(mycelium_ip_seed="00"), "not 6 bytes in hex"),
    ("grid_deployment", machine(mounts=[{"name": "gone", "mount_point": "/a"}]), "there is no disk gone"),
    ("grid_deployment", machine() | {"disks": [{"name": "a", "size": 1}] * 2}, "a: twice in one deployment"),
    ("grid_deployment", machine() | {"solution_type": "x" * 500}, "more than 512"),
    ("grid_network", network(ip_range="10.1.0.0/24"), "IsCIDRNetwork(16, 16) refuses"),
    ("grid_network", network(ip_range="10.1.2.0/16"), "IsCIDRNetwork(16, 16) refuses"),
    ("grid_network", network(nodes=[]), "a network needs one"),
    ("grid_network", network(mycelium_keys={"8": "ab" * 32}), "node 8 is not in the network"),
    ("grid_network", network(mycelium_keys={"7": "ab"}), "not 32 bytes in hex"),
    ("grid_kubernetes", {"token": ""}, "StringIsNotEmpty refuses"),
    ("grid_kubernetes", {"master": [{"cpu": 33}]}, "master.cpu: IntBetween(1, 32) refuses 33"),
    ("provider", {"network": "mainnet"}, "network: StringInSlice"),
    ("provider", {"proxy_url": "http://127.0.0.1"}, "IsURLWithScheme(['https']) refuses"),
])  # fmt: skip
def test_a_value_beyond_the_rules_is_found(kind: str, config: dict[str, Any], words: str) -> None:
    assert any(words in text for text in rules.breaches(kind, config, extras())), list(rules.breaches(kind, config, extras()))


def test_good_values_break_nothing() -> None:
    assert [*rules.breaches("grid_deployment", machine(), extras()), *rules.breaches("grid_network", network(), extras())] == []


def test_every_rule_of_the_extras_has_a_check() -> None:
    found = {
        rule for block in extras().values() for entry in block.values() for key, rule in entry.items() if key.endswith("Validate")
    }
    assert len(found) >= 8
    for rule in sorted(found):
        rules.refused(rule, 1 if rule.startswith("Int") else "x")
