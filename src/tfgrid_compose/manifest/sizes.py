"""Sizes and sums of money as people write them, and the named sizes of the bash tool."""

from __future__ import annotations

import math
import re

_PATTERN = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*$", re.IGNORECASE | re.ASCII)
_MIB = {"": None, "K": 1 / 1024, "M": 1, "G": 1024, "T": 1024 * 1024}
_MONEY = re.compile(r"^\s*(?:USD|\$)?\s*(\d{1,9}(?:\.\d{1,6})?)\s*(?:USD|\$)?\s*$", re.IGNORECASE | re.ASCII)
NAMED_SIZES = {"dev": 0, "small": 1, "medium": 2, "large": 4, "xlarge": 8}


def memory_mib(value: int | float | str) -> int:
    """Memory in MiB from `4096`, `"8G"` or `"512M"`. Raises `ValueError`."""
    return _parse(value, 1, "4096 (MB), 8G or 512M")


def disk_gib(value: int | float | str) -> int:
    """Disk in GiB from `50`, `"50G"` or `"51200M"`; a part of a GiB counts as one. Raises `ValueError`."""
    mib = _parse(value, 1024, "50 (GB), 50G or 51200M")
    return -(-mib // 1024)


def _parse(value: int | float | str, unit: int, example: str) -> int:
    try:
        # A number counts by its value, however it was written: 0x1000 is 4096.
        text = str(float(value)) if isinstance(value, (int, float)) else str(value)
    except OverflowError:
        raise ValueError(f"the number is too large; write {example}") from None
    match = None if isinstance(value, bool) else _PATTERN.match(text)
    shown = repr(value) if len(text) <= 60 else f"{text[:59]}…"
    if not match:
        raise ValueError(f"{shown} is not a size; write {example}")
    factor = _MIB[match[2].upper()]
    mib = float(match[1]) * (unit if factor is None else factor)
    if mib < 1:
        raise ValueError(f"{shown} is too small; write {example}")
    if math.isinf(mib):
        raise ValueError(f"{shown} is too large; write {example}")
    return round(mib)


def usd(value: int | float | str) -> float:
    """A sum in USD from `10`, `"10USD"`, `"10.50 USD"` or `"$10"`. Raises `ValueError`."""
    text = str(value)
    match = None if isinstance(value, bool) else _MONEY.match(text)
    if not match:
        shown = repr(value) if len(text) <= 60 else f"{text[:59]}…"
        raise ValueError(f"{shown} is not a sum of money; write 10 or 10USD")
    return float(match[1])
