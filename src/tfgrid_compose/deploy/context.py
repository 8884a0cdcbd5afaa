"""What the steps of a run share: the frozen inputs, and the deployment as it grows."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfgrid_compose.deploy.networks import Networks
from tfgrid_compose.deploy.placement import Placement
from tfgrid_compose.deploy.price import DeploymentPrice
from tfgrid_compose.deploy.resolve import RoleSizes, public_keys
from tfgrid_compose.deploy.retry import Policy
from tfgrid_compose.drivers import ssh
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.manifest.bundle import Bundle
from tfgrid_compose.manifest.envfile import Environment
from tfgrid_compose.manifest.load import App
from tfgrid_compose.manifest.model import DataDisk
from tfgrid_compose.observe.events import Stream, step_progress
from tfgrid_compose.observe.redact import Redactor
from tfgrid_compose.patterns.load import LoadedPattern
from tfgrid_compose.patterns.model import GENERATED, lookup
from tfgrid_compose.state import paths, settings
from tfgrid_compose.state.store import Deployment, Release, Store


@dataclass
class Context:
    """Everything that a step may use. During a run only `deployment` changes, and `nodes` where one of them fails."""

    store: Store
    deployment: Deployment
    app: App
    pattern: LoadedPattern
    grid: Grid
    stream: Stream
    bundle: Bundle
    environment: Environment
    sizes: dict[str, RoleSizes]
    nodes: dict[str, list[int]]
    overrides: dict[str, Any]
    pattern_options: dict[str, Any]
    networks: Networks = Networks()
    # How the nodes were chosen; None where they are those of a release.
    placement: Placement | None = None
    disks: tuple[DataDisk, ...] = ()
    dotenv: bool = False
    terraform: str | None = None
    policy: Policy = field(default_factory=Policy)
    # The release to go back to; None when the app folder is deployed.
    release: Release | None = None
    # Name of the snapshot that brings the disks back; empty when data stays as it is.
    snapshot: str = ""
    # What going back can't restore, in words.
    limits: tuple[str, ...] = ()
    # What could not be looked at when the plan was made, a sentence each; whoever finds that it can't ask adds one.
    unchecked: list[str] = field(default_factory=list)
    # Nothing will be done: what can't be asked goes to `unchecked` instead of ending the command.
    only_plan: bool = False
    # Whether the user agreed that code of others runs on this computer.
    trust: bool = False
    # The most that the user lets it cost, in USD a month; and what it costs, once somebody asked.
    max_monthly: float | None = None
    price: DeploymentPrice | None = None
    # What the run is asked for, for the journal.
    aim: dict[str, Any] = field(default_factory=dict)
    run: int = 0
    _connections: dict[str, ssh.Connection] = field(default_factory=dict)

    def placed_anew(self) -> Placement:
        """The choice of nodes for a deployment whose machines have theirs; the grid is asked anew."""
        return Placement(self.grid, self.app, self.pattern, self.sizes, self.networks.provision, self.overrides, settings.load())

    def __post_init__(self) -> None:
        item = self.deployment
        self.redactor.own.add(item.name, item.id, item.network, str(self.app.folder), self.app.manifest.name,
                              self.pattern.pattern.name, str(paths.state_dir()))  # fmt: skip

    @property
    def redactor(self) -> Redactor:
        """The run's redactor."""
        return self.stream.redactor

    @property
    def folder(self) -> Path:
        """The deployment's own folder: Terraform's working files, known_hosts, logs."""
        return deployment_folder(self.deployment)

    @property
    def logs(self) -> Path:
        """Folder of this run's logs."""
        return paths.private_dir(self.folder / "logs" / f"run-{self.run}")

    def remember(self, **changes: Any) -> None:
        """Change and commit the deployment's data."""
        self.deployment = self.store.save(self.deployment.with_data(**changes))

    def progress(self, step: str, text: str, milestone: bool = False) -> None:
        """Say that something happens inside a step."""
        if text:
            self.stream.emit(step_progress(step, text, milestone))

    # Secrets that are made once per deployment

    def generated(self) -> dict[str, str]:
        """The pattern's random values in hex, made on first use."""
        found = json.loads(self.store.secret(self.deployment.id, "generated") or b"{}")
        fresh = {name: secrets.token_hex(item.bytes) for name, item in self.pattern.pattern.generate.items() if name not in found}
        if fresh:
            found |= fresh
            self.store.set_secret(self.deployment.id, "generated", json.dumps(found).encode())
        self.redactor.add(*found.values())
        return dict(found)

    def public_key(self) -> str:
        """The deployment's ssh public key; the pair is made on first use."""
        found = self.store.secret(self.deployment.id, "ssh")
        if found is None:
            found = json.dumps(_ssh_pair(self.deployment.id)).encode()
            self.store.set_secret(self.deployment.id, "ssh", found)
        return str(json.loads(found)["public"])

    def terraform_variables(self) -> dict[str, Any]:
        """{Terraform variable: value}, secrets included."""
        values = variable_context(self)
        found = {name: lookup(values, path) for name, path in self.pattern.pattern.variables.items()}
        return {**self.pattern.pattern.options, **self.pattern_options, **found}

    # Machines

    def machines(self, role: str | None = None) -> list[dict[str, Any]]:
        """The machines that exist, of one role or all."""
        return [machine for machine in self.deployment.machines if role in (None, machine["role"])]

    def hook_machine(self) -> dict[str, Any]:
        """The machine on which the hooks run."""
        return self.machines(self.pattern.pattern.hook_role())[0]

    def connection(self, machine: dict[str, Any]) -> ssh.Connection:
        """The shared connection to a machine, on the address that `reach` found."""
        if machine["name"] not in self._connections:
            self._connections[machine["name"]] = ssh.Connection(target_of(self.store, self.deployment, machine))
        return self._connections[machine["name"]]

    def close(self) -> None:
        """End all connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()


def deployment_folder(deployment: Deployment) -> Path:
    """The folder of a deployment under the state folder."""
    return paths.private_dir(paths.deployment_dir(deployment.id))


def key_file(store: Store, deployment: Deployment) -> Path:
    """The deployment's private key, written to memory for ssh; never to a disk."""
    path = paths.below(paths.runtime_dir() / "keys", deployment.id)
    if not path.exists():
        stored = store.secret(deployment.id, "ssh")
        if stored:
            paths.private_file(path, json.loads(stored)["private"].encode())
    return path


