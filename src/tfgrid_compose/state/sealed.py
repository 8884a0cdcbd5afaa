"""The table of secrets in one database, sealed: what was removed, exchanged or put back shows.

Each value is encrypted with its owner, name and generation bound in. `seals` has a row for each owner, which lists
names, generations and digests of its values; and one row for all, with an empty owner, which lists the digests of
the others and the newest generation, under a code that needs the key. Rows of version 1 of the database have
generation 0 and stand in no list, until their owner gets a new value.

The functions take any connection, so that backups can be read and written too. They raise `StateError`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

from tfgrid_compose.errors import StateError
from tfgrid_compose.state.vault import Vault

# Owners that are no deployments: values for an app folder that is not deployed, and accounts of the user.
FOLDER, ACCOUNTS = "app:", "account:"
_NO_DEPLOYMENTS = (FOLDER, ACCOUNTS)
_ALL = ""
_PURPOSE = "seals"
_CODE = 36

# One statement sees one state of the database, whatever other processes commit meanwhile.
_READ = """
SELECT 'secret', name, generation, value FROM secrets WHERE deployment = ?1
UNION ALL SELECT 'seal', deployment, 0, seal FROM seals WHERE deployment IN (?1, '')
UNION ALL SELECT 'deployment', id, 0, NULL FROM deployments WHERE id = ?1
"""


@dataclass(frozen=True)
class Root:
    """The newest generation, and the digest of each owner's seal."""

    generation: int = 0
    seals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Owned:
    """All secrets of one owner as they are stored: {name: (generation, encrypted value)}."""

    owner: str
    rows: dict[str, tuple[int, bytes]]
    seal: bytes | None
    root: Root
    exists: bool


def read(db: sqlite3.Connection, vault: Vault, owner: str) -> Owned:
    """What is stored of an owner. Only the root is checked yet."""
    rows: dict[str, tuple[int, bytes]] = {}
    seals: dict[str, bytes] = {}
    exists = owner.startswith(_NO_DEPLOYMENTS)
    for kind, name, generation, value in db.execute(_READ, (owner,)).fetchall():
        if kind == "deployment":
            exists = True
        elif not isinstance(value, bytes) or not isinstance(generation, int) or not isinstance(name, str):
            raise damaged(f"the secrets of {owner} can't be read", f"{name or 'their seal'} is not stored as it was written")
        elif kind == "secret":
            rows[name] = (generation, value)
        else:
            seals[name] = value
    return Owned(owner, rows, seals.get(owner), _root(vault, seals.get(_ALL)), exists)


def _root(vault: Vault, stored: bytes | None) -> Root:
    if stored is None:
        return Root()
    text = stored[_CODE:]
    if not vault.fits(_PURPOSE, text, stored[:_CODE]):
        raise damaged("the secrets can't be trusted", "the list that seals all of them was changed")
    found = json.loads(text)
    return Root(int(found["generation"]), found["seals"])


def damaged(what: str, why: str) -> StateError:
    """The error for secrets that are not those that were written last."""
    return StateError(what, why=why, fix="tfgrid-compose state restore", code="secret-damaged")


def check(owned: Owned) -> Owned:
    """The same, when it is what was written last. Raises `StateError` that says what was noticed."""
    noticed = _noticed(owned)
    if noticed:
        raise damaged(f"the secrets of {owned.owner} are not those that were written last", noticed)
    return owned


def _noticed(owned: Owned) -> str:
    expected = owned.root.seals.get(owned.owner)
    if expected is None:
        stray = [name for name, (generation, _) in owned.rows.items() if generation]
        return f"no seal covers {', '.join(sorted(stray))}" if stray else ""
    if not owned.rows and owned.seal is None:
        # Whoever forgets a deployment drops its rows; nobody reads them again.
        return "all of them were removed" if owned.exists else ""
    if owned.seal is None or _digest(owned.seal) != expected:
        return "their seal was removed, changed, or replaced by an older one"
    listed = json.loads(owned.seal)
    return "; ".join(filter(None, (_difference(owned, listed, name) for name in sorted({*listed, *owned.rows}))))


