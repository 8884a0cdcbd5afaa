"""Which requests the REST API answers when it is served."""

from __future__ import annotations

import httpx
import pytest

from tests.fakes.rows import SyntheticSource
from tfgrid_compose.localgrid.rest.app import create_app
from tfgrid_compose.localgrid.rest.guard import Guard, host_of

APP = create_app(SyntheticSource(3))


async def _status(headers: list[tuple[str, str]], listening: str = "127.0.0.1") -> int:
    transport = httpx.ASGITransport(app=Guard(APP, listening))
    async with httpx.AsyncClient(transport=transport, base_url="http://rest") as client:
        return (await client.get("/ping", headers=headers)).status_code


@pytest.mark.parametrize("host", ["127.0.0.1:8700", "127.0.0.1", "LOCALHOST:1", "[::1]:8700", "192.0.2.7:80", "grid.example"])
async def test_its_own_names_are_answered(host: str) -> None:
    assert await _status([("host", host)], "Grid.example") == 200
    assert await _status([("host", host), ("origin", f"http://{host}")], "Grid.example") == 200


@pytest.mark.parametrize(
    "host",
    ["", "rest", "evil.example:8700", "localhost.evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "127.0.0.1:x",
     "[::1", "127.0.0.1/x", "127.1", "evil.example#localhost", "localhost:99999"],
)  # fmt: skip
async def test_other_names_are_refused(host: str) -> None:
    assert await _status([("host", host)]) == 403


async def test_two_names_are_refused() -> None:
    assert await _status([("host", "127.0.0.1"), ("host", "evil.example")]) == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:9", "file://", "*"])
async def test_pages_of_other_sites_are_refused(origin: str) -> None:
    assert await _status([("host", "127.0.0.1"), ("origin", origin)]) == 403
    assert await _status([("host", "127.0.0.1"), ("origin", "http://127.0.0.1"), ("origin", origin)]) == 403


def test_the_host_of_a_header() -> None:
    assert (host_of("LocalHost:80"), host_of("[::1]:80"), host_of("a@b")) == ("localhost", "::1", "")
