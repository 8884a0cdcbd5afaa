"""Where grids are looked up by the name of their network."""

from __future__ import annotations

import importlib

from tfgrid_compose.grids.base import Grid
from tfgrid_compose.grids.networks import LIVE, unknown

# Loaded by name, so that neither grid is imported before it is used, whichever it is.
_GRIDS = {"local": "tfgrid_compose.localgrid.plugin:LocalGrid", **dict.fromkeys(LIVE, "tfgrid_compose.grids.live:LiveGrid")}


def open_grid(network: str) -> Grid:
    """The grid of a network. Raises `UsageError` for a name that is none."""
    if network not in _GRIDS:
        raise unknown(network)
    module, _, name = _GRIDS[network].partition(":")
    grid: Grid = getattr(importlib.import_module(module), name)(network)
    return grid
