"""Standard input, output and errors: there in any case, of any encoding, and honest about what could not be written."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tfgrid_compose.errors import TfgridError

_unheard = False
_lost: OSError | None = None


class OutputError(TfgridError):
    """What a command printed could not be written."""

    code = "output-unwritable"
    exit_code = 1


def _unwritable(error: OSError) -> OutputError:
    return OutputError(
        "the output can't be written",
        why=error.strerror or str(error),
        fix="make room where the output goes, or send it elsewhere",
    )


class _Stream(io.FileIO):
    """A descriptor whose failures are told from those of our files."""

    def write(self, data: Any, /) -> int:
        """As `FileIO.write`. In the middle of a run nothing is raised: it is no reason to leave a machine half made."""
        global _lost
        try:
            return super().write(data)
        except BrokenPipeError:
            if not _unheard:
                raise
        except OSError as error:
            if not _unheard:
                raise _unwritable(error) from error
            _lost = _lost or error
        return memoryview(data).nbytes


@contextmanager
def needless() -> Iterator[None]:
    """Carry on in this block when nobody can read; `OutputError` is raised behind it, unless something else failed."""
    global _unheard, _lost
    _unheard, _lost = True, None
    try:
        yield
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        _unheard = False
    if _lost is not None:
        raise _unwritable(_lost)


def prepare() -> None:
    """Make all three usable, whatever the caller has closed, and have failures of writing told."""
    global _unheard, _lost
    _unheard, _lost = False, None
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The next file that is opened would get this number, and output of programs would land in it.
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - it stays open
    sys.stdout, sys.stderr = _checked(sys.stdout, 1), _checked(sys.stderr, 2)


def _checked(stream: object, number: int) -> io.TextIOWrapper:
    """The stream over our descriptor; one that somebody has put in its place stays."""
    if isinstance(stream, io.TextIOWrapper) and not _is_own(stream, number):
        # Not every locale has all signs, and not every file name is a text.
        stream.reconfigure(errors="backslashreplace")
        return stream
    encoding = stream.encoding if isinstance(stream, io.TextIOWrapper) else "utf-8"
    raw = io.BufferedWriter(_Stream(number, "wb", closefd=False))
    if not os.isatty(number):
        return io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", line_buffering=number == 2)
    from tfgrid_compose.observe.screen import Screen

    # The last gate: whatever text a command forgot to clean gives no orders to the terminal.
    return Screen(raw, encoding=encoding, errors="backslashreplace", line_buffering=True)


def _is_own(stream: io.TextIOWrapper, number: int) -> bool:
    try:
        return stream in (sys.__stdout__, sys.__stderr__) and stream.fileno() == number
    except (OSError, ValueError):
        return False


def flush() -> None:
    """Write what waits. Raises `OutputError` and `BrokenPipeError`."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def give_up() -> None:
    """Nothing can be written any more: drop what waits, so that Python does not try once more at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except (OSError, OutputError):
            os.dup2(null, number)
            with contextlib.suppress(OSError, OutputError):
                stream.flush()
