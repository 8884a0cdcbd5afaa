"""`rollback`: the same steps as `up`, with a release instead of the app folder as what is wanted."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfgrid_compose.deploy import engine, releases, up
from tfgrid_compose.deploy.budget import check_budget, limit_of, price_of
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.networks import Networks, preferred
from tfgrid_compose.deploy.options import RollbackOptions
from tfgrid_compose.deploy.plan import Plan, make_plan
from tfgrid_compose.deploy.resolve import RoleSizes
from tfgrid_compose.deploy.retry import NEVER, Policy
from tfgrid_compose.deploy.turn import turn
from tfgrid_compose.errors import (
    BusyError,
    DnsError,
    EnvironmentError_,
    GridError,
    InterruptedError_,
    NotFoundError,
    ReachError,
    StateError,
    TfgridError,
    TunnelError,
)
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.grids.registry import open_grid
from tfgrid_compose.manifest import bundle as bundles
from tfgrid_compose.manifest.load import App, load_app
from tfgrid_compose.manifest.model import DataDisk
from tfgrid_compose.observe.events import Stream, notice
from tfgrid_compose.state import settings
from tfgrid_compose.state.store import Deployment, Release, Store

# After these, going back would meet the same wall: nothing of the app was the reason.
_POINTLESS = (BusyError, DnsError, EnvironmentError_, InterruptedError_, StateError, ReachError, TunnelError)


@contextmanager
def prepared(store: Store, stream: Stream, deployment: Deployment, options: RollbackOptions, *, write: bool) -> Iterator[Context]:
    """A context whose aim is a release, under the deployment's lease. With `write` unset nothing is recorded.

    Raises `NotFoundError` when there is no such release, `StateError` when its record is damaged.
    """
    if not write:
        with _context(store, stream, deployment, options, write) as context:
            yield context
        return
    with turn(store, stream, deployment.name, deployment.network, wait=options.wait, cancel=options.cancel):
        fresh = store.deployment(deployment.id)
        up.tell_unfinished(store, stream, fresh)
        with _context(store, stream, fresh, options, write) as context:
            yield context


@contextmanager
def _context(store: Store, stream: Stream, deployment: Deployment, options: RollbackOptions, write: bool) -> Iterator[Context]:
    target = choose(store, deployment, options.release)
    grid = open_grid(deployment.network)
    if write:
        grid.prepare(lambda text: stream.emit(notice(text)))
    snapshot = _snapshot(grid, deployment, target) if options.with_data else ""
    with releases.unpacked(deployment, target) as folder:
        context = _restored(store, stream, deployment, grid, target, folder)
        context.snapshot, context.terraform = snapshot, options.terraform
        context.aim = {"release": target.id, "with_data": bool(snapshot)}
        context.policy = Policy() if options.retry else NEVER
        context.trust = options.trust
        if not snapshot:
            said = "data that the app wrote stays as it is now"
            more = "; --with-data brings it back too" if grid.can_snapshot and _has_snapshot(grid, deployment, target) else ""
            context.limits = (*context.limits, said + more)
        stream.redactor.add(*(context.environment.values[name] for name in context.environment.secrets))
        with up.opened(context, write):
            yield context


def choose(store: Store, deployment: Deployment, text: str | None) -> Release:
    """The release to go back to. Raises `NotFoundError` when there is none, or it can't be gone back to."""
    target = store.find_release(deployment.id, text) if text is not None else releases.previous(store, deployment)
    if not target.worked:
        old = "archive" not in target.data
        raise NotFoundError(
            f"release {target.label} can't be gone back to",
            why="it was made by an older tfgrid-compose, without an archive" if old else "it never went live",
            fix="tfgrid-compose history shows which ones were live",
            code="release-not-restorable",
        )
    return target


