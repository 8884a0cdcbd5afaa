"""What a real Terraform can't create on the local grid, and what it adopts after its state was lost."""

from __future__ import annotations

import pytest

from tests.integration.blocks import KEY, NET, VM, deployment, disk, drifted, fails, network, vm
from tests.integration.conftest import Workspace
from tests.integration.fake_engine import FakeKernel
from tfgrid_compose.localgrid import networks
from tfgrid_compose.localgrid.catalog import GIB
from tfgrid_compose.localgrid.engine import Engine

pytestmark = pytest.mark.integration


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


def test_a_large_machine_has_a_root_file_system_of_2_gb(workspace: Workspace, kernel: FakeKernel) -> None:
    large = vm(cpu=2, memory=4096)
    workspace.write(network() + deployment(large.replace("rootfs_size = 4096", "rootfs_size = 2047")))
    assert "rootfs size can't be less than 2147483648. Set to 0 for minimum" in fails(workspace)
    assert kernel.specs == {}
    workspace.write(network() + deployment(large.replace("rootfs_size = 4096", "rootfs_size = 2048")))
    workspace.apply()


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
        assert {item.data["type"]: item.data["projectName"] for item in engine.ledger.contracts()} == {
            "vm": project, "network": "Network",
        }  # fmt: skip
        assert workspace.state()["grid_network.net"]["solution_type"] == project, "and Terraform sees no drift"
        assert drifted(workspace) == {}


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
