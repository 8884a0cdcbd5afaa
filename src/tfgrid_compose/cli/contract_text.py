"""Contracts as people read them: the table with its total, and one contract with all that is known of it."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tfgrid_compose.cli.common import age

if TYPE_CHECKING:
    from tfgrid_compose.deploy.contracts import Listing, Row

_HEAD = ["CONTRACT", "TYPE", "NODE", "NAME", "APP", "DEPLOYMENT", "STATE", "AGE", "USD/HOUR", "USD/MONTH"]


def table_of(listing: Listing, now: float | None = None) -> str:
    """All contracts and their total; `now` is in unix seconds."""
    from tfgrid_compose.cli.render import table

    several = len({row.network for row in listing.rows}) > 1
    rows = [[row.network, *_cells(row, now or time.time())] for row in listing.rows]
    text = table(["NETWORK", *_HEAD], rows) if several else table(_HEAD, [cells[1:] for cells in rows])
    return f"{text}\n{_total(listing)}"


def _cells(row: Row, now: float) -> list[str]:
    item = row.contract
    since = age(max(0.0, now - item.created)) if item.created else "?"
    node = str(item.node) if item.node else "-"
    return [str(item.id), item.kind, node, item.name or "-", row.app or "-", row.owner, item.state, since,
            *money(row)]  # fmt: skip


def money(row: Row) -> list[str]:
    """An hour's and a month's cost: in USD, in TFT where the price of a TFT is not known, never 0 for what is not known."""
    from tfgrid_compose.grids.pricing import HOURS_PER_MONTH

    if not row.live:
        return ["-", "-"]
    for sum, unit in ((row.usd_per_hour, ""), (row.tft_per_hour, " TFT")):
        if sum is not None:
            return [f"{sum:.5f}{unit}", f"{sum * HOURS_PER_MONTH:.2f}{unit}"]
    return ["?", "?"]


def _total(listing: Listing) -> str:
    from tfgrid_compose.grids.pricing import HOURS_PER_MONTH
    from tfgrid_compose.words import count

    live = [row for row in listing.rows if row.live]
    usd, unpriced = listing.usd_per_hour, listing.unpriced
    parts = [count(len(live), "contract")]
    parts.append("cost not known" if usd is None else f"{usd:.5f} USD an hour, {usd * HOURS_PER_MONTH:.2f} USD a month")
    if usd is not None and unpriced:
        parts.append(f"without {unpriced} whose cost is not known")
    return "Total: " + ", ".join(parts)


def details_of(row: Row, facts: dict[str, Any]) -> str:
    """One contract, a fact a line; `facts` are what `deploy.contracts.details` found."""
    item, place = row.contract, facts["place"]
    hour, month = money(row)
    by = "not known" if hour == "?" else "by its newest bill" if row.cost and row.cost.billed else "by the grid's price"
    unit = "" if "TFT" in hour else " USD"
    lines = [
        ("contract", f"{item.id} on network {row.network}"),
        ("type", item.kind), ("name", item.name or "-"), ("app", row.app or "-"), ("deployment", row.owner),
        ("state", item.state if facts["lives"] == row.live else f"{item.state}, but it ended"),
        ("created", _when(item.created)),
        ("node", _place(item.node, place, facts["not_known"])),
        ("public IPv4", str(item.public_ips)),
        ("cost", by if hour == "?" else f"{hour}{unit} an hour, {month}{unit} a month ({by})" if hour != "-" else "it ended"),
    ]  # fmt: skip
    for bill in facts["bills"]:
        lines.append(("bill", f"{_when(bill['at'])}  {bill['tft']:.7f} TFT"))
    if not facts["bills"]:
        lines.append(("bills", facts["not_known"].get("bills", "none yet")))
    return "\n".join(f"{name:<12} {text}" for name, text in lines)


def _place(node: int | None, place: dict[str, Any] | None, not_known: dict[str, str]) -> str:
    if place is None:
        return f"{node} ({not_known['node']})" if node and "node" in not_known else str(node or "-")
    return (
        f"{place['node']} ({place['status']}) of farm {place['farm']} ({place['farm_id']}), {place['city']}, {place['country']}"
    )


def _when(at: float) -> str:
    try:
        return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M %Z") if at else "?"
    except (OverflowError, OSError, ValueError):
        return "?"
