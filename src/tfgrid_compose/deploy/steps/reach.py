"""Step `reach`: a login works on every machine, on the best address that answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tfgrid_compose.deploy.context import Context, addresses_of, target_of
from tfgrid_compose.deploy.steps.base import UNKNOWN, Step
from tfgrid_compose.drivers import ssh
from tfgrid_compose.errors import ReachError

# A mycelium address can take minutes to be routed on the grid (facts, section 2.5).
_DEADLINES = {"mycelium": 600.0}
_DEADLINE = 180.0
_KNOWN_DEADLINE = 45.0


class Reach(Step):
    """Tries the machine's addresses in the order that `network.prefer` gives."""

    name = "reach"
    leads_to_machine, changes_machine = True, False
    with_others = "checked before anything is changed"
    expected = 1.0

    def describe(self, context: Context) -> str:
        """The order of networks."""
        return f"ssh answers, trying {', '.join(context.networks.prefer)} in this order"

    def inputs(self, context: Context) -> dict[str, str]:
        """Which machines, and on which addresses in which order."""
        prefer = ",".join(context.networks.prefer)
        machines = {machine["name"]: str(machine["contract"]) for machine in context.machines()}
        return {"prefer": prefer, **(machines or {"machines": UNKNOWN})}

    def probe(self, context: Context) -> bool:
        """Whether a login works now."""
        try:
            return all(context.connection(machine).run("true", timeout=10).ok for machine in context.machines())
        except ReachError:
            context.close()
            return False

    def apply(self, context: Context) -> str:
        """Wait for a login on every machine and remember the addresses that worked."""
        context.close()
        context.remember(prefer=list(context.networks.prefer))
        machines = context.machines()
        if len(machines) == 1:
            found = [self._reach(context, machines[0])]  # In this thread, where Ctrl-C ends it at once.
        else:
            with ThreadPoolExecutor(max_workers=max(1, min(8, len(machines)))) as pool:
                found = list(pool.map(lambda machine: self._reach(context, machine), machines))
        context.remember(machines=[{**machine, "address": address} for machine, address in zip(machines, found, strict=True)])
        return ", ".join(found)

    def _reach(self, context: Context, machine: dict[str, Any]) -> str:
        kinds = addresses_of(context.deployment, machine)
        if not kinds:
            raise ReachError(
                f"machine {machine['name']} has no address that can be reached from here",
                why="no network of it is provisioned",
                fix="set network.provision in the manifest, for example to wireguard",
                code="no-address",
            )
        targets = [target_of(context.store, context.deployment, machine, address) for _, address in kinds]
        deadline = max(_DEADLINES.get(kind, _DEADLINE) for kind, _ in kinds)
        if machine.get("address"):
            # It was reached before: it is either there or something ended it.
            deadline = min(deadline, _KNOWN_DEADLINE)
        target = ssh.wait_for_login(targets, deadline, lambda text: context.progress(self.name, text, True))
        return target.address
