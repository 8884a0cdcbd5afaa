"""What a grid is to the rest of the house: nodes, an environment for Terraform, contracts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from tfgrid_compose.grids.models import Account, ContractInfo, Marked, Node

if TYPE_CHECKING:
    from tfgrid_compose.grids.client import Client
    from tfgrid_compose.grids.pricing import Rates

Progress = Callable[[str], None]


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
