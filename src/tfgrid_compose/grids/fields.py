"""Fields of a gridproxy's JSON: each of its type, or a default where it is missing or null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
# gridproxy's numbers have 64 bits at most.
_LARGEST = 2**64
_LONGEST = 200
# The last day of the year 9999, less what time zones differ.
_LAST_MOMENT = 253_402_128_000


class WireError(ValueError):
    """A gridproxy's answer is not of the documented form; the text says what is wrong with it."""


def _wrong(key: str, value: object, wanted: str) -> WireError:
    kinds = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return WireError(f"`{key}` is {kinds.get(type(value), 'nothing')} instead of {wanted}")


def whole(row: Any) -> dict[str, Any]:
    """An answer or a row that must be an object. Raises `WireError`, as all functions here do."""
    if type(row) is dict:
        return row
    raise WireError("it sent something else than an object")


def part(row: Row, key: str) -> dict[str, Any]:
    """An object within; empty when it is missing."""
    value = row.get(key)
    if value is None:
        return {}
    if type(value) is dict:
        return value
    raise _wrong(key, value, "an object")


def items(row: Row, key: str) -> list[Any]:
    """A list; empty when it is missing."""
    value = row.get(key)
    if value is None:
        return []
    if type(value) is list:
        return value
    raise _wrong(key, value, "a list")


def integer(row: Row, key: str) -> int:
    """A whole number; 0 when it is missing."""
    value = row.get(key)
    if type(value) is int and -_LARGEST < value < _LARGEST:
        return value
    if value is None:
        return 0
    raise _wrong(key, value, "a whole number of 64 bits")


def moment(row: Row, key: str) -> int:
    """A time in unix seconds; 0, which is unknown, when it is missing or no time that a calendar has."""
    value = integer(row, key)
    return value if 0 <= value < _LAST_MOMENT else 0


def id_of(row: Any, key: str) -> int:
    """An id, which must be there."""
    value = whole(row).get(key)
    if type(value) is int and 0 < value < _LARGEST:
        return value
    raise WireError(f"`{key}` is missing") if value is None else _wrong(key, value, "an id")


def number(row: Row, key: str) -> float:
    """A number; 0 when it is missing."""
    value = row.get(key)
    if (type(value) is int or type(value) is float) and -_LARGEST < value < _LARGEST:
        return float(value)
    if value is None:
        return 0.0
    raise _wrong(key, value, "a number")


def flag(row: Row, key: str, default: bool = False) -> bool:
    """True or false."""
    value = row.get(key)
    if type(value) is bool:
        return value
    if value is None:
        return default
    raise _wrong(key, value, "true or false")


def text(row: Row, key: str) -> str:
    """Text that is safe to show; empty when it is missing."""
    value = row.get(key)
    if type(value) is str:
        return value if value.isprintable() and len(value) <= _LONGEST else clean(value)
    if value is None:
        return ""
    raise _wrong(key, value, "text")


def clean(words: str) -> str:
    """Text of strangers, for terminals: no control characters, no more than 200 characters."""
    return "".join(char if char.isprintable() else " " for char in words[:_LONGEST])
