"""Step `infrastructure`: Terraform makes machines, networks and contracts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tfgrid_compose.deploy import kept, trust
from tfgrid_compose.deploy.budget import remembered
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.nextbest import NextBest
from tfgrid_compose.deploy.outputs import parse_outputs
from tfgrid_compose.deploy.steps.base import UNKNOWN, Step, changed
from tfgrid_compose.deploy.tfstate import contracts_in
from tfgrid_compose.drivers import statebackend
from tfgrid_compose.drivers.terraform import Terraform, find
from tfgrid_compose.errors import GridError, InfrastructureError, TfgridError
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.observe.ownwords import Ours
from tfgrid_compose.state.store import Store
from tfgrid_compose.words import count

STATE = kept.STATE
# What of a role a variable can hold, in words.
_NODES = ("node", "nodes")
_OF_ROLES = {"cpu": "cores", "memory": "memory", "disk": "disk", "node": "node", "nodes": "nodes", "count": "machines"}


class Infrastructure(Step):
    """Machines, networks and contracts, by Terraform and the grid's provider."""

    name = "infrastructure"
    leads_to_machine, buys = True, True
    consent = "machines are rented or changed"
    expected = 3.0

    def __init__(self) -> None:
        self._next_best = NextBest()

    def describe(self, context: Context) -> str:
        """The machines with node and size. Raises `EnvironmentError_` when there is no Terraform to make them."""
        find(context.terraform)
        parts = []
        for role, size in context.sizes.items():
            for node in context.nodes[role]:
                cores = count(size.cpu, "core")
                where = f"node {node}" if node else "a node that is yet to be chosen"
                parts.append(f"{role} on {where}: {cores}, {size.memory} MB memory, {size.disk} GB disk")
        parts += [f"disk {disk.name} of {disk.size} GB at {disk.mount}" for disk in context.disks]
        return "; ".join(parts)

    def inputs(self, context: Context) -> dict[str, str]:
        """Every Terraform variable; secret ones as fingerprints."""
        found = {"pattern": context.pattern.infrastructure_digest}
        if not context.store.secret(context.deployment.id, "ssh"):
            return {**found, "keys": UNKNOWN}  # A deployment that was never made has no keys yet.
        variables, secrets = context.pattern.pattern.variables, context.pattern.pattern.secret_variables()
        for name, value in context.terraform_variables().items():
            text = json.dumps(value)
            # Keys are no secret, but they are long.
            secret = name in secrets or variables.get(name) == "deployment.ssh_keys"
            found[name] = context.store.vault.fingerprint(text.encode()) if secret else text
        return found

    def change(self, context: Context, key: str, before: str | None, now: str | None) -> str:
        """The pattern says which of its variables hold sizes and nodes, whatever it calls them."""
        path = context.pattern.pattern.variables.get(key, "").split(".")
        if len(path) != 3 or path[0] != "roles" or path[2] not in _OF_ROLES:
            return super().change(context, key, before, now)
        role = f"{path[1]} " if len(context.pattern.pattern.roles) > 1 else ""
        text = changed(role + _OF_ROLES[path[2]], before, now)
        lost = path[2] in _NODES and path[1] in _moved(context)
        return f"{text}, a new machine: the data of the old one is lost" if lost else text

    def replaces(self, context: Context, before: dict[str, str] | None) -> str:
        """Machines are other ones when there were none, when one moves, and when one is gone."""
        return "the machine is new" if before is None or _moved(context) or not self.probe(context) else ""

    def probe(self, context: Context) -> bool:
        """Whether every contract lives and every machine runs."""
        contracts: list[int] = context.deployment.data.get("contracts", [])
        try:
            return bool(contracts) and context.grid.alive(contracts)
        except GridError as error:
            if not context.only_plan:
                raise
            context.unchecked.append(f"whether its contracts still live: {error.what}")
            return True

    def unchecked(self, context: Context) -> list[str]:
        """Terraform itself holds the pattern against the provider's schema, and that needs the provider."""
        if context.grid.attaches_provider:
            return []
        return ["whether the pattern fits the grid's provider: Terraform looks at that before anything is bought"]

    def apply(self, context: Context) -> str:
        """Apply, on other nodes where one fails; check what the pattern promised, remember machines and contracts."""
        trust.require(context)
        outputs = None
        try:
            while outputs is None:
                try:
                    outputs = self._made(context)
                except (GridError, InfrastructureError) as error:
                    self._next_best.move(context, error)
        except TfgridError:
            with suppress(GridError):
                _take_stock(context)
            raise
        self._remember(context, parse_outputs(context.pattern.pattern, outputs))
        self._drop_unused(context)
        machines, contracts = context.deployment.machines, context.deployment.data["contracts"]
        return f"{count(len(machines), 'machine')}, {count(len(contracts), 'contract')}"

    def _made(self, context: Context) -> dict[str, Any]:
        """Apply on the nodes that are planned now; the outputs."""
        # `down` needs the variables too, also after a first apply that failed half way.
        secret = context.pattern.pattern.secret_variables()
        values = {name: as_text(value) for name, value in context.terraform_variables().items()}
        context.remember(variables={name: value for name, value in values.items() if name not in secret},
                         planned_nodes=context.nodes, buying=remembered(context))  # fmt: skip
        with working(context, lambda text, milestone: context.progress(self.name, text, milestone)) as terraform:
            self._settle_strays(context)
            context.remember(account=context.grid.payer())
            terraform.prepare(context.pattern.infrastructure)
            terraform.init()
            return terraform.apply()

    def _settle_strays(self, context: Context) -> None:
        """Contracts that carry our id and that Terraform's state does not know: a crash came between the two."""
        left = strays(context, contracts_in(context.store.secret(context.deployment.id, STATE)))
        if left and context.grid.adopts:
            context.progress(self.name, Ours(f"taking over {count(len(left), 'contract')} that an earlier run left"), True)
        else:
            self._cancel(context, left, "that an earlier run left")

    def _drop_unused(self, context: Context) -> None:
        """Contracts that carry our id and that the outputs don't name. What the grid does not tell now, it tells the next run."""
        try:
            self._cancel(context, strays(context, set(context.deployment.data["contracts"])), "that nothing uses")
        except GridError as error:
            context.progress(self.name, f"contracts that nothing uses were not looked for: {error.what}", True)

    def _cancel(self, context: Context, contracts: list[int], which: str) -> None:
        if contracts:
            context.progress(self.name, Ours(f"cancelling {count(len(contracts), 'contract')} {which}"), True)
            context.grid.cancel(contracts)

    def undo(self, context: Context) -> str:
        """Terraform has ended what it was at; what the grid made stays, and is known."""
        try:
            left = _take_stock(context)
            made = f"; {count(len(left), 'contract')} stand on the grid, `tfgrid-compose down` removes them" if left else ""
        except GridError as error:
            made = f"; what stands on the grid is not known ({error.what}), `tfgrid-compose down` removes it"
        return f"Terraform ended what it was doing and saved its state{made}"

    def _remember(self, context: Context, outputs: dict[str, Any]) -> None:
        config = outputs["wg_config"]
        context.store.set_secret(context.deployment.id, "wireguard", config.encode() or None)
        context.redactor.add(*private_keys(config))
        contracts = sorted({id for ids in outputs["contracts"].values() for id in ids})
        before = {machine["name"]: machine for machine in context.deployment.machines}
        machines = []
        for machine in outputs["machines"]:
            old = before.get(machine["name"], {})
            # A machine that is the same keeps the address on which it was reached.
            kept = {"address": old["address"]} if old.get("contract") == machine["contract"] and "address" in old else {}
            machines.append({**machine, **kept})
        public = {name: value for name, value in outputs.items() if name not in ("wg_config", "machines", "contracts")}
        context.remember(machines=machines, contracts=contracts, outputs=public,
                         nodes=context.nodes, overrides=context.overrides,
                         sizes={role: vars(size) for role, size in context.sizes.items()},
                         disks=[disk.model_dump() for disk in context.disks], price=remembered(context),
                         buying=None, gone=[])  # fmt: skip


