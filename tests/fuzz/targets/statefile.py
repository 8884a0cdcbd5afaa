"""The database: damaged bytes, rows of odd values, other versions; and every command that reads it."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz import command, mutate, seeds
from tests.fuzz.target import Refused, Target
from tfgrid_compose.errors import NotFoundError, TfgridError, UsageError
from tfgrid_compose.state import backups, check
from tfgrid_compose.state.database import with_checksum
from tfgrid_compose.state.store import Store

COMMANDS = (
    ("ps",), ("ps", "--json"), ("status", "web"), ("status", "web", "--json"), ("address", "web", "--all"), ("address", "web"), ("inspect", "web"),
    ("history", "web"), ("history", "web", "--json"), ("diff", "web"), ("diff", "web", "1", "2"), ("runs",), ("runs", "web", "--json"),
    ("runs", "show", "1"), ("runs", "show", "2", "--json"), ("audit",), ("audit", "web", "--json"), ("audit", "verify"), ("audit", "export", "--json"),
    ("state", "check", "--no-grid"), ("state", "check", "--json"), ("state", "backup"), ("state", "repair", "--yes", "--no-grid"),
    ("secrets", "list", "web"), ("secrets", "rotate"), ("logs", "web"), ("logs", "web", "--hook", "setup"), ("exec", "web", "--", "true"),
    ("plan", "classic", "--name", "web", "--network", "main"), ("rollback", "web", "--plan"), ("run",), ("orphans",), ("down", "box", "--yes"),
    ("drift", "web"),
)  # fmt: skip
_SLOW = (
    ("down", "box", "--yes"),
    ("drift", "web"),
    ("secrets", "rotate"),
    ("plan", "classic", "--name", "web", "--network", "main"),
)

Damage = tuple[Any, ...]


class Fuzz(Target):
    """A database of version 1 or 2 with some damages, and one look at it."""

    name, share = "statefile", 10

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._state = seeds.StateFolder(folder)
        self._state.empty()
        seeds.first_version()
        self._data = {1: _one_file(self._state.keep("1"))}
        seeds.state(seeds.app_folder(Path.cwd()))
        self._data[2] = _one_file(self._state.keep("2"))
        self._rows = {version: _rows_of(data) for version, data in self._data.items()}

    def case(self, chance: Random) -> tuple[int, list[Damage], tuple[str, ...]]:
        version = 2 if chance.random() < 0.8 else 1
        damages = [self._damage(chance, version) for _ in range(chance.choice((1, 1, 1, 2, 4)))]
        words = chance.choice(COMMANDS)
        if words in _SLOW and chance.random() < 0.7:
            words = chance.choice(COMMANDS[:10])
        return version, damages, () if chance.random() < 0.3 else words

    def _damage(self, chance: Random, version: int) -> Damage:
        size, kind = len(self._data[version]), chance.random()
        if kind < 0.2:
            return (
                "flip",
                chance.randrange(100) if chance.random() < 0.2 else chance.randrange(size),
                chance.choice((1, 2, 0x80, 0xFF)),
            )
        if kind < 0.25:
            return "cut", chance.randrange(size)
        if kind < 0.3:
            return "page", chance.randrange(size // 4096), chance.choice((b"\0", b"\xff", b"\r\n", b"SQLite format 3\0"))
        if kind < 0.33:
            return "version", chance.choice((0, 1, 2, 3, 99, -1, 2**31 - 1))
        if kind < 0.36:
            return "beside", chance.choice(("-wal", "-shm", "-journal")), chance.randbytes(chance.choice((0, 1, 32, 5000)))
        if kind < 0.4:
            return "drop", chance.choice([*self._rows[version], "nothing"])
        tables = [name for name, rows in self._rows[version].items() if rows]
        table = chance.choice([*tables, "deployments", "deployments", "releases", "releases", "runs", "steps"])
        rows = self._rows[version][table]
        if kind < 0.43:
            return "rename", table, chance.choice(list(rows[0])), "other"
        column = chance.choice([*rows[0], *(["data"] * 4 if "data" in rows[0] else [])])
        row = chance.randrange(len(rows))
        return "set", table, column, row, self._value(chance, rows[row][column])

    def _value(self, chance: Random, before: Any) -> Any:
        """What stands in a column instead: odd JSON where JSON was, or anything that SQLite holds."""
        if isinstance(before, str) and before.startswith("{") and chance.random() < 0.8:
            tree = json.loads(before)
            tree.pop("", None)
            found = mutate.tree(chance, tree)
            return with_checksum(found) if isinstance(found, dict) and chance.random() < 0.6 else json.dumps(found)
        if isinstance(before, bytes) and chance.random() < 0.7:
            return mutate.raw(chance, before)
        return chance.choice((None, chance.randbytes(5), mutate.scalar(chance), mutate.scalar(chance)))

    def run(self, case: tuple[int, list[Damage], tuple[str, ...]]) -> None:
        version, damages, words = case
        path = self._state.put(str(version)) / "state.db"
        path.write_bytes(self._damaged(self._data[version], damages))
        for damage in damages:
            if damage[0] == "beside":
                path.with_name(path.name + damage[1]).write_bytes(damage[2])
        with command.edges():
            if words:
                done = command.checked(words)
                if done.code:
                    raise Refused(f"exit code {done.code}")
            else:
                self._as_a_command_would()

    def _as_a_command_would(self) -> None:
        try:
            _look()
        except TfgridError:
            raise
        except Exception as error:
            raise check.damage_behind(error) or error from error

    def _damaged(self, data: bytes, damages: list[Damage]) -> bytes:
        with contextlib.closing(backups.in_memory(data)) as db:
            for damage in damages:
                if damage[0] in ("version", "drop", "rename", "set"):
                    _in_sql(db, damage)
            found = bytearray(db.serialize())
        found[18:20] = b"\2\2"
        for damage in damages:
            if damage[0] == "flip" and len(found) > damage[1]:
                found[damage[1]] ^= damage[2]
            elif damage[0] == "cut":
                del found[damage[1] :]
            elif damage[0] == "page" and len(found) > damage[1] * 4096:
                found[damage[1] * 4096 : damage[1] * 4096 + 4096] = (damage[2] * 4096)[:4096]
        return bytes(found)


def _in_sql(db: sqlite3.Connection, damage: Damage) -> None:
    with contextlib.suppress(sqlite3.Error):  # What the schema refuses can't be in a file that SQLite wrote.
        if damage[0] == "version":
            db.execute(f"PRAGMA user_version = {damage[1]}")
        elif damage[0] == "drop":
            db.execute(f"DROP TABLE {damage[1]}")
        elif damage[0] == "rename":
            db.execute(f"ALTER TABLE {damage[1]} RENAME COLUMN {damage[2]} TO {damage[3]}")
        else:
            _, table, column, row, value = damage
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                value = float(min(value, 2**1000))
            # A text that is no UTF-8 can stand in a file, though Python would not write it.
            mark, value = ("CAST(? AS TEXT)", value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else ("?", value)
            db.execute(
                f"UPDATE {table} SET {column} = {mark} WHERE rowid = (SELECT rowid FROM {table} LIMIT 1 OFFSET ?)", (value, row)
            )


def _rows_of(data: bytes) -> dict[str, list[dict[str, Any]]]:
    with contextlib.closing(backups.in_memory(data)) as db:
        db.row_factory = sqlite3.Row
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {table: [dict(row) for row in db.execute(f"SELECT * FROM {table}")] for table in tables}


def _one_file(folder: Path) -> bytes:
    data = seeds.checkpointed(folder)
    for suffix in ("", "-wal", "-shm"):
        folder.joinpath(f"state.db{suffix}").unlink(missing_ok=True)
    os.chmod(folder, 0o700)
    return data


def _look() -> None:
    """What the commands read, without what they make of it."""
    with Store() as store:
        found = store.deployments()
        store.runs(), store.networks(), store.audit_entries(limit=5), store.verify_audit(), store.unfinished(seeds.IDS["web"])
        for item in found:
            store.releases(item.id), store.done(item.id), store.secret(item.id, "ssh")
        with contextlib.suppress(NotFoundError, UsageError):
            store.find_release(seeds.IDS["web"], "1")
        problems = check.look(store)
        json.dumps([item.to_dict() for item in problems])
        store.append_audit(action="fuzz")
