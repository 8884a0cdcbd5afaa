"""The configuration: its file, the bash tool's files behind it, and the commands that change it."""

from __future__ import annotations

import json
import stat

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.unit.workbench import Call
from tfgrid_compose.errors import StateError, UsageError
from tfgrid_compose.grids.networks import LIVE, network
from tfgrid_compose.state import paths, settings
from tfgrid_compose.state.settings import Settings, Urls


def write(text: str, name: str = "config.yaml") -> None:
    paths.private_file(paths.config_dir() / name, text.encode())


# The file


def test_without_a_file_everything_is_usual(call: Call) -> None:
    assert settings.load() == Settings()


def test_what_is_saved_is_read_again_and_only_what_differs_is_written(call: Call) -> None:
    wanted = Settings(
        network="test", balance_days=3, favorites={"main": [7]}, networks={"dev": Urls(chain=["wss://a.example/ws"])}
    )
    path = settings.save(wanted)
    assert settings.load() == wanted
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(yaml.safe_load(path.read_text())) == {"version", "network", "networks", "favorites", "balance_days"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nodes: {max_cpu: 3}", "nodes.max_cpu"),
        ("network: nowhere", "network"),
        ("networks: {moon: {chain: ['wss://a.example/ws']}}", "networks"),
        ("networks: {main: {gridproxy: ['http://gridproxy.grid.tf']}}", "networks.main.gridproxy.0"),
        ("nodes: {max_cpu_usage: 120}", "nodes.max_cpu_usage"),
        ("version: 2", "version"),
        ("- a\n- b", "keys and values"),
        ("nodes: [", "line"),
        ("nodes: {blacklist_nodes: [x]}", "nodes.blacklist_nodes.0"),
        ("a: &a [*a]", "config.yaml"),
        ("\x00", "config.yaml"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_key(call: Call, text: str, said: str) -> None:
    write(text)
    with pytest.raises(StateError) as error:
        settings.load()
    assert error.value.code == "config-invalid"
    assert said in error.value.what + error.value.why


def test_a_command_that_needs_it_says_so_without_a_traceback(call: Call) -> None:
    write("network: nowhere")
    code, _, err = call("config", "show")
    assert code == 10 and "config.yaml" in err and "mv " in err


@given(st.dictionaries(st.sampled_from([*Settings.model_fields, "x"]), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.text(max_size=5), inner, max_size=2), max_leaves=5)))  # fmt: skip
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_content_is_read_or_explained(call: Call, data: dict[str, object]) -> None:
    write(yaml.safe_dump(data))
    try:
        settings.load()
    except StateError as error:
        assert error.code == "config-invalid"


# The bash tool's files


def test_the_files_of_the_bash_tool_are_read(call: Call) -> None:
    write('blacklist_nodes: "617,892"\nwhitelist_farms: "Freefarm, Other Farm"\nmax_cpu_usage: 70\n')
    write("whitelist: {nodes: [1, 2], farms: []}\nblacklist: {nodes: [], farms: [Bad Farm]}\n"
          "preferences: {max_cpu_usage: 80}\nmetadata: {version: '1.0'}\n", "preferences.yaml")  # fmt: skip
    write("mycelium,ipv4\n", "network-provision")
    write("mycelium\n", "network-prefer")
    found = settings.load()
    assert found.nodes.blacklist_nodes == [617, 892]
    assert found.nodes.whitelist_farms == ["Freefarm", "Other Farm"]
    assert (found.nodes.whitelist_nodes, found.nodes.blacklist_farms) == ([1, 2], ["Bad Farm"])
    assert found.nodes.max_cpu_usage == 70
    assert (found.connect.provision, found.connect.prefer) == (["mycelium", "ipv4"], ["mycelium"])


def test_ours_comes_before_theirs(call: Call) -> None:
    write("blacklist: {nodes: [1]}\n", "preferences.yaml")
    write("mycelium\n", "network-prefer")
    settings.save(Settings.model_validate({"nodes": {"blacklist_nodes": [5]}, "connect": {"prefer": "ipv4"}}))
    assert settings.load().nodes.blacklist_nodes == [5]
    assert settings.load().connect.prefer == ["ipv4"]


@pytest.mark.parametrize("text", ["[", "whitelist: 3", "whitelist: {nodes: {a: 1}}", "\xff"])
def test_damaged_old_files_break_nothing(call: Call, text: str) -> None:
    write(text, "preferences.yaml")
    write(text, "network-prefer")
    assert settings.load().connect.prefer is None


# Networks


def test_every_network_has_all_urls_and_none_is_shared() -> None:
    found = [network(name, Settings()) for name in LIVE]
    for urls in ("gridproxy", "chain", "relay", "graphql", "kyc"):
        everything = [url for item in found for url in getattr(item, urls)]
        assert all(getattr(item, urls) for item in found)
        assert len(set(everything)) == len(everything)
    assert network("test", Settings()).gridproxy[0] == "https://gridproxy.test.grid.tf"
    assert network("main", Settings()).chain[0] == "wss://tfchain.grid.tf/ws"
    assert network("dev", Settings()).gridproxy == ("https://gridproxy.dev.grid.tf", "https://gridproxy.dev.threefold.me")
    assert network("main", Settings()).relay == tuple(
        f"wss://relay.{domain}"
        for domain in ("grid.tf", "be.grid.tf", "grid.threefold.me", "sg.grid.tf", "us.grid.tf", "grid.threefold.io")
    )
    given = [url for item in found for urls in (item.gridproxy, item.chain, item.relay) for url in urls]
    assert all(settings.taken_by_provider(url) for url in given)


