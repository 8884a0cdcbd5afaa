"""Steps `domain` and `dns`: the domain's record, looked at before anything is rented, and made before the hooks run."""

from __future__ import annotations

import json

from tfgrid_compose.deploy import domain as domains
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.domain import Wanted
from tfgrid_compose.deploy.records import Keeper, View, look
from tfgrid_compose.deploy.steps.base import UNKNOWN, Step
from tfgrid_compose.drivers.dns import names
from tfgrid_compose.drivers.dns.names import Record
from tfgrid_compose.drivers.dns.providers import known
from tfgrid_compose.errors import DnsError
from tfgrid_compose.observe.events import notice
from tfgrid_compose.words import count

# Seconds for a zone's servers to answer with a new record. Providers publish within seconds to two minutes.
DEADLINE = 120.0


def steps(context: Context) -> tuple[list[Step], list[Step]]:
    """What comes before all other steps, and what comes after `reach`."""
    domain = wanted(context)
    if domain is None:
        return [], [Dns()] if context.deployment.data.get("dns") else []
    return ([Domain()] if _publishes(context, domain) else []), [Dns()]


def wanted(context: Context) -> Wanted | None:
    """The domain that is to lead to the app. Raises `ManifestError`."""
    values = context.environment.values
    return domains.wanted(context.app.manifest, values, domains.looker(context.store, context.deployment, values))


def keeper(context: Context, step: str) -> Keeper:
    """Who makes the records."""
    values = domains.looker(context.store, context.deployment, context.environment.values)
    return Keeper(context.store, context.deployment, values, context.redactor, lambda text: context.progress(step, text, True))


def target(context: Context, domain: Wanted) -> tuple[Record, ...]:
    """The records that are to be; none before there is a machine."""
    return domains.published(domain, context.hook_machine()) if context.machines() else ()


def _publishes(context: Context, domain: Wanted) -> bool:
    """Whether records go to a provider: not where they are made by hand, and not on a grid whose addresses nobody reaches."""
    return not domain.is_manual and context.grid.global_addresses


def seen(context: Context) -> View | None:
    """What the zone's servers answer now; None where we made no record."""
    domain = wanted(context)
    if domain is None or not _publishes(context, domain) or not domains.ours(context.deployment):
        return None
    return look(domain, target(context, domain))


class Domain(Step):
    """Before anything is rented: the provider lets us in, has the zone, and the name is free."""

    name = "domain"
    changes_machine = False
    expected = 1.0

    def describe(self, context: Context) -> str:
        """Provider and zone. Raises `ManifestError` without a public address, `DnsError` without credentials."""
        domain = _wanted(context)
        domains.needs_public_address(domain, context.networks.provision)
        found = keeper(context, self.name)
        found.access(domain.provider)
        return f"{known(domain.provider).title} lets us change zone {domain.zone}, and {' and '.join(domain.names)} is free"

    def inputs(self, context: Context) -> dict[str, str]:
        """Names, zone, provider, and a fingerprint of the credentials."""
        domain = _wanted(context)
        found = keeper(context, self.name).access(domain.provider)
        secret = json.dumps({key: value.reveal() for key, value in found.values.items()}, sort_keys=True).encode()
        return {"names": ",".join(domain.names), "zone": domain.zone, "provider": domain.provider,
                "credentials": context.store.vault.fingerprint(secret)}  # fmt: skip

    def apply(self, context: Context) -> str:
        """Ask the provider. Raises `DnsError`."""
        domain, made = _wanted(context), keeper(context, self.name)
        made.want(domain)
        context.deployment = made.deployment
        made.check(domain, target(context, domain))
        return f"{domain.name} at {known(domain.provider).title}"


