"""What is asked for: nodes, farms, twins, addresses and money; and questions from code that is not async."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.faulty import (
    Fault,
    Gridproxy,
    altered,
    contract_row,
    counting,
    cut_off,
    dropped,
    farm_row,
    fine,
    half,
    nested,
    node_row,
    page,
    raw,
    serving,
    status,
)
from tests.unit.grid_client.asking import DAY, NOW, Waits, client_of, grid, ids, refusal
from tfgrid_compose.errors import GridError, NotFoundError
from tfgrid_compose.grids.client import Client, ask
from tfgrid_compose.grids.networks import Network

# Nodes


async def test_one_node_and_one_that_is_not_there(waits: Waits) -> None:
    server = grid(1)
    server.singles = {"/nodes/9": nested(node_row(9, farm_free_ips=0)), "/nodes/8": nested(node_row(7))}
    async with serving(server), client_of(waits, server.url) as client:
        assert (await client.node(9)).value.total.cru == 16
        error = await refusal(client.node(77), "node-not-found")
        assert isinstance(error, NotFoundError) and error.what == "there is no node 77 on network main"
        assert "8 was asked for, 7 came" in (await refusal(client.node(8), "gridproxy-answer")).why


async def test_a_page_that_is_not_found_is_no_node_that_is_not_there(waits: Waits) -> None:
    async with serving(grid(1)) as server, client_of(waits, server.url) as client:
        for fault in (page(code=404), status(404), raw(b'{"message": "no"}'), status(404, "page missing")):
            server.faults = [fault] * 3
            with pytest.raises(GridError):
                await client.node(77)
            with pytest.raises(GridError):
                server.faults = [fault] * 3
                await client.contract(77)


async def test_a_node_is_found_in_a_list_that_is_kept(waits: Waits) -> None:
    async with serving(grid(5)) as server, client_of(waits, server.url) as client:
        await client.nodes()
        waits.time += DAY
        server.always = status(503)
        found = await client.node(3)
        assert (found.value.id, found.stale, found.at, found.count) == (3, True, NOW, None)
        assert (await client.node(3, offline=True)).value.id == 3
        await refusal(client.node(99), "gridproxy-failing")


async def test_a_stale_node_is_down_by_the_clock_of_the_grid(waits: Waits) -> None:
    """A computer whose clock is a day off does not take all nodes for dead."""
    rows = [node_row(1, farm_free_ips=0, updatedAt=int(NOW - 3 * DAY)), node_row(2, farm_free_ips=0, updatedAt=int(NOW - DAY))]
    there = {"date": "Thu, 14 Jan 2027 08:00:00 GMT"}  # NOW - 1 day
    server = Gridproxy({"/nodes": rows})
    async with serving(server), client_of(waits, server.url) as client:
        server.always = lambda reply: reply.__class__(**{**vars(reply), "headers": {**reply.headers, **there}})
        assert [node.status for node in (await client.nodes()).value] == ["down", "up"]
        assert [node.status for node in (await client.nodes()).value] == ["down", "up"], "from the disk too"
        server.always = fine
        assert [node.status for node in (await client.nodes(refresh=True)).value] == ["down", "down"]


async def test_private_addresses_of_farms_are_no_free_ones(waits: Waits) -> None:
    rows = [
        node_row(1, farmId=1, farm_free_ips=2),
        node_row(2, farmId=2, farm_free_ips=2),
        node_row(3, farmId=3, farm_free_ips=0),
    ]
    farms = [farm_row(1, [("10.0.0.1/24", 0), ("185.1.2.3/24", 0)]), farm_row(2, [("192.168.0.1/24", 0), ("192.168.0.2/24", 0)])]
    server = Gridproxy({"/nodes": rows, "/farms": farms}, {"/nodes/2": nested(rows[1])})
    async with serving(server), client_of(waits, server.url) as client:
        assert [node.free_ips for node in (await client.nodes()).value] == [1, 0, 0]
        assert (await client.node(2)).value.free_ips == 0
        assert ("/farms", "1") in [(path, params.get("free_ips")) for path, params in server.asked]
        assert [(node.id, node.free_ips) for node in (await client.nodes(free_ips=1)).value] == [(1, 1)], "no row with 0"
        assert [(farm.id, farm.free_ips) for farm in (await client.farms(free_ips=1)).value] == [(1, 1)]


@pytest.mark.parametrize("moment", [2**63, 253402300800, -1, -(2**62), 10**15])
async def test_a_time_that_no_calendar_has_is_unknown(waits: Waits, moment: int) -> None:
    """One row that is odd must not hide all others, nor end the command."""
    from tfgrid_compose.cli.contract_text import _when

    row = {"contract_id": 7, "twin_id": 1, "state": "Created", "created_at": moment, "type": "node", "details": {}}
    bills = [{"amountBilled": 1, "discountReceived": "", "timestamp": moment}]
    server = Gridproxy(
        {"/nodes": [node_row(1, farm_free_ips=0, updatedAt=moment)], "/contracts": [row], "/contracts/7/bills": bills}
    )
    async with serving(server), client_of(waits, server.url) as client:
        assert (await client.nodes()).value[0].updated == 0
        assert (await client.contracts(twin=1)).value[0].created == 0
        assert (await client.bills(7)).value[0].at == 0
    assert _when(float(moment)) and _when(0) == "?"


async def test_addresses_that_can_not_be_checked_are_no_answer(waits: Waits) -> None:
    rows = [node_row(1, farmId=1, farm_free_ips=2), node_row(2, farmId=2, farm_free_ips=2)]
    server = Gridproxy({"/nodes": rows})
    async with serving(server), client_of(waits, server.url) as client:
        await refusal(client.nodes(), "gridproxy-refused")
        assert [node.free_ips for node in (await client.nodes(offline=True)).value] == [2, 2]


async def test_what_a_node_says_itself(waits: Waits) -> None:
    server = grid(1)
    server.singles = {"/nodes/1/statistics": {"total": {"mru": 9}}, "/nodes/1/gpu": [{"id": "a", "contract": 5}]}
    async with serving(server), client_of(waits, server.url) as client:
        assert (await client.statistics(1)).value.total.mru == 9
        assert [card.contract for card in (await client.gpus(1)).value] == [5]
        server.faults = [status(500, "cannot fetch statistics from node 1 with status: down")]
        error = await refusal(client.statistics(1), "gridproxy-failing")
    assert "with status: down" in error.why and waits.pauses == []


# Farms, twins, addresses, sums


async def test_farms_and_one_farm(waits: Waits) -> None:
    async with serving(grid(1)) as server, client_of(waits, server.url) as client:
        assert ids(await client.farms(name_contains="farm")) == [1, 2]
        answer = await client.farm(2)
        assert (answer.value.id, answer.count) == (2, None)
        await refusal(client.farm(77), "farm-not-found")
        server.faults = [altered(lambda _: [farm_row(5)])]
        await refusal(client.farm(1), "gridproxy-answer")
        server.lists["/farms"].append(farm_row(3, farmId=1))
        server.faults = [altered(lambda rows: [farm_row(1), farm_row(2)])]
        assert "2 rows came" in (await refusal(client.farm(1), "gridproxy-answer")).why
        server.lists["/farms"].pop()
        await client.farms()
        waits.time += DAY
        server.always = status(503)
        assert (await client.farm(1)).stale


async def test_the_rest_of_the_directory(waits: Waits) -> None:
    server = Gridproxy(
        {"/public_ips": [{"id": "a", "ip": "185.1.2.3/24", "gateway": "185.1.2.1", "contract_id": 0, "farm_id": 4}]},
        {"/stats": {"nodes": 3}, "/ping": {"ping": "pong"}, "/version": {"version": "v1"}, "/health": {"total_state_ok": True}},
    )
    async with serving(server), client_of(waits, server.url) as client:
        (ip,) = (await client.public_ips(free=True, farm_ids=[4])).value
        assert (ip.ip, ip.farm, ip.free) == ("185.1.2.3/24", 4, True)
        assert ((await client.stats()).value.nodes, (await client.stats()).value.nodes) == (3, 3)
        assert [(await client.ping()).value, (await client.version()).value, (await client.health()).value.ok] == [
            "pong",
            "v1",
            True,
        ]
    assert [params for path, params in server.asked if path == "/stats"] == [{"status": "up"}]


# Money


def books() -> Gridproxy:
    server = grid(1)
    server.lists["/contracts"] = [contract_row(id, {"type": "vm", "name": f"vm{id}"}) for id in range(1, 1203)]
    server.lists["/contracts/5/bills"] = [{"amountBilled": 10**7, "discountReceived": "none", "timestamp": 1}] * 60
    server.singles = {
        "/contracts/5": contract_row(5, state="Deleted"),
        "/twins/7/consumption": {"last_hour_consumption": 0.5, "overall_consumption": 9},
    }
    return server


async def test_contracts_bills_and_consumption(waits: Waits) -> None:
    async with serving(books()) as server, client_of(waits, server.url) as client:
        contracts = await client.contracts(twin=7, node_id=11)
        assert ids(contracts) == list(range(1, 1203)) and contracts.value[0].usd_per_hour is None
        assert server.asked[0][1] == {
            "twin_id": "7", "state": "Created,GracePeriod", "node_id": "11", "sort_by": "contract_id", "ret_count": "true",
            "page": "1", "size": "1000",
        }  # fmt: skip
        assert (await client.contract(5)).value.state == "Deleted"
        assert sum(bill.tft for bill in (await client.bills(5)).value) == 60
        assert (await client.consumption(7)).value.last_hour == 0.5


async def test_money_is_never_kept(waits: Waits, home: Path) -> None:
    async with serving(books()) as server, client_of(waits, server.url) as client:
        questions: list[Callable[[], Awaitable[Any]]] = [
            lambda: client.contracts(twin=7), lambda: client.contract(5), lambda: client.bills(5), lambda: client.consumption(7),
        ]  # fmt: skip
        for question in questions:
            await question()
            asked = len(server.asked)
            await question()
            assert len(server.asked) > asked
        assert not list((home / "cache").rglob("*.json"))
        for fault in (status(500), page(), half, dropped, cut_off, status(429)):
            server.always = fault
            for question in questions:
                with pytest.raises(GridError) as caught:
                    await question()
                assert "kept" not in caught.value.why


@pytest.mark.parametrize(
    "fault",
    [altered(lambda _: []), counting("0"), counting(None), raw(b"null", count="0"), raw(b"", count="0"), raw(b"{}", count="0"),
     raw(b"[]"), raw(b'{"error": "db"}', count="0"), status(404), page(code=404), status(204), status(404, "contract not found")],
)  # fmt: skip
async def test_a_call_that_fails_never_looks_like_no_contracts(waits: Waits, fault: Fault) -> None:
    async with serving(books()) as server, client_of(waits, server.url) as client:
        server.always = fault
        with pytest.raises(GridError):
            await client.contracts(twin=7)


async def test_no_contracts_are_no_contracts(waits: Waits) -> None:
    server = grid(1)
    server.lists["/contracts"] = []
    async with serving(server), client_of(waits, server.url) as client:
        assert (await client.contracts(twin=7)).value == []


@pytest.mark.parametrize("odd", [contract_row(1, twin_id=8), contract_row(1, state="Deleted"), contract_row(1, state="")])
async def test_contracts_of_others_are_no_answer(waits: Waits, odd: dict[str, Any]) -> None:
    server = books()
    server.lists["/contracts"] = [contract_row(1), contract_row(2)]
    async with serving(server), client_of(waits, server.url) as client:
        server.always = altered(lambda rows: [odd, *rows[1:]])
        error = await refusal(client.contracts(twin=7), "gridproxy-answer")
    assert "contract 1 of twin" in error.why and "was not asked for" in error.why


async def test_contracts_in_every_state(waits: Waits) -> None:
    server = books()
    server.lists["/contracts"] = [contract_row(1, state="Deleted"), contract_row(2, "foreign {")]
    async with serving(server), client_of(waits, server.url) as client:
        assert [item.state for item in (await client.contracts(twin=7, states=())).value] == ["Deleted", "Created"]
    assert "state" not in server.asked[0][1]


@pytest.mark.parametrize(
    "wrong", [{"twin": 0}, {"twin": -1}, {"twin": 7, "page": 2}, {"twin": 7, "size": 5}, {"twin": 7, "colour": "red"}]
)
async def test_contracts_without_a_twin_or_by_page_are_a_mistake(waits: Waits, wrong: dict[str, Any]) -> None:
    async with serving(books()) as server, client_of(waits, server.url) as client:
        with pytest.raises(TypeError):
            await client.contracts(**wrong)
    assert server.asked == []


@pytest.mark.parametrize("code", [404, 500])
async def test_a_contract_that_is_not_there(waits: Waits, code: int) -> None:
    """gridproxy answers 500 for a contract, where it answers 404 for a node."""
    async with serving(books()) as server, client_of(waits, server.url) as client:
        server.always = status(code, "contract not found")
        error = await refusal(client.contract(99), "contract-not-found")
    assert isinstance(error, NotFoundError) and waits.pauses == []


# From code that is not async


def _in_process(rows: int = 1) -> Client:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=json.dumps([node_row(1, farm_free_ips=0)] * rows), headers={"count": str(rows)})

    return Client(Network("local"), transport=httpx.MockTransport(answer))


def test_ask_runs_one_question_after_the_other() -> None:
    client = _in_process()
    assert ids(ask(lambda client: client.nodes(), client)) == [1] == ids(ask(lambda client: client.nodes(status="up"), client))


async def test_ask_works_where_a_loop_runs_already() -> None:
    assert ids(ask(lambda client: client.nodes(), _in_process())) == [1]


def test_ask_hands_errors_on() -> None:
    with pytest.raises(TypeError, match="colour"):
        ask(lambda client: client.nodes(colour="red"), _in_process())
    with pytest.raises(GridError):
        ask(lambda client: client.nodes(), Client(Network("main")))


def test_help_does_not_pay_for_the_client() -> None:
    import subprocess
    import sys

    code = "import sys, tfgrid_compose.grids.client; print('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
