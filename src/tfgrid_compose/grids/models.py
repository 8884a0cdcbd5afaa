"""What a grid knows, whichever it is: nodes, farms, accounts, contracts, bills, counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

GIB = 1024**3
T = TypeVar("T")


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What a grid's directory said: `at` is when, in unix seconds; `stale` says that it could not be asked again."""

    value: T
    at: float
    stale: bool = False
    # How many there are on the grid, where `value` is one page of a list; None when nobody counted.
    count: int | None = None


@dataclass(frozen=True)
class Capacity:
    """Cores, and bytes of memory, SSD and hard disk."""

    cru: int
    mru: int
    sru: int
    hru: int = 0


@dataclass(frozen=True)
class Node:
    """A node that machines can be placed on.

    `free` is what a new contract can have, after the grid's reserve. `ipv4` and `ipv6` are the node's own public
    addresses in CIDR form, empty when it has none; `free_ips` counts the farm's public IPv4 that nobody rents.
    `uptime` is in seconds, `usd_per_month` the price of the whole node, `rented_by` a twin or 0.
    """

    id: int
    farm_id: int
    farm: str
    country: str
    city: str
    status: str
    certified: bool
    total: Capacity
    free: Capacity
    ipv4: str
    free_ips: int
    used: Capacity = Capacity(0, 0, 0)
    twin: int = 0
    ipv6: str = ""
    domain: str = ""
    uptime: int = 0
    healthy: bool = True
    dedicated_farm: bool = False
    rentable: bool = False
    rented_by: int = 0
    features: frozenset[str] = frozenset()
    gpus: int = 0
    usd_per_month: float = 0.0
    extra_fee: float = 0.0
    updated: float = 0.0
    # Whether machines on it get a public IPv6, from the node's own prefix; None where nobody asked.
    has_ipv6: bool | None = None


@dataclass(frozen=True)
class Farm:
    """A farm: `free_ips` of its `total_ips` public IPv4 are free (private ones that farmers registered are not counted)."""

    id: int
    name: str
    twin: int
    certification: str
    dedicated: bool
    free_ips: int
    total_ips: int


@dataclass(frozen=True)
class Twin:
    """The grid's record of an account."""

    id: int
    account: str
    relay: str = ""


@dataclass(frozen=True)
class Account:
    """Who pays on a network; `twin` and `tft` (the free balance) are None when nobody could be asked."""

    network: str
    address: str
    key_type: str = "sr25519"
    twin: int | None = None
    tft: float | None = None


@dataclass(frozen=True)
class ContractInfo:
    """A contract as a grid lists it.

    `kind` is `vm`, `network` or another type of workload for node contracts, else `name` or `rent`. `name` is the
    workload's, `usd_per_hour` its price (None where it is not known), `app` the app's name, `deployment` our id in the
    workload's name; both are empty when unknown. `created` is in unix seconds, 0 when unknown.
    """

    id: int
    node: int | None
    kind: str
    name: str
    state: str
    usd_per_hour: float | None
    app: str = ""
    deployment: str = ""
    created: float = 0.0
    twin: int = 0
    public_ips: int = 0
    farm: str = ""

    @property
    def is_network(self) -> bool:
        """Whether it holds a private network, which costs nothing; nodes of ZOS 4 ("light") have a kind of their own."""
        return self.kind in ("network", "network-light")


def with_apps(found: Sequence[ContractInfo]) -> list[ContractInfo]:
    """Contracts, each with its app where another one of the same deployment names it: networks of the grid name none."""
    apps = {item.deployment: item.app for item in found if item.deployment and item.app}
    return [item if item.app or item.deployment not in apps else replace(item, app=apps[item.deployment]) for item in found]


@dataclass(frozen=True)
class Marked:
    """A contract whose workload's name ends in a deployment's id; `app` is empty when unknown."""

    deployment: str
    contract: ContractInfo
    app: str = ""


def is_public(address: str) -> bool:
    """Whether an IPv4, with or without a prefix length, can be reached from the internet.

    Farmers register private ones too. Documentation ranges count as public: the local grid hands them out.
    """
    parts = address.partition("/")[0].split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and len(part) <= 3 and int(part) < 256 for part in parts):
        return False
    first, second = int(parts[0]), int(parts[1])
    if first in (0, 10, 127) or first >= 224:
        return False
    return not (
        (first == 172 and 16 <= second < 32)
        or (first == 192 and second == 168)
        or (first == 100 and 64 <= second < 128)
        or (first == 169 and second == 254)
    )


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
