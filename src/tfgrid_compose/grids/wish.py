"""What a machine asks of a node."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from tfgrid_compose.grids.models import GIB, Node

# The grid's storage pools fragment: a disk needs some room beyond its size (reference tool, section 6).
SSD_HEADROOM_GIB = 20
ANY = "*"
DAY = 86400


def among(node: Node, farms: Collection[str]) -> bool:
    """Whether a node's farm is one of these: names in small letters, or ids."""
    return node.farm.lower() in farms or str(node.farm_id) in farms


@dataclass(frozen=True)
class Whitelist:
    """Nodes and farms to choose from: a node that is in either will do. `origin` says whose list it is."""

    nodes: frozenset[int] = frozenset()
    farms: frozenset[str] = frozenset()
    origin: str = ""

    def __contains__(self, node: Node) -> bool:
        return node.id in self.nodes or among(node, self.farms)


@dataclass(frozen=True)
class Wish:
    """What one machine needs, and what its owner wants of the node below it.

    `disk_gib` is the sum of the machine's disks. A node must be in every one of `whitelists`. Farms and countries are
    written in small letters, thresholds in percent. `twin` is the account's, 0 when unknown: only it can use nodes that
    it rents. `features` are checked on nodes that say what they can do.
    """

    cpu: int
    memory_mib: int
    disk_gib: int
    ipv4: bool = False
    ipv6: bool = False
    certified: bool = False
    dedicated: bool = False
    countries: frozenset[str] = frozenset()
    whitelists: tuple[Whitelist, ...] = ()
    black_nodes: frozenset[int] = frozenset()
    black_farms: frozenset[str] = frozenset()
    max_cpu_usage: float | None = None
    max_disk_usage: float | None = None
    min_uptime_days: float = 0.0
    features: frozenset[str] = frozenset()
    favourites: frozenset[int] = frozenset()
    twin: int = 0

    @cached_property
    def memory(self) -> int:
        """Memory in bytes."""
        return self.memory_mib * 1024**2

    @cached_property
    def disk(self) -> int:
        """Disk in bytes, with the room that storage pools need beyond it."""
        return (self.disk_gib + SSD_HEADROOM_GIB) * GIB

    def text(self) -> str:
        """The machine in words: `2 cores, 4096 MB memory and 50 GB disk with a public IPv4`."""
        cores = f"{self.cpu} core{'s' if self.cpu != 1 else ''}"
        public = f" with a public {' and a public '.join(self._public())}" if self._public() else ""
        return f"{cores}, {self.memory_mib} MB memory and {self.disk_gib} GB disk{public}"

    def _public(self) -> list[str]:
        return [name for name, wanted in (("IPv4", self.ipv4), ("IPv6", self.ipv6)) if wanted]


def features_of(networks: Collection[str]) -> frozenset[str]:
    """What a node must be able to do for these networks.

    Nodes of ZOS 4 ("light") have neither WireGuard nor public addresses; they say so in their features (facts:
    gridproxy-notes, "ZOS3 features").
    """
    needed = {"zmachine", "network"} if {"wireguard", "ipv4", "ipv6"} & set(networks) else set()
    return frozenset(needed | ({"wireguard", "mycelium"} & set(networks)))
