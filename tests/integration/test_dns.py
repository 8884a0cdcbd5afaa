"""A domain through the whole engine: real steps and store, the providers' interfaces and a DNS server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.dns_api import TOKEN, Provider
from tests.fakes.dns_internet import CREDENTIALS, KINDS, Internet, internet
from tests.fakes.dns_server import Nameserver
from tests.fakes.knot import Knot
from tests.unit.workbench import STEPS, Bench, FakeGrid, FakeMachine, FakeTerraform, fake_world
from tfgrid_compose.deploy import domain, down
from tfgrid_compose.deploy.drift import look
from tfgrid_compose.deploy.plan import make_plan
from tfgrid_compose.deploy.retry import NEVER
from tfgrid_compose.deploy.steps import dns as step
from tfgrid_compose.errors import DnsError, ManifestError, TfgridError
from tfgrid_compose.state import paths
from tfgrid_compose.state.store import Store

ADDRESS = "198.51.100.7"
MANIFEST = "network: {provision: [wireguard, ipv4]}\ndomain: {name: blog.example.com, provider: %s}\n"
WITH_DNS = ["domain", *STEPS[:3], "dns", *STEPS[3:]]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    """The internet, with two servers for each zone."""
    with internet(monkeypatch) as found:
        yield found


@pytest.fixture
def bench(home: Path, app_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """An app on a grid of fakes."""
    monkeypatch.setenv("TF_VAR_mnemonic", "words of a test")
    monkeypatch.setattr(step, "DEADLINE", 0.1)
    with Store() as store:
        found = Bench(app_folder, store, FakeMachine(tmp_path / "machine"), FakeGrid())
        fake_world(found, monkeypatch)
        monkeypatch.setattr(down, "session", None)
        yield found


@pytest.fixture(params=list(KINDS))
def provider(request: pytest.FixtureRequest, net: Internet, bench: Bench) -> Provider:
    """Each provider in turn; its zone has mail, and the app wants blog.example.com there."""
    found = net.provider(request.param)
    found.put("example.com", "example.com", "MX", "mail.example.com")
    found.put("example.com", "blog.example.com", "TXT", "what a stranger wrote")
    bench.manifest(MANIFEST % request.param)
    return found


def addresses(provider: Provider, zone: str = "example.com") -> set[tuple[str, str, str]]:
    return {item for item in provider.all(zone) if item[1] in ("A", "AAAA", "CNAME", "URL")}


def move(bench: Bench, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """From now on the grid gives the machine this address."""
    made = FakeTerraform.apply

    def apply(self: FakeTerraform) -> dict[str, object]:
        outputs = made(self)
        for machine in outputs["machines"]:
            machine["ipv4_address"] = address
        return outputs

    monkeypatch.setattr(FakeTerraform, "apply", apply)


# Each provider, from nothing to nothing


def test_the_record_is_made_before_hooks_and_deleted_by_down(net: Internet, bench: Bench, provider: Provider) -> None:
    bench.up()
    assert list(bench.outcomes()) == WITH_DNS
    assert addresses(provider) == {("blog.example.com", "A", ADDRESS)}
    assert net.nameserver.zones["example.com"]["blog.example.com", "A"] == {ADDRESS}
    assert {item.record.content for item in domain.ours(bench.deployment)} == {ADDRESS}
    note = next(item["note"] for item in bench.store.steps(bench.last_run["id"]) if item["name"] == "dns")
    assert note == "blog.example.com: 1 record changed, and the zone's servers answer with it"
    assert bench.reasons() == {}, "what is as it should be is left alone"
    checks = bench.down()
    assert "domain records" in [check.name for check in checks]
    assert addresses(provider) == set() and bench.store.deployments() == []
    assert {item[1] for item in provider.all("example.com")} == {"MX", "TXT"}, "what others made stays"
    assert net.strangers == [], "nothing is asked that is not on loopback"
    assert provider.mail == "FWD", "Namecheap's kind of mail is sent back with all records"


def test_a_stale_record_of_ours_is_corrected(
    net: Internet, bench: Bench, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.up()
    move(bench, monkeypatch, "203.0.113.9")
    bench.up(node=8)
    assert addresses(provider) == {("blog.example.com", "A", "203.0.113.9")}
    assert [item.record.content for item in domain.ours(bench.deployment)] == ["203.0.113.9"]


def test_a_record_that_somebody_deleted_is_drift_and_made_again(net: Internet, bench: Bench, provider: Provider) -> None:
    bench.up()
    provider.zones["example.com"] = [row for row in provider.zones["example.com"] if row.type != "A"]
    provider.changed("example.com")
    with bench.back(to="1", write=False) as context:
        found = [item for item in look(context).drift if item.layer == "dns"]
    assert [item.path for item in found] == ["dns.blog.example.com.ns1.example.com", "dns.blog.example.com.ns2.example.com"]
    assert found[0].found == "ns1.example.com answers nothing" and found[0].step == "dns"
    assert bench.reasons()["dns"] == "what it made is gone"
    bench.up()
    assert addresses(provider) == {("blog.example.com", "A", ADDRESS)}


def test_www_and_the_zone_itself(net: Internet, bench: Bench, provider: Provider) -> None:
    bench.manifest(
        "network: {provision: [wireguard, ipv4]}\n"
        f"domain: {{name: example.com, www: true, ttl: 600, provider: {bench.folder.joinpath('tfgrid-compose.yaml').read_text().split()[-1].rstrip('}')}}}\n"
    )
    bench.up()
    wanted = {("example.com", "A", ADDRESS), ("www.example.com", "A", ADDRESS)}
    assert addresses(provider) == wanted
    assert {row.ttl for row in provider.zones["example.com"] if row.type == "A"} == {600}
    bench.down()
    assert addresses(provider) == set()


def test_a_zone_below_co_uk(net: Internet, bench: Bench, provider: Provider, request: pytest.FixtureRequest) -> None:
    name = next(key for key, found in net.providers.items() if found is provider)
    net.provider(name, "example.co.uk")
    bench.manifest(f"network: {{provision: [ipv4]}}\ndomain: {{name: a.b.example.co.uk, provider: {name}}}\n")
    bench.up()
    assert addresses(provider, "example.co.uk") == {("a.b.example.co.uk", "A", ADDRESS)}


# Records of others


@pytest.mark.parametrize(
    ("type", "content"), [("A", "192.0.2.1"), ("AAAA", "2001:db8::1"), ("CNAME", "elsewhere.example.com")],
)  # fmt: skip
def test_a_strangers_record_is_never_touched(net: Internet, bench: Bench, provider: Provider, type: str, content: str) -> None:
    provider.put("example.com", "blog.example.com", type, content)
    before = provider.all("example.com")
    with pytest.raises(DnsError) as raised:
        bench.up()
    assert raised.value.code == "dns-conflict" and content in raised.value.what
    assert "dns apply my-app --replace" in raised.value.fix
    assert provider.all("example.com") == before and provider.writes() == []
    assert bench.grid.live == {}, "nothing was rented"
    bench.down()
    assert provider.all("example.com") == before


def test_a_strangers_record_that_is_right_is_used_and_stays_theirs(net: Internet, bench: Bench, provider: Provider) -> None:
    bench.up()
    bench.store.save(bench.deployment.with_data(dns={}))
    bench.up()
    assert domain.ours(bench.deployment) == []
    bench.down()
    assert addresses(provider) == {("blog.example.com", "A", ADDRESS)}


def test_another_deployment_is_named_that_holds_the_name(net: Internet, bench: Bench, provider: Provider) -> None:
    bench.up(name="first")
    with pytest.raises(DnsError) as raised:
        bench.up(name="second")
    assert raised.value.why == "deployment first on main made it, so it is not changed"


# What goes wrong at the provider


@pytest.mark.parametrize("what", ["429", "500", "html", "drop"])
def test_what_passes_is_tried_again(net: Internet, bench: Bench, provider: Provider, what: str) -> None:
    provider.order(what)
    bench.up()
    assert addresses(provider) == {("blog.example.com", "A", ADDRESS)}
    assert len(bench.slept) == 1


WRITES = {"Cloudflare": "POST", "Namecom": "POST", "Namecheap": "setHosts"}


def test_an_answer_that_is_lost_after_the_effect_makes_no_second_record(net: Internet, bench: Bench, provider: Provider) -> None:
    provider.order("lost", WRITES[type(provider).__name__])
    bench.up()
    assert [row.type for row in provider.zones["example.com"]].count("A") == 1
    assert [item.record.content for item in domain.ours(bench.deployment)] == [ADDRESS], "it is ours: the intent said so"
    bench.down()
    assert addresses(provider) == set()


def test_a_slow_provider_has_a_deadline(net: Internet, bench: Bench, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfgrid_compose.drivers.dns import lexicons

    monkeypatch.setattr(lexicons, "TIMEOUT", (1.0, 0.2))
    provider.slow = 0.6
    provider.order("slow")
    with pytest.raises(DnsError) as raised:
        bench.up(retry=False)
    assert raised.value.code == "dns-unreachable" and bench.grid.live == {}


@pytest.mark.parametrize(("what", "code"), [("429", "dns-refused"), ("500", "dns-unreachable"), ("html", "dns-unreachable")])
def test_what_does_not_pass_is_one_clear_error(net: Internet, bench: Bench, provider: Provider, what: str, code: str) -> None:
    provider.order(what, times=50)
    with pytest.raises(DnsError) as raised:
        bench.up()
    assert raised.value.code == code and raised.value.details == ["it was tried 5 times"]
    assert bench.grid.live == {}, "nothing was rented"


def test_wrong_credentials_stop_it_before_anything_is_rented(
    net: Internet, bench: Bench, provider: Provider, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    name = next(key for key, found in net.providers.items() if found is provider)
    for variable in CREDENTIALS[name]:
        if "IP" not in variable and "USER" not in variable:
            monkeypatch.setenv(variable, "another-token-9876543210")
    with pytest.raises(DnsError) as raised:
        bench.up()
    error = raised.value
    assert error.code == "dns-credentials" and "secrets set" in error.fix and bench.grid.live == {}
    assert bench.slept == [], "that does not pass by itself"
    said = f"{error.to_dict()} {bench.events} {capfd.readouterr()}"
    assert "another-token-9876543210" not in said


def test_a_zone_that_the_account_does_not_have(net: Internet, bench: Bench, provider: Provider) -> None:
    provider.zones = {"example.org": []}
    with pytest.raises(DnsError) as raised:
        bench.up()
    assert raised.value.code == "dns-zone-missing" and bench.grid.live == {}


def test_no_secret_is_on_disk_or_in_events(net: Internet, bench: Bench, provider: Provider, home: Path) -> None:
    bench.up()
    assert TOKEN not in str(bench.events)
    for path in paths.state_dir().rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path


# Crashes


def test_a_crash_after_the_effect_leaves_a_record_that_is_known_as_ours(net: Internet, bench: Bench, provider: Provider) -> None:
    from tfgrid_compose.drivers.dns import changes

    class Crash(BaseException):
        pass

    done = changes.carry_out

    def carry_out(zone: object, todo: object) -> None:
        done(zone, todo)  # type: ignore[arg-type]
        raise Crash

    changes.carry_out = carry_out  # type: ignore[assignment]
    try:
        with pytest.raises(Crash):
            bench.up()
    finally:
        changes.carry_out = done
    assert addresses(provider) == {("blog.example.com", "A", ADDRESS)}
    bench.down()
    assert addresses(provider) == set() and bench.store.deployments() == []


# `down`


def test_a_provider_that_is_down_does_not_keep_machines_alive(
    net: Internet, bench: Bench, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.up()
    provider.order("500", times=100)
    with pytest.raises(DnsError) as raised:
        down.Removal(bench.store, bench.stream(), bench.deployment, policy=NEVER).run()
    assert raised.value.code == "dns-leftovers" and f"blog.example.com A {ADDRESS}" in raised.value.what
    assert bench.grid.live == {}, "the machine is gone"
    assert any("machines go all the same" in text for text in bench.notices())
    provider.orders.clear()
    for variables in CREDENTIALS.values():
        for variable in variables:
            monkeypatch.delenv(variable, raising=False)
    bench.down()
    assert addresses(provider) == set() and bench.store.deployments() == [], "with the credentials that were kept"


def test_a_domain_that_is_taken_out_of_the_manifest(net: Internet, bench: Bench, provider: Provider) -> None:
    bench.up()
    bench.manifest("network: {provision: [wireguard, ipv4]}\n")
    bench.up()
    assert addresses(provider) == set() and bench.deployment.data["dns"] == {}
    assert bench.reasons() == {}


def test_another_name_takes_the_place_of_the_first(net: Internet, bench: Bench, provider: Provider) -> None:
    bench.up()
    text = (bench.folder / "tfgrid-compose.yaml").read_text()
    bench.write("tfgrid-compose.yaml", text.replace("blog.example.com", "news.example.com"))
    bench.up()
    assert addresses(provider) == {("news.example.com", "A", ADDRESS)}
    bench.rollback()
    assert addresses(provider) == {("blog.example.com", "A", ADDRESS)}, "going back goes back to its name"


def test_a_name_whose_record_is_made_by_hand_takes_the_place_of_ours(net: Internet, bench: Bench, provider: Provider) -> None:
    bench.up()
    net.nameserver.add("example.org")
    bench.manifest("network: {provision: [wireguard, ipv4]}\ndomain: {name: news.example.org, provider: manual}\n")
    bench.up()
    assert addresses(provider) == set() and domain.ours(bench.deployment) == [], "the old name leads nowhere any more"
    bench.manifest("network: {provision: [wireguard, ipv4]}\n")
    assert bench.reasons()["dns"], "a domain that nobody wants any more is forgotten"
    bench.up()
    assert bench.deployment.data["dns"] == {} and bench.reasons() == {}


def test_a_domain_that_is_looked_after_by_hand_from_now_on_keeps_its_record(
    net: Internet, bench: Bench, provider: Provider
) -> None:
    bench.up()
    bench.manifest("network: {provision: [wireguard, ipv4]}\ndomain: {name: blog.example.com, provider: manual}\n")
    bench.up()
    assert addresses(provider) == {("blog.example.com", "A", ADDRESS)}
    bench.down()
    assert addresses(provider) == set(), "we made it"


@pytest.mark.parametrize("manifest", ["domain: blog.example.com\n", ""])
def test_a_shell_without_the_providers_name_takes_no_record_away(
    net: Internet, bench: Bench, monkeypatch: pytest.MonkeyPatch, manifest: str
) -> None:
    provider = net.provider("cloudflare")
    bench.manifest(f"network: {{provision: [ipv4]}}\n{manifest}")
    bench.write(".env", "DOMAIN=blog.example.com\n")
    monkeypatch.setenv("DNS_PROVIDER", "cloudflare")
    bench.up()
    monkeypatch.delenv("DNS_PROVIDER")
    for variable in CREDENTIALS["cloudflare"]:
        monkeypatch.delenv(variable)
    assert bench.reasons() == {}, "the deployment knows who serves the zone"
    bench.write("src/page", "new")
    bench.up()
    assert addresses(provider) == {("blog.example.com", "A", ADDRESS)}


# The zone's own servers


def test_a_server_that_lags_is_waited_for(net: Internet, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    net.provider("cloudflare")
    bench.manifest(MANIFEST % "cloudflare")
    monkeypatch.setattr(step, "DEADLINE", 10.0)
    net.nameserver.lag("127.0.0.2")
    asked: list[str] = []

    def progress(event: object) -> None:
        text = str(getattr(event, "text", ""))
        if "waiting for the zone's servers" in text:
            asked.append(text)
            net.nameserver.catch_up("127.0.0.2")

    stream = bench.stream()
    stream.subscribe(progress)
    monkeypatch.setattr(bench, "stream", lambda: stream)
    bench.up()
    assert asked == ["waiting for the zone's servers: ns2.example.com answers nothing"]


def test_a_server_that_lags_for_long_is_a_warning(net: Internet, bench: Bench) -> None:
    net.provider("cloudflare")
    bench.manifest(MANIFEST % "cloudflare")
    net.nameserver.lag("127.0.0.2")
    bench.up()
    assert bench.last_run["outcome"] == "succeeded"
    (said,) = [text for text in bench.notices() if "has the record" in text]
    assert "ns2.example.com answers nothing" in said
    assert bench.reasons()["dns"] == "what it made is gone", "the next `up` looks again"


@pytest.mark.parametrize("trouble", ["silent", "refusing"])
def test_servers_that_can_not_be_asked_are_a_warning(
    net: Internet, bench: Bench, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfgrid_compose.drivers.dns import authority

    monkeypatch.setattr(authority, "_PATIENCE", 0.1)
    monkeypatch.setattr(authority, "_RESOLVER_PATIENCE", 0.3)
    net.provider("cloudflare")
    bench.manifest(MANIFEST % "cloudflare")
    getattr(net.nameserver, trouble).update(net.nameserver.addresses)
    bench.up()
    assert any("could not be checked" in text for text in bench.notices())
    with bench.context() as context:
        assert [item.step.name for item in make_plan(context).steps if item.needed] == [], "who can't be asked is believed"
        assert context.unchecked[0].startswith("where blog.example.com leads: ")


# By hand, and where no record is made


def test_by_hand_the_record_is_shown_and_looked_for(net: Internet, bench: Bench) -> None:
    net.nameserver.add("example.com")
    bench.manifest("network: {provision: [wireguard, ipv4]}\ndomain: blog.example.com\n")
    bench.up()
    assert list(bench.outcomes()) == [name for name in WITH_DNS if name != "domain"]
    (said,) = [text for text in bench.notices() if "make this record" in text]
    assert f"blog.example.com. 300 IN A {ADDRESS}" in said
    net.nameserver.publish("example.com", [("blog.example.com", "A", ADDRESS)])
    from tfgrid_compose.deploy.records import view

    found = view(bench.deployment, bench.deployment.machines[0])
    assert found is not None and found.right is True
    bench.down()


def test_an_address_that_nobody_reaches_gets_no_record(net: Internet, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfgrid_compose.drivers.dns import names

    monkeypatch.setattr(names, "is_global", lambda record: False)
    provider = net.provider("cloudflare")
    bench.manifest(MANIFEST % "cloudflare")
    bench.up()
    assert addresses(provider) == set()
    assert any(f"{ADDRESS} can't be reached from the internet" in text for text in bench.notices())


def test_a_grid_without_addresses_of_the_internet_needs_no_provider(net: Internet, bench: Bench) -> None:
    bench.grid.global_addresses = False
    bench.manifest(MANIFEST % "cloudflare")
    bench.up()
    assert list(bench.outcomes()) == [name for name in WITH_DNS if name != "domain"]


def test_without_a_public_address_nothing_is_deployed(net: Internet, bench: Bench) -> None:
    net.provider("cloudflare")
    bench.manifest("network: {provision: [wireguard, mycelium]}\ndomain: {name: blog.example.com, provider: cloudflare}\n")
    with pytest.raises(ManifestError) as raised:
        bench.up()
    assert raised.value.code == "domain-needs-public-address"
    assert "[wireguard, mycelium, ipv4]" in raised.value.fix
    assert bench.grid.live == {}


def test_apps_of_the_bash_tool_have_it_in_their_environment(net: Internet, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = net.provider("cloudflare")
    bench.manifest("network: {provision: [ipv4]}\n")
    bench.write(".env", "DOMAIN_NAME=third.example.com\nDOMAIN=blog.example.com\n")
    bench.up()
    assert "dns" not in bench.outcomes(), "nobody named a provider"
    monkeypatch.setenv("DNS_PROVIDER", "cloudflare")
    bench.up()
    assert addresses(provider) == {("blog.example.com", "A", ADDRESS)}


def test_hooks_get_the_domain(net: Internet, bench: Bench) -> None:
    from tfgrid_compose.deploy.steps.ship import hook_environment

    net.provider("cloudflare")
    bench.manifest(MANIFEST % "cloudflare")
    bench.write(".env", f"CLOUDFLARE_API_TOKEN={TOKEN}\nMORE=less\n")
    bench.up()
    with bench.context() as context:
        values = hook_environment(context)
    assert values["MORE"] == "less"
    assert not any(TOKEN.encode() in path.read_bytes() for path in bench.machine.folder.rglob("*") if path.is_file())
    assert (values["TFGRID_DOMAIN"], values["DOMAIN"]) == ("blog.example.com", "blog.example.com")
    assert not any("CLOUDFLARE" in name for name in values), "the machine gets no key of the zone"


def test_a_failure_of_dns_does_not_go_back_to_the_release_before(net: Internet, bench: Bench) -> None:
    net.provider("cloudflare")
    bench.manifest("network: {provision: [wireguard, ipv4]}\n")
    first = bench.up()
    bench.manifest((MANIFEST % "cloudflare") + "version: 2\n")
    net.providers["cloudflare"].order("500", times=100)
    with pytest.raises(TfgridError) as raised:
        bench.up(retry=False)
    assert raised.value.code == "dns-unreachable" and raised.value.aftermath == ""
    assert bench.live.id == first.id


def test_the_servers_answer_over_tcp_what_is_too_long_for_udp(net: Internet) -> None:
    from tfgrid_compose.drivers.dns import authority

    server: Nameserver = net.nameserver
    server.add("example.com")
    many = [("many.example.com", "A", f"198.51.100.{number}") for number in range(1, 200)]
    server.publish("example.com", many)
    (first, _) = authority.look(authority.servers("example.com"), ["many.example.com"])
    assert first.records is not None and len(first.records) == 199


@pytest.mark.parametrize("name", list(KINDS))
def test_against_a_real_server(name: str, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Knot DNS: the providers' interfaces change it by RFC 2136, and it is asked over the wire."""
    from tfgrid_compose.drivers.dns import authority

    (tmp_path / "knot").mkdir()
    with internet(monkeypatch, Knot(tmp_path / "knot")) as net:
        net.provider(name)
        bench.manifest(MANIFEST % name)
        bench.up()
        servers = authority.servers("example.com")
        assert [server.name for server in servers] == ["ns1.example.com", "ns2.example.com"]
        wanted = f"answers blog.example.com A {ADDRESS}"
        assert [said.text for said in authority.look(servers, ["blog.example.com"])] == [
            f"{server.name} {wanted}" for server in servers
        ]
        assert bench.reasons() == {}
        move(bench, monkeypatch, "203.0.113.9")
        bench.up(node=8)
        assert authority.look(servers, ["blog.example.com"])[1].text == "ns2.example.com answers blog.example.com A 203.0.113.9"
        bench.down()
        assert [said.records for said in authority.look(servers, ["blog.example.com"])] == [frozenset(), frozenset()]
        assert net.strangers == []
