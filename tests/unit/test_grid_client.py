"""The client of gridproxy against servers on loopback that misbehave, one way at a time."""

from __future__ import annotations

import asyncio
import gzip
import json
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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
    dripping,
    dropped,
    farm_row,
    fine,
    half,
    nested,
    nobody,
    node_row,
    own_certificate,
    page,
    raw,
    redirect,
    serving,
    slow,
    status,
)  # fmt: skip
from tfgrid_compose.errors import GridError, NotFoundError, TfgridError
from tfgrid_compose.grids import reading
from tfgrid_compose.grids.asking import Patience
from tfgrid_compose.grids.client import Client, ask
from tfgrid_compose.grids.networks import Network

NOW = 1_800_000_000.0
DAY = 86_400.0


class Waits:
    """A clock that goes on only when somebody sleeps."""

    def __init__(self) -> None:
        self.time = NOW
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)

    def clock(self) -> float:
        return self.time


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture(autouse=True)
def _own_home(home: Path) -> Path:
    return home


def patience(waits: Waits, **changes: Any) -> Patience:
    return Patience(**{"sleep": waits.sleep, "clock": waits.clock, "jitter": lambda: 1.0, **changes})


@asynccontextmanager
async def client_of(waits: Waits, *urls: str, **options: Any) -> AsyncIterator[Client]:
    wait = {"patience": options.pop("patience", patience(waits)), "clock": waits.clock}
    async with Client(Network("main", gridproxy=urls), **wait, **options) as client:
        yield client


def grid(nodes: int = 5, *faults: Fault, **more: Any) -> Gridproxy:
    rows = [node_row(id, farm_free_ips=0) for id in range(1, nodes + 1)]
    return Gridproxy({"/nodes": rows, "/farms": [farm_row(1), farm_row(2)], **more}, faults=list(faults))


def ids(answer: Any) -> list[int]:
    return [item.id for item in answer.value]


async def refusal(question: Awaitable[Any], code: str) -> TfgridError:
    """The error of a question; each has its three parts."""
    with pytest.raises(TfgridError) as caught:
        await question
    assert caught.value.code == code, caught.value.to_dict()
    assert caught.value.what and caught.value.why and caught.value.fix
    return caught.value


# All of a list


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


# What passes


@pytest.mark.parametrize(
    "fault",
    [status(429), status(429, "slow down"), status(500, "db is away"), status(500), status(502), status(503), status(504), dropped,
     cut_off, half, raw(b""), raw(b"\xff\xfe"), raw(b"NaN"), raw(b"[" * 100_000), raw(b"not gzip", **{"content-encoding": "gzip"})],
)  # fmt: skip
async def test_what_passes_is_tried_again(waits: Waits, fault: Fault) -> None:
    async with serving(grid(5, fault, fault)) as server, client_of(waits, server.url) as client:
        assert ids(await client.nodes()) == [1, 2, 3, 4, 5]
    assert waits.pauses == [0.5, 1.0] and len(server.asked) == 3


async def test_a_slow_answer_is_given_up(waits: Waits) -> None:
    fast = patience(waits, read=0.1)
    async with serving(grid(5, slow(5.0))) as server, client_of(waits, server.url, patience=fast) as client:
        assert ids(await client.nodes()) == [1, 2, 3, 4, 5]
        server.always = slow(5.0)
        error = await refusal(client.nodes(refresh=True, status="up"), "gridproxy-slow")
    assert "it took too long to answer" in error.why


async def test_an_answer_that_drips_is_given_up(waits: Waits) -> None:
    """Every byte comes in time; only all of them don't."""
    async with serving(grid(5)) as server, client_of(waits, server.url, patience=patience(waits, answer=0.2)) as client:
        server.always = dripping(0.01)
        await refusal(client.nodes(), "gridproxy-slow")


async def test_pauses_grow_and_are_spread(waits: Waits) -> None:
    slack = patience(waits, attempts=7, deadline=100, jitter=lambda: 0.5)
    async with serving(grid(5)) as server, client_of(waits, server.url, patience=slack) as client:
        server.always = status(503)
        await refusal(client.nodes(), "gridproxy-failing")
    assert waits.pauses == [0.375, 0.75, 1.5, 3.0, 6.0, 6.0]


