"""The router of one private network: a namespace with a bridge per node and the access point."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from tfgrid_compose.drivers import wireguard
from tfgrid_compose.drivers.process import environment, run
from tfgrid_compose.errors import GridError
from tfgrid_compose.grids.addresses import wireguard_address
from tfgrid_compose.localgrid import fabric, kernel
from tfgrid_compose.localgrid.instance import Instance

_DEADLINE = 10.0
_RULES = """
table ip tfgrid {
  chain post { type nat hook postrouting priority srcnat; policy accept; }
}
flush chain ip tfgrid post
table ip tfgrid {
  chain post { oifname "wan0" masquerade; }
}
"""


def namespace(instance: Instance, network: dict[str, Any]) -> str:
    """Name of the network's namespace."""
    return f"{instance.prefix}-n{network['number']}"


def bridge(node: int) -> str:
    """Name of a node's bridge inside the network's namespace."""
    return f"b{node}"


def _interface(instance: Instance, network: dict[str, Any]) -> str:
    # /run/wireguard is shared by all namespaces, so the name is unique on the host.
    return f"{instance.prefix}w{network['number']}"


def is_up(instance: Instance, network: dict[str, Any]) -> bool:
    """Whether the router was made to its end and the program behind its access point, if any, lives."""
    file = _pid_file(instance, network)
    return kernel.is_ready(_marker(instance, network), namespace(instance, network)) and (
        not file.exists() or _userspace(file) is not None
    )


def _marker(instance: Instance, network: dict[str, Any]) -> Path:
    return instance.home / f"router-{network['number']}.ready"


def up(instance: Instance, network: dict[str, Any]) -> None:
    """Bring the router to what the network's record says; what exists is left alone."""
    ns = namespace(instance, network)
    kernel.make_namespace(ns, ["net.ipv4.ip_forward=1"])
    number = network["number"]
    if "wan0" not in kernel.links(ns):
        kernel.ip_remove("link", "del", f"n{number}", ns=instance.grid_ns)
        kernel.ip("link", "add", f"n{number}", "type", "veth", "peer", "name", "wan0", "netns", ns, ns=instance.grid_ns)
    kernel.ip("link", "set", f"n{number}", "master", "nrs", "up", ns=instance.grid_ns)
    kernel.ip_ensure("addr", "add", f"{fabric.router_address(number)}/16", "dev", "wan0", ns=ns)
    kernel.ip("link", "set", "wan0", "up", ns=ns)
    # Numbers are used again, and with them addresses: an old neighbour entry would cost seconds.
    kernel.ip("neigh", "flush", "to", fabric.router_address(number), ns=instance.grid_ns, check=False)
    kernel.ip_ensure("route", "add", "default", "via", fabric.ROUTERS_GATEWAY, ns=ns)
    _bridges(ns, network["subnets"])
    kernel.nft(_RULES, ns=ns)
    for subnet in network.get("mycelium", {}).values():
        fabric.route_mycelium(instance, subnet)
    if network.get("access"):
        _access_up(instance, network)
    else:
        _access_down(instance, network)
    kernel.mark_ready(_marker(instance, network), ns)


def _bridges(ns: str, subnets: dict[str, str]) -> None:
    existing = kernel.links(ns)
    for node, subnet in subnets.items():
        name = bridge(int(node))
        if name not in existing:
            kernel.ip("link", "add", name, "type", "bridge", ns=ns)
        gateway = subnet.replace(".0/24", ".1/24")
        kernel.ip_ensure("addr", "add", gateway, "dev", name, ns=ns)
        kernel.ip("link", "set", name, "up", ns=ns)
    for gone in {name for name in existing if name[:1] == "b" and name[1:].isdigit()} - {bridge(int(node)) for node in subnets}:
        kernel.ip_remove("link", "del", gone, ns=ns)


