"""The library's client of Namecheap, which has to be held back: every change there writes the whole zone anew."""

from __future__ import annotations

from typing import Any

from tfgrid_compose.drivers.dns.providers import Provider
from tfgrid_compose.drivers.dns.refusals import no_access, no_zone, refused, short, too_often, unreachable
from tfgrid_compose.errors import DnsError

# Numbers of Namecheap's errors (its API documents): the key, the account or the caller's address; the domain; too often.
_KEY = {"1010101", "1010102", "1010104", "1011102", "1011105", "1011147", "1011150", "1016102", "1017101", "1017105",
                  "1017150", "1017411", "1030408"}  # fmt: skip
_DOMAIN = {"2019166", "2016166", "2030166", "3031510"}
_OFTEN = {"500000"}
# What Namecheap's setHosts takes; any other record of the zone would be lost by it.
_TYPES = {"A", "AAAA", "ALIAS", "CAA", "CNAME", "MX", "MXE", "NS", "TXT", "URL", "URL301", "FRAME"}


def client(base: Any) -> Any:
    """The class `base` with our checks: keeps the zone's kind of mail, and loses no record that it can't write."""

    class Api(base):  # type: ignore[misc]
        def __init__(self, provider: Provider, zone: str, *words: Any, **more: Any) -> None:
            super().__init__(*words, **more)
            self._provider, self._zone, self._mail = provider, zone, ""

        def call(self, command: str, extra_payload: dict[str, Any] | None = None) -> Any:
            """One request. Raises `DnsError`."""
            extra = dict(extra_payload or {})
            if command.endswith(".setHosts") and self._mail:
                extra["EmailType"] = self._mail
            try:
                answer = super().call(command, extra)
            except Exception as error:
                known = _meant(self._provider, self._zone, error)
                if known is None:
                    raise
                raise known from error
            if command.endswith(".getHosts"):
                self._mail = _kind_of_mail(self._provider, self._zone, answer)
            return answer

    return Api


def _kind_of_mail(provider: Provider, zone: str, answer: Any) -> str:
    """`EmailType` of a zone, which is to be sent back with every change. Raises `DnsError` when a change would do harm."""
    result = next((item for item in answer.iter() if item.tag.endswith("DomainDNSGetHostsResult")), None)
    if result is None:
        raise unreachable(provider, "its answer lists no hosts")
    if result.attrib.get("IsUsingOurDNS", "true").lower() != "true":
        raise refused(provider, f"{zone} is served by other name servers than Namecheap's")
    lost = sorted({host.attrib.get("Type", "") for host in result} - _TYPES)
    if lost:
        raise refused(provider, f"the zone has records of type {', '.join(lost)}, which a change here would delete")
    return str(result.attrib.get("EmailType", ""))


def _meant(provider: Provider, zone: str, error: Exception) -> DnsError | None:
    """What one of its numbers means; None for what is no error of its interface."""
    number, text = str(getattr(error, "number", "")), short(str(getattr(error, "text", "") or ""))
    if not number:
        return None
    if number in _KEY:
        return no_access(provider, zone, text)
    if number in _DOMAIN:
        return no_zone(provider, zone)
    return too_often(provider) if number in _OFTEN else refused(provider, text or "it did not say why")
