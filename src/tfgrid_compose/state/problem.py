"""Something that is not as it should be, and what helps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

REPAIR = "tfgrid-compose state repair"


@dataclass(frozen=True)
class Problem:
    """A stable code, a sentence, and what helps: `mend`, which loses nothing and says what it did, or the command `fix`."""

    code: str
    text: str
    fix: str = ""
    mend: Callable[[], str] | None = None

    @property
    def next(self) -> str:
        """The command that helps."""
        return REPAIR if self.mend else self.fix

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; `mended` says whether `state repair` mends it."""
        return {"code": self.code, "text": self.text, "mended": self.mend is not None, "fix": self.next}
