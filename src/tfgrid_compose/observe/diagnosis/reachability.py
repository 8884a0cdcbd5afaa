"""Relay, nodes and the grid's directory: who does not answer."""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_GRID = ("grid",)

ROWS = (
    Failure(
        code="clock-wrong",
        patterns=("message is too old, sent since",),
        reason="the clock of this computer or of the node is wrong",
        fix="timedatectl set-ntp true",
        about=(
            "Messages to nodes carry the time at which they were sent, and old ones are dropped. `timedatectl` shows "
            "whether the clock of this computer is synchronised. When it is, the node's clock is wrong: choose another "
            "node."
        ),
        scope=_GRID,
    ),
    Failure(
        code="node-not-found",
        patterns=(
            "failed to get node … object not found",
            "failed to get node … not found",
            "node not found",
            "NodeNotExists",
            "FarmNotExists",
        ),
        reason="there is no such node or farm on this network",
        fix="check --network and the number on the dashboard of that network",
        about=(
            "Numbers of nodes and farms are counted on each network separately: node 11 of main is not node 11 of test. "
            "Check --network and the number; a node that was removed from the grid is not found either."
        ),
        scope=_GRID,
    ),
    Failure(
        code="twin-relay",
        patterns=("could not update twin relay information",),
        reason="the account's relay could not be written to the chain",
        fix="look at the account's balance on the dashboard, then run `tfgrid-compose up {name}`",
        about=(
            "The chain keeps over which relay an account is reached. When it differs from what the provider uses, the "
            "provider writes it anew, which needs a working chain and a small fee."
        ),
        transient=True,
        scope=_GRID,
    ),
    Failure(
        code="relay-unreachable",
        patterns=(
            "could not create rmb client",
            "failed to connect (…)",
            "failed to reconnect",
            "connection timeout",
            "connection stalling",
        ),
        reason="the relay, over which nodes are spoken to, does not answer",
        fix="check that this computer can open wss:// connections on port 443, then run `tfgrid-compose up {name}`",
        about=(
            "Nodes are not spoken to directly but through a relay of the network. It can be down for minutes, or a proxy "
            "or firewall stops WebSocket connections. A wrong relay_url in the pattern's provider block looks the same."
        ),
        transient=True,
        scope=_GRID,
    ),
    Failure(
        code="gridproxy-down",
        patterns=("could not get node … data from the grid proxy", "could not validate rmb proxy server"),
        reason="the grid's directory of nodes (gridproxy) does not answer",
        fix="tfgrid-compose up {name}",
        about=(
            "The provider asks the directory for free room and addresses of nodes. It is a public web service that is "
            "down now and then. `curl https://gridproxy.grid.tf/ping` asks main's; the others have test, qa or dev before "
            "grid.tf."
        ),
        transient=True,
        scope=_GRID,
    ),
    Failure(
        code="node-unreachable",
        patterns=("could not reach node", "failed to get node features '", "could not get node … client"),
        reason="the node does not answer",
        fix="tfgrid-compose up {name} --node ID",
        about=(
            "The node is switched off, in standby, or not connected to the relay. The directory learns of that with a "
            "delay of up to 80 minutes, so it may still be listed as up. It can pass; otherwise choose another node. A "
            "node that is dead also stops `down`: cancel its contracts on the dashboard then."
        ),
        transient=True,
        scope=_GRID,
    ),
)
