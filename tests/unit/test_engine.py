"""The engine: steps in order, intent before effect and outcome after it, retries, and what Ctrl-C and crashes leave."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workbench import STEPS, Bench, contract
from tfgrid_compose.deploy import engine, rollback
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.plan import Plan, PlannedStep, make_plan
from tfgrid_compose.deploy.retry import NEVER, Policy
from tfgrid_compose.deploy.steps.base import Step, Tolerated
from tfgrid_compose.errors import GridError, HookError, InterruptedError_, PlatformError, ReachError, TfgridError
from tfgrid_compose.observe.events import RunEnded, RunStarted, StepEnded, StepRetry
from tfgrid_compose.state.audited import digest_of
from tfgrid_compose.state.store import Deployment, Store


class Fake(Step):
    """A step that does what a test says: raises errors, one each time, then calls `act`."""

    def __init__(self, name: str, *errors: BaseException, act: Callable[[Context], None] | None = None) -> None:
        self.name, self.errors, self.act = name, list(errors), act
        self.runs = 0
        self.undone: str | BaseException = f"{name} was taken back"
        self.values = {"a": "1"}
        self.there = True

    def describe(self, context: Context) -> str:
        return f"does {self.name}"

    def inputs(self, context: Context) -> dict[str, str]:
        return dict(self.values)

    def probe(self, context: Context) -> bool:
        return self.there

    def apply(self, context: Context) -> str:
        self.runs += 1
        if self.errors:
            raise self.errors.pop(0)
        if self.act:
            self.act(context)
        return f"{self.name} noted"

    def undo(self, context: Context) -> str:
        if isinstance(self.undone, BaseException):
            raise self.undone
        return self.undone


def execute(bench: Bench, *steps: Fake, needed: bool = True, policy: Policy | None = None, kind: str = "up") -> None:
    """Run steps."""
    with bench.context(write=True) as context:
        context.policy = policy or context.policy
        plan = Plan(tuple(PlannedStep(step, step.name, "x" if needed else "") for step in steps), True)
        engine.execute(context, plan, kind, {"asked": "for"})


def passing(text: str = "Hash Sum mismatch") -> PlatformError:
    """A failure that is known to pass."""
    return PlatformError("the platform could not be made", why=text)


def of(bench: Bench, kind: type[Any]) -> list[Any]:
    return [event for event in bench.events if isinstance(event, kind)]


# Order, intent, outcome


def test_a_run_that_succeeds_is_told_and_journalled_step_by_step(bench: Bench) -> None:
    execute(bench, Fake("one"), Fake("two"))
    assert [event.kind for event in bench.events] == [
        "run-started", "step-started", "step-ended", "step-started", "step-ended", "run-ended",
    ]  # fmt: skip
    started, ended = of(bench, RunStarted)[0], of(bench, RunEnded)[0]
    assert (started.command, started.name, started.deployment) == ("up", "my-app", bench.deployment.id)
    assert started.steps == (("one", 5.0), ("two", 5.0))
    assert [(event.step, event.outcome, event.text) for event in of(bench, StepEnded)] == [
        ("one", "done", "one noted"), ("two", "done", "two noted"),
    ]  # fmt: skip
    assert (ended.outcome, ended.error) == ("succeeded", None)
    run = bench.last_run
    assert (run["id"], run["kind"], run["outcome"], run["error"], run["data"]) == (
        started.run, "up", "succeeded", None, {"asked": "for"},
    )  # fmt: skip
    assert bench.outcomes() == {"one": "done", "two": "done"}
    assert bench.store.done(bench.deployment.id) == {"one": {"a": "1"}, "two": {"a": "1"}}
    assert bench.deployment.status == "running"


def test_the_intent_is_committed_before_the_effect_and_voids_what_was_done(bench: Bench) -> None:
    execute(bench, Fake("one"), Fake("two"))
    seen: dict[str, Any] = {}

    def look(context: Context) -> None:
        with Store(bench.store.path) as other:
            (run,) = other.runs(limit=1)
            (step,) = [item for item in other.steps(run["id"]) if item["name"] == "two"]
            seen.update(
                run=run["outcome"], step=(step["outcome"], step["ended"], step["inputs"]), done=list(other.done(context.deployment.id)),
                status=other.deployments()[0].status, audit=other.audit_entries(limit=1)[0].facts["phase"],
            )  # fmt: skip

    execute(bench, Fake("one"), Fake("two", act=look))
    assert seen == {"run": None, "step": (None, None, '{"a": "1"}'), "done": ["one"], "status": "deploying", "audit": "begun"}


def test_the_outcome_of_a_step_is_committed_before_the_next_one_begins(bench: Bench) -> None:
    seen: list[tuple[str, str | None]] = []

    def look(context: Context) -> None:
        with Store(bench.store.path) as other:
            seen.extend((item["name"], item["outcome"]) for item in other.steps(context.run))

    execute(bench, Fake("one"), Fake("two", act=look))
    assert seen == [("one", "done"), ("two", None)]


def test_a_step_is_done_with_the_inputs_that_it_has_at_its_end(bench: Bench) -> None:
    step = Fake("one")
    step.values = {"machine": "?"}
    step.act = lambda context: step.values.update(machine="1002")
    execute(bench, step)
    assert bench.store.done(bench.deployment.id) == {"one": {"machine": "1002"}}


def test_the_time_that_a_step_usually_takes_is_told_beforehand(bench: Bench) -> None:
    with bench.store.write() as db:
        db.execute("INSERT INTO durations VALUES ('one', 42, 1)")
    execute(bench, Fake("one"), Fake("two"))
    assert of(bench, RunStarted)[0].steps == (("one", 42.0), ("two", 5.0))


def test_a_step_that_is_not_needed_stays_out_unless_it_changed_meanwhile(bench: Bench) -> None:
    execute(bench, Fake("one"), Fake("two"))
    same, changed, fresh = Fake("one"), Fake("two"), Fake("never done")
    changed.values = {"a": "2"}
    execute(bench, same, changed, fresh, needed=False)
    assert (same.runs, changed.runs, fresh.runs) == (0, 1, 1)
    assert of(bench, RunStarted)[-1].steps == ()


def test_a_step_whose_result_is_gone_runs_when_the_machine_can_be_asked_again(bench: Bench) -> None:
    execute(bench, Fake("one"), Fake("two"))
    asked, unasked = Fake("one"), Fake("two")
    asked.probes_machine, asked.there, unasked.there = True, False, False
    execute(bench, asked, unasked, needed=False)
    assert (asked.runs, unasked.runs) == (1, 0)


def test_a_step_that_goes_with_others_never_runs_by_itself(bench: Bench) -> None:
    extra = Fake("snapshot")
    extra.only_with_others = True
    execute(bench, extra, needed=False)
    assert extra.runs == 0


# Failures


def test_a_failing_step_ends_the_run_and_is_not_done(bench: Bench) -> None:
    last = Fake("last")
    error = HookError("it broke", why="so", details=["line"], fix="mend it")
    with pytest.raises(HookError) as caught:
        execute(bench, Fake("one"), Fake("two", error), last)
    assert caught.value is error
    assert (bench.outcomes(), last.runs) == ({"one": "done", "two": "failed"}, 0)
    assert (bench.deployment.status, bench.last_run["outcome"]) == ("failed", "failed")
    assert bench.last_run["error"]["what"] == "it broke"
    assert of(bench, RunEnded)[-1].error["what"] == "it broke"
    assert list(bench.store.done(bench.deployment.id)) == ["one"]
    assert of(bench, StepEnded)[-1].text == "it broke"


def test_a_tolerated_failure_counts_as_done_and_the_run_goes_on(bench: Bench) -> None:
    execute(bench, Fake("one", Tolerated("never mind")), Fake("two"))
    assert bench.outcomes() == {"one": "tolerated", "two": "done"}
    assert bench.deployment.status == "running"
    assert of(bench, StepEnded)[0].text == "never mind"
    assert list(bench.store.done(bench.deployment.id)) == ["one", "two"]


def test_a_bug_in_a_step_ends_the_run_without_telling_what_only_a_report_may_hold(bench: Bench) -> None:
    with pytest.raises(RuntimeError):
        execute(bench, Fake("one", RuntimeError("PIN=hunter2!")))
    assert bench.outcomes() == {"one": "failed"}
    assert (bench.deployment.status, bench.last_run["outcome"]) == ("failed", "failed")
    assert bench.last_run["error"] == {"what": "tfgrid-compose failed in a way that it can't explain"}


def test_no_secret_reaches_journal_audit_or_events(bench: Bench) -> None:
    bench.manifest("environment:\n  - {name: TOKEN, secret: true, default: hunter2-hunter2}\n")
    with pytest.raises(HookError):
        execute(
            bench,
            Fake("one"),
            Fake("hunter", HookError("x hunter2-hunter2", why="y hunter2-hunter2", details=["hunter2-hunter2"])),
        )
    kept = [bench.last_run["error"], bench.store.steps(bench.last_run["id"]), [item.text for item in bench.store.audit_entries()]]
    assert "hunter2" not in str([kept, [event.to_dict() for event in bench.events]])
    bench.store.close()
    assert b"hunter2" not in bench.store.path.read_bytes()


# Trying again


def test_a_failure_that_passes_is_tried_again_after_a_wait_that_is_told(bench: Bench) -> None:
    step = Fake("platform", passing(), passing("apt: Hash Sum mismatch again"))
    execute(bench, step)
    assert step.runs == 3
    assert bench.outcomes() == {"platform": "done"}
    (journalled,) = bench.store.steps(bench.last_run["id"])
    assert journalled["attempts"] == 3
    told = of(bench, StepRetry)
    assert [(event.step, event.attempt, event.attempts) for event in told] == [("platform", 2, 5), ("platform", 3, 5)]
    assert [event.wait for event in told] == [round(seconds, 1) for seconds in bench.slept]
    assert 2.0 <= bench.slept[0] <= 2.5 < 4.0 <= bench.slept[1] <= 5.0
    assert told[0].reason.startswith("the platform could not be made: ")
    assert [event.outcome for event in of(bench, StepEnded)] == ["done"], "one step, one end"


def test_an_attempt_is_journalled_before_it_begins(bench: Bench) -> None:
    seen: list[int] = []

    def look(context: Context) -> None:
        with Store(bench.store.path) as other:
            seen.extend(item["attempts"] for item in other.steps(context.run))

    execute(bench, Fake("platform", passing(), act=look))
    assert seen == [2]


def test_what_does_not_pass_within_all_attempts_fails_and_says_how_often_it_was_tried(bench: Bench) -> None:
    step = Fake("platform", *(passing() for _ in range(9)))
    with pytest.raises(PlatformError) as caught:
        execute(bench, step, policy=Policy(attempts=3))
    assert (step.runs, len(bench.slept)) == (3, 2)
    assert caught.value.details[-1] == "it was tried 3 times"
    assert (caught.value.transient, caught.value.cause) == (True, "apt-mirror-sync")
    assert bench.last_run["error"]["cause"] == "apt-mirror-sync"


@pytest.mark.parametrize(
    "error",
    [
        HookError("hook setup failed", why="it exited with 1"),
        GridError("the grid refused", why="not enough balance"),
        PlatformError("Ansible failed", why="a task of ours is wrong"),
        ReachError("the machine does not answer on 10.5.3.2", why="10.5.3.2: timed out"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not_known_to_pass_is_not_tried_again(bench: Bench, error: TfgridError) -> None:
    step = Fake("one", error)
    with pytest.raises(type(error)) as caught:
        execute(bench, step)
    assert (step.runs, bench.slept, of(bench, StepRetry)) == (1, [], [])
    assert not any("tried" in line for line in caught.value.details)


def test_with_no_retry_nothing_is_tried_again(bench: Bench) -> None:
    step = Fake("platform", passing())
    with pytest.raises(PlatformError):
        execute(bench, step, policy=NEVER)
    assert (step.runs, bench.slept) == (1, [])


def test_no_retry_of_the_command_line_becomes_the_policy(bench: Bench) -> None:
    for given, attempts in (({"retry": False}, 1), ({}, 5)):
        with bench.context(**given) as context:
            assert context.policy.attempts == attempts


def test_another_failure_after_one_that_passed_ends_the_step(bench: Bench) -> None:
    with pytest.raises(HookError) as caught:
        execute(bench, Fake("platform", passing(), HookError("hook setup failed", why="it exited with 1")))
    assert caught.value.details == ["it was tried 2 times"]
    assert bench.outcomes() == {"platform": "failed"}


# Ctrl-C


def test_the_user_stops_a_step_it_is_undone_and_the_run_is_interrupted(bench: Bench) -> None:
    last = Fake("last")
    with pytest.raises(InterruptedError_) as caught:
        execute(bench, Fake("one"), Fake("two", KeyboardInterrupt()), last)
    error = caught.value
    assert (error.what, error.why, error.exit_code) == ("stopped in step two", "two was taken back", 130)
    assert error.fix == "tfgrid-compose up --resume my-app goes on from here"
    assert isinstance(error.__cause__, KeyboardInterrupt)
    assert (bench.outcomes(), last.runs) == ({"one": "done", "two": "undone"}, 0)
    assert (bench.last_run["outcome"], bench.last_run["error"]["code"]) == ("interrupted", "interrupted")
    assert bench.deployment.status == "failed"
    ended = of(bench, StepEnded)[-1]
    assert (ended.step, ended.outcome, ended.text) == ("two", "undone", "two was taken back")
    assert of(bench, RunEnded)[-1].outcome == "interrupted"
    assert list(bench.store.done(bench.deployment.id)) == ["one"]


def test_a_step_that_can_not_be_undone_says_so_and_the_run_ends_all_the_same(bench: Bench) -> None:
    step = Fake("two", KeyboardInterrupt())
    step.undone = ReachError("the connection to my-app-vm failed", why="no route")
    with pytest.raises(InterruptedError_) as caught:
        execute(bench, step)
    assert caught.value.why == "it could not be undone: the connection to my-app-vm failed"
    assert bench.outcomes() == {"two": "undone"}
    assert bench.last_run["outcome"] == "interrupted"


def test_the_user_stops_while_waiting_for_the_next_attempt(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine.time, "sleep", stop)
    step = Fake("platform", passing())
    with pytest.raises(InterruptedError_, match="stopped in step platform"):
        execute(bench, step)
    assert (bench.outcomes(), step.runs) == ({"platform": "undone"}, 1)


def test_the_user_stops_between_two_steps(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = engine._is_needed, list[str]()

    def needed(context: Context, step: Step, planned: bool) -> bool:
        asked.append(step.name)
        if step.name == "two":
            raise KeyboardInterrupt
        return real(context, step, planned)

    monkeypatch.setattr(engine, "_is_needed", needed)
    with pytest.raises(InterruptedError_) as caught:
        execute(bench, Fake("one"), Fake("two"))
    assert caught.value.what == "stopped between two steps"
    assert bench.outcomes() == {"one": "done"}
    assert bench.last_run["outcome"] == "interrupted"


@pytest.mark.parametrize(
    ("kind", "fix"),
    [
        ("up", "tfgrid-compose up --resume my-app goes on from here"), ("down", "tfgrid-compose down my-app goes on from here"),
        ("rollback", "tfgrid-compose up --resume my-app goes on from here"),
        ("repair", "tfgrid-compose up --resume my-app goes on from here"),
    ],
)  # fmt: skip
def test_a_run_that_was_stopped_names_the_command_that_goes_on(bench: Bench, kind: str, fix: str) -> None:
    with pytest.raises(InterruptedError_) as caught:
        execute(bench, Fake("one", KeyboardInterrupt()), kind=kind)
    assert caught.value.fix == fix


UNDONE = {
    "terraform": "Terraform ended what it was doing and saved its state",
    "tunnel": "the tunnel was taken down again",
    "platform": "Ansible was stopped; tasks that were done stay done, and are not done twice",
    "setup": "hook setup was stopped on the machine; the next run runs it again from its beginning",
    "reach": "what it had done so far stays",
}


@pytest.mark.parametrize(("place", "text"), UNDONE.items())
def test_each_step_says_what_became_of_it(bench: Bench, place: str, text: str) -> None:
    bench.fail(place, KeyboardInterrupt())
    with pytest.raises(InterruptedError_) as caught:
        bench.up()
    assert caught.value.why.startswith(text)
    name = {"terraform": "infrastructure"}.get(place, place)
    assert bench.outcomes()[name] == "undone"
    assert (bench.tunnels == set()) == (place in ("terraform", "tunnel"))
    bench.up()
    assert set(bench.outcomes()) == {*STEPS[STEPS.index(name) :], "reach"}


def test_a_stopped_infrastructure_says_how_much_stands_on_the_grid(bench: Bench) -> None:
    bench.grid.live = {1: contract(1), 2: contract(2)}
    bench.fail("terraform", KeyboardInterrupt())
    with pytest.raises(InterruptedError_) as caught:
        bench.up()
    assert caught.value.why.endswith("2 contracts stand on the grid, `tfgrid-compose down` removes them")


def test_a_half_shipped_release_is_removed_again_and_the_live_one_stays(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench.up()
    bench.write("src/page", "new")
    real = bench.machine.run

    def run(command: str, **given: Any) -> Any:
        if given.get("input"):
            real(command, **given)
            raise KeyboardInterrupt
        return real(command, **given)

    monkeypatch.setattr(bench.machine, "run", run)
    with pytest.raises(InterruptedError_) as caught:
        bench.up()
    assert caught.value.why == "the release that was on its way was removed from the machine again"
    assert (bench.machine.releases, bench.machine.current) == ([first.id], first.id)
    assert bench.statuses == {1: "live", 2: "failed"}


# Crashes

CHILD = """
import os, signal, sys
from pathlib import Path
import pytest
from tests.unit.workbench import Bench, FakeGrid, FakeMachine, fake_world
from tfgrid_compose.state.store import Deployment, Store
app, machine, place = sys.argv[1:]
with Store() as store:
    bench = Bench(Path(app), store, FakeMachine(Path(machine)), FakeGrid())
    fake_world(bench, pytest.MonkeyPatch())
    bench.fail_at = lambda now: os.kill(os.getpid(), signal.SIGKILL) if now == place else None
    bench.up()
