"""`whitelist`, `blacklist`, `preferences` and `config`: one configuration file with a schema."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from tfgrid_compose.cli.common import confirm
from tfgrid_compose.errors import UsageError
from tfgrid_compose.state import settings
from tfgrid_compose.state.settings import Settings

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_USUAL = {"max_cpu_usage": 80.0, "max_disk_usage": 60.0, "min_uptime_days": 3.0}


def _words(values: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(word.strip() for value in values for word in value.split(",") if word.strip()))


def _save(before: Settings, **nodes: Any) -> None:
    settings.save(before.model_copy(update={"nodes": before.nodes.model_copy(update=nodes)}))


def _show_lists(kind: str, as_json: bool) -> None:
    found = settings.load().nodes
    facts = {what: getattr(found, f"{kind}_{what}") for what in ("nodes", "farms")}
    if as_json:
        click.echo(json.dumps(facts))
        return
    for what, items in facts.items():
        click.echo(f"{what}  {', '.join(str(item) for item in items) or 'none'}")


def _change(kind: str, what: str, values: tuple[str, ...], status: bool, clear: bool, remove: bool) -> None:
    before = settings.load()
    key = f"{kind}_{what}"
    known: list[Any] = list(getattr(before.nodes, key))
    if status or (not values and not clear):
        click.echo(", ".join(str(item) for item in known) or "none")
        return
    given: list[Any] = _words(values)
    if what == "nodes":
        bad = next((word for word in given if not word.isdecimal()), None)
        if bad is not None:
            raise UsageError(f"`{bad}` is no id of a node", why="ids are numbers", fix=f"tfgrid-compose {kind} nodes 42 617")
        given = [int(word) for word in given]
    kept = [] if clear else known
    wanted = [item for item in kept if item not in given] if remove else list(dict.fromkeys([*kept, *given]))
    _save(before, **{key: wanted})
    click.echo(", ".join(str(item) for item in wanted) or "none")


def _list_command(kind: str, about: str) -> click.Group:
    """The group `whitelist` or `blacklist`."""

    @click.group(kind, invoke_without_command=True, help=about, epilog=f"Example:  tfgrid-compose {kind} farms 'Fast Farm'")
    @click.option("-s", "--status", is_flag=True, help="Show both lists.")
    @click.option("-c", "--clear", is_flag=True, help="Empty both lists.")
    @_JSON
    @click.pass_context
    def group(ctx: click.Context, status: bool, clear: bool, as_json: bool) -> None:
        if clear:
            _save(settings.load(), **{f"{kind}_nodes": [], f"{kind}_farms": []})
        if ctx.invoked_subcommand is None:
            _show_lists(kind, as_json)

    for what, metavar in (("nodes", "[ID…]"), ("farms", "[NAME…]")):
        _add_list(group, kind, what, metavar)
    group.add_command(click.Command("status", callback=lambda: _show_lists(kind, False), hidden=True))
    return group


def _add_list(group: click.Group, kind: str, what: str, metavar: str) -> None:
    example = "42 617" if what == "nodes" else "'Fast Farm' 112"
    about = "Add ids of nodes, or show those that are listed." if what == "nodes" else "Add farms by name or id, or show them."

    @group.command(what, help=about, epilog=f"Example:  tfgrid-compose {kind} {what} {example}")
    @click.argument("values", nargs=-1, metavar=metavar)
    @click.option("-s", "--status", is_flag=True, help="Show the list.")
    @click.option("-c", "--clear", is_flag=True, help="Empty the list first.")
    @click.option("--remove", is_flag=True, help="Take these out instead.")
    def command(values: tuple[str, ...], status: bool, clear: bool, remove: bool) -> None:
        _change(kind, what, values, status, clear, remove)


whitelist = _list_command(
    "whitelist", "Nodes and farms to choose from: a node must be on one of the two lists, when one of them has an entry."
)
blacklist = _list_command("blacklist", "Nodes and farms that are never chosen; this wins over everything else.")


@click.command(epilog="Example:  tfgrid-compose preferences --set max_cpu_usage=80")
@click.option("-s", "--status", is_flag=True, help="Show them; the same as no option.")
@click.option(
    "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Change max_cpu_usage, max_disk_usage or min_uptime_days."
)
@click.option("--usual", is_flag=True, help="Take 80 % of cores, 60 % of disk and 3 days of uptime, as the bash tool does.")
@click.option("-c", "--clear", is_flag=True, help="Forget lists and limits, after a question.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@_JSON
def preferences(status: bool, pairs: tuple[str, ...], usual: bool, clear: bool, yes: bool, as_json: bool) -> None:
    """Show or change which nodes are preferred: lists of nodes and farms, limits of load and uptime."""
    if clear:
        confirm(yes, "Forget all lists and limits?", default=False)
        before = settings.load()
        settings.save(before.model_copy(update={"nodes": settings.NodePreferences()}))
    if usual:
        _save(settings.load(), **_USUAL)
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key not in _USUAL:
            raise UsageError(
                f"there is no preference `{key}`", why=f"there are {', '.join(_USUAL)}", fix="--set max_cpu_usage=80"
            )
        _set(f"nodes.{key}", value)
    found = settings.load().nodes.model_dump()
    if as_json:
        click.echo(json.dumps(found))
        return
    for key, value in found.items():
        shown = ", ".join(str(item) for item in value) if isinstance(value, list) else value
        click.echo(f"{key:<16} {'not set' if shown in ('', None) else shown}")


@click.group(epilog="Example:  tfgrid-compose config set balance_days 7")
def config() -> None:
    """Show and change the configuration: one YAML file with a schema."""


@config.command(epilog="Example:  tfgrid-compose config show --json")
@_JSON
def show(as_json: bool) -> None:
    """Show every key with its value; those that are not set with what holds then."""
    found = settings.load()
    if as_json:
        click.echo(json.dumps(found.model_dump()))
        return
    click.echo(click.style(f"# {settings.path()}", dim=True))
    for key, (value, about) in _flat(found).items():
        shown = "not set" if value in (None, "", [], {}) else json.dumps(value) if isinstance(value, (list, dict)) else value
        click.echo(f"{key:<24} {shown!s:<28} {click.style(about, dim=True)}")


def _flat(section: Any, before: str = "") -> dict[str, tuple[Any, str]]:
    found: dict[str, tuple[Any, str]] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, settings.Section):
            found |= _flat(value, f"{before}{name}.")
        else:
            plain = {key: item.model_dump(exclude_defaults=True) for key, item in value.items()} if name == "networks" else value
            found[f"{before}{name}"] = (plain, field.description or "")
    return found


@config.command(epilog="Example:  tfgrid-compose config get nodes.max_cpu_usage")
@click.argument("key")
def get(key: str) -> None:
    """Print one value.

    Exit codes: 0 printed, 2 there is no such key.
    """
    value: Any = settings.load().model_dump()
    for part in settings.full_key(key).split("."):
        if not isinstance(value, dict) or part not in value:
            raise _no_key(key)
        value = value[part]
    click.echo(value if isinstance(value, str) else json.dumps(value))


def _no_key(key: str) -> UsageError:
    from tfgrid_compose.manifest.load import nearest

    known = list(_flat(Settings()))
    return UsageError(
        f"there is no key `{key}`", why="every key that there is stands in the configuration's schema",
        fix=nearest(key, known) or "tfgrid-compose config show", code="config-key",
    )  # fmt: skip


@config.command("set", epilog="Example:  tfgrid-compose config set networks.main.gridproxy https://gridproxy.be.grid.tf")
@click.argument("key")
@click.argument("value")
def set_(key: str, value: str) -> None:
    """Set one value; lists are written with commas."""
    _set(key, value)
    click.echo(f"{key} = {value}")


@config.command(epilog="Example:  tfgrid-compose config unset nodes.max_cpu_usage")
@click.argument("key")
def unset(key: str) -> None:
    """Forget one value: what is usual holds again."""
    if settings.full_key(key).split(".")[0] not in Settings.model_fields:
        raise _no_key(key)
    settings.save(settings.without(settings.load(), settings.full_key(key)))
    click.echo(f"{key} is not set any more.")


def _set(key: str, value: str) -> None:
    full = settings.full_key(key)
    if full.split(".")[0] not in Settings.model_fields:
        raise _no_key(key)
    try:
        settings.save(settings.changed(settings.load(), full, value))
    except ValueError as error:
        raise UsageError(
            f"{key} can't be `{value}`", why=str(error), fix="tfgrid-compose config show explains every key", code="config-value"
        ) from None


@config.command(epilog="Example:  $EDITOR $(tfgrid-compose config path)")
def path() -> None:
    """Print where the file stands."""
    click.echo(str(settings.path()))


@config.command(epilog="Example:  tfgrid-compose config init")
def init() -> None:
    """Write the file with everything that holds now, so that it can be edited; the bash tool's files are taken in."""
    existed = settings.path().exists()
    written = settings.save(settings.load())
    click.echo(f"{written} {'was brought up to date' if existed else 'was written'}.", err=True)


@config.command(epilog="Example:  tfgrid-compose config schema > config.schema.json")
def schema() -> None:
    """Print the file's JSON Schema for editors."""
    json.dump(Settings.model_json_schema(), sys.stdout, indent=2)
    click.echo()
