"""`network`: which networks machines get, and which address every command uses first."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from tfgrid_compose.cli.common import confirm
from tfgrid_compose.errors import UsageError
from tfgrid_compose.state import settings
from tfgrid_compose.state.store import Store

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_CLEAR = click.option("--clear", is_flag=True, help="Forget it: what is usual holds again.")

# kind: (what it is, what it costs)
_KINDS = {
    "wireguard": ("a private network, reached through a tunnel that `up` makes", "free"),
    "mycelium": ("an IPv6 address in the mycelium overlay; this computer needs a mycelium daemon", "free"),
    "ipv4": ("a public IPv4 of the node's farm, for as long as the machine stands", "paid by the hour"),
    "ipv6": ("a public IPv6; this computer needs IPv6", "free"),
}


@click.group(epilog="Example:  tfgrid-compose network prefer mycelium,wireguard")
def network() -> None:
    """Choose the networks of machines, and whose address is used first.

    What a manifest says holds for its app; what is set here holds where the manifest says nothing. Without either, machines
    get WireGuard and mycelium: nothing that is paid.
    """


def _kinds(words: str) -> list[str]:
    from tfgrid_compose.deploy.networks import check

    try:
        return check(words)
    except ValueError as error:
        raise UsageError(str(error), why="networks are written as a comma list", fix="for example wireguard,mycelium") from None


def _set(key: str, networks: str | None, clear: bool) -> None:
    before = settings.load()
    if networks is None and not clear:
        found = getattr(before.connect, key)
        click.echo(",".join(found) if found else "wireguard,mycelium" if key == "provision" else "wireguard,mycelium,ipv4,ipv6")
        return
    wanted = None if clear else _kinds(networks or "")
    connect = before.connect.model_copy(update={key: wanted})
    path = settings.save(before.model_copy(update={"connect": connect}))
    shown = ", ".join(wanted) if wanted else "what is usual"
    click.echo(f"{'Machines get' if key == 'provision' else 'Addresses are tried in the order'} {shown} ({path}).")
    if wanted and key == "provision" and "ipv4" in wanted:
        click.echo("A public IPv4 is paid for as long as the machine stands; `up` shows the price.", err=True)


@network.command(epilog="Example:  tfgrid-compose network provision wireguard,mycelium")
@click.argument("networks", required=False)
@_CLEAR
def provision(networks: str | None, clear: bool) -> None:
    """Show or set the networks that machines get where the manifest says nothing."""
    _set("provision", networks, clear)


@network.command(epilog="Example:  tfgrid-compose network prefer mycelium --app my-app")
@click.argument("networks", required=False)
@click.option("--app", metavar="APP", help="Only for this deployment, whatever its manifest says.")
@_CLEAR
def prefer(networks: str | None, app: str | None, clear: bool) -> None:
    """Show or set whose address every step and command uses first; the next one is used when it doesn't answer.

    Exit codes: 0 done, 5 no such deployment, 6 another run holds it.
    """
    if app is None:
        _set("prefer", networks, clear)
        return
    from tfgrid_compose.deploy import connect
    from tfgrid_compose.deploy.lookup import find
    from tfgrid_compose.observe.events import Stream

    with Store() as store:
        found = find(store, app)
        if networks is not None or clear:
            found = connect.prefer(store, Stream(), found, [] if clear else _kinds(networks or ""))
    click.echo(",".join(found.data.get("prefer", [])))


@network.command(epilog="Example:  tfgrid-compose network show my-app")
@click.argument("app", required=False)
@_JSON
def show(app: str | None, as_json: bool) -> None:
    """Show what is set, or the networks and addresses of one deployment."""
    if app is None:
        facts: dict[str, Any] = settings.load().connect.model_dump()
        if as_json:
            click.echo(json.dumps(facts))
            return
        for key, value in facts.items():
            click.echo(f"{key:<10} {', '.join(value) if value else 'not set; the manifest or what is usual decides'}")
        return
    from tfgrid_compose.deploy import operate
    from tfgrid_compose.deploy.lookup import find

    with Store() as store:
        deployment = find(store, app)
    data = deployment.data
    facts = {"name": deployment.name, "prefer": data.get("prefer", []), "chosen": bool(data.get("prefer_chosen")),
             "range": data.get("ip_range", ""), "interface": data.get("interface", ""),
             "addresses": operate.addresses(deployment)}  # fmt: skip
    if as_json:
        click.echo(json.dumps(facts))
        return
    by = "chosen with `network prefer`" if facts["chosen"] else "as the manifest and the configuration have it"
    click.echo(f"order      {', '.join(facts['prefer'])} ({by})")
    click.echo(f"range      {facts['range']}, interface {facts['interface']}")
    for item in facts["addresses"]:
        click.echo(f"{item['network']:<10} {item['address']}  (machine {item['machine']})")


# The bash tool's name for it.
network.add_command(click.Command("get", callback=show.callback, params=show.params, help=show.help, hidden=True))


@network.command("list", epilog="Example:  tfgrid-compose network list")
@_JSON
def list_(as_json: bool) -> None:
    """List the kinds of networks, with what they cost."""
    if as_json:
        click.echo(json.dumps([{"network": kind, "is": text, "price": price} for kind, (text, price) in _KINDS.items()]))
        return
    from tfgrid_compose.cli.render import table

    click.echo(table(["NETWORK", "WHAT", "PRICE"], [[kind, text, price] for kind, (text, price) in _KINDS.items()]))


@network.command(epilog="Example:  tfgrid-compose network test my-app")
@click.argument("app", required=False)
@_JSON
def test(app: str | None, as_json: bool) -> None:
    """Try every address of a deployment's machines, in the order of preference.

    Exit codes: 0 every machine answers on one of its addresses, 5 no such deployment, 8 one does not answer at all.
    """
    from tfgrid_compose.deploy import connect
    from tfgrid_compose.deploy.lookup import find
    from tfgrid_compose.deploy.operate import hook_machine

    with Store() as store:
        deployment = find(store, app)
        hook_machine(deployment)
        answers = connect.test(store, deployment)
    if as_json:
        click.echo(json.dumps([item.to_dict() for item in answers]))
    else:
        from tfgrid_compose.cli.render import table

        rows = [[item.machine, item.network, item.address, f"{item.milliseconds} ms" if item.milliseconds else item.why,
                 "used" if item.used else ""] for item in answers]  # fmt: skip
        click.echo(table(["MACHINE", "NETWORK", "ADDRESS", "ANSWER", ""], rows))
    up = {item.machine for item in answers if item.milliseconds}
    sys.exit(0 if all(machine["name"] in up for machine in deployment.machines) else 8)


@network.command(epilog="Example:  tfgrid-compose network trust my-app")
@click.argument("app", required=False)
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
def trust(app: str | None, yes: bool) -> None:
    """Forget the host keys of a deployment's machines: the next connection remembers those that it is shown.

    For machines whose keys were made anew on purpose. Data and machines stay as they are.
    """
    from tfgrid_compose.deploy.context import target_of
    from tfgrid_compose.deploy.lookup import find
    from tfgrid_compose.deploy.operate import hook_machine
    from tfgrid_compose.drivers import hostkeys

    with Store() as store:
        deployment = find(store, app)
        hook_machine(deployment)
        question = f"Trust whatever answers on the addresses of {deployment.name} next?"
        confirm(
            yes,
            question,
            default=False,
            what="trusting other host keys",
            fix=f"tfgrid-compose network trust {deployment.name} --yes",
        )
        found = [hostkeys.forget(target_of(store, deployment, machine)) for machine in deployment.machines]
    done = "are forgotten; the next connection remembers new ones" if any(found) else "were not known"
    click.echo(f"The host keys of {deployment.name} {done}.")
