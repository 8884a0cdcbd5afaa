"""State against grid: contracts that no deployment knows, deployments whose contracts are gone, and mending both."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tfgrid_compose.deploy.contracts import networks as networks_in_use
from tfgrid_compose.deploy.costs import costs_of
from tfgrid_compose.deploy.resolve import default_network
from tfgrid_compose.drivers import wireguard
from tfgrid_compose.errors import GridError, StateError, TfgridError
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.grids.models import ContractInfo, Marked
from tfgrid_compose.grids.pricing import HOURS_PER_MONTH
from tfgrid_compose.grids.registry import open_grid
from tfgrid_compose.state import backups
from tfgrid_compose.state.audited import audited
from tfgrid_compose.state.check import look
from tfgrid_compose.state.problem import Problem
from tfgrid_compose.state.quiet import held_leases, quiet
from tfgrid_compose.state.restore import accept_older, newer_backup, restore, start_anew
from tfgrid_compose.state.store import Deployment, Store
from tfgrid_compose.words import count, named

# Status of a deployment of which only its contracts are known.
ORPHANED = "orphaned"


# What stands on the grids


@dataclass(frozen=True)
class View:
    """Contracts with our mark by network; networks that were not looked at, with the reason."""

    marked: dict[str, list[Marked]] = field(default_factory=dict)
    unseen: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Orphan:
    """What stands on a grid for one deployment that nobody remembers; `since` in unix seconds, 0 when unknown."""

    network: str
    deployment: str
    name: str
    contracts: tuple[ContractInfo, ...]

    @property
    def since(self) -> float:
        """When its oldest contract was made."""
        known = [float(getattr(item, "created", 0) or 0) for item in self.contracts]
        return min([at for at in known if at], default=0.0)

    @property
    def usd_per_month(self) -> float | None:
        """What it costs; None where the cost of one of its contracts is not known."""
        prices = [item.usd_per_hour for item in self.contracts]
        return None if None in prices else round(sum(usd or 0 for usd in prices) * HOURS_PER_MONTH, 2)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "network": self.network, "deployment": self.deployment, "name": self.name, "since": self.since,
            "usd_per_month": self.usd_per_month, "contracts": [vars(item) for item in self.contracts],
        }  # fmt: skip


def networks_of(store: Store) -> list[str]:
    """Networks that were ever deployed to from here or are signed in to, and the default one."""
    return sorted({default_network(), *networks_in_use(store)})


def survey(networks: Iterable[str], *, costs: bool = False) -> View:
    """Look at grids, with `costs` also at what bills say; a grid that can't be looked at is no error, but said."""
    view = View()
    for network in networks:
        try:
            grid = open_grid(network)
            if grid.needs_root and os.geteuid() != 0:
                view.unseen[network] = "only root can look at it; --grid asks sudo"
            else:
                view.marked[network] = _priced(grid, grid.marked()) if costs else grid.marked()
        except TfgridError as error:
            view.unseen[network] = f"{error.what}: {error.why}" if error.why else error.what
    return view


def _priced(grid: Grid, marked: list[Marked]) -> list[Marked]:
    """With what each contract costs, where the grid itself does not say it."""
    if all(item.contract.usd_per_hour is not None for item in marked):
        return marked
    costs, _ = costs_of(grid, [item.contract for item in marked], grid.rates(), time.time())
    return [
        replace(item, contract=replace(item.contract, usd_per_hour=cost.usd_per_hour))
        for item, cost in zip(marked, costs, strict=True)
    ]


def orphans(store: Store, view: View) -> list[Orphan]:
    """What carries our mark and is in no state; what a run that goes on has just made is not among it."""
    known, held = {item.id for item in store.deployments()}, held_leases()
    found = []
    for network, marked in sorted(view.marked.items()):
        for id in sorted({item.deployment for item in marked} - known):
            mine = [item for item in marked if item.deployment == id]
            names = _names(store, id, mine)
            if not any(f"{network}--{name}" in held for name in names):
                contracts = sorted((item.contract for item in mine), key=lambda contract: contract.id)
                found.append(Orphan(network, id, names[0] if names else "", tuple(contracts)))
    return found


