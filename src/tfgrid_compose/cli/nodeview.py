"""Nodes as `nodes` and its browser show them."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tfgrid_compose.cli.common import age

if TYPE_CHECKING:
    from tfgrid_compose.grids.models import Answer, Node

_GIB = 1024**3
HEAD = ["NODE", "FARM", "PLACE", "STATUS", "CORES", "MEMORY", "DISK", "IPV4", "UP", "USD/MONTH"]


def age_line(answer: Answer[Any], network: str) -> str:
    """How old an answer is, when it was not given just now."""
    old = time.time() - answer.at
    if old < 2 and not answer.stale:
        return ""
    why = ", the grid could not be asked" if answer.stale else "; --refresh asks again"
    return f"Network {network}, as it was {age(old)} ago{why}."


def node_facts(node: Node, stars: set[int]) -> dict[str, Any]:
    """A node as JSON values; sizes in bytes, uptime in seconds."""
    return {**asdict(node), "features": sorted(node.features), "favorite": node.id in stars}


def row(node: Node, stars: set[int]) -> list[str]:
    """A node as the cells of a table: memory and disk are what is free, in GB."""
    place = ", ".join(part for part in (node.city, node.country) if part)
    marks = f"{'★' if node.id in stars else ''}{'✓' if node.certified else ''}"
    status = node.status if node.healthy or node.status != "up" else "unwell"
    return [
        f"{node.id}{marks}", node.farm, place, status, str(node.total.cru), f"{max(0, node.free.mru) / _GIB:.0f}",
        f"{max(0, node.free.sru) / _GIB:.0f}", str(node.free_ips), age(node.uptime) if node.uptime else "",
        f"{node.usd_per_month:.0f}" if node.usd_per_month else "",
    ]  # fmt: skip


def details(node: Node, stars: set[int]) -> str:
    """A node for people, a line for each fact."""

    def share(used: int, total: int, unit: int, name: str) -> str:
        return f"{used / unit:.0f} of {total / unit:.0f} {name} in use" if total else "none"

    rent = f"rented by twin {node.rented_by}" if node.rented_by else "can be rented as a whole" if node.rentable else ""
    facts = {
        "Farm": f"{node.farm} ({node.farm_id})" + (", dedicated" if node.dedicated_farm else ""),
        "Place": ", ".join(part for part in (node.city, node.country) if part),
        "Status": node.status + ("" if node.healthy else ", did not answer its last health check"),
        "Up": age(node.uptime) if node.uptime else "",
        "Hardware": "certified" if node.certified else "",
        "Cores": share(node.used.cru, node.total.cru, 1, "cores"),
        "Memory": f"{share(node.used.mru, node.total.mru, _GIB, 'GB')}, {max(0, node.free.mru) / _GIB:.1f} GB free",
        "SSD": f"{share(node.used.sru, node.total.sru, _GIB, 'GB')}, {max(0, node.free.sru) / _GIB:.0f} GB free",
        "Disk": share(node.used.hru, node.total.hru, _GIB, "GB") if node.total.hru else "",
        "Public": ", ".join(part for part in (node.ipv4, node.ipv6, node.domain) if part),
        "IPv4": f"{node.free_ips} free in its farm",
        "GPUs": str(node.gpus) if node.gpus else "",
        "Rent": rent,
        "Price": f"{node.usd_per_month:.2f} USD a month for the whole node" if node.usd_per_month else "",
        "Features": ", ".join(sorted(node.features)),
    }  # fmt: skip
    lines = [click.style(f"Node {node.id}", bold=True) + ("  ★ favourite" if node.id in stars else "")]
    return "\n".join([*lines, *(f"  {key:<10}{value}" for key, value in facts.items() if value)])
