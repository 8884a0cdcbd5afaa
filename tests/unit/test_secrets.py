"""Secrets in the database: what was removed, exchanged or put back shows; a rotation survives a kill at any point."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.sentinel import find, scan
from tfgrid_compose.cli import main as entry
from tfgrid_compose.errors import BusyError, StateError
from tfgrid_compose.state import anchor, backups, keys, lease, paths, rotation, sealed
from tfgrid_compose.state.secrets import Secrets, folder_owner
from tfgrid_compose.state.store import Deployment, Store
from tfgrid_compose.state.vault import Vault

A, B = "a" * 16, "b" * 16
VALUE = b"hunter2-hunter2-hunter2"


@pytest.fixture(autouse=True)
def own_home(home: Path) -> Path:
    return home


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store() as found:
        for id in (A, B):
            found.save(Deployment(id, f"app-{id[0]}", "local", "running", 1.0, 1.0, {}))
        yield found


def database() -> Path:
    return paths.state_dir() / "state.db"


def tamper(statement: str, *values: object) -> None:
    """Change the database as somebody would who has no key."""
    db = sqlite3.connect(database())
    with db:
        db.execute(statement, values)
    db.close()


def rows(where: str = "") -> list[tuple[str, str, bytes, int]]:
    db = sqlite3.connect(database())
    found = db.execute(f"SELECT * FROM secrets {where} ORDER BY deployment, name").fetchall()
    db.close()
    return found


def damage(store: Store, owner: str = A, name: str = "ssh") -> StateError:
    with pytest.raises(StateError) as caught:
        store.secret(owner, name)
    assert VALUE.decode() not in str(caught.value.to_dict())
    return caught.value


# What is kept


def test_values_are_kept_changed_and_forgotten(store: Store) -> None:
    assert store.secret(A, "ssh") is None
    store.set_secret(A, "ssh", VALUE)
    store.set_secret(A, "tfstate", b"")
    store.set_secret(B, "ssh", b"other")
    with Store() as other:
        assert (other.secret(A, "ssh"), other.secret(A, "tfstate"), other.secret(B, "ssh")) == (VALUE, b"", b"other")
        other.set_secret(A, "ssh", b"new")
        other.set_secret(A, "tfstate", None)
    assert (store.secret(A, "ssh"), store.secret(A, "tfstate"), store.secret(B, "ssh")) == (b"new", None, b"other")
    store.set_secret(A, "ssh", None)
    assert store.secret(A, "ssh") is None
    assert store.secret_problems() == []


def test_nothing_of_a_value_is_in_any_file(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    store.set_app_secret(A, "TOKEN", "another-sentinel-value")
    store.set_app_secret(folder_owner(Path("/app")), "TOKEN", "third-sentinel-value")
    backups.save(store.path, "test")
    assert scan([paths.state_dir()], [VALUE, b"another-sentinel-value", b"third-sentinel-value"]) == []
    assert len(list(paths.state_dir().rglob("*"))) > 5


def test_every_write_has_a_generation_of_its_own_and_the_same_value_is_not_written_again(store: Store) -> None:
    store.set_secrets(A, {"ssh": VALUE, "tfstate": b"1"})
    store.set_secret(A, "tfstate", b"2")
    before = rows()
    assert [(name, generation) for _, name, _, generation in before] == [("ssh", 1), ("tfstate", 2)]
    store.set_secret(A, "tfstate", b"2")
    store.set_secret(A, "missing", None)
    assert rows() == before


def test_a_rolled_back_transaction_keeps_the_old_values_and_the_anchor_behind(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    with pytest.raises(KeyboardInterrupt), store.write() as db:
        store.change_secrets(A, {"ssh": b"new"})
        assert db.execute("SELECT max(generation) FROM secrets").fetchone()[0] == 2
        raise KeyboardInterrupt
    assert store.secret(A, "ssh") == VALUE
    assert (anchor.read(store.vault) or anchor.Anchor()).generation == 1
    store.set_secret(A, "ssh", b"new")
    with Store() as again:
        assert again.secret(A, "ssh") == b"new"


def test_many_threads_never_see_a_change_without_its_seal(store: Store) -> None:
    import threading

    store.set_secret(A, "ssh", b"0")
    failures: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                assert store.secret(A, "ssh") is not None
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(60):
        store.set_secret(A, "ssh", str(number).encode())
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_processes_that_write_at_once_all_succeed(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    code = (
        "import sys; from tfgrid_compose.state.store import Store\n"
        "with Store() as store:\n"
        f" for number in range(10): store.set_secret({A!r}, sys.argv[1], str(number).encode()); store.secret({A!r}, 'ssh')\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, f"name-{number}"]) for number in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert [store.secret(A, f"name-{number}") for number in range(3)] == [b"9"] * 3
    assert store.secret_problems() == []
    assert (anchor.read(store.vault) or anchor.Anchor()).generation == 31


# What was tampered with


def test_a_value_that_was_removed_is_named(store: Store) -> None:
    store.set_secrets(A, {"ssh": VALUE, "tfstate": b"1"})
    tamper("DELETE FROM secrets WHERE name = 'ssh'")
    error = damage(store, name="tfstate")
    assert (error.code, error.why) == ("secret-damaged", "ssh was removed")
    assert "state restore" in error.fix


def test_an_older_value_is_named_even_with_its_own_seal(store: Store) -> None:
    store.set_secret(A, "ssh", b"old")
    old, seal = rows()[0], store._rows("SELECT * FROM seals WHERE deployment = ?", (A,))[0]["seal"]
    store.set_secret(A, "ssh", VALUE)
    tamper("UPDATE secrets SET value = ?, generation = ?", old[2], old[3])
    assert damage(store).why == "ssh was replaced by an older one"
    tamper("UPDATE seals SET seal = ? WHERE deployment = ?", seal, A)
    assert "replaced by an older one" in damage(store).why


def test_a_whole_deployment_put_back_is_noticed(store: Store) -> None:
    store.set_secret(A, "ssh", b"old")
    old = store._rows("SELECT * FROM secrets"), store._rows("SELECT * FROM seals")
    store.set_secret(A, "ssh", VALUE)
    for row in old[0]:
        tamper("INSERT OR REPLACE INTO secrets VALUES (?, ?, ?, ?)", *row)
    for row in old[1]:
        tamper("INSERT OR REPLACE INTO seals VALUES (?, ?)", *row)
    with Store() as again:
        assert damage(again).code == "state-older"


@pytest.mark.parametrize(
    ("statement", "noticed"),
    [
        ("UPDATE secrets SET generation = 7 WHERE name = 'ssh'", "ssh was changed"),
        ("UPDATE secrets SET generation = 0 WHERE name = 'ssh'", "ssh was replaced by an older one"),
        ("UPDATE secrets SET value = zeroblob(60) WHERE name = 'ssh'", "ssh was changed"),
        ("UPDATE secrets SET value = 'text' WHERE name = 'ssh'", "ssh is not stored as it was written"),
        ("UPDATE secrets SET generation = 'x' WHERE name = 'ssh'", "ssh is not stored as it was written"),
        ("INSERT INTO secrets SELECT deployment, 'extra', value, generation FROM secrets WHERE name = 'ssh'", "extra was added"),
        ("UPDATE secrets SET name = CASE name WHEN 'ssh' THEN 'x' ELSE 'ssh' END", "ssh was changed; tfstate was removed; x was added"),
        (f"DELETE FROM seals WHERE deployment = '{A}'", "their seal was removed"),
        (f"UPDATE seals SET seal = '{{}}' WHERE deployment = '{A}'", "not stored as it was written"),
        (f"UPDATE seals SET seal = cast('{{}}' AS BLOB) WHERE deployment = '{A}'", "their seal was removed, changed"),
        ("UPDATE seals SET seal = substr(seal, 1, 60) WHERE deployment = ''", "the list that seals all of them was changed"),
        ("UPDATE seals SET seal = zeroblob(3) WHERE deployment = ''", "the list that seals all of them was changed"),
        ("DELETE FROM secrets", "all of them were removed"),
    ],
)  # fmt: skip
def test_every_change_without_the_key_is_noticed(store: Store, statement: str, noticed: str) -> None:
    store.set_secrets(A, {"ssh": VALUE, "tfstate": b"1"})
    tamper(statement)
    if statement == "DELETE FROM secrets":
        tamper("DELETE FROM seals WHERE deployment != ''")
    error = damage(store)
    assert error.code == "secret-damaged"
    assert noticed in error.why
    assert store.secret_problems()
    with pytest.raises(StateError):
        store.set_secret(A, "tfstate", b"2")


def test_a_seal_that_is_gone_altogether_is_noticed_without_the_anchor_too(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    tamper("DELETE FROM seals")
    (paths.state_dir() / "anchor").unlink()
    with Store() as again:
        assert damage(again).why == "no seal covers ssh"


def test_damage_of_one_deployment_leaves_the_others_readable(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    store.set_secret(B, "ssh", b"fine")
    tamper("DELETE FROM secrets WHERE deployment = ?", A)
    damage(store)
    assert store.secret(B, "ssh") == b"fine"
    store.set_secret(B, "ssh", b"still fine")
    assert damage(store).why == "ssh was removed", "a write elsewhere seals nothing that was tampered with"


def test_a_secret_moved_to_another_deployment_is_refused(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    tamper("UPDATE secrets SET deployment = ?", B)
    for owner in (A, B):
        assert damage(store, owner).code == "secret-damaged"


def test_a_deployment_that_is_forgotten_is_no_damage(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    store.set_secret(B, "ssh", VALUE)
    store.forget(A)
    assert store.secret(A, "ssh") is None
    assert store.secret(B, "ssh") == VALUE
    store.set_secret(B, "ssh", b"new")
    assert store.secret_problems() == []
    assert sealed.read(store._db, store.vault, B).root.seals.keys() == {B}


def test_values_of_a_folder_that_vanish_are_damage(store: Store) -> None:
    owner = folder_owner(Path("/app"))
    store.set_app_secret(owner, "TOKEN", "x")
    store.set_secret(B, "ssh", VALUE)
    tamper("DELETE FROM secrets WHERE deployment = ?", owner)
    tamper("DELETE FROM seals WHERE deployment = ?", owner)
    store.set_secret(B, "ssh", b"new")
    assert damage(store, owner, "app-secrets").why == "all of them were removed"


# The key


def test_a_lost_key_is_an_error_and_never_replaced(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    (paths.state_dir() / "key").unlink()
    for use in (
        lambda: store.secret(A, "ssh"), lambda: store.set_secret(B, "ssh", b"x"), lambda: store.vault.fingerprint(b"x"),
        lambda: rotation.rotate(store),
    ):  # fmt: skip
        with pytest.raises(StateError) as caught:
            use()
        assert caught.value.code == "key-missing"
    assert [problem.code for problem in store.secret_problems()] == ["key-missing"]
    assert not (paths.state_dir() / "key").exists()


def test_another_key_is_told_from_damage(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    (paths.state_dir() / "key").unlink()
    other = Vault()
    other.encrypt(b"x")
    assert damage(store).code == "key-wrong"
    assert {problem.code for problem in store.secret_problems()} == {"anchor-missing", "key-wrong"}


# The whole database


def copy_of(store: Store) -> bytes:
    return backups.consistent_copy(store.path)


def put_back(store: Store, content: bytes) -> Store:
    store.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{database()}{suffix}").unlink(missing_ok=True)
    database().write_bytes(content)
    return Store()


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

FIRST = """
CREATE TABLE deployments (id TEXT PRIMARY KEY, name TEXT NOT NULL, network TEXT NOT NULL, status TEXT NOT NULL,
    created REAL NOT NULL, updated REAL NOT NULL, data TEXT NOT NULL, UNIQUE (name, network));
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, deployment TEXT NOT NULL, kind TEXT NOT NULL,
    started REAL NOT NULL, ended REAL, outcome TEXT, pid INTEGER NOT NULL, error TEXT);
