"""Nodes for the machines of a deployment: who has a say, what stays, what is explained, and what is not checked."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workbench import Bench, Call
from tfgrid_compose.deploy import resolve
from tfgrid_compose.deploy.options import PlacementOptions, UpOptions
from tfgrid_compose.deploy.placement import Placement
from tfgrid_compose.deploy.resume import aim_of, resumed_options
from tfgrid_compose.deploy.wishes import Asked, options_of
from tfgrid_compose.errors import GridError, NotFoundError
from tfgrid_compose.grids.models import GIB, Account, Capacity, Node
from tfgrid_compose.manifest.load import App, load_app
from tfgrid_compose.manifest.model import Placement as ManifestPlacement
from tfgrid_compose.patterns.load import load as load_pattern
from tfgrid_compose.state.settings import NodePreferences, Settings
from tfgrid_compose.state.store import Deployment

DOWN = GridError(
    "the directory of network main does not answer", why="no connection", fix="try again", code="gridproxy-unreachable"
)


def node(id: int, memory: int = 64, status: str = "up", ips: int = 1, **changes: Any) -> Node:
    """A node with so many GiB free; nodes below 10 are of farm `Scheldt`, the others of `Nile`."""
    room = Capacity(16, memory * GIB, 1000 * GIB)
    farm, country = ((1, "Scheldt"), "Belgium") if id < 10 else ((2, "Nile"), "Egypt")
    return Node(id, farm[0], farm[1], country, "x", status, False, room, room, "", ips, **changes)


class FakeGrid:
    """A grid that lists its nodes, or says why not."""

    name = "main"

    def __init__(self, *nodes: Node, error: GridError | None = None, twin: int | None = 7) -> None:
        self._nodes, self._error, self._twin = list(nodes), error, twin
        self.asked = self.accounts = 0

    def nodes(self, *, ipv6: bool = False) -> list[Node]:
        """All nodes."""
        self.asked += 1
        if self._error:
            raise self._error
        return self._nodes

    def account(self) -> Account:
        """Who pays."""
        self.accounts += 1
        return Account("main", "5x", twin=self._twin)

    def these_nodes(self, ids: Collection[int]) -> list[Node]:
        """Those of the list."""
        return [node for node in self._nodes if node.id in ids]


def app_of(folder: Path, text: str = "") -> App:
    """The app with more in its manifest."""
    (folder / "tfgrid-compose.yaml").write_text("name: my-app\n" + text)
    return load_app(folder)


def placement(app: App, grid: FakeGrid, count: int = 1, settings: Settings | None = None, **overrides: Any) -> Placement:
    """A placement of single-vm, with so many machines of its only role."""
    pattern = load_pattern("single-vm")
    roles = {"vm": pattern.pattern.roles["vm"].model_copy(update={"count": count})}
    pattern = type(pattern)(**{**vars(pattern), "pattern": pattern.pattern.model_copy(update={"roles": roles})})
    size, networks = {"vm": resolve.RoleSizes(2, 4096, 50)}, app.manifest.network.provisioned()
    return Placement(grid, app, pattern, size, networks, overrides, settings or Settings())  # type: ignore[arg-type]


def place(app: App, grid: FakeGrid, placed: dict[str, list[int]] | None = None, **given: Any) -> list[int]:
    """The nodes of single-vm's only role."""
    return placement(app, grid, **given).place(placed or {}).nodes["vm"]


# Who decides


def test_a_machine_that_exists_stays_and_nobody_is_asked(app_folder: Path) -> None:
    grid, app = FakeGrid(node(1), node(2, 128)), load_app(app_folder)
    assert place(app, grid, {"vm": [1]}) == [1]
    assert place(app, grid, {"vm": [1]}, node=1) == [1]
    assert place(app, grid, {"vm": [1]}, placement={"blacklist_nodes": [1]}) == [1], "its data would be lost"
    assert grid.asked == 0
    assert place(app, grid, {"vm": [1]}, node=2) == [2]
    assert place(app, grid) == [2], "the roomiest"


