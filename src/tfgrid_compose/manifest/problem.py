"""One thing that is wrong in an app folder, and all of them as one error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tfgrid_compose.errors import ManifestError
from tfgrid_compose.words import readable

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Problem:
    """One thing wrong in an app folder: where, what, and what would be right. Line 0 means the whole file."""

    severity: str
    path: str
    line: int
    text: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return readable(f"{place}: {self.text}" + (f" ({self.hint})" if self.hint else ""))


def in_order(problems: Iterable[Problem], first: str) -> tuple[Problem, ...]:
    """Problems by file and line, those of the file `first` before the others."""
    return tuple(sorted(problems, key=lambda item: (item.path != first, item.path, item.line)))


def problems_error(problems: Iterable[Problem]) -> ManifestError:
    """One error that names them all, and then the warnings: who mends the errors wants to know of them now."""
    problems = list(problems)
    errors = [str(problem) for problem in problems if problem.severity == ERROR]
    warnings = [f"warning: {problem}" for problem in problems if problem.severity == WARNING]
    single = len(errors) == 1
    return ManifestError(
        errors[0] if single else f"the app has {len(errors)} errors",
        why="" if single else "each is listed below with its line",
        fix="mend the manifest, then run `tfgrid-compose validate`",
        details=([] if single else errors) + warnings,
    )


def nearest(word: str, choices: Any) -> str:
    """`did you mean …?` for a misspelt word, or nothing."""
    found = difflib.get_close_matches(word, [str(choice) for choice in choices], n=1, cutoff=0.6)
    return f"did you mean `{found[0]}`?" if found else ""