CREATE INDEX runs_of ON runs (deployment, id);
CREATE TABLE steps (run INTEGER NOT NULL, name TEXT NOT NULL, inputs TEXT NOT NULL, started REAL NOT NULL, ended REAL,
    outcome TEXT, note TEXT, PRIMARY KEY (run, name));
CREATE TABLE done (deployment TEXT NOT NULL, step TEXT NOT NULL, inputs TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (deployment, step));
CREATE TABLE releases (id TEXT PRIMARY KEY, deployment TEXT NOT NULL, created REAL NOT NULL, status TEXT NOT NULL,
    data TEXT NOT NULL);
CREATE TABLE secrets (deployment TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (deployment, name));
CREATE TABLE durations (step TEXT NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL);
PRAGMA user_version = 1;
"""
FIRST_KEY = bytes(range(32))


def first_version() -> None:
    """A database and a key as version 1 left them, with one secret for each of two deployments."""
    paths.private_file(paths.state_dir() / "key", FIRST_KEY)
    paths.private_file(database(), b"")
    db = sqlite3.connect(database())
    db.executescript(FIRST)
    for id in (A, B):
        db.execute("INSERT INTO deployments VALUES (?, ?, 'local', 'running', 1, 1, '{}')", (id, f"app-{id[0]}"))
        value = b"n" * 12 + AESGCM(FIRST_KEY).encrypt(b"n" * 12, VALUE, f"{id}\0ssh".encode())
        db.execute("INSERT INTO secrets VALUES (?, 'ssh', ?)", (id, value))
    db.commit()
    db.close()


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


# Rotation


def everything(store: Store) -> dict[str, bytes | None]:
    return {f"{owner}/{name}": store.secret(owner, name) for owner, name, _, _ in rows()}


def old_ids(old: keys.Keys) -> list[Path]:
    """Files in which something is still encrypted with an old key."""
    found = []
    for path in paths.state_dir().rglob("*"):
        if path.is_file() and any(b"tfg2" + keys.key_id(key) in path.read_bytes() for key in old.ring):
            found.append(path)
    return found


def good_backups(vault: Vault) -> int:
    assert list(rotation.unusable_backups(vault)) == []
    assert {item.condition() for item in backups.listed()} == {"good"}
    return len(backups.listed())


def test_a_rotation_replaces_the_key_everywhere_and_changes_nothing_else(store: Store) -> None:
    store.set_secrets(A, {"ssh": VALUE, "tfstate": b"1" * 9000})
    store.set_app_secret(B, "TOKEN", "value")
    backups.save(store.path, "one")
    store.set_secret(A, "tfstate", b"2")
    before, old, fingerprint = everything(store), store.vault.keys(), store.vault.fingerprint(b"x")
    done = rotation.rotate(store)
    assert (done.secrets, done.backups, done.damaged) == (3, 2, [])
    assert everything(store) == before
    assert store.vault.fingerprint(b"x") == fingerprint
    assert (store.vault.keys().rotating, store.vault.keys().active == old.active) == (False, False)
    assert old_ids(old) == []
    assert good_backups(store.vault) == 2
    assert store.secret_problems() == []
    with Store() as again:
        assert everything(again) == before
        again.set_secret(A, "tfstate", b"3")
        assert again.secret_problems() == []


def test_nothing_that_the_old_key_encrypted_is_left_in_unused_pages(store: Store) -> None:
    # Distributions differ in whether their SQLite clears what it no longer uses.
    store._db.execute("PRAGMA secure_delete = OFF")
    for number in range(40):
        store.set_secret(A, f"gone-{number}", os.urandom(3000))
    backups.save(store.path, "full")
    for number in range(40):
        store.set_secret(A, f"gone-{number}", None)
    backups.save(store.path, "deleted")
    old = store.vault.keys()
    assert len(old_ids(old)) >= 3
    rotation.rotate(store)
    assert old_ids(old) == []
    assert good_backups(store.vault) == 3


def test_a_rotation_that_was_cut_off_goes_on_with_the_key_that_it_had_made(store: Store) -> None:
    store.set_secrets(A, {"ssh": VALUE, "tfstate": b"1"})
    store.vault.file.write(store.vault.keys().begun())
    begun = store.vault.keys()
    kept = rows()
    tamper("DELETE FROM secrets WHERE name = 'tfstate'")
    with pytest.raises(StateError, match="not those that were written last"):
        rotation.rotate(store)
    assert store.vault.keys() == begun, "what was tampered with gets no new seal now either"
    tamper("INSERT INTO secrets VALUES (?, ?, ?, ?)", *kept[1])
    rotation.rotate(store)
    assert store.vault.keys().ring == (begun.active,)
    assert len(backups.listed()) == 0, "the backup was made before the first attempt"


def test_a_rotated_backup_is_restored_like_any_other(store: Store) -> None:
    from tfgrid_compose.state.restore import restore

    store.set_secret(A, "ssh", VALUE)
    made = backups.save(store.path, "one")
    store.set_secret(A, "ssh", b"newer")
    rotation.rotate(store)
    store.close()
    try:
        restore(next(item for item in backups.listed() if item.name == made.name))
    except StateError as error:
        assert error.code == "state-older"
    with Store() as again:
        again.accept_secrets()
        assert again.secret(A, "ssh") == VALUE


def test_a_rotation_leaves_version_1_behind_in_the_database_and_keeps_its_backups_restorable() -> None:
    first_version()
    with Store() as store:
        assert [item.reason for item in backups.listed()] == ["schema-1"]
        fingerprint = store.vault.fingerprint(b"x")
        assert rotation.rotate(store).backups == 2
        assert [row[3] for row in rows()] == [1, 1]
        assert (store.secret(A, "ssh"), store.vault.fingerprint(b"x")) == (VALUE, fingerprint)
        assert good_backups(store.vault) == 2
        first = backups.listed()[-1]
    content = first.content()
    assert content is not None
    (paths.state_dir() / "anchor").unlink()
    with put_back(store, content) as again:
        assert again.secret(B, "ssh") == VALUE


def test_backups_that_nobody_can_read_are_named_and_left_alone(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    damaged, foreign = backups.save(store.path, "damaged"), backups.save(store.path, "foreign")
    with damaged.path.open("ab") as file:
        file.write(b"more")
    kept = (paths.state_dir() / "key").read_bytes()
    db = sqlite3.connect(foreign.path)
    with db:
        (paths.state_dir() / "key").unlink()
        other = Vault()
        db.execute("UPDATE seals SET seal = ? WHERE deployment = ''", (other.code("seals", b"{}") + b"{}",))
    db.close()
    (paths.state_dir() / "key").write_bytes(kept)
    import hashlib

    foreign.path.with_suffix(".sha256").write_text(hashlib.sha256(foreign.path.read_bytes()).hexdigest())
    assert [name for name, _ in rotation.unusable_backups(store.vault)] == [foreign.name]
    done = rotation.rotate(store)
    assert sorted(done.damaged) == sorted([damaged.name, foreign.name])
    assert done.backups == 1
    assert store.secret(A, "ssh") == VALUE


def test_a_backup_of_a_newer_program_stops_the_rotation_before_its_key_is_gone(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    newer = backups.save(store.path, "newer")
    import hashlib

    db = sqlite3.connect(newer.path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    newer.path.with_suffix(".sha256").write_text(hashlib.sha256(newer.path.read_bytes()).hexdigest())
    old = store.vault.keys()
    with pytest.raises(StateError, match="can't get the new key"):
        rotation.rotate(store)
    assert old.active in store.vault.keys().ring
    assert store.secret(A, "ssh") == VALUE
    assert [problem.code for problem in store.secret_problems()] == ["rotation-unfinished"]
    backups.forget(newer)
    rotation.rotate(store)
    assert store.secret_problems() == []


def test_nothing_that_was_tampered_with_gets_a_new_seal(store: Store) -> None:
    store.set_secrets(A, {"ssh": VALUE, "tfstate": b"1"})
    tamper("DELETE FROM secrets WHERE name = 'ssh'")
    old = store.vault.keys()
    with pytest.raises(StateError) as caught:
        rotation.rotate(store)
    assert caught.value.code == "secret-damaged"
    assert store.vault.keys() == old


def test_a_rotation_waits_for_runs_and_for_another_one(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    old = store.vault.keys()
    for name in ("local--app-a", "secrets"):
        with lease.hold(name), pytest.raises(BusyError) as caught:
            rotation.rotate(store)
        assert "has to wait" in caught.value.what
    assert store.vault.keys() == old


def test_a_process_that_writes_while_the_key_is_rotated_loses_nothing(store: Store) -> None:
    store.set_secret(A, "ssh", VALUE)
    code = (
        "import time; from tfgrid_compose.state.store import Store\n"
        "with Store() as store:\n"
        " end = time.monotonic() + 30\n"
        " number = 0\n"
        f" while store.secret({B!r}, 'stop') is None and time.monotonic() < end:\n"
        f"  number += 1; store.set_secret({A!r}, 'counter', str(number).encode())\n"
        f"  assert store.secret({A!r}, 'counter') == str(number).encode()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 30
        for _ in range(3):
            seen = store.secret(A, "counter")
            while store.secret(A, "counter") == seen and time.monotonic() < deadline:
                pass
            rotation.rotate(store)
    finally:
        store.set_secret(B, "stop", b"yes")
        assert child.wait(60) == 0
    assert store.secret_problems() == []
    assert good_backups(store.vault) == 3


# A kill at each write of a rotation

_WRITES = {"os.rename", "os.link", "os.remove", "os.truncate", "os.chmod"}
_STATEMENTS = ("BEGIN", "COMMIT", "VACUUM", "PRAGMA wal_checkpoint")


def rotate_and_die(number: int) -> bool:
    """Rotate in a child that is killed just before its n-th write; whether it had so many."""
    child = os.fork()
    if child == 0:
        left = [number]

        def write() -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def audit(event: str, arguments: tuple[object, ...]) -> None:
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if writes or event in _WRITES:
                write()

        code = 1
        try:
            store = Store()
            sys.addaudithook(audit)
            store._db.set_trace_callback(lambda text: write() if text.startswith(_STATEMENTS) else None)
            rotation.rotate(store)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def test_a_rotation_that_is_killed_at_any_write_loses_nothing_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_version()
    with Store() as store:
        store.set_secrets(A, {"ssh": b"new", "tfstate": b"x" * 5000})
        backups.save(store.path, "one")
        store.set_app_secret(B, "TOKEN", "value")
        expected, old, fingerprint = everything(store), store.vault.keys(), store.vault.fingerprint(b"x")
    template = paths.state_dir()
    killed = 0
    while True:
        home = tmp_path / f"state-{killed}"
        shutil.copytree(template, home / "tfgrid-compose")
        monkeypatch.setenv("XDG_STATE_HOME", str(home))
        alive = rotate_and_die(killed)
        with Store() as store:
            assert everything(store) == expected, killed
            assert store.vault.fingerprint(b"x") == fingerprint
            codes = {problem.code for problem in store.secret_problems()}
            assert codes <= {"rotation-unfinished"}, killed
            assert bool(codes) == store.vault.keys().rotating
            assert {"good"} >= {item.condition() for item in backups.listed() if not staged(item)}, killed
            if alive:
                rotation.rotate(store)
            assert everything(store) == expected, killed
            assert not store.vault.keys().rotating
            assert store.vault.keys().active not in old.ring
            assert store.secret_problems() == [], killed
            assert 3 <= good_backups(store.vault) <= 5, killed
        assert old_ids(old) == [], killed
        assert [path.name for path in paths.state_dir().rglob(".rotated-*")] == []
        shutil.rmtree(home)
        if not alive:
            break
        killed += 1
    assert killed > 30, "so many writes a rotation has at least; fewer would mean that they are not counted"


def staged(backup: backups.Backup) -> bool:
    """Between digest and content: the next rotation mends it."""
    return backup.path.with_name(f".rotated-{backup.name}").exists()


# Values for apps


def test_values_for_apps_are_kept_by_owner_with_their_time(store: Store) -> None:
    folder = folder_owner(Path("/app"))
    before = time.time()
    store.set_app_secret(A, "TOKEN", "one")
    store.set_app_secret(A, "OTHER", "two")
    store.set_app_secret(folder, "TOKEN", "three")
    assert store.app_secrets(A) == {"TOKEN": "one", "OTHER": "two"}
    assert store.app_secrets(folder) == {"TOKEN": "three"}
    assert store.app_secrets(B) == {}
    assert before <= store.app_secrets_changed(A)["TOKEN"] <= time.time()
    store.set_app_secret(A, "TOKEN", None)
    store.set_app_secret(A, "OTHER", None)
    assert (store.app_secrets(A), store.secret(A, "app-secrets")) == ({}, None)


def test_forgetting_a_value_forgets_that_the_last_up_was_given_it(store: Store) -> None:
    store.set_secret(A, "environment", json.dumps({"TOKEN": "one", "OTHER": "two"}).encode())
    store.set_app_secret(A, "TOKEN", "one")
    store.set_app_secret(A, "TOKEN", None)
    assert json.loads(store.secret(A, "environment") or b"") == {"OTHER": "two"}


# The commands

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def app(app_folder: Path) -> Path:
    (app_folder / "tfgrid-compose.yaml").write_text(
        "name: my-app\nenvironment:\n  - name: API_TOKEN\n    secret: true\n  - name: DB_PASSWORD\n    secret: true\n  - name: GREETING\n"
    )
    return app_folder


@pytest.fixture
def call(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Run the command line in this process, with standard input: (exit code, standard output, standard error)."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.delenv("TFGRID_PASSPHRASE_FILE", raising=False)

    def run(*words: str, given: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tfgrid-compose", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        with pytest.raises(SystemExit) as ended:
            entry.main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return int(ended.value.code or 0), out, err

    return run


def deploy(folder: Path, id: str = A) -> None:
    with Store() as store:
        store.save(Deployment(id, "my-app", "local", "running", 1.0, 1.0, {"app_dir": str(folder)}))


def test_a_value_comes_from_standard_input_or_a_file_and_is_never_shown(call: Call, app: Path, tmp_path: Path) -> None:
    code, out, err = call("secrets", "set", str(app), "API_TOKEN", given=VALUE + b"\n")
    assert (code, err) == (0, "")
    assert out == f"API_TOKEN of my-app is set. `tfgrid-compose up {app}` brings it to the machine.\n"
    (tmp_path / "value").write_bytes(b"line 1\nline 2\r\n")
    assert call("secrets", "set", str(app), "DB_PASSWORD", "--from-file", str(tmp_path / "value"))[0] == 0
    with Store() as store:
        assert store.app_secrets(folder_owner(app)) == {"API_TOKEN": VALUE.decode(), "DB_PASSWORD": "line 1\nline 2"}
        entry = store.audit_entries(limit=1)[0]
    assert (entry.facts["action"], entry.facts["detail"], entry.facts["outcome"]) == (
        "secrets set",
        "variable DB_PASSWORD",
        "succeeded",
    )
    code, out, err = call("secrets", "list", str(app))
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["NAME", "FROM"],
        ["API_TOKEN", "folder"],
        ["DB_PASSWORD", "folder"],
    ]
    assert find((out + err).encode(), [VALUE]) == []
    assert scan([paths.state_dir()], [VALUE]) == []


def test_in_the_app_folder_its_name_is_not_needed_whatever_else_is_deployed(
    call: Call, app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store() as store:
        store.save(Deployment(B, "other", "local", "running", 1.0, 1.0, {"app_dir": "/other"}))
    monkeypatch.chdir(app)
    assert call("secrets", "set", "API_TOKEN", given=b"one")[1] == (
        "API_TOKEN of my-app is set. `tfgrid-compose up` brings it to the machine.\n"
    )
    with Store() as store:
        assert (store.app_secrets(folder_owner(app)), store.app_secrets(B)) == ({"API_TOKEN": "one"}, {})


def test_a_deployment_has_values_of_its_own_before_those_of_its_folder(call: Call, app: Path) -> None:
    call("secrets", "set", str(app), "API_TOKEN", given=b"of the folder")
    deploy(app)
    with Store() as store:
        store.set_secret(A, "environment", json.dumps({"DB_PASSWORD": "remembered", "GREETING": "hello"}).encode())
    assert call("secrets", "set", "my-app", "API_TOKEN", given=b"of the deployment")[0] == 0
    code, out, _ = call("secrets", "list", "my-app", "--json")
    facts = json.loads(out)
    assert [(item["name"], item["from"]) for item in facts] == [("API_TOKEN", "deployment"), ("DB_PASSWORD", "last-up")]
    assert facts[1]["changed"] is None and time.time() - facts[0]["changed"] < 60
    code, out, err = call("secrets", "unset", A[:6], "API_TOKEN")
    assert (code, "is forgotten" in out, "value of the app folder stays" in err) == (0, True, True)
    assert json.loads(call("secrets", "list", "my-app", "--json")[1])[0]["from"] == "folder"
    assert call("secrets", "unset", "my-app", "API_TOKEN")[0] == 0
    assert call("secrets", "unset", "my-app", "DB_PASSWORD")[0] == 0, "what is remembered can be forgotten too"
    facts = json.loads(call("secrets", "list", "my-app", "--json")[1])
    assert [(item["name"], item["from"]) for item in facts] == [("API_TOKEN", ""), ("DB_PASSWORD", "")]
    code, _, err = call("secrets", "unset", "my-app", "API_TOKN")
    assert (code, "API_TOKN of my-app is not set" in err) == (5, True)


def test_a_name_that_the_manifest_does_not_have_is_refused_with_the_nearest_one(call: Call, app: Path) -> None:
    code, _, err = call("secrets", "set", str(app), "API_TOKE", given=VALUE)
    assert (code, "did you mean `API_TOKEN`?" in err, VALUE.decode() in err) == (2, True, False)
    deploy(app)
    shutil.rmtree(app)
    code, out, _ = call("secrets", "set", "my-app", "ANYTHING", given=b"value")
    assert (code, "ANYTHING of my-app is set" in out) == (0, True), "without its folder nobody knows the names"


def test_a_variable_that_is_not_marked_as_secret_is_taken_with_a_word(call: Call, app: Path) -> None:
    code, _, err = call("secrets", "set", str(app), "GREETING", given=b"hello")
    assert (code, "secret: true" in err) == (0, True)


SPOKEN = "s3cret-on-the-command-line"


@pytest.mark.parametrize(
    "words",
    [["API_TOKEN=" + SPOKEN], ["{app}", "API_TOKEN=" + SPOKEN], ["API_TOKEN=" + SPOKEN, "API_TOKEN"], ["{app}", "API_TOKEN", SPOKEN],
     ["{app}", "API_TOKEN", "--" + SPOKEN], ["{app}", "API_TOKEN", "--value=" + SPOKEN], ["{app}", "API_TOKEN", "-" + SPOKEN],
     ["{app}", SPOKEN], [SPOKEN], ["{app}", "API_TOKEN", "--from-file"]],
)  # fmt: skip
@pytest.mark.parametrize("command", ["set", "unset"])
def test_a_value_on_the_command_line_is_refused_and_not_repeated(call: Call, app: Path, words: list[str], command: str) -> None:
    code, out, err = call("secrets", command, *(word.format(app=app) for word in words))
    assert (code, out) == (2, "")
    assert SPOKEN not in err
    assert "takes" in err or "take APP and NAME" in err
    assert scan([paths.state_dir()], [SPOKEN.encode()]) == []


@pytest.mark.parametrize(
    ("given", "why"),
    [(b"", "is empty"), (b"\n", "is empty"), (b"\xff\xfe", "UTF-8"), (b"a\0b", "zero byte"), (b"x" * 200_000, "100 KB")],
)  # fmt: skip
def test_a_value_that_no_environment_takes_is_refused(call: Call, app: Path, given: bytes, why: str) -> None:
    code, _, err = call("secrets", "set", str(app), "API_TOKEN", given=given)
    assert (code, why in err) == (2, True)


def test_what_is_not_there_is_named(call: Call, app: Path, tmp_path: Path) -> None:
    assert call("secrets", "set", "nothing", "API_TOKEN", given=b"x")[0] == 5
    assert call("secrets", "set", str(tmp_path), "API_TOKEN", given=b"x")[0] == 3
    code, _, err = call("secrets", "set", str(app), "API_TOKEN", "--from-file", "/nowhere/file")
    assert (code, "/nowhere/file can't be read" in err) == (2, True)
    code, _, err = call("secrets", "set")
    assert (code, "which variable?" in err) == (2, True)
    (app / "tfgrid-compose.yaml").write_text("name: my-app\n")
    code, out, err = call("secrets", "list", str(app))
    assert (code, out, "has no secrets" in err) == (0, "", True)


def test_rotate_says_what_it_did_and_the_log_remembers(call: Call, app: Path) -> None:
    call("secrets", "set", str(app), "API_TOKEN", given=VALUE)
    with Store() as store:
        old = store.vault.keys()
        damaged = backups.save(store.path, "damaged")
    damaged.path.write_bytes(b"nothing")
    code, out, err = call("secrets", "rotate")
    assert (code, out) == (0, "1 secret and 1 backup have a new key.\n")
    assert damaged.name in err
    with Store() as store:
        assert store.vault.keys().active != old.active
        assert store.app_secrets(folder_owner(app)) == {"API_TOKEN": VALUE.decode()}
        assert store.audit_entries(limit=1)[0].facts["action"] == "secrets rotate"


def test_the_key_is_shown_and_moved(call: Call, app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_COST", 2)
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    assert "There is no key yet" in call("secrets", "key")[1]
    call("secrets", "set", str(app), "API_TOKEN", given=VALUE)
    assert json.loads(call("secrets", "key", "--json")[1]) == {
        "source": "file", "file": str(paths.state_dir() / "key"), "exists": True,
    }  # fmt: skip
    (tmp_path / "pass").write_text("four words make one\n")
    code, out, err = call("secrets", "key", "--to", "passphrase", "--passphrase-file", str(tmp_path / "pass"))
    assert (code, "a passphrase opens it" in out, "secrets rotate" in err) == (0, True, True)
    assert call("secrets", "rotate")[0] == 0
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    monkeypatch.setattr(keys, "ask_hidden", lambda _: None)
    code, _, err = call("secrets", "list", str(app))
    assert (code, "TFGRID_PASSPHRASE_FILE" in err) == (10, True)
    monkeypatch.setenv("TFGRID_PASSPHRASE_FILE", str(tmp_path / "pass"))
    assert "API_TOKEN" in call("secrets", "list", str(app))[1]
    assert call("secrets", "key", "--to", "file")[0] == 0
    monkeypatch.delenv("TFGRID_PASSPHRASE_FILE")
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    with Store() as store:
        assert store.app_secrets(folder_owner(app)) == {"API_TOKEN": VALUE.decode()}


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        (["four words", "four words"], 0, ""),
        (["four words", "for words"], 2, "differ"),
        (["short", "short"], 2, "too short"),
        ([None], 10, "--passphrase-file"),
    ],
)
def test_a_new_passphrase_is_asked_twice(
    call: Call, app: Path, monkeypatch: pytest.MonkeyPatch, answers: list[str | None], code: int, said: str
) -> None:
    monkeypatch.setattr(keys, "_COST", 2)
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    call("secrets", "set", str(app), "API_TOKEN", given=VALUE)
    left = list(answers)
    monkeypatch.setattr(keys, "ask_hidden", lambda _: left.pop(0))
    found, _, err = call("secrets", "key", "--to", "passphrase")
    assert (found, said in err, left) == (code, True, [])
    with Store() as store:
        assert store.app_secrets(folder_owner(app)) == {"API_TOKEN": VALUE.decode()}
        assert store.vault.file.source() == ("passphrase" if code == 0 else "file")


def test_the_passphrase_is_changed_when_the_old_one_is_known(
    call: Call, app: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keys, "_COST", 2)
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    call("secrets", "set", str(app), "API_TOKEN", given=VALUE)
    left = ["first words", "first words"]
    monkeypatch.setattr(keys, "ask_hidden", lambda _: left.pop(0))
    assert call("secrets", "key", "--to", "passphrase")[0] == 0
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    left = ["first words", "second words", "second words"]
    assert call("secrets", "key", "--to", "passphrase")[0] == 0
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    left = ["first words", "first words", "first words"]
    assert call("secrets", "list", str(app))[0] == 10
    left = ["second words"]
    assert call("secrets", "list", str(app))[0] == 0


def test_a_file_of_a_passphrase_without_a_passphrase_is_a_mistake(call: Call) -> None:
    assert call("secrets", "key", "--to", "file", "--passphrase-file", "/x")[0] == 2


def test_on_a_terminal_the_value_is_asked_for_and_not_shown(home: Path, app: Path) -> None:
    """In a terminal of its own, as a person has it."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(app)
        os.execv(sys.executable, [sys.executable, "-m", "tfgrid_compose", "secrets", "set", "API_TOKEN"])
    shown = b""
    asked = False
    try:
        while True:
            read = os.read(terminal, 1000)
            shown += read
            if b"not shown" in shown and not asked:
                asked = True
                os.write(terminal, VALUE + b"\n")
            if not read:
                break
    except OSError:  # The terminal is gone with its last process.
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert re.search(rb"Value of API_TOKEN \(not shown\)", shown)
    assert b"is set" in shown
    assert VALUE not in shown
    with Store() as store:
        assert store.app_secrets(folder_owner(app)) == {"API_TOKEN": VALUE.decode()}


def test_secrets_is_a_part_of_the_store() -> None:
    assert issubclass(Store, Secrets)
