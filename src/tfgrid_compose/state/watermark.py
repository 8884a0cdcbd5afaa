"""The watermark: how many transactions the database has seen, kept in it and once more in a file beside it.

SQLite takes a database without its log for a whole one, and so it takes an older copy. The file is written after each commit, and
never goes ahead of what is committed: a crash at any instant, and any number of processes, are no alarm. It needs no
key; who changes things on purpose is met by seals and anchor.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import paths, trusted

NAME = "watermark"
_FACT = "writes"
_LENGTH = 19
_WRITTEN = re.compile(rb"[0-9]{18}\n")


def counted(db: sqlite3.Connection) -> int:
    """How many transactions a database holds; 0 for one that never counted. Raises `sqlite3.Error`."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
        return 0
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_FACT,)).fetchone()
    text = str(row[0]) if row else ""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def count(db: sqlite3.Connection, *, beyond: int = 0) -> int:
    """Count one transaction more, inside of it, and get beyond a number too; returns the new count."""
    number = max(counted(db), beyond) + 1
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_FACT, str(number)))
    return number


def read(folder: Path) -> int:
    """What the file says; 0 when there is none that can be read. Read it before the database, which is then as new at least."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return _number(descriptor)
    finally:
        os.close(descriptor)


def write(folder: Path, number: int, *, sync: bool) -> None:
    """Raise what the file says to a count that is committed; it never goes back. What can't be written is left.

    With `sync` it outlives a power cut. The commit has happened: that it can't be noted must not look as if it had failed.
    """
    with contextlib.suppress(OSError, StateError), _alone(folder / NAME) as descriptor:
        if _number(descriptor) < number:
            # In place, of one length: there is no instant at which it is cut off.
            os.pwrite(descriptor, b"%018d\n" % number, 0)
            os.ftruncate(descriptor, _LENGTH)
        if sync:
            os.fsync(descriptor)
            paths.sync_folder(folder)


def _number(descriptor: int) -> int:
    try:
        text = os.pread(descriptor, _LENGTH + 1, 0)
    except OSError:
        return 0
    return int(text) if _WRITTEN.fullmatch(text) else 0


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[int]:
    """The file, open, for one process at a time: the slower of two would put back what the faster one wrote."""
    descriptor = trusted.opened(path, os.O_RDWR, {os.geteuid(), paths.owner()[0]})
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
