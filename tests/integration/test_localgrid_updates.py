"""Change, drift and removal by a real Terraform: ledger and states are real, only the kernel is not."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest

from tests.integration.blocks import KEY, NET, VM, deployment, disk, drifted, fails, mount, network, vm
from tests.integration.conftest import Workspace
from tests.integration.fake_engine import FakeKernel
from tfgrid_compose.localgrid import deployments, networks
from tfgrid_compose.localgrid.catalog import GIB
from tfgrid_compose.localgrid.engine import Engine
from tfgrid_compose.localgrid.plugin import _node
from tfgrid_compose.localgrid.provider.values import UNKNOWN
from tfgrid_compose.localgrid.rest.local import LocalSource

pytestmark = pytest.mark.integration


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
