"""Databases of earlier versions: everything in them is still there, whatever happens while they are brought forward."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import backups, check, paths
from tfgrid_compose.state.restore import restore
from tfgrid_compose.state.schema import MIGRATIONS, SCHEMA_VERSION
from tfgrid_compose.state.store import Deployment, Store

ID, OTHER, GONE = "0123456789abcdef", "f" * 16, "a" * 16

# The schema of version 1, as the program of that time wrote it.
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
"""
DATA = {
    "app_dir": "/srv/my-app",
    "pattern": "single-vm",
    "contracts": [1001, 1002],
    "release": "r2",
    "machines": [],
}
ERROR = {"code": "hook-failed", "what": "hook setup failed"}


def path() -> Path:
    return paths.state_dir() / "state.db"


def first() -> None:
    """A database of version 1 with rows in every table, and the key of that time."""
    paths.private_dir(paths.state_dir())
    key = os.urandom(32)
    paths.private_file(paths.state_dir() / "key", key)

    def secret(value: bytes, *bound: str) -> bytes:
        nonce = os.urandom(12)
        return nonce + AESGCM(key).encrypt(nonce, value, "\0".join(bound).encode())

    path().touch(0o600)
    db = sqlite3.connect(path(), isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    for statement in FIRST.split(";\n"):
        db.execute(statement)
    insert = [
        ("deployments", (ID, "my-app", "local", "running", 1.0, 2.0, json.dumps(DATA))),
        ("deployments", (OTHER, "other", "main", "failed", 3.0, 4.0, "{}")),
        ("runs", (1, ID, "up", 10.0, 11.0, "failed", 99, json.dumps(ERROR))),
        ("runs", (2, ID, "up", 12.0, 13.0, "succeeded", 99, None)),
        ("runs", (3, GONE, "down", 14.0, 15.0, "succeeded", 99, None)),
        ("runs", (4, OTHER, "up", 16.0, None, None, 2**22 + 1, None)),
        ("steps", (2, "ship", '{"digest": "1"}', 12.1, 12.5, "done", "a note")),
        ("steps", (4, "ship", '{"digest": "2"}', 16.1, None, None, None)),
        ("done", (ID, "platform", '{"digest": "1"}', 12.5)),
        ("done", (ID, "ship", '{"digest": "1"}', 12.5)),
        ("releases", ("r2", ID, 12.4, "live", '{"digest": "2"}')),
        ("releases", ("r1", ID, 10.4, "superseded", '{"digest": "1"}')),
        ("releases", ("r0", ID, 10.4, "failed", '{"digest": "0"}')),
        ("releases", ("o1", OTHER, 5.0, "shipped", "{}")),
        ("secrets", (ID, "ssh", secret(b"private key", ID, "ssh"))),
        ("secrets", (ID, "environment", secret(b'{"PASSWORD": "hunter2"}', ID, "environment"))),
        ("secrets", (OTHER, "ssh", secret(b"another", OTHER, "ssh"))),
        ("durations", ("ship", 0.4, 12.5)),
    ]  # fmt: skip
    for table, row in insert:
        db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    db.execute("PRAGMA user_version = 1")
    db.close()


def has_all_of_first(store: Store) -> None:
    """Everything that `first` wrote is there, in today's words."""
    assert [(item.id, item.name, item.status) for item in store.deployments()] == [
        (ID, "my-app", "running"), (OTHER, "other", "failed"),
    ]  # fmt: skip
    assert store.deployment(ID) == Deployment(ID, "my-app", "local", "running", 1.0, 2.0, DATA)
    runs = {run["id"]: run for run in store.runs()}
    assert [(run["kind"], run["name"], run["network"], run["outcome"], run["data"]) for run in runs.values()] == [
        ("up", "other", "main", None, {}), ("down", "", "", "succeeded", {}),
        ("up", "my-app", "local", "succeeded", {}), ("up", "my-app", "local", "failed", {}),
    ]  # fmt: skip
    assert runs[1]["error"] == ERROR
    assert [(step["name"], step["outcome"], step["attempts"]) for step in store.steps(2)] == [("ship", "done", 1)]
    # A release of version 1 kept no archive; the next `up` ships one that can be gone back to.
    assert store.done(ID) == {"platform": {"digest": "1"}}
    assert store.usual_seconds("ship") == 0.4
    assert [(item.number, item.id, item.status, item.data) for item in store.releases(ID)] == [
        (3, "r2", "live", {"digest": "2"}), (2, "r1", "superseded", {"digest": "1"}), (1, "r0", "failed", {"digest": "0"}),
    ]  # fmt: skip
    assert [item.number for item in store.releases(OTHER)] == [1]
    assert store.secret(ID, "ssh") == b"private key"
    assert store.secret(ID, "environment") == b'{"PASSWORD": "hunter2"}'
    assert store.secret(OTHER, "ssh") == b"another"
    assert store.verify_audit() is None


BUILD: dict[int, Callable[[], None]] = {1: first}
HAS_ALL: dict[int, Callable[[Store], None]] = {1: has_all_of_first}


@pytest.fixture(params=BUILD)
def version(request: pytest.FixtureRequest, home: Path) -> int:
    """An earlier version, with a database of it in place."""
    found: int = request.param
    BUILD[found]()
    return found


def test_every_earlier_version_is_tested_here() -> None:
    assert sorted(BUILD) == sorted(HAS_ALL) == list(range(1, SCHEMA_VERSION))
    assert sorted(MIGRATIONS) == list(range(2, SCHEMA_VERSION + 1)), "only ever forward, without a gap"


def version_of(file: Path) -> int:
    db = sqlite3.connect(file)
    try:
        return int(db.execute("PRAGMA user_version").fetchone()[0])
    finally:
        db.close()


def test_everything_is_still_there_and_a_backup_was_made_before(version: int) -> None:
    with Store() as store:
        HAS_ALL[version](store)
        problems = {problem.code for problem in check.look(store)}
    assert problems == {"run-cut-off"}, "the run that never ended"
    assert version_of(path()) == SCHEMA_VERSION
    (saved,) = backups.listed()
    assert (saved.reason, saved.condition(), version_of(saved.path)) == (f"schema-{version}", "good", version)
    with Store() as store:
        HAS_ALL[version](store)
    assert len(backups.listed()) == 1


def test_the_result_is_like_a_new_database(version: int, home: Path) -> None:
    Store().close()
    Store(home / "new" / "state.db").close()

    def columns(file: Path) -> set[tuple[str, str, str, int, str | None]]:
        db = sqlite3.connect(file)
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'index')")]
        found = {(name, *row[1:5]) for name in tables for row in db.execute(f"PRAGMA table_info({name})")}
        db.close()
        return found

    assert columns(path()) == columns(home / "new" / "state.db")


