"""The engine: runs steps in order, with intent before and outcome after each, and tells what it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from tfgrid_compose.deploy import choices
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.plan import Plan
from tfgrid_compose.deploy.retry import Policy
from tfgrid_compose.deploy.steps.base import Step, Tolerated
from tfgrid_compose.errors import InterruptedError_, TfgridError
from tfgrid_compose.observe.diagnosis import explained
from tfgrid_compose.observe.events import RunEnded, RunStarted, Stream, step_ended, step_retry, step_started
from tfgrid_compose.state import reserve
from tfgrid_compose.state.audited import digest_of
from tfgrid_compose.state.store import Deployment, Store

# Kinds of run that end a deployment, and the command that goes on with one that was cut off.
ENDINGS = {"down": "down", "forget": "down --forget"}


@dataclass
class Run:
    """One recorded run on one deployment. The caller holds the deployment's lease."""

    store: Store
    stream: Stream
    deployment: Deployment
    kind: str
    policy: Policy
    number: int = 0
    doing: str = ""
    said: str = ""

    @contextmanager
    def recorded(self, expected: list[tuple[str, float]], aim: dict[str, Any] | None = None) -> Iterator[None]:
        """Record and announce the run, however it ends. Ctrl-C becomes an `InterruptedError_` that says what was done."""
        started = time.monotonic()
        self.stream.redactor.own.add(self.deployment.name, self.deployment.id, self.deployment.network)
        deployment, before = self.deployment, digest_of(self.store, self.deployment.id)
        if self.kind not in ("down", "forget"):
            reserve.keep()
        self.number = self.store.start_run(deployment, self.kind, aim)
        self._audit("begun", before, "", "")
        seconds = tuple((name, self.store.usual_seconds(name) or usual) for name, usual in expected)
        self.stream.emit(
            RunStarted(
                "run-started", run=self.number, command=self.kind, deployment=deployment.id, name=deployment.name, steps=seconds
            )
        )
        try:
            yield
        except BaseException as error:
            failure = self._failure(error)
            self._end(failure, before, time.monotonic() - started)
            if failure is None or failure is error:
                raise
            raise failure from error
        self._end(None, before, time.monotonic() - started, "succeeded")

    def _failure(self, error: BaseException) -> TfgridError | None:
        if isinstance(error, KeyboardInterrupt):
            verb = ENDINGS.get(self.kind, "up --resume")
            return InterruptedError_(
                f"stopped in step {self.doing}" if self.doing else "stopped between two steps",
                why=self.said,
                fix=f"tfgrid-compose {verb} {self.deployment.name} goes on from here",
            )
        return error if isinstance(error, TfgridError) else None

    def _end(self, failure: TfgridError | None, before: str, seconds: float, outcome: str = "failed") -> None:
        if isinstance(failure, InterruptedError_):
            outcome = "interrupted"
        facts: dict[str, Any] | None = self.stream.redactor.facts(failure.to_dict()) if failure else None
        if outcome == "failed" and facts is None:
            facts = {"what": "tfgrid-compose failed in a way that it can't explain"}
        self.store.end_run(self.number, outcome, facts)
        self._audit("ended", before, digest_of(self.store, self.deployment.id), outcome)
        self.stream.emit(RunEnded("run-ended", outcome=outcome, seconds=seconds, error=facts))

    def _audit(self, phase: str, before: str, after: str, outcome: str) -> None:
        self.store.append_audit(
            action=self.kind, deployment=self.deployment.id, name=self.deployment.name, network=self.deployment.network,
            phase=phase, run=self.number, before=before, after=after, outcome=outcome,
        )  # fmt: skip

    def perform(
        self, name: str, text: str, job: Callable[[], str], *,
        inputs: Callable[[], dict[str, str]] = dict, undo: Callable[[], str] = str,
    ) -> None:  # fmt: skip
        """Do one step: intent, job, outcome; a failure that is known to pass is tried again by the policy.

        `inputs` are asked before and after the job. `undo` is called when the user stops the run, and says what it did.
        """
        id = self.deployment.id
        self.doing, self.said = name, ""
        self.store.begin_step(self.number, id, name, inputs())
        self.stream.emit(step_started(name, text))
        started = time.monotonic()

        def ended(outcome: str, note: str, now: dict[str, str] | None = None) -> None:
            self.store.end_step(self.number, id, name, outcome, self.stream.redactor.sentence(note), now)
            self.stream.emit(step_ended(name, outcome, time.monotonic() - started, note))

        try:
            note = self._tried(name, job, started)
        except Tolerated as tolerated:
            ended("tolerated", str(tolerated))
        except TfgridError as error:
            ended("failed", error.what)
            raise
        except KeyboardInterrupt:
            self.said = _undone(undo)
            ended("undone", self.said)
            raise
        except BaseException:
            ended("failed", "stopped")
            raise
        else:
            # The first run makes keys and machines that the step could not name before it ran.
            ended("done", note, inputs())
        self.doing = ""

    def _tried(self, name: str, job: Callable[[], str], started: float) -> str:
        attempt = 0
        while True:
            attempt += 1
            try:
                return job()
            except TfgridError as error:
                known = explained(error, self.deployment.name, name)
                wait = self.policy.wait(attempt, started) if known.transient else None
                if wait is None:
                    if attempt > 1:
                        known.details = [*known.details, f"it was tried {attempt} times"]
                    raise
                self.store.retry_step(self.number, name, attempt + 1)
                reason = self.stream.redactor.told(known.what, known.why)
                self.stream.emit(step_retry(name, attempt + 1, self.policy.attempts, wait, reason))
                time.sleep(wait)


def _undone(undo: Callable[[], str]) -> str:
    """What undoing did; a step that can't be undone is told, and goes on at the next run."""
    try:
        return undo()
    except TfgridError as error:
        return f"it could not be undone: {error.what}"


def execute(context: Context, plan: Plan, kind: str = "up", aim: dict[str, Any] | None = None) -> None:
    """Run every step that is needed. Raises the `TfgridError` of the step that failed.

    A step that the plan thought unneeded still runs when an earlier one changed its inputs.
    """
    choices.keep(context)
    context.deployment = context.store.save(replace(context.deployment, status="deploying"))
    run = Run(context.store, context.stream, context.deployment, kind, context.policy)
    expected = [(item.step.name, item.step.expected) for item in plan.steps if item.needed]
    with run.recorded(expected, aim), _with_status(context):
        context.run = run.number
        for item in plan.steps:
            if _is_needed(context, item.step, item.needed):
                _perform(context, run, item.step)


@contextmanager
def _with_status(context: Context) -> Iterator[None]:
    try:
        yield
    except BaseException:
        context.deployment = context.store.save(replace(context.deployment, status="failed"))
        raise
    context.deployment = context.store.save(replace(context.deployment, status="running"))


def _is_needed(context: Context, step: Step, planned: bool) -> bool:
    if planned or step.only_with_others:
        return planned
    same = context.store.done(context.deployment.id).get(step.name) == step.inputs(context)
    return not same or (step.probes_machine and not step.probe(context))


def _perform(context: Context, run: Run, step: Step) -> None:
    run.perform(
        step.name, step.describe(context), lambda: step.apply(context),
        inputs=lambda: step.inputs(context), undo=lambda: step.undo(context),
    )  # fmt: skip
