"""Answers that are kept: how long they are fresh, when an old one stands in, and what becomes of their files."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx
import pytest

from tests.fakes.faulty import Fault, altered, dropped, half, node_row, page, redirect, serving, status
from tests.unit.grid_client.asking import DAY, NOW, Waits, client_of, grid, ids, patience, refusal
from tfgrid_compose.grids.client import Client
from tfgrid_compose.grids.networks import Network


async def test_a_fresh_answer_is_not_asked_for_again(waits: Waits) -> None:
    async with serving(grid(5)) as server, client_of(waits, server.url) as client:
        first = await client.nodes(status="up")
        waits.time += 200
        again = await client.nodes(status=["up"])
        assert again == first and again.at == NOW and len(server.asked) == 1
        assert (await client.nodes(status="up", refresh=True)).at == NOW + 200 and len(server.asked) == 2
        await client.nodes(status="down")
        assert len(server.asked) == 3, "another question"
        waits.time += 400
        assert (await client.nodes(status="up")).at == NOW + 600 and len(server.asked) == 4


async def test_a_client_can_refresh_always(waits: Waits) -> None:
    async with serving(grid(5)) as server, client_of(waits, server.url, refresh=True) as client:
        await client.nodes()
        await client.nodes()
    assert len(server.asked) == 2


async def test_an_answer_from_the_future_is_not_fresh(waits: Waits) -> None:
    async with serving(grid(5)) as server, client_of(waits, server.url) as client:
        await client.nodes()
        waits.time -= DAY
        await client.nodes()
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "fault", [status(500), status(429), page(), half, dropped, altered(lambda _: []), redirect("https://x.example")]
)
async def test_an_old_answer_stands_in_with_its_age(waits: Waits, fault: Fault) -> None:
    async with serving(grid(5)) as server, client_of(waits, server.url) as client:
        await client.nodes()
        await client.stats() if "/stats" in server.singles else None
        waits.time += DAY
        server.always = fault
        old = await client.nodes()
        assert (ids(old), old.at, old.stale, old.count) == ([1, 2, 3, 4, 5], NOW, True, 5)
        assert (await client.nodes(refresh=True)).stale


async def test_a_wrong_question_has_no_old_answer(waits: Waits) -> None:
    async with serving(grid(5)) as server, client_of(waits, server.url) as client:
        await client.nodes()
        server.always = status(400, "bad")
        await refusal(client.nodes(refresh=True), "gridproxy-refused")


async def test_offline_nobody_is_asked(waits: Waits) -> None:
    async with serving(grid(5)) as server, client_of(waits, server.url) as client:
        error = await refusal(client.nodes(offline=True), "gridproxy-offline")
        assert error.what == "/nodes of network main is not known offline"
        await client.nodes()
        waits.time += DAY
        old = await client.nodes(offline=True, refresh=True)
        assert old.stale and old.at == NOW and len(server.asked) == 1
    async with client_of(waits, server.url, offline=True) as client:
        assert (await client.nodes()).at == NOW
        await refusal(client.farms(), "gridproxy-offline")
        for question in (client.contracts(twin=7), client.contract(1), client.bills(1), client.consumption(7), client.ping(),
                         client.statistics(1)):  # fmt: skip
            await refusal(question, "gridproxy-offline")
    assert len(server.asked) == 1


async def test_a_damaged_file_is_no_answer(waits: Waits, home: Path) -> None:
    async with serving(grid(5)) as server, client_of(waits, server.url) as client:
        await client.nodes()
        (file,) = (home / "cache").rglob("nodes-*.json")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        whole = file.read_bytes()
        for damage in (b"", b"\xff", whole[:100], b"[]", b'{"at": 1}', b"[" * 100_000, whole.replace(b'"nodeId":1,', b'"nodeId":"1",'),
                       whole.replace(b'"body":[', b'"body":[7,'), b'{"at":1e999,"body":null,"count":null,"now":1}'):  # fmt: skip
            file.write_bytes(damage)
            assert not (await client.nodes()).stale, damage[:50]
            assert file.read_bytes() == whole, "and the next answer mends it"
    assert len(server.asked) == 10


async def test_a_folder_that_can_not_be_written_keeps_nothing(waits: Waits, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with serving(grid(5)) as server, client_of(waits, server.url, cache=tmp_path / "file" / "x") as client:
        assert ids(await client.nodes()) == [1, 2, 3, 4, 5] == ids(await client.nodes())
    assert len(server.asked) == 2


async def test_old_files_make_room(waits: Waits, tmp_path: Path) -> None:
    async with serving(grid(1)) as server, client_of(waits, server.url, cache=tmp_path / "kept") as client:
        for number in range(80):
            await client.nodes(free_mru=number)
    assert len(list((tmp_path / "kept").iterdir())) == 64


async def test_other_urls_are_another_grid(waits: Waits, tmp_path: Path) -> None:
    async with serving(grid(1)) as one, serving(grid(2)) as two:
        for server, expected in ((one, [1]), (two, [1, 2])):
            async with client_of(waits, server.url, cache=tmp_path) as client:
                assert ids(await client.nodes()) == expected


async def test_a_grid_in_this_process_keeps_nothing(home: Path, waits: Waits) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[node_row(1, farm_free_ips=0)], headers={"count": "1"})

    async with Client(Network("local"), transport=httpx.MockTransport(answer), patience=patience(waits)) as client:
        assert ids(await client.nodes()) == [1]
    assert not list((home / "cache").rglob("*.json"))


async def test_an_error_of_a_grid_in_this_process_names_no_url(waits: Waits) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(500, json={"error": "ledger"}))
    async with Client(Network("local"), transport=transport, patience=patience(waits)) as client:
        error = await refusal(client.nodes(), "gridproxy-failing")
    assert error.why.startswith("/nodes: status 500: ledger") and "http:" not in str(error.to_dict())


async def test_nothing_is_not_kept(waits: Waits) -> None:
    """Somebody who has just made a twin asks again at once."""
    server = grid(1)
    server.lists["/twins"] = []
    async with serving(server), client_of(waits, server.url) as client:
        assert (await client.twin_of("5abc")).value is None
        server.lists["/twins"] = [{"twinId": 9, "accountId": "5other"}, {"twinId": 8, "accountId": "5abc", "relay": "r"}]
        found = await client.twin_of("5abc")
        assert found.value is not None and (found.value.id, found.value.account) == (8, "5abc")
        asked = len(server.asked)
        assert (await client.twin_of("5abc")).value == found.value and len(server.asked) == asked