def test_the_manifests_node_is_only_a_wish(app_folder: Path) -> None:
    app = app_of(app_folder, "nodes: {vm: 1}\n")
    assert place(app, FakeGrid(node(1), node(2, 128))) == [1]
    assert place(app, FakeGrid(node(1, 1), node(2, 128))) == [2]
    assert place(app, FakeGrid(node(2, 128))) == [2]
    assert place(app, FakeGrid(node(1), node(2)), node=2) == [2]
    many = app_of(app_folder, "nodes: {vm: [3, 1]}\n")
    assert place(many, FakeGrid(node(1), node(2, 128), node(3)), count=3) == [3, 1, 2]


def test_the_users_node_must_do(app_folder: Path) -> None:
    app = load_app(app_folder)
    with pytest.raises(GridError, match="node 1 .* does not do") as caught:
        place(app, FakeGrid(node(1, 1), node(2)), node=1)
    assert caught.value.why == "1.0 GiB of memory are free"
    with pytest.raises(NotFoundError, match="there is no node 9"):
        place(app, FakeGrid(node(1)), node=9)
    with pytest.raises(GridError, match="node 1 .* does not do") as caught:
        place(app, FakeGrid(node(1)), node=1, settings=Settings(nodes=NodePreferences(blacklist_farms=["SCHELDT"])))
    assert caught.value.why == "its farm is on a blacklist"


