"""`state`: what is remembered: backups, check, repair, and moving it to another computer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfgrid_compose.cli.common import confirm
from tfgrid_compose.errors import StateError, UsageError
from tfgrid_compose.words import count

if TYPE_CHECKING:
    from tfgrid_compose.deploy.repair import View
    from tfgrid_compose.state.package import Package
    from tfgrid_compose.state.problem import Problem
    from tfgrid_compose.state.store import Store

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_YES = click.option("-y", "--yes", is_flag=True, help="Don't ask.")
_GRID = click.option(
    "--grid/--no-grid", default=None,
    help="Also look at the grids, through sudo where that is needed; or never. By default those that need no sudo.",
)  # fmt: skip
_BROKEN = 10
_UNSEEN = 7
_SHORTEST = 8
# What `check` calls a database that can't be opened; all else is damage.
_UNOPENED = {"state-lost": "database-lost", "state-behind": "database-behind"}


@click.group(epilog="Example:  tfgrid-compose state check")
def state() -> None:
    """What is remembered of deployments: backups of it, checks, repair, and moving it to another computer."""


# Backups


@state.command(epilog="Example:  tfgrid-compose state backups")
@_JSON
def backups(as_json: bool) -> None:
    """List the backups of the database, newest first. One is made before each `down`, each migration and each repair."""
    from tfgrid_compose.cli.render import table
    from tfgrid_compose.state import backups as kept

    found = [(item, item.condition()) for item in kept.listed()]
    if as_json:
        facts = [{"name": item.name, "at": item.at, "reason": item.reason, "size": item.size, "condition": condition}
                 for item, condition in found]  # fmt: skip
        click.echo(json.dumps(facts))
    elif not found:
        click.echo("There is no backup.  tfgrid-compose state backup makes one.", err=True)
    else:
        rows = [[item.name, _date(item.at), item.reason, _size(item.size), condition] for item, condition in found]
        click.echo(table(["NAME", "MADE (UTC)", "REASON", "SIZE", "CONDITION"], rows))


def _date(stamp: str) -> str:
    return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]} {stamp[9:11]}:{stamp[11:13]}:{stamp[13:]}"


def _size(number: int) -> str:
    return f"{number / 1024**2:.1f} MB" if number >= 1024**2 else f"{number / 1024:.0f} kB"


@state.command(epilog="Example:  tfgrid-compose state backup")
@_JSON
def backup(as_json: bool) -> None:
    """Make a backup of the database now."""
    from tfgrid_compose.state import backups as kept
    from tfgrid_compose.state.store import Store

    with Store() as store:
        made = kept.save(store.path, "by-hand")
    click.echo(json.dumps({"name": made.name, "size": made.size}) if as_json else f"Made {made.name} ({_size(made.size)}).")


@state.command(epilog="Example:  tfgrid-compose state restore      tfgrid-compose state restore 20251123-134500")
@click.argument("name", required=False)
@_YES
@_GRID
def restore(name: str | None, yes: bool, grid: bool | None) -> None:
    """Put the backup NAME, or the newest good one, in the place of the database.

    The beginning of a name is enough. It works whatever the database is like, and keeps the one that it replaces. Then it
    looks where state and grid differ.

    Exit codes: 0 restored, 5 no such backup, 6 a run goes on, 10 the backup is damaged, or something has to be repaired.
    """
    from tfgrid_compose.state import backups as kept
    from tfgrid_compose.state.restore import restore as put_back

    _root_for(grid, "looking at the local grid")
    chosen = kept.find(name)
    question = f"Put {chosen.name} ({_date(chosen.at)} UTC, {chosen.reason}) in the place of the database?"
    confirm(yes, question, default=False)
    done = put_back(chosen)
    click.echo(f"Restored {chosen.name}.")
    if done.kept:
        click.echo(f"The database that it replaced is {done.kept}.")
    found = _look(grid)
    _tell(*found)
    sys.exit(_BROKEN if found[0] else 0)


# Check and repair


@state.command(epilog="Example:  tfgrid-compose state check --grid")
@_GRID
@_JSON
def check(grid: bool | None, as_json: bool) -> None:
    """Look through all that is remembered, and compare it with what stands on the grids. Changes nothing.

    Exit codes: 0 all is well, 10 something is not; each problem says what helps. 7 with --grid: nothing is wrong that
    could be seen, but a grid did not answer.
    """
    _root_for(grid, "looking at the local grid")
    found, view = _look(grid)
    if as_json:
        seen, unseen = _seen(view)
        facts = {"problems": [item.to_dict() for item in found], "grids_seen": seen, "grids_not_seen": unseen}
        click.echo(json.dumps(facts))
    else:
        _tell(found, view)
    sys.exit(_BROKEN if found else _UNSEEN if grid and view and view.unseen else 0)


def _look(grid: bool | None) -> tuple[list[Problem], View | None]:
    """All problems; a database that can't be opened is one of them."""
    from tfgrid_compose.deploy.repair import problems
    from tfgrid_compose.state import backups as kept
    from tfgrid_compose.state.files import look_beside
    from tfgrid_compose.state.problem import Problem
    from tfgrid_compose.state.store import Store

    try:
        with Store() as store:
            view = _view(store, grid)
            return problems(store, view), view
    except StateError as error:
        text = f"{error.what}: {error.why}" if error.why else error.what
        kind = _UNOPENED.get(error.code, "database-damaged")
        return [Problem(kind, text, error.fix or kept.remedy()), *look_beside()], None


