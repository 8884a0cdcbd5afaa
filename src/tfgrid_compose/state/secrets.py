"""Secrets of deployments and app folders, encrypted at rest."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import anchor, sealed
from tfgrid_compose.state.database import Database

# The secret that holds what `secrets set` was given, as JSON: {name: {"value": text, "changed": unix seconds}}.
APP = "app-secrets"
# The secret that holds the values that the last `up` was given, as JSON: {name: text}.
ENVIRONMENT = "environment"
# What owners of accounts begin with; they belong to the user and to no deployment.
ACCOUNTS = sealed.ACCOUNTS
# Threads share a connection: none looks while another one is between a change and its seal.
_LOCK = threading.RLock()


def folder_owner(folder: Path) -> str:
    """The owner of values for an app folder, deployed or not."""
    # The name of a folder need not be a text, and only a text can be looked for.
    return f"{sealed.FOLDER}{os.path.realpath(folder)}".encode(errors="backslashreplace").decode()


class Secrets(Database):
    """Values that nobody may read without the key."""

    _looked = False

    def _prepare(self) -> None:
        super()._prepare()
        self.vault.in_use = self._has_secrets

    def _has_secrets(self) -> bool:
        return bool(self._rows("SELECT 1 FROM secrets LIMIT 1"))

    def secret(self, deployment: str, name: str) -> bytes | None:
        """A decrypted value, None when there is none.

        Raises `StateError` when the secrets of this deployment, or the whole database, are not those that were
        written last.
        """
        with _LOCK:
            try:
                return sealed.value(self.vault, self._owned(deployment), name)
            except StateError as error:
                if error.code != "key-wrong":
                    raise
            # A rotation in another process ended between the look at the row and the look at the keys.
            return sealed.value(self.vault, self._owned(deployment), name)

    def secret_names(self, owner: str) -> list[str]:
        """Names of all values of an owner. Raises `StateError` as `secret` does."""
        with _LOCK:
            return sorted(self._owned(owner).rows)

    def set_secret(self, deployment: str, name: str, value: bytes | None) -> None:
        """Keep a value encrypted; None forgets it. Raises `StateError` when what is there was tampered with."""
        self.set_secrets(deployment, {name: value})

    def set_secrets(self, deployment: str, values: Mapping[str, bytes | None]) -> None:
        """Keep or forget several values at once. What is kept already is not written again."""
        with self.changed_secrets(deployment, values):
            pass

    @contextmanager
    def changed_secrets(self, deployment: str, values: Mapping[str, bytes | None]) -> Iterator[sqlite3.Connection]:
        """The same in one transaction with what else is done inside."""
        with _LOCK:
            with self.write() as db:
                generation = self.change_secrets(deployment, values)
                yield db
            if generation:
                anchor.write(self.vault, generation=generation, folder=self.path.parent)

    def change_secrets(self, deployment: str, values: Mapping[str, bytes | None]) -> int:
        """The same inside the transaction of the caller; returns the new generation, 0 when nothing changed."""
        with _LOCK:
            owned = self._owned(deployment)
            fresh = {name: value for name, value in values.items() if not self._kept(owned, name, value)}
            return sealed.change(self._db, self.vault, owned, fresh) if fresh else 0

    def _kept(self, owned: sealed.Owned, name: str, value: bytes | None) -> bool:
        if value is None or name not in owned.rows:
            return value is None and name not in owned.rows
        return owned.rows[name][0] > 0 and sealed.value(self.vault, owned, name) == value

    def _owned(self, deployment: str) -> sealed.Owned:
        # First the anchor, then the database: so the database is never older than it by mere chance.
        mark = None if self._looked else anchor.read(self.vault, self.path.parent)
        with self._explained():
            owned = sealed.read(self._db, self.vault, deployment)
        if mark and owned.root.generation < mark.generation:
            raise self._older(owned.root.generation, mark.generation)
        self._looked = True
        return sealed.check(owned)

    def _older(self, found: int, wanted: int) -> StateError:
        return StateError(
            f"the database {self.path} is older than the newest one that was here",
            why=f"its secrets end with generation {found}, but generation {wanted} had been written",
            fix="tfgrid-compose state restore",
            code="state-older",
        )

    # Values for apps

    def app_secrets(self, owner: str) -> dict[str, str]:
        """{name: value} that `secrets set` was given for a deployment's id, or for `folder_owner(…)`."""
        return {name: str(item["value"]) for name, item in self._app_secrets(owner).items()}

    def app_secrets_changed(self, owner: str) -> dict[str, float]:
        """{name: when it was set, in unix seconds}."""
        return {name: float(item["changed"]) for name, item in self._app_secrets(owner).items()}

    def _app_secrets(self, owner: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.secret(owner, APP) or b"{}")
        return found

    def set_app_secret(self, owner: str, name: str, value: str | None) -> None:
        """Keep a value for an app. None forgets it, also as a value that the last `up` was given."""
        with _LOCK:
            with self.write():
                found = json.loads(sealed.value(self.vault, self._owned(owner), APP) or b"{}")
                changes: dict[str, bytes | None] = {}
                if value is not None:
                    found[name] = {"value": value, "changed": time.time()}
                else:
                    found.pop(name, None)
                    changes[ENVIRONMENT] = self._without(owner, name)
                changes[APP] = json.dumps(found).encode() if found else None
                generation = self.change_secrets(owner, changes)
            if generation:
                anchor.write(self.vault, generation=generation, folder=self.path.parent)

    def _without(self, owner: str, name: str) -> bytes | None:
        kept = sealed.value(self.vault, self._owned(owner), ENVIRONMENT)
        if kept is None:
            return None
        values = json.loads(kept)
        values.pop(name, None)
        return json.dumps(values).encode()

    # The whole

    def accept_secrets(self, *, drop: bool = False, audit: tuple[int, str] | None = None) -> list[str]:
        """Take this database for the newest from now on: after a backup was put in its place, or it was made anew.

        With `drop`, secrets that can't be decrypted are removed, and their owners and names returned; without it
        they are an error. `audit` is (number, hash) of the newest audit entry, when that may have changed too.
        Raises `StateError`.
        """
        with _LOCK:
            mark = anchor.read(self.vault, self.path.parent)
            if not mark and not self._has_secrets():
                return []
            with self.write() as db:
                above = mark.generation if mark else 0
                generation, lost = sealed.accept(db, self.vault, above, drop=drop)
            anchor.write(
                self.vault, generation=generation, anew=True, audit=mark.audit if mark else None, folder=self.path.parent
            )
            self._looked = True
            return lost

    def secret_problems(self) -> list[StateError]:
        """All that is wrong with secrets, their key and the anchor. Raises nothing that damage can cause."""
        found: list[StateError] = []
        with _LOCK:
            try:
                self._look_at_keys(found)
                with self._explained():
                    owners = sealed.owners(self._db, sealed.read(self._db, self.vault, "").root)
            except StateError as error:
                return [*found, error]
            for owner in owners:
                found += self._problems_of(owner)
        # One damage that concerns everything is said once.
        return list({(error.what, error.why): error for error in found}.values())

    def _look_at_keys(self, found: list[StateError]) -> None:
        if not self.vault.exists() and not self._has_secrets():
            return
        if self.vault.keys().rotating:
            found.append(
                StateError(
                    "a rotation of the key was cut off",
                    why="secrets are encrypted with more than one key",
                    fix="tfgrid-compose secrets rotate",
                    code="rotation-unfinished",
                )
            )
        written = self._row("SELECT 1 FROM seals WHERE deployment = ?", ("",))
        if written and anchor.read(self.vault, self.path.parent) is None:
            found.append(
                StateError(
                    f"the anchor {self.path.with_name(anchor.NAME)} is missing or can't be trusted",
                    why="without it nobody sees when an older database is put in the place of this one",
                    fix="tfgrid-compose state repair",
                    code="anchor-missing",
                )
            )

    def _problems_of(self, owner: str) -> list[StateError]:
        found = []
        try:
            self._looked = False
            owned = self._owned(owner)
        except StateError as error:
            return [error]
        for name in owned.rows:
            try:
                sealed.value(self.vault, owned, name)
            except StateError as error:
                found.append(error)
        return found

    def rewrite_secrets(self) -> int:
        """Encrypt everything anew with the active key, and leave nothing of the old in the file; returns how many."""
        with _LOCK:
            with self.write() as db:
                self._owned("")
                count, generation = sealed.rewrite(db, self.vault)
            with self._explained():
                # What was overwritten stands in unused pages and in the log until both are written anew.
                self._db.execute("VACUUM")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            anchor.write(self.vault, generation=generation, folder=self.path.parent)
            return count
