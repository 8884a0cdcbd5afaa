"""One zone at a provider: its records, and single changes to them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from tfgrid_compose.drivers.dns.names import Record, plain, record, registrable, within
from tfgrid_compose.drivers.dns.providers import Access, Provider
from tfgrid_compose.errors import ManifestError


@dataclass(frozen=True)
class Found:
    """A record at the provider, with the provider's name for it."""

    record: Record
    id: str


class Zone(Protocol):
    """What a zone can do. Every method raises `DnsError`."""

    def records(self, names: Iterable[str]) -> list[Found]:
        """All records of these names."""

    def create(self, wanted: Record) -> None:
        """Make a record; one that is there already is no error."""

    def change(self, found: Found, wanted: Record) -> None:
        """Give a record of the same name and type another content."""

    def delete(self, found: Found) -> None:
        """Delete a record."""


class Remote:
    """A zone at one of the library's providers. Every method raises `DnsError`."""

    def __init__(self, client: Any, provider: Provider, zone: str, explained: Callable[[], AbstractContextManager[None]]) -> None:
        self._client, self._provider, self._zone, self._explained = client, provider, zone, explained

    def records(self, names: Iterable[str]) -> list[Found]:
        """All records of these names, whatever their type."""
        wanted = sorted(set(names))
        with self._explained():
            listed = [self._found(item) for item in self._listed(wanted)]
        # Filters of the library differ: some take a part of a name for the name.
        return list({item.id: item for item in listed if item.record.name in wanted}.values())

    def _listed(self, wanted: list[str]) -> list[dict[str, Any]]:
        if self._provider.whole_zones:
            return list(self._client.list_records())
        return [item for name in wanted for item in self._client.list_records(name=name)]

    def _found(self, item: dict[str, Any]) -> Found:
        name = plain(str(item["name"])).removeprefix("@.")
        name = name if within(name, self._zone) else f"{name}.{self._zone}"
        return Found(record(name, str(item["type"]), str(item["content"])), str(item["id"]))

    def _name(self, name: str) -> str:
        """Namecheap calls the zone's own name `@`."""
        return "@" if self._provider.whole_zones and name == self._zone else name

    def create(self, wanted: Record) -> None:
        """Make a record; one that is there already is no error."""
        with self._explained():
            self._client.create_record(wanted.type, self._name(wanted.name), wanted.content)

    def change(self, found: Found, wanted: Record) -> None:
        """Give a record of the same name and type another content, in one request where the provider can."""
        if self._provider.whole_zones:
            self.create(wanted)
            self.delete(found)
            return
        with self._explained():
            self._client.update_record(found.id, wanted.type, wanted.name, wanted.content)

    def delete(self, found: Found) -> None:
        """Delete a record."""
        # Namecheap gives all records new ids with every change; and to go by name and content would take more than this one.
        known = [found]
        if self._provider.whole_zones:
            known = [item for item in self.records([found.record.name]) if item.record == found.record]
        with self._explained():
            for item in known:
                self._client.delete_record(item.id)


@contextmanager
def opened(access: Access, zone: str, ttl: int) -> Iterator[Zone]:
    """The zone, after the credentials were tried. Raises `DnsError`, `ManifestError` for a zone that can't be one there."""
    from tfgrid_compose.drivers.dns import lexicons, refusals

    whole = registrable(zone, private=False)
    if access.provider.whole_zones and zone != whole:
        raise ManifestError(
            f"{access.provider.title} has no zone {zone}",
            why=f"it knows only whole domains, such as {whole}",
            fix=f"set `domain.zone` to {whole} in the manifest, or leave it out",
            code="domain-zone-wrong",
        )
    with lexicons.opened(access, zone, access.provider.seconds(ttl)) as client:
        yield Remote(client, access.provider, zone, functools.partial(refusals.explained, access.provider, zone))
