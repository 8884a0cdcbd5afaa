"""How a command is stopped: Ctrl-C, a polite kill, a terminal that closes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHOW_CURSOR, _CLEAR_LINE = b"\x1b[?25h", b"\r\x1b[2K"

_signals = 0
_answer = b""
_usual_hook: Callable[[Any], object] = sys.unraisablehook


def asked() -> bool:
    """Whether this command was told to stop, and is about it."""
    return _signals > 0


@contextmanager
def answered() -> Iterator[None]:
    """Say at once that a signal was heard: what happens in this block may take a while to end."""
    global _answer
    _answer = b"Stopping\xe2\x80\xa6 (once more stops without cleaning up)\n"
    try:
        yield
    finally:
        _answer = b""


def prepare() -> None:
    """Take the signals over."""
    global _signals, _usual_hook
    for number in _SIGNALS:
        signal.signal(number, _stop_on)
    _signals = 0
    if sys.unraisablehook is not _deliver_again:
        _usual_hook, sys.unraisablehook = sys.unraisablehook, _deliver_again


def _stop_on(number: int, frame: object) -> None:
    """The first signal ends the step in flight, whatever signal it is; a second one stops at once.

    The journal holds the step's intent, so that even then the next run knows where to look.
    """
    global _signals
    if number == signal.SIGHUP:
        _leave_terminal()
        # It comes from the shell and from the kernel, for one and the same terminal: nobody has asked twice.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _signals += 1
    if _signals > 1:
        _stop_at_once()
    _say(_CLEAR_LINE, _answer)
    raise KeyboardInterrupt


def _leave_terminal() -> None:
    """Nobody reads any more, and writing to a terminal that is gone would fail."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def _stop_at_once() -> None:
    """Leave now. What we wait for ends with us: programs that we started, and those that the kernel ends (PR_SET_PDEATHSIG)."""
    process = sys.modules.get("tfgrid_compose.drivers.process")
    if process is not None:
        process.end_all()
    _say(_SHOW_CURSOR, b"\nStopped at once. `tfgrid-compose up --resume` goes on from here.\n")
    os._exit(130)


def _say(on_terminal: bytes, text: bytes) -> None:
    """Write past every buffer and lock: a signal may come in the middle of a write."""
    if text:
        with contextlib.suppress(OSError):  # Nobody reads; the command still stops.
            os.write(2, (on_terminal if os.isatty(2) else b"") + text)


def _deliver_again(lost: Any) -> None:
    """Python throws away what is raised while it clears an object up; a Ctrl-C that met such a moment comes once more."""
    import threading

    global _signals
    if isinstance(lost.exc_value, KeyboardInterrupt):
        _signals -= 1
        # Not here and now: this function is part of the same moment.
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        _usual_hook(lost)
