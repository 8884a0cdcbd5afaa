"""The steps of a deployment, one module each; `all_steps` is their order."""

from __future__ import annotations

from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.steps import dns
from tfgrid_compose.deploy.steps.activate import Activate
from tfgrid_compose.deploy.steps.base import Step
from tfgrid_compose.deploy.steps.disks import RestoreData, Snapshot
from tfgrid_compose.deploy.steps.hooks import Hook, Playbook
from tfgrid_compose.deploy.steps.infrastructure import Infrastructure
from tfgrid_compose.deploy.steps.platform import Platform
from tfgrid_compose.deploy.steps.reach import Reach
from tfgrid_compose.deploy.steps.ship import Ship
from tfgrid_compose.deploy.steps.tunnel import Tunnel

__all__ = ["Step", "all_steps"]


def all_steps(context: Context) -> list[Step]:
    """The steps of this deployment in their order."""
    tunnel: list[Step] = [Tunnel()] if "wireguard" in context.networks.provision else []
    app: list[Step] = [Playbook()] if context.app.playbook() else [Hook("setup"), Hook("configure"), Hook("healthcheck")]
    has_live = bool(context.deployment.data.get("release"))
    before: list[Step] = [Snapshot()] if context.grid.can_snapshot and has_live else []
    back: list[Step] = [RestoreData()] if context.snapshot else []
    asked, made = dns.steps(context)
    return [*asked, *before, Infrastructure(), *back, *tunnel, Reach(), *made, Platform(), Ship(), *app, Activate()]
