"""What a grid is to the rest of the house: nodes, an environment for Terraform, contracts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

GIB = 1024**3
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Capacity:
    """Cores, and bytes of memory and SSD."""

    cru: int
    mru: int
    sru: int


@dataclass(frozen=True)
class Node:
    """A node that machines can be placed on."""

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


@dataclass(frozen=True)
class ContractInfo:
    """A contract as a grid lists it.

    `name` is the workload's, `usd_per_hour` its price, `app` the app's name, empty when unknown.
    """

    id: int
    node: int | None
    kind: str
    name: str
    state: str
    usd_per_hour: float
    app: str = ""


@dataclass(frozen=True)
class Marked:
    """A contract whose workload's name ends in a deployment's id; `app` is empty when unknown."""

    deployment: str
    contract: ContractInfo
    app: str = ""


class Grid(Protocol):
    """One network of the grid.

    `adopts`: a create takes over what a crash left under the same name, and cancels what stands on
    another node. Where it is False, the caller cancels strays before it applies.
    """

    name: str
    needs_root: bool
    lists_nodes: bool
    adopts: bool
    can_snapshot: bool

    def prepare(self, progress: Progress) -> None:
        """Make the grid usable; `progress` gets a line for what takes long."""

    def nodes(self) -> list[Node]:
        """All nodes with what is free on them."""

    def terraform(self, progress: Progress, *, only_look: bool = False) -> AbstractContextManager[dict[str, str]]:
        """Environment with which Terraform works on this grid; with `only_look` nothing is started for it."""

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
