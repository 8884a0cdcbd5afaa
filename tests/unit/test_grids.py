"""The grids by name, and what marks a contract as ours."""

from __future__ import annotations

from typing import get_args

import pytest

from tfgrid_compose.errors import GridError, UsageError
from tfgrid_compose.grids.live import LiveGrid
from tfgrid_compose.grids.marks import app_of, deployment_of
from tfgrid_compose.grids.networks import NETWORKS
from tfgrid_compose.grids.registry import open_grid
from tfgrid_compose.state.settings import NetworkName


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_opens_a_grid_of_its_name(network: str) -> None:
    grid = open_grid(network)
    assert grid.name == network
    assert grid.needs_root is (network == "local")


def test_the_configuration_knows_the_same_networks() -> None:
    assert get_args(NetworkName) == NETWORKS


def test_an_unknown_network_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="there is no network `mian`") as caught:
        open_grid("mian")
    assert caught.value.why == "networks are local, main, test, qa, dev"


def test_the_live_grid_keeps_no_snapshots_and_leaves_strays_to_the_caller() -> None:
    grid = LiveGrid("main")
    assert (grid.can_snapshot, grid.adopts) == (False, False)
    for job in (
        lambda: grid.snapshot([1], "x"),
        lambda: grid.restore([1], "x"),
        lambda: grid.snapshots([1]),
        lambda: grid.forget_snapshot([1], "x"),
    ):
        with pytest.raises(GridError) as caught:
            job()
        assert caught.value.code == "snapshot-unsupported" and caught.value.fix


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("vm_0123456789abcdef", "0123456789abcdef"),
        ("net_0123456789abcdef", "0123456789abcdef"),
        ("worker_2_0123456789abcdef", "0123456789abcdef"),
        ("0123456789abcdef", "0123456789abcdef"),
        ("vm0123456789abcdef", ""),
        ("vm_0123456789abcde", ""),
        ("vm_0123456789ABCDEF", ""),
        ("vm_0123456789abcdef0", ""),
        ("vm_0123456789abcdef_2", ""),
        ("plain", ""),
        ("", ""),
    ],
)
def test_our_mark_is_an_id_at_the_end_of_a_name(name: str, id: str) -> None:
    assert deployment_of(name) == id


@pytest.mark.parametrize(("project", "app"), [("tfgrid-compose/my-app", "my-app"), ("vm/my-app", ""), ("Network", ""), ("", "")])
def test_the_apps_name_stands_in_our_own_projects_only(project: str, app: str) -> None:
    assert app_of(project) == app
