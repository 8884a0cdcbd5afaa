"""Query parameters as gridproxy decodes them: strict about names and numbers, a list in one value."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["uint", "float", "bool", "text", "uints", "texts"]

_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TRUE = {"1", "t", "T", "true", "TRUE", "True", "on"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}
_LARGEST = 2**64 - 1


class BadQueryError(ValueError):
    """A request that gridproxy refuses, mostly with 400; the text is what it says."""

    status = 400


class BrokenQueryError(BadQueryError):
    """A request that gridproxy's own database refuses."""

    status = 500


@dataclass(frozen=True)
class Limit:
    """Which part of a list is wanted, in which order; `balance` in USD earns a discount on prices."""

    page: int = 1
    size: int = 50
    ret_count: bool = False
    randomize: bool = False
    sort_by: str = ""
    sort_order: str = ""
    balance: float = 0.0

    @property
    def descending(self) -> bool:
        """Whether the order is turned round."""
        return self.sort_order.upper() == "DESC"


LIMITS: dict[str, Kind] = {
    "page": "uint", "size": "uint", "ret_count": "bool", "randomize": "bool", "sort_by": "text", "sort_order": "text",
    "balance": "float",
}  # fmt: skip


def decode(items: Iterable[tuple[str, str]], known: Mapping[str, Kind]) -> dict[str, Any]:
    """{name: value} of the parameters that have a value; of one that is repeated the last counts.

    Raises `BadQueryError` for a name that is not known and for a value of another type.
    """
    found: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name, text in items:
        if text == "":
            continue
        if name not in known:
            wrong[name] = f"schema: invalid path {quoted(name)}"
            continue
        try:
            found[name] = _value(known[name], text)
        except ValueError:
            wrong[name] = f"schema: error converting value for {quoted(name)}"
    if wrong:
        others = len(wrong) - 1
        more = f" (and {others} other error{'s' if others > 1 else ''})" if others else ""
        raise BadQueryError(f"failed to decode params: {next(iter(wrong.values()))}{more}")
    return found


def quoted(text: str) -> str:
    """A text in double quotes, as Go prints it."""
    return json.dumps(text, ensure_ascii=False)


def _value(kind: Kind, text: str) -> Any:
    if kind in ("uints", "texts"):
        items = [item for item in text.split(",") if item]
        return frozenset(_uint(item) for item in items) if kind == "uints" else frozenset(items)
    return _READERS[kind](text)


def _uint(text: str) -> int:
    digits = text.lstrip("0") or "0"
    if not (text.isascii() and text.isdigit()) or len(digits) > 20 or int(digits) > _LARGEST:
        raise ValueError(text)
    return int(digits)


def _float(text: str) -> float:
    if not _FLOAT.fullmatch(text) or math.isinf(found := float(text)):
        raise ValueError(text)
    return found


def _bool(text: str) -> bool:
    if text not in _TRUE | _FALSE:
        raise ValueError(text)
    return text in _TRUE


_READERS: dict[str, Callable[[str], Any]] = {"uint": _uint, "float": _float, "bool": _bool, "text": str}
