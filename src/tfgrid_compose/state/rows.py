"""Looks at every row of the database: whether each value has its column's type, and JSON the shape that we write.

SQLite keeps whatever it is given in whatever column, and JSON is a text to it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

from tfgrid_compose.errors import StateError
from tfgrid_compose.state.database import Database
from tfgrid_compose.state.schema import SCHEMA, run_script

_HELD = {"TEXT": ("text",), "REAL": ("real", "integer"), "INTEGER": ("integer",), "BLOB": ("blob",)}
_JSON = (("deployments", "id", "data"), ("releases", "id", "data"), ("runs", "id", "data"), ("runs", "id", "error"),
         ("steps", "run || '/' || name", "inputs"), ("done", "deployment || '/' || step", "inputs"))  # fmt: skip
_ANY = None
_SIZES = {"*": {"cpu": 0, "memory": 0, "disk": 0}}
_MACHINE = {
    "name": "", "role": "", "node": _ANY, "contract": _ANY, "address?": "", "wireguard_ip?": "", "mycelium_ip?": "",
    "ipv4_address?": "", "ipv6_address?": "",
}  # fmt: skip
_DISK = {"name": "", "size": 0, "mount": ""}
# Examples of what commands read. `*` stands for any key, `?` marks one that need not be there, `_ANY` stands for any value.
_SHAPES: dict[tuple[str, str], dict[str, Any]] = {
    ("deployments", "data"): {
        "app_dir": "", "pattern": "", "ip_range": "", "interface": "", "release": "", "shipped": "",
        "machines": [_MACHINE], "contracts": [0], "prefer": [""],
        "went_live": [""], "nodes": {"*": [0]}, "planned_nodes": {"*": [0]},
        "ports": [{"number": 0, "name": ""}], "disks": [_DISK], "sizes": _SIZES,
        "overrides": {}, "pattern_options": {}, "variables": {}, "outputs": {},
    },
    ("releases", "data"): {
        "version": "", "manifest": "", "source": "", "content": "", "archive": "", "pattern_archive": "",
        "pattern": {"name": "", "version": "", "infrastructure": "", "platform": ""}, "nodes": {"*": [0]}, "disks": [_DISK],
        "sizes": _SIZES, "networks": [""], "hooks": {"*": ""}, "inputs": {}, "overrides": {}, "pattern_options": {},
    },
    ("runs", "error"): {"what": "", "why": "", "code": ""},
}  # fmt: skip


def odd_rows(db: Database, *, closely: bool = False) -> Iterator[str]:
    """Sentences about values that nobody can read, or that we would not have written.

    `closely`: also about those that lack something which an earlier version may not have written yet. Raises
    `StateError` when a table or a column is missing.
    """
    for table, column, kinds in _columns():
        marks = ", ".join("?" * len(kinds))
        text = f"SELECT typeof({column}) AS kind FROM {table} WHERE typeof({column}) NOT IN ({marks})"  # noqa: S608  # fixed names
        for kind in sorted({str(row["kind"]) for row in db._rows(text, kinds)}):
            yield f"{column} of a row in table {table} holds {kind}"
    for table, key, column in _JSON:
        text = f"SELECT {key} AS id, {column} AS value FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608  # fixed names
        for row in db._rows(text):
            odd = _odd(db, row["value"], _SHAPES.get((table, column), {}), closely)
            if odd:
                yield f"{column} of {row['id']} in table {table}: {odd}"


def _odd(db: Database, text: str, shape: dict[str, Any], closely: bool) -> str:
    """What is wrong with the JSON of one row; empty when nothing is."""
    try:
        found = db._parsed(text)
    except StateError as error:
        return error.why
    names = [name for name, like in shape.items() if name in found and not _fits(found[name], like, closely)]
    return f"{', '.join(names)} can't be what was written" if names else ""


def _columns() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(table, column, what SQLite may hold there), as the schema has it."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        run_script(model, SCHEMA)
        tables = [
            row[0] for row in model.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        ]
        for table in tables:
            for _, name, kind, required, _, key in model.execute(f"PRAGMA table_info({table})"):
                yield table, name, (*_HELD[kind], *(() if required or key else ("null",)))


def _fits(value: Any, like: Any, closely: bool) -> bool:
    """Whether a value is of the kind of an example; one that is absent is, unless `closely`."""
    if value is None or like is _ANY:
        return value is not None or not closely
    if isinstance(like, dict) and "*" in like:
        return isinstance(value, dict) and all(_fits(item, like["*"], closely) for item in value.values())
    if isinstance(like, dict):
        return isinstance(value, dict) and all(
            _fits(value.get(name.rstrip("?")), item, closely and "?" not in name) for name, item in like.items()
        )
    if isinstance(like, list):
        return isinstance(value, list) and all(item is not None and _fits(item, like[0], closely) for item in value)
    return isinstance(value, type(like)) and not (isinstance(value, str) and "\0" in value)
