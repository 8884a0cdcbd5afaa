"""`grid_network` on the local grid."""

from __future__ import annotations

from typing import Any

from tfgrid_compose.errors import GridError
from tfgrid_compose.grids.addresses import access_config
from tfgrid_compose.localgrid import networks
from tfgrid_compose.localgrid.engine import Engine
from tfgrid_compose.localgrid.provider.values import known


class NetworkResource:
    """A private network; its state is what the real provider keeps."""

    def __init__(self, engine: Engine, twin: int) -> None:
        self._engine, self._twin = engine, twin

    def validate(self, config: dict[str, Any]) -> None:
        """Checks that the real provider makes beyond its schema."""
        if config.get("nodes") == []:
            raise GridError("could not deploy network: nodes must not be empty")
        if config.get("name") in ("ygg", "pub", "mycelium"):
            raise GridError(f"'{config['name']}' is reserved network name")

    def create(self, planned: dict[str, Any]) -> dict[str, Any]:
        """Make the network; the user's key exists even without WireGuard access, as on the grid."""
        private, public = networks.wireguard_pair()
        record = networks.apply(self._engine, self._twin, _config(planned, public))
        return self._state(planned, record, private)

    def read(self, state: dict[str, Any]) -> dict[str, Any] | None:
        """The state as it is; None when the network was removed behind our back."""
        record = self._engine.ledger.network_by_id(state["id"])
        if record is None:
            return None
        return self._state(state, record, state["external_sk"])

    def update(self, state: dict[str, Any], planned: dict[str, Any]) -> dict[str, Any]:
        """Change it in place."""
        if self._engine.ledger.network_by_id(state["id"]) is None:
            return self.create(planned)
        if state["ip_range"] != planned["ip_range"]:
            self.delete(state)
            return self.create(planned)
        private = state["external_sk"]
        config = _config(planned, networks.wireguard_public(private))
        record = networks.apply(self._engine, self._twin, config, id=state["id"])
        return self._state(planned, record, private)

    def delete(self, state: dict[str, Any]) -> None:
        """Cancel all its contracts."""
        networks.remove(self._engine, state["id"])

    def _state(self, base: dict[str, Any], record: dict[str, Any], private: str) -> dict[str, Any]:
        access, user = record["access"], record["user_subnet"]
        config = ""
        if access:
            endpoint = f"{access['endpoint']}:{access['port']}"
            config = access_config(private, user, record["ip_range"], access["node_public"], endpoint)
        return {
            **base,
            "id": record["id"],
            "name": record["name"],
            "ip_range": record["ip_range"],
            "nodes": list(record["nodes"]),
            "solution_type": record["solution_type"],
            "description": known(base.get("description")) or "",
            "external_sk": private,
            "external_ip": user or "",
            "access_wg_config": config,
            "public_node_id": access["node"] if access else 0,
            "nodes_ip_range": record["subnets"],
            "node_deployment_id": record["contracts"],
            "add_wg_access": bool(access),
        }


def _config(planned: dict[str, Any], public: str) -> networks.NetworkConfig:
    keys, wanted = (_by_node(known(planned.get(name)) or {}) for name in ("mycelium_keys", "nodes_ip_range"))
    return networks.NetworkConfig(
        name=planned["name"],
        ip_range=planned["ip_range"],
        nodes=tuple(int(node) for node in planned["nodes"]),
        mycelium_keys=keys,
        access=bool(planned.get("add_wg_access")),
        user_public=public,
        solution_type=planned.get("solution_type") or "Network",
        wanted_subnets=tuple(wanted.items()),
    )


def _by_node(values: dict[str, Any]) -> dict[int, Any]:
    """A map whose keys are nodes; entries without a value count as absent. Raises `GridError`."""
    for node in values:
        if not (node.isascii() and node.isdigit() and len(node) < 10):
            raise GridError(
                f"couldn't parse node id '{node[:40]}'",
                why="mycelium_keys and nodes_ip_range have numbers of nodes as keys",
                fix="write the number of a node there",
            )
    return {int(node): value for node, value in values.items() if value is not None}