def test_a_node_that_the_directory_did_not_list_is_asked_for_to_say_what_is_wrong(
    app_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = FakeGrid(node(1))
    monkeypatch.setattr(grid, "these_nodes", lambda ids: [node(id, status="down") for id in ids])
    with pytest.raises(GridError, match="node 9 .* does not do") as caught:
        place(load_app(app_folder), grid, node=9)
    assert caught.value.why == "it is down"


def test_without_a_directory_a_named_node_is_taken_with_a_word_and_no_other(app_folder: Path) -> None:
    app, silent = load_app(app_folder), FakeGrid(error=DOWN)
    found = placement(app, silent, count=2, node=9).place({})
    assert found.nodes == {"vm": [9, 9]} and found.how == {"vm": ["unchecked", "unchecked"]}
    assert found.unchecked[0] == "node 9 for vm: the directory of network main does not answer (no connection)"
    assert silent.asked == 1, "a directory that is down is waited for once"
    assert place(app_of(app_folder, "nodes: {vm: 3}\n"), FakeGrid(error=DOWN)) == [3]
    with pytest.raises(GridError) as caught:
        place(load_app(app_of(app_folder).folder), FakeGrid(error=GridError("x", why="y", fix="try again")))
    assert caught.value.fix == "try again; or name a node with --node"


def test_data_disks_count_as_room_on_the_node(app_folder: Path) -> None:
    app = app_of(app_folder, "disks:\n  - {name: data, size: 950, mount: /data}\n")
    with pytest.raises(GridError, match="1000 GB disk"):
        place(app, FakeGrid(node(1)))


def test_ipv6_comes_from_what_the_directory_says_machines_can_have(app_folder: Path) -> None:
    app = app_of(app_folder, "network: {provision: [wireguard, ipv6]}\n")
    asked: list[bool] = []

    class Six(FakeGrid):
        def nodes(self, *, ipv6: bool = False) -> list[Node]:
            asked.append(ipv6)
            return super().nodes()

    public, able, unable = node(1, 512, ipv6="2001:db8::1/64", has_ipv6=False), node(2, has_ipv6=True), node(3, 256)
    assert place(app, Six(public, able, unable)) == [2]
    with pytest.raises(GridError) as caught:
        place(app, Six(public, able), node=1)
    assert caught.value.why == "it can give no public IPv6"
    assert place(app_of(app_folder), Six(public, able)) == [1]
    assert asked == [True, True, False]


def test_networks_decide_what_a_node_must_have(app_folder: Path) -> None:
    app = app_of(app_folder, "network: {provision: [wireguard, ipv4]}\n")
    light = node(3, 512, features=frozenset({"zmachine-light", "network-light", "mycelium"}))
    assert place(app, FakeGrid(node(1, ips=1), node(2, 128, ips=0), light)) == [1]


def test_the_account_is_asked_for_only_where_nodes_are_rented(app_folder: Path) -> None:
    app, plain = load_app(app_folder), FakeGrid(node(1))
    place(app, plain)
    assert plain.accounts == 0
    rented = FakeGrid(node(1, rented_by=7), node(2, 512, rented_by=8))
    assert place(app, rented) == [1] and rented.accounts == 1
    assert place(app_of(app_folder, "placement: {dedicated: true}\n"), FakeGrid(node(1, rented_by=7), node(2))) == [1]
    with pytest.raises(GridError):
        place(app, FakeGrid(node(1, rented_by=7), twin=None))


def test_replicas_stand_on_different_nodes_beside_those_that_exist(app_folder: Path) -> None:
    app = load_app(app_folder)
    grid = FakeGrid(node(1, 512), node(2, 256), node(11, 128))
    assert place(app, grid, count=3) == [1, 2, 11]
    assert place(app, grid, {"vm": [2]}, count=2) == [2, 1]
    assert place(app, grid, {"vm": [2]}, count=2, placement={"spread": "farms"}) == [2, 11]
    assert place(app, grid, count=2, placement={"spread": "none"}) == [1, 1]
    with pytest.raises(GridError, match="there is room for 2 of 3 machines"):
        place(app, grid, count=3, placement={"spread": "countries"})


# Precedence


def asked(options: dict[str, Any], manifest: dict[str, Any], preferences: dict[str, Any]) -> Asked:
    return Asked(options_of(options), ManifestPlacement(**manifest), NodePreferences(**preferences))


@pytest.mark.parametrize(
    ("options", "manifest", "preferences", "expected"),
    [
        ({}, {}, {}, []),
        ({}, {"farms": ["A"]}, {}, [((), ("a",), "the manifest")]),
        ({}, {"farms": ["A"]}, {"whitelist_nodes": [3], "whitelist_farms": ["B"]},
         [((), ("a",), "the manifest"), ((3,), ("b",), "your preferences")]),
        ({"farms": ["C"]}, {"farms": ["A"]}, {"whitelist_nodes": [3]}, [((), ("c",), "the options")]),
        ({"whitelist_nodes": [9]}, {"farms": ["A"]}, {}, [((9,), (), "the options")]),
        ({"farms": ["*"]}, {"farms": ["A"]}, {"whitelist_nodes": [3]}, []),
    ],
)  # fmt: skip
def test_whitelists_of_options_replace_the_others_which_both_hold(
    options: dict[str, Any], manifest: dict[str, Any], preferences: dict[str, Any], expected: list[Any]
) -> None:
    found = asked(options, manifest, preferences).whitelists()
    assert [(tuple(item.nodes), tuple(item.farms), item.origin) for item in found] == expected


def test_blacklists_add_up_and_thresholds_are_the_stricter_unless_an_option_speaks() -> None:
    size = resolve.RoleSizes(1, 512, 4)
    manifest = {"max_cpu_usage": 80, "min_uptime_days": 2, "certified": True, "countries": ["Belgium"], "spread": "farms"}
    preferences = {
        "max_cpu_usage": 50,
        "min_uptime_days": 9,
        "max_disk_usage": 60,
        "blacklist_nodes": [1],
        "blacklist_farms": ["A"],
    }
    both = asked({"blacklist_nodes": [2], "blacklist_farms": ["B"]}, manifest, preferences)
    wish = both.wish(size, 0, ("wireguard",))
    assert (wish.max_cpu_usage, wish.min_uptime_days, wish.max_disk_usage) == (50, 9, 60)
    assert (wish.black_nodes, wish.black_farms, wish.certified) == ({1, 2}, {"a", "b"}, True)
    assert (wish.countries, both.spread) == ({"belgium"}, "farms")
    loose = {"max_cpu_usage": 95, "min_uptime_days": 0, "certified": False, "countries": ["*"], "spread": "none"}
    wish = asked(loose, manifest, preferences).wish(size, 0, ())
    assert (wish.max_cpu_usage, wish.min_uptime_days, wish.certified, wish.countries) == (95, 0, False, frozenset())
    assert asked(loose, manifest, preferences).spread == "none"


def test_favourites_are_those_of_the_network(app_folder: Path) -> None:
    grid = FakeGrid(node(1, 8), node(2, 512))
    assert place(load_app(app_folder), grid, settings=Settings(favorites={"main": [1], "test": [2]})) == [1]


# Farms and countries that nobody knows


@pytest.mark.parametrize(
    ("manifest", "options", "preferences", "message"),
    [
        ("", {"farms": ["Nil"]}, {}, "did you mean `nile`?"),
        ("", {"farms": ["Nile", "Nil"]}, {}, "did you mean `nile`?"),
        ("placement: {farms: Nil}\n", {}, {}, "did you mean `nile`?"),
        ("", {}, {"whitelist_farms": ["Freefarm"]}, "choose another with --farm"),
        ("", {"countries": ["Belgum"]}, {}, "did you mean `belgium`?"),
        ("placement: {countries: [Chad]}\n", {}, {}, "choose another with --country"),
    ],
)
def test_an_unknown_name_never_lets_everything_in(
    app_folder: Path, manifest: str, options: dict[str, Any], preferences: dict[str, Any], message: str
) -> None:
    app, settings = app_of(app_folder, manifest), Settings(nodes=NodePreferences(**preferences))
    with pytest.raises(NotFoundError) as caught:
        place(app, FakeGrid(node(1), node(11)), settings=settings, placement=options)
    assert message in caught.value.fix


def test_names_that_mean_nothing_beside_others_that_do_are_said(app_folder: Path) -> None:
    app = app_of(app_folder, "placement: {farms: [Nile, Nil], countries: [egypt, chad]}\n")
    settings = Settings(nodes=NodePreferences(whitelist_nodes=[11], whitelist_farms=["other-network"]))
    found = placement(app, FakeGrid(node(1), node(11)), settings=settings, placement={"blacklist_farms": ["Typo"]}).place({})
    assert found.nodes == {"vm": [11]}
    assert found.warnings == [
        "no node belongs to farm `nil`, which the manifest names",
        "no node belongs to farm `other-network`, which your preferences name",
        "no node is in `chad`",
        "no node belongs to farm `typo` of --blacklist-farm",
    ]


# What is remembered


def test_what_is_said_about_nodes_is_remembered_and_replaced_by_matter() -> None:
    first = resolve.overrides_of(
        UpOptions(Path(), placement=PlacementOptions(farms=("a",), certified=True), ipv4=True, node=5), {}
    )
    assert first == {"node": 5, "ipv4": True, "placement": {"farms": ["a"], "certified": True}}
    second = resolve.overrides_of(UpOptions(Path(), size="large", placement=PlacementOptions(certified=False)), first)
    assert second == {"size": "large", "ipv4": True, "placement": {"farms": ["a"], "certified": False}}
    assert resolve.overrides_of(UpOptions(Path()), second) == second
    assert options_of(second["placement"]) == PlacementOptions(farms=("a",), certified=False)
    assert options_of({"farms": ["a"], "of-a-newer-version": 1}) == PlacementOptions(farms=("a",))


def test_a_resumed_run_is_asked_for_the_same_nodes() -> None:
    options = UpOptions(Path("/app"), name="x", network="main", ipv4=False, placement=PlacementOptions(blacklist_nodes=(3, 4)))
    aim = json.loads(json.dumps(aim_of(options)))
    deployment = Deployment("d", "x", "main", "failed", 1.0, 1.0, {"app_dir": "/app"})
    again = resumed_options(deployment, {"data": aim}, None, {})
    assert (again.placement, again.ipv4) == (options.placement, False)


# Explaining


def test_every_machine_is_explained_with_score_next_best_and_counts(app_folder: Path) -> None:
    grid = FakeGrid(node(1, 512), node(2, 256), node(3, 128), node(4, 96), node(5, 1), node(6, status="down"))
    found = placement(load_app(app_folder), grid, count=2)
    found.place({})
    first, second = found.explain(found.nodes)
    assert (first["role"], first["machine"], first["how"], first["node"]["id"]) == ("vm", 1, "chosen", 1)
    assert (second["machine"], second["node"]["id"]) == (2, 2)
    assert [item["id"] for item in first["next"]] == [3, 4]
    assert first["refused"] == {"memory": 1, "not-up": 1} and (first["looked_at"], first["able"]) == (6, 4)
    assert sum(part["points"] for part in first["node"]["parts"]) == pytest.approx(first["node"]["score"], abs=0.3)
    json.dumps([first, second])


def test_a_machine_that_stays_on_a_full_node_is_explained_too(app_folder: Path) -> None:
    found = placement(load_app(app_folder), FakeGrid(node(1, 1), node(2)))
    found.place({"vm": [1]})
    (only,) = found.explain(found.nodes)
    assert (only["how"], only["node"], only["refused_because"]) == ("kept", {"id": 1}, "1.0 GiB of memory are free")


# By command


def test_the_plan_explains_in_words_and_in_json(bench: Bench, call: Call) -> None:
    bench.manifest("resources: {cpu: 1, memory: 512, disk: 4}\n")
    code, out, _ = call(
        "plan", str(bench.folder), "--network", "main", "--explain", "--blacklist-node", "1,2", "--farm", "FREEFARM"
    )
    assert code == 0
    assert "Node 3 (Freefarm, Belgium) for vm: the best, score" in out
    assert "Next best: 4 (Freefarm" in out
    assert "Looked at 12 nodes: 10 do; 2 are on a blacklist" in out
    code, out, _ = call("plan", str(bench.folder), "--network", "main", "--explain", "--json")
    (item,) = json.loads(out)["placement"]
    assert code == 0 and item["node"]["id"] == 1 and item["refused"] == {}


def test_what_was_not_checked_is_in_the_plan_and_said_by_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*, ipv6: bool = False) -> list[Node]:
        raise DOWN

    monkeypatch.setattr(bench.grid, "nodes", silent)
    with bench.context() as context:
        assert context.unchecked == ["node 7 for vm: the directory of network main does not answer (no connection)"]
    bench.up()
    assert "not checked: node 7 for vm: the directory of network main does not answer (no connection)" in bench.notices()


