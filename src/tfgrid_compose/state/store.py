"""The database: deployments, runs with their journal of steps, releases, secrets.

SQLite in WAL mode with full sync: what is committed survives a crash and a power cut.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tfgrid_compose.errors import NotFoundError, StateError
from tfgrid_compose.state import paths
from tfgrid_compose.state.vault import Vault

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE deployments (id TEXT PRIMARY KEY, name TEXT NOT NULL, network TEXT NOT NULL, status TEXT NOT NULL,
    created REAL NOT NULL, updated REAL NOT NULL, data TEXT NOT NULL, UNIQUE (name, network));
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, deployment TEXT NOT NULL, kind TEXT NOT NULL,
    started REAL NOT NULL, ended REAL, outcome TEXT, pid INTEGER NOT NULL, error TEXT);
CREATE INDEX runs_of ON runs (deployment, id);
CREATE TABLE steps (run INTEGER NOT NULL, name TEXT NOT NULL, inputs TEXT NOT NULL, started REAL NOT NULL, ended REAL,
    outcome TEXT, note TEXT, PRIMARY KEY (run, name));
CREATE TABLE done (deployment TEXT NOT NULL, step TEXT NOT NULL, inputs TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (deployment, step));
CREATE TABLE releases (id TEXT PRIMARY KEY, deployment TEXT NOT NULL, created REAL NOT NULL, status TEXT NOT NULL,
    data TEXT NOT NULL);
CREATE TABLE secrets (deployment TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (deployment, name));
CREATE TABLE durations (step TEXT NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL);
"""


@dataclass(frozen=True)
class Deployment:
    """A deployment as it is remembered; `data` holds what the plan chose and what the grid answered."""

    id: str
    name: str
    network: str
    status: str
    created: float
    updated: float
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def app_dir(self) -> str:
        """The app folder that it was deployed from."""
        return str(self.data.get("app_dir", ""))

    @property
    def machines(self) -> list[dict[str, Any]]:
        """The machines that exist, with role, node and addresses."""
        found: list[dict[str, Any]] = self.data.get("machines", [])
        return found

    def with_data(self, **changes: Any) -> Deployment:
        """A copy with changed data."""
        return replace(self, data={**self.data, **changes})