def _names(store: Store, id: str, marked: list[Marked]) -> list[str]:
    """Names that a forgotten deployment may have had: from its runs, then from its mark."""
    runs = [str(run["name"]) for run in store.runs(id, 1) if run["name"]]
    return list(dict.fromkeys([*runs, *(item.app for item in marked if item.app)]))


def destroy(store: Store, orphan: Orphan) -> None:
    """Cancel the contracts of an orphan and look whether they are gone. Raises `GridError` when something is left."""
    grid, ids = open_grid(orphan.network), [item.id for item in orphan.contracts]
    facts = {"name": orphan.name, "network": orphan.network, "contracts": ids}
    with audited(store, "orphans destroy", orphan.deployment, **facts):
        grid.cancel(ids)
        left = [*grid.remains(ids), *(f"contract {item.contract.id}" for item in grid.marked() if item.contract.id in ids)]
        if left:
            raise GridError(
                f"something of {_called(orphan)} is left: {left[0]}",
                why="it did not go away when its contracts were cancelled",
                details=list(dict.fromkeys(left)),
                fix="tfgrid-compose orphans --destroy tries again",
                code="leftovers",
            )


def _called(orphan: Orphan) -> str:
    return f"{orphan.name or 'an unknown app'} ({orphan.deployment[:6]})"


# Problems between state and grid


def grid_problems(store: Store, view: View) -> list[Problem]:
    """Orphans both ways: contracts without deployment, deployments without contracts."""
    found = [_orphaned(store, orphan) for orphan in orphans(store, view)]
    held = held_leases()
    for item in store.deployments():
        if item.network in view.marked and f"{item.network}--{item.name}" not in held:
            try:
                found += list(_of_deployment(store, item, view.marked[item.network]))
            except GridError as error:
                # It answered a moment ago. What is not known of one deployment is no problem of another.
                view.unseen[item.network] = f"{error.what}: {error.why}"
    return found


def _orphaned(store: Store, orphan: Orphan) -> Problem:
    where = f"network {orphan.network} ({named('contract', _ids(orphan))})"
    text = f"{_called(orphan)} stands on {where}, and no deployment here knows it"
    return Problem("contract-orphaned", text, "tfgrid-compose orphans", partial(_adopt, store, orphan))


def _ids(orphan: Orphan) -> list[int]:
    return [item.id for item in orphan.contracts]


def _of_deployment(store: Store, item: Deployment, marked: list[Marked]) -> Iterator[Problem]:
    live = {one.contract.id for one in marked if one.deployment == item.id}
    known = [int(id) for id in item.data.get("contracts", [])]
    # A contract without a mark may still live: the grid is asked for each that was not listed.
    gone = [id for id in known if id not in live and not open_grid(item.network).alive([id])]
    new = sorted(live - set(known))
    if new and item.status == ORPHANED:
        text = f"{item.name} has {count(len(new), 'contract')} on network {item.network} that it doesn't name"
        yield Problem("contract-unlisted", text, mend=partial(_listed, store, item, new))
    elif new:
        carry = "carries" if len(new) == 1 else "carry"
        text = f"{named('contract', new)} on network {item.network} {carry} the mark of {item.name}, which doesn't know of that"
        yield Problem("contract-unlisted", text, f"tfgrid-compose up {item.name} adopts it, `down` removes it")
    if gone and len(gone) == len(known):
        text = f"{item.name} has nothing on network {item.network} any more; its contracts ended"
        yield Problem("contracts-gone", text, mend=partial(_emptied, store, item))
    elif gone:
        text = f"{named('contract', gone)} of {item.name} on network {item.network} ended"
        yield Problem("contract-gone", text, f"tfgrid-compose up {item.name}")


def _adopt(store: Store, orphan: Orphan) -> str:
    """A row with which `ps` shows it and `down` removes it; its keys are lost, so nothing else can work."""
    name = orphan.name or "unknown"
    if store.find(name, orphan.network):
        name = f"{name}-{orphan.deployment[:6]}"
    data = {
        "app_dir": "", "app": orphan.name, "pattern": "", "ip_range": "", "interface": _tunnel_of(store, orphan, name),
        "contracts": _ids(orphan),
    }  # fmt: skip
    since = orphan.since or time.time()
    # A deployment of this id was known once, with secrets; now it is known to have none.
    with suppress(StateError):
        store.set_secret(orphan.deployment, ORPHANED, b"")
    store.save(Deployment(orphan.deployment, name, orphan.network, ORPHANED, since, since, data))
    return (
        f"{name} on network {orphan.network} is listed again with {count(len(orphan.contracts), 'contract')};"
        f" its keys are lost, only `tfgrid-compose down {name}` works on it"
    )


