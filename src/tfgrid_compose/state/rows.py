"""Looks at every row of the database: whether each value has its column's type, and JSON the shape that we write.

SQLite keeps whatever it is given in whatever column, and JSON is a text to it.
"""

from __future__ import annotations

import contextlib
import math
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tfgrid_compose.state import names as called
from tfgrid_compose.state.database import parsed
from tfgrid_compose.state.schema import SCHEMA, run_script

Query = Callable[[str, tuple[str, ...]], Sequence[sqlite3.Row]]
_HELD = {"TEXT": ("text",), "REAL": ("real", "integer"), "INTEGER": ("integer",), "BLOB": ("blob",)}
_JSON = (("deployments", "id", "data"), ("releases", "id", "data"), ("runs", "id", "data"), ("runs", "id", "error"),
         ("steps", "run || '/' || name", "inputs"), ("done", "deployment || '/' || step", "inputs"))  # fmt: skip
_ANY = None
_NUMBER = 0.0
_SIZES = {"*": {"cpu": 0, "memory": 0, "disk": 0}}
_MACHINE = {
    "name": called.NAME, "role": called.NAME, "node": _ANY, "contract": _ANY, "private_ip?": called.ADDRESS,
    **{f"{key}?": called.ADDRESS for key in called.ADDRESSES},
}  # fmt: skip
_RECORD = {"name": called.LINE, "type": called.WORDS, "content": called.LINE, "zone": called.LINE, "provider": called.WORDS}
_DNS = {"names?": [called.LINE], "zone?": called.LINE, "provider?": called.WORDS, "ttl?": 0, "made?": [_RECORD]}
_DISK = {"name": called.NAME, "size": 0, "mount": called.PATH}
# What stands in a column itself, where a file, a lock or a line for people is made of it.
_COLUMNS = {
    ("deployments", "id"): called.ID, ("deployments", "name"): called.NAME, ("deployments", "network"): called.NETWORK,
    ("deployments", "status"): called.WORDS, ("runs", "name"): called.NAME, ("runs", "network"): called.NETWORK,
    ("runs", "kind"): called.WORDS, ("runs", "outcome"): called.WORDS, ("steps", "name"): called.WORDS,
    ("steps", "outcome"): called.WORDS, ("done", "step"): called.WORDS, ("releases", "id"): called.RELEASE,
    ("releases", "status"): called.WORDS, ("secrets", "deployment"): called.OWNER, ("secrets", "name"): called.SECRET,
}  # fmt: skip
# Examples of what commands read. `*` stands for any key, `?` marks one that need not be there, `_ANY` stands for any value.
_SHAPES: dict[tuple[str, str], dict[str, Any]] = {
    ("deployments", "data"): {
        "app_dir": called.PATH, "pattern": called.NAME, "ip_range": called.RANGE, "interface": called.INTERFACE,
        "release": called.RELEASE, "shipped": called.RELEASE, "machines": [_MACHINE], "contracts": [0], "prefer": [called.WORDS],
        "went_live": [called.RELEASE], "nodes": {"*": [0]}, "planned_nodes": {"*": [0]},
        "ports": [{"number": 0, "name": called.LINE}], "disks": [_DISK], "sizes": _SIZES, "price": {"usd_per_month": _NUMBER},
        "gone": [0],
        "overrides": {}, "pattern_options": {}, "variables": {}, "outputs": {}, "dns": _DNS,
    },
    ("releases", "data"): {
        "version": called.LINE, "manifest": "", "source": "", "content": "", "archive": called.DIGEST,
        "pattern_archive": called.DIGEST, "run": 0, "size": 0, "files": 0, "contracts": [0],
        "pattern": {"name": called.NAME, "version": called.LINE, "infrastructure": "", "platform": ""}, "nodes": {"*": [0]},
        "disks": [_DISK], "sizes": _SIZES, "networks": [called.WORDS], "hooks": {"*": ""}, "inputs": {}, "overrides": {},
        "pattern_options": {},
    },
    ("runs", "error"): {"what": "", "why": "", "code": ""},
}  # fmt: skip


def odd_rows(query: Query, *, closely: bool = False) -> Iterator[str]:
    """Sentences about values that nobody can read, or that we would not have written.

    `closely`: also about those that lack something which an earlier version may not have written yet. `query` runs
    a statement and returns its rows; what it raises, when a table or a column is missing, is raised.
    """
    for table, column, kinds in _columns():
        marks = ", ".join("?" * len(kinds))
        text = f"SELECT typeof({column}) AS kind FROM {table} WHERE typeof({column}) NOT IN ({marks})"  # noqa: S608  # fixed names
        for kind in sorted({str(row["kind"]) for row in query(text, kinds)}):
            yield f"{column} of a row in table {table} holds {kind}"
    for (table, column), like in _COLUMNS.items():
        for row in query(f"SELECT DISTINCT {column} AS value FROM {table} WHERE typeof({column}) = 'text'", ()):  # noqa: S608
            if not fits(row["value"], like, closely=closely):
                yield f"{column} of a row in table {table} is {row['value'][:80]!r}"
    for table, key, column in _JSON:
        text = f"SELECT {key} AS id, {column} AS value FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608  # fixed names
        for row in query(text, ()):
            odd = _odd(row["value"], _SHAPES.get((table, column), {}), closely)
            if odd:
                yield f"{column} of {row['id']} in table {table}: {odd}"


def _odd(text: str, shape: dict[str, Any], closely: bool) -> str:
    """What is wrong with the JSON of one row; empty when nothing is."""
    try:
        found = parsed(text)
    except ValueError as error:
        return str(error)
    names = [name for name, like in shape.items() if name in found and not fits(found[name], like, closely=closely)]
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


def fits(value: Any, like: Any, *, closely: bool) -> bool:
    """Whether a value is of the kind of an example; one that is absent is, unless `closely`.

    A pattern as an example stands for a text that it matches as a whole, or an empty one.
    """
    if value is None or like is _ANY:
        return value is not None or not closely
    if isinstance(like, re.Pattern):
        return isinstance(value, str) and (not value or like.fullmatch(value) is not None)
    if isinstance(like, dict) and "*" in like:
        return isinstance(value, dict) and all(fits(item, like["*"], closely=closely) for item in value.values())
    if isinstance(like, dict):
        return isinstance(value, dict) and all(
            fits(value.get(name.rstrip("?")), item, closely=closely and "?" not in name) for name, item in like.items()
        )
    if isinstance(like, list):
        return isinstance(value, list) and all(item is not None and fits(item, like[0], closely=closely) for item in value)
    if isinstance(like, float):
        return isinstance(value, (int, float)) and math.isfinite(value)
    return isinstance(value, type(like)) and not (isinstance(value, str) and "\0" in value)
