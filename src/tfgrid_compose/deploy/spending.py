"""What runs now: what its contracts cost, what was paid for them, and how long the account's balance lasts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfgrid_compose.deploy.budget import check_budget, over_budget, price_of
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.contracts import mark
from tfgrid_compose.deploy.costs import Cost, costs_of
from tfgrid_compose.deploy.price import DeploymentPrice, asked_rates, check_first_hour
from tfgrid_compose.errors import TfgridError
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.grids.models import ContractInfo
from tfgrid_compose.grids.pricing import HOURS_PER_MONTH, LEVELS, Level, Rates, contract_price, half_up, next_level
from tfgrid_compose.state import settings
from tfgrid_compose.state.store import Deployment

HOURS_PER_DAY = 24
now = time.time


@dataclass(frozen=True)
class Spending:
    """What several contracts cost together: those of a deployment, or all others of the account.

    Sums are of the contracts whose price is known; `unknown` counts the rest. `remembered`: no contract could be asked,
    these are the figures of the last run. `since` is in unix seconds, 0 when unknown.
    """

    name: str
    network: str
    deployment: str = ""
    costs: tuple[Cost, ...] = ()
    remembered: dict[str, Any] = field(default_factory=dict)
    since: float = 0.0

    @property
    def unknown(self) -> int:
        """Contracts of which nobody could say what they cost."""
        return 0 if self.remembered else sum(1 for cost in self.costs if cost.usd_per_hour is None and cost.tft_per_hour is None)

    @property
    def usd_per_hour(self) -> float | None:
        """USD an hour that are paid."""
        if self.remembered:
            return float(self.remembered["usd_per_hour"])
        return _total(cost.usd_per_hour for cost in self.costs)

    @property
    def list_usd_per_hour(self) -> float | None:
        """USD an hour before discounts."""
        if self.remembered:
            return float(self.remembered["list_usd_per_month"]) / HOURS_PER_MONTH
        return _total(cost.list_usd_per_hour for cost in self.costs)

    @property
    def tft_per_hour(self) -> float | None:
        """TFT an hour that are paid."""
        if self.remembered:
            return _number(self.remembered.get("tft_per_hour"))
        return _total(cost.tft_per_hour for cost in self.costs)

    @property
    def spent_usd(self) -> float | None:
        """USD that were paid so far."""
        return _total(cost.spent_usd for cost in self.costs)

    @property
    def spent_tft(self) -> float | None:
        """TFT that were paid so far."""
        return _total(cost.spent_tft for cost in self.costs)

    @property
    def level(self) -> Level:
        """The discount level of its dearest contract."""
        return max(self.costs, key=lambda cost: cost.list_usd_per_hour or 0.0).level if self.costs else LEVELS[0]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; what is unknown is null."""
        usd, tft = self.usd_per_hour, self.tft_per_hour
        return {
            "name": self.name, "network": self.network, "deployment": self.deployment, "since": self.since or None,
            "contracts": [cost.contract.id for cost in self.costs], "contracts_without_price": self.unknown,
            "usd_per_hour": rounded(usd, 6), "usd_per_month": rounded(usd, 2, HOURS_PER_MONTH),
            "tft_per_hour": rounded(tft, 4), "tft_per_month": rounded(tft, 2, HOURS_PER_MONTH),
            "list_usd_per_month": rounded(self.list_usd_per_hour, 2, HOURS_PER_MONTH), "level": self.level.name,
            "spent_usd": rounded(self.spent_usd, 4), "spent_tft": rounded(self.spent_tft, 4),
            "from": "memory" if self.remembered else "bills" if any(cost.billed for cost in self.costs) else "prices",
        }  # fmt: skip


def rounded(value: float | None, digits: int, times: float = 1) -> float | None:
    """A sum for JSON."""
    return None if value is None else half_up(value * times, digits)


def _monthly(spendings: Iterable[Spending], kind: str) -> float | None:
    """A month of several lines, as each of them shows it, added up."""
    months = (rounded(getattr(item, kind), 2, HOURS_PER_MONTH) for item in spendings)
    return rounded(_total(months), 2)


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


