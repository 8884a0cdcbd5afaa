"""Networks of machines: which are made, whose address is used, and the `network` commands."""

from __future__ import annotations

import json
import os
import sys

import pytest

from tests.unit.workbench import MACHINE, Bench, Call
from tfgrid_compose.deploy import connect, operate
from tfgrid_compose.deploy.networks import choose
from tfgrid_compose.drivers import ssh
from tfgrid_compose.errors import UsageError
from tfgrid_compose.manifest.model import Network
from tfgrid_compose.observe.events import Stream
from tfgrid_compose.state import settings
from tfgrid_compose.state.settings import Connect

TUNNEL, OVERLAY = str(MACHINE["wireguard_ip"]), str(MACHINE["mycelium_ip"])


def networks(
    manifest: dict[str, object], connect: Connect | None = None, **given: object
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = choose(Network.model_validate(manifest), connect or Connect(), **given)  # type: ignore[arg-type]
    return found.provision, found.prefer


def test_without_a_word_nothing_is_paid() -> None:
    assert networks({}) == (("wireguard", "mycelium"), ("wireguard", "mycelium"))


def test_the_manifest_comes_before_the_configuration() -> None:
    mine = Connect(provision=["mycelium", "ipv4"], prefer=["ipv4", "mycelium"])
    assert networks({}, mine) == (("mycelium", "ipv4"), ("ipv4", "mycelium"))
    assert networks({"provision": "wireguard"}, mine) == (("wireguard",), ("wireguard",))
    assert networks({"provision": "wireguard,ipv4", "prefer": "wireguard"}, mine)[1] == ("wireguard", "ipv4")


def test_what_was_chosen_for_the_deployment_comes_before_both() -> None:
    made = {"provision": "wireguard,mycelium,ipv4", "prefer": "ipv4"}
    assert networks(made, Connect(prefer=["wireguard"]), chosen=["mycelium"])[1] == ("mycelium", "ipv4", "wireguard")


def test_the_public_address_is_asked_for_or_left_out_on_the_command_line() -> None:
    assert networks({}, ipv4=True)[0] == ("wireguard", "mycelium", "ipv4")
    assert networks({"provision": "ipv4,wireguard"}, ipv4=True)[0] == ("ipv4", "wireguard")
    assert networks({"public_ipv4": True}, ipv4=False)[0] == ("wireguard", "mycelium")


def test_without_any_network_there_is_no_machine_to_reach() -> None:
    with pytest.raises(UsageError) as error:
        networks({"provision": "ipv4"}, ipv4=False)
    assert error.value.code == "no-network"


def test_up_makes_what_the_configuration_says_and_remembers_the_order(bench: Bench) -> None:
    settings.save(settings.Settings(connect=Connect(provision=["mycelium", "wireguard"], prefer=["mycelium"])))
    bench.up()
    assert bench.deployment.data["prefer"] == ["mycelium", "wireguard"]
    assert bench.live.data["networks"] == ["mycelium", "wireguard"]
    assert operate.primary_address(bench.deployment) == OVERLAY


def test_a_rollback_has_the_networks_of_its_release(bench: Bench) -> None:
    bench.write("src/page", "one\n")
    bench.up()
    bench.write("src/page", "two\n")
    bench.manifest("network: {provision: wireguard}\n")
    bench.up()
    with bench.back("1", write=False) as context:
        assert context.networks.provision == ("wireguard", "mycelium")


def test_the_next_address_is_used_when_the_preferred_one_does_not_answer(bench: Bench) -> None:
    bench.up()
    said: list[str] = []
    bench.silent = {TUNNEL: "timed out"}
    words = operate.shell_argv(bench.store, bench.deployment, "true", tty=False, say=said.append)
    assert f"root@{OVERLAY}" in words
    assert said == [f"{TUNNEL} does not answer; using {OVERLAY}"]


def test_the_address_that_worked_last_is_used_without_a_word(bench: Bench) -> None:
    bench.up()
    said: list[str] = []
    assert f"root@{TUNNEL}" in operate.shell_argv(bench.store, bench.deployment, "true", tty=False, say=said.append)
    assert said == []


def test_when_none_answers_ssh_says_why_on_the_preferred_one(bench: Bench) -> None:
    bench.up()
    bench.silent = {TUNNEL: "timed out", OVERLAY: "no route"}
    words = operate.shell_argv(bench.store, bench.deployment, "true", tty=False, say=lambda text: None)
    assert f"root@{TUNNEL}" in words


def test_a_way_through_a_tunnel_that_is_down_is_said(bench: Bench) -> None:
    bench.up()
    bench.silent = {TUNNEL: "timed out", OVERLAY: "no route"}
    said: list[str] = []
    interface = bench.deployment.data["interface"]
    bench.tunnels.discard(interface)
    operate.shell_argv(bench.store, bench.deployment, "true", tty=False, say=said.append)
    assert said == [f"the tunnel {interface} is down; `tfgrid-compose up {bench.deployment.name}` brings it back"]


def test_a_network_can_be_chosen_for_one_command(bench: Bench, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.up()
    ran: list[list[str]] = []
    monkeypatch.setattr(os, "execvpe", lambda program, words, env: (ran.append(words), sys.exit(0)))
    monkeypatch.setattr(ssh, "relay", lambda words, mark: ran.append(words) or 0)
    assert call("ssh", "my-app", "--mycelium")[0] == 0
    assert call("exec", "-m", "my-app", "--", "true")[0] == 0
    assert all(f"root@{OVERLAY}" in words for words in ran) and len(ran) == 2
    code, _, err = call("ssh", "my-app", "-4")
    assert code == 2 and "has no ipv4 address" in err and "network.provision" in err


def test_an_order_for_one_deployment_holds_for_every_command_and_the_next_up(bench: Bench, call: Call) -> None:
    bench.up()
    assert call("network", "prefer", "mycelium", "--app", "my-app")[:2] == (0, "mycelium,wireguard\n")
    assert operate.primary_address(bench.deployment) == OVERLAY
    bench.write("src/page", "new\n")
    bench.up()
    assert bench.deployment.data["prefer"] == ["mycelium", "wireguard"]
    assert operate.primary_address(bench.deployment) == OVERLAY
    call("network", "prefer", "--app", "my-app", "--clear")
    bench.up()
    assert bench.deployment.data["prefer"] == ["wireguard", "mycelium"]


def test_a_network_that_a_deployment_lacks_can_not_be_preferred(bench: Bench) -> None:
    bench.up()
    with pytest.raises(UsageError) as error:
        connect.prefer(bench.store, Stream(), bench.deployment, ["ipv4"])
    assert error.value.code == "address-missing"


def test_network_test_shows_how_each_address_answers(bench: Bench, call: Call) -> None:
    bench.up()
    bench.silent = {OVERLAY: "no route to host"}
    code, out, _ = call("network", "test", "my-app", "--json")
    answers = {item["network"]: item for item in json.loads(out)}
    assert code == 0
    assert answers["wireguard"]["milliseconds"] >= 1 and answers["wireguard"]["used"]
    assert (answers["mycelium"]["milliseconds"], answers["mycelium"]["why"]) == (None, "no route to host")
    bench.silent[TUNNEL] = "timed out"
    code, out, _ = call("network", "test", "my-app")
    assert code == 8 and "timed out" in out


def test_networks_are_set_shown_and_cleared(call: Call) -> None:
    assert call("network", "provision")[1] == "wireguard,mycelium\n"
    code, out, err = call("network", "provision", "ipv4, mycelium")
    assert code == 0 and "ipv4, mycelium" in out and "paid" in err
    assert settings.load().connect.provision == ["ipv4", "mycelium"]
    call("network", "prefer", "mycelium")
    assert json.loads(call("network", "show", "--json")[1]) == {"provision": ["ipv4", "mycelium"], "prefer": ["mycelium"]}
    call("network", "provision", "--clear")
    assert settings.load().connect.provision is None


@pytest.mark.parametrize("words", ["lan", "wireguard,lan", "IPv4"])
def test_a_network_that_is_none_is_refused(call: Call, words: str) -> None:
    code, _, err = call("network", "provision", words)
    assert code == 2 and "there is no network" in err
    assert settings.load().connect.provision is None


def test_the_kinds_are_listed_with_their_price(call: Call) -> None:
    code, out, _ = call("network", "list")
    assert code == 0 and "paid by the hour" in out
    assert {item["network"] for item in json.loads(call("network", "list", "--json")[1])} == {
        "wireguard",
        "mycelium",
        "ipv4",
        "ipv6",
    }
