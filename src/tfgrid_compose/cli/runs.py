"""`runs`: what was run on deployments, and stopping a run."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import click

from tfgrid_compose.cli.common import age
from tfgrid_compose.errors import NotFoundError
from tfgrid_compose.state.store import Store


class _RunsGroup(click.Group):
    """`runs` and `runs my-app` list; `runs cancel` and `runs show` are commands."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """What is no command is the app of `runs list`."""
        if args[0] not in self.commands:
            return "list", self.commands["list"], args
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without a command, list."""
        # Completion asks without words what could come: the commands.
        bare = not args and not ctx.resilient_parsing
        if bare or args[:1] in (["--json"], ["-n"], ["--limit"]) or (args and args[0].startswith("--limit=")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunsGroup, epilog="Example:  tfgrid-compose runs my-app      tfgrid-compose runs cancel my-app")
def runs() -> None:
    """List runs, or stop one: `runs [APP]`, `runs show RUN`, `runs cancel [APP|RUN]`."""


@runs.command("list", epilog="Example:  tfgrid-compose runs list my-app --limit 5")
@click.argument("app", required=False)
@click.option("-n", "--limit", type=click.IntRange(1, 1_000_000), default=20, help="How many; 20 by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_runs(app: str | None, limit: int, as_json: bool) -> None:
    """List the newest runs, of one deployment or of all."""
    from tfgrid_compose.cli.render import table
    from tfgrid_compose.deploy.operate import run_outcome

    with Store() as store:
        found = store.runs(_deployment_id(store, app) if app else None, limit)
    facts = [{**item, "outcome": run_outcome(item)} for item in found]
    if as_json:
        click.echo(json.dumps(facts))
        return
    if not facts:
        click.echo("There are no runs yet.  tfgrid-compose up ./my-app", err=True)
        return
    now = time.time()
    cells = [[str(item["id"]), item["name"], item["kind"], item["outcome"], item["who"], _took(item, now),
              age(now - item["started"])] for item in facts]  # fmt: skip
    click.echo(table(["RUN", "DEPLOYMENT", "KIND", "OUTCOME", "BY", "TOOK", "AGE"], cells))


def _took(item: dict[str, Any], now: float) -> str:
    from tfgrid_compose.cli.render import seconds_text

    return seconds_text((item["ended"] or now) - item["started"])


def _deployment_id(store: Store, app: str) -> str:
    """The id of a deployment; of one that is gone by its name, from the journal."""
    from tfgrid_compose.deploy.lookup import find

    try:
        return find(store, app, Path.cwd()).id
    except NotFoundError:
        gone = next((item for item in store.runs(None, 10_000) if item["name"] == app), None)
        if gone is None:
            raise
        return str(gone["deployment"])


@runs.command("show", epilog="Example:  tfgrid-compose runs show 12")
@click.argument("number", type=int, metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(number: int, as_json: bool) -> None:
    """Show one run with its steps: outcome, attempts, time."""
    from tfgrid_compose.cli.render import seconds_text, table
    from tfgrid_compose.deploy.operate import run_outcome

    with Store() as store:
        found = _run(store, number)
        steps = store.steps(number)
    facts = {**found, "outcome": run_outcome(found), "steps": steps}
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"Run {number}: {found['kind']} of {found['name']} on {found['network']}, {facts['outcome']}, by {found['who']}")
    if found["error"]:
        click.echo(f"  {found['error'].get('what', '')}: {found['error'].get('why', '')}")
    took = [seconds_text(step["ended"] - step["started"]) if step["ended"] else "" for step in steps]
    cells = [[step["name"], step["outcome"] or "open", str(step["attempts"]), seconds, step["note"] or ""]
             for step, seconds in zip(steps, took, strict=True)]  # fmt: skip
    click.echo(table(["STEP", "OUTCOME", "ATTEMPTS", "TOOK", "NOTE"], cells))


def _run(store: Store, number: int) -> dict[str, Any]:
    found = store.run(number)
    if found is None:
        raise NotFoundError(f"there is no run {number}", why="the journal has no such number", fix="tfgrid-compose runs",
                            code="run-not-found")  # fmt: skip
    return found


@runs.command("cancel", epilog="Example:  tfgrid-compose runs cancel my-app")
@click.argument("target", required=False, metavar="[APP|RUN]")
@click.option("--patience", type=click.FloatRange(1), default=120.0, metavar="SECONDS",
              help="How long the run may take to end its step; then it is made to stop at once.")  # fmt: skip
def cancel(target: str | None, patience: float) -> None:
    """Stop the run that is going on, as Ctrl-C in its terminal would; `up --resume` goes on from there.

    Exit codes: 0 stopped, 5 nothing runs, 6 it could not be stopped.
    """
    from tfgrid_compose.cli.elevate import ensure_root
    from tfgrid_compose.deploy.lookup import find
    from tfgrid_compose.deploy.turn import lease_name
    from tfgrid_compose.grids.registry import open_grid
    from tfgrid_compose.state import lease

    with Store() as store:
        if target is not None and re.fullmatch(r"[0-9]{1,18}", target) and store.run(int(target)):
            found = _run(store, int(target))
            name, network = found["name"], found["network"]
        else:
            deployment = find(store, target, Path.cwd())
            name, network = deployment.name, deployment.network
    if open_grid(network).needs_root:
        ensure_root("stopping a run on the local grid")
    stopped = lease.stop_holder(lease_name(name, network), patience=patience, waiting=lambda text: click.echo(text, err=True))
    if stopped is None:
        raise NotFoundError(f"nothing runs on {name}", why="its lease is free", fix="tfgrid-compose runs shows what ran",
                            code="run-not-found")  # fmt: skip
    with Store() as store:
        store.append_audit(action="runs cancel", name=name, network=network, pid=stopped.get("pid"), outcome="succeeded")
    click.echo(
        f"The run on {name} (pid {stopped.get('pid')}) has stopped. `tfgrid-compose up --resume {name}` goes on from there."
    )
