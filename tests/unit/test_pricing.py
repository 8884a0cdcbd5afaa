"""Prices, held to the grid's pricing policy, its formula of compute and storage units, and its discount levels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrid_compose.grids import pricing
from tfgrid_compose.grids.pricing import LEVELS, Policy, Price, Rates, Size

sizes = st.tuples(st.integers(1, 32), st.floats(0.25, 256), st.floats(1, 10240))
amounts = st.floats(0.01, 10_000)


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
    assert pricing.hourly_usd(0, 0, 0, hdd_gib=1200) == pytest.approx(0.005)
    assert pricing.hourly_usd(2, 4, 200, 1, policy=Policy(cu=50_000, su=25_000, ipv4=20_000)) == pytest.approx(0.0095)


def test_a_month_has_720_hours() -> None:
    assert pricing.monthly_usd(2, 4, 50, 1) == pytest.approx(720 * pricing.hourly_usd(2, 4, 50, 1))
    assert pricing.monthly_usd(2, 4, 50) == pytest.approx(8.1)


def test_the_grids_own_calculator_has_the_same_figures() -> None:
    """A figure of its test: 8 cores, 32 GB, 50 GB of SSD, a public address, certified; and without the last two."""
    price = pricing.machine_price(Size(8, 32, 50, public_ipv4=1), certified=True)
    assert price.usd_per_month == pytest.approx(76.725)
    assert pricing.machine_price(Size(8, 32, 50)).usd_per_month == pytest.approx(58.5)


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


# Levels


@pytest.mark.parametrize(
    ("balance", "name"),
    [(0, "none"), (149.9, "none"), (150, "default"), (299, "default"), (300, "bronze"), (599, "bronze"), (600, "silver"),
     (1799, "silver"), (1800, "gold"), (1e9, "gold")],
)  # fmt: skip
def test_the_level_is_how_many_months_of_the_contract_the_balance_pays_for(balance: float, name: str) -> None:
    assert pricing.level_for(balance, 100).name == name


def test_levels_and_their_discounts_are_those_of_the_chain() -> None:
    assert [(level.name, level.discount, level.months) for level in LEVELS] == [
        ("none", 0.0, 0.0), ("default", 0.2, 1.5), ("bronze", 0.3, 3.0), ("silver", 0.4, 6.0), ("gold", 0.6, 18.0),
    ]  # fmt: skip


def test_what_costs_nothing_has_no_level() -> None:
    assert pricing.level_for(1000, 0).name == pricing.level_for(-5, 10).name == "none"


@given(amounts, amounts, amounts)
def test_more_balance_never_means_a_lower_discount(one: float, other: float, price: float) -> None:
    low, high = sorted((one, other))
    assert pricing.level_for(low, price).discount <= pricing.level_for(high, price).discount


def test_the_next_level_of_each_is_the_one_above() -> None:
    above = {name: (level.name if level else None) for name in (*[level.name for level in LEVELS], "unheard-of")
             if [level := pricing.next_level(name)]}  # fmt: skip
    assert above == {
        "none": "default",
        "default": "bronze",
        "bronze": "silver",
        "silver": "gold",
        "gold": None,
        "unheard-of": None,
    }


def test_each_contract_has_its_own_level_where_the_balance_is_known() -> None:
    rates = Rates.of(0.05, balance_tft=400, usd_per_month=8)
    assert (rates.level, rates.discount) == ("default", 0.2)
    assert (rates.level_of(2).name, rates.level_of(100).name) == ("silver", "none")


def test_a_discount_that_is_said_holds_for_all() -> None:
    rates = Rates(0.05, 0.4, "silver")
    assert [rates.level_of(usd).discount for usd in (0.1, 1000)] == [0.4, 0.4]
    assert Rates(0.0, 0.4, "silver", balance_tft=1e9).level_of(1).name == "silver", "a balance says nothing without a price"


# Prices


def test_parts_add_up_and_the_discount_comes_off_all_of_them() -> None:
    price = pricing.machine_price(Size(2, 4, 50, disks_gib=100, public_ipv4=1), Rates(0.05, 0.4, "silver"))
    assert set(price.parts) == {"compute", "storage", "data disks", "public IPv4"}
    assert price.list_usd_per_month == pytest.approx(7.2 + 0.9 + 1.8 + 2.88)
    assert price.usd_per_month == pytest.approx(0.6 * price.list_usd_per_month)
    assert price.tft_per_month == pytest.approx(price.usd_per_month / 0.05)
    assert price.tft_per_hour == pytest.approx((price.tft_per_month or 0) / 720)


def test_without_a_price_of_a_tft_sums_are_in_usd_only() -> None:
    price = pricing.machine_price(Size(2, 4, 50), Rates(0.0))
    facts = price.to_dict()
    assert (facts["tft_per_hour"], facts["tft_per_month"], facts["usd_per_month"]) == (None, None, 8.1)


def test_certified_hardware_costs_a_quarter_more_and_does_not_change_the_level() -> None:
    rates = Rates(1.0, balance_tft=8.1 * 6)
    plain, certified = (pricing.machine_price(Size(2, 4, 50), rates, certified=kind) for kind in (False, True))
    assert plain.level.name == certified.level.name == "silver"
    assert certified.usd_per_month == pytest.approx(1.25 * plain.usd_per_month)


def test_on_a_node_that_the_account_rents_only_the_address_is_paid() -> None:
    rented = pricing.machine_price(Size(2, 4, 50, disks_gib=10, public_ipv4=1), rented=True)
    assert dict(rented.parts) == {"public IPv4": pytest.approx(0.004)}
    assert pricing.machine_price(Size(2, 4, 50), rented=True).usd_per_hour == 0


def test_a_whole_node_costs_half_and_the_farmers_fee_is_never_discounted() -> None:
    size = Size(16, 64, 1000, hdd_gib=2400)
    whole = pricing.monthly_usd(16, 64, 1000, hdd_gib=2400)
    plain = pricing.node_price(size)
    assert plain.usd_per_month == pytest.approx(whole / 2)
    rich = pricing.node_price(size, Rates(1.0, balance_tft=whole * 10), fee_usd_per_month=7.2)
    assert rich.level.name == "gold", "the balance pays for 20 months of half the price"
    assert rich.usd_per_month == pytest.approx(whole / 2 * 0.4 + 7.2)
    assert pricing.node_price(size, certified=True).usd_per_month == pytest.approx(1.25 * whole / 2)


def test_a_name_costs_what_the_policy_says() -> None:
    assert pricing.name_price().usd_per_month == pytest.approx(0.18)


def test_a_contract_with_a_known_price_gets_its_level() -> None:
    price = pricing.contract_price(0.01, Rates(1.0, balance_tft=10.8))
    assert (price.level.name, price.usd_per_hour) == ("default", pytest.approx(0.008))


@given(sizes, st.booleans(), st.floats(0, 1e6), st.floats(0, 10))
def test_nobody_pays_more_than_the_list_or_less_than_two_fifths(
    size: tuple[int, float, float], certified: bool, balance: float, usd_per_tft: float
) -> None:
    price: Price = pricing.machine_price(Size(*size), Rates(usd_per_tft, balance_tft=balance), certified=certified)
    assert 0.4 * price.list_usd_per_hour <= price.usd_per_hour * (1 + 1e-9)
    assert price.usd_per_hour <= price.list_usd_per_hour * (1 + 1e-9)
