"""The database: what is committed is there again, secrets are not readable in it, damage is told."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tfgrid_compose.errors import BusyError, NotFoundError, StateError
from tfgrid_compose.state import paths
from tfgrid_compose.state.store import SCHEMA_VERSION, Deployment, Store


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store() as found:
        yield found


def deployment(
    id: str = "abc123", name: str = "my-app", network: str = "local", created: float = 1.0, **data: object
) -> Deployment:
    return Deployment(id, name, network, "planned", created, created, dict(data))


def reopen(store: Store) -> Store:
    store.close()
    return Store(store.path)


def test_a_new_database_is_private_durable_and_of_this_version(store: Store) -> None:
    assert store.path == paths.state_dir() / "state.db"
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.path.parent.stat().st_mode & 0o777 == 0o700
    with sqlite3.connect(store.path) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    db.close()
    assert {"deployments", "leases", "runs", "steps", "done", "releases", "secrets", "durations", "audit", "meta"} <= tables
    assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_a_deployment_is_remembered_across_processes(store: Store) -> None:
    saved = store.save(deployment(app_dir="/app", machines=[{"role": "vm"}], nested={"ü": [1, None]}))
    assert saved.updated > 1.0
    with reopen(store) as again:
        assert again.deployment("abc123") == saved
        assert again.find("my-app", "local") == saved
        assert (saved.app_dir, saved.machines) == ("/app", [{"role": "vm"}])


def test_saving_again_updates_status_and_data_and_keeps_the_start(store: Store) -> None:
    first = store.save(deployment(a=1))
    changed = first.with_data(b=2)
    assert first.data == {"a": 1}
    store.save(Deployment(changed.id, "other-name", "main", "live", 99.0, 0.0, changed.data))
    found = store.deployment("abc123")
    assert (found.status, found.data, found.created, found.name, found.network) == (
        "live",
        {"a": 1, "b": 2},
        1.0,
        "my-app",
        "local",
    )


def test_deployments_are_listed_oldest_first(store: Store) -> None:
    for id, created in (("b", 2.0), ("a", 3.0), ("c", 1.0)):
        store.save(deployment(id, name=id, created=created))
    assert [item.id for item in store.deployments()] == ["c", "b", "a"]


def test_the_same_name_may_live_on_two_networks(store: Store) -> None:
    store.save(deployment("a", network="local"))
    store.save(deployment("b", network="main"))
    assert [(store.find("my-app", network) or deployment()).id for network in ("local", "main")] == ["a", "b"]
    assert store.find("my-app", "test") is None
    assert store.find("other", "local") is None


def test_an_unknown_deployment_is_an_error_with_the_command_that_lists_them(store: Store) -> None:
    with pytest.raises(NotFoundError, match="there is no deployment nope") as caught:
        store.deployment("nope")
    assert (caught.value.code, caught.value.fix) == ("deployment-not-found", "tfgrid-compose ps")


def test_a_deployment_without_machines_has_none() -> None:
    assert (deployment().machines, deployment().app_dir) == ([], "")


def test_forgetting_removes_all_but_the_history(store: Store) -> None:
    for id in ("gone", "kept"):
        store.save(deployment(id, name=id))
        store.set_secret(id, "key", b"value")
        store.add_release(f"release-{id}", id, {})
        run = store.start_run(deployment(id, name=id), "up")
        store.begin_step(run, id, "ship", {})
        store.end_step(run, id, "ship", "done")
    store.forget("gone")
    assert [item.id for item in store.deployments()] == ["kept"]
    assert (store.secret("gone", "key"), store.releases("gone"), store.done("gone")) == (None, [], {})
    assert (store.secret("kept", "key"), len(store.releases("kept")), list(store.done("kept"))) == (b"value", 1, ["ship"])
    (run,) = store.runs("gone")
    assert (run["name"], [step["name"] for step in store.steps(run["id"])]) == ("gone", ["ship"])


def test_secrets_come_back_can_be_replaced_and_forgotten(store: Store) -> None:
    assert store.secret("d", "key") is None
    store.set_secret("d", "key", b"one")
    store.set_secret("d", "key", b"\x00two\xff")
    store.set_secret("d", "empty", b"")
    assert (store.secret("d", "key"), store.secret("d", "empty"), store.secret("e", "key")) == (b"\x00two\xff", b"", None)
    store.set_secret("d", "key", None)
    assert store.secret("d", "key") is None


def test_no_byte_of_a_secret_reaches_the_files(store: Store) -> None:
    store.set_secret("d", "key", b"correct horse battery staple")
    files = [path for path in store.path.parent.iterdir() if path.name.startswith("state.db")]
    assert sum(path.stat().st_size for path in files) > 0
    assert all(b"correct horse" not in path.read_bytes() for path in files)
    store.close()
    assert b"correct horse" not in store.path.read_bytes()


def test_a_secret_moved_between_rows_is_refused(store: Store) -> None:
    store.set_secret("d", "key", b"one")
    with store.write() as db:
        db.execute("INSERT INTO secrets SELECT 'e', name, value, generation FROM secrets")
    with pytest.raises(StateError) as caught:
        store.secret("e", "key")
    assert caught.value.code == "secret-damaged"


def test_a_transaction_is_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.write() as db:
        db.execute("INSERT INTO durations VALUES ('x', 1, 1)")
        raise KeyboardInterrupt
    assert store.usual_seconds("x") is None
    store.save(deployment())
    assert len(store.deployments()) == 1


def test_what_is_committed_survives_kill_9_and_what_is_not_does_not(store: Store) -> None:
    code = """
