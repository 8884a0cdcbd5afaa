"""`orphans`: what carries our mark on the grid and is not remembered."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import click

from tfgrid_compose.cli.common import age, confirm
from tfgrid_compose.grids.networks import NETWORKS

if TYPE_CHECKING:
    from tfgrid_compose.deploy.repair import Orphan, View
    from tfgrid_compose.state.store import Store


@click.command(epilog="Example:  tfgrid-compose orphans      tfgrid-compose orphans --destroy --network local")
@click.option("--network", type=click.Choice(NETWORKS), help="Only this network; every network that was deployed to by default.")
@click.option("--destroy", "--delete", "destroy", is_flag=True, help="Cancel their contracts, after a question.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def orphans(network: str | None, destroy: bool, yes: bool, as_json: bool) -> None:
    """List what carries our mark on the grid and is not remembered here: what, since when, what it costs.

    A deployment of another user, or of another computer with the same account, is not remembered here either: look at the
    names before you destroy. `tfgrid-compose state repair` lists orphans in `ps` again instead.

    Exit codes: 0 listed, or all destroyed; 7 something is left, or a network could not be looked at.
    """
    from tfgrid_compose.cli.elevate import ensure_root
    from tfgrid_compose.deploy import repair
    from tfgrid_compose.grids.registry import open_grid
    from tfgrid_compose.state.store import Store

    with Store() as store:
        networks = [network] if network else repair.networks_of(store)
    if any(open_grid(name).needs_root for name in networks):
        ensure_root("looking at the local grid")
    with Store() as store:
        view = repair.survey(networks, costs=True)
        found = repair.orphans(store, view)
        if not (as_json and destroy):
            _show(found, view, as_json)
        if destroy and (found or as_json):
            _destroy(store, found, yes, as_json)
        elif found and not as_json:
            click.echo("`tfgrid-compose orphans --destroy` cancels them; `state repair` lists them in `ps` again.", err=True)
    sys.exit(7 if view.unseen else 0)


def _show(found: list[Orphan], view: View, as_json: bool) -> None:
    if as_json:
        facts = {"orphans": [item.to_dict() for item in found], "grids_seen": sorted(view.marked), "grids_not_seen": view.unseen}
        click.echo(json.dumps(facts))
        return
    for name, reason in view.unseen.items():
        click.echo(f"Network {name} was not looked at: {reason}.", err=True)
    if not found:
        if view.marked:
            click.echo(f"There are no orphans on network {', '.join(sorted(view.marked))}.", err=True)
        return
    from tfgrid_compose.cli.render import table

    click.echo(table(["APP", "ID", "NETWORK", "CONTRACTS", "WHAT", "AGE", "USD/MONTH"], [_row(item) for item in found]))


def _row(item: Orphan) -> list[str]:
    what = ", ".join(f"{one.kind} {one.name}" + (f" on node {one.node}" if one.node else "") for one in item.contracts)
    since = age(time.time() - item.since) if item.since else "unknown"
    ids = ",".join(str(one.id) for one in item.contracts)
    cost = "?" if item.usd_per_month is None else f"{item.usd_per_month:.2f}"
    return [item.name or "unknown", item.deployment[:6], item.network, ids, what, since, cost]


def _destroy(store: Store, found: list[Orphan], yes: bool, as_json: bool) -> None:
    """Cancel and prove. Raises `UsageError` without a terminal to ask on, `GridError` when something is left."""
    from tfgrid_compose.deploy import repair

    names = ", ".join(f"{item.name or 'unknown'} ({item.deployment[:6]})" for item in found)
    question = f"Cancel the contracts of {names}? Their machines and data are destroyed."
    fix = "tfgrid-compose orphans --destroy --yes"
    confirm(yes or not found, question, default=False, what="destroying orphans", fix=fix)
    for item in found:
        repair.destroy(store, item)
        if not as_json:
            click.echo(f"{item.name or 'unknown'} ({item.deployment[:6]}) is gone.")
    if as_json:
        click.echo(json.dumps({"destroyed": [item.to_dict() for item in found]}))
