"""Moving all that is remembered to another computer, or another state folder: one encrypted file, out and in."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfgrid_compose import __version__
from tfgrid_compose.errors import StateError
from tfgrid_compose.state import arrival, backups, blobs, envelope, paths, whoami
from tfgrid_compose.state.audited import audited
from tfgrid_compose.state.database import with_checksum
from tfgrid_compose.state.keys import Keys
from tfgrid_compose.state.package import (
    BLOBS,
    DATABASE,
    FACTS,
    FORMAT,
    KEYS,
    KNOWN_HOSTS,
    SECRETS,
    Package,
    packed,
    to_text,
)  # fmt: skip
from tfgrid_compose.state.quiet import quiet
from tfgrid_compose.state.restore import replace_empty
from tfgrid_compose.state.store import Deployment, Store
from tfgrid_compose.state.vault import Vault
from tfgrid_compose.words import count

# Says which networks live on one computer only: deployments there can't be moved, but only built anew.
StaysHere = Callable[[str], bool]


@dataclass
class Imported:
    """What an import did: names that were added, replaced, and those whose machines stay on the other computer.

    `elsewhere` are sentences about app folders that are not here.
    """

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    emptied: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    whole: bool = False


# Out


def export(store: Store, passphrase: str) -> bytes:
    """Everything that is needed to go on elsewhere, encrypted. Nothing is written. Raises `StateError`."""
    try:
        database = backups.consistent_copy(store.path)
    except backups.UNREADABLE as error:
        raise StateError(
            "the database can't be copied", why=str(error), fix="tfgrid-compose state check", code="backup-failed"
        ) from error
    found = store.deployments()
    named = [item.data.get(key) for one in found for item in store.releases(one.id) for key in ("archive", "pattern_archive")]
    facts = {
        "format": FORMAT, "program": __version__, "at": time.time(), "who": whoami.who(), "computer": computer(),
        "audit": store.audit_head(), "deployments": [[item.id, item.name, item.network] for item in found],
    }  # fmt: skip
    secrets = [[owner, name, to_text(value)] for owner, name, value in _secrets(store)]
    members = {
        FACTS: json.dumps(facts).encode(), DATABASE: database, SECRETS: json.dumps(secrets).encode(),
        KEYS: json.dumps(_keys_out(store.vault.keys(make=True))).encode(),
    }  # fmt: skip
    members |= {f"{BLOBS}{digest}": data for digest in sorted({str(item) for item in named if item}) if (data := _blob(digest))}
    for item in found:
        path = paths.deployment_dir(item.id) / "known_hosts"
        if path.is_file():
            members[f"{KNOWN_HOSTS}{item.id}"] = path.read_bytes()
    return envelope.close(packed(members), passphrase)


def _secrets(store: Store) -> list[tuple[str, str, bytes]]:
    """All secrets, decrypted. Raises `StateError` when one can't be: an export without it would not be whole."""
    rows = store._rows("SELECT deployment, name FROM secrets ORDER BY deployment, name")
    found = [(row["deployment"], row["name"], store.secret(row["deployment"], row["name"])) for row in rows]
    return [(owner, name, value) for owner, name, value in found if value is not None]


def _blob(digest: str) -> bytes | None:
    """An archive; one that is gone or damaged does not keep the rest from being moved."""
    try:
        return blobs.get(digest)
    except StateError:
        return None


def computer() -> str:
    """A digest that names this computer, and tells nothing else about it."""
    try:
        name = Path("/etc/machine-id").read_text().strip()
    except OSError:
        name = ""
    return hashlib.sha256(f"tfgrid-compose {name or whoami.host()}".encode()).hexdigest()


def _keys_out(keys: Keys) -> dict[str, Any]:
    return {"ring": [to_text(key) for key in keys.ring], "fingerprint": to_text(keys.fingerprint)}


# In


def conflicts(store: Store, package: Package) -> list[Deployment]:
    """Deployments that stand in the way: those with the id, or the name and network, of one in the export."""
    found = []
    for id, name, network in package.deployments:
        found += [item for item in store.deployments() if item.id == id or (item.name, item.network) == (name, network)]
    return list({item.id: item for item in found}.values())


def take_in(package: Package, stays_here: StaysHere, *, replace: bool = False) -> Imported:
    """Add what the export holds to this state; into an empty one all of it comes, history and audit log included.

    Raises `StateError` that lists what is in the way unless `replace`, and `BusyError` while a run goes on.
    """
    with quiet("importing"):
        with Store() as store:
            blocking = conflicts(store, package)
            if blocking and not replace:
                raise _conflict(blocking)
            empty = _is_empty(store)
            if not empty:
                backups.save(store.path, "before-import")
            path = store.path
        elsewhere = package.facts.get("computer") != computer()
        gone = [id for id, _, network in package.deployments if elsewhere and stays_here(network)]
        # Before the rows that name them: files that nothing names do no harm.
        _files(package)
        done = _whole(package, path, gone) if empty else _merged(package, blocking)
        with Store() as store:
            if not empty:
                done.emptied = store.empty(gone)
            done.elsewhere = [text for id, *_ in package.deployments if (text := _without_folder(store.deployment(id)))]
    return done


