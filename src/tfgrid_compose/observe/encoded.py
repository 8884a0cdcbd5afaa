"""Finds known bytes in a text that holds them encoded: base64, base32, hex, dumps, escapes inside of escapes.

An encoded value may be broken into lines, columns and groups. So the text is looked at as the encoding sees it: only the
signs of its alphabet, one after the other, whatever stands between them. Where something is found is worked out only
then. Everything takes time that grows with the text as it does, not faster.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from tfgrid_compose.observe.dumps import blocks

Span = tuple[int, int]
T = TypeVar("T", str, bytes)
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_HEX = b"0123456789abcdefABCDEF"
_ALL = bytes(range(256))
LOWER = _ALL.lower()
# The second alphabet of base64 has other signs for two values.
ONE_ALPHABET = bytes.maketrans(b"-_", b"+/")
NOT_BASE64 = bytes(set(_ALL) - set(_BASE64.encode()) - set(b"-_"))
NOT_BASE32 = bytes(set(_ALL) - set(_BASE32.encode()))
NOT_HEX = bytes(set(_ALL) - set(_HEX))
_HEX_PREFIX = re.compile(rb"0[xX]|\\x")
_LETTER = re.compile(rb"[A-Za-z0-9]")
# A text is read out at most so many times: who encodes more often wants to hide it.
_DEPTH = 4


@dataclass(frozen=True)
class Groups:
    """The signs of an encoding that hold bytes of ours: those that are certain, and which may stand at the two edges."""

    certain: str
    before: frozenset[str]
    after: frozenset[str]


class Needle:
    """Bytes that are looked for, in each encoding."""

    __slots__ = ("base32", "base64", "data", "hex", "texts")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.hex = data.hex()
        self.base64 = [_groups(data, 6, offset, _BASE64) for offset in range(3)]
        self.base32 = [_groups(data, 5, offset, _BASE32) for offset in range(5)]
        # In a URL a space may be a plus.
        self.texts = tuple(dict.fromkeys([data, data.replace(b" ", b"+")]))


def _groups(data: bytes, width: int, offset: int, alphabet: str) -> Groups:
    """Bytes that begin `offset` bytes after a full group, in groups of `width` bits."""
    unknown = 8 * offset
    bits = "?" * unknown + "".join(f"{byte:08b}" for byte in data)
    bits = bits[unknown - unknown % width :]
    parts = [bits[at : at + width] for at in range(0, len(bits), width)]
    first = parts.pop(0) if "?" in parts[0] else ""
    last = parts.pop() if len(parts[-1]) < width else ""
    return Groups(
        "".join(alphabet[int(part, 2)] for part in parts), _fitting(first, width, alphabet), _fitting(last, width, alphabet)
    )


def _fitting(bits: str, width: int, alphabet: str) -> frozenset[str]:
    """The signs with these bits, where `?` and what is missing may be any; none when nothing is asked for."""
    wanted = bits.ljust(width, "?").replace("?", ".")
    return frozenset(sign for value, sign in enumerate(alphabet) if bits and re.fullmatch(wanted, f"{value:0{width}b}"))


class Search:
    """All needles at once: for each encoding what is looked for first, the shortest first."""

    def __init__(self, needles: Iterable[Needle]) -> None:
        self._needles = list(needles)
        self._hex = sorted((needle.hex for needle in self._needles), key=len)
        self._base64 = _forms((needle, needle.base64) for needle in self._needles)
        self._base32 = _forms((needle, needle.base32) for needle in self._needles)

    def spans(self, raw: bytes) -> Iterator[Span]:
        """Where needles stand encoded in a text; in plain they are only looked for behind escapes."""
        yield from self._at_one_depth(raw)
        depths: list[_Read] = []
        for _ in range(_DEPTH):
            read = _Read(raw)
            if not read.changed:
                return
            depths.insert(0, read)
            raw = read.text
            for start, stop in (*self._at_one_depth(raw), *self._literal(raw)):
                for read in depths:
                    start, stop = read.origin(start, stop)
                yield start, stop

    def _at_one_depth(self, raw: bytes) -> Iterator[Span]:
        yield from self._in_hex(raw)
        yield from _in_groups(raw, seen_as(raw, ONE_ALPHABET, NOT_BASE64), NOT_BASE64, self._base64)
        yield from _in_groups(raw, seen_as(raw, None, NOT_BASE32), NOT_BASE32, self._base32)
        for block in blocks(raw):
            for needle in self._needles:
                for start in _occurrences(block.data, needle.data):
                    yield from block.spans(start, start + len(needle.data))

    def _literal(self, raw: bytes) -> Iterator[Span]:
        for needle in self._needles:
            for text in needle.texts:
                for at in _occurrences(raw, text):
                    yield at, at + len(text)

    def _in_hex(self, raw: bytes) -> Iterator[Span]:
        """What looks like a prefix may be the last digit of a value and a letter behind it, so both ways are read."""
        bare = without_prefixes(raw)
        yield from self._in_digits(bare)
        if bare is not raw and bare != raw:
            yield from self._in_digits(raw)

    def _in_digits(self, raw: bytes) -> Iterator[Span]:
        window = seen_as(raw, LOWER, NOT_HEX)
        seen = [digits for digits in self._hex[: bisect_right(self._hex, len(window), key=len)] if digits in window]
        places = _places(raw, NOT_HEX) if seen else []
        for digits in seen:
            for at in _occurrences(window, digits):
                start, last = places[at], places[at + len(digits) - 1]
                # Between digits of one value stand spaces and signs, never the letters of a word.
                if not _LETTER.search(raw[start : last + 1].translate(None, _HEX)):
                    yield start, last + 1


def _length(item: tuple[str, object]) -> int:
    return len(item[0])


def _forms(needles: Iterable[tuple[Needle, list[Groups]]]) -> list[tuple[str, Groups]]:
    return sorted(((form.certain, form) for _, forms in needles for form in forms), key=_length)


def _occurrences(text: T, part: T) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + len(part))


# Windows onto the signs of one alphabet


def without_prefixes(raw: bytes) -> bytes:
    """A text with spaces for prefixes of hex numbers, whose zero would stand between the digits of a value."""
    return _HEX_PREFIX.sub(b"  ", raw) if b"x" in raw or b"X" in raw else raw


def seen_as(raw: bytes, table: bytes | None, dropped: bytes) -> str:
    """A text as an encoding sees it. Python looks for a text in a text several times faster than for bytes in bytes."""
    return raw.translate(table, dropped).decode("latin-1")


def _places(raw: bytes, dropped: bytes) -> list[int]:
    """Where in the text each sign of a window stands."""
    out = frozenset(dropped)
    return [at for at, sign in enumerate(raw) if sign not in out]


def _in_groups(raw: bytes, window: str, dropped: bytes, forms: list[tuple[str, Groups]]) -> Iterator[Span]:
    fitting = bisect_right(forms, len(window), key=_length)
    seen = [form for certain, form in forms[:fitting] if certain in window]
    places: list[int] = []
    for form in seen:
        for at in _occurrences(window, form.certain):
            start, stop = at - bool(form.before), at + len(form.certain) + bool(form.after)
            if start < 0 or stop > len(window):
                continue
            if (form.before and window[start] not in form.before) or (form.after and window[stop - 1] not in form.after):
                continue
            places = places or _places(raw, dropped)
            yield places[start], places[stop - 1] + 1


# Escapes


_ESCAPE = re.compile(
    rb"%([0-9A-Fa-f]{2})|\\{1,4}(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})|([nrt])|([^A-Za-z0-9\\]|\\))"
    rb"|&#0{0,6}([0-9]{1,7});|&#[xX]0{0,6}([0-9A-Fa-f]{1,6});|&(amp|lt|gt|quot|apos);"
)
_HALF = re.compile(
    rb"(?:%[0-9A-Fa-f]?|\\{1,4}(?:x[0-9A-Fa-f]?|u[0-9A-Fa-f]{0,3}|U[0-9A-Fa-f]{0,7}|[0-7]{0,2})|&#?[0-9A-Fa-fxX]{0,7})$"
)
_SHORT = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_NAMED = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}


def _sign(number: int) -> bytes:
    return chr(number).encode(errors="surrogatepass") if number < 0x110000 else b"?"


def _meaning(found: re.Match[bytes]) -> bytes:
    """What an escape stands for."""
    percent, byte, short, long, octal, white, itself, decimal, hexadecimal, named = found.groups()
    if percent or byte:
        return bytes([int(percent or byte, 16)])
    if octal:
        return bytes([int(octal, 8) & 255])
    if white:
        return _SHORT[white]
    if itself:
        return bytes(itself)
    if named:
        return _NAMED[named]
    return _sign(int(decimal) if decimal else int(short or long or hexadecimal, 16))


def readings(raw: bytes) -> Iterator[bytes]:
    """A text with its escapes read out once, twice, and so on; one that is cut off at the end is left out."""
    for _ in range(_DEPTH):
        read = _Read(_HALF.sub(b"", raw))
        if not read.changed:
            return
        raw = _HALF.sub(b"", read.text)
        yield raw


class _Read:
    """A text with its escapes read out once, and where each byte of it stood."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._starts: list[int] | None = None
        self._escapes: list[tuple[int, int, int]] = []
        # Where each escape stands, where what follows it stands in `text`, and where that stands here.
        any_mark = b"%" in raw or b"\\" in raw or b"&" in raw
        self.text = _ESCAPE.sub(_meaning, raw) if any_mark else raw
        self.changed = self.text != raw

    def origin(self, start: int, stop: int) -> Span:
        """Where a span of `text` is in the text that was read: an escape counts whole."""
        if self._starts is None:
            self._work_out()
        return self._place(start)[0], self._place(stop - 1)[1]

    def _place(self, at: int) -> Span:
        assert self._starts is not None
        index = bisect_right(self._starts, at) - 1
        if index < 0:
            return at, at + 1
        start, end, stop = self._escapes[index]
        return (start, stop) if at < end else (stop + at - end, stop + at - end + 1)

    def _work_out(self) -> None:
        self._starts, here, last = [], 0, 0
        for found in _ESCAPE.finditer(self._raw):
            here += found.start() - last
            length = len(_meaning(found))
            self._starts.append(here)
            self._escapes.append((found.start(), here + length, found.end()))
            here, last = here + length, found.end()
