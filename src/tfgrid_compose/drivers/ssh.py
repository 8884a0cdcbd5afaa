"""OpenSSH to one machine: one shared connection, a known_hosts file per deployment."""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfgrid_compose.drivers import output
from tfgrid_compose.drivers.process import Finished, die_with_parent, environment, missing_program, run, started
from tfgrid_compose.errors import EnvironmentError_, ReachError
from tfgrid_compose.state import paths

CONNECTION_LOST = 255


@dataclass(frozen=True)
class Target:
    """A machine as ssh reaches it. `alias` is its name in known_hosts, whatever its address."""

    address: str
    key: Path
    known_hosts: Path
    alias: str
    user: str = "root"
    port: int = 22
    extra: tuple[str, ...] = field(default=())

    @property
    def control_path(self) -> Path:
        """Socket of the shared connection; where the usual folder's name is too long for a socket, in another one."""
        digest = hashlib.sha256(f"{self.alias} {self.user}@{self.address}:{self.port} {self.key}".encode()).hexdigest()[:12]
        return paths.socket_dir() / "ssh" / digest


def options(target: Target, *, share: bool = True) -> list[str]:
    """Ssh options for a target; the user's own configuration is left out on purpose."""
    found = {
        "BatchMode": "yes", "IdentitiesOnly": "yes", "IdentityFile": str(target.key),
        "StrictHostKeyChecking": "accept-new", "UserKnownHostsFile": str(target.known_hosts),
        "HostKeyAlias": target.alias, "ConnectTimeout": "5", "ServerAliveInterval": "5", "ServerAliveCountMax": "4",
        "LogLevel": "ERROR", "Port": str(target.port),
    }  # fmt: skip
    if share:
        found |= {"ControlMaster": "auto", "ControlPath": str(target.control_path), "ControlPersist": "60"}
    words = ["-F", "none"]
    for key, value in found.items():
        words += ["-o", f"{key}={_value(value)}"]
    return [*words, *target.extra]


def _value(text: str) -> str:
    """A value as ssh's configuration reads it: quoted where it has spaces, `%` doubled."""
    doubled = text.replace("%", "%%")
    return f'"{doubled}"' if " " in doubled else doubled


def argv(target: Target, command: str | None = None, *, tty: bool = False, share: bool = True) -> list[str]:
    """The argv of ssh for a remote command line, or for a login shell when there is none."""
    words = ["ssh", *options(target, share=share), *(["-tt"] if tty else ["-T"] if command else [])]
    words += [f"{target.user}@{target.address}"]
    return [*words, "--", command] if command else words


