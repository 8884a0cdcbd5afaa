"""`contracts`: what is listed and what it costs, whose it is, cancelling with proof, and watching."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.fakes.live import CREATED, LiveNetwork, asked_once
from tests.unit.otherprocess import held
from tfgrid_compose.cli import contracts as cli
from tfgrid_compose.cli.contract_text import money
from tfgrid_compose.deploy import cancel as cancelling
from tfgrid_compose.deploy import contracts as core
from tfgrid_compose.deploy.contracts import Listing, Row, look, pick
from tfgrid_compose.deploy.costs import Cost, _cost
from tfgrid_compose.deploy.watch import changes, kept
from tfgrid_compose.errors import BusyError, GridError, InterruptedError_, NotFoundError, TfgridError, UsageError
from tfgrid_compose.grids import wire
from tfgrid_compose.grids.live import LiveGrid
from tfgrid_compose.grids.models import Account, ContractInfo
from tfgrid_compose.grids.pricing import Rates
from tfgrid_compose.observe.events import Stream
from tfgrid_compose.state.store import Deployment, Store

ID, LOST = "0123456789abcdef", "f" * 16


class FakeGrid:
    """A grid in memory; `silent` is what it says instead of an answer."""

    needs_root = False
    play_money = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.stands: dict[int, ContractInfo] = {}
        self.silent: GridError | None = None
        self.immortal: set[int] = set()
        self.on_cancel: Callable[[], None] = lambda: None
        self.batches: list[list[int]] = []

    def add(self, id: int, name: str, *, usd: float | None = 0.01, **facts: Any) -> ContractInfo:
        node, kind, state = facts.pop("node", 9), facts.pop("kind", "vm"), facts.pop("state", "Created")
        self.stands[id] = ContractInfo(id, node, kind, name, state, usd, created=CREATED, **facts)
        return self.stands[id]

    def all_contracts(self) -> list[ContractInfo]:
        if self.silent:
            raise self.silent
        return list(self.stands.values())

    def rates(self) -> Rates:
        return Rates(0.02)

    def account(self) -> Account:
        return Account(self.name, "5Fake", twin=None)

    def client(self) -> Any:
        raise GridError("the directory is silent", why="it is a fake")

    def alive(self, contracts: Sequence[int]) -> bool:
        return set(contracts) <= set(self.stands)

    def cancel(self, contracts: Sequence[int]) -> None:
        self.on_cancel()
        self.batches.append(list(contracts))
        for id in set(contracts) - self.immortal:
            self.stands.pop(id, None)

    def remains(self, contracts: Sequence[int]) -> list[str]:
        return [f"contract {id}" for id in contracts if id in self.stands]


Grids = dict[str, FakeGrid]


@pytest.fixture
def grids(home: Path, monkeypatch: pytest.MonkeyPatch) -> Grids:
    found = {name: FakeGrid(name) for name in ("main", "test")}
    for module in (core, cancelling):
        monkeypatch.setattr(module, "open_grid", lambda name: found[name])
    monkeypatch.setattr("tfgrid_compose.grids.registry.open_grid", lambda name: found[name])
    return found


@pytest.fixture
def store(grids: Grids) -> Iterator[Store]:
    """A state that remembers `my-app` on main and `other` on test."""
    with Store() as found:
        found.save(Deployment(ID, "my-app", "main", "running", 1.0, 1.0, {"app": "my-app", "contracts": [11, 12, 14]}))
        found.save(Deployment("e" * 16, "other", "test", "running", 1.0, 1.0, {"app": "other", "contracts": []}))
        grids["main"].add(11, f"vm_{ID}", app="my-app", deployment=ID)
        grids["main"].add(12, f"net_{ID}", kind="network", usd=0.0, app="my-app", deployment=ID)
        grids["main"].add(13, f"vm_{LOST}", app="lost-app", deployment=LOST, state="GracePeriod")
        grids["main"].add(14, "mysite", kind="name", node=None, usd=0.001)
        grids["main"].add(15, "of_another_tool")
        yield found


def call(*words: str) -> Result:
    return CliRunner().invoke(cli.contracts, list(words))


def failed(result: Result) -> TfgridError:
    assert isinstance(result.exception, TfgridError), result.output
    return result.exception


# Listing


def test_the_table_says_what_each_is_whose_and_what_it_costs(store: Store) -> None:
    result = call("--network", "main")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["CONTRACT", "TYPE", "NODE", "NAME", "APP", "DEPLOYMENT", "STATE", "AGE", "USD/HOUR", "USD/MONTH"]
    found = {line.split()[0]: line for line in lines[1:-1]}
    assert found["11"].split()[:7] == ["11", "vm", "9", f"vm_{ID}", "my-app", "my-app", "Created"]
    assert found["11"].split()[-2:] == ["0.01000", "7.20"]
    assert "lost-app  not remembered  GracePeriod" in found["13"]
    assert found["14"].split()[2:6] == ["-", "mysite", "my-app", "my-app"], "its deployment remembers it"
    assert " not ours " in found["15"] and " my-app " not in found["15"]
    assert lines[-1] == "Total: 5 contracts, 0.03100 USD an hour, 22.32 USD a month"


def test_several_networks_are_told_apart_and_each_deployed_to_is_asked(store: Store, grids: Grids) -> None:
    grids["test"].add(11, "vm_" + "e" * 16)
    result = call("list")
    assert result.stdout.splitlines()[0].split()[0] == "NETWORK"
    assert [line.split()[:2] for line in result.stdout.splitlines()[1:-1]][-1] == ["test", "11"]
    assert json.loads(call("ls", "--json").stdout)["networks_asked"] == ["main", "test"]


def test_json_has_every_fact(store: Store) -> None:
    facts = json.loads(call("--json", "--network", "main").stdout)
    assert facts["total"] == {"contracts": 5, "usd_per_hour": 0.031, "usd_per_month": 22.32, "cost_unknown": 0}
    by_id = {item["id"]: item for item in facts["contracts"]}
    assert {key: by_id[11][key] for key in ("network", "node", "kind", "state", "app", "deployment", "deployment_id", "remembered")} == {
        "network": "main", "node": 9, "kind": "vm", "state": "Created", "app": "my-app", "deployment": "my-app", "deployment_id": ID,
        "remembered": True,
    }  # fmt: skip
    assert (by_id[13]["deployment"], by_id[13]["deployment_id"], by_id[13]["remembered"]) == (None, LOST, False)
    assert (by_id[15]["deployment_id"], by_id[11]["usd_per_month"]) == (None, 7.2)


def test_a_network_that_fails_is_named_and_the_others_are_listed(store: Store, grids: Grids) -> None:
    grids["test"].silent = GridError("gridproxy of network test does not answer", why="connection refused")
    result = call()
    assert result.exit_code == 7
    assert "Network test could not be asked: gridproxy of network test does not answer: connection refused." in result.stderr
    assert result.stdout.splitlines()[1].startswith("11")
    facts = json.loads(call("--json").stdout)
    assert facts["networks_not_asked"] == {"test": "gridproxy of network test does not answer: connection refused"}
    assert len(facts["contracts"]) == 5


def test_no_answer_never_reads_like_no_contracts(store: Store, grids: Grids) -> None:
    grids["test"].silent = GridError("it is down")
    result = call("--network", "test")
    assert (result.exit_code, result.stdout) == (7, "") and "There are no contracts" not in result.stderr
    grids["test"].silent = None
    result = call("--network", "test")
    assert (result.exit_code, result.stderr) == (0, "There are no contracts on network test.\n")


def test_a_cost_that_nobody_knows_is_not_zero(store: Store, grids: Grids) -> None:
    grids["main"].stands = {}
    grids["main"].add(16, "of_another_tool", usd=None)
    result = call("--network", "main")
    assert result.stdout.splitlines()[1].split()[-2:] == ["?", "?"]
    assert result.stdout.splitlines()[-1] == "Total: 1 contract, cost not known"
    facts = json.loads(call("--network", "main", "--json").stdout)
    assert (facts["contracts"][0]["usd_per_hour"], facts["total"]["usd_per_hour"], facts["total"]["cost_unknown"]) == (
        None,
        None,
        1,
    )
    grids["main"].add(17, "of_another_tool")
    total = call("--network", "main").stdout.splitlines()[-1]
    assert total == "Total: 2 contracts, 0.01000 USD an hour, 7.20 USD a month, without 1 whose cost is not known"


def test_where_the_price_of_a_tft_is_not_known_the_cost_is_in_tft() -> None:
    info = ContractInfo(1, 9, "vm", "x", "Created", None)
    assert money(Row("main", info, None, Cost(info, None, None, 0.5))) == ["0.50000 TFT", "360.00 TFT"]


def test_without_a_deployment_and_an_account_the_default_network_is_asked(grids: Grids) -> None:
    with Store() as found:
        assert core.networks(found) == ["local"]


def test_networks_that_are_signed_in_to_are_asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfgrid_compose.grids.account.networks", lambda: ["qa"])
    assert core.networks(store) == ["main", "qa", "test"]


# One contract


def test_a_contract_that_is_none_is_told_from_one_that_can_not_be_looked_for(store: Store, grids: Grids) -> None:
    with pytest.raises(NotFoundError) as missing:
        pick(look(store, ["main", "test"]), [99])
    assert (missing.value.code, missing.value.exit_code) == ("contract-not-found", 5)
    assert "network main, test" in missing.value.what
    grids["test"].silent = GridError("it is down", why="no route")
    with pytest.raises(GridError) as unasked:
        pick(look(store, ["main", "test"]), [99])
    assert (unasked.value.code, unasked.value.exit_code, unasked.value.why) == ("contracts-unasked", 7, "it is down: no route")


def test_a_number_of_two_networks_needs_the_network(store: Store, grids: Grids) -> None:
    grids["test"].add(11, "x")
    with pytest.raises(UsageError) as caught:
        pick(look(store, ["main", "test"]), [11])
    assert caught.value.code == "network-ambiguous" and "--network main" in caught.value.fix


# Cancelling


def test_cancelled_contracts_are_proven_gone_recorded_and_the_rest_is_told(store: Store, grids: Grids) -> None:
    result = call("cancel", "11", "12", "15", "11", "--network", "main", "--yes")
    assert result.exit_code == 0, result.output
    assert (sorted(grids["main"].stands), grids["main"].batches) == ([13, 14], [[11, 12, 15]])
    assert result.stdout.strip() == "Gone: 11, 12, 15."
    assert f"contract 11 (vm vm_{ID} on node 9, my-app), network main" in result.stderr
    assert "`tfgrid-compose down my-app` tidies what is left of my-app." in result.stderr
    entries = [entry.facts for entry in store.audit_entries(None)]
    mine = [(item["phase"], item["deployment"], item["contracts"]) for item in entries if item["action"] == "contracts cancel"]
    assert sorted(mine) == [("begun", "", [15]), ("begun", ID, [11, 12]), ("ended", "", [15]), ("ended", ID, [11, 12])]
    assert store.deployment(ID).data["contracts"] == [11, 12, 14], "what is remembered stays until `down`"


def test_the_bash_tools_words_cancel_too(store: Store, grids: Grids) -> None:
    assert call("delete", "15", "--network", "main", "--yes").exit_code == 0
    assert 15 not in grids["main"].stands
    assert call("delete", "--all", "--yes", "--network", "main").exit_code == 0
    assert grids["main"].stands == {}


def test_without_a_terminal_nobody_can_say_yes(store: Store, grids: Grids) -> None:
    error = failed(call("cancel", "11", "13", "--network", "main"))
    assert (error.exit_code, error.fix) == (2, "tfgrid-compose contracts cancel 11 13 --network main --yes")
    assert "my-app, not remembered" in error.why
    assert len(grids["main"].stands) == 5


def test_the_question_names_what_goes_and_no_is_no(store: Store, grids: Grids, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def confirm(yes: bool, question: str, *, default: bool, what: str, fix: str) -> None:
        asked.append((yes, question, default))
        raise InterruptedError_("nothing was changed", code="declined")

    monkeypatch.setattr(cli, "confirm", confirm)
    assert failed(call("cancel", "11", "--network", "main")).code == "declined"
    question = "Cancel 1 contract (my-app)? Machines, disks and names that they hold are destroyed."
    assert asked == [(False, question, False)] and 11 in grids["main"].stands


@pytest.mark.parametrize("words", [("cancel",), ("cancel", "11", "--all")])
def test_cancel_wants_numbers_or_all(store: Store, words: tuple[str, ...]) -> None:
    assert failed(call(*words, "--yes")).exit_code == 2


def test_all_is_all_of_one_network(store: Store, grids: Grids) -> None:
    grids["test"].add(11, "x")
    error = failed(call("cancel", "--all", "--yes"))
    assert error.code == "network-ambiguous" and "--network main" in error.fix
    assert len(grids["main"].stands) == 5 and grids["test"].stands
    assert call("cancel", "--all", "--yes", "--network", "test").exit_code == 0
    assert (len(grids["main"].stands), grids["test"].stands) == (5, {})
    result = call("cancel", "--all", "--yes", "--network", "test")
    assert (result.exit_code, result.stderr) == (0, "There is nothing to cancel.\n")


@pytest.mark.parametrize("words", [("--all",), ("11",), ("--all", "--network", "test")])
def test_which_network_answers_does_not_decide_what_is_destroyed(store: Store, grids: Grids, words: tuple[str, ...]) -> None:
    grids["test"].silent = GridError("it is down")
    before = dict(grids["main"].stands)
    result = call("cancel", *words, "--yes")
    error = failed(result)
    assert (error.code, error.exit_code) == ("contracts-unasked", 7) and "network test" in error.what
    assert "nothing to cancel" not in result.stderr.lower()
    assert grids["main"].stands == before and grids["main"].batches == []


def test_what_is_left_is_an_error_that_names_it(store: Store, grids: Grids) -> None:
    grids["main"].immortal = {12}
    error = failed(call("cancel", "11", "12", "--network", "main", "--yes"))
    assert (error.code, error.exit_code, error.details) == ("leftovers", 7, ["contract 12"])
    assert [entry.facts["outcome"] for entry in store.audit_entries(ID) if entry.facts["phase"] == "ended"] == ["failed"]


@pytest.mark.parametrize(("id", "lease"), [(11, "main--my-app"), (13, "main--lost-app"), (14, "main--my-app")])
def test_a_run_that_goes_on_is_not_cut(store: Store, grids: Grids, id: int, lease: str) -> None:
    with held(lease):
        assert isinstance(failed(call("cancel", str(id), "--network", "main", "--yes")), BusyError)
        assert id in grids["main"].stands and grids["main"].batches == []
        assert call("cancel", "15", "--network", "main", "--yes").exit_code == 0
    assert call("cancel", str(id), "--network", "main", "--yes").exit_code == 0


def test_a_name_in_foreign_metadata_makes_no_file_elsewhere(store: Store, grids: Grids, home: Path) -> None:
    grids["main"].add(16, f"vm_{LOST}", app="../../../escaped", deployment=LOST)
    assert call("cancel", "16", "--network", "main", "--yes").exit_code == 0
    assert not list(home.rglob("escaped*"))


def test_ctrl_c_says_that_it_may_still_be_carried_out(store: Store, grids: Grids) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    grids["main"].on_cancel = stop
    with pytest.raises(InterruptedError_) as caught:
        cancelling.cancel(store, Stream(), pick(look(store, ["main"]), [11]))
    assert "may still be carried out" in caught.value.why and "--network main" in caught.value.fix
    outcomes = [entry.facts["outcome"] for entry in store.audit_entries(ID) if entry.facts["phase"] == "ended"]
    assert outcomes == ["interrupted"]


def test_cancel_prints_json(store: Store, grids: Grids) -> None:
    result = call("cancel", "11", "--network", "main", "--yes", "--json")
    facts = json.loads(result.stdout.splitlines()[-1])
    assert [item["id"] for item in facts["cancelled"]] == [11]


# Watching


def row(id: int, state: str = "Created", network: str = "main") -> Row:
    return Row(network, ContractInfo(id, 9, "vm", f"vm_{id}", state, None))


def told(before: Listing | None, now: Listing) -> list[tuple[str, str]]:
    return [(item.kind, item.text) for item in changes(before, kept(before, now))]


def test_changes_are_told_and_nothing_twice() -> None:
    first = Listing((row(1), row(2)), asked=("main",))
    assert told(None, first) == [
        ("there", "contract 1 (vm vm_1 on node 9, not ours) is Created"),
        ("there", "contract 2 (vm vm_2 on node 9, not ours) is Created"),
    ]
    assert told(first, first) == []
    second = Listing((row(1, "GracePeriod"), row(3)), asked=("main",))
    assert told(first, second) == [
        ("changed", "contract 1 (vm vm_1 on node 9, not ours) was Created and is GracePeriod"),
        ("ended", "contract 2 (vm vm_2 on node 9, not ours) ended"),
        ("new", "contract 3 (vm vm_3 on node 9, not ours) is new"),
    ]


def test_a_network_that_falls_silent_ends_nothing() -> None:
    first = Listing((row(1), row(1, network="test")), asked=("main", "test"))
    silent = Listing((row(1),), {"test": "it is down"}, ("main",))
    after = kept(first, silent)
    assert told(first, silent) == [("unasked", "network test can't be asked: it is down")]
    assert told(after, silent) == []
    assert told(after, Listing((row(1),), {}, ("main", "test"))) == [
        ("asked", "network test answers again"), ("ended", "contract 1 (vm vm_1 on node 9, not ours) ended"),
    ]  # fmt: skip


@pytest.fixture
def three_looks(store: Store, grids: Grids, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """`watch` looks three times: a contract goes between the first two, then the network is silent; then comes Ctrl-C."""
    slept: list[float] = []
    grids["main"].stands = {11: grids["main"].stands[11], 15: grids["main"].stands[15]}

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:
            del grids["main"].stands[15]
        elif len(slept) == 2:
            grids["main"].silent = GridError("it is down")
        else:
            raise KeyboardInterrupt

    monkeypatch.setattr(cli, "time", SimpleNamespace(sleep=sleep, time=lambda: CREATED + 60.0))
    return slept


def test_watch_prints_a_line_for_each_change_until_ctrl_c(three_looks: list[float]) -> None:
    result = call("watch", "--network", "main", "--interval", "5")
    assert (result.exit_code, three_looks) == (0, [5.0, 5.0, 5.0])
    texts = [line.split("  ", 1)[1] for line in result.stdout.splitlines()]
    assert texts == [
        f"contract 11 (vm vm_{ID} on node 9, my-app) is Created", "contract 15 (vm of_another_tool on node 9, not ours) is Created",
        "contract 15 (vm of_another_tool on node 9, not ours) ended", "network main can't be asked: it is down",
    ]  # fmt: skip


def test_watch_prints_changes_as_json_lines(three_looks: list[float]) -> None:
    lines = [json.loads(line) for line in call("watch", "--network", "main", "--json").stdout.splitlines()]
    assert [line["event"] for line in lines] == ["there", "there", "ended", "unasked"]
    assert (lines[2]["contract"]["id"], lines[3]["contract"], lines[3]["network"]) == (15, None, "main")


def test_watch_on_a_terminal_shows_the_table_anew(three_looks: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Listing] = []
    monkeypatch.setattr(cli, "sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True), exit=sys.exit))
    monkeypatch.setattr(cli, "_print", shown.append)
    monkeypatch.setattr(cli.click, "clear", lambda: None)
    assert call("watch", "--network", "main").exit_code == 0
    assert [[item.id for item in listing.rows] for listing in shown] == [[11, 15], [11], [11]]
    assert list(shown[-1].unasked) == ["main"]


# On a live network


@pytest.fixture
def network(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNetwork]:
    with asked_once(monkeypatch) as found:
        found.account(100)
        yield found


def test_on_the_live_network_the_newest_bill_is_the_price(network: LiveNetwork) -> None:
    network.contract(11, f"vm_{LOST}", app="lost-app")
    network.contract(12, "unbilled", app="")
    network.bill(11, 9.0)
    network.bill(11, 1.0, hours=2)
    result = call("--network", "main")
    assert result.exit_code == 0, result.output
    found = {line.split()[0]: line.split() for line in result.stdout.splitlines()[1:]}
    assert found["11"][-2:] == ["0.01000", "7.20"], "1 TFT of 0.02 USD for two hours"
    assert found["12"][-2:] == ["?", "?"]


def test_bills_that_can_not_be_had_leave_costs_unknown_and_say_so(network: LiveNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    network.contract(11, f"vm_{LOST}")
    real = network.directory.bills
    monkeypatch.setattr(network.directory, "bills", lambda id: real(id) if id < 0 else 1 / 0)
    result = call("--network", "main")
    assert result.exit_code == 0 and result.stdout.splitlines()[1].split()[-1] == "?"
    assert "Not known: the bills" in result.stderr


def test_ended_contracts_are_listed_with_all(network: LiveNetwork) -> None:
    for id in (11, 12):
        network.contract(id, f"vm_{LOST}")
    assert call("--network", "main").exit_code == 0
    del network.chain.contracts[11]
    network.directory.behind = True
    rows = [line.split() for line in call("--network", "main", "--all").stdout.splitlines()[1:-1]]
    assert [(row[0], "Deleted" in row, row[-1]) for row in rows] == [("11", True, "-"), ("12", False, "?")]
    assert call("--network", "main", "--all").stdout.splitlines()[-1].startswith("Total: 1 contract")


def test_show_tells_node_bills_and_whether_it_lives(network: LiveNetwork) -> None:
    network.contract(11, f"vm_{LOST}", node=1, app="lost-app", public_ips=1)
    network.bill(11, 0.5)
    text = call("show", "11", "--network", "main").stdout
    facts = {line[:12].strip(): line[13:] for line in text.splitlines()}
    assert facts["contract"] == "11 on network main" and facts["deployment"] == "not remembered"
    assert facts["node"].startswith("1 (up) of farm Farm-1 (1), ")
    assert (facts["public IPv4"], facts["state"]) == ("1", "Created")
    assert facts["cost"] == "0.01000 USD an hour, 7.20 USD a month (by its newest bill)"
    assert facts["bill"].endswith("0.5000000 TFT")
    found = json.loads(call("show", "11", "--network", "main", "--json").stdout)
    assert (found["lives"], found["place"]["farm"], len(found["bills"]), found["not_known"]) == (True, "Farm-1", 1, {})
    assert failed(call("show", "99", "--network", "main")).exit_code == 5


def test_contracts_of_a_live_network_are_cancelled_by_the_chain(network: LiveNetwork) -> None:
    for id in (11, 12):
        network.contract(id, f"vm_{LOST}", app="lost-app")
    network.contract(13, "of_another_tool", app="")
    network.directory.behind = True
    assert failed(call("cancel", "11", "--network", "main", "--yes")).code == "contract-not-found", "nobody knows of it yet"
    network.directory.behind = False
    result = call("cancel", "11", "12", "--network", "main", "--yes")
    assert result.exit_code == 0, result.output
    assert (network.live, network.chain.submitted) == ([13], [[11, 12]])


def test_a_live_network_without_answer_is_exit_code_7(network: LiveNetwork) -> None:
    network.contract(11, "x", app="")
    network.without_proxy()
    assert call("--network", "main").exit_code == 7
    assert failed(call("cancel", "--all", "--network", "main", "--yes")).exit_code == 7
    assert failed(call("cancel", "11", "--network", "main", "--yes")).code == "contracts-unasked"
    assert network.live == [11]


# Kinds of nodes of ZOS 4, and networks that name no app


@pytest.mark.parametrize(
    ("kind", "usd"), [("network", 0.0), ("network-light", 0.0), ("vm", None), ("vm-light", None), ("node", None)]
)
def test_networks_of_every_kind_cost_nothing(kind: str, usd: float | None) -> None:
    grid = FakeGrid("main")
    item = grid.add(7, "x", usd=None, kind=kind)
    assert item.is_network is (usd == 0.0)
    assert _cost(item, (), Rates(0.02), CREATED + 3600.0).usd_per_hour == usd


def test_light_contracts_are_read_as_what_they_are() -> None:
    for kind, name in (("network-light", f"net_{ID}"), ("vm-light", f"vm_{ID}")):
        data = json.dumps({"version": 4, "type": kind, "name": name, "projectName": "tfgrid-compose/my-app"})
        row = {
            "contract_id": 5,
            "twin_id": 7,
            "state": "Created",
            "type": "node",
            "details": {"nodeId": 9, "deployment_data": data},
        }
        found = wire.contract(row)
        assert (found.kind, found.deployment, found.app) == (kind, ID, "my-app")


def test_a_network_has_the_app_of_its_machine(network: LiveNetwork) -> None:
    network.contract(1, f"vm_{ID}")
    network.contract(2, f"net_{ID}", kind="network", app="")
    network.contract(3, f"net_{LOST}", kind="network", app="")
    found = {item.id: item.app for item in LiveGrid("main").all_contracts()}
    assert found == {1: "my-app", 2: "my-app", 3: ""}
