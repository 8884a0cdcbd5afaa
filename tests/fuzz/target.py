"""What is fuzzed: how a target makes its inputs, and what it does with one."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, ClassVar

from tfgrid_compose.errors import TfgridError


class Refused(TfgridError):
    """A command has refused its input in its own words."""


class Target:
    """Something that reads what others wrote; opened once, fed many inputs, closed.

    `share` says how many of the inputs of a whole run it gets, compared to others: a slow one gets few.
    """

    name: ClassVar[str]
    share: ClassVar[int]
    # Whether an input with something left out is still one; else a finding is shown as it was found.
    shrinks: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        """Prepare in an empty folder; the home folder is the run's own already."""
        self.folder = folder

    def case(self, chance: Random) -> Any:
        """An input, made of nothing but `chance`: plain data, so that it can be printed and made smaller."""
        raise NotImplementedError

    def run(self, case: Any) -> None:
        """Read the input. Returning means that it was accepted, a `TfgridError` that it was refused; all else is a finding."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what was opened."""
