"""Step `platform`: the pattern's Ansible playbook makes machines ready for the app."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfgrid_compose.deploy import trust
from tfgrid_compose.deploy.context import Context, target_of
from tfgrid_compose.deploy.steps.base import UNKNOWN, Step
from tfgrid_compose.drivers import ansible
from tfgrid_compose.manifest.names import user_of
from tfgrid_compose.state import paths


class Platform(Step):
    """Base packages, firewall, ssh, user, folders: whatever the pattern's playbook says."""

    name = "platform"
    expected = 12.0

    def describe(self, context: Context) -> str:
        """The pattern's playbook."""
        ports = ", ".join(f"{port.number}/{port.protocol}" for port in context.app.manifest.resources.ports)
        return f"base system by Ansible; the firewall lets in ssh{f' and {ports}' if ports else ' only'}"

    def inputs(self, context: Context) -> dict[str, str]:
        """Playbook, variables, machines."""
        machines = {machine["name"]: str(machine["contract"]) for machine in context.machines()} or {"machines": UNKNOWN}
        values = {name: json.dumps(value, sort_keys=True) for name, value in variables(context).items()}
        return {"playbook": context.pattern.platform_digest, **values, **machines}

    def apply(self, context: Context) -> str:
        """Run the playbook on all machines at once."""
        outcome = run_playbook(context, self.name, context.pattern.playbook, variables(context))
        return f"{outcome.tasks} tasks, {len(outcome.changed)} changed something"

    def undo(self, context: Context) -> str:
        """Ansible was stopped; its tasks can be run again."""
        return "Ansible was stopped; tasks that were done stay done, and are not done twice"


def variables(context: Context) -> dict[str, Any]:
    """The playbook's variables; none of them is a secret."""
    app = context.deployment.name
    return {
        "app_name": app,
        "app_user": user_of(app),
        "deployment_id": context.deployment.id,
        "ports": [port.model_dump() for port in context.app.manifest.resources.ports if port.number != 22],
        "timezone": "Etc/UTC",
        "locale": "C.UTF-8",
    }


def hosts(context: Context) -> list[ansible.Host]:
    """The inventory of this deployment."""
    found = []
    for machine in context.machines():
        role = context.pattern.pattern.roles[machine["role"]]
        addresses = {key: machine.get(key, "") for key in
                     ("private_ip", "wireguard_ip", "mycelium_ip", "ipv4_address", "ipv6_address")}  # fmt: skip
        aliases = {
            "address": machine.get("address", ""),
            "wireguard_address": machine.get("wireguard_ip", ""),
            "mycelium_address": machine.get("mycelium_ip", ""),
        }
        groups = tuple(dict.fromkeys([machine["role"], *role.groups]))
        found.append(
            ansible.Host(machine["name"], target_of(context.store, context.deployment, machine), groups, {**addresses, **aliases})
        )
    return found


def ansible_folder(deployment: str) -> Path:
    """Where Ansible gets its files: in memory."""
    return paths.below(paths.runtime_dir() / "ansible", deployment)


def run_playbook(context: Context, step: str, playbook: Any, values: dict[str, Any], *, check: bool = False) -> ansible.Outcome:
    """Run a playbook with the deployment's inventory; its files are kept in memory only. `check` changes nothing."""
    trust.require(context)
    return ansible.run(
        playbook,
        hosts(context),
        values,
        folder=paths.private_dir(ansible_folder(context.deployment.id)),
        log=context.logs / f"{step}.log",
        on_task=lambda name, milestone: context.progress(step, name, milestone),
        redact=context.redactor.text,
        check=check,
    )
