"""Odd values, and ways to make odd what was in order. Everything comes from the `Random` that is given, so a seed repeats it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from random import Random
from typing import Any

# Texts that have broken programs: empty, controls, what other languages read as syntax, odd digits, halves of signs.
TEXTS = (
    "", " ", "\0", "a\0b", "\n", "\r\n", "\t", "\x1b[31mred\x1b[0m", "\x1b]0;title\a", "\x7f", "\x85", "\u2028", "\ufeff", "\ud800",
    "a\udcffb", "\U0001f600", "e\u0301", "\u202eabc", "\u0130", "\u00df", "\u0663", "\u2167", "\u00b2", "null", "~", "true", "no", "0",
    "-1", "1.5", "1e999", "nan", "-inf", "0x10", "0o17", "1_000", "99999999999999999999", "{}", "[]", "[", "{", "'", '"', "`", "$(id)",
    "${HOME}", "%s%n", "{0}", "{name}", "; rm -rf x", "| cat", "-", "--", "--help", "-rf", "#", "a: b", "- a", "&a", "*a", "<<", "!!int x",
    ".", "..", "../x", "./x", "a/../b", "a//b", "~/x", "*", "**", "?", "[a-", "\\", "a\\", "a" * 300, "a" * 5000, "/" * 300,
    "ключ", "名前", "10.0.0.0/8", "::1", "10.1.0.0/16", "999.1.1.1", "2024-01-01", "=", "A=b", "@", ",", ":", "8G", "512M",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 7, 80, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30, 10**400,
    0.0, -0.0, 0.5, 1.5, -2.5, 1e15, 1e308, 5e-324, float("inf"), float("-inf"), float("nan"),
)  # fmt: skip
BYTES = (
    b"", b"\0", b"\xff", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\xc0\x80", b"\xed\xa0\x80", b"\x80", b"\r", b"\r\n", b"\n", b"\t", b" ",
    b"\x1b[2J", b"\x85", b"\xe2\x80\xa8", b"'", b'"', b"\\", b"$", b"=", b"#", b":", b"-", b"{", b"}", b"[", b"]", b"*", b"&a ", b"*a", b"!!",
    b"<<: ", b"? ", b"| \n", b"> \n", b"%YAML", b"---", b"...", b"null", b"9" * 30, b"A" * 400,
)  # fmt: skip


def text(chance: Random) -> str:
    """One odd text; sometimes two of them in a row, sometimes signs from anywhere."""
    kind = chance.random()
    if kind < 0.7:
        return chance.choice(TEXTS)
    if kind < 0.85:
        return chance.choice(TEXTS) + chance.choice(("", "a", " ", "-", "x1")) + chance.choice(TEXTS)
    return "".join(
        chr(chance.choice((chance.randrange(128), chance.randrange(0x3000), chance.randrange(0x110000)))) for _ in range(9)
    )


def number(chance: Random) -> int | float:
    """One odd number."""
    return chance.choice(NUMBERS) if chance.random() < 0.8 else chance.randrange(-(10**6), 10**6)


def scalar(chance: Random) -> Any:
    """One odd value that holds no others."""
    kind = chance.randrange(6)
    return None if kind == 0 else chance.random() < 0.5 if kind == 1 else number(chance) if kind < 4 else text(chance)


def value(chance: Random, depth: int = 2) -> Any:
    """Any JSON-like value; rarely one that is nested very deeply."""
    if not depth or chance.random() < 0.6:
        return scalar(chance)
    if chance.random() < 0.02:
        return deep(chance, chance.choice((50, 300)))
    if chance.random() < 0.5:
        return [value(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {text(chance): value(chance, depth - 1) for _ in range(chance.randrange(4))}


def deep(chance: Random, levels: int) -> Any:
    """A list in a list, or a mapping in a mapping, so many times."""
    found: Any = scalar(chance)
    as_list = chance.random() < 0.5
    for _ in range(levels):
        found = [found] if as_list else {"a": found}
    return found


# Trees

# Places of a tree that one is chosen from.
_MOST = 10_000


def tree(chance: Random, whole: Any, other: Callable[[Random], Any] = value, times: int | None = None) -> Any:
    """A copy of JSON-like data with some places changed; `other` gives what is put there."""
    found = copy.deepcopy(whole)
    for _ in range(times or chance.choice((1, 1, 1, 2, 3, 6))):
        places = list(islice(_places(found), _MOST))
        if not places:
            return other(chance)
        holder, key = chance.choice(places)
        with suppress(RecursionError):  # A copy of what is that deep.
            _change(chance, holder, key, other)
    return found


def _places(root: Any) -> Iterator[tuple[Any, Any]]:
    """(holder, key) of everything in a tree, which may be deeper than Python recurses, or hold itself."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, item in items:
            yield node, key
            waiting.append(item)


