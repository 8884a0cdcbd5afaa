"""The records of a deployment's domain: made, corrected, proved, deleted; and what the zone's own servers answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfgrid_compose.deploy.domain import Made, Wanted, access, keep, ours, published, remembered, with_made
from tfgrid_compose.drivers.dns import changes, names, providers
from tfgrid_compose.drivers.dns.names import Record
from tfgrid_compose.drivers.dns.providers import Access, Look
from tfgrid_compose.errors import DnsError, TfgridError
from tfgrid_compose.observe.redact import Redactor
from tfgrid_compose.state.store import Deployment, Store

if TYPE_CHECKING:
    from tfgrid_compose.drivers.dns.zones import Zone


@contextmanager
def _zone_at(given: Access, zone: str, ttl: int) -> Iterator[Zone]:
    """A zone at its provider; the library is heavy, so it is loaded only now."""
    from tfgrid_compose.drivers.dns import zones

    with zones.opened(given, zone, ttl) as found:
        yield found


def shown(records: Iterable[Record]) -> str:
    """Records for people."""
    return ", ".join(f"{item.name} {item.type} {item.content}" for item in records)


class Keeper:
    """Makes the records of one deployment as they are wanted. The caller holds its lease."""

    def __init__(self, store: Store, deployment: Deployment, look: Look, redactor: Redactor, say: Callable[[str], None]) -> None:
        self._store, self.deployment, self._look, self._redactor, self._say = store, deployment, look, redactor, say

    def _save(self, made: Iterable[Made], domain: Wanted | None = None) -> None:
        self.deployment = self._store.save(with_made(self.deployment, made, domain))

    def _mine(self, domain: Wanted) -> list[Made]:
        return [item for item in ours(self.deployment) if (item.zone, item.provider) == (domain.zone, domain.provider)]

    def access(self, provider: str) -> Access:
        """A provider's credentials. Raises `DnsError` when some are missing."""
        return access(provider, self._look, self._redactor)

    def want(self, domain: Wanted) -> None:
        """Remember what is wanted."""
        self._save(ours(self.deployment), domain)

    def forget(self, records: bool = False) -> None:
        """Forget what was wanted; with `records` also what we made: then it belongs to somebody else."""
        made = [] if records else [item.to_dict() for item in ours(self.deployment)]
        self.deployment = self._store.save(self.deployment.with_data(dns={"made": made} if made else {}))

    def foreign(self, domain: Wanted, target: tuple[Record, ...]) -> list[Record]:
        """Records of others that lead the names elsewhere, after credentials and zone were tried. Raises `DnsError`.

        Without `target`, when there is no machine yet, that is whatever leads them anywhere.
        """
        # A record without content stands for an address that is not known yet.
        leading = target or tuple(Record(name, "A", "") for name in domain.names)
        with _zone_at(self.access(domain.provider), domain.zone, domain.ttl) as zone:
            found = changes.compare(leading, zone.records(domain.names), [item.record for item in self._mine(domain)])
        return [item.record for item in found.foreign]

    def check(self, domain: Wanted, target: tuple[Record, ...]) -> None:
        """Raise `DnsError` unless the provider lets us in, has the zone, and the names are free."""
        found = self.foreign(domain, target)
        if found:
            raise self._conflict(domain, found)

    def adopt(self, domain: Wanted, records: Iterable[Record]) -> None:
        """Treat records of others as ours from now on: they are corrected, and deleted by `down`."""
        self._save([*ours(self.deployment), *(Made(item, domain.zone, domain.provider) for item in records)], domain)

    def apply(self, domain: Wanted, target: tuple[Record, ...]) -> int:
        """Make, correct and prove the records; returns how many changed. Raises `DnsError`."""
        with _zone_at(self.access(domain.provider), domain.zone, domain.ttl) as zone:
            mine = [item.record for item in self._mine(domain)]
            known = {*domain.names, *(item.name for item in mine)}
            todo = changes.compare(target, zone.records(known), mine)
            if todo.foreign:
                raise self._conflict(domain, [item.record for item in todo.foreign])
            if todo.made:
                keep(self._store, self.deployment, domain.provider, self._look)
            # The intent, before anything is done: after a crash these are ours, and nothing else is.
            self.adopt(domain, todo.made)
            if todo.count:
                changes.carry_out(zone, todo)
            there = {item.record for item in zone.records(known)}
        lost = [item for item in target if item not in there]
        if lost:
            raise _not_taken(domain, lost)
        here = set(self._mine(domain))
        self._save([item for item in ours(self.deployment) if item not in here or item.record in there], domain)
        return todo.count

    def withdraw(self, leave: Wanted | None = None) -> int:
        """Delete our records, but those in the zone of `leave`, and prove it; returns how many there were. Raises `DnsError`.

        Where the records of `leave` are made by hand, those of its names stay: they lead there until somebody has made others.
        """
        stay = set(self._mine(leave)) if leave else set()
        if leave and leave.is_manual:
            stay |= {item for item in ours(self.deployment) if item.record.name in leave.names}
        places = {(item.provider, item.zone): None for item in ours(self.deployment) if item not in stay}
        return sum(self._withdraw_from(provider, zone, stay) for provider, zone in places)

    def _withdraw_from(self, provider: str, zone_name: str, stay: Collection[Made]) -> int:
        mine_here = [item for item in ours(self.deployment) if (item.provider, item.zone) == (provider, zone_name)]
        here = [item for item in mine_here if item not in stay]
        mine, known = {item.record for item in here}, sorted({item.record.name for item in here})
        title = providers.known(provider).title
        self._say(f"deleting {', '.join(known)} at {title}")
        with _zone_at(self.access(provider), zone_name, 300) as zone:
            found = [item for item in zone.records(known) if item.record in mine]
            for item in found:
                zone.delete(item)
            left = [item.record for item in zone.records(known) if item.record in mine] if found else []
        if left:
            raise DnsError(
                f"{shown(left)} could not be deleted",
                why=f"{title} still lists it",
                fix=f"delete it there by hand, then run `tfgrid-compose dns forget {self.deployment.name}`",
                code="dns-refused",
            )
        self._save([item for item in ours(self.deployment) if item not in set(here)])
        return len(found)

    def _conflict(self, domain: Wanted, foreign: list[Record]) -> DnsError:
        me = self.deployment
        others = [other for other in self._store.deployments() if other.id != me.id]
        holder = next((other for other in others if any(item.record in foreign for item in ours(other))), None)
        whose = f"deployment {holder.name} on {holder.network} made it" if holder else "this deployment did not make it"
        return DnsError(
            f"{domain.name} is in use: {shown(foreign)}",
            why=f"{whose}, so it is not changed",
            fix=f"delete it at {providers.known(domain.provider).title}, choose another name, or run "
            f"`tfgrid-compose dns apply {me.name} --replace`",
            code="dns-conflict",
        )