@dataclass(frozen=True)
class Purse:
    """An account on a network: what runs, its balance in TFT, and what could not be asked, a sentence each."""

    network: str
    play_money: bool
    rates: Rates
    tft: float | None
    spendings: tuple[Spending, ...]
    unasked: tuple[str, ...] = ()
    # Whether the contracts could be listed; where they could not, nothing is known of others.
    listed: bool = True

    @property
    def tft_per_hour(self) -> float | None:
        """All that the account pays, TFT an hour."""
        return _total(item.tft_per_hour for item in self.spendings)

    @property
    def usd_per_hour(self) -> float | None:
        """All that the account pays, USD an hour."""
        return _total(item.usd_per_hour for item in self.spendings)

    @property
    def usd_per_month(self) -> float | None:
        """USD a month, as the lines of its deployments add up."""
        return _monthly(self.spendings, "usd_per_hour")

    @property
    def tft_per_month(self) -> float | None:
        """TFT a month, as the lines of its deployments add up."""
        return _monthly(self.spendings, "tft_per_hour")

    @property
    def spent_usd(self) -> float | None:
        """USD that were paid so far for what runs now."""
        return _total(item.spent_usd for item in self.spendings)

    @property
    def spent_tft(self) -> float | None:
        """TFT that were paid so far for what runs now."""
        return _total(item.spent_tft for item in self.spendings)

    @property
    def days(self) -> float | None:
        """How long the balance lasts; None when it's unknown, or nothing is paid."""
        return days_of(self.tft, self.tft_per_hour)

    @property
    def dearest(self) -> Cost | None:
        """The contract that decides what the next level needs."""
        found = [cost for item in self.spendings for cost in item.costs if cost.list_usd_per_hour]
        return max(found, key=lambda cost: cost.list_usd_per_hour or 0.0, default=None)

    @property
    def next_level(self) -> tuple[Level, float] | None:
        """The next discount level of the dearest contract, and how many TFT more it needs; None when there is none."""
        cost = self.dearest
        above = next_level(cost.level.name) if cost and not self.play_money else None
        needed = self.rates.tft((cost.list_usd_per_hour or 0.0) * HOURS_PER_MONTH * above.months) if cost and above else None
        return (above, max(0.0, needed - self.tft)) if above and needed is not None and self.tft is not None else None

    def to_dict(self, only: str = "") -> dict[str, Any]:
        """As JSON values; with `only` of one deployment, beside the account as a whole."""
        usd, tft, coming = self.usd_per_hour, self.tft_per_hour, self.next_level
        return {
            "network": self.network, "play_money": self.play_money, "usd_per_tft": self.rates.usd_per_tft or None,
            "usd_per_hour": rounded(usd, 6), "usd_per_month": self.usd_per_month,
            "tft_per_hour": rounded(tft, 4), "tft_per_month": self.tft_per_month,
            "balance_tft": rounded(self.tft, 4), "balance_days": rounded(self.days, 1),
            "level": self.dearest.level.name if self.dearest else "none",
            "next_level": coming and {"level": coming[0].name, "discount": coming[0].discount, "tft_more": round(coming[1], 2)},
            "spent_usd": rounded(self.spent_usd, 4), "spent_tft": rounded(self.spent_tft, 4),
            "deployments": [item.to_dict() for item in self.spendings if only in ("", item.deployment)],
            "unasked": list(self.unasked),
        }  # fmt: skip


def days_of(tft: float | None, tft_per_hour: float | None) -> float | None:
    """Days that a balance lasts; None when one of the two is unknown, or nothing is paid."""
    return tft / (tft_per_hour * HOURS_PER_DAY) if tft is not None and tft_per_hour else None


# Contracts


def _spending(item: Deployment, costs: Sequence[Cost]) -> Spending:
    """A deployment's contracts; one whose price the grid does not tell yet is taken from what the last run found."""
    known = item.price
    untold = any(cost.usd_per_hour is None and cost.tft_per_hour is None for cost in costs)
    since = min((cost.contract.created for cost in costs if cost.contract.created), default=item.created)
    return Spending(item.name, item.network, item.id, tuple(costs), known if untold and "usd_per_hour" in known else {}, since)


