"""Runs that are cut off, stopped, or that meet each other, on real machines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Cli

SLOW = "for i in $(seq 60); do echo line $i; sleep 0.5; done"


def wait_for(process: subprocess.Popen[str], cli: Cli, name: str, step: str) -> None:
    """Wait until a run is in a step."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        runs = json.loads(cli.run("runs", name, "--json", code=None).stdout or "[]")
        if isinstance(runs, list) and runs:  # Before the deployment is known the answer is an error.
            steps = json.loads(cli.run("runs", "show", str(runs[0]["id"]), "--json").stdout)["steps"]
            if any(item["name"] == step and item["outcome"] is None for item in steps):
                return
        time.sleep(0.1)
    out, err = process.communicate(timeout=10)
    pytest.fail(f"the run never came to {step}:\n{out}\n{err}")


def child(process: subprocess.Popen[str], program: str) -> int:
    """Wait for a child program that has worked for a moment."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        found = subprocess.run(["pgrep", "-P", str(process.pid), "-f", program], capture_output=True, text=True).stdout.split()
        if found:
            time.sleep(0.3)
            return int(found[0])
        time.sleep(0.02)
    pytest.fail(f"{program} never ran")


def machines(cli: Cli, name: str) -> int:
    """Contracts of one deployment."""
    id = json.loads(cli.run("inspect", name).stdout)["id"]
    listed = json.loads(cli.run("localgrid", "status", "--json").stdout)["contracts"]
    return sum(1 for item in listed if item["name"] == f"vm_{id}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_polite_signal_ends_the_step_and_says_what_was_done(
    cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str], number: signal.Signals
) -> None:
    name = removing("e2e-signal")
    folder = make_app(name, setup=f"touch /run/began; {SLOW}")
    process = cli.start("up", str(folder), "--yes")
    wait_for(process, cli, name, "setup")
    time.sleep(0.7)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    if number != signal.SIGHUP:  # Nobody reads any more after that one.
        assert "stopped in step setup" in err and "stopped on the machine" in err and "--resume" in err
    assert cli.exec(name, "pgrep -f '[.]/setup[.]sh' || echo none") == "none"
    make_app(name, setup="true")
    cli.run("up", "--resume", name, "--yes")
    assert cli.status(name)["status"] == "running"
    assert machines(cli, name) == 1


def test_a_second_ctrl_c_stops_at_once_and_can_be_resumed(
    cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str]
) -> None:
    name = removing("e2e-twice")
    folder = make_app(name, setup=SLOW)
    process = cli.start("up", str(folder), "--yes")
    wait_for(process, cli, name, "setup")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - started < 20, "nobody waited for the hook, which has half a minute to go"
    make_app(name, setup="true")
    cli.run("up", "--resume", name, "--yes")
    assert (cli.status(name)["status"], machines(cli, name)) == ("running", 1)


@pytest.mark.parametrize("program", ["terraform_shim apply", "ansible playbook", ""])
def test_kill_nine_in_the_middle_is_resumed(
    cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str], program: str
) -> None:
    """Of the child program, or of ourselves when it is empty."""
    name = removing("e2e-killed")
    folder = make_app(name)
    process = cli.start("up", str(folder), "--yes")
    if program:
        os.kill(child(process, program), signal.SIGKILL)
    else:
        wait_for(process, cli, name, "platform")
        process.kill()
    process.communicate(timeout=120)
    resumed = cli.run("up", str(folder), "--yes")
    assert process.returncode != 0
    assert "the last run (up" in resumed.stderr
    assert (cli.status(name)["status"], machines(cli, name)) == ("running", 1)
    outcomes = [item["outcome"] for item in json.loads(cli.run("runs", name, "--json").stdout)]
    assert "running" not in outcomes


def test_down_takes_its_turn_or_cancels(cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str]) -> None:
    name = removing("e2e-cancel")
    folder = make_app(name, setup=SLOW)
    process = cli.start("up", str(folder), "--yes")
    wait_for(process, cli, name, "setup")
    busy = cli.run("down", name, "--yes", code=6)
    assert "another run holds" in busy.stderr and "runs cancel" in busy.stderr
    assert json.loads(cli.run("runs", name, "--json").stdout)[0]["outcome"] == "running"
    cli.run("down", name, "--yes", "--cancel")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped in step setup" in err
    assert name not in cli.run("ps").stdout


def test_runs_cancel(cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str]) -> None:
    name = removing("e2e-runs")
    folder = make_app(name, setup=SLOW)
    process = cli.start("up", str(folder), "--yes")
    wait_for(process, cli, name, "setup")
    assert "has stopped" in cli.run("runs", "cancel", name).stdout
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert "nothing runs" in cli.run("runs", "cancel", name, code=5).stderr


def test_twenty_processes_one_deployment(cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str]) -> None:
    name = removing("e2e-twenty")
    folder = make_app(name)
    waiting = [cli.start("up", str(folder), "--yes", "--wait", "300") for _ in range(10)]
    refusing = [cli.start("up", str(folder), "--yes") for _ in range(10)]
    outcomes = []
    for process in [*waiting, *refusing]:
        out, err = process.communicate(timeout=500)
        assert "Traceback" not in out + err and process.returncode != 70, out + err
        outcomes.append(process.returncode)
    assert outcomes[:10] == [0] * 10
    assert set(outcomes[10:]) <= {0, 6}
    assert machines(cli, name) == 1
    ran = [item for item in json.loads(cli.run("runs", name, "--json").stdout) if item["kind"] == "up"]
    assert len(ran) == 1, "the others found nothing to do"


def test_ten_apps_at_once(cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str]) -> None:
    names = [removing(f"e2e-many{number}") for number in range(10)]
    processes = [cli.start("up", str(make_app(name)), "--yes") for name in names]
    for process in processes:
        out, err = process.communicate(timeout=500)
        assert process.returncode == 0, out + err
    assert all(cli.status(name)["status"] == "running" for name in names[:3])
    assert cli.run("state", "check").returncode == 0
