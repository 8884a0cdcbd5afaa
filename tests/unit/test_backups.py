"""Backups: whole copies with a digest, restored whatever the database is like."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tfgrid_compose.errors import BusyError, NotFoundError, StateError
from tfgrid_compose.state import backups, lease, paths
from tfgrid_compose.state.restore import restore, start_anew
from tfgrid_compose.state.store import Deployment, Store


@pytest.fixture(autouse=True)
def own_home(home: Path) -> Path:
    return home


def path() -> Path:
    return paths.state_dir() / "state.db"


def remember(*names: str) -> None:
    with Store() as store:
        for name in names:
            store.save(Deployment(f"{name:0>16}", name, "local", "running", 1.0, 1.0, {"pattern": "single-vm"}))


def names() -> list[str]:
    with Store() as store:
        return [item.name for item in store.deployments()]


def test_a_backup_is_a_private_whole_copy_and_holds_what_was_just_written() -> None:
    with Store() as store:
        store.save(Deployment("a" * 16, "my-app", "local", "running", 1.0, 1.0, {}))
        found = backups.save(store.path, "before up of My App!")
    assert (found.reason, found.condition()) == ("before-up-of-my-app", "good")
    assert found == backups.listed()[0] == backups.newest_good()
    assert found.path.stat().st_mode & 0o777 == 0o600
    assert backups.folder().stat().st_mode & 0o777 == 0o700
    with sqlite3.connect(found.path) as db:
        assert db.execute("SELECT name FROM deployments").fetchall() == [("my-app",)]
    db.close()


def test_only_the_newest_are_kept() -> None:
    remember("a")
    made = [backups.save(path(), f"number-{number}", keep=3) for number in range(5)]
    assert [item.name for item in backups.listed()] == [item.name for item in reversed(made[2:])]
    assert len(list(backups.folder().iterdir())) == 6, "the digests of the dropped ones went too"


def test_a_clock_that_goes_back_drops_no_newer_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten copies of a time when the clock was ahead; those that come after them are newer all the same."""
    remember("a")
    for hour in range(backups.KEEP):
        monkeypatch.setattr(time, "gmtime", lambda hour=hour: time.struct_time((2030, 1, 1, hour, 0, 0, 1, 1, 0)))
        backups.save(path(), "ahead")
    monkeypatch.setattr(time, "gmtime", lambda: time.struct_time((2025, 1, 1, 0, 0, 0, 2, 1, 0)))
    made = backups.save(path(), "by-hand")
    assert made == backups.listed()[0] == backups.newest_good() == backups.find(None)
    assert made.condition() == "good" and len(backups.listed()) == backups.KEEP
    remember("b")
    done = restore(made)
    assert backups.find(done.kept).good() and names() == ["a"]
    assert restore(backups.find(done.kept)).backup.name == done.kept and names() == ["a", "b"]


def test_the_database_that_is_replaced_stays_until_its_copy_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    remember("a")
    saved = backups.save(path(), "first")
    remember("b")
    write = paths.private_file
    monkeypatch.setattr(paths, "private_file", lambda file, data: write(file, b"" if file.name.endswith("restore.db") else data))
    done = restore(saved)
    assert done.kept.startswith(f"{path()}.damaged-"), "its copy is not what was written, so it is kept itself"
    with sqlite3.connect(done.kept) as db:
        assert len(db.execute("SELECT * FROM deployments").fetchall()) == 2
    db.close()


def test_the_newest_copy_is_never_dropped() -> None:
    remember("a")
    for keep in (0, -1, 1):
        assert [backups.save(path(), "x", keep=keep)] == backups.listed()


def test_processes_that_copy_at_the_same_moment_take_different_names() -> None:
    remember("a")
    code = (
        "from tfgrid_compose.state import backups, paths\n"
        "for _ in range(5): backups.save(paths.state_dir() / 'state.db', 'same', keep=100)"
    )
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [child.wait(60) for child in children] == [0] * 4
    assert [item.condition() for item in backups.listed()] == ["good"] * 20


@pytest.mark.parametrize("change", ["flip", "cut", "empty", "no digest", "other digest"])
def test_a_changed_backup_is_told_and_never_chosen(change: str) -> None:
    remember("a")
    first, second = backups.save(path(), "first"), backups.save(path(), "second")
    data = bytearray(second.path.read_bytes())
    data[5000] ^= 1
    digest = second.path.with_suffix(".sha256")
    {
        "flip": lambda: second.path.write_bytes(data),
        "cut": lambda: second.path.write_bytes(data[:-1]),
        "empty": lambda: second.path.write_bytes(b""),
        "no digest": digest.unlink,
        "other digest": lambda: digest.write_text("0" * 64),
    }[change]()
    assert second.condition() == "damaged"
    assert backups.newest_good() == first == backups.find(None)
    with pytest.raises(StateError) as caught:
        backups.find(second.name)
    assert (caught.value.code, caught.value.fix) == ("backup-damaged", f"tfgrid-compose state restore {first.name}")


def test_no_backup_is_made_of_a_damaged_database() -> None:
    remember("a")
    good = backups.save(path(), "good")
    data = bytearray(path().read_bytes())
    data[60:64] = b"\0\0\0\1"  # It says that it is of version 1.
    path().write_bytes(data)
    with pytest.raises(StateError) as caught:
        backups.save(path(), "bad")
    assert (caught.value.code, caught.value.fix) == ("state-damaged", f"tfgrid-compose state restore {good.name}")
    assert backups.listed() == [good]


def test_a_backup_of_a_newer_version_is_called_so() -> None:
    remember("a")
    found = backups.save(path(), "x")
    data = bytearray(found.path.read_bytes())
    data[60:64] = b"\0\0\0\x63"
    assert backups.examine(bytes(data)) == "newer"


