"""Where our files stand: the XDG folders, all of them private to the user."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import TextIO

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import trusted

_APP = "tfgrid-compose"
_FULL = (errno.ENOSPC, errno.EDQUOT)
# More than SQLite's shared memory wants at once.
_LITTLE = 128 * 1024
_NUMBER = re.compile(r"[0-9]{1,10}")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,199}")
# Of a socket's 107 bytes: `/ssh/`, our name of 12, and the 17 that ssh puts behind it while it makes one.
_LONGEST_SOCKET_DIR = 107 - 5 - 12 - 17


def _base(variable: str, default: str) -> Path:
    raw = os.environ.get(variable, "")
    base = Path(raw) if os.path.isabs(raw) else Path.home() / default
    return base / _APP


def config_dir() -> Path:
    """User's configuration."""
    return _base("XDG_CONFIG_HOME", ".config")


def state_dir() -> Path:
    """Database, logs and working folders of deployments."""
    return _base("XDG_STATE_HOME", ".local/state")


def cache_dir() -> Path:
    """What can be made again."""
    return _base("XDG_CACHE_HOME", ".cache")


def runtime_dir() -> Path:
    """Keys and sockets of running things, in memory: nothing here ever reaches a disk.

    Raises `StateError` when it is there and not ours alone: whoever made it could read and exchange keys.
    """
    raw = os.environ.get("XDG_RUNTIME_DIR", "")
    given = os.path.isabs(raw) and os.access(raw, os.W_OK)
    return _looked_at(Path(raw) / _APP if given else _shared_memory())


def socket_dir() -> Path:
    """`runtime_dir`, or another folder in memory where its path is too long for a socket below it. Raises as that does."""
    usual = runtime_dir()
    return usual if len(os.fsencode(usual)) <= _LONGEST_SOCKET_DIR else _looked_at(_shared_memory())


def _shared_memory() -> Path:
    return Path("/dev/shm") / f"{_APP}-{owner()[0]}"  # noqa: S108  # a 0700 folder of our own


def _looked_at(folder: Path) -> Path:
    trusted.look(folder, _owners(), private=True)
    return folder


def below(folder: Path, *names: str) -> Path:
    """A path of plain names below a folder: the one place where an id or a name becomes part of a path.

    Raises `StateError` for a name that could lead anywhere else.
    """
    for name in names:
        if not _PLAIN.fullmatch(name):
            raise StateError(
                f"{name[:80]!r} can't be the name of a file",
                why=f"it is no plain word, and could lead out of {folder}",
                fix="tfgrid-compose state check",
                code="name-unsafe",
            )
    return folder.joinpath(*names)


def deployment_dir(id: str) -> Path:
    """The folder of a deployment, which need not be there. Raises `StateError` for what is no id."""
    return below(state_dir() / "deployments", id)


def owner() -> tuple[int, int]:
    """(uid, gid) that our files belong to: under sudo, the user who called it."""
    uid, gid = os.environ.get("TFGRID_SUDO_UID"), os.environ.get("TFGRID_SUDO_GID")
    if os.geteuid() == 0 and uid and gid and _NUMBER.fullmatch(uid) and _NUMBER.fullmatch(gid):
        return int(uid), int(gid)
    return os.geteuid(), os.getegid()


def _owners() -> set[int]:
    """Users whose folders we trust, besides root."""
    return {os.geteuid(), owner()[0]}


def private_dir(path: Path) -> Path:
    """Make a folder with mode 0700, parents included. Raises `StateError`, also when somebody else may have made it."""
    missing = []
    folder = path
    try:
        trusted.look(path, _owners())
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            _give(folder)
    except OSError as error:
        raise write_error(path, error) from error
    if missing:
        trusted.look(path, _owners())
    return path


def private_file(path: Path, data: bytes) -> Path:
    """Write a file with mode 0600, whole or not at all, also after a power cut. Raises `StateError`."""
    private_dir(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # One that a killed process of the same number left.
        partial.unlink(missing_ok=True)
        with os.fdopen(trusted.opened(partial, os.O_WRONLY | os.O_EXCL, _owners()), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            _give(file.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise write_error(path, error) from error
    return path


def sync_folder(folder: Path) -> None:
    """Make names that were given or taken in a folder outlive a power cut. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # A file system that can't.
            raise
    finally:
        os.close(descriptor)


def is_full(folder: Path) -> bool:
    """Whether a folder's disk, or the user's part of it, takes not even a little more."""
    probe = folder / f".room.{os.getpid()}"
    try:
        with os.fdopen(trusted.opened(probe, os.O_WRONLY | os.O_EXCL, _owners()), "wb") as file:
            file.write(bytes(_LITTLE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno in _FULL
    except StateError:
        return False
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return False


def private_log(path: Path) -> TextIO:
    """Open a file with mode 0600 for adding lines. Raises `StateError`."""
    private_dir(path.parent)
    try:
        descriptor = trusted.opened(path, os.O_WRONLY | os.O_APPEND, _owners())
        _give(descriptor)
    except OSError as error:
        raise write_error(path, error) from error
    return os.fdopen(descriptor, "a", errors="replace")


def _give(path: Path | int) -> None:
    uid, gid = owner()
    if os.geteuid() == 0 and uid != 0:
        os.fchown(path, uid, gid) if isinstance(path, int) else os.chown(path, uid, gid, follow_symlinks=False)


def give_all(path: Path) -> None:
    """Give a tree that root has written in to the user who called sudo; links are given, and never followed."""
    uid, gid = owner()
    if os.geteuid() != 0 or uid == 0 or not path.exists():
        return
    for _, folders, files, place in os.fwalk(path):
        os.fchown(place, uid, gid)
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):
                if os.stat(name, dir_fd=place, follow_symlinks=False).st_nlink == 1 or name in folders:
                    os.chown(name, uid, gid, dir_fd=place, follow_symlinks=False)


def write_error(path: Path, error: OSError) -> StateError:
    """The error for a file that can't be written."""
    full = error.errno in _FULL
    return StateError(
        f"{path} can't be written",
        why="the disk is full" if full else error.strerror or str(error),
        fix="free some disk space, then run the command again" if full else f"check the permissions of {path.parent}",
        code="disk-full" if full else "state-unwritable",
    )
