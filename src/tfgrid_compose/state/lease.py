"""One writer per deployment: a kernel lock, with a record of who holds it.

The kernel frees the lock when its holder dies, so a dead run never blocks. The record beside it
is only for people.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfgrid_compose.errors import BusyError
from tfgrid_compose.state import paths, whoami

_POLL = 0.1
# Who only looks holds the lock for a moment too; so long it is tried before it counts as held.
_MOMENT = 0.3
# What every record says; one that doesn't is not whole yet, or not ours.
_RECORD = {"user": str, "host": str, "pid": int, "command": str, "start": int}


def _path(name: str) -> Path:
    return paths.below(paths.private_dir(paths.state_dir() / "locks"), f"{name}.lock")


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
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(found.get(key), kind) for key, kind in _RECORD.items()):
        return {}
    return found


@contextmanager
def hold(name: str, *, wait: float = 0.0, waiting: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lease of `name`; `wait` seconds at most.

    `waiting` gets a sentence when the lease is not free at once. Raises `BusyError` that names the
    holder, and `StateError` when the lock can't be written.
    """
    path = _path(name)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
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
    pid = os.getpid()
    return {
        "user": whoami.user(), "host": whoami.host(), "pid": pid, "command": whoami.command(), "start": int(time.time()),
        "born": whoami.process_start(pid),
    }  # fmt: skip


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
                fix="wait for it with --wait, or stop it with `tfgrid-compose runs cancel`",
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
    return f"`{record['command']}` of {record['user']}@{record['host']} (pid {record['pid']}), which has run for {age} s"


def stop_holder(name: str, *, patience: float, waiting: Callable[[str], None] = lambda _: None) -> dict[str, Any] | None:
    """Stop the run that holds a lease as Ctrl-C would, and wait until it has let go; returns its record.

    After `patience` seconds a second signal makes it stop at once. None when nobody held the lease. Raises
    `BusyError` when the holder is on another computer, belongs to another user, or does not go.
    """
    record = holder(name)
    if record is None:
        return None
    waiting(f"stopping {describe(record)}")
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        _signal(record, number)
        if _freed(name, record, seconds):
            return record
    raise BusyError(
        f"the run with pid {record.get('pid')} does not end",
        why="it was stopped twice, then killed, and still holds the deployment",
        fix=f"ps -o pid,stat,args -p {record.get('pid')}",
        code="cancel-failed",
    )


def _signal(record: dict[str, Any], number: int) -> None:
    pid = int(record.get("pid", 0))
    if not record or record.get("host") != whoami.host():
        raise BusyError(
            "the run can't be stopped from here",
            why=describe(record),
            fix=f"stop it on {record.get('host', 'its computer')}",
            code="cancel-failed",
        )
    # A number is given again to another process; together with its start it is not. Some numbers mean many processes.
    born = whoami.process_start(pid)
    if born is None or born != record.get("born"):
        return
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise BusyError(
            "the run can't be stopped by this user", why=describe(record), fix="run the command with sudo", code="cancel-failed"
        ) from error


def _freed(name: str, record: dict[str, Any], seconds: float) -> bool:
    """Whether this holder lets go within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        now = holder(name)
        if now is None or (now and now.get("pid") != record.get("pid")):
            return True
        time.sleep(_POLL)
    return False
