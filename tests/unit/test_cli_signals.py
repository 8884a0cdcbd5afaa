"""Ctrl-C, a polite kill and a terminal that closes, sent to a real process that runs the real entry point."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# A command in the place of `ps` that blocks; when it is stopped it works for a while, as undoing a step does.
HELPER = """
import signal, sys, time
import click
from tfgrid_compose.cli import main
from tfgrid_compose.errors import InterruptedError_

marker, how = sys.argv[1:]

class Cleared:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

@click.command()
def block():
    try:
        click.echo("ready")
        if how == "cleared":
            Cleared()
        time.sleep(60)
    except KeyboardInterrupt:
        for _ in range(1000):
            click.echo("undoing")
            click.echo("undoing", err=True)
        if how == "long":
            time.sleep(60)
        with open(marker, "w") as file:
            file.write("undone")
        if how == "told":
            raise InterruptedError_("stopped in step ship", why="it was undone", fix="tfgrid-compose up --resume my-app")
        raise

main.LazyGroup.get_command = lambda self, ctx, name: block
sys.argv = ["tfgrid-compose", "ps"]
main.main()
"""


@contextmanager
def helper(marker: Path, how: str = "quick") -> Iterator[subprocess.Popen[bytes]]:
    """The helper, once it blocks."""
    words = [sys.executable, "-c", HELPER, str(marker), how]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            assert child.stdout and child.stdout.readline() == b"ready\n"
            yield child
        finally:
            child.kill()


@pytest.fixture
def marker(home: Path) -> Path:
    return home / "undone"


def until(child: subprocess.Popen[bytes], line: bytes) -> None:
    """Read what the helper prints until `line`."""
    assert child.stdout
    for found in child.stdout:
        if found == line:
            return
    pytest.fail("it ended")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_the_first_signal_lets_the_command_end_what_it_does(marker: Path, number: signal.Signals) -> None:
    with helper(marker) as child:
        child.send_signal(number)
        _, err = child.communicate(timeout=30)
    assert (child.returncode, marker.read_text()) == (130, "undone")
    if number != signal.SIGHUP:
        assert err.endswith(b"\nStopped.\n")
    assert b"Traceback" not in err


def test_a_signal_that_meets_a_moment_in_which_python_throws_errors_away_is_not_lost(marker: Path) -> None:
    with helper(marker, "cleared") as child:
        _, err = child.communicate(timeout=30)
    assert (child.returncode, marker.read_text()) == (130, "undone")
    assert err.endswith(b"\nStopped.\n") and b"ignored" not in err and b"at once" not in err


def test_a_command_that_explains_how_it_was_stopped_is_heard(marker: Path) -> None:
    with helper(marker, "told") as child:
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert err.decode().splitlines()[-3:] == [
        "Error: stopped in step ship", "  Reason:  it was undone", "  Next:    tfgrid-compose up --resume my-app",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT),
        (signal.SIGINT, signal.SIGHUP), (signal.SIGHUP, signal.SIGTERM),
    ],
)  # fmt: skip
def test_a_second_signal_stops_at_once(marker: Path, first: signal.Signals, second: signal.Signals) -> None:
    with helper(marker, "long") as child:
        child.send_signal(first)
        if first != signal.SIGHUP:
            until(child, b"undoing\n")
        else:
            wait_until_deaf(child.pid)
        began = time.monotonic()
        child.send_signal(second)
        _, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert time.monotonic() - began < 20, "nobody waited for the minute that undoing takes"
    assert not marker.exists(), "it was in the middle of it"
    if signal.SIGHUP not in (first, second):
        assert err.endswith(b"\nStopped at once. `tfgrid-compose up --resume` goes on from here.\n")
        assert b"\x1b" not in err, "no cursor is shown where there is no terminal"


def wait_until_deaf(pid: int) -> None:
    """Wait until a process writes to nowhere, as it does after SIGHUP."""
    deadline = time.monotonic() + 30
    while os.readlink(f"/proc/{pid}/fd/1") != os.devnull:
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Terminals


@contextmanager
def on_terminal(marker: Path, how: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The helper with a terminal of its own, and the terminal's other end."""
    master, slave = pty.openpty()

    def take() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    words = [sys.executable, "-c", HELPER, str(marker), how]
    child = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=take)
    os.close(slave)
    try:
        seen = b""
        while b"ready" not in seen:
            seen += os.read(master, 1000)
        yield child, master
    finally:
        child.kill()
        child.wait()
        try:
            os.close(master)
        except OSError as error:
            assert error.errno == errno.EBADF, "the test has closed it"


def test_a_terminal_that_closes_lets_the_command_end_what_it_does(marker: Path) -> None:
    with on_terminal(marker, "quick") as (child, master):
        os.close(master)
        assert child.wait(30) == 130, "writing to a terminal that is gone is no failure"
    assert marker.read_text() == "undone"


def test_ctrl_c_and_then_a_terminal_that_closes_stops_at_once(marker: Path) -> None:
    with on_terminal(marker, "long") as (child, master):
        os.write(master, b"\x03")
        seen = b""
        while b"undoing" not in seen:
            seen += os.read(master, 1000)
        os.close(master)
        assert child.wait(30) == 130
    assert not marker.exists()


def test_ctrl_c_twice_shows_the_cursor_again(marker: Path) -> None:
    with on_terminal(marker, "long") as (child, master):
        os.write(master, b"\x03")
        seen = b""
        while seen.count(b"undoing") < 2000:
            seen += os.read(master, 65536)
        os.write(master, b"\x03")
        try:
            while b"goes on from here" not in seen:
                seen += os.read(master, 65536)
        except OSError:  # The other end is closed.
            pass
        assert child.wait(30) == 130
    assert seen.endswith(b"\x1b[?25h\r\nStopped at once. `tfgrid-compose up --resume` goes on from here.\r\n")
