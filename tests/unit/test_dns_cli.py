"""`dns`, and what `status` and `secrets` say of a domain."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.fakes.dns_api import TOKEN
from tests.fakes.dns_internet import Internet, internet
from tests.unit.workbench import Bench, Call
from tfgrid_compose.deploy import domain
from tfgrid_compose.drivers.dns import names
from tfgrid_compose.errors import DnsError

ADDRESS = "198.51.100.7"
MANIFEST = "network: {provision: [wireguard, ipv4]}\ndomain: {name: blog.example.com, provider: %s}\n"


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    """The internet."""
    with internet(monkeypatch) as found:
        yield found


@pytest.fixture
def blog(bench: Bench, net: Internet) -> Bench:
    """An app whose domain is made at Cloudflare."""
    net.provider("cloudflare")
    bench.manifest(MANIFEST % "cloudflare")
    bench.up()
    return bench


def test_what_is_right_is_shown(blog: Bench, call: Call) -> None:
    code, out, _ = call("dns", "my-app")
    assert code == 0
    assert f"blog.example.com. 300 IN A {ADDRESS}  (we made it)" in out
    assert f"✓ ns1.example.com answers blog.example.com A {ADDRESS}" in out and "it leads to the app" in out
    code, out, _ = call("dns", "--json")
    facts = json.loads(out)
    assert (code, facts["right"], facts["provider"], len(facts["servers"])) == (0, True, "cloudflare", 2)
    assert facts["made"] == [
        {"name": "blog.example.com", "type": "A", "content": ADDRESS, "zone": "example.com", "provider": "cloudflare"}
    ]


def test_what_is_wrong_is_shown_and_put_right(blog: Bench, net: Internet, call: Call) -> None:
    cloudflare = net.providers["cloudflare"]
    cloudflare.zones["example.com"].clear()
    cloudflare.changed("example.com")
    code, out, _ = call("dns", "show", "my-app")
    assert code == 1 and "✗ ns1.example.com answers nothing" in out and "tfgrid-compose dns apply my-app" in out
    code, out, _ = call("status", "my-app", "--json")
    problems = json.loads(out)["problems"]
    assert code == 1 and problems == [
        "blog.example.com does not lead to it: ns1.example.com answers nothing; ns2.example.com answers nothing; "
        "`tfgrid-compose dns my-app` says more"
    ]
    code, out, _ = call("dns", "apply", "my-app", "--json")
    assert (code, json.loads(out)["changed"], json.loads(out)["right"]) == (0, 1, True)
    assert ("blog.example.com", "A", ADDRESS) in cloudflare.all("example.com")
    code, out, _ = call("status", "my-app")
    assert code == 0 and "blog.example.com leads here" in out


def test_a_strangers_record_is_replaced_only_when_somebody_says_so(bench: Bench, net: Internet, call: Call) -> None:
    cloudflare = net.provider("cloudflare")
    stranger = cloudflare.put("example.com", "blog.example.com", "CNAME", "old.example.com")
    bench.manifest(MANIFEST % "cloudflare")
    with pytest.raises(DnsError):
        bench.up()
    code, _, err = call("dns", "apply", "my-app", "--replace")
    assert code == 2 and "Replace blog.example.com CNAME old.example.com?" in err
    assert stranger in cloudflare.zones["example.com"]
    code, _, err = call("dns", "apply", "my-app", "--replace", "--yes")
    assert code == 0 and "has no machine yet" in err
    assert stranger in cloudflare.zones["example.com"], "there is nothing yet that could take its place"
    bench.up()
    assert cloudflare.all("example.com") == {("blog.example.com", "A", ADDRESS)}
    entry = next(item for item in bench.store.audit_entries(bench.deployment.id) if item.facts["action"] == "dns apply")
    assert entry.facts["outcome"] == "succeeded"


def test_without_replace_a_strangers_record_stops_it(blog: Bench, net: Internet, call: Call) -> None:
    cloudflare = net.providers["cloudflare"]
    cloudflare.zones["example.com"].clear()
    cloudflare.put("example.com", "blog.example.com", "A", "192.0.2.1")
    code, _, err = call("dns", "apply", "my-app")
    assert code == 8 and "blog.example.com A 192.0.2.1" in err
    code, out, _ = call("dns", "apply", "my-app", "--replace", "--yes")
    assert code == 0 and cloudflare.all("example.com") == {("blog.example.com", "A", ADDRESS)}


def test_forgotten_records_stay_and_down_succeeds(blog: Bench, net: Internet, call: Call) -> None:
    code, _, err = call("dns", "forget", "my-app")
    assert code == 2 and "Nobody will delete it then" in err
    code, out, _ = call("dns", "forget", "my-app", "--yes")
    assert code == 0 and out == f"blog.example.com A {ADDRESS} is no longer my-app's.\n"
    assert domain.ours(blog.deployment) == []
    assert ("blog.example.com", "A", ADDRESS) in net.providers["cloudflare"].all("example.com")


def test_by_hand(bench: Bench, net: Internet, call: Call) -> None:
    net.nameserver.add("example.com")
    bench.manifest("network: {provision: [wireguard, ipv4]}\ndomain: blog.example.com\n")
    bench.up()
    code, out, _ = call("dns", "my-app")
    assert code == 1 and f"blog.example.com. 300 IN A {ADDRESS}  (make it by hand)" in out
    code, out, _ = call("status", "my-app")
    assert code == 1 and f"blog.example.com. 300 IN A {ADDRESS}" in out
    code, _, err = call("dns", "apply", "my-app")
    assert code == 2 and "is made by hand" in err


def test_no_domain(bench: Bench, call: Call) -> None:
    bench.up()
    for words in (("dns",), ("dns", "apply")):
        code, _, err = call(*words)
        assert code == 5 and "my-app has no domain" in err


def test_an_address_that_nobody_reaches(blog: Bench, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "is_global", lambda record: False)
    code, _, err = call("dns", "apply", "my-app")
    assert code == 2 and f"can't lead to {ADDRESS}" in err


def test_the_key_of_a_zone_is_kept_here_and_never_brought_to_the_machine(
    bench: Bench, net: Internet, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    cloudflare = net.provider("cloudflare")
    monkeypatch.delenv("CLOUDFLARE_API_TOKEN")
    bench.manifest(MANIFEST % "cloudflare")
    with pytest.raises(DnsError) as raised:
        bench.up()
    assert raised.value.code == "dns-credentials" and "CLOUDFLARE_API_TOKEN" in raised.value.what
    path = bench.folder.parent / "token"
    path.write_text(TOKEN)
    code, out, _ = call("secrets", "set", str(bench.folder), "CLOUDFLARE_API_TOKEN", "--from-file", str(path))
    assert code == 0 and "it stays on this computer" in out
    bench.up()
    assert cloudflare.all("example.com") == {("blog.example.com", "A", ADDRESS)}
    assert TOKEN not in str([item for item in bench.machine.lines])
    assert not any(TOKEN.encode() in file.read_bytes() for file in bench.machine.folder.rglob("*") if file.is_file())
