"""The store: one open database with all that is remembered."""

from __future__ import annotations

import time
from typing import Any

from tfgrid_compose.state.arrival import Arrival
from tfgrid_compose.state.deployments import Deployment
from tfgrid_compose.state.releases import Release, environment_name
from tfgrid_compose.state.schema import SCHEMA_VERSION

__all__ = ["SCHEMA_VERSION", "Deployment", "Release", "Store"]


class Store(Arrival):
    """One open database; close it when done."""

    def _prepare(self) -> None:
        super()._prepare()
        self.finish_arrival_if_possible()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start_run(self, deployment: Deployment, kind: str, data: dict[str, Any] | None = None) -> int:
        """Record that a run begins, in a log that was begun before it; returns its number."""
        self.begin_audit()
        return super().start_run(deployment, kind, data)

    def forget_releases(self, deployment: str, ids: list[str]) -> None:
        """Forget releases of one deployment with their environments, in one transaction."""
        with self.changed_secrets(deployment, dict.fromkeys(environment_name(id) for id in ids)) as db:
            db.executemany("DELETE FROM releases WHERE deployment = ? AND id = ?", [(deployment, id) for id in ids])

    def forget(self, id: str, run: int = 0) -> None:
        """Remove a deployment with its releases and secrets; its runs and its audit entries stay as history.

        `run` is the run that did it: it ends in the same transaction, because no later one could say that it was cut off.
        """
        with self.write() as db:
            db.execute("UPDATE runs SET ended = ?, outcome = 'succeeded' WHERE id = ?", (time.time(), run))
            for table in ("secrets", "seals", "done", "releases"):
                db.execute(f"DELETE FROM {table} WHERE deployment = ?", (id,))  # noqa: S608  # fixed names
            db.execute("DELETE FROM deployments WHERE id = ?", (id,))