def test_options_of_up_stay_for_the_next_up(bench: Bench) -> None:
    with pytest.raises(GridError, match="^x$"):
        bench.fail("terraform", GridError("x", code="y"))
        bench.up(node=None, placement=PlacementOptions(whitelist_nodes=(4, 5)))
    assert bench.deployment.data["overrides"] == {"placement": {"whitelist_nodes": [4, 5]}}
    with bench.context(node=None) as context:
        assert context.nodes == {"vm": [4]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--blacklist-node", "4,x"), "'x' is no number of a node"),
        (("--farm", ","), "it names nothing"),
        (("--spread", "planets"), "planets"),
        (("--max-cpu-usage", "120"), "120"),
        (("--node", "3", "--blacklist-node", "2,3"), "it is on a blacklist"),
    ],
)
def test_options_that_make_no_sense_are_refused(bench: Bench, call: Call, words: tuple[str, ...], said: str) -> None:
    code, _, err = call("plan", str(bench.folder), "--network", "main", *words)
    assert code in (2, 5, 7) and said in err


def test_the_public_address_of_an_option_holds_whatever_the_manifest_says(bench: Bench, call: Call) -> None:
    for id in range(1, 12):
        bench.grid.directory.change(id, free_ips=0)
    code, out, _ = call("plan", str(bench.folder), "--network", "main", "--ipv4", "--json")
    found = json.loads(out)
    assert code == 0 and found["nodes"] == {"vm": [12]} and "ipv4" in found["addresses"]["networks"]


