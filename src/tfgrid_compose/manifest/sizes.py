"""Sizes as people write them, and the named sizes of the bash tool."""

from __future__ import annotations

import re

_PATTERN = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*$", re.IGNORECASE)
_MIB = {"": None, "K": 1 / 1024, "M": 1, "G": 1024, "T": 1024 * 1024}
NAMED_SIZES = {"dev": 0, "small": 1, "medium": 2, "large": 4, "xlarge": 8}


def memory_mib(value: int | float | str) -> int:
    """Memory in MiB from `4096`, `"8G"` or `"512M"`. Raises `ValueError`."""
    return _parse(value, 1, "4096 (MB), 8G or 512M")


def disk_gib(value: int | float | str) -> int:
    """Disk in GiB from `50`, `"50G"` or `"51200M"`; a part of a GiB counts as one. Raises `ValueError`."""
    mib = _parse(value, 1024, "50 (GB), 50G or 51200M")
    return -(-mib // 1024)


def _parse(value: int | float | str, unit: int, example: str) -> int:
    match = _PATTERN.match(str(value))
    if isinstance(value, bool) or not match:
        raise ValueError(f"{value!r} is not a size; write {example}")
    factor = _MIB[match[2].upper()]
    mib = float(match[1]) * (unit if factor is None else factor)
    if mib < 1:
        raise ValueError(f"{value!r} is too small; write {example}")
    return round(mib)
