"""The engine: runs the steps of a plan in order, with intent before and outcome after each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.plan import Plan
from tfgrid_compose.deploy.steps.base import Step
from tfgrid_compose.deploy.steps.hooks import Tolerated
from tfgrid_compose.errors import InterruptedError_, TfgridError
from tfgrid_compose.observe.events import RunEnded, RunStarted, step_ended, step_started


def execute(context: Context, plan: Plan, kind: str = "up") -> None:
    """Run every step that is needed. Raises the `TfgridError` of the step that failed.

    A step that the plan thought unneeded still runs when an earlier one changed its inputs.
    """
    context.deployment = context.store.save(replace(context.deployment, status="deploying"))
    context.run = context.store.start_run(context.deployment.id, kind)
    with recorded_run(context, kind, [item.step for item in plan.steps if item.needed]):
        for item in plan.steps:
            _run_step(context, item.step, item.needed)
        context.deployment = context.store.save(replace(context.deployment, status="running"))


@contextmanager
def recorded_run(context: Context, kind: str, steps: list[Step]) -> Iterator[None]:
    """Record and announce a run, however it ends."""
    started = time.monotonic()
    expected = tuple((step.name, context.store.usual_seconds(step.name) or step.expected) for step in steps)
    deployment = context.deployment
    context.stream.emit(
        RunStarted("run-started", run=context.run, command=kind, deployment=deployment.id, name=deployment.name, steps=expected)
    )
    try:
        yield
    except BaseException as error:
        failure = _as_tfgrid(error)
        outcome = "interrupted" if isinstance(failure, InterruptedError_) else "failed"
        facts: dict[str, Any] = context.redactor.data(failure.to_dict() if failure else {"what": repr(error)})
        context.deployment = context.store.save(replace(context.deployment, status="failed"))
        context.store.end_run(context.run, outcome, facts)
        context.stream.emit(RunEnded("run-ended", outcome=outcome, seconds=time.monotonic() - started, error=facts))
        raise
    context.store.end_run(context.run, "succeeded")
    context.stream.emit(RunEnded("run-ended", outcome="succeeded", seconds=time.monotonic() - started))


def _as_tfgrid(error: BaseException) -> TfgridError | None:
    if isinstance(error, KeyboardInterrupt):
        return InterruptedError_("stopped by the user", fix="tfgrid-compose up goes on from here")
    return error if isinstance(error, TfgridError) else None


def _run_step(context: Context, step: Step, needed: bool) -> None:
    id = context.deployment.id
    inputs = step.inputs(context)
    same = context.store.done(id).get(step.name) == inputs
    if not needed and same and (not step.probes_machine or step.probe(context)):
        return
    text = step.describe(context)
    context.store.begin_step(context.run, id, step.name, inputs)
    context.stream.emit(step_started(step.name, text))
    started = time.monotonic()

    def ended(outcome: str, note: str) -> None:
        context.store.end_step(context.run, id, step.name, outcome, context.redactor.text(note))
        context.stream.emit(step_ended(step.name, outcome, time.monotonic() - started, note))

    try:
        note = step.apply(context)
    except Tolerated as tolerated:
        ended("tolerated", str(tolerated))
        return
    except TfgridError as error:
        ended("failed", error.what)
        raise
    except BaseException:
        ended("failed", "stopped")
        raise
    # The first run makes keys and machines that the step could not name before it ran.
    context.store.set_step_inputs(context.run, step.name, step.inputs(context))
    ended("done", note)
