"""The local grid's ledger: contracts, capacity, addresses and networks survive and never mix."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from tfgrid_compose.errors import GridError
from tfgrid_compose.localgrid.catalog import FARMS, GIB, NODES, farm_ip_hosts, node_public_host
from tfgrid_compose.localgrid.database import FIRST_CONTRACT
from tfgrid_compose.localgrid.entries import Resources, node_total
from tfgrid_compose.localgrid.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new ledger."""
    with Ledger(tmp_path / "grid" / "ledger.db") as found:
        yield found


def contract(ledger: Ledger, node: int = 1, twin: int = 1, **resources: int) -> int:
    """A contract with little in it."""
    return ledger.open_contract(twin, node, {"type": "vm", "name": "x"}, "digest", Resources(**resources), 0, {"a": [1]})


def test_the_file_is_for_its_owner_only(ledger: Ledger, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "grid" / "ledger.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "grid").stat().st_mode) == 0o700


def test_every_commit_is_on_the_disk_before_it_returns(ledger: Ledger) -> None:
    with ledger.write() as db:
        assert db.execute("PRAGMA synchronous").fetchone()[0] == 2
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_contract_numbers_start_high_and_are_never_used_again(ledger: Ledger) -> None:
    first = contract(ledger)
    ledger.close_contract(first)
    assert (first, contract(ledger)) == (FIRST_CONTRACT, FIRST_CONTRACT + 1)


def test_what_was_written_is_there_after_opening_again(ledger: Ledger, tmp_path: Path) -> None:
    id = contract(ledger, cru=2, mru=3, sru=4)
    with Ledger(tmp_path / "grid" / "ledger.db") as again:
        (found,) = again.contracts()
        assert (found.id, found.state, found.spec, found.hash) == (id, "Created", {"a": [1]}, "digest")
        assert (found.kind, found.node, found.twin, found.data["name"]) == ("node", 1, 1, "x")
        assert again.addresses(1) == ledger.addresses(1), "addresses are set aside once"


def test_only_live_contracts_are_listed_unless_all_are_asked_for(ledger: Ledger) -> None:
    dead, alive, other = contract(ledger), contract(ledger), contract(ledger, node=2)
    ledger.close_contract(dead)
    assert [item.id for item in ledger.contracts()] == [alive, other]
    assert [item.id for item in ledger.contracts(node=1)] == [alive]
    assert [item.id for item in ledger.contracts(live=False)] == [dead, alive, other]
    assert ledger.contracts(id=dead) == []


def test_used_is_the_sum_of_the_live_contracts_of_a_node(ledger: Ledger) -> None:
    contract(ledger, cru=1, mru=10, sru=100)
    contract(ledger, cru=2, mru=20, sru=200)
    contract(ledger, node=2, cru=50)
    ledger.close_contract(contract(ledger, mru=7))
    assert ledger.used(1) == Resources(3, 30, 300)
    assert ledger.used(4) == Resources()


def test_an_update_replaces_what_a_contract_holds(ledger: Ledger) -> None:
    id = contract(ledger, mru=1)
    ledger.update_contract(id, "new", Resources(1, 2, 3), 1, {"b": 2})
    (found,) = ledger.contracts(id=id)
    assert (found.hash, found.resources, found.public_ips, found.spec) == ("new", Resources(1, 2, 3), 1, {"b": 2})


def test_a_contract_costs_what_its_resources_cost(ledger: Ledger) -> None:
    size = {"cru": 2, "mru": 4 * GIB, "sru": 50 * GIB}
    ids = [contract(ledger, node=2, **size), contract(ledger, node=1, **size)]
    plain, certified = (ledger.contracts(id=id)[0] for id in ids)
    # One compute unit (4 GiB or 2 cores) and a quarter of a storage unit; a quarter more on certified hardware.
    assert plain.usd_per_hour == pytest.approx(0.01 + 0.25 * 0.005)
    assert certified.usd_per_hour == pytest.approx(1.25 * plain.usd_per_hour)


def test_an_account_is_made_once(ledger: Ledger) -> None:
    assert ledger.twin("a") == ledger.twin("a") != ledger.twin("b")


def test_a_rented_address_is_the_lowest_free_one_and_stays_with_its_machine(ledger: Ledger) -> None:
    id = contract(ledger)
    first = ledger.rent_address(1, id, "one")
    assert first == min(farm_ip_hosts(FARMS[0]))
    assert ledger.rent_address(1, id, "one") == first
    assert ledger.rent_address(1, id, "two") == first + 1
    ledger.close_contract(id)
    assert {holder for _, holder in ledger.addresses(1)} == {0}


def test_addresses_run_out(ledger: Ledger) -> None:
    id = contract(ledger)
    for number in range(FARMS[0].free_ips):
        assert ledger.rent_address(1, id, f"vm{number}")
    assert ledger.rent_address(1, id, "one more") is None
    assert ledger.rent_address(3, id, "a farm without any") is None


def test_two_processes_never_rent_the_same_address(tmp_path: Path) -> None:
    def rent(number: int) -> int | None:
        with Ledger(tmp_path / "ledger.db") as ledger:
            return ledger.rent_address(1, number, "vm")

    Ledger(tmp_path / "ledger.db").close()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(rent, range(1, 17)))
    assert sorted(host or 0 for host in found) == sorted(farm_ip_hosts(FARMS[0]))


