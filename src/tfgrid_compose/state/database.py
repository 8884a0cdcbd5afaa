"""One open SQLite database: how it is opened, migrated, written under a fence, and how damage is told.

WAL mode with full sync: what is committed survives a crash and a power cut.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfgrid_compose.errors import BusyError, StateError
from tfgrid_compose.state import backups, paths, watermark
from tfgrid_compose.state.schema import MIGRATIONS, SCHEMA, SCHEMA_VERSION, run_script
from tfgrid_compose.state.vault import Vault
from tfgrid_compose.words import count

# A larger database is not looked through at every start; `state check` does it.
_QUICK = 16 * 1024**2


class Database:
    """An open database; what it holds is added by the classes that stand on this one."""

    def __init__(self, path: Path | None = None, *, fresh: bool = False) -> None:
        """Open it, or make it where there never was one. Raises `StateError`.

        With `fresh`, what was lost is given up: one is also made where it is missing, and one that is older than it was
        is taken as it is.
        """
        self.path = path or paths.state_dir() / "state.db"
        paths.private_dir(self.path.parent)
        self.vault = Vault()
        self._fence: tuple[str, int] | None = None
        self._guard = threading.RLock()
        self._fresh = fresh
        self._noted = False
        # Before the database, which is then at least as new.
        self._mark = watermark.read(self.path.parent)
        if not fresh and not _size(self.path) and lived_before(self.path):
            raise lost(self.path)
        try:
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
                paths.give_all(self.path.parent)
            with self._explained():
                self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            self._inode = self.path.stat().st_ino
        except OSError as error:
            raise paths.write_error(self.path, error) from error
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self._db.row_factory = sqlite3.Row
        with self._explained():
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._look_through()
            self._look_whether_newest()
            self._migrate()

    def _look_through(self) -> None:
        """Refuse damage before anything is read from it or written into it; some milliseconds for a usual size."""
        pages, size = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        # As long as there is a log, not all pages are in the file itself.
        if not _size(self.path.with_name(f"{self.path.name}-wal")) and _size(self.path) < pages * size:
            raise damaged(self.path, f"it was cut off: it has {_size(self.path)} of its {pages * size} bytes")
        if _size(self.path) > _QUICK:
            return
        found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise damaged(self.path, " ".join(str(found).split()))

    def _look_whether_newest(self) -> None:
        """Refuse a database that lacks what was committed. An empty one is told by `_migrate`."""
        if not self._fresh and self._version() and (missing := self.missing_writes()):
            raise behind(self.path, missing)

    def missing_writes(self) -> int:
        """How many transactions were committed here and are not in the database. Raises `StateError`."""
        with self._explained():
            return max(0, self._mark - watermark.counted(self._db))

    def _migrate(self) -> None:
        version = self._version()
        if version > SCHEMA_VERSION:
            raise StateError(
                f"{self.path} was written by a newer tfgrid-compose",
                why=f"its schema is version {version}, this program knows {SCHEMA_VERSION}",
                fix="upgrade tfgrid-compose",
                code="state-newer",
            )
        if version == SCHEMA_VERSION:
            return
        if version:
            backups.save(self.path, f"schema-{version}")
            self._before_migration(version)
        with self.write() as db:
            # Another process may have done it while we waited for the lock.
            version = self._version()
            if version == 0:
                if not self._fresh and lived_before(self.path):
                    raise lost(self.path)
                run_script(db, SCHEMA)
            for target in range(version + 1, SCHEMA_VERSION + 1) if version else ():
                run_script(db, MIGRATIONS[target])
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _before_migration(self, version: int) -> None:
        """What must be known outside before a database of an older version is changed."""

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def close(self) -> None:
        """Close the database."""
        self._db.close()
        paths.give_all(self.path.parent)

    # Fencing

    def take_fence(self, name: str) -> int:
        """Take the next fencing token of a lease; from now on every write checks that it is still the newest."""
        self._fence = None
        with self.write() as db:
            db.execute(
                "INSERT INTO leases VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET token = token + 1",
                (name,),
            )
            token = int(db.execute("SELECT token FROM leases WHERE name = ?", (name,)).fetchone()[0])
        self._fence = (name, token)
        return token

    def drop_fence(self) -> None:
        """Write without a lease again."""
        self._fence = None

    @property
    def token(self) -> int:
        """The fencing token that this process writes under; 0 without a lease."""
        return self._fence[1] if self._fence else 0

    def _check_fence(self) -> None:
        if self._fence is None:
            return
        name, token = self._fence
        row = self._db.execute("SELECT token FROM leases WHERE name = ?", (name,)).fetchone()
        if row is None or row["token"] != token:
            raise BusyError(
                f"this run has lost the deployment `{name.split('--')[-1]}` to another one",
                why="its lock was removed or replaced while it ran, and a newer run took over",
                fix="tfgrid-compose runs shows them; let the newer one end, then run the command again",
                code="lease-lost",
            )

    # Reading and writing

    def _check_file(self) -> None:
        """What is written into a file that was replaced would be lost without a word."""
        try:
            same = self.path.stat().st_ino == self._inode
        except OSError:
            same = False
        if not same:
            raise BusyError(
                "the database was replaced while this command ran",
                why="`tfgrid-compose state restore` put another one in its place",
                fix="tfgrid-compose state check, then run the command again",
                code="state-replaced",
            )

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction. Raises `BusyError` when the lease was lost, `StateError` when disk or database refuse it."""
        # Terraform's state is written by the thread that serves it.
        with self._guard, self._explained():
            try:
                # Inside: Ctrl-C may come when the transaction is begun and this line has not ended.
                self._db.execute("BEGIN IMMEDIATE")
                self._check_file()
                self._check_fence()
                yield self._db
                written = watermark.count(self._db, beyond=self._mark if self._fresh else 0)
                self._db.execute("COMMIT")
                watermark.write(self.path.parent, written, sync=not self._noted)
                self._noted = True
            except BaseException:
                # On a full disk SQLite has rolled back already; to do it again would hide the reason.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
            raise  # A bug of ours, or explained by who knows which rule was broken.
        except sqlite3.DatabaseError as error:
            raise _database_error(self.path, error) from error
        except UnicodeDecodeError as error:  # SQLite's own message quotes a name that is damaged.
            raise damaged(self.path, "a name in it is no text any more") from error

    def _rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """All rows of a query. Raises `StateError` when the database is damaged."""
        with self._explained():
            return self._db.execute(statement, values).fetchall()

    def _row(self, statement: str, values: tuple[Any, ...]) -> sqlite3.Row | None:
        """The first row of a query. Raises `StateError` when the database is damaged."""
        with self._explained():
            row: sqlite3.Row | None = self._db.execute(statement, values).fetchone()
            return row

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            return parsed(text)
        except ValueError as error:
            raise damaged(self.path, str(error)) from error

    # Single facts

    def fact(self, key: str) -> str | None:
        """A remembered fact about the whole database."""
        row = self._row("SELECT value FROM meta WHERE key = ?", (key,))
        return str(row["value"]) if row else None

    def set_fact(self, key: str, value: str) -> None:
        """Remember a fact."""
        with self.write() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


