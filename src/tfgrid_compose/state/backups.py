"""Backups of the database: whole copies with a digest, made before whatever could destroy something."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tfgrid_compose.errors import NotFoundError, StateError
from tfgrid_compose.state import paths
from tfgrid_compose.state.schema import MIGRATIONS, SCHEMA, SCHEMA_VERSION, run_script

KEEP = 10
# What a damaged file makes SQLite say; its message itself can be no text any more.
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
GOOD, DAMAGED, NEWER = "good", "damaged", "newer"
_NAME = re.compile(r"([0-9]{8}-[0-9]{6})-([0-9]{3,12})-([a-z0-9-]+)\.db")


@dataclass(frozen=True)
class Backup:
    """A backup: its name, why it was made, when (UTC), its size in bytes.

    Its number, and no clock, says which of two is the newer one.
    """

    name: str
    path: Path
    reason: str
    at: str
    size: int

    @property
    def number(self) -> int:
        """Which of all backups it is, counted from the first."""
        match = _NAME.fullmatch(self.name)
        return int(match[2]) if match else 0

    def content(self) -> bytes | None:
        """The database as it was written; None when it was changed since, or can't be read."""
        try:
            data = self.path.read_bytes()
            expected = self.path.with_suffix(".sha256").read_text().strip()
        except (OSError, ValueError):
            return None
        return data if hashlib.sha256(data).hexdigest() == expected else None

    def condition(self) -> str:
        """`good`, `damaged`, or `newer` when only a newer tfgrid-compose can read it."""
        data = self.content()
        return DAMAGED if data is None else examine(data)

    def good(self) -> bool:
        """Whether it can be restored: it is what was written, and a whole database of a version that we know."""
        return self.condition() == GOOD


def folder() -> Path:
    """Where backups stand."""
    return paths.state_dir() / "backups"


# Looking at a copy


def examine(data: bytes) -> str:
    """The condition of a database that is one file: `good`, `damaged` or `newer`."""
    try:
        with contextlib.closing(in_memory(data)) as db:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if db.execute("PRAGMA integrity_check").fetchone()[0] != "ok" or version < 1 or _has_programs(db):
                return DAMAGED
            if version > SCHEMA_VERSION:
                return NEWER
            # A version that was changed by damage shows: its migration fails, or something is missing after it.
            migrate(db, version)
            return GOOD if _has_all(db) else DAMAGED
    except UNREADABLE:
        return DAMAGED


def in_memory(data: bytes) -> sqlite3.Connection:
    """A database opened from its bytes, in memory. Raises one of `UNREADABLE`."""
    # A database in memory has no log beside it: bytes 18 and 19 say that it needs none.
    plain = data[:18] + b"\1\1" + data[20:] if data[18:20] == b"\2\2" else data
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.deserialize(plain)
    except BaseException:
        db.close()
        raise
    return db


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Bring a database of an older version to ours. Raises one of `UNREADABLE`."""
    db.execute("BEGIN IMMEDIATE")
    for target in range(version + 1, SCHEMA_VERSION + 1):
        run_script(db, MIGRATIONS[target])
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")


def _has_programs(db: sqlite3.Connection) -> bool:
    """Whether there is what would be done or looked up behind our back: we never made a trigger or a view."""
    return bool(db.execute("SELECT count(*) FROM sqlite_master WHERE type NOT IN ('table', 'index')").fetchone()[0])


def _has_all(db: sqlite3.Connection) -> bool:
    """Whether every table and column of ours is there."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        run_script(model, SCHEMA)
        return _columns(model) <= _columns(db)


def _columns(db: sqlite3.Connection) -> set[tuple[str, str]]:
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {(table, row[0]) for table in tables for row in db.execute("SELECT name FROM pragma_table_info(?)", (table,))}


# Making one