def test_networks_get_the_lowest_free_number(ledger: Ledger) -> None:
    def save(id: str) -> int:
        return int(ledger.save_network({"id": id, "twin": 1, "name": id})["number"])

    assert [save("a"), save("b"), save("c")] == [1, 2, 3]
    ledger.drop_network("b")
    assert save("d") == 2
    record = ledger.network_by_id("a")
    assert record and ledger.save_network({**record, "name": "other"})["number"] == 1, "saving again keeps the number"
    assert [item["id"] for item in ledger.networks()] == ["a", "d", "c"]


def test_networks_are_found_by_id_and_by_owner_and_name(ledger: Ledger) -> None:
    record = ledger.save_network({"id": "a", "twin": 1, "name": "net"})
    assert ledger.network_by_id("a") == ledger.network(1, "net") == record
    assert ledger.network(2, "net") is None
    assert ledger.network_by_id("b") is None


def test_facts_are_any_json_value_and_none_forgets(ledger: Ledger) -> None:
    assert ledger.fact("x") is None
    ledger.set_fact("x", [1, {"a": None}])
    assert ledger.fact("x") == [1, {"a": None}]
    ledger.set_fact("x", None)
    assert ledger.fact("x") is None


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_values_that_are_no_json_are_told_as_damage(ledger: Ledger, text: str) -> None:
    record = ledger.save_network({"id": "a", "twin": 1, "name": "net"})
    ledger.set_fact("x", 1)
    with ledger.write() as db:
        db.execute("UPDATE facts SET value = ?", (text,))
        db.execute("UPDATE networks SET record = ?", (text,))
    reads: list[Callable[[], object]] = [
        lambda: ledger.fact("x"), lambda: ledger.change_fact("x", str), ledger.networks, lambda: ledger.network(1, "net"),
        lambda: ledger.network_by_id(record["id"]), lambda: ledger.drop_network(record["id"]),
    ]  # fmt: skip
    for read in reads:
        with pytest.raises(GridError) as caught:
            read()
        assert caught.value.code == "localgrid-ledger"


def test_a_fact_is_changed_with_no_other_writer_in_between(tmp_path: Path) -> None:
    def count(_: int) -> None:
        with Ledger(tmp_path / "ledger.db") as ledger:
            for _ in range(10):
                ledger.change_fact("n", lambda found: (found or 0) + 1)

    Ledger(tmp_path / "ledger.db").close()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert ledger.fact("n") == 40


def test_a_contract_that_is_being_cancelled_is_no_longer_live_and_still_holds_its_room(ledger: Ledger) -> None:
    id = contract(ledger, mru=10)
    ledger.begin_cancel(id)
    assert ledger.contracts() == []
    (found,) = ledger.contracts(ending=True)
    assert (found.id, found.state) == (id, "Cancelling")
    assert ledger.used(1).mru == 10
    ledger.close_contract(id)
    ledger.begin_cancel(id)
    assert ledger.contracts(ending=True) == []
    assert ledger.used(1).mru == 0


DATA = {"type": "network", "name": "net"}