def _tunnel_of(store: Store, orphan: Orphan, name: str) -> str:
    """The interface that a lost deployment of this name most likely still has here; else a name that nothing has."""
    interface = wireguard.interface_name(name, ())
    taken = any(item.data.get("interface") == interface for item in store.deployments())
    return interface if not taken and wireguard.config_path(interface).exists() else f"wg-{orphan.deployment[:12]}"


def _listed(store: Store, item: Deployment, new: list[int]) -> str:
    current = store.deployment(item.id)
    store.save(current.with_data(contracts=sorted({*current.data.get("contracts", []), *new})))
    return f"{item.name} names {count(len(new), 'more contract')}"


def _emptied(store: Store, item: Deployment) -> str:
    current = replace(store.deployment(item.id), status="failed")
    store.save(current.with_data(contracts=[], machines=[], gone=[], buying=None))
    store.undo(item.id, *store.done(item.id))
    return f"{item.name} is called `failed`, because nothing of it stands any more; `tfgrid-compose up` builds it anew"


# Repair


def usable_database() -> str:
    """Make the database one that can be opened; returns what was done, empty when it was usable.

    A damaged or lost one is replaced by the newest good backup, or by a new one where there is none. One that lacks what was
    written last stays, unless a backup is newer. Raises `StateError`.
    """
    try:
        with Store():
            return ""
    except StateError as error:
        if error.code == "state-behind":
            return _went_on()
        if error.code not in ("state-damaged", "state-lost"):
            raise
    good = backups.newest_good()
    if good:
        return f"restored the backup {good.name}{_where(restore(good).kept)}"
    return f"began a new database; there was no good backup{_where(start_anew())}"


def _went_on() -> str:
    """Take what is newer, the database or its newest backup, for the newest that there is."""
    newer = newer_backup()
    if newer:
        return f"restored the backup {newer.name}, which is newer than the database was; that one is {restore(newer).kept}"
    return f"went on with the database as it is, without its last {count(accept_older(), 'write')}"


def _where(kept: str) -> str:
    return f"; the damaged database is {kept}" if kept else ""


def repair(store: Store, view: View | None) -> tuple[list[str], list[Problem]]:
    """Mend all that can be mended without losing anything; returns what was done and what remains.

    With no `view` of the grids, or one that misses a network, what unknown deployments left on this computer stays: they
    may still stand there. Raises `BusyError` while a run goes on, `StateError` when no backup can be made.
    """
    done: list[str] = []
    with quiet("repairing"):
        backups.save(store.path, "before-repair")
        with audited(store, "state repair") as turn:
            for _ in range(4):
                mends = _next_mends(problems(store, view), view)
                if not mends:
                    break
                done += [mend() for mend in mends]
            turn.facts["mended"] = done
        return done, problems(store, view)


def problems(store: Store, view: View | None) -> list[Problem]:
    """All problems: first those with the grid, because what is found there is not dead on this computer."""
    found: list[Problem] = []
    if view:
        # What can't be read of the state is found by the look at it.
        with suppress(StateError):
            found = grid_problems(store, view)
    return list({(item.code, item.text): item for item in [*found, *look(store)]}.values())


# What a deployment leaves on this computer is not dead as long as it may stand on a grid.
_IF_GONE = ("dead-rows", "folder-leftover")


def _next_mends(found: list[Problem], view: View | None) -> list[Callable[[], str]]:
    """What to mend now: first what changes which deployments there are, because that decides what else is dead."""
    seen = view is not None and not view.unseen
    mendable = [item for item in found if item.mend and (seen or item.code not in _IF_GONE)]
    first = [item for item in mendable if item.code == "contract-orphaned"]
    return [item.mend for item in first or mendable if item.mend]