def _restored(store: Store, stream: Stream, deployment: Deployment, grid: Grid, target: Release, folder: Path) -> Context:
    """A context of what the release was; `limits` says what of it can't be had again."""
    data = target.data
    app = load_app(folder, file=releases.MANIFEST, packed=True)
    bundle = replace(bundles.collect(folder, (app.manifest_path,), sifting=False), digest=str(data["source"]))
    limits: list[str] = []
    disks = _disks(deployment, [DataDisk(**disk) for disk in data["disks"]], limits)
    return Context(
        store=store, deployment=deployment, app=app, pattern=releases.pattern_of(target, folder), grid=grid, stream=stream,
        bundle=bundle, environment=releases.environment_of(store, target), sizes=_sizes(deployment, data, limits),
        nodes=_nodes(deployment, data, limits), networks=_networks(grid, deployment, app, data, limits),
        overrides=data["overrides"], pattern_options=data["pattern_options"],
        disks=disks, dotenv=bool(data["dotenv"]), release=target, limits=(*limits, *_addresses(deployment, data)),
    )  # fmt: skip


def _sizes(deployment: Deployment, data: dict[str, Any], limits: list[str]) -> dict[str, RoleSizes]:
    """Sizes as they were; but a disk only grows."""
    now: dict[str, dict[str, int]] = deployment.data.get("sizes", {})
    found = {}
    for role, size in data["sizes"].items():
        disk = max(size["disk"], now.get(role, {}).get("disk", 0))
        if disk > size["disk"]:
            limits.append(f"the root disk of {role} stays at {disk} GB: a disk can't shrink to {size['disk']} GB")
        found[role] = RoleSizes(size["cpu"], size["memory"], disk)
    return found


def _disks(deployment: Deployment, wanted: list[DataDisk], limits: list[str]) -> tuple[DataDisk, ...]:
    """Data disks as they were; one that was added or grew since stays, for what is on it."""
    now = {disk["name"]: DataDisk(**disk) for disk in deployment.data.get("disks", [])}
    found = []
    for disk in wanted:
        current = now.pop(disk.name, None)
        if current is None and deployment.machines:
            limits.append(f"disk {disk.name} was removed since; it comes back empty")
        if current and current.size > disk.size:
            limits.append(f"disk {disk.name} stays at {current.size} GB: a disk can't shrink")
            disk = disk.model_copy(update={"size": current.size})
        found.append(disk)
    for disk in now.values():
        limits.append(f"disk {disk.name}, added since, stays with its data")
        found.append(disk)
    return tuple(found)


def _networks(grid: Grid, deployment: Deployment, app: App, data: dict[str, Any], limits: list[str]) -> Networks:
    """The networks that the release had, in the order that is preferred now; no public IPv4 for a machine that stands without."""
    made, chosen = list(data["networks"]), deployment.data.get("prefer_chosen", ())
    had = any(machine.get("ipv4_address") for machine in deployment.machines)
    if "ipv4" in made and deployment.machines and not had:
        if _alive(grid, deployment):
            made.remove("ipv4")
            limits.append("the machine stays without a public IPv4: none can be added to one that stands")
        else:
            limits.append("a public IPv4 is rented anew, and will be another one")
    return Networks(tuple(made), preferred(made, app.manifest.network, settings.load().connect, chosen))


def _alive(grid: Grid, deployment: Deployment) -> bool:
    """Whether the machines are there; where nobody can say, they are taken to be."""
    try:
        return grid.alive(deployment.data.get("contracts", []))
    except TfgridError:
        return True


def _nodes(deployment: Deployment, data: dict[str, Any], limits: list[str]) -> dict[str, list[int]]:
    """Machines stay on the nodes where they are: moving back would lose their data once more."""
    now: dict[str, list[int]] = deployment.data.get("nodes") or data["nodes"]
    for role, before in data["nodes"].items():
        if now.get(role, before) != before:
            limits.append(f"{role} stays on node {now[role]}; it was on {before}, and moving would lose its data")
    return {role: now.get(role, before) for role, before in data["nodes"].items()}


