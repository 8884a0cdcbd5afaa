"""The journal: an intent stands there before its outcome, and a run that was cut off is never taken for one that goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tfgrid_compose.errors import BusyError
from tfgrid_compose.state import whoami
from tfgrid_compose.state.store import Deployment, Store


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store() as found:
        yield found


def deployment(id: str = "d") -> Deployment:
    return Deployment(id, f"app-{id}", "local", "deploying", 1.0, 1.0)


def outcomes(store: Store, run: int) -> dict[str, str | None]:
    return {step["name"]: step["outcome"] for step in store.steps(run)}


# Runs


def test_a_run_keeps_who_ran_what_on_which_deployment_and_with_which_aim(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tfgrid-compose", "up", "./app", "--var", "PIN=hunter2!"])
    token = store.take_fence("local--app-d")
    number = store.start_run(deployment(), "up", {"options": {"cpu": 4}, "ü": None})
    (run,) = store.runs("d")
    kept = {key: run[key] for key in ("id", "deployment", "name", "network", "kind", "who", "command", "pid", "token", "data")}
    assert kept == {
        "id": number, "deployment": "d", "name": "app-d", "network": "local", "kind": "up", "who": whoami.who(),
        "command": "tfgrid-compose up ./app …", "pid": os.getpid(), "token": token, "data": {"options": {"cpu": 4}, "ü": None},
    }  # fmt: skip
    assert (run["ended"], run["outcome"], run["error"]) == (None, None, None)


def test_runs_are_listed_newest_first_of_one_deployment_or_of_all(store: Store) -> None:
    first = store.start_run(deployment(), "up")
    store.end_run(first, "failed", {"code": "hook-failed", "details": ["ü"]})
    other = store.start_run(deployment("e"), "up")
    second = store.start_run(deployment(), "down")
    assert [run["id"] for run in store.runs("d")] == [second, first]
    assert [run["id"] for run in store.runs()] == [second, other, first]
    assert [run["id"] for run in store.runs(None, 2)] == [second, other]
    assert [run["id"] for run in store.runs("nobody")] == []
    found = store.runs("d")[1]
    assert (found["outcome"], found["error"]) == ("failed", {"code": "hook-failed", "details": ["ü"]})
    assert found["ended"] >= found["started"]
    store.end_run(second, "succeeded")
    assert store.runs("d", 1)[0]["outcome"] == "succeeded"


def test_a_run_is_found_by_its_number(store: Store) -> None:
    number = store.start_run(deployment(), "up", {"a": 1})
    found = store.run(number)
    assert found and found["data"] == {"a": 1}
    assert store.run(number + 1) is None


def test_networks_are_those_that_runs_were_on(store: Store) -> None:
    store.start_run(deployment(), "up")
    store.start_run(Deployment("e", "e", "main", "new", 1.0, 1.0), "up")
    assert store.networks() == {"local", "main"}


# Runs that were cut off

CUT_OFF = """
import os, signal
from tfgrid_compose.state.store import Deployment, Store
store = Store()
run = store.start_run(Deployment("d", "app-d", "local", "deploying", 1.0, 1.0), "up")
store.begin_step(run, "d", "infrastructure", {})
store.end_step(run, "d", "infrastructure", "done")
store.begin_step(run, "d", "setup", {"a": "1"})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_run_closes_one_that_was_killed_and_the_step_that_it_was_in(store: Store) -> None:
    assert subprocess.run([sys.executable, "-c", CUT_OFF], timeout=60).returncode == -9
    (run,) = store.runs("d")
    assert (run["outcome"], run["ended"]) == (None, None)
    assert outcomes(store, run["id"]) == {"infrastructure": "done", "setup": None}
    store.start_run(deployment(), "up")
    closed = store.run(run["id"])
    assert closed and (closed["outcome"], closed["error"]) == ("cut off", None)
    assert closed["ended"] >= closed["started"]
    assert outcomes(store, run["id"]) == {"infrastructure": "done", "setup": "cut off"}
    assert list(store.done("d")) == ["infrastructure"], "what was begun and never ended is not done"


