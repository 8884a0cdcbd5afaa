"""Step `tunnel`: WireGuard between this computer and the deployment's private network."""

from __future__ import annotations

from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.steps.base import UNKNOWN, Step
from tfgrid_compose.drivers import wgconfig, wireguard
from tfgrid_compose.errors import TunnelError


class Tunnel(Step):
    """An interface of this deployment alone; no other tunnel is touched."""

    name = "tunnel"
    leads_to_machine, changes_machine = True, False
    expected = 0.5

    def describe(self, context: Context) -> str:
        """Interface and range."""
        data = context.deployment.data
        return f"WireGuard interface {data['interface']} to {data['ip_range']}"

    def inputs(self, context: Context) -> dict[str, str]:
        """The interface and a fingerprint of the configuration."""
        config = context.store.secret(context.deployment.id, "wireguard")
        seen = context.store.vault.fingerprint(config) if config else UNKNOWN
        return {"interface": str(context.deployment.data["interface"]), "configuration": seen}

    def probe(self, context: Context) -> bool:
        """Whether the interface exists."""
        return wireguard.is_up(str(context.deployment.data["interface"]))

    def apply(self, context: Context) -> str:
        """Bring the interface up; refuses when another interface routes the same range."""
        data = context.deployment.data
        interface, ip_range = str(data["interface"]), str(data["ip_range"])
        config = (context.store.secret(context.deployment.id, "wireguard") or b"").decode()
        if not config.strip():
            raise TunnelError(
                "the grid gave no WireGuard configuration",
                why="none of the chosen nodes, and no other one, can be an access point",
                fix="choose another node with --node, or take wireguard out of network.provision",
                code="tunnel-no-access-point",
            )
        clash = wireguard.overlapping(ip_range, interface)
        if clash:
            raise TunnelError(
                f"the range {ip_range} collides with a route of this computer",
                why=f"`{clash}` was added after the deployment was made",
                fix="remove that route or take that interface down, then run `tfgrid-compose up` again",
                code="route-conflict",
            )
        wireguard.up(interface, wgconfig.narrowed(config, ip_range))
        return interface

    def undo(self, context: Context) -> str:
        """Take the interface down."""
        wireguard.down(str(context.deployment.data["interface"]))
        return "the tunnel was taken down again"