def _take_stock(context: Context) -> list[int]:
    """Contracts that stand after a run that did not get to its end, remembered where no machine is known yet.

    Raises `GridError` when the grid can't be asked; then it stays remembered that something was being bought.
    """
    left = strays(context, set())
    known = bool(context.deployment.machines)
    buying = context.deployment.data.get("buying") if left and not known else None
    context.remember(buying=buying, **({} if known else {"contracts": sorted(left)}))
    return left


def strays(context: Context, known: set[int]) -> list[int]:
    """Contracts on the grid that carry the deployment's id and are not in `known`.

    Raises `GridError` when the grid can't be asked: buying before that is known could buy everything twice.
    """
    return [contract.id for contract in context.grid.contracts(context.deployment.id) if contract.id not in known]


def private_keys(config: str) -> list[str]:
    """The private keys in a WireGuard configuration."""
    return [line.partition("=")[2].strip() for line in config.splitlines() if line.strip().startswith("PrivateKey")]


@contextmanager
def working(context: Context, progress: Any) -> Iterator[Terraform]:
    """Terraform in the deployment's folder, with provider, encrypted state and variables in its environment."""
    variables = {f"TF_VAR_{name}": as_text(value) for name, value in context.terraform_variables().items()}
    with session(context.store, context.deployment.id, context.grid, context.folder, variables, progress) as terraform:
        terraform.log = context.logs / "terraform.log"
        terraform.redact = context.redactor.text
        terraform.argv = find(context.terraform)
        yield terraform


