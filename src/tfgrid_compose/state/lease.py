"""One writer per deployment: a kernel lock, with a record of who holds it.

The kernel frees the lock when its holder dies, so a dead run never blocks. The record beside it
is only for people.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfgrid_compose.errors import BusyError
from tfgrid_compose.state import paths

_POLL = 0.1


def _path(name: str) -> Path:
    return paths.private_dir(paths.state_dir() / "locks") / f"{name}.lock"


def holder(name: str) -> dict[str, Any] | None:
    """Who holds the lease now: user, host, pid, command, start (unix seconds); None when it is free."""
    path = _path(name)
    if not path.exists():
        return None
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return _read(file.name)
    return None


def _read(path: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(Path(path).read_text())
        return found
    except (OSError, ValueError):
        return {}


@contextmanager
def hold(name: str, *, wait: float = 0.0, waiting: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lease of `name`; `wait` seconds at most. Raises `BusyError` that names the holder.

    `waiting` gets a sentence when the lease is not free at once.
    """
    path = _path(name)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path, name, wait, waiting)
        record = {
            "user": getpass.getuser(), "host": socket.gethostname(), "pid": os.getpid(),
            "command": " ".join(["tfgrid-compose", *sys.argv[1:]])[:200], "start": int(time.time()),
        }  # fmt: skip
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(record).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, name: str, wait: float, waiting: Callable[[str], None]) -> None:
    deadline = time.monotonic() + wait
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            who = describe(_read(str(path)))
        if time.monotonic() >= deadline:
            raise BusyError(
                f"another run holds the deployment `{name.split('--')[-1]}`",
                why=who,
                fix="wait for it with --wait, or stop that process with Ctrl-C in its terminal",
            )
        if not told:
            waiting(f"waiting for {who}")
            told = True
        time.sleep(_POLL)


def describe(record: dict[str, Any]) -> str:
    """A sentence about a holder."""
    if not record:
        return "another process has just taken it"
    age = max(0, int(time.time()) - int(record.get("start", time.time())))
    return f"`{record['command']}` of {record['user']}@{record['host']} (pid {record['pid']}) has run for {age} s"