class Connection:
    """Runs commands on one machine over a shared connection; close it at the end of the run."""

    def __init__(self, target: Target) -> None:
        self.target = target
        _make_folders(target)

    def run(self, command: str, *, input: bytes | None = None, timeout: float = 120) -> Finished:
        """Run a shell line to its end. Raises `ReachError` when the connection fails or hangs."""
        mark = new_mark()
        try:
            with started(
                argv(self.target, marked(command, mark)), stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
            ) as process:  # fmt: skip
                out, err = output.talk(process, input, timeout)
        except FileNotFoundError as error:
            raise missing_program("ssh") from error
        except subprocess.TimeoutExpired as error:
            raise self.lost(f"a command did not end within {timeout:g} s") from error
        except output.TooMuchOutput as error:
            raise self.lost(f"a command was ended: {error}") from error
        stdout, code = unmarked(out, mark)
        stderr, _ = unmarked(err, mark)
        if code is None and process.returncode < 0:
            raise self.lost(f"ssh was ended by signal {-process.returncode}")
        if code is None and process.returncode == CONNECTION_LOST:
            raise self.lost((stderr.decode(errors="replace").strip().splitlines() or ["the connection was closed"])[-1])
        return Finished(
            ("ssh", self.target.address, command[:60]), process.returncode if code is None else code,
            stdout.decode(errors="replace"), stderr.decode(errors="replace"),
        )  # fmt: skip

    def stream(
        self, command: str, on_line: Callable[[str], None], *, input: bytes | None = None, clean: Callable[[str], str] = str
    ) -> int | None:
        """Run a shell line, passing on every line of output as it comes. A very long one is cut, after `clean` has had it.

        Returns the line's own exit code, whatever it is; None when the connection ended before it did.
        """
        mark = new_mark()
        found = _Lines(mark, on_line)
        with started(
            argv(self.target, marked(command, mark, merged=True)),
            stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(),
        ) as process:  # fmt: skip
            if input is not None and process.stdin:
                process.stdin.write(input)
                process.stdin.close()
            assert process.stdout is not None
            for line in output.lines(process.stdout, clean):
                found.take(line)
            process.wait()
            return found.code

    def lost(self, why: str) -> ReachError:
        """The error for a connection that failed."""
        return ReachError(
            f"the connection to {self.target.alias} ({self.target.address}) failed",
            why=why,
            fix="tfgrid-compose status shows whether machine and tunnel are up; then run `tfgrid-compose up` again",
        )

    def close(self) -> None:
        """End the shared connection."""
        if self.target.control_path.exists():
            words = ["ssh", *options(self.target), "-O", "exit", f"{self.target.user}@{self.target.address}"]
            run(words, check=False, timeout=10)


# What the machine's login shell says by itself (a greeting in .bashrc), and what ssh says with its exit code, must not
# be taken for the answer of a command. So each answer stands between two marks, the second with the exit code.


def new_mark() -> str:
    """A word that no output has by chance."""
    return f"tfgrid-compose-{secrets.token_hex(8)}"


def marked(command: str, mark: str, *, merged: bool = False) -> str:
    """A remote line that runs a shell line between marks, in a shell that reads no start files.

    The marks stand on both outputs, or on one that holds the other too when they are `merged`.
    """
    other = "exec 2>&1" if merged else f"printf '%s\\n' {mark} >&2"
    script = f"""printf '%s\\n' {mark}; {other}
({command}
)
code=$?; printf '\\n%s %s.\\n' {mark} "$code"; exit "$code"
"""
    return f"exec /bin/sh -c {shlex.quote(script)}"


def unmarked(output: bytes, mark: str) -> tuple[bytes, int | None]:
    """(what stands between the marks, the exit code); the code is None where the second mark did not arrive whole."""
    word = mark.encode()
    _, found, rest = output.partition(word + b"\n")
    rest = rest if found else output
    answer, ended, code = rest.rpartition(b"\n" + word + b" ")
    number = re.match(rb"(\d+)\.\n", code) if ended else None
    return (answer, int(number[1])) if number else (rest, None)


class _Lines:
    """Lines of a stream with marks: passes on what stands between them, and keeps the exit code.

    The marks stand in the list of processes, where every program of the machine reads them: only the very last line can
    be the second mark.
    """

    def __init__(self, mark: str, on_line: Callable[[str], None]) -> None:
        self._mark, self._on_line = mark, on_line
        self._end = re.compile(rf"{re.escape(mark)} (\d+)\.")
        self._begun = False
        # An empty line, and a mark behind it: whether they are output or the end is known with the next line.
        self._held: list[str] = []

    @property
    def code(self) -> int | None:
        """The exit code; None when the connection ended before the command did."""
        found = self._end.fullmatch(self._held[-1]) if self._held else None
        return int(found[1]) if found else None

    def take(self, line: str) -> None:
        """The next line of the stream."""
        if not self._begun:
            self._begun = line == self._mark
        elif self._end.fullmatch(line) and self._held == [""]:
            # The mark stands behind a line end of its own, which makes an empty line behind a whole one.
            self._held.append(line)
        else:
            for held in self._held:
                self._on_line(held)
            waits = not line or self._end.fullmatch(line)
            self._held = [line] if waits else []
            if not waits:
                self._on_line(line)


