"""Names, zones, records: pure functions of the DNS driver, and what a manifest and an environment want."""

from __future__ import annotations

import socket

import pytest

from tfgrid_compose.deploy import domain
from tfgrid_compose.drivers.dns import names, providers
from tfgrid_compose.drivers.dns.changes import compare
from tfgrid_compose.drivers.dns.names import Record, record
from tfgrid_compose.drivers.dns.zones import Found
from tfgrid_compose.errors import DnsError, ManifestError
from tfgrid_compose.manifest.model import Manifest
from tfgrid_compose.observe.redact import MASK, Redactor

BLOG = Record("blog.example.com", "A", "192.0.2.1")


@pytest.mark.parametrize(
    ("name", "found"),
    [("blog.example.com", "example.com"), ("example.com", "example.com"), ("a.b.example.co.uk", "example.co.uk"),
     ("deep.a.example.com.au", "example.com.au"), ("me.github.io", "me.github.io"), ("co.uk", ""), ("host.internal", "")],
)  # fmt: skip
def test_the_registrable_domain_is_told_by_the_public_suffix_list(name: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nothing is fetched")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    names.offline.cache_clear()
    assert names.registrable(name) == found


def test_a_zone_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert names.zone_of("a.dev.example.com", "Dev.Example.com.") == "dev.example.com"
    assert names.zone_of("host.lan", "lan") == "lan"


@pytest.mark.parametrize(
    ("name", "zone", "code"),
    [("a.example.com", "example.org", "domain-zone-wrong"), ("notexample.com", "example.com", "domain-zone-wrong"),
     ("host.internal", None, "domain-zone-unknown")],
)  # fmt: skip
def test_a_zone_that_can_not_be(name: str, zone: str | None, code: str) -> None:
    with pytest.raises(ManifestError) as raised:
        names.zone_of(name, zone)
    assert raised.value.code == code


def test_only_public_addresses_are_published() -> None:
    machine = {
        "ipv4_address": "198.51.100.7/24", "ipv6_address": "2001:DB8::7", "mycelium_ip": "5ff::7", "wireguard_ip": "10.5.3.2",
        "private_ip": "10.5.3.2",
    }  # fmt: skip
    assert names.addresses(["a.b", "www.a.b"], machine) == (
        Record("a.b", "A", "198.51.100.7"), Record("www.a.b", "A", "198.51.100.7"),
        Record("a.b", "AAAA", "2001:db8::7"), Record("www.a.b", "AAAA", "2001:db8::7"),
    )  # fmt: skip
    assert names.addresses(["a.b"], {"mycelium_ip": "5ff::7", "ipv4_address": ""}) == ()


@pytest.mark.parametrize(
    ("address", "known"),
    [("185.69.166.1", True), ("198.51.100.7", False), ("10.1.2.3", False), ("192.168.0.9", False), ("2a10:b600::1", True),
     ("2001:db8::1", False), ("fd00::1", False)],
)  # fmt: skip
def test_which_addresses_the_internet_has(address: str, known: bool) -> None:
    assert names.is_global(Record("a.b", "AAAA" if ":" in address else "A", address)) is known


def test_records_have_one_spelling() -> None:
    assert record("Blog.Example.COM.", "AAAA", "2001:0DB8:0:0::1") == Record("blog.example.com", "AAAA", "2001:db8::1")
    assert record("a.b", "CNAME", "C.d.") == Record("a.b", "CNAME", "c.d")
    assert record("a.b", "A", "what is this") == Record("a.b", "A", "what is this")
    assert BLOG.line(60) == "blog.example.com. 60 IN A 192.0.2.1"


# Changes


def found(*records: Record) -> list[Found]:
    return [Found(item, str(number)) for number, item in enumerate(records)]


def test_nothing_to_do() -> None:
    assert compare([BLOG], found(BLOG), []).count == 0
    assert compare([BLOG], found(BLOG), [BLOG]).made == ()


def test_a_new_record_leaves_mail_and_text_alone() -> None:
    others = [
        Record("blog.example.com", "TXT", "x"),
        Record("blog.example.com", "MX", "y"),
        Record("other.example.com", "A", "z"),
    ]
    todo = compare([BLOG], found(*others), [])
    assert (todo.create, todo.change, todo.delete, todo.foreign) == ((BLOG,), (), (), ())


def test_ours_is_changed_in_its_place_and_what_is_too_much_goes() -> None:
    old = [Record("blog.example.com", "A", f"192.0.2.{number}") for number in (7, 8)]
    todo = compare([BLOG], found(*old), old)
    assert todo.change == ((Found(old[0], "0"), BLOG),) and todo.delete == (Found(old[1], "1"),) and todo.create == ()
    assert todo.made == (BLOG,)


@pytest.mark.parametrize("type", names.LEADING)
def test_whatever_leads_the_name_elsewhere_is_in_the_way(type: str) -> None:
    stranger = Record("blog.example.com", type, "192.0.2.9")
    assert [item.record for item in compare([BLOG], found(stranger), []).foreign] == [stranger]


# Providers


@pytest.mark.parametrize(
    ("written", "name"), [("Cloudflare", "cloudflare"), ("name.com", "namecom"), ("NAMECOM", "namecom"), (" manual ", "manual")]
)
def test_names_of_providers(written: str, name: str) -> None:
    assert providers.normal(written) == name


def test_a_provider_that_is_none() -> None:
    with pytest.raises(ManifestError) as raised:
        providers.normal("cloudflair")
    assert raised.value.code == "dns-provider-unknown" and "cloudflare" in raised.value.fix


def test_credentials_are_secrets_and_missing_ones_are_named() -> None:
    given = {"NAMECHEAP_API_USER": "me", "NAMECHEAP_API_KEY": "a-key-of-a-test"}
    with pytest.raises(DnsError) as raised:
        providers.access(providers.PROVIDERS["namecheap"], given.get)
    assert raised.value.code == "dns-credentials" and "NAMECHEAP_CLIENT_IP" in raised.value.what
    assert "a-key" not in str(raised.value.to_dict())
    redactor = Redactor()
    ready = domain.access("namecheap", {**given, "NAMECHEAP_CLIENT_IP": "192.0.2.77"}.get, redactor)
    assert "a-key" not in repr(ready) and redactor.text("?ApiKey=a-key-of-a-test&x") == f"?ApiKey={MASK}&x"


def test_a_time_to_live_is_bent_to_what_the_provider_takes() -> None:
    assert providers.PROVIDERS["namecom"].seconds(60) == 300
    assert providers.PROVIDERS["namecheap"].seconds(86400) == 60000
    assert providers.PROVIDERS["cloudflare"].seconds(300) == 300


# What is wanted


def manifest(**keys: object) -> Manifest:
    return Manifest.model_validate({"name": "my-app", **keys})


def test_the_manifest_comes_before_the_environment() -> None:
    item = manifest(domain={"name": "Blog.Example.com.", "provider": "namecom", "www": True, "ttl": 900})
    wanted = domain.wanted(item, {"TFGRID_DOMAIN": "other.example.com"}, {"DNS_PROVIDER": "cloudflare"}.get)
    assert wanted == domain.Wanted(("blog.example.com", "www.blog.example.com"), "example.com", "namecom", 900)
    assert domain.wanted(manifest(domain="a.example.com"), {}, {}.get) == domain.Wanted(
        ("a.example.com",), "example.com", "manual", 300
    )


@pytest.mark.parametrize(
    ("values", "provider", "name"),
    [
        ({"TFGRID_DOMAIN": "a.example.com", "DOMAIN": "b.example.com"}, "cloudflare", "a.example.com"),
        ({"DOMAIN": "b.example.com", "DOMAIN_NAME": "c.example.com"}, "cloudflare", "b.example.com"),
        ({"DOMAIN_NAME": "c.example.com"}, "name.com", "c.example.com"),
        ({"DOMAIN": "b.example.com"}, None, None),
        ({"DOMAIN": "b.example.com"}, "manual", None),
        ({"DOMAIN": "localhost"}, "cloudflare", None),
        ({"DOMAIN": "app.localhost"}, "cloudflare", None),
        ({"DOMAIN": "192.0.2.1"}, "cloudflare", None),
        ({"DOMAIN": "2001:db8::1"}, "cloudflare", None),
        ({"DOMAIN": ""}, "no such provider", None),
    ],
)  # fmt: skip
def test_the_environment_of_apps_of_the_bash_tool(values: dict[str, str], provider: str | None, name: str | None) -> None:
    found = domain.wanted(manifest(), values, {"DNS_PROVIDER": provider or ""}.get)
    assert (found.name if found else None) == name


def test_what_is_no_name_at_all() -> None:
    with pytest.raises(ManifestError) as raised:
        domain.wanted(manifest(), {"DOMAIN": "http://a.example.com/"}, {"DNS_PROVIDER": "cloudflare"}.get)
    assert raised.value.code == "domain-invalid"
