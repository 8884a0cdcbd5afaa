"""Step `infrastructure`: Terraform makes machines, networks and contracts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.steps.base import UNKNOWN, Step
from tfgrid_compose.drivers import statebackend
from tfgrid_compose.drivers.terraform import Terraform, find
from tfgrid_compose.errors import InfrastructureError, PatternError
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.state.store import Store

STATE = "tfstate"


class Infrastructure(Step):
    """Machines, networks and contracts, by Terraform and the grid's provider."""

    name = "infrastructure"
    expected = 3.0

    def describe(self, context: Context) -> str:
        """The machines with node and size. Raises `EnvironmentError_` when there is no Terraform to make them."""
        find(context.terraform)
        parts = []
        for role, size in context.sizes.items():
            for node in context.nodes[role]:
                cores = f"{size.cpu} core{'s' if size.cpu > 1 else ''}"
                parts.append(f"{role} on node {node}: {cores}, {size.memory} MB memory, {size.disk} GB disk")
        parts += [f"disk {disk.name} of {disk.size} GB at {disk.mount}" for disk in context.app.manifest.disks]
        return "; ".join(parts)

    def inputs(self, context: Context) -> dict[str, str]:
        """Every Terraform variable; secret ones as fingerprints."""
        found = {"pattern": context.pattern.infrastructure_digest}
        if not context.store.secret(context.deployment.id, "ssh"):
            return {**found, "keys": UNKNOWN}  # A deployment that was never made has no keys yet.
        for name, value in context.terraform_variables().items():
            text = json.dumps(value)
            secret = name in context.pattern.pattern.generate or name == "SSH_KEY"
            found[name] = context.store.vault.fingerprint(text.encode()) if secret else text
        return found

    def probe(self, context: Context) -> bool:
        """Whether every contract lives and every machine runs."""
        contracts: list[int] = context.deployment.data.get("contracts", [])
        return bool(contracts) and context.grid.alive(contracts)

    def apply(self, context: Context) -> str:
        """Apply, check what the pattern promised, remember machines and contracts."""
        # `down` needs the variables too, also after a first apply that failed half way.
        secret = context.pattern.pattern.generate
        values = {name: _as_text(value) for name, value in context.terraform_variables().items()}
        context.remember(variables={name: value for name, value in values.items() if name not in secret})
        with working(context, lambda text, milestone: context.progress(self.name, text, milestone)) as terraform:
            terraform.prepare(context.pattern.infrastructure)
            terraform.init()
            outputs = terraform.apply()
        missing = [name for name in context.pattern.pattern.outputs if name not in outputs]
        if missing or not outputs["machines"]:
            raise PatternError(
                f"pattern {context.pattern.pattern.name} did not give its output `{(missing or ['machines'])[0]}`",
                why="the engine needs it to go on",
                fix="mend outputs.tf of the pattern, then run `tfgrid-compose up` again",
                code="output-missing",
            )
        self._remember(context, outputs)
        machines = context.deployment.machines
        return f"{len(machines)} machine{'s' if len(machines) > 1 else ''}, {len(context.deployment.data['contracts'])} contracts"

    def _remember(self, context: Context, outputs: dict[str, Any]) -> None:
        config = outputs.get("wg_config") or ""
        context.store.set_secret(context.deployment.id, "wireguard", config.encode() or None)
        context.redactor.add(*private_keys(config))
        contracts = sorted({int(id) for ids in outputs["contracts"].values() for id in ids})
        before = {machine["name"]: machine for machine in context.deployment.machines}
        machines = []
        for machine in outputs["machines"]:
            old = before.get(machine["name"], {})
            # A machine that is the same keeps the address on which it was reached.
            kept = {"address": old["address"]} if old.get("contract") == machine["contract"] and "address" in old else {}
            machines.append({**machine, **kept})
        public = {name: value for name, value in outputs.items() if name not in ("wg_config", "machines", "contracts")}
        context.remember(machines=machines, contracts=contracts, outputs=public,
                         nodes=context.nodes, overrides=context.overrides)  # fmt: skip


def private_keys(config: str) -> list[str]:
    """The private keys in a WireGuard configuration."""
    return [line.split("=", 1)[1].strip() for line in config.splitlines() if line.strip().startswith("PrivateKey")]


@contextmanager
def working(context: Context, progress: Any) -> Iterator[Terraform]:
    """Terraform in the deployment's folder, with provider, encrypted state and variables in its environment."""
    variables = {f"TF_VAR_{name}": _as_text(value) for name, value in context.terraform_variables().items()}
    with session(context.store, context.deployment.id, context.grid, context.folder, variables, progress) as terraform:
        terraform.log = context.logs / "terraform.log"
        terraform.redact = context.redactor.text
        terraform.argv = find(context.terraform)
        yield terraform


@contextmanager
def session(store: Store, id: str, grid: Grid, folder: Path, variables: dict[str, str], progress: Any) -> Iterator[Terraform]:
    """Terraform on one deployment's state; a state that a crash left in clear is taken in first."""

    def save(state: bytes | None) -> None:
        store.set_secret(id, STATE, state)

    with statebackend.serve(lambda: store.secret(id, STATE), save) as backend:
        with grid.terraform(lambda text: progress(text, True)) as provider:
            terraform = Terraform(folder / "terraform", find(), {**provider, **backend, **variables}, progress)
            _take_in(terraform, save)
            try:
                yield terraform
            except InfrastructureError:
                _take_in(terraform, save)
                raise


def _take_in(terraform: Terraform, save: Any) -> None:
    """Store `errored.tfstate` encrypted and remove the plain file."""
    left = terraform.errored_state()
    if left is not None:
        save(left.read_bytes())
        left.unlink()


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
