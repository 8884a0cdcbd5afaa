"""Numbers and names in sentences for people."""

from __future__ import annotations

from collections.abc import Collection


def count(number: int, word: str) -> str:
    """`1 secret`, `3 secrets`."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def named(word: str, items: Collection[object]) -> str:
    """`contract 1001`, `contracts 1001, 1002`."""
    return f"{word}{'' if len(items) == 1 else 's'} {', '.join(map(str, items))}"