def _addresses(deployment: Deployment, data: dict[str, Any]) -> list[str]:
    """Public addresses that this release did not have are given back, and won't be the same again."""
    if "ipv4" in data.get("networks", []):
        return []
    lost = [machine["ipv4_address"] for machine in deployment.machines if machine.get("ipv4_address")]
    return [f"the public address {address} is given back" for address in lost]


def _has_snapshot(grid: Grid, deployment: Deployment, target: Release) -> bool:
    try:
        return target.id in grid.snapshots(deployment.data.get("contracts", []))
    except TfgridError:
        return False


def _snapshot(grid: Grid, deployment: Deployment, target: Release) -> str:
    if not grid.can_snapshot:
        raise GridError(
            f"disks can't be restored on network {deployment.network}",
            why="this grid has no snapshots of machines",
            fix="leave --with-data out; the app's own backups bring its data back",
            code="snapshot-unsupported",
        )
    if not _has_snapshot(grid, deployment, target):
        have = ", ".join(grid.snapshots(deployment.data.get("contracts", []))) or "none"
        raise NotFoundError(
            f"there is no copy of the disks of release {target.label}",
            why=f"there are copies of {have}; one is made when a release is replaced",
            fix=f"leave --with-data out: tfgrid-compose rollback {deployment.name} --to {target.number}",
            code="snapshot-missing",
        )
    return target.id


# After a failure


def after_failure(context: Context, error: TfgridError) -> None:
    """What the manifest's `on_failure` says; tells in the error what was done. Never hides the error itself."""
    live = context.deployment.data.get("release")
    store, deployment = context.store, context.deployment
    known = [item for item in store.releases(deployment.id) if item.id == live and item.worked]
    policy = context.app.manifest.on_failure
    if not known or isinstance(error, _POINTLESS):
        return
    error.fix = error.fix or "mend it, then run `tfgrid-compose up` again"
    if policy == "keep":
        error.aftermath = f"all is left as the failure left it (on_failure: keep); release {known[0].label} was live before"
    elif policy == "stop":
        error.aftermath = _stop_service(context)
    else:
        error.aftermath = _back(context, known[0], error)


def _back(context: Context, target: Release, error: TfgridError) -> str:
    """Go back to what worked, as a run of its own; returns what became of it."""
    context.stream.emit(notice(f"{error.what}, {error.why}: going back to release {target.label}, which worked", "warning"))
    context.close()
    options = RollbackOptions(release=target.id, terraform=context.terraform, trust=context.trust)
    try:
        with _context(context.store, context.stream, context.deployment, options, write=True) as back:
            back.policy = context.policy
            run(back, make_plan(back), because=context.run)
            context.deployment = back.deployment
    except TfgridError as second:
        return (
            f"going back to release {target.label} failed too ({second.what}: {second.why}); "
            f"`tfgrid-compose rollback {context.deployment.name} --to {target.number}` tries again"
        )
    return f"release {target.label}, which worked, runs again"


def deploy(context: Context, plan: Plan) -> None:
    """Execute a plan of `up`; a failure is answered as the manifest's `on_failure` says, and raised.

    Raises `UsageError` (over-budget) before anything is done.
    """
    if limit_of(context) is not None:
        check_budget(context, price_of(context))
    try:
        engine.execute(context, plan, "up", context.aim)
    except TfgridError as error:
        context.store.set_release_failed(str(context.deployment.data.get("shipped", "")))
        after_failure(context, error)
        raise


def run(context: Context, plan: Plan, kind: str = "rollback", because: int | None = None) -> None:
    """Execute the plan of a rollback, or of a repair. Raises the `TfgridError` of the step that failed."""
    engine.execute(context, plan, kind, {**context.aim, **({"because": because} if because else {})})


def _stop_service(context: Context) -> str:
    service = context.deployment.data.get("service")
    if not service:
        return "the app names no service, so nothing was stopped (on_failure: stop)"
    try:
        context.connection(context.hook_machine()).run(f"systemctl stop {shlex.quote(str(service))}", timeout=60)
    except TfgridError as error:
        return f"service {service} could not be stopped: {error.why}"
    return f"service {service} was stopped (on_failure: stop)"