class Store:
    """One open database; close it when done."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or paths.state_dir() / "state.db"
        paths.private_dir(self.path.parent)
        self.vault = Vault()
        try:
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
                paths.give_all(self.path.parent)
            with self._explained():
                self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        except OSError as error:
            raise paths.write_error(self.path, error) from error
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.row_factory = sqlite3.Row
        with self._explained():
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._migrate()

    def _migrate(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StateError(
                f"{self.path} was written by a newer tfgrid-compose",
                why=f"its schema is version {version}, this program knows {SCHEMA_VERSION}",
                fix="upgrade tfgrid-compose",
                code="state-newer",
            )
        if version == 0:
            with self.write() as db:
                if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                    for statement in _SCHEMA.split(";\n"):
                        if statement.strip():
                            db.execute(statement)
                    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the database."""
        self._db.close()
        paths.give_all(self.path.parent)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction. Raises `StateError` when the disk refuses it or the database is damaged."""
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # On a full disk SQLite has rolled back already; to do it again would hide the reason.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
            raise  # A bug of ours, or explained by who knows which rule was broken.
        except sqlite3.DatabaseError as error:
            raise _database_error(self.path, error) from error

    def _rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """All rows of a query. Raises `StateError` when the database is damaged."""
        with self._explained():
            return self._db.execute(statement, values).fetchall()

    def _row(self, statement: str, values: tuple[Any, ...]) -> sqlite3.Row | None:
        """The first row of a query. Raises `StateError` when the database is damaged."""
        with self._explained():
            row: sqlite3.Row | None = self._db.execute(statement, values).fetchone()
            return row

    def _parsed(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise _damaged(self.path, error) from error

    def _deployment(self, row: sqlite3.Row) -> Deployment:
        data = self._parsed(row["data"])
        return Deployment(row["id"], row["name"], row["network"], row["status"], row["created"], row["updated"], data)

    # Deployments

    def deployments(self) -> list[Deployment]:
        """All deployments that are not destroyed, oldest first."""
        return [self._deployment(row) for row in self._rows("SELECT * FROM deployments ORDER BY created")]

    def deployment(self, id: str) -> Deployment:
        """A deployment by its whole id. Raises `NotFoundError`."""
        row = self._row("SELECT * FROM deployments WHERE id = ?", (id,))
        if row is None:
            raise NotFoundError(f"there is no deployment {id}", fix="tfgrid-compose ps", code="deployment-not-found")
        return self._deployment(row)

    def find(self, name: str, network: str) -> Deployment | None:
        """A deployment by name on one network."""
        row = self._row("SELECT * FROM deployments WHERE name = ? AND network = ?", (name, network))
        return self._deployment(row) if row else None

    def save(self, deployment: Deployment) -> Deployment:
        """Insert or replace a deployment. Raises `StateError` when another one has its name on its network."""
        stamped = replace(deployment, updated=time.time())
        try:
            with self.write() as db:
                db.execute(
                    "INSERT INTO deployments VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                    " status = excluded.status, updated = excluded.updated, data = excluded.data",
                    (stamped.id, stamped.name, stamped.network, stamped.status, stamped.created, stamped.updated,
                     json.dumps(stamped.data)),
                )  # fmt: skip
        except sqlite3.IntegrityError as error:
            raise StateError(
                f"the deployment `{stamped.name}` can't be recorded",
                why=f"another one is called so on network {stamped.network}",
                fix="tfgrid-compose ps shows it; choose another name with --name",
                code="state-name-taken",
            ) from error
        return stamped

    def forget(self, id: str) -> None:
        """Remove a deployment and its secrets; its runs stay as history."""
        with self.write() as db:
            for table in ("deployments", "secrets", "done", "releases"):
                column = "id" if table == "deployments" else "deployment"
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (id,))  # noqa: S608  # fixed names

    # Journal

    def start_run(self, deployment: str, kind: str) -> int:
        """Record that a run begins; returns its number."""
        with self.write() as db:
            cursor = db.execute(
                "INSERT INTO runs (deployment, kind, started, pid) VALUES (?, ?, ?, ?)",
                (deployment, kind, time.time(), os.getpid()),
            )
            return int(cursor.lastrowid or 0)

    def end_run(self, run: int, outcome: str, error: dict[str, Any] | None = None) -> None:
        """Record how a run ended: `succeeded`, `failed` or `interrupted`."""
        with self.write() as db:
            db.execute(
                "UPDATE runs SET ended = ?, outcome = ?, error = ? WHERE id = ?",
                (time.time(), outcome, json.dumps(error) if error else None, run),
            )

    def runs(self, deployment: str, limit: int = 20) -> list[dict[str, Any]]:
        """The newest runs of a deployment, newest first."""
        rows = self._rows("SELECT * FROM runs WHERE deployment = ? ORDER BY id DESC LIMIT ?", (deployment, limit))
        return [{**dict(row), "error": self._parsed(row["error"]) if row["error"] else None} for row in rows]

    def steps(self, run: int) -> list[dict[str, Any]]:
        """The steps of a run in their order."""
        return [dict(row) for row in self._rows("SELECT * FROM steps WHERE run = ? ORDER BY started", (run,))]

    def begin_step(self, run: int, deployment: str, step: str, inputs: dict[str, str]) -> None:
        """Commit the intent of a step before its side effect; what it had done before is void."""
        with self.write() as db:
            db.execute("DELETE FROM done WHERE deployment = ? AND step = ?", (deployment, step))
            db.execute(
                "INSERT OR REPLACE INTO steps (run, name, inputs, started) VALUES (?, ?, ?, ?)",
                (run, step, json.dumps(inputs, sort_keys=True), time.time()),
            )

    def set_step_inputs(self, run: int, step: str, inputs: dict[str, str]) -> None:
        """Record the inputs of a step as they are at its end."""
        with self.write() as db:
            text = json.dumps(inputs, sort_keys=True)
            db.execute("UPDATE steps SET inputs = ? WHERE run = ? AND name = ?", (text, run, step))

    def end_step(self, run: int, deployment: str, step: str, outcome: str, note: str = "") -> None:
        """Commit the outcome of a step: `done`, `skipped`, `tolerated` or `failed`."""
        now = time.time()
        with self.write() as db:
            row = db.execute("SELECT inputs, started FROM steps WHERE run = ? AND name = ?", (run, step)).fetchone()
            db.execute(
                "UPDATE steps SET ended = ?, outcome = ?, note = ? WHERE run = ? AND name = ?", (now, outcome, note, run, step)
            )
            if outcome in ("done", "tolerated"):
                db.execute("INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?)", (deployment, step, row["inputs"], now))
                db.execute("INSERT INTO durations VALUES (?, ?, ?)", (step, now - row["started"], now))

    def done(self, deployment: str) -> dict[str, dict[str, str]]:
        """{step: the inputs with which it was last done completely}."""
        rows = self._rows("SELECT * FROM done WHERE deployment = ?", (deployment,))
        return {row["step"]: self._parsed(row["inputs"]) for row in rows}

    def undo(self, deployment: str, *steps: str) -> None:
        """Forget that steps were done, so that the next run does them again."""
        with self.write() as db:
            db.executemany("DELETE FROM done WHERE deployment = ? AND step = ?", [(deployment, step) for step in steps])

    def usual_seconds(self, step: str) -> float | None:
        """The median of the last durations of a step, None when it never ran."""
        rows = self._rows("SELECT seconds FROM durations WHERE step = ? ORDER BY at DESC LIMIT 9", (step,))
        seconds = sorted(row["seconds"] for row in rows)
        return seconds[len(seconds) // 2] if seconds else None

    # Releases

    def save_release(self, id: str, deployment: str, status: str, data: dict[str, Any]) -> None:
        """Record a release: `shipped`, then `live`; an older live one becomes `superseded`."""
        with self.write() as db:
            if status == "live":
                db.execute("UPDATE releases SET status = 'superseded' WHERE deployment = ? AND status = 'live'", (deployment,))
            db.execute(
                "INSERT INTO releases VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET status = excluded.status,"
                " data = excluded.data",
                (id, deployment, time.time(), status, json.dumps(data)),
            )

    def releases(self, deployment: str) -> list[dict[str, Any]]:
        """Releases, newest first."""
        rows = self._rows("SELECT * FROM releases WHERE deployment = ? ORDER BY created DESC", (deployment,))
        return [{**dict(row), "data": self._parsed(row["data"])} for row in rows]

    # Secrets

    def secret(self, deployment: str, name: str) -> bytes | None:
        """A decrypted value, None when there is none."""
        row = self._row("SELECT value FROM secrets WHERE deployment = ? AND name = ?", (deployment, name))
        return self.vault.decrypt(row["value"], deployment, name) if row else None

    def set_secret(self, deployment: str, name: str, value: bytes | None) -> None:
        """Keep a value encrypted; None forgets it."""
        with self.write() as db:
            if value is None:
                db.execute("DELETE FROM secrets WHERE deployment = ? AND name = ?", (deployment, name))
            else:
                sealed = self.vault.encrypt(value, deployment, name)
                db.execute("INSERT OR REPLACE INTO secrets VALUES (?, ?, ?)", (deployment, name, sealed))


# What SQLite says about a file whose content it can't make sense of; a table that is missing is one of these.
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}


def _database_error(path: Path, error: sqlite3.DatabaseError) -> StateError:
    """SQLite's error in our words."""
    # An error without a code is Python's own: it could not make sense of a stored value.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in _DAMAGE:
        return _damaged(path, error)
    if code == sqlite3.SQLITE_FULL:
        return paths.write_error(path, OSError(errno.ENOSPC, str(error)))
    busy = code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return StateError(
        f"the database {path} can't be used",
        why="another process has had it locked for too long" if busy else str(error),
        fix="wait until the other run has ended, then run the command again" if busy else f"ls -ld {path} {path.parent}",
        code="state-unwritable",
    )


def _damaged(path: Path, error: Exception) -> StateError:
    return StateError(
        f"the database {path} is damaged",
        why=str(error),
        fix=f"move {path} away; machines on the local grid are listed by `tfgrid-compose localgrid status`",
        code="state-damaged",
    )