def _difference(owned: Owned, listed: dict[str, list[object]], name: str) -> str:
    if name not in owned.rows:
        return f"{name} was removed"
    if name not in listed:
        return f"{name} was added"
    generation, value = owned.rows[name]
    if [generation, _digest(value)] == listed[name]:
        return ""
    return f"{name} was replaced by an older one" if generation < int(str(listed[name][0])) else f"{name} was changed"


def value(vault: Vault, owned: Owned, name: str) -> bytes | None:
    """A decrypted value, None when there is none."""
    if name not in owned.rows:
        return None
    generation, sealed = owned.rows[name]
    if generation == 0:
        return vault.decrypt_first(sealed, owned.owner, name)
    return vault.decrypt(sealed, owned.owner, name, str(generation))


def change(db: sqlite3.Connection, vault: Vault, owned: Owned, values: Mapping[str, bytes | None]) -> int:
    """Write values, or remove them with None, and seal the owner anew; returns the new generation.

    The caller has begun a transaction, and read and checked `owned` in it.
    """
    generation = owned.root.generation + 1
    rows = dict(owned.rows)
    for name, plain in values.items():
        rows.pop(name, None)
        if plain is None:
            db.execute("DELETE FROM secrets WHERE deployment = ? AND name = ?", (owned.owner, name))
        else:
            rows[name] = (generation, vault.encrypt(plain, owned.owner, name, str(generation)))
            db.execute("INSERT OR REPLACE INTO secrets VALUES (?, ?, ?, ?)", (owned.owner, name, rows[name][1], generation))
    seals = {**owned.root.seals}
    seals.pop(owned.owner, None)
    if rows:
        seals[owned.owner] = _digest(_write_seal(db, owned.owner, rows))
    else:
        db.execute("DELETE FROM seals WHERE deployment = ?", (owned.owner,))
    _write_root(db, vault, Root(generation, _still_there(db, seals)))
    return generation


def rewrite(db: sqlite3.Connection, vault: Vault) -> tuple[int, int]:
    """Encrypt everything anew with the active key; returns the number of secrets and the new generation.

    The caller has begun a transaction. Everything is checked first.
    """
    everything = _checked(db, vault)
    generation, seals, count = read(db, vault, _ALL).root.generation + 1, dict[str, str](), 0
    for owned in everything:
        rows = {}
        for name in owned.rows:
            plain = value(vault, owned, name) or b""
            rows[name] = (generation, vault.encrypt(plain, owned.owner, name, str(generation)))
            db.execute("INSERT OR REPLACE INTO secrets VALUES (?, ?, ?, ?)", (owned.owner, name, rows[name][1], generation))
        count += len(rows)
        if rows:
            seals[owned.owner] = _digest(_write_seal(db, owned.owner, rows))
    _write_root(db, vault, Root(generation, seals))
    return count, generation


def rewrite_first(db: sqlite3.Connection, vault: Vault) -> int:
    """The same for a database of version 1; returns the number of secrets."""
    rows = db.execute("SELECT deployment, name, value FROM secrets").fetchall()
    for owner, name, sealed in rows:
        fresh = vault.encrypt_first(vault.decrypt_first(bytes(sealed), owner, name), owner, name)
        db.execute("UPDATE secrets SET value = ? WHERE deployment = ? AND name = ?", (fresh, owner, name))
    return len(rows)


