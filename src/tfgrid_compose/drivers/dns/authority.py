"""What a zone's own servers answer: they are asked directly, so that no cache stands between.

Which servers these are, this computer's resolver says; it is never asked for the name itself, because it would keep a
`no such name` for others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfgrid_compose.drivers.dns.names import Record, record
from tfgrid_compose.errors import DnsError

if TYPE_CHECKING:
    import dns.message
    import dns.resolver

PORT = 53
TYPES = ("A", "AAAA")
# Seconds: one question to a server, all questions to the resolver, and between two looks while something is awaited.
_PATIENCE, _RESOLVER_PATIENCE, PAUSE = 3.0, 6.0, 2.0


@dataclass(frozen=True)
class Server:
    """A server of a zone."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """What one server answers for the names: all that leads anywhere; None when it did not answer, and `why`."""

    server: str
    records: frozenset[Record] | None
    why: str = ""

    def fits(self, wanted: Iterable[Record]) -> bool:
        """Whether it answers with these, and with nothing else."""
        return self.records == frozenset(wanted)

    @property
    def text(self) -> str:
        """For people."""
        if self.records is None:
            return f"{self.server} {self.why}"
        listed = [f"{item.name} {item.type} {item.content}" for item in sorted(self.records)]
        return f"{self.server} answers {', '.join(listed) or 'nothing'}"


def resolver() -> dns.resolver.Resolver:
    """This computer's resolver."""
    import dns.resolver

    return dns.resolver.Resolver()


def servers(zone: str) -> list[Server]:
    """The servers of a zone, as the internet knows them. Raises `DnsError` when nobody can say."""
    import dns.exception
    import dns.resolver

    try:
        asker = resolver()
        asker.lifetime = _RESOLVER_PATIENCE
        hosts = sorted(str(item.target).rstrip(".").lower() for item in asker.resolve(f"{zone}.", "NS"))
        found = [Server(host, tuple(_addresses(asker, host))) for host in hosts]
    except dns.resolver.NXDOMAIN as error:
        raise _unserved(zone, "there is no such domain on the internet", "register it, or correct `domain`") from error
    except dns.resolver.NoAnswer as error:
        raise _unserved(zone, "it is no zone of its own", "correct `domain.zone` in the manifest") from error
    except dns.exception.DNSException as error:
        raise _unserved(zone, "this computer's resolver does not answer", "check this computer's connection") from error
    found = [server for server in found if server.addresses]
    if not found:
        raise _unserved(zone, "its servers have no addresses", "look at the name servers that its registrar has for it")
    return found


def _unserved(zone: str, why: str, fix: str) -> DnsError:
    return DnsError(f"the servers of zone {zone} can't be found", why=why, fix=fix, code="dns-unserved")


def _addresses(asker: dns.resolver.Resolver, host: str) -> list[str]:
    import dns.exception

    found: list[str] = []
    for type in TYPES:
        try:
            found += [str(item.address) for item in asker.resolve(f"{host}.", type)]
        except dns.exception.DNSException:
            continue
    return found


def look(asked: Sequence[Server], names: Iterable[str]) -> list[Said]:
    """What each server answers for the names, all servers at once."""
    wanted = sorted(set(names))
    with ThreadPoolExecutor(max_workers=max(1, min(8, len(asked)))) as pool:
        return list(pool.map(lambda server: _ask(server, wanted), asked))


def _ask(server: Server, names: Sequence[str]) -> Said:
    why = "does not answer"
    for address in server.addresses:
        try:
            found = [item for name in names for type in TYPES for item in _question(address, name, type)]
            return Said(server.name, frozenset(found))
        except OSError:
            continue  # No way there from here, as with IPv6 on many computers.
        except _Unusable as error:
            why = str(error)
    return Said(server.name, None, why)


class _Unusable(Exception):
    """An answer that says nothing about the name."""


def _question(address: str, name: str, type: str) -> list[Record]:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.query
    import dns.rcode

    query = dns.message.make_query(f"{name}.", type)
    query.flags &= ~dns.flags.RD
    try:
        answer, _ = dns.query.udp_with_fallback(query, address, timeout=_PATIENCE, port=PORT)
    except dns.exception.DNSException as error:
        raise _Unusable("does not answer") from error
    if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise _Unusable(f"refuses to answer ({dns.rcode.to_text(answer.rcode())})")
    if not answer.answer and not answer.flags & dns.flags.AA:
        raise _Unusable(f"says that {name} is in another zone")
    return _leading(answer)


def _leading(answer: dns.message.Message) -> list[Record]:
    import dns.rdatatype

    found = []
    for rrset in answer.answer:
        type = dns.rdatatype.to_text(rrset.rdtype)
        if type in (*TYPES, "CNAME"):
            found += [record(rrset.name.to_text(), type, item.to_text()) for item in rrset]
    return found


def wait(
    asked: Sequence[Server], names: Iterable[str], wanted: Iterable[Record], deadline: float, say: Callable[[str], None],
    *, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic,
) -> list[Said]:  # fmt: skip
    """Ask until every server answers with what is wanted and nothing else, at most `deadline` seconds.

    Returns what they said last. `say` gets the reason for waiting, each time that it changes.
    """
    expected, known, end, told = frozenset(wanted), list(names), clock() + deadline, ""
    while True:
        found = look(asked, known)
        late = [said for said in found if not said.fits(expected)]
        if not late or clock() + PAUSE > end:
            return found
        reason = "; ".join(said.text for said in late)
        if reason != told:
            say(f"waiting for the zone's servers: {reason}")
            told = reason
        sleep(PAUSE)
