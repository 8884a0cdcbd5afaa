"""The next best node: when it is tried, what is cancelled before, and when it is not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.workbench import Bench, contract
from tfgrid_compose.deploy.budget import price_of
from tfgrid_compose.deploy.nextbest import CAUSES, MOST, _doomed, _failed
from tfgrid_compose.deploy.options import PlacementOptions
from tfgrid_compose.deploy.tfstate import contracts_in, without
from tfgrid_compose.errors import GridError, InfrastructureError, InterruptedError_
from tfgrid_compose.observe.diagnosis import find
from tfgrid_compose.observe.events import StepProgress
from tfgrid_compose.state import settings
from tfgrid_compose.state.settings import Settings


def failed(why: str) -> InfrastructureError:
    return InfrastructureError("`terraform apply` failed", why=why, fix="tfgrid-compose logs --hook terraform")


def full(node: int = 1) -> InfrastructureError:
    return failed(f"node {node} does not have enough resources. needed: [mru: 2], free: [mru: 1]")


def warned(bench: Bench) -> list[str]:
    return [text for text in bench.notices() if "can't take the machine" in text]


def test_every_cause_is_one_that_the_diagnosis_knows() -> None:
    assert {code for code in CAUSES if find(code) is None} == set()


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("node 1 does not have enough resources. needed: x", "the node has less free memory or disk than the app asks for"),
        ("failed to create contract: FarmHasNotEnoughPublicIPs", "the node's farm has no free public IPv4"),
        ("failed to create contract on node 1: NodeNotAvailableToDeploy", "the node is dedicated, rented by somebody else"),
        (
            "error waiting deployment: waiting for deployment 12 timed out",
            "the node accepted the machine and then made no progress",
        ),
    ],
)
def test_a_node_that_refuses_is_replaced_by_the_next_best(bench: Bench, why: str, reason: str) -> None:
    bench.fail("terraform", failed(why))
    bench.up(node=None)
    assert [machine["node"] for machine in bench.deployment.machines] == [2]
    assert bench.deployment.data["nodes"] == bench.deployment.data["planned_nodes"] == {"vm": [2]}
    (said,) = warned(bench)
    assert said.startswith(f"node 1 can't take the machine: {reason}") and said.endswith("; going on with node 2")
    assert bench.slept == [], "that does not pass by itself"
    assert bench.plan(node=None).needed is False


def test_what_the_failed_node_holds_is_cancelled_first_and_visibly(bench: Bench) -> None:
    known: list[tuple[str, Any]] = []
    real = bench.grid.cancel

    def cancel(contracts: Sequence[int]) -> None:
        known.append(("cancel", list(contracts)))
        real(contracts)

    bench.grid.cancel = cancel  # type: ignore[method-assign]
    bench.grid.live = {31: contract(31, 1), 30: contract(30, 1)}
    bench.fail("terraform", full())
    bench.up(node=None)
    assert known == [("cancel", [30, 31])]
    (line,) = [event.text for event in bench.events if isinstance(event, StepProgress) and "30" in event.text]
    assert line == "cancelling contracts 30 (node on node 1), 31 (node on node 1)"
    assert "; contracts 30, 31 are cancelled; going on with node 2" in warned(bench)[0]


def test_the_new_node_is_committed_before_anything_is_bought_there(bench: Bench) -> None:
    planned: list[Any] = []
    real = bench.fail_at

    def fail_at(place: str) -> None:
        if place == "terraform":
            planned.append(bench.store.deployments()[0].data["planned_nodes"])
        real(place)

    bench.fail_at = fail_at  # type: ignore[method-assign]
    bench.fail("terraform", full(1), full(2))
    bench.up(node=None)
    assert planned == [{"vm": [1]}, {"vm": [2]}, {"vm": [3]}]


def test_after_three_others_no_more_are_tried_and_all_are_named(bench: Bench) -> None:
    bench.fail("terraform", *(full(node) for node in range(1, MOST + 2)))
    with pytest.raises(InfrastructureError) as caught:
        bench.up(node=None)
    assert bench.failures["terraform"] == []
    assert [line for line in caught.value.details if line.startswith("node ")][-4:] == [
        f"node {node}: the node has less free memory or disk than the app asks for" for node in (1, 2, 3, 4)
    ]
    assert f"after {MOST} other nodes no more are tried" in caught.value.details


def test_without_another_node_the_error_says_so_and_nothing_is_cancelled(bench: Bench) -> None:
    bench.grid.live = {30: contract(30, 1)}
    bench.fail("terraform", full())
    with pytest.raises(InfrastructureError) as caught:
        bench.up(node=None, placement=PlacementOptions(whitelist_nodes=(1,)))
    assert any("no other node does" in line for line in caught.value.details)
    assert not any(item.startswith("cancel") for item in bench.grid.done)


def test_a_node_that_the_user_named_is_not_replaced(bench: Bench) -> None:
    bench.fail("terraform", full(7))
    with pytest.raises(InfrastructureError) as caught:
        bench.up(node=7)
    assert caught.value.cause == "node-full" and warned(bench) == []


def test_a_machine_that_exists_is_never_moved(bench: Bench) -> None:
    bench.up(node=None)
    bench.fail("terraform", full(1))
    with pytest.raises(InfrastructureError):
        bench.up(node=None, cpu=8)
    assert warned(bench) == [] and list(bench.grid.live) == [1002]
    # Its contract ended: what was on its disks is lost already, and another node may have it.
    bench.grid.live.clear()
    bench.fail("terraform", full(1))
    bench.up(node=None, cpu=8)
    assert [machine["node"] for machine in bench.deployment.machines] == [2]


def test_a_machine_that_nobody_can_ask_about_may_exist(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.up(node=None)

    def silent(contracts: Sequence[int]) -> bool:
        raise GridError("the chain does not answer", code="chain-unreachable")

    def fails(place: str) -> None:
        if place == "terraform":
            monkeypatch.setattr(bench.grid, "alive", silent)
            raise full(1)

    bench.fail_at = fails  # type: ignore[method-assign]
    with pytest.raises(InfrastructureError):
        bench.up(node=None, cpu=8)
    assert warned(bench) == []


def test_other_failures_are_left_alone(bench: Bench) -> None:
    bench.fail("terraform", failed("your account balance is too low"), failed("something else"))
    for _ in range(2):
        with pytest.raises(InfrastructureError):
            bench.up(node=None)
    assert warned(bench) == []


def test_a_silent_node_is_tried_again_before_another_takes_its_place(bench: Bench) -> None:
    silent = [failed("could not reach node 1: no answer") for _ in range(3)]
    bench.fail("terraform", silent[0])
    bench.up(node=None)
    assert [machine["node"] for machine in bench.deployment.machines] == [1] and len(bench.slept) == 1
    bench.down()
    bench.fail("terraform", *silent[1:])
    bench.up(node=None)
    assert [machine["node"] for machine in bench.deployment.machines] == [2] and len(bench.slept) == 2


def test_what_can_not_be_cancelled_stops_the_run_before_anything_else_is_bought(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(contracts: Sequence[int]) -> None:
        raise GridError("contract 30 was not cancelled", code="chain-refused")

    monkeypatch.setattr(bench.grid, "cancel", refuses)
    bench.grid.live = {30: contract(30, 1)}
    bench.fail("terraform", full())
    with pytest.raises(InfrastructureError) as caught:
        bench.up(node=None)
    assert "it could not be cleared: contract 30 was not cancelled" in caught.value.details
    assert list(bench.grid.live) == [30] and bench.deployment.data["planned_nodes"] == {"vm": [1]}
    monkeypatch.setattr(bench.grid, "cancel", lambda contracts: None)
    bench.fail("terraform", full())
    with pytest.raises(InfrastructureError) as caught:
        bench.up(node=None)
    assert "it could not be cleared: contract 30" in caught.value.details


def test_ctrl_c_while_a_node_is_cleared_ends_the_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(contracts: Sequence[int]) -> None:
        raise InterruptedError_("stopped while contracts were being cancelled")

    monkeypatch.setattr(bench.grid, "cancel", stopped)
    bench.grid.live = {30: contract(30, 1)}
    bench.fail("terraform", full())
    with pytest.raises(InterruptedError_):
        bench.up(node=None)
    assert list(bench.grid.live) == [30] and bench.slept == []


def test_contracts_that_can_not_be_listed_keep_the_node(bench: Bench) -> None:
    real = bench.fail_at

    def fails(place: str) -> None:
        if place == "terraform":
            bench.grid.silent = GridError("the directory does not answer", code="gridproxy-unreachable")
            raise full()
        real(place)

    bench.fail_at = fails  # type: ignore[method-assign]
    with pytest.raises(InfrastructureError) as caught:
        bench.up(node=None)
    assert "it could not be cleared: the directory does not answer" in caught.value.details


def test_a_dearer_node_does_not_break_the_budget(bench: Bench) -> None:
    for node in range(2, 13):
        bench.grid.directory.change(node, certified=True)
    bench.manifest("placement: {min_uptime_days: 0}\n")
    with bench.context(node=1) as context:
        cost = price_of(context).usd_per_month
    favourite = Settings(favorites={"main": [1]})
    settings.save(favourite)
    bench.fail("terraform", full())
    with pytest.raises(InfrastructureError) as caught:
        bench.up(node=None, max_monthly=cost * 1.1)
    assert any(line.startswith("the next best node is too dear: ") for line in caught.value.details)
    bench.fail("terraform", full())
    bench.up(node=None, max_monthly=cost * 1.3)
    assert [machine["node"] for machine in bench.deployment.machines] == [2]


# Terraform's state


def state(*resources: tuple[str, dict[str, Any]]) -> bytes:
    listed = [{"type": kind, "name": "x", "instances": [{"attributes": attributes}]} for kind, attributes in resources]
    return json.dumps({"version": 4, "serial": 6, "lineage": "l", "resources": listed}).encode()


NETWORK = {
    "id": "4b6f-uuid", "nodes": [1, 2], "node_deployment_id": {"1": 11, "2": 12, "9": 19}, "public_node_id": 9,
    "nodes_ip_range": {"1": "10.1.3.0/24", "2": "10.1.4.0/24", "9": "10.1.5.0/24"}, "mycelium_keys": {"1": "a", "2": "b"},
}  # fmt: skip


def test_resources_whose_contracts_are_all_gone_are_forgotten() -> None:
    found = without(
        state(
            ("grid_network", {**NETWORK, "nodes": [1], "node_deployment_id": {"1": 11, "9": 19}}),
            ("grid_deployment", {"id": "13", "node": 1}),
            ("grid_deployment", {"id": "0", "node": 1}),
            ("grid_network", {"id": "uuid", "nodes": [1], "node_deployment_id": {}}),
            ("grid_scheduler", {"id": "1732300000"}),
            ("random_id", {"id": "13", "node": 1}),
            ("grid_deployment", {"id": "14", "node": 2}),
        ),
        {1},
        {11, 13, 19},
    )
    data = json.loads(found)
    assert [(item["type"], item["instances"][0]["attributes"]["id"]) for item in data["resources"]] == [
        ("grid_scheduler", "1732300000"),
        ("random_id", "13"),
        ("grid_deployment", "14"),
    ]
    assert (data["serial"], data["lineage"]) == (7, "l")


def test_a_network_that_stands_on_other_nodes_too_forgets_only_those_that_are_gone() -> None:
    found = without(state(("grid_network", NETWORK), ("grid_deployment", {"id": "14", "node": 2})), {1}, {11})
    network = json.loads(found)["resources"][0]["instances"][0]["attributes"]
    assert network["nodes"] == [2] and network["public_node_id"] == 9
    assert network["node_deployment_id"] == {"2": 12, "9": 19}
    assert set(network["nodes_ip_range"]) == {"2", "9"} and network["mycelium_keys"] == {"2": "b"}
    assert contracts_in(found) == {12, 14, 19}
    found = without(state(("grid_network", NETWORK)), {9}, {19})
    assert json.loads(found)["resources"][0]["instances"][0]["attributes"]["public_node_id"] == 0


# Several machines


def several(bench: Bench, *live: Any, adopts: bool = False) -> Any:
    bench.grid.adopts, bench.grid.live = adopts, {item.id: item for item in live}
    return SimpleNamespace(nodes={"a": [1, 2], "b": [3]}, grid=bench.grid, deployment=SimpleNamespace(id="d", machines=[]))


@pytest.mark.parametrize(
    ("why", "nodes"),
    [
        ("could not reach node 2: x", {2}),
        ("could not reach node 2: x; node 3 does not have enough resources", {2, 3}),
        ("waiting for deployment 30 timed out", {3}),
        ("could not reach node 12", set()),
        ("waiting for deployment 99 timed out", set()),
    ],
)
def test_of_several_nodes_those_that_the_error_names_have_failed(bench: Bench, why: str, nodes: set[int]) -> None:
    assert _failed(several(bench, contract(30, 3)), failed(why)) == nodes


def test_only_the_failed_node_is_cleared_while_machines_stand_on_others(bench: Bench) -> None:
    network = [replace(contract(20 + node, node), kind="network") for node in (1, 2, 3)]
    machines = [contract(30 + node, node) for node in (1, 2)]
    assert sorted(item.id for item in _doomed(several(bench, *network, *machines), {2})) == [22, 32]
    # Such a grid takes a node out of a network itself.
    assert [item.id for item in _doomed(several(bench, *network, *machines, adopts=True), {2})] == [32]
    # With no machine elsewhere nothing of the network is of use.
    assert sorted(item.id for item in _doomed(several(bench, *network, machines[1]), {2})) == [21, 22, 23, 32]
