"""`nodes` and `farms`: what the grid's directory knows."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tfgrid_compose.cli.common import SIZE_GIB, SIZE_MIB
from tfgrid_compose.cli.favorites import favorites, favourites, keep
from tfgrid_compose.cli.nodeview import HEAD, age_line, details, node_facts, row
from tfgrid_compose.errors import UsageError
from tfgrid_compose.grids.networks import NETWORKS

if TYPE_CHECKING:
    from tfgrid_compose.grids.base import Grid
    from tfgrid_compose.grids.client import Client
    from tfgrid_compose.grids.models import Answer, Farm, Node

_GIB, _MIB = 1024**3, 1024**2
# An id has 32 bits.
_LONGEST_ID = 10
_SORTS: dict[str, Callable[[Node], Any]] = {
    "id": lambda node: node.id,
    "cpu": lambda node: -node.total.cru,
    "memory": lambda node: -node.free.mru,
    "disk": lambda node: -node.free.sru,
    "uptime": lambda node: -node.uptime,
    "price": lambda node: node.usd_per_month,
    "country": lambda node: (node.country.lower(), node.city.lower()),
    "farm": lambda node: node.farm.lower(),
    "ipv4": lambda node: -node.free_ips,
}


def _shared(function: Any) -> Any:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--offline", is_flag=True, help="Only what was answered before; nobody is asked."),
        click.option("--refresh", is_flag=True, help="Ask again, whatever is kept from before."),
        click.option("--network", type=click.Choice(NETWORKS), help="The grid to ask; that of new deployments by default."),
    ):
        function = option(function)
    return function


def _grid(network: str | None) -> Grid:
    from tfgrid_compose.cli.elevate import ensure_root
    from tfgrid_compose.deploy.resolve import default_network
    from tfgrid_compose.grids.registry import open_grid

    grid = open_grid(network or default_network())
    if grid.needs_root:
        ensure_root("reading the local grid")
    return grid


def _asked(grid: Grid, make: Callable[[Client], Any], refresh: bool, offline: bool) -> Any:
    from tfgrid_compose.grids.client import ask

    client = grid.client()
    client.refresh, client.offline = refresh, offline
    return ask(make, client)


def _tell_age(answer: Answer[Any], network: str) -> None:
    line = age_line(answer, network)
    if line:
        click.echo(click.style(line, fg="yellow" if answer.stale else None, dim=not answer.stale), err=True)


@click.group(invoke_without_command=True, epilog="Example:  tfgrid-compose nodes --country Belgium --ipv4 --min-memory 8G")
@click.option("--farm", metavar="NAME", help="Of farms whose name has this in it, or of the farm with this id.")
@click.option("--country", metavar="NAME", help="In countries whose name has this in it.")
@click.option("--ipv4", is_flag=True, help="With a free public IPv4 in their farm.")
@click.option("--ipv6", is_flag=True, help="Whose machines can have a public IPv6.")
@click.option("--certified", is_flag=True, help="With certified hardware.")
@click.option("--gpu", is_flag=True, help="With a graphics card.")
@click.option("--rentable", is_flag=True, help="That can be rented as a whole.")
@click.option("--min-cpu", type=click.IntRange(1), metavar="N", help="With so many cores.")
@click.option("--min-memory", "--min-mem", type=SIZE_MIB, metavar="SIZE", help="With so much free memory: 4096 (MB) or 8G.")
@click.option("--min-disk", type=SIZE_GIB, metavar="SIZE", help="With so much free SSD: 50 (GB) or 1T.")
@click.option("--all", "every", is_flag=True, help="Those that are down or stand by, too.")
@click.option("--favorites", "only_favorites", is_flag=True, help="Only favourites.")
@click.option("--sort", type=click.Choice(list(_SORTS)), default="memory", help="Order; the most free memory first by default.")
@click.option("-n", "--limit", type=click.IntRange(1), default=50, metavar="N", help="How many are shown; 50 by default.")
@click.option("-i", "--interactive", is_flag=True, help="Browse them: search, sort, details, favourites, deploy.")
@_shared
@click.pass_context
def nodes(ctx: click.Context, /, network: str | None, as_json: bool, refresh: bool, offline: bool, sort: str, limit: int,
          interactive: bool, only_favorites: bool, **wanted: Any) -> None:  # fmt: skip
    """List nodes of the grid with what is free on them.

    Exit codes: 0 listed, 7 the grid could not be asked.
    """
    ctx.obj = {**(ctx.obj or {}), "nodes": (network, refresh, offline)}
    if ctx.invoked_subcommand is not None:
        return
    grid = _grid(network)
    answer: Answer[list[Node]] = _asked(grid, lambda client: client.nodes(**filters(**wanted)), refresh, offline)
    stars = favourites(grid.name)
    # The directory's status lags behind; the client sees by their last report which ones are not up any more.
    there = [node for node in answer.value if wanted["every"] or node.status == "up"]
    found = [node for node in there if not only_favorites or node.id in stars]
    found.sort(key=lambda node: (_SORTS[sort](node), node.id))
    if interactive:
        _browse(grid, found, answer, stars)
    elif as_json:
        facts = {"network": grid.name, "at": answer.at, "stale": answer.stale, "count": len(found)}
        click.echo(json.dumps({**facts, "nodes": [node_facts(node, stars) for node in found[:limit]]}))
    else:
        _tell_age(answer, grid.name)
        _show_nodes(found, limit, stars)


def filters(
    farm: str | None = None, country: str | None = None, ipv4: bool = False, ipv6: bool = False, certified: bool = False,
    gpu: bool = False, rentable: bool = False, min_cpu: int | None = None, min_memory: int | None = None,
    min_disk: int | None = None, every: bool = False, whole_name: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """The directory's filters for what a user asks of nodes: memory in MB, disk in GB; `farm` is a name, or a part of one."""
    named: dict[str, Any] = {"farm_name" if whole_name else "farm_name_contains": farm}
    if farm and farm.isascii() and farm.isdecimal() and len(farm) <= _LONGEST_ID:
        named = {"farm_ids": [int(farm)]}
    return {
        **named, "status": None if every else ["up"], "country_contains": country, "free_ips": 1 if ipv4 else None,
        "has_ipv6": ipv6 or None, "certification_type": "Certified" if certified else None, "has_gpu": gpu or None,
        "rentable": rentable or None, "total_cru": min_cpu, "free_mru": min_memory * _MIB if min_memory else None,
        "free_sru": min_disk * _GIB if min_disk else None,
    }  # fmt: skip


