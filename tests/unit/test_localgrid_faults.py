"""Ordered faults: each is used as often as it was ordered, by whom it was ordered for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tfgrid_compose.localgrid import faults
from tfgrid_compose.localgrid.faults import Order
from tfgrid_compose.localgrid.ledger import Ledger

NOTHING = {
    "timeouts": 0, "dropped": 0, "no_capacity": 0, "refused": 0, "slow": 0, "times": 1, "apt_lock": 0, "drop_ssh": 0, "machines": 1,
}  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as found:
        yield found


def test_an_order_is_used_up(ledger: Ledger) -> None:
    faults.order(ledger, Order("timeouts", 2))
    assert [bool(faults.take(ledger, "timeouts", "vm_x")) for _ in range(3)] == [True, True, False]
    assert faults.take(ledger, "refused", "vm_x") is None
    assert faults.waiting(ledger) == []


def test_orders_are_for_the_workload_or_the_app_that_they_name(ledger: Ledger) -> None:
    faults.order(ledger, Order("slow", 1, 1.5, "my-app"))
    faults.order(ledger, Order("slow", 1, 2.5, "net_*"))
    assert faults.take(ledger, "slow", "vm_1", "other-app") is None
    assert [
        found.amount
        for found in (faults.take(ledger, "slow", "net_1", ""), faults.take(ledger, "slow", "vm_1", "my-app"))
        if found
    ] == [2.5, 1.5]


def test_two_processes_never_use_the_same_order(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        faults.order(ledger, Order("dropped", 10))

    def use(_: int) -> int:
        with Ledger(tmp_path / "ledger.db") as ledger:
            return sum(faults.take(ledger, "dropped", "x") is not None for _ in range(5))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(use, range(4))) == 10


def test_clearing_forgets_all(ledger: Ledger) -> None:
    faults.order(ledger, Order("refused", 5))
    faults.set_nodes_down(ledger, [4])
    assert faults.node_is_down(ledger, 4) and not faults.node_is_down(ledger, 5)
    faults.clear(ledger)
    assert faults.waiting(ledger) == []
    assert not faults.node_is_down(ledger, 4)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"timeouts": 2, "refused": 1}, [Order("timeouts", 2), Order("refused", 1)]),
        ({"no_capacity": 1, "dropped": 3}, [Order("dropped", 3), Order("no-capacity", 1)]),
        ({"slow": 0.5, "times": 3}, [Order("slow", 3, 0.5)]),
        ({"apt_lock": 30}, [Order("apt-lock", 1, 30)]),
        ({"apt_lock": 30, "drop_ssh": 2, "machines": 4}, [Order("apt-lock", 4, 30), Order("drop-ssh", 4, 2)]),
    ],
)
def test_the_commands_options_become_orders(options: dict[str, float], expected: list[Order]) -> None:
    assert faults.orders({**NOTHING, **options}) == expected


def test_a_new_machine_gets_a_program_that_removes_itself(ledger: Ledger, tmp_path: Path) -> None:
    faults.order(ledger, Order("apt-lock", 1, 7))
    faults.order(ledger, Order("drop-ssh", 1, 3))
    for number, expected in ((1, ["tfgrid-fault-apt-lock", "tfgrid-fault-drop-ssh"]), (2, [])):
        root = tmp_path / str(number)
        root.mkdir()
        faults.first_boot(ledger, "vm_1", "app")(root)
        scripts = sorted((root / "usr/local/sbin").glob("*"))
        assert [script.name for script in scripts] == expected
        for script in scripts:
            text = script.read_text()
            ast.parse(text)
            own = f"/etc/systemd/system/{script.name}.service"
            assert own in text and str(script).removeprefix(str(root)) in text, "it knows what to remove"
            assert (root / own.lstrip("/")).is_file()
            assert (root / "etc/systemd/system/multi-user.target.wants" / f"{script.name}.service").is_symlink()
