"""Lines of output as they come, redacted together with their neighbours: a secret may go on in the next line.

A line that ends in what could be the beginning of a secret waits for the line after it. So does a row of a dump. All
others are passed on at once.
"""

from __future__ import annotations

from collections.abc import Callable

from tfgrid_compose.observe import encoded
from tfgrid_compose.observe.dumps import is_row
from tfgrid_compose.observe.plain import SEQUENCE
from tfgrid_compose.observe.redact import Known, Redactor
from tfgrid_compose.observe.spelling import as_bytes

# So many lines, and signs, wait at most.
_MOST_LINES = 64
_MOST_SIGNS = 64 * 1024
# Of what was passed on, so much is looked at again with the next line.
_BEHIND = 256
# A beginning that is shorter is that of many words: it says too little of a secret to let a line wait for it.
_TELLING = 2
_LONGEST = 4096


class Flow:
    """Takes lines without their line breaks, and gives each to `emit` once it is known to be clean, in order."""

    def __init__(self, redactor: Redactor, emit: Callable[[str], None]) -> None:
        self._redactor, self._emit = redactor, emit
        self._beginnings = _Beginnings([])
        self._held: list[str] = []
        self._size = 0
        self._behind = ""

    def __enter__(self) -> Flow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def line(self, line: str) -> None:
        """Take a line."""
        self._held.append(line)
        self._size += len(line)
        if len(self._held) >= _MOST_LINES or self._size >= _MOST_SIGNS or not self._may_go_on():
            self.close()

    def close(self) -> None:
        """Pass on what waits: at the end of the output, or when nobody may wait any longer."""
        held, self._held, self._size = self._held, [], 0
        if not held:
            return
        clean = self._redactor.text("\n".join([self._behind, *held])).split("\n")[-len(held) :]
        # A secret may have begun there with a sign or two; and a row is only read with the one before it.
        self._behind = "\n".join(held[-3:]) if is_row(held[-1]) else held[-1][-_BEHIND:]
        for line in clean:
            self._emit(line)

    def _may_go_on(self) -> bool:
        """Whether the end of what waits could be the beginning of something that has to be masked."""
        if is_row(self._held[-1]):
            return True
        known = self._redactor.known
        if len(known) != self._beginnings.count:
            self._beginnings = _Beginnings(known)
        return self._beginnings.end("".join([self._behind, *self._held])[-_LONGEST:])


class _Beginnings:
    """The beginnings of all that is looked for, found by their last two signs."""

    def __init__(self, known: list[Known]) -> None:
        self.count = len(known)
        self._plain: _Index = {}
        self._base64: _Index = {}
        self._base32: _Index = {}
        self._hex: _Index = {}
        for item in known:
            _learn(self._plain, item.flat)
            _learn(self._hex, item.needle.hex, 4)
            for form in item.needle.base64:
                _learn(self._base64, form.certain, 3, more=bool(form.after))
            for form in item.needle.base32:
                _learn(self._base32, form.certain, 4, more=bool(form.after))

    def end(self, tail: str) -> bool:
        """Whether a text ends in one of them."""
        raw = as_bytes(SEQUENCE.sub("", tail) if "\x1b" in tail else tail)
        return any(self._ends_in_one(read) for read in (raw, *encoded.readings(raw)))

    def _ends_in_one(self, raw: bytes) -> bool:
        return (
            _ends(self._plain, raw.decode(errors="ignore"))
            or _ends(self._base64, encoded.seen_as(raw, encoded.ONE_ALPHABET, encoded.NOT_BASE64))
            or _ends(self._base32, encoded.seen_as(raw, None, encoded.NOT_BASE32))
            or _ends(self._hex, encoded.seen_as(encoded.without_prefixes(raw), encoded.LOWER, encoded.NOT_HEX))
        )


_Index = dict[str, list[tuple[str, int]]]


def _learn(index: _Index, whole: str, least: int = _TELLING, more: bool = False) -> None:
    # With `more` the certain signs are not all: one that holds bits of a neighbour follows.
    for length in range(least, len(whole) + more):
        index.setdefault(whole[length - 2 : length], []).append((whole, length))


def _ends(index: _Index, text: str) -> bool:
    return any(text.endswith(whole[:length]) for whole, length in index.get(text[-2:], ()))
