"""What stands in the ledger of the local grid: contracts, twins, sizes and their prices."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tfgrid_compose.grids.pricing import CERTIFIED, hourly_usd
from tfgrid_compose.localgrid.catalog import GIB, NODES


@dataclass(frozen=True)
class Resources:
    """Capacity: cores, bytes of memory, bytes of SSD."""

    cru: int = 0
    mru: int = 0
    sru: int = 0

    def plus(self, other: Resources) -> Resources:
        """The sum of both."""
        return Resources(self.cru + other.cru, self.mru + other.mru, self.sru + other.sru)


@dataclass(frozen=True)
class Contract:
    """A row of the ledger; `spec` is what was deployed, `data` the public metadata."""

    id: int
    twin: int
    kind: str
    node: int | None
    state: str
    created: int
    data: dict[str, Any]
    hash: str
    public_ips: int
    resources: Resources
    spec: dict[str, Any]
    closed: int | None = None

    @property
    def usd_per_hour(self) -> float:
        """The hourly price of this contract."""
        return usd_per_hour(self.node, self.resources, self.public_ips)


@dataclass(frozen=True)
class Twin:
    """An account; `account` is a digest of its mnemonic, `balance` the TFT that it began with."""

    id: int
    account: str
    balance: float


@dataclass(frozen=True)
class PastSize:
    """What a contract cost before it was changed in place, at `until` (unix seconds)."""

    until: int
    usd_per_hour: float


def usd_per_hour(node: int | None, used: Resources, public_ips: int) -> float:
    """The hourly price of what a contract holds on a node."""
    certified = any(seed.id == node and seed.certified for seed in NODES)
    return hourly_usd(used.cru, used.mru / GIB, used.sru / GIB, public_ips) * (CERTIFIED if certified else 1)


def node_total(node_id: int) -> Resources:
    """The whole capacity of a node of the catalog."""
    seed = next(node for node in NODES if node.id == node_id)
    return Resources(seed.cru, seed.mru, seed.sru)


def contract_of(row: sqlite3.Row) -> Contract:
    """A contract from its row. Raises `sqlite3.DatabaseError`."""
    with readable("a contract"):
        return Contract(
            row["id"], row["twin"], row["kind"], row["node"], row["state"], int(row["created"]), json.loads(row["data"]),
            row["hash"], int(row["public_ips"]), Resources(int(row["cru"]), int(row["mru"]), int(row["sru"])),
            json.loads(row["spec"]),
            None if row["closed"] is None else int(row["closed"]),
        )  # fmt: skip


@contextmanager
def readable(what: str) -> Iterator[None]:
    """A value of another type than it was written with is damage. Raises `sqlite3.DatabaseError`."""
    try:
        yield
    except (IndexError, TypeError, ValueError, RecursionError) as error:
        raise sqlite3.DatabaseError(f"{what} can't be read: {error}") from error


def record_of(text: str) -> dict[str, Any]:
    """A network's record as it was written. Raises `sqlite3.DatabaseError`."""
    with readable("a network"):
        found = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError("it is no record")
        return found
