"""The plan: the very steps that `up` will run, with the reason for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tfgrid_compose.deploy import trust
from tfgrid_compose.deploy.budget import over_budget, price_of
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.dataloss import lost_data
from tfgrid_compose.deploy.steps import all_steps
from tfgrid_compose.deploy.steps.base import UNKNOWN, Step
from tfgrid_compose.grids import git
from tfgrid_compose.manifest.envfile import DEFAULT, FILE, GIT
from tfgrid_compose.state.store import Release


@dataclass(frozen=True)
class PlannedStep:
    """A step with what the plan knows of it; `reason` is empty when there is nothing to do."""

    step: Step
    text: str
    reason: str

    @property
    def needed(self) -> bool:
        """Whether the step will run."""
        return bool(self.reason)


@dataclass(frozen=True)
class Plan:
    """Steps in order.

    `release` is the one to go back to, None for the app folder; `limits` says what can't be restored.
    `local_code` is what others wrote and runs on this computer, and nobody agreed to yet.
    `unsettled`: the last run did not get to its end; one that finds nothing left to do says that all is done.
    """

    steps: tuple[PlannedStep, ...]
    is_new: bool
    release: Release | None = None
    limits: tuple[str, ...] = ()
    unsettled: bool = False
    local_code: tuple[trust.LocalCode, ...] = ()

    @property
    def needed(self) -> bool:
        """Whether anything has to be done."""
        return self.unsettled or any(planned.needed for planned in self.steps)

    @property
    def consent(self) -> tuple[str, ...]:
        """What the user has to agree to, in words; empty when nothing is rented or destroyed."""
        return tuple(planned.step.consent for planned in self.steps if planned.needed and planned.step.consent)

    @property
    def buys(self) -> bool:
        """Whether machines or networks are made or changed."""
        return any(planned.needed for planned in self.steps if planned.step.buys)

    def to_dict(self, context: Context) -> dict[str, Any]:
        """As JSON values, with the price as grid and account have it now."""
        price = price_of(context)
        refusal = over_budget(context, price)
        return {
            "deployment": context.deployment.id,
            "name": context.deployment.name,
            "network": context.deployment.network,
            "new": self.is_new,
            "nodes": {role: [node or None for node in nodes] for role, nodes in context.nodes.items()},
            "addresses": {
                "range": context.deployment.data["ip_range"],
                "networks": list(context.networks.prefer),
            },
            "values": values_of(context),
            "sizes": {role: vars(size) for role, size in context.sizes.items()},
            "usd_per_month": round(price.usd_per_month, 2),
            "price": price.to_dict(),
            "over_budget": refusal.what if refusal else None,
            "release": self.release.id if self.release else None,
            "not_restored": list(self.limits),
            "runs_here": [item.what for item in self.local_code],
            "not_checked": list(dict.fromkeys(context.unchecked)),
            "steps": [
                {"step": item.step.name, "does": item.text, "needed": item.needed, "reason": item.reason} for item in self.steps
            ],
        }


def values_of(context: Context) -> list[dict[str, str]]:
    """Where each value that the app gets of its user comes from: {name, from}, and the file of those of a file. No value."""
    environment = context.environment
    file = {"file": str(environment.file)} if environment.file else {}
    found = [
        {"name": name, "from": kind, **(file if kind == FILE else {})}
        for name in sorted(environment.values)
        if (kind := environment.sources.get(name, "release")) != DEFAULT
    ]
    identity = [name for name, value in git.identity_environment().items() if value and name not in environment.values]
    return found + [{"name": name, "from": GIT} for name in identity]


def make_plan(context: Context, again: Mapping[str, str] | None = None) -> Plan:
    """Compare what is wanted with what was done and what is there. Reads only.

    `again` are steps that are done again whatever they look like: {name: reason}.
    """
    done = context.store.done(context.deployment.id)
    planned: list[PlannedStep] = []
    broken, cut_off = "", False
    for step in all_steps(context):
        before = done.get(step.name)
        reason = step.always or (again or {}).get(step.name) or _reason(context, step, before, broken, cut_off)
        cut_off = cut_off or (bool(reason) and step.leads_to_machine)
        broken = (step.replaces(context, before) if reason else "") or broken
        planned.append(PlannedStep(step, step.describe(context), reason))
    planned = _with_later_hooks(planned)
    context.unchecked += [text for item in planned if item.needed and context.only_plan for text in item.step.unchecked(context)]
    ended = context.deployment.status == "running" and context.store.unfinished(context.deployment.id) is None
    unsettled = bool(done) and not ended
    code = trust.unseen(context)
    limits = context.limits
    if any(item.step.buys and item.needed for item in planned):
        limits = (*limits, *lost_data(context))
    return Plan(tuple(_with_others(planned)), not done, context.release, limits, unsettled, code)


def _with_later_hooks(planned: list[PlannedStep]) -> list[PlannedStep]:
    """A hook may undo what a later one had done: those behind one that runs run too, the health check as the proof."""
    found, before = [], ""
    for item in planned:
        if item.step.is_hook:
            if before and not item.needed:
                item = replace(item, reason=f"{before} runs before it")
            before = item.step.name if item.needed else before
        found.append(item)
    return found


def _with_others(planned: list[PlannedStep]) -> list[PlannedStep]:
    """Whatever changes, ssh is checked first, and the disks are copied before the machine is changed."""
    anything = any(item.needed for item in planned if not item.step.only_with_others)
    machine = any(item.needed for item in planned if item.step.changes_machine)
    found = []
    for item in planned:
        if item.step.only_with_others:
            item = replace(item, reason=item.step.with_others if machine else "")
        elif anything and not item.needed:
            item = replace(item, reason=item.step.with_others)
        found.append(item)
    return found


def _reason(context: Context, step: Step, before: dict[str, str] | None, broken: str, cut_off: bool) -> str:
    if before is None:
        return broken or "not done yet"
    now = step.inputs(context)
    if UNKNOWN in now.values():
        return broken or "an earlier step decides"
    changes = [key for key in sorted({*now, *before}) if now.get(key) != before.get(key)]
    if changes:
        return "; ".join(step.change(context, key, before.get(key), now.get(key)) for key in changes[:4])
    if broken:
        return broken
    # While the machine can't be asked the engine does so, after `reach`.
    there = (cut_off and step.probes_machine) or step.probe(context)
    return "" if there else "what it made is gone"