def from_memory(item: Deployment) -> Spending:
    """What the last run found that it costs; for when the grid can't be asked."""
    known = item.price
    return Spending(item.name, item.network, item.id, (), known if "usd_per_hour" in known else {}, item.created)


def purse(grid: Grid, deployments: Sequence[Deployment]) -> Purse:
    """The account of a network: what each deployment costs, and all else in one line. What can't be asked is said."""
    rates, tft, unasked = asked_rates(grid)
    try:
        contracts = grid.all_contracts()
    except TfgridError as error:
        unasked.append(f"the contracts, so prices are those of the last run ({error.what})")
        return Purse(grid.name, grid.play_money, rates, tft, tuple(map(from_memory, deployments)), tuple(unasked), False)
    costs, more = costs_of(grid, contracts, rates, now())
    mine = {item.id: [cost for cost in costs if _belongs(cost.contract, item)] for item in deployments}
    taken = {cost.contract.id for found in mine.values() for cost in found}
    rest = tuple(cost for cost in costs if cost.contract.id not in taken)
    found = [_spending(item, mine[item.id]) for item in deployments]
    if rest:
        since = min((cost.contract.created for cost in rest if cost.contract.created), default=0.0)
        found.append(Spending("", grid.name, "", rest, {}, since))
    return Purse(grid.name, grid.play_money, rates, tft, tuple(found), (*unasked, *more))


def _belongs(contract: ContractInfo, item: Deployment) -> bool:
    return mark(contract) == item.id or contract.id in item.data.get("contracts", [])


# Balance


def judge(context: Context, *, refuse: bool = True, buys: bool = True) -> list[str]:
    """Warnings about price and balance, before anybody is asked for consent and anything is bought.

    Raises `UsageError` (over-budget) and `GridError` (balance-too-low); without `refuse` the budget is only warned of, so
    that going back never fails for money. Where nothing is bought (`buys`), an empty account does not keep an app from
    being mended.
    """
    price = price_of(context)
    if refuse:
        check_budget(context, price)
        if buys:
            check_first_hour(price)
    refusal = over_budget(context, price)
    return [*([f"{refusal.what} ({refusal.why})"] if refusal else []), *balance_warnings(context)]


def balance_warnings(context: Context) -> list[str]:
    """That the balance lasts fewer days than the configuration wants."""
    price = price_of(context)
    days, unasked = days_with(context.grid, context.deployment, price)
    context.unchecked += [text for text in unasked if text not in context.unchecked]
    short = short_balance(days, settings.load().balance_days, price.balance_tft)
    return [short] if short else []


def days_with(grid: Grid, deployment: Deployment, price: DeploymentPrice) -> tuple[float | None, list[str]]:
    """(days that the balance lasts with this deployment and all else of the account, what could not be asked)."""
    own = price.tft_per_hour
    if own is None or price.balance_tft is None:
        return None, []
    try:
        others = [item for item in grid.all_contracts() if not _belongs(item, deployment)]
        if all(item.usd_per_hour is not None for item in others):
            hourly = sum(contract_price(item.usd_per_hour or 0.0, price.rates).tft_per_hour or 0.0 for item in others)
        else:
            before = _number((deployment.data.get("price") or {}).get("tft_per_hour")) or 0.0
            hourly = max(0.0, _consumption(grid) - before)
    except TfgridError as error:
        return days_of(price.balance_tft, own), [f"what else runs on the account ({error.what})"]
    return days_of(price.balance_tft, own + hourly), []


def _consumption(grid: Grid) -> float:
    """What the account was billed for in the last hour, in TFT. Raises `TfgridError`."""
    from tfgrid_compose.grids.client import ask

    twin = grid.account().twin
    return ask(lambda client: client.consumption(twin), grid.client()).value.last_hour if twin else 0.0


def short_balance(days: float | None, wanted: float, tft: float | None) -> str:
    """A warning when the balance lasts fewer days than wanted; empty otherwise."""
    if days is None or tft is None or days >= wanted:
        return ""
    return (
        f"the balance of {tft:.2f} TFT lasts {days:.1f} days with all that the account runs, fewer than {wanted:g} (balance_days)"
    )
