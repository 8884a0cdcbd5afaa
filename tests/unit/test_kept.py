"""Files of Terraform and the provider: in the folder while they run, encrypted with the deployment else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_plugins import block
from tfgrid_compose.deploy import kept
from tfgrid_compose.state import package, transfer
from tfgrid_compose.state.store import Store

SUBNETS = {"State": {"net_a": {"Subnets": {"7": "10.1.3.0/24"}}}}


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store() as found:
        yield found


def state(serial: int, *networks: dict[str, Any]) -> bytes:
    resources = [{"type": "grid_network", "instances": [{"attributes": item}]} for item in networks]
    return json.dumps({"version": 4, "serial": serial, "resources": resources}).encode()


def write(folder: Path, **files: bytes) -> None:
    names = {"state": "state.json", "lock": ".terraform.lock.hcl", "errored": "errored.tfstate"}
    for name, data in files.items():
        (folder / names[name]).write_bytes(data)


def test_what_a_run_left_is_stored_and_the_plain_files_go(store: Store, tmp_path: Path) -> None:
    write(tmp_path, state=json.dumps(SUBNETS).encode(), lock=block().encode(), errored=state(3))
    kept.take_in(store, "abc", tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []
    assert json.loads(store.secret("abc", kept.PROVIDER_STATE) or b"") == SUBNETS
    assert store.secret("abc", kept.PROVIDER_LOCK) == block().encode()
    assert store.secret("abc", kept.STATE) == state(3)


def test_the_next_run_finds_what_it_needs_and_no_more(store: Store, tmp_path: Path) -> None:
    write(tmp_path, state=json.dumps(SUBNETS).encode(), lock=block().encode(), errored=state(3))
    kept.take_in(store, "abc", tmp_path)
    kept.put_back(store, "abc", tmp_path)
    assert json.loads((tmp_path / "state.json").read_bytes()) == SUBNETS
    assert (tmp_path / ".terraform.lock.hcl").read_text() == block()
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "errored.tfstate").exists()
    kept.clear(tmp_path)
    assert not (tmp_path / "state.json").exists()
    kept.put_back(store, "other", tmp_path)
    assert not (tmp_path / "state.json").exists()


@pytest.mark.parametrize("torn", [b"", b'{"State": {"net', b"[]", b"{}", b'{"State": {}}', b"\xff"])
def test_a_file_that_was_cut_off_does_not_replace_a_whole_one(store: Store, tmp_path: Path, torn: bytes) -> None:
    write(tmp_path, state=json.dumps(SUBNETS).encode(), lock=block().encode())
    kept.take_in(store, "abc", tmp_path)
    write(tmp_path, state=torn, lock=torn, errored=torn)
    kept.take_in(store, "abc", tmp_path)
    assert json.loads(store.secret("abc", kept.PROVIDER_STATE) or b"") == SUBNETS
    assert store.secret("abc", kept.PROVIDER_LOCK) == block().encode()
    assert store.secret("abc", kept.STATE) is None


def test_a_state_that_is_older_than_what_is_stored_is_dropped(store: Store, tmp_path: Path) -> None:
    store.set_secret("abc", kept.STATE, state(5))
    write(tmp_path, errored=state(4))
    kept.take_in(store, "abc", tmp_path)
    assert store.secret("abc", kept.STATE) == state(5)


def test_networks_that_the_provider_forgot_are_added_from_terraforms_state(store: Store, tmp_path: Path) -> None:
    made = {"name": "net_b", "nodes_ip_range": {"9": "10.2.3.0/24"}}
    store.set_secret("abc", kept.STATE, state(1, made, {"name": "net_a", "nodes_ip_range": {"7": "10.9.9.0/24"}}))
    write(tmp_path, state=json.dumps({**SUBNETS, "more": 1}).encode())
    kept.complete_provider_state(store, "abc", tmp_path)
    found = json.loads((tmp_path / "state.json").read_bytes())
    assert found == {"State": {**SUBNETS["State"], "net_b": {"Subnets": {"9": "10.2.3.0/24"}}}, "more": 1}


@pytest.mark.parametrize("broken", [None, b"{", b"[]", state(1, {"name": "n", "nodes_ip_range": None}), state(1)])
def test_a_state_without_networks_makes_no_file(store: Store, tmp_path: Path, broken: bytes | None) -> None:
    if broken is not None:
        store.set_secret("abc", kept.STATE, broken)
    kept.complete_provider_state(store, "abc", tmp_path)
    assert not (tmp_path / "state.json").exists()


def test_a_lost_file_is_made_again(store: Store, tmp_path: Path) -> None:
    store.set_secret("abc", kept.STATE, state(1, {"name": "net_a", "nodes_ip_range": {"7": "10.1.3.0/24"}}))
    (tmp_path / "state.json").write_text("{")
    kept.complete_provider_state(store, "abc", tmp_path)
    assert json.loads((tmp_path / "state.json").read_bytes()) == SUBNETS


def test_an_export_carries_what_is_kept(store: Store, tmp_path: Path) -> None:
    write(tmp_path, state=json.dumps(SUBNETS).encode(), lock=block().encode())
    kept.take_in(store, "abc", tmp_path)
    found = package.opened(transfer.export(store, "a passphrase"), "a passphrase").secrets
    assert {(owner, name) for owner, name, _ in found} == {("abc", kept.PROVIDER_STATE), ("abc", kept.PROVIDER_LOCK)}
    assert block().encode() not in store.path.read_bytes(), "encrypted like all that is kept"
