"""What has to be done at a provider, so that names lead where they should; and whose records stand in the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tfgrid_compose.drivers.dns.names import LEADING, Record
from tfgrid_compose.drivers.dns.zones import Found, Zone


@dataclass(frozen=True)
class Changes:
    """Records to make, to change and to delete. `foreign` are records of others that lead the same names elsewhere."""

    create: tuple[Record, ...] = ()
    change: tuple[tuple[Found, Record], ...] = ()
    delete: tuple[Found, ...] = ()
    foreign: tuple[Found, ...] = ()

    @property
    def made(self) -> tuple[Record, ...]:
        """Records that are there once this is done, and were not before."""
        return (*self.create, *(wanted for _, wanted in self.change))

    @property
    def count(self) -> int:
        """How many requests change something."""
        return len(self.create) + len(self.change) + len(self.delete)


def compare(wanted: Iterable[Record], found: Iterable[Found], ours: Iterable[Record]) -> Changes:
    """What to do. `ours` are records that we made.

    A record of somebody else that is as wanted is left as it is, and stays somebody else's. Other types, such as MX and
    TXT, are not looked at.
    """
    needed, mine, seen = dict.fromkeys(wanted), set(ours), list(found)
    names = {record.name for record in needed}
    stale: list[Found] = []
    foreign: list[Found] = []
    for item in seen:
        if item.record in needed:
            continue
        if item.record in mine:
            stale.append(item)
        elif item.record.name in names and item.record.type in LEADING:
            foreign.append(item)
    there = {item.record for item in seen}
    create, change = [], []
    for record in needed:
        if record in there:
            continue
        old = next((item for item in stale if (item.record.name, item.record.type) == (record.name, record.type)), None)
        if old:
            stale.remove(old)
            change.append((old, record))
        else:
            create.append(record)
    return Changes(tuple(create), tuple(change), tuple(stale), tuple(foreign))


def carry_out(zone: Zone, changes: Changes) -> None:
    """Do it. Raises `DnsError`; what was done until then stays, and another comparison goes on from there."""
    # A name that is an alias can't have an address beside it, so what is in the way goes first.
    aliases = [item for item in changes.delete if item.record.type not in ("A", "AAAA")]
    for item in aliases:
        zone.delete(item)
    for record in changes.create:
        zone.create(record)
    for item, record in changes.change:
        zone.change(item, record)
    for item in changes.delete:
        if item not in aliases:
            zone.delete(item)
