"""A new key for everything that is encrypted: the database and all of its backups.

At each point either key decrypts what it encrypted: the file of keys holds both until nothing needs the old one.
Whoever rotates again goes on where a crash stopped it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tfgrid_compose.errors import BusyError, StateError
from tfgrid_compose.state import backups, lease, paths, sealed, whoami
from tfgrid_compose.state.backups import Backup
from tfgrid_compose.state.quiet import quiet
from tfgrid_compose.state.secrets import Secrets
from tfgrid_compose.state.vault import Vault

_LEASE = "secrets"
# A file that is written beside its target and then renamed, with the number of the process.
_PARTIAL = re.compile(r"^\..*[.-](\d+)(?:-[0-9a-f]+)?$")


@dataclass(frozen=True)
class Rotated:
    """What has a new key: how many secrets and backups; `damaged` are backups whose secrets nobody could read."""

    secrets: int
    backups: int
    damaged: list[str]


def rotate(store: Secrets) -> Rotated:
    """Make a new key, encrypt everything anew, and forget the old one.

    Raises `BusyError` while a run goes on, and `StateError`; then both keys are kept, and the next call goes on.
    """
    with _alone("rotating the key"):
        vault = store.vault
        keys = vault.keys(make=True)
        if not keys.rotating:
            _refuse(store.secret_problems())
            backups.save(store.path, "rotate")
            vault.file.write(keys.begun())
        secrets = store.rewrite_secrets()
        done, damaged = _rewrite_backups(vault)
        _sweep()
        vault.file.write(vault.keys().ended())
    return Rotated(secrets, done, damaged)


def move(store: Secrets, source: str, passphrase: str | None = None) -> None:
    """Keep the keys elsewhere: `source` is one of `keys.SOURCES`. Raises `BusyError` and `StateError`."""
    with _alone("moving the key"):
        store.vault.file.write(store.vault.keys(make=True), source, passphrase)


def unusable_backups(vault: Vault) -> Iterator[tuple[str, StateError]]:
    """Backups that are whole, but whose secrets were tampered with or belong to a key that we don't have."""
    for backup in backups.listed():
        content = backup.content()
        try:
            if content is not None and backups.examine(content) == backups.GOOD:
                _rewritten(content, vault, always=True)
        except StateError as error:
            yield backup.name, error


@contextlib.contextmanager
def _alone(action: str) -> Iterator[None]:
    # `quiet` takes every lease that was ever taken; one of our own keeps two rotations apart.
    try:
        with lease.hold(_LEASE):
            pass
    except BusyError as error:
        raise BusyError(
            f"{action} has to wait", why=error.why, fix="wait until it has ended, then run the command again"
        ) from error
    with quiet(action):
        yield


def _refuse(problems: list[StateError]) -> None:
    """Nothing that was tampered with gets a new seal."""
    for problem in problems:
        if problem.code not in ("anchor-missing", "rotation-unfinished"):
            raise problem


def _sweep() -> None:
    """Remove what crashed processes left half written: with the old key, or encrypted with it."""
    for folder in (paths.state_dir(), backups.folder()):
        for path in folder.iterdir() if folder.is_dir() else ():
            match = _PARTIAL.match(path.name)
            if match and whoami.process_start(int(match[1])) is None:
                path.unlink(missing_ok=True)


# Backups


def _rewrite_backups(vault: Vault) -> tuple[int, list[str]]:
    """Encrypt all backups anew; returns how many, and the names of damaged ones."""
    done, damaged = 0, []
    for backup in backups.listed():
        _finish(backup)
        content = backup.content()
        condition = backups.DAMAGED if content is None else backups.examine(content)
        if condition == backups.NEWER:
            raise StateError(
                f"the backup {backup.name} can't get the new key",
                why="a newer tfgrid-compose wrote it",
                fix=f"upgrade tfgrid-compose, or remove {backup.path}; then run `tfgrid-compose secrets rotate` again",
                code="backup-damaged",
            )
        try:
            if content is None or condition == backups.DAMAGED:
                raise sealed.damaged("the backup can't be read", "it is damaged")
            _replace(backup, _rewritten(content, vault))
            done += 1
        except StateError as error:
            # What neither key decrypts loses nothing when the old one is forgotten.
            if error.code not in ("secret-damaged", "key-wrong"):
                raise
            damaged.append(backup.name)
    return done, damaged


def _rewritten(content: bytes, vault: Vault, *, always: bool = False) -> bytes | None:
    """A backup's content under the active key; None when it is already, unless with `always`."""
    with _opened(content) as (db, version):
        if version > 1 and not always and sealed.is_current(db, vault):
            return None
        db.execute("BEGIN IMMEDIATE")
        if version > 1:
            sealed.rewrite(db, vault)
        else:
            sealed.rewrite_first(db, vault)
        db.execute("COMMIT")
        db.execute("VACUUM")  # What was overwritten still stands in unused pages.
        return bytes(db.serialize())


@contextlib.contextmanager
def _opened(content: bytes) -> Iterator[tuple[sqlite3.Connection, int]]:
    with contextlib.closing(backups.in_memory(content)) as db:
        yield db, int(db.execute("PRAGMA user_version").fetchone()[0])


def _staged(backup: Backup) -> Path:
    return backup.path.with_name(f".rotated-{backup.name}")


def _replace(backup: Backup, content: bytes | None) -> None:
    """Give a backup other content. Between digest and content a crash is mended by `_finish`."""
    if content is None or not backup.path.exists():
        return
    staged = paths.private_file(_staged(backup), content)
    digest = hashlib.sha256(content).hexdigest().encode() + b"\n"
    paths.private_file(backup.path.with_suffix(".sha256"), digest)
    os.replace(staged, backup.path)
    paths.sync_folder(backup.path.parent)


def _finish(backup: Backup) -> None:
    """Put a content in its place whose digest is there already; one that never got that far is dropped."""
    staged = _staged(backup)
    with contextlib.suppress(OSError):
        content = staged.read_bytes()
        if hashlib.sha256(content).hexdigest() == backup.path.with_suffix(".sha256").read_text().strip():
            os.replace(staged, backup.path)
            paths.sync_folder(backup.path.parent)
    staged.unlink(missing_ok=True)