def test_runs_that_ended_and_runs_of_others_are_left_alone(store: Store) -> None:
    ended, other = store.start_run(deployment(), "up"), store.start_run(deployment("e"), "up")
    store.begin_step(ended, "d", "setup", {})
    store.end_step(ended, "d", "setup", "failed", "boom")
    store.end_run(ended, "failed")
    store.begin_step(other, "e", "setup", {})
    before = store.run(ended)
    store.start_run(deployment(), "up")
    assert store.run(ended) == before
    assert outcomes(store, ended) == {"setup": "failed"}
    assert (store.runs("e")[0]["outcome"], outcomes(store, other)) == (None, {"setup": None})


@pytest.mark.parametrize("outcome", [None, "failed", "interrupted"])
def test_the_newest_run_is_unfinished_unless_it_succeeded(store: Store, outcome: str | None) -> None:
    assert store.unfinished("d") is None
    store.end_run(store.start_run(deployment(), "up"), "succeeded")
    assert store.unfinished("d") is None
    run = store.start_run(deployment(), "rollback", {"release": "r1"})
    if outcome:
        store.end_run(run, outcome)
    found = store.unfinished("d")
    assert found and (found["id"], found["kind"], found["data"]) == (run, "rollback", {"release": "r1"})
    assert store.unfinished("e") is None
    store.end_run(store.start_run(deployment(), "up"), "succeeded")
    assert store.unfinished("d") is None, "an older failure is history"


# Steps


def test_the_intent_of_a_step_is_there_before_its_outcome_and_voids_what_was_done(store: Store) -> None:
    run = store.start_run(deployment(), "up")
    store.begin_step(run, "d", "ship", {"b": "2", "a": "1"})
    store.end_step(run, "d", "ship", "done", "fine")
    assert store.done("d") == {"ship": {"a": "1", "b": "2"}}
    store.begin_step(run, "d", "ship", {"a": "3"})
    store.close()
    with Store(store.path) as again:
        assert again.done("d") == {}
        (step,) = again.steps(run)
    assert (step["name"], step["inputs"]) == ("ship", '{"a": "3"}')
    assert (step["outcome"], step["ended"], step["note"]) == (None, None, None)


@pytest.mark.parametrize(
    ("outcome", "counts"), [("done", True), ("tolerated", True), ("failed", False), ("skipped", False), ("undone", False)]
)
def test_only_what_succeeded_counts_as_done(store: Store, outcome: str, counts: bool) -> None:
    run = store.start_run(deployment(), "up")
    store.begin_step(run, "d", "setup", {"x": "1"})
    store.end_step(run, "d", "setup", outcome, "a note")
    assert store.done("d") == ({"setup": {"x": "1"}} if counts else {})
    assert (store.usual_seconds("setup") is not None) is counts
    (step,) = store.steps(run)
    assert (step["outcome"], step["note"], step["inputs"], step["attempts"]) == (outcome, "a note", '{"x": "1"}', 1)


def test_inputs_at_the_end_replace_those_of_the_beginning(store: Store) -> None:
    run = store.start_run(deployment(), "up")
    store.begin_step(run, "d", "infrastructure", {"keys": "?"})
    store.end_step(run, "d", "infrastructure", "done", "", {"keys": "abc", "a": "1"})
    assert store.done("d") == {"infrastructure": {"a": "1", "keys": "abc"}}
    assert store.steps(run)[0]["inputs"] == '{"a": "1", "keys": "abc"}'


def test_every_further_attempt_is_counted(store: Store) -> None:
    run = store.start_run(deployment(), "up")
    for step in ("reach", "ship"):
        store.begin_step(run, "d", step, {})
    for attempt in (2, 3):
        store.retry_step(run, "reach", attempt)
    assert {step["name"]: step["attempts"] for step in store.steps(run)} == {"reach": 3, "ship": 1}
    store.begin_step(run, "d", "reach", {})
    assert {step["name"]: step["attempts"] for step in store.steps(run)} == {"reach": 1, "ship": 1}, "begun anew"


