"""Blocks of Terraform files for tests of the local grid, and what Terraform makes of them."""

from __future__ import annotations

from tests.integration.conftest import Workspace

KEY = "9751c596c7c951aedad1a5f78f18b59515064adf660e0d55abead65e6fbbd627"
NET, VM = "grid_network.net", "grid_deployment.d"


def network(name: str = "net", ip_range: str = "10.5.0.0/16", nodes: str = "[1]", extra: str = "add_wg_access = true") -> str:
    """A network."""
    return (
        f'resource "grid_network" "net" {{\n  name = "{name}"\n  ip_range = "{ip_range}"\n  nodes = {nodes}\n'
        f'  description = "of a test"\n  {extra}\n}}\n'
    )


def vm(name: str = "vm", extra: str = "", memory: int = 1024, cpu: int = 2) -> str:
    """A machine block."""
    return (
        f'  vms {{\n    name = "{name}"\n    flist = "https://hub.grid.tf/x.flist"\n    cpu = {cpu}\n    memory = {memory}\n'
        f'    rootfs_size = 4096\n    env_vars = {{ SSH_KEY = "ssh-ed25519 AAAA a\\nssh-ed25519 BBBB b" }}\n{extra}  }}\n'
    )


def deployment(*blocks: str, node: int = 1, label: str = "d", name: str = "dep", net: str = "grid_network.net.name") -> str:
    """A deployment of machine and disk blocks."""
    head = f'resource "grid_deployment" "{label}" {{\n  name = "{name}"\n  node = {node}\n  network_name = {net}\n'
    return head + "".join(blocks or (vm(),)) + "}\n"


def disk(name: str = "data", size: int = 10) -> str:
    """A disk block."""
    return f'  disks {{\n    name = "{name}"\n    size = {size}\n  }}\n'


def mount(name: str = "data", point: str = "/data") -> str:
    """A mount block inside a machine."""
    return f'    mounts {{\n      name = "{name}"\n      mount_point = "{point}"\n    }}\n'


def drifted(workspace: Workspace) -> dict[str, list[str]]:
    """{address: actions} that a plan would take."""
    return {address: change["actions"] for address, change in workspace.plan().items() if change["actions"] != ["no-op"]}


def fails(workspace: Workspace, *words: str) -> str:
    """Apply, which must fail; returns all that was printed, on one line."""
    done = workspace.call(*(words or ("apply", "-auto-approve", "-input=false", "-no-color")))
    assert done.returncode != 0, workspace.last
    return " ".join(workspace.last.split())
