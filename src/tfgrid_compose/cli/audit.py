"""`audit`: who changed what, and whether the log is whole."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tfgrid_compose.state.audit import Entry
    from tfgrid_compose.state.store import Store

_BROKEN = 10
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class AuditGroup(click.Group):
    """A group whose first word is a subcommand, or else names a deployment."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Before a subcommand stands no APP; after an APP stand options, not a subcommand."""
        if args and args[0] in self.commands:
            return super().parse_args(ctx, ["", *args])
        ctx.allow_interspersed_args = True
        return super().parse_args(ctx, args)


@click.group(
    cls=AuditGroup, invoke_without_command=True, subcommand_metavar="| COMMAND",
    epilog="Example:  tfgrid-compose audit my-app --limit 50",
)  # fmt: skip
@click.argument("app", required=False)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="How many entries.")
@_JSON
@click.pass_context
def audit(ctx: click.Context, app: str | None, limit: int, as_json: bool) -> None:
    """Show who changed what, newest first: of the deployment APP, or of all.

    Each entry says who, when, which command, on which deployment, digests of the deployment before and after, and the
    outcome. Entries of deployments that are gone stay. A change of the log shows: `audit verify`.
    """
    if ctx.invoked_subcommand:
        return
    from tfgrid_compose.state.store import Store

    with Store() as store:
        found = store.audit_entries(_meant(store, app) if app else None, limit)
    if as_json:
        click.echo(json.dumps([{"seq": item.number, "hash": item.hash, **item.facts} for item in found]))
    elif not found:
        click.echo("Nothing was changed yet.", err=True)
    else:
        from tfgrid_compose.cli.render import table

        headers = ["NO", "WHEN (UTC)", "WHO", "ACTION", "APP", "NETWORK", "BEFORE", "AFTER", "OUTCOME"]
        click.echo(table(headers, [_row(item) for item in found]))


def _meant(store: Store, app: str) -> str:
    """The id that APP means; the name or id of a deployment that is gone does too. Raises `NotFoundError`."""
    from tfgrid_compose.deploy.lookup import find
    from tfgrid_compose.errors import NotFoundError

    try:
        return find(store, app).id
    except NotFoundError:
        for item in store.audit_entries():
            id, name = str(item.facts.get("deployment") or ""), item.facts.get("name")
            if app == name or (len(app) >= 2 and id.startswith(app)):
                return app if app == name else id
        raise


def _row(item: Entry) -> list[str]:
    facts = item.facts

    def text(key: str) -> str:
        return str(facts.get(key) or "")

    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(item.at))
    outcome = text("outcome") or text("phase")
    action = text("action") + (f" (run {facts['run']})" if facts.get("run") else "")
    return [str(item.number), when, text("who"), action, text("name"), text("network"), text("before")[:8], text("after")[:8],
            outcome]  # fmt: skip


@audit.command(epilog="Example:  tfgrid-compose audit verify")
@_JSON
def verify(as_json: bool) -> None:
    """Follow the chain of the audit log, and find the first entry that was changed, removed, inserted or cut off.

    Exit codes: 0 it is whole, 10 it is broken.
    """
    from tfgrid_compose.state.store import Store

    with Store() as store:
        broken, (number, head) = store.verify_audit(), store.audit_head()
    if as_json:
        facts: dict[str, Any] = {"whole": broken is None, "entries": number, "head": head}
        click.echo(json.dumps({**facts, "broken": vars(broken) if broken else None}))
    elif broken:
        click.echo(f"The audit log is broken at entry {broken.number} ({broken.kind}): {broken.text}.")
        click.echo("  Next:    tfgrid-compose audit export keeps it as it is; compare it with an older export or backup")
    else:
        click.echo(f"The audit log is whole: {number} entries, the last one has hash {head}.")
    sys.exit(_BROKEN if broken else 0)


@audit.command(epilog="Example:  tfgrid-compose audit export --json > audit.jsonl")
@click.option("--json", "as_json", is_flag=True, help="JSON lines; there is no other format.")
def export(as_json: bool) -> None:
    """Print the whole log, oldest first, one JSON object a line: number, text of the entry, both hashes.

    Anybody can verify it without tfgrid-compose: docs/audit.md has the rule.
    """
    from tfgrid_compose.state.store import Store

    with Store() as store:
        for item in store.audit_chain():
            click.echo(json.dumps(item.to_dict()))