def _change(chance: Random, holder: Any, key: Any, other: Callable[[Random], Any]) -> None:
    kind = chance.random()
    if kind < 0.55:
        holder[key] = other(chance)
    elif kind < 0.7:
        del holder[key]
    elif kind < 0.8:
        holder[key] = chance.choice(
            ([holder[key]], {"a": holder[key]}, [holder[key], copy.deepcopy(holder[key])], str(holder[key]))
        )
    elif isinstance(holder, dict) and kind < 0.92:
        holder[text(chance)] = holder.pop(key) if chance.random() < 0.5 else other(chance)
    elif isinstance(holder, list):
        holder.insert(chance.randrange(len(holder) + 1), other(chance))
    else:
        keys = list(holder)
        swapped = chance.choice(keys)
        holder[key], holder[swapped] = holder[swapped], holder[key]


def as_json(data: Any) -> str:
    """JSON, also of numbers and texts that JSON does not know."""
    return json.dumps(data)


# Bytes


def raw(chance: Random, data: bytes, others: Sequence[bytes] = (), times: int | None = None) -> bytes:
    """Bytes with some places changed: flipped, replaced, cut out, doubled, inserted, cut off, or spliced with `others`."""
    found = bytearray(data)
    for _ in range(times or chance.choice((1, 1, 2, 4, 16))):
        _damage(chance, found, others)
    return bytes(found)


def _damage(chance: Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    length = min(chance.choice((1, 2, 4, 16, 200)), len(data) - at)
    kind = chance.randrange(9)
    if kind <= 1 and at < len(data):
        data[at] ^= 1 << chance.randrange(8)
    elif kind == 2 and at < len(data):
        data[at] = chance.randrange(256)
    elif kind == 3:
        del data[at : at + length]
    elif kind == 4:
        data[at:at] = data[at : at + length] * chance.choice((1, 2, 20))
    elif kind == 5 and chance.random() < 0.3:
        del data[at:]
    elif kind == 6 and others:
        other = chance.choice(others)
        start = chance.randrange(len(other) + 1)
        data[at : at + length] = other[start : start + chance.choice((4, 40, 400))]
    else:
        data[at : at + chance.choice((0, length))] = chance.choice(BYTES)


def lines(chance: Random, whole: str, others: Sequence[str] = ()) -> str:
    """A text with some of its lines dropped, doubled, moved, indented otherwise or replaced."""
    found = whole.splitlines()
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(found) + 1)
        here = found[at : at + 1] or [""]
        kind = chance.randrange(6)
        if kind == 0:
            found[at : at + 1] = []
        elif kind == 1:
            found[at:at] = here * chance.choice((1, 3))
        elif kind == 2:
            found[at : at + 1] = [chance.choice(("", " ", "  ", "\t", "- ")) + here[0].strip()]
        elif kind == 3:
            found[at:at] = [chance.choice(others or ("",))]
        elif kind == 4:
            found[at : at + 1] = [
                here[0].partition(chance.choice((":", "=", " ")))[0] + chance.choice((": ", "=", "")) + text(chance)
            ]
        else:
            chance.shuffle(found)
    return chance.choice(("\n", "\n", "\n", "\r\n", "\r")).join(found) + chance.choice(("\n", ""))


def file_bytes(content: str) -> bytes:
    """A text as a file may hold it: what is no text at all stays as near to it as can be."""
    return content.encode("utf-8", "surrogatepass")