def save(database: Path, reason: str, keep: int = KEEP) -> Backup:
    """Copy a database as it is now, and drop the oldest copies beyond `keep`.

    Raises `StateError` when that can't be done, or when the database is damaged: a copy of damage saves nobody.
    """
    try:
        data = consistent_copy(database)
    except UNREADABLE as error:
        raise _failed(str(error)) from error
    if examine(data) == DAMAGED:
        raise StateError(
            f"the database {database} is damaged",
            why="SQLite can't make sense of all of it, or a table of ours is missing",
            fix=remedy(),
            code="state-damaged",
        )
    word = re.sub(r"[^a-z0-9-]+", "-", reason.lower()).strip("-") or "copy"
    with _alone():
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        number = max((item.number for item in listed()), default=0) + 1
        path = folder() / f"{stamp}-{number:03d}-{word}.db"
        # The digest first: a copy without one is never taken for a good one.
        paths.private_file(path.with_suffix(".sha256"), hashlib.sha256(data).hexdigest().encode() + b"\n")
        paths.private_file(path, data)
        made = Backup(path.name, path, word, stamp, len(data))
        for old in listed()[max(keep, 1) :]:
            forget(old)
        # Whoever goes on from here may destroy the original.
        if made.content() != data:
            raise _failed(f"{path} is not what was written")
    return made


def consistent_copy(database: Path) -> bytes:
    """A database as one file, the log of recent writes included. Raises one of `UNREADABLE`."""
    with (
        contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as source,
        contextlib.closing(sqlite3.connect(":memory:")) as target,
    ):
        source.backup(target)
        return bytes(target.serialize())


def _failed(why: str) -> StateError:
    return StateError("no backup of the database could be made", why=why, fix="tfgrid-compose state check", code="backup-failed")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One process at a time gives names and drops old copies; the kernel frees the lock of a dead one."""
    descriptor = os.open(paths.private_dir(folder()), os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


# Those that are there


def listed() -> list[Backup]:
    """All backups, newest first."""
    if not folder().is_dir():
        return []
    found = []
    for path in folder().iterdir():
        match = _NAME.fullmatch(path.name)
        if match:
            with contextlib.suppress(FileNotFoundError):  # Another process has just dropped it.
                found.append(Backup(path.name, path, match[3], match[1], path.stat().st_size))
    return sorted(found, key=lambda item: (item.number, item.name), reverse=True)


def newest_good() -> Backup | None:
    """The newest backup that can be restored."""
    return next((item for item in listed() if item.good()), None)


def remedy() -> str:
    """The command that helps when the database is damaged or lost."""
    good = newest_good()
    if good:
        return f"tfgrid-compose state restore {good.name}"
    return "tfgrid-compose state repair makes a new one with what stands on the grid; there is no good backup"


def find(name: str | None) -> Backup:
    """A good backup: by the beginning of its name, or the newest. Raises `NotFoundError` and `StateError`."""
    everything = listed()
    if name is None:
        found = newest_good()
        if found is None:
            raise NotFoundError(
                "there is no good backup",
                why=f"{len(everything)} are kept, and all are damaged" if everything else f"{folder()} holds none",
                fix="tfgrid-compose state repair makes a new database with what stands on the grid",
                code="backup-not-found",
            )
        return found
    named = [item for item in everything if name and item.name.startswith(name)]
    if len(named) != 1:
        raise NotFoundError(
            f"{len(named) or 'no'} backup{'s begin' if len(named) > 1 else ' begins'} with `{name}`",
            why=f"there are {len(everything)}",
            fix="tfgrid-compose state backups lists them",
            code="backup-not-found",
        )
    condition = named[0].condition()
    if condition != GOOD:
        good = newest_good()
        raise StateError(
            f"the backup {named[0].name} can't be restored",
            why="a newer tfgrid-compose wrote it" if condition == NEWER else "it is damaged",
            fix=f"tfgrid-compose state restore {good.name}" if good else "tfgrid-compose state backups",
            code="backup-damaged",
        )
    return named[0]


def forget(backup: Backup) -> None:
    """Remove a backup."""
    backup.path.unlink(missing_ok=True)
    backup.path.with_suffix(".sha256").unlink(missing_ok=True)