def _view(store: Store, grid: bool | None) -> View | None:
    from tfgrid_compose.deploy.repair import networks_of, survey

    return None if grid is False else survey(networks_of(store))


def _root_for(grid: bool | None, why: str) -> None:
    """With --grid, what only root can look at is looked at too."""
    if grid:
        from tfgrid_compose.cli.elevate import ensure_root

        ensure_root(why)


def _seen(view: View | None) -> tuple[list[str], dict[str, str]]:
    return (sorted(view.marked), view.unseen) if view else ([], {})


def _tell(found: list[Problem], view: View | None) -> None:
    """Problems with what helps, grids that were not looked at, and the next command."""
    for item in found:
        click.echo(f"{click.style('Problem:', fg='red')} {item.text}  [{item.code}]")
        if item.next:
            click.echo(f"  Next:    {item.next}")
    for network, reason in _seen(view)[1].items():
        click.echo(f"Network {network} was not looked at: {reason}.", err=True)
    if found:
        mendable = sum(1 for item in found if item.mend)
        mends = f"; `tfgrid-compose state repair` mends {mendable}" if mendable else ""
        click.echo(f"{len(found)} problem{'s' if len(found) > 1 else ''}{mends}.")
    else:
        seen = _seen(view)[0]
        click.echo(f"All is well{f'; looked at network {chr(44).join(seen)} too' if seen else ''}.")


@state.command(epilog="Example:  tfgrid-compose state repair --grid")
@_YES
@_GRID
def repair(yes: bool, grid: bool | None) -> None:
    """Mend what can be mended without losing anything; says each thing. A backup is made first.

    A damaged or lost database is replaced by the newest good backup; one that lacks its last writes is taken as it is, unless a
    backup is newer. Deployments that stand on a grid and are not in it are
    listed again, so that `down` removes them.

    Exit codes: 0 all is well now, 6 a run goes on, 10 something is left that it can't mend.
    """
    from tfgrid_compose.deploy import repair as deploy
    from tfgrid_compose.state.store import Store

    _root_for(grid, "looking at the local grid")
    if not yes:
        found = _look(grid)
        _tell(*found)
        if not found[0]:
            return
        confirm(yes, "Mend what can be mended?", what="repairing the state", fix="tfgrid-compose state repair --yes")
    opened = deploy.usable_database()
    if opened:
        click.echo(f"  {opened}")
    with Store() as store:
        view = _view(store, grid)
        done, left = deploy.repair(store, view)
    for sentence in done:
        click.echo(f"  {sentence}")
    _tell(left, view)
    sys.exit(_BROKEN if left else 0)


# Moving


