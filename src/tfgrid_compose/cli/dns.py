"""`dns`: where a deployment's domain should lead, where it leads, and putting it right."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfgrid_compose.cli.common import confirm
from tfgrid_compose.errors import NotFoundError, UsageError
from tfgrid_compose.state.store import Deployment, Store

if TYPE_CHECKING:
    from tfgrid_compose.deploy.domain import Wanted
    from tfgrid_compose.deploy.records import Keeper, View
    from tfgrid_compose.drivers.dns.names import Record


class _DnsGroup(click.Group):
    """`dns` and `dns my-app` show; `dns apply` and `dns forget` are commands."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """What is no command is the app of `dns show`."""
        if args[0] not in self.commands:
            return "show", self.commands["show"], args
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without a command, show."""
        # Completion asks without words what could come: the commands.
        if (not args and not ctx.resilient_parsing) or args[:1] == ["--json"]:
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_DnsGroup, epilog="Example:  tfgrid-compose dns my-app      tfgrid-compose dns apply my-app")
def dns() -> None:
    """Show where a deployment's domain leads, or put it right: `dns [APP]`, `dns apply [APP]`, `dns forget [APP]`."""


@dns.command("show", epilog="Example:  tfgrid-compose dns show my-app --json")
@click.argument("app", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(app: str | None, as_json: bool) -> None:
    """Show the record that leads the domain to the app, what we made, and what the zone's own servers answer.

    Exit codes: 0 the domain leads to the app, 1 it does not, or nobody could be asked, 5 no such deployment or domain.
    """
    from tfgrid_compose.deploy.domain import ours

    with Store() as store:
        deployment = _find(store, app)
    found, made = _view(deployment), ours(deployment)
    if as_json:
        click.echo(json.dumps({"deployment": deployment.name, **found.to_dict(), "made": [item.to_dict() for item in made]}))
    else:
        click.echo(_text(deployment, found))
    sys.exit(0 if found.right else 1)


@dns.command("apply", epilog="Example:  tfgrid-compose dns apply my-app --replace")
@click.argument("app", required=False)
@click.option("--replace", is_flag=True, help="Also replace records that this deployment did not make, after a question.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def apply(app: str | None, replace: bool, yes: bool, as_json: bool) -> None:
    """Make or correct the domain's record at its provider, as `up` does, and ask the zone's servers.

    With --replace, records of the same name that this deployment did not make become its own: they are corrected now, and
    `down` deletes them.

    Exit codes: 0 made, or as it should be; 1 the zone's servers don't have it yet; 5 no such deployment or domain;
    8 the provider refused.
    """
    from tfgrid_compose.deploy.records import shown

    with _changing(app, "dns apply") as (deployment, keeper):
        domain, target = _domain(deployment), _target(deployment)
        _publishable(deployment, domain, target)
        if replace:
            foreign = keeper.foreign(domain, target)
            if foreign:
                confirm(yes, f"Replace {shown(foreign)}?", default=False)
                keeper.adopt(domain, foreign)
        changed = keeper.apply(domain, target) if target else 0
    if not target:
        click.echo(f"{deployment.name} has no machine yet; `tfgrid-compose up` makes the record.", err=True)
    found = _view(keeper.deployment)
    if as_json:
        click.echo(json.dumps({"deployment": deployment.name, "changed": changed, **found.to_dict()}))
    else:
        click.echo(_text(keeper.deployment, found))
    sys.exit(1 if found.right is False else 0)


@dns.command("forget", epilog="Example:  tfgrid-compose dns forget my-app")
@click.argument("app", required=False)
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
def forget(app: str | None, yes: bool) -> None:
    """Forget the records that this deployment made: they stay where they are, and `down` does not delete them any more."""
    from tfgrid_compose.deploy.domain import ours
    from tfgrid_compose.deploy.records import shown

    with _changing(app, "dns forget") as (deployment, keeper):
        made = [item.record for item in ours(deployment)]
        if made:
            confirm(yes, f"Forget {shown(made)}? Nobody will delete it then.", default=False)
        keeper.forget(records=True)
    if made:
        click.echo(f"{shown(made)} is no longer {deployment.name}'s.")
    else:
        click.echo(f"{deployment.name} made no record that could be forgotten.", err=True)


def _find(store: Store, app: str | None) -> Deployment:
    from tfgrid_compose.deploy.lookup import find

    return find(store, app, Path.cwd())


@contextmanager
def _changing(app: str | None, action: str) -> Iterator[tuple[Deployment, Keeper]]:
    """A deployment under its lease, and who changes its records."""
    from tfgrid_compose.cli.common import shown_events
    from tfgrid_compose.deploy.domain import looker
    from tfgrid_compose.deploy.records import Keeper
    from tfgrid_compose.deploy.turn import turn

    with shown_events(False) as stream, Store() as store:
        found = _find(store, app)
        with turn(store, stream, found.name, found.network):
            deployment = store.deployment(found.id)
            look = looker(store, deployment, _environment(deployment))
            keeper = Keeper(store, deployment, look, stream.redactor, lambda text: click.echo(text, err=True))
            yield deployment, keeper
            store.append_audit(
                action=action, deployment=deployment.id, name=deployment.name, network=deployment.network, outcome="succeeded"
            )


def _environment(deployment: Deployment) -> dict[str, str]:
    """The app's environment file, where credentials may stand."""
    from tfgrid_compose.errors import ManifestError
    from tfgrid_compose.manifest import envfile
    from tfgrid_compose.manifest.load import load_app

    try:
        file = envfile.app_file(load_app(Path(deployment.app_dir), file=deployment.data.get("manifest_name")))
        return envfile.read_file(file) if file else {}
    except ManifestError:
        return {}  # The app folder is gone or broken; the deployment remembers what it needs.


def _domain(deployment: Deployment) -> Wanted:
    from tfgrid_compose.deploy.domain import remembered

    found = remembered(deployment)
    if found is None:
        raise NotFoundError(
            f"{deployment.name} has no domain", why="its manifest named none when it was deployed last",
            fix="add `domain: blog.example.com` to the manifest, then run `tfgrid-compose up`", code="domain-not-found",
        )  # fmt: skip
    return found


def _target(deployment: Deployment) -> tuple[Record, ...]:
    from tfgrid_compose.deploy.domain import published
    from tfgrid_compose.deploy.operate import hook_machine

    return published(_domain(deployment), hook_machine(deployment)) if deployment.machines else ()


def _publishable(deployment: Deployment, domain: Wanted, target: tuple[Record, ...]) -> None:
    """Raise `UsageError` where a record is made by hand, or would lead nobody anywhere."""
    from tfgrid_compose.drivers.dns import names

    if domain.is_manual:
        raise UsageError(
            f"the record of {domain.name} is made by hand", why="no provider is named that could be asked",
            fix=f"`tfgrid-compose dns {deployment.name}` shows it; or set DNS_PROVIDER and run `tfgrid-compose up`",
            code="dns-manual",
        )  # fmt: skip
    hidden = [item.content for item in target if not names.is_global(item)]
    if hidden:
        raise UsageError(
            f"{domain.name} can't lead to {', '.join(dict.fromkeys(hidden))}", why="the address is not the internet's",
            fix="deploy to a network whose machines get public addresses, such as --network main", code="dns-address-private",
        )  # fmt: skip


def _view(deployment: Deployment) -> View:
    from tfgrid_compose.deploy.records import look

    return look(_domain(deployment), _target(deployment))


def _text(deployment: Deployment, found: View) -> str:
    from tfgrid_compose.deploy.domain import ours
    from tfgrid_compose.drivers.dns.providers import PROVIDERS

    domain = found.domain
    title = "made by hand" if domain.is_manual else f"at {PROVIDERS[domain.provider].title}"
    lines = [f"{click.style(domain.name, bold=True)}  zone {domain.zone}, {title}"]
    mine = {item.record for item in ours(deployment)}
    for record in found.records:
        whose = "we made it" if record in mine else "make it by hand" if domain.is_manual else "not made by us"
        lines.append(f"  Record    {record.line(domain.ttl)}  ({whose})")
    if not found.records:
        lines.append("  Record    none yet: there is no machine with a public address")
    lines += [f"  Server    {_mark(item)} {item['answer']}" for item in found.servers]
    if found.why:
        lines.append(f"  Server    {found.why}")
    unknown = "nobody could be asked" if found.records else "it leads nowhere yet"
    verdict = {True: "it leads to the app", False: "it does not lead to the app", None: unknown}[found.right]
    lines.append(f"  Verdict   {click.style(verdict, fg='green' if found.right else 'yellow')}")
    if found.right is False and not domain.is_manual:
        lines.append(f"Next:  tfgrid-compose dns apply {deployment.name}")
    return "\n".join(lines)


def _mark(server: dict[str, Any]) -> str:
    return {True: click.style("✓", fg="green"), False: click.style("✗", fg="red"), None: "?"}[server["right"]]
