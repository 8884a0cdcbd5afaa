"""What a step is."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from typing import Any

from tfgrid_compose.deploy.context import Context

UNKNOWN = "?"
# Inputs whose values say nothing to people, and the length up to which others are shown.
_OPAQUE = frozenset({"pattern", "source", "environment", "manifest", "playbook", "configuration", "size", "aim"})
_WORDS = {"playbook": "platform playbook", "aim": "what is asked for"}
_SHOWN = 40


class Tolerated(Exception):
    """A step failed in a way that is shown and tolerated; the run goes on."""


class Step(ABC):
    """One step of a run.

    `inputs` are all the values that decide what the step does: when they are the same as those it
    was last done with, and `probe` finds the result still there, the step has nothing to do.
    """

    name = ""
    expected = 5.0
    # Whether `probe` asks the machine, and so can only be trusted once `reach` has succeeded.
    probes_machine = False
    # Until it is done, the machine can't be asked.
    leads_to_machine = False
    # Whether it changes what is on the machine, or the machine.
    changes_machine = True
    # Whether machines or networks are made or changed: it costs.
    buys = False
    # One of the app's scripts: it may undo what a later one of them had done.
    is_hook = False
    # Why it is done whatever its inputs are; empty for one that has to have a reason.
    always = ""
    # Why it is done when another step does something; `only_with_others`: never else, and only when the machine changes.
    with_others = ""
    only_with_others = False
    # What needs a yes of the user, in words: it rents or destroys something. Empty for what can be done again or undone.
    consent = ""

    @abstractmethod
    def describe(self, context: Context) -> str:
        """One line for the plan: what this step does."""

    @abstractmethod
    def inputs(self, context: Context) -> dict[str, str]:
        """The values that decide what it does; `?` for one that an earlier step will find out."""

    def probe(self, context: Context) -> bool:
        """Whether what the step made is still there; cheap and read-only."""
        return True

    def change(self, context: Context, key: str, before: str | None, now: str | None) -> str:
        """A changed input in words, for the plan."""
        return changed(_WORDS.get(key, key), before, now, shown=key not in _OPAQUE)

    def replaces(self, context: Context, before: dict[str, str] | None) -> str:
        """Why all later steps have to be done again when it is done; empty when not. `before` are its last inputs."""
        return ""

    def unchecked(self, context: Context) -> list[str]:
        """What only doing it will show, a sentence each; for the plan."""
        return []

    @abstractmethod
    def apply(self, context: Context) -> str:
        """Do it; returns a short note for the line that is printed when done."""

    def undo(self, context: Context) -> str:
        """The user stopped the step: take back what it half made where that is useful; says what became of it."""
        return "what it had done so far stays"


def changed(what: str, before: str | None, now: str | None, *, shown: bool = True) -> str:
    """`cores 2 -> 4`, or `source changed` for values that are long or are not shown."""
    short = all(value is not None and len(value) <= _SHOWN for value in (before, now))
    return f"{what} {before} -> {now}" if shown and short else f"{what} changed"


def short_digest(value: Any) -> str:
    """12 hex digits of any JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
