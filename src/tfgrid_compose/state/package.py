"""An export of a state, opened and looked through: somebody else may have made it, or changed it.

Whatever becomes a path, a name, an address or a line for people is held to what we would have written. The database's rows
are taken over into a new one of our own schema, so that triggers and tables of others stay behind.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import sqlite3
import tarfile
import zlib
from dataclasses import dataclass
from typing import Any

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import backups, envelope, names
from tfgrid_compose.state.database import parsed
from tfgrid_compose.state.keys import Keys
from tfgrid_compose.state.rows import fits, odd_rows
from tfgrid_compose.state.schema import SCHEMA, SCHEMA_VERSION, run_script

FORMAT = 1
# Bytes that an export may unpack to: all of it is held in memory.
_LIMIT = 4 * 1024**3
# What members of the file are called.
FACTS, DATABASE, SECRETS, KEYS, BLOBS, KNOWN_HOSTS = (
    "facts.json",
    "state.db",
    "secrets.json",
    "keys.json",
    "blobs/",
    "known_hosts/",
)
# Secrets that are JSON, as `rows.fits` reads examples.
_JSON: dict[str, dict[str, Any]] = {
    "ssh": {"private": "", "public": names.LINE}, "generated": {}, "environment": {},
    "app-secrets": {"*": {"value": "", "changed": 0.0}},
}  # fmt: skip
_ENVIRONMENT = {"values": {}, "secrets": [""], "given": {}}
_ACCOUNT = {"secret": "", "key_type": names.WORDS, "address": names.WORDS}
_GIT = {"token": "", "platform": names.WORDS, "username": names.LINE}


@dataclass(frozen=True)
class Package:
    """An export, opened. `computer` of the facts names where it was made; `secrets` are (deployment, name, value)."""

    facts: dict[str, Any]
    database: bytes
    keys: Keys
    secrets: list[tuple[str, str, bytes]]
    blobs: dict[str, bytes]
    known_hosts: dict[str, bytes]

    @property
    def deployments(self) -> list[tuple[str, str, str]]:
        """(id, name, network) of each deployment."""
        return [(id, name, network) for id, name, network in self.facts["deployments"]]


def packed(members: dict[str, bytes]) -> bytes:
    """The members as one archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=3) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o600
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def opened(data: bytes, passphrase: str) -> Package:
    """Open an export and look through all of it. Raises `StateError` when it can't be used, which says why."""
    plain = envelope.open_(data, passphrase)
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:gz") as tar:
            members = _members(tar)
        keys = json.loads(members[KEYS])
        facts, database = json.loads(members[FACTS]), members[DATABASE]
        ring = Keys(tuple(from_text(key) for key in keys["ring"]), from_text(keys["fingerprint"]))
        secrets = [(owner, name, from_text(value)) for owner, name, value in json.loads(members[SECRETS])]
        if not isinstance(facts, dict) or not isinstance(facts["deployments"], list):
            raise TypeError("facts that are none")
    except (KeyError, TypeError, ValueError, RecursionError, tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise _unusable("something in it is missing") from error
    if facts.get("format") != FORMAT or backups.examine(database) == backups.NEWER:
        raise _unusable("a newer tfgrid-compose made it")
    if backups.examine(database) != backups.GOOD:
        raise _unusable("the database in it is damaged")
    odd = _odd_facts(facts) or _odd_secrets(secrets)
    if odd:
        raise _unusable(odd)
    ids = {row[0] for row in facts["deployments"]}
    return Package(
        facts, _looked_through(database, facts), ring, secrets,
        {name: data for name, data in _below(members, BLOBS).items() if names.DIGEST.fullmatch(name)},
        {name: data for name, data in _below(members, KNOWN_HOSTS).items() if name in ids},
    )  # fmt: skip


def _members(tar: tarfile.TarFile) -> dict[str, bytes]:
    """{name: content} of the files. Raises `StateError` when they are more than `_LIMIT` together."""
    found, left = {}, _LIMIT
    for item in tar:
        left -= item.size
        if left < 0:
            raise _unusable(f"it unpacks to more than {_LIMIT // 1024**3} GiB")
        if item.isreg() and (file := tar.extractfile(item)):
            found[item.name] = file.read()
    return found


def _below(members: dict[str, bytes], folder: str) -> dict[str, bytes]:
    return {name.removeprefix(folder): data for name, data in members.items() if name.startswith(folder)}


def _unusable(why: str) -> StateError:
    return StateError("the export can't be used", why=why, fix="export it again with this version", code="export-unreadable")


# What is in it


def _odd_facts(facts: dict[str, Any]) -> str:
    """What about the facts can't be ours; empty when nothing is."""
    for row in facts["deployments"]:
        if not isinstance(row, list) or len(row) != 3 or not all(isinstance(part, str) for part in row):
            return "a deployment in it has no id, name and network"
        if not names.NEW_ID.fullmatch(row[0]):
            return f"{row[0][:80]!r} is no id of a deployment"
        odd = names.odd_deployment(row[0], row[1], row[2], {})
        if odd:
            return odd
    for key in ("who", "computer", "program"):
        if not fits(facts.get(key), names.LINE, closely=False):
            return f"{key} in it is no line of text"
    return ""


def _odd_secrets(secrets: list[tuple[str, str, bytes]]) -> str:
    """What about the secrets can't be ours; empty when nothing is. Values are not named."""
    for owner, name, value in secrets:
        if not isinstance(owner, str) or not names.OWNER.fullmatch(owner):
            return f"{str(owner)[:80]!r} owns a secret, and is no deployment"
        if not isinstance(name, str) or not names.SECRET.fullmatch(name):
            return f"{str(name)[:80]!r} is no name of a secret"
        like = _shape(owner, name)
        if like is None:
            continue
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = None
        if found is None or not fits(found, like, closely=True):
            return f"the secret {name} of {owner[:80]!r} is not what we write"
    return ""


def _shape(owner: str, name: str) -> dict[str, Any] | None:
    """An example of a secret's JSON; None for one that is none."""
    if owner.startswith("account:"):
        return _GIT if owner == "account:git" else _ACCOUNT
    return _ENVIRONMENT if name.startswith("release/") else _JSON.get(name)


def _looked_through(database: bytes, facts: dict[str, Any]) -> bytes:
    """The database with the same rows in our own schema, each of them read: half an import would be worse than none."""
    try:
        fresh = rebuilt(database)
        with contextlib.closing(backups.in_memory(fresh)) as db:
            db.row_factory = sqlite3.Row
            _agree_to_nothing(db)
            fresh = db.serialize()
            rows = db.execute("SELECT id, name, network, data FROM deployments").fetchall()
            odd = next(odd_rows(lambda statement, values: db.execute(statement, values).fetchall()), "")
            odd = odd or next((text for row in rows if (text := _odd_row(*row))), "")
            found = {(id, name, network) for id, name, network, _ in rows}
    except (*backups.UNREADABLE, OverflowError) as error:
        raise _unusable("the database in it is damaged") from error
    if odd:
        raise _unusable(odd)
    if not {tuple(row) for row in facts["deployments"]} <= found:
        raise _unusable("the database in it lacks a deployment")
    unknown = next((id for id, *_ in found if not names.NEW_ID.fullmatch(id)), None)
    if unknown is not None:
        raise _unusable(f"{unknown!r} is no id of a deployment")
    return fresh


def _agree_to_nothing(db: sqlite3.Connection) -> None:
    """What was agreed to run on another computer was not agreed to run here."""
    for id, text in db.execute("SELECT id, data FROM deployments").fetchall():
        with contextlib.suppress(ValueError, TypeError, RecursionError):  # What is no record is refused with all the rest.
            data = parsed(text)
            db.execute("UPDATE deployments SET data = ? WHERE id = ?", (json.dumps({**dict(data), "agreed_code": []}), id))


def _odd_row(id: str, name: str, network: str, data: str) -> str:
    return names.odd_deployment(id, name, network, parsed(data))


def rebuilt(database: bytes) -> bytes:
    """A database's rows in a new one of our own schema and version. Raises one of `backups.UNREADABLE`."""
    with (
        contextlib.closing(backups.in_memory(database)) as source,
        contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh,
    ):
        backups.migrate(source, int(source.execute("PRAGMA user_version").fetchone()[0]))
        fresh.execute("BEGIN")
        run_script(fresh, SCHEMA)
        tables = [
            row[0] for row in fresh.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        ]
        for table in tables:
            columns = [row[0] for row in fresh.execute("SELECT name FROM pragma_table_info(?)", (table,))]
            listed, marks = ", ".join(columns), ", ".join("?" * len(columns))
            rows = source.execute(f"SELECT {listed} FROM {table} ORDER BY rowid")  # noqa: S608  # the names of our own schema
            fresh.executemany(f"INSERT INTO {table} ({listed}) VALUES ({marks})", rows)  # noqa: S608
        for name, number in source.execute("SELECT name, seq FROM sqlite_sequence"):
            # Numbers of runs that are gone are never given again.
            if isinstance(number, int) and name in ("runs", "audit"):
                fresh.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (number, name))
        fresh.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        fresh.execute("COMMIT")
        return bytes(fresh.serialize())


def to_text(data: bytes) -> str:
    """Bytes as they stand in the JSON of an export."""
    return base64.b64encode(data).decode()


def from_text(text: str) -> bytes:
    """The same back. Raises `ValueError` and `TypeError`."""
    return base64.b64decode(text, validate=True)
