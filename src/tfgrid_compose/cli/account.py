"""`signin`, `signout`, `whoami`: the grid account of each network, and git servers for apps."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfgrid_compose.cli.accountview import facts, show, standings, stranded, tell
from tfgrid_compose.cli.common import confirm
from tfgrid_compose.cli.gitaccount import signin_git, signout_git
from tfgrid_compose.cli.secretinput import Wordless, given_secret
from tfgrid_compose.errors import GridError, NotFoundError, UsageError
from tfgrid_compose.grids.keys import KEY_TYPES
from tfgrid_compose.grids.networks import LIVE

if TYPE_CHECKING:
    from tfgrid_compose.grids.account import Signed

_ATTEMPTS = 3
_NETWORKS = click.option(
    "--network", "networks", multiple=True, type=click.Choice(LIVE), help="The network; may be given several times."
)


@click.group(
    cls=Wordless,
    invoke_without_command=True,
    epilog="Example:  tfgrid-compose signin --network main      pass show grid | tfgrid-compose signin --network test --stdin",
)
@_NETWORKS
@click.option("--key-type", type=click.Choice(KEY_TYPES), help="Type of the account's keys; sr25519 by default.")
@click.option("--file", type=click.Path(path_type=Path), metavar="FILE", help="Read the mnemonic from a file.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the mnemonic from standard input.")
@click.option("--check", is_flag=True, help="Change nothing; look whether the accounts can deploy.")
@click.option("-y", "--yes", is_flag=True, help="Replace another account without a question.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def signin(
    ctx: click.Context, networks: tuple[str, ...], key_type: str | None, file: Path | None, from_stdin: bool, check: bool,
    yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Keep the account of a network, encrypted; or a git server for apps, with `signin git`.

    The mnemonic (12, 15, 18, 21 or 24 words, or a seed as 0x and 64 hexadecimal digits) is asked for and not shown; without
    a terminal it is read from standard input. It is never given on the command line. FILE may be the bash tool's
    credentials.yaml. Each network has one account; the same words can be kept for several.

    Exit codes: 0 signed in, also when balance and twin could not be looked up; 7 the mnemonic is not valid, or --check found
    something missing.
    """
    if ctx.invoked_subcommand is not None:
        return
    if check:
        sys.exit(_check(networks, as_json))
    if file and from_stdin:
        raise UsageError(
            "the mnemonic comes from one place", why="--file and --stdin were both given", fix="tfgrid-compose signin --help"
        )
    chosen = networks or (_asked_network(),)
    secret, told = _mnemonic(file, from_stdin)
    signed = [_signed(name, key_type, secret) for name in chosen]
    _keep(signed, yes)
    rows = standings(signed)
    show(rows, as_json)
    for text in [*told, *_overruled()]:
        click.echo(text, err=True)


def _asked_network() -> str:
    """Which one, when none was named: no network is taken silently."""
    from tfgrid_compose.state import settings

    usual = settings.load().network
    if not sys.stdin.isatty():
        raise UsageError(
            "which network?", why="each network has accounts of its own, and none was named",
            fix="tfgrid-compose signin --network main", code="network-needed",
        )  # fmt: skip
    default = usual if usual in LIVE else None
    return str(click.prompt("Network", type=click.Choice(LIVE), default=default, err=True))


def _mnemonic(file: Path | None, from_stdin: bool) -> tuple[str, list[str]]:
    """A valid mnemonic or seed, and what is to be said about where it was. Raises `GridError` and `UsageError`."""
    from tfgrid_compose.grids import keys, oldplaces

    if file:
        found = keys.checked(oldplaces.mnemonic_in(file), str(file))
        others = ", and other users of this computer can read it" if oldplaces.open_to_others(file) else ""
        return found, [f"{file} still holds the mnemonic in plain text{others}. Remove it when you have it elsewhere: rm {file}"]
    if from_stdin or not sys.stdin.isatty():
        return keys.checked(given_secret("mnemonic", learn=keys.learn)), []
    for attempt in range(1, _ATTEMPTS + 1):
        typed = str(click.prompt("Mnemonic (not shown)", hide_input=True, default="", show_default=False, err=True))
        try:
            return keys.checked(typed), []
        except GridError as error:
            if attempt == _ATTEMPTS:
                raise
            click.echo(f"That does not work: {error.why}. Once more.", err=True)
    raise AssertionError("the last attempt returns or raises")


def _overruled() -> list[str]:
    """What is to be said when the environment counts before what was just kept."""
    from tfgrid_compose.grids import oldplaces

    found = oldplaces.variable()
    return [f"As long as {found.origin} is set, its mnemonic is used instead."] if found else []


def _signed(network: str, key_type: str | None, secret: str) -> Signed:
    from tfgrid_compose.grids.account import Signed
    from tfgrid_compose.observe.redact import Secret

    return Signed(network, key_type or KEY_TYPES[0], Secret(secret))


def _keep(signed: Sequence[Signed], yes: bool) -> None:
    """Keep all of them; another account is replaced only after a yes."""
    from tfgrid_compose.grids import account
    from tfgrid_compose.state.store import Store

    with Store() as store:
        before = {item.network: account.kept_in(store, item.network) for item in signed}
        others = [old for item in signed if (old := before[item.network]) and old.address != item.address]
        now = {item.network: item.address for item in signed}
        left = stranded(store, now, {old.network for old in others}, "with another one")
        if others:
            named = ", ".join(f"{item.address} on network {item.network}" for item in others)
            question = f"Replace {named}? Its mnemonic is forgotten here.{left}"
            confirm(yes, question, default=False, what=f"replacing {named}", fix="tfgrid-compose signin --yes")
        if yes or not others:
            tell(left)
        for item in signed:
            account.keep(store, item)
            store.append_audit(action="signin", deployment="", name=item.network, detail=item.address, outcome="succeeded")


