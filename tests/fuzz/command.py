"""The command line in this process, with nothing behind it: no program is started, no grid reached, no process replaced."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.fuzz.runner import Unclean
from tfgrid_compose.cli import contracts
from tfgrid_compose.cli import main as entry
from tfgrid_compose.drivers import output, ssh
from tfgrid_compose.errors import EnvironmentError_
from tfgrid_compose.grids import client, registry
from tfgrid_compose.grids.asking import Patience
from tfgrid_compose.grids.live import LiveGrid
from tfgrid_compose.localgrid import engine
from tfgrid_compose.observe.redact import PROCESS
from tfgrid_compose.state import envelope, keys

BUG = 70


class FakeLocalGrid(LiveGrid):
    """Network `local` as a command line without root's powers would have it: it never answers."""


class FakeProcess:
    """A program that ends at once with what `answers` say; every way to start a program ends here."""

    answers: tuple[int, bytes, bytes] = (1, b"", b"")
    pid = 2**22 + 7

    def __init__(self, argv: Sequence[str], *_: Any, **options: Any) -> None:
        [os.fsencode(word) for word in argv]
        if any("\0" in word for word in argv):
            raise ValueError("embedded null byte")
        self.args, self.returncode, out, err = argv, *self.answers
        if os.path.basename(argv[0]) == "bash":  # The shell's own version, which a completion script asks for, is always a text.
            out = out.decode(errors="ignore").encode()
        text = options.get("text") or options.get("universal_newlines") or options.get("encoding")
        as_text = dict(encoding=options.get("encoding"), errors=options.get("errors")) if text else None
        self._folds = options.get("stderr") == subprocess.STDOUT
        self.stdin = io.BytesIO() if options.get("stdin") == subprocess.PIPE else None
        self.stdout = _pipe(out + (err if self._folds else b""), as_text) if options.get("stdout") == subprocess.PIPE else None
        self.stderr = _pipe(err, as_text) if options.get("stderr") == subprocess.PIPE else None

    def __enter__(self) -> FakeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        return self.stdout.read() if self.stdout else None, self.stderr.read() if self.stderr else None

    def wait(self, timeout: float | None = None) -> int:
        return self.returncode

    def poll(self) -> int:
        return self.returncode

    def kill(self) -> None:
        pass

    terminate = kill

    def send_signal(self, number: int) -> None:
        pass


def _pipe(data: bytes, as_text: dict[str, Any] | None) -> Any:
    return io.BytesIO(data) if as_text is None else io.TextIOWrapper(io.BytesIO(data), **as_text)


class _Clock:
    """Time that only passes when somebody waits, so that no deadline takes long."""

    def __init__(self) -> None:
        self.skipped, self._real = 0.0, time.monotonic

    def monotonic(self) -> float:
        return self._real() + self.skipped

    def sleep(self, seconds: float) -> None:
        self.skipped += max(seconds, 0.01)


@contextmanager
def edges(answers: tuple[int, bytes, bytes] = FakeProcess.answers) -> Iterator[None]:
    """Put fakes where the command line would start a program, connect, wait, kill, ask, or become another program.

    Programs end with `answers`: exit code and both outputs.
    """
    clock = _Clock()

    def refused(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    def replaced(*words: Any) -> None:
        [os.fsencode(word) for word in words[-1]]
        raise SystemExit(0)

    def cheap(passphrase: str, salt: bytes, cost: int) -> bytes:
        return hashlib.sha256(passphrase.encode(errors="surrogateescape") + salt).digest()

    def no_grid(*_: Any, **__: Any) -> None:
        raise EnvironmentError_("the local grid needs root", why="a fuzz run has none", fix="none", code="root-needed")

    def bored(seconds: float) -> None:
        raise KeyboardInterrupt  # Whoever watches contracts looks once, then presses Ctrl-C.

    with ExitStack() as stack:
        stack.enter_context(patch.object(contracts, "time", SimpleNamespace(sleep=bored, time=time.time)))
        for owner, name, fake in (
            (subprocess, "Popen", FakeProcess), (output, "talk", lambda process, *_: process.communicate()), (ssh, "replace_process", replaced), (ssh, "relay", replaced), (os, "execv", replaced), (os, "execvp", replaced),
            (os, "kill", lambda *_: None), (time, "sleep", clock.sleep), (time, "monotonic", clock.monotonic),
            (socket, "create_connection", refused), (socket, "getaddrinfo", unknown), (client, "Patience", partial(Patience, attempts=1)),
            (keys, "ask_hidden", lambda question: None), (signal, "signal", lambda *_: None),
            (engine.Engine, "__init__", no_grid), (FakeProcess, "answers", answers), (keys, "_stretched", cheap), (envelope, "_stretched", cheap),
        ):  # fmt: skip
            stack.enter_context(patch.object(owner, name, fake))
        stack.enter_context(patch.dict(registry._GRIDS, {"local": f"{__name__}:FakeLocalGrid"}))
        yield


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str


class _NoClose(io.BytesIO):
    """Outlives the text stream around it."""

    def close(self) -> None:
        """Not yet."""


def call(words: Sequence[str], stdin: bytes = b"", encoding: str = "utf-8") -> Done:
    """Run the command line as a process would, with streams as a process has them. Call it inside of `edges()`."""
    out, err = _NoClose(), _NoClose()
    before, environment = (sys.argv, sys.stdin, sys.stdout, sys.stderr), dict(os.environ)
    known = PROCESS._known, PROCESS._encoded
    sys.argv = ["tfgrid-compose", *words]
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), "utf-8", "strict")
    sys.stdout = io.TextIOWrapper(out, encoding, "strict")
    sys.stderr = io.TextIOWrapper(err, encoding, "backslashreplace")
    try:
        entry.main()
        raise Unclean("main returned")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        sys.stdout.flush()
    finally:
        sys.argv, sys.stdin, sys.stdout, sys.stderr = before
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        PROCESS._known, PROCESS._encoded = known
        keys._PASSPHRASES.clear()
    return Done(code, out.getvalue().decode(errors="replace"), err.getvalue().decode(errors="replace"))


class Escaped(AssertionError):
    """A command failed in a way that it could not explain; the text says where."""


def expect(done: Done, words: Sequence[str], error: BaseException | None) -> None:
    """Raise the error that came out of a command as a bug, or say that a traceback was printed."""
    if done.code == BUG or "Bug: " in done.err or "Traceback" in done.out + done.err:
        raise error or Escaped(f"{list(words)} printed {done.err[-300:]!r}")


def checked(words: Sequence[str], stdin: bytes = b"", encoding: str = "utf-8") -> Done:
    """`call`; raises what the command line took for a bug of its own."""
    bugs: list[Exception] = []

    def kept(error: Exception) -> Any:
        bugs.append(error)
        return "report"

    with patch("tfgrid_compose.cli.bug.save_report", kept):
        done = call(words, stdin, encoding)
    expect(done, words, bugs[0] if bugs else None)
    return done


def answer(chance: Random, texts: Sequence[bytes]) -> tuple[int, bytes, bytes]:
    """What a program could leave: exit code and both outputs."""
    return chance.choice((0, 0, 1, 2, 255, -9)), chance.choice(texts), chance.choice(texts)
