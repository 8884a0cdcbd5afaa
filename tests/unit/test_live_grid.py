"""The ThreeFold Grid as a grid: what gridproxy lists is held against the chain, and no answer never looks like nothing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from tests.fakes.live import MNEMONIC, TWIN, LiveNetwork, asked_once
from tests.unit.workbench import Bench
from tfgrid_compose.cli.orphans import orphans as cli_orphans
from tfgrid_compose.deploy import down, repair, rollback
from tfgrid_compose.deploy.drift import live_options, look, repair_plan
from tfgrid_compose.deploy.steps.infrastructure import Infrastructure
from tfgrid_compose.errors import GridError, InfrastructureError, InterruptedError_
from tfgrid_compose.grids.live import LiveGrid
from tfgrid_compose.grids.models import Answer, ContractInfo
from tfgrid_compose.state import settings
from tfgrid_compose.state.store import Deployment, Store

ID, LOST = "0123456789abcdef", "f" * 16


@pytest.fixture
def network(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNetwork]:
    with asked_once(monkeypatch) as found:
        yield found


@pytest.fixture
def paying(network: LiveNetwork) -> LiveNetwork:
    network.account(100)
    return network


def remember(network: str = "main", id: str = ID, **data: Any) -> None:
    """A deployment of which the state knows these facts."""
    with Store() as store:
        store.save(Deployment(id, f"app-{id[:2]}", network, "running", 1.0, 1.0, data))


def ids(found: Sequence[ContractInfo]) -> list[int]:
    return [item.id for item in found]


# Who pays


def test_the_account_is_the_signed_in_one_with_what_the_chain_knows_of_it(paying: LiveNetwork) -> None:
    account = LiveGrid("main").account()
    assert (account.network, account.address, account.twin, account.tft) == ("main", paying.address, TWIN, 100.0)
    paying.without_chain()
    account = LiveGrid("main").account()
    assert (account.address, account.twin, account.tft) == (paying.address, None, None)


def test_what_a_tft_costs_is_nothing_known_when_the_chain_is_silent(paying: LiveNetwork) -> None:
    assert LiveGrid("main").rates().usd_per_tft == 0.02
    paying.without_chain()
    assert LiveGrid("main").rates().usd_per_tft == 0.0


def nobody(network: LiveNetwork) -> None:
    del os.environ["MNEMONIC"]


def wrong_word(network: LiveNetwork) -> None:
    os.environ["MNEMONIC"] = MNEMONIC.replace("about", "aboot")


def no_twin(network: LiveNetwork) -> None:
    network.account(100, twin=None)


def too_few(network: LiveNetwork) -> None:
    network.account(1.99)


def no_chain(network: LiveNetwork) -> None:
    network.account(100)
    network.without_chain()


def no_proxy(network: LiveNetwork) -> None:
    network.account(100)
    network.without_proxy()


def bad_page(network: LiveNetwork) -> None:
    network.account(100)
    network.answer = "html"


@pytest.mark.parametrize(
    ("harm", "code", "says"),
    [
        (nobody, "account-missing", "signin --network main"),
        (wrong_word, "mnemonic-invalid", "word by word"),
        (no_twin, "account-without-twin", "https://dashboard.grid.tf"),
        (too_few, "balance-too-low", "send TFT to 5"),
        (no_chain, "chain-unreachable", "443"),
        (no_proxy, "gridproxy-unreachable", ""),
        (bad_page, "gridproxy-answer", ""),
    ],
)
def test_before_anything_is_bought_each_lack_is_one_error(
    network: LiveNetwork, harm: Callable[[LiveNetwork], None], code: str, says: str
) -> None:
    harm(network)
    with pytest.raises(GridError) as caught:
        LiveGrid("main").prepare(lambda _: None)
    assert (caught.value.code, caught.value.exit_code) == (code, 7)
    assert caught.value.why and says in caught.value.fix
    assert network.chain.submitted == []
    assert "abandon" not in str(caught.value.to_dict())


def test_an_account_with_twin_and_two_tft_may_buy(network: LiveNetwork) -> None:
    network.account(2.0)
    LiveGrid("main").prepare(lambda _: None)
    assert "/ping" in network.asked


# Nodes


def test_nodes_say_whether_machines_can_have_ipv6(paying: LiveNetwork) -> None:
    rows = {row.id: row for row in paying.directory.nodes()}
    found = LiveGrid("main").nodes(ipv6=True)
    assert {node.id: node.has_ipv6 for node in found} == {node.id: rows[node.id].has_ipv6 for node in found}
    assert {node.has_ipv6 for node in found} == {True, False}
    assert {node.has_ipv6 for node in LiveGrid("main").nodes()} == {None}


def test_only_nodes_that_are_up_and_healthy_are_chosen_from(paying: LiveNetwork) -> None:
    found = LiveGrid("main").nodes()
    usable = [row.id for row in paying.directory.nodes() if row.status == "up" and row.healthy]
    assert sorted(node.id for node in found) == usable and 0 < len(usable) < len(paying.directory.nodes())
    assert {node.status for node in found} == {"up"}


def test_nodes_as_they_were_are_not_bought_by(paying: LiveNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = LiveGrid("main")
    monkeypatch.setattr(grid, "_ask", lambda question: Answer(grid, 1.0, stale=True))
    with pytest.raises(GridError) as caught:
        grid.nodes()
    assert caught.value.code == "nodes-stale"


# Terraform


def test_terraform_gets_account_and_urls_by_its_environment(paying: LiveNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    with LiveGrid("main").terraform(lambda _: None) as environment:
        assert environment == {
            "TF_VAR_mnemonic": MNEMONIC, "TF_VAR_tfgrid_network": "main", "KEY_TYPE": "sr25519",
            "PROXY_URL": paying.proxy, "SUBSTRATE_URL": paying.chain.url,
        }  # fmt: skip
    monkeypatch.setenv("KEY_TYPE", "ed25519")
    urls = settings.Urls(relay=["wss://relay.example.org", "wss://second.example.org"])
    settings.save(settings.Settings(networks={"test": urls}))
    with LiveGrid("test").terraform(lambda _: None, only_look=True) as environment:
        assert environment == {
            "TF_VAR_mnemonic": MNEMONIC, "TF_VAR_tfgrid_network": "test", "KEY_TYPE": "ed25519",
            "RELAY_URL": "wss://relay.example.org",
        }  # fmt: skip


# Contracts


def test_all_contracts_of_the_account_are_listed_and_ours_are_marked(paying: LiveNetwork) -> None:
    paying.contract(11, f"vm_{ID}", node=9, public_ips=1)
    paying.contract(12, f"net_{ID}", kind="network")
    paying.contract(13, "of_another_tool", app="", state="GracePeriod")
    paying.chain.add_contract(14, TWIN, name="mysite")
    paying.contract(15, f"vm_{ID}", twin=8)
    paying.contract(16, f"vm_{ID}", state="Deleted")
    grid = LiveGrid("main")
    found = grid.all_contracts()
    assert [(item.id, item.kind, item.state, item.app, item.deployment) for item in found] == [
        (11, "vm", "Created", "my-app", ID), (12, "network", "Created", "my-app", ID), (13, "vm", "GracePeriod", "", ""),
        (14, "name", "Created", "", ""),
    ]  # fmt: skip
    assert (found[0].node, found[0].public_ips, found[0].farm, found[0].usd_per_hour) == (9, 1, "Farm-3", None)
    assert [(item.deployment, item.contract.id, item.app) for item in grid.marked()] == [(ID, 11, "my-app"), (ID, 12, "my-app")]
    assert ids(grid.contracts(ID)) == [11, 12] and grid.contracts(LOST) == []


def test_what_gridproxy_does_not_know_yet_is_found_on_the_chain(paying: LiveNetwork) -> None:
    paying.contract(11, "of_another_tool", app="")
    LiveGrid("main").all_contracts()
    paying.directory.behind = True
    remember(contracts=[12], planned_nodes={"vm": [9]})
    paying.contract(12, f"net_{ID}", node=3, kind="network")
    paying.contract(13, f"vm_{ID}", node=9)
    paying.contract(14, f"vm_{ID}", node=9, twin=8)
    grid = LiveGrid("main")
    assert ids(grid.all_contracts()) == [11, 12]
    assert [(item.id, item.name, item.kind, item.app, item.node, item.twin) for item in grid.contracts(ID)] == [
        (12, f"net_{ID}", "network", "my-app", 3, TWIN), (13, f"vm_{ID}", "vm", "my-app", 9, TWIN),
    ]  # fmt: skip


def test_what_gridproxy_still_lists_and_the_chain_has_not_is_gone(paying: LiveNetwork) -> None:
    for id in (11, 12):
        paying.contract(id, f"vm_{ID}")
    grid = LiveGrid("main")
    assert ids(grid.contracts(ID)) == [11, 12]
    paying.directory.behind = True
    del paying.chain.contracts[11]
    paying.chain.contracts[12].state = "GracePeriod"
    assert [(item.id, item.state) for item in grid.contracts(ID)] == [(12, "GracePeriod")]
    assert ids(grid.all_contracts()) == [12]
    assert (grid.alive([12]), grid.alive([11, 12]), grid.alive([])) == (True, False, True)


QUESTIONS: list[Callable[[LiveGrid], object]] = [
    LiveGrid.all_contracts, LiveGrid.marked, lambda grid: grid.contracts(ID),
]  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS, ids=["all", "marked", "of one"])
@pytest.mark.parametrize(
    ("harm", "code"),
    [
        ("html", "gridproxy-answer"),
        ("half", "gridproxy-answer"),
        ("failing", "gridproxy-failing"),
        ("gone", "gridproxy-unreachable"),
    ],
)
def test_a_gridproxy_that_fails_is_an_error_and_no_empty_list(
    paying: LiveNetwork, question: Callable[[LiveGrid], object], harm: str, code: str
) -> None:
    paying.contract(11, f"vm_{ID}")
    paying.answer = harm
    if harm == "gone":
        paying.without_proxy()
    with pytest.raises(GridError) as caught:
        question(LiveGrid("main"))
    assert caught.value.code == code


CHAINED: list[Callable[[LiveGrid], object]] = [
    *QUESTIONS, lambda grid: grid.alive([11]), lambda grid: grid.remains([11]), lambda grid: grid.cancel([11]),
]  # fmt: skip


@pytest.mark.parametrize("question", CHAINED, ids=["all", "marked", "of one", "alive", "remains", "cancel"])
def test_a_chain_that_is_down_is_an_error_and_no_answer(paying: LiveNetwork, question: Callable[[LiveGrid], object]) -> None:
    paying.contract(11, f"vm_{ID}")
    paying.without_chain()
    with pytest.raises(GridError) as caught:
        question(LiveGrid("main"))
    assert caught.value.code == "chain-unreachable"


def test_a_damaged_state_does_not_hide_what_the_grid_says(paying: LiveNetwork, home: Path) -> None:
    remember(contracts=[11])
    (home / "state" / "tfgrid-compose" / "state.db").write_bytes(b"no database")
    paying.contract(11, f"vm_{ID}")
    assert ids(LiveGrid("main").all_contracts()) == [11]


def test_contracts_are_cancelled_in_one_transaction_and_proven_gone(paying: LiveNetwork) -> None:
    for id in (11, 12, 13):
        paying.contract(id, f"vm_{ID}")
    grid = LiveGrid("main")
    assert grid.remains([11, 12, 99]) == ["contract 11", "contract 12"]
    grid.cancel([11, 12, 99])
    assert (paying.live, paying.chain.submitted, grid.remains([11, 12, 99])) == ([13], [[11, 12]], [])
    grid.cancel([])
    assert (grid.remains([]), len(paying.chain.submitted)) == ([], 1)


def test_a_contract_of_another_account_is_refused_by_name(paying: LiveNetwork) -> None:
    paying.contract(11, "theirs", twin=8)
    with pytest.raises(GridError) as caught:
        LiveGrid("main").cancel([11])
    assert "contract 11" in caught.value.what and paying.live == [11]


class PressOnce(list[str]):
    """What the chain was asked; at one of the questions Ctrl-C is pressed."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self._method = method

    def append(self, item: str) -> None:
        super().append(item)
        if item == self._method:
            self._method = ""
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises `KeyboardInterrupt`, as it does in the program."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_the_chain_cancels_tells_what_became_of_each(paying: LiveNetwork, ctrl_c: None) -> None:
    for id in (11, 12):
        paying.contract(id, f"vm_{ID}")
    paying.chain.orders.silent.add("author_submitAndWatchExtrinsic")
    paying.chain.asked = PressOnce("author_submitAndWatchExtrinsic")
    with pytest.raises(InterruptedError_) as caught:
        LiveGrid("main").cancel([11, 12])
    assert caught.value.details == ["still there: 11, 12"]
    assert paying.live == [11, 12] and "contracts list --network main" in caught.value.fix


