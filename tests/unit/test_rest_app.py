"""The REST API as a whole: paths, status codes, headers, and rows in gridproxy's very names and units."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.rows import NOW, SyntheticSource
from tfgrid_compose.errors import GridError
from tfgrid_compose.grids.models import GIB
from tfgrid_compose.localgrid.rest.app import create_app
from tfgrid_compose.localgrid.rest.rows import NodeRow

DOCUMENT = json.loads((Path(__file__).parents[1] / "contracts" / "gridproxy-swagger.json").read_text())
SOURCE = SyntheticSource(100)


@pytest.fixture
async def rest() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=create_app(SOURCE)), base_url="http://rest") as client:
        yield client


def row(id: int) -> NodeRow:
    return SOURCE.nodes()[id - 1]


async def test_every_path_of_the_contract_is_there_and_no_other(rest: httpx.AsyncClient) -> None:
    paths = {path.replace("node_id", "id").replace("contract_id", "id").replace("twin_id", "id") for path in DOCUMENT["paths"]}
    index = (await rest.get("/")).json()
    assert set(re.findall(r"\[(.*?)\]", index)) == paths | {"/ips"}


@pytest.mark.parametrize("path", ["/nodes?size=2", "/nodes/1", "/nodes/9999", "/nodes?x=1", "/nope", "/"])
async def test_every_answer_is_json_that_no_page_of_another_site_may_read(rest: httpx.AsyncClient, path: str) -> None:
    answer = await rest.get(path)
    assert answer.headers["content-type"] == "application/json"
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_it_only_reads(rest: httpx.AsyncClient, method: str) -> None:
    answer = await rest.request(method, "/nodes")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    if method != "HEAD":
        assert answer.json() == {"error": "method not allowed"}


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/nodes/101", 404, "node not found"),
        ("/nodes/0", 404, "node not found"),
        ("/nodes/" + "9" * 5000, 404, "node not found"),
        ("/nodes/101/status", 404, "node not found"),
        ("/nodes/101/statistics", 404, "node not found"),
        ("/nodes/101/gpu", 404, "node not found"),
        ("/gateways/101", 404, "node not found"),
        ("/gateways/2", 404, "gateway not found"),
        ("/contracts/51", 500, "contract not found"),
        ("/nodes/x", 404, "not found"),
        ("/nodes/-1", 404, "not found"),
        ("/nodes/١", 404, "not found"),
        ("/nodes/", 404, "not found"),
        ("/api/v2/nodes", 404, "not found"),
        ("/contracts/1/bills?page=-1", 400, 'failed to decode params: schema: error converting value for "page"'),
        ("/stats?size=1", 400, 'failed to decode params: schema: invalid path "size"'),
    ],
)
async def test_what_is_not_there_says_so(rest: httpx.AsyncClient, path: str, status: int, text: str) -> None:
    answer = await rest.get(path)
    assert (answer.status_code, answer.json()) == (status, {"error": text})


@pytest.mark.parametrize("status", ["down", "standby"])
async def test_a_node_that_does_not_answer_has_no_statistics(rest: httpx.AsyncClient, status: str) -> None:
    id = next(node.id for node in SOURCE.nodes() if node.status == status)
    for path, what in (("statistics", "statistics"), ("gpu", "GPU information")):
        answer = await rest.get(f"/nodes/{id}/{path}")
        text = f"cannot fetch {what} from node {id} with status: {status}"
        assert (answer.status_code, answer.json()) == (500, {"error": text})
    assert (await rest.get(f"/nodes/{id}/status")).json() == {"status": status}


async def test_a_node_of_a_list_is_flat_and_one_alone_is_nested(rest: httpx.AsyncClient) -> None:
    (flat,) = (await rest.get("/nodes?node_id=17")).json()
    nested = (await rest.get("/nodes/17")).json()
    capacity = {name: flat.pop(name) for name in ("total_resources", "used_resources")}
    assert nested.pop("capacity") == capacity
    gateway = (await rest.get("/gateways/17")).json()
    assert gateway.pop("capacity") == capacity
    assert flat == nested == gateway
    assert set(flat["publicConfig"]) == {"domain", "gw4", "gw6", "ipv4", "ipv6"}
    assert (flat["publicConfig"]["domain"], flat["publicConfig"]["ipv4"]) == ("gent17.example.org", "192.0.0.17/24")


async def test_capacities_are_bytes_and_used_holds_the_reserve(rest: httpx.AsyncClient) -> None:
    for node in (await rest.get("/nodes?size=100")).json():
        known = row(node["nodeId"])
        assert node["total_resources"] == {
            "cru": known.total.cru,
            "mru": known.total.mru,
            "sru": known.total.sru,
            "hru": known.total.hru,
        }
        used = node["used_resources"]
        assert used["mru"] == known.held.mru + max(known.total.mru // 10, 2 * GIB)
        assert used["sru"] == known.held.sru + 20 * GIB
        assert (used["cru"], used["hru"]) == (known.held.cru, known.held.hru)


async def test_a_gateways_list_holds_all_nodes_unless_a_domain_is_asked_for(rest: httpx.AsyncClient) -> None:
    assert (await rest.get("/gateways?ret_count=true")).headers["count"] == "100"
    found = (await rest.get("/gateways?domain=true")).json()
    assert found and all(node["publicConfig"]["domain"] for node in found)


async def test_details_of_a_contract_depend_on_its_type(rest: httpx.AsyncClient) -> None:
    contracts = (await rest.get("/contracts?size=50")).json()
    keys = {item["type"]: set(item["details"]) for item in contracts}
    place = {"nodeId", "farm_name", "farm_id"}
    assert keys["name"] == {"name"}
    assert keys["rent"] == place
    assert keys["node"] == place | {"deployment_data", "deployment_hash", "number_of_public_ips"}
    one = next(item for item in contracts if item["type"] == "node")
    assert json.loads(one["details"]["deployment_data"])["version"] == 3
    assert (await rest.get(f"/contracts/{one['contract_id']}")).json() == one


async def test_bills_are_listed_newest_first(rest: httpx.AsyncClient) -> None:
    answer = await rest.get("/contracts/1/bills?size=5&ret_count=true")
    bills = answer.json()
    assert set(bills[0]) == {"amountBilled", "discountReceived", "timestamp"}
    assert [bill["timestamp"] for bill in bills] == sorted((bill["timestamp"] for bill in bills), reverse=True)
    assert int(answer.headers["count"]) == len(SOURCE.bills(1)) > 5
    assert (await rest.get("/contracts/51/bills")).json() == []


async def test_an_address_of_a_farm_names_the_farm_only_in_the_list_of_addresses(rest: httpx.AsyncClient) -> None:
    farm = next(item for item in (await rest.get("/farms?size=100")).json() if item["publicIps"])
    listed = (await rest.get(f"/public_ips?farm_ids={farm['farmId']}")).json()
    assert set(farm["publicIps"][0]) == {"id", "ip", "gateway", "contract_id"}
    assert [{key: value for key, value in ip.items() if key != "farm_id"} for ip in listed] == farm["publicIps"]
    assert (await rest.get(f"/ips?farm_ids={farm['farmId']}")).json() == listed


async def test_stats_count_nodes_of_a_status_and_all_else(rest: httpx.AsyncClient) -> None:
    every, up = [(await rest.get(f"/stats{query}")).json() for query in ("", "?status=up")]
    nodes = [node for node in SOURCE.nodes() if node.status == "up"]
    assert (every["nodes"], up["nodes"]) == (100, len(nodes))
    assert sum(up["nodesDistribution"].values()) == up["nodes"] and len(up["nodesDistribution"]) == up["countries"]
    assert up["totalMru"] == sum(node.total.mru for node in nodes) and up["totalCru"] == sum(node.total.cru for node in nodes)
    assert (up["farms"], up["contracts"], up["publicIps"]) == (25, 50, len(SOURCE.public_ips()))
    assert up["gateways"] <= up["accessNodes"] < up["nodes"]


async def test_statistics_come_from_the_contracts_of_the_node(rest: httpx.AsyncClient) -> None:
    def on(node: NodeRow) -> list[Any]:
        return [item for item in SOURCE.contracts() if item.node == node.id and item.kind == "node" and item.state != "Deleted"]

    node = next(node for node in SOURCE.nodes() if node.status == "up" and any(item.public_ips for item in on(node)))
    found = (await rest.get(f"/nodes/{node.id}/statistics")).json()
    assert found["users"]["deployments"] == len(on(node))
    assert found["users"]["last_deployment_timestamp"] == max(item.created for item in on(node))
    assert found["used"]["ipv4u"] == sum(item.public_ips for item in on(node))
    assert found["total"]["mru"] == node.total.mru
    assert found["system"]["sru"] == 20 * GIB


async def test_a_card_names_its_node(rest: httpx.AsyncClient) -> None:
    node = next(node for node in SOURCE.nodes() if node.gpus and node.status == "up")
    (card,) = (await rest.get(f"/nodes/{node.id}/gpu")).json()
    assert card["id"].endswith("/1002/744c") and card["node_twin_id"] == node.twin
    assert (await rest.get(f"/nodes/{node.id}")).json()["gpus"] == [card]
    assert (await rest.get("/nodes/1/gpu")).json() == []


async def test_small_questions(rest: httpx.AsyncClient) -> None:
    assert (await rest.get("/ping")).json() == {"ping": "pong"}
    assert (await rest.get("/version")).json()["version"].startswith("tfgrid-compose ")
    health = (await rest.get("/health")).json()
    assert health["total_state_ok"] is True and health["indexers"]["features"] == {"updated_at": int(NOW)}
    assert set((await rest.get("/twins/5/consumption")).json()) == {"last_hour_consumption", "overall_consumption"}
    assert (await rest.get("/twins/987654/consumption")).json() == {"last_hour_consumption": 0, "overall_consumption": 0}
    assert (await rest.get("/nodes/1?whatever=1")).status_code == 200, "one thing takes no parameters, and reads none"


class Broken(SyntheticSource):
    """A source that fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__(1)
        self.error = error

    def nodes(self) -> list[NodeRow]:
        raise self.error


async def test_in_process_an_error_of_the_source_reaches_the_caller() -> None:
    transport = httpx.ASGITransport(app=create_app(Broken(GridError("the ledger is damaged", code="localgrid-ledger"))))
    async with httpx.AsyncClient(transport=transport, base_url="http://rest") as client:
        with pytest.raises(GridError, match="the ledger is damaged"):
            await client.get("/nodes")


@pytest.mark.parametrize(
    ("error", "text"),
    [(GridError("the ledger is damaged"), "the ledger is damaged"), (ZeroDivisionError("secret"), "internal server error")],
)
async def test_served_an_error_of_the_source_is_an_answer_without_a_traceback(error: Exception, text: str) -> None:
    transport = httpx.ASGITransport(app=create_app(Broken(error)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://rest") as client:
        answer = await client.get("/nodes")
    assert (answer.status_code, answer.json()) == (500, {"error": text})
