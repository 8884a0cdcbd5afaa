"""Where grids are looked up by the name of their network."""

from __future__ import annotations

import importlib

from tfgrid_compose.errors import UsageError
from tfgrid_compose.grids.base import Grid

# Loaded by name, so that neither grid is imported before it is used, and a new one is one line.
_GRIDS = {
    "local": "tfgrid_compose.localgrid.plugin:LocalGrid",
    "main": "tfgrid_compose.grids.live:LiveGrid",
    "test": "tfgrid_compose.grids.live:LiveGrid",
    "qa": "tfgrid_compose.grids.live:LiveGrid",
    "dev": "tfgrid_compose.grids.live:LiveGrid",
}
NETWORKS = tuple(_GRIDS)
LIVE = tuple(name for name in NETWORKS if name != "local")


def open_grid(network: str) -> Grid:
    """The grid of a network. Raises `UsageError` for a name that is none."""
    if network not in _GRIDS:
        raise unknown(network)
    module, _, name = _GRIDS[network].partition(":")
    grid: Grid = getattr(importlib.import_module(module), name)(network)
    return grid


def unknown(network: str) -> UsageError:
    """The error for a name that is no network's."""
    return UsageError(
        f"there is no network `{network}`", why=f"networks are {', '.join(NETWORKS)}", fix="choose one with --network"
    )
