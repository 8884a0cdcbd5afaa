"""What outside programs print, within limits: a machine or a program that prints without end takes no memory of ours."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

from tfgrid_compose.words import size_text

# Of one whole output, of one line, and of all lines of one program, in bytes.
WHOLE = 64 * 1024 * 1024
LINE = 64 * 1024
LINES = 32 * 1024 * 1024
# What is cleaned together with a line that is cut and then left out: half a secret at the cut would not be recognised.
_SEAM = 4096
_CHUNK = 64 * 1024


class TooMuchOutput(Exception):
    """A program printed more than is kept."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"it printed more than {size_text(limit)}")


def talk(process: subprocess.Popen[bytes], data: bytes | None, timeout: float, limit: int = WHOLE) -> tuple[bytes, bytes]:
    """Give a program its input and take both outputs, until it has ended.

    Raises `subprocess.TimeoutExpired` after `timeout` seconds, and `TooMuchOutput` beyond `limit` bytes.
    """
    deadline = time.monotonic() + timeout
    kept: dict[Any, bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
    rest = memoryview(data or b"")
    with selectors.DefaultSelector() as waiting:
        for pipe in kept:
            waiting.register(pipe, selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            waiting.register(process.stdin, selectors.EVENT_WRITE)
        while waiting.get_map():
            ready = waiting.select(max(0.0, deadline - time.monotonic()))
            if not ready and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(process.args, timeout)
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    rest = _give(waiting, process.stdin, rest)
                else:
                    _take(waiting, key.fileobj, kept[key.fileobj], limit)
    process.wait(max(0.0, deadline - time.monotonic()))
    return bytes(kept[process.stdout]), bytes(kept[process.stderr])


def _give(waiting: selectors.BaseSelector, pipe: IO[bytes], rest: memoryview) -> memoryview:
    """Write what fits; closes the pipe after the last of it, or when nobody reads any more."""
    try:
        rest = rest[os.write(pipe.fileno(), rest[:_CHUNK]) :] if rest else rest
    except BrokenPipeError:
        rest = rest[:0]
    if not rest:
        waiting.unregister(pipe)
        pipe.close()
    return rest


def _take(waiting: selectors.BaseSelector, pipe: Any, kept: bytearray, limit: int) -> None:
    chunk = os.read(pipe.fileno(), _CHUNK)
    if not chunk:
        waiting.unregister(pipe)
    kept += chunk
    if len(kept) > limit:
        raise TooMuchOutput(limit)


def lines(pipe: IO[bytes], clean: Callable[[str], str] = str, limit: int = LINE) -> Iterator[str]:
    """The lines of a program as they come, without their ends; one beyond `limit` bytes is cut, and says so.

    `clean` is applied to a line before it is cut: it may mask what the cut would make unrecognisable.
    """
    while part := pipe.readline(limit + _SEAM):
        text, more = part, 0
        while not part.endswith(b"\n") and (part := pipe.readline(_CHUNK)):
            more += len(part.rstrip(b"\r\n"))
        line = text.decode(errors="replace").rstrip("\r\n")
        yield f"{clean(line)[:-_SEAM]} … ({size_text(more + _SEAM)} of this line are left out)" if more else line


class Allowance:
    """How much of all lines of one program is kept; the first line beyond it is a note that there is more."""

    def __init__(self, limit: int = LINES) -> None:
        self._limit = self._left = limit

    def take(self, line: str) -> str | None:
        """The line, the note in its place, or None when neither is to be kept."""
        if self._left < 0:
            return None
        # A line that is empty also needs room where it is kept.
        self._left -= len(line) + 1
        return line if self._left >= 0 else f"… (more than {size_text(self._limit)} were printed; the rest is left out)"
