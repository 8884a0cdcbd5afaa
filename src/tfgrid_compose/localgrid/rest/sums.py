"""What gridproxy counts: the whole grid, one node, its own health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tfgrid_compose.grids.models import Capacity
from tfgrid_compose.localgrid.rest.filters import NODES, passing
from tfgrid_compose.localgrid.rest.query import decode
from tfgrid_compose.localgrid.rest.rows import ContractRow, NodeRow
from tfgrid_compose.localgrid.rest.source import Source

_INDEXERS = ("gpu", "health", "dmi", "speed", "ipv6", "workloads", "features")


def stats(source: Source, items: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Counts and sums of the grid; those of nodes only over nodes of the status asked for. Raises `BadQueryError`."""
    wanted = decode(items, {"status": "texts"})
    nodes: list[NodeRow] = passing(source.nodes(), [NODES["status"].test(wanted["status"])] if wanted else [])
    countries = Counter(row.country for row in nodes)
    return {
        "nodes": len(nodes), "farms": len(source.farms()), "countries": len(countries),
        "totalCru": sum(row.total.cru for row in nodes), "totalSru": sum(row.total.sru for row in nodes),
        "totalMru": sum(row.total.mru for row in nodes), "totalHru": sum(row.total.hru for row in nodes),
        "publicIps": len(source.public_ips()),
        "accessNodes": sum(bool(row.ipv4 or row.ipv6) for row in nodes),
        "gateways": sum(bool((row.ipv4 or row.ipv6) and row.domain) for row in nodes),
        "twins": len(source.twins()), "contracts": len(source.contracts()), "nodesDistribution": dict(countries),
        "gpus": sum(bool(row.gpus) for row in nodes), "dedicatedNodes": sum(row.dedicated for row in nodes),
        "workloads_number": sum(row.contracts for row in nodes),
    }  # fmt: skip


def statistics(node: NodeRow, contracts: Iterable[ContractRow]) -> dict[str, Any]:
    """What a node itself says of its capacity and of who uses it."""
    live = [row for row in contracts if row.node == node.id and row.kind == "node" and row.state != "Deleted"]
    ips = sum(row.public_ips for row in live)
    return {
        "system": _resources(node.reserve, 0), "total": _resources(node.total, 0), "used": _resources(node.used, ips),
        "users": {
            "deployments": len(live), "workloads": node.contracts,
            "last_deployment_timestamp": max((row.created for row in live), default=0),
        },
    }  # fmt: skip


def _resources(found: Capacity, ips: int) -> dict[str, int]:
    return {"cru": found.cru, "hru": found.hru, "ipv4u": ips, "mru": found.mru, "sru": found.sru}


def health(now: float) -> dict[str, Any]:
    """All is well: there are no indexers that could lag, and the answer itself comes out of the database."""
    indexers = {name: {"updated_at": int(now)} for name in _INDEXERS}
    return {"total_state_ok": True, "db_conn": "ok", "rmb_conn": "ok", "indexers": indexers}