def _show_nodes(found: list[Node], limit: int, stars: set[int]) -> None:
    from tfgrid_compose.cli.render import table

    if not found:
        click.echo("No node is like that. Ask for less, or leave a filter out.", err=True)
        return
    click.echo(table(HEAD, [row(node, stars) for node in found[:limit]]))
    more = f"; {len(found) - limit} more, --limit {len(found)} shows all" if len(found) > limit else ""
    count = f"{len(found)} node{'s' if len(found) != 1 else ''}"
    click.echo(f"{count} (★ favourite, ✓ certified; memory and disk are free GB){more}", err=True)


@nodes.command(epilog="Example:  tfgrid-compose nodes show 42 --json")
@click.argument("id", type=int)
@_shared
def show(id: int, network: str | None, as_json: bool, refresh: bool, offline: bool) -> None:
    """Show all that is known of a node.

    Exit codes: 0 shown, 5 no such node, 7 the grid could not be asked.
    """
    grid = _grid(network)
    answer: Answer[Node] = _asked(grid, lambda client: client.node(id), refresh, offline)
    stars = favourites(grid.name)
    if as_json:
        click.echo(json.dumps(node_facts(answer.value, stars)))
        return
    _tell_age(answer, grid.name)
    click.echo(details(answer.value, stars))
    click.echo(f"  Deploy    tfgrid-compose up ./my-app --network {grid.name} --node {id}")


@nodes.command(epilog="Example:  tfgrid-compose nodes farm Freefarm")
@click.argument("name")
@_shared
@click.pass_context
def farm(ctx: click.Context, /, name: str, **given: Any) -> None:
    """List the nodes of a farm, named by its name or id."""
    ctx.invoke(nodes, farm=name, every=True, whole_name=True, **given)


@nodes.command(epilog="Example:  tfgrid-compose nodes browse --network main")
@_shared
@click.pass_context
def browse(ctx: click.Context, /, **given: Any) -> None:
    """Browse nodes: search, sort, look at one, mark favourites, deploy on one."""
    ctx.invoke(nodes, interactive=True, **given)


def _browse(grid: Grid, found: list[Node], answer: Answer[list[Node]], stars: set[int]) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("browsing needs a terminal", why="input or output is none", fix="tfgrid-compose nodes --json")
    from tfgrid_compose.cli.browser import Browser

    chosen = Browser(found, stars, lambda id, on: keep(grid.name, [id], on), age_line(answer, grid.name)).run()
    if chosen is None:
        return
    words = ["up", ".", "--network", grid.name, "--node", str(chosen)]
    from tfgrid_compose.manifest.load import NAMES

    if any(os.path.exists(name) for name in NAMES) and click.confirm(
        f"Deploy the app of this folder on node {chosen}?", err=True
    ):
        from tfgrid_compose.drivers.process import python_module

        os.execv(sys.executable, [*python_module("tfgrid_compose"), *words])
    click.echo(f"tfgrid-compose up ./my-app --network {grid.name} --node {chosen}")


# Farms


@click.command(epilog="Example:  tfgrid-compose farms --ipv4 --network main")
@click.option("--name", metavar="NAME", help="Whose name has this in it.")
@click.option("--ipv4", is_flag=True, help="With a free public IPv4.")
@click.option("--country", metavar="NAME", help="With a node in this country.")
@click.option("-n", "--limit", type=click.IntRange(1), default=50, metavar="N", help="How many are shown; 50 by default.")
@_shared
def farms(name: str | None, ipv4: bool, country: str | None, limit: int, network: str | None, as_json: bool, refresh: bool,
          offline: bool) -> None:  # fmt: skip
    """List farms with their public IPv4.

    Exit codes: 0 listed, 7 the grid could not be asked.
    """
    grid = _grid(network)
    wanted: dict[str, Any] = {"name_contains": name, "free_ips": 1 if ipv4 else None, "country": country}
    answer: Answer[list[Farm]] = _asked(grid, lambda client: client.farms(**wanted), refresh, offline)
    found = sorted(answer.value, key=lambda item: (-item.free_ips, item.id))
    if as_json:
        facts = {"network": grid.name, "at": answer.at, "stale": answer.stale, "count": len(found)}
        click.echo(json.dumps({**facts, "farms": [asdict(item) for item in found[:limit]]}))
        return
    from tfgrid_compose.cli.render import table

    _tell_age(answer, grid.name)
    rows = [[str(item.id), item.name, item.certification, "yes" if item.dedicated else "", f"{item.free_ips} of {item.total_ips}"]
            for item in found[:limit]]  # fmt: skip
    click.echo(table(["FARM", "NAME", "CERTIFICATION", "DEDICATED", "FREE IPV4"], rows))
    if len(found) > limit:
        click.echo(f"{len(found)} farms; --limit {len(found)} shows all", err=True)


nodes.add_command(favorites, "favorites")
nodes.add_command(favorites, "favorite")