def test_a_backup_is_found_by_the_beginning_of_its_name() -> None:
    with pytest.raises(NotFoundError, match="there is no good backup") as nothing:
        backups.find(None)
    assert "state repair" in nothing.value.fix
    remember("a")
    first, second = backups.save(path(), "first"), backups.save(path(), "second")
    assert backups.find(first.name[:19]) == first
    assert backups.find(second.name) == second
    for text in ("2", "nope", ""):
        with pytest.raises(NotFoundError) as caught:
            backups.find(text)
        assert caught.value.fix == "tfgrid-compose state backups lists them"


def ruin(how: str) -> None:
    data = path().read_bytes()
    if how == "missing":
        path().unlink()
        return
    path().write_bytes(
        {
            "healthy": data, "garbage": b"no database at all " * 500, "truncated": data[: len(data) // 2], "empty": b"",
            "header": b"\xff" * 100 + data[100:], "pages": data[:4096] + os.urandom(len(data) - 4096),
        }[how]
    )  # fmt: skip


@pytest.mark.parametrize("how", ["healthy", "garbage", "truncated", "empty", "missing", "header", "pages"])
def test_a_backup_is_restored_whatever_the_database_is_like(how: str) -> None:
    remember("old")
    with Store() as store:
        store.set_secret("0" * 13 + "old", "ssh", b"private")
    saved = backups.save(path(), "before-up")
    remember("new")
    ruin(how)
    if how != "healthy":
        with pytest.raises(StateError) as caught:
            Store()
        assert caught.value.fix == f"tfgrid-compose state restore {saved.name}"
    done = restore(backups.find(None))
    assert names() == ["old"]
    with Store() as store:
        assert store.secret("0" * 13 + "old", "ssh") == b"private"
        assert store.verify_audit() is None
        entry = store.audit_entries(limit=1)[0].facts
    assert (entry["action"], entry["backup"]) == ("state restore", saved.name)
    assert path().stat().st_mode & 0o777 == 0o600
    kept = Path(done.kept)
    if how == "healthy":
        assert backups.listed()[0].name == done.kept
        assert not list(path().parent.glob("state.db.*"))
    elif how == "missing":
        assert done.kept == ""
    else:
        assert kept.name.startswith("state.db.damaged-") and kept.exists()
    assert not list(path().parent.glob(".state.db*"))


def test_the_log_of_recent_writes_never_meets_the_restored_database() -> None:
    remember("old")
    saved = backups.save(path(), "x")
    code = """
import os
from tfgrid_compose.state.store import Deployment, Store
store = Store()
store.save(Deployment("n" * 16, "new", "local", "running", 1.0, 1.0, {}))
os._exit(0)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert path().with_name("state.db-wal").stat().st_size > 0
    restore(saved)
    assert names() == ["old"]
    assert backups.listed()[0].reason == "before-restore"


def test_what_the_audit_log_got_since_the_backup_is_carried_over() -> None:
    with Store() as store:
        store.append_audit(action="one")
        saved = backups.save(store.path, "x")
        store.append_audit(action="two")
        store.append_audit(action="three")
        for _ in range(7):
            store.end_run(store.start_run(Deployment("d" * 16, "d", "local", "", 1.0, 1.0), "up"), "succeeded")
        store.take_fence("local--d")
    assert restore(saved).entries == 2
    with Store() as store:
        assert [item.facts["action"] for item in store.audit_chain()] == ["one", "two", "three", "state restore"]
        assert store.verify_audit() is None
        assert store.runs() == []
        assert store.start_run(Deployment("d" * 16, "d", "local", "", 1.0, 1.0), "up") == 8, "run 1 has had its logs"
        assert store.take_fence("local--d") == 2


def test_a_forged_end_of_the_audit_log_is_not_carried_over() -> None:
    with Store() as store:
        store.append_audit(action="one")
        saved = backups.save(store.path, "x")
        store.append_audit(action="two")
        store.append_audit(action="three")
        with store.write() as db:
            db.execute("UPDATE audit SET entry = replace(entry, 'three', 'forged')")
    assert restore(saved).entries == 1


def test_nothing_is_restored_while_a_run_goes_on() -> None:
    remember("old")
    saved = backups.save(path(), "x")
    before = path().read_bytes()
    with lease.hold("local--my-app"), pytest.raises(BusyError, match="`my-app` goes on"):
        restore(saved)
    assert path().read_bytes() == before
    restore(saved)


def test_a_process_that_had_the_replaced_database_open_writes_nothing_into_the_void() -> None:
    remember("old")
    with Store() as store:
        restore(backups.save(path(), "x"))
        with pytest.raises(BusyError, match="was replaced") as caught:
            store.set_fact("a", "b")
    assert caught.value.code == "state-replaced"


def test_a_backup_that_is_damaged_replaces_nothing() -> None:
    remember("old")
    saved = backups.save(path(), "x")
    saved.path.write_bytes(b"")
    with pytest.raises(StateError) as caught:
        restore(saved)
    assert caught.value.code == "backup-damaged"
    assert names() == ["old"]


def test_without_any_backup_a_new_database_can_be_begun() -> None:
    remember("old")
    with Store() as store:
        store.set_secret("0" * 13 + "old", "ssh", b"private")
    path().write_bytes(b"rubbish")
    with pytest.raises(StateError) as caught:
        Store()
    assert caught.value.fix.startswith("tfgrid-compose state repair")
    kept = start_anew()
    assert Path(kept).read_bytes() == b"rubbish"
    assert names() == []
    with Store() as store:
        assert [item.facts["action"] for item in store.audit_chain()] == ["state anew"]