@pytest.mark.parametrize("question", CHAINED[:-1], ids=["all", "marked", "of one", "alive", "remains"])
def test_ctrl_c_in_a_question_to_the_chain_ends_it(
    paying: LiveNetwork, ctrl_c: None, question: Callable[[LiveGrid], object]
) -> None:
    paying.contract(11, f"vm_{ID}")
    paying.chain.orders.silent.add("state_getStorageAt")
    paying.chain.asked = PressOnce("state_getStorageAt")
    with pytest.raises(KeyboardInterrupt):
        question(LiveGrid("main"))
    assert paying.live == [11]


# Orphans, repair, drift and down on the live network


def test_an_orphan_is_found_with_its_cost_and_destroyed(paying: LiveNetwork) -> None:
    paying.contract(11, f"vm_{LOST}", app="lost-app")
    paying.contract(12, f"net_{LOST}", kind="network", app="lost-app")
    paying.contract(13, "of_another_tool", app="")
    paying.bill(11, 0.5)
    shown = CliRunner().invoke(cli_orphans, ["--network", "main"])
    assert shown.exit_code == 0, shown.output
    row = next(line for line in shown.stdout.splitlines() if line.startswith("lost-app"))
    assert row.split()[:4] == ["lost-app", LOST[:6], "main", "11,12"] and row.split()[-1] == "7.20"
    done = CliRunner().invoke(cli_orphans, ["--network", "main", "--delete", "--yes"])
    assert done.exit_code == 0 and f"lost-app ({LOST[:6]}) is gone." in done.output
    assert paying.live == [13] and paying.chain.submitted == [[11, 12]]


