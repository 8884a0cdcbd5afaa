"""The chain: reaching it, and what it says to transactions."""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_GRID = ("grid",)

ROWS = (
    Failure(
        code="chain-behind",
        patterns=("is behind acceptable delay with timestamp",),
        reason="the chain's server lags behind, or the clock of this computer is wrong",
        fix="timedatectl set-ntp true",
        about=(
            "The provider compares the time of the last block with the clock of this computer. `timedatectl` shows "
            "whether the clock is synchronised. When it is, the server of the chain is out of step, and another try may "
            "meet a better one."
        ),
        transient=True,
        scope=_GRID,
    ),
    Failure(
        code="node-without-chain",
        patterns=("failed to get twin public key", "couldn't get twin public key"),
        reason="the node can't reach the chain",
        fix="tfgrid-compose up {name} --node ID",
        about=(
            "The node asks the chain for your twin's key before it accepts a deployment, and got no answer. That is the "
            "node's connection, not yours. It often passes; otherwise choose another node."
        ),
        transient=True,
        scope=_GRID,
    ),
    Failure(
        code="transaction-race",
        patterns=("Priority is too low", "Transaction is outdated", "is usurped"),
        reason="two programs used the account at the same moment",
        fix="end other deployments of this account, then run `tfgrid-compose up {name}`",
        about=(
            "Every transaction of an account has the next number of a row. When two programs take the same number, the "
            "chain drops one of the two. Run one deployment at a time with one account, or use one account for each."
        ),
        transient=True,
        scope=_GRID,
    ),
    Failure(
        code="transaction-invalid",
        patterns=("1010: Invalid Transaction",),
        reason="the chain refused a transaction, most likely because its fee can't be paid",
        fix="look at the account's balance on the dashboard, send TFT to it, then run `tfgrid-compose up {name}`",
        about=(
            "1010 is the chain's general refusal. Nearly always the free balance does not cover the fee. A transaction "
            "that is too old is refused in this way too; then another try helps."
        ),
        scope=_GRID,
    ),
    Failure(
        code="chain-unreachable",
        patterns=(
            "could not get substrate client",
            "error connecting to substrate at",
            "error getting latest metadata at",
        ),
        reason="the chain of this network does not answer",
        fix="check that this computer can open wss:// connections on port 443, then run `tfgrid-compose up {name}`",
        about=(
            "The provider talks to the chain before anything else. Either the chain's server is down, or DNS, a proxy or "
            "a firewall of this computer is in the way. `curl -I https://tfchain.grid.tf` shows which: any answer means "
            "that the way is free."
        ),
        transient=True,
        scope=_GRID,
    ),
    Failure(
        code="chain-slow",
        patterns=("extrinsic timeout waiting for block", "failed to submit extrinsic"),
        reason="the chain did not take the transaction in time",
        fix="tfgrid-compose up {name}",
        about=(
            "A transaction must be part of a block within a time limit. The chain can be slow, or two programs use one "
            "account at once. Contracts that were made nevertheless are found and used by the next run."
        ),
        transient=True,
        scope=_GRID,
    ),
)
