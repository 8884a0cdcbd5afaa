"""Keep secrets out of everything that is shown or written: by type, and by value at the sink."""

from __future__ import annotations

import dataclasses
import functools
import re
import string
from typing import Any, TypeVar
from urllib.parse import quote

MASK = "«redacted»"
_SHORTEST = 4
# Programs act on these fields of events and errors; a secret that happens to be a word of ours must not change them.
_STABLE = frozenset({"kind", "outcome", "step", "command", "level", "code"})
_BASE64 = [*string.ascii_uppercase, *string.ascii_lowercase, *string.digits, "+-", "/_"]
T = TypeVar("T")


class Secret:
    """A value whose text, repr and JSON are masked; `reveal` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that needs it."""
        return self._value

    def __str__(self) -> str:
        return MASK

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Redactor:
    """Replaces known secret values, also in base64, URL-encoded and JSON form, in any text."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, *values: str) -> None:
        """Learn secret values; very short ones are left alone, they would mask ordinary words."""
        for value in values:
            parts = [value, *value.splitlines()] if "\n" in value else [value]
            self._values |= {part.strip() for part in parts if len(part.strip()) >= _SHORTEST}
        self._pattern = None

    def text(self, text: str) -> str:
        """The text without secrets."""
        if not self._values:
            return text
        if self._pattern is None:
            longest_first = sorted(self._values, key=lambda value: (-len(value), value))
            self._pattern = re.compile("|".join(_forms(value) for value in longest_first))
        return self._pattern.sub(MASK, text)

    def data(self, value: Any) -> Any:
        """Any JSON-like value without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.data(key): self.data(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.data(item) for item in value)
        return value

    def event(self, event: T) -> T:
        """A dataclass with its texts redacted; stable identifiers such as `kind` and `step` stay."""
        if not self._values or not dataclasses.is_dataclass(event) or isinstance(event, type):
            return event
        changed = {item.name: self._fact(item.name, getattr(event, item.name)) for item in dataclasses.fields(event)}
        return dataclasses.replace(event, **changed)

    def _fact(self, name: str, value: Any) -> Any:
        if name in _STABLE:
            return value
        if isinstance(value, dict):
            return {key: self._fact(key, item) for key, item in value.items()}
        return self.data(value)


# Secrets that this process has met; whatever prints or saves text goes through it.
PROCESS = Redactor()


def _forms(value: str) -> str:
    """A pattern for all spellings of a value."""
    url = "".join(_in_url(sign) for sign in value)
    json = "".join(_in_json(sign) for sign in value)
    return "|".join(dict.fromkeys([url, json, *(_in_base64(_bytes(value), offset) for offset in range(3))]))


def _bytes(value: str) -> bytes:
    """As the operating system has it; what it can't have is encoded somehow, but never an error."""
    try:
        return value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return value.encode(errors="surrogatepass")


def _in_url(sign: str) -> str:
    """A sign, plain or %-encoded: which signs are encoded, and in which letters, differs between programs."""
    if quote(sign, safe="", errors="replace") == sign:
        return re.escape(sign)
    encoded = "".join(f"%{_any_case(f'{byte:02x}')}" for byte in _bytes(sign))
    return f"(?:{re.escape(sign)}|{encoded}{'|[+]' if sign == ' ' else ''})"


def _in_json(sign: str) -> str:
    """A sign as it stands inside a JSON text; only the escaped forms differ from the plain one."""
    short = {'"': r'\\"', "\\": r"\\\\", "/": r"\\?/", "\n": r"\\n", "\r": r"\\r", "\t": r"\\t"}.get(sign, re.escape(sign))
    if sign.isascii() and (sign.isalnum() or sign in " _-."):
        return short
    units = sign.encode("utf-16-be", "surrogatepass").hex()
    escaped = "".join(rf"\\u{_any_case(units[at : at + 4])}" for at in range(0, len(units), 4))
    return f"(?:{short}|{escaped})"


def _any_case(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


def _in_base64(data: bytes, offset: int) -> str:
    """The signs that hold `data` when it begins `offset` bytes after a full group, in both alphabets.

    A sign at the edge holds bits of a neighbour too: every sign with the right bits of ours will do.
    Nothing less than all bits of the secret matches, so ordinary words don't.
    """
    unknown = 8 * offset
    bits = "?" * unknown + "".join(f"{byte:08b}" for byte in data)
    bits += "?" * (-len(bits) % 6)
    groups = [bits[at : at + 6] for at in range(unknown - unknown % 6, len(bits), 6)]
    return "".join(_sign_class(group) for group in groups)


@functools.cache
def _sign_class(bits: str) -> str:
    wanted = bits.replace("?", ".")
    signs = "".join(sign for value, sign in enumerate(_BASE64) if re.fullmatch(wanted, f"{value:06b}"))
    return signs if len(signs) == 1 else "[" + signs.replace("-", r"\-") + "]"
