"""Private networks of the local grid: what a `grid_network` becomes."""

from __future__ import annotations

import ipaddress
import uuid
from dataclasses import dataclass
from typing import Any

from tfgrid_compose.errors import GridError
from tfgrid_compose.grids.addresses import AddressError, check_network_range, mycelium_network, plan_subnets
from tfgrid_compose.grids.marks import app_of
from tfgrid_compose.localgrid import faults, router
from tfgrid_compose.localgrid.catalog import NODES, node_public_host
from tfgrid_compose.localgrid.engine import Engine, node_exists


@dataclass(frozen=True)
class NetworkConfig:
    """What the user asks of a network; `user_public` is the WireGuard key of the user's end."""

    name: str
    ip_range: str
    nodes: tuple[int, ...]
    mycelium_keys: dict[int, str]
    access: bool
    user_public: str
    solution_type: str = "Network"
    wanted_subnets: tuple[tuple[int, str], ...] = ()


def apply(engine: Engine, twin: int, config: NetworkConfig, id: str | None = None) -> dict[str, Any]:
    """Create the network, or change the one with `id`; returns its record.

    A network of the same twin and name that a crash left behind is adopted rather than doubled.
    Raises `GridError` in the real provider's words.
    """
    _check(engine, config)
    with engine.lock():
        record = engine.ledger.network_by_id(id) if id else engine.ledger.network(twin, config.name)
        if record and not id and record["ip_range"] != config.ip_range:
            raise GridError(f"could not deploy network {config.name}: network name exists with range {record['ip_range']}")
        record = record or {"id": str(uuid.uuid4()), "twin": twin, "contracts": {}, "subnets": {}}
        record = engine.ledger.save_network(_planned(engine, record, config), _metadata(config))
        router.up(engine.instance, record)
    return record


def _metadata(config: NetworkConfig) -> dict[str, Any]:
    # The real provider passes no project on: its networks are all of the same one, whatever `solution_type` says.
    return {"version": 3, "type": "network", "name": config.name, "projectName": "Network"}


def _check(engine: Engine, config: NetworkConfig) -> None:
    for node in (*config.nodes, *config.mycelium_keys):
        if not node_exists(node):
            raise GridError(f"failed to get node {node}: object not found")
    for node in config.mycelium_keys:
        if node not in config.nodes:
            raise GridError(f"invalid node {node} for mycelium key, must be included in the network nodes")
    for node in config.nodes:
        if engine.node_is_down(node) or faults.take(engine.ledger, "timeouts", config.name, app_of(config.solution_type)):
            raise GridError(f"could not reach node {node}: context deadline exceeded")


def _planned(engine: Engine, record: dict[str, Any], config: NetworkConfig) -> dict[str, Any]:
    """The record with subnets, keys and access point filled in."""
    access_node = _access_node(engine, record, config) if config.access else None
    members = list(config.nodes)
    if access_node is not None and access_node not in members:
        members.append(access_node)
    # Hidden nodes come first in the real provider's count, the extra public one last.
    order = sorted(members, key=lambda node: (node not in config.nodes, _is_public(node) and len(members) > 1))
    taken = {int(node): subnet for node, subnet in record["subnets"].items() if int(node) in members}
    try:
        taken = {**_wanted(config), **taken}
        subnets, user = plan_subnets(config.ip_range, order, taken, config.access, record.get("user_subnet"))
        mycelium = {str(node): mycelium_network(key) for node, key in config.mycelium_keys.items()}
    except AddressError as error:
        raise GridError(str(error)) from error
    return {
        **record,
        "name": config.name,
        "ip_range": config.ip_range,
        "nodes": list(config.nodes),
        "solution_type": config.solution_type,
        "subnets": {str(node): subnet for node, subnet in subnets.items()},
        "user_subnet": user,
        "mycelium": mycelium,
        "access": _access(engine, record, access_node, config.user_public) if access_node is not None else None,
    }


def _wanted(config: NetworkConfig) -> dict[int, str]:
    """{node: subnet} that the user asks for. Raises `GridError`."""
    network = check_network_range(config.ip_range)
    for _, subnet in config.wanted_subnets:
        try:
            fits = ipaddress.IPv4Network(subnet).prefixlen == 24 and ipaddress.IPv4Network(subnet).subnet_of(network)
        except ValueError:
            fits = False
        if not fits:
            raise GridError(
                f"subnet '{subnet[:40]}' is not a /24 of network {config.ip_range}",
                why="nodes_ip_range has a /24 of ip_range for each node",
                fix="mend nodes_ip_range, or leave it out",
            )
    return dict(config.wanted_subnets)


def _is_public(node: int) -> bool:
    return any(seed.id == node and seed.public for seed in NODES)


def _access_node(engine: Engine, record: dict[str, Any], config: NetworkConfig) -> int:
    kept = (record.get("access") or {}).get("node")
    if kept is not None:
        return int(kept)
    candidates = [node for node in config.nodes if _is_public(node)]
    candidates += [seed.id for seed in NODES if seed.public]
    alive = [node for node in candidates if not engine.node_is_down(node)]
    if not alive:
        raise GridError("failed to get public node: no nodes with public ipv4")
    return alive[0]


def _access(engine: Engine, record: dict[str, Any], node: int, user_public: str) -> dict[str, Any]:
    before = record.get("access")
    if before and before["node"] == node:
        return {**before, "user_public": user_public}
    private, public = wireguard_pair()
    return {
        "node": node,
        "endpoint": engine.instance.public4_host(node_public_host(node)),
        "port": engine.new_port(node),
        "node_private": private,
        "node_public": public,
        "user_public": user_public,
    }


def remove(engine: Engine, id: str) -> None:
    """Cancel the network's contracts and take its router down; one that is gone is no error."""
    record = engine.ledger.network_by_id(id)
    if record is None:
        return
    with engine.lock():
        router.down(engine.instance, record)
        engine.ledger.drop_network(id)


def wireguard_pair() -> tuple[str, str]:
    """A new WireGuard key pair, base64."""
    import base64

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    key = X25519PrivateKey.generate()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    return base64.b64encode(key.private_bytes_raw()).decode(), public


def wireguard_public(private: str) -> str:
    """The public key of a base64 private key."""
    import base64

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    key = X25519PrivateKey.from_private_bytes(base64.b64decode(private))
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()
