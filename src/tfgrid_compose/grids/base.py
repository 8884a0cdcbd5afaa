"""What a grid is to the rest of the house: nodes, an environment for Terraform, contracts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from tfgrid_compose.grids.client import Client
    from tfgrid_compose.grids.pricing import Rates

GIB = 1024**3
Progress = Callable[[str], None]


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


class Grid(Protocol):
    """One network of the grid.

    `adopts`: a create takes over what a crash left under the same name, and cancels what stands on
    another node. Where it is False, the caller cancels strays before it applies. `play_money`: nothing is really paid.
    `attaches_provider`: Terraform's provider comes with the grid; elsewhere Terraform fetches it from a registry.
    """

    name: str
    needs_root: bool
    adopts: bool
    can_snapshot: bool
    # Whether its public addresses are the internet's, so that a domain can lead to them.
    global_addresses: bool
    play_money: bool
    attaches_provider: bool

    def prepare(self, progress: Progress) -> None:
        """Make the grid usable; `progress` gets a line for what takes long."""

    def may_buy(self) -> None:
        """Ask whether the account may make and change contracts; nothing is started for it. Raises `GridError`."""

    def nodes(self, *, ipv6: bool = False) -> list[Node]:
        """All nodes with what is free on them; with `ipv6` each says whether its machines can have a public IPv6."""

    def these_nodes(self, ids: Collection[int]) -> list[Node]:
        """Single nodes, whatever their status, without asking for all. Raises `NotFoundError` and `GridError`."""

    def terraform(self, progress: Progress, *, only_look: bool = False) -> AbstractContextManager[dict[str, str]]:
        """Environment with which Terraform works on this grid; with `only_look` nothing is started for it."""

    def client(self) -> Client:
        """The client of this network's REST API."""

    def account(self) -> Account:
        """Who pays here. Raises `GridError` when nobody is signed in."""

    def payer(self) -> str:
        """The address of who pays here, empty where nothing is really paid; asks nobody. Raises `GridError`, as `account`."""

    def rates(self) -> Rates:
        """What things cost here now: the price of a TFT, the policy, the account's discount."""

    def all_contracts(self) -> list[ContractInfo]:
        """Every live contract of the account, ours or not. Raises `GridError` rather than to answer with half of them."""

    def contracts(self, deployment: str) -> list[ContractInfo]:
        """Live contracts whose workload names carry the deployment's id."""

    def marked(self) -> list[Marked]:
        """Everything on this network that carries our mark, of whatever deployment."""

    def alive(self, contracts: Sequence[int]) -> bool:
        """Whether all these contracts exist; what they hold runs once the grid is prepared."""

    def cancel(self, contracts: Sequence[int]) -> None:
        """Cancel contracts; those that are gone are no error."""

    def remains(self, contracts: Sequence[int]) -> list[str]:
        """What is still there of contracts that were cancelled, in words."""

    def snapshot(self, contracts: Sequence[int], name: str) -> int:
        """Keep the disks of the contracts' machines as they are now; returns the bytes that this takes.

        A snapshot of the same name is replaced. Whole or not at all. Raises `GridError`.
        """

    def restore(self, contracts: Sequence[int], name: str) -> None:
        """Give the contracts' machines the disks of a snapshot and start them anew. Raises `GridError`."""

    def snapshots(self, contracts: Sequence[int]) -> list[str]:
        """Names of the snapshots that all machines of the contracts have, oldest first."""

    def forget_snapshot(self, contracts: Sequence[int], name: str) -> None:
        """Delete a snapshot; one that is gone is no error."""