@contextmanager
def looking(context: Context) -> Iterator[Terraform]:
    """Terraform that can only look: a state that it wanted to write would be refused, and nothing is started."""

    def save(state: bytes | None) -> None:
        raise InfrastructureError("Terraform wanted to change the state", why="it was to look only", fix="tfgrid-compose up")

    variables = {f"TF_VAR_{name}": as_text(value) for name, value in context.terraform_variables().items()}
    store, id, folder = context.store, context.deployment.id, context.folder / "terraform-look"
    with statebackend.serve(lambda: store.secret(id, STATE), save) as backend:
        with context.grid.terraform(lambda text: None, only_look=True) as provider:
            terraform = Terraform(folder, find(context.terraform), {**provider, **backend, **variables})
            terraform.redact = context.redactor.text
            kept.put_back(store, id, folder)
            try:
                terraform.prepare(context.pattern.infrastructure)
                terraform.init()
                yield terraform
            finally:
                kept.clear(folder)


@contextmanager
def session(store: Store, id: str, grid: Grid, folder: Path, variables: dict[str, str], progress: Any) -> Iterator[Terraform]:
    """Terraform on one deployment's state; what a crash left in clear is taken in first."""

    def load() -> bytes | None:
        return store.secret(id, STATE)

    def save(state: bytes | None) -> None:
        store.set_secret(id, STATE, state)

    with statebackend.serve(load, save) as backend:
        with grid.terraform(lambda text: progress(text, True)) as provider:
            terraform = Terraform(folder / "terraform", find(), {**provider, **backend, **variables}, progress)
            kept.take_in(store, id, terraform.folder)
            kept.put_back(store, id, terraform.folder)
            if not terraform.attached():
                kept.complete_provider_state(store, id, terraform.folder)
            try:
                yield terraform
            except (TfgridError, KeyboardInterrupt):
                kept.take_in(store, id, terraform.folder)
                raise
            kept.take_in(store, id, terraform.folder)


def _moved(context: Context) -> set[str]:
    """Roles that have a machine on a node which is not planned for them any more."""
    planned = context.nodes
    return {item["role"] for item in context.deployment.machines if item["node"] not in planned.get(item["role"], ())}


def as_text(value: Any) -> str:
    """A value as Terraform reads it from the environment."""
    return value if isinstance(value, str) else json.dumps(value)
