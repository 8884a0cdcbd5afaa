"""What went wrong with a gridproxy, as errors with a reason and a next command."""

from __future__ import annotations

from tfgrid_compose.errors import GridError, NotFoundError
from tfgrid_compose.grids.asking import IN_PROCESS, Unanswered
from tfgrid_compose.grids.networks import Network
from tfgrid_compose.grids.reading import Failed

_NONE_KEPT = "no earlier answer to this question is kept"


def trouble(network: Network, unanswered: Unanswered, kept: bool = False) -> GridError:
    """The error for a question that no URL answered; `kept` says that an older answer was looked for in vain."""
    last = unanswered.failures[-1]
    why = f"{_place(last)}: {last.why}" + (f"; {_NONE_KEPT}" if kept else "")
    details = [f"{_place(item)}: {item.why}" for item in unanswered.failures] if len(unanswered.failures) > 1 else []
    return _by_kind(network, last, why, details)


def _by_kind(network: Network, last: Failed, why: str, details: list[str]) -> GridError:
    name, look = network.name, _look(network, last)
    if last.kind == "unreachable":
        return GridError(
            f"gridproxy of network {name} can't be reached", why=why, details=details, code="gridproxy-unreachable",
            fix=f"look at your connection with `{look}`, then run the command again",
        )  # fmt: skip
    if last.kind == "slow":
        return GridError(
            f"gridproxy of network {name} is too slow", why=why, details=details, code="gridproxy-slow",
            fix=f"see how long `{look}` takes, then run the command again",
        )  # fmt: skip
    if last.kind in ("refused", "missing"):
        return GridError(
            f"gridproxy of network {name} refused a question", why=why, details=details, code="gridproxy-refused",
            fix="ask in another way; `tfgrid-compose nodes --help` and `tfgrid-compose contracts --help` list what can be asked",
        )  # fmt: skip
    if last.kind == "failing":
        return GridError(
            f"gridproxy of network {name} fails", why=why, details=details, code="gridproxy-failing",
            fix=f"run the command again in some minutes; `{look}` tells whether it is up",
        )  # fmt: skip
    return GridError(
        f"gridproxy of network {name} answered what can't be used", why=why, details=details, code="gridproxy-answer",
        fix=f"run the command again; `{look}` shows whether gridproxy itself answers",
    )  # fmt: skip


def unkept(network: Network, path: str) -> GridError:
    """The error for an offline question whose answer is not kept, or never is."""
    return GridError(
        f"{path} of network {network.name} is not known offline",
        why=_NONE_KEPT,
        fix="run the command again without --offline",
        code="gridproxy-offline",
    )


def gone(network: Network, thing: str, id: int) -> NotFoundError:
    """The error for a node, farm or contract that the grid does not have."""
    what, why = f"there is no {thing} {id} on network {network.name}", "the grid has none with this id"
    if thing == "node":
        fix = f"tfgrid-compose nodes --network {network.name} lists them"
        return NotFoundError(what, why=why, fix=fix, code="node-not-found")
    if thing == "farm":
        fix = f"tfgrid-compose farms --network {network.name} lists them"
        return NotFoundError(what, why=why, fix=fix, code="farm-not-found")
    fix = f"tfgrid-compose contracts list --network {network.name} lists yours"
    return NotFoundError(what, why=f"{why}, or it is too new", fix=fix, code="contract-not-found")


def _place(failed: Failed) -> str:
    """The URL without what was asked; in this process only the path."""
    return failed.url.removeprefix(IN_PROCESS).partition("?")[0]


def _look(network: Network, failed: Failed) -> str:
    """A command that shows whether the URL that failed answers; in this process there is no URL."""
    bases = [base.rstrip("/") for base in network.gridproxy]
    base = next((base for base in bases if failed.url.startswith(base)), "")
    return f"curl -fsS {base}/ping" if base else "tfgrid-compose doctor"
