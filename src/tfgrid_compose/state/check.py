"""Looks through all that is remembered on this computer, and names what is not as it should be."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import backups, blobs, paths
from tfgrid_compose.state.files import SETTLED, look_at_folders, look_beside, older
from tfgrid_compose.state.problem import Problem
from tfgrid_compose.state.quiet import held_leases
from tfgrid_compose.state.rows import odd_rows
from tfgrid_compose.state.store import Deployment, Release, Store
from tfgrid_compose.words import count

# An id of ours; other owners of secrets are not deployments.
_ID = re.compile(r"^[0-9a-f]{16}$")


def look(store: Store) -> list[Problem]:
    """Everything that is wrong with what is remembered. Raises nothing that damage can cause."""
    found = look_into(store)
    return [*found, *_others((look_at_folders,), store, found), *look_beside()]


def look_into(store: Store, *, closely: bool = False) -> list[Problem]:
    """What is wrong in the database and in what it names; `closely` as in `rows.odd_rows`."""
    try:
        found = [str(row[0]) for row in store._rows("PRAGMA integrity_check")]
    except StateError as error:
        return [_damage(error)]
    if found != ["ok"]:
        return [Problem("database-damaged", f"SQLite finds {_first_line(found[0])}", backups.remedy())]
    rows = _listed(partial(_rows, closely=closely), store)
    looks = (_dead_rows, _releases, _archives, _runs, _statuses, _secrets, _audit)
    return [*rows, *_others(looks, store, rows)]


def _others(looks: Collection[Callable[[Store], Iterator[Problem]]], store: Store, rows: list[Problem]) -> Iterator[Problem]:
    """What further looks find. They expect rows as we write them; where that is said not to be so, they may fail."""
    for one in looks:
        try:
            yield from _listed(one, store)
        except (TypeError, ValueError, LookupError, AttributeError):
            if not rows:
                raise


def _listed(one: Callable[[Store], Iterator[Problem]], store: Store) -> list[Problem]:
    """What one look finds; when it meets damage, it says so and the others go on."""
    try:
        return list(one(store))
    except (StateError, sqlite3.Error) as error:
        return [_damage(error)]


def _damage(error: Exception) -> Problem:
    if isinstance(error, StateError) and error.code != "state-damaged":
        return _said(error)
    text = f"{error.what}: {error.why}" if isinstance(error, StateError) else str(error)
    return Problem("database-damaged", text, backups.remedy())


def _said(error: StateError, mend: Callable[[], str] | None = None) -> Problem:
    """An error as a problem."""
    return Problem(error.code, f"{error.what}: {error.why}" if error.why else error.what, error.fix, mend)


def _first_line(text: str) -> str:
    return " ".join(text.split())[:200]


# Rows


def _rows(store: Store, *, closely: bool = False) -> Iterator[Problem]:
    """Values that can't be read: no JSON, a checksum that doesn't fit, text where a number stands."""
    for text in odd_rows(store._rows, closely=closely):
        yield Problem("row-unreadable", text, backups.remedy())


_OF_DEPLOYMENTS = {"secrets": "secret", "seals": "seal", "done": "finished step", "releases": "release"}


def _dead_rows(store: Store) -> Iterator[Problem]:
    """Rows of deployments and runs that are not there any more. Runs themselves stay as history."""
    known = {item.id for item in store.deployments()}
    for table, word in _OF_DEPLOYMENTS.items():
        owners = store._rows(f"SELECT deployment, count(*) AS count FROM {table} GROUP BY deployment")  # noqa: S608
        for row in owners:
            owner = str(row["deployment"])
            if owner not in known and _ID.match(owner):
                text = f"{count(row['count'], word)} of deployment {owner[:6]}, which is not there any more"
                yield Problem("dead-rows", text, mend=_dropped(store, table, "deployment", owner, text))
    releases = {item.id for deployment in known for item in store.releases(deployment)}
    for row in store._rows("SELECT deployment, name FROM secrets WHERE name LIKE 'release/%'"):
        if row["name"].removeprefix("release/") not in releases and row["deployment"] in known:
            text = f"an environment of release {row['name'].removeprefix('release/')}, which is not there any more"
            yield Problem("dead-rows", text, mend=_forgotten_secret(store, row["deployment"], row["name"], text))
    for row in store._rows("SELECT run, count(*) AS count FROM steps WHERE run NOT IN (SELECT id FROM runs) GROUP BY run"):
        text = f"{count(row['count'], 'step')} of run {row['run']}, which is not there any more"
        yield Problem("dead-rows", text, mend=_dropped(store, "steps", "run", row["run"], text))


def _dropped(store: Store, table: str, column: str, value: Any, text: str) -> Callable[[], str]:
    def mend() -> str:
        with store.write() as db:
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", (value,))  # noqa: S608  # fixed names
        return f"dropped {text}"

    return mend


def _forgotten_secret(store: Store, deployment: str, name: str, text: str) -> Callable[[], str]:
    def mend() -> str:
        store.set_secret(deployment, name, None)
        return f"dropped {text}"

    return mend


def _releases(store: Store) -> Iterator[Problem]:
    """One live release at most, no number twice, and the deployment names its live release."""
    for deployment in store.deployments():
        everything = store.releases(deployment.id)
        numbers = [item.number for item in everything]
        for number in sorted({number for number in numbers if numbers.count(number) > 1}):
            text = f"{deployment.name} has {numbers.count(number)} releases with number {number}"
            yield Problem("release-number-twice", text, mend=partial(_renumbered, store, deployment.id))
        live = [item for item in everything if item.status == "live"]
        if len(live) > 1:
            text = f"{deployment.name} has {len(live)} live releases"
            yield Problem("release-live-twice", text, mend=partial(_one_live, store, deployment))
        elif live and deployment.data.get("release") != live[0].id:
            text = f"{deployment.name} does not name its live release {live[0].label}"
            yield Problem("release-link", text, mend=partial(_linked, store, deployment, live[0]))


def _renumbered(store: Store, deployment: str) -> str:
    rows = store._rows("SELECT id FROM releases WHERE deployment = ? ORDER BY number, created, id", (deployment,))
    with store.write() as db:
        for number, row in enumerate(rows, 1):
            db.execute("UPDATE releases SET number = ? WHERE id = ?", (number, row["id"]))
    return f"numbered {count(len(rows), 'release')} of {deployment[:6]} anew"


def _one_live(store: Store, deployment: Deployment) -> str:
    live = [item for item in store.releases(deployment.id) if item.status == "live"]
    stays = next((item for item in live if item.id == deployment.data.get("release")), live[0])
    store.set_release_live(stays.id, deployment.id)
    return f"{stays.label} is the live release of {deployment.name}"


def _linked(store: Store, deployment: Deployment, live: Release) -> str:
    store.save(store.deployment(deployment.id).with_data(release=live.id))
    return f"{deployment.name} names its live release {live.label}"


def _archives(store: Store) -> Iterator[Problem]:
    """Archives of releases: there, unchanged, and none that nothing names."""
    needed: set[str] = set()
    for deployment in store.deployments():
        for release in store.releases(deployment.id):
            named = {str(release.data[key]) for key in ("archive", "pattern_archive") if release.data.get(key)}
            for digest in sorted(named - needed):
                try:
                    blobs.get(digest)
                except StateError as error:
                    text = f"release {release.label} of {deployment.name} can't be gone back to: {error.what}"
                    yield Problem("archive-damaged", text, f"tfgrid-compose up {deployment.name} makes a new release")
            needed |= named
    old = time.time() - SETTLED
    folder = blobs.folder()
    left = [path for path in folder.iterdir() if path.name not in needed and older(path, old)] if folder.is_dir() else []
    if left:
        text = f"{count(len(left), 'archive')} that no release names"
        yield Problem("archive-unneeded", text, mend=partial(_pruned, needed))


def _pruned(needed: Collection[str]) -> str:
    return f"removed {count(blobs.prune(needed), 'archive')} that no release names"


def _runs(store: Store) -> Iterator[Problem]:
    """Runs without an end that nobody works on: a lease is held by the process of each one that goes on."""
    open_runs = store._rows("SELECT id, kind, name, network, pid FROM runs WHERE outcome IS NULL")
    held = held_leases() if open_runs else {}
    working = {record.get("pid") for record in held.values()}
    for row in open_runs:
        # Who has just taken a lease has not written its record yet.
        record = held.get(f"{row['network']}--{row['name']}", {"pid": 0})
        if row["pid"] not in working and record.get("pid", row["pid"]) != row["pid"]:
            text = f"run {row['id']} ({row['kind']} {row['name']}) was cut off"
            yield Problem("run-cut-off", text, mend=partial(_closed, store, row["id"]))


def _closed(store: Store, run: int) -> str:
    with store.write() as db:
        now = time.time()
        db.execute("UPDATE steps SET ended = ?, outcome = 'cut off' WHERE outcome IS NULL AND run = ?", (now, run))
        db.execute("UPDATE runs SET ended = ?, outcome = 'cut off' WHERE outcome IS NULL AND id = ?", (now, run))
    return f"closed run {run}, which was cut off"


def _statuses(store: Store) -> Iterator[Problem]:
    """A deployment that says that something is being done, when nothing is."""
    doing = [item for item in store.deployments() if item.status == "deploying"]
    held = held_leases() if doing else {}
    for item in doing:
        if f"{item.network}--{item.name}" not in held:
            text = f"{item.name} is called `deploying`, but no run works on it"
            yield Problem("status-stale", text, mend=partial(_failed, store, item))


def _failed(store: Store, deployment: Deployment) -> str:
    store.save(replace(store.deployment(deployment.id), status="failed"))
    return f"{deployment.name} is called `failed`; `tfgrid-compose up` goes on"


# Secrets and the audit log


def _secrets(store: Store) -> Iterator[Problem]:
    """Every secret decrypts and is the one that was written last; key and anchor are there."""
    for error in store.secret_problems():
        yield _said(error, partial(_anchored, store) if error.code == "anchor-missing" else None)


def _audit(store: Store) -> Iterator[Problem]:
    broken = store.verify_audit()
    if broken and broken.kind == "unproven":
        yield Problem(
            "audit-unproven", f"the end of the audit log can't be proven: {broken.text}", mend=partial(_anchored, store)
        )
    elif broken:
        text = f"the audit log is broken at entry {broken.number} ({broken.kind}): {broken.text}"
        yield Problem("audit-broken", text, "tfgrid-compose audit verify; keep a copy of the database, it is evidence")


def _anchored(store: Store) -> str:
    store.accept_secrets()
    store.anchor_audit_anew()
    return "wrote the anchor anew"


# A bug, or the consequence of damage?


def damage_behind(error: BaseException) -> StateError | None:
    """The damage that may be the reason of an error that nobody foresaw, None when the database is whole."""
    del error
    try:
        with Store() as store:
            found = [item for item in look_into(store, closely=True) if item.code in ("database-damaged", "row-unreadable")]
    except StateError as damage:
        return damage
    except Exception:  # The bug itself may stand in the way; then it is reported as one.
        return None
    if not found:
        return None
    path = paths.state_dir() / "state.db"
    return StateError(f"the database {path} is damaged", why=found[0].text, fix=backups.remedy(), code="state-damaged")
