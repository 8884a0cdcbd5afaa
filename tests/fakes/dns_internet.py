"""A small internet on loopback: a DNS server, the three providers' interfaces, and nothing else that could be reached."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dns.resolver
import pytest

from tests.fakes.dns_api import CLIENT_IP, TOKEN, USER, Cloudflare, Namecheap, Namecom, Provider
from tests.fakes.dns_server import Nameserver
from tfgrid_compose.drivers.dns import authority, names

KINDS: dict[str, type[Provider]] = {"cloudflare": Cloudflare, "namecom": Namecom, "namecheap": Namecheap}
CREDENTIALS = {
    "cloudflare": {"CLOUDFLARE_API_TOKEN": TOKEN},
    "namecom": {"NAMECOM_USERNAME": USER, "NAMECOM_API_TOKEN": TOKEN},
    "namecheap": {"NAMECHEAP_API_USER": USER, "NAMECHEAP_API_KEY": TOKEN, "NAMECHEAP_CLIENT_IP": CLIENT_IP},
}
VARIABLES = [name for values in CREDENTIALS.values() for name in values] + [
    "DNS_PROVIDER",
    "TFGRID_DOMAIN",
    "DOMAIN",
    "DOMAIN_NAME",
]


@dataclass
class Internet:
    """What is reachable; `strangers` are other places that something tried to connect to."""

    nameserver: Nameserver
    monkeypatch: pytest.MonkeyPatch
    providers: dict[str, Provider] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)

    def provider(self, name: str, zone: str = "example.com") -> Provider:
        """A provider that serves a zone, with its credentials in the environment."""
        found = self.providers.get(name)
        if found is None:
            found = self.providers[name] = KINDS[name](publish=self.nameserver.publish)
            found.start()
            self._lead(name, found.url)
        if zone not in self.nameserver.zones:
            self.nameserver.add(zone)
        found.zones.setdefault(zone, [])
        for variable, value in CREDENTIALS[name].items():
            self.monkeypatch.setenv(variable, value)
        return found

    def _lead(self, name: str, url: str) -> None:
        """The library's provider asks our server instead of the real one."""
        theirs = importlib.import_module(f"lexicon._private.providers.{name}").Provider
        made = theirs.__init__

        def init(self: Any, config: Any) -> None:
            made(self, config)
            if hasattr(self, "client"):
                self.client.endpoint = f"{url}/xml.response"
            else:
                self.api_endpoint = url

        self.monkeypatch.setattr(theirs, "__init__", init)


@contextmanager
def internet(monkeypatch: pytest.MonkeyPatch, server: Any = None) -> Iterator[Internet]:
    """Start it all. Addresses that are kept for documents count as the internet's."""
    nameserver = server or Nameserver()
    found = Internet(nameserver, monkeypatch)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    nameserver.start()

    def resolver() -> dns.resolver.Resolver:
        made = dns.resolver.Resolver(configure=False)
        made.nameservers, made.port = [nameserver.addresses[0]], nameserver.port
        return made

    monkeypatch.setattr(authority, "PORT", nameserver.port)
    monkeypatch.setattr(authority, "PAUSE", 0.02)
    monkeypatch.setattr(authority, "resolver", resolver)
    monkeypatch.setattr(names, "is_global", lambda record: True)
    connect = socket.socket.connect

    def only_here(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(("127.", "::1")):
            found.strangers.append(str(address))
            raise OSError("there is no way out of a test")
        connect(self, address)

    asked = socket.getaddrinfo

    def only_known(host: Any, *more: Any, **rest: Any) -> Any:
        if str(host) not in ("127.0.0.1", "127.0.0.2", "localhost", "::1"):
            found.strangers.append(str(host))
            raise socket.gaierror("there is no way out of a test")
        return asked(host, *more, **rest)

    monkeypatch.setattr(socket.socket, "connect", only_here)
    monkeypatch.setattr(socket, "getaddrinfo", only_known)
    try:
        yield found
    finally:
        for provider in found.providers.values():
            provider.stop()
        nameserver.stop()
