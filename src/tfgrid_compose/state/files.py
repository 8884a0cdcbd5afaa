"""Looks through the files beside the database: folders of deployments, backups, locks, rights, leftovers of crashes."""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import backups, lease, paths
from tfgrid_compose.state.problem import Problem
from tfgrid_compose.state.quiet import known_leases
from tfgrid_compose.state.store import Store

# Files that are written beside their target and then renamed; one so old was left by a crash.
_PARTIAL = re.compile(r"^\.(state\.db|key|anchor|rotated-|[0-9a-f]{64}|[0-9]{8}-[0-9]{6}-[0-9]{3,12}-).*")
SETTLED = 3600.0
# Folders of a deployment where providers and releases are unpacked, with modes of their own.
_FOREIGN = ("terraform", "tmp")
# ssh writes these; they hold public keys.
_PUBLIC = ("known_hosts", "known_hosts.old")


def look_beside() -> list[Problem]:
    """What is wrong in the files, whatever the database is like."""
    return [*_backups(), *_locks(), *_modes(), *_partials()]


def look_at_folders(store: Store) -> Iterator[Problem]:
    """Folders of deployments: one for each that has machines, and none of others. Raises `StateError`."""
    base = paths.state_dir() / "deployments"
    known = {item.id: item for item in store.deployments()}
    for item in known.values():
        if item.machines and not paths.deployment_dir(item.id).is_dir():
            text = f"the folder of {item.name} is gone, and with it the keys of its machines as they were first seen"
            yield Problem("folder-missing", text, mend=partial(_made, paths.deployment_dir(item.id)))
    for path in sorted(base.iterdir()) if base.is_dir() else ():
        # A Terraform state that a crash left in clear may be all that knows what stands on the grid.
        if path.name not in known and not (path / "terraform" / "errored.tfstate").exists():
            yield Problem("folder-leftover", f"{path} belongs to no deployment", mend=partial(_removed, path))


def _made(path: Path) -> str:
    return f"made {paths.private_dir(path)}"


def _removed(path: Path) -> str:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return f"removed {path}"


def _backups() -> Iterator[Problem]:
    good = backups.newest_good()
    for item in backups.listed():
        if item.condition() == backups.DAMAGED:
            # The only copy stays, damaged as it is: somebody may still save something of it.
            mend = partial(_dropped, item) if good else None
            yield Problem("backup-damaged", f"the backup {item.name} is damaged", "tfgrid-compose state backup", mend)


def _dropped(item: backups.Backup) -> str:
    backups.forget(item)
    return f"removed the damaged backup {item.name}"


def _locks() -> Iterator[Problem]:
    for name in known_leases():
        try:
            lease.holder(name)
        except StateError as error:
            path = paths.state_dir() / "locks" / f"{name}.lock"
            yield Problem("lock-unreadable", f"the lock {path} can't be read: {error.why}", f"ls -ld {path}")


def _modes() -> Iterator[Problem]:
    """Files and folders that others may read."""
    for path in _ours(paths.state_dir()):
        try:
            mode = path.lstat().st_mode
        except OSError:
            continue
        if not stat.S_ISLNK(mode) and mode & 0o077:
            text = f"{path} can be read by others (mode {stat.S_IMODE(mode):o})"
            yield Problem("mode-open", text, mend=partial(_closed, path))


def _closed(path: Path) -> str:
    try:
        path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o700)
    except FileNotFoundError:
        return f"{path} is gone"
    except OSError as error:
        raise paths.write_error(path, error) from error
    return f"{path} is private again"


def _ours(base: Path) -> Iterator[Path]:
    """All our files and folders; not what other programs unpack."""
    if base.is_dir():
        yield base
    for folder, folders, names in os.walk(base):
        if Path(folder).parent.name == "deployments":
            folders[:] = [name for name in folders if name not in _FOREIGN]
        yield from (Path(folder, name) for name in [*folders, *names] if name not in _PUBLIC)


def _partials() -> Iterator[Problem]:
    old, base = time.time() - SETTLED, paths.state_dir()
    found = [path for place in (base, base / "backups", base / "blobs") for path in place.glob(".*") if _PARTIAL.match(path.name)]
    # A release that was unpacked for one command.
    found += (base / "deployments").glob("*/tmp/*")
    for path in sorted(found):
        if older(path, old):
            yield Problem("file-leftover", f"{path} was left by a command that was cut off", mend=partial(_removed, path))


def older(path: Path, than: float) -> bool:
    """Whether a file was last changed before `than` (unix seconds)."""
    try:
        return path.stat().st_mtime < than
    except OSError:
        return False
