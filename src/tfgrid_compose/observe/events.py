"""The one stream of events: the core emits them, shells and logs subscribe, nothing else prints."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from tfgrid_compose.observe.redact import PROCESS, Redactor

# Names and sentences of ours, in which our own words are never taken for a secret. All other texts come from outside.
ours = partial(field, metadata={"ours": True})


@dataclass(frozen=True)
class Event:
    """Something that happened; `kind` is stable and documented."""

    kind: str
    at: float = field(default_factory=time.time, kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, the kind first."""
        return {"event": self.kind, **{key: value for key, value in asdict(self).items() if key != "kind"}}


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins: which, on what, with which steps (name and expected seconds)."""

    run: int = 0
    command: str = ""
    deployment: str = ""
    name: str = ours(default="")
    steps: tuple[tuple[str, float], ...] = ours(default=())


@dataclass(frozen=True)
class StepStarted(Event):
    """A step begins."""

    step: str = ""
    text: str = ours(default="")


@dataclass(frozen=True)
class StepProgress(Event):
    """Something worth a line happened inside a step; `milestone` ones are shown without --verbose."""

    step: str = ""
    text: str = ""
    milestone: bool = False


@dataclass(frozen=True)
class StepEnded(Event):
    """A step ended: `done`, `skipped`, `tolerated`, `failed` or `undone` (the user stopped it), after `seconds`."""

    step: str = ""
    outcome: str = ""
    seconds: float = 0.0
    text: str = ours(default="")


@dataclass(frozen=True)
class StepRetry(Event):
    """A step failed in a way that passes: attempt number `attempt` of `attempts` begins after `wait` seconds."""

    step: str = ""
    attempt: int = 0
    attempts: int = 0
    wait: float = 0.0
    reason: str = ours(default="")


@dataclass(frozen=True)
class RunEnded(Event):
    """A run ended: `succeeded`, `unchanged`, `failed` or `interrupted`."""

    outcome: str = ""
    seconds: float = 0.0
    error: dict[str, Any] | None = None


@dataclass(frozen=True)
class Notice(Event):
    """A sentence for the user outside of any step; level `info` or `warning`."""

    level: str = "info"
    text: str = ours(default="")


Sink = Callable[[Event], None]


class Stream:
    """Passes every event, redacted, to all subscribers."""

    def __init__(self, redactor: Redactor | None = None) -> None:
        self.redactor = redactor or PROCESS
        self._sinks: list[Sink] = []

    def subscribe(self, sink: Sink) -> None:
        """Add a subscriber."""
        self._sinks.append(sink)

    def emit(self, event: Event) -> None:
        """Tell all subscribers."""
        clean = self.redactor.event(event)
        for sink in self._sinks:
            sink(clean)


def step_started(step: str, text: str) -> StepStarted:
    """A step begins."""
    return StepStarted("step-started", step=step, text=text)


def step_progress(step: str, text: str, milestone: bool = False) -> StepProgress:
    """A line inside a step."""
    return StepProgress("step-progress", step=step, text=text, milestone=milestone)


def step_ended(step: str, outcome: str, seconds: float, text: str = "") -> StepEnded:
    """A step ended."""
    return StepEnded("step-ended", step=step, outcome=outcome, seconds=round(seconds, 3), text=text)


def step_retry(step: str, attempt: int, attempts: int, wait: float, reason: str) -> StepRetry:
    """A step is tried again."""
    return StepRetry("step-retry", step=step, attempt=attempt, attempts=attempts, wait=round(wait, 1), reason=reason)


def notice(text: str, level: str = "info") -> Notice:
    """A sentence for the user."""
    return Notice("notice", level=level, text=text)
