"""`up` on a terminal: Ctrl-C, a polite kill and a terminal that closes, while it works on a real machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import Cli
from tests.e2e.test_interruptions import machines

# Half an hour, in a process of its own besides, and deaf to polite requests.
SLOW = "trap '' TERM; sleep 1801 & echo waiting; sleep 1802"


class Screen:
    """A command on a terminal of its own; all that it shows is read as it comes."""

    def __init__(self, cli: Cli, *words: str) -> None:
        self.master, slave = pty.openpty()

        def take() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process: subprocess.Popen[str] = subprocess.Popen(
            cli.argv(*words), stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=take,
            env={**cli.env, "TERM": "xterm"}, cwd=cli.home, text=True,
        )  # fmt: skip
        os.close(slave)
        self.seen = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # Nobody has the other end any more.
            while chunk := os.read(self.master, 65536):
                self.seen += chunk

    def wait_for(self, step: str) -> None:
        """Wait until the live line shows a step."""
        self.seconds_until(f" {step} 0.".encode(), 120)

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self.master, key)

    def close(self) -> None:
        """Close the window: shell and kernel both tell it."""
        os.kill(self.process.pid, signal.SIGHUP)
        os.kill(self.process.pid, signal.SIGHUP)

    def seconds_until(self, words: bytes, patience: float = 30) -> float:
        """How long it takes until the words are on the screen."""
        began = time.monotonic()
        while words not in self.seen:
            assert time.monotonic() < began + patience, self.seen.decode(errors="replace")
            time.sleep(0.01)
        return time.monotonic() - began


@contextmanager
def screen(cli: Cli, *words: str) -> Iterator[Screen]:
    """A command on a terminal, ended after the block whatever happens."""
    found = Screen(cli, *words)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()
        os.close(found.master)


def alive(cli: Cli, name: str) -> bool:
    """Whether the tunnel works: its program lives, and the machine answers through it."""
    return cli.run("exec", name, "--", "true", code=None).returncode == 0


HOWS = ("ctrl-c", "closed", "terminated")


def stopped_in_setup(cli: Cli, name: str, folder: Path, how: str) -> None:
    """Stop an `up` in its hook; the hook is gone then, the tunnel is not."""
    with screen(cli, "up", str(folder), "--yes") as shown:
        shown.seconds_until(b"waiting", 120)
        began = time.monotonic()
        if how == "closed":
            shown.close()
        else:
            shown.press(b"\x03") if how == "ctrl-c" else shown.process.terminate()
            assert shown.seconds_until("Stopping…".encode()) < 1
        assert shown.process.wait(40) == 130
        # The hook is deaf to the polite request, and gets ten seconds.
        assert time.monotonic() - began < 20
        shown._reader.join(5)
    if how != "closed":
        assert b"stopped in step setup" in shown.seen and b"was stopped on the machine" in shown.seen
    assert alive(cli, name)
    assert cli.exec(name, "pgrep -f 'sleep 180[12]' || echo none") == "none"


@pytest.mark.parametrize("how", HOWS)
def test_a_first_run_that_is_stopped_stops_its_hook_and_leaves_the_tunnel(
    cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str], how: str
) -> None:
    name = removing("e2e-screen")
    stopped_in_setup(cli, name, make_app(name, setup=SLOW), how)
    make_app(name)
    cli.run("up", "--resume", name, "--yes")
    assert (cli.status(name)["status"], machines(cli, name)) == ("running", 1)


def test_a_later_run_is_stopped_in_the_same_way(cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str]) -> None:
    name = removing("e2e-screen")
    cli.run("up", str(make_app(name)), "--yes")
    folder = make_app(name, setup=SLOW)
    for how in HOWS:
        stopped_in_setup(cli, name, folder, how)


@pytest.mark.parametrize("step", ["infrastructure", "platform"])
def test_ctrl_c_is_answered_at_once_and_what_was_made_stays_usable(
    cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str], step: str
) -> None:
    name = removing("e2e-screen")
    folder = make_app(name)
    with screen(cli, "up", str(folder), "--yes") as shown:
        shown.wait_for(step)
        time.sleep(0.5)
        shown.press(b"\x03")
        assert shown.seconds_until("Stopping…".encode()) < 1
        assert shown.process.wait(60) == 130
        shown._reader.join(5)
    assert f"stopped in step {step}".encode() in shown.seen, shown.seen.decode()
    if step == "platform":
        assert alive(cli, name)
    cli.run("up", "--resume", name, "--yes")
    assert (cli.status(name)["status"], machines(cli, name)) == ("running", 1)


def test_a_second_ctrl_c_leaves_at_once_and_the_tunnel_stays(
    cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str]
) -> None:
    name = removing("e2e-screen")
    folder = make_app(name, setup=SLOW)
    with screen(cli, "up", str(folder), "--yes") as shown:
        shown.seconds_until(b"waiting", 120)
        shown.press(b"\x03")
        shown.seconds_until("Stopping…".encode())
        shown.press(b"\x03")
        assert shown.process.wait(2) == 130
    assert alive(cli, name)
    make_app(name)
    cli.run("up", "--resume", name, "--yes")
    assert cli.exec(name, "pgrep -f 'sleep 180[12]' || echo none") == "none"