def _without_folder(item: Deployment) -> str:
    """A sentence when the app's folder is not where it was; empty when it is."""
    if not item.app_dir or Path(item.app_dir).is_dir():
        return ""
    return f"The app folder of {item.name} is not here: copy it to {item.app_dir}."


def _conflict(blocking: list[Deployment]) -> StateError:
    return StateError(
        f"{count(len(blocking), 'deployment')} of the export {'is' if len(blocking) == 1 else 'are'} here already",
        why=", ".join(f"{item.name} ({item.id[:6]}) on network {item.network}" for item in blocking),
        fix="add --replace to put those of the export in their place; what is here is forgotten then",
        code="import-conflict",
    )


def _is_empty(store: Store) -> bool:
    """Whether nothing was ever done here."""
    tables = ("deployments", "runs", "releases", "secrets", "audit")
    return not any(store._rows(f"SELECT 1 FROM {table} LIMIT 1") for table in tables)  # noqa: S608  # fixed names


def _whole(package: Package, path: Path, gone: list[str]) -> Imported:
    """The database and the keys as they were; the key of fingerprints too, so that nothing looks changed to `up`."""
    vault = Vault(path.with_name("key"))
    if vault.exists():
        vault.keys()  # A passphrase that protects them protects the new ones too.
    # First the keys: should this be cut off here, they belong to a database without secrets.
    vault.file.write(package.keys)
    database = arrival.noted(package.database, Vault(path.with_name("key")), package.facts.get("who"), gone)
    replace_empty(paths.private_file(path.with_name(f".{path.name}.restored-{os.getpid()}"), database), path)
    with Store(path) as store:
        store.finish_arrival()
        names = {item.id: item.name for item in store.deployments()}
        return Imported(added=list(names.values()), emptied=[names[id] for id in gone], whole=True)


def _merged(package: Package, blocking: list[Deployment]) -> Imported:
    """Row by row, secrets under our own key."""
    done = Imported(replaced=[item.name for item in blocking])
    with contextlib.closing(backups.in_memory(package.database)) as source, Store() as store:
        source.row_factory = sqlite3.Row
        ids = [id for id, *_ in package.deployments]
        head = package.facts.get("audit")
        with audited(store, "state import", whole=False, source=package.facts.get("who"), source_head=head) as turn:
            for item in blocking:
                store.forget(item.id)
            # Secrets first: an id that was here before has none any more, and a row without them would look robbed.
            for owner, name, value in package.secrets:
                if owner in ids or store.secret(owner, name) is None:
                    store.set_secret(owner, name, value)
            for id in ids:
                _add(store, source, id)
                done.added.append(store.deployment(id).name)
            turn.facts |= {"added": done.added, "replaced": done.replaced}
    return done


def _add(store: Store, source: sqlite3.Connection, id: str) -> None:
    """One deployment with its releases and its history; runs get numbers of ours."""

    def rows(statement: str) -> list[dict[str, Any]]:
        return [dict(row) for row in source.execute(statement, (id,))]

    (row,) = rows("SELECT * FROM deployments WHERE id = ?")
    store.save(Deployment(**{**row, "data": store._parsed(row["data"])}))
    with store.write() as db:
        numbers: dict[int, int] = {}
        for run in rows("SELECT * FROM runs WHERE deployment = ? ORDER BY id"):
            old = run.pop("id")
            numbers[old] = _insert(db, "runs", run)
            for step in source.execute("SELECT * FROM steps WHERE run = ? ORDER BY rowid", (old,)).fetchall():
                _insert(db, "steps", {**dict(step), "run": numbers[old]})
        for done in rows("SELECT * FROM done WHERE deployment = ?"):
            _insert(db, "done", done)
        for release in rows("SELECT * FROM releases WHERE deployment = ?"):
            data = store._parsed(release["data"])
            data |= {"run": numbers[data["run"]]} if data.get("run") in numbers else {}
            _insert(db, "releases", {**release, "data": with_checksum(data)})


def _insert(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    """Insert a row by the names of its columns; returns its number. The names are those of our own schema."""
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    cursor = db.execute(f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})", tuple(row.values()))  # noqa: S608
    return int(cursor.lastrowid or 0)


def _files(package: Package) -> None:
    for digest, data in package.blobs.items():
        if hashlib.sha256(data).hexdigest() == digest:
            blobs.put(data)
    for id, data in package.known_hosts.items():
        paths.private_file(paths.deployment_dir(id) / "known_hosts", data)
