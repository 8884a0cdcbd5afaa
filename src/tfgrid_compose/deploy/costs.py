"""What contracts cost that exist: as the grid billed them, else as their price says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfgrid_compose.errors import TfgridError
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.grids.models import ContractInfo
from tfgrid_compose.grids.pricing import LEVELS, Level, Rates, contract_price, name_price

if TYPE_CHECKING:
    from tfgrid_compose.grids.client import Client
    from tfgrid_compose.grids.models import Bill

# So many contracts' bills are asked for at a time.
_AT_ONCE = 8


@dataclass(frozen=True)
class Cost:
    """What one contract costs an hour, after discounts, and what was paid for it; None where nobody could say.

    `billed`: what was paid is the sum of the grid's bills, not hours times price.
    """

    contract: ContractInfo
    usd_per_hour: float | None
    list_usd_per_hour: float | None
    tft_per_hour: float | None
    level: Level = LEVELS[0]
    spent_usd: float | None = None
    spent_tft: float | None = None
    billed: bool = False


def _bills(grid: Grid, ids: Sequence[int]) -> tuple[dict[int, list[Bill]], list[str]]:
    """({contract: bills, the newest first}, what could not be asked)."""
    from tfgrid_compose.grids.client import ask

    async def questions(client: Client) -> dict[int, list[Bill]]:
        import asyncio

        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(id: int) -> list[Bill]:
            async with gate:
                return sorted((await client.bills(id)).value, key=lambda bill: -bill.at)

        return dict(zip(ids, await asyncio.gather(*(one(id) for id in ids)), strict=True))

    if not ids:
        return {}, []
    try:
        return ask(questions, grid.client()), []
    except TfgridError as error:
        return {}, [f"the bills ({error.what})"]


def _cost(contract: ContractInfo, bills: Sequence[Bill], rates: Rates, now: float) -> Cost:
    """What a contract costs: by its price, else by its kind, else as it was billed; and what was paid for it."""
    spent = sum(bill.tft for bill in bills) if bills else None
    if contract.usd_per_hour is not None:
        price = contract_price(contract.usd_per_hour, rates)
    elif bills:
        return _billed(contract, bills, rates, spent)
    elif contract.is_network:
        price = contract_price(0.0, rates)
    elif contract.kind == "name":
        price = name_price(rates)
    else:
        return Cost(contract, None, None, None)
    usd = None
    if spent is not None:
        usd = spent * rates.usd_per_tft if rates.usd_per_tft > 0 else None
    elif contract.created:
        usd = price.usd_per_hour * max((now - contract.created) / 3600, 0.0)
        spent = rates.tft(usd)
    return Cost(contract, price.usd_per_hour, price.list_usd_per_hour, price.tft_per_hour, price.level, usd, spent, bool(bills))


def _billed(contract: ContractInfo, bills: Sequence[Bill], rates: Rates, spent: float | None) -> Cost:
    """By its newest bill, for the time since the one before."""
    level = next((level for level in LEVELS if level.name == bills[0].discount.lower()), LEVELS[0])
    hours = (bills[0].at - bills[1].at) / 3600 if len(bills) > 1 and bills[0].at > bills[1].at else 1.0
    tft, known = bills[0].tft / hours, rates.usd_per_tft > 0
    usd = tft * rates.usd_per_tft if known else None
    before = usd / (1 - level.discount) if usd is not None else None
    return Cost(contract, usd, before, tft, level, (spent or 0.0) * rates.usd_per_tft if known else None, spent, True)


def costs_of(grid: Grid, contracts: Sequence[ContractInfo], rates: Rates, now: float) -> tuple[tuple[Cost, ...], list[str]]:
    """(the cost of each contract, what could not be asked)."""
    # Contracts of networks are never billed.
    bills, unasked = _bills(grid, [item.id for item in contracts if not item.is_network])
    return tuple(_cost(item, bills.get(item.id, ()), rates, now) for item in contracts), unasked
