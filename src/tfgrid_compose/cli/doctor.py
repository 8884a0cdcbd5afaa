"""`doctor`: what this computer lacks, and the exact command that installs it."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from tfgrid_compose.errors import EnvironmentError_


@click.command(epilog="Example:  tfgrid-compose doctor --fix")
@click.option("--fix", is_flag=True, help="Install what is missing; asks for sudo when not root.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(fix: bool, as_json: bool) -> None:
    """Check this computer: system, programs, Python packages, rights, room, routes.

    Exit codes: 0 everything is there, 4 something is missing.
    """
    from tfgrid_compose.drivers import host

    checks = host.examine()
    if fix:
        for words in host.repairs(checks):
            click.echo(f"$ {' '.join(words)}", err=True)
            host.repair(words)
        checks = host.examine()
    if as_json:
        click.echo(json.dumps([vars(check) for check in checks]))
    else:
        for check in checks:
            click.echo(_line(check))
    bad = [check for check in checks if not check.ok and check.needed]
    if bad:
        if as_json:
            sys.exit(EnvironmentError_.exit_code)
        commands = [" ".join(words) for words in host.repairs(checks)]
        raise EnvironmentError_(
            f"{len(bad)} of {len(checks)} checks failed",
            why="; ".join(check.found for check in bad[:3]),
            fix=" && ".join(commands) if commands else bad[0].advice,
            code="doctor",
        )


def _line(check: Any) -> str:
    mark = (
        click.style("✓", fg="green")
        if check.ok
        else click.style("✗" if check.needed else "!", fg="red" if check.needed else "yellow")
    )
    advice = "" if check.ok or not check.advice else f"  ({check.advice})"
    return f"{mark} {check.name:<30}{check.found}{advice}"
