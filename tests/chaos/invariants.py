"""What must hold: at every moment, when a run has come to its end, and after `down`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.chaos.bench import NAME, UNCHANGED, Bench, Outcome, deploy
from tests.chaos.machine import DATA, PLATFORM, SERVICE, Machine
from tests.chaos.strikes import INTERRUPT, SIGNAL
from tfgrid_compose.deploy.steps.infrastructure import STATE
from tfgrid_compose.deploy.steps.layout import ROOT
from tfgrid_compose.deploy.tfstate import contracts_in
from tfgrid_compose.drivers import wgconfig
from tfgrid_compose.errors import StateError
from tfgrid_compose.grids.marks import deployment_of
from tfgrid_compose.state import blobs, check, lease
from tfgrid_compose.state.store import Deployment, Store


class Broken(AssertionError):
    """An invariant does not hold."""


def _hold(true: Any, text: str) -> None:
    if not true:
        raise Broken(text)


# Always


def fair(outcome: Outcome) -> None:
    """Ctrl-C is never taken for a damage of the database."""
    kinds = {strike.kind for strike in outcome.process.struck}
    blamed = isinstance(outcome.error, StateError)
    _hold(not (kinds and kinds <= {INTERRUPT, SIGNAL} and blamed), f"Ctrl-C is taken for something else: {outcome}")


def always(bench: Bench) -> None:
    """What holds whatever has just happened, also while a run is cut off."""
    world = bench.world
    _hold(not world.violations, "; ".join(world.violations))
    for machine in world.machines.values():
        _hold(not machine.violations, "; ".join(machine.violations))
    _hold(len(world.machines) <= 1, f"{len(world.machines)} machines for one")
    with bench.store() as store:
        broken = store.verify_audit()
        _hold(broken is None, f"the audit chain: {broken}")
        known = {item.id for item in store.deployments()}
        _hold(len(known) <= 1, "one app became two deployments")
        _hold(lease.holder(f"local--{NAME}") is None, "a lease is held by nobody")
        if not bench.restored:
            _nothing_forgotten(bench, store, known)


def _nothing_forgotten(bench: Bench, store: Store, known: set[str]) -> None:
    """Everything that stands somewhere belongs to a deployment that is remembered."""
    for contract in bench.world.live():
        _hold(deployment_of(contract.name) in known, f"nobody remembers contract {contract.id} ({contract.name})")
    interfaces = {str(item.data.get("interface")) for item in store.deployments()}
    _hold(set(bench.world.tunnels) <= interfaces, f"nobody remembers tunnel {set(bench.world.tunnels) - interfaces}")


def _problems(bench: Bench, store: Store) -> list[str]:
    """What `state check` finds; a backup that was put back may name archives that `down` has removed since."""
    return [f"{item.code}: {item.text}" for item in check.look(store) if not (bench.restored and item.code == "archive-damaged")]


# At the end of a run that succeeded


def settled(bench: Bench, *, again: bool = True) -> None:
    """What holds when a run came to its end: all places agree, and nothing is left to do."""
    always(bench)
    with bench.store() as store:
        (deployment,) = store.deployments()
        _hold(deployment.status == "running", f"status {deployment.status}")
        _agreed_contracts(bench, store, deployment)
        _agreed_tunnel(bench, store, deployment)
        _agreed_release(bench, store, deployment)
        _closed_journal(store, deployment)
        _tidy_files(bench, deployment)
        _hold(not _problems(bench, store), f"state check: {_problems(bench, store)}")
    if again:
        outcome = bench.run(deploy())
        # What the folder holds may be another version than the one that runs; then there is something to do.
        _hold(outcome.kind == UNCHANGED, f"a second `up` is not idle: {outcome}")


def _agreed_contracts(bench: Bench, store: Store, deployment: Deployment) -> None:
    live = {item.id for item in bench.world.live()}
    remembered = set(deployment.data["contracts"])
    _hold(remembered == live, f"remembered contracts {remembered}, live ones {live}")
    state = contracts_in(store.secret(deployment.id, STATE))
    _hold(state == live, f"contracts in Terraform's state {state}, live ones {live}")
    machines = bench.world.live("vm")
    _hold(len(machines) == 1 and len(bench.world.machines) == 1, f"{len(machines)} machine contracts")
    _hold(machines[0].hash and machines[0].state == "Created", "the machine's contract is half-made")
    _hold(machine_of(bench).on, "the machine is off")
    _hold(not bench.world.restores, "a restore of disks was never ended")
    _hold(deployment.machines[0]["contract"] == str(machines[0].id), "another machine is remembered")


def _agreed_tunnel(bench: Bench, store: Store, deployment: Deployment) -> None:
    interface, ip_range = deployment.data["interface"], deployment.data["ip_range"]
    _hold(set(bench.world.tunnels) == {interface}, f"tunnels {set(bench.world.tunnels)}")
    config = (store.secret(deployment.id, "wireguard") or b"").decode()
    _hold(bench.world.tunnels[interface].config == wgconfig.narrowed(config, ip_range), "the tunnel has another configuration")
    _hold(ip_range in bench.world.tunnels[interface].routes, "the tunnel has no routes")


def _agreed_release(bench: Bench, store: Store, deployment: Deployment) -> None:
    machine, live = machine_of(bench), store.live_release(deployment.id)
    _hold(live is not None, "no release is live")
    assert live is not None, "just looked at"
    _hold(deployment.data["release"] == live.id, f"the deployment names {deployment.data['release']}, live is {live.id}")
    _hold(deployment.data["went_live"][-1] == live.id, "the newest that went live is not the live one")
    link = machine.link(f"{ROOT}/{NAME}/current")
    _hold(link == f"releases/{live.id}", f"current is {link}, live is {live.id}")
    wrong = machine.wrong(f"{ROOT}/{NAME}/releases/{live.id}", live.data["content"])
    _hold(not wrong, f"the live release's files are not what was shipped: {wrong}")
    page = machine.text(f"{ROOT}/{NAME}/releases/{live.id}/src/page.txt").strip()
    _hold(machine.service == f"{page} hello t0ken", f"the service runs {machine.service!r}, the release is {page!r}")
    _hold(not machine.running(), "a hook still runs")
    names = {name.split("/")[0] for name in machine.below(f"{ROOT}/{NAME}/releases")}
    known = {item.id for item in store.releases(deployment.id)}
    _hold(names <= known, f"releases on the machine that nobody remembers: {names - known}")


def _closed_journal(store: Store, deployment: Deployment) -> None:
    runs = store.runs(deployment.id, 1000)
    _hold(runs[0]["outcome"] == "succeeded", f"the newest run ({runs[0]['kind']}) is {runs[0]['outcome']}")
    open_ = [run["id"] for run in runs if run["outcome"] is None]
    _hold(not open_, f"runs {open_} are open")


def _tidy_files(bench: Bench, deployment: Deployment) -> None:
    folder = bench.root / "state" / "tfgrid-compose" / "deployments"
    _hold([path.name for path in folder.iterdir()] == [deployment.id], f"folders {list(folder.iterdir())}")
    left = list((folder / deployment.id / "tmp").glob("*"))
    _hold(not left, f"left in the folder for temporary files: {left}")
    plain = list(folder.rglob("errored.tfstate"))
    _hold(not plain, f"a plain state is left: {plain}")


def machine_of(bench: Bench) -> Machine:
    """The one machine."""
    return next(iter(bench.world.machines.values()))


# After `down`


def empty(bench: Bench) -> None:
    """Nothing is left anywhere; only runs and the audit log tell that there was something."""
    always(bench)
    world = bench.world
    _hold(not world.live(), f"contracts {[item.id for item in world.live()]}")
    _hold(not world.machines and not world.networks, "machines or networks are left")
    _hold(not world.tunnels, f"tunnels {set(world.tunnels)}")
    with bench.store() as store:
        _hold(not store.deployments(), "the deployment is remembered")
        rows = {table: len(store._rows(f"SELECT * FROM {table}")) for table in ("done", "releases")}
        _hold(not any(rows.values()), f"rows are left: {rows}")
        owners = {row["deployment"] for row in store._rows("SELECT deployment FROM secrets")}
        _hold(not owners, f"secrets of {owners}")
        _hold(not store._rows("SELECT id FROM runs WHERE outcome IS NULL"), "a run is open")
        _hold(not _problems(bench, store), f"state check: {_problems(bench, store)}")
    _no_files(bench)


def _no_files(bench: Bench) -> None:
    state = bench.root / "state" / "tfgrid-compose"
    for folder in (state / "deployments", state / "blobs"):
        left = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
        _hold(not left, f"files are left: {left}")
    left = [path for path in (bench.root / "run").rglob("*") if path.is_file()]
    _hold(not left, f"files are left in memory: {left}")


@contextmanager
def much_later() -> Iterator[None]:
    """Two hours later: what was young is no more."""
    before, blobs._SETTLED = blobs._SETTLED, -3600.0
    try:
        yield
    finally:
        blobs._SETTLED = before


# Comparing


def digest(bench: Bench) -> dict[str, Any]:
    """All that a run ends with, without ids and times: equal for runs that came to the same end."""
    with bench.store() as store:
        found = store.deployments()
        if not found:
            return {"deployments": 0, "contracts": len(bench.world.live()), "tunnels": len(bench.world.tunnels)}
        (deployment,) = found
        return {"deployments": 1, **_of_grid(bench, deployment), **_of_release(bench, store, deployment)}


def _of_grid(bench: Bench, deployment: Deployment) -> dict[str, Any]:
    world, id = bench.world, deployment.id
    contracts = sorted((item.kind, item.node, item.name.replace(id, "ID"), item.project, item.state) for item in world.live())
    networks = [(item.name.replace(id, "ID"), item.nodes, item.up) for item in world.networks.values()]
    machine = machine_of(bench)
    data = {key: deployment.data.get(key) for key in ("nodes", "sizes", "overrides", "disks", "prefer", "service")}
    return {
        "contracts": contracts, "networks": networks, "tunnels": len(world.tunnels), "status": deployment.status, **data,
        "size": (machine.cpu, machine.memory, machine.disk), "service": machine.service, "enabled": machine.text(SERVICE),
        "data": machine.text(DATA), "platform": sorted(name for name in machine.below(PLATFORM)),
    }  # fmt: skip


def _of_release(bench: Bench, store: Store, deployment: Deployment) -> dict[str, Any]:
    machine = machine_of(bench)
    sources = {item.id: _page(store, item.id, bench) for item in store.releases(deployment.id)}
    history = [sources.get(id, "forgotten") for id in deployment.data.get("went_live", [])]
    order = [name for place, name in enumerate(history) if name not in history[place + 1 :]]
    live = str(deployment.data.get("release"))
    files = {
        name: (content, mode) for name, (_, content, mode) in machine.below(f"{ROOT}/{NAME}/releases/{live}").items()
        if not name.startswith(".tfgrid/")
    }  # fmt: skip
    copies = {sources.get(id, "forgotten"): files.get(DATA, ("", b"", 0))[1] for id, files in machine.snapshots.items()}
    kept = json.loads(store.secret(deployment.id, "environment") or b"{}")
    return {"live": sources.get(live), "order": order[-2:], "files": files, "copies": copies, "environment": kept}


def _page(store: Store, id: str, bench: Bench) -> str:
    found = next(item for row in store.deployments() for item in store.releases(row.id) if item.id == id)
    return f"{found.data['version']} {found.data['source'][:8]}"


def difference(expected: dict[str, Any], found: dict[str, Any]) -> str:
    """What differs, in words."""
    keys = sorted({*expected, *found})
    return "; ".join(f"{key}: {expected.get(key)!r} != {found.get(key)!r}" for key in keys if expected.get(key) != found.get(key))
