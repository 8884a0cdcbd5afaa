"""`down`: destroy a deployment, then look at every place to prove that nothing of it is left."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfgrid_compose.deploy import domain
from tfgrid_compose.deploy.context import deployment_folder
from tfgrid_compose.deploy.engine import Run
from tfgrid_compose.deploy.payer import same_payer
from tfgrid_compose.deploy.records import Keeper, shown
from tfgrid_compose.deploy.releases import prune_archives
from tfgrid_compose.deploy.retry import Policy
from tfgrid_compose.deploy.steps.infrastructure import as_text, private_keys, session
from tfgrid_compose.drivers import wireguard
from tfgrid_compose.drivers.process import run
from tfgrid_compose.drivers.terraform import find
from tfgrid_compose.errors import (
    DnsError,
    EnvironmentError_,
    GridError,
    InfrastructureError,
    ManifestError,
    PatternError,
    StateError,
    TfgridError,
)
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.grids.registry import open_grid
from tfgrid_compose.observe.events import Stream, notice, step_progress
from tfgrid_compose.observe.ownwords import Ours
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.patterns.model import GENERATED, lookup
from tfgrid_compose.state import backups, paths
from tfgrid_compose.state.store import Deployment, Store
from tfgrid_compose.words import count, named


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

    def __init__(
        self, store: Store, stream: Stream, deployment: Deployment, terraform: str | None = None, policy: Policy | None = None
    ) -> None:
        self._store, self._stream, self._terraform = store, stream, terraform
        self._deployment = deployment
        self._policy = policy or Policy()
        self._grid: Grid = open_grid(deployment.network)
        self._contracts = {int(id) for id in deployment.data.get("contracts", [])}
        self._dns_problem: TfgridError | None = None
        self._keys = paths.below(paths.runtime_dir() / "keys", deployment.id)
        self._folder = deployment_folder(deployment)

    def run(self) -> list[Check]:
        """Remove everything and check. Raises `TfgridError`; another `down` goes on from there."""
        store, deployment = self._store, self._deployment
        with contextlib.suppress(StateError):  # A damaged secret can't be shown either, and must not stand in the way.
            config = (store.secret(deployment.id, "wireguard") or b"").decode()
            self._stream.redactor.add(*private_keys(config))
        same_payer(self._grid, deployment)
        self._back_up(f"down-{deployment.name}")
        self._deployment = store.save(replace(deployment, status="destroying"))
        run = Run(store, self._stream, self._deployment, "down", self._policy)
        checks: list[Check] = []

        def verify() -> str:
            checks[:] = self._verify()
            return ", ".join(f"no {check.name}" for check in checks)

        with run.recorded([("tunnel", 0.3), ("infrastructure", 2.0), ("verify", 0.5)]):
            self._free_domain(run)
            run.perform("tunnel", "WireGuard interface and configuration", self._take_tunnel_down)
            run.perform("infrastructure", "machines, networks and contracts", self._destroy)
            run.perform("verify", "looking at every place where something could be left", verify)
            store.forget(deployment.id, run.number)
        prune_archives(store)
        return checks

    def _back_up(self, reason: str) -> None:
        """Copy the database before; a disk that is too full for that does not keep machines that cost."""
        try:
            backups.save(self._store.path, reason)
        except StateError as error:
            if error.code != "disk-full":
                raise
            self._stream.emit(notice(f"no backup of the database was made: {error.why}", "warning"))

    def forget(self) -> list[int]:
        """Forget the deployment and destroy nothing on the grid: for an account that is lost, or a grid that has ended.

        Returns the contracts that may still stand and cost. Raises `TfgridError`: `contracts-stand` where `run` could
        cancel them.
        """
        store, deployment = self._store, self._deployment
        left = self._out_of_reach()
        self._back_up(f"forget-{deployment.name}")
        run = Run(store, self._stream, deployment, "forget", self._policy)

        def let_go() -> str:
            remove_files(deployment)
            return f"left on network {deployment.network}: {left_text(left)}"

        with run.recorded([("tunnel", 0.3), ("forget", 0.1)]):
            self._free_domain(run)
            run.perform("tunnel", "WireGuard interface and configuration", self._take_tunnel_down)
            run.perform("forget", "what this computer keeps of it", let_go)
            store.forget(deployment.id, run.number)
        prune_archives(store)
        return left

    def _out_of_reach(self) -> list[int]:
        """Contracts that nobody here can cancel. Raises `GridError` when there are some that can be."""
        try:
            same_payer(self._grid, self._deployment)
            standing = self._ours(None)
        except GridError:
            return sorted(self._contracts)
        if not standing:
            return []
        name = self._deployment.name
        raise GridError(
            f"{name} can be destroyed, so it is not forgotten",
            why=f"the grid answers, and {named('contract', standing)} can be cancelled; forgotten, they would go on costing",
            fix=f"tfgrid-compose down {name}",
            code="contracts-stand",
        )

    def _progress(self, text: str, milestone: bool) -> None:
        self._stream.emit(step_progress("infrastructure", text, milestone))

    def _free_domain(self, run: Run) -> None:
        """Delete the records of its domain, before the address that they lead to is somebody else's.

        A failure is told, and told again at the end; machines go all the same.
        """
        made = domain.ours(self._deployment)
        if not made:
            return
        look = domain.looker(self._store, self._deployment, {})
        keeper = Keeper(self._store, self._deployment, look, self._stream.redactor, lambda text: self._progress(text, True))
        names = ", ".join(sorted({item.record.name for item in made}))
        try:
            run.perform("dns", f"records of {names}", lambda: count(keeper.withdraw(), "record"))
        except (DnsError, ManifestError) as error:
            self._dns_problem = error
            told = self._stream.redactor.told(error.what, error.why)
            self._stream.emit(notice(f"{told}; the machines go all the same", "warning"))
        finally:
            self._deployment = keeper.deployment

    def _take_tunnel_down(self) -> str:
        interface = str(self._deployment.data.get("interface", ""))
        was_up = wireguard.is_up(interface)
        wireguard.down(interface)
        return interface if was_up else f"{interface} was not up"

    def _destroy(self) -> str:
        """Terraform first; then whatever on the grid still carries our id, which a crash may have left.

        Where contracts can be listed and cancelled without Terraform, its failure does not stand in the way.
        """
        problem: TfgridError | None = None
        try:
            # A state that Terraform could not hand over may be all that knows of a contract.
            left_over = self._folder / "terraform" / "errored.tfstate"
            if left_over.exists() or self._store.secret(self._deployment.id, "tfstate"):
                self._grid.prepare(lambda text: self._progress(text, True))
                self._terraform_destroy()
        except (GridError, InfrastructureError, PatternError, StateError, EnvironmentError_) as error:
            problem = error
        left = self._ours(problem)
        if problem:
            told = self._stream.redactor.told(problem.what, problem.why)
            self._progress(Ours(f"{told}; cancelling the contracts themselves"), True)
        if left:
            self._progress(Ours(f"removing {len(left)} contracts that Terraform did not"), True)
            self._grid.cancel(left)
        return f"{len(self._contracts)} contracts" if self._contracts else "there were none"

    def _ours(self, problem: TfgridError | None) -> list[int]:
        """Contracts on the grid that carry the deployment's id.

        Raises `GridError` when the grid can't be asked, or the `problem` that came before: what a crash left would stand on
        and cost, and nobody would know of it any more.
        """
        try:
            found = [contract.id for contract in self._grid.contracts(self._deployment.id)]
        except GridError as error:
            raise problem or error from error
        self._contracts |= set(found)
        return found

    def _terraform_destroy(self) -> None:
        loaded = patterns.load(str(self._deployment.data["pattern"]))
        progress = self._progress
        context = {GENERATED: json.loads(self._store.secret(self._deployment.id, "generated") or b"{}")}
        secret = {name: as_text(_generated(context, path)) for name, path in loaded.pattern.secret_variables().items()}
        values = {**self._deployment.data.get("variables", {}), **secret}
        variables = {f"TF_VAR_{name}": value for name, value in values.items()}
        with session(self._store, self._deployment.id, self._grid, self._folder, variables, progress) as terraform:
            terraform.argv = find(self._terraform)
            terraform.log = paths.private_dir(self._folder / "logs") / "destroy.log"
            terraform.redact = self._stream.redactor.text
            terraform.prepare(loaded.infrastructure)
            terraform.init()
            terraform.destroy()

    def _verify(self) -> list[Check]:
        interface, ip_range = str(self._deployment.data.get("interface", "")), str(self._deployment.data.get("ip_range", ""))
        remove_files(self._deployment)
        routes = [line.strip() for line in run(["ip", "-4", "route", "show"], check=False).stdout.splitlines()]
        checks = [
            Check("contracts and machines", tuple(self._grid.remains(sorted(self._contracts)))),
            Check("tunnel", (f"interface {interface}",) if wireguard.is_up(interface) else ()),
            Check("configuration files", _existing(wireguard.config_path(interface), self._folder)),
            Check("routes", tuple(route for route in routes if ip_range and route.startswith(ip_range) and interface in route)),
            Check("keys", _existing(self._keys)),
        ]
        made = domain.ours(self._deployment)
        if made or self._deployment.data.get("dns"):
            checks.append(Check("domain records", tuple(shown([item.record]) for item in made)))
        dirty = [check for check in checks if not check.clean]
        if [check.name for check in dirty] == ["domain records"] and self._dns_problem:
            raise self._records_left(self._dns_problem, dirty[0])
        if dirty:
            raise GridError(
                f"something of {self._deployment.name} is left: {', '.join(dirty[0].remains)}",
                why=f"{dirty[0].name} did not go away",
                details=[f"{check.name}: {', '.join(check.remains)}" for check in dirty],
                fix=f"tfgrid-compose down {self._deployment.name} tries again",
                code="leftovers",
            )
        return checks

    def _records_left(self, problem: TfgridError, check: Check) -> DnsError:
        name = self._deployment.name
        return DnsError(
            f"records of {name} are left: {', '.join(check.remains)}",
            why=f"{problem.what}: {problem.why}",
            details=["machines, contracts and all else of it are gone"],
            fix=f"{problem.fix}, then run `tfgrid-compose down {name}` again; or delete them by hand, and run "
            f"`tfgrid-compose dns forget {name}` before",
            code="dns-leftovers",
        )


def _generated(context: dict[str, Any], path: str) -> Any:
    """A random value; empty for one that the pattern has named since, which no machine was ever given."""
    try:
        return lookup(context, path)
    except KeyError:
        return ""


def left_text(contracts: list[int]) -> str:
    """What was left when a deployment was forgotten, for people."""
    return named("contract", contracts) if contracts else "no contract that is known"


def remove_files(deployment: Deployment) -> None:
    """Remove what this computer keeps for one deployment: its folder, keys, tunnel configuration, Ansible's files."""
    keys = paths.below(paths.runtime_dir() / "keys", deployment.id)
    for secret in (keys, wireguard.config_path(str(deployment.data.get("interface", "")))):
        # With what a process left that was killed while it wrote them.
        for path in (secret, *secret.parent.glob(f".{secret.name}.*")):
            path.unlink(missing_ok=True)
    for folder in (deployment_folder(deployment), paths.below(paths.runtime_dir() / "ansible", deployment.id)):
        shutil.rmtree(folder, ignore_errors=True)


def _existing(*files: Path) -> tuple[str, ...]:
    return tuple(str(path) for path in files if path.exists())
