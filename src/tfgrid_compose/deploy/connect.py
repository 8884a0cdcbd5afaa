"""Which of a machine's addresses is used now: the preferred one that answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tfgrid_compose.deploy.context import addresses_of, target_of
from tfgrid_compose.deploy.networks import ordered
from tfgrid_compose.deploy.turn import turn
from tfgrid_compose.drivers import ssh
from tfgrid_compose.errors import UsageError
from tfgrid_compose.observe.events import Stream
from tfgrid_compose.state.store import Deployment, Store

_PATIENCE = 3.0


@dataclass(frozen=True)
class Answer:
    """How an address of a machine answers; `milliseconds` until ssh's greeting, None when there was none."""

    machine: str
    network: str
    address: str
    used: bool
    milliseconds: int | None
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def reachable(store: Store, deployment: Deployment, machine: dict[str, Any], kind: str = "") -> ssh.Target:
    """How to reach a machine now: on its address in network `kind`, or on the first in order of preference that answers.

    The address that worked last comes first. When none answers it is returned all the same: whoever uses it gets ssh's
    own reason. Raises `UsageError` when the machine has no address of `kind`.
    """
    known = addresses_of(deployment, machine)
    if kind:
        known = [(name, address) for name, address in known if name == kind]
        if not known:
            raise _no_address(deployment, machine, kind)
    if len(known) < 2:
        return target_of(store, deployment, machine, known[0][1] if known else None)
    last = machine.get("address")
    found = [address for _, address in known]
    targets = [target_of(store, deployment, machine, address) for address in sorted(found, key=lambda item: item != last)]
    return ssh.answering(targets, _PATIENCE) or targets[0]


def _no_address(deployment: Deployment, machine: dict[str, Any], kind: str) -> UsageError:
    has = ", ".join(f"{name} ({address})" for name, address in addresses_of(deployment, machine))
    return UsageError(
        f"machine {machine['name']} of {deployment.name} has no {kind} address",
        why=f"it has {has}" if has else "it has none at all",
        fix=f"add {kind} to network.provision in the manifest, then run `tfgrid-compose up`",
        code="address-missing",
    )


def test(store: Store, deployment: Deployment) -> list[Answer]:
    """How every address of every machine answers, in order of preference."""
    return [
        _asked(store, deployment, machine, kind, address)
        for machine in deployment.machines
        for kind, address in addresses_of(deployment, machine)
    ]


def _asked(store: Store, deployment: Deployment, machine: dict[str, Any], kind: str, address: str) -> Answer:
    started = time.monotonic()
    why = ssh.knock(target_of(store, deployment, machine, address), _PATIENCE)
    taken = None if why else max(1, round((time.monotonic() - started) * 1000))
    return Answer(machine["name"], kind, address, machine.get("address") == address, taken, why)


def prefer(store: Store, stream: Stream, deployment: Deployment, wishes: Sequence[str]) -> Deployment:
    """Remember which addresses this deployment prefers, for every later command; an empty list leaves it to the manifest.

    The next command uses the new order, beginning with the address that answers. Raises `BusyError`, and `UsageError`
    for a network that the deployment does not have.
    """
    made = deployment.data.get("prefer", [])
    for kind in wishes:
        if kind not in made:
            raise UsageError(
                f"{deployment.name} has no {kind} network", why=f"it has {', '.join(made) or 'none yet'}",
                fix=f"add {kind} to network.provision in the manifest, then run `tfgrid-compose up`", code="address-missing",
            )  # fmt: skip
    with turn(store, stream, deployment.name, deployment.network):
        fresh = store.deployment(deployment.id)
        machines = [{key: value for key, value in machine.items() if key != "address"} for machine in fresh.machines]
        fresh = fresh.with_data(prefer_chosen=list(wishes), prefer=list(ordered(made, wishes)))
        machines = [{**machine, "address": _first(fresh, machine)} for machine in machines] if wishes else fresh.machines
        return store.save(fresh.with_data(machines=machines))


def _first(deployment: Deployment, machine: dict[str, Any]) -> str:
    known = addresses_of(deployment, machine)
    return known[0][1] if known else ""
