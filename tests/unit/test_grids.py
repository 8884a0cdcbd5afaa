"""The grids by name, and what the live grid does and honestly does not do yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfgrid_compose.errors import GridError, UsageError
from tfgrid_compose.grids.live import LiveGrid
from tfgrid_compose.grids.marks import app_of, deployment_of
from tfgrid_compose.grids.registry import NETWORKS, open_grid


@pytest.fixture(autouse=True)
def no_account(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TF_VAR_mnemonic", "MNEMONIC"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_opens_a_grid_of_its_name(network: str) -> None:
    grid = open_grid(network)
    assert grid.name == network
    assert grid.needs_root is (network == "local")


def test_an_unknown_network_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="there is no network `mian`") as caught:
        open_grid("mian")
    assert caught.value.why == "networks are local, main, test, qa, dev"


def test_without_an_account_the_live_grid_says_where_to_put_one(home: Path) -> None:
    with pytest.raises(GridError) as caught:
        LiveGrid("main").prepare(lambda _: None)
    assert caught.value.code == "account-missing"
    assert str(home / ".config" / "threefold" / "mnemonic") in caught.value.fix


def test_the_account_comes_from_the_environment_before_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = home / ".config" / "threefold" / "mnemonic"
    file.parent.mkdir(parents=True)
    file.write_text("from the file\n")
    grid = LiveGrid("test")
    grid.prepare(lambda _: None)
    for variable, wanted in (("", "from the file"), ("MNEMONIC", "from MNEMONIC"), ("TF_VAR_mnemonic", "from TF_VAR_mnemonic")):
        if variable:
            monkeypatch.setenv(variable, wanted)
        with grid.terraform(lambda _: None) as environment:
            assert environment == {"TF_VAR_mnemonic": wanted, "TF_VAR_tfgrid_network": "test"}


def test_what_the_live_grid_can_not_do_yet_it_refuses_with_a_way_out() -> None:
    grid = LiveGrid("main")
    with pytest.raises(GridError, match="can't be chosen automatically") as nodes:
        grid.nodes()
    with pytest.raises(GridError, match="can't be listed") as contracts:
        grid.contracts("abc")
    assert "--node" in nodes.value.fix
    with pytest.raises(GridError) as marked:
        grid.marked()
    assert contracts.value.code == marked.value.code == "contract-list-unsupported"


def test_the_live_grid_keeps_no_snapshots_and_leaves_strays_to_the_caller() -> None:
    grid = LiveGrid("main")
    assert (grid.can_snapshot, grid.adopts) == (False, False)
    for job in (
        lambda: grid.snapshot([1], "x"),
        lambda: grid.restore([1], "x"),
        lambda: grid.snapshots([1]),
        lambda: grid.forget_snapshot([1], "x"),
    ):
        with pytest.raises(GridError) as caught:
            job()
        assert caught.value.code == "snapshot-unsupported" and caught.value.fix


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("vm_0123456789abcdef", "0123456789abcdef"),
        ("net_0123456789abcdef", "0123456789abcdef"),
        ("worker_2_0123456789abcdef", "0123456789abcdef"),
        ("0123456789abcdef", "0123456789abcdef"),
        ("vm0123456789abcdef", ""),
        ("vm_0123456789abcde", ""),
        ("vm_0123456789ABCDEF", ""),
        ("vm_0123456789abcdef0", ""),
        ("vm_0123456789abcdef_2", ""),
        ("plain", ""),
        ("", ""),
    ],
)
def test_our_mark_is_an_id_at_the_end_of_a_name(name: str, id: str) -> None:
    assert deployment_of(name) == id


@pytest.mark.parametrize(("project", "app"), [("tfgrid-compose/my-app", "my-app"), ("vm/my-app", ""), ("Network", ""), ("", "")])
def test_the_apps_name_stands_in_our_own_projects_only(project: str, app: str) -> None:
    assert app_of(project) == app


def test_terraform_alone_judges_and_cancels_on_the_live_grid() -> None:
    grid = LiveGrid("main")
    grid.cancel([1])
    assert grid.alive([1]) is True
    assert grid.remains([1]) == []


def test_an_empty_account_file_is_no_account(home: Path) -> None:
    file = home / ".config" / "threefold" / "mnemonic"
    file.parent.mkdir(parents=True)
    file.write_text("\n")
    with pytest.raises(GridError):
        LiveGrid("main").prepare(lambda _: None)
