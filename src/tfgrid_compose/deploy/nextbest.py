"""When a node can't take a machine after all: the next best one, and nothing left on the first."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from tfgrid_compose.deploy.budget import limit_of, over_budget, price_of
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.kept import STATE
from tfgrid_compose.deploy.tfstate import without
from tfgrid_compose.errors import InterruptedError_, TfgridError
from tfgrid_compose.grids.models import ContractInfo
from tfgrid_compose.observe.diagnosis import explained
from tfgrid_compose.observe.events import notice
from tfgrid_compose.observe.ownwords import Ours
from tfgrid_compose.words import named

# Causes that speak about a node, so that another one may do (codes of observe/diagnosis).
CAUSES = frozenset(
    {
        "node-full", "node-memory", "node-disk-full", "no-public-ip", "no-public-ipv6", "node-reserved", "node-not-found",
        "node-unreachable", "node-without-chain", "deployment-stalled", "create-timeout", "image-mount",
    }
)  # fmt: skip
MOST = 3
_STEP = "infrastructure"


@dataclass
class NextBest:
    """The nodes that failed in one run of the step, and how often others took their place."""

    tried: dict[int, str] = field(default_factory=dict)
    moves: int = 0
    _silent: set[int] = field(default_factory=set)

    def move(self, context: Context, error: TfgridError) -> None:
        """Clear the nodes that failed and put others in their place, in `context.nodes`. Raises `error` when that can't be.

        A failure that may pass by itself is left to the engine the first time. A machine that exists is never moved: what
        is on its disks would be lost.
        """
        known = explained(error, context.deployment.name, _STEP)
        if known.cause not in CAUSES or context.overrides.get("node"):
            raise error
        failed = _failed(context, error)
        if not failed or any(_stands(context, node) for node in failed):
            raise error
        if known.transient and not failed & self._silent:
            self._silent |= failed
            raise error
        self.tried |= dict.fromkeys(sorted(failed), known.why or known.what)
        if self.moves >= MOST:
            raise self._told(error, f"after {MOST} other nodes no more are tried")
        nodes = self._others(context, error, failed)
        self._check_price(context, error, nodes)
        cancelled = self._clear(context, error, failed)
        self.moves += 1
        before, context.nodes = context.nodes, nodes
        new = [now for role in nodes for old, now in zip(before[role], nodes[role], strict=True) if old != now]
        gone = f"; {named('contract', cancelled)} {'is' if len(cancelled) == 1 else 'are'} cancelled" if cancelled else ""
        going = f"going on with node {', '.join(map(str, dict.fromkeys(new)))}"
        context.stream.emit(notice(f"{context.redactor.text(_why(failed, self.tried))}{gone}; {going}", "warning"))

    def _others(self, context: Context, error: TfgridError, failed: set[int]) -> dict[str, list[int]]:
        """Nodes as they are now, with others for those that failed; raises `error` when there are none."""
        placement = context.placed_anew()
        try:
            for role, chosen in context.nodes.items():
                for node in chosen:
                    if node not in failed and not _stands(context, node):
                        placement.take(role, node)
            return placement.instead_of(context.nodes, failed, self.tried)
        except TfgridError as none:
            raise self._told(error, f"no other node does: {none.why or none.what}") from none

    def _check_price(self, context: Context, error: TfgridError, nodes: dict[str, list[int]]) -> None:
        """A dearer node must not break the budget that the run has kept so far."""
        if limit_of(context) is None or over_budget(context, price_of(context)):
            return
        before, context.nodes = context.nodes, nodes
        dear = over_budget(context, price_of(context))
        context.nodes = before
        if dear:
            raise self._told(error, f"the next best node is too dear: {dear.what}")

    def _told(self, error: TfgridError, why: str) -> TfgridError:
        said = [*(f"node {node}: {reason}" for node, reason in self.tried.items()), why]
        error.details = [*error.details, *(line for line in said if line not in error.details)]
        return error

    def _clear(self, context: Context, error: TfgridError, failed: set[int]) -> list[int]:
        """Cancel what stands on the nodes that failed, and look that it is gone; returns the ids. Raises `error` else."""
        try:
            doomed = sorted(_doomed(context, failed), key=lambda contract: contract.id)
            ids = [contract.id for contract in doomed]
            # Forgotten first: what a crash leaves between the two is found by its name, and a state that knows contracts
            # on a dead node can't even be looked at.
            if state := context.store.secret(context.deployment.id, STATE):
                context.store.set_secret(context.deployment.id, STATE, without(state, failed, set(ids)))
            if ids:
                names = [f"{item.id} ({item.kind} on node {item.node})" for item in doomed]
                context.progress(_STEP, Ours(f"cancelling {named('contract', names)}"), True)
                context.grid.cancel(ids)
                left = context.grid.remains(ids)
                if left:
                    raise self._told(error, f"it could not be cleared: {', '.join(left)}")
        except InterruptedError_:
            raise  # Who pressed Ctrl-C must not see the run go on with another try.
        except TfgridError as second:
            if second is error:
                raise
            raise self._told(error, f"it could not be cleared: {second.what}") from second
        return ids


def _why(failed: Collection[int], tried: dict[int, str]) -> str:
    return "; ".join(f"node {node} can't take the machine: {tried[node]}" for node in sorted(failed))


def _failed(context: Context, error: TfgridError) -> set[int]:
    """The nodes that an error speaks about: it names them or a contract on them, or there is only one."""
    planned = {node for chosen in context.nodes.values() for node in chosen}
    if len(planned) == 1:
        return planned
    text = " ".join([error.what, error.why, *error.details])
    named = {int(number) for number in re.findall(r"\bnode (\d+)", text)} & planned
    if named:
        return named
    try:
        listed = context.grid.contracts(context.deployment.id)
    except TfgridError:
        return set()
    ids = {int(number) for number in re.findall(r"\b(?:deployment|contract) (\d+)", text)}
    return {contract.node for contract in listed if contract.id in ids and contract.node in planned}


def _stands(context: Context, node: int) -> bool:
    """Whether a machine that an earlier run has made may stand on a node; who can't be asked may have it."""
    mine = [str(machine["contract"]) for machine in context.deployment.machines if str(machine["node"]) == str(node)]
    try:
        return any(not id.isdecimal() or context.grid.alive([int(id)]) for id in mine)
    except TfgridError:
        return bool(mine)


def _doomed(context: Context, failed: set[int]) -> list[ContractInfo]:
    """The deployment's contracts that have to go.

    All of them when no machine of it stands elsewhere: what is left of a network alone is of no use, and a provider that
    finds a dead node in it can't even look at it (facts: grid-contracts, section 1.4 "Read").
    """
    mine = context.grid.contracts(context.deployment.id)
    if all(contract.node in failed for contract in mine if not contract.is_network):
        return mine
    # A grid that adopts takes a node out of a network by itself, and would lose all of the network here.
    return [item for item in mine if item.node in failed and not (context.grid.adopts and item.is_network)]
