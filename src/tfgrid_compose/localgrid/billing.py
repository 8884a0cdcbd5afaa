"""Bills of the local grid, computed from the ledger when somebody asks: there is no daemon that could write them.

A contract is billed for each full hour since it was made, and for the rest when it ends, as on the chain. Amounts are in
units of 1e-7 TFT. A contract that was changed in place pays its old price until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tfgrid_compose.localgrid.entries import Contract, PastSize, Twin
from tfgrid_compose.localgrid.ledger import Ledger

HOUR = 3600
UNITS_PER_TFT = 10**7
# What a TFT is worth in the play: 10,000 of them pay a small machine for a year.
USD_PER_TFT = 0.01


@dataclass(frozen=True)
class Bill:
    """One bill: when (unix seconds), and how many units of 1e-7 TFT."""

    time: int
    units: int


def bills(contract: Contract, past: Sequence[PastSize], now: float) -> list[Bill]:
    """Every bill of a contract, newest first."""
    times = list(range(contract.created + HOUR, _end(contract, now) + 1, HOUR))
    if contract.closed is not None and (times[-1] if times else contract.created) < contract.closed:
        times.append(contract.closed)
    found, before = [], 0
    for time in times:
        # Differences of rounded sums: the bills add up to what the balance has lost.
        so_far = _units(contract, past, time)
        found.append(Bill(time, so_far - before))
        before = so_far
    return found[::-1]


def billed(contract: Contract, past: Sequence[PastSize], now: float) -> int:
    """The sum of all bills of a contract until `now`."""
    end = _end(contract, now)
    ended = contract.closed is not None and contract.closed <= now
    return _units(contract, past, end if ended else end - (end - contract.created) % HOUR)


def consumption(contracts: Iterable[Contract], past: Mapping[int, Sequence[PastSize]], now: float) -> tuple[float, float]:
    """TFT that contracts were billed: in the last hour, and ever."""
    overall = last_hour = 0
    for contract in contracts:
        sizes = past.get(contract.id, ())
        total = billed(contract, sizes, now)
        overall += total
        last_hour += total - billed(contract, sizes, now - HOUR)
    return last_hour / UNITS_PER_TFT, overall / UNITS_PER_TFT


def balance(ledger: Ledger, twin: Twin, now: float) -> float:
    """TFT that an account has left; the play stops nothing when they are gone."""
    mine = [contract for contract in ledger.contracts(live=False) if contract.twin == twin.id]
    return max(0.0, twin.balance - consumption(mine, ledger.past_sizes(), now)[1])


def _end(contract: Contract, now: float) -> int:
    """Until when a contract runs up costs, never before it was made."""
    return max(contract.created, min(int(now), int(now) if contract.closed is None else contract.closed))


def _units(contract: Contract, past: Sequence[PastSize], until: int) -> int:
    """What a contract has cost until a time, each part at the price of its time."""
    usd, start = 0.0, contract.created
    for size in past:
        end = max(start, min(size.until, until))
        usd += (end - start) * size.usd_per_hour / HOUR
        start = end
    usd += max(0, until - start) * contract.usd_per_hour / HOUR
    return round(usd / USD_PER_TFT * UNITS_PER_TFT)
