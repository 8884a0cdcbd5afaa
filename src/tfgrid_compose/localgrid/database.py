"""The file of the local grid's ledger: its tables, transactions, and what is wrong with a damaged one."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tfgrid_compose.errors import GridError
from tfgrid_compose.localgrid.catalog import FARMS, farm_ip_hosts

FIRST_CONTRACT = 1001
# What SQLite says when the file itself is in order.
_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS twins (id INTEGER PRIMARY KEY, account TEXT UNIQUE NOT NULL, balance REAL NOT NULL);
CREATE TABLE IF NOT EXISTS contracts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, twin INTEGER NOT NULL, kind TEXT NOT NULL, node INTEGER,
    state TEXT NOT NULL, created INTEGER NOT NULL, closed INTEGER, data TEXT NOT NULL, hash TEXT NOT NULL,
    public_ips INTEGER NOT NULL, cru INTEGER NOT NULL, mru INTEGER NOT NULL, sru INTEGER NOT NULL,
    spec TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS live_contracts ON contracts (state, node);
CREATE TABLE IF NOT EXISTS past_sizes (contract INTEGER NOT NULL, until INTEGER NOT NULL, cru INTEGER NOT NULL,
    mru INTEGER NOT NULL, sru INTEGER NOT NULL, public_ips INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS networks (id TEXT PRIMARY KEY, number INTEGER UNIQUE NOT NULL, twin INTEGER NOT NULL,
    name TEXT NOT NULL, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS addresses (host INTEGER PRIMARY KEY, farm INTEGER NOT NULL, contract INTEGER, vm TEXT);
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Database:
    """An open ledger file; what it holds is read and written by the class that stands on this one."""

    def __init__(self, path: Path) -> None:
        """Open it, or make it. Raises `GridError` when it is damaged."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        # Terraform calls the provider from several threads, and they share this connection.
        self._guard = threading.RLock()
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            path.chmod(0o600)
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.row_factory = sqlite3.Row
        with self._explained():
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(" ".join(str(found).split()))
            if self._db.execute("SELECT 1 FROM addresses LIMIT 1").fetchone() is None:
                self._seed()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in our words what SQLite makes of a file that was changed, and Python of a value in it."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except (sqlite3.DatabaseError, UnicodeDecodeError, json.JSONDecodeError) as error:
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING
            again = f"mv {self._path} {self._path}.damaged; then `tfgrid-compose localgrid up` makes a new, empty one"
            raise GridError(
                f"the ledger {self._path} of the local grid can't be used",
                why=str(error),
                fix="wait a moment or free some room, then run the command again" if busy else again,
                code="localgrid-ledger",
            ) from error

    def _seed(self) -> None:
        with self.write() as db:
            rows = [(host, farm.id) for farm in FARMS for host in farm_ip_hosts(farm)]
            db.executemany("INSERT OR IGNORE INTO addresses (host, farm) VALUES (?, ?)", rows)
            if db.execute("SELECT 1 FROM sqlite_sequence WHERE name = 'contracts'").fetchone() is None:
                db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('contracts', ?)", (FIRST_CONTRACT - 1,))

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction that takes the write lock at its start."""
        with self._guard, self._explained():
            try:
                # Inside: Ctrl-C may come when the transaction is begun and this line has not ended.
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # On a full disk SQLite has rolled back already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query, read while no other thread is in a transaction."""
        with self._guard, self._explained():
            return self._db.execute(query, values).fetchall()
