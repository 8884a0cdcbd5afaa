"""Create, read, update and delete by a real Terraform: ledger, address plan and states are real, only the kernel is not."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest

from tests.integration.conftest import Workspace
from tests.integration.fake_engine import FakeKernel
from tfgrid_compose.grids.addresses import machine_mycelium, mycelium_network
from tfgrid_compose.localgrid import deployments, networks
from tfgrid_compose.localgrid.catalog import GIB
from tfgrid_compose.localgrid.directory import LocalSource
from tfgrid_compose.localgrid.engine import Engine
from tfgrid_compose.localgrid.plugin import _info, _node
from tfgrid_compose.localgrid.provider.values import UNKNOWN

pytestmark = pytest.mark.integration

KEY = "9751c596c7c951aedad1a5f78f18b59515064adf660e0d55abead65e6fbbd627"
NET, VM = "grid_network.net", "grid_deployment.d"


def network(name: str = "net", ip_range: str = "10.5.0.0/16", nodes: str = "[1]", extra: str = "add_wg_access = true") -> str:
    """A network."""
    return (
        f'resource "grid_network" "net" {{\n  name = "{name}"\n  ip_range = "{ip_range}"\n  nodes = {nodes}\n'
        f'  description = "of a test"\n  {extra}\n}}\n'
    )


def vm(name: str = "vm", extra: str = "", memory: int = 1024, cpu: int = 2) -> str:
    """A machine block."""
    return (
        f'  vms {{\n    name = "{name}"\n    flist = "https://hub.grid.tf/x.flist"\n    cpu = {cpu}\n    memory = {memory}\n'
        f'    rootfs_size = 4096\n    env_vars = {{ SSH_KEY = "ssh-ed25519 AAAA a\\nssh-ed25519 BBBB b" }}\n{extra}  }}\n'
    )


def deployment(*blocks: str, node: int = 1, label: str = "d", name: str = "dep", net: str = "grid_network.net.name") -> str:
    """A deployment of machine and disk blocks."""
    head = f'resource "grid_deployment" "{label}" {{\n  name = "{name}"\n  node = {node}\n  network_name = {net}\n'
    return head + "".join(blocks or (vm(),)) + "}\n"


def disk(name: str = "data", size: int = 10) -> str:
    """A disk block."""
    return f'  disks {{\n    name = "{name}"\n    size = {size}\n  }}\n'


def mount(name: str = "data", point: str = "/data") -> str:
    """A mount block inside a machine."""
    return f'    mounts {{\n      name = "{name}"\n      mount_point = "{point}"\n    }}\n'


def drifted(workspace: Workspace) -> dict[str, list[str]]:
    """{address: actions} that a plan would take."""
    return {address: change["actions"] for address, change in workspace.plan().items() if change["actions"] != ["no-op"]}


def fails(workspace: Workspace, *words: str) -> str:
    """Apply, which must fail; returns all that was printed, on one line."""
    done = workspace.call(*(words or ("apply", "-auto-approve", "-input=false", "-no-color")))
    assert done.returncode != 0, workspace.last
    return " ".join(workspace.last.split())


# Addresses


def test_the_documented_address_plan_is_the_one_that_machines_get(workspace: Workspace, kernel: FakeKernel) -> None:
    workspace.write(network() + deployment(vm("one"), vm("two")))
    state = workspace.apply()
    net, found = state[NET], state[VM]
    assert (net["external_ip"], net["nodes_ip_range"], net["public_node_id"]) == ("10.5.2.0/24", {"1": "10.5.3.0/24"}, 1)
    assert [item["ip"] for item in found["vms"]] == ["10.5.3.2", "10.5.3.3"]
    assert [item["console_url"] for item in found["vms"]] == ["10.5.3.1:20002", "10.5.3.1:20003"]
    assert sorted(spec.hostname for spec in kernel.specs.values()) == ["one", "two"]
    (spec,) = [spec for spec in kernel.specs.values() if spec.hostname == "two"]
    assert (spec.cpu, spec.memory, spec.rootfs, spec.base) == (2, 1024, 4096, "/base")
    assert spec.keys == ("ssh-ed25519 AAAA a", "ssh-ed25519 BBBB b")
    assert spec.links[0].addresses == ("10.5.3.3/24",)
    assert ("default", "via", "10.5.3.1") in spec.links[0].routes


def test_applying_twice_changes_nothing(workspace: Workspace, kernel: FakeKernel) -> None:
    workspace.write(network(extra=f'add_wg_access = true\n  mycelium_keys = {{ "1" = "{KEY}" }}') + deployment(vm(), disk()))
    before = workspace.apply()
    assert drifted(workspace) == {}
    assert workspace.apply() == before
    assert kernel.names("start") == ["vm"]


def test_the_users_configuration_names_the_access_point(workspace: Workspace, engine: Engine) -> None:
    workspace.write(network())
    net = workspace.apply()[NET]
    (record,) = engine.ledger.networks()
    access = record["access"]
    assert networks.wireguard_public(net["external_sk"]) == access["user_public"]
    assert networks.wireguard_public(access["node_private"]) == access["node_public"]
    for line in ("Address = 100.64.5.2", f"PrivateKey = {net['external_sk']}", f"PublicKey = {access['node_public']}",
                 "AllowedIPs = 10.5.0.0/16, 100.64.0.0/16",
                 f"Endpoint = {engine.instance.public4_host(11)}:{access['port']}"):  # fmt: skip
        assert line in net["access_wg_config"].splitlines()
    assert 1024 <= access["port"] < 32767


def test_a_network_without_a_public_node_gets_an_extra_one_with_the_last_subnet(workspace: Workspace) -> None:
    workspace.write(network(nodes="[4, 2]"))
    net = workspace.apply()[NET]
    assert net["public_node_id"] == 1
    assert net["nodes"] == [4, 2]
    assert net["nodes_ip_range"] == {"4": "10.5.3.0/24", "2": "10.5.4.0/24", "1": "10.5.5.0/24"}
    assert sorted(net["node_deployment_id"]) == ["1", "2", "4"]
    assert drifted(workspace) == {}


def test_without_access_nodes_start_at_two_and_there_is_no_configuration(workspace: Workspace) -> None:
    workspace.write(network(nodes="[2]", extra=""))
    net = workspace.apply()[NET]
    assert (net["nodes_ip_range"], net["access_wg_config"], net["external_ip"]) == ({"2": "10.5.2.0/24"}, "", "")
    assert net["external_sk"], "the real provider keeps a key even without access"


def test_an_access_point_can_be_added_later_and_subnets_stay(workspace: Workspace) -> None:
    workspace.write(network(extra="add_wg_access = false"))
    before = workspace.apply()[NET]
    workspace.write(network())
    after = workspace.apply()[NET]
    assert (before["id"], before["nodes_ip_range"]) == (after["id"], after["nodes_ip_range"])
    assert "[Peer]" in after["access_wg_config"]
    assert drifted(workspace) == {}


def test_the_mycelium_address_follows_from_key_and_seed(workspace: Workspace, kernel: FakeKernel) -> None:
    workspace.write(
        network(extra=f'mycelium_keys = {{ "1" = "{KEY}" }}') + deployment(vm(extra='    mycelium_ip_seed = "b60f2b7ec39c"\n'))
    )
    machine = workspace.apply()[VM]["vms"][0]
    assert machine["mycelium_ip"] == machine_mycelium(mycelium_network(KEY), "b60f2b7ec39c")
    (spec,) = kernel.specs.values()
    assert f"{machine['mycelium_ip']}/128" in spec.links[1].addresses


@pytest.mark.parametrize(
    ("key", "seed", "words"),
    [
        (KEY, "00", "invalid mycelium ip seed length"),
        (KEY, "000000000000", "invalid seed"),
        ("aa", "b60f2b7ec39c", "invalid mycelium key length 1"),
        (None, "b60f2b7ec39c", "network has no mycelium key on this node"),
    ],
)
def test_bad_mycelium_values_are_refused_in_the_providers_words(
    workspace: Workspace, engine: Engine, key: str | None, seed: str, words: str
) -> None:
    extra = f'mycelium_keys = {{ "1" = "{key}" }}' if key else ""
    workspace.write(network(extra=extra) + deployment(vm(extra=f'    mycelium_ip_seed = "{seed}"\n')))
    assert words in fails(workspace)
    assert [contract for contract in engine.ledger.contracts() if contract.data["type"] == "vm"] == []


def test_a_planetary_address_stays_the_same(workspace: Workspace) -> None:
    workspace.write(network() + deployment(vm(extra="    planetary = true\n")))
    first = workspace.apply()[VM]["vms"][0]["planetary_ip"]
    assert ipaddress.ip_address(first) in ipaddress.ip_network("200::/7")
    workspace.write(network() + deployment(vm(extra="    planetary = true\n", memory=2048)))
    assert workspace.apply()[VM]["vms"][0]["planetary_ip"] == first


def test_public_addresses_come_from_the_nodes_farm_and_take_the_default_route(
    workspace: Workspace, engine: Engine, kernel: FakeKernel
) -> None:
    workspace.write(network(nodes="[3]") + deployment(vm(extra="    publicip = true\n    publicip6 = true\n"), node=3))
    machine = workspace.apply()[VM]["vms"][0]
    assert machine["computedip"] == f"{engine.instance.public4_host(64)}/25"
    assert ipaddress.ip_interface(machine["computedip"]).network == ipaddress.ip_network(engine.instance.public4)
    assert ipaddress.ip_interface(machine["computedip6"]).network == ipaddress.ip_network("2001:db8:7467:1::/64")
    (spec,) = kernel.specs.values()
    assert "default" not in [route[0] for route in spec.links[0].routes]
    assert ("default", "via", engine.instance.public4_host(1)) in spec.links[1].routes


def test_a_farm_runs_out_of_public_addresses(workspace: Workspace, engine: Engine) -> None:
    workspace.write(network(nodes="[5]") + deployment(vm(extra="    publicip = true\n"), node=5))
    assert "farm 3 does not have enough public ips" in fails(workspace)
    assert workspace.state().keys() == {NET}
    assert all(contract.data["type"] == "network" for contract in engine.ledger.contracts())


def test_an_explicit_address_is_taken_and_others_go_round_it(workspace: Workspace) -> None:
    workspace.write(network() + deployment(vm("one"), vm("two", '    ip = "10.5.3.2"\n')))
    assert [item["ip"] for item in workspace.apply()[VM]["vms"]] == ["10.5.3.3", "10.5.3.2"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("10.5.4.2", "deployment ip range '10.5.3.0/24' doesn't contain ip '10.5.4.2'"),
        ("10.5.3.1", "ip 10.5.3.1 is reserved"),
        ("10.5.3.255", "ip 10.5.3.255 is reserved"),
    ],
)
def test_explicit_addresses_outside_the_plan_are_refused(
    workspace: Workspace, kernel: FakeKernel, address: str, words: str
) -> None:
    workspace.write(network() + deployment(vm(extra=f'    ip = "{address}"\n')))
    assert words in fails(workspace)
    assert kernel.specs == {}


def test_an_address_that_another_machine_has_is_refused(workspace: Workspace) -> None:
    two = deployment(vm(extra='    ip = "10.5.3.2"\n'), label="e", name="second")
    workspace.write(network() + deployment() + two.replace("  node = 1\n", "  node = 1\n  depends_on = [grid_deployment.d]\n"))
    fails(workspace)


def test_machines_of_different_deployments_never_share_an_address(workspace: Workspace) -> None:
    workspace.write(network() + deployment() + deployment(label="e", name="second") + deployment(label="f", name="third"))
    # One at a time: several threads on one ledger are the matter of a test of the ledger's own.
    workspace.run("apply", "-auto-approve", "-input=false", "-no-color", "-parallelism=1")
    state = workspace.state()
    found = [state[f"grid_deployment.{label}"]["vms"][0]["ip"] for label in "def"]
    assert sorted(found) == ["10.5.3.2", "10.5.3.3", "10.5.3.4"]


# Capacity and other refusals


def test_a_node_that_is_full_says_so_in_the_providers_words(workspace: Workspace, engine: Engine, kernel: FakeKernel) -> None:
    workspace.write(network(nodes="[6]") + deployment(vm(memory=7168), node=6))
    needed, free = 7168 * 1024**2, engine.free(6).mru
    assert (
        f"node 6 does not have enough resources. needed: [mru: {needed}, sru: {4 * GIB}, hru: 0], free: [mru: {free}, "
        in fails(workspace)
    )
    assert kernel.specs == {}
    assert VM not in workspace.state()


def test_capacity_that_one_deployment_takes_is_not_there_for_the_next(workspace: Workspace, engine: Engine) -> None:
    before = engine.free(6)
    workspace.write(network(nodes="[6]") + deployment(vm(memory=4096), disk(size=20), node=6))
    workspace.apply()
    used = engine.ledger.used(6)
    assert (used.cru, used.mru, used.sru) == (2, 4 * GIB, 24 * GIB)
    assert engine.free(6).mru == before.mru - 4 * GIB
    workspace.run("destroy", "-auto-approve", "-input=false")
    assert engine.free(6) == before


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (network(nodes="[99]"), "failed to get node 99: object not found"),
        (network(extra=f'mycelium_keys = {{ "2" = "{KEY}" }}'), "invalid node 2 for mycelium key"),
        (deployment(node=99, net='"x"'), "failed to get node 99: object not found"),
        (deployment(net='"nowhere"'), "you passed vm/vms in the deployment but network name is invalid"),
        (network() + deployment(node=2), "invalid ip range"),
    ],
)
def test_wrong_nodes_and_networks_are_refused_in_the_providers_words(workspace: Workspace, body: str, words: str) -> None:
    workspace.write(body)
    assert words in fails(workspace)


def test_a_node_that_is_down_is_not_reached_and_not_chosen_as_access_point(workspace: Workspace, engine: Engine) -> None:
    engine.ledger.set_fact("fault_nodes_down", [1])
    workspace.write(network(nodes="[2]"))
    assert workspace.apply()[NET]["public_node_id"] == 3
    workspace.write(network(nodes="[2, 1]"))
    assert "could not reach node 1: context deadline exceeded" in fails(workspace)
    assert workspace.state()[NET]["nodes"] == [2], "a failed update must not be remembered as done"


def test_no_public_node_left_is_an_error(workspace: Workspace, engine: Engine) -> None:
    engine.ledger.set_fact("fault_nodes_down", [1, 3, 5])
    workspace.write(network(nodes="[2]"))
    assert "no nodes with public ipv4" in fails(workspace)


def test_a_machine_that_does_not_start_leaves_no_contract(workspace: Workspace, engine: Engine, kernel: FakeKernel) -> None:
    def refuse(spec: object) -> None:
        raise OSError("no such kernel")

    kernel.on_start = refuse
    workspace.write(network() + deployment())
    assert "the local grid failed: OSError: no such kernel" in fails(workspace)
    assert [contract.data["type"] for contract in engine.ledger.contracts()] == ["network"]
    assert VM not in workspace.state()


# Adoption after a lost state


def test_an_equal_deployment_that_a_crash_left_is_adopted(workspace: Workspace, engine: Engine, kernel: FakeKernel) -> None:
    workspace.write(network() + deployment(vm(extra="    publicip = true\n"), disk()))
    before = workspace.apply()
    (workspace.folder / "terraform.tfstate").unlink()
    after = workspace.apply()
    assert (after[VM]["id"], after[NET]["id"]) == (before[VM]["id"], before[NET]["id"])
    assert after[VM]["vms"] == before[VM]["vms"]
    assert len(engine.ledger.contracts()) == 2
    assert len(kernel.specs) == 1
    assert after[NET]["access_wg_config"] != "", "the user's new key is the one that counts"
    (record,) = engine.ledger.networks()
    assert record["access"]["user_public"] == networks.wireguard_public(after[NET]["external_sk"])


def test_a_different_deployment_of_the_same_name_is_not_adopted(workspace: Workspace, engine: Engine) -> None:
    workspace.write(network() + deployment())
    before = workspace.apply()
    (workspace.folder / "terraform.tfstate").unlink()
    workspace.write(network() + deployment(vm(memory=2048)))
    assert workspace.apply()[VM]["id"] != before[VM]["id"]
    assert len(engine.ledger.contracts()) == 3


OURS = "vm_0123456789abcdef"


def test_a_deployment_with_an_id_in_its_name_is_adopted_whatever_it_holds(
    workspace: Workspace, engine: Engine, kernel: FakeKernel
) -> None:
    workspace.write(network() + deployment(vm(extra="    publicip = true\n"), name=OURS))
    before = workspace.apply()
    (workspace.folder / "terraform.tfstate").unlink()
    workspace.write(network() + deployment(vm(extra="    publicip = true\n", memory=2048), name=OURS))
    after = workspace.apply()
    assert (after[VM]["id"], after[VM]["vms"][0]["computedip"]) == (before[VM]["id"], before[VM]["vms"][0]["computedip"])
    assert [spec.memory for spec in kernel.specs.values()] == [2048]
    assert (kernel.names("start"), kernel.names("remove")) == (["vm"], [])
    assert len(engine.ledger.contracts()) == 2
    assert drifted(workspace) == {}


def test_a_deployment_that_stands_on_another_node_after_a_crash_moves(
    workspace: Workspace, engine: Engine, kernel: FakeKernel
) -> None:
    workspace.write(network(nodes="[1, 2]") + deployment(name=OURS))
    before = workspace.apply()
    (workspace.folder / "terraform.tfstate").unlink()
    workspace.write(network(nodes="[1, 2]") + deployment(name=OURS, node=2))
    after = workspace.apply()
    assert after[VM]["id"] != before[VM]["id"]
    assert [item.node for item in engine.ledger.contracts() if item.data["type"] == "vm"] == [2]
    assert kernel.names("remove") == ["vm"] and len(kernel.specs) == 1


def test_the_old_machine_stays_when_the_other_node_is_full(workspace: Workspace, engine: Engine, kernel: FakeKernel) -> None:
    workspace.write(network(nodes="[1, 6]") + deployment(vm(memory=7168), name=OURS))
    workspace.apply()
    (workspace.folder / "terraform.tfstate").unlink()
    workspace.write(network(nodes="[1, 6]") + deployment(vm(memory=7168), name=OURS, node=6))
    assert "node 6 does not have enough resources" in fails(workspace)
    assert [item.node for item in engine.ledger.contracts() if item.data["type"] == "vm"] == [1]
    assert len(kernel.specs) == 1


def test_an_adopted_machine_survives_an_update_that_fails(workspace: Workspace, engine: Engine, kernel: FakeKernel) -> None:
    workspace.write(network() + deployment(name=OURS))
    before = workspace.apply()
    (workspace.folder / "terraform.tfstate").unlink()
    kernel.stopped.update(kernel.specs)
    kernel.specs.clear()

    def refuse(spec: object) -> None:
        raise OSError("no such kernel")

    kernel.on_start = refuse
    assert "OSError: no such kernel" in fails(workspace)
    assert kernel.names("remove") == []
    kernel.on_start = lambda spec: None
    assert workspace.apply()[VM]["id"] == before[VM]["id"]


def test_the_apps_name_is_in_the_contracts_metadata_and_follows_it(workspace: Workspace, engine: Engine) -> None:
    def text(project: str) -> str:
        line = f'solution_type = "{project}"\n'
        return network(extra=line) + deployment(vm(), f"  {line}", name=OURS)

    for project in ("tfgrid-compose/one", "tfgrid-compose/two"):
        workspace.write(text(project))
        workspace.apply()
        assert {item.data["projectName"] for item in engine.ledger.contracts()} == {project}
        assert {_info(item).app for item in engine.ledger.contracts()} == {project.split("/")[1]}


def test_machines_that_come_later_never_take_the_disks_of_another(workspace: Workspace, kernel: FakeKernel) -> None:
    for names in (("one", "two"), ("two",), ("two", "three")):
        workspace.write(network() + deployment(*(vm(name) for name in names)))
        workspace.apply()
    assert sorted(spec.hostname for spec in kernel.specs.values()) == ["three", "two"]


def test_another_accounts_deployment_is_not_adopted(workspace: Workspace) -> None:
    workspace.write(network() + deployment())
    before = workspace.apply()
    (workspace.folder / "terraform.tfstate").unlink()
    text = (workspace.folder / "main.tf").read_text()
    (workspace.folder / "main.tf").write_text(text.replace("words of a test", "words of somebody else"))
    after = workspace.apply()
    assert after[VM]["id"] != before[VM]["id"]
    assert after[NET]["id"] != before[NET]["id"]


def test_a_network_of_the_same_name_with_another_range_is_not_taken_over(workspace: Workspace) -> None:
    workspace.write(network())
    workspace.apply()
    (workspace.folder / "terraform.tfstate").unlink()
    workspace.write(network(ip_range="10.6.0.0/16"))
    assert "network name exists with range 10.5.0.0/16" in fails(workspace)


# Updates


def test_a_change_of_size_is_made_in_place(workspace: Workspace, engine: Engine, kernel: FakeKernel) -> None:
    workspace.write(network() + deployment(vm(), disk()))
    before = workspace.apply()[VM]
    workspace.write(network() + deployment(vm(memory=2048, cpu=4), disk()))
    after = workspace.apply()[VM]
    assert (after["id"], after["vms"][0]["ip"]) == (before["id"], before["vms"][0]["ip"])
    assert kernel.names("resize") == ["vm"]
    assert (kernel.names("start"), kernel.names("stop")) == (["vm"], [])
    assert engine.ledger.used(1).mru == 2 * GIB


def test_a_change_of_keys_restarts_the_machine(workspace: Workspace, kernel: FakeKernel) -> None:
    workspace.write(network() + deployment())
    before = workspace.apply()[VM]
    workspace.write((network() + deployment()).replace("BBBB", "CCCC"))
    after = workspace.apply()[VM]
    assert after["id"] == before["id"]
    assert [verb for verb, _ in kernel.calls][-2:] == ["stop", "start"]
    (spec,) = kernel.specs.values()
    assert spec.keys[1] == "ssh-ed25519 CCCC b"


def test_a_disk_that_is_mounted_later_restarts_the_machine(workspace: Workspace, kernel: FakeKernel) -> None:
    workspace.write(network() + deployment(vm(), disk()))
    workspace.apply()
    workspace.write(network() + deployment(vm(extra=mount()), disk()))
    workspace.apply()
    (spec,) = kernel.specs.values()
    assert [(item.name, item.size, item.mount_point) for item in spec.disks] == [("data", 10, "/data")]
    assert kernel.names("stop") == ["vm"]


def test_machines_come_and_go_in_one_deployment(workspace: Workspace, kernel: FakeKernel) -> None:
    workspace.write(network() + deployment(vm("one"), vm("two")))
    before = workspace.apply()[VM]
    workspace.write(network() + deployment(vm("one"), vm("three")))
    after = workspace.apply()[VM]
    assert after["id"] == before["id"]
    assert sorted(spec.hostname for spec in kernel.specs.values()) == ["one", "three"]
    assert kernel.names("remove") == ["two"]
    assert "one" not in kernel.names("stop")
    assert len({item["ip"] for item in after["vms"]}) == 2


def test_a_machine_that_is_removed_from_the_front_leaves_state_and_machine_in_agreement(
    workspace: Workspace, kernel: FakeKernel
) -> None:
    workspace.write(network() + deployment(vm("one"), vm("two")))
    workspace.apply()
    workspace.write(network() + deployment(vm("two")))
    (after,) = workspace.apply()[VM]["vms"]
    (spec,) = kernel.specs.values()
    assert (spec.hostname, spec.links[0].addresses) == ("two", (f"{after['ip']}/24",))
    assert drifted(workspace) == {}


def test_public_addresses_can_not_be_added_later(workspace: Workspace, kernel: FakeKernel) -> None:
    workspace.write(network() + deployment())
    workspace.apply()
    workspace.write(network() + deployment(vm(extra="    publicip = true\n")))
    assert "it's not possible to increase the number of reserved public ips in a deployment" in fails(workspace)
    assert workspace.state()[VM]["vms"][0]["publicip"] is not True
    assert len(kernel.specs) == 1


def test_a_public_address_that_is_given_up_is_free_again(workspace: Workspace, engine: Engine) -> None:
    workspace.write(network() + deployment(vm(extra="    publicip = true\n")))
    workspace.apply()
    workspace.write(network() + deployment(vm(extra="    publicip = false\n")))
    assert workspace.apply()[VM]["vms"][0]["computedip"] == ""
    (contract,) = [item for item in engine.ledger.contracts() if item.data["type"] == "vm"]
    assert contract.public_ips == 0
    (node,) = [row for row in LocalSource(engine.instance).nodes() if row.id == 1]
    assert _node(node).free_ips == 16


def test_a_machine_that_grows_too_large_is_refused_and_stays_as_it_is(workspace: Workspace, kernel: FakeKernel) -> None:
    workspace.write(network(nodes="[6]") + deployment(vm(memory=4096), node=6))
    workspace.apply()
    workspace.write(network(nodes="[6]") + deployment(vm(memory=8192), node=6))
    assert "node 6 does not have enough resources" in fails(workspace)
    (spec,) = kernel.specs.values()
    assert spec.memory == workspace.state()[VM]["vms"][0]["memory"] == 4096


def test_its_own_room_counts_when_a_machine_grows(workspace: Workspace) -> None:
    workspace.write(network(nodes="[6]") + deployment(vm(memory=4096), node=6))
    workspace.apply()
    workspace.write(network(nodes="[6]") + deployment(vm(memory=5120), node=6))
    assert workspace.apply()[VM]["vms"][0]["memory"] == 5120


def test_another_node_means_a_new_contract_and_an_address_there(workspace: Workspace, engine: Engine, kernel: FakeKernel) -> None:
    workspace.write(network(nodes="[1, 2]") + deployment(node=1))
    before = workspace.apply()[VM]
    workspace.write(network(nodes="[1, 2]") + deployment(node=2))
    after = workspace.apply()
    assert after[VM]["id"] != before["id"]
    (spec,) = kernel.specs.values()
    subnet = ipaddress.ip_network(after[NET]["nodes_ip_range"]["2"])
    assert ipaddress.ip_address(after[VM]["vms"][0]["ip"]) in subnet
    assert ipaddress.ip_interface(spec.links[0].addresses[0]).ip in subnet
    assert [item.node for item in engine.ledger.contracts() if item.data["type"] == "vm"] == [2]


def test_another_network_means_an_address_there(workspace: Workspace, kernel: FakeKernel) -> None:
    other = network(name="other", ip_range="10.6.0.0/16").replace('"net" {', '"other" {')
    workspace.write(network() + other + deployment())
    workspace.apply()
    workspace.write(network() + other + deployment(net="grid_network.other.name"))
    workspace.apply()
    (spec,) = kernel.specs.values()
    assert spec.links[0].addresses[0] == "10.6.3.2/24"


def test_a_new_range_moves_the_network_and_its_subnets(workspace: Workspace, engine: Engine) -> None:
    workspace.write(network())
    before = workspace.apply()[NET]
    workspace.write(network(ip_range="10.6.0.0/16"))
    after = workspace.apply()[NET]
    assert after["id"] != before["id"]
    assert after["nodes_ip_range"] == {"1": "10.6.3.0/24"}
    assert len(engine.ledger.networks()) == 1


def test_a_node_that_leaves_a_network_loses_its_contract(workspace: Workspace, engine: Engine) -> None:
    workspace.write(network(nodes="[1, 2]"))
    before = workspace.apply()[NET]
    workspace.write(network(nodes="[1]"))
    after = workspace.apply()[NET]
    assert after["id"] == before["id"]
    assert after["nodes_ip_range"] == {"1": before["nodes_ip_range"]["1"]}
    assert [contract.node for contract in engine.ledger.contracts()] == [1]
    assert drifted(workspace) == {}


# Drift and removal


def test_a_contract_that_was_cancelled_behind_terraforms_back_is_planned_anew(workspace: Workspace, engine: Engine) -> None:
    workspace.write(network() + deployment())
    before = workspace.apply()[VM]
    deployments.cancel(engine, int(before["id"]))
    assert drifted(workspace) == {VM: ["create"]}
    assert workspace.apply()[VM]["id"] != before["id"]


def test_a_network_that_was_removed_behind_terraforms_back_is_planned_anew(workspace: Workspace, engine: Engine) -> None:
    workspace.write(network())
    networks.remove(engine, workspace.apply()[NET]["id"])
    assert drifted(workspace) == {NET: ["create"]}
    workspace.apply()
    assert drifted(workspace) == {}


def test_a_size_that_was_changed_behind_terraforms_back_is_changed_back(
    workspace: Workspace, engine: Engine, kernel: FakeKernel
) -> None:
    workspace.write(network() + deployment())
    id = int(workspace.apply()[VM]["id"])
    contract = deployments.live(engine, id)
    assert contract
    spec: dict[str, Any] = json.loads(json.dumps(contract.spec))
    spec["machines"][0]["memory"] = 512
    engine.ledger.update_contract(id, "changed", contract.resources, 0, spec)
    assert drifted(workspace) == {VM: ["update"]}
    workspace.apply()
    assert next(iter(kernel.specs.values())).memory == 1024
    assert drifted(workspace) == {}


def test_a_machine_that_stopped_is_started_by_the_next_update(workspace: Workspace, kernel: FakeKernel) -> None:
    workspace.write(network() + deployment())
    workspace.apply()
    kernel.stopped.update(kernel.specs)
    kernel.specs.clear()
    workspace.write(network() + deployment(vm(memory=2048)))
    workspace.apply()
    assert [spec.memory for spec in kernel.specs.values()] == [2048]


def test_destroy_leaves_nothing(workspace: Workspace, engine: Engine, kernel: FakeKernel) -> None:
    workspace.write(network(nodes="[1, 4]") + deployment(vm(extra="    publicip = true\n"), disk()))
    workspace.apply()
    workspace.run("destroy", "-auto-approve", "-input=false", "-no-color")
    assert (kernel.specs, kernel.routers, engine.ledger.contracts(), engine.ledger.networks()) == ({}, {}, [], [])
    assert all(contract == 0 for _, contract in engine.ledger.addresses(1))
    closed = engine.ledger.contracts(live=False)
    assert {contract.state for contract in closed} == {"Deleted"}


def test_destroying_what_is_gone_already_is_no_error(workspace: Workspace, engine: Engine) -> None:
    workspace.write(network() + deployment())
    state = workspace.apply()
    deployments.cancel(engine, int(state[VM]["id"]))
    networks.remove(engine, state[NET]["id"])
    workspace.run("destroy", "-auto-approve", "-input=false", "-refresh=false", "-no-color")
    assert workspace.state() == {}


def test_what_a_failed_destroy_leaves_stays_in_the_state(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.write(network() + deployment())
    workspace.apply()
    with monkeypatch.context() as patch:
        patch.setattr(deployments, "cancel", lambda engine, id: 1 / 0)
        assert "the local grid failed: ZeroDivisionError" in fails(workspace, "destroy", "-auto-approve", "-no-color")
    assert workspace.state().keys() == {NET, VM}
    workspace.run("destroy", "-auto-approve", "-no-color")


def test_an_unexpected_failure_of_an_update_is_reported_and_loses_nothing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.write(network() + deployment())
    before = workspace.apply()[VM]
    workspace.write(network() + deployment(vm(memory=2048)))
    with monkeypatch.context() as patch:
        patch.setattr(deployments, "update", lambda *_: {}["nothing"])
        assert "the local grid failed: KeyError: 'nothing'" in fails(workspace)
    assert workspace.state()[VM]["id"] == before["id"]


def test_importing_is_refused_as_the_real_provider_does(workspace: Workspace) -> None:
    workspace.write(network())
    assert "doesn't support import" in fails(workspace, "import", "-no-color", "grid_network.net", "x")


def test_names_of_unknown_values_never_reach_the_ledger(workspace: Workspace, engine: Engine) -> None:
    workspace.write(network() + deployment(vm(), disk()))
    workspace.apply()
    text = json.dumps([contract.spec for contract in engine.ledger.contracts()])
    assert repr(UNKNOWN) not in text


def test_outputs_of_the_pattern_are_complete(workspace: Workspace, engine: Engine) -> None:
    from tfgrid_compose.patterns.load import BUILTIN

    for file in (BUILTIN / "single-vm" / "infrastructure").glob("*.tf"):
        (workspace.folder / file.name).write_text(file.read_text())
    values = {
        "mnemonic": "words", "tfgrid_network": "dev", "deployment_id": "abc", "app_name": "my-app", "ip_range": "10.7.0.0/16",
        "SSH_KEY": "ssh-ed25519 A",
        "vm_node": "2", "vm_cpu": "2", "vm_mem": "1024", "vm_disk": "10",
        "data_disks": '[{"name":"data","size":5,"mount":"/data"}]',
        "provision_wireguard": "true", "provision_mycelium": "true", "provision_ipv4": "true", "provision_ipv6": "true",
        "mycelium_key": KEY, "vm_ip_seed": "b60f2b7ec39c", 
        "vm_flist": "https://hub.grid.tf/x.flist", "vm_entrypoint": "/sbin/init",
    }  # fmt: skip
    workspace.env |= {f"TF_VAR_{name}": value for name, value in values.items()}
    state = workspace.apply()
    found = {name: item["value"] for name, item in json.loads(workspace.run("output", "-json")).items()}
    (machine,) = found["machines"]
    assert machine["private_ip"] == machine["wireguard_ip"] == "10.7.3.2"
    assert (machine["node"], machine["contract"]) == (2, state[VM.replace(".d", ".vm")]["id"])
    assert machine["ipv4_address"] == found["primary_ip"] == engine.instance.public4_host(32)
    assert found["primary_ip_type"] == "ipv4"
    assert ":" in machine["ipv6_address"] and ":" in machine["mycelium_ip"]
    assert len(found["contracts"]["network"]) == 2, "the node's own and the extra access point's"
    assert found["wg_config"].count("PrivateKey") == 1
