"""Standard output and error on a terminal: text and colours pass, orders to the terminal do not."""

from __future__ import annotations

import io
import re

from tfgrid_compose.observe.plain import COLOUR, SEQUENCE

# What else is text here: our own live line goes back to the beginning of a line, up, and clears; it hides the cursor.
_OURS = re.compile(r"\x1b\[(?:[0-9]{0,2}[AK]|\?25[lh])")
_ORDERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class Screen(io.TextIOWrapper):
    """A stream to a terminal. Programs with a screen of their own (`nodes browse`) write to Python's first streams."""

    def write(self, text: str) -> int:
        """Write a text without orders; says that all of it was written."""
        super().write(harmless(text) if _ORDERS.search(text) else text)
        return len(text)


def harmless(text: str) -> str:
    """The text with its colours and with what our own live line needs, without any other order."""
    parts, end = [], 0
    for found in SEQUENCE.finditer(text):
        parts.append(_ORDERS.sub("�", text[end : found.start()]))
        if COLOUR.fullmatch(found[0]) or _OURS.fullmatch(found[0]):
            parts.append(found[0])
        end = found.end()
    return "".join([*parts, _ORDERS.sub("�", text[end:])])