import os, signal
from tfgrid_compose.state.store import Deployment, Store
store = Store()
run = store.start_run(Deployment("d", "my-app", "local", "deploying", 1.0, 1.0), "up")
store.begin_step(run, "d", "infrastructure", {"node": "8"})
with store.write() as db:
    db.execute("INSERT INTO durations VALUES ('x', 1, 1)")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    child = subprocess.run([sys.executable, "-c", code], timeout=60)
    assert child.returncode == -9
    (run,) = store.runs("d")
    assert run["outcome"] is None
    assert [(step["name"], step["ended"]) for step in store.steps(run["id"])] == [("infrastructure", None)]
    assert store.usual_seconds("x") is None


def test_two_processes_may_open_a_new_database_at_once(home: Path) -> None:
    code = """
from tfgrid_compose.state.store import Deployment, Store
with Store() as store:
    store.start_run(Deployment("d", "my-app", "local", "new", 1.0, 1.0), "up")
"""
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [child.wait(60) for child in children] == [0, 0, 0, 0]
    with Store() as store:
        assert len(store.runs("d")) == 4


def test_a_newer_database_is_refused_and_left_alone(store: Store) -> None:
    store.save(deployment())
    with store.write() as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    store.close()
    with pytest.raises(StateError, match="was written by a newer tfgrid-compose") as caught:
        Store(store.path)
    assert (caught.value.code, caught.value.fix) == ("state-newer", "upgrade tfgrid-compose")
    db = sqlite3.connect(store.path)
    assert db.execute("SELECT count(*) FROM deployments").fetchone()[0] == 1
    db.close()


