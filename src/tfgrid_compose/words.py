"""Numbers and names in sentences for people."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection


def count(number: int, word: str) -> str:
    """`1 secret`, `3 secrets`."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def named(word: str, items: Collection[object]) -> str:
    """`contract 1001`, `contracts 1001, 1002`."""
    return f"{word}{'' if len(items) == 1 else 's'} {', '.join(map(str, items))}"


def readable(name: str) -> str:
    """A file's name, or a sentence with one, on one line: a name may hold what a terminal obeys, and bytes that are no text."""
    if name.isprintable():
        return name
    return "".join(sign if sign.isprintable() or unicodedata.category(sign) == "Zs" else "�" for sign in name)


def size_text(size: int) -> str:
    """A number of bytes: `12 bytes`, `4 KiB`, `1.5 MiB`."""
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f}".removesuffix(".0") + f" {name}"
    return count(size, "byte")
