"""`contracts`: what the account has on the grids, what it costs, whose it is; cancelling it, and watching it."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from tfgrid_compose.cli.common import WaitingCommand, confirm, shown_events
from tfgrid_compose.cli.orphans import orphans
from tfgrid_compose.grids.networks import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tfgrid_compose.deploy.contracts import Listing, Row
    from tfgrid_compose.deploy.watch import Change

# Words of the bash tool.
_ALIASES = {"delete": "cancel", "ls": "list"}


class _Number(click.IntRange):
    """The number of a contract. A name is what people try first, so that has an answer of its own."""

    def __init__(self) -> None:
        super().__init__(1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number. Raises `UsageError` for everything else."""
        from tfgrid_compose.errors import UsageError

        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            raise UsageError(
                f"`{value}` is no number of a contract",
                why="contracts are told apart by their numbers, because names can be used twice",
                fix="`tfgrid-compose contracts` lists them; `tfgrid-compose down my-app` removes a deployment",
            ) from None


class _ContractsGroup(click.Group):
    """Without a command it lists."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Options of `list` may stand alone."""
        # Completion asks without words what could come: the commands.
        bare = not args and not ctx.resilient_parsing
        if bare or (args and args[0].startswith("-") and args[0] not in ("-h", "--help")):
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name or by the bash tool's."""
        return super().get_command(ctx, _ALIASES.get(cmd_name, cmd_name))


def _network_option(function: Callable[..., Any]) -> Callable[..., Any]:
    text = "Only this network; those that were deployed to or signed in to by default."
    return click.option("--network", type=click.Choice(NETWORKS), help=text)(function)


def _json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


@click.group(cls=_ContractsGroup, epilog="Example:  tfgrid-compose contracts      tfgrid-compose contracts cancel 52110")
def contracts() -> None:
    """List contracts with what they cost and whose they are; show, cancel and watch them.

    A network that can't be asked is named, with exit code 7: no answer never looks like no contracts.
    """


@contracts.command("list", epilog="Example:  tfgrid-compose contracts list --network main --json")
@_network_option
@click.option("--all", "ended", is_flag=True, help="Also those that ended.")
@_json_option
def list_contracts(network: str | None, ended: bool, as_json: bool) -> None:
    """List the account's contracts, of every tool.

    The cost is the grid's price, or what the last bill said; `?` where neither is known.

    Exit codes: 0 listed; 7 a network could not be asked, the others are listed.
    """
    from tfgrid_compose.deploy.contracts import look
    from tfgrid_compose.state.store import Store

    names = _networks(network)
    with Store() as store:
        listing = look(store, names, ended=ended)
    if as_json:
        click.echo(json.dumps(listing.to_dict()))
    else:
        _print(listing)
    sys.exit(7 if listing.unasked else 0)


def _networks(network: str | None) -> list[str]:
    """Networks to ask, with the rights to ask them."""
    from tfgrid_compose.cli.elevate import ensure_root
    from tfgrid_compose.deploy.contracts import networks
    from tfgrid_compose.grids.registry import open_grid
    from tfgrid_compose.state.store import Store

    with Store() as store:
        names = [network] if network else networks(store)
    if any(open_grid(name).needs_root for name in names):
        ensure_root("looking at the local grid")
    return names


def _print(listing: Listing) -> None:
    from tfgrid_compose.cli.contract_text import table_of

    for name, reason in listing.unasked.items():
        click.echo(f"Network {name} could not be asked: {reason}.", err=True)
    for text in listing.doubts:
        click.echo(f"Not known: {text}.", err=True)
    if listing.rows:
        click.echo(table_of(listing))
    elif listing.asked:
        click.echo(f"There are no contracts on network {', '.join(listing.asked)}.", err=True)


@contracts.command(epilog="Example:  tfgrid-compose contracts show 52110")
@click.argument("id", type=_Number())
@_network_option
@_json_option
def show(id: int, network: str | None, as_json: bool) -> None:
    """Show all that is known of one contract: deployment, node, farm, state, newest bills.

    Exit codes: 0 shown, 5 there is no such contract, 7 the grid could not be asked.
    """
    from tfgrid_compose.cli.contract_text import details_of
    from tfgrid_compose.deploy.contracts import details, look, pick
    from tfgrid_compose.state.store import Store

    names = _networks(network)
    with Store() as store:
        listing = look(store, names, ended=True)
        (row,) = pick(listing, [id])
        facts = details(row)
    click.echo(json.dumps(facts) if as_json else details_of(row, facts))


