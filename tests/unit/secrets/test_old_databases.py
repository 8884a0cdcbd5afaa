"""A database that was put back, lost, or left by version 1: what is accepted of it, and what only on demand."""

from __future__ import annotations

import pytest

from tests.unit.secrets.database import FIRST_KEY, VALUE, A, B, copy_of, damage, database, first_version, put_back, rows, tamper
from tfgrid_compose.errors import StateError
from tfgrid_compose.state import paths
from tfgrid_compose.state.store import Store
from tfgrid_compose.state.vault import Vault

# The whole database


def test_an_older_database_is_refused_until_it_is_accepted(store: Store) -> None:
    store.set_secret(A, "ssh", b"old")
    old = copy_of(store)
    store.set_secret(A, "ssh", VALUE)
    with put_back(store, old) as again:
        error = damage(again)
        assert (error.code, error.fix) == ("state-older", "tfgrid-compose state restore")
        with pytest.raises(StateError, match="older"):
            again.set_secret(A, "ssh", b"new")
        with pytest.raises(StateError, match="older"):
            again.app_secrets(A)
        assert "state-older" in {problem.code for problem in again.secret_problems()}
        assert again.accept_secrets() == []
        assert again.secret(A, "ssh") == b"old"
        again.set_secret(A, "ssh", b"new")
        assert again.secret_problems() == []


def test_what_was_there_before_a_restore_is_older_than_what_was_restored(store: Store) -> None:
    store.set_secret(A, "ssh", b"old")
    old = copy_of(store)
    store.set_secret(A, "ssh", VALUE)
    newer = copy_of(store)
    with put_back(store, old) as again:
        again.accept_secrets()
        with put_back(again, newer) as third:
            assert damage(third).code == "state-older"


def test_a_newer_database_than_the_anchor_is_a_crash_between_the_two(store: Store) -> None:
    store.set_secret(A, "ssh", b"old")
    before = (paths.state_dir() / "anchor").read_bytes()
    store.set_secret(A, "ssh", VALUE)
    (paths.state_dir() / "anchor").write_bytes(before)
    with Store() as again:
        assert again.secret(A, "ssh") == VALUE
        assert again.secret_problems() == []


@pytest.mark.parametrize("content", [None, b"", b"nonsense\n{}"])
def test_a_missing_anchor_locks_nobody_out_and_is_told_and_mended(store: Store, content: bytes | None) -> None:
    store.set_secret(A, "ssh", VALUE)
    path = paths.state_dir() / "anchor"
    path.unlink() if content is None else path.write_bytes(content)
    with Store() as again:
        assert again.secret(A, "ssh") == VALUE
        assert [problem.code for problem in again.secret_problems()] == ["anchor-missing"]
        again.accept_secrets()
        assert again.secret_problems() == []


def test_a_database_without_secrets_needs_neither_key_nor_anchor(store: Store) -> None:
    assert (store.secret(A, "ssh"), store.app_secrets(A), store.secret_problems(), store.accept_secrets()) == (None, {}, [], [])
    assert not (paths.state_dir() / "key").exists()
    assert not (paths.state_dir() / "anchor").exists()


def test_a_new_database_in_the_place_of_a_lost_one_is_accepted(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    store.close()
    database().unlink()
    with Store(fresh=True) as again:
        with pytest.raises(StateError, match="older"):
            again.set_secret(B, "ssh", b"new")
        again.accept_secrets(audit=(0, "none"))
        again.set_secret(B, "ssh", b"new")
        assert again.secret(B, "ssh") == b"new"


@pytest.mark.parametrize("root", [True, False])
def test_what_can_be_saved_is_saved_and_what_is_lost_is_named(store: Store, root: bool) -> None:
    store.set_secrets(A, {"ssh": VALUE, "tfstate": b"1"})
    store.set_secret(B, "ssh", b"b")
    tamper("UPDATE secrets SET value = zeroblob(60) WHERE deployment = ? AND name = 'tfstate'", A)
    if root:
        tamper("UPDATE seals SET seal = zeroblob(60) WHERE deployment = ''")
    with pytest.raises(StateError):
        store.accept_secrets()
    damage(store)
    assert store.accept_secrets(drop=True) == [f"{A} tfstate"]
    assert (store.secret(A, "ssh"), store.secret(A, "tfstate"), store.secret(B, "ssh")) == (VALUE, None, b"b")
    assert store.secret_problems() == []


def test_what_was_tampered_with_is_not_accepted_unless_with_loss(store: Store) -> None:
    store.set_secrets(A, {"ssh": VALUE, "tfstate": b"1"})
    tamper("DELETE FROM secrets WHERE name = 'tfstate'")
    with pytest.raises(StateError, match="not those that were written last"):
        store.accept_secrets()
    assert store.accept_secrets(drop=True) == []
    assert store.secret(A, "ssh") == VALUE


def test_nothing_is_dropped_for_want_of_the_right_key(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    kept = (paths.state_dir() / "key").read_bytes()
    (paths.state_dir() / "key").unlink()
    Vault().encrypt(b"x")
    with pytest.raises(StateError, match="another key"):
        store.accept_secrets(drop=True)
    (paths.state_dir() / "key").write_bytes(kept)
    assert store.secret(A, "ssh") == VALUE


# Version 1


def test_secrets_of_version_1_are_read_and_sealed_with_their_first_write() -> None:
    first_version()
    with Store() as store:
        assert (store.secret(A, "ssh"), store.secret(B, "ssh")) == (VALUE, VALUE)
        assert store.secret_problems() == []
        store.set_secret(A, "tfstate", b"1")
        assert (store.secret(A, "ssh"), store.secret(B, "ssh")) == (VALUE, VALUE)
        assert [(name, generation) for _, name, _, generation in rows()] == [("ssh", 0), ("tfstate", 1), ("ssh", 0)]
        tamper("UPDATE secrets SET value = zeroblob(60) WHERE name = 'ssh'")
        assert damage(store).why == "ssh was changed"
        assert damage(store, B).code == "secret-damaged"


def test_a_backup_of_version_1_under_another_key_is_not_accepted() -> None:
    first_version()
    (paths.state_dir() / "key").write_bytes(FIRST_KEY[::-1])
    with Store() as store:
        for drop in (False, True):
            with pytest.raises(StateError):
                store.accept_secrets(drop=drop)
        assert len(rows()) == 2


def test_the_same_value_written_again_leaves_version_1_behind() -> None:
    first_version()
    with Store() as store:
        store.set_secret(A, "ssh", VALUE)
        assert rows(f"WHERE deployment = '{A}'")[0][3] == 1
        assert store.secret(A, "ssh") == VALUE
