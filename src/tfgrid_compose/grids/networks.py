"""The networks of the grid and their URLs, in one table; the configuration overrides any of them.

Source of the URLs: threefoldtech/tfgrid-sdk-go (`grid-client`), summed up in the facts under "Endpoints per network".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tfgrid_compose.errors import UsageError

if TYPE_CHECKING:
    from tfgrid_compose.state.settings import Settings


@dataclass(frozen=True)
class Network:
    """One network: base URLs of its services, the first to be asked first; the local grid has none."""

    name: str
    gridproxy: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()
    relay: tuple[str, ...] = ()
    graphql: tuple[str, ...] = ()
    kyc: tuple[str, ...] = ()
    dashboard: str = ""


# Where a network's services are besides `grid.tf`: behind the service's name and before its path.
_DOMAINS = {
    "main": ("grid.tf", "be.grid.tf", "grid.threefold.me", "sg.grid.tf", "us.grid.tf", "grid.threefold.io"),
    **{name: (f"{name}.grid.tf", f"{name}.threefold.me") for name in ("test", "qa", "dev")},
}

LIVE = tuple(_DOMAINS)
NETWORKS = ("local", *LIVE)


def unknown(network: str) -> UsageError:
    """The error for a name that is no network's."""
    return UsageError(
        f"there is no network `{network}`", why=f"networks are {', '.join(NETWORKS)}", fix="choose one with --network"
    )


def _live(name: str) -> Network:
    domains = _DOMAINS[name]
    return Network(
        name,
        gridproxy=tuple(f"https://gridproxy.{domain}" for domain in domains),
        chain=tuple(f"wss://tfchain.{domain}/ws" for domain in domains),
        relay=tuple(f"wss://relay.{domain}" for domain in domains),
        graphql=tuple(f"https://graphql.{domain}/graphql" for domain in domains),
        kyc=(f"https://kyc.{domains[0]}",),
        dashboard=f"https://dashboard.{domains[0]}",
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
        # Whoever names another chain may mean another grid, whose accounts this service does not know.
        kyc=tuple(own.kyc) or (() if own.chain else found.kyc),
    )
