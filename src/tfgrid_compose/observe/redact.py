"""Keep secrets out of everything that is shown or written: by type, and by value at the sink."""

from __future__ import annotations

import dataclasses
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any, TypeVar

from tfgrid_compose.observe import encoded
from tfgrid_compose.observe.ownwords import Ours, OwnWords
from tfgrid_compose.observe.plain import SEQUENCE
from tfgrid_compose.observe.spelling import MARKS, as_bytes, longest_plain, spellings

MASK = "«redacted»"
SHORTEST = 4
# A pattern for a longer value would take long to make.
_PIECE = 1024
# Programs act on these fields of events and errors; a secret that happens to be a word of ours must not change them.
_STABLE = frozenset({"kind", "outcome", "step", "command", "level", "code", "cause", "log", "deployment", "exit_code"})
# Fields of errors that are sentences, names and commands of ours; what comes from outside is masked in them too.
_OURS = frozenset({"what", "fix", "aftermath"})
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]+")
_CONTROLS = bytes({*range(32), 127} - set(b"\t\n"))
T = TypeVar("T")
Span = tuple[int, int]


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

    Those are base64 and base32 at any offset, hex, dumps of bytes, URL, HTML and JSON encoding, and what shells and C
    write for special signs; broken into lines and groups, and more than once. `own` knows the words of our sentences.
    """

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._encoded = encoded.Search([])
        self.own = OwnWords()

    def add(self, *values: str) -> None:
        """Learn secret values. Those of one to three signs are left alone, they would mask ordinary words."""
        parts = {part for value in values for part in _parts(value) if len(part) >= SHORTEST}
        fresh = {part: Known(part) for part in parts if part not in self._known}
        if fresh:
            # A new table instead of a changed one: another thread may be in the middle of reading it.
            self._known = {**self._known, **fresh}
            self._encoded = encoded.Search(item.needle for item in self._known.values())

    @property
    def known(self) -> list[Known]:
        """What is looked for."""
        return list(self._known.values())

    def text(self, text: str) -> str:
        """A text from outside, without secrets."""
        spans = list(self._spans(text)) if self._known else []
        return _masked(text, spans) if spans else text

    def sentence(self, text: str) -> str:
        """A sentence of ours, without secrets that came into it from outside: our own words stay."""
        spans = [span for span in self._spans(text) if not self.own.cover(text, *span)] if self._known else []
        return _masked(text, spans) if spans else text

    def data(self, value: Any) -> Any:
        """Any JSON-like value from outside without secrets."""
        return _deeply(value, self._clean)

    def told(self, what: str, why: str) -> str:
        """What failed and why, in one sentence: the reason may come from outside."""
        return f"{self.sentence(what)}: {self._clean(why)}" if why else self.sentence(what)

    def facts(self, facts: dict[str, Any]) -> dict[str, Any]:
        """The facts of an error: reason and lines of output are from outside, the rest are sentences of ours."""
        return {key: self._fact(value, ours=key in _OURS, name=key) for key, value in facts.items()}

    def event(self, event: T) -> T:
        """A dataclass with its texts redacted; stable identifiers such as `kind` and `step` stay.

        Fields whose metadata say `ours` are sentences and names of ours; all others may come from outside.
        """
        if not self._known or not dataclasses.is_dataclass(event) or isinstance(event, type):
            return event
        changed = {
            item.name: self._fact(getattr(event, item.name), ours=bool(item.metadata.get("ours")), name=item.name)
            for item in dataclasses.fields(event)
        }
        return dataclasses.replace(event, **changed)

    def _fact(self, value: Any, *, ours: bool, name: str) -> Any:
        if name in _STABLE:
            return value
        if isinstance(value, dict):
            return self.facts(value)
        return _deeply(value, self.sentence if ours else self._clean)

    def _clean(self, text: str) -> str:
        return self.sentence(text) if isinstance(text, Ours) else self.text(text)

    def _spans(self, text: str) -> Iterator[Span]:
        """Where secrets stand."""
        origin: Callable[[int], int]
        base, origin = text, _same
        if _has_unseen(text):
            visible = _without(text, SEQUENCE)
            visible = _without(visible.text, _UNSEEN, visible.origin)
            base, origin = visible.text, visible.origin
            # A value may hold what was taken out.
            for item in [item for item in self._known.values() if item.core in text]:
                yield from item.spans(text)
        for item in [item for item in self._known.values() if item.core in base]:
            yield from (_back(span, origin) for span in item.spans(base))
        if "\n" in base:
            yield from self._over_lines(base, origin)
        raw = as_bytes(base)
        place = _same if len(raw) == len(base) else _signs(base)
        for start, stop in self._encoded.spans(raw):
            yield _back((place(start), place(stop - 1) + 1), origin)

    def _over_lines(self, text: str, origin: Callable[[int], int]) -> Iterator[Span]:
        """Values that a line break, or several, cut into pieces."""
        joined = text.replace("\n", "")
        breaks: _Cut | None = None
        for item in self._known.values():
            at = joined.find(item.flat)
            while at >= 0:
                breaks = breaks or _without(text, _BREAKS)
                yield _back(_back((at, at + len(item.flat)), breaks.origin), origin)
                at = joined.find(item.flat, at + len(item.flat))
        # Who fills lines up to a width puts the break in place of a space.
        spaced = [item for item in self._known.values() if " " in item.value]
        filled = text.replace("\n", " ") if spaced else ""
        for item in spaced:
            yield from (_back(span, origin) for span in item.spans(filled))


# Secrets that this process has met; whatever prints or saves text goes through it.
PROCESS = Redactor()
_BREAKS = re.compile("\n+")


def _has_unseen(text: str) -> bool:
    """Whether a text holds control characters beside line breaks and tabs."""
    if text.isprintable():
        return False
    raw = as_bytes(text)
    return len(raw.translate(None, _CONTROLS)) < len(raw) or (not text.isascii() and _UNSEEN.search(text) is not None)


def _deeply(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {_deeply(key, clean): _deeply(item, clean) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_deeply(item, clean) for item in value)
    return value


def _parts(value: str) -> Iterator[str]:
    """What is looked for of a value: all of it and each of its lines, in pieces when it is long."""
    for part in map(str.strip, [value, *value.splitlines()] if "\n" in value else [value]):
        ends = [*range(_PIECE, len(part) - SHORTEST, _PIECE), len(part)]
        yield from (part[begin:end] for begin, end in zip([0, *ends], ends))
        if _has_unseen(part):
            yield _UNSEEN.sub("", SEQUENCE.sub("", part)).strip()


def _masked(text: str, spans: list[Span]) -> str:
    """Mask the spans; of secrets that overlap, no part is left. Line breaks stay, so that lines keep their number."""
    parts, end = [], 0
    for start, stop in sorted(spans):
        if stop > end:
            if start >= end:
                parts.append(text[end:start])
            parts.append(_mask(text[max(start, end) : stop], begun=start < end))
            end = stop
    return "".join([*parts, text[end:]])


def _mask(piece: str, begun: bool) -> str:
    """The mask for each line of a piece; where a mask stands already, none for its first line."""
    lines = piece.split("\n")
    return "\n".join(MASK if line.strip() and not (begun and at == 0) else "" for at, line in enumerate(lines))


# Places in a text that something was taken out of


def _same(at: int) -> int:
    return at


def _back(span: Span, origin: Callable[[int], int]) -> Span:
    """A span in the text that something was taken out of; its last sign decides where it ends."""
    return origin(span[0]), origin(span[1] - 1) + 1


@dataclasses.dataclass
class _Cut:
    """A text that something was taken out of."""

    text: str
    origin: Callable[[int], int]


def _without(text: str, pattern: re.Pattern[str], before: Callable[[int], int] = _same) -> _Cut:
    kept: list[str] = []
    lengths: list[int] = []
    starts: list[int] = []
    end = 0
    for found in pattern.finditer(text):
        if found.start() > end:
            kept.append(text[end : found.start()])
            lengths.append(found.start() - end)
            starts.append(end)
        end = found.end()
    kept.append(text[end:])
    lengths.append(len(text) - end)
    starts.append(end)
    ends = list(accumulate(lengths))

    def origin(at: int) -> int:
        index = min(bisect_left(ends, at + 1), len(starts) - 1)
        return before(starts[index] + at - (ends[index - 1] if index else 0))

    return _Cut("".join(kept), origin)


def _signs(text: str) -> Callable[[int], int]:
    """Which sign of a text holds a byte of it."""
    ends: list[int] = []

    def place(at: int) -> int:
        if not ends:
            ends.extend(accumulate(len(as_bytes(sign)) for sign in text))
        return bisect_left(ends, at + 1)

    return place


class Known:
    """One secret value: what is looked for first, which is quick, and a pattern of its spellings."""

    __slots__ = ("_pattern", "_special", "core", "flat", "needle", "value")

    def __init__(self, value: str) -> None:
        self.value = value
        self.flat = value.replace("\n", "").replace("\r", "")
        self.needle = encoded.Needle(as_bytes(value))
        self.core = longest_plain(value)
        self._special = len(self.core) < len(value)
        self._pattern: re.Pattern[str] | None = None

    def spans(self, text: str) -> Iterator[Span]:
        """Where the value stands, in plain or as some program spells it."""
        at = text.find(self.value)
        while at >= 0:
            yield at, at + len(self.value)
            at = text.find(self.value, at + len(self.value))
        if self._special and self.core in text and any(mark in text for mark in MARKS):
            for start, stop in self._lines(text):
                if any(text.find(mark, start, stop) >= 0 for mark in MARKS):
                    yield from (found.span() for found in self._spelt().finditer(text, start, stop))

    def _lines(self, text: str) -> Iterator[Span]:
        """The lines that may hold a spelling; all of the text for a value of several lines."""
        if "\n" in self.value or not self.core:
            yield 0, len(text)
            return
        at = text.find(self.core)
        while at >= 0:
            start, stop = text.rfind("\n", 0, at) + 1, text.find("\n", at)
            stop = len(text) if stop < 0 else stop
            yield start, stop
            at = text.find(self.core, stop)

    def _spelt(self) -> re.Pattern[str]:
        if self._pattern is None:
            self._pattern = re.compile(spellings(self.value))
        return self._pattern
