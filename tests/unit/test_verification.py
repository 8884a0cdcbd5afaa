"""Accounts whose identity is not verified: looked up before consent, and nothing is bought for them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.fakes.live import TWIN, LiveNetwork, asked_once
from tfgrid_compose.deploy.payer import unable_payer
from tfgrid_compose.errors import GridError
from tfgrid_compose.grids import account, networks
from tfgrid_compose.grids.live import LiveGrid
from tfgrid_compose.grids.standing import standing
from tfgrid_compose.grids.verification import verified
from tfgrid_compose.state import settings

GOOD = b'{"result": {"status": "VERIFIED"}}'


class Service:
    """A service on loopback that gives one answer."""

    def __init__(self) -> None:
        self.status, self.body = 200, GOOD
        self.asked: list[str] = []
        self.url = ""


@contextmanager
def serving() -> Iterator[Service]:
    found = Service()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            found.asked.append(self.path)
            self.send_response(found.status)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

    server = HTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as found:
        yield found


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, GOOD, True), (200, b'{"result": {"status": "PENDING"}}', False), (404, b'{"error": "not found"}', False),
        (404, b"<html>", None), (500, b'{"error": "x"}', None), (200, b"", None), (200, b"[]", None), (200, b'{"result": 7}', None),
        (200, b'{"result": {}}', None), (200, b"[" * 5000, None), (200, b"x" * 100_000, None), (302, GOOD, None),
    ],
)  # fmt: skip
def test_what_the_service_says(service: Service, status: int, body: bytes, said: bool | None) -> None:
    service.status, service.body = status, body
    assert verified([service.url + "/"], 7) is said
    assert service.asked == ["/api/v1/status?twin_id=7"]


def test_a_service_that_is_silent_is_no_answer_and_the_next_is_asked(service: Service) -> None:
    assert verified(["http://127.0.0.1:9"], 7) is None
    assert verified(["http://127.0.0.1:9", service.url], 7) is True
    assert verified([], 7) is None


@pytest.fixture
def network(home: Path, monkeypatch: pytest.MonkeyPatch, service: Service) -> Iterator[LiveNetwork]:
    with asked_once(monkeypatch) as found:
        found.account(100)
        now = settings.load()
        urls = now.networks["main"].model_copy(update={"kyc": [service.url]})
        settings.save(now.model_copy(update={"networks": {"main": urls}}))
        yield found


def test_nothing_is_bought_for_an_account_that_is_not_verified(network: LiveNetwork, service: Service) -> None:
    said: list[str] = []
    LiveGrid("main").prepare(said.append)
    assert said == [] and service.asked == [f"/api/v1/status?twin_id={TWIN}"]
    service.body = b'{"result": {"status": "DENIED"}}'
    with pytest.raises(GridError) as caught:
        LiveGrid("main").prepare(said.append)
    assert (caught.value.code, caught.value.exit_code) == ("account-not-verified", 7)
    assert "https://dashboard.grid.tf" in caught.value.fix
    assert unable_payer(LiveGrid("main")) == [  # type: ignore[arg-type]
        "anything that costs, because the account is not verified on network main: the identity behind twin 7 is not known, and nodes "
        "take no deployments of such accounts"
    ]


def test_a_service_that_is_silent_is_said_and_holds_nothing_up(network: LiveNetwork, service: Service) -> None:
    service.status = 500
    said: list[str] = []
    LiveGrid("main").prepare(said.append)
    assert said == ["nobody says whether the account is verified on network main; the grid takes no others"]
    assert unable_payer(LiveGrid("main")) == []  # type: ignore[arg-type]


def test_sign_in_says_it_too(network: LiveNetwork, service: Service) -> None:
    urls = networks.network("main", settings.load())
    look = standing(account.signed_in("main"), urls.chain, urls.dashboard, urls.kyc)
    assert look.lacks == ()
    service.status, service.body = 404, json.dumps({"error": "verification not found"}).encode()
    look = standing(account.signed_in("main"), urls.chain, urls.dashboard, urls.kyc)
    assert "not verified on network main" in look.lacks[0] and "https://dashboard.grid.tf" in look.lacks[0]


def test_another_chain_has_no_service_unless_it_is_named(home: Path) -> None:
    assert networks.network("main", settings.Settings()).kyc == ("https://kyc.grid.tf",)
    assert networks.network("test", settings.Settings()).kyc == ("https://kyc.test.grid.tf",)
    mine = settings.Settings(networks={"main": settings.Urls(chain=["wss://chain.example/ws"])})
    assert networks.network("main", mine).kyc == ()


def test_a_url_that_the_provider_refuses_is_refused_before_anything_is_bought(
    network: LiveNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "taken_by_provider", network._taken)
    with pytest.raises(GridError) as caught:
        LiveGrid("main").prepare(lambda _: None)
    assert caught.value.code == "provider-url" and "config unset networks.main.gridproxy" in caught.value.fix
    assert network.asked == []