def _not_taken(domain: Wanted, lost: list[Record]) -> DnsError:
    return DnsError(
        f"{providers.known(domain.provider).title} did not take {shown(lost)}",
        why="it said yes, and does not list it",
        fix="look at the zone at the provider, then run the command again",
        code="dns-refused",
    )


# Looking


@dataclass(frozen=True)
class View:
    """What the zone's servers answer, compared with what is wanted; `why` when they could not be asked."""

    domain: Wanted
    records: tuple[Record, ...]
    servers: tuple[dict[str, Any], ...] = ()
    why: str = ""

    @property
    def right(self) -> bool | None:
        """Whether every server that answers does so rightly; None when none answers, or nothing is to be answered yet."""
        if not self.records:
            return None
        told = [item["right"] for item in self.servers if item["right"] is not None]
        return all(told) if told else None

    @property
    def problem(self) -> str:
        """What is wrong, in words; empty when nothing is, or the address is nobody's business but this computer's."""
        if self.right is not False or not all(names.is_global(item) for item in self.records):
            return ""
        wrong = "; ".join(item["answer"] for item in self.servers if item["right"] is False)
        return f"{self.domain.name} does not lead to it: {wrong}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        lines = [item.line(self.domain.ttl) for item in self.records]
        return {**self.domain.to_dict(), "records": lines, "right": self.right, "servers": list(self.servers), "why": self.why}


def look(domain: Wanted, target: tuple[Record, ...]) -> View:
    """Ask the zone's own servers once. Raises nothing that they can cause."""
    from tfgrid_compose.drivers.dns import authority

    try:
        said = authority.look(authority.servers(domain.zone), domain.names)
    except TfgridError as error:
        return View(domain, target, (), f"{error.what}: {error.why}")
    found = [
        {"server": item.server, "right": item.fits(target) if item.records is not None else None, "answer": item.text}
        for item in said
    ]
    return View(domain, target, tuple(found))


def view(deployment: Deployment, machine: Mapping[str, Any] | None) -> View | None:
    """The remembered domain of a deployment, as its zone's servers see it; None when it has none."""
    domain = remembered(deployment)
    if domain is None:
        return None
    return look(domain, published(domain, machine) if machine else ())
