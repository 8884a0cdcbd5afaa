"""What machines, nodes and names cost on the grid, and the discount of an account.

Prices are in USD; a month is 30 days of 24 hours. Sources: threefoldtech/tfchain (`pallet-smart-contract`: `cost.rs`,
`billing.rs`; pricing policy 1 of its genesis; decisions 0008, discount levels, and 0011, extra fee) and `calculator` of
threefoldtech/tfgrid-sdk-go. The manual's table of discounts still has the months from before decision 0008, twice as
many. Traffic (network units) is billed after it was used, so no price here holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HOURS_PER_MONTH = 24 * 30
# Certified hardware costs a quarter more, public addresses on it too.
CERTIFIED = 1.25
_UNIT = 1e-7


@dataclass(frozen=True)
class Policy:
    """A pricing policy, in 1e-7 USD per unit and hour; `dedicated` is the discount on a whole node, from 0 to 1.

    The defaults are policy 1 of network main. Test networks may bill less.
    """

    cu: int = 100_000
    su: int = 50_000
    ipv4: int = 40_000
    name: int = 2_500
    dedicated: float = 0.5


@dataclass(frozen=True)
class Level:
    """A discount level: what comes off (0 to 1), once the balance pays for so many months of a contract."""

    name: str
    discount: float
    months: float


LEVELS = (
    Level("none", 0.0, 0.0),
    Level("default", 0.2, 1.5),
    Level("bronze", 0.3, 3.0),
    Level("silver", 0.4, 6.0),
    Level("gold", 0.6, 18.0),
)
_POLICY = Policy()


def compute_units(cores: int, memory_gib: float) -> float:
    """Compute units: the cheapest of the grid's three ways to weigh cores against memory."""
    if not cores and not memory_gib:
        return 0.0
    return min(
        max(memory_gib / 4, cores / 2),
        max(memory_gib / 8, cores),
        max(memory_gib / 2, cores / 4),
    )


def storage_units(ssd_gib: float, hdd_gib: float = 0.0) -> float:
    """Storage units of SSD and HDD space."""
    return ssd_gib / 200 + hdd_gib / 1200


def hourly_usd(
    cores: int, memory_gib: float, ssd_gib: float, public_ipv4: int = 0, hdd_gib: float = 0.0, policy: Policy = _POLICY
) -> float:
    """The price of one hour, before discounts, on hardware that is not certified."""
    units = compute_units(cores, memory_gib) * policy.cu + storage_units(ssd_gib, hdd_gib) * policy.su
    return (units + public_ipv4 * policy.ipv4) * _UNIT


def monthly_usd(
    cores: int, memory_gib: float, ssd_gib: float, public_ipv4: int = 0, hdd_gib: float = 0.0, policy: Policy = _POLICY
) -> float:
    """The price of one month, before discounts, on hardware that is not certified."""
    return hourly_usd(cores, memory_gib, ssd_gib, public_ipv4, hdd_gib, policy) * HOURS_PER_MONTH


def level_for(balance_usd: float, usd_per_month: float) -> Level:
    """The level at which the chain bills one contract: how many of its months the whole balance would pay for.

    `usd_per_month` is the contract's price before discounts and before the quarter for certified hardware.
    """
    if usd_per_month <= 0 or balance_usd <= 0:
        return LEVELS[0]
    months = balance_usd / usd_per_month
    return next(level for level in reversed(LEVELS) if months >= level.months)


def next_level(name: str) -> Level | None:
    """The level above; None above the highest, and for a name that is none."""
    names = [level.name for level in LEVELS]
    place = names.index(name) + 1 if name in names else len(LEVELS)
    return LEVELS[place] if place < len(LEVELS) else None


@dataclass(frozen=True)
class Rates:
    """What a network and an account pay: USD for one TFT (0 when unknown), and the account's discount from 0 to 1.

    Where `balance_tft` is known, it decides the level of each contract, as the chain does it, and `discount` and `level`
    stand for all contracts together. Where it is None, all get `discount`.
    """

    usd_per_tft: float
    discount: float = 0.0
    level: str = "none"
    balance_tft: float | None = None
    policy: Policy = field(default_factory=Policy)

    @classmethod
    def of(cls, usd_per_tft: float, balance_tft: float | None, usd_per_month: float, policy: Policy = _POLICY) -> Rates:
        """Rates of an account whose dearest contract costs `usd_per_month`, before discounts."""
        level = level_for((balance_tft or 0.0) * usd_per_tft, usd_per_month)
        return cls(usd_per_tft, level.discount, level.name, balance_tft, policy)

    def level_of(self, usd_per_month: float) -> Level:
        """The level of a contract that costs so much, before discounts."""
        if self.balance_tft is None or self.usd_per_tft <= 0:
            return Level(self.level, self.discount, 0.0)
        return level_for(self.balance_tft * self.usd_per_tft, usd_per_month)

    def tft(self, usd: float) -> float | None:
        """A sum in TFT; None when nobody knows what a TFT costs."""
        return usd / self.usd_per_tft if self.usd_per_tft > 0 else None


LIST_RATES = Rates(0.0)


