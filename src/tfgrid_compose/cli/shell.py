"""Carry out a plan in sight of its user: what `up`, `rollback` and a resumed run have in common."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import click

from tfgrid_compose.cli.common import confirm, no_yes, shown_events
from tfgrid_compose.cli.elevate import ensure_root
from tfgrid_compose.cli.nodeoptions import explain_lines
from tfgrid_compose.cli.plan_text import plan_json, plan_text, why_there
from tfgrid_compose.cli.render import seconds_text
from tfgrid_compose.deploy import choices, operate, trust
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.options import RollbackOptions
from tfgrid_compose.deploy.plan import Plan
from tfgrid_compose.deploy.rollback import deploy, prepared, run
from tfgrid_compose.deploy.spending import judge
from tfgrid_compose.grids.registry import open_grid
from tfgrid_compose.observe.events import RunEnded, notice
from tfgrid_compose.state.store import Deployment, Store


@dataclass(frozen=True)
class Shell:
    """How a command shows what it does, and whether it asks before it does it. `started` is on the monotonic clock."""

    as_json: bool
    yes: bool
    verbose: bool
    only_plan: bool
    explain: bool = False
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def aiming(self, deployment: Deployment, options: RollbackOptions) -> Iterator[Context]:
        """The context of a run that brings back a release. Raises `TfgridError`."""
        if open_grid(deployment.network).needs_root:
            ensure_root("deploying on the local grid")
        with shown_events(self.as_json, self.verbose) as stream, Store() as store:
            with prepared(store, stream, deployment, options, write=not self.only_plan) as context:
                yield context

    def carry_out(self, context: Context, plan: Plan, kind: str = "up") -> bool:
        """Show the plan, ask, and run it; False when there was nothing to do. `kind`: up, repair or rollback.

        Raises `TfgridError`.
        """
        if self.only_plan:
            show = plan_json if self.as_json else plan_text
            click.echo(show(context, plan, self.explain))
            return plan.needed
        if not plan.needed:
            self._nothing_to_do(context, kind)
            return False
        # The manifest's budget never keeps anybody from going back; who says a sum with this command means it.
        warn(context, judge(context, refuse=kind == "up" or context.max_monthly is not None, buys=plan.buys))
        if self.explain and self.as_json:
            for line in explain_lines(why_there(context)):
                context.stream.emit(notice(line.strip()))
        if not self.as_json:
            click.echo(plan_text(context, plan, self.explain), err=True)
        self._agree(context, plan)
        if kind == "up":
            deploy(context, plan)
        else:
            run(context, plan, kind)
        if not self.as_json:
            click.echo(_done(context, kind, time.monotonic() - self.started))
        return True

    def _agree(self, context: Context, plan: Plan) -> None:
        """Ask. Where nobody can be asked, only what destroys nothing and rents nothing goes ahead without `--yes`.

        Raises `UsageError`, or `InterruptedError_` after a no.
        """
        can_ask = sys.stdin.isatty() and not self.as_json
        if can_ask:
            confirm(self.yes, "Go on?")
        elif plan.consent and not self.yes:
            raise no_yes("this run", f"{' and '.join(plan.consent)}; go on?")
        if not plan.local_code or context.trust:
            return
        if not can_ask:
            raise trust.no_consent(plan.local_code)
        confirm(False, "Let this code of others run on this computer?", default=False)
        context.trust = True

    def _nothing_to_do(self, context: Context, kind: str) -> None:
        seconds = time.monotonic() - self.started
        if kind == "up":
            choices.keep(context)
        context.stream.emit(RunEnded("run-ended", outcome="unchanged", seconds=seconds))
        is_so = {"repair": "is as it was deployed"}.get(kind, "is up to date")
        if kind == "rollback" and context.release:
            is_so = f"runs release {context.release.label} already"
        if not self.as_json:
            click.echo(f"{context.deployment.name} {is_so}; nothing to do ({seconds_text(seconds)}).")


def warn(context: Context, warnings: list[str]) -> None:
    """Say warnings in the stream of events."""
    for text in warnings:
        context.stream.emit(notice(text, "warning"))


def _done(context: Context, kind: str, seconds: float) -> str:
    if kind == "rollback" and context.release:
        name = click.style(context.deployment.name, fg="green", bold=True)
        return f"{name} runs release {context.release.label} again ({seconds_text(seconds)})."
    return _summary(context, seconds)


def _summary(context: Context, seconds: float) -> str:
    deployment = context.deployment
    lines = [click.style(f"{deployment.name} is running", fg="green", bold=True) + f" ({seconds_text(seconds)})."]
    links = operate.links(deployment)
    lines += [f"  Page:    {link}" for link in links] or [f"  Address: {operate.primary_address(deployment)}"]
    lines.append(f"  Look:    tfgrid-compose status {deployment.name}")
    lines.append(f"           tfgrid-compose logs {deployment.name} -f")
    lines.append(f"           tfgrid-compose ssh {deployment.name}")
    lines.append(f"  Remove:  tfgrid-compose down {deployment.name}")
    return "\n".join(lines)
