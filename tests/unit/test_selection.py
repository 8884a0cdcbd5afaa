"""Choice of nodes: what does, the best first, and why the others don't."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrid_compose.errors import GridError, NotFoundError
from tfgrid_compose.grids.models import GIB, Capacity, Node
from tfgrid_compose.grids.refusal import RULES
from tfgrid_compose.grids.score import MOST
from tfgrid_compose.grids.selection import (
    SSD_HEADROOM_GIB,
    Taken,
    Whitelist,
    Wish,
    check,
    place_many,
    rank,
    refusal,
    unknown_farms,
)
from tfgrid_compose.grids.wish import DAY, features_of

ZOS3 = frozenset({"zmachine", "network", "wireguard", "mycelium", "ip", "ipv4"})
LIGHT = frozenset({"zmachine-light", "network-light", "mycelium"})


def node(id: int = 1, cores: int = 8, memory: float = 16, ssd: float = 200, **changes: Any) -> Node:
    room = Capacity(cores, int(memory * GIB), int(ssd * GIB))
    base = Node(id, 1, "Farm-One", "Belgium", "Ghent", "up", False, room, room, "", 1, uptime=30 * DAY)
    return replace(base, **changes)


def wish(cpu: int = 1, memory: int = 512, disk: int = 1, **changes: Any) -> Wish:
    return Wish(cpu, memory, disk, **changes)


def ids(nodes: list[Node] | tuple[Node, ...]) -> list[int]:
    return [item.id for item in nodes]


# What does


def test_a_machine_that_just_fits_is_taken() -> None:
    assert refusal(node(), wish(8, 16 * 1024, 200 - SSD_HEADROOM_GIB, ipv4=True)) == ""


@pytest.mark.parametrize(
    ("place", "wanted", "reason", "kind"),
    [
        (node(status="down"), wish(), "it is down", "not-up"),
        (node(status="standby"), wish(), "it is standby", "not-up"),
        (node(healthy=False), wish(), "it is up and did not answer lately", "not-healthy"),
        (node(), wish(9), "it has 8 cores", "cores"),
        (node(), wish(1, 16 * 1024 + 1), "16.0 GiB of memory are free", "memory"),
        (node(), wish(1, 1, 181), "180 GiB of disk are free", "disk"),
        (node(ssd=5), wish(), "0 GiB of disk are free", "disk"),
        (node(free_ips=0), wish(ipv4=True), "its farm has no free public IPv4", "no-ipv4"),
        (node(), wish(ipv6=True), "it can give no public IPv6", "no-ipv6"),
        (node(), wish(certified=True), "it is not certified", "not-certified"),
        (node(), wish(dedicated=True, twin=7), "this account does not rent it", "not-dedicated"),
        (node(), wish(dedicated=True), "this account does not rent it", "not-dedicated"),
        (node(rented_by=8), wish(twin=7), "twin 8 rents all of it", "rented"),
        (node(rented_by=8), wish(), "twin 8 rents all of it", "rented"),
        (node(dedicated_farm=True), wish(), "it can only be rented as a whole, and this account does not rent it", "reserved"),
        (node(extra_fee=5.0), wish(twin=7), "it can only be rented as a whole, and this account does not rent it", "reserved"),
        (node(), wish(countries=frozenset({"egypt"})), "it is in Belgium", "other-country"),
        (node(), wish(black_nodes=frozenset({1})), "it is on a blacklist", "blacklisted"),
        (node(), wish(black_farms=frozenset({"farm-one"})), "its farm is on a blacklist", "blacklisted"),
        (node(), wish(black_farms=frozenset({"1"})), "its farm is on a blacklist", "blacklisted"),
        (node(), wish(min_uptime_days=31), "it has been up for 30.0 days", "uptime"),
        (node(used=Capacity(7, 0, 0)), wish(max_cpu_usage=80), "88 % of its cores are in use", "cpu-usage"),
        (node(used=Capacity(0, 0, 150 * GIB)), wish(max_disk_usage=60), "75 % of its disk are in use", "disk-usage"),
        (node(features=LIGHT), wish(features=features_of(["wireguard"])), "it has no network, wireguard, zmachine", "lacks-feature"),
        (node(features=LIGHT), wish(features=features_of(["ipv4"])), "it has no network, zmachine", "lacks-feature"),
        (
            node(),
            wish(whitelists=(Whitelist(frozenset({2}), frozenset({"2"}), "the manifest"),)),
            "it is none of the nodes and farms that the manifest allows",
            "not-whitelisted",
        ),
    ],
)  # fmt: skip
def test_what_does_not_do_says_why(place: Node, wanted: Wish, reason: str, kind: str) -> None:
    assert refusal(place, wanted) == reason
    assert rank([place], wanted).counts == {kind: 1}


@pytest.mark.parametrize(
    ("place", "wanted"),
    [
        (node(free=Capacity(0, 16 * GIB, 200 * GIB), used=Capacity(40, 0, 0)), wish(8)),
        (node(free_ips=0), wish()),
        (node(rented_by=7, rentable=True), wish(twin=7, dedicated=True)),
        (node(rented_by=7, dedicated_farm=True, extra_fee=3.0), wish(twin=7)),
        (node(rentable=True), wish()),
        (node(features=LIGHT), wish(features=features_of(["mycelium"]))),
        (node(features=ZOS3), wish(features=features_of(["wireguard", "mycelium", "ipv4", "ipv6"]))),
        (node(), wish(features=features_of(["wireguard"]))),
        (node(used=Capacity(6, 0, 0)), wish(max_cpu_usage=75)),
        (node(), wish(min_uptime_days=30)),
        (node(), wish(countries=frozenset({"egypt", "belgium"}))),
        (node(), wish(whitelists=(Whitelist(frozenset({1}), frozenset({"9"})), Whitelist(farms=frozenset({"farm-one"}))))),
        (node(), wish(max_cpu_usage=0, max_disk_usage=0)),
    ],
)  # fmt: skip
def test_what_does_is_not_refused(place: Node, wanted: Wish) -> None:
    assert refusal(place, wanted) == ""


def test_a_blacklist_beats_a_whitelist() -> None:
    wanted = wish(black_nodes=frozenset({1}), whitelists=(Whitelist(frozenset({1, 2})),))
    assert ids(rank([node(1), node(2), node(3)], wanted).candidates) == [2]


def test_a_node_has_to_be_on_every_whitelist() -> None:
    wanted = wish(whitelists=(Whitelist(frozenset({1, 2})), Whitelist(frozenset({2, 3}))))
    assert ids(rank([node(1), node(2), node(3)], wanted).candidates) == [2]


def test_every_rule_has_words_for_one_and_for_many() -> None:
    assert len({rule.kind for rule in RULES}) == len(RULES)
    assert {rule.counted(1)[:2] + rule.counted(2)[:2] for rule in RULES} == {"1 2 "}
    assert all(rule.fix and not rule.fix.endswith(".") for rule in RULES)


# Which is best


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"memory": 64}, {"memory": 4}),
        ({"ssd": 2000}, {"ssd": 100}),
        ({"used": Capacity(1, 0, 0)}, {"used": Capacity(6, 0, 0)}),
        ({"uptime": 20 * DAY}, {"uptime": DAY}),
        ({"certified": True}, {}),
        ({"usd_per_month": 20.0}, {"usd_per_month": 30.0}),
    ],
)
def test_more_room_less_load_longer_uptime_certification_and_a_lower_price_make_a_node_better(
    better: dict[str, Any], worse: dict[str, Any]
) -> None:
    assert ids(rank([node(1, **worse), node(2, **better)], wish()).candidates) == [2, 1]


def test_a_favourite_beats_the_rest() -> None:
    poor = node(9, memory=2, ssd=30, uptime=0, used=Capacity(8, 0, 0))
    assert ids(rank([node(1, memory=512, certified=True), poor], wish(favourites=frozenset({9}))).candidates) == [9, 1]


def test_equal_nodes_are_ordered_by_number_whatever_order_they_come_in() -> None:
    nodes = [node(7), node(3), node(5)]
    assert ids(rank(nodes, wish()).candidates) == ids(rank(nodes[::-1], wish()).candidates) == [3, 5, 7]


def test_a_score_is_the_sum_of_its_parts_in_words() -> None:
    ranking = rank([node(1, memory=16, certified=True, usd_per_month=25.0)], wish(1, 4096, 10, favourites=frozenset({1})))
    scored = ranking.scored(ranking.candidates[0])
    assert scored.total == pytest.approx(sum(part.points for part in scored.parts), abs=0.3)
    assert [part.name for part in scored.parts] == list(MOST)
    assert all(0 <= part.points <= part.most for part in scored.parts)
    words = {part.name: part.words for part in scored.parts}
    assert words["memory"] == "12 of 16 GiB stay free"
    assert words["disk"] == f"{200 - 10 - SSD_HEADROOM_GIB} of 200 GiB stay free"
    assert words["uptime"] == "healthy, up for 30 days"
    assert (words["certified"], words["favourite"]) == ("certified", "a favourite")
    assert words["price"].startswith("all of it costs 25.00 USD a month, ")


def test_counts_and_the_nearest_tell_about_the_refused() -> None:
    nodes = [node(1, memory=1), node(2, memory=2), node(3, status="down"), *(node(id, healthy=False) for id in (4, 5, 6))]
    ranking = rank(nodes, wish(1, 4096))
    assert ranking.counts == {"not-healthy": 3, "memory": 2, "not-up": 1}
    assert ranking.reasons() == "3 don't answer, 2 have too little free memory, 1 is not up"
    assert [item.id for item, _ in ranking.nearest(3)] == [2, 1, 4]


# Several machines


def test_replicas_stand_apart_as_they_are_asked_to() -> None:
    nodes = [
        node(1, memory=512), node(2, memory=256), node(3, memory=128, farm_id=2), node(4, memory=64, farm_id=3, country="Egypt"),
    ]  # fmt: skip
    ranking = rank(nodes, wish())
    assert ids(place_many(ranking, 3, "nodes")) == [1, 2, 3]
    assert ids(place_many(ranking, 3, "farms")) == [1, 3, 4]
    assert ids(place_many(ranking, 2, "countries")) == [1, 4]
    assert ids(place_many(ranking, 3, "none")) == [1, 1, 1]
    assert ids(place_many(ranking, 1, "farms", beside=[nodes[0]])) == [3]
    assert place_many(ranking, 0) == []


def test_machines_that_stand_together_share_what_the_node_has() -> None:
    nodes = [node(1, memory=4, ssd=1000), node(2, memory=2, ssd=1000)]
    assert ids(place_many(rank(nodes, wish(1, 2048)), 3, "none")) == [1, 1, 2]
    with pytest.raises(GridError, match="there is room for 3 of 4 machines"):
        place_many(rank(nodes, wish(1, 2048)), 4, "none")
    # The head-room of the storage pools is needed once, not for each disk.
    assert ids(place_many(rank([node(ssd=20 + 3 * 10)], wish(1, 512, 10)), 3, "none")) == [1, 1, 1]


def test_public_addresses_belong_to_the_farm_and_run_out_there() -> None:
    nodes = [node(1, free_ips=1), node(2, free_ips=1), node(3, farm_id=2, free_ips=1)]
    assert ids(place_many(rank(nodes, wish(ipv4=True)), 2, "nodes")) == [1, 3]


def test_too_few_places_say_how_many_there_are_and_what_helps() -> None:
    with pytest.raises(GridError, match="there is room for 1 of 2 machines .* on different countries") as caught:
        place_many(rank([node(1), node(2), node(3, status="down")], wish()), 2, "countries")
    assert caught.value.code == "no-capacity"
    assert caught.value.why == "2 of 3 nodes do, and that is not enough; 1 is not up"
    assert "--spread none" in caught.value.fix


def test_roles_of_one_deployment_share_capacity() -> None:
    taken, nodes = Taken(), [node(1, memory=4), node(2, memory=3)]
    for expected in (1, 2):
        ranking = rank(taken.left_of(nodes), wish(1, 3 * 1024))
        chosen = ranking.candidates[0]
        taken.add(chosen, wish(1, 3 * 1024))
        assert chosen.id == expected
    assert rank(taken.left_of(nodes), wish(1, 3 * 1024)).candidates == ()
    assert nodes[0].free.mru == 4 * GIB, "the nodes themselves are as they were"


# Errors


def test_when_nothing_does_the_error_counts_reasons_names_the_nearest_and_what_helps() -> None:
    with pytest.raises(GridError) as caught:
        place_many(rank([node(id) for id in range(1, 10)], wish(99, ipv4=True)), 1)
    error = caught.value
    assert error.what == "no node does for 99 cores, 512 MB memory and 1 GB disk with a public IPv4"
    assert (error.code, error.why) == ("no-capacity", "of 9 nodes, 9 have too few cores")
    assert error.details == [f"node {id} (Farm-One): it has 8 cores" for id in range(1, 7)]
    assert error.fix.startswith("ask for less with --cpu")


def test_a_grid_without_nodes_says_so() -> None:
    with pytest.raises(GridError) as caught:
        place_many(rank([], wish()), 1)
    assert caught.value.why == "the grid has no nodes"


def test_a_node_chosen_by_hand_is_returned_when_it_does() -> None:
    assert check([node(1), node(2)], 2, wish()).id == 2


def test_a_node_that_does_not_exist_is_an_error_that_lists_those_that_do() -> None:
    with pytest.raises(NotFoundError) as caught:
        check([node(2), node(1)], 3, wish())
    assert (caught.value.code, caught.value.why) == ("node-not-found", "the network has nodes 1, 2")
    with pytest.raises(NotFoundError, match="there is no node 99") as caught:
        check([node(id) for id in range(1, 50)], 99, wish())
    assert caught.value.why == "the network has 49 nodes, and none has this number"


def test_a_node_chosen_by_hand_that_does_not_do_is_refused_with_the_reason() -> None:
    with pytest.raises(GridError, match=r"node 1 \(Farm-One\) does not do for 9 cores") as caught:
        check([node(1)], 1, wish(9))
    assert (caught.value.code, caught.value.why) == ("no-capacity", "it has 8 cores")


def test_farms_that_nobody_knows_are_found_by_name_and_number() -> None:
    assert unknown_farms([node()], ["farm-one", "1", "*", "farm-two", "2"]) == ["2", "farm-two"]


# In general


@given(
    st.lists(st.tuples(st.integers(1, 32), st.integers(0, 64), st.integers(0, 500), st.integers(0, 2)), max_size=8),
    st.tuples(st.integers(1, 32), st.integers(256, 65536), st.integers(1, 400), st.booleans()),
    st.integers(1, 4),
    st.sampled_from(["nodes", "farms", "countries", "none"]),
)
def test_the_chosen_nodes_always_do_and_none_is_missed(
    places: list[tuple[int, int, int, int]], machine: tuple[int, int, int, bool], count: int, spread: str
) -> None:
    nodes = [node(id, *place[:3], free_ips=place[3], farm_id=id % 3) for id, place in enumerate(places, 1)]
    wanted = wish(*machine[:3], ipv4=machine[3])
    ranking = rank(nodes, wanted)
    able = {item.id for item in nodes if not refusal(item, wanted)}
    assert {item.id for item in ranking.candidates} == able
    assert len(ranking.refused) == len(nodes) - len(able)
    scores = [ranking.scored(item).total for item in ranking.candidates]
    assert scores == sorted(scores, reverse=True)
    try:
        chosen = place_many(ranking, count, spread)
    except GridError:
        assert len(able) < count or spread in ("farms", "countries") or machine[3]
    else:
        assert len(chosen) == count and {item.id for item in chosen} <= able
        taken = Taken()
        for item in chosen:
            assert not refusal(taken.left(item), wanted), "there is room for all of them together"
            taken.add(item, wanted)


def test_all_of_a_large_grid_is_ranked_and_the_best_comes_first() -> None:
    nodes = [
        node(id, 8 + id % 56, 16 + id % 240, 100 + id % 4000, farm_id=id % 3000, farm=f"farm-{id % 3000}", uptime=id * 60,
             features=ZOS3, certified=id % 5 == 0, status="up" if id % 4 else "down", used=Capacity(id % 8, 0, 0))
        for id in range(1, 100_001)
    ]  # fmt: skip
    wanted = wish(2, 4096, 50, features=features_of(["wireguard"]), black_farms=frozenset({"farm-7"}), min_uptime_days=3)
    ranking = rank(nodes, wanted)  # How long this takes is a budget of `make bench`.
    able = {item.id for item in nodes if not refusal(item, wanted)}
    assert ranking.looked_at == 100_000 and {item.id for item in ranking.candidates} == able
    totals = [ranking.scored(item).total for item in ranking.candidates[::100]]
    assert totals == sorted(totals, reverse=True) and len(totals) > 500
