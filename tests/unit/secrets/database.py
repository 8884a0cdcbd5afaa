"""The database as these tests see and change it, past the store and without its key; also as version 1 left it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import backups, paths, watermark
from tfgrid_compose.state.store import Store

A, B = "a" * 16, "b" * 16
VALUE = b"hunter2-hunter2-hunter2"


def database() -> Path:
    return paths.state_dir() / "state.db"


def tamper(statement: str, *values: object) -> None:
    """Change the database as somebody would who has no key."""
    db = sqlite3.connect(database())
    with db:
        db.execute(statement, values)
    db.close()


def rows(where: str = "") -> list[tuple[str, str, bytes, int]]:
    db = sqlite3.connect(database())
    found = db.execute(f"SELECT * FROM secrets {where} ORDER BY deployment, name").fetchall()
    db.close()
    return found


def damage(store: Store, owner: str = A, name: str = "ssh") -> StateError:
    with pytest.raises(StateError) as caught:
        store.secret(owner, name)
    assert VALUE.decode() not in str(caught.value.to_dict())
    return caught.value


def copy_of(store: Store) -> bytes:
    return backups.consistent_copy(store.path)


def put_back(store: Store, content: bytes) -> Store:
    """Put another database in its place, as somebody would who also removes whatever needs no key."""
    store.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{database()}{suffix}").unlink(missing_ok=True)
    database().with_name(watermark.NAME).unlink(missing_ok=True)
    database().write_bytes(content)
    return Store()


FIRST = """
CREATE TABLE deployments (id TEXT PRIMARY KEY, name TEXT NOT NULL, network TEXT NOT NULL, status TEXT NOT NULL,
    created REAL NOT NULL, updated REAL NOT NULL, data TEXT NOT NULL, UNIQUE (name, network));
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, deployment TEXT NOT NULL, kind TEXT NOT NULL,
    started REAL NOT NULL, ended REAL, outcome TEXT, pid INTEGER NOT NULL, error TEXT);
CREATE INDEX runs_of ON runs (deployment, id);
CREATE TABLE steps (run INTEGER NOT NULL, name TEXT NOT NULL, inputs TEXT NOT NULL, started REAL NOT NULL, ended REAL,
    outcome TEXT, note TEXT, PRIMARY KEY (run, name));
CREATE TABLE done (deployment TEXT NOT NULL, step TEXT NOT NULL, inputs TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (deployment, step));
CREATE TABLE releases (id TEXT PRIMARY KEY, deployment TEXT NOT NULL, created REAL NOT NULL, status TEXT NOT NULL,
    data TEXT NOT NULL);
CREATE TABLE secrets (deployment TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (deployment, name));
CREATE TABLE durations (step TEXT NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL);
PRAGMA user_version = 1;
"""
FIRST_KEY = bytes(range(32))


def first_version() -> None:
    """A database and a key as version 1 left them, with one secret for each of two deployments."""
    paths.private_file(paths.state_dir() / "key", FIRST_KEY)
    paths.private_file(database(), b"")
    db = sqlite3.connect(database())
    db.executescript(FIRST)
    for id in (A, B):
        db.execute("INSERT INTO deployments VALUES (?, ?, 'local', 'running', 1, 1, '{}')", (id, f"app-{id[0]}"))
        value = b"n" * 12 + AESGCM(FIRST_KEY).encrypt(b"n" * 12, VALUE, f"{id}\0ssh".encode())
        db.execute("INSERT INTO secrets VALUES (?, 'ssh', ?)", (id, value))
    db.commit()
    db.close()
