"""Folders and files of our own: where they are, and that nobody else reads them."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tfgrid_compose.drivers import wireguard
from tfgrid_compose.errors import StateError
from tfgrid_compose.state import database, paths

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_folders_follow_the_xdg_variables(home: Path) -> None:
    assert paths.config_dir() == home / "config" / "tfgrid-compose"
    assert paths.state_dir() == home / "state" / "tfgrid-compose"
    assert paths.cache_dir() == home / "cache" / "tfgrid-compose"
    assert paths.runtime_dir() == home / "run" / "tfgrid-compose"


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_variables_that_are_no_absolute_path_count_as_unset(home: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(variable, value)
    assert paths.config_dir() == home / ".config" / "tfgrid-compose"
    assert paths.state_dir() == home / ".local" / "state" / "tfgrid-compose"
    assert paths.cache_dir() == home / ".cache" / "tfgrid-compose"
    assert paths.runtime_dir() == Path(f"/dev/shm/tfgrid-compose-{os.geteuid()}")


def test_a_runtime_folder_that_is_gone_is_not_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "gone"))
    assert paths.runtime_dir().parent == Path("/dev/shm")


@pytest.mark.usefixtures("umask")
def test_new_folders_and_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    file = paths.private_file(tmp_path / "a" / "b" / "file", b"secret")
    assert file.read_bytes() == b"secret"
    assert file.stat().st_mode & 0o077 == 0
    assert [folder.stat().st_mode & 0o777 for folder in (tmp_path / "a", tmp_path / "a" / "b")] == [0o700, 0o700]


@pytest.mark.usefixtures("umask")
def test_a_log_is_private_and_grows(tmp_path: Path) -> None:
    for line in ("one\n", "two \udcff\n"):
        with paths.private_log(tmp_path / "logs" / "run.log") as log:
            log.write(line)
    assert (tmp_path / "logs" / "run.log").read_text() == "one\ntwo ?\n"
    assert (tmp_path / "logs" / "run.log").stat().st_mode & 0o077 == 0


def test_a_file_that_is_replaced_becomes_private(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o644)
    paths.private_file(file, b"new")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o600)
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def full(_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_on_a_full_disk_the_old_file_stays_whole_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError) as caught:
        paths.private_file(file, b"new")
    assert (caught.value.code, caught.value.why) == ("disk-full", "the disk is full")
    assert isinstance(caught.value.__cause__, OSError)
    assert file.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_other_failures_keep_the_systems_words_and_name_the_folder(tmp_path: Path) -> None:
    error = paths.write_error(tmp_path / "file", OSError(errno.EROFS, "Read-only file system"))
    assert (error.code, error.why) == ("state-unwritable", "Read-only file system")
    assert str(tmp_path) in error.fix
    assert paths.write_error(tmp_path, OSError("odd")).why == "odd"
    assert paths.write_error(tmp_path, OSError(errno.ENOSPC, "No space")).code == "disk-full"


def test_a_file_in_the_way_of_a_folder_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError):
        paths.private_dir(tmp_path / "file" / "a" / "b")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StateError):
        paths.private_log(tmp_path / "folder")


def test_a_file_in_the_way_of_a_files_folder_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError):
        paths.private_file(tmp_path / "file" / "inner", b"x")


@needs_root
def test_under_sudo_our_files_belong_to_the_user_who_called_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFGRID_SUDO_UID", "12345")
    monkeypatch.setenv("TFGRID_SUDO_GID", "23456")
    assert paths.owner() == (12345, 23456)
    file = paths.private_file(tmp_path / "a" / "file", b"x")
    with paths.private_log(tmp_path / "a" / "log"):
        pass
    (tmp_path / "a" / "root").mkdir()
    (tmp_path / "a" / "root" / "link").symlink_to("/etc/passwd")
    owners = {item: (item.lstat().st_uid, item.lstat().st_gid) for item in (file, file.parent, file.with_name("log"))}
    assert set(owners.values()) == {(12345, 23456)}
    assert (tmp_path / "a" / "root").stat().st_uid == 0
    paths.give_all(tmp_path / "a")
    assert {item.lstat().st_uid for item in (tmp_path / "a").rglob("*")} == {12345}
    assert Path("/etc/passwd").stat().st_uid == 0


@pytest.mark.parametrize(("uid", "gid"), [("", ""), ("1000", ""), ("x", "1"), ("-1", "1"), ("²", "1"), ("٣", "1")])
def test_without_a_whole_sudo_record_files_are_the_callers(monkeypatch: pytest.MonkeyPatch, uid: str, gid: str) -> None:
    monkeypatch.setenv("TFGRID_SUDO_UID", uid)
    monkeypatch.setenv("TFGRID_SUDO_GID", gid)
    assert paths.owner() == (os.geteuid(), os.getegid())


def test_giving_a_tree_that_is_not_there_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFGRID_SUDO_UID", "12345")
    monkeypatch.setenv("TFGRID_SUDO_GID", "12345")
    paths.give_all(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


# Folders that somebody else may have made


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that everybody can write into, as the one in which running things have their place."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder / "tfgrid-compose"


Squat = Callable[[Path], object]
BEFORE: dict[str, Squat] = {
    "open to all": lambda folder: (folder.mkdir(), folder.chmod(0o777)),
    "read by all": lambda folder: (folder.mkdir(), folder.chmod(0o755)),
    "of somebody else": lambda folder: (folder.mkdir(mode=0o700), os.chown(folder, 12345, 12345)),
    "a link": lambda folder: (folder.symlink_to(folder.parent.parent), os.chown(folder, 12345, 12345, follow_symlinks=False)),
    "a file": lambda folder: folder.write_text(""),
}


@needs_root
@pytest.mark.parametrize("before", BEFORE)
def test_a_runtime_folder_that_somebody_made_before_us_is_refused(shared: Path, before: str) -> None:
    BEFORE[before](shared)
    for way in (paths.runtime_dir, lambda: paths.runtime_dir() / "keys", lambda: wireguard.config_path("wg-x")):
        with pytest.raises(StateError) as caught:
            way()
        assert caught.value.code == "folder-untrusted" and str(shared) in caught.value.what
    assert caught.value.why and "remove it" in caught.value.fix
    assert before == "a file" or before == "a link" or list(shared.iterdir()) == []


def test_a_runtime_folder_of_our_own_is_private_and_used_again(shared: Path) -> None:
    for _ in range(2):
        file = paths.private_file(paths.runtime_dir() / "keys" / "abc", b"key")
    assert shared.stat().st_mode & 0o777 == 0o700 and file.read_bytes() == b"key"


@needs_root
def test_nothing_is_made_below_a_shared_folder_in_what_others_made(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    for way in (
        lambda path: paths.private_dir(path),
        lambda path: paths.private_file(path, b"x"),
        lambda path: paths.private_log(path),
    ):
        with pytest.raises(StateError) as caught:
            way(tmp_path / "theirs" / "a" / "b")
        assert caught.value.code == "folder-untrusted"
    assert list((tmp_path / "theirs").iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "dead link", "hard link", "pipe"])
def test_what_lies_in_the_way_of_a_file_is_not_written_through(tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("old")

    def lay(path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.hardlink_to(victim) if kind == "hard link" else path.symlink_to(victim if kind == "link" else tmp_path / "new")

    lay(tmp_path / "a" / f".file.{os.getpid()}")
    assert paths.private_file(tmp_path / "a" / "file", b"x").read_bytes() == b"x"
    lay(tmp_path / "a" / "log")
    with pytest.raises(StateError):
        paths.private_log(tmp_path / "a" / "log")
    assert victim.read_text() == "old" and not (tmp_path / "new").exists()


@needs_root
def test_under_sudo_a_link_of_the_user_leads_root_only_to_what_is_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFGRID_SUDO_UID", "12345")
    monkeypatch.setenv("TFGRID_SUDO_GID", "12345")
    for name, owner in (("home", 12345), ("theirs", 12345), ("roots", 0)):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, owner, owner)
    for name in ("theirs", "roots"):
        link = tmp_path / "home" / f"to-{name}"
        link.symlink_to(tmp_path / name)
        os.chown(link, 12345, 12345, follow_symlinks=False)
    assert paths.private_file(tmp_path / "home" / "to-theirs" / "a", b"x").exists()
    with pytest.raises(StateError) as caught:
        paths.private_file(tmp_path / "home" / "to-roots" / "a", b"x")
    assert caught.value.code == "folder-untrusted" and "belongs to user 0" in caught.value.why
    assert list((tmp_path / "roots").iterdir()) == []


@needs_root
def test_a_second_name_of_a_file_of_root_is_not_given_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFGRID_SUDO_UID", "12345")
    monkeypatch.setenv("TFGRID_SUDO_GID", "12345")
    (tmp_path / "secret").write_text("")
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "second").hardlink_to(tmp_path / "secret")
    paths.give_all(tmp_path / "a")
    assert ((tmp_path / "secret").stat().st_uid, (tmp_path / "a" / "b").stat().st_uid) == (0, 12345)


@pytest.mark.parametrize("name", ["SQLITE_IOERR", "SQLITE_IOERR_SHMSIZE", "SQLITE_CANTOPEN"])
@pytest.mark.parametrize("full", [True, False])
def test_a_disk_without_room_is_told_whatever_sqlite_calls_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, full: bool
) -> None:
    monkeypatch.setattr(paths, "is_full", lambda _: full)
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = getattr(sqlite3, name)
    assert database._database_error(home / "state.db", error).code == ("disk-full" if full else "state-unwritable")


def test_a_folder_with_room_is_not_full(tmp_path: Path) -> None:
    assert not paths.is_full(tmp_path) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("length", "usual"), [(20, True), (58, True), (59, False), (200, False)])
def test_sockets_stand_where_their_path_is_short_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, length: int, usual: bool
) -> None:
    folder = Path("/" + "r" * (length - 1))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr(paths.os, "access", lambda path, mode: True)
    assert paths.runtime_dir() == folder / "tfgrid-compose"
    found = paths.socket_dir()
    assert (found == paths.runtime_dir()) == usual
    # As ssh names its socket while it makes one.
    assert len(os.fsencode(found / "ssh" / ("d" * 12))) + 17 <= 107
