"""A new key: a rotation changes nothing else, leaves nothing of the old key, and survives a kill at any point."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.secrets.database import VALUE, A, B, first_version, put_back, rows, tamper
from tfgrid_compose.errors import BusyError, StateError
from tfgrid_compose.state import backups, keys, lease, paths, rotation
from tfgrid_compose.state.store import Store
from tfgrid_compose.state.vault import Vault

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
