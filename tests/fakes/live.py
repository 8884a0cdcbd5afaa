"""A network of the ThreeFold Grid for tests: a gridproxy and a chain on loopback, and an account that is signed in.

    with LiveNetwork("main") as network:          # its URLs stand in the configuration, its mnemonic in the environment
        network.account(tft=100)
        network.contract(52110, f"vm_{deployment}", node=9)
        network.behind = True                     # from now on gridproxy does not see what happens on the chain

The gridproxy is the REST application that the local grid serves too, over rows that follow the chain's contracts.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn

from tests.fakes.chain import FakeChain
from tests.fakes.rows import SyntheticSource
from tfgrid_compose.grids.asking import Patience
from tfgrid_compose.localgrid.rest.app import create_app
from tfgrid_compose.localgrid.rest.rows import BillRow, ContractRow, FarmRow, TwinRow
from tfgrid_compose.state import settings

# The well-known example of BIP-39; nobody keeps anything on it.
MNEMONIC = " ".join(["abandon"] * 11 + ["about"])
TWIN, FARM = 7, 3
CREATED = 1_750_000_000
HTML = b"<html><body>502 Bad Gateway</body></html>"


class Directory(SyntheticSource):
    """What gridproxy knows: nodes of a synthetic grid, contracts and twins of a chain, bills that a test writes."""

    def __init__(self, chain: FakeChain, nodes: int = 24) -> None:
        super().__init__(nodes, now=time.time())
        self._chain = chain
        self._known: dict[int, ContractRow] = {}
        self.accounts: list[TwinRow] = []
        self.billed: dict[int, list[BillRow]] = {}
        self.behind = False

    def contracts(self) -> Sequence[ContractRow]:
        if not self.behind:
            self._follow()
        return [self._known[id] for id in sorted(self._known)]

    def _follow(self) -> None:
        on_chain = dict(self._chain.contracts)
        for id, row in list(self._known.items()):
            if id not in on_chain and row.state in ("Created", "GracePeriod"):
                self._known[id] = row._replace(state="Deleted")
        for id, item in on_chain.items():
            farm: FarmRow | None = next((row for row in self.farms() if item.node and row.id == -(-item.node // 4)), None)
            self._known[id] = ContractRow(
                id, item.twin, item.kind, item.state, CREATED, item.node, item.name, item.data, f"{id:032x}", item.public_ips,
                farm.id if farm else 0, farm.name if farm else "",
            )  # fmt: skip

    def twins(self) -> Sequence[TwinRow]:
        return self.accounts

    def bills(self, contract: int) -> Sequence[BillRow]:
        return self.billed.get(contract, [])


class LiveNetwork:
    """The network, until the end of the `with`; it changes configuration and environment of this process.

    `answer` is what gridproxy does: `ok`, `html`, `half` (a list that breaks off), `slow` (nothing for seconds) or
    `failing` (status 500).
    """

    def __init__(self, name: str = "main", key_type: str = "sr25519") -> None:
        self.name, self.key_type, self.answer = name, key_type, "ok"
        self.chain = FakeChain()
        self.directory = Directory(self.chain)
        self.asked: list[str] = []
        self._app = create_app(self.directory)
        self._server = uvicorn.Server(
            uvicorn.Config(self._serve, interface="asgi3", host="127.0.0.1", port=0, log_level="critical", lifespan="off")
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._kept = os.environ.get("MNEMONIC")

    def __enter__(self) -> LiveNetwork:
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < deadline and self._thread.is_alive(), "the gridproxy did not start"
            time.sleep(0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.proxy = f"http://127.0.0.1:{port}"
        self.configure(self.proxy, self.chain.url)
        os.environ["MNEMONIC"] = MNEMONIC
        # The real provider refuses URLs of this computer, and so do we for it; here nobody starts it.
        self._taken, settings.taken_by_provider = settings.taken_by_provider, lambda url: True
        return self

    def __exit__(self, *_: object) -> None:
        settings.taken_by_provider = self._taken
        self._server.should_exit = True
        self._thread.join(20)
        self.chain.close()
        os.environ.pop("MNEMONIC", None)
        if self._kept is not None:
            os.environ["MNEMONIC"] = self._kept

    def configure(self, proxy: str, chain: str) -> None:
        """Where the configuration says that gridproxy and chain are."""
        now = settings.load()
        urls = settings.Urls(gridproxy=[proxy], chain=[chain])
        settings.save(now.model_copy(update={"networks": {**now.networks, self.name: urls}}))

    def without_proxy(self) -> None:
        """From now on nobody listens where gridproxy was."""
        self.configure("http://127.0.0.1:9", self.chain.url)

    def without_chain(self) -> None:
        """From now on nobody listens where the chain was."""
        self.configure(self.proxy, "ws://127.0.0.1:9")

    # The account

    @property
    def address(self) -> str:
        """The address of the account that is signed in."""
        from tfgrid_compose.grids import keys
        from tfgrid_compose.observe.redact import Secret

        return keys.address(Secret(MNEMONIC), self.key_type)

    def account(self, tft: float = 100.0, twin: int | None = TWIN) -> None:
        """Give the account a balance, and a twin unless it shall have none."""
        self.chain.fund(self.address, tft)
        if twin is not None:
            self.chain.add_twin(twin, self.address)
            self.directory.accounts.append(TwinRow(twin, self.address))

    # Contracts

    def contract(
        self, id: int, name: str, *, node: int = 9, kind: str = "vm", app: str = "my-app", twin: int = TWIN, **facts: Any
    ) -> int:
        """Make a node contract as the provider would; returns its id."""
        project = f"tfgrid-compose/{app}" if app else f"vm/{name}"
        data = json.dumps({"version": 3, "type": kind, "name": name, "projectName": project})
        self.chain.add_contract(id, twin, node=node, data=data, **facts)
        return id

    def bill(self, id: int, tft: float, hours: float = 1.0) -> None:
        """Bill a contract, so many hours after the last bill."""
        before = self.directory.billed.get(id, [])
        at = (before[0].time if before else CREATED) + round(3600 * hours)
        self.directory.billed[id] = [BillRow(at, round(tft * 1e7)), *before]

    @property
    def live(self) -> list[int]:
        """Contracts that the chain knows alive."""
        return sorted(id for id, item in self.chain.contracts.items() if item.state in ("Created", "GracePeriod"))

    # Serving

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        self.asked.append(path)
        if self.answer == "ok":
            await self._app(scope, receive, send)
        elif self.answer == "slow":
            await asyncio.sleep(2)
        elif self.answer == "half":
            await _say(send, 200, b'[{"contract_id": 1, "twin_id"', b"application/json")
        else:
            status, body = (200, HTML) if self.answer == "html" else (500, b'{"error": "the database is gone"}')
            await _say(send, status, body, b"text/html" if self.answer == "html" else b"application/json")


async def _say(send: Any, status: int, body: bytes, kind: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def asked_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNetwork]:
    """Network `main` and its account; whoever does not answer is asked once, and no other account stands in the environment."""
    monkeypatch.setattr("tfgrid_compose.grids.client.Patience", partial(Patience, attempts=1))
    for variable in ("TF_VAR_mnemonic", "KEY_TYPE"):
        monkeypatch.delenv(variable, raising=False)
    with LiveNetwork("main") as found:
        yield found
