"""Run an outside program: one place for time limits, captured output and a clear failure."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfgrid_compose.errors import EnvironmentError_, TfgridError

_PR_SET_PDEATHSIG = 1
# The mnemonic, as a person or Terraform's way of naming variables gives it.
_WALLET = ("MNEMONIC", "TF_VAR_")
# Looked up before any fork: a child between fork and exec must not load anything.
_PRCTL = ctypes.CDLL(None).prctl


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
) -> Finished:
    """Run `argv` to its end and return its output.

    `timeout` is in seconds; `env` is `environment()` by default. Raises `CommandError` on a non-zero exit when
    `check` is set, and `EnvironmentError_` when the program does not exist or does not end in time.
    """
    data = input.encode() if isinstance(input, str) else input
    try:
        done = subprocess.run(
            list(argv),
            input=data,
            stdin=None if data is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            env=dict(env) if env is not None else environment(),
            cwd=cwd,
        )
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
    finished = Finished(tuple(argv), done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
    if check and not finished.ok:
        raise CommandError(finished)
    return finished


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
