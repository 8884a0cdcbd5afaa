"""What the grid accepted and did not finish, and failures that only say that somebody was silent.

These rows stand behind all others of the grid: their words also wrap more telling ones.
"""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_GRID = ("grid",)

ROWS = (
    Failure(
        code="create-timeout",
        patterns=("deployment in progress", "timeout while waiting for state to become"),
        reason="the node did not finish within the time that the pattern allows",
        fix="tfgrid-compose up {name} --node ID",
        about=(
            "Making a machine may take 45 minutes by default; most take one or two. A node that loads the image slowly or "
            "hangs is the usual cause. `timeouts { create = … }` of the pattern's resource allows more."
        ),
        scope=_GRID,
    ),
    Failure(
        code="deployment-stalled",
        patterns=("waiting for deployment … timed out", "error waiting deployment"),
        reason="the node accepted the machine and then made no progress for minutes",
        fix="tfgrid-compose up {name} --node ID",
        about=(
            "The provider gives up when nothing changes for 4 minutes. The node loads the image slowly, or hangs. The "
            "contract is cancelled; `tfgrid-compose down` makes sure of it. Another node is the surest way."
        ),
        scope=_GRID,
    ),
    Failure(
        code="grid-timeout",
        patterns=("context deadline exceeded", "Client.Timeout exceeded"),
        reason="a node or a service of the grid did not answer in time",
        fix="run `tfgrid-compose up {name}` again; if it fails again, choose another node with --node",
        about=(
            "The message does not say who was silent. Nodes that are switched off, the relay and the directory all look "
            "like this. The lines before it in the log name the node or the service."
        ),
        transient=True,
        scope=_GRID,
    ),
    Failure(
        code="grid-no-connection",
        patterns=("dial tcp … connection refused", "dial tcp … network is unreachable", "i/o timeout"),
        reason="this computer can't reach a server of the grid",
        fix="check this computer's connection and firewall for port 443, then run `tfgrid-compose up {name}`",
        about=(
            "Chain, relay and directory are reached over port 443. A firewall that drops connections, a VPN, or a server "
            "that is down look the same. `curl -I https://gridproxy.grid.tf/ping` shows whether the way is free."
        ),
        transient=True,
        scope=_GRID,
    ),
    Failure(
        code="revert-failed",
        patterns=("failed to revert deployments",),
        reason="a change failed and could not be taken back: part of it may still run",
        fix="tfgrid-compose down {name}",
        about=(
            "The provider undoes a change that fails in the middle, and the undoing failed too. Contracts may be left "
            "that cost TFT. `down` cancels what it finds; compare with the list of contracts on the dashboard."
        ),
        scope=_GRID,
    ),
    Failure(
        code="provider-connect",
        patterns=("error creating threefold plugin client",),
        reason="the grid's provider could not connect to the grid with this account",
        fix="tfgrid-compose logs {name} --hook terraform",
        about=(
            "Before its first action the provider checks the mnemonic, the chain, the account, its balance and twin, the "
            "relay and the directory, in this order. The message says at which of them it stopped."
        ),
        scope=_GRID,
    ),
)
