"""What a step is."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from typing import Any

from tfgrid_compose.deploy.context import Context

UNKNOWN = "?"


class Step(ABC):
    """One step of a run.

    `inputs` are all the values that decide what the step does: when they are the same as those it
    was last done with, and `probe` finds the result still there, the step has nothing to do.
    """

    name = ""
    expected = 5.0
    # Whether `probe` asks the machine, and so can only be trusted once `reach` has succeeded.
    probes_machine = False

    @abstractmethod
    def describe(self, context: Context) -> str:
        """One line for the plan: what this step does."""

    @abstractmethod
    def inputs(self, context: Context) -> dict[str, str]:
        """The values that decide what it does; `?` for one that an earlier step will find out."""

    def probe(self, context: Context) -> bool:
        """Whether what the step made is still there; cheap and read-only."""
        return True

    @abstractmethod
    def apply(self, context: Context) -> str:
        """Do it; returns a short note for the line that is printed when done."""

    def undo(self, context: Context) -> None:
        """Take back what it made, as far as that is possible and useful."""


def short_digest(value: Any) -> str:
    """12 hex digits of any JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