def accept(db: sqlite3.Connection, vault: Vault, above: int, *, drop: bool) -> tuple[int, list[str]]:
    """Seal what is there, with a generation that is newer than its own and than `above`.

    Returns the generation and, with `drop`, the secrets that can't be decrypted and were removed. When none can be
    decrypted, none is removed: then it is the key that is wrong. The caller has begun a transaction.
    """
    everything = [_whatever(db, owner) for owner in owners(db)] if drop else _checked(db, vault)
    errors = {(owned.owner, name): _error(vault, owned, name) for owned in everything for name in owned.rows}
    failed = [error for error in errors.values() if error]
    if failed and (not drop or len(failed) == len(errors)):
        raise failed[0]
    seals, newest = dict[str, str](), max([above, *(owned.root.generation for owned in everything)])
    for owned in everything:
        rows = {name: row for name, row in owned.rows.items() if not errors[owned.owner, name]}
        for name in owned.rows.keys() - rows.keys():
            db.execute("DELETE FROM secrets WHERE deployment = ? AND name = ?", (owned.owner, name))
        newest = max([newest, *(generation for generation, _ in rows.values())])
        if rows:
            seals[owned.owner] = _digest(_write_seal(db, owned.owner, rows))
        else:
            db.execute("DELETE FROM seals WHERE deployment = ?", (owned.owner,))
    _write_root(db, vault, Root(newest + 1, seals))
    return newest + 1, [f"{owner} {name}" for (owner, name), error in errors.items() if error]


def _checked(db: sqlite3.Connection, vault: Vault) -> list[Owned]:
    root = read(db, vault, _ALL).root
    return [check(read(db, vault, owner)) for owner in owners(db, root)]


def _whatever(db: sqlite3.Connection, owner: str) -> Owned:
    """What is stored of an owner, whatever its seal and the root say."""
    found = db.execute("SELECT name, generation, value FROM secrets WHERE deployment = ?", (owner,)).fetchall()
    rows = {
        name: (generation, stored) if isinstance(generation, int) and isinstance(stored, bytes) else (1, b"")
        for name, generation, stored in found
    }
    return Owned(owner, rows, None, Root(), True)


def _error(vault: Vault, owned: Owned, name: str) -> StateError | None:
    """Why a value can't be decrypted."""
    try:
        value(vault, owned, name)
    except StateError as error:
        if error.code not in ("secret-damaged", "key-wrong"):
            raise
        return error
    return None


def owners(db: sqlite3.Connection, root: Root | None = None) -> list[str]:
    """Everybody who has secrets or a seal; with `root` also those who should have some."""
    found = db.execute("SELECT deployment FROM secrets UNION SELECT deployment FROM seals").fetchall()
    if not all(isinstance(row[0], str) for row in found):
        raise damaged("the secrets can't be read", "the name of an owner is not stored as it was written")
    return sorted({row[0] for row in found if row[0] != _ALL}.union(root.seals if root else ()))


def is_current(db: sqlite3.Connection, vault: Vault) -> bool:
    """Whether the active key seals this database; True for one without secrets."""
    row = db.execute("SELECT seal FROM seals WHERE deployment = ''").fetchone()
    if row is None:
        return db.execute("SELECT 1 FROM secrets").fetchone() is None
    return vault.is_current(bytes(row[0]))


def _still_there(db: sqlite3.Connection, seals: dict[str, str]) -> dict[str, str]:
    """Without the owners that were forgotten: not a row of theirs is left."""
    known = {row[0] for row in db.execute("SELECT id FROM deployments")} | set(owners(db))
    return {owner: digest for owner, digest in seals.items() if owner in known or owner.startswith(_NO_DEPLOYMENTS)}


def _write_seal(db: sqlite3.Connection, owner: str, rows: dict[str, tuple[int, bytes]]) -> bytes:
    listed = {name: [generation, _digest(sealed)] for name, (generation, sealed) in rows.items()}
    seal = json.dumps(listed, sort_keys=True).encode()
    db.execute("INSERT OR REPLACE INTO seals VALUES (?, ?)", (owner, seal))
    return seal


def _write_root(db: sqlite3.Connection, vault: Vault, root: Root) -> None:
    text = json.dumps({"generation": root.generation, "seals": dict(root.seals)}, sort_keys=True).encode()
    db.execute("INSERT OR REPLACE INTO seals VALUES (?, ?)", (_ALL, vault.code(_PURPOSE, text) + text))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
