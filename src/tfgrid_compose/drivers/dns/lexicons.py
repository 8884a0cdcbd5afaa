"""The library `lexicon`, kept within bounds: deadlines, no output of its own, no list fetched from the network.

Its modules of providers call `requests` without a time limit, print, and let `tldextract` fetch its list; so the names
that they use for these are set to ours. What a provider refuses becomes a `DnsError` here, before the library makes one
of its own of it: some of those hold the whole URL, and with it a key.
"""

from __future__ import annotations

import functools
import io
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import requests

from tfgrid_compose.drivers.dns import namecheap, names
from tfgrid_compose.drivers.dns.providers import Access, Provider
from tfgrid_compose.drivers.dns.refusals import explained, message_of, no_access, too_often, unreachable

if TYPE_CHECKING:
    from lexicon.interfaces import Provider as Remote

# Seconds to connect, and between two pieces of an answer.
TIMEOUT = (10.0, 30.0)
# Numbers by which Cloudflare says that a token is malformed: it does so with status 400.
_MALFORMED_TOKEN = {6003, 6103, 6111}


@contextmanager
def opened(access: Access, zone: str, ttl: int) -> Iterator[Remote]:
    """The zone at its provider, after its credentials were tried. Raises `DnsError`; calls of it go under `explained`."""
    _keep_quiet()
    with ExitStack() as stack:
        with explained(access.provider, zone):
            remote: Remote = stack.enter_context(_client(access, zone, ttl)).provider
        yield remote


def _keep_quiet() -> None:
    """The library logs through the root logger too, which would give that a handler on standard error."""
    for logger in (logging.getLogger("lexicon"), logging.getLogger()):
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    logging.getLogger("lexicon").propagate = False


def _client(access: Access, zone: str, ttl: int) -> Any:
    from lexicon import client
    from lexicon.config import ConfigResolver, DictConfigSource

    provider = access.provider
    vars(client)["tldextract"] = SimpleNamespace(TLDExtract=lambda **_: names.offline(True))
    options = {name: value.reveal() for name, value in access.values.items()}
    # Nothing but this: the library would also take its environment variables, and files of the working folder.
    config = ConfigResolver()  # type: ignore[no-untyped-call]
    config.with_dict({"provider_name": provider.name, "domain": zone, "ttl": ttl, provider.name: options})
    found = client.Client(config)
    # The library guesses the zone from the name; ours is known, and need not be a registrable domain.
    config.add_config_source(DictConfigSource({"domain": zone}), 0)
    confine(sys.modules[found.provider_class.__module__], provider, zone)
    return found


def confine(module: ModuleType, provider: Provider, zone: str) -> None:
    """Give a module of the library our versions of what it takes from elsewhere."""
    space: dict[str, Any] = vars(module)
    session = functools.partial(Session, provider, zone)
    for name, ours in {
        "requests": SimpleNamespace(
            request=lambda *words, **more: session().request(*words, **more),
            post=lambda *words, **more: session().request("POST", *words, **more),
            exceptions=requests.exceptions,
        ),
        "Session": session,
        "tldextract": SimpleNamespace(extract=names.offline(False)),
        "sys": SimpleNamespace(stderr=io.StringIO()),
    }.items():
        if name in space:
            space[name] = ours
    space["print"] = _say_nothing
    if "_Api" in space:
        base = space.setdefault("_TheirApi", space["_Api"])
        space["_Api"] = functools.partial(namecheap.client(base), provider, zone)
    if "NamecomProvider" in space:
        space["NamecomProvider"]._get = _namecom_get


def _say_nothing(*_: object) -> None:
    """Instead of `print`."""


class Session(requests.Session):
    """Requests with a time limit; a status that says why becomes a `DnsError`."""

    def __init__(self, provider: Provider, zone: str) -> None:
        super().__init__()
        self._provider, self._zone = provider, zone

    def request(self, method: Any, url: Any, *words: Any, **more: Any) -> Any:
        """As `requests` has it. Raises `DnsError`."""
        more.setdefault("timeout", TIMEOUT)
        more.setdefault("allow_redirects", False)
        try:
            answer = super().request(method, url, *words, **more)
        finally:
            self.close()
        _refuse(self._provider, self._zone, answer)
        return answer


def _refuse(provider: Provider, zone: str, answer: requests.Response) -> None:
    status, said = answer.status_code, message_of(answer)
    if status in (401, 403) or (status == 400 and _codes(answer) & _MALFORMED_TOKEN):
        raise no_access(provider, zone, said or f"it answered with status {status}")
    if status == 429:
        raise too_often(provider)
    if status >= 500:
        raise unreachable(provider, f"it answered with status {status}{f': {said}' if said else ''}")
    if 300 <= status < 400:
        raise unreachable(provider, "it sends elsewhere, as a proxy or a login page does")


def _codes(answer: requests.Response) -> set[int]:
    try:
        errors = answer.json()["errors"]
        more = [item for error in errors for item in error.get("error_chain", [])]
        return {int(error["code"]) for error in [*errors, *more]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()


def _namecom_get(self: Any, url: str = "/", query_params: Mapping[str, Any] | None = None) -> Any:
    """Name.com calls its next page `nextPage`, and leaves lists out that are empty."""
    answer = self._request("GET", url, query_params=query_params)
    return {"records": [], "domains": [], "next_page": answer.get("nextPage"), **answer}
