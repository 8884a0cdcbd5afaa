"""The lease of a deployment, held by real other processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.otherprocess import held
from tfgrid_compose.errors import BusyError, StateError
from tfgrid_compose.state import lease, paths


@pytest.fixture(autouse=True)
def own_home(home: Path) -> Path:
    return home


def test_a_free_lease_has_no_holder_before_during_and_after_a_run() -> None:
    assert lease.holder("a") is None
    with lease.hold("a"):
        found = lease.holder("a")
        assert found is not None
        assert found["pid"] == os.getpid()
    assert lease.holder("a") is None


def test_a_lease_held_elsewhere_is_busy_and_names_pid_and_command() -> None:
    with held("local--my-app") as child:
        with pytest.raises(BusyError, match="another run holds the deployment `my-app`") as caught, lease.hold("local--my-app"):
            pytest.fail("two hold it")
        found = lease.holder("local--my-app")
        assert found is not None
    assert f"(pid {child.pid})" in caught.value.why
    assert "`tfgrid-compose up ./my-app`" in caught.value.why
    assert "--wait" in caught.value.fix
    assert (found["pid"], found["command"]) == (child.pid, "tfgrid-compose up ./my-app")
    assert abs(found["start"] - time.time()) < 60


def test_leases_of_other_names_are_free_meanwhile() -> None:
    with held("a"), lease.hold("b"):
        assert lease.holder("a") is not None


def test_a_holder_that_is_killed_leaves_the_lease_free() -> None:
    with held("a") as child:
        child.kill()
        child.wait(30)
        assert lease.holder("a") is None
        with lease.hold("a"):
            assert (lease.holder("a") or {})["pid"] == os.getpid()


def test_waiting_gets_the_lease_as_soon_as_it_is_free_and_says_for_whom_once() -> None:
    told: list[str] = []
    with held("a") as child:

        def waiting(text: str) -> None:
            told.append(text)
            assert child.stdin
            child.stdin.close()

        with lease.hold("a", wait=30, waiting=waiting):
            assert (lease.holder("a") or {})["pid"] == os.getpid()
    assert len(told) == 1
    assert re.fullmatch(
        rf"waiting for `tfgrid-compose up ./my-app` of .+@.+ \(pid {child.pid}\), which has run for \d+ s", told[0]
    )


def test_waiting_ends_with_its_deadline() -> None:
    with held("a"), pytest.raises(BusyError), lease.hold("a", wait=0.15):
        pytest.fail("two hold it")


def test_a_run_that_fails_gives_its_lease_back() -> None:
    with pytest.raises(ValueError, match="boom"), lease.hold("a"):
        raise ValueError("boom")
    assert lease.holder("a") is None
    with lease.hold("a"):
        pass


def test_the_record_is_private_and_a_damaged_one_is_no_obstacle() -> None:
    with held("a"):
        file = paths.state_dir() / "locks" / "a.lock"
        assert file.stat().st_mode & 0o777 == 0o600
        file.write_text("{half")
        with pytest.raises(BusyError) as caught, lease.hold("a"):
            pytest.fail("two hold it")
    assert caught.value.why == "another process has just taken it"


def test_a_clock_that_was_set_back_gives_no_negative_age() -> None:
    record = {"command": "c", "user": "u", "host": "h", "pid": 1, "start": time.time() + 1000}
    assert lease.describe(record) == "`c` of u@h (pid 1), which has run for 0 s"


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user id")
def test_a_user_without_a_name_can_hold_a_lease(tmp_path: Path) -> None:
    code = """
import os, sys, tempfile
from tfgrid_compose.state import lease
import getpass, socket, json, fcntl
os.setuid(54321)
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp()
with lease.hold("a"):
    print("held", flush=True)
"""
    environment = {key: value for key, value in os.environ.items() if key not in ("LOGNAME", "USER", "LNAME", "USERNAME")}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert run.stdout == "held\n", run.stderr


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["up", "app"], "tfgrid-compose up app"),
        (["up", "app", "--var", "PIN=hunter2!"], "tfgrid-compose up app …"),
        (["up", "--var", "PIN=hunter2!", "app"], "tfgrid-compose up …"),
        (["up", "--var=PIN=hunter2!"], "tfgrid-compose up …"),
        (["-f", "x.yaml", "up"], "tfgrid-compose …"),
    ],
)
def test_the_record_holds_the_command_and_its_app_and_no_value_of_an_option(
    monkeypatch: pytest.MonkeyPatch, words: list[str], shown: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["tfgrid-compose", *words])
    with lease.hold("a"):
        assert (lease.holder("a") or {})["command"] == shown


def test_who_only_looks_does_not_keep_a_run_from_starting() -> None:
    code = """
import sys
from tfgrid_compose.state import lease
print("looking", flush=True)
while True:
    lease.holder("a")
"""
    with lease.hold("a"):
        pass
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout and child.stdout.readline() == "looking\n"
        for _ in range(200):
            with lease.hold("a"):
                pass
    finally:
        child.kill()
        child.communicate()


def test_a_folder_in_the_way_is_a_state_error() -> None:
    (paths.private_dir(paths.state_dir() / "locks") / "a.lock").mkdir()
    with pytest.raises(StateError), lease.hold("a"):
        pytest.fail("it was held")
