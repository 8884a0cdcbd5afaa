"""The price of a deployment, and what is asked for it: rates, balance, nodes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tfgrid_compose.errors import GridError, TfgridError
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.grids.models import Node
from tfgrid_compose.grids.pricing import (
    HOURS_PER_MONTH,
    LIST_RATES,
    Level,
    Price,
    Rates,
    half_up,
    shares,
    sums,
)


@dataclass(frozen=True)
class MachinePrice:
    """A machine of a role on a node; `rented`: the account rents the whole node and pays no machine on it."""

    role: str
    node: int
    price: Price
    certified: bool = False
    rented: bool = False

    @property
    def usd_per_month(self) -> float:
        """USD a month that are paid, as it is shown."""
        return half_up(self.price.usd_per_month, 2)

    @property
    def text(self) -> str:
        """The price of a month and its parts, for people."""
        months = {name: usd * HOURS_PER_MONTH for name, usd in self.price.parts.items()}
        whole = half_up(self.price.list_usd_per_month, 2)
        parts = ", ".join(f"{name} {usd:.2f}" for name, usd in shares(whole, months).items())
        # A plan may have no node yet, where nodes can't be asked for.
        where = f"{self.role} on {'certified ' if self.certified else ''}node {self.node}" if self.node else self.role
        if not parts:
            return f"{where}: nothing, because you rent the node"
        tft = self.price.tft_per_month
        known = f"{self.usd_per_month:.2f} USD a month" + (f" ({half_up(tft, 2):.2f} TFT)" if tft is not None else "")
        return f"{where}: {known}; {'before discounts ' if self.price.level.discount else ''}{parts}"


@dataclass(frozen=True)
class DeploymentPrice:
    """The machines' prices and what they add up to; `unasked` says what could not be asked, a sentence each."""

    machines: tuple[MachinePrice, ...]
    rates: Rates = LIST_RATES
    balance_tft: float | None = None
    play_money: bool = False
    unasked: tuple[str, ...] = ()

    @property
    def nodes(self) -> dict[str, list[int]]:
        """{role: nodes}, as in a context."""
        found: dict[str, list[int]] = {}
        for machine in self.machines:
            found.setdefault(machine.role, []).append(machine.node)
        return found

    @property
    def usd_per_hour(self) -> float:
        """USD an hour that are paid."""
        return sum(machine.price.usd_per_hour for machine in self.machines)

    @property
    def usd_per_month(self) -> float:
        """USD a month that are paid: what its machines' lines show, added up."""
        return half_up(sum(machine.usd_per_month for machine in self.machines), 2)

    @property
    def list_usd_per_hour(self) -> float:
        """USD an hour before discounts."""
        return sum(machine.price.list_usd_per_hour for machine in self.machines)

    @property
    def tft_per_hour(self) -> float | None:
        """TFT an hour; None when nobody knows what a TFT costs."""
        return self.rates.tft(self.usd_per_hour)

    @property
    def levels(self) -> tuple[Level, ...]:
        """The discount levels of its machines, the lowest first, each once."""
        return tuple(sorted({machine.price.level for machine in self.machines}, key=lambda level: level.discount))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **sums(self.usd_per_hour, self.list_usd_per_hour, self.rates), "usd_per_month": self.usd_per_month,
            "levels": [level.name for level in self.levels], "usd_per_tft": self.rates.usd_per_tft or None,
            "balance_tft": self.balance_tft, "play_money": self.play_money, "unasked": list(self.unasked),
            "machines": [
                {
                    "role": item.role, "node": item.node or None, "certified": item.certified, "rented": item.rented,
                    **item.price.to_dict(),
                }
                for item in self.machines
            ],
        }  # fmt: skip


def levels_text(levels: tuple[Level, ...]) -> str:
    """`discount level silver (40 %)`, or `no discount`."""
    named = [f"{level.name} ({level.discount:.0%})" for level in levels if level.discount]
    return f"discount level {', '.join(named)}" if named else "no discount"


# Asking


def asked_rates(grid: Grid) -> tuple[Rates, float | None, list[str]]:
    """(rates, free balance in TFT, what could not be asked). Play money earns no discount."""
    rates, tft, unasked = LIST_RATES, None, []
    try:
        rates = grid.rates()
    except TfgridError as error:
        unasked.append(f"the price of a TFT ({error.what})")
    else:
        unasked += [] if rates.usd_per_tft > 0 else ["the price of a TFT, so sums are in USD only"]
    try:
        tft = grid.account().tft
    except TfgridError as error:
        unasked.append(f"the account's balance and discount ({error.what})")
    else:
        unasked += [] if tft is not None else ["the account's balance and discount (the chain does not answer)"]
    if rates.balance_tft is None and tft is not None and not grid.play_money:
        rates = replace(rates, balance_tft=tft)
    return rates, tft, unasked


def asked_nodes(grid: Grid, ids: set[int]) -> tuple[dict[int, Node], int, list[str]]:
    """(nodes by id, the account's twin or 0, what could not be asked)."""
    try:
        nodes = {node.id: node for node in grid.these_nodes(ids)}
        rented = any(node.rented_by for node in nodes.values())
        return nodes, (grid.account().twin or 0) if rented else 0, []
    except TfgridError as error:
        which = f"node {', '.join(str(id) for id in sorted(ids))}" if any(ids) else "the node"
        said = f"whether {which} is certified, which costs a quarter more ({error.what})"
        return {}, 0, [said]


# Balance


def check_first_hour(price: DeploymentPrice) -> None:
    """Raise `GridError` with code `balance-too-low` when the balance can't even pay the first hour; play money never ends."""
    hour = price.tft_per_hour
    if hour is None or price.balance_tft is None or price.balance_tft >= hour or price.play_money:
        return
    raise GridError(
        f"the account has {price.balance_tft:.2f} TFT, and the first hour costs {hour:.2f}",
        why="the grid pauses what can't be paid, and cancels it after 14 days",
        fix="send TFT to the account, or choose a smaller --size",
        code="balance-too-low",
    )