async def test_no_attempt_begins_after_the_deadline(waits: Waits) -> None:
    slack = patience(waits, attempts=100)
    async with serving(grid(5)) as server, client_of(waits, server.url, patience=slack) as client:
        server.always = status(503)
        await refusal(client.nodes(), "gridproxy-failing")
    assert sum(waits.pauses) <= 20


async def test_it_waits_as_long_as_it_is_asked_to(waits: Waits) -> None:
    async with serving(grid(5, status(429, retry_after="7"))) as server, client_of(waits, server.url) as client:
        await client.nodes()
        assert waits.pauses == [7.0]
        server.faults = [status(429, retry_after="3600"), status(503, retry_after="Wed, 21 Oct 2026 07:28:00 GMT")]
        error = await refusal(client.nodes(refresh=True, status="up"), "gridproxy-refused")
    assert waits.pauses == [7.0] and "too many questions" in error.why


# Which URL


async def test_the_next_url_is_asked(waits: Waits) -> None:
    async with serving(grid(5)) as server, client_of(waits, nobody(), server.url) as client:
        assert ids(await client.nodes()) == [1, 2, 3, 4, 5]
        waits.pauses.clear()
        await client.farms()
        assert waits.pauses == [], "the URL that answered is asked first from then on"


@pytest.mark.parametrize(
    "fault", [status(500), page(), half, redirect("http://127.0.0.2:1/nodes"), status(403), altered(lambda _: [])]
)
async def test_another_url_makes_up_for_one_that_misbehaves(waits: Waits, fault: Fault) -> None:
    async with serving(grid(5)) as bad, serving(grid(5)) as good, client_of(waits, bad.url, good.url) as client:
        bad.always = fault
        assert ids(await client.nodes()) == [1, 2, 3, 4, 5]


async def test_pages_of_two_urls_are_not_mixed(waits: Waits) -> None:
    async with serving(grid(2500, fine)) as bad, serving(grid(2300)) as good, client_of(waits, bad.url, good.url) as client:
        bad.faults = [fine, *[status(502)] * 20]
        answer = await client.nodes()
    assert ids(answer) == list(range(1, 2301)) and len([1 for path, _ in good.asked if path == "/nodes"]) == 3


async def test_a_wrong_question_is_not_put_to_the_next_url(waits: Waits) -> None:
    said = 'failed to decode params: schema: invalid path "foo"'
    async with serving(grid(5, status(400, said))) as first, serving(grid(5)) as second:
        async with client_of(waits, first.url, second.url) as client:
            error = await refusal(client.nodes(), "gridproxy-refused")
    assert said in error.why and second.asked == [] and waits.pauses == []


async def test_nobody_listens(waits: Waits) -> None:
    one, two = nobody(), nobody()
    async with client_of(waits, one, two) as client:
        error = await refusal(client.nodes(farm_name="secret farm"), "gridproxy-unreachable")
    assert error.what == "gridproxy of network main can't be reached"
    assert error.why == f"{two}/nodes: connection refused; no earlier answer to this question is kept"
    assert error.details == [f"{one}/nodes: connection refused", f"{two}/nodes: connection refused"]
    assert f"`curl -fsS {two}/ping`" in error.fix and "secret" not in str(error.to_dict())
    assert len(waits.pauses) == 4 and isinstance(error, GridError)


