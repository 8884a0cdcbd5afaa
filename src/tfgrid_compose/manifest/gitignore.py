"""Ignore files, read exactly as git reads them (dir.c and wildmatch.c of git 2.39).

Everything is bytes, as in git: `?` is one byte of a name, not one letter. A matcher's time grows with the length of
pattern and path only, whatever the pattern is.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass

_SPECIAL = re.compile(rb"[*?\[\\]")
_CLASSES = {
    b"alnum": string.ascii_letters + string.digits, b"alpha": string.ascii_letters, b"blank": " \t",
    b"cntrl": "".join(map(chr, [*range(32), 127])), b"digit": string.digits,
    b"graph": "".join(map(chr, range(33, 127))), b"lower": string.ascii_lowercase,
    b"print": "".join(map(chr, range(32, 127))), b"punct": string.punctuation, b"space": " \t\n\r",
    b"upper": string.ascii_uppercase, b"xdigit": string.hexdigits,
}  # fmt: skip
# A pattern or a part of one that no name has.
_NEVER = b"(?!)"

# From a path below the ignore file's folder, and the last part of that path, to whether the pattern means it.
Matcher = Callable[[bytes, bytes], bool]
# A `*` in a part of a pattern.
_STAR = b"*"


@dataclass(frozen=True)
class Rule:
    """One line of an ignore file: what it means, and whether that is left out or, with `!`, taken in again."""

    line: int
    keeps: bool
    only_folders: bool
    matches: Matcher


def parse(raw: bytes) -> tuple[Rule, ...]:
    """The rules of an ignore file; what git can't understand means nothing, as with git."""
    lines = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return tuple(_rule(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith(b"#"))


def decided(rules: tuple[Rule, ...], path: bytes, folder: bool) -> Rule | None:
    """The rule that decides about a path below the ignore file's folder: the last one that means it."""
    name = path.rpartition(b"/")[2]
    for rule in reversed(rules):
        if (folder or not rule.only_folders) and rule.matches(path, name):
            return rule
    return None


def nothing(path: bytes, name: bytes) -> bool:
    """The matcher of a pattern that git can't understand."""
    return False


def _rule(number: int, line: bytes) -> Rule:
    pattern = _without_spaces(line.removesuffix(b"\r").partition(b"\0")[0])
    keeps, pattern = pattern.startswith(b"!"), pattern.removeprefix(b"!")
    only_folders, pattern = pattern.endswith(b"/"), pattern.removesuffix(b"/")
    return Rule(number, keeps, only_folders, _by_path(pattern) if b"/" in pattern else _by_name(pattern))


def _without_spaces(line: bytes) -> bytes:
    """A line without the spaces at its end, unless a backslash stands before them."""
    at, spaces = 0, None
    while at < len(line):
        if line[at : at + 1] == b"\\":
            at += 1
            spaces = None
            if at == len(line):
                return line
        elif line[at : at + 1] != b" ":
            spaces = None
        elif spaces is None:
            spaces = at
        at += 1
    return line if spaces is None else line[:spaces]


def _plain(pattern: bytes) -> int:
    """How many bytes of a pattern, from its beginning, mean themselves."""
    special = _SPECIAL.search(pattern)
    return special.start() if special else len(pattern)


def _by_name(pattern: bytes) -> Matcher:
    """A pattern without `/` means a name in any folder."""
    if _plain(pattern) == len(pattern):
        return lambda path, name: name == pattern
    if pattern[:1] == _STAR and not _SPECIAL.search(pattern, 1):
        return lambda path, name: name.endswith(pattern[1:])
    return _with_parts(_parts(pattern), lambda path, name: [name])


def _by_path(pattern: bytes) -> Matcher:
    """A pattern with a `/` means a path from the ignore file's folder on."""
    pattern = pattern.removeprefix(b"/")
    # As in git, what has no wildcard is compared first, and a `**` behind it stands at the beginning of the rest.
    size = _plain(pattern)
    prefix, rest = pattern[:size], pattern[size:]
    if not rest:
        return lambda path, name: path == prefix
    return _with_parts(_parts(rest), lambda path, name: path[len(prefix) :].split(b"/") if path.startswith(prefix) else None)


def _with_parts(parts: list[list[bytes] | None] | None, names_of: Callable[[bytes, bytes], list[bytes] | None]) -> Matcher:
    if parts is None:
        return nothing
    compiled = [None if part is None else _compiled(part) for part in parts]
    return lambda path, name: (names := names_of(path, name)) is not None and _fits(compiled, names)


def _fits(parts: list[re.Pattern[bytes] | None], names: list[bytes]) -> bool:
    """Whether the parts of a pattern mean the parts of a path; None is `**`, any number of folders, or all at its end."""
    at = name = 0
    retry: tuple[int, int] | None = None
    while name < len(names):
        part = parts[at] if at < len(parts) else _NOTHING
        if part is None:
            if at + 1 == len(parts):
                return True
            at, retry = at + 1, (at + 1, name)
        elif part.fullmatch(names[name]):
            at, name = at + 1, name + 1
        elif retry is not None:
            # Only the last `**` takes one more folder: more for an earlier one would gain nothing.
            at, name = retry[0], retry[1] + 1
            retry = (at, name)
        else:
            return False
    return at == len(parts)


_NOTHING = re.compile(_NEVER)


def _compiled(part: list[bytes]) -> re.Pattern[bytes]:
    """An expression for one part of a path, from pieces of one and `_STAR`s."""
    runs: list[bytes] = [b""]
    for piece in part:
        if piece == _STAR:
            runs.append(b"")
        else:
            runs[-1] += piece
    first, *middle = runs
    if not middle:
        return re.compile(first, re.DOTALL)
    last = middle.pop()
    # The first place that fits is as good as any later one, as long as another `*` follows.
    return re.compile(first + b"".join(b"(?>.*?" + run + b")" for run in middle if run) + b".*" + last, re.DOTALL)


def _parts(glob: bytes) -> list[list[bytes] | None] | None:
    """A pattern, part by part of a path: pieces of an expression and `_STAR`s, or None for `**`. None when it means nothing."""
    parts: list[list[bytes] | None] = []
    part: list[bytes] = []
    at = 0
    while at < len(glob):
        sign = glob[at : at + 1]
        if sign == b"*":
            stars = len(glob) - at - len(glob[at:].lstrip(b"*"))
            after = glob[at + stars : at + stars + 2]
            if stars > 1 and (at == 0 or glob[at - 1 : at] == b"/") and (after[:1] in (b"", b"/") or after == b"\\/"):
                # An escaped `/` behind it wants one folder at least.
                parts += [[_STAR], None] if after == b"\\/" else [None]
                at += stars + (2 if after == b"\\/" else 1)
                if not after:
                    return parts
                continue
            part.append(_STAR)
            at += stars
        elif sign == b"/" or glob[at : at + 2] == b"\\/":
            parts.append(part)
            part = []
            at += 1 if sign == b"/" else 2
        else:
            piece, at = _piece(glob, at)
            if piece is None:
                return None
            part.append(piece)
    return [*parts, part]


def _piece(glob: bytes, at: int) -> tuple[bytes | None, int]:
    """The expression for what one byte of a name must be, and where the pattern goes on. None for what nothing can be."""
    sign = glob[at : at + 1]
    if sign == b"?":
        return b".", at + 1
    if sign == b"[":
        found, at = _set(glob, at + 1)
        return (None if found is None else _one_of(found)), at
    if sign == b"\\":
        at += 1
        sign = glob[at : at + 1]
    # Escaped as a number, no piece is ever taken for a `_STAR`.
    return (b"\\x%02x" % sign[0] if sign else None), at + 1


def _one_of(found: set[int]) -> bytes:
    return b"[" + b"".join(b"\\x%02x" % byte for byte in sorted(found)) + b"]" if found else _NEVER


def _set(glob: bytes, at: int) -> tuple[set[int] | None, int]:
    """The bytes of a set in brackets, and where the pattern goes on. None when the set doesn't end, or names no class."""
    negated = glob[at : at + 1] in (b"!", b"^")
    at += negated
    found: set[int] = set()
    before = 0  # The byte that a range would begin with.
    start = at
    while glob[at : at + 1] != b"]" or at == start:
        if at >= len(glob):
            return None, at
        sign = glob[at]
        if sign == ord("-") and before and glob[at + 1 : at + 2] not in (b"", b"]"):
            sign, at = _escaped(glob, at + 1)
            found |= set(range(before, sign + 1))
            sign = 0
        elif glob[at : at + 2] == b"[:" and (end := glob.find(b"]", at + 2)) != at + 2 and (end < 0 or glob[end - 1] == ord(":")):
            if end < 0 or glob[at + 2 : end - 1] not in _CLASSES:
                return None, at
            found |= set(_CLASSES[glob[at + 2 : end - 1]].encode())
            sign, at = 0, end
        else:
            sign, at = _escaped(glob, at)
            found.add(sign)
        before, at = sign, at + 1
    found.discard(-1)
    return ((set(range(256)) - found if negated else found) - {ord("/")}), at + 1


def _escaped(glob: bytes, at: int) -> tuple[int, int]:
    """The byte at a place, or behind the backslash there; -1 where the pattern ends."""
    at += glob[at : at + 1] == b"\\"
    return (glob[at], at) if at < len(glob) else (-1, at)
