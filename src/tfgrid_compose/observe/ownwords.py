"""Which words are ours: those of our own texts, and the names that this run was given.

A secret may happen to be such a word: `release`, `local`, the deployment's name. In a text from outside it is masked like
every other. In a sentence of ours it is not: there it stands because we wrote it, and our words are public.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

# A port, a count, a number of a run: in a sentence of ours a number is no secret.
_LONGEST_NUMBER = 5


class Ours(str):
    """A sentence of ours in a place where texts from outside are expected."""


class OwnWords:
    """Our texts, read from this program's source when somebody asks, and what was added to them."""

    def __init__(self) -> None:
        self._added: list[str] = []
        self._known: dict[str, bool] = {}

    def add(self, *texts: str) -> None:
        """Learn names, paths and commands that our sentences are made of."""
        fresh = [text for text in texts if text and text not in self._added]
        if fresh:
            self._added = [*self._added, *fresh]
            self._known = {}

    def cover(self, text: str, start: int, stop: int) -> bool:
        """Whether these signs of a sentence of ours are part of one of our words."""
        while start > 0 and text[start - 1].isalnum():
            start -= 1
        while stop < len(text) and text[stop].isalnum():
            stop += 1
        phrase = text[start:stop]
        if phrase not in self._known:
            self._known[phrase] = self._is_ours(phrase)
        return self._known[phrase]

    def _is_ours(self, phrase: str) -> bool:
        if phrase.isdecimal() and len(phrase) <= _LONGEST_NUMBER:
            return True
        whole = re.compile(rf"(?<![^\W_]){re.escape(phrase)}(?![^\W_])")
        return any(whole.search(text) for text in (*self._added, self._source))

    @cached_property
    def _source(self) -> str:
        folder = Path(__file__).resolve().parents[1]
        try:
            return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py")))
        except OSError:
            return ""
