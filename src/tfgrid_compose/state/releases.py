"""Releases: one immutable record each of what was deployed; only the status of one changes."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass, field
from typing import Any

from tfgrid_compose.errors import NotFoundError
from tfgrid_compose.state import whoami
from tfgrid_compose.state.database import Database, with_checksum


@dataclass(frozen=True)
class Release:
    """A release of one deployment.

    `status` is `shipped` (on its way), `live`, `superseded` (was live), or `failed`. `data` holds the
    manifest, digests of source, pattern and hooks, sizes, variables and outputs, as JSON values.
    """

    id: str
    deployment: str
    number: int
    created: float
    status: str
    who: str
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def worked(self) -> bool:
        """Whether it was live at some time, and so can be gone back to."""
        return self.status in ("live", "superseded") and "archive" in self.data

    @property
    def label(self) -> str:
        """How people call it: `#3 (20251123-134500-1a2b3c)`."""
        return f"#{self.number} ({self.id})"


class Releases(Database):
    """Releases in the database."""

    def add_release(self, id: str, deployment: str, data: dict[str, Any]) -> Release:
        """Record a new release, `shipped`; an older one that never got live is `failed` by now."""
        with self.write() as db:
            now = time.time()
            db.execute("UPDATE releases SET status = 'failed' WHERE deployment = ? AND status = 'shipped'", (deployment,))
            last = db.execute("SELECT coalesce(max(number), 0) FROM releases WHERE deployment = ?", (deployment,)).fetchone()[0]
            db.execute(
                "INSERT INTO releases (id, deployment, number, created, status, who, data) VALUES (?, ?, ?, ?, 'shipped', ?, ?)",
                (id, deployment, last + 1, now, whoami.who(), with_checksum(data)),
            )
        return Release(id, deployment, last + 1, now, "shipped", whoami.who(), data)

    def set_release_live(self, id: str, deployment: str) -> None:
        """The release runs now; the one before becomes `superseded`."""
        with self.write() as db:
            db.execute(
                "UPDATE releases SET status = 'superseded' WHERE deployment = ? AND status = 'live' AND id != ?", (deployment, id)
            )
            db.execute("UPDATE releases SET status = 'live' WHERE id = ?", (id,))

    def set_release_failed(self, id: str) -> None:
        """The release never got live."""
        with self.write() as db:
            db.execute("UPDATE releases SET status = 'failed' WHERE id = ? AND status = 'shipped'", (id,))

    def releases(self, deployment: str) -> list[Release]:
        """Releases, newest first."""
        rows = self._rows("SELECT * FROM releases WHERE deployment = ? ORDER BY number DESC", (deployment,))
        return [self._release(row) for row in rows]

    def live_release(self, deployment: str) -> Release | None:
        """The release that went live last."""
        return next((item for item in self.releases(deployment) if item.status == "live"), None)

    def find_release(self, deployment: str, text: str) -> Release:
        """A release by number (`3`, `#3`) or the beginning of its id. Raises `NotFoundError`."""
        everything = self.releases(deployment)
        number = text.removeprefix("#")
        found = [item for item in everything if str(item.number) == number]
        found = found or [item for item in everything if text and item.id.startswith(text)]
        if len(found) == 1:
            return found[0]
        known = ", ".join(f"#{item.number}" for item in everything) or "none"
        raise NotFoundError(
            f"{'several releases begin' if found else 'no release begins'} with `{text}`",
            why=f"there are {known}",
            fix="tfgrid-compose history lists them; name one by its number",
            code="release-not-found",
        )

    def _release(self, row: sqlite3.Row) -> Release:
        data = self._parsed(row["data"])
        return Release(row["id"], row["deployment"], row["number"], row["created"], row["status"], row["who"], data)


def environment_name(release: str) -> str:
    """The name of the secret that holds a release's environment."""
    return f"release/{release}"
