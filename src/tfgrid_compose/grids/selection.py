"""Choose nodes for machines: what fits, the roomiest first."""

from __future__ import annotations

from collections.abc import Sequence

from tfgrid_compose.errors import GridError
from tfgrid_compose.grids.base import GIB, Node

# The grid's storage pools fragment: a disk needs some room beyond its size (reference tool, section 6).
SSD_HEADROOM_GIB = 20


def fits(node: Node, cpu: int, memory_mib: int, disk_gib: int, public_ipv4: bool) -> str:
    """Why a machine does not fit on a node; empty when it does."""
    if node.status != "up":
        return f"it is {node.status}"
    if cpu > node.total.cru:
        return f"it has {node.total.cru} cores"
    if memory_mib * 1024**2 > node.free.mru:
        return f"{node.free.mru / GIB:.1f} GiB of memory are free"
    if (disk_gib + SSD_HEADROOM_GIB) * GIB > node.free.sru:
        return f"{max(0, node.free.sru / GIB - SSD_HEADROOM_GIB):.0f} GiB of disk are free"
    if public_ipv4 and node.free_ips < 1:
        return "its farm has no free public IPv4"
    return ""


def choose(nodes: Sequence[Node], cpu: int, memory_mib: int, disk_gib: int, public_ipv4: bool) -> Node:
    """The best node for a machine. Raises `GridError` that says why the nearest ones don't do."""
    reasons = [(node, fits(node, cpu, memory_mib, disk_gib, public_ipv4)) for node in nodes]
    able = [node for node, reason in reasons if not reason]
    if not able:
        shown = [f"node {node.id} ({node.farm}): {reason}" for node, reason in reasons][:6]
        raise GridError(
            f"no node has room for {cpu} cores, {memory_mib} MB memory and {disk_gib} GB disk"
            + (" with a public IPv4" if public_ipv4 else ""),
            why=shown[0] if shown else "the grid has no nodes",
            details=shown,
            fix="ask for less with --cpu, --memory and --disk, or free room with `tfgrid-compose down`",
            code="no-capacity",
        )
    return max(able, key=lambda node: (node.free.mru, node.free.sru, -node.id))


def check(nodes: Sequence[Node], id: int, cpu: int, memory_mib: int, disk_gib: int, public_ipv4: bool) -> Node:
    """The node with this id, which must have room. Raises `GridError`."""
    node = next((node for node in nodes if node.id == id), None)
    if node is None:
        raise GridError(
            f"there is no node {id}", why=f"nodes are {', '.join(str(node.id) for node in nodes)}", fix="choose one of them",
            code="node-not-found",
        )  # fmt: skip
    reason = fits(node, cpu, memory_mib, disk_gib, public_ipv4)
    if reason:
        raise GridError(
            f"node {id} ({node.farm}) has no room for {cpu} cores, {memory_mib} MB memory and {disk_gib} GB disk",
            why=reason,
            fix="leave --node out to have one chosen, or ask for less",
            code="no-capacity",
        )
    return node
