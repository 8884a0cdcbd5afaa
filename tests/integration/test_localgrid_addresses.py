"""The address plan by a real Terraform: each machine gets the documented addresses, and no other machine's."""

from __future__ import annotations

import ipaddress

import pytest

from tests.integration.blocks import KEY, NET, VM, deployment, disk, drifted, fails, network, vm
from tests.integration.conftest import Workspace
from tests.integration.fake_engine import FakeKernel
from tfgrid_compose.grids.addresses import machine_mycelium, mycelium_network
from tfgrid_compose.localgrid import networks
from tfgrid_compose.localgrid.engine import Engine

pytestmark = pytest.mark.integration


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
