"""The grid's network on this host: the "internet" between nodes and its link to the host.

One namespace is the internet: a bridge `pub` with the public addresses, a bridge `nrs` to which
every private network's router is attached, and an uplink to the host. The host masquerades what
leaves it and has routes to the public and mycelium ranges, so all addresses are really reachable.
"""

from __future__ import annotations

from pathlib import Path

from tfgrid_compose.drivers.process import run
from tfgrid_compose.localgrid import kernel
from tfgrid_compose.localgrid.catalog import NODES, node_public_host
from tfgrid_compose.localgrid.instance import Instance

ROUTERS = "198.18.0.0/16"
ROUTERS_GATEWAY = "198.18.0.1"
_COMMENT = "tfgrid-compose local grid"


def router_address(number: int) -> str:
    """Address of private network `number` on the bridge between routers."""
    index = number + 256
    return f"198.18.{index // 256}.{index % 256}"


def is_up(instance: Instance) -> bool:
    """Whether the internet namespace and its uplink exist, made to their end."""
    return kernel.is_ready(_marker(instance), instance.grid_ns) and instance.uplink in kernel.links()


def _marker(instance: Instance) -> Path:
    return instance.home / "fabric.ready"


def up(instance: Instance) -> None:
    """Make the fabric; every part that exists already is left as it is."""
    ns = instance.grid_ns
    kernel.make_namespace(ns, ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
    _uplink(instance)
    _bridges(instance)
    kernel.nft(_grid_rules(), ns=ns)
    kernel.nft(_host_rules(instance))
    _open_foreign_firewall(instance)
    kernel.mark_ready(_marker(instance), ns)


def _uplink(instance: Instance) -> None:
    ns, link = instance.grid_ns, instance.uplink
    if link not in kernel.links():
        kernel.ip("link", "add", link, "type", "veth", "peer", "name", "up0", "netns", ns)
    host4, grid4 = instance.uplink4
    host6, grid6 = instance.uplink6
    kernel.ip_ensure("addr", "add", f"{host4}/30", "dev", link)
    kernel.ip("link", "set", link, "up")
    kernel.ip_ensure("addr", "add", f"{grid4}/30", "dev", "up0", ns=ns)
    kernel.ip("link", "set", "up0", "up", ns=ns)
    kernel.ip_ensure("route", "add", "default", "via", host4, ns=ns)
    kernel.ip_ensure("route", "add", instance.public4, "via", grid4, "dev", link)
    # A host without IPv6 still gets a grid; only its IPv6 and mycelium addresses stay out of reach.
    for args, where in (
        (("-6", "addr", "add", f"{host6}/64", "dev", link, "nodad"), None),
        (("-6", "addr", "add", f"{grid6}/64", "dev", "up0", "nodad"), ns),
        (("-6", "route", "replace", f"{instance.public6}::/64", "via", grid6, "dev", link), None),
        (("-6", "route", "replace", "unreachable", "default"), ns),
    ):
        kernel.ip(*args, ns=where, check=False)


def _bridges(instance: Instance) -> None:
    ns = instance.grid_ns
    existing = kernel.links(ns)
    for bridge in ("pub", "nrs"):
        if bridge not in existing:
            kernel.ip("link", "add", bridge, "type", "bridge", ns=ns)
        kernel.ip("link", "set", bridge, "up", ns=ns)
    kernel.ip_ensure("addr", "add", f"{instance.public4_host(1)}/25", "dev", "pub", ns=ns)
    kernel.ip("-6", "addr", "add", f"{instance.public6}::1/64", "dev", "pub", "nodad", ns=ns, check=False)
    for node in NODES:
        if node.public:
            address = f"{instance.public4_host(node_public_host(node.id))}/32"
            kernel.ip_ensure("addr", "add", address, "dev", "pub", ns=ns)
            address = f"{instance.public6}::{node_public_host(node.id):x}/128"
            kernel.ip("-6", "addr", "add", address, "dev", "pub", "nodad", ns=ns, check=False)
    kernel.ip_ensure("addr", "add", f"{ROUTERS_GATEWAY}/16", "dev", "nrs", ns=ns)


def _grid_rules() -> str:
    return f"""
table ip tfgrid {{
  map access {{ type ipv4_addr . inet_service : ipv4_addr; }}
  chain pre {{ type nat hook prerouting priority dstnat; policy accept; }}
  chain post {{ type nat hook postrouting priority srcnat; policy accept; }}
}}
flush chain ip tfgrid pre
flush chain ip tfgrid post
table ip tfgrid {{
  chain pre {{ meta l4proto udp dnat to ip daddr . udp dport map @access; }}
  chain post {{ ip saddr {ROUTERS} oifname "up0" masquerade; }}
}}
"""


def _host_rules(instance: Instance) -> str:
    table, link = instance.nft_table, instance.uplink
    ranges = f"{{ {instance.uplink4[0]}/30, {instance.public4} }}"
    return f"""
table ip {table} {{
  chain post {{ type nat hook postrouting priority srcnat; policy accept; }}
  chain forward {{ type filter hook forward priority filter; policy accept; }}
}}
flush chain ip {table} post
flush chain ip {table} forward
table ip {table} {{
  chain post {{ ip saddr {ranges} oifname != "{link}" masquerade; }}
  chain forward {{
    oifname "{link}" ct state established,related accept
    oifname "{link}" drop
  }}
}}
"""


def _open_foreign_firewall(instance: Instance) -> None:
    """Let our packets through a FORWARD chain that drops, as Docker's does."""
    done = run(["nft", "-a", "list", "chain", "ip", "filter", "FORWARD"], check=False)
    if not done.ok or "policy drop" not in done.stdout or instance.uplink in done.stdout:
        return
    for match in ("iifname", "oifname"):
        run(["nft", "insert", "rule", "ip", "filter", "FORWARD", match, instance.uplink, "counter", "accept",
             "comment", f'"{_COMMENT}"'], check=False)  # fmt: skip


def _close_foreign_firewall(instance: Instance) -> None:
    done = run(["nft", "-a", "list", "chain", "ip", "filter", "FORWARD"], check=False)
    for line in done.stdout.splitlines():
        if instance.uplink in line and "# handle " in line:
            run(["nft", "delete", "rule", "ip", "filter", "FORWARD", "handle", line.split("# handle ")[1]], check=False)


def map_access(instance: Instance, public: str, port: int, router: str) -> None:
    """Send WireGuard packets for a node's public address and port to a network's router."""
    ns = instance.grid_ns
    unmap_access(instance, public, port)
    kernel.nft(f"add element ip tfgrid access {{ {public} . {port} : {router} }}\n", ns=ns)


def unmap_access(instance: Instance, public: str, port: int) -> None:
    """Undo `map_access`."""
    run(["ip", "netns", "exec", instance.grid_ns, "nft", "delete", "element", "ip", "tfgrid", "access",
         f"{{ {public} . {port} }}"], check=False)  # fmt: skip


def route_mycelium(instance: Instance, subnet: str) -> None:
    """Give the host a route to a mycelium /64 of the grid."""
    kernel.ip("-6", "route", "replace", subnet, "via", instance.uplink6[1], "dev", instance.uplink, check=False)


def unroute_mycelium(instance: Instance, subnet: str) -> None:
    """Undo `route_mycelium`."""
    kernel.ip("-6", "route", "del", subnet, "dev", instance.uplink, check=False)


def down(instance: Instance) -> None:
    """Remove the fabric."""
    _marker(instance).unlink(missing_ok=True)
    run(["nft", "delete", "table", "ip", instance.nft_table], check=False)
    _close_foreign_firewall(instance)
    kernel.ip_remove("link", "del", instance.uplink)
    kernel.ip_remove("netns", "del", instance.grid_ns)
