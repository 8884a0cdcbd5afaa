"""Run an outside program: one place for time limits, captured output and a clear failure."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tfgrid_compose.drivers import output
from tfgrid_compose.errors import EnvironmentError_, TfgridError

_PR_SET_PDEATHSIG = 1
# The mnemonic, as a person or Terraform's way of naming variables gives it.
_WALLET = ("MNEMONIC", "TF_VAR_")
# Looked up before any fork: a child between fork and exec must not load anything.
_PRCTL = ctypes.CDLL(None).prctl
# What a program gets to clean up behind itself before it is killed, in seconds.
_GRACE = 10.0
# Programs that this process waits for now.
_running: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Finished:
    """What a program left: exit code and decoded output."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether the program exited with 0."""
        return self.code == 0

    @property
    def last_lines(self) -> list[str]:
        """The last lines that were printed, standard error first choice."""
        text = self.stderr.strip() or self.stdout.strip()
        return text.splitlines()[-8:]


class CommandError(TfgridError):
    """An outside program failed; the message names it and keeps its last lines."""

    code = "command-failed"

    def __init__(self, finished: Finished) -> None:
        super().__init__(
            f"`{' '.join(finished.argv[:6])}` exited with {finished.code}",
            why=(finished.last_lines or ["it printed nothing"])[-1],
            details=finished.last_lines,
        )
        self.finished = finished


def python_module(name: str) -> list[str]:
    """The argv that runs a module of this installation.

    `python -m` puts the current folder first on the module path, and that may be the folder of an app of somebody
    else, while this runs as root. `-P` leaves it out, here and in what the program starts by the same way.
    """
    return [sys.executable, "-P", "-m", name]


def environment() -> dict[str, str]:
    """This process's environment for an outside program: without the account's mnemonic, which only Terraform needs.

    A playbook or a program that it starts could read it there, and so could whoever looks at the process.
    """
    return {key: value for key, value in os.environ.items() if not key.startswith(_WALLET)}


def run(
    argv: Sequence[str],
    *,
    check: bool = True,
    input: str | bytes | None = None,
    timeout: float = 120,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Finished:
    """Run `argv` to its end and return its output.

    `timeout` is in seconds; `env` is `environment()` by default; `pass_fds` stay open in the program. Raises
    `CommandError` on a non-zero exit when `check` is set, and `EnvironmentError_` when the program does not exist, does not
    end in time or prints without end.
    """
    data = input.encode() if isinstance(input, str) else input
    try:
        with started(
            argv, stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=dict(env) if env is not None else environment(), cwd=cwd,
            pass_fds=pass_fds,
        ) as process:  # fmt: skip
            out, err = output.talk(process, data, timeout)
    except FileNotFoundError as error:
        if cwd is not None and not os.path.isdir(cwd):
            raise EnvironmentError_(
                f"there is no folder {cwd}",
                why=f"`{argv[0]}` was to run there",
                fix="run the command again",
                code="folder-missing",
            ) from error
        raise missing_program(argv[0]) from error
    except subprocess.TimeoutExpired as error:
        raise EnvironmentError_(
            f"`{' '.join(argv[:6])}` did not end within {timeout:g} s",
            why="the program hangs, or the machine is very busy",
            fix="run the command again; `tfgrid-compose doctor` checks this computer",
            code="command-timeout",
        ) from error
    except output.TooMuchOutput as error:
        raise EnvironmentError_(
            f"`{' '.join(argv[:6])}` was ended", why=str(error), fix="run the command again", code="command-output"
        ) from error
    finished = Finished(tuple(argv), process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
    if check and not finished.ok:
        raise CommandError(finished)
    return finished


@contextmanager
def started(argv: Sequence[str], **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own, so that neither Ctrl-C nor a terminal that closes reaches it or what it leaves running.

    We decide what becomes of it: it is ended, with all that it started, when the block is left by an exception or before
    the program has ended. `how` is for `Popen`. Raises `FileNotFoundError` when there is no such program.
    """
    # sudo asks for a password on the terminal; who needs a session behind it starts one there (`as_root`).
    process = subprocess.Popen(list(argv), start_new_session=argv[0] != "sudo", **how)
    _running.add(process)
    try:
        yield process
    finally:
        try:
            end(process)
        finally:
            _running.discard(process)
            for pipe in (process.stdin, process.stdout, process.stderr):
                with contextlib.suppress(OSError):  # What was still to be written has no reader any more.
                    pipe.close() if pipe else None


def end(process: subprocess.Popen[bytes], grace: float = _GRACE) -> None:
    """Ask a program and what it started to end; after `grace` seconds they are killed. One that has ended is left alone."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, _GRACE)):
        if process.poll() is not None:
            return
        _signal(process, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def end_all() -> None:
    """Ask every program that this process waits for to end, and wait for none."""
    for process in tuple(_running):
        if process.returncode is None:
            _signal(process, signal.SIGTERM)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal a program that was not waited for yet, with its whole group when that is its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)


def die_with_parent() -> None:
    """For `preexec_fn`: the kernel stops this child when the process that started it dies, however it dies.

    Without it a killed run leaves Terraform or Ansible working on machines that nobody watches.
    SIGINT lets Terraform save its state. Linux only (prctl(2), PR_SET_PDEATHSIG).
    """
    _PRCTL(_PR_SET_PDEATHSIG, signal.SIGINT)


def missing_program(name: str) -> EnvironmentError_:
    """The error for a program that is not installed."""
    return EnvironmentError_(
        f"`{name}` is not installed",
        why="tfgrid-compose drives it and cannot do without",
        fix="tfgrid-compose doctor --fix",
        code="program-missing",
    )