@contracts.command(cls=WaitingCommand, epilog="Example:  tfgrid-compose contracts cancel 52110 52111 --network main")
@click.argument("ids", type=_Number(), nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All of the account's contracts on one network, of every tool.")
@_network_option
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@click.option(
    "--wait", type=click.FloatRange(0), default=0, metavar="[SECONDS]",
    help="Wait for a run on a deployment concerned to end; an hour without a number.",
)  # fmt: skip
@_json_option
def cancel(ids: tuple[int, ...], everything: bool, network: str | None, yes: bool, wait: float, as_json: bool) -> None:
    """Cancel contracts by their numbers, after a question, and look whether they are gone. Machines and data go with them.

    `tfgrid-compose down` is the way to remove a deployment; this is for what it can't reach, or what is not ours.

    Exit codes: 0 gone, 2 nobody to ask, 5 no such contract, 6 a run works on it, 7 something is left or was not asked.
    """
    from tfgrid_compose.deploy import cancel as cancelling
    from tfgrid_compose.deploy.contracts import look, pick
    from tfgrid_compose.state.store import Store

    _check_words(ids, everything)
    names = _networks(network)
    with Store() as store:
        listing = look(store, names, costs=False)
        _look_at_silent(listing)
        chosen = _all_of_one(listing) if everything else pick(listing, ids)
        if chosen:
            _consent(chosen, yes)
            with shown_events(as_json) as stream:
                cancelling.cancel(store, stream, chosen, wait=wait)
    _report(chosen, as_json)


def _check_words(ids: tuple[int, ...], everything: bool) -> None:
    from tfgrid_compose.errors import UsageError

    if bool(ids) == everything:
        raise UsageError(
            "which contracts?" if not ids else "numbers and --all exclude each other",
            why="cancel takes numbers of contracts, or --all",
            fix="tfgrid-compose contracts list",
        )


def _look_at_silent(listing: Listing) -> None:
    """What answers must not decide what is destroyed: a silent network may have these numbers, too. Raises `GridError`."""
    from tfgrid_compose.errors import GridError

    for name, reason in listing.unasked.items():
        other = "".join(f"; or say which network, for example --network {name}" for name in listing.asked[:1])
        raise GridError(
            f"nothing is cancelled, because network {name} could not be asked",
            why=f"{reason}; which contracts are meant can't be told without it",
            fix=f"run the command again{other}",
            code="contracts-unasked",
        )


def _all_of_one(listing: Listing) -> list[Row]:
    """All rows, which must be of one network. Raises `UsageError`."""
    from tfgrid_compose.errors import UsageError

    found = sorted({row.network for row in listing.rows})
    if len(found) > 1:
        raise UsageError(
            f"there are contracts on several networks: {', '.join(found)}",
            why="--all cancels those of one network",
            fix=f"say which, for example `tfgrid-compose contracts cancel --all --network {found[0]}`",
            code="network-ambiguous",
        )
    return list(listing.rows)


def _consent(rows: Sequence[Row], yes: bool) -> None:
    """Say what goes, and ask. Raises `UsageError` without a terminal, `InterruptedError_` after a no."""
    from tfgrid_compose.words import count

    owners = ", ".join(dict.fromkeys(row.owner for row in rows))
    what, ids = f"cancelling {count(len(rows), 'contract')}", " ".join(str(row.id) for row in rows)
    fix = f"tfgrid-compose contracts cancel {ids} --network {rows[0].network} --yes"
    for row in rows:
        click.echo(f"  {row.text}, network {row.network}", err=True)
    question = f"Cancel {count(len(rows), 'contract')} ({owners})? Machines, disks and names that they hold are destroyed."
    confirm(yes, question, default=False, what=what, fix=fix)


def _report(chosen: Sequence[Row], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"cancelled": [row.to_dict() for row in chosen]}))
        return
    if not chosen:
        click.echo("There is nothing to cancel.", err=True)
        return
    click.echo(f"Gone: {', '.join(str(row.id) for row in chosen)}.")
    for name in dict.fromkeys(row.deployment.name for row in chosen if row.deployment):
        click.echo(f"`tfgrid-compose down {name}` tidies what is left of {name}.", err=True)


contracts.add_command(orphans)


@contracts.command(epilog="Example:  tfgrid-compose contracts watch --interval 60 --json")
@_network_option
@click.option("--interval", type=click.FloatRange(1, 86_400), default=30, help="Seconds between two looks; 30 by default.")
@click.option("--json", "as_json", is_flag=True, help="Print every change as JSON, one a line.")
def watch(network: str | None, interval: float, as_json: bool) -> None:
    """Show contracts until Ctrl-C: a table on a terminal, elsewhere a line for each change.

    Contracts of a network that can't be asked for a while are not taken for ended.
    """
    from tfgrid_compose.deploy.contracts import look
    from tfgrid_compose.deploy.watch import changes, kept
    from tfgrid_compose.state.store import Store

    names, before = _networks(network), None
    as_table = sys.stdout.isatty() and not as_json
    try:
        while True:
            with Store() as store:
                now = kept(before, look(store, names, costs=as_table))
            if as_table:
                click.clear()
                _print(now)
                click.echo(f"\nEvery {interval:g} s, until Ctrl-C.", err=True)
            else:
                _tell(changes(before, now), as_json)
            before = now
            time.sleep(interval)
    except KeyboardInterrupt:
        sys.exit(0)


def _tell(found: Sequence[Change], as_json: bool) -> None:
    for item in found:
        if as_json:
            click.echo(json.dumps({"at": time.time(), **item.to_dict()}))
        else:
            click.echo(f"{datetime.now().astimezone():%H:%M:%S}  {item.text}")
    sys.stdout.flush()
