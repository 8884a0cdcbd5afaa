"""Keep secrets out of everything that is shown or written: by type, and by value at the sink."""

from __future__ import annotations

import dataclasses
import functools
import re
import string
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote

MASK = "«redacted»"
_SHORTEST = 4
# A pattern for a longer value would take long to make.
_PIECE = 1024
# A longer run of signs is not needed for the quick look.
_ENOUGH = 64
# Programs act on these fields of events and errors; a secret that happens to be a word of ours must not change them.
_STABLE = frozenset({"kind", "outcome", "step", "command", "level", "code", "cause"})
# The signs of an alphabet in the order of their values; some values have another sign in a second alphabet.
_BASE64 = (*string.ascii_uppercase, *string.ascii_lowercase, *string.digits, "+-", "/_")
_BASE32 = (*string.ascii_uppercase, *"234567")
_PLAIN_SIGNS = re.compile("[A-Za-z0-9]*")
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
    """Replaces known secret values in any text, in plain and in every encoding that logs usually hold.

    Those are base64 and base32 at any offset, hex, URL, HTML and JSON encoding, and what shells and C write
    for special signs.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._encoded = re.compile("")

    def add(self, *values: str) -> None:
        """Learn secret values. Those of one to three signs are left alone, they would mask ordinary words."""
        parts = {part for value in values for part in _parts(value) if len(part) >= _SHORTEST}
        fresh = {part: _Known(part) for part in parts if part not in self._known}
        if fresh:
            # A new table instead of a changed one: another thread may be in the middle of reading it.
            self._known = {**self._known, **fresh}
            self._encoded = _encoded_at_all(self._known.values())

    def text(self, text: str) -> str:
        """The text without secrets."""
        encoded = self._known and self._encoded.search(text) is not None
        spans = [span for known in self._known.values() if known.may_be_in(text, bool(encoded)) for span in known.spans(text)]
        return _masked(text, spans) if spans else text

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
        if not self._known or not dataclasses.is_dataclass(event) or isinstance(event, type):
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


def _parts(value: str) -> Iterator[str]:
    """What is looked for of a value: all of it and each of its lines, in pieces when it is long."""
    for part in map(str.strip, [value, *value.splitlines()] if "\n" in value else [value]):
        ends = [*range(_PIECE, len(part) - _SHORTEST, _PIECE), len(part)]
        yield from (part[begin:end] for begin, end in zip([0, *ends], ends))


def _masked(text: str, spans: list[tuple[int, int]]) -> str:
    """Mask the spans; of secrets that overlap, no part is left."""
    parts, end = [], 0
    for start, stop in sorted(spans):
        if start >= end:
            parts += [text[end:start], MASK]
        end = max(end, stop)
    return "".join([*parts, text[end:]])


class _Known:
    """One secret value: a quick look whether a text may hold it, and a pattern for where.

    Every spelling of the value holds a run of letters and digits that is always the same. To look for these
    is many times faster than the pattern, which is only made when one of them was seen.
    """

    __slots__ = ("_pattern", "_value", "encoded", "plain")

    def __init__(self, value: str) -> None:
        self._value = value
        self._pattern: re.Pattern[str] | None = None
        self.plain = _longest_plain(value)
        data = _bytes(value)
        groups = [*_all_groups(data[:_ENOUGH], 6, 3), *_all_groups(data[:_ENOUGH], 5, 5)]
        self.encoded = (data.hex(), data.hex().upper(), *(_core(group) for group in groups))

    def may_be_in(self, text: str, encoded: bool) -> bool:
        """Whether to look closer; `encoded` unset: nothing in the text is long enough for an encoded secret."""
        return self.plain in text or (encoded and any(core in text for core in self.encoded))

    def spans(self, text: str) -> Iterable[tuple[int, int]]:
        """Where the value stands."""
        if self._pattern is None:
            self._pattern = re.compile(_forms(self._value))
        return (found.span() for found in self._pattern.finditer(text))


def _encoded_at_all(known: Iterable[_Known]) -> re.Pattern[str]:
    """Finds what is as long as the shortest run of letters and digits that an encoded secret has."""
    shortest = min((len(core) for item in known for core in item.encoded), default=0)
    return re.compile(f"[A-Za-z0-9]{{{shortest}}}")


def _forms(value: str) -> str:
    """A pattern for all spellings of a value. No two ways lead through a text, so that it never takes long."""
    data = _bytes(value)
    spelt = ["".join(map(spell, value)) for spell in (re.escape, _in_url, _in_escapes, _in_html, _in_quotes)]
    encoded = [
        data.hex(), data.hex().upper(),
        *("".join(_sign_class(bits, _BASE64) for bits in group) for group in _all_groups(data, 6, 3)),
        *("".join(_sign_class(bits, _BASE32) for bits in group) for group in _all_groups(data, 5, 5)),
    ]  # fmt: skip
    return "|".join(dict.fromkeys([*spelt, *encoded]))


def _bytes(value: str) -> bytes:
    """As the operating system has it; what it can't have is encoded somehow, but never an error."""
    try:
        return value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return value.encode(errors="surrogatepass")


