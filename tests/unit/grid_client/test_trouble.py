"""A gridproxy that misbehaves, one way at a time: what is tried again, where, and what is no answer."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import pytest

from tests.fakes.faulty import (
    Fault,
    altered,
    cut_off,
    dripping,
    dropped,
    fine,
    half,
    nobody,
    own_certificate,
    page,
    raw,
    redirect,
    serving,
    slow,
    status,
)
from tests.unit.grid_client.asking import Waits, client_of, grid, ids, patience, refusal
from tfgrid_compose.errors import GridError
from tfgrid_compose.grids import reading
from tfgrid_compose.grids.client import Client
from tfgrid_compose.grids.networks import Network

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


async def test_whoever_reaches_none_does_not_wait_for_each(waits: Waits) -> None:
    """Main has six: the first two use up the time, and nobody asks the others."""
    async with client_of(waits, *(nobody() for _ in range(6)), patience=patience(waits, search=2.0)) as client:
        error = await refusal(client.nodes(), "gridproxy-unreachable")
    assert len(error.details) == 2 and len(waits.pauses) == 4


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
