"""`down`: destroy a deployment, then look at every place to prove that nothing of it is left."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tfgrid_compose.deploy.context import deployment_folder
from tfgrid_compose.deploy.steps.infrastructure import private_keys, session
from tfgrid_compose.drivers import wireguard
from tfgrid_compose.drivers.process import run
from tfgrid_compose.drivers.terraform import find
from tfgrid_compose.errors import GridError, TfgridError
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.grids.registry import open_grid
from tfgrid_compose.observe.events import RunEnded, RunStarted, Stream, step_ended, step_progress, step_started
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.state import paths
from tfgrid_compose.state.store import Deployment, Store


@dataclass(frozen=True)
class Check:
    """One place that was looked at: what, and what was still there."""

    name: str
    remains: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing is left there."""
        return not self.remains


class Removal:
    """Removes one deployment. The caller holds its lease."""

    def __init__(self, store: Store, stream: Stream, deployment: Deployment, terraform: str | None = None) -> None:
        self._store, self._stream, self._terraform = store, stream, terraform
        self._deployment = deployment
        self._grid: Grid = open_grid(deployment.network)
        self._contracts = {int(id) for id in deployment.data.get("contracts", [])}
        self._keys = paths.runtime_dir() / "keys" / deployment.id
        self._folder = deployment_folder(deployment)

    def run(self) -> list[Check]:
        """Remove everything and check. Raises `TfgridError`; another `down` goes on from there."""
        store, deployment = self._store, self._deployment
        config = (store.secret(deployment.id, "wireguard") or b"").decode()
        self._stream.redactor.add(*private_keys(config))
        self._deployment = store.save(replace(deployment, status="destroying"))
        number, started = store.start_run(deployment.id, "down"), time.monotonic()
        steps = (("tunnel", 0.3), ("infrastructure", 2.0), ("verify", 0.5))
        self._stream.emit(RunStarted("run-started", run=number, command="down", deployment=deployment.id,
                                     name=deployment.name, steps=steps))  # fmt: skip
        try:
            self._step("tunnel", "WireGuard interface and configuration", self._take_tunnel_down)
            self._step("infrastructure", "machines, networks and contracts", self._destroy)
            checks = self._verify()
        except BaseException as error:
            facts = error.to_dict() if isinstance(error, TfgridError) else {"what": type(error).__name__}
            store.end_run(number, "failed", self._stream.redactor.data(facts))
            seconds = time.monotonic() - started
            self._stream.emit(RunEnded("run-ended", outcome="failed", seconds=seconds, error=facts))
            raise
        store.end_run(number, "succeeded")
        store.forget(deployment.id)
        self._stream.emit(RunEnded("run-ended", outcome="succeeded", seconds=time.monotonic() - started))
        return checks

    def _step(self, name: str, text: str, job: Callable[[], str]) -> None:
        started = time.monotonic()
        self._stream.emit(step_started(name, text))
        try:
            note = job()
        except TfgridError as error:
            self._stream.emit(step_ended(name, "failed", time.monotonic() - started, error.what))
            raise
        self._stream.emit(step_ended(name, "done", time.monotonic() - started, note))

    def _progress(self, text: str, milestone: bool) -> None:
        self._stream.emit(step_progress("infrastructure", text, milestone))

    def _take_tunnel_down(self) -> str:
        interface = str(self._deployment.data.get("interface", ""))
        was_up = wireguard.is_up(interface)
        wireguard.down(interface)
        return interface if was_up else f"{interface} was not up"

    def _destroy(self) -> str:
        """Terraform first; then whatever on the grid still carries our id, which a crash may have left."""
        state = self._store.secret(self._deployment.id, "tfstate")
        if state:
            self._grid.prepare(lambda text: self._progress(text, True))
            self._terraform_destroy()
        left = self._ours()
        if left:
            self._progress(f"removing {len(left)} contracts that the state does not know", True)
            self._grid.cancel(left)
        return f"{len(self._contracts)} contracts" if self._contracts else "there were none"

    def _ours(self) -> list[int]:
        """Contracts on the grid that carry the deployment's id; those that were only remembered too."""
        try:
            found = [contract.id for contract in self._grid.contracts(self._deployment.id)]
        except GridError as error:
            self._progress(f"{error.what}: {error.why}", True)
            return []
        self._contracts |= set(found)
        return found

    def _terraform_destroy(self) -> None:
        loaded = patterns.load(str(self._deployment.data["pattern"]))
        progress = self._progress
        generated = json.loads(self._store.secret(self._deployment.id, "generated") or b"{}")
        values = {**self._deployment.data.get("variables", {}), **generated}
        variables = {f"TF_VAR_{name}": value for name, value in values.items()}
        with session(self._store, self._deployment.id, self._grid, self._folder, variables, progress) as terraform:
            terraform.argv = find(self._terraform)
            terraform.log = paths.private_dir(self._folder / "logs") / "destroy.log"
            terraform.redact = self._stream.redactor.text
            terraform.prepare(loaded.infrastructure)
            terraform.init()
            terraform.destroy()

    def _verify(self) -> list[Check]:
        started = time.monotonic()
        self._stream.emit(step_started("verify", "looking at every place where something could be left"))
        interface, ip_range = str(self._deployment.data.get("interface", "")), str(self._deployment.data.get("ip_range", ""))
        self._keys.unlink(missing_ok=True)
        for folder in (self._folder, paths.runtime_dir() / "ansible" / self._deployment.id):
            shutil.rmtree(folder, ignore_errors=True)
        routes = [line.strip() for line in run(["ip", "-4", "route", "show"], check=False).stdout.splitlines()]
        checks = [
            Check("contracts and machines", tuple(self._grid.remains(sorted(self._contracts)))),
            Check("tunnel", (f"interface {interface}",) if wireguard.is_up(interface) else ()),
            Check("configuration files", _existing(wireguard.config_path(interface), self._folder)),
            Check("routes", tuple(route for route in routes if ip_range and route.startswith(ip_range) and interface in route)),
            Check("keys", _existing(self._keys)),
        ]
        dirty = [check for check in checks if not check.clean]
        note = ", ".join(f"no {check.name}" for check in checks if check.clean)
        self._stream.emit(step_ended("verify", "failed" if dirty else "done", time.monotonic() - started, note))
        if dirty:
            raise GridError(
                f"something of {self._deployment.name} is left: {', '.join(dirty[0].remains)}",
                why=f"{dirty[0].name} did not go away",
                details=[f"{check.name}: {', '.join(check.remains)}" for check in dirty],
                fix=f"tfgrid-compose down {self._deployment.name} tries again",
                code="leftovers",
            )
        return checks


def _existing(*files: Path) -> tuple[str, ...]:
    return tuple(str(path) for path in files if path.exists())
