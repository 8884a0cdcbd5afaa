"""Cancelling contracts: in turn with the runs that work on them, recorded, and proven."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from tfgrid_compose.deploy.contracts import Row, mark
from tfgrid_compose.deploy.turn import lease_name
from tfgrid_compose.errors import GridError, InterruptedError_, NotFoundError
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.grids.registry import open_grid
from tfgrid_compose.observe.events import Stream, notice
from tfgrid_compose.state import lease
from tfgrid_compose.state.audited import audited
from tfgrid_compose.state.store import Store
from tfgrid_compose.words import count

# Names of apps come from the contracts' public metadata, which anybody could have written.
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def cancel(store: Store, stream: Stream, rows: Sequence[Row], *, wait: float = 0.0) -> None:
    """Cancel contracts, a batch for each network, and look whether they are gone.

    The leases of the deployments concerned are held meanwhile, so that no run is cut; `wait` is in seconds. Raises
    `BusyError`, `GridError` when something is left, `InterruptedError_` when it was stopped in the middle.
    """

    def say(text: str) -> None:
        stream.emit(notice(text))

    with ExitStack() as stack:
        for name in sorted({name for row in rows for name in _lease_of(row)}):
            stack.enter_context(lease.hold(name, wait=wait, waiting=say))
        for network in dict.fromkeys(row.network for row in rows):
            mine = [row for row in rows if row.network == network]
            say(f"cancelling {count(len(mine), 'contract')} on network {network}")
            with _recorded(store, network, mine):
                _cancel(open_grid(network), [row.id for row in mine])
            for id in dict.fromkeys(row.deployment.id for row in mine if row.deployment):
                note_gone(store, id, [row.id for row in mine])


def note_gone(store: Store, id: str, contracts: Iterable[int]) -> None:
    """Remember that contracts of a deployment ended, so that nothing is told of it that is not so. The caller holds its lease."""
    with suppress(NotFoundError):
        item = store.deployment(id)
        gone = {*item.gone, *(set(contracts) & set(item.data.get("contracts", [])))}
        if gone != set(item.gone):
            store.save(item.with_data(gone=sorted(gone)))


def _lease_of(row: Row) -> list[str]:
    """The lease under which a run could be working on the contract."""
    if row.deployment:
        return [lease_name(row.deployment.name, row.network)]
    ours = mark(row.contract) and _NAME.fullmatch(row.contract.app)
    return [lease_name(row.contract.app, row.network)] if ours else []


@contextmanager
def _recorded(store: Store, network: str, rows: Sequence[Row]) -> Iterator[None]:
    """Two audit entries for each deployment concerned, one pair for what belongs to none."""
    with ExitStack() as stack:
        for id in dict.fromkeys(_audit_id(row) for row in rows):
            mine = [row for row in rows if _audit_id(row) == id]
            name = mine[0].deployment.name if mine[0].deployment else mine[0].app if id else ""
            ids = [row.id for row in mine]
            stack.enter_context(audited(store, "contracts cancel", id, name=name, network=network, contracts=ids))
        yield


def _audit_id(row: Row) -> str:
    return row.deployment.id if row.deployment else mark(row.contract)


def _cancel(grid: Grid, ids: list[int]) -> None:
    try:
        grid.cancel(ids)
        left = grid.remains(ids)
    except KeyboardInterrupt as stop:
        raise InterruptedError_(
            f"cancelling {count(len(ids), 'contract')} on network {grid.name} was stopped",
            why="what was sent to the grid already may still be carried out",
            fix=f"`tfgrid-compose contracts list --network {grid.name}` shows what is left",
        ) from stop
    if left:
        raise GridError(
            f"something on network {grid.name} is left: {', '.join(left[:3])}",
            why="it did not go away when it was cancelled",
            details=left,
            fix=f"tfgrid-compose contracts cancel {' '.join(map(str, ids))} --network {grid.name}",
            code="leftovers",
        )
