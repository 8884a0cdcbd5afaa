"""Outside programs: their session, their end, and how much of their output is kept."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrid_compose.drivers import ansible, output, process, sudo
from tfgrid_compose.errors import EnvironmentError_

# Prints the pid of a child that never ends by itself, and waits for it.
PARENT = "sleep 60 & echo $!; wait"


def gone(pid: int) -> bool:
    """Whether a process is no more, or only waits for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while not gone(pid):
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.01)


def test_a_program_has_a_session_that_the_terminal_does_not_reach() -> None:
    done = process.run(["sh", "-c", "cut -d' ' -f6 /proc/self/stat"])
    assert int(done.stdout) != os.getsid(0)


def test_a_program_that_is_left_by_an_exception_ends_with_all_that_it_started() -> None:
    with pytest.raises(KeyboardInterrupt):
        with process.started(["sh", "-c", PARENT], stdout=subprocess.PIPE) as child:
            assert child.stdout
            pid = int(child.stdout.readline())
            raise KeyboardInterrupt
    assert child.returncode == -signal.SIGTERM
    until_gone(pid)


def test_a_program_that_does_not_listen_is_killed() -> None:
    with process.started(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"], stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline() == b"ready\n"
        process.end(child, grace=0.1)
    assert child.returncode == -signal.SIGKILL


def test_all_that_is_waited_for_can_be_ended_at_once() -> None:
    with process.started(["sh", "-c", PARENT], stdout=subprocess.PIPE) as child:
        assert child.stdout
        pid = int(child.stdout.readline())
        process.end_all()
        assert child.wait(10) == -signal.SIGTERM
    until_gone(pid)
    process.end_all()


def test_what_a_program_leaves_running_lives_on() -> None:
    done = process.run(["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"])
    pid = int(done.stdout)
    process.end_all()
    try:
        assert not gone(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_program_that_hangs_ends_with_its_children() -> None:
    with pytest.raises(EnvironmentError_, match=r"did not end within 0.2 s"):
        process.run(["sh", "-c", "sleep 61.25 & wait"], timeout=0.2)
    words = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert b"sleep\x0061.25\x00" not in words


def test_sudo_keeps_the_terminal_and_what_lasts_gets_a_session_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sudo.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert sudo.as_root(["ip", "link"]) == ["sudo", "--", "ip", "link"]
    assert sudo.as_root(["wg-quick", "up", "x"], lasting=True) == ["sudo", "--", "setsid", "--wait", "wg-quick", "up", "x"]


def test_both_outputs_and_the_input_go_through_whole() -> None:
    data = os.urandom(3_000_000).hex().encode()
    done = process.run(["sh", "-c", "tee /dev/stderr"], input=data)
    assert done.stdout == done.stderr == data.decode()


def test_a_program_that_reads_nothing_is_no_failure() -> None:
    assert process.run(["true"], input=b"x" * 1_000_000).ok


def test_output_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def limited(child: subprocess.Popen[bytes], data: bytes | None, timeout: float) -> tuple[bytes, bytes]:
        return talk(child, data, timeout, limit=1000_000)

    talk = output.talk
    monkeypatch.setattr(output, "talk", limited)
    with pytest.raises(EnvironmentError_, match="was ended") as caught:
        process.run(["yes"])
    assert (caught.value.code, caught.value.why) == ("command-output", "it printed more than 976.6 KiB")


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line and b"\r" not in line)))
def test_lines_are_those_of_the_program(found: list[bytes]) -> None:
    text = b"".join(line + b"\n" for line in found)
    assert list(output.lines(io.BufferedReader(io.BytesIO(text)))) == [line.decode(errors="replace") for line in found]


@pytest.mark.parametrize("size", [output.LINE, output.LINE + 4096, output.LINE + 4097, 5_000_000])
def test_a_line_beyond_the_limit_is_cut_and_says_so(size: int) -> None:
    found = list(output.lines(io.BufferedReader(io.BytesIO(b"x" * size + b"\nnext"))))
    assert found[1:] == ["next"]
    assert len(found[0]) <= output.LINE + 4096
    assert ("of this line are left out)" in found[0]) == (size > output.LINE + 4096)


@pytest.mark.parametrize("before", range(output.LINE + 4096 - 20, output.LINE + 4096 + 1))
def test_a_secret_at_the_cut_is_not_half_shown(before: int) -> None:
    text = b"." * before + b"sw0rdfish-sw0rdfish" + b"." * 9999
    shown = next(output.lines(io.BufferedReader(io.BytesIO(text)), lambda line: line.replace("sw0rdfish-sw0rdfish", "***")))
    assert "sw0rd" not in shown


def test_a_line_of_300_mb_takes_no_memory() -> None:
    code = """
import resource, subprocess
from tfgrid_compose.drivers import output
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with subprocess.Popen("head -c 300000000 /dev/zero | tr '\\\\0' x", shell=True, stdout=subprocess.PIPE) as child:
    print([len(line) < 100_000 for line in output.lines(child.stdout)])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000)
"""
    assert process.run([sys.executable, "-c", code]).stdout.split() == ["[True]", "True"]


def test_of_many_lines_so_much_is_kept_and_then_a_note() -> None:
    allowance = output.Allowance(10)
    assert [allowance.take(line) for line in ("1234", "", "123", "", "x")] == [
        "1234", "", "123", "… (more than 10 bytes were printed; the rest is left out)", None,
    ]  # fmt: skip


@pytest.mark.parametrize("size", [10, 200_000])
def test_what_a_playbook_prints_is_masked_also_in_a_line_that_is_cut(size: int) -> None:
    log = io.StringIO()
    script = f"printf 'sw0rdfish '; head -c {size} /dev/zero | tr '\\0' x; echo; echo sw0rdfish"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as child:
        tail = ansible._copy(child, log, lambda text: text.replace("sw0rdfish", "***"))
    assert "sw0rdfish" not in log.getvalue() + "".join(tail)
    assert log.getvalue().startswith("*** xxx") and tail[-1] == "***"
    assert len(log.getvalue()) < 100_000
