"""The shape of the database, and how an older one becomes this one. Only ever forward."""

from __future__ import annotations

import sqlite3

SCHEMA_VERSION = 2
SCHEMA = """
CREATE TABLE deployments (id TEXT PRIMARY KEY, name TEXT NOT NULL, network TEXT NOT NULL, status TEXT NOT NULL,
    created REAL NOT NULL, updated REAL NOT NULL, data TEXT NOT NULL, UNIQUE (name, network));
CREATE TABLE leases (name TEXT PRIMARY KEY, token INTEGER NOT NULL);
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, deployment TEXT NOT NULL, kind TEXT NOT NULL,
    started REAL NOT NULL, ended REAL, outcome TEXT, pid INTEGER NOT NULL, error TEXT,
    name TEXT NOT NULL DEFAULT '', network TEXT NOT NULL DEFAULT '', who TEXT NOT NULL DEFAULT '',
    command TEXT NOT NULL DEFAULT '', token INTEGER NOT NULL DEFAULT 0, data TEXT NOT NULL DEFAULT '{}');
CREATE INDEX runs_of ON runs (deployment, id);
CREATE TABLE steps (run INTEGER NOT NULL, name TEXT NOT NULL, inputs TEXT NOT NULL, started REAL NOT NULL, ended REAL,
    outcome TEXT, note TEXT, attempts INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (run, name));
CREATE TABLE done (deployment TEXT NOT NULL, step TEXT NOT NULL, inputs TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (deployment, step));
CREATE TABLE releases (id TEXT PRIMARY KEY, deployment TEXT NOT NULL, created REAL NOT NULL, status TEXT NOT NULL,
    data TEXT NOT NULL, number INTEGER NOT NULL DEFAULT 0, who TEXT NOT NULL DEFAULT '');
CREATE INDEX releases_of ON releases (deployment, number);
CREATE TABLE secrets (deployment TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (deployment, name));
CREATE TABLE seals (deployment TEXT PRIMARY KEY, seal BLOB NOT NULL);
CREATE TABLE durations (step TEXT NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL);
CREATE TABLE audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, entry TEXT NOT NULL, previous TEXT NOT NULL,
    hash TEXT NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

# Releases of version 1 have no archive: the next `up` ships anew and makes a release that can be gone back to.
_TO_2 = """
CREATE TABLE leases (name TEXT PRIMARY KEY, token INTEGER NOT NULL);
ALTER TABLE runs ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN network TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN who TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN command TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN token INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN data TEXT NOT NULL DEFAULT '{}';
UPDATE runs SET name = coalesce((SELECT name FROM deployments WHERE id = runs.deployment), ''),
    network = coalesce((SELECT network FROM deployments WHERE id = runs.deployment), '');
ALTER TABLE steps ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;
ALTER TABLE releases ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE releases ADD COLUMN who TEXT NOT NULL DEFAULT '';
UPDATE releases SET number = (SELECT count(*) FROM releases AS older WHERE older.deployment = releases.deployment
    AND (older.created, older.id) <= (releases.created, releases.id));
CREATE INDEX releases_of ON releases (deployment, number);
ALTER TABLE secrets ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
CREATE TABLE seals (deployment TEXT PRIMARY KEY, seal BLOB NOT NULL);
CREATE TABLE audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, entry TEXT NOT NULL, previous TEXT NOT NULL,
    hash TEXT NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
DELETE FROM done WHERE step IN ('ship', 'activate');
"""

# {version that a script leads to: script}; each is run inside one transaction, in order.
MIGRATIONS = {2: _TO_2}


def run_script(db: sqlite3.Connection, script: str) -> None:
    """Run statements one by one inside the caller's transaction (`executescript` would commit it)."""
    for statement in script.split(";\n"):
        if statement.strip():
            db.execute(statement)