class Dns(Step):
    """The records that lead the domain to the machine's public addresses; those of a domain that is not wanted any more go."""

    name = "dns"
    changes_machine = False
    expected = 6.0

    def describe(self, context: Context) -> str:
        """What leads where. Raises `ManifestError` when the machine will have no public address."""
        domain = wanted(context)
        if domain is None:
            old = sorted({item.record.name for item in domains.ours(context.deployment)})
            gone = f"the records of {', '.join(old)} are deleted"
            return gone if old else "the domain is forgotten; its record was made by hand"
        domains.needs_public_address(domain, context.networks.provision)
        both, found = " and ".join(domain.names), target(context, domain)
        where = ", ".join(dict.fromkeys(item.content for item in found)) or "the machine's public address"
        if not _publishes(context, domain):
            return f"{both} -> {where}: shows the record to make"
        return f"{both} -> {where}, at {known(domain.provider).title}"

    def inputs(self, context: Context) -> dict[str, str]:
        """Names, zone, provider and addresses."""
        domain = wanted(context)
        if domain is None:
            return {"names": ""}
        kept = {"names": ",".join(domain.names), "zone": domain.zone, "provider": domain.provider, "ttl": str(domain.ttl)}
        found = target(context, domain)
        if not context.machines():
            return {**kept, "addresses": UNKNOWN}
        return {**kept, "addresses": ",".join(sorted({f"{item.type} {item.content}" for item in found}))}

    def probe(self, context: Context) -> bool:
        """Whether the zone's servers answer rightly; where they can't be asked, they are believed to."""
        domain = wanted(context)
        if domain is None or not self._at_provider(context, domain):
            return True
        found = look(domain, target(context, domain))
        if found.right is None:
            context.unchecked.append(f"where {domain.name} leads: {found.why or 'no server of its zone answers'}")
        return found.right is not False

    def _at_provider(self, context: Context, domain: Wanted) -> bool:
        return _publishes(context, domain) and all(names.is_global(item) for item in target(context, domain))

    def apply(self, context: Context) -> str:
        """Make and prove the records, then wait until the zone's servers have them. Raises `DnsError`."""
        domain, made = wanted(context), keeper(context, self.name)
        try:
            if domain is None:
                gone = made.withdraw()
                made.forget()
                return f"{count(gone, 'record')} deleted"
            return self._lead(context, domain, made)
        finally:
            context.deployment = made.deployment

    def _lead(self, context: Context, domain: Wanted, made: Keeper) -> str:
        found = target(context, domain)
        if not found:
            raise _no_address(domain)
        if not self._at_provider(context, domain):
            made.want(domain)
            self._drop_old(context, domain, made)
            return self._by_hand(context, domain, found)
        changed = made.apply(domain, found)
        self._drop_old(context, domain, made)
        late = self._wait(context, domain, found)
        done = f"{count(changed, 'record')} changed" if changed else "as it should be"
        return f"{domain.name}: {done}" + (f"; {late}" if late else ", and the zone's servers answer with it")

    def _drop_old(self, context: Context, domain: Wanted, made: Keeper) -> None:
        """Records of an earlier zone or provider: what can't be deleted is told, and stays remembered."""
        try:
            made.withdraw(leave=domain)
        except DnsError as error:
            context.stream.emit(notice(f"{context.redactor.told(error.what, error.why)}; next: {error.fix}", "warning"))

    def _wait(self, context: Context, domain: Wanted, found: tuple[Record, ...]) -> str:
        """What is still missing after the deadline, in words; the record is made, so that is no failure."""
        from tfgrid_compose.drivers.dns import authority

        try:
            asked = authority.servers(domain.zone)
            said = authority.wait(
                asked, domain.names, found, DEADLINE, lambda text: context.progress(self.name, text, True)
            )  # fmt: skip
        except DnsError as error:
            told = context.redactor.told(error.what, error.why)
            context.stream.emit(notice(f"{domain.name} could not be checked: {told}", "warning"))
            return "not checked"
        late = [item.text for item in said if not item.fits(found)]
        if not late:
            return ""
        title = known(domain.provider).title
        context.stream.emit(
            notice(f"{title} has the record, but {'; '.join(late)}. `tfgrid-compose dns {context.deployment.name}` looks again; "
                   f"if it stays so, {domain.zone} may be served by others than {title}", "warning")
        )  # fmt: skip
        return "the zone's servers don't have it yet"

    def _by_hand(self, context: Context, domain: Wanted, found: tuple[Record, ...]) -> str:
        if not domain.is_manual:
            context.stream.emit(
                notice(f"{', '.join(dict.fromkeys(item.content for item in found))} can't be reached from the internet, so "
                       f"no record is made for {domain.name}", "warning")
            )  # fmt: skip
            return "not made: the address is not the internet's"
        if look(domain, found).right:
            return f"{domain.name} leads here"
        lines = "; ".join(item.line(domain.ttl) for item in found)
        context.stream.emit(
            notice(f"make this record in zone {domain.zone}: {lines}. `tfgrid-compose dns {context.deployment.name}` checks it",
                   "warning")
        )  # fmt: skip
        return f"{domain.name} does not lead here yet"


def _wanted(context: Context) -> Wanted:
    found = wanted(context)
    assert found is not None, "this step only exists when there is a domain"
    return found


def _no_address(domain: Wanted) -> DnsError:
    return DnsError(
        f"{domain.name} can lead nowhere: the machine has no public address",
        why="the grid gave it none, although the manifest asks for one",
        fix="choose another node with --node, then run `tfgrid-compose up` again",
        code="dns-no-address",
    )
