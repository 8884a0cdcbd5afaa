"""Whether a folder is ours alone: where others can write, anybody may have made it before us.

Root that works for a user who called sudo also meets links that this user has made.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path

from tfgrid_compose.errors import StateError

_SHARED, _WRITABLE, _OPEN = 0o002, 0o022, 0o077


def look(path: Path, owners: Collection[int], *, private: bool = False) -> None:
    """Raise `StateError` unless what is on the way to a folder can only have been made by `owners` or root.

    With `private` the folder itself may not even be read by others. What is not there yet is no reason.
    """
    for folder in (path, *path.parents):
        try:
            found = folder.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _refused(folder, error.strerror or str(error)) from error
        strict = private and folder == path
        if strict or (folder.parent != folder and _is_shared(folder.parent)):
            _look_at(folder, found, {*owners, 0}, _OPEN if strict else _WRITABLE)
        if stat.S_ISLNK(found.st_mode):
            _look_behind(folder, owners)


def _is_shared(folder: Path) -> bool:
    try:
        return bool(folder.stat().st_mode & _SHARED)
    except OSError:
        return False


def _look_at(folder: Path, found: os.stat_result, owners: Collection[int], closed: int) -> None:
    if found.st_uid not in owners:
        raise _refused(folder, f"it belongs to user {found.st_uid}, who may have put anything there")
    if stat.S_ISLNK(found.st_mode):
        return
    if not stat.S_ISDIR(found.st_mode):
        raise _refused(folder, "it is no folder")
    if found.st_mode & closed:
        verb = "write into" if found.st_mode & _WRITABLE else "read"
        raise _refused(folder, f"others can {verb} it (mode {stat.S_IMODE(found.st_mode):o})")


def _look_behind(link: Path, owners: Collection[int]) -> None:
    """A link that a user has made leads root nowhere but to a folder of this user."""
    target = Path(os.path.realpath(link))
    if os.geteuid() == 0 and link.lstat().st_uid != 0:
        try:
            owner = target.stat().st_uid
        except FileNotFoundError:
            owner = link.lstat().st_uid
        if owner != link.lstat().st_uid:
            raise _refused(link, f"it is a link of user {link.lstat().st_uid} to {target}, which belongs to user {owner}")
    look(target, owners)


def opened(path: Path, flags: int, owners: Collection[int]) -> int:
    """Open a file of ours for writing, mode 0600, never through a link. Raises `OSError`, and `StateError` for another's."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid not in {*owners, 0} or found.st_nlink != 1:
        os.close(descriptor)
        raise _refused(path, f"it is no plain file of ours (it belongs to user {found.st_uid}, and has {found.st_nlink} names)")
    return descriptor


def _refused(path: Path, why: str) -> StateError:
    return StateError(
        f"{path} can't be trusted", why=why, fix=f"ls -ld {path}; remove it, then run the command again", code="folder-untrusted"
    )