"""


@pytest.mark.parametrize(
    ("place", "step"), [("terraform", "infrastructure"), ("platform", "platform"), ("healthcheck", "healthcheck")]
)
def test_a_crash_leaves_the_step_open_and_the_next_run_goes_on_with_it(bench: Bench, place: str, step: str) -> None:
    words = [sys.executable, "-c", CHILD, str(bench.folder), str(bench.machine.folder), place]
    assert subprocess.run(words, timeout=60, cwd=Path(__file__).parents[2]).returncode == -9
    crashed = bench.last_run
    assert (crashed["outcome"], bench.outcomes()[step], bench.deployment.status) == (None, None, "deploying")
    assert [entry.facts["phase"] for entry in bench.store.audit_entries()] == ["begun"]
    if step != "infrastructure":
        bench.grid.live = {1002: contract(1002)}
        bench.tunnels.add(bench.deployment.data["interface"])
    bench.up()
    assert bench.outcomes(crashed["id"])[step] == "cut off"
    assert set(bench.outcomes()) == {*STEPS[STEPS.index(step) :], "reach"}, "what was done stays done"
    assert [text for text in bench.notices() if "cut off" in text] == [
        f"the last run (up, number {crashed['id']}) was cut off in step {step}; looking at what is there"
    ]
    assert (bench.deployment.status, bench.statuses, bench.machine.current) == ("running", {1: "live"}, bench.live.id)
    assert len(bench.grid.live) == 1, "no second machine"


# Two at the same time


def test_what_another_deployment_took_since_the_plan_is_chosen_anew_and_told(bench: Bench) -> None:
    with bench.context(write=True) as context:
        plan, data = make_plan(context), context.deployment.data
        bench.store.save(Deployment("b2", "other", "main", "deploying", 1.0, 1.0, dict(data)))
        rollback.deploy(context, plan)
        made = context.deployment
    assert {made.data["ip_range"], made.data["interface"]}.isdisjoint({data["ip_range"], data["interface"]})
    assert bench.tunnels == {made.data["interface"]} and made.status == "running"
    told = [text for text in bench.notices() if "since the plan" in text]
    assert told == [
        f"{data[key]} was taken by another deployment since the plan; this one gets {made.data[key]}"
        for key in ("ip_range", "interface")
    ]


# The audit log


def test_a_run_stands_in_the_audit_log_from_begin_to_end(bench: Bench) -> None:
    execute(bench, Fake("one", act=lambda context: context.remember(changed=True)))
    ended, begun = [entry.facts for entry in bench.store.audit_entries()]
    shared = {"action": "up", "deployment": bench.deployment.id, "name": "my-app", "network": "main", "run": bench.last_run["id"]}
    for facts, phase, outcome in ((begun, "begun", ""), (ended, "ended", "succeeded")):
        assert {key: facts[key] for key in shared} == shared
        assert (facts["phase"], facts["outcome"]) == (phase, outcome)
    assert begun["before"] == ended["before"] != ended["after"] == digest_of(bench.store, bench.deployment.id)
    assert begun["after"] == ""


@pytest.mark.parametrize(
    ("error", "outcome"), [(HookError("it broke"), "failed"), (KeyboardInterrupt(), "interrupted"), (RuntimeError("x"), "failed")]
)
def test_however_a_run_ends_the_audit_log_says_it(bench: Bench, error: BaseException, outcome: str) -> None:
    with pytest.raises((TfgridError, RuntimeError)):
        execute(bench, Fake("one", error))
    assert [(entry.facts["phase"], entry.facts["outcome"]) for entry in bench.store.audit_entries()] == [
        ("ended", outcome), ("begun", ""),
    ]  # fmt: skip
    assert bench.store.verify_audit() is None