@state.command(epilog="Example:  tfgrid-compose state export state.tfgrid")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def export(file: Path) -> None:
    """Write all that is remembered into one encrypted FILE, for another computer.

    It holds the database, the releases, the keys, and the machines' host keys. Whoever has the passphrase can do everything
    that you can. Logs of runs and the app folders are not in it.
    """
    from tfgrid_compose.state import paths, transfer
    from tfgrid_compose.state.store import Store

    if file.exists():
        raise UsageError(
            f"{file} exists already", why="an export never replaces a file", fix=f"rm {file}, or choose another name"
        )
    passphrase = _passphrase("Passphrase of the export: ", twice=True)
    with Store() as store:
        data, found = transfer.export(store, passphrase), store.deployments()
    paths.private_file(file.absolute(), data)
    click.echo(f"Wrote {file} ({_size(len(data))}) with {count(len(found), 'deployment')}.")
    here = [item.name for item in found if _stays_here(item.network)]
    if here:
        click.echo(f"The machines of {', '.join(here)} live on this computer only; elsewhere `up` builds them anew, empty.")
    if len(here) < len(found):
        click.echo("Import it in one place, and go on only there: each copy would think that it is the only one.")


@state.command("import", epilog="Example:  tfgrid-compose state import state.tfgrid")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--replace", is_flag=True, help="Forget deployments that are here already, and take those of the export.")
@_YES
def import_(file: Path, replace: bool, yes: bool) -> None:
    """Add what the export FILE holds. Into an empty state all comes as it was, history and audit log included.

    Into a state that has deployments, those of the export are added, under this computer's own key. One that is here already
    is an error, unless --replace.

    Exit codes: 0 imported, 6 a run goes on, 10 it can't be opened, or something is here already.
    """
    from tfgrid_compose.state import package as packages
    from tfgrid_compose.state import transfer

    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} can't be read", why=error.strerror or str(error), fix=f"ls -l {file}") from error
    package = packages.opened(data, _passphrase("Passphrase of the export: "))
    if replace:
        _ask_to_replace(package, yes)
    done = transfer.take_in(package, _stays_here, replace=replace)
    click.echo(f"Imported {', '.join(done.added) or 'no deployment'}{', with history and audit log' if done.whole else ''}.")
    if done.replaced:
        click.echo(f"Replaced {', '.join(done.replaced)}; what stood for them is listed by `tfgrid-compose orphans`.")
    if done.emptied:
        click.echo(f"The machines of {', '.join(done.emptied)} stay on the other computer; `tfgrid-compose up` builds them here.")
    for line in done.elsewhere:
        click.echo(line)
    click.echo("Next:  tfgrid-compose state check")


def _ask_to_replace(package: Package, yes: bool) -> None:
    from tfgrid_compose.state import transfer
    from tfgrid_compose.state.store import Store

    with Store() as store:
        blocking = transfer.conflicts(store, package)
    if blocking:
        names = ", ".join(f"{item.name} ({item.id[:6]}) on network {item.network}" for item in blocking)
        confirm(yes, f"Forget {names}, and take those of the export?", default=False)


def _passphrase(question: str, *, twice: bool = False) -> str:
    """From the file that the environment names, or typed without being shown. Raises `UsageError`."""
    from tfgrid_compose.state.keys import ask_hidden, given_passphrase

    given = given_passphrase()
    typed = given if given is not None else ask_hidden(question)
    if typed is None:
        raise UsageError(
            "a passphrase is needed", why="there is no terminal to ask for it on",
            fix="name a file that holds it (mode 0600) in TFGRID_PASSPHRASE_FILE",
        )  # fmt: skip
    if twice and len(typed) < _SHORTEST:
        raise UsageError("the passphrase is too short", why=f"it has less than {_SHORTEST} characters", fix="choose a longer one")
    if twice and given is None and ask_hidden("The same again: ") != typed:
        raise UsageError("the two passphrases differ", why="one of them was mistyped", fix="run the command again")
    return typed


def _stays_here(network: str) -> bool:
    """Whether machines of a network live on this computer: only its root can reach into such a grid."""
    from tfgrid_compose.grids.registry import open_grid

    try:
        return open_grid(network).needs_root
    except UsageError:
        return False
