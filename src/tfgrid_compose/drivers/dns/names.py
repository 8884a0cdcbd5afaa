"""Names, zones and records, without asking anybody."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfgrid_compose.errors import ManifestError

if TYPE_CHECKING:
    from tldextract import TLDExtract

# Besides addresses, these decide where a name leads. The last ones are how registrars call their own redirects.
LEADING = ("A", "AAAA", "CNAME", "ALIAS", "ANAME", "URL", "URL301", "FRAME")


@dataclass(frozen=True, order=True)
class Record:
    """A record: name in lower case without a dot at its end, type, content."""

    name: str
    type: str
    content: str

    def line(self, ttl: int) -> str:
        """As it stands in a zone file."""
        return f"{self.name}. {ttl} IN {self.type} {self.content}"


def record(name: str, type: str, content: str) -> Record:
    """A record in one spelling: names in lower case, addresses as `ipaddress` writes them."""
    if type in ("A", "AAAA"):
        with contextlib.suppress(ValueError):  # Whatever a stranger wrote there is no address of ours.
            content = str(ipaddress.ip_address(content))
    elif type in ("CNAME", "ALIAS", "ANAME"):
        content = plain(content)
    return Record(plain(name), type, content)


def plain(name: str) -> str:
    """A name in lower case without the dot at its end."""
    return name.strip().rstrip(".").lower()


def within(name: str, zone: str) -> bool:
    """Whether a name is the zone's own or below it."""
    return name == zone or name.endswith(f".{zone}")


def addresses(names: Iterable[str], machine: Mapping[str, Any]) -> tuple[Record, ...]:
    """The records that lead names to a machine: its public addresses only, never those of mycelium or WireGuard."""
    found = []
    for type, key in (("A", "ipv4_address"), ("AAAA", "ipv6_address")):
        if machine.get(key):
            content = str(ipaddress.ip_interface(str(machine[key])).ip)
            found += [Record(name, type, content) for name in names]
    return tuple(found)


def is_global(found: Record) -> bool:
    """Whether an address is the internet's: not private, not kept for documents and tests."""
    return ipaddress.ip_address(found.content).is_global


# Zones


@functools.cache
def offline(private: bool) -> TLDExtract:
    """The public suffix list that came with its library; nothing is fetched, nothing is cached on disk.

    With `private`, suffixes that companies give away count too.
    """
    import tldextract

    return tldextract.TLDExtract(cache_dir=None, suffix_list_urls=(), include_psl_private_domains=private)


def registrable(name: str, *, private: bool = True) -> str:
    """The part of a name that somebody registered, such as `example.co.uk`; empty when the name has no public suffix."""
    parts = offline(private)(name)
    return plain(f"{parts.domain}.{parts.suffix}") if parts.domain and parts.suffix else ""


def zone_of(name: str, zone: str | None) -> str:
    """The zone that a name is in: the one that was given, else its registrable domain. Raises `ManifestError`."""
    if zone is None:
        found = registrable(name)
        if found:
            return found
        raise ManifestError(
            f"nothing says in which zone {name} is",
            why="its ending is on no list of public suffixes",
            fix=f"add `zone` under `domain` in the manifest, for example zone: {name.partition('.')[2] or name}",
            code="domain-zone-unknown",
        )
    given = plain(zone)
    if not within(name, given):
        raise ManifestError(
            f"{name} is not in zone {given}",
            why="a name is in a zone when it ends with the zone's name",
            fix="correct `domain.zone` in the manifest, or leave it out",
            code="domain-zone-wrong",
        )
    return given
