"""The journal: runs and their steps, with intent before and outcome after each side effect."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from typing import Any

from tfgrid_compose.state import whoami
from tfgrid_compose.state.database import Database, with_checksum
from tfgrid_compose.state.deployments import Deployment

# SQLite's largest number; a larger one would be an error of Python's.
_LARGEST = 2**63 - 1


class Journal(Database):
    """Runs, steps, and what was last done completely."""

    # Runs

    def start_run(self, deployment: Deployment, kind: str, data: dict[str, Any] | None = None) -> int:
        """Record that a run begins and with what aim (`data`, JSON values); returns its number.

        The caller holds the deployment's lease, so every earlier run without an end was cut off: it is
        closed here, and never looks as if it were still going on.
        """
        with self.write() as db:
            now = time.time()
            _close_cut_off(db, deployment, now)
            cursor = db.execute(
                "INSERT INTO runs (deployment, kind, started, pid, name, network, who, command, token, data)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (deployment.id, kind, now, os.getpid(), deployment.name, deployment.network, whoami.who(),
                 whoami.command(), self.token, with_checksum(data or {})),
            )  # fmt: skip
            return int(cursor.lastrowid or 0)

    def end_run(self, run: int, outcome: str, error: dict[str, Any] | None = None) -> None:
        """Record how a run ended: `succeeded`, `failed` or `interrupted`."""
        with self.write() as db:
            db.execute(
                "UPDATE runs SET ended = ?, outcome = ?, error = ? WHERE id = ?",
                (time.time(), outcome, with_checksum(error) if error else None, run),
            )

    def runs(self, deployment: str | None = None, limit: int = 20) -> list[dict[str, Any]]:
        """The newest runs of one deployment or of all, newest first; `outcome` is None for one without an end."""
        rows = self._rows(
            "SELECT * FROM runs WHERE ? IS NULL OR deployment = ? ORDER BY id DESC LIMIT ?", (deployment, deployment, limit)
        )
        return [self._run(row) for row in rows]

    def run(self, id: int) -> dict[str, Any] | None:
        """One run by its number."""
        row = self._row("SELECT * FROM runs WHERE id = ?", (id,)) if 0 < id <= _LARGEST else None
        return self._run(row) if row else None

    def networks(self) -> set[str]:
        """Networks that runs were on."""
        return {str(row["network"]) for row in self._rows("SELECT DISTINCT network FROM runs WHERE network != ''")}

    def _run(self, row: sqlite3.Row) -> dict[str, Any]:
        error = self._parsed(row["error"]) if row["error"] else None
        return {**dict(row), "error": error, "data": self._parsed(row["data"])}

    def unfinished(self, deployment: str) -> dict[str, Any] | None:
        """The newest run, when it did not get to its end: no outcome, cut off, interrupted or failed."""
        newest = self.runs(deployment, 1)
        return newest[0] if newest and newest[0]["outcome"] != "succeeded" else None

    # Steps

    def steps(self, run: int) -> list[dict[str, Any]]:
        """The steps of a run in their order."""
        return [dict(row) for row in self._rows("SELECT * FROM steps WHERE run = ? ORDER BY rowid", (run,))]

    def begin_step(self, run: int, deployment: str, step: str, inputs: dict[str, str]) -> None:
        """Commit the intent of a step before its side effect; what it had done before is void."""
        with self.write() as db:
            db.execute("DELETE FROM done WHERE deployment = ? AND step = ?", (deployment, step))
            db.execute(
                "INSERT OR REPLACE INTO steps (run, name, inputs, started) VALUES (?, ?, ?, ?)",
                (run, step, json.dumps(inputs, sort_keys=True), time.time()),
            )

    def retry_step(self, run: int, step: str, attempts: int) -> None:
        """Record that a step is tried once more."""
        with self.write() as db:
            db.execute("UPDATE steps SET attempts = ? WHERE run = ? AND name = ?", (attempts, run, step))

    def end_step(
        self, run: int, deployment: str, step: str, outcome: str, note: str = "", inputs: dict[str, str] | None = None
    ) -> None:
        """Commit the outcome of a step: `done`, `skipped`, `tolerated`, `failed` or `undone`.

        `inputs` are those at its end: a first run makes keys and machines that it could not name before.
        """
        now = time.time()
        with self.write() as db:
            if inputs is not None:
                text = json.dumps(inputs, sort_keys=True)
                db.execute("UPDATE steps SET inputs = ? WHERE run = ? AND name = ?", (text, run, step))
            row = db.execute("SELECT inputs, started FROM steps WHERE run = ? AND name = ?", (run, step)).fetchone()
            # A note may quote what is no text, such as an odd file name.
            plain = note.encode(errors="replace").decode()
            db.execute(
                "UPDATE steps SET ended = ?, outcome = ?, note = ? WHERE run = ? AND name = ?", (now, outcome, plain, run, step)
            )
            if outcome in ("done", "tolerated"):
                db.execute("INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?)", (deployment, step, row["inputs"], now))
                db.execute("INSERT INTO durations VALUES (?, ?, ?)", (step, max(0.0, now - row["started"]), now))

    def done(self, deployment: str) -> dict[str, dict[str, str]]:
        """{step: the inputs with which it was last done completely}."""
        rows = self._rows("SELECT * FROM done WHERE deployment = ?", (deployment,))
        return {row["step"]: self._parsed(row["inputs"]) for row in rows}

    def undo(self, deployment: str, *steps: str) -> None:
        """Forget that steps were done, so that the next run does them again."""
        with self.write() as db:
            db.executemany("DELETE FROM done WHERE deployment = ? AND step = ?", [(deployment, step) for step in steps])

    def usual_seconds(self, step: str) -> float | None:
        """The median of the last durations of a step, None when it never ran."""
        rows = self._rows("SELECT seconds FROM durations WHERE step = ? ORDER BY rowid DESC LIMIT 9", (step,))
        seconds = sorted(row["seconds"] for row in rows)
        return seconds[len(seconds) // 2] if seconds else None


def _close_cut_off(db: sqlite3.Connection, deployment: Deployment, now: float) -> None:
    """Close runs and steps that a crash left open; the caller holds the lease of this name, so nobody works on them.

    By name too: a `down` that was cut off at its very end has forgotten its deployment already.
    """
    mine = "outcome IS NULL AND (deployment = ? OR (name = ? AND network = ?))"
    which = (deployment.id, deployment.name, deployment.network)
    db.execute(
        f"UPDATE steps SET ended = ?, outcome = 'cut off' WHERE outcome IS NULL AND run IN (SELECT id FROM runs WHERE {mine})",  # noqa: S608
        (now, *which),
    )
    db.execute(f"UPDATE runs SET ended = ?, outcome = 'cut off' WHERE {mine}", (now, *which))  # noqa: S608  # fixed text