@pytest.mark.parametrize(
    "content", [b"this is no database, it only looks for trouble" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_file_that_is_no_database_is_refused_and_left_alone(home: Path, content: bytes) -> None:
    path = paths.private_file(paths.state_dir() / "state.db", content)
    with pytest.raises(StateError, match="is damaged") as caught:
        Store()
    assert (caught.value.code, caught.value.exit_code) == ("state-damaged", 10)
    assert path.read_bytes() == content


def test_a_database_in_a_place_that_can_not_be_made_is_a_state_error(home: Path) -> None:
    (home / "file").write_text("")
    with pytest.raises(StateError, match="can't be written"):
        Store(home / "file" / "state.db")


def test_a_statement_that_the_disk_refuses_is_a_state_error_and_changes_nothing(store: Store) -> None:
    store.save(deployment())
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StateError, match="can't be written") as caught:
        store.set_secret("d", "key", os.urandom(200_000))
    assert "free some disk space" in caught.value.fix
    assert store.secret("d", "key") is None
    store._db.execute("PRAGMA max_page_count = 1000000")
    store.set_secret("d", "key", b"x")
    assert store.secret("d", "key") == b"x"


def test_a_full_disk_is_called_a_full_disk(store: Store) -> None:
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StateError) as caught:
        store.set_secret("d", "key", os.urandom(200_000))
    assert caught.value.code == "disk-full"


def test_damage_that_is_met_later_is_a_state_error_too(store: Store) -> None:
    for number in range(50):
        store.save(deployment(str(number), name=f"n{number}", text="x" * 1000))
    store.close()
    content = bytearray(store.path.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    store.path.write_bytes(content)
    with pytest.raises(StateError), Store(store.path) as again:
        again.deployments()


def test_a_database_that_can_not_be_opened_is_not_called_damaged(home: Path) -> None:
    (home / "state.db").mkdir()
    with pytest.raises(StateError) as caught:
        Store(home / "state.db")
    assert caught.value.code != "state-damaged"


def test_a_second_deployment_of_the_same_name_is_a_state_error(store: Store) -> None:
    store.save(deployment("a"))
    with pytest.raises(StateError):
        store.save(deployment("b"))


# The file itself


def test_a_database_that_was_replaced_meanwhile_is_not_written_into(store: Store) -> None:
    store.save(deployment())
    other = store.path.with_name("other.db")
    other.write_bytes(store.path.read_bytes())
    other.replace(store.path)
    with pytest.raises(BusyError, match="was replaced while this command ran") as caught:
        store.save(deployment(lost=True))
    assert (caught.value.code, caught.value.exit_code) == ("state-replaced", 6)
    store.path.unlink()
    with pytest.raises(BusyError):
        store.save(deployment(lost=True))


@pytest.mark.parametrize("change", ["missing", "empty"])
def test_a_database_that_was_lost_is_not_taken_for_a_new_one(store: Store, change: str) -> None:
    store.save(deployment())
    store.set_secret("abc123", "key", b"value")
    store.close()
    for path in store.path.parent.glob("state.db*"):
        path.unlink()
    if change == "empty":
        store.path.touch()
    with pytest.raises(StateError, match=f"is {change}") as caught:
        Store(store.path)
    assert (caught.value.code, caught.value.exit_code) == ("state-lost", 10)
    assert "tfgrid-compose" in caught.value.fix
    with Store(store.path, fresh=True) as new:
        assert new.deployments() == []


def test_a_bit_that_flips_inside_a_value_is_damage_and_not_another_value(store: Store) -> None:
    store.save(deployment(port=8080))
    store.start_run(deployment(), "up", {"release": "r1"})
    store.add_release("r1", "abc123", {"source": "aa"})
    with store.write() as db:
        db.execute("UPDATE deployments SET data = replace(data, '8080', '8081')")
        db.execute("UPDATE runs SET data = replace(data, 'r1', 'r2')")
        db.execute("UPDATE releases SET data = replace(data, 'aa', 'ab')")
    for read in (lambda: store.deployment("abc123"), lambda: store.runs("abc123"), lambda: store.releases("abc123")):
        with pytest.raises(StateError, match="is damaged") as caught:
            read()
        assert caught.value.code == "state-damaged"


def test_facts_about_the_whole_are_remembered_and_replaced(store: Store) -> None:
    assert store.fact("seen") is None
    store.set_fact("seen", "1")
    store.set_fact("seen", "2")
    with reopen(store) as again:
        assert again.fact("seen") == "2"
