"""Deployments as they are remembered."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tfgrid_compose.errors import NotFoundError, StateError
from tfgrid_compose.state.database import Database, damaged, with_checksum
from tfgrid_compose.state.names import odd_deployment


@dataclass(frozen=True)
class Deployment:
    """A deployment as it is remembered; `data` holds what the plan chose and what the grid answered."""

    id: str
    name: str
    network: str
    status: str
    created: float
    updated: float
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def app_dir(self) -> str:
        """The app folder that it was deployed from."""
        return str(self.data.get("app_dir", ""))

    @property
    def machines(self) -> list[dict[str, Any]]:
        """The machines that exist, with role, node and addresses."""
        found: list[dict[str, Any]] = self.data.get("machines", [])
        return found

    @property
    def gone(self) -> list[int]:
        """Contracts of it that were seen to have ended, though nobody took it down."""
        found: list[int] = self.data.get("gone") or []
        return found

    @property
    def price(self) -> dict[str, Any]:
        """What it costs as far as is remembered, also while it is being bought; empty when nothing of it is known to stand."""
        if self.data.get("buying"):
            return dict(self.data["buying"])
        return dict(self.data.get("price") or {}) if self.data.get("contracts") and not self.gone else {}

    @property
    def nodes(self) -> list[int]:
        """The nodes of its machines; where none is known yet, those on which something of it was bought."""
        if self.machines:
            return [machine["node"] for machine in self.machines]
        begun = self.data.get("contracts") or self.data.get("buying")
        return [node for nodes in (self.data.get("planned_nodes") or {}).values() for node in nodes] if begun else []

    def summary(self) -> dict[str, Any]:
        """What commands tell of it from memory alone, as JSON values."""
        return {
            "id": self.id, "name": self.name, "status": self.status, "network": self.network,
            "pattern": self.data.get("pattern", ""), "node": ",".join(map(str, self.nodes)),
            "address": self.machines[0].get("address", "") if self.machines else "", "release": self.data.get("release", ""),
            "usd_per_month": self.price.get("usd_per_month"), "created": self.created,
            "app_dir": self.app_dir,
        }  # fmt: skip

    def with_data(self, **changes: Any) -> Deployment:
        """A copy with changed data."""
        return replace(self, data={**self.data, **changes})


class Deployments(Database):
    """Deployments in the database."""

    def _deployment(self, row: sqlite3.Row) -> Deployment:
        data = self._parsed(row["data"])
        odd = odd_deployment(row["id"], row["name"], row["network"], data)
        if odd:
            raise damaged(self.path, odd)
        return Deployment(row["id"], row["name"], row["network"], row["status"], row["created"], row["updated"], data)

    def deployments(self) -> list[Deployment]:
        """All deployments that are not destroyed, oldest first."""
        return [self._deployment(row) for row in self._rows("SELECT * FROM deployments ORDER BY created")]

    def deployment(self, id: str) -> Deployment:
        """A deployment by its whole id. Raises `NotFoundError`."""
        row = self._row("SELECT * FROM deployments WHERE id = ?", (id,))
        if row is None:
            raise NotFoundError(f"there is no deployment {id}", fix="tfgrid-compose ps", code="deployment-not-found")
        return self._deployment(row)

    def find(self, name: str, network: str) -> Deployment | None:
        """A deployment by name on one network."""
        row = self._row("SELECT * FROM deployments WHERE name = ? AND network = ?", (name, network))
        return self._deployment(row) if row else None

    def add(self, deployment: Deployment, settle: Callable[[list[Deployment]], Deployment]) -> Deployment:
        """Insert a new deployment as `settle` makes it, which is given all that are recorded.

        None can be added between the two: what `settle` found free still is. Raises `StateError` as `save` does.
        """
        with self._named(deployment), self.write() as db:
            return self._put(db, settle(self.deployments()))

    def save(self, deployment: Deployment) -> Deployment:
        """Insert or replace a deployment. Raises `StateError` when another one has its name on its network."""
        with self._named(deployment), self.write() as db:
            return self._put(db, deployment)

    def _put(self, db: sqlite3.Connection, deployment: Deployment) -> Deployment:
        odd = odd_deployment(deployment.id, deployment.name, deployment.network, deployment.data)
        if odd:
            raise StateError(
                f"the deployment {deployment.name!r} can't be recorded", why=odd, fix="tfgrid-compose doctor", code="name-unsafe"
            )
        stamped = replace(deployment, updated=time.time())
        db.execute(
            "INSERT INTO deployments VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " status = excluded.status, updated = excluded.updated, data = excluded.data",
            (stamped.id, stamped.name, stamped.network, stamped.status, stamped.created, stamped.updated,
             with_checksum(stamped.data)),
        )  # fmt: skip
        return stamped

    @contextmanager
    def _named(self, deployment: Deployment) -> Iterator[None]:
        """Say it in our words when a deployment's name is taken."""
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise StateError(
                f"the deployment `{deployment.name}` can't be recorded",
                why=f"another one is called so on network {deployment.network}",
                fix="tfgrid-compose ps shows it; choose another name with --name",
                code="state-name-taken",
            ) from error
