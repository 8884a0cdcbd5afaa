"""Sizes that no node gives, whatever room it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tfgrid_compose.errors import ManifestError
from tfgrid_compose.grids import limits
from tfgrid_compose.words import count


class _Kind(NamedTuple):
    unit: str
    range: limits.Range


def check_sizes(role: str, found: Mapping[str, int], overrides: Mapping[str, Any]) -> None:
    """Raise `ManifestError` for cores, memory or a root disk that the grid's provider refuses."""
    kinds = {
        "cpu": _Kind("cores", limits.cores()),
        "memory": _Kind("MB of memory", limits.memory()),
        "disk": _Kind("GB of root disk", limits.root_disk()),
    }
    for key, (unit, (low, high)) in kinds.items():
        if not low <= found[key] <= high:
            raise ManifestError(
                f"{role} can't have {found[key]} {unit}",
                why=f"the grid gives a machine {low} to {high} {unit}{_named(overrides, key)}",
                fix=f"ask for {low} to {high} with --{key}",
                code="size-out-of-range",
            )
    least = limits.least_root(found["cpu"], found["memory"])
    if found["disk"] < least:
        raise ManifestError(
            f"{role} can't have a root disk of {found['disk']} GB",
            why=f"the grid gives a machine with {count(found['cpu'], 'core')} and {found['memory']} MB of memory at least "
            f"{least} GB: it does so from 8 on, where cores are multiplied with GB of memory",
            fix=f"--disk {least}, or fewer cores or less memory",
            code="size-out-of-range",
        )


def _named(overrides: Mapping[str, Any], key: str) -> str:
    """Where a size that nobody wrote comes from."""
    return f", and --size {overrides['size']} makes it as much" if overrides.get("size") and not overrides.get(key) else ""
