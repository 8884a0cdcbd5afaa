"""Contracts of all grids that an account has something on: what each is, what it costs, whose it is.

A network that can't be asked is said with its reason and is never taken for one without contracts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tfgrid_compose.deploy.costs import Cost, costs_of
from tfgrid_compose.deploy.payer import payer_of
from tfgrid_compose.deploy.resolve import default_network
from tfgrid_compose.errors import GridError, NotFoundError, TfgridError, UsageError
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.grids.marks import deployment_of
from tfgrid_compose.grids.models import ContractInfo
from tfgrid_compose.grids.pricing import HOURS_PER_MONTH
from tfgrid_compose.grids.registry import open_grid
from tfgrid_compose.state.store import Deployment, Store

if TYPE_CHECKING:
    from tfgrid_compose.grids.client import Client

LIVE = ("Created", "GracePeriod")
EVERY_STATE = (*LIVE, "Deleted", "OutOfFunds")


@dataclass(frozen=True)
class Row:
    """A contract with its network, its cost, and the deployment that it belongs to, if one is remembered."""

    network: str
    contract: ContractInfo
    deployment: Deployment | None = None
    cost: Cost | None = None

    @property
    def id(self) -> int:
        """The contract's number."""
        return self.contract.id

    @property
    def live(self) -> bool:
        """Whether it has not ended."""
        return self.contract.state in LIVE

    @property
    def app(self) -> str:
        """The app's name; empty when unknown."""
        return self.contract.app or (str(self.deployment.data.get("app", "")) if self.deployment else "")

    @property
    def owner(self) -> str:
        """The deployment's name, or what is known instead."""
        if self.deployment:
            return self.deployment.name
        return "not remembered" if mark(self.contract) else "not ours"

    @property
    def text(self) -> str:
        """The contract in words."""
        item = self.contract
        place = f" on node {item.node}" if item.node else ""
        return f"contract {item.id} ({' '.join(filter(None, (item.kind, item.name)))}{place}, {self.owner})"

    @property
    def usd_per_hour(self) -> float | None:
        """USD an hour after discounts; None where nobody can say."""
        return self.cost.usd_per_hour if self.cost else None

    @property
    def tft_per_hour(self) -> float | None:
        """TFT an hour after discounts; None where nobody can say."""
        return self.cost.tft_per_hour if self.cost else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        facts = {key: value for key, value in vars(self.contract).items() if key not in ("usd_per_hour", "deployment")}
        usd = self.usd_per_hour
        return {
            "network": self.network, **facts, "app": self.app,
            "deployment": self.deployment.name if self.deployment else None,
            "deployment_id": self.deployment.id if self.deployment else mark(self.contract) or None,
            "remembered": self.deployment is not None, "usd_per_hour": usd, "tft_per_hour": self.tft_per_hour,
            "usd_per_month": None if usd is None else round(usd * HOURS_PER_MONTH, 4),
            "billed": bool(self.cost and self.cost.billed),
        }  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """Contracts of several networks; `unasked` are those that could not be asked, with the reason.

    `doubts` says of networks that were asked what they did not tell about costs.
    """

    rows: tuple[Row, ...] = ()
    unasked: dict[str, str] = field(default_factory=dict)
    asked: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def usd_per_hour(self) -> float | None:
        """The sum of all costs that are known; None where there are contracts, and no cost of them is known."""
        known = [row.usd_per_hour for row in self.rows if row.usd_per_hour is not None]
        return sum(known) if known or not self.unpriced else None

    @property
    def unpriced(self) -> int:
        """How many live contracts have no known cost."""
        return sum(row.usd_per_hour is None and row.live for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        usd = self.usd_per_hour
        total = {
            "contracts": len(self.rows), "usd_per_hour": None if usd is None else round(usd, 7),
            "usd_per_month": None if usd is None else round(usd * HOURS_PER_MONTH, 4), "cost_unknown": self.unpriced,
        }  # fmt: skip
        return {
            "contracts": [row.to_dict() for row in self.rows], "total": total,
            "networks_asked": list(self.asked), "networks_not_asked": self.unasked, "not_known": list(self.doubts),
        }  # fmt: skip


def mark(contract: ContractInfo) -> str:
    """Our deployment whose mark a contract carries; empty when it carries none."""
    return contract.deployment or deployment_of(contract.name)


# Listing


def networks(store: Store) -> list[str]:
    """Networks that were deployed to or signed in to; the default one when there is none."""
    from tfgrid_compose.grids import account

    found = {*store.networks(), *(item.network for item in store.deployments()), *account.networks()}
    return sorted(found) or [default_network()]


def look(store: Store, names: Iterable[str], *, ended: bool = False, costs: bool = True) -> Listing:
    """Ask networks for the account's contracts, with `ended` also for those that are no more.

    A network that does not answer is no error here: it stands in `unasked`.
    """
    rows: list[Row] = []
    unasked: dict[str, str] = {}
    asked, doubts = [], []
    for name in names:
        try:
            grid = open_grid(name)
            found, unknown = _rows(store, grid, ended, costs)
        except TfgridError as error:
            unasked[name] = f"{error.what}: {error.why}" if error.why else error.what
            continue
        rows += found
        asked.append(name)
        unknown += _of_others(store, grid)
        doubts += [f"{text} on network {name}" for text in unknown]
    return Listing(tuple(rows), unasked, tuple(asked), tuple(doubts))


def _of_others(store: Store, grid: Grid) -> list[str]:
    """Deployments of a network whose contracts can't be listed, because another account pays for them."""
    paid = [(item.name, payer_of(item)) for item in store.deployments() if item.network == grid.name and payer_of(item)]
    now = grid.payer() if paid else ""
    return [f"the contracts of {name}, for which another account pays ({payer})," for name, payer in paid if payer != now]


def _rows(store: Store, grid: Grid, ended: bool, costs: bool) -> tuple[list[Row], list[str]]:
    live = grid.all_contracts()
    prices, unknown = costs_of(grid, live, grid.rates(), time.time()) if costs and live else ((), [])
    by_id = {cost.contract.id: cost for cost in prices}
    owners = _owners(store, grid.name)
    found = [_row(grid.name, owners, item, by_id.get(item.id)) for item in live]
    if ended:
        known = {item.id for item in live}
        found += [_row(grid.name, owners, item, None) for item in _ended(grid, known)]
    return sorted(found, key=lambda row: row.id), unknown


def _ended(grid: Grid, live: set[int]) -> list[ContractInfo]:
    """What the directory knows of contracts that are not live; it may not have heard yet. Raises `GridError`."""
    from tfgrid_compose.grids.client import ask

    twin = grid.account().twin
    if twin is None:
        raise GridError(
            f"contracts of network {grid.name} that ended can't be listed",
            why="the chain does not say which twin the account has",
            fix="run the command again, or leave --all out",
            code="twin-unknown",
        )

    async def question(client: Client) -> list[ContractInfo]:
        return list((await client.contracts(twin=twin, states=EVERY_STATE)).value)

    found = [item for item in ask(question, grid.client()) if item.id not in live]
    return [replace(item, state="Deleted") if item.state in LIVE else item for item in found]


Owners = tuple[dict[str, Deployment], dict[int, Deployment]]


def _owners(store: Store, network: str) -> Owners:
    """Deployments of a network by their id, and by the contracts that they remember."""
    mine = [item for item in store.deployments() if item.network == network]
    return {item.id: item for item in mine}, {int(id): item for item in mine for id in item.data.get("contracts", [])}


def _row(network: str, owners: Owners, item: ContractInfo, cost: Cost | None) -> Row:
    marked, remembered = owners
    return Row(network, item, marked.get(mark(item)) or remembered.get(item.id), cost)


# One contract


def pick(listing: Listing, ids: Sequence[int]) -> list[Row]:
    """The rows of these contracts. Raises `NotFoundError` for one that is none, `GridError` when that can't be told."""
    chosen = []
    for id in dict.fromkeys(ids):
        found = [row for row in listing.rows if row.id == id]
        if len(found) > 1:
            raise UsageError(
                f"contract {id} is on several networks: {', '.join(row.network for row in found)}",
                why="each network counts its contracts by itself",
                fix=f"say which with --network, for example --network {found[0].network}",
                code="network-ambiguous",
            )
        if not found:
            raise _missing(listing, id)
        chosen += found
    return chosen


def _missing(listing: Listing, id: int) -> TfgridError:
    if listing.unasked:
        name, reason = next(iter(listing.unasked.items()))
        return GridError(
            f"contract {id} was not found, and network {name} could not be asked",
            why=reason,
            fix="tfgrid-compose contracts list",
            code="contracts-unasked",
        )
    where = f"network {', '.join(listing.asked)}"
    return NotFoundError(
        f"the account has no live contract {id} on {where}",
        why="it ended, it belongs to another account, or it stands on another network",
        fix="`tfgrid-compose contracts list --all` shows those that ended too; --network chooses another network",
        code="contract-not-found",
    )


def details(row: Row) -> dict[str, Any]:
    """All that can be found out about one contract: as the list has it, whether it lives, its node, its newest bills."""
    from tfgrid_compose.grids.client import ask

    grid = open_grid(row.network)
    facts = {**row.to_dict(), "lives": grid.alive([row.id])}

    async def question(client: Client) -> dict[str, Any]:
        found: dict[str, Any] = {"bills": [], "place": None, "not_known": {}}
        try:
            bills = sorted((await client.bills(row.id)).value, key=lambda bill: bill.at, reverse=True)[:5]
            found["bills"] = [{"at": bill.at, "tft": bill.tft} for bill in bills]
        except TfgridError as error:
            found["not_known"]["bills"] = error.why or error.what
        try:
            node = (await client.node(row.contract.node)).value if row.contract.node else None
            if node:
                found["place"] = {"node": node.id, "status": node.status, "farm": node.farm, "farm_id": node.farm_id,
                                  "country": node.country, "city": node.city}  # fmt: skip
        except TfgridError as error:
            found["not_known"]["node"] = error.why or error.what
        return found

    return {**facts, **ask(question, grid.client())}