async def test_a_name_that_does_not_exist(waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    async with client_of(waits, "https://gridproxy.test") as client:
        error = await refusal(client.nodes(), "gridproxy-unreachable")
    assert "name or service not known" in error.why


async def test_a_server_that_speaks_no_tls(waits: Waits) -> None:
    brief = patience(waits, connect=0.2, attempts=1)
    async with serving(grid(5)) as server, client_of(waits, server.url.replace("http:", "https:"), patience=brief) as client:
        await refusal(client.nodes(), "gridproxy-unreachable")


async def test_a_certificate_that_nobody_vouches_for(waits: Waits, tmp_path: Path) -> None:
    async with serving(grid(5), own_certificate(tmp_path)) as server, client_of(waits, server.url) as client:
        error = await refusal(client.nodes(), "gridproxy-unreachable")
    assert "its certificate is not trusted: " in error.why and server.asked == []


@pytest.mark.parametrize(
    "url",
    ["http://gridproxy.grid.tf", "http://10.0.0.1", "ftp://gridproxy.grid.tf", "gridproxy.grid.tf", "", "https://", "https://[::1",
     "https://u:geheim@gridproxy.grid.tf", "https://gridproxy.grid.tf?x=1", "http://127.0.0.1.grid.tf", "https://host:99999"],
)  # fmt: skip
async def test_urls_that_are_not_asked(waits: Waits, url: str) -> None:
    async def enter() -> None:
        async with client_of(waits, url):
            pass

    error = await refusal(enter(), "gridproxy-url")
    assert "geheim" not in str(error.to_dict())


async def test_without_urls_nobody_can_be_asked(waits: Waits) -> None:
    async def enter() -> None:
        async with Client(Network("local")):
            pass

    assert "no URL is known" in (await refusal(enter(), "gridproxy-url")).why


async def test_a_proxy_that_can_not_be_used(waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://127.0.0.1:1")

    async def enter() -> None:
        async with client_of(waits, "https://gridproxy.grid.tf"):
            pass

    await refusal(enter(), "gridproxy-environment")


async def test_a_proxy_is_not_used_for_this_computer(waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", nobody())
    async with serving(grid(2)) as server, client_of(waits, server.url) as client:
        assert ids(await client.nodes()) == [1, 2]


# What is no answer


@pytest.mark.parametrize(
    "fault",
    [page(), page(kind="application/json"), page(" \n<html>"), page("data", kind="text/html; charset=utf-8"), page(code=201),
     status(204), status(404), status(418), page(code=404), page(code=403)],
)  # fmt: skip
async def test_web_pages_and_odd_statuses(waits: Waits, fault: Fault) -> None:
    async with serving(grid(5)) as server, client_of(waits, server.url) as client:
        server.always = fault
        with pytest.raises(GridError) as caught:
            await client.nodes()
    assert caught.value.code in ("gridproxy-answer", "gridproxy-refused") and waits.pauses == []


async def test_a_web_page_is_called_one(waits: Waits) -> None:
    async with serving(grid(5, page())) as server, client_of(waits, server.url) as client:
        assert "it sent a web page instead of data" in (await refusal(client.nodes(), "gridproxy-answer")).why


async def test_redirects_within_the_host_are_followed(waits: Waits) -> None:
    async with serving(grid(5, redirect("/farms?ret_count=true"))) as server, client_of(waits, server.url) as client:
        await refusal(client.nodes(), "gridproxy-answer")  # farms are no nodes
        assert [path for path, _ in server.asked] == ["/nodes", "/farms"]
        server.always = redirect("/nodes")
        assert "redirects more than 3 times" in (await refusal(client.nodes(), "gridproxy-answer")).why


@pytest.mark.parametrize("to", ["https://evil.example/nodes", "http://127.0.0.1:1/nodes", "//evil.example/nodes", "file:///etc/passwd",
                                "http://127.0.0.1:99999999/",
                                "http://u:p@127.0.0.1:1/"])  # fmt: skip
async def test_redirects_to_other_hosts_are_not(waits: Waits, to: str) -> None:
    async with serving(grid(5, redirect(to))) as server, client_of(waits, server.url) as client:
        error = await refusal(client.nodes(), "gridproxy-answer")
    assert "it redirects elsewhere" in error.why and "u:p" not in error.why


@pytest.mark.parametrize("squeezed", [False, True])
async def test_an_answer_has_a_largest_size(waits: Waits, monkeypatch: pytest.MonkeyPatch, squeezed: bool) -> None:
    monkeypatch.setattr(reading, "MOST_BYTES", 2 * 1024**2)
    body = b"[" + b" " * 3 * 1024**2 + b"]"
    fault = raw(gzip.compress(body), **{"content-encoding": "gzip"}) if squeezed else raw(body)
    async with serving(grid(5, fault)) as server, client_of(waits, server.url) as client:
        error = await refusal(client.nodes(), "gridproxy-answer")
    assert "it sent more than 2 MiB" in error.why


async def test_what_a_server_says_can_not_write_on_the_terminal(waits: Waits) -> None:
    async with serving(grid(5, status(400, "a\x1b[31mb\n" + "x" * 5000))) as server, client_of(waits, server.url) as client:
        error = await refusal(client.nodes(), "gridproxy-refused")
    assert error.why.isprintable() and len(error.why) < 400


# What is kept


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