def target_of(store: Store, deployment: Deployment, machine: dict[str, Any], address: str | None = None) -> ssh.Target:
    """How ssh reaches a machine; on the address that was found to work when none is given."""
    return ssh.Target(
        address=address or machine.get("address") or addresses_of(deployment, machine)[0][1],
        key=key_file(store, deployment),
        known_hosts=deployment_folder(deployment) / "known_hosts",
        alias=f"{deployment.name}-{machine['name']}-{machine['contract']}",
    )


_FIELDS = {"wireguard": "wireguard_ip", "mycelium": "mycelium_ip", "ipv4": "ipv4_address", "ipv6": "ipv6_address"}


def addresses_of(deployment: Deployment, machine: dict[str, Any]) -> list[tuple[str, str]]:
    """(kind, address) of a machine, the preferred first."""
    prefer = deployment.data.get("prefer") or list(_FIELDS)
    return [(kind, machine[_FIELDS[kind]]) for kind in prefer if kind in _FIELDS and machine.get(_FIELDS[kind])]


def variable_context(context: Context) -> dict[str, Any]:
    """The values that a pattern's variables can name."""
    provisioned = context.networks.provision
    roles = {
        name: {
            "cpu": size.cpu, "memory": size.memory, "disk": size.disk, "nodes": context.nodes[name],
            "node": context.nodes[name][0] if context.nodes[name] else None, "count": len(context.nodes[name]),
        }
        for name, size in context.sizes.items()
    }  # fmt: skip
    return {
        "deployment": {
            "id": context.deployment.id, "name": context.deployment.name,
            "ip_range": context.deployment.data["ip_range"],
            "ssh_keys": "\n".join([context.public_key(), *public_keys()]),
        },
        "roles": roles,
        "network": {kind: kind in provisioned for kind in _FIELDS},
        "disks": [{"name": disk.name, "size": disk.size, "mount": disk.mount} for disk in context.disks],
        "ports": [port.number for port in context.app.manifest.resources.ports],
        GENERATED: context.generated(),
        "gateway": context.app.manifest.gateway,
        "backend": context.app.manifest.backend,
    }  # fmt: skip


def _ssh_pair(comment: str) -> dict[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return {"private": private.decode(), "public": f"{public.decode()} tfgrid-compose-{comment}"}
