"""Secrets in the database: what is kept, and that what was removed, exchanged or changed without the key shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sentinel import scan
from tests.unit.secrets.database import VALUE, A, B, damage, rows, tamper
from tfgrid_compose.errors import StateError
from tfgrid_compose.state import anchor, backups, paths, rotation, sealed
from tfgrid_compose.state.secrets import folder_owner
from tfgrid_compose.state.store import Store
from tfgrid_compose.state.vault import Vault

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
