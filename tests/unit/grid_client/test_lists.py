"""Lists of gridproxy: all pages or none, and never half of one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.faulty import Fault, altered, counting, fine, node_row, serving, slow, status
from tests.unit.grid_client.asking import NOW, Waits, client_of, grid, ids, patience, refusal


async def test_all_pages_are_read_a_few_at_a_time(waits: Waits) -> None:
    async with serving(grid(9_500)) as server, client_of(waits, server.url) as client:
        server.always = slow(0.02)
        answer = await client.nodes(status=["up"], free_mru=5, healthy=True)
    assert sorted(ids(answer)) == list(range(1, 9_501)) and answer.count == 9_500 and not answer.stale and answer.at == NOW
    pages = [params for path, params in server.asked if path == "/nodes"]
    assert sorted(int(params["page"]) for params in pages) == list(range(1, 11))
    for params in pages:
        assert {**params, "page": ""} == {
            "status": "up", "free_mru": "5", "healthy": "true", "sort_by": "node_id", "ret_count": "true", "size": "1000", "page": "",
        }  # fmt: skip
    assert 2 <= server.most_at_once <= 4


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2000])
async def test_lists_of_every_length_are_whole(waits: Waits, count: int) -> None:
    async with serving(grid(count)) as server, client_of(waits, server.url) as client:
        assert ids(await client.nodes()) == list(range(1, count + 1))
    assert len(server.asked) == max(1, -(-count // 1000))


async def test_a_gridproxy_with_smaller_pages_is_read_whole(waits: Waits) -> None:
    async with serving(grid(95)) as server, client_of(waits, server.url) as client:
        server.largest_page = 10
        assert ids(await client.nodes()) == list(range(1, 96))


async def test_one_page_says_how_many_there_are(waits: Waits) -> None:
    async with serving(grid(95)) as server, client_of(waits, server.url) as client:
        answer = await client.nodes(page=2, size=10, sort_by="uptime", sort_order="desc")
        assert ids(answer) == list(range(11, 21)) and answer.count == 95
        assert server.asked == [
            ("/nodes", {"page": "2", "size": "10", "sort_by": "uptime", "sort_order": "desc", "ret_count": "true"})
        ]
        assert ids(await client.nodes(page=10, size=10)) == [91, 92, 93, 94, 95]
        assert ids(await client.nodes(page=11, size=10)) == []


def _grown(reply: Any) -> Any:
    return counting("2501")(reply)


SHIFTED = altered(lambda rows: [node_row(1000, farm_free_ips=0), *rows[:-1]])


@pytest.mark.parametrize(
    "fault", [_grown, SHIFTED, altered(lambda rows: rows[:-1]), altered(lambda rows: [*rows, rows[0]]), altered(lambda _: [])]
)
async def test_a_list_that_changes_between_pages_is_read_again(waits: Waits, fault: Fault) -> None:
    async with serving(grid(2500, fine, fault)) as server, client_of(waits, server.url) as client:
        assert ids(await client.nodes()) == list(range(1, 2501))
    assert len(server.asked) > 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [(altered(lambda rows: rows[: len(rows) // 2]), "half a page: page 1 has 2 rows where 5 are due"), (counting("7"), "half a page"), (counting(None), "how many"),
     (counting("many"), "how many"), (counting("-5"), "how many"), (counting("99999999"), "it counts 99999999 rows"),
     (counting("4"), "half a page: 5 rows came, 4 were counted"), (altered(lambda rows: [rows[0]] * 5), "a row came twice"),
     (altered(lambda rows: {"rows": rows}), "something else than a list"), (altered(lambda rows: [1, 2, 3, 4, 5]), "something else"),
     (altered(lambda rows: [{}] * 5), "`nodeId` is missing"), (altered(lambda rows: [*rows[:4], {"nodeId": "5"}]), "`nodeId` is text")],
)  # fmt: skip
async def test_a_list_that_never_fits_its_count_is_no_answer(waits: Waits, fault: Fault, said: str) -> None:
    async with serving(grid(5)) as server, client_of(waits, server.url) as client:
        server.always = fault
        error = await refusal(client.nodes(), "gridproxy-answer")
    assert said in error.why and f"{server.url}/nodes" in error.why


async def test_half_of_one_page_is_no_page(waits: Waits) -> None:
    async with serving(grid(50, altered(lambda rows: rows[:3]))) as server, client_of(waits, server.url) as client:
        error = await refusal(client.nodes(page=1, size=10), "gridproxy-answer")
    assert "half a page: 3 rows where 10 are due" in error.why


async def test_the_first_page_that_fails_stops_the_others(waits: Waits) -> None:
    async with serving(grid(20_000, fine, status(400, "no"))) as server, client_of(waits, server.url) as client:
        server.always = slow(0.02)
        await refusal(client.nodes(), "gridproxy-refused")
    assert len(server.asked) < 12


async def test_a_list_that_takes_too_long_ends(waits: Waits) -> None:
    async with serving(grid(5_000)) as server, client_of(waits, server.url, patience=patience(waits, whole=0.1)) as client:
        server.always = slow(0.08)
        error = await refusal(client.nodes(), "gridproxy-slow")
    assert "the list was not whole within 0.1 s" in error.why