def relay(words: list[str], mark: str) -> int:
    """Run an ssh client, passing its output on from behind a mark; returns its exit code. Input and errors are its own."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment(), preexec_fn=die_with_parent) as process:
        assert isinstance(process.stdout, io.BufferedReader)
        try:
            for line in process.stdout:
                if line.endswith(f"{mark}\n".encode()):
                    break
            while data := process.stdout.read1(65536):
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
        except KeyboardInterrupt:
            pass  # ssh has got it too, and ends the remote program.
        return process.wait()


def follow(words: list[str], mark: str, on_line: Callable[[str], None], clean: Callable[[str], str] = str) -> int:
    """Run an ssh client whose remote line is marked on one output, passing on each line; returns its exit code.

    Ctrl-C ends it: 130. `clean` takes secrets out of a line that is cut.
    """
    lines, last = _Lines(mark, on_line), ""
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(),
        preexec_fn=die_with_parent,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            for last in output.lines(process.stdout, clean):
                lines.take(last)
            code = process.wait()
        except KeyboardInterrupt:
            return 130
        finally:
            process.terminate()
    if lines.code is None and last:
        on_line(last)  # ssh itself says why nothing came.
    return code if lines.code is None else lines.code


def _make_folders(target: Target) -> None:
    paths.private_dir(target.control_path.parent)
    # ssh would make the file readable for everybody.
    paths.private_log(target.known_hosts).close()


def wait_for_login(targets: Sequence[Target], deadline: float, waiting: Callable[[str], None] = lambda _: None) -> Target:
    """The first target, in order of preference, on which a login works.

    Every address is tried until `deadline` (seconds from now); one that is less preferred is only
    taken when the better ones have had their chance. Raises `ReachError` with what each answered.
    """
    end, started, last = time.monotonic() + deadline, time.monotonic(), dict.fromkeys(targets, "not tried")
    told = started
    for target in targets:
        _make_folders(target)
    while time.monotonic() < end:
        for index, target in enumerate(targets):
            # Give the preferred address a head start of 15 s over each next one.
            if time.monotonic() - started < min(15.0, deadline / 4) * index:
                break
            last[target] = _try_login(target)
            if not last[target]:
                return target
        if time.monotonic() - told > 10:
            told = time.monotonic()
            waiting("; ".join(f"{target.address}: {why}" for target, why in last.items()))
        time.sleep(0.1)
    raise ReachError(
        f"the machine does not answer on {', '.join(target.address for target in targets)}",
        why="; ".join(f"{target.address}: {why}" for target, why in last.items()),
        fix="tfgrid-compose status shows machine and tunnel; `tfgrid-compose up` tries again, `down` removes the machine",
    )


def answering(targets: Sequence[Target], timeout: float = 3.0) -> Target | None:
    """The first target, in order of preference, where an ssh server answers within `timeout` seconds; None when none does.

    No login is tried: whoever asks is about to make one.
    """
    return next((target for target in targets if not knock(target, timeout)), None)


def _try_login(target: Target) -> str:
    """Why a login does not work; empty when it does."""
    refused = knock(target, 2.0)
    if refused:
        return refused
    try:
        done = run(argv(target, "true"), check=False, timeout=30)
    except EnvironmentError_ as error:
        if error.code == "program-missing":
            raise
        return "ssh answers, but a login does not end"
    return "" if done.ok else (done.stderr.strip().splitlines() or ["login failed"])[-1]


def knock(target: Target, timeout: float) -> str:
    """Why no ssh server answers; empty when one does."""
    try:
        with socket.create_connection((target.address, target.port), timeout=timeout) as probe:
            probe.settimeout(3)
            return "" if probe.recv(4).startswith(b"SSH") else "something else than ssh answers"
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__


def replace_process(words: list[str]) -> None:
    """Become the ssh client: exit code, streams and signals are then its own."""
    os.execvpe(words[0], words, environment())