def test_steps_keep_the_order_in_which_they_began(store: Store) -> None:
    run = store.start_run(deployment(), "up")
    for name in ("tunnel", "infrastructure", "activate"):
        store.begin_step(run, "d", name, {})
    assert [step["name"] for step in store.steps(run)] == ["tunnel", "infrastructure", "activate"]
    assert store.steps(run + 1) == []


def test_undoing_forgets_the_named_steps_of_one_deployment(store: Store) -> None:
    for id in ("d", "e"):
        run = store.start_run(deployment(id), "up")
        for name in ("a", "b", "c"):
            store.begin_step(run, id, name, {})
            store.end_step(run, id, name, "done")
    store.undo("d", "a", "c", "unknown")
    assert (list(store.done("d")), len(store.done("e"))) == (["b"], 3)


def test_the_usual_time_of_a_step_is_the_median_of_the_last_nine(store: Store) -> None:
    assert store.usual_seconds("setup") is None
    with store.write() as db:
        for at, seconds in enumerate([1000.0, 1000.0, 5.0, 1.0, 9.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0]):
            db.execute("INSERT INTO durations VALUES ('setup', ?, ?)", (seconds, at))
    assert store.usual_seconds("setup") == 5.0


# Fencing

WRITES: dict[str, Any] = {
    "start a run": lambda store: store.start_run(deployment(), "up"),
    "end a run": lambda store: store.end_run(1, "succeeded"),
    "begin a step": lambda store: store.begin_step(1, "d", "ship", {}),
    "retry a step": lambda store: store.retry_step(1, "ship", 2),
    "end a step": lambda store: store.end_step(1, "d", "ship", "done"),
    "save": lambda store: store.save(deployment()),
    "forget": lambda store: store.forget("d"),
    "undo": lambda store: store.undo("d", "ship"),
    "add a release": lambda store: store.add_release("r2", "d", {}),
    "make a release live": lambda store: store.set_release_live("r1", "d"),
    "fail a release": lambda store: store.set_release_failed("r1"),
    "forget releases": lambda store: store.forget_releases("d", ["r1"]),
    "keep a secret": lambda store: store.set_secret("d", "key", b"other"),
    "write into the audit log": lambda store: store.append_audit(action="up"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_whoever_lost_the_lease_to_a_newer_run_writes_nothing_more(store: Store, write: Any) -> None:
    first = store.take_fence("local--app-d")
    store.save(deployment())
    run = store.start_run(deployment(), "up")
    store.begin_step(run, "d", "ship", {})
    store.add_release("r1", "d", {})
    store.set_secret("d", "key", b"value")
    before = dump(store)
    with Store(store.path) as newer:
        assert newer.take_fence("local--app-d") == first + 1
    with pytest.raises(BusyError, match="this run has lost the deployment `app-d`") as caught:
        write(store)
    assert caught.value.code == "lease-lost"
    assert dump(store) == before
    assert store.secret("d", "key") == b"value", "reading is no harm"


def test_a_fence_of_another_lease_is_no_obstacle(store: Store) -> None:
    store.take_fence("local--app-d")
    with Store(store.path) as other:
        other.take_fence("local--app-e")
        other.save(deployment("e"))
    store.save(deployment())
    store.drop_fence()
    assert store.token == 0


def dump(store: Store) -> list[tuple[Any, ...]]:
    """All rows but those of leases, and the count of all writes, which a lease taken by another one moves."""
    db = store._db
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'") if row[0] != "leases"]
    rows = [tuple(row) for table in sorted(tables) for row in db.execute(f"SELECT * FROM {table}")]
    return [row for row in rows if row[0] != "writes"]


@pytest.mark.parametrize("number", [0, -1, 10**30])
def test_a_number_that_no_run_can_have_is_just_not_found(store: Store, number: int) -> None:
    store.start_run(deployment(), "up")
    assert store.run(number) is None
