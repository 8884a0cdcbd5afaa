"""What is lost when a machine that ended on the grid is made anew, and what could bring it back: said before consent."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from tfgrid_compose.deploy.context import Context
from tfgrid_compose.errors import GridError


def lost_data(context: Context) -> tuple[str, ...]:
    """A sentence for each machine whose contract is gone. Asks the grid; where that does not answer, nothing is known."""
    machines = context.deployment.machines
    if not machines:
        return ()
    try:
        there = {contract.id for contract in context.grid.contracts(context.deployment.id)}
        gone = [item for item in machines if not _stands(context, item, there)]
    except GridError:
        return ()
    return tuple(_sentence(context, item) for item in gone)


def _stands(context: Context, machine: dict[str, Any], there: set[int]) -> bool:
    number = str(machine.get("contract", ""))
    # One that is not listed may live all the same.
    return not number.isdecimal() or int(number) in there or context.grid.alive([int(number)])


def _sentence(context: Context, machine: dict[str, Any]) -> str:
    disks = [disk["name"] for disk in context.deployment.data.get("disks") or []]
    which = f"its root disk and its data disk{'s' if len(disks) > 1 else ''} {', '.join(disks)} are" if disks else "its disk is"
    return (
        f"machine {machine['name']} ended on the grid; it is made anew, and {which} new and empty. {_way_back(context, machine)}"
    )


def _way_back(context: Context, machine: dict[str, Any]) -> str:
    """How the data can be had again, newest snapshot first."""
    if not context.grid.can_snapshot:
        return "This grid keeps no snapshots; what the app itself has saved elsewhere has to be brought back by hand"
    names: list[str] = []
    with suppress(GridError):
        names = context.grid.snapshots([int(machine["contract"])])
    known = {release.id: release.number for release in context.store.releases(context.deployment.id)}
    found = [known[name] for name in reversed(names) if name in known]
    if not found:
        return "No snapshot of it is left: those were on its node, and went with it"
    way = f"`tfgrid-compose rollback {context.deployment.name} --to {found[0]} --with-data`"
    return f"A snapshot of its disks exists, as they were with release #{found[0]}; {way} brings them back"
