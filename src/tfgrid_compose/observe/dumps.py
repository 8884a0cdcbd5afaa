"""Reads dumps of bytes, as od, xxd, hexdump and their like print them: in rows, with offsets and a column of text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

# Whether a text can hold a row at all: one token of digits after another, or signs in columns of four.
_ROW_AT_ALL = re.compile(
    rb"\n[ \t]*[0-9a-fA-F]{1,22}(?::[ \t]*|[ \t]+)[0-9a-fA-F\\. ]"
    rb"|\n(?:[0-9a-fA-F]{7,8})?(?: {3}\S| {2}\\\S| [0-7]{3}| {4}){1,16}[ \n]"
)
_OFFSET = re.compile(rb"[ \t]*([0-9a-fA-F]{6,16})(:?)[ \t]+")
_TEXT_COLUMN = re.compile(rb"[ \t]{1,2}[|>]")
# xxd ends an offset with a colon, and puts two spaces before the text; with -e also before a last word that is shorter.
_XXD_COLUMN = re.compile(rb"  +(?! |[0-9a-fA-F]{2,6}  )")
_DIGITS = re.compile(rb"[0-9a-fA-F]{1,22}")
_TOKEN = re.compile(rb"\S+")
_CELLS = re.compile(rb"([0-9a-fA-F]{7,8})?((?:   \S|  \\\S| [0-7]{3}|    )++)[ \t]*$")
_CELL_NAMES = {b"\\0": 0, b"\\a": 7, b"\\b": 8, b"\\t": 9, b"\\n": 10, b"\\v": 11, b"\\f": 12, b"\\r": 13, b"\\\\": 92}
_OCTAL_WIDTHS = {3: 1, 6: 2, 11: 4, 22: 8}


@dataclass
class Block:
    """Rows of a dump that follow each other: the bytes that they show, and which row shows each."""

    data: bytes
    _owner: list[int]
    _rows: list[tuple[int, int]]

    def spans(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The rows that show these bytes, without their offsets, but with what stands beside the bytes as text."""
        return [self._rows[row] for row in dict.fromkeys(self._owner[start:stop])]


@dataclass
class _Rows:
    """The tokens of some rows, and where each row's tokens begin and the row ends."""

    tokens: list[tuple[int, bytes]] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)

    def add(self, tokens: list[bytes], span: tuple[int, int]) -> None:
        self.tokens += [(len(self.spans), token) for token in tokens]
        self.spans.append(span)

    def block(self, meaning: Callable[[bytes], bytes]) -> Block:
        data, owner = bytearray(), []
        for row, token in self.tokens:
            part = meaning(token)
            data += part
            owner += [row] * len(part)
        return Block(bytes(data), owner, self.spans)


def is_row(line: str) -> bool:
    """Whether a line is a row of a dump, so that what it shows may go on in the next one."""
    raw = line.encode(errors="replace")
    if not _ROW_AT_ALL.match(b"\n" + raw + b"\n"):
        return False
    found = _digits(raw)
    return (found is not None and (len(found[0]) > 1 or found[1] > 0)) or _CELLS.match(raw) is not None


def blocks(raw: bytes) -> Iterator[Block]:
    """Every way to read the rows of a text as bytes."""
    if not _ROW_AT_ALL.search(b"\n" + raw):
        return
    digits, cells, start = _Rows(), _Rows(), 0
    for line in raw.split(b"\n"):
        found = _digits(line)
        if found:
            digits.add(found[0], (start + found[1], start + len(line)))
        elif digits.tokens:
            yield from _number_blocks(digits)
            digits = _Rows()
        signs = _CELLS.match(line)
        if signs:
            body = signs[2]
            cells.add([body[at : at + 4].strip() for at in range(0, len(body), 4)], (start + signs.start(2), start + len(line)))
        elif cells.tokens:
            yield cells.block(_cell)
            cells = _Rows()
        start += len(line) + 1
    if digits.tokens:
        yield from _number_blocks(digits)
    if cells.tokens:
        yield cells.block(_cell)


def _digits(line: bytes) -> tuple[list[bytes], int] | None:
    """The tokens of a row of numbers, and where they begin; None when it is none."""
    begin, data, offset = 0, line, _OFFSET.match(line)
    if offset:
        data = line[offset.end() :]
        following = _TOKEN.match(data)
        if offset[2] or not following or len(following[0]) != len(offset[1]):
            begin = offset.end()
        else:
            data = line
        column = _TEXT_COLUMN.search(data)
        if offset[2]:
            column = _XXD_COLUMN.search(data)
        data = data[: column.start()] if column else data
    tokens = []
    for found in _TOKEN.finditer(data):
        if not _DIGITS.fullmatch(found[0]):
            # Without an offset, a line that has other words too is no row.
            if not begin:
                return None
            break
        tokens.append(found[0])
    return (tokens, begin) if tokens else None


def _number_blocks(rows: _Rows) -> Iterator[Block]:
    if len(rows.tokens) < 2:
        return
    width = Counter(len(token) for _, token in rows.tokens).most_common(1)[0][0]
    if width % 2 == 0:
        yield rows.block(lambda token: _from_hex(token, False))
        if width > 2:
            yield rows.block(lambda token: _from_hex(token, True))
    if width in _OCTAL_WIDTHS:
        size = _OCTAL_WIDTHS[width]
        yield rows.block(lambda token: _from_number(token, 8, size))
    if width <= 3:
        yield rows.block(lambda token: _from_number(token, 10, 1))
    if width == 8:
        yield rows.block(lambda token: _from_number(token, 2, 1))


def _from_hex(token: bytes, turned: bool) -> bytes:
    if len(token) % 2:
        return b"\0"
    data = bytes.fromhex(token.decode())
    return data[::-1] if turned else data


def _from_number(token: bytes, base: int, size: int) -> bytes:
    try:
        return int(token, base).to_bytes(size, "little")
    except (ValueError, OverflowError):
        return b"\0" * size


def _cell(token: bytes) -> bytes:
    """A sign as `od -c` writes it."""
    if len(token) == 3:
        return bytes([int(token, 8) & 255])
    return bytes([_CELL_NAMES.get(token, token[-1])]) if token else b" "