def test_up_tells_the_explanation_as_events(bench: Bench, call: Call) -> None:
    code, out, _ = call("up", str(bench.folder), "--network", "main", "--yes", "--json", "--explain", "--country", "Belgium,*")
    assert code == 0
    texts = [event["text"] for line in out.splitlines() if (event := json.loads(line))["event"] == "notice"]
    assert any(text.startswith("Node 1 (Freefarm, Belgium) for vm: the best, score") for text in texts)
    code, out, _ = call("plan", str(bench.folder), "--network", "main", "--explain")
    assert code == 0 and "Node 1 (Freefarm, Belgium) for vm: its machine has this place" in out


def test_what_can_not_be_explained_is_no_error(bench: Bench, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*, ipv6: bool = False) -> list[Node]:
        raise DOWN

    monkeypatch.setattr(bench.grid, "nodes", silent)
    code, out, _ = call("plan", str(bench.folder), "--network", "main", "--node", "7", "--explain")
    assert code == 0
    assert "Not checked: why machines stand on their nodes: the directory of network main does not answer" in out
    code, out, _ = call("plan", str(bench.folder), "--network", "main", "--node", "7", "--explain", "--json")
    found = json.loads(out)
    assert code == 0 and found["placement"] == [] and len(found["not_checked"]) >= 2
