"""What the grid takes at all: the ranges of its provider, from the provider's own description, and rules of its nodes."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

_RANGE = re.compile(r"IntBetween\((\d+), (\d+)\)")
# A machine with as many cores times GB of memory gets no smaller root file system than this (facts, section 6).
_LARGE_MIB, _LARGE_ROOT_GIB = 8 * 1024, 2


class Range(NamedTuple):
    """The smallest and the largest number that does."""

    low: int
    high: int


@cache
def _document() -> dict[str, Any]:
    folder = resources.files("tfgrid_compose.grids") / "provider_schema"
    found: dict[str, Any] = json.loads((folder / "grid-1.11.3-extras.json").read_text())
    return found


def range_of(resource: str, attribute: str) -> Range:
    """The range of an attribute of the provider's schema, such as `grid_deployment`, `vms.cpu`."""
    match = _RANGE.fullmatch(_document()[resource][attribute]["Validate"])
    assert match is not None, f"{resource}.{attribute} has a range"
    return Range(int(match[1]), int(match[2]))


def cores() -> Range:
    """Cores of a machine."""
    return range_of("grid_deployment", "vms.cpu")


def memory() -> Range:
    """MB of memory of a machine."""
    return range_of("grid_deployment", "vms.memory")


def root_disk() -> Range:
    """GB of a machine's root disk; the provider counts them in MB."""
    low, high = range_of("grid_deployment", "vms.rootfs_size")
    return Range(-(-low // 1024), high // 1024)


def data_disk() -> Range:
    """GB of a data disk."""
    return range_of("grid_deployment", "disks.size")


def least_root(cpu: int, memory_mib: int) -> int:
    """The smallest root disk in GB that nodes give a machine of this size."""
    return _LARGE_ROOT_GIB if cpu * memory_mib >= _LARGE_MIB else root_disk().low
