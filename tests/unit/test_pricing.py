"""Prices, held to the grid's pricing policy and its formula of compute and storage units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrid_compose.grids import pricing

sizes = st.tuples(st.integers(1, 32), st.floats(0.25, 256), st.floats(1, 10240))


@pytest.mark.parametrize(
    ("cores", "gib", "units"),
    [(0, 0, 0), (2, 4, 1), (1, 1, 0.5), (4, 8, 2), (1, 8, 1), (8, 4, 2), (0, 4, 0.5), (16, 64, 16), (2, 0, 0.5)],
)
def test_compute_units_take_the_cheapest_way_to_weigh(cores: int, gib: float, units: float) -> None:
    assert pricing.compute_units(cores, gib) == units


def test_storage_units_are_200_gib_of_ssd_or_1200_of_hdd() -> None:
    assert pricing.storage_units(200) == 1
    assert pricing.storage_units(0, 1200) == 1
    assert pricing.storage_units(100, 600) == 1


def test_an_hour_is_priced_by_the_policy() -> None:
    assert pricing.hourly_usd(2, 4, 200) == pytest.approx((1 * 100_000 + 1 * 50_000) * 1e-7)
    assert pricing.hourly_usd(0, 0, 0, public_ipv4=2) == pytest.approx(0.008)


def test_a_month_has_720_hours() -> None:
    assert pricing.monthly_usd(2, 4, 50, 1) == pytest.approx(720 * pricing.hourly_usd(2, 4, 50, 1))
    assert pricing.monthly_usd(2, 4, 50) == pytest.approx(8.1)


@given(sizes, sizes)
def test_a_machine_that_is_larger_in_everything_never_costs_less(
    one: tuple[int, float, float], other: tuple[int, float, float]
) -> None:
    small, large = [min(pair) for pair in zip(one, other)], [max(pair) for pair in zip(one, other)]
    price = pricing.hourly_usd(int(small[0]), small[1], small[2])
    assert 0 < price <= pricing.hourly_usd(int(large[0]), large[1], large[2])


@given(sizes)
def test_a_public_address_always_adds_the_same(size: tuple[int, float, float]) -> None:
    assert pricing.hourly_usd(*size, public_ipv4=1) - pricing.hourly_usd(*size) == pytest.approx(0.004)
