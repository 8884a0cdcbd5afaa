"""What a program's environment can hold on Linux."""

from __future__ import annotations

from collections.abc import Mapping

# A string of the environment, `NAME=value` with the NUL behind it, has at most 32 pages (MAX_ARG_STRLEN); all strings
# and their pointers together a quarter of the 8 MB that a stack usually has, with room left for what we and ssh add.
MAX_STRING = 131_072
MAX_TOGETHER = 2 * 1024**2 - 128 * 1024
_POINTER = 8


def refusal(name: str, value: str) -> str:
    """Why a value can't be in an environment, as the end of a sentence; empty when it can."""
    if "\0" in value:
        return "holds a NUL, which no environment can hold"
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "is not UTF-8 text"
    most = MAX_STRING - len(name) - 2
    return f"has {size} bytes; Linux takes at most {most} for it, so write it to a file" if size > most else ""


def too_much(values: Mapping[str, str]) -> str:
    """Why values can't all be in one environment; empty when they can."""
    size = sum(len(name) + len(value.encode(errors="replace")) + 2 + _POINTER for name, value in values.items())
    return f"they have {size} bytes together; Linux takes about {MAX_TOGETHER}" if size > MAX_TOGETHER else ""
