"""Texts of strangers without what a terminal would obey: escape sequences, control characters, turned directions.

A manifest, a grid, a machine and an outside program can put anything into a text. On a terminal a sequence moves the
cursor over our own lines, changes the window's title or writes to the clipboard; a line break makes lines that look
like ours. docs/operations.md says what goes.
"""

from __future__ import annotations

import re

# ECMA-48: strings (OSC, DCS, SOS, PM, APC) up to their end, control sequences, and the short forms.
_STRING = r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
_CONTROL = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
_SHORT = r"\x1b[ -/]*[0-~]?"
SEQUENCE = re.compile(f"{_STRING}|{_CONTROL}|{_SHORT}")
# Signs that are no text: controls but line break and tab, marks that turn the direction of what follows, separators of
# lines that only some programs know, halves of signs.
_UNSEEN = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_ODD = re.compile(f"[{_UNSEEN}]")
_ODD_OR_BREAK = re.compile(f"[\t\n{_UNSEEN}]+")
# Colours, bold, faint, italic, underlined, and back. Not: hidden, blinking, reversed, other fonts.
COLOUR = re.compile(
    r"\x1b\[(?:(?:0|1|2|3|4|22|23|24|3[0-79]|4[0-79]|9[0-7]|10[0-7]|[34]8[;:]5[;:]\d{1,3}|[34]8[;:]2(?:[;:]\d{1,3}){3})?;?)*m"
)
_RESET = "\x1b[0m"


def plain(text: str) -> str:
    """The text with its line breaks and tabs, without escape sequences; other control signs become `�`.

    A carriage return, with which a line is written over, begins a new line: nothing is hidden.
    """
    if not _ODD.search(text):
        return text
    return _ODD.sub("�", SEQUENCE.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def one_line(text: str) -> str:
    """The text on one line: for a value in a file of lines, a cell of a table, a name in a sentence."""
    return _ODD_OR_BREAK.sub(" ", SEQUENCE.sub("", text)).strip() if not text.isprintable() else text


def coloured(line: str) -> str:
    """A line of output with its colours, which end with it; everything else that a terminal would obey is gone."""
    if not _ODD.search(line):
        return line
    parts, end, colours = [], 0, False
    for found in SEQUENCE.finditer(line):
        parts.append(_ODD.sub("�", line[end : found.start()].replace("\r", " ")))
        if COLOUR.fullmatch(found[0]):
            parts.append(found[0])
            colours = True
        end = found.end()
    text = "".join([*parts, _ODD.sub("�", line[end:].replace("\r", " "))])
    return text + _RESET if colours else text
