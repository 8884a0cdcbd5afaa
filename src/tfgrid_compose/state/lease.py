"""One writer per deployment: a kernel lock, with a record of who holds it.

The kernel frees the lock when its holder dies, so a dead run never blocks. The record beside it
is only for people.
"""

from __future__ import annotations

import fcntl
import getpass
import itertools
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
# Who only looks holds the lock for a moment too; so long it is tried before it counts as held.
_MOMENT = 0.3


def _path(name: str) -> Path:
    return paths.private_dir(paths.state_dir() / "locks") / f"{name}.lock"


def holder(name: str) -> dict[str, Any] | None:
    """Who holds the lease now: user, host, pid, command, start (unix seconds); None when it is free.

    Raises `StateError` when that can't be found out.
    """
    path = _path(name)
    try:
        with path.open("rb") as file:
            # Shared: any number may look at the same time.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return _read(str(path))
    except OSError as error:
        raise paths.write_error(path, error) from error
    return None


def _read(path: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(path).read_text())
    except (OSError, ValueError):
        found = None
    return found if isinstance(found, dict) else {}


@contextmanager
def hold(name: str, *, wait: float = 0.0, waiting: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lease of `name`; `wait` seconds at most.

    `waiting` gets a sentence when the lease is not free at once. Raises `BusyError` that names the
    holder, and `StateError` when the lock can't be written.
    """
    path = _path(name)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise paths.write_error(path, error) from error
    try:
        try:
            _acquire(descriptor, path, name, wait, waiting)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(_record()).encode(), 0)
        except OSError as error:
            raise paths.write_error(path, error) from error
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _record() -> dict[str, Any]:
    return {
        "user": _user(), "host": socket.gethostname(), "pid": os.getpid(), "command": _command(sys.argv[1:]),
        "start": int(time.time()),
    }  # fmt: skip


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A user id without a name, as containers have it.
        return str(os.getuid())


def _command(words: list[str]) -> str:
    """The command and its app. What follows an option may be a secret: `--var PASSWORD=…` is never recorded."""
    plain = list(itertools.takewhile(lambda word: not word.startswith("-"), words))[:2]
    shown = " ".join(["tfgrid-compose", *plain])[:200]
    return shown if len(plain) == len(words) else f"{shown} …"


def _acquire(descriptor: int, path: Path, name: str, wait: float, waiting: Callable[[str], None]) -> None:
    begin = time.monotonic()
    deadline = begin + max(wait, _MOMENT)
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            who = describe(_read(str(path)))
        now = time.monotonic()
        if now >= deadline:
            raise BusyError(
                f"another run holds the deployment `{name.split('--')[-1]}`",
                why=who,
                fix="wait for it with --wait, or stop that process with Ctrl-C in its terminal",
            )
        if not told and now >= begin + _MOMENT:
            waiting(f"waiting for {who}")
            told = True
        time.sleep(_POLL if told else _POLL / 10)


def describe(record: dict[str, Any]) -> str:
    """A sentence about a holder."""
    if not record:
        return "another process has just taken it"
    age = max(0, int(time.time()) - int(record.get("start", time.time())))
    return f"`{record['command']}` of {record['user']}@{record['host']} (pid {record['pid']}) has run for {age} s"
