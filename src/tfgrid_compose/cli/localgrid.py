"""`localgrid`: the grid on this computer."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tfgrid_compose.cli import stop
from tfgrid_compose.cli.common import confirm
from tfgrid_compose.cli.elevate import ensure_root
from tfgrid_compose.cli.render import table


def _say(text: str) -> None:
    click.echo(text, err=True)


@click.group(epilog="Example:  tfgrid-compose localgrid status")
def localgrid() -> None:
    """The grid on this computer: real machines, networks and contracts, without an account.

    It starts by itself when a deployment first needs it, and has no daemon.
    """


@localgrid.command(epilog="Example:  tfgrid-compose localgrid up")
def up() -> None:
    """Start the local grid, with every machine that has a contract."""
    ensure_root("starting the local grid")
    from tfgrid_compose.localgrid.engine import Engine

    with stop.answered(), Engine(progress=_say) as engine:
        engine.ensure()
    click.echo("The local grid is up.")


@localgrid.command(epilog="Example:  tfgrid-compose localgrid status --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Show nodes, what is free on them, contracts with their price, machines."""
    ensure_root("reading the local grid")
    from tfgrid_compose.localgrid.status import describe

    facts = describe()
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo(f"The local grid is {'up' if facts['up'] else 'down'}.")
    click.echo(table(["NODE", "FARM", "PLACE", "STATUS", "CORES", "FREE MEMORY", "FREE DISK", "PUBLIC IPV4"],
                     [[str(cell) for cell in node.values()] for node in facts["nodes"]]))  # fmt: skip
    if facts["contracts"]:
        click.echo()
        click.echo(table(["CONTRACT", "NODE", "TYPE", "NAME", "MACHINES", "USD/HOUR"],
                         [[str(cell) for cell in contract.values()] for contract in facts["contracts"]]))  # fmt: skip


@localgrid.command(epilog="Example:  tfgrid-compose localgrid down")
def down() -> None:
    """Power all machines off and leave nothing on the host; contracts and disks stay for the next `up`."""
    ensure_root("stopping the local grid")
    with stop.answered():
        _stop(reset=False)
    click.echo("The local grid is down; nothing of it is left on the host but its disks.")


@localgrid.command(epilog="Example:  tfgrid-compose localgrid reset --yes")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
def reset(yes: bool) -> None:
    """Take the grid down and forget every machine, disk and contract. The image stays cached."""
    ensure_root("resetting the local grid")
    question = "Destroy every machine and disk of the local grid?"
    confirm(yes, question, default=False, what="resetting the local grid", fix="tfgrid-compose localgrid reset --yes")
    with stop.answered():
        _stop(reset=True)
    click.echo("The local grid is gone.")


def _stop(*, reset: bool) -> None:
    """Take tunnels to the local grid down with it; after a reset its deployments are gone too."""
    from tfgrid_compose.deploy.down import remove_files
    from tfgrid_compose.drivers import wireguard
    from tfgrid_compose.errors import GridError
    from tfgrid_compose.localgrid.engine import Engine
    from tfgrid_compose.state import backups
    from tfgrid_compose.state.store import Store

    with Store() as store:
        mine = [deployment for deployment in store.deployments() if deployment.network == "local"]
        if reset and mine:
            backups.save(store.path, "localgrid-reset")
        for deployment in mine:
            wireguard.down(str(deployment.data.get("interface", "")))
            if reset:
                remove_files(deployment)
                store.forget(deployment.id)
                store.append_audit(
                    action="localgrid reset", deployment=deployment.id, name=deployment.name, network="local", outcome="succeeded"
                )
    engine = Engine(progress=_say)
    if reset:
        engine.reset()
    else:
        engine.down()
    left = engine.leftovers()
    engine.close()
    if left:
        raise GridError(
            f"something of the local grid is left: {left[0]}", why="it did not go away", details=left,
            fix="tfgrid-compose localgrid down tries again", code="leftovers",
        )  # fmt: skip


@localgrid.command(epilog="Example:  tfgrid-compose localgrid serve --port 8700")
@click.option("--port", type=click.IntRange(0, 65535), default=8700, show_default=True, help="Port; 0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others than loopback let others in.")
def serve(port: int, host: str) -> None:
    """Serve the grid's REST API, as gridproxy does it, for browsers and other programs. Ctrl-C ends it.

    It only reads: nodes, farms, contracts, bills, twins, public IPs. Exit code 4: the port is taken.
    """
    ensure_root("serving the local grid")
    from tfgrid_compose.localgrid.rest.server import run

    run(host, port, _say)


@localgrid.command("terraform-rc", epilog="Example:  export TF_CLI_CONFIG_FILE=$(tfgrid-compose localgrid terraform-rc --path)")
@click.option("--path", "only_path", is_flag=True, help="Print the path of the configuration instead of the text.")
def terraform_rc(only_path: bool) -> None:
    """Print the CLI configuration with which plain terraform or tofu works on the local grid.

    Use any words as mnemonic. `terraform init` is not needed, and works only for other providers.
    """
    from tfgrid_compose.localgrid.terraformrc import write_configuration

    path = write_configuration()
    click.echo(str(path) if only_path else Path(path).read_text(), nl=only_path)


@localgrid.command("provider", hidden=True)
def provider() -> None:
    """Run as the Terraform plugin; only Terraform calls this."""
    from tfgrid_compose.localgrid.terraformrc import serve_plugin

    serve_plugin()


@localgrid.command(hidden=True)
@click.option("--node-down", type=int, multiple=True, help="Nodes that don't answer.")
@click.option("--timeouts", type=int, default=0, help="The next creates and updates that time out.")
@click.option("--dropped", type=int, default=0, help="The next creates that happen, and are answered by an error.")
@click.option("--slow", type=float, default=0, help="Seconds that a create waits between contract and machines.")
@click.option("--times", type=int, default=1, help="How many creates are slow.")
@click.option("--no-capacity", type=int, default=0, help="The next creates whose node is full.")
@click.option("--refused", type=int, default=0, help="The next contracts that the chain refuses.")
@click.option("--apt-lock", type=float, default=0, help="Seconds that a new machine holds the package locks after its boot.")
@click.option("--drop-ssh", type=int, default=0, help="How often a new machine ends its ssh sessions.")
@click.option("--machines", type=int, default=1, help="How many new machines have --apt-lock and --drop-ssh.")
@click.option("--for", "only", default="*", help="Only for workloads or apps of this name; * and ? are wildcards.")
@click.option("--clear", is_flag=True, help="Forget all ordered faults.")
def fault(node_down: tuple[int, ...], only: str, clear: bool, **counts: float) -> None:
    """Order faults, for tests."""
    ensure_root("changing the local grid")
    from tfgrid_compose.localgrid import faults
    from tfgrid_compose.localgrid.engine import Engine

    with Engine() as engine:
        if clear:
            faults.clear(engine.ledger)
        if node_down:
            faults.set_nodes_down(engine.ledger, list(node_down))
        for order in faults.orders(counts, only):
            faults.order(engine.ledger, order)
