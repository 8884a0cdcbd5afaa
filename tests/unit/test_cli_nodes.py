"""`nodes`, `farms`, `favorites` and the interactive browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from textual.widgets import DataTable

from tests.fakes.rows import SyntheticSource
from tests.unit.workbench import Call
from tfgrid_compose.cli import nodes as cli_nodes
from tfgrid_compose.cli.browser import Browser, Details
from tfgrid_compose.grids.client import Client
from tfgrid_compose.grids.models import Capacity, Node
from tfgrid_compose.grids.networks import Network
from tfgrid_compose.localgrid.rest.app import create_app
from tfgrid_compose.state import settings

GIB = 1024**3


class Directory:
    """A grid that is only a directory, played by the REST API over synthetic rows."""

    name, needs_root = "test", False

    def __init__(self, source: SyntheticSource) -> None:
        self.source = source
        self.url = "https://gridproxy.test.example"
        self.down = False

    def client(self) -> Client:
        app = httpx.ASGITransport(app=create_app(self.source))
        return Client(Network("test", gridproxy=(self.url,)), transport=httpx.MockTransport(refused) if self.down else app)


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


@pytest.fixture
def grid(call: Call, monkeypatch: pytest.MonkeyPatch) -> Iterator[Directory]:
    found = Directory(SyntheticSource(nodes=120, now=time.time()))
    monkeypatch.setattr(cli_nodes, "_grid", lambda network: found)
    yield found


def listed(call: Call, *words: str) -> list[dict[str, Any]]:
    code, out, _ = call("nodes", *words, "--json", "-n", "1000")
    assert code == 0
    found: list[dict[str, Any]] = json.loads(out)["nodes"]
    return found


def test_nodes_are_listed_with_what_is_free(grid: Directory, call: Call) -> None:
    code, out, err = call("nodes", "--limit", "5")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["NODE", "FARM"] and len(lines) == 6
    assert "more, --limit" in err


def test_filters_are_the_directorys(grid: Directory, call: Call) -> None:
    everything = listed(call)
    assert everything and all(node["status"] == "up" for node in everything)
    assert len(listed(call, "--all")) > len(everything)
    country = everything[0]["country"]
    assert {node["country"] for node in listed(call, "--country", country[:4])} == {country}
    roomy = listed(call, "--min-memory", "32G", "--min-disk", "200G", "--min-cpu", "8")
    assert 0 < len(roomy) < len(everything)
    assert all(
        node["free"]["mru"] >= 32 * GIB and node["free"]["sru"] >= 200 * GIB and node["total"]["cru"] >= 8 for node in roomy
    )
    assert all(node["certified"] for node in listed(call, "--certified"))
    assert all(node["free_ips"] > 0 for node in listed(call, "--ipv4"))


@pytest.mark.parametrize(
    ("sort", "key"), [("memory", lambda n: -n["free"]["mru"]), ("id", lambda n: n["id"]), ("uptime", lambda n: -n["uptime"])]
)
def test_the_order_is_the_users(grid: Directory, call: Call, sort: str, key: Any) -> None:
    found = listed(call, "--sort", sort)
    assert [node["id"] for node in found] == [node["id"] for node in sorted(found, key=lambda n: (key(n), n["id"]))]


def test_one_node_is_shown_with_the_command_that_uses_it(grid: Directory, call: Call) -> None:
    id = listed(call)[0]["id"]
    code, out, _ = call("nodes", "show", str(id))
    assert code == 0 and f"Node {id}" in out and f"--network test --node {id}" in out
    assert json.loads(call("nodes", "show", str(id), "--json")[1])["id"] == id


def test_a_node_that_there_is_none_of_has_a_code_of_its_own(grid: Directory, call: Call) -> None:
    code, _, err = call("nodes", "show", "999999")
    assert code == 5 and "999999" in err


def test_a_farm_is_named_by_name_or_id(grid: Directory, call: Call) -> None:
    node = listed(call)[0]
    by_name = json.loads(call("nodes", "farm", node["farm"], "--json")[1])["nodes"]
    by_id = json.loads(call("nodes", "farm", str(node["farm_id"]), "--json")[1])["nodes"]
    assert node["id"] in {item["id"] for item in by_id}
    assert {item["id"] for item in by_id} == {item["id"] for item in by_name}


def test_a_farms_nodes_are_not_those_of_farms_with_a_longer_name(grid: Directory, call: Call) -> None:
    farms = json.loads(call("nodes", "--all", "--json", "--limit", "999")[1])["nodes"]
    assert len({node["farm"] for node in farms if node["farm"].startswith("Farm-1")}) > 1
    found = json.loads(call("nodes", "farm", "farm-1", "--json")[1])["nodes"]
    assert {node["farm"] for node in found} == {"Farm-1"}
    assert json.loads(call("nodes", "farm", "arm-1", "--json")[1])["nodes"] == []


@pytest.mark.parametrize("word", ["%", "_", "%a%", "\\", "B_lgium", "Be%um", "\\%", "9" * 5000, "٣"])
def test_no_sign_stands_for_others(grid: Directory, call: Call, word: str) -> None:
    for option in ("--country", "--farm"):
        assert listed(call, option, word) == []
    assert json.loads(call("farms", "--name", word, "--json")[1])["farms"] == []
    assert json.loads(call("nodes", "farm", word, "--json")[1])["nodes"] == []


def test_farms_of_a_country_are_listed(grid: Directory, call: Call) -> None:
    every = json.loads(call("farms", "--json", "--limit", "999")[1])["farms"]
    country = listed(call)[0]["country"]
    code, out, err = call("farms", "--country", country, "--json", "--limit", "999")
    assert code == 0, err
    found = json.loads(out)["farms"]
    assert 0 < len(found) < len(every)
    assert {farm["id"] for farm in found} == {node["farm_id"] for node in listed(call, "--country", country, "--all")}


def test_ipv6_is_what_machines_can_have_not_what_the_node_has(grid: Directory, call: Call) -> None:
    able = {row.id for row in grid.source.nodes() if row.has_ipv6 and row.status == "up"}
    assert able != {row.id for row in grid.source.nodes() if row.ipv6 and row.status == "up"}
    found = listed(call, "--ipv6")
    assert {node["id"] for node in found} == able and all(node["has_ipv6"] for node in found)
    assert {node["has_ipv6"] for node in listed(call)} == {None}, "nobody asked"


def test_farms_are_listed(grid: Directory, call: Call) -> None:
    code, out, _ = call("farms")
    assert code == 0 and "FREE IPV4" in out
    assert all(farm["free_ips"] > 0 for farm in json.loads(call("farms", "--ipv4", "--json")[1])["farms"])


def test_a_grid_that_can_not_be_asked_answers_from_what_is_kept_with_its_age(grid: Directory, call: Call) -> None:
    first = listed(call)
    grid.down = True
    code, out, _ = call("nodes", "--offline", "--json", "-n", "1000")
    assert code == 0
    assert json.loads(out)["nodes"] == first
    code, out, err = call("nodes", "--refresh")
    assert code == 0 and out
    assert "Network test, as it was" in err and "the grid could not be asked" in err


def test_what_is_kept_belongs_to_the_url_that_gave_it(grid: Directory, call: Call) -> None:
    listed(call)
    grid.url = "https://another.test.example"
    code, out, err = call("nodes", "--offline", "--json", "-n", "1000")
    assert code == 7 and "Traceback" not in err
    assert json.loads(out)["error"]["code"] == "gridproxy-offline"


def test_no_answer_at_all_is_an_error_and_not_an_empty_list(grid: Directory, call: Call) -> None:
    grid.down = True
    code, out, err = call("nodes")
    assert code == 7 and out == "" and "Reason" in err


def test_favourites_are_kept_by_network(grid: Directory, call: Call) -> None:
    assert call("favorites", "add", "7", "9", "--network", "main")[1] == "7, 9\n"
    assert call("nodes", "favorites", "remove", "9", "--network", "main")[1] == "7\n"
    assert json.loads(call("favorites", "--network", "main", "--json")[1]) == [7]
    assert call("fav", "--network", "qa")[1] == "none on network qa\n"
    assert call("favorites", "list")[1].startswith("none")
    id = listed(call)[3]["id"]
    call("favorites", "add", str(id), "--network", "test")
    assert [node["id"] for node in listed(call, "--favorites")] == [id]
    assert settings.load().favorites == {"main": [7], "test": [id]}


def test_browsing_needs_a_terminal(grid: Directory, call: Call) -> None:
    code, _, err = call("nodes", "browse")
    assert code == 2 and "needs a terminal" in err


# The browser

BASE = Node(
    1, 1, "Freefarm", "Belgium", "Ghent", "up", False, Capacity(8, 64 * GIB, 900 * GIB), Capacity(8, 8 * GIB, 500 * GIB), "", 2
)
NODES = [replace(BASE, id=id, free=Capacity(8, id * GIB, 10 * GIB), farm=farm, country=country)
         for id, farm, country in ((1, "Freefarm", "Belgium"), (2, "Nile", "Egypt"), (3, "Freefarm", "Belgium"), (4, "Serra", "Brazil"))]  # fmt: skip


def browser(stars: set[int] | None = None) -> tuple[Browser, list[tuple[int, bool]]]:
    kept: list[tuple[int, bool]] = []
    mine = set(stars or ())

    def keep(id: int, on: bool) -> set[int]:
        kept.append((id, on))
        (mine.add if on else mine.discard)(id)
        return set(mine)

    return Browser(NODES, mine, keep, "as it was 5 min ago"), kept


def ids(app: Browser) -> list[int]:
    table = app.query_one(DataTable)
    return [int("".join(sign for sign in str(table.get_row_at(place)[0]) if sign.isdigit())) for place in range(table.row_count)]


async def test_the_browser_searches_sorts_and_pages() -> None:
    app, _ = browser()
    async with app.run_test(size=(120, 20)) as pilot:
        assert ids(app) == [4, 3, 2, 1]
        await pilot.press("slash", *"belg", "enter")
        assert ids(app) == [3, 1]
        await pilot.press("slash", "escape")
        assert ids(app) == [4, 3, 2, 1]
        for _ in range(6):
            await pilot.press("s")
        assert ids(app) == [1, 2, 3, 4]
        await pilot.press("right")
        assert app.query_one(DataTable).cursor_row == 3
        await pilot.press("left")
        assert app.query_one(DataTable).cursor_row == 0


async def test_the_browser_shows_details_and_marks_favourites() -> None:
    app, kept = browser({2})
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("enter")
        assert isinstance(app.screen, Details)
        await pilot.press("escape")
        await pilot.press("f")
        assert kept == [(4, True)]
        await pilot.press("asterisk")
        assert ids(app) == [4, 2]
        await pilot.press("f")
        assert kept[-1] == (4, False) and ids(app) == [2]


async def test_deploying_ends_the_browser_with_the_node() -> None:
    app, _ = browser()
    async with app.run_test() as pilot:
        await pilot.press("down", "d")
    assert app.return_value == 3


async def test_quitting_ends_it_with_nothing() -> None:
    app, _ = browser()
    async with app.run_test() as pilot:
        await pilot.press("q")
    assert app.return_value is None
