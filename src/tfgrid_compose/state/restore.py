"""Putting a backup in the place of the database, whatever state that is in."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import anchor, backups, paths, watermark
from tfgrid_compose.state.audit import GENESIS, link
from tfgrid_compose.state.backups import Backup
from tfgrid_compose.state.quiet import quiet
from tfgrid_compose.state.store import Store

_BESIDE = ("-wal", "-shm")


@dataclass(frozen=True)
class Restored:
    """What a restore did: from which backup, where the replaced database is now, how many audit entries it gave on."""

    backup: Backup
    kept: str
    entries: int


def restore(backup: Backup, database: Path | None = None) -> Restored:
    """Put a good backup in the place of the database, which may be damaged, empty or missing.

    The replaced one is kept: as a backup when it is healthy, else as `state.db.damaged-<time>`. Audit entries that are
    newer than the backup are carried over as far as their chain is whole. Raises `BusyError` while a run goes on, and
    `StateError`.
    """
    path = database or paths.state_dir() / "state.db"
    content = backup.content()
    if content is None or backups.examine(content) != backups.GOOD:
        raise StateError(
            f"the backup {backup.name} can't be restored",
            why="it is damaged, or a newer tfgrid-compose wrote it",
            fix="tfgrid-compose state backups",
            code="backup-damaged",
        )
    with quiet("restoring"):
        kept = _kept_as_backup(path)
        fresh, entries = _prepared(content, path)
        kept = swap(fresh, path, keep=not kept) or kept
    with Store(path) as store:
        _accept(store)
        store.append_audit(action="state restore", backup=backup.name, replaced=Path(kept).name, entries_kept=entries)
    return Restored(backup, kept, entries)


def start_anew(database: Path | None = None) -> str:
    """Make an empty database in the place of one that is lost; returns where the remains of that one are now."""
    path = database or paths.state_dir() / "state.db"
    with quiet("making a new database"):
        kept = _aside(path)
        with Store(path, fresh=True) as store:
            lost = _accept(store)
            store.append_audit(action="state anew", replaced=Path(kept).name, entries_lost=lost)
    return kept


def accept_older(database: Path | None = None) -> int:
    """Go on with a database that lacks what was committed last; returns how many writes are lost. Raises `StateError`."""
    path = database or paths.state_dir() / "state.db"
    with quiet("going on with an older database"), Store(path, fresh=True) as store:
        lost = store.missing_writes()
        entries = _accept(store)
        store.append_audit(action="state accept", writes_lost=lost, entries_lost=entries)
    return lost


def newer_backup(database: Path | None = None) -> Backup | None:
    """The newest good backup, when it holds writes that the database lacks."""
    path, good = database or paths.state_dir() / "state.db", backups.newest_good()
    content = good.content() if good else None
    if content is None:
        return None
    try:
        with contextlib.closing(backups.in_memory(content)) as db, _reading(path) as present:
            return good if watermark.counted(db) > watermark.counted(present) else None
    except backups.UNREADABLE:
        return None


def _accept(store: Store) -> int:
    """Make the anchor and the seals of secrets fit the database that is there now; returns how many audit entries it lacks.

    Secrets of another key are left as they are: `state check` tells about them.
    """
    head = store.audit_head()
    with contextlib.suppress(StateError):
        before = anchor.read(store.vault, store.path.parent)
        store.accept_secrets()
        store.anchor_audit_anew()
        return max(0, before.audit[0] - head[0]) if before else 0
    return 0


def _kept_as_backup(path: Path) -> str:
    """The name of a backup of the database; empty when it is not healthy enough for one."""
    if not path.exists() or not path.stat().st_size:
        return ""
    try:
        return backups.save(path, "before-restore").name
    except StateError:
        return ""


def _prepared(content: bytes, path: Path) -> tuple[Path, int]:
    """A file beside the database with the backup's content of our version, and how many entries it got from the old one."""
    try:
        with contextlib.closing(backups.in_memory(content)) as db:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            backups.migrate(db, version)
            entries = _carry_over(path, db)
            # It takes the place of all that was written here.
            watermark.count(db, beyond=watermark.read(path.parent))
            data = bytes(db.serialize())
    except backups.UNREADABLE as error:
        raise StateError(
            "the backup can't be restored", why=str(error), fix="tfgrid-compose state backups", code="backup-damaged"
        ) from error
    return paths.private_file(path.with_name(f".{path.name}.restored-{os.getpid()}"), data), entries


