"""The farms and nodes that a new local grid has.

Capacities are in the grid's units: cores, and bytes for memory (mru) and SSD (sru). Machines are
counted against them, so they run out as a real node's do.
"""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1024**3
_FIRST_FARM_TWIN = 10_000
_FIRST_NODE_TWIN = 20_000
# What machines of the local grid can have, in the grid's words.
FEATURES = ("zmount", "ipv4", "ip", "network", "zmachine", "wireguard", "yggdrasil", "mycelium")


@dataclass(frozen=True)
class FarmSeed:
    """A farm of the play grid; `free_ips` public IPv4 addresses are set aside for it."""

    id: int
    name: str
    free_ips: int

    @property
    def twin(self) -> int:
        """Twin of the farmer."""
        return _FIRST_FARM_TWIN + self.id


@dataclass(frozen=True)
class NodeSeed:
    """A node of the play grid; a `public` one has its own IPv4 and can be an access point."""

    id: int
    farm: int
    country: str
    city: str
    cru: int
    mru: int
    sru: int
    public: bool
    certified: bool = False
    # The continent, which the grid's directory calls a region.
    region: str = ""
    # The domain of a gateway. No node is one as long as the local grid has no `grid_name_proxy`.
    domain: str = ""
    features: tuple[str, ...] = FEATURES

    @property
    def twin(self) -> int:
        """Twin of the node; the first numbers are for accounts."""
        return _FIRST_NODE_TWIN + self.id


FARMS = (
    FarmSeed(1, "Scheldt-Farm", 16),
    FarmSeed(2, "Nile-Delta", 16),
    FarmSeed(3, "Serra-Verde", 0),
)

NODES = (
    NodeSeed(1, 1, "Belgium", "Ghent", 16, 64 * GIB, 1024 * GIB, True, True, "Europe"),
    NodeSeed(2, 1, "Belgium", "Antwerp", 8, 32 * GIB, 512 * GIB, False, region="Europe"),
    NodeSeed(3, 2, "Egypt", "Cairo", 16, 64 * GIB, 2048 * GIB, True, region="Africa"),
    NodeSeed(4, 2, "Egypt", "Alexandria", 32, 128 * GIB, 2048 * GIB, False, True, "Africa"),
    NodeSeed(5, 3, "Brazil", "Manaus", 8, 16 * GIB, 256 * GIB, True, region="South America"),
    NodeSeed(6, 3, "Brazil", "Recife", 4, 8 * GIB, 128 * GIB, False, region="South America"),
)


def node_public_host(node_id: int) -> int:
    """Last octet of a public node's own IPv4."""
    return 10 + node_id


def farm_ip_hosts(farm: FarmSeed) -> range:
    """Last octets of the addresses that machines on this farm can rent."""
    start = 32 + 32 * (farm.id - 1)
    return range(start, start + farm.free_ips)
