"""The local grid in plain data, for `localgrid status`."""

from __future__ import annotations

from typing import Any

from tfgrid_compose.localgrid.catalog import GIB
from tfgrid_compose.localgrid.engine import Engine
from tfgrid_compose.localgrid.machine import Machine
from tfgrid_compose.localgrid.plugin import LocalGrid


def describe() -> dict[str, Any]:
    """{up, nodes, contracts, usd_per_hour}."""
    with Engine() as engine:
        contracts = [
            {
                "id": contract.id, "node": contract.node, "type": contract.data.get("type", ""),
                "name": contract.data.get("name", ""),
                "machines": ", ".join(
                    f"{spec.hostname} {Machine(engine.instance, spec).state()}" for spec in engine.machine_specs(contract)
                ),
                "usd_per_hour": round(contract.usd_per_hour, 5),
            }
            for contract in engine.ledger.contracts()
        ]  # fmt: skip
        up = engine.is_up()
    nodes = [
        {
            "node": node.id, "farm": node.farm, "place": f"{node.city}, {node.country}", "status": node.status,
            "cores": node.total.cru, "free_memory": f"{node.free.mru / GIB:.0f} GB", "free_disk": f"{node.free.sru / GIB:.0f} GB",
            "public_ipv4": node.ipv4.split("/")[0] or "-",
        }
        for node in LocalGrid().nodes()
    ]  # fmt: skip
    return {"up": up, "nodes": nodes, "contracts": contracts, "usd_per_hour": sum(item["usd_per_hour"] for item in contracts)}