def test_a_network_and_its_contracts_come_and_go_in_one_commit(ledger: Ledger) -> None:
    record = {"id": "a", "twin": 7, "name": "net", "contracts": {}, "subnets": {"1": "x", "3": "y"}}
    saved = ledger.save_network(record, DATA)
    contracts = {str(item.node): item for item in ledger.contracts()}
    assert saved["contracts"] == {node: item.id for node, item in contracts.items()}
    assert {item.twin for item in contracts.values()} == {7}
    assert all((item.data, item.spec) == (DATA, {"network": "a"}) for item in contracts.values())
    again = ledger.save_network({**saved, "subnets": {"3": "y", "4": "z"}}, {**DATA, "projectName": "other"})
    assert again["contracts"]["3"] == contracts["3"].id and sorted(again["contracts"]) == ["3", "4"]
    assert {(item.node, item.data["projectName"]) for item in ledger.contracts()} == {(3, "other"), (4, "other")}
    assert ledger.network_by_id("a") == again
    ledger.drop_network("a")
    ledger.drop_network("a")
    assert (ledger.contracts(), ledger.networks()) == ([], [])


def test_a_network_that_can_not_be_recorded_has_no_contracts(ledger: Ledger) -> None:
    with pytest.raises(sqlite3.Error):
        ledger.save_network({"id": None, "twin": None, "name": "net", "contracts": {}, "subnets": {"1": "x"}}, DATA)
    assert ledger.contracts() == []


def test_metadata_can_be_written_anew(ledger: Ledger) -> None:
    id = contract(ledger)
    ledger.set_metadata(id, {"projectName": "tfgrid-compose/x"})
    assert [item.data for item in ledger.contracts()] == [{"projectName": "tfgrid-compose/x"}]


def test_a_failed_transaction_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError):
        with ledger.write() as db:
            db.execute("INSERT INTO twins (account, balance) VALUES ('x', 1)")
            raise ZeroDivisionError
    with ledger.write() as db:
        assert db.execute("SELECT count(*) FROM twins").fetchone()[0] == 0


def test_two_threads_of_one_process_write_one_after_the_other(ledger: Ledger) -> None:
    entered, go = threading.Event(), threading.Event()

    def hold() -> None:
        with ledger.write():
            entered.set()
            go.wait(10)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(hold)
        assert entered.wait(10)
        second = pool.submit(ledger.set_fact, "x", 1)
        # Without a lock the second fails at once; with one it waits for the first.
        wait([second], timeout=0.2)
        go.set()
        first.result(10)
        second.result(10)
    assert ledger.fact("x") == 1


def test_a_closed_ledger_can_not_be_used(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.db") as ledger:
        pass
    with pytest.raises(sqlite3.ProgrammingError):
        ledger.contracts()


# The catalog


def test_no_two_things_of_a_grid_have_the_same_public_address() -> None:
    rented = [host for farm in FARMS for host in farm_ip_hosts(farm)]
    own = [node_public_host(node.id) for node in NODES if node.public]
    assert len({*rented, *own}) == len(rented) + len(own)
    assert all(1 < host < 127 for host in (*rented, *own)), "each grid has half of a /24, and its first address is the gateway"


def test_every_node_stands_on_a_farm_and_has_room_beyond_the_grids_reserve() -> None:
    for node in NODES:
        assert node.farm in {farm.id for farm in FARMS}
        total = node_total(node.id)
        assert (total.cru, total.mru, total.sru) == (node.cru, node.mru, node.sru)
        assert total.mru > 2 * GIB and total.sru > 20 * GIB
    assert len({node.id for node in NODES}) == len(NODES)


class Interrupted:
    """A connection in which Ctrl-C comes at the end of one statement, which was carried out or not."""

    def __init__(self, db: sqlite3.Connection, statement: str, done: bool) -> None:
        self._db, self._statement, self._done = db, statement, done

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        if statement == self._statement:
            self._statement = ""
            if self._done:
                self._db.execute(statement)
            raise KeyboardInterrupt
        return self._db.execute(statement, *values)

    def __getattr__(self, name: str) -> object:
        return getattr(self._db, name)


@pytest.mark.parametrize(("statement", "done"), [("BEGIN IMMEDIATE", True), ("COMMIT", False)])
def test_an_interruption_at_either_end_of_a_transaction_leaves_none_open(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, statement: str, done: bool
) -> None:
    monkeypatch.setattr(ledger, "_db", Interrupted(ledger._db, statement, done))
    with pytest.raises(KeyboardInterrupt):
        contract(ledger)
    assert ledger.contracts() == []
    assert contract(ledger) == FIRST_CONTRACT
