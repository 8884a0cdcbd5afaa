"""What a gridproxy knows beyond nodes, farms, twins and contracts: bills, addresses, counts, health."""

from __future__ import annotations

from dataclasses import dataclass, field

from tfgrid_compose.grids.base import Capacity


@dataclass(frozen=True)
class Bill:
    """One bill of a contract: `at` in unix seconds, `tft` after the discount whose level is named."""

    at: float
    tft: float
    discount: str = ""


@dataclass(frozen=True)
class Consumption:
    """What a twin's contracts were billed, in TFT."""

    last_hour: float
    overall: float


@dataclass(frozen=True)
class PublicIp:
    """A public IPv4 of a farm in CIDR form; `contract` is 0 when nobody rents it."""

    id: str
    ip: str
    gateway: str
    farm: int
    contract: int

    @property
    def free(self) -> bool:
        """Whether it can be rented: nobody does, and it is no private address that a farmer registered."""
        from tfgrid_compose.grids.wire import is_public

        return self.contract == 0 and is_public(self.ip)


@dataclass(frozen=True)
class Stats:
    """How much a network has; `countries` are nodes by country."""

    nodes: int
    farms: int
    twins: int
    contracts: int
    public_ips: int
    gateways: int
    access_nodes: int
    dedicated_nodes: int
    gpus: int
    workloads: int
    total: Capacity
    countries: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Statistics:
    """What a node itself says: capacity, what is used of it, what its system keeps, and who uses it."""

    total: Capacity
    used: Capacity
    system: Capacity
    used_ipv4: int = 0
    deployments: int = 0
    workloads: int = 0
    last_deployment: float = 0.0


@dataclass(frozen=True)
class Gpu:
    """A graphics card of a node; `contract` is 0 when it is free."""

    id: str
    vendor: str
    device: str
    contract: int


@dataclass(frozen=True)
class Health:
    """Whether a gridproxy's own parts work, by their names."""

    ok: bool
    parts: dict[str, str] = field(default_factory=dict)
