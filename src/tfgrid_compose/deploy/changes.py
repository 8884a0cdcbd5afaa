"""What can't be done to machines that stand: known before anything is touched, and refused there.

The grid changes cores, memory and disks of a machine in its place. A disk never shrinks, a public IPv4 is never added, and
what grows needs room on the very node (facts: grid-contracts.md, sections 3d and 6).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.resolve import RoleSizes
from tfgrid_compose.errors import GridError, TfgridError
from tfgrid_compose.grids.models import GIB, Node
from tfgrid_compose.observe.events import notice

_MIB = 1024**2


@dataclass(frozen=True)
class Change:
    """What becomes of the machines of one role that stay on their nodes; `data` is GB of data disks, before and after."""

    role: str
    nodes: tuple[int, ...]
    before: RoleSizes
    after: RoleSizes
    data: tuple[int, int]

    @property
    def memory(self) -> int:
        """Bytes of memory that each of them takes more."""
        return (self.after.memory - self.before.memory) * _MIB

    @property
    def disk(self) -> int:
        """Bytes of disk that each of them takes more."""
        return (self.after.disk - self.before.disk + self.data[1] - self.data[0]) * GIB

    @property
    def grows(self) -> bool:
        """Whether it needs anything of its node that it has not."""
        return self.memory > 0 or self.disk > 0 or self.after.cpu > self.before.cpu


def check(context: Context) -> None:
    """Raise `GridError` for a change that the grid refuses; where it can't be asked, that is said."""
    changes = list(_changes(context))
    refusal = _shrunk(context, changes) or _more_addresses(context, changes)
    if refusal is not None and _stand(context):
        raise refusal
    growing = [change for change in changes if change.grows]
    if growing:
        _look_for_room(context, growing)


def _changes(context: Context) -> Iterator[Change]:
    data = context.deployment.data
    if not context.deployment.machines:
        return
    before = sum(disk["size"] for disk in data.get("disks", []))
    after = sum(disk.size for disk in context.disks)
    for role, size in context.sizes.items():
        known, old = data.get("sizes", {}).get(role), data.get("nodes", {}).get(role, [])
        # A machine that moves is made anew, and is looked at as a new one.
        stay = tuple(node for node, now in zip(old, context.nodes.get(role, []), strict=False) if node == now)
        if known and stay:
            disks = (before, after) if context.pattern.pattern.roles[role].disks else (0, 0)
            before_it = RoleSizes(**{key: int(known.get(key) or now) for key, now in vars(size).items()})
            yield Change(role, stay, before_it, size, disks)


def _stand(context: Context) -> bool:
    """Whether the machines are still there; what is gone is made anew, and can be anything."""
    try:
        return context.grid.alive(context.deployment.data.get("contracts", []))
    except TfgridError:
        return True


def _shrunk(context: Context, changes: list[Change]) -> GridError | None:
    for change in changes:
        if change.after.disk < change.before.disk:
            return _no_shrinking(f"the root disk of {change.role}", change.before.disk, change.after.disk, "--disk")
    old = {disk["name"]: int(disk["size"]) for disk in context.deployment.data.get("disks", [])}
    for disk in context.disks if changes else ():
        if disk.size < old.get(disk.name, 0):
            return _no_shrinking(f"disk {disk.name}", old[disk.name], disk.size, "`disks` of the manifest")
    return None


def _no_shrinking(what: str, before: int, after: int, where: str) -> GridError:
    return GridError(
        f"{what} can't shrink from {before} GB to {after} GB",
        why="a disk of a machine that stands only grows: its file system would be cut off",
        fix=f"ask for {before} or more with {where}; or save the data, run `tfgrid-compose down`, and `up` again",
        code="disk-shrinks",
    )


def _more_addresses(context: Context, changes: list[Change]) -> GridError | None:
    stay = {(change.role, str(node)) for change in changes for node in change.nodes}
    without = [
        machine["name"]
        for machine in context.deployment.machines
        if not machine.get("ipv4_address") and (machine["role"], str(machine["node"])) in stay
    ]
    if "ipv4" not in context.networks.provision or not without:
        return None
    return GridError(
        f"{without[0]} can't get a public IPv4",
        why="the addresses are part of the contract, and the grid adds none to a machine that stands",
        fix=f"--no-ipv4; or save the data, run `tfgrid-compose down {context.deployment.name}`, and `up` again",
        code="public-ip-added",
    )


# Room


def _look_for_room(context: Context, growing: list[Change]) -> None:
    memory: Counter[int] = Counter()
    disk: Counter[int] = Counter()
    for change in growing:
        for node in change.nodes:
            memory[node] += change.memory
            disk[node] += change.disk
    try:
        nodes = {node.id: node for node in context.grid.these_nodes(sorted(memory))}
    except TfgridError as error:
        _not_checked(context, f"whether there is room to grow: {error.what}")
        return
    for change in growing:
        for id in change.nodes:
            why = _lacks(nodes[id], change, memory[id], disk[id]) if id in nodes else ""
            if why:
                raise _no_room(change, nodes[id], why)


def _not_checked(context: Context, text: str) -> None:
    if context.only_plan:
        context.unchecked.append(text)
    else:
        context.stream.emit(notice(f"not checked: {text}", "warning"))


def _lacks(node: Node, change: Change, memory: int, disk: int) -> str:
    """What a node has not, in words; `memory` and `disk` are bytes that all machines on it take more."""
    if node.status != "up":
        return f"it is {node.status}"
    if change.after.cpu > change.before.cpu and node.total.cru < change.after.cpu:
        return f"it has {node.total.cru} cores"
    for what, wanted, free in (("memory", memory, node.free.mru), ("disk", disk, node.free.sru)):
        if wanted > max(free, 0):
            return f"{max(free, 0) / GIB:.1f} GiB of {what} are free, and {wanted / GIB:.1f} more are needed"
    return ""


def _no_room(change: Change, node: Node, why: str) -> GridError:
    size = change.after
    return GridError(
        f"{change.role} can't grow to {size.cpu} cores, {size.memory} MB memory and {size.disk} GB disk on node {node.id}",
        why=why,
        fix="ask for less; or save the data and move to another node with --node, where the machine is a new one",
        code="no-capacity",
    )
