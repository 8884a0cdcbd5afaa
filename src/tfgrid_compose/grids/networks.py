"""The networks of the grid and their URLs, in one table; the configuration overrides any of them.

Source of the URLs: threefoldtech/tfgrid-sdk-go (`grid-client`), summed up in the facts under "Endpoints per network".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tfgrid_compose.grids.registry import LIVE, unknown
from tfgrid_compose.state.settings import Settings


@dataclass(frozen=True)
class Network:
    """One network: base URLs of its services, the first to be asked first; the local grid has none."""

    name: str
    gridproxy: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()
    relay: tuple[str, ...] = ()
    graphql: tuple[str, ...] = ()
    dashboard: str = ""


def _live(name: str) -> Network:
    part = "" if name == "main" else f"{name}."
    second = (f"02.{part}",) if name == "main" else ()
    return Network(
        name,
        gridproxy=tuple(f"https://gridproxy.{item}grid.tf" for item in (part, f"02.{part}")),
        chain=tuple(f"wss://tfchain.{item}grid.tf/ws" for item in (part, *second)),
        relay=tuple(f"wss://relay.{item}grid.tf" for item in (part, *second)),
        graphql=(f"https://graphql.{part}grid.tf/graphql",),
        dashboard=f"https://dashboard.{part}grid.tf",
    )


_TABLE: dict[str, Network] = {"local": Network("local"), **{name: _live(name) for name in LIVE}}


def network(name: str, settings: Settings) -> Network:
    """The network with what the configuration overrides. Raises `UsageError` for a name that is none."""
    if name not in _TABLE:
        raise unknown(name)
    own = next((urls for known, urls in settings.networks.items() if known == name), None)
    found = _TABLE[name]
    if own is None:
        return found
    return replace(
        found,
        gridproxy=tuple(own.gridproxy) or found.gridproxy,
        chain=tuple(own.chain) or found.chain,
        relay=tuple(own.relay) or found.relay,
        graphql=tuple(own.graphql) or found.graphql,
    )
