"""A database that lacks what was committed is noticed, and nothing else is taken for one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.otherprocess import other_process
from tfgrid_compose.cli.main import cli
from tfgrid_compose.errors import StateError
from tfgrid_compose.state import backups, package, paths, transfer, watermark
from tfgrid_compose.state.restore import restore
from tfgrid_compose.state.store import Deployment, Store

# Obeys one order after the other, and says when each is done.
WORKER = """
import sys
from tfgrid_compose.state.store import Store
store = None
print("held", flush=True)
for number, order in enumerate(sys.stdin):
    order = order.strip()
    if order == "open":
        store = store or Store()
    elif order == "write" and store:
        store.set_fact(sys.argv[1], str(number))
    elif order == "read" and store:
        store.deployments()
    elif order == "close" and store:
        store.close()
        store = None
    elif order == "begin" and store:
        with store.write() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('half', 'x')")
            print("done", flush=True)
            sys.stdin.readline()
    print("done", flush=True)
"""
COMMANDS = (["ps"], ["runs"], ["history", "web"], ["audit"], ["audit", "verify"], ["state", "backup"], ["secrets", "list"])


def database() -> Path:
    return paths.state_dir() / "state.db"


def log() -> Path:
    return database().with_name("state.db-wal")


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def told(words: list[str]) -> str:
    """The code of the error that a command ends with; empty when it works."""
    error = run(*words).exception
    return error.code if isinstance(error, StateError) else ""


def web(**data: object) -> Deployment:
    return Deployment("a" * 16, "web", "main", "running", 1.0, 1.0, {"pattern": "single-vm", "machines": [], **data})


def killed(change: Callable[[Store], object]) -> None:
    """What a process commits that is killed before it can close."""
    child = os.fork()
    if not child:
        try:
            change(Store())
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert log().stat().st_size


@pytest.fixture
def bought(home: Path) -> None:
    """A deployment whose contracts were bought by a process that was killed."""
    with Store() as store:
        store.save(web(contracts=[]))
    killed(lambda store: store.save(web(contracts=[1001, 1002])))


# It is noticed


def test_a_deleted_log_is_told_by_every_command_and_again(bought: None) -> None:
    log().unlink()
    for words in COMMANDS * 2:
        assert told(words) == "state-behind", words
    with pytest.raises(StateError, match="1 write is missing") as caught:
        Store()
    assert caught.value.exit_code == 10 and "state repair" in caught.value.fix and "state.db-wal" in caught.value.why


def test_a_log_that_is_put_back_after_the_alarm_is_all_that_was_lost(bought: None) -> None:
    kept = log().with_name("kept")
    shutil.copy(log(), kept)
    log().unlink()
    assert told(["ps"]) == "state-behind"
    kept.replace(log())
    with Store() as store:
        assert store.deployment("a" * 16).data["contracts"] == [1001, 1002]


def test_a_truncated_log_and_a_copy_without_it_are_noticed_too(bought: None) -> None:
    folder = paths.state_dir()
    shutil.copytree(folder, folder.with_name("copy"), ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    os.truncate(log(), 0)
    log().with_name("state.db-shm").unlink()
    assert told(["ps"]) == "state-behind"
    with pytest.raises(StateError) as caught:
        Store(folder.with_name("copy") / "state.db")
    assert caught.value.code == "state-behind"


def test_an_older_database_in_the_place_of_a_newer_one_is_noticed(home: Path) -> None:
    with Store() as store:
        old = backups.consistent_copy(store.path)
        store.set_fact("a", "b")
    database().write_bytes(old)
    assert told(["ps"]) == "state-behind"


def test_a_lost_log_that_held_the_whole_first_run_is_no_first_start(home: Path) -> None:
    killed(lambda store: store.save(web()))
    log().unlink()
    assert told(["ps"]) == "state-lost"


def test_a_lost_migration_is_noticed_before_another_one_is_made(home: Path) -> None:
    with Store() as store, store.write() as db:
        db.execute("DROP TABLE meta")
        db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    with sqlite3.connect(database()) as db:
        db.execute("DROP TABLE meta")
        db.execute("PRAGMA user_version = 1")
    db.close()
    assert told(["ps"]) == "state-behind"
    assert backups.listed() == []


def test_what_was_lost_is_told_even_when_a_reader_saw_the_database_meanwhile(bought: None) -> None:
    log().unlink()
    with sqlite3.connect(database()) as db:
        db.execute("SELECT count(*) FROM deployments").fetchone()
    db.close()
    assert told(["ps"]) == "state-behind"


# Check and repair


def test_check_tells_it_and_repair_goes_on_after_a_yes(bought: None) -> None:
    log().unlink()
    found = json.loads(run("state", "check", "--no-grid", "--json").stdout)["problems"]
    assert [item["code"] for item in found] == ["database-behind"] and "1 write is missing" in found[0]["text"]
    assert run("state", "repair", "--no-grid").exit_code != 0, "nobody said yes"
    assert told(["ps"]) == "state-behind"
    done = run("state", "repair", "--yes", "--no-grid")
    assert "went on with the database as it is, without its last 1 write" in done.stdout
    assert told(["ps"]) == ""
    with Store() as store:
        assert store.deployment("a" * 16).data["contracts"] == []
        assert store.audit_entries()[-1].facts["writes_lost"] == 1
        assert store.verify_audit() is None


def test_repair_takes_a_backup_that_is_newer_than_the_database(bought: None) -> None:
    newer = backups.save(database(), "by-hand")
    killed(lambda store: store.set_fact("a", "b"))
    log().unlink()
    done = run("state", "repair", "--yes", "--no-grid")
    assert f"restored the backup {newer.name}, which is newer" in done.stdout
    with Store() as store:
        assert store.deployment("a" * 16).data["contracts"] == [1001, 1002]


def test_repair_takes_no_backup_that_is_older_than_the_database(home: Path) -> None:
    with Store() as store:
        backups.save(store.path, "by-hand")
        store.save(web(contracts=[7]))
    killed(lambda store: store.set_fact("a", "b"))
    log().unlink()
    assert run("state", "repair", "--yes", "--no-grid").exception is None or told(["ps"]) == ""
    with Store() as store:
        assert store.deployment("a" * 16).data["contracts"] == [7]


# And nothing else is


def test_a_kill_alone_is_no_alarm(bought: None) -> None:
    with Store() as store:
        assert store.deployment("a" * 16).data["contracts"] == [1001, 1002]


def test_after_a_clean_close_nothing_is_missing_without_a_log(home: Path) -> None:
    with Store() as store:
        store.save(web())
    assert not log().exists()
    assert told(["ps"]) == ""


def test_a_killed_reader_leaves_no_alarm_and_writes_nothing(home: Path) -> None:
    with Store() as store:
        store.save(web())
    before = (paths.state_dir() / watermark.NAME).stat()
    with other_process(WORKER, "a") as child:
        assert order(child, "open") and order(child, "read")
        child.kill()
        child.wait(30)
    log().unlink(missing_ok=True)
    assert told(["ps"]) == ""
    after = (paths.state_dir() / watermark.NAME).stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_reading_syncs_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store() as store:
        store.save(web())
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with Store() as store:
        store.deployments()
        assert synced == []
        store.set_fact("a", "1")
        first = len(synced)
        store.set_fact("a", "2")
        assert len(synced) == first == 2, "the file and its folder, with the first write of a process"


@pytest.mark.parametrize("place", ["before the commit", "after the commit", "in the file"])
def test_a_kill_at_any_instant_of_a_write_is_no_alarm(home: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store() as store:
        store.save(web())

    def die(*_: object, **__: object) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def change(store: Store) -> None:
        store.set_fact("first", "1")
        target = {"before the commit": "count", "after the commit": "write", "in the file": "_number"}[place]
        monkeypatch.setattr(watermark, target, die)
        store.set_fact("second", "1")

    killed(change)
    assert told(["ps"]) == ""
    with Store() as store:
        assert store.fact("first") == "1"
        assert store.fact("second") == (None if place == "before the commit" else "1")


def test_a_watermark_that_can_not_be_written_keeps_no_write_from_being_one(home: Path) -> None:
    Store().close()
    path = paths.state_dir() / watermark.NAME
    path.unlink()
    path.mkdir()
    with Store() as store:
        store.set_fact("a", "b")
    with Store() as store:
        assert store.fact("a") == "b"


@pytest.mark.parametrize("content", [b"", b"nonsense", b"9" * 500, bytes(19)])
def test_a_watermark_that_is_none_is_no_alarm_and_is_written_anew(home: Path, content: bytes) -> None:
    with Store() as store:
        store.set_fact("a", "b")
        path = paths.state_dir() / watermark.NAME
        path.write_bytes(content)
    with Store() as store:
        store.set_fact("a", "c")
        assert watermark.read(path.parent) == watermark.counted(store._db)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_slower_of_two_does_not_put_back_what_the_faster_one_wrote(home: Path) -> None:
    folder = paths.private_dir(paths.state_dir())
    watermark.write(folder, 7, sync=True)
    watermark.write(folder, 6, sync=False)
    assert watermark.read(folder) == 7


def test_a_restored_backup_is_newer_than_all_that_was_here(home: Path) -> None:
    with Store() as store:
        made = backups.save(store.path, "by-hand")
        for number in range(5):
            store.set_fact("a", str(number))
    restore(made)
    assert told(["ps"]) == ""
    with Store() as store:
        assert store.fact("a") is None


def test_an_import_into_an_empty_state_is_newer_than_what_was_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store() as store:
        store.save(web())
        data = transfer.export(store, "long enough")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "elsewhere"))
    with Store() as store:
        for number in range(30):
            store.set_fact("a", str(number))
    transfer.take_in(package.opened(data, "long enough"), lambda network: False)
    with Store() as store:
        assert store.deployment("a" * 16).name == "web"


# Two processes in any order


def order(child: subprocess.Popen[str], word: str) -> bool:
    assert child.stdin and child.stdout
    child.stdin.write(word + "\n")
    child.stdin.flush()
    return child.stdout.readline() == "done\n"


ORDERS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(["open", "write", "write", "read", "close", "kill", "begin-kill"])),
    min_size=3, max_size=14,
)  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(orders=ORDERS)
def test_two_processes_that_write_close_and_are_killed_raise_no_alarm(
    tmp_path_factory: pytest.TempPathFactory, orders: list[tuple[int, str]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        working: dict[int, subprocess.Popen[str]] = {}
        is_open: set[int] = set()
        writes = 0
        try:
            for who, word in [(0, "open"), *orders]:
                if word in ("kill", "begin-kill"):
                    child = working.pop(who, None)
                    if child is None:
                        continue
                    if word == "begin-kill" and who in is_open:
                        order(child, "begin")
                    is_open.discard(who)
                    end(child)
                else:
                    if who not in working:
                        working[who] = begin(who)
                    assert order(working[who], word), (who, word)
                    is_open = is_open | {who} if word == "open" else is_open - {who} if word == "close" else is_open
                    writes += word == "write" and who in is_open
                with Store() as store:
                    assert watermark.counted(store._db) == watermark.read(paths.state_dir()) == writes + 1
        finally:
            for child in working.values():
                end(child)
        with Store() as store:
            assert store.deployments() == []


def begin(who: int) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", WORKER, str(who)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout and child.stdout.readline() == "held\n"
    return child


def end(child: subprocess.Popen[str]) -> None:
    assert child.stdin and child.stdout
    child.kill()
    child.wait(30)
    child.stdin.close()
    child.stdout.close()
