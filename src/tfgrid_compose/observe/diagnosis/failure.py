"""One known failure: how it is recognised, why it happens, what to do."""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass

GAP = "…"


@dataclass(frozen=True)
class Failure:
    """A row of the table.

    A pattern is a piece of the message as the outside program writes it. `…` stands for what is filled
    in, on the same line; `^` at the front and `$` at the end tie it to the ends of a line; capitals don't
    matter. `scope` names the places (see `text.py`) whose errors may mean this; empty means all.
    `fix` may hold ` {name}` for the deployment's name. `transient`: trying again may help.
    `private`: the message holds a secret and must not be shown.
    """

    code: str
    patterns: tuple[str, ...]
    reason: str
    fix: str
    about: str
    transient: bool = False
    scope: tuple[str, ...] = ()
    private: bool = False

    def applies_to(self, scopes: Collection[str]) -> bool:
        """Whether errors of one of these places can mean this."""
        return not self.scope or any(place in scopes for place in self.scope)

    def matches(self, text: str) -> bool:
        """Whether one of the patterns stands in a text of lower-case lines."""
        framed = text if text.startswith("\n") and text.endswith("\n") else f"\n{text}\n"
        return any(_stands_in(parts, framed) for parts in self._parts)

    def fix_for(self, name: str) -> str:
        """The fix for a deployment; without a name the commands take the app of the current folder."""
        return self.fix.replace(" {name}", f" {name}" if name else "")

    @functools.cached_property
    def _parts(self) -> tuple[tuple[str, ...], ...]:
        return tuple(_compiled(pattern) for pattern in self.patterns)


def _compiled(pattern: str) -> tuple[str, ...]:
    """The literal pieces of a pattern; a tie to the end of a line becomes the line break itself."""
    text = pattern.lower()
    text = "\n" + text[1:] if text.startswith("^") else text
    text = text[:-1] + "\n" if text.endswith("$") else text
    # What is filled in may touch its neighbours or not: spaces beside a gap don't count.
    pieces = text.split(GAP)
    return tuple(piece.strip(" ") for piece in pieces) if len(pieces) > 1 else tuple(pieces)


def _stands_in(parts: tuple[str, ...], text: str) -> bool:
    """Whether the pieces stand in one line, in this order.

    Regular expressions could need a time that grows with a power of the length; this reads every line once.
    """
    first, *rest = parts
    at = text.find(first)
    while rest and at >= 0:
        at += len(first)
        end = text.find("\n", at) + 1 or len(text)
        if _follow(rest, text, at, end):
            return True
        # A later start in the same line leaves less room, so the next chance is in the next line.
        at = text.find(first, end - 1)
    return at >= 0


def _follow(rest: list[str], text: str, at: int, end: int) -> bool:
    for part in rest:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