# What is there


def _wanted(named: Sequence[str]) -> list[str]:
    """The networks that were named; else those with an account, and the usual one."""
    from tfgrid_compose.grids import account
    from tfgrid_compose.state import settings

    usual = settings.load().network
    return list(dict.fromkeys(named or [*account.networks(), *([usual] if usual in LIVE else [])]))


def _check(named: Sequence[str], as_json: bool) -> int:
    """Say what is missing; the exit code."""
    from tfgrid_compose.grids.account import signed_in

    networks = _wanted(named)
    if not networks:
        raise _nobody()
    found, missing = [], list[GridError]()
    for name in networks:
        try:
            found.append(signed_in(name))
        except GridError as error:
            missing.append(error)
    rows = standings(found)
    show(rows, as_json)
    for lacking in missing:
        click.echo(f"{lacking.what[:1].upper()}{lacking.what[1:]}: {lacking.why}. Next: {lacking.fix}", err=True)
    whole = not missing and not any(item.unknown or item.lacks for _, item in rows)
    if whole and not as_json:
        click.echo("Everything is there.", err=True)
    return 0 if whole else 7


def _nobody() -> GridError | UsageError:
    """The error for a question about accounts when none is kept and no network was named."""
    from tfgrid_compose.grids import oldplaces

    found = oldplaces.variable() or next(oldplaces.files(), None)
    if found:
        return UsageError(
            "which network?", why=f"there is a mnemonic in {found.origin}, and it can be used on every network",
            fix="name one with --network", code="network-needed",
        )  # fmt: skip
    unused, option = oldplaces.unused()
    return GridError(
        "nobody is signed in", why=f"no network has an account here{unused}", fix=f"tfgrid-compose signin{option}",
        code="account-missing",
    )  # fmt: skip


# whoami


@click.command(epilog="Example:  tfgrid-compose whoami --json")
@_NETWORKS
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def whoami(networks: tuple[str, ...], as_json: bool) -> None:
    """Show who pays on each network: address, type of keys, twin, balance, and where the mnemonic was found.

    The mnemonic comes from TF_VAR_mnemonic or MNEMONIC, from `signin`, or from files of the bash tool, in this order.

    Exit codes: 0 shown; 7 nobody is signed in.
    """
    from tfgrid_compose.grids import git
    from tfgrid_compose.grids.account import signed_in

    wanted, servers = _wanted(networks), git.servers()
    if not wanted and not servers:
        raise _nobody()
    rows = standings([signed_in(name) for name in wanted])
    if as_json:
        name, email = git.identity()
        known = [
            {
                "server": item.name,
                "platform": item.platform,
                "username": item.username,
                "default": item.default,
                "from": item.origin,
            }
            for item in servers
        ]
        identity = {"name": name, "email": email, "servers": known}
        click.echo(json.dumps({"accounts": [facts(*row) for row in rows], "git": identity}))
        return
    show(rows, as_json)
    if servers:
        from tfgrid_compose.cli.render import table

        cells = [[it.name, it.platform, it.username or "-", "yes" if it.default else "", it.origin] for it in servers]
        click.echo(("\n" if rows else "") + table(["GIT SERVER", "PLATFORM", "USER", "DEFAULT", "FROM"], cells))


# signout


@click.group(cls=Wordless, invoke_without_command=True, epilog="Example:  tfgrid-compose signout --network main")
@_NETWORKS
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@click.pass_context
def signout(ctx: click.Context, networks: tuple[str, ...], yes: bool) -> None:
    """Forget the account of a network, or of all; or a git server, with `signout git`.

    Deployments stay where they are, and go on to cost. Files of other tools are not touched.
    """
    if ctx.invoked_subcommand is not None:
        return
    from tfgrid_compose.grids import account
    from tfgrid_compose.state.store import Store

    with Store() as store:
        kept = store.secret_names(account.OWNER)
        wanted = [name for name in networks or kept if name in kept]
        absent = [name for name in networks if name not in kept]
        if absent or not wanted:
            raise NotFoundError(
                f"nobody is signed in on network {', '.join(absent)}" if absent else "nobody is signed in",
                why=f"accounts are kept for {', '.join(kept) or 'no network'}",
                fix="tfgrid-compose whoami shows accounts, and those that other tools keep",
                code="account-not-kept",
            )
        left = stranded(store, dict.fromkeys(wanted, ""), wanted, "without it")
        question = f"Forget the mnemonic of network {', '.join(wanted)} here?{left}"
        what = f"signing out of network {', '.join(wanted)}"
        confirm(yes, question, default=False, what=what, fix="tfgrid-compose signout --yes")
        if yes:
            tell(left)
        for name in wanted:
            account.forget(store, name)
            store.append_audit(action="signout", deployment="", name=name, detail="", outcome="succeeded")
    click.echo(f"Signed out of network {', '.join(wanted)}.")


signin.add_command(signin_git)
signout.add_command(signout_git)