def test_the_configuration_overrides_one_url_and_leaves_the_others(call: Call) -> None:
    mine = Settings(networks={"dev": Urls(gridproxy=["http://127.0.0.1:8080"])})
    assert network("dev", mine).gridproxy == ("http://127.0.0.1:8080",)
    assert network("dev", mine).chain == network("dev", Settings()).chain
    assert network("qa", mine) == network("qa", Settings())


def test_a_name_that_is_no_network_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        network("moon", Settings())
    assert "main" in error.value.why


# Commands


def test_lists_are_added_to_taken_from_and_cleared(call: Call) -> None:
    assert call("whitelist", "nodes", "1,2", "7")[1] == "1, 2, 7\n"
    assert call("wl", "nodes", "--remove", "2")[1] == "1, 7\n"
    assert call("wl", "nodes", "--status")[1] == "1, 7\n"
    assert call("blacklist", "farms", "Fast Farm")[1] == "Fast Farm\n"
    assert json.loads(call("blacklist", "--json")[1]) == {"nodes": [], "farms": ["Fast Farm"]}
    assert "1, 7" in call("whitelist", "--status")[1]
    assert call("whitelist", "nodes", "--clear", "9")[1] == "9\n"
    call("whitelist", "--clear")
    assert settings.load().nodes.whitelist_nodes == []
    assert settings.load().nodes.blacklist_farms == ["Fast Farm"]


def test_an_id_that_is_no_number_is_refused(call: Call) -> None:
    code, _, err = call("whitelist", "nodes", "12,abc")
    assert code == 2 and "abc" in err
    assert settings.load().nodes.whitelist_nodes == []


def test_preferences_are_set_and_forgotten(call: Call) -> None:
    call("preferences", "--usual")
    assert settings.load().nodes.max_disk_usage == 60
    call("pref", "--set", "max_disk_usage=50")
    assert json.loads(call("preferences", "--json")[1])["max_disk_usage"] == 50
    assert call("preferences", "--set", "colour=red")[0] == 2
    call("preferences", "--clear", "--yes")
    assert settings.load() == Settings()


def test_config_sets_gets_and_unsets_with_the_old_flat_names_too(call: Call) -> None:
    assert call("config", "set", "max_cpu_usage", "70")[0] == 0
    assert call("config", "get", "nodes.max_cpu_usage")[1] == "70.0\n"
    assert call("config", "set", "networks.main.gridproxy", "https://a.example,https://b.example")[0] == 0
    assert settings.load().networks["main"].gridproxy == ["https://a.example", "https://b.example"]
    assert call("config", "set", "blacklist_nodes", "3,4")[0] == 0
    assert settings.load().nodes.blacklist_nodes == [3, 4]
    call("config", "unset", "max_cpu_usage")
    assert settings.load().nodes.max_cpu_usage is None
    assert "max_cpu_usage" in call("config", "show")[1]
    assert call("config", "path")[1].strip() == str(settings.path())
    assert json.loads(call("config", "show", "--json")[1])["nodes"]["blacklist_nodes"] == [3, 4]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set", "colour", "red"], "no key `colour`"), (["get", "nodes.colour"], "no key"), (["unset", "colour"], "no key"),
        (["set", "network", "moon"], "`main`"), (["set", "max_cpu_usage", "lots"], "number"), (["set", "nodes.x", "1"], "x"),
        (["set", "balance_days.x", "1"], "balance_days"), (["set", "networks.main.chain", "ws://elsewhere"], "wss://"),
        *((["set", "networks.main.gridproxy", url], "https://name.of.host") for url in (
            "http://gridproxy.grid.tf", "https://my-proxy.grid.tf", "https://proxy", "https://Proxy.grid.tf", "https://.grid.tf",
            "https://proxy.grid.tf/{x}", "https://u@proxy.grid.tf")),
        *((["set", f"networks.main.{key}", "wss://my-chain.grid.tf/ws"], "wss://name.of.host") for key in ("chain", "relay")),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused_and_nothing_is_written(call: Call, words: list[str], said: str) -> None:
    code, _, err = call("config", *words)
    assert code == 2 and said.strip("`") in err.replace("'", "")
    assert not settings.path().exists()


def test_config_init_takes_the_old_files_in(call: Call) -> None:
    write("blacklist: {nodes: [1]}\n", "preferences.yaml")
    call("config", "init")
    assert yaml.safe_load(settings.path().read_text())["nodes"] == {"blacklist_nodes": [1]}
    assert json.loads(call("config", "schema")[1])["title"] == "Settings"


def test_what_is_cleared_does_not_come_back_from_the_bash_tools_files(call: Call) -> None:
    write("whitelist: {nodes: [3]}\nblacklist: {nodes: [1]}\n", "preferences.yaml")
    write("ipv4,wireguard", "network-provision")
    before = settings.load()
    nodes = before.nodes.model_copy(update={"whitelist_nodes": []})
    settings.save(before.model_copy(update={"nodes": nodes, "connect": settings.Connect()}))
    found = settings.load()
    assert (found.nodes.whitelist_nodes, found.nodes.blacklist_nodes) == ([], [1])
    assert found.connect.provision is None
