"""How these tests ask: a client whose clock only goes on in pauses, and a small grid to ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes.faulty import Fault, Gridproxy, farm_row, node_row
from tfgrid_compose.errors import TfgridError
from tfgrid_compose.grids.asking import Patience
from tfgrid_compose.grids.client import Client
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
