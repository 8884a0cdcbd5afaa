"""Who pays for a deployment: contracts can only be found, changed and cancelled with the account that made them."""

from __future__ import annotations

from tfgrid_compose.errors import GridError, TfgridError
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.state.store import Deployment


def payer_of(deployment: Deployment) -> str:
    """The address that the deployment's contracts were made with; empty when nothing was bought, or nothing is really paid."""
    return str(deployment.data.get("account") or "")


def same_payer(grid: Grid, deployment: Deployment) -> None:
    """Raise `GridError` when somebody else is signed in than who pays for the deployment, or nobody.

    To another account its contracts look like none: they would be bought again, or forgotten while they cost.
    """
    before = payer_of(deployment)
    if not before or (now := grid.payer()) == before:
        return
    network = deployment.network
    raise GridError(
        f"{deployment.name} belongs to another account",
        why=f"{before} pays for its contracts on network {network}, and {now} is signed in; only who made them can change or "
        "cancel them",
        fix=f"sign in with the mnemonic of {before}: tfgrid-compose signin --network {network}; "
        "`tfgrid-compose whoami` says where the other one comes from. When that account is lost: "
        f"tfgrid-compose down {deployment.name} --forget",
        code="account-changed",
    )


# What is known of the account, and not that somebody could not be asked.
_LACKS = ("account-without-twin", "balance-too-low", "account-not-verified", "provider-url")


def unable_payer(grid: Grid) -> list[str]:
    """What a plan says where `up` would refuse because of the account; nothing where it would not, or nobody can say."""
    try:
        grid.may_buy()
    except TfgridError as error:
        return [f"anything that costs, because {error.what}: {error.why}"] if error.code in _LACKS else []
    return []


def strange_payer(grid: Grid, deployment: Deployment) -> list[str]:
    """What a plan says where `up` would refuse; nothing where it would not, or where nobody is signed in."""
    try:
        same_payer(grid, deployment)
    except GridError as error:
        return [f"anything that costs, because {error.what}: {error.why}"] if error.code == "account-changed" else []
    return []
