"""Keep secrets out of everything that is shown or written: by type, and by value at the sink."""

from __future__ import annotations

import base64
import dataclasses
import re
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

MASK = "«redacted»"
_SHORTEST = 4
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
    """Replaces known secret values, also in base64 and URL-encoded form, in any text."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, *values: str) -> None:
        """Learn secret values; very short ones are left alone, they would mask ordinary words."""
        for value in values:
            parts = [value, *value.splitlines()] if "\n" in value else [value]
            for part in parts:
                if len(part.strip()) >= _SHORTEST:
                    self._forms |= _forms(part.strip())
        self._pattern = None

    def text(self, text: str) -> str:
        """The text without secrets."""
        if not self._forms:
            return text
        if self._pattern is None:
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(re.escape(form) for form in longest_first))
        return self._pattern.sub(MASK, text)

    def data(self, value: Any) -> Any:
        """Any JSON-like value without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.data(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.data(item) for item in value)
        return value

    def event(self, event: T) -> T:
        """A dataclass with every field redacted."""
        if not self._forms or not dataclasses.is_dataclass(event) or isinstance(event, type):
            return event
        changed = {item.name: self.data(getattr(event, item.name)) for item in dataclasses.fields(event)}
        return dataclasses.replace(event, **changed)


# Secrets that this process has met; whatever prints or saves text goes through it.
PROCESS = Redactor()


def _forms(value: str) -> set[str]:
    encoded = value.encode()
    found = {value, quote(value, safe=""), quote_plus(value), base64.b64encode(encoded).decode().rstrip("=")}
    found.add(base64.urlsafe_b64encode(encoded).decode().rstrip("="))
    # Inside a longer text base64 starts at one of three offsets; the middle part is the same.
    for offset in (1, 2):
        shifted = base64.b64encode(b"\0" * offset + encoded).decode()
        middle = shifted[4:-4]
        if len(middle) >= 8:
            found.add(middle)
    return {form for form in found if len(form) >= _SHORTEST}
