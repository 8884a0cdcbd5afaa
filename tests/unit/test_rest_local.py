"""The local grid's own directory: ledger and catalog through the client that the live grid has, and bills that are real."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tfgrid_compose.errors import EnvironmentError_, GridError
from tfgrid_compose.grids.client import ask
from tfgrid_compose.grids.models import GIB, ContractInfo
from tfgrid_compose.localgrid import accounts, billing, faults, plugin
from tfgrid_compose.localgrid.catalog import NODES
from tfgrid_compose.localgrid.entries import Resources
from tfgrid_compose.localgrid.instance import Instance, current
from tfgrid_compose.localgrid.ledger import Ledger
from tfgrid_compose.localgrid.plugin import LocalGrid
from tfgrid_compose.localgrid.rest import local
from tfgrid_compose.localgrid.rest.local import LocalSource

# The client compares the grid's time with its own.
NOW = float(int(time.time()))
ID = "0123456789abcdef"
DATA = {"version": 3, "type": "vm", "name": f"vm_{ID}", "projectName": "tfgrid-compose/my-app", "network": f"net_{ID}"}
SMALL = Resources(2, 4 * GIB, 50 * GIB)
# What SMALL costs on node 2, which is not certified.
USD = 0.01125


class Clock:
    """Time that passes when a test says so."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    for module in ("ledger", "plugin"):
        monkeypatch.setattr(f"tfgrid_compose.localgrid.{module}.time.time", found)
    return found


