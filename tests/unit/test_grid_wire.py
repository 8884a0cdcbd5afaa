"""gridproxy's JSON as dataclasses: both forms of a node, what may be missing, what must not be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.faulty import GIB, contract_row, farm_row, nested, node_row
from tfgrid_compose.grids import wire
from tfgrid_compose.grids.fields import WireError, clean
from tfgrid_compose.grids.filters import TABLE, encode
from tfgrid_compose.grids.models import Capacity

NOW = 1_800_000_000.0
ID = "0123456789abcdef"

# Nodes


def test_a_node_of_a_list_is_read_whole() -> None:
    row = node_row(
        7, updatedAt=int(NOW) - 60, certificationType="Certified", inDedicatedFarm=True, rentedByTwinId=9, num_gpu=2, extraFee=5,
        publicConfig={"domain": "gent01.grid.tf", "gw4": "", "gw6": "", "ipv4": "185.206.122.31/24", "ipv6": "2a10::1/64"},
    )  # fmt: skip
    node = wire.node(row, NOW)
    assert (node.id, node.farm_id, node.farm, node.twin) == (7, 1, "Freefarm", 107)
    assert (node.country, node.city, node.status, node.certified) == ("Belgium", "Ghent", "up", True)
    assert (node.ipv4, node.ipv6, node.domain) == ("185.206.122.31/24", "2a10::1/64", "gent01.grid.tf")
    assert (node.uptime, node.healthy, node.dedicated_farm, node.rentable, node.rented_by) == (86400, True, True, True, 9)
    assert (node.gpus, node.usd_per_month, node.extra_fee, node.updated) == (2, 12.345, 5.0, NOW - 60)
    assert node.features == {"zmachine", "network", "wireguard"} and node.free_ips == 3


def test_what_is_free_is_what_is_not_used_for_the_reserve_is_used_already() -> None:
    node = wire.node(node_row(), NOW)
    assert node.total == Capacity(16, 64 * GIB, 1000 * GIB, 0)
    assert node.used == Capacity(4, 14 * GIB, 120 * GIB, 0)
    assert node.free == Capacity(12, 50 * GIB, 880 * GIB, 0)


def test_nothing_is_free_where_more_is_used_than_there_is() -> None:
    row = node_row(used_resources={"cru": 99, "sru": 2000 * GIB, "hru": 1, "mru": 65 * GIB})
    assert wire.node(row, NOW).free == Capacity(0, 0, 0, 0)


def test_a_node_that_was_asked_for_alone_is_the_same_node() -> None:
    row = node_row(3, updatedAt=int(NOW))
    assert wire.node(nested(row), NOW) == wire.node(row, NOW)


def test_what_is_kept_of_a_node_reads_as_the_same_node() -> None:
    row = node_row(3, updatedAt=int(NOW))
    (slim,) = wire.slim_nodes([row])
    assert wire.node(slim, NOW) == wire.node(row, NOW)
    assert {"dmi", "speed", "gpus"} <= set(row) - set(slim)


def test_missing_null_and_unknown_fields_are_tolerated() -> None:
    node = wire.node({"nodeId": 5, "country": None, "publicConfig": None, "features": None, "novelty": {"a": [1]}}, NOW)
    assert (node.id, node.status, node.country, node.ipv4, node.features) == (5, "down", "", "", frozenset())
    assert node.total == node.free == Capacity(0, 0, 0, 0) and node.healthy and not node.certified
    assert wire.node({"nodeId": 5, "location": {"country": "Egypt", "city": "Cairo"}}, NOW).city == "Cairo"


@pytest.mark.parametrize(
    ("silent_s", "status", "expected"),
    [(60, "up", "up"), (79 * 60, "up", "up"), (3 * 3600, "up", "down"), (3 * 3600, "standby", "standby"), (60, "down", "down"),
     (-3600, "up", "up")],
)  # fmt: skip
def test_a_node_that_was_silent_for_hours_is_not_up(silent_s: int, status: str, expected: str) -> None:
    assert wire.node(node_row(status=status, updatedAt=int(NOW) - silent_s), NOW).status == expected


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("nodeId", "7", "`nodeId` is text instead of an id"), ("nodeId", None, "`nodeId` is missing"),
        ("nodeId", 0, "`nodeId` is a number instead of an id"), ("nodeId", True, "`nodeId` is true or false instead of an id"),
        ("uptime", "long", "`uptime` is text instead of a whole number of 64 bits"),
        ("uptime", 2**64, "`uptime` is a number instead of a whole number of 64 bits"),
        ("uptime", 1.5, "`uptime` is a number instead of a whole number of 64 bits"),
        ("healthy", "yes", "`healthy` is text instead of true or false"), ("healthy", 1, "`healthy` is a number instead of true or false"),
        ("farmName", 5, "`farmName` is a number instead of text"), ("total_resources", [], "`total_resources` is a list instead of an object"),
        ("total_resources", {"mru": "64 GB"}, "`mru` is text instead of a whole number of 64 bits"),
        ("features", "network", "`features` is text instead of a list"), ("features", [1], "`features` holds something else than words"),
        ("features", [["a"]], "`features` holds something else than words"), ("price_usd", "1", "`price_usd` is text instead of a number"),
        ("price_usd", True, "`price_usd` is true or false instead of a number"), ("price_usd", float("inf"), "`price_usd` is a number instead of a number"),
    ],
)  # fmt: skip
def test_a_field_of_another_type_is_an_error_that_names_it(field: str, value: Any, said: str) -> None:
    with pytest.raises(WireError) as caught:
        wire.node(node_row(**{field: value}), NOW)
    assert str(caught.value) == said


@pytest.mark.parametrize("row", [None, [], "x", 1])
def test_a_row_that_is_no_object_is_an_error(row: Any) -> None:
    for read in (lambda row: wire.node(row, NOW), wire.farm, wire.contract, wire.twin, wire.bill, wire.stats, wire.statistics,
                 wire.health, wire.consumption, wire.public_ip, wire.ping, wire.version):  # fmt: skip
        with pytest.raises(WireError):
            read(row)


def test_words_of_strangers_are_made_harmless() -> None:
    assert wire.node(node_row(farmName="bad\x1b[2Jfarm\n"), NOW).farm == "bad [2Jfarm "
    assert wire.node(node_row(city="Zürich 東京"), NOW).city == "Zürich 東京"
    assert len(clean("x" * 1000)) == 200


# Farms and addresses


@pytest.mark.parametrize("ip", ["185.206.122.31/24", "8.8.8.8", "172.15.0.1/24", "172.32.0.1/24", "100.63.0.1/24",
                                "100.128.0.1/24", "192.167.1.1", "198.51.100.7/24", "223.255.255.1"])  # fmt: skip
def test_addresses_of_the_internet(ip: str) -> None:
    assert wire.is_public(ip)


@pytest.mark.parametrize("ip", ["10.1.2.3/24", "192.168.1.5/24", "172.16.0.1/24", "172.31.255.1/24", "100.64.0.1", "127.0.0.1",
                                "169.254.1.1/16", "0.0.0.0", "224.0.0.1", "255.255.255.255", "", "185.206.122", "a.b.c.d",
                                "185.206.122.999", "2a10::1/64", "1.2.3.4.5", "١.2.3.4"])  # fmt: skip
def test_addresses_that_nobody_can_reach_from_the_internet(ip: str) -> None:
    assert not wire.is_public(ip)


def test_private_addresses_of_a_farm_are_not_counted() -> None:
    ips = [("185.206.122.31/24", 0), ("185.206.122.32/24", 77), ("10.0.0.5/24", 0), ("192.168.1.1/24", 0), ("100.70.0.1/24", 0)]
    farm = wire.farm(farm_row(4, ips, certificationType="Gold", dedicated=True))
    assert (farm.id, farm.name, farm.twin, farm.certification, farm.dedicated) == (4, "farm-4", 14, "Gold", True)
    assert (farm.free_ips, farm.total_ips) == (1, 2)
    free = [wire.public_ip({"id": "a", "ip": ip, "farm_id": 4, "contract_id": contract}).free for ip, contract in ips]
    assert free == [True, False, False, False, False]


def test_a_farm_without_addresses_has_none() -> None:
    assert (wire.farm({"farmId": 1, "publicIps": None}).free_ips, wire.farm({"farmId": 1}).total_ips) == (0, 0)


# Contracts


def test_a_contract_of_ours_is_told_by_its_metadata() -> None:
    data = {"version": 3, "type": "vm", "name": f"vm_{ID}", "projectName": "tfgrid-compose/my-app"}
    found = wire.contract(contract_row(52110, data))
    assert (found.id, found.node, found.kind, found.name, found.state) == (52110, 11, "vm", f"vm_{ID}", "Created")
    assert (found.app, found.deployment, found.twin, found.created) == ("my-app", ID, 7, 1_700_000_000.0)
    assert found.usd_per_hour is None and found.farm == "Freefarm"


@pytest.mark.parametrize(
    "data",
    ["", "not JSON", "\x00\xff", "[1, 2]", '"text"', "null", "{", "[" * 5000, '{"type": 5, "name": ["x"], "projectName": {}}',
     '{"version": NaN}', "9" * 5000],
)  # fmt: skip
def test_foreign_and_broken_metadata_is_a_contract_all_the_same(data: str) -> None:
    found = wire.contract(contract_row(9, data))
    assert (found.id, found.kind, found.name, found.app, found.deployment) == (9, "node", "", "", "")


@pytest.mark.parametrize("data", [5, None, {"type": "vm"}, ["x"]])
def test_metadata_that_is_no_text_is_foreign_too(data: Any) -> None:
    row = contract_row(9)
    row["details"]["deployment_data"] = data
    assert wire.contract(row).kind == "node"


def test_metadata_of_others_keeps_their_names() -> None:
    found = wire.contract(contract_row(9, {"type": "kubernetes", "name": "prod", "projectName": "kubernetes/prod"}))
    assert (found.kind, found.name, found.app, found.deployment) == ("kubernetes", "prod", "", "")
    long = {"type": "vm", "name": f"vm_{ID}", "projectName": "tfgrid-compose/my-app", "more": "x" * 400}
    assert wire.contract(contract_row(9, long)).deployment == ID


def test_name_and_rent_contracts() -> None:
    name = wire.contract(contract_row(1, type="name", details={"name": f"web_{ID}"}))
    assert (name.kind, name.name, name.node, name.deployment) == ("name", f"web_{ID}", None, ID)
    rent = wire.contract(contract_row(2, type="rent", details={"nodeId": 5, "farm_name": "F", "farm_id": 1}, state="GracePeriod"))
    assert (rent.kind, rent.name, rent.node, rent.farm, rent.state) == ("rent", "", 5, "F", "GracePeriod")
    assert wire.contract(contract_row(3, type="new", details=None)).kind == "new"
    assert wire.contract({"contract_id": 4}).kind == "unknown"


@pytest.mark.parametrize("change", [{"contract_id": None}, {"contract_id": "1"}, {"state": 3}, {"twin_id": "7"}, {"details": "x"},
                                    {"created_at": "today"}])  # fmt: skip
def test_a_contract_of_wrong_types_is_an_error(change: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        wire.contract(contract_row(**change) if "contract_id" not in change else {**contract_row(), **change})


# The rest


def test_bills_are_in_tft() -> None:
    found = wire.bill({"amountBilled": 25_000_000, "discountReceived": "gold", "timestamp": 1_700_000_000})
    assert (found.tft, found.discount, found.at) == (2.5, "gold", 1_700_000_000.0)
    with pytest.raises(WireError, match="amount"):
        wire.bill({"discountReceived": "gold", "timestamp": 1})
    for odd in (10**400, -(2**64), 1.5, "1", True):
        with pytest.raises(WireError, match="amountBilled"):
            wire.bill({"amountBilled": odd, "timestamp": 1})


def test_a_missing_consumption_is_not_nothing() -> None:
    assert wire.consumption({"last_hour_consumption": 0, "overall_consumption": 1.5}).overall == 1.5
    with pytest.raises(WireError, match="last_hour_consumption"):
        wire.consumption({"overall_consumption": 1.5})


def test_stats_statistics_cards_health() -> None:
    stats = wire.stats({"nodes": 5, "totalMru": GIB, "workloads_number": 8, "nodesDistribution": {"Belgium": 3, "Egypt": 2}})
    assert (stats.nodes, stats.total.mru, stats.workloads, stats.countries) == (5, GIB, 8, {"Belgium": 3, "Egypt": 2})
    with pytest.raises(WireError):
        wire.stats({"nodesDistribution": {"Belgium": "3"}})
    said = wire.statistics({"total": {"mru": 9}, "used": {"mru": 4, "ipv4u": 2}, "users": {"deployments": 3, "workloads": 7}})
    assert (said.total.mru, said.used.mru, said.used_ipv4, said.deployments, said.workloads) == (9, 4, 2, 3, 7)
    (card,) = wire.gpus([{"id": "0000:0e", "vendor": "NVIDIA", "device": "A100", "contract": 0, "node_twin_id": 4}])
    assert (card.id, card.vendor, card.device, card.contract) == ("0000:0e", "NVIDIA", "A100", 0)
    with pytest.raises(WireError):
        wire.gpus({})
    health = wire.health({"total_state_ok": True, "db_conn": "ok", "indexers": {"gpu": 1}})
    assert health.ok and health.parts == {"db_conn": "ok"}
    assert wire.twin({"twinId": 3, "accountId": "5abc", "relay": None}).account == "5abc"
    assert (wire.ping({"ping": "pong"}), wire.version({"version": "v0.15"})) == ("pong", "v0.15")
    for wrong in (lambda: wire.ping({"ping": "x"}), lambda: wire.version({})):
        with pytest.raises(WireError):
            wrong()


# What can be asked


def test_filters_are_written_as_gridproxy_reads_them() -> None:
    asked = encode(
        "/nodes",
        {"status": ["up", "standby"], "farm_ids": {10, 9}, "healthy": True, "dedicated": False, "free_mru": 4 * GIB,
         "price_max": 0.00001, "country": "New Zealand", "excluded": [], "city": "", "region": None, "node_ids": 5, "price_min": 10.0},
    )  # fmt: skip
    assert asked == {
        "status": "up,standby", "farm_ids": "10,9", "healthy": "true", "dedicated": "false", "free_mru": str(4 * GIB),
        "price_max": "0.00001", "country": "New Zealand", "node_ids": "5", "price_min": "10",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "values"),
    [("/nodes", {"colour": "red"}), ("/farms", {"free_mru": 1}), ("/contracts", {"status": "up"}), ("/nodes", {"ipv4": 1}),
     ("/nodes", {"ipv4": "true"}), ("/nodes", {"free_mru": "1"}), ("/nodes", {"free_mru": True}), ("/nodes", {"free_mru": 1.5}),
     ("/nodes", {"status": ["up,down"]}), ("/nodes", {"farm_ids": [True]}), ("/nodes", {"farm_ids": [1.5]}), ("/nodes", {"country": 5}),
     ("/nodes", {"price_max": "9"}), ("/twins", {"ipv4": True})],
)  # fmt: skip
def test_a_wrong_filter_is_a_mistake_of_ours(path: str, values: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        encode(path, values)


@pytest.mark.parametrize("path", sorted(TABLE))
def test_every_filter_of_the_swagger_file_is_in_the_table(path: str) -> None:
    """The file with its corrections, which the local grid's API is held to as well."""
    swagger = json.loads((Path(__file__).parents[1] / "contracts" / "gridproxy-swagger.json").read_text())
    names = {item["name"] for item in swagger["paths"][path]["get"]["parameters"] if item["in"] == "query"}
    assert names - {"page", "size", "ret_count", "randomize", "sort_by", "sort_order"} == set(TABLE[path])
