"""How programs spell a text with special signs: in URLs, in HTML, in JSON, C, Python and shells."""

from __future__ import annotations

import re
from urllib.parse import quote

# Signs with which a spelling begins that differs from the text itself.
MARKS = "%\\&'+"
_PLAIN_SIGNS = re.compile("[A-Za-z0-9]*")


def spellings(value: str) -> str:
    """A pattern for all spellings of a value. No two ways lead through a text, so that it never takes long."""
    spelt = ["".join(map(spell, value)) for spell in (re.escape, _in_url, _in_escapes, _in_html, _in_quotes)]
    return "|".join(dict.fromkeys(spelt))


def as_bytes(value: str) -> bytes:
    """As the operating system has it; what it can't have is encoded somehow, but never an error."""
    try:
        return value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return value.encode(errors="surrogatepass")


def longest_plain(text: str) -> str:
    """The longest run of letters and digits: every spelling of a text has it."""
    runs: list[str] = _PLAIN_SIGNS.findall(text)
    return max(runs, key=len)


def _is_plain(sign: str) -> bool:
    return sign.isascii() and sign.isalnum()


def _in_url(sign: str) -> str:
    """A sign, plain or %-encoded: which signs are encoded, and in which letters, differs between programs."""
    if quote(sign, safe="", errors="replace") == sign:
        return re.escape(sign)
    encoded = "".join(f"%{_any_case(f'{byte:02x}')}" for byte in as_bytes(sign))
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
        [f"x{_any_case(f'{byte:02x}')}" for byte in as_bytes(sign)],
        [f"{byte:03o}" for byte in as_bytes(sign)],
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
