"""The audit log: who changed what, hash-chained, so that a change of the past shows."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import anchor, whoami
from tfgrid_compose.state.database import Database

GENESIS = "0" * 64
# What the anchor says when it was made before the first entry.
_BEGUN = (0, GENESIS)
# The first version of the database that has the log; runs of older ones are in none.
_FIRST_VERSION = 2


def link(previous: str, entry: str) -> str:
    """The hash of an entry: over the hash before it and its own text."""
    return hashlib.sha256(f"{previous}\n{entry}".encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """One entry: its number, what it says (`facts`), its text as it was hashed, and both hashes."""

    number: int
    at: float
    text: str
    previous: str
    hash: str

    @property
    def facts(self) -> dict[str, Any]:
        """What the entry says; a text that was changed into nonsense says itself."""
        try:
            found = json.loads(self.text)
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {"text": self.text}

    def to_dict(self) -> dict[str, Any]:
        """As `audit export` writes it; `entry` is the text that the hash is over."""
        return {"seq": self.number, "at": self.at, "entry": self.text, "previous": self.previous, "hash": self.hash}


@dataclass(frozen=True)
class Broken:
    """Where the chain breaks first: `kind` is `changed`, `removed`, `inserted`, `truncated` or `unproven`."""

    number: int
    kind: str
    text: str


class Audit(Database):
    """The chain in the database."""

    def append_audit(self, **facts: Any) -> int:
        """Append an entry; `facts` are JSON values without secrets. Returns its number."""
        self.begin_audit()
        with self.write() as db:
            now = time.time()
            last = db.execute("SELECT hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
            previous = last["hash"] if last else GENESIS
            entry = json.dumps({"at": round(now, 3), "who": whoami.who(), "command": whoami.command(), **facts}, sort_keys=True)
            cursor = db.execute(
                "INSERT INTO audit (at, entry, previous, hash) VALUES (?, ?, ?, ?)", (now, entry, previous, link(previous, entry))
            )
            number = int(cursor.lastrowid or 0)
        self._anchor_audit(number, link(previous, entry))
        return number

    def begin_audit(self) -> None:
        """Before the first entry of all, and the first run: a crash before the entry must not look like a lost log.

        An empty log beside runs was not begun but lost its entries: it stays without proof.
        """
        with suppress(StateError):
            if self.audit_head()[0] == 0 and not self._has_history() and not self.vault.file.asks():
                anchor.write(self.vault, audit=_BEGUN, folder=self.path.parent)

    def _anchor_audit(self, number: int, hash: str) -> None:
        """Tell the anchor which entry is the newest. One that stays behind is no alarm, and the next entry catches up.

        It only moves on from an entry that is still there: what was cut off stays visible.
        """
        with suppress(StateError):
            # Nobody is asked for a passphrase only for this.
            if self.vault.file.asks():
                return
            mark = anchor.read(self.vault, self.path.parent)
            begun = mark is not None and mark.audit == _BEGUN
            if begun or (mark and self._row("SELECT 1 FROM audit WHERE seq = ? AND hash = ?", mark.audit)):
                anchor.write(self.vault, audit=(number, hash), folder=self.path.parent)

    def _before_migration(self, version: int) -> None:
        super()._before_migration(version)
        if version < _FIRST_VERSION:
            with suppress(StateError):
                anchor.write(self.vault, audit=_BEGUN, folder=self.path.parent)

    def _has_history(self) -> bool:
        """Whether there are runs of which the log must tell: those of version 1, which had no log, say not who ran them."""
        return self._row("SELECT 1 FROM runs WHERE who != '' LIMIT 1", ()) is not None

    def anchor_audit_anew(self) -> None:
        """Take the end of this log for the newest one: after the database was replaced on purpose. Raises `StateError`."""
        mark = anchor.read(self.vault, self.path.parent)
        generation = mark.generation if mark else 0
        anchor.write(self.vault, generation=generation, audit=self.audit_head(), anew=True, folder=self.path.parent)

    def audit_entries(self, deployment: str | None = None, limit: int | None = None) -> list[Entry]:
        """The newest entries, newest first: all, or those of one deployment by id or name."""
        found = []
        for entry in self._newest_first():
            if deployment is None or deployment in (entry.facts.get("deployment"), entry.facts.get("name")):
                found.append(entry)
            if limit is not None and len(found) >= limit:
                break
        return found

    def _newest_first(self) -> Iterator[Entry]:
        """In portions: a long log is not read whole to show its end."""
        before, portion = 2**62, 200
        while rows := self._rows("SELECT * FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?", (before, portion)):
            yield from map(_entry, rows)
            before = rows[-1]["seq"]

    def audit_chain(self) -> Iterator[Entry]:
        """Every entry, oldest first."""
        after, portion = -(2**62), 1000
        while rows := self._rows("SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (after, portion)):
            yield from map(_entry, rows)
            after = rows[-1]["seq"]

    def audit_head(self) -> tuple[int, str]:
        """(number, hash) of the newest entry; (0, `GENESIS`) for an empty log."""
        rows = self._rows("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        return (int(rows[0]["seq"]), str(rows[0]["hash"])) if rows else (0, GENESIS)

    def verify_audit(self) -> Broken | None:
        """The first broken link of the chain, None when it is whole.

        The newest entry is compared with what the anchor remembers, so that a log that lost its end is found too.
        Raises `StateError` when the key of the anchor can't be had.
        """
        # First the anchor, then the database: what is written meanwhile makes the database only newer.
        mark = anchor.read(self.vault, self.path.parent)
        proven = mark.audit if mark and (mark.audit[0] or mark.audit == _BEGUN) else None
        broken = first_break(self.audit_chain(), proven)
        number, _ = self.audit_head()
        if broken or proven:
            return broken
        missing = f"{self.path.with_name(anchor.NAME)} is missing, was not written by us, or knows nothing of the log"
        if number:
            return Broken(number, "unproven", f"{missing}; nobody knows whether later entries were cut off")
        if self._has_history():
            return Broken(1, "unproven", f"the log is empty, but there are runs; {missing}")
        return None


def _entry(row: sqlite3.Row) -> Entry:
    # A damaged or forged row may hold any type; the chain is checked on texts.
    return Entry(int(row["seq"]), _number(row["at"]), str(row["entry"]), str(row["previous"]), str(row["hash"]))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def first_break(chain: Iterator[Entry], anchor: tuple[int, str] | None = None) -> Broken | None:
    """The first broken link of a chain, oldest first; `anchor` is (number, hash) of what the newest entry should be."""
    seen = {GENESIS: 0}
    number, last = 0, GENESIS
    for entry in chain:
        broken = _entry_break(entry) or _link_break(entry, number, last, seen)
        if broken:
            return broken
        number, last = entry.number, entry.hash
        seen[last] = number
    return _end_break(number, seen, anchor)


def _entry_break(entry: Entry) -> Broken | None:
    """What is wrong with an entry by itself."""
    if entry.hash != link(entry.previous, entry.text):
        return Broken(entry.number, "changed", "its text does not have the hash that was recorded with it")
    if abs(entry.at - _number(entry.facts.get("at"))) > 0.01:
        return Broken(entry.number, "changed", "it is listed under another time than it was written")
    return None


def _link_break(entry: Entry, number: int, last: str, seen: dict[str, int]) -> Broken | None:
    """What is wrong between an entry and the one before it."""
    if entry.previous == last and entry.number == number + 1:
        return None
    if entry.number > number + 1:
        missing = f"entry {number + 1}" if entry.number == number + 2 else f"entries {number + 1} to {entry.number - 1}"
        return Broken(number + 1, "removed", f"{missing} should stand before entry {entry.number}")
    if entry.previous in seen:
        return Broken(
            seen[entry.previous] + 1, "inserted", f"entry {entry.number} follows entry {seen[entry.previous]}, not this one"
        )
    if number == 0:
        return Broken(entry.number, "removed", "it is the first entry, but followed another one when it was written")
    return Broken(number, "changed", f"entry {entry.number} was written after another entry than this one")


def _end_break(number: int, seen: dict[str, int], anchor: tuple[int, str] | None) -> Broken | None:
    """What is wrong with the end of the chain."""
    if anchor is None:
        return None
    wanted, hash = anchor
    if wanted == 0:
        return None  # It was begun before the first entry, and has not seen one yet.
    if number < wanted:
        return Broken(number + 1, "truncated", f"the log ends with entry {number}, but it had {wanted} entries")
    if seen.get(hash) != wanted:
        return Broken(wanted, "changed", "it is not the entry that was written last; the log was written anew")
    return None