def _carry_over(old: Path, db: sqlite3.Connection) -> int:
    """Add what must never go back: newer audit entries, numbers of runs, tokens of leases."""
    entries = 0
    if not old.exists():
        return entries
    # What a damaged database can't give is lost; what was read before that is kept.
    with contextlib.suppress(*backups.UNREADABLE), _reading(old) as source:
        last = db.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone() or (0, GENESIS)
        for row in source.execute("SELECT seq, at, entry, previous, hash FROM audit WHERE seq > ? ORDER BY seq", (last[0],)):
            seq, _, entry, previous, hash = row
            if seq != last[0] + 1 or previous != last[1] or hash != link(previous, str(entry)):
                break
            db.execute("INSERT INTO audit (seq, at, entry, previous, hash) VALUES (?, ?, ?, ?, ?)", row)
            last, entries = (seq, hash), entries + 1
    with contextlib.suppress(*backups.UNREADABLE), _reading(old) as source:
        _keep_counting(source, db)
    return entries


def _keep_counting(source: sqlite3.Connection, db: sqlite3.Connection) -> None:
    """Runs get numbers that were never given: logs are kept under them. Tokens of leases only grow."""
    number = source.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()
    if number and isinstance(number[0], int):
        known = db.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'runs'", number).rowcount
        if not known:
            db.execute("INSERT INTO sqlite_sequence VALUES ('runs', ?)", number)
    for name, token in source.execute("SELECT name, token FROM leases"):
        if isinstance(token, int):
            db.execute(
                "INSERT INTO leases VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET token = max(token, excluded.token)",
                (name, token),
            )


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    try:
        yield db
    finally:
        db.close()


def swap(fresh: Path, path: Path, *, keep: bool) -> str:
    """Put the file `fresh` in the place of the database; returns where the old one is now, empty when it is gone.

    The old one goes first: while none is there no other process can begin a log that would be taken for the new one's.
    """
    old = _aside(path)
    try:
        os.replace(fresh, path)
        paths.sync_folder(path.parent)
    except OSError as error:
        raise paths.write_error(path, error) from error
    if old and not keep:
        for suffix in ("", *_BESIDE):
            Path(old + suffix).unlink(missing_ok=True)
        return ""
    return old


def replace_empty(fresh: Path, path: Path) -> None:
    """Put the file `fresh` in the place of a database in which nothing is, in one move: at each moment one is there.

    Raises `StateError`, also when another process has it open.
    """
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as db:
            # No log stays behind that would be taken for the new one's.
            db.execute("PRAGMA journal_mode=DELETE").fetchall()
        os.replace(fresh, path)
        paths.sync_folder(path.parent)
    except sqlite3.Error as error:
        raise StateError(
            f"{path} can't be replaced",
            why=str(error),
            fix="let other commands end, then run this one again",
            code="state-unwritable",
        ) from error
    except OSError as error:
        raise paths.write_error(path, error) from error


def _aside(path: Path) -> str:
    """Move a database with its log out of the way; returns its new path, empty when there was none."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    target = path.with_name(f"{path.name}.damaged-{stamp}-{os.getpid()}")
    try:
        moved = [suffix for suffix in ("", *_BESIDE) if path.with_name(path.name + suffix).exists()]
        for suffix in moved:
            os.replace(path.with_name(path.name + suffix), target.with_name(target.name + suffix))
        paths.sync_folder(path.parent)
    except OSError as error:
        raise paths.write_error(path, error) from error
    return str(target) if "" in moved else ""
