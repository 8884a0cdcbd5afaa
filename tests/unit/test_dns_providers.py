"""What single providers say, and how the library is kept within bounds."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.fakes.dns_api import TOKEN, Answer, Asked, Cloudflare, Provider
from tests.fakes.dns_internet import CREDENTIALS, KINDS, Internet, internet
from tfgrid_compose.drivers.dns import providers, zones
from tfgrid_compose.drivers.dns.names import Record
from tfgrid_compose.errors import DnsError, ManifestError, TfgridError

BLOG = Record("blog.example.com", "A", "192.0.2.1")


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    """The internet."""
    with internet(monkeypatch) as found:
        yield found


def opened(name: str, zone: str = "example.com", **changed: str) -> object:
    values = {**CREDENTIALS[name], **changed}
    return zones.opened(providers.access(providers.PROVIDERS[name], values.get), zone, 300)


def error_of(name: str, zone: str = "example.com", **changed: str) -> TfgridError:
    with pytest.raises(TfgridError) as raised:
        with opened(name, zone, **changed) as found:  # type: ignore[attr-defined]
            found.create(BLOG)
    assert TOKEN not in str(raised.value.to_dict())
    return raised.value


@pytest.mark.parametrize("name", KINDS)
def test_a_record_is_made_changed_and_deleted(name: str, net: Internet, capfd: pytest.CaptureFixture[str]) -> None:
    provider = net.provider(name)
    provider.put("example.com", "my-blog.example.com", "A", "192.0.2.1")
    with opened(name) as zone:  # type: ignore[attr-defined]
        zone.create(BLOG)
        zone.create(BLOG)
        (found,) = zone.records(["blog.example.com"]) if name != "namecheap" else zone.records(["blog.example.com"])[:1]
        assert found.record == BLOG
        zone.change(found, Record("blog.example.com", "A", "192.0.2.2"))
        (found,) = [item for item in zone.records(["blog.example.com"]) if item.record.content == "192.0.2.2"]
        zone.delete(found)
        assert found not in zone.records(["blog.example.com"])
        zone.create(Record("example.com", "AAAA", "2001:db8::1"))
        (apex,) = zone.records(["example.com"])
        assert apex.record == Record("example.com", "AAAA", "2001:db8::1")
        zone.delete(apex)
    assert ("my-blog.example.com", "A", "192.0.2.1") in provider.all("example.com"), "a name that ends alike is another one"
    assert capfd.readouterr() == ("", ""), "the library prints nothing"
    assert net.strangers == []


@pytest.mark.parametrize("name", KINDS)
def test_more_records_than_a_page_holds(name: str, net: Internet) -> None:
    provider = net.provider(name)
    for number in range(25):
        provider.put("example.com", "blog.example.com" if number > 20 else f"n{number}.example.com", "A", f"192.0.2.{number}")
    provider.page = 3
    with opened(name) as zone:  # type: ignore[attr-defined]
        assert len(zone.records(["blog.example.com"])) == 4
        assert zone.records(["nothing.example.com"]) == []


@pytest.mark.parametrize("name", ["cloudflare", "namecom"])
def test_a_zone_below_another_one(name: str, net: Internet) -> None:
    provider = net.provider(name, "dev.example.com")
    with opened(name, "dev.example.com") as zone:  # type: ignore[attr-defined]
        zone.create(Record("a.dev.example.com", "A", "192.0.2.1"))
    assert provider.all("dev.example.com") == {("a.dev.example.com", "A", "192.0.2.1")}


def test_a_zone_whose_ending_is_on_no_list(net: Internet) -> None:
    provider = net.provider("cloudflare", "office.lan")
    with opened("cloudflare", "office.lan") as zone:  # type: ignore[attr-defined]
        zone.create(Record("a.office.lan", "A", "192.0.2.1"))
    assert provider.all("office.lan") == {("a.office.lan", "A", "192.0.2.1")}


def test_namecheap_has_only_whole_domains(net: Internet) -> None:
    net.provider("namecheap")
    error = error_of("namecheap", "dev.example.com")
    assert isinstance(error, ManifestError) and "example.com" in error.fix


@pytest.mark.parametrize("name", KINDS)
def test_a_name_server_of_the_zone_that_the_account_does_not_have(name: str, net: Internet) -> None:
    net.provider(name)
    error = error_of(name, "example.org")
    assert (error.code, error.transient) == ("dns-zone-missing", False)


@pytest.mark.parametrize(
    ("name", "changed", "why"),
    [
        ("cloudflare", {"CLOUDFLARE_API_TOKEN": "wrong-token"}, "Invalid API Token"),
        ("cloudflare", {"CLOUDFLARE_API_TOKEN": "two words"}, "Invalid request headers"),
        ("namecom", {"NAMECOM_API_TOKEN": "wrong-token"}, "Unauthorized"),
        ("namecheap", {"NAMECHEAP_API_KEY": "wrong-token"}, "API Key is invalid or API access has not been enabled"),
        ("namecheap", {"NAMECHEAP_CLIENT_IP": "192.0.2.78"}, "Invalid request IP: 192.0.2.78"),
    ],
)
def test_credentials_that_are_wrong(name: str, changed: dict[str, str], why: str, net: Internet) -> None:
    net.provider(name)
    error = error_of(name, **changed)
    assert (error.code, error.why, error.transient) == ("dns-credentials", why, False)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("what", "code"),
    [("429", "dns-refused"), ("500", "dns-unreachable"), ("html", "dns-unreachable"), ("drop", "dns-unreachable")],
)
def test_what_may_pass(name: str, what: str, code: str, net: Internet) -> None:
    net.provider(name).order(what)
    error = error_of(name)
    assert (error.code, error.transient) == (code, True) and error.why and error.fix


def test_a_login_page_in_between(net: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = net.provider("cloudflare")
    monkeypatch.setattr(provider, "handle", lambda asked: Answer(302, "", "text/html"))
    assert "sends elsewhere" in error_of("cloudflare").why


@pytest.mark.parametrize("name", KINDS)
def test_a_provider_that_is_not_there(name: str, net: Internet) -> None:
    net.provider(name).stop()
    error = error_of(name)
    assert (error.code, error.why, error.transient) == ("dns-unreachable", "no connection, or one that broke", True)


@pytest.mark.parametrize("body", ["[]", "{}", "null", '{"result": 5, "result_info": 7}', '{"domains": 3}', "<a/>"])
@pytest.mark.parametrize("name", KINDS)
def test_an_answer_of_another_shape(name: str, body: str, net: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net.provider(name), "handle", lambda asked: Answer(200, body))
    assert error_of(name).code in ("dns-unreachable", "dns-zone-missing")


def test_what_the_provider_refuses_is_said_in_its_words(net: Internet) -> None:
    provider = net.provider("cloudflare")
    provider.put("example.com", "blog.example.com", "CNAME", "x.example.com")
    error = error_of("cloudflare")
    assert (error.code, error.why) == ("dns-refused", "An A, AAAA, or CNAME record with that host already exists")


def test_namecheap_keeps_what_it_can_not_write(net: Internet) -> None:
    provider = net.provider("namecheap")
    provider.put("example.com", "_sip.example.com", "SRV", "1 1 5060 x")
    before = provider.all("example.com")
    error = error_of("namecheap")
    assert error.code == "dns-refused" and "SRV" in error.why and provider.all("example.com") == before


def test_namecheap_says_when_others_serve_the_zone(net: Internet) -> None:
    provider = net.provider("namecheap")
    provider.own_servers = False
    assert "other name servers" in error_of("namecheap").why


@pytest.mark.parametrize(("number", "code"), [("500000", "dns-refused"), ("2030166", "dns-zone-missing"), ("9", "dns-refused")])
def test_numbers_of_namecheap(number: str, code: str, net: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = net.provider("namecheap")
    monkeypatch.setattr(provider, "handle", lambda asked: provider._error(number, "Some words."))  # type: ignore[attr-defined]
    assert error_of("namecheap").code == code


def test_a_domain_of_somebody_else_at_namecheap(net: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = net.provider("namecheap")
    inside = '<DomainGetInfoResult Status="Ok" DomainName="example.com" IsOwner="false"/>'
    monkeypatch.setattr(provider, "handle", lambda asked: provider._ok("x", inside))  # type: ignore[attr-defined]
    assert error_of("namecheap").code == "dns-zone-missing"


def test_the_key_goes_in_no_line_of_an_error(net: Internet) -> None:
    net.provider("namecheap").stop()
    error = error_of("namecheap")
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__
    assert len(chain) > 1 and at is None and TOKEN not in str(error) + error.why + error.fix + str(error.details)


def test_nothing_of_the_library_is_loaded_for_help() -> None:
    import subprocess

    script = "import sys; import tfgrid_compose.cli.up, tfgrid_compose.cli.dns, tfgrid_compose.deploy.steps; print([n for n in ('requests', 'lexicon', 'dns.resolver', 'tldextract') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_fake_knows_what_it_does() -> None:
    asked = Asked("GET", "/zones", {}, {"authorization": f"Bearer {TOKEN}"}, None)
    provider: Provider = Cloudflare(zones={"example.com": []})
    assert provider.handle(asked).status == 200
    assert provider.handle(Asked("GET", "/zones", {}, {}, None)).status == 401


def test_a_problem_of_ours_is_no_problem_of_the_provider(net: Internet) -> None:
    net.provider("cloudflare")
    with pytest.raises(KeyError):
        with opened("cloudflare"):  # type: ignore[attr-defined]
            raise KeyError("ours")
    assert DnsError("x").code == "dns"


def test_a_provider_that_only_another_version_knows_is_no_defect() -> None:
    """It stands in the database, and that may come from another computer."""
    with pytest.raises(DnsError) as caught:
        providers.known("nicedns")
    assert caught.value.code == "dns-provider-unknown" and "dns forget" in caught.value.fix
