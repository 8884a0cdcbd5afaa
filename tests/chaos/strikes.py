"""What stops a process, and where: every commit, every change of a file and every call of a driver is a point.

A process that was killed does nothing any more: each later point raises `Killed` again, so that no cleaning-up
code of it has an effect. Locks are freed by the interpreter's own unwinding, as the kernel would free them.
"""

from __future__ import annotations

import errno
import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

KILL, POWER, INTERRUPT, CHILD, DROP, FULL, OFFLINE = "kill", "power", "interrupt", "child", "drop", "full", "offline"
# Ctrl-C between any two lines of the program: `at` counts lines that ran instead of points.
SIGNAL = "signal"
KINDS = (KILL, POWER, INTERRUPT, CHILD, DROP, FULL, OFFLINE)
# Points inside of a child program: what it has done up to there stays.
CHILDREN = ("terraform", "provider", "ansible", "ssh", "machine", "hook", "tunnel")
_LINES = ("ssh", "machine", "hook")
_SOURCES = "/tfgrid_compose/"


class Killed(BaseException):
    """The process is dead; this only unwinds its stack."""


class ChildKilled(BaseException):
    """A child program got SIGKILL; the fake that plays it turns this into what its driver reports."""


class Dropped(BaseException):
    """The connection to the machine broke."""


@dataclass(frozen=True)
class Strike:
    """What happens at point number `at` of a process (from 1), or at a line for a `signal`.

    `lasting`: what does not die with the process (a hook on the machine, an orphaned Terraform) goes on to its end.
    """

    at: int
    kind: str
    lasting: bool = False

    def __str__(self) -> str:
        return f"{self.kind}{'+' if self.lasting else ''}@{self.at}"


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic() + self.ahead

    def gmtime(self) -> time.struct_time:
        """The time of day."""
        return time.gmtime(time.time() + self.ahead)

    def sleep(self, seconds: float) -> None:
        """Pass time, at least a second: who polls is not to poll thousands of times."""
        self.ahead += max(1.0, seconds)
        if _current:
            _current.offline -= seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class System:
    """The module `os` as a process sees it: with a process id of its own."""

    @staticmethod
    def getpid() -> int:
        """The id of the process that runs now."""
        return _current.pid if _current else os.getpid()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


_pids = itertools.count(100_000)
_current: Process | None = None


@dataclass
class Process:
    """One run of the program; `root` is the folder with all of its files, `disk` the part that can be full."""

    root: str
    disk: str
    strikes: Sequence[Strike] = ()
    record: bool = False
    pid: int = field(default_factory=lambda: next(_pids))
    count: int = 0
    labels: list[str] = field(default_factory=list)
    struck: list[Strike] = field(default_factory=list)
    dead: bool = False
    interrupted: bool = False
    full: bool = False
    offline: float = 0.0
    away: bool = False
    lines: int = 0
    _shields: int = 0
    _waiting: bool = False

    def point(self, label: str) -> None:
        """One instant, named `area:what`; raises when something strikes here."""
        if self.dead:
            raise Killed(label)
        self.count += 1
        if self.record:
            self.labels.append(label)
        for strike in self.strikes:
            if strike.at <= self.count and strike.kind != SIGNAL and strike not in self.struck and self._fits(strike, label):
                self.struck.append(strike)
                self._strike(strike, label)

    def _fits(self, strike: Strike, label: str) -> bool:
        """A child can only be killed while there is one: such a strike waits for the next."""
        area = label.partition(":")[0]
        if strike.kind == CHILD:
            return area in CHILDREN
        return area in _LINES if strike.kind == DROP else True

    def _strike(self, strike: Strike, label: str) -> None:
        if strike.kind in (KILL, POWER):
            self.die(label)
        elif strike.kind == INTERRUPT:
            self._interrupt(label)
        elif strike.kind == CHILD:
            raise ChildKilled(label)
        elif strike.kind == DROP:
            raise Dropped(label)
        elif strike.kind == FULL:
            self.full = True
        else:
            self.offline = 3600.0 if strike.lasting else 3.0

    def _interrupt(self, label: str) -> None:
        if self.interrupted:
            self.die(label)  # The second Ctrl-C ends the process at once.
        self.interrupted = True
        if self._shields:
            self._waiting = True
            return
        raise KeyboardInterrupt(label)

    def traced(self, frame: FrameType, event: str, argument: Any) -> Any:
        """What `sys.settrace` calls: a signal can come between any two lines of our own."""
        if event == "call":
            return self.traced if _SOURCES in frame.f_code.co_filename else None
        if event == "line" and not self.dead and not self.away:
            self.lines += 1
            for strike in self.strikes:
                if strike.kind == SIGNAL and strike.at <= self.lines and strike not in self.struck:
                    self.struck.append(strike)
                    self._interrupt(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        return self.traced

    def die(self, label: str) -> None:
        """Be dead from now on."""
        self.dead = True
        raise Killed(label)

    @property
    def lasting(self) -> bool:
        """Whether the newest strike leaves to its end what outlives the process."""
        return bool(self.struck) and self.struck[-1].lasting

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Another thread is at work: a signal reaches the main thread, and this one ends what it is at."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        if self._waiting and not self._shields:
            self._waiting = False
            raise KeyboardInterrupt

    @contextmanager
    def outside(self) -> Iterator[None]:
        """What happens now happens to the process, or after it: nothing strikes."""
        before, self.away = self.away, True
        try:
            yield
        finally:
            self.away = before

    def changes(self, what: str, path: str) -> None:
        """The process is about to change a file."""
        if self.away:
            return
        self.point(f"file:{what} {path.removeprefix(self.root)}")
        if self.full and path.startswith(self.disk) and what in ("open", "mkdir") and not os.path.exists(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


@contextmanager
def running(process: Process) -> Iterator[Process]:
    """Be this process."""
    global _current
    _listen()
    before, _current = _current, process
    tracer = sys.gettrace()
    if any(strike.kind == SIGNAL for strike in process.strikes) and tracer is None:
        sys.settrace(process.traced)
    try:
        yield process
    finally:
        sys.settrace(tracer)
        _current = before


def current() -> Process:
    """The process that runs now."""
    assert _current is not None, "no process runs"
    return _current


def point(label: str) -> None:
    """A point of the process that runs now."""
    current().point(label)


# Changes of files, as the interpreter announces them.

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_REMOVALS = {"os.remove": "remove", "os.rmdir": "rmdir", "os.mkdir": "mkdir", "shutil.rmtree": "rmtree"}
_listening = False


def _listen() -> None:
    global _listening
    if not _listening:
        _listening = True
        sys.addaudithook(_heard)


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if _current is None:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, str) and isinstance(flags, int) and flags & _WRITING and path.startswith(_current.root):
            _current.changes("open", path)
    elif event in ("os.rename", "os.link"):
        if str(arguments[1]).startswith(_current.root):
            _current.changes("rename", str(arguments[1]))
    elif event in _REMOVALS:
        _removal(_REMOVALS[event], str(arguments[0]), arguments[-1])


def _removal(what: str, path: str, folder: Any) -> None:
    assert _current is not None, "asked before"
    # shutil.rmtree removes by names relative to open folders.
    inside = isinstance(folder, int) and folder > 0 and what in ("remove", "rmdir") and not os.path.isabs(path)
    if inside or path.startswith(_current.root):
        _current.changes(what, path)
