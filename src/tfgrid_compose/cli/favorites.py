"""`favorites`: nodes that are chosen before all others that do."""

from __future__ import annotations

import json
from collections.abc import Collection

import click

from tfgrid_compose.grids.networks import NETWORKS


def favourites(network: str) -> set[int]:
    """The ids of favourite nodes on a network."""
    from tfgrid_compose.state import settings

    return {id for name, ids in settings.load().favorites.items() if name == network for id in ids}


def keep(network: str, ids: Collection[int], on: bool) -> set[int]:
    """Mark nodes as favourites, or no longer; returns all of them."""
    from tfgrid_compose.state import settings

    before = settings.load()
    every: dict[str, list[int]] = {str(name): known for name, known in before.favorites.items()}
    now = set(every.get(network, ()))
    now = now | set(ids) if on else now - set(ids)
    every[network] = sorted(now)
    settings.save(before.model_copy(update={"favorites": {name: known for name, known in every.items() if known}}))
    return now


@click.group(invoke_without_command=True, epilog="Example:  tfgrid-compose favorites add 42 --network main")
@click.option("--network", type=click.Choice(NETWORKS), help="The grid; that of new deployments by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def favorites(ctx: click.Context, network: str | None, as_json: bool) -> None:
    """List favourite nodes; they are chosen before all others that do."""
    from tfgrid_compose.deploy.resolve import default_network

    ctx.obj = network or default_network()
    if ctx.invoked_subcommand is None:
        found = sorted(favourites(ctx.obj))
        click.echo(json.dumps(found) if as_json else "\n".join(str(id) for id in found) or f"none on network {ctx.obj}")


def _favorite(name: str, on: bool, about: str) -> None:
    @favorites.command(name, help=about, epilog=f"Example:  tfgrid-compose favorites {name} 42")
    @click.argument("ids", type=click.IntRange(1), nargs=-1, required=True, metavar="ID…")
    @click.option("--network", type=click.Choice(NETWORKS), help="The grid; that of new deployments by default.")
    @click.pass_obj
    def command(network_before: str, ids: tuple[int, ...], network: str | None) -> None:
        found = keep(network or network_before, ids, on)
        click.echo(", ".join(str(id) for id in sorted(found)) or "none")


_favorite("add", True, "Mark nodes as favourites.")
_favorite("remove", False, "Take nodes off the list.")


@favorites.command("list", hidden=True)
@click.pass_obj
def list_favorites(network: str) -> None:
    """The same as without a word."""
    click.echo("\n".join(str(id) for id in sorted(favourites(network))) or f"none on network {network}")
