"""What a gridproxy answers: rows, single answers and headers with hostile values, up to what commands print of them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import click
import httpx
from click.testing import CliRunner

from tests.fakes.rows import SyntheticSource
from tests.fuzz import mutate
from tests.fuzz.runner import Unclean
from tests.fuzz.target import Target
from tfgrid_compose.cli import contract_text
from tfgrid_compose.cli import nodes as cli_nodes
from tfgrid_compose.deploy.contracts import Listing, Row
from tfgrid_compose.deploy.costs import costs_of
from tfgrid_compose.errors import TfgridError
from tfgrid_compose.grids import selection
from tfgrid_compose.grids.asking import Patience
from tfgrid_compose.grids.client import Client, ask
from tfgrid_compose.grids.models import ContractInfo
from tfgrid_compose.grids.networks import Network
from tfgrid_compose.grids.pricing import Rates
from tfgrid_compose.grids.wish import Wish
from tfgrid_compose.localgrid.rest import sums, wire

_NOW = 1_750_000_000.0
_SOURCE = SyntheticSource(12, now=_NOW)
# Times, ids and counts at the edges of what clocks, chains and JSON know, besides the odd values of everybody.
_EDGES = (
    -1,
    0,
    2**31,
    2**32,
    253_402_300_799,
    253_402_300_800,
    10**15,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -(2**63),
    1e19,
    -1e18,
)
_NODES = [wire.node(row) for row in _SOURCE.nodes()[:4]]
_FARMS = [wire.farm(row) for row in _SOURCE.farms()[:2]]
_CONTRACT = {
    "contract_id": 7, "twin_id": 3, "state": "Created", "created_at": 1_740_000_000, "type": "node",
    "details": {"nodeId": 1, "deployment_data": json.dumps({"version": 3, "type": "vm", "name": "vm_0123456789abcdef", "projectName": "tfgrid-compose/a"}),
                "deployment_hash": "ab", "number_of_public_ips": 1, "farm_name": "Farm-1", "farm_id": 1},
}  # fmt: skip
_BILLS = [{"amountBilled": 12345, "discountReceived": "None", "timestamp": 1_740_003_600 + 3600 * hour} for hour in range(3)]
# {path: what is right}; a case changes some of them.
_ANSWERS: dict[str, Any] = {
    "/nodes": _NODES, "/nodes/1": wire.node_nested(_SOURCE.nodes()[0]), "/farms": _FARMS,
    "/contracts": [_CONTRACT], "/contracts/7": _CONTRACT, "/contracts/7/bills": _BILLS, "/twins": [wire.twin(row) for row in _SOURCE.twins()[:2]],
    "/public_ips": [wire.public_ip(row) for row in _SOURCE.public_ips()[:3]], "/stats": sums.stats(_SOURCE, []),
    "/twins/3/consumption": {"last_hour_consumption": 0.1, "overall_consumption": 2.5}, "/ping": {"ping": "pong"}, "/version": {"version": "0.17"},
    "/nodes/1/gpu": [{"id": "a", "vendor": "b", "device": "c", "contract": 0}], "/nodes/1/statistics": {"total": {"mru": 9}, "used": {}, "users": {}},
    "/health": {"total_state_ok": True, "db_conn": "ok"},
}  # fmt: skip
_QUESTIONS = {
    "/nodes": "nodes", "/nodes/1": "node", "/farms": "farms", "/contracts": "contracts", "/contracts/7": "contract",
    "/contracts/7/bills": "bills", "/twins": "twins", "/public_ips": "public_ips", "/stats": "stats", "/twins/3/consumption": "consumption",
    "/ping": "ping", "/version": "version", "/nodes/1/gpu": "gpus", "/nodes/1/statistics": "statistics", "/health": "health",
}  # fmt: skip
_IDS = {"node": 1, "contract": 7, "bills": 7, "consumption": 3, "gpus": 1, "statistics": 1}
_WORDS = (["nodes", "--all"], ["nodes", "--all", "--json"], ["nodes", "--ipv4"], ["nodes", "--sort", "country"], ["nodes", "farm", "Farm-1"],
          ["nodes", "show", "1"], ["nodes", "show", "1", "--json"], ["farms"], ["farms", "--json", "--ipv4"])  # fmt: skip

# (what is answered by path, as text; the headers of it; the command, or the path whose question is put)
Case = tuple[dict[str, str], dict[str, str], list[str]]


class Fuzz(Target):
    """The client, the tables and details that commands show, the choice of nodes, and what contracts cost."""

    name, share = "gridproxy", 12

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._waits = Patience(attempts=1, sleep=_no_sleep)

    def case(self, chance: Random) -> Case:
        changed = chance.sample(sorted(_ANSWERS), chance.choice((1, 1, 2)))
        answers = {path: self._answer(chance, _ANSWERS[path]) for path in changed}
        headers = {}
        if chance.random() < 0.15:
            name = chance.choice(("count", "size", "pages", "date", "retry-after", "content-type"))
            headers[name] = "".join(char for char in mutate.text(chance) if " " <= char <= "~")[:50]
        return answers, headers, [changed[0]] if chance.random() < 0.4 else list(chance.choice(_WORDS))

    def _answer(self, chance: Random, whole: Any) -> str:
        if chance.random() < 0.1:
            return mutate.raw(chance, json.dumps(whole).encode()).decode("latin-1")
        return json.dumps(mutate.tree(chance, copy.deepcopy(whole), _odd))

    def run(self, case: Case) -> None:
        answers, headers, words = case

        def answer(request: httpx.Request) -> httpx.Response:
            path = request.url.path
            right = _ANSWERS.get(path)
            if right is None:
                return httpx.Response(404, json={"error": "not found"})
            body = answers[path].encode("utf-8", "surrogatepass") if path in answers else json.dumps(right).encode()
            return httpx.Response(200, content=body, headers={"count": str(_counted(body, right)), "size": "1000", **headers})

        grid = _Grid(answer, self._waits)
        if words[0].startswith("/"):
            self._ask(grid, words[0])
        else:
            self._command(grid, words)

    def _ask(self, grid: _Grid, path: str) -> None:
        name = _QUESTIONS[path]
        given = [_IDS[name]] if name in _IDS else []
        named = {"twin": 3} if name == "contracts" else {}
        found = ask(lambda client: getattr(client, name)(*given, **named), grid.client()).value
        if name == "nodes":
            ranking = selection.rank(found, Wish(1, 1024, 10, ipv4=True))
            _clean(ranking.reasons() + "".join(part.words for node in found for part in ranking.scored(node).parts))
        elif name in ("contract", "contracts", "bills"):
            self._money(grid, found if name == "contracts" else [found] if name == "contract" else [])

    def _money(self, grid: _Grid, contracts: list[ContractInfo]) -> None:
        rates = Rates(0.02)
        costs, _ = costs_of(grid, contracts, rates, _NOW)  # type: ignore[arg-type]
        rows = tuple(Row("main", item, None, cost) for item, cost in zip(contracts, costs, strict=True))
        if rows:
            _clean(contract_text.table_of(Listing(rows), _NOW))
            facts = {"place": None, "not_known": {}, "lives": True, "bills": [{"at": 1.0, "tft": 1.0}]}
            _clean(contract_text.details_of(rows[0], facts))

    def _command(self, grid: _Grid, words: list[str]) -> None:
        command = {"nodes": cli_nodes.nodes, "farms": cli_nodes.farms}[words[0]]
        with patch.object(cli_nodes, "_grid", lambda network: grid):
            done = CliRunner().invoke(command, words[1:], color=False)
        if isinstance(done.exception, TfgridError):
            raise done.exception
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        _clean(done.output)


class _Grid:
    """A grid that is only a directory."""

    name, needs_root = "main", False

    def __init__(self, answer: Any, waits: Patience) -> None:
        self._answer, self._waits = answer, waits

    def client(self) -> Client:
        network = Network("main", gridproxy=("https://gridproxy.example",))
        return Client(network, transport=httpx.MockTransport(self._answer), patience=self._waits, refresh=True)


async def _no_sleep(seconds: float) -> None:
    """Nobody waits here."""


def _odd(chance: Random) -> Any:
    return chance.choice(_EDGES) if chance.random() < 0.5 else mutate.value(chance)


def _counted(body: bytes, right: Any) -> int:
    """How many rows are there: a count that is wrong would hide what the rows do."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = right
    return len(found) if isinstance(found, list) else 1


def _clean(text: str) -> None:
    """Nothing of a stranger reaches the terminal but signs that are shown."""
    bad = next((char for char in click.unstyle(text) if not char.isprintable() and char != "\n"), "")
    if bad:
        raise Unclean(f"the sign {bad!r} reaches the terminal")
