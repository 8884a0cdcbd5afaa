"""Choice of nodes: what fits, the roomiest first, and why nothing does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrid_compose.errors import GridError
from tfgrid_compose.grids.base import GIB, Capacity, Node
from tfgrid_compose.grids.selection import SSD_HEADROOM_GIB, check, choose, fits


def node(id: int = 1, cores: int = 8, memory: float = 16, ssd: float = 200, **changes: object) -> Node:
    free = Capacity(cores, int(memory * GIB), int(ssd * GIB))
    base = Node(id, 1, "farm-one", "BE", "Ghent", "up", False, free, free, "", 1)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_a_machine_that_just_fits_is_taken() -> None:
    assert fits(node(), 8, 16 * 1024, 200 - SSD_HEADROOM_GIB, True) == ""


@pytest.mark.parametrize(
    ("place", "machine", "reason"),
    [
        (node(status="down"), (1, 1, 1, False), "it is down"),
        (node(status="standby"), (1, 1, 1, False), "it is standby"),
        (node(), (9, 1, 1, False), "it has 8 cores"),
        (node(), (1, 16 * 1024 + 1, 1, False), "16.0 GiB of memory are free"),
        (node(), (1, 1, 181, False), "180 GiB of disk are free"),
        (node(ssd=5), (1, 1, 1, False), "0 GiB of disk are free"),
        (node(free_ips=0), (1, 1, 1, True), "its farm has no free public IPv4"),
    ],
)
def test_what_does_not_fit_says_why(place: Node, machine: tuple[int, int, int, bool], reason: str) -> None:
    assert fits(place, *machine) == reason


def test_cores_are_shared_so_only_the_total_counts() -> None:
    assert fits(replace(node(), free=Capacity(0, 16 * GIB, 200 * GIB)), 8, 1024, 10, False) == ""


def test_the_node_with_most_memory_wins_then_disk_then_the_lowest_number() -> None:
    assert choose([node(1, memory=8), node(2, memory=16)], 1, 512, 1, False).id == 2
    assert choose([node(1, ssd=100), node(2, ssd=200)], 1, 512, 1, False).id == 2
    assert choose([node(7), node(3), node(5)], 1, 512, 1, False).id == 3


def test_without_public_address_a_farm_without_any_is_good_enough() -> None:
    assert choose([node(free_ips=0)], 1, 512, 1, False).id == 1


def test_when_nothing_fits_the_error_names_at_most_six_nodes_and_the_reason_of_each() -> None:
    with pytest.raises(
        GridError, match="no node has room for 99 cores, 512 MB memory and 1 GB disk with a public IPv4"
    ) as caught:
        choose([node(id) for id in range(1, 10)], 99, 512, 1, True)
    assert caught.value.code == "no-capacity"
    assert caught.value.details == [f"node {id} (farm-one): it has 8 cores" for id in range(1, 7)]
    assert caught.value.why == caught.value.details[0]


def test_a_grid_without_nodes_says_so() -> None:
    with pytest.raises(GridError) as caught:
        choose([], 1, 512, 1, False)
    assert caught.value.why == "the grid has no nodes"


def test_a_node_chosen_by_hand_is_returned_when_it_has_room() -> None:
    assert check([node(1), node(2)], 2, 1, 512, 1, False).id == 2


def test_a_node_that_does_not_exist_is_an_error_that_lists_those_that_do() -> None:
    with pytest.raises(GridError) as caught:
        check([node(1), node(2)], 3, 1, 512, 1, False)
    assert (caught.value.code, caught.value.why) == ("node-not-found", "nodes are 1, 2")


def test_a_node_chosen_by_hand_that_is_full_is_refused_with_the_reason() -> None:
    with pytest.raises(GridError, match=r"node 1 \(farm-one\) has no room for 9 cores") as caught:
        check([node(1)], 1, 9, 512, 1, False)
    assert (caught.value.code, caught.value.why) == ("no-capacity", "it has 8 cores")


@given(
    st.lists(st.tuples(st.integers(1, 32), st.integers(0, 64), st.integers(0, 500), st.integers(0, 2)), max_size=8),
    st.tuples(st.integers(1, 32), st.integers(256, 65536), st.integers(1, 400), st.booleans()),
)
def test_the_chosen_node_always_fits_and_none_is_missed(
    places: list[tuple[int, int, int, int]], machine: tuple[int, int, int, bool]
) -> None:
    nodes = [node(id, *place[:3], free_ips=place[3]) for id, place in enumerate(places, 1)]
    able = [item for item in nodes if not fits(item, *machine)]
    if able:
        chosen = choose(nodes, *machine)
        assert chosen in able
        assert chosen.free.mru == max(item.free.mru for item in able)
    else:
        with pytest.raises(GridError):
            choose(nodes, *machine)
