"""What machines cost on the grid.

Source: `calculator` of threefoldtech/tfgrid-sdk-go and pricing policy 1 of tfchain. Prices are
in USD; a month is 30 days of 24 hours. Discounts of an account come on top.
"""

from __future__ import annotations

# Pricing policy 1, in 1e-7 USD per unit and hour.
_CU = 100_000
_SU = 50_000
_IPV4 = 40_000
_UNIT = 1e-7
HOURS_PER_MONTH = 24 * 30


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


def hourly_usd(cores: int, memory_gib: float, ssd_gib: float, public_ipv4: int = 0) -> float:
    """The price of one hour."""
    units = compute_units(cores, memory_gib) * _CU + storage_units(ssd_gib) * _SU + public_ipv4 * _IPV4
    return units * _UNIT


def monthly_usd(cores: int, memory_gib: float, ssd_gib: float, public_ipv4: int = 0) -> float:
    """The price of one month."""
    return hourly_usd(cores, memory_gib, ssd_gib, public_ipv4) * HOURS_PER_MONTH