def _longest_plain(text: str) -> str:
    runs: list[str] = _PLAIN_SIGNS.findall(text)
    return max(runs, key=len)


def _is_plain(sign: str) -> bool:
    return sign.isascii() and sign.isalnum()


def _in_url(sign: str) -> str:
    """A sign, plain or %-encoded: which signs are encoded, and in which letters, differs between programs."""
    if quote(sign, safe="", errors="replace") == sign:
        return re.escape(sign)
    encoded = "".join(f"%{_any_case(f'{byte:02x}')}" for byte in _bytes(sign))
    if sign == "%":
        return encoded  # Whoever encodes anything encodes this one.
    return f"(?:{re.escape(sign)}|{encoded}{'|[+]' if sign == ' ' else ''})"


def _in_escapes(sign: str) -> str:
    """A sign as JSON, C, Python and shells write it with backslashes, once or in a text inside of a text."""
    if _is_plain(sign):
        return sign
    units = sign.encode("utf-16-be", "surrogatepass").hex()
    codes = [
        [f"u{_any_case(units[at : at + 4])}" for at in range(0, len(units), 4)],
        [f"x{_any_case(f'{byte:02x}')}" for byte in _bytes(sign)],
        [f"{byte:03o}" for byte in _bytes(sign)],
    ]
    if ord(sign) > 127:
        codes.append([f"x{_any_case(f'{ord(sign):02x}')}" if ord(sign) < 256 else f"U{_any_case(f'{ord(sign):08x}')}"])
    # In a text inside of a text the backslash before a sign is doubled, and more.
    forms = ["".join(rf"\\{{1,4}}{code}" for code in group) for group in codes]
    if sign == "\\":
        return rf"(?:\\\\|{'|'.join(forms)})"
    short = {"\n": r"\\{1,4}n|", "\r": r"\\{1,4}r|", "\t": r"\\{1,4}t|"}.get(sign, "")
    return rf"(?:\\{{0,4}}{re.escape(sign)}|{short}{'|'.join(forms)})"


_ENTITIES = {"&": "amp|", "<": "lt|", ">": "gt|", '"': "quot|", "'": "apos|"}


def _in_html(sign: str) -> str:
    """A sign, or its entity: by name, or by number in either base."""
    if _is_plain(sign):
        return sign
    number = ord(sign)
    entity = f"&(?:{_ENTITIES.get(sign, '')}#0{{0,4}}{number}|#[xX]0{{0,4}}{_any_case(f'{number:x}')});"
    return entity if sign == "&" else f"(?:{re.escape(sign)}|{entity})"


def _in_quotes(sign: str) -> str:
    """A sign inside the single quotes of a shell, which end where one stands in the value."""
    return r"""'(?:"'"|\\')'""" if sign == "'" else re.escape(sign)


def _any_case(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


def _all_groups(data: bytes, width: int, offsets: int) -> list[list[str]]:
    """For each offset after a full group: the bits behind each sign that holds a part of `data`.

    A sign at the edge holds bits of a neighbour too, written as `?`: every sign with the right bits of ours
    will do. Nothing less than all bits of the secret matches, so ordinary words don't.
    """
    found = []
    for unknown in range(0, 8 * offsets, 8):
        bits = "?" * unknown + "".join(f"{byte:08b}" for byte in data)
        bits += "?" * (-len(bits) % width)
        found.append([bits[at : at + width] for at in range(unknown - unknown % width, len(bits), width)])
    return found


def _core(groups: list[str]) -> str:
    """The longest run of letters and digits that these groups have in every alphabet and next to any neighbour."""
    alphabet = _BASE64 if len(groups[0]) == 6 else _BASE32
    signs = "".join("?" if "?" in bits else alphabet[int(bits, 2)] for bits in groups)
    return _longest_plain(signs)


@functools.cache
def _sign_class(bits: str, alphabet: tuple[str, ...]) -> str:
    wanted = bits.replace("?", ".")
    signs = "".join(sign for value, sign in enumerate(alphabet) if re.fullmatch(wanted, f"{value:0{len(bits)}b}"))
    return signs if len(signs) == 1 else "[" + signs.replace("-", r"\-") + "]"
