"""A plan as people and programs read it."""

from __future__ import annotations

import json
from typing import Any

import click

from tfgrid_compose.cli.cost import price_lines
from tfgrid_compose.cli.nodeoptions import explain_lines
from tfgrid_compose.deploy.budget import price_of
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.plan import Plan, values_of
from tfgrid_compose.errors import GridError
from tfgrid_compose.manifest.envfile import PLACES
from tfgrid_compose.words import readable


def plan_json(context: Context, plan: Plan, explain: bool = False) -> str:
    """The plan as one JSON document."""
    why = {"placement": why_there(context)} if explain else {}  # First, because it may find what can't be asked.
    return json.dumps({**plan.to_dict(context), **why})


def why_there(context: Context) -> list[dict[str, Any]]:
    """Why each machine stands where it does; where the grid can't be asked, the context says so instead."""
    try:
        return (context.placement or context.placed_anew()).explain(context.nodes)
    except GridError as error:
        context.unchecked.append(f"why machines stand on their nodes: {error.what}")
        return []


def plan_text(context: Context, plan: Plan, explain: bool = False) -> str:
    """The plan for people."""
    deployment, explained = context.deployment, explain_lines(why_there(context)) if explain else []
    verb = "Deploy" if plan.is_new else "Update" if plan.needed else "Nothing to do for"
    verb = f"Release {plan.release.label} for" if plan.release else verb
    head = (
        f"{verb} {deployment.name} ({deployment.id[:6]}) on network {deployment.network}, pattern {context.pattern.pattern.name}"
    )
    lines = [click.style(head, bold=True)]
    for item in plan.steps:
        mark = click.style("+" if plan.is_new else "~", fg="green") if item.needed else click.style("=", dim=True)
        why = "" if plan.is_new or not item.needed else click.style(f"  [{item.reason}]", fg="yellow")
        lines.append(f"  {mark} {item.step.name:<15}{item.text if item.needed else click.style('unchanged', dim=True)}{why}")
    networks = ", ".join(context.networks.prefer)
    lines.append(f"  Addresses: {networks}; private range {deployment.data['ip_range']}")
    lines += _value_lines(context)
    lines += [click.style("  Not restored: ", fg="yellow") + limit for limit in plan.limits]
    lines += [click.style("  Runs here: ", fg="red") + item.what for item in plan.local_code]
    price = price_of(context)
    lines += [click.style("  Not checked: ", fg="yellow") + text for text in dict.fromkeys(context.unchecked)]
    lines += [f"  {line}" for line in price_lines(price)]
    lines += explained
    return "\n".join(lines)


def _value_lines(context: Context) -> list[str]:
    """The author of an app chooses which of the user's values it gets, so the plan names them, each with its source."""
    found: dict[str, list[str]] = {}
    for item in values_of(context):
        found.setdefault(readable(item.get("file", PLACES[item["from"]])), []).append(item["name"])
    return [f"  Values from {source}: {', '.join(names)}" for source, names in found.items()]
