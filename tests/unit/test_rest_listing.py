"""Lists of the REST API: every filter against the JSON that it filters, paging, order, and refusals in gridproxy's words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.rows import SyntheticSource
from tfgrid_compose.grids.models import GIB
from tfgrid_compose.localgrid.rest import listing
from tfgrid_compose.localgrid.rest.listing import CONTRACTS, FARMS, IPS, NODES, TWINS, Listing, Page, page
from tfgrid_compose.localgrid.rest.query import BadQueryError, decode

Json = dict[str, Any]
Check = Callable[[Json], bool]
SOURCE = SyntheticSource(400)


def ask(kind: Listing, query: str = "", source: SyntheticSource = SOURCE) -> Page:
    """The page of a query that needs no quoting."""
    return page(kind, source, [tuple(item.split("=", 1)) for item in query.split("&") if item])  # type: ignore[misc]


def everything(kind: Listing) -> list[Json]:
    return ask(kind, "size=100000").body


def free(node: Json, unit: str) -> int:
    total, used = node["total_resources"], node["used_resources"]
    return int(total[unit] - used[unit])


GPU_NODES: Check = lambda node: bool(node["gpus"])  # noqa: E731
NODE_FILTERS: dict[str, Check] = {
    "status=up": lambda node: node["status"] == "up",
    "status=up,standby": lambda node: node["status"] in ("up", "standby"),
    f"free_mru={20 * GIB}": lambda node: free(node, "mru") >= 20 * GIB,
    f"free_sru={900 * GIB}": lambda node: free(node, "sru") >= 900 * GIB,
    f"free_hru={5000 * GIB}": lambda node: free(node, "hru") >= 5000 * GIB,
    f"total_mru={64 * GIB}": lambda node: node["total_resources"]["mru"] >= 64 * GIB,
    f"total_sru={1024 * GIB}": lambda node: node["total_resources"]["sru"] >= 1024 * GIB,
    f"total_hru={4096 * GIB}": lambda node: node["total_resources"]["hru"] >= 4096 * GIB,
    "total_cru=16": lambda node: node["total_resources"]["cru"] >= 16,
    "country=bELGIUM": lambda node: node["country"] == "Belgium",
    "country_contains=GER": lambda node: node["country"] == "Germany",
    "city=cairo": lambda node: node["city"] == "Cairo",
    "city_contains=ZÜR": lambda node: node["city"] == "Zürich",
    "region=america": lambda node: node["country"] in ("Brazil", "United States"),
    "region=South America": lambda node: node["country"] == "Brazil",
    "farm_name=farm-7": lambda node: node["farmName"] == "Farm-7",
    "farm_name_contains=m-9": lambda node: "m-9" in node["farmName"],
    "farm_ids=3,5": lambda node: node["farmId"] in (3, 5),
    "free_ips=2": lambda node: node["farm_free_ips"] >= 2,
    "ipv4=true": lambda node: node["publicConfig"]["ipv4"] != "",
    "ipv4=false": lambda node: node["publicConfig"]["ipv4"] == "",
    "ipv6=1": lambda node: node["publicConfig"]["ipv6"] != "",
    "domain=true": lambda node: node["publicConfig"]["domain"] != "",
    "dedicated=true": lambda node: node["dedicated"],
    "dedicated=false": lambda node: not node["dedicated"],
    "in_dedicated_farm=true": lambda node: node["inDedicatedFarm"],
    "rentable=true": lambda node: node["rentable"],
    "rented=true": lambda node: node["rented"],
    "rented=0": lambda node: not node["rented"],
    "owned_by=1004": lambda node: node["farmId"] == 4,
    "node_id=17": lambda node: node["nodeId"] == 17,
    "node_ids=4,9,400": lambda node: node["nodeId"] in (4, 9, 400),
    "excluded=1,2": lambda node: node["nodeId"] not in (1, 2),
    "twin_id=1000007": lambda node: node["nodeId"] == 7,
    "certification_type=DIY": lambda node: node["certificationType"] == "Diy",
    "certification_type=Certified": lambda node: node["certificationType"] == "Certified",
    "healthy=true": lambda node: node["healthy"],
    "healthy=false": lambda node: not node["healthy"],
    "has_gpu=true": GPU_NODES,
    "has_gpu=false": lambda node: not node["gpus"],
    "num_gpu=1": GPU_NODES,
    "gpu_device_id=744c": GPU_NODES,
    "gpu_vendor_id=1002": GPU_NODES,
    "gpu_device_name=navi": GPU_NODES,
    "gpu_vendor_name=micro devices": GPU_NODES,
    "gpu_available=true": lambda node: any(gpu["contract"] == 0 for gpu in node["gpus"]),
    "gpu_available=false": lambda node: any(gpu["contract"] != 0 for gpu in node["gpus"]),
    "price_min=300": lambda node: node["price_usd"] >= 300,
    "price_max=12.5": lambda node: node["price_usd"] <= 12.5,
    "features=zmachine,network": lambda node: {"zmachine", "network"} <= set(node["features"]),
    "features=zmachine-light": lambda node: "zmachine-light" in node["features"],
    "status=up&country=belgium&total_cru=8": lambda node: (
        node["status"] == "up" and node["country"] == "Belgium" and node["total_resources"]["cru"] >= 8
    ),
}


@pytest.mark.parametrize("query", NODE_FILTERS)
def test_nodes_are_filtered_by(query: str) -> None:
    all_nodes = everything(NODES)
    expected = [node["nodeId"] for node in all_nodes if NODE_FILTERS[query](node)]
    found = ask(NODES, f"{query}&size=1000&ret_count=true")
    assert [node["nodeId"] for node in found.body] == expected
    assert found.count == len(expected)
    assert 0 < len(expected) < len(all_nodes), "the test would prove nothing"


def test_every_documented_filter_of_nodes_is_tested_above() -> None:
    tested = {item.split("=")[0] for query in NODE_FILTERS for item in query.split("&")}
    others = {"has_ipv6", "rented_by", "available_for", "rentable_or_rented_by", "balance", "page", "size", "ret_count", "randomize",
              "sort_by", "sort_order"}  # fmt: skip
    assert set(NODES.known) == tested | others


def test_nodes_that_can_give_ipv6_are_told_apart() -> None:
    yes, no = (ask(NODES, f"has_ipv6={value}&ret_count=1").count for value in ("true", "false"))
    assert yes and no and yes + no == 400


def test_a_twin_finds_what_it_rents_and_what_is_free() -> None:
    renter = next(node["rentedByTwinId"] for node in everything(NODES) if node["rented"])
    mine = ask(NODES, f"rented_by={renter}&size=500").body
    assert mine and all(node["rentedByTwinId"] == renter for node in mine)
    usable = ask(NODES, f"available_for={renter}&size=500").body
    assert [node["nodeId"] for node in usable[: len(mine)]] == [node["nodeId"] for node in mine], "what it rents comes first"
    for node in usable[len(mine) :]:
        assert not node["rented"] and not node["inDedicatedFarm"] and node["extraFee"] == 0
    either = ask(NODES, f"rentable_or_rented_by={renter}&size=500").body
    assert all(node["rentable"] or node["rentedByTwinId"] == renter for node in either)
    assert either[0]["rented"], "what it rents comes first"


def test_one_and_the_same_card_must_pass_all_gpu_filters() -> None:
    assert ask(NODES, "gpu_vendor_id=1002&gpu_device_name=navi").body
    assert ask(NODES, "gpu_vendor_id=1002&gpu_device_name=tesla").body == []


def test_a_balance_earns_a_discount_on_prices() -> None:
    (plain,), (rich,) = (ask(NODES, f"node_id=3{more}").body for more in ("", "&balance=100000000"))
    assert rich["price_usd"] == pytest.approx(0.4 * plain["price_usd"], abs=0.001)
    months = [ask(NODES, f"node_id=3&balance={plain['price_usd'] * part + 0.01}").body[0]["price_usd"] for part in (1, 1.5, 3, 6)]
    assert months == pytest.approx([plain["price_usd"] * part for part in (1, 0.8, 0.7, 0.6)], abs=0.001)
    cheap = ask(NODES, "price_max=12.5&ret_count=1").count
    assert ask(NODES, "price_max=12.5&ret_count=1&balance=100000000").count > cheap


@pytest.mark.parametrize(
    ("pattern", "like"),
    [
        ("e%um", ["Belgium"]),
        ("_elgiu_", ["Belgium"]),
        ("%", None),
        ("B\\_lgium", []),
        ("\\%", []),
        ("\\B\\e", ["Belgium"]),
        ("BELG", ["Belgium"]),
    ],
)
def test_signs_of_sql_stand_for_others_as_they_do_there(pattern: str, like: list[str] | None) -> None:
    found = {node["country"] for node in ask(NODES, f"country_contains={pattern}&size=500").body}
    assert found == ({node["country"] for node in ask(NODES, "size=500").body} if like is None else set(like))


def test_many_of_these_signs_cost_no_more_than_few() -> None:
    begun = time.monotonic()
    ask(NODES, "farm_name_contains=" + "%_" * 3000 + "x")
    assert time.monotonic() - begun < 5


def test_farms_by_their_nodes_can_not_be_sorted_by_id_as_on_the_real_one() -> None:
    """Its database finds the name ambiguous where it counts; asked without, it sorts them so anyway."""
    for name in FARMS_BY_NODES:
        with pytest.raises(BadQueryError, match="ambiguous") as caught:
            ask(FARMS, f"{name}&sort_by=farm_id&ret_count=true")
        assert caught.value.status == 500
        found = [farm["farmId"] for farm in ask(FARMS, f"{name}&ret_count=true&size=500").body]
        assert found == sorted(found)
    assert ask(FARMS, "free_ips=1&sort_by=farm_id&ret_count=true").body


FARM_FILTERS: dict[str, Check] = {
    "free_ips=2": lambda farm: sum(ip["contract_id"] == 0 for ip in farm["publicIps"]) >= 2,
    "total_ips=4": lambda farm: len(farm["publicIps"]) >= 4,
    f"stellar_address=G{3:055d}": lambda farm: farm["farmId"] == 3,
    "farm_id=9": lambda farm: farm["farmId"] == 9,
    "twin_id=1009": lambda farm: farm["farmId"] == 9,
    "name=FARM-12": lambda farm: farm["name"] == "Farm-12",
    "name_contains=m-1": lambda farm: "m-1" in farm["name"],
    "certification_type=Gold": lambda farm: farm["certificationType"] == "Gold",
    "dedicated=true": lambda farm: farm["dedicated"],
}
# Each is what at least one node of the farm must be.
FARMS_BY_NODES: dict[str, str] = {
    f"node_free_mru={100 * GIB}": f"free_mru={100 * GIB}",
    f"node_free_hru={5000 * GIB}": f"free_hru={5000 * GIB}",
    f"node_free_sru={4000 * GIB}": f"free_sru={4000 * GIB}",
    "node_total_cru=64": "total_cru=64",
    "node_status=standby": "status=standby",
    "node_has_gpu=true": "has_gpu=true",
    "node_has_ipv6=false": "has_ipv6=false",
    "node_certified=true": "certification_type=Certified",
    "node_features=zmachine-light": "features=zmachine-light",
    "node_rented_by=120": "rented_by=120",
    "node_available_for=1": "available_for=1",
    "country=egypt": "country=egypt",
    "region=africa": "region=africa",
    "node_total_cru=64&country=egypt": "total_cru=64&country=egypt",
}


@pytest.mark.parametrize("query", FARM_FILTERS)
def test_farms_are_filtered_by(query: str) -> None:
    farms = everything(FARMS)
    expected = [farm["farmId"] for farm in farms if FARM_FILTERS[query](farm)]
    assert [farm["farmId"] for farm in ask(FARMS, f"{query}&size=1000").body] == expected
    assert 0 < len(expected) < len(farms)


@pytest.mark.parametrize("query", FARMS_BY_NODES)
def test_farms_are_filtered_by_what_one_of_their_nodes_is(query: str) -> None:
    nodes = ask(NODES, f"{FARMS_BY_NODES[query]}&size=1000").body
    expected = sorted({node["farmId"] for node in nodes})
    assert [farm["farmId"] for farm in ask(FARMS, f"{query}&size=1000").body] == expected
    assert len(expected) < 100 or "available" in query


def test_every_filter_of_farms_is_tested_above() -> None:
    tested = {item.split("=")[0] for query in (*FARM_FILTERS, *FARMS_BY_NODES) for item in query.split("&")}
    assert set(FARMS.known) - set(listing.LIMITS) == tested | {"pricing_policy_id"}
    assert len(ask(FARMS, "pricing_policy_id=1&size=1000").body) == 100
    assert ask(FARMS, "pricing_policy_id=2").body == []


CONTRACT_FILTERS: dict[str, Check] = {
    "contract_id=11": lambda item: item["contract_id"] == 11,
    "twin_id=5": lambda item: item["twin_id"] == 5,
    "node_id=21": lambda item: item["details"].get("nodeId") == 21,
    "type=rent": lambda item: item["type"] == "rent",
    "state=created,graceperiod": lambda item: item["state"] in ("Created", "GracePeriod"),
    "state=Deleted": lambda item: item["state"] == "Deleted",
    "number_of_public_ips=2": lambda item: item["details"].get("number_of_public_ips", 0) >= 2,
    "farm_id=7": lambda item: item["details"].get("farm_id") == 7,
    "farm_name=farm-7": lambda item: item["details"].get("farm_name") == "Farm-7",
}


@pytest.mark.parametrize("query", CONTRACT_FILTERS)
def test_contracts_are_filtered_by(query: str) -> None:
    source = SyntheticSource(2000)
    contracts = ask(CONTRACTS, "size=10000", source).body
    expected = [item["contract_id"] for item in contracts if CONTRACT_FILTERS[query](item)]
    assert [item["contract_id"] for item in ask(CONTRACTS, f"{query}&size=10000", source).body] == expected
    assert 0 < len(expected) < len(contracts)


def test_contracts_are_found_by_what_is_deployed() -> None:
    one = next(item for item in everything(CONTRACTS) if item["type"] == "node")
    named = next(item for item in everything(CONTRACTS) if item["type"] == "name")
    for name in ("deployment_data", "deployment_hash"):
        assert page(CONTRACTS, SOURCE, [(name, one["details"][name])]).body == [one]
    assert page(CONTRACTS, SOURCE, [("name", named["details"]["name"])]).body == [named]
    tested = {query.split("=")[0] for query in CONTRACT_FILTERS} | {"deployment_data", "deployment_hash", "name"}
    assert set(CONTRACTS.known) - set(listing.LIMITS) == tested


@pytest.mark.parametrize(("name", "key"), [("twin_id", "twinId"), ("account_id", "accountId"), ("public_key", "publicKey")])
def test_a_twin_is_found_by(name: str, key: str) -> None:
    one = everything(TWINS)[5]
    assert page(TWINS, SOURCE, [(name, str(one[key]))]).body == [one]
    assert page(TWINS, SOURCE, [(name, "404")]).body == []


def test_twins_share_a_relay() -> None:
    assert ask(TWINS, "relay=relay.example.org&ret_count=1").count == 100
    assert ask(TWINS, "relay=relay.example").body == []


def test_public_ips_are_filtered() -> None:
    ips = everything(IPS)
    for query, check in {
        "free=true": lambda ip: ip["contract_id"] == 0,
        "free=false": lambda ip: ip["contract_id"] != 0,
        "farm_ids=1,3": lambda ip: ip["farm_id"] in (1, 3),
        f"ip={ips[4]['ip']}": lambda ip: ip is ips[4],
        f"gateway={ips[4]['gateway']}": lambda ip: ip["farm_id"] == ips[4]["farm_id"],
    }.items():
        expected = [ip for ip in ips if check(ip)]
        assert ask(IPS, f"{query}&size=1000").body == expected, query
        assert 0 < len(expected) < len(ips), query


# Paging


def test_pages_tile_the_list_and_are_counted() -> None:
    pages = [ask(NODES, f"size=70&page={number}&ret_count=true") for number in range(1, 7)]
    assert [node["nodeId"] for part in pages for node in part.body] == list(range(1, 401))
    assert {tuple(part.headers.items()) for part in pages} == {(("count", "400"), ("size", "70"), ("pages", "6"))}
    assert ask(NODES, "size=70&page=7").body == []


def test_without_a_wish_there_are_fifty_rows_and_no_headers() -> None:
    found = ask(NODES)
    assert len(found.body) == 50 and found.headers == {}
    assert ask(NODES, "page=0").body == found.body
    assert len(ask(NODES, "size=&page=&status=").body) == 50, "what is empty is not there"


def test_a_page_of_no_rows_and_a_list_of_none_have_no_pages() -> None:
    assert ask(NODES, "size=0&ret_count=true").headers == {"count": "400", "size": "0", "pages": "0"}
    assert ask(NODES, "country=atlantis&ret_count=t").headers == {"count": "0", "size": "50", "pages": "0"}
    assert ask(NODES, f"page={2**64 - 1}&size={2**64 - 1}").body == []


def test_a_random_page_holds_rows_of_the_filter_in_no_order() -> None:
    found = [[node["nodeId"] for node in ask(NODES, "randomize=true&status=up&size=40").body] for _ in range(3)]
    up = {node["nodeId"] for node in everything(NODES) if node["status"] == "up"}
    assert all(set(ids) <= up and len(set(ids)) == 40 for ids in found)
    assert any(ids != sorted(ids) for ids in found)
    assert [node["nodeId"] for node in everything(NODES)] == list(range(1, 401)), "the source's own order is not touched"


def test_of_a_parameter_that_is_repeated_the_last_counts() -> None:
    assert [node["nodeId"] for node in ask(NODES, "node_id=4&node_id=7").body] == [7]


# Order


NODE_KEYS: dict[str, Callable[[Json], Any]] = {
    "node_id": lambda node: node["nodeId"],
    "farm_id": lambda node: node["farmId"],
    "uptime": lambda node: node["uptime"],
    "country": lambda node: node["country"],
    "total_cru": lambda node: node["total_resources"]["cru"],
    "total_hru": lambda node: node["total_resources"]["hru"],
    "used_mru": lambda node: node["used_resources"]["mru"],
    "free_cru": lambda node: free(node, "cru"),
    "price_usd": lambda node: node["price_usd"],
    "num_gpu": lambda node: node["num_gpu"],
    "status": lambda node: ("up", "standby", "down").index(node["status"]),
}


@pytest.mark.parametrize("field", NODE_KEYS)
def test_nodes_are_sorted_by(field: str) -> None:
    key = NODE_KEYS[field]
    for order, reverse in (("", False), ("&sort_order=asc", False), ("&sort_order=DESC", True), ("&sort_order=desc", True)):
        found = [key(node) for node in ask(NODES, f"sort_by={field}{order}&size=1000").body]
        assert found == sorted(found, reverse=reverse)
        assert len(set(found)) > 1


@pytest.mark.parametrize("kind", [NODES, FARMS, CONTRACTS, TWINS, IPS], ids=lambda kind: kind.name)
def test_every_field_sorts_and_an_unknown_one_is_refused(kind: Listing) -> None:
    for field in kind.orders:
        assert ask(kind, f"sort_by={field}&size=3").body
    with pytest.raises(BadQueryError) as caught:
        ask(kind, "sort_by=nonsense")
    assert str(caught.value) == f'"nonsense" is not a sort field for {kind.name} type'


def test_farms_are_sorted_by_their_addresses() -> None:
    def ips(farm: Json) -> tuple[int, int]:
        free_ones = sum(ip["contract_id"] == 0 for ip in farm["publicIps"])
        return free_ones, len(farm["publicIps"]) - free_ones

    for field, place in (("free_ips", 0), ("used_ips", 1)):
        found = [ips(farm)[place] for farm in ask(FARMS, f"sort_by={field}&sort_order=desc&size=1000").body]
        assert found == sorted(found, reverse=True) and found[0] > found[-1]


# Refusals


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("foo=1", 'failed to decode params: schema: invalid path "foo"'),
        ("foo=1&bar=1", 'failed to decode params: schema: invalid path "foo" (and 1 other error)'),
        ("foo=1&size=x&bar=1", 'failed to decode params: schema: invalid path "foo" (and 2 other errors)'),
        ('f"o=1', 'failed to decode params: schema: invalid path "f\\"o"'),
        ("size=x", 'failed to decode params: schema: error converting value for "size"'),
        ("free_mru=-1", 'failed to decode params: schema: error converting value for "free_mru"'),
        ("free_mru=1.5", 'failed to decode params: schema: error converting value for "free_mru"'),
        ("node_id=١", 'failed to decode params: schema: error converting value for "node_id"'),
        ("node_id=1_0", 'failed to decode params: schema: error converting value for "node_id"'),
        (f"node_id={2**64}", 'failed to decode params: schema: error converting value for "node_id"'),
        ("node_id=" + "9" * 5000, 'failed to decode params: schema: error converting value for "node_id"'),
        ("healthy=yes", 'failed to decode params: schema: error converting value for "healthy"'),
        ("farm_ids=1,x", 'failed to decode params: schema: error converting value for "farm_ids"'),
        ("price_max=nan", 'failed to decode params: schema: error converting value for "price_max"'),
        ("price_max=1e999", 'failed to decode params: schema: error converting value for "price_max"'),
        ("sort_order=up", '"up" is not a valid sort order'),
        ("features=network,wings", "wings is not a valid node feature"),
    ],
)
def test_what_is_wrong_is_refused_in_gridproxys_words(query: str, text: str) -> None:
    with pytest.raises(BadQueryError) as caught:
        ask(NODES, query)
    assert str(caught.value) == text


def test_farms_refuse_a_feature_that_there_is_not() -> None:
    with pytest.raises(BadQueryError, match="^wings is not a valid node feature$"):
        ask(FARMS, "node_features=wings")


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("t", True), ("TRUE", True), ("0", False), ("f", False), ("False", False)]
)
def test_true_and_false_have_many_forms(text: str, value: bool) -> None:
    assert decode([("x", text)], {"x": "bool"}) == {"x": value}


def test_numbers_may_begin_with_zeros() -> None:
    assert decode([("x", "000" * 20 + "7"), ("y", "1.5e3")], {"x": "uint", "y": "float"}) == {"x": 7, "y": 1500.0}


# Size


def test_a_page_of_a_hundred_thousand_nodes_is_sifted_and_counted() -> None:
    source = SyntheticSource(100_000)
    assert (len(source.nodes()), len(source.contracts())) == (100_000, 50_000)
    query = (
        f"status=up&healthy=true&free_mru={4 * GIB}&free_sru={100 * GIB}&features=network,zmachine&sort_by=total_mru&ret_count=1"
    )
    found = ask(NODES, query, source)  # How long this takes is a budget of `make bench`.
    assert len(found.body) == 50 and 10_000 < found.count < 90_000


def test_the_synthetic_grid_is_the_same_each_time() -> None:
    one, other = SyntheticSource(50), SyntheticSource(50)
    for name in ("nodes", "farms", "contracts", "twins", "public_ips"):
        assert getattr(one, name)() == getattr(other, name)()
    assert one.bills(3) == other.bills(3) and one.consumption(3) == other.consumption(3)