# Texts with a checksum: SQLite does not see a bit that flips inside a value.

_CHECKSUM = re.compile(r'(?:, )?"": "([0-9a-f]{8})"\}$')


def with_checksum(value: dict[str, Any]) -> str:
    """JSON of an object, with a checksum as its last value, under the empty key."""
    text = json.dumps(value)
    return f'{text[:-1]}{", " if value else ""}"": "{zlib.crc32(text.encode()):08x}"}}'


def parsed(text: Any) -> dict[str, Any]:
    """The object that `with_checksum` wrote. Raises `ValueError` for what is none, or was changed since."""
    try:
        found = json.loads(_without_checksum(text))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(found, dict):
        raise ValueError("a value is not what was written")
    return found


def _without_checksum(text: str) -> str:
    """The JSON without its checksum; earlier versions wrote none. Raises `ValueError` when the two don't fit."""
    found = _CHECKSUM.search(text)
    if found is None:
        return text
    plain = text[: found.start()] + "}"
    if f"{zlib.crc32(plain.encode()):08x}" != found[1]:
        raise ValueError("a value does not have the checksum that was written with it")
    return plain


# What is wrong with a database, in our words.

# What SQLite says about a file whose content it can't make sense of; a table that is missing is one of these.
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}

_NO_ROOM = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}


def _database_error(path: Path, error: sqlite3.DatabaseError) -> StateError:
    """SQLite's error in our words."""
    # An error without a code is Python's own: it could not make sense of a stored value.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in _DAMAGE:
        return damaged(path, str(error))
    # Where the file of its shared memory can't grow, SQLite says I/O error, or that it can't open something.
    if code == sqlite3.SQLITE_FULL or (code in _NO_ROOM and paths.is_full(path.parent)):
        return paths.write_error(path, OSError(errno.ENOSPC, str(error)))
    busy = code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return StateError(
        f"the database {path} can't be used",
        why="another process has had it locked for too long" if busy else str(error),
        fix="wait until the other run has ended, then run the command again" if busy else f"ls -ld {path} {path.parent}",
        code="state-unwritable",
    )


def damaged(path: Path, why: str) -> StateError:
    """Refuse a damaged database, and name what helps."""
    return StateError(f"the database {path} is damaged", why=why, fix=backups.remedy(), code="state-damaged")


def lost(path: Path) -> StateError:
    """Refuse to make a new database where one is missing: it would look as if nothing had ever been deployed."""
    return StateError(
        f"the database {path} is {'empty' if path.exists() else 'missing'}",
        why="there was one before: files that were made with it are still there",
        fix=backups.remedy(),
        code="state-lost",
    )


def behind(path: Path, missing: int) -> StateError:
    """Refuse a database that is older than what was committed: what it has forgotten would be bought again, or paid on."""
    return StateError(
        f"the database {path} is older than it was: {count(missing, 'write')} {'is' if missing == 1 else 'are'} missing",
        why=f"its log `{path.name}-wal` was deleted before what it held was in the database, or an older copy was put here",
        fix="tfgrid-compose state repair goes on with the newest that is left; or put the log back before",
        code="state-behind",
    )


def lived_before(path: Path) -> bool:
    """Whether a database stood here before: something was written, a key was made for it, an anchor, or a backup of it."""
    traces = (watermark.NAME, "key", "anchor")
    return any((path.parent / name).exists() for name in traces) or (path.parent == paths.state_dir() and bool(backups.listed()))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