def test_orphans_of_a_network_that_can_not_be_asked_are_not_none(paying: LiveNetwork) -> None:
    paying.contract(11, f"vm_{LOST}")
    paying.without_proxy()
    shown = CliRunner().invoke(cli_orphans, ["--network", "main"])
    assert shown.exit_code == 7
    assert "Network main was not looked at" in shown.output and "There are no orphans" not in shown.output


def test_repair_lists_orphans_again_and_calls_what_ended_failed(paying: LiveNetwork) -> None:
    paying.contract(11, f"vm_{LOST}", app="lost-app")
    remember(contracts=[12])
    with Store() as store:
        done, _ = repair.repair(store, repair.survey(["main"]))
        assert len(done) >= 2
        status = {item.id: (item.status, item.data["contracts"]) for item in store.deployments()}
    assert status == {ID: ("failed", []), LOST: ("orphaned", [11])}


def test_repair_without_an_answer_forgets_nothing(paying: LiveNetwork) -> None:
    remember(contracts=[12])
    paying.answer = "failing"
    with Store() as store:
        view = repair.survey(["main"])
        assert list(view.unseen) == ["main"] and view.marked == {}
        repair.repair(store, view)
        assert store.deployment(ID).data["contracts"] == [12]


@pytest.fixture
def deployed(bench: Bench, paying: LiveNetwork, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """An app that was deployed; its contract 1002 stands on the live network."""
    bench.up()
    paying.contract(1002, f"vm_{bench.deployment.id}", node=7)
    bench.grid = LiveGrid("main")  # type: ignore[assignment]
    return bench


def drifted(bench: Bench) -> tuple[dict[str, str], dict[str, str]]:
    """({path: what was found}, {layer that was not seen: reason})."""
    with rollback.prepared(
        bench.store, bench.stream(), bench.deployment, live_options(bench.store, bench.deployment), write=False
    ) as it:
        report = look(it, folder=False)
    return {item.path: item.found for item in report.drift}, report.unseen


def test_drift_finds_a_contract_that_was_cancelled_behind_our_back(deployed: Bench, paying: LiveNetwork) -> None:
    assert drifted(deployed) == ({}, {})
    paying.directory.behind = True
    del paying.chain.contracts[1002]
    found, _ = drifted(deployed)
    assert found["contracts.1002"] == "gone"


def test_drift_and_repair_say_that_the_grid_does_not_answer(deployed: Bench, paying: LiveNetwork) -> None:
    paying.without_proxy()
    deployed.grid = LiveGrid("main")  # type: ignore[assignment]
    found, unseen = drifted(deployed)
    assert "contracts.1002" not in found and "gridproxy" in unseen["contracts"]
    options = live_options(deployed.store, deployed.deployment)
    with rollback.prepared(deployed.store, deployed.stream(), deployed.deployment, options, write=False) as context:
        with pytest.raises(GridError) as caught:
            repair_plan(context)
    assert caught.value.code == "repair-blind"


def test_before_up_buys_it_cancels_what_a_crash_left_visibly(deployed: Bench, paying: LiveNetwork) -> None:
    paying.contract(1003, f"net_{deployed.deployment.id}", kind="network")
    state = {"resources": [{"instances": [{"attributes": {"id": "1002"}}]}]}
    deployed.store.set_secret(deployed.deployment.id, "tfstate", json.dumps(state).encode())
    deployed.events.clear()
    with deployed.context() as context:
        Infrastructure()._settle_strays(context)
    assert paying.live == [1002]
    assert "cancelling 1 contract that an earlier run left" in str([event.to_dict() for event in deployed.events])


def test_up_buys_nothing_while_it_can_not_tell_what_stands(deployed: Bench, paying: LiveNetwork) -> None:
    with deployed.context() as context:
        paying.answer = "failing"
        with pytest.raises(GridError) as caught:
            Infrastructure()._settle_strays(context)
    assert caught.value.code == "gridproxy-failing"


@pytest.fixture
def terraform(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Terraform as `down` calls it: it fails, because a node does not answer."""

    def destroy() -> None:
        raise InfrastructureError("terraform destroy failed", why="failed to get node features '7'")

    found = SimpleNamespace(prepare=lambda folder: None, init=lambda: None, destroy=destroy)

    @contextmanager
    def session(*_: Any) -> Iterator[Any]:
        yield found

    monkeypatch.setattr(down, "session", session)
    monkeypatch.setattr(down, "find", lambda given=None: ["terraform"])
    return found


def test_down_cancels_on_the_chain_what_terraform_can_not(
    deployed: Bench, paying: LiveNetwork, terraform: SimpleNamespace
) -> None:
    paying.contract(13, "of_another_tool", app="")
    paying.directory.behind = True
    deployed.store.set_secret(deployed.deployment.id, "tfstate", b"{}")
    deployed.down()
    assert (paying.live, deployed.store.deployments()) == ([13], [])


def test_down_with_too_few_tft_for_the_provider_still_cancels(
    deployed: Bench, paying: LiveNetwork, terraform: SimpleNamespace
) -> None:
    paying.chain.fund(paying.address, 1.0)
    deployed.store.set_secret(deployed.deployment.id, "tfstate", b"{}")
    deployed.down()
    assert (paying.live, deployed.store.deployments()) == ([], [])


def test_down_forgets_nothing_while_the_grid_does_not_answer(
    deployed: Bench, paying: LiveNetwork, terraform: SimpleNamespace
) -> None:
    def destroy() -> None:
        paying.chain.contracts.clear()
        paying.answer = "failing"

    terraform.destroy = destroy
    deployed.store.set_secret(deployed.deployment.id, "tfstate", b"{}")
    with pytest.raises(GridError) as caught:
        deployed.down()
    assert caught.value.code == "gridproxy-failing"
    assert deployed.deployment.status == "destroying"
    paying.answer, terraform.destroy = "ok", lambda: None
    deployed.down()
    assert deployed.store.deployments() == []