@pytest.fixture
def place(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    """A local grid of its own, as root sees it."""
    monkeypatch.setenv("TFGRID_LOCALGRID_ROOT", str(tmp_path / "grid"))
    monkeypatch.setenv("TFGRID_LOCALGRID", "1")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return current()


@pytest.fixture
def ledger(place: Instance) -> Iterator[Ledger]:
    with Ledger(place.ledger) as found:
        yield found


@pytest.fixture
def grid(place: Instance, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> LocalGrid:
    monkeypatch.setattr(plugin, "LocalSource", lambda instance: LocalSource(instance, clock=clock, uptime=lambda: 100))
    return LocalGrid()


@pytest.fixture
def deploy(ledger: Ledger, clock: Clock) -> Callable[..., int]:
    """Open a contract of the play account."""

    def make(node: int | None = 2, size: Resources = SMALL, kind: str = "node", mnemonic: str = accounts.PLAY_MNEMONIC) -> int:
        twin = ledger.twin(accounts.digest(mnemonic))
        return ledger.open_contract(twin, node, DATA, "a" * 32, size, 1 if node == 3 else 0, {}, kind)

    return make


def tft(hours: float, usd: float = USD) -> float:
    return hours * usd / billing.USD_PER_TFT


# The directory


def test_nodes_are_the_same_by_the_short_way_and_by_the_client(
    grid: LocalGrid, deploy: Callable[..., int], ledger: Ledger
) -> None:
    deploy(), deploy(3)
    faults.set_nodes_down(ledger, [6])
    nodes = grid.nodes()
    assert ask(lambda client: client.nodes(), grid.client()).value == nodes
    assert [node.id for node in nodes] == [seed.id for seed in NODES]
    second, last = nodes[1], nodes[5]
    assert second.used.cru == 2 and second.free.mru == 32 * GIB - 4 * GIB - max(32 * GIB // 10, 2 * GIB)
    assert (second.status, second.healthy, second.uptime, second.rentable, nodes[3].rentable) == ("up", True, 100, False, True)
    assert (last.status, last.healthy, last.uptime) == ("down", False, 0)
    assert nodes[0].ipv4 == "198.51.100.139/25" and nodes[0].ipv6 == "2001:db8:7467:1::b/64" and second.ipv4 == second.ipv6 == ""
    assert nodes[0].usd_per_month == pytest.approx(1.25 * 720 * (16 * 0.01 + 5.12 * 0.005), abs=0.001)
    assert {"network", "zmachine", "mycelium", "wireguard"} <= second.features and not any(node.domain for node in nodes)


def test_free_capacity_is_what_the_engine_gives(grid: LocalGrid, deploy: Callable[..., int]) -> None:
    from tfgrid_compose.localgrid.engine import Engine

    deploy(), deploy(1)
    with Engine() as engine:
        for node in grid.nodes():
            free = engine.free(node.id)
            assert (node.free.mru, node.free.sru) == (free.mru, free.sru)


def test_filters_find_places_farms_and_regions(grid: LocalGrid) -> None:
    def ids(**filters: object) -> list[int]:
        return [node.id for node in ask(lambda client: client.nodes(**filters), grid.client()).value]  # type: ignore[arg-type]

    assert ids(region="europe") == [1, 2] and ids(country="egypt", ipv4=True) == [3]
    assert ids(free_ips=1, certification_type="Certified") == [1, 4]
    assert ids(domain=True) == [] and ids(has_ipv6=True) == [1, 2, 3, 4, 5, 6]


def test_farms_count_the_addresses_that_contracts_rent(grid: LocalGrid, deploy: Callable[..., int], ledger: Ledger) -> None:
    id = deploy(3)
    ledger.rent_address(2, id, "vm")
    farms = {farm.name: farm for farm in ask(lambda client: client.farms(), grid.client()).value}
    assert (farms["Nile-Delta"].free_ips, farms["Nile-Delta"].total_ips) == (15, 16)
    assert farms["Serra-Verde"].total_ips == 0
    taken = ask(lambda client: client.public_ips(free=False), grid.client()).value
    assert [(ip.contract, ip.farm, ip.ip) for ip in taken] == [(id, 2, "198.51.100.192/25")]
    assert next(node for node in grid.nodes() if node.id == 4).free_ips == 15


def test_contracts_are_the_same_by_both_ways_but_for_their_price(
    grid: LocalGrid, deploy: Callable[..., int], ledger: Ledger
) -> None:
    one, gone, half = deploy(3), deploy(), deploy()
    deploy(mnemonic="somebody else")
    ledger.close_contract(gone)
    ledger.begin_cancel(half)
    listed = ask(lambda client: client.contracts(twin=1), grid.client()).value
    found = grid.all_contracts()
    assert [item.id for item in listed] == [item.id for item in found] == [one, half]
    first = found[0]
    assert first == ContractInfo(
        one, 3, "vm", f"vm_{ID}", "Created", first.usd_per_hour, "my-app", ID, NOW, 1, 1, "Nile-Delta"
    )  # fmt: skip
    assert first.usd_per_hour == pytest.approx(USD + 0.004)
    assert listed[0] == ContractInfo(**{**vars(first), "usd_per_hour": None})
    assert grid.contracts(ID)[0] == first and grid.marked()[0].contract == first
    every = ask(lambda client: client.contracts(twin=1, states=()), grid.client()).value
    assert {item.id: item.state for item in every} == {one: "Created", gone: "Deleted", half: "Created"}


def test_metadata_is_what_the_real_grid_would_hold(ledger: Ledger, deploy: Callable[..., int], place: Instance) -> None:
    deploy(), deploy(None, Resources(), "name")
    node, name = LocalSource(place).contracts()
    assert json.loads(node.data) == {key: value for key, value in DATA.items() if key != "network"}
    assert len(node.data) <= 512 and (node.farm, node.farm_name) == (1, "Scheldt-Farm")
    assert (name.kind, name.name, name.node, name.data) == ("name", f"vm_{ID}", 0, "")


def test_the_account_is_a_twin_of_the_directory(grid: LocalGrid) -> None:
    account = grid.account()
    assert (account.network, account.twin, account.tft) == ("local", 1, 10_000)
    twin = ask(lambda client: client.twin_of(account.address), grid.client()).value
    assert twin is not None and twin.id == 1
    farmers = {farm.twin for farm in ask(lambda client: client.farms(), grid.client()).value}
    nodes = {node.twin for node in grid.nodes()}
    assert farmers | nodes | {1} == {twin.id for twin in ask(lambda client: client.twins(), grid.client()).value}


def test_an_address_is_what_the_chains_tools_make_of_the_key() -> None:
    from scalecodec.utils.ss58 import ss58_decode, ss58_encode

    for account in (accounts.digest("some words"), "0" * 64, "no digest at all"):
        address = accounts.address(account)
        assert ss58_decode(address, valid_ss58_format=42) == accounts.public_key(account).removeprefix("0x")
        assert ss58_encode(accounts.public_key(account), 42) == address


def test_rates_are_fixed(grid: LocalGrid) -> None:
    assert (grid.rates().usd_per_tft, grid.rates().discount) == (0.01, 0.0)


def test_without_root_the_client_says_so_at_once(grid: LocalGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for job in (grid.client, grid.nodes, grid.account, grid.all_contracts):
        with pytest.raises(EnvironmentError_) as caught:
            job()
        assert caught.value.code == "root-needed"


def test_a_damaged_ledger_is_the_ledgers_error_through_the_client_too(grid: LocalGrid, place: Instance) -> None:
    place.home.mkdir(parents=True)
    place.ledger.write_bytes(b"no database at all, but long enough to be looked at" * 20)
    with pytest.raises(GridError) as caught:
        ask(lambda client: client.nodes(), grid.client())
    assert caught.value.code == "localgrid-ledger"


def test_the_uptime_is_the_computers() -> None:
    assert local.host_uptime() == pytest.approx(float(Path("/proc/uptime").read_text().split()[0]), abs=5)


# Bills


def bills_of(grid: LocalGrid, id: int) -> list[tuple[float, float]]:
    return [(bill.at - NOW, bill.tft) for bill in ask(lambda client: client.bills(id), grid.client()).value]


def test_every_full_hour_is_billed_and_the_balance_shrinks_by_it(
    grid: LocalGrid, deploy: Callable[..., int], clock: Clock
) -> None:
    id = deploy()
    clock.now = NOW + 3599
    assert bills_of(grid, id) == [] and grid.account().tft == 10_000
    clock.now = NOW + 3 * 3600 + 1800
    assert bills_of(grid, id) == [(hour * 3600, pytest.approx(tft(1))) for hour in (3, 2, 1)]
    assert grid.account().tft == pytest.approx(10_000 - tft(3))
    used = ask(lambda client: client.consumption(1), grid.client()).value
    assert (used.last_hour, used.overall) == (pytest.approx(tft(1)), pytest.approx(tft(3)))


def test_the_rest_is_billed_when_a_contract_ends(
    grid: LocalGrid, deploy: Callable[..., int], clock: Clock, ledger: Ledger
) -> None:
    id = deploy()
    clock.now = NOW + 5400
    ledger.close_contract(id)
    clock.now = NOW + 100 * 3600
    assert bills_of(grid, id) == [(5400, pytest.approx(tft(0.5))), (3600, pytest.approx(tft(1)))]
    assert grid.account().tft == pytest.approx(10_000 - tft(1.5))
    assert ask(lambda client: client.consumption(1), grid.client()).value.last_hour == 0


def test_a_contract_that_grew_pays_its_old_price_until_then(
    grid: LocalGrid, deploy: Callable[..., int], clock: Clock, ledger: Ledger
) -> None:
    id = deploy()
    larger = Resources(4, 8 * GIB, 100 * GIB)
    clock.now = NOW + 5400
    for digest in ("", "b" * 32):
        ledger.update_contract(id, digest, larger, 0, {})
    assert len(ledger.past_sizes()[id]) == 1, "the second write changed no size"
    clock.now = NOW + 3 * 3600
    assert bills_of(grid, id) == [
        (10800, pytest.approx(tft(2))), (7200, pytest.approx(tft(0.5) + tft(1))), (3600, pytest.approx(tft(1))),
    ]  # fmt: skip
    assert grid.account().tft == pytest.approx(10_000 - tft(4.5))


def test_bills_add_up_to_the_last_unit_for_a_price_that_does_not_fit(
    grid: LocalGrid, deploy: Callable[..., int], clock: Clock
) -> None:
    deploy(1, Resources(3, 7 * GIB + 1, 33 * GIB))
    clock.now = NOW + 1000 * 3600 + 7
    source = LocalSource(current(), clock=clock)
    bills = source.bills(1001)
    assert len(bills) == 1000 and len({bill.units for bill in bills}) == 2
    assert sum(bill.units for bill in bills) == round(source.consumption(1)[1] * 1e7)


def test_somebody_elses_contracts_are_somebody_elses_bill(grid: LocalGrid, deploy: Callable[..., int], clock: Clock) -> None:
    deploy(mnemonic="somebody else")
    clock.now = NOW + 7200
    assert grid.account().tft == 10_000


def test_a_balance_does_not_fall_below_nothing(grid: LocalGrid, deploy: Callable[..., int], clock: Clock) -> None:
    deploy(4, Resources(32, 100 * GIB, 1000 * GIB))
    clock.now = NOW + 10_000 * 3600
    assert grid.account().tft == 0


def test_a_clock_that_was_set_back_bills_nothing(
    grid: LocalGrid, deploy: Callable[..., int], clock: Clock, ledger: Ledger
) -> None:
    id = deploy()
    clock.now = NOW - 9000
    assert bills_of(grid, id) == [] and grid.account().tft == 10_000
    ledger.close_contract(id)
    clock.now = NOW + 9000
    assert bills_of(grid, id) == [] and grid.account().tft == 10_000


def test_a_ledger_of_an_older_version_gets_the_table_of_past_sizes(place: Instance, ledger: Ledger, clock: Clock) -> None:
    with sqlite3.connect(place.ledger) as db:
        db.execute("DROP TABLE past_sizes")
    with Ledger(place.ledger) as again:
        assert again.past_sizes() == {}