def _access_up(instance: Instance, network: dict[str, Any]) -> None:
    ns, name, access = namespace(instance, network), _interface(instance, network), network["access"]
    if name not in kernel.links(ns):
        _make_interface(instance, network, ns, name)
    user, peer = network["user_subnet"], access["user_public"]
    allowed = f"{user},{wireguard_address(user)}/32"
    run(["ip", "netns", "exec", ns, "wg", "set", name, "private-key", "/dev/stdin", "listen-port", str(access["port"]),
         "peer", peer, "allowed-ips", allowed], input=access["node_private"])  # fmt: skip
    subnet = network["subnets"][str(access["node"])]
    kernel.ip_ensure("addr", "add", f"{wireguard_address(subnet)}/32", "dev", name, ns=ns)
    kernel.ip("link", "set", name, "up", ns=ns)
    for target in (user, f"{wireguard_address(user)}/32"):
        kernel.ip("route", "replace", target, "dev", name, ns=ns)
    fabric.map_access(instance, access["endpoint"], access["port"], fabric.router_address(network["number"]))


def _make_interface(instance: Instance, network: dict[str, Any], ns: str, name: str) -> None:
    if kernel.ip("link", "add", name, "type", "wireguard", ns=ns, check=False).ok:
        return
    if _start_userspace(instance, network, ns, name):
        # What ended it, such as another one that just had the name, may be over.
        words = _start_userspace(instance, network, ns, name)
        if words:
            raise GridError(
                "the access point of the local grid did not start",
                why=words[-1],
                fix="tfgrid-compose doctor",
                details=words,
                code="localgrid-wireguard",
            )


def _start_userspace(instance: Instance, network: dict[str, Any], ns: str, name: str) -> list[str]:
    """Start wireguard-go, which makes the interface; what it said when it did not, nothing when it did."""
    _end_userspace(instance, network)
    socket, log = wireguard.socket_path(name), instance.home / f"wireguard-{network['number']}.log"
    socket.unlink(missing_ok=True)
    with log.open("wb") as output:
        # `ip netns exec` would give it mounts of its own: it would keep every disk in use that is mounted now.
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{ns}", "wireguard-go", "--foreground", name],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=environment(),
        )  # fmt: skip
    _pid_file(instance, network).write_text(str(process.pid))
    deadline = time.monotonic() + _DEADLINE
    while not socket.exists() or name not in kernel.links(ns):
        if process.poll() is not None:
            said = [line.strip("│┌└─┐┘ ") for line in log.read_text(errors="replace").splitlines()]
            return [line for line in said if "ERROR" in line or "nsenter" in line] or ["wireguard-go ended and made no interface"]
        if time.monotonic() > deadline:
            return [f"wireguard-go made no interface in {_DEADLINE:g} s"]
        time.sleep(0.02)
    # It outlives this process, which never waits for it.
    process.returncode = 0
    return []


def _pid_file(instance: Instance, network: dict[str, Any]) -> Path:
    return instance.home / f"wireguard-{network['number']}.pid"


def _end_userspace(instance: Instance, network: dict[str, Any]) -> None:
    """End the recorded wireguard-go, and only if the pid is still that program."""
    file = _pid_file(instance, network)
    pid = _userspace(file)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    file.unlink(missing_ok=True)
    file.with_suffix(".log").unlink(missing_ok=True)


def _userspace(file: Path) -> int | None:
    """The pid in a file, if that process is wireguard-go now."""
    try:
        pid = int(file.read_text())
        return pid if b"wireguard-go" in Path(f"/proc/{pid}/cmdline").read_bytes() else None
    except (OSError, ValueError):
        return None


def _access_down(instance: Instance, network: dict[str, Any]) -> None:
    name = _interface(instance, network)
    if name in kernel.links(namespace(instance, network)):
        kernel.ip_remove("link", "del", name, ns=namespace(instance, network))
    _end_userspace(instance, network)
    wireguard.socket_path(name).unlink(missing_ok=True)


def down(instance: Instance, network: dict[str, Any]) -> None:
    """Remove the router and everything that pointed to it."""
    _marker(instance, network).unlink(missing_ok=True)
    ns = namespace(instance, network)
    access = network.get("access")
    if access:
        fabric.unmap_access(instance, access["endpoint"], access["port"])
    if kernel.namespaces(ns):
        _access_down(instance, network)
    else:
        _end_userspace(instance, network)
    for subnet in network.get("mycelium", {}).values():
        fabric.unroute_mycelium(instance, subnet)
    kernel.ip_remove("link", "del", f"n{network['number']}", ns=instance.grid_ns) if kernel.namespaces(instance.grid_ns) else None
    kernel.ip_remove("netns", "del", ns)
