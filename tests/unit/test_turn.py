"""One writer at a time: taking a turn, losing it to a newer run, and stopping the run that holds it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.otherprocess import other_process
from tests.unit.workbench import Bench
from tfgrid_compose.deploy import operate
from tfgrid_compose.deploy.turn import lease_name, turn
from tfgrid_compose.errors import BusyError
from tfgrid_compose.observe.events import Event, Notice, Stream
from tfgrid_compose.state import lease, paths, whoami
from tfgrid_compose.state.store import Deployment, Store

NAME = "local--my-app"
HOLDER = """
import signal, sys, time
from tfgrid_compose.state import lease
sys.argv = ["tfgrid-compose", "up", "./my-app"]
seen = []
def handle(number, frame):
    seen.append(number)
    if len(seen) >= %(signals)d:
        sys.exit(0)
if %(signals)d:
    signal.signal(signal.SIGTERM, handle)
with lease.hold("local--my-app"):
    print("held", flush=True)
    while True:
        time.sleep(60)
"""
STUBBORN = 99


def holder(signals: int = 0) -> AbstractContextManager[subprocess.Popen[str]]:
    """Another process that holds the lease; it goes at once, or only after so many signals."""
    return other_process(HOLDER % {"signals": signals})


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store() as found:
        yield found


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for seconds to see whether a stubborn process goes."""
    real = lease._freed
    monkeypatch.setattr(lease, "_freed", lambda name, record, seconds: real(name, record, min(seconds, 1.0)))


def record(**changes: Any) -> None:
    """Change what the lock says of its holder."""
    path = paths.state_dir() / "locks" / f"{NAME}.lock"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def deployment(**data: Any) -> Deployment:
    return Deployment("d", "my-app", "local", "running", 1.0, 1.0, data)


# Taking a turn


def test_a_turn_is_a_lease_and_a_fence(store: Store) -> None:
    assert lease_name("my-app", "local") == NAME
    with turn(store, Stream(), "my-app", "local"):
        assert (lease.holder(NAME) or {})["pid"] == os.getpid()
        assert store.token == 1
        store.save(deployment())
    assert (lease.holder(NAME), store.token) == (None, 0)
    with pytest.raises(ValueError), turn(store, Stream(), "my-app", "local"):
        assert store.token == 2
        raise ValueError
    assert (lease.holder(NAME), store.token) == (None, 0)
    store.save(deployment(after=True))


def test_a_second_run_is_busy_and_names_the_first(store: Store) -> None:
    with holder() as child:
        with pytest.raises(BusyError) as caught, turn(store, Stream(), "my-app", "local"):
            pytest.fail("two have it")
        assert f"(pid {child.pid})" in caught.value.why
        assert caught.value.fix == "wait for it with --wait, or stop it with `tfgrid-compose runs cancel`"
        with turn(store, Stream(), "my-app", "main"), turn(store, Stream(), "other", "local"):
            pass
    assert store.token == 0


def test_whoever_waits_is_told_for_whom(store: Store) -> None:
    events: list[Event] = []
    stream = Stream()
    with holder() as child:

        def seen(event: Event) -> None:
            events.append(event)
            child.kill()

        stream.subscribe(seen)
        with turn(store, stream, "my-app", "local", wait=30):
            assert (lease.holder(NAME) or {})["pid"] == os.getpid()
    (told,) = events
    assert isinstance(told, Notice) and told.text.startswith("waiting for `tfgrid-compose up ./my-app` of ")


def test_with_cancel_the_first_run_is_stopped_and_told(store: Store) -> None:
    events: list[Event] = []
    stream = Stream()
    stream.subscribe(events.append)
    with holder(signals=1) as child, turn(store, stream, "my-app", "local", cancel=True):
        assert child.wait(30) == 0, "it could end its step"
        assert (lease.holder(NAME) or {})["pid"] == os.getpid()
    assert isinstance(events[0], Notice) and events[0].text.startswith("stopping `tfgrid-compose up ./my-app` of ")


def test_with_cancel_and_nobody_there_the_turn_is_taken_at_once(store: Store) -> None:
    with turn(store, Stream(), "my-app", "local", cancel=True):
        assert store.token == 1


# Losing it


def lock() -> Path:
    return paths.state_dir() / "locks" / f"{NAME}.lock"


def test_a_lock_file_that_is_removed_lets_a_second_run_in_and_the_first_one_writes_nothing_more(store: Store) -> None:
    with turn(store, Stream(), "my-app", "local"):
        store.save(deployment(by="first"))
        lock().unlink()
        with Store(store.path) as second:
            with turn(second, Stream(), "my-app", "local"):
                second.save(deployment(by="second"))
                with pytest.raises(BusyError, match="this run has lost the deployment `my-app` to another one") as caught:
                    store.save(deployment(by="first again"))
            assert (caught.value.code, caught.value.exit_code) == ("lease-lost", 6)
            with pytest.raises(BusyError):
                store.save(deployment(by="first, after the second has ended"))
            assert second.deployment("d").data == {"by": "second"}


def test_a_lock_file_that_is_replaced_does_too(store: Store) -> None:
    with turn(store, Stream(), "my-app", "local"):
        other = lock().with_suffix(".new")
        other.write_text("")
        other.replace(lock())
        with Store(store.path) as second, turn(second, Stream(), "my-app", "local"):
            pass
        with pytest.raises(BusyError):
            store.set_secret("d", "key", b"x")