@dataclass(frozen=True)
class Price:
    """What one contract costs: USD an hour by part, before discounts.

    `fee` is what a farmer asks for on top, USD an hour; no discount comes off it. TFT are None when their price is unknown.
    """

    parts: Mapping[str, float]
    level: Level = LEVELS[0]
    rates: Rates = LIST_RATES
    fee: float = 0.0

    @property
    def list_usd_per_hour(self) -> float:
        """USD an hour before discounts."""
        return sum(self.parts.values()) + self.fee

    @property
    def usd_per_hour(self) -> float:
        """USD an hour that are paid."""
        return sum(self.parts.values()) * (1 - self.level.discount) + self.fee

    @property
    def usd_per_month(self) -> float:
        """USD a month that are paid."""
        return self.usd_per_hour * HOURS_PER_MONTH

    @property
    def list_usd_per_month(self) -> float:
        """USD a month before discounts."""
        return self.list_usd_per_hour * HOURS_PER_MONTH

    @property
    def tft_per_hour(self) -> float | None:
        """TFT an hour that are paid."""
        return self.rates.tft(self.usd_per_hour)

    @property
    def tft_per_month(self) -> float | None:
        """TFT a month that are paid."""
        return self.rates.tft(self.usd_per_month)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **sums(self.usd_per_hour, self.list_usd_per_hour, self.rates),
            "level": self.level.name, "discount": self.level.discount,
            "parts_usd_per_month": {name: round(usd * HOURS_PER_MONTH, 4) for name, usd in self.parts.items()},
        }  # fmt: skip


def half_up(value: float, digits: int) -> float:
    """A sum with so many digits, half rounded up: what is shown, and so what is added up and compared."""
    from decimal import ROUND_HALF_UP, Decimal

    return float(Decimal(f"{value:.9f}").quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def shares(whole: float, parts: Mapping[str, float]) -> dict[str, float]:
    """Parts with two digits that add up to a whole with two digits: what is missing goes to those that lost most."""
    cents = {name: int(value * 100 + 1e-7) for name, value in parts.items()}
    missing = round(whole * 100) - sum(cents.values())
    for name in sorted(parts, key=lambda name: cents[name] - parts[name] * 100)[: max(missing, 0)]:
        cents[name] += 1
    return {name: value / 100 for name, value in cents.items()}


def sums(usd_per_hour: float, list_usd_per_hour: float, rates: Rates) -> dict[str, Any]:
    """A price as JSON values: USD and TFT, hour and month, before and after discounts."""
    hour, month = rates.tft(usd_per_hour), rates.tft(usd_per_hour * HOURS_PER_MONTH)
    return {
        "usd_per_hour": round(usd_per_hour, 6), "usd_per_month": half_up(usd_per_hour * HOURS_PER_MONTH, 2),
        "tft_per_hour": None if hour is None else round(hour, 4), "tft_per_month": None if month is None else half_up(month, 2),
        "list_usd_per_month": half_up(list_usd_per_hour * HOURS_PER_MONTH, 2),
    }  # fmt: skip


@dataclass(frozen=True)
class Size:
    """What a machine or a node has: cores, GiB of memory, SSD and HDD; data disks apart, and public IPv4."""

    cores: int
    memory_gib: float
    ssd_gib: float
    hdd_gib: float = 0.0
    disks_gib: float = 0.0
    public_ipv4: int = 0


def machine_price(size: Size, rates: Rates = LIST_RATES, *, certified: bool = False, rented: bool = False) -> Price:
    """A machine on a node; on one that the account rents as a whole, only its public address is paid."""
    policy = rates.policy
    units = {
        "compute": compute_units(size.cores, size.memory_gib) * policy.cu,
        "storage": storage_units(size.ssd_gib, size.hdd_gib) * policy.su,
        "data disks": storage_units(size.disks_gib) * policy.su,
    }
    found = {} if rented else {name: value for name, value in units.items() if value}
    return _price({**found, **({"public IPv4": size.public_ipv4 * policy.ipv4} if size.public_ipv4 else {})}, rates, certified)


def node_price(size: Size, rates: Rates = LIST_RATES, *, certified: bool = False, fee_usd_per_month: float = 0.0) -> Price:
    """A whole node, rented: the discount on dedicated nodes comes off before the account's; the farmer's fee is added."""
    policy = rates.policy
    units = compute_units(size.cores, size.memory_gib) * policy.cu + storage_units(size.ssd_gib, size.hdd_gib) * policy.su
    return _price({"node": units * (1 - policy.dedicated)}, rates, certified, fee_usd_per_month / HOURS_PER_MONTH)


def name_price(rates: Rates = LIST_RATES) -> Price:
    """A name on a gateway."""
    return _price({"name": float(rates.policy.name)}, rates)


def contract_price(usd_per_hour: float, rates: Rates) -> Price:
    """A contract of which only the price before discounts is known."""
    return Price({"contract": usd_per_hour}, rates.level_of(usd_per_hour * HOURS_PER_MONTH), rates)


def _price(units: Mapping[str, float], rates: Rates, certified: bool = False, fee: float = 0.0) -> Price:
    factor = _UNIT * (CERTIFIED if certified else 1.0)
    level = rates.level_of(sum(units.values()) * _UNIT * HOURS_PER_MONTH)
    return Price({name: value * factor for name, value in units.items()}, level, rates, fee)