def test_what_was_brought_forward_can_be_worked_with(version: int) -> None:
    with Store() as store:
        store.set_secret(ID, "ssh", b"new key")
        store.set_secret(ID, "tfstate", b"state")
        release = store.add_release("r3", ID, {})
        store.set_release_live("r3", ID)
        run = store.start_run(store.deployment(ID), "up")
        store.end_run(run, "succeeded")
        store.append_audit(action="up", deployment=ID)
    with Store() as store:
        assert (store.secret(ID, "ssh"), store.secret(ID, "environment")) == (b"new key", b'{"PASSWORD": "hunter2"}')
        assert (release.number, (store.live_release(ID) or release).id, run) == (4, "r3", 5)
        assert store.verify_audit() is None


def test_a_backup_of_an_earlier_version_can_be_restored(version: int) -> None:
    with Store() as store:
        store.forget(ID)
    restore(backups.listed()[0])
    with Store() as store:
        HAS_ALL[version](store)
    assert version_of(path()) == SCHEMA_VERSION


KILLED = """
import os, signal, sys
from tfgrid_compose.state import database
from tfgrid_compose.state.store import Store
left = int(sys.argv[1])
def run_script(db, script):
    global left
    for statement in script.split(";\\n"):
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        if statement.strip():
            db.execute(statement)
    os.kill(os.getpid(), signal.SIGKILL)
database.run_script = run_script
Store()
"""


def statements(version: int) -> int:
    return sum(len(MIGRATIONS[target].split(";\n")) for target in range(version + 1, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("after", range(0, 40, 3))
def test_a_kill_in_the_middle_is_made_good_by_the_next_command(version: int, after: int) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(min(after, statements(version)))])
    assert done.returncode == -signal.SIGKILL
    assert version_of(path()) == version, "nothing of it is visible"
    with Store() as store:
        HAS_ALL[version](store)
    assert version_of(path()) == SCHEMA_VERSION


def test_several_processes_may_bring_it_forward_at_once(version: int) -> None:
    code = "from tfgrid_compose.state.store import Store\nwith Store() as store: print(len(store.deployments()))"
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert [(child.communicate(timeout=60)[0], child.returncode) for child in children] == [("2\n", 0)] * 6
    with Store() as store:
        HAS_ALL[version](store)
    assert {item.condition() for item in backups.listed()} == {"good"}


def test_without_a_backup_nothing_is_changed(version: int) -> None:
    paths.private_file(backups.folder(), b"in the way")
    with pytest.raises(StateError):
        Store()
    assert version_of(path()) == version
    backups.folder().unlink()
    with Store() as store:
        HAS_ALL[version](store)


def test_a_damaged_database_is_not_brought_forward(version: int) -> None:
    data = bytearray(path().read_bytes())
    data[4096 * 2 :] = b"\xa5" * (len(data) - 4096 * 2)
    path().write_bytes(data)
    with pytest.raises(StateError) as caught:
        Store()
    assert caught.value.code == "state-damaged"
    assert bytes(data) == path().read_bytes()
    assert backups.listed() == []


def test_a_version_that_damage_invented_is_refused_with_the_command_that_helps(home: Path) -> None:
    with Store() as store:
        store.save(Deployment(ID, "my-app", "local", "running", 1.0, 1.0))
        saved = backups.save(store.path, "x")
    data = bytearray(path().read_bytes())
    for version in range(SCHEMA_VERSION):
        data[60:64] = version.to_bytes(4, "big")
        path().write_bytes(data)
        with pytest.raises(StateError) as caught:
            Store()
        assert caught.value.fix == f"tfgrid-compose state restore {saved.name}"
    assert backups.listed() == [saved]


def test_a_newer_database_is_refused_and_left_alone(home: Path) -> None:
    with Store() as store:
        store.save(Deployment(ID, "my-app", "local", "running", 1.0, 1.0))
        with store.write() as db:
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StateError, match="was written by a newer tfgrid-compose") as caught:
        Store()
    assert (caught.value.code, caught.value.fix) == ("state-newer", "upgrade tfgrid-compose")
    assert version_of(path()) == SCHEMA_VERSION + 1 and backups.listed() == []