def test_an_up_that_loses_its_turn_stops_and_leaves_the_newer_run_its_work(bench: Bench) -> None:
    first = bench.up()
    bench.write("src/page", "two")
    taken: list[int] = []

    def take_over(place: str) -> None:
        if place == "configure" and not taken:
            (paths.state_dir() / "locks" / "main--my-app.lock").unlink()
            with Store(bench.store.path) as second, turn(second, Stream(), "my-app", "main"):
                taken.append(second.start_run(bench.deployment, "down"))
                second.end_run(taken[0], "succeeded")

    bench.fail_at = take_over  # type: ignore[method-assign]
    with pytest.raises(BusyError) as caught:
        bench.up()
    assert (caught.value.code, caught.value.aftermath) == ("lease-lost", "")
    newest, lost = bench.store.runs(limit=2)
    assert (newest["id"], newest["outcome"]) == (taken[0], "succeeded")
    assert (lost["kind"], lost["outcome"]) == ("up", "cut off")
    assert bench.outcomes(lost["id"])["configure"] == "cut off", "as the newer run has written it"
    assert bench.machine.current == first.id


# Stopping a run


def test_nobody_is_stopped_where_nobody_runs(store: Store) -> None:
    assert lease.stop_holder(NAME, patience=1) is None
    with lease.hold(NAME):
        pass
    assert lease.stop_holder(NAME, patience=1) is None


def test_a_run_that_is_stopped_gets_a_polite_signal_and_its_record_is_returned(store: Store) -> None:
    told: list[str] = []
    with holder(signals=1) as child:
        found = lease.stop_holder(NAME, patience=30, waiting=told.append)
        assert child.wait(30) == 0
    assert found and (found["pid"], found["command"]) == (child.pid, "tfgrid-compose up ./my-app")
    (text,) = told
    assert text.startswith("stopping `tfgrid-compose up ./my-app` of ") and f"(pid {child.pid})" in text


def test_a_second_signal_stops_what_is_at_work_for_too_long(store: Store) -> None:
    with holder(signals=2) as child:
        assert lease.stop_holder(NAME, patience=0.3) is not None
        assert child.wait(30) == 0, "it went by itself"


def test_a_stubborn_run_is_killed(store: Store, hurried: None) -> None:
    with holder(signals=STUBBORN) as child:
        assert lease.stop_holder(NAME, patience=0.3) is not None
        assert child.wait(30) == -signal.SIGKILL
    assert lease.holder(NAME) is None


def test_the_patience_is_kept_before_the_second_signal(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    waited: list[float] = []
    monkeypatch.setattr(lease, "_signal", lambda record, number: sent.append(number))
    monkeypatch.setattr(lease, "_freed", lambda name, record, seconds: waited.append(seconds))
    with holder(), pytest.raises(BusyError) as caught:
        lease.stop_holder(NAME, patience=120)
    assert (sent, waited) == ([signal.SIGTERM, signal.SIGTERM, signal.SIGKILL], [120, 5.0, 5.0])
    assert (caught.value.code, caught.value.exit_code) == ("cancel-failed", 6)
    assert caught.value.fix.startswith("ps -o ")


def test_a_number_that_was_given_to_another_process_is_never_signalled(store: Store, hurried: None) -> None:
    with holder() as child:
        record(born=(whoami.process_start(child.pid) or 0) + 1)
        with pytest.raises(BusyError) as caught:
            lease.stop_holder(NAME, patience=0.2)
        assert caught.value.code == "cancel-failed"
        assert child.poll() is None, "it lives"


def test_a_run_on_another_computer_is_not_signalled(store: Store) -> None:
    with holder() as child:
        record(host="elsewhere")
        with pytest.raises(BusyError, match="the run can't be stopped from here") as caught:
            lease.stop_holder(NAME, patience=0.2)
        assert (caught.value.code, caught.value.fix) == ("cancel-failed", "stop it on elsewhere")
        assert child.poll() is None


def test_a_lock_that_says_nothing_of_its_holder_stops_nobody(store: Store) -> None:
    with holder() as child:
        lock().write_text("")
        with pytest.raises(BusyError) as caught:
            lease.stop_holder(NAME, patience=0.2)
        assert (caught.value.code, caught.value.why) == ("cancel-failed", "another process has just taken it")
        assert child.poll() is None


def test_the_run_of_another_user_needs_sudo(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(lease, "os", SimpleNamespace(kill=refuse))
    with holder(), pytest.raises(BusyError, match="the run can't be stopped by this user") as caught:
        lease.stop_holder(NAME, patience=0.2)
    assert caught.value.fix == "run the command with sudo"


def test_a_process_that_is_dead_already_has_no_start() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    assert whoami.process_start(os.getpid()) is not None
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert whoami.process_start(child.pid) is None, "a zombie holds nothing"
    child.wait()
    assert whoami.process_start(child.pid) is None


# How a run looks from outside


def test_a_run_without_an_end_is_running_only_while_its_own_process_has_the_turn(store: Store) -> None:
    look: Callable[[], str] = lambda: operate.run_outcome(store.runs("d", 1)[0])  # noqa: E731
    with turn(store, Stream(), "my-app", "local"):
        run = store.start_run(deployment(), "up")
        assert look() == "running"
    assert look() == "cut off"
    with holder():
        assert look() == "cut off", "another one runs now"
    store.end_run(run, "succeeded")
    assert look() == "succeeded"
