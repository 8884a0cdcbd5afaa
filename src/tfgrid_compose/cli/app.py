"""`init`, `validate`, `schema`, `patterns`, `completion`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from tfgrid_compose.errors import ManifestError, PatternError


@click.command(epilog="Example:  tfgrid-compose init my-app && tfgrid-compose up my-app")
@click.argument("folder", type=click.Path(path_type=Path), default="my-app", metavar="[FOLDER]")
@click.option("--name", metavar="NAME", help="Name of the app; the folder's name by default.")
def init(folder: Path, name: str | None) -> None:
    """Write a new app folder that deploys: manifest, hooks and a page. Files that exist are never overwritten."""
    from tfgrid_compose.manifest.scaffold import write_app

    for path in write_app(folder, name):
        click.echo(f"  wrote {path}", err=True)
    click.echo(f"Next:  tfgrid-compose up {shlex.quote(str(folder))}")


@click.command(epilog="Example:  tfgrid-compose validate ./my-app --strict")
@click.argument("app", type=click.Path(path_type=Path), default=".", metavar="[APP]")
@click.option("--strict", is_flag=True, help="Unknown keys are errors.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def validate(obj: dict[str, Any], app: Path, strict: bool, as_json: bool) -> None:
    """Check manifest, hooks and command scripts of an app folder; every problem at once.

    Exit codes: 0 it can be deployed, 3 it can't.
    """
    from tfgrid_compose.manifest.envfile import check_file
    from tfgrid_compose.manifest.load import load_app
    from tfgrid_compose.patterns.load import load as load_pattern

    try:
        found = load_app(app, file=obj["file"], strict=strict)
        load_pattern(found.manifest.pattern_name)
        check_file(found)
    except (ManifestError, PatternError) as error:
        if not as_json:
            raise
        click.echo(json.dumps({"valid": False, "error": error.to_dict()}))
        sys.exit(error.exit_code)
    if as_json:
        click.echo(json.dumps({"valid": True, "name": found.manifest.name, "warnings": [str(item) for item in found.warnings]}))
        return
    for problem in found.warnings:
        click.echo(click.style("Warning: ", fg="yellow") + str(problem), err=True)
    click.echo(f"{found.manifest.name} {found.manifest.version} is valid (pattern {found.manifest.pattern_name}).")


@click.command(epilog="Example:  tfgrid-compose schema > tfgrid-compose.schema.json")
def schema() -> None:
    """Print the JSON Schema of the manifest; editors check and complete with it."""
    from tfgrid_compose.manifest.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@click.command(epilog="Example:  tfgrid-compose patterns")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def patterns(as_json: bool) -> None:
    """List patterns with their roles."""
    from tfgrid_compose.cli.render import table
    from tfgrid_compose.patterns.load import load, names

    found = [load(name).pattern for name in names()]
    if as_json:
        click.echo(json.dumps([item.model_dump() for item in found]))
        return
    click.echo(table(["NAME", "VERSION", "ROLES", "DESCRIPTION"],
                     [[item.name, item.version, ", ".join(item.roles), item.description] for item in found]))  # fmt: skip


@click.command(epilog="Example:  tfgrid-compose completion bash >> ~/.bashrc")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    from tfgrid_compose.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None, "click knows these three shells"
    click.echo(kind(cli, {}, "tfgrid-compose", "_TFGRID_COMPOSE_COMPLETE").source())
