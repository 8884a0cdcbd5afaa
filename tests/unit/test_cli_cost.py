"""`cost`: a table of what runs, the rest of the account, totals, balance, and what could not be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.unit.workbench import Bench, Call
from tfgrid_compose.cli.cost import figure
from tfgrid_compose.deploy import costs, spending
from tfgrid_compose.errors import GridError
from tfgrid_compose.grids import registry
from tfgrid_compose.grids.models import Bill, ContractInfo
from tfgrid_compose.state.store import Store

NOW = 1_800_000_000.0
SILENT = GridError("the chain does not answer", why="it is a test", fix="wait", code="chain-slow")


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ten hours after every contract."""
    monkeypatch.setattr(spending, "now", lambda: NOW)
    yield


@pytest.fixture
def running(bench: Bench) -> Bench:
    """A deployment that costs a US cent an hour, on an account with 10 TFT."""
    bench.up()
    (id,) = bench.grid.live
    bench.grid.live = {id: replace(bench.grid.live[id], created=NOW - 36000, deployment=bench.deployment.id)}
    bench.grid.tft = 10.0
    return bench


def other(id: int, usd_per_hour: float | None, kind: str = "vm") -> ContractInfo:
    """A contract of somebody else's making."""
    return ContractInfo(id, 9, kind, "elsewhere", "Created", usd_per_hour, created=NOW - 7200)


def test_a_deployment_is_a_row_with_hour_month_age_and_what_was_paid(running: Bench, call: Call) -> None:
    code, out, err = call("cost")
    header, row, *account = out.splitlines()
    assert (code, err) == (0, "")
    assert header.split() == ["NAME", "NETWORK", "USD/HOUR", "TFT/HOUR", "USD/MONTH", "TFT/MONTH", "SINCE", "SPENT"]
    assert row.split("  ")[0] == "my-app"
    assert all(part in row for part in ("main", "0.0100", "0.1667", "7.20", "120.00", "10 h", "0.10 USD (1.67 TFT)")), row
    assert account[0] == "Network main: balance 10.00 TFT, lasts 2.5 days"
    assert account[1] == "Network main: no discount; default (20%) needs 170.00 TFT more"
    assert "Warning: the balance of 10.00 TFT lasts 2.5 days" in account[2]


def test_other_contracts_are_one_line_and_all_are_added_up(running: Bench, call: Call) -> None:
    running.grid.others = [other(1, 0.02), other(2, 0.03), other(3, None, "network")]
    _, out, _ = call("cost")
    rows = {line.split("  ")[0]: line for line in out.splitlines()}
    assert "0.0500" in rows["3 other contracts"] and "36.00" in rows["3 other contracts"]
    assert "0.0600" in rows["all"] and "43.20" in rows["all"]


def test_json_has_all_of_it(running: Bench, call: Call) -> None:
    running.grid.others = [other(1, 0.02)]
    (found,) = json.loads(call("cost", "--json")[1])["networks"]
    assert (found["network"], found["balance_tft"], found["usd_per_tft"], found["play_money"]) == ("main", 10.0, 0.06, False)
    assert found["usd_per_hour"] == pytest.approx(0.03) and found["balance_days"] == pytest.approx(0.8)
    assert found["next_level"] == {"level": "default", "discount": 0.2, "tft_more": pytest.approx(350.0)}
    mine, rest = found["deployments"]
    assert (mine["name"], mine["contracts"], mine["since"]) == ("my-app", list(running.grid.live), NOW - 36000)
    assert mine["spent_usd"] == pytest.approx(0.1) and rest["contracts"] == [1] and rest["deployment"] == ""


def test_one_deployment_is_shown_beside_the_whole_account(running: Bench, call: Call) -> None:
    running.grid.others = [other(1, 0.02)]
    _, out, _ = call("cost", "my-app")
    assert len([line for line in out.splitlines() if "main " in line and "balance" not in line]) == 1 and "other" not in out
    (found,) = json.loads(call("cost", "my-app", "--json")[1])["networks"]
    assert [item["name"] for item in found["deployments"]] == ["my-app"] and found["usd_per_hour"] == pytest.approx(0.03)
    assert call("cost", "nobody")[0] == 5


def test_what_was_paid_is_the_sum_of_the_bills(running: Bench, call: Call) -> None:
    (id,) = running.grid.live
    running.grid.directory.contract_bills[id] = [Bill(NOW - 3600 * hour, 0.1, "Bronze") for hour in range(9)]
    _, out, _ = call("cost")
    assert "0.05 USD (0.90 TFT)" in out and "0.1667" in out, "what it costs is its price"
    running.grid.live = {id: replace(running.grid.live[id], usd_per_hour=None)}
    _, out, _ = call("cost")
    assert "0.90 TFT" in out and "0.1000" in out and "discount level bronze (30%)" in out


def test_gold_is_the_highest(running: Bench, call: Call) -> None:
    running.grid.tft = 1e6
    _, out, _ = call("cost")
    assert "Network main: discount level gold (60%)\n" in out and "needs" not in out and "Warning" not in out


def test_contracts_without_a_price_are_counted_and_names_have_one(running: Bench, call: Call) -> None:
    running.grid.others = [other(1, None), other(2, None, "name")]
    (found,) = json.loads(call("cost", "--json")[1])["networks"]
    assert found["deployments"][1]["contracts_without_price"] == 1
    assert found["deployments"][1]["list_usd_per_month"] == 0.18
    assert "2 other contracts (1 without a price)" in call("cost")[1]


def test_bills_that_can_not_be_had_leave_hours_times_price(running: Bench, call: Call) -> None:
    running.grid.directory.silent = SILENT
    code, out, err = call("cost")
    assert code == 7 and "0.10 USD" in out
    assert "Network main could not be asked for: the bills (the chain does not answer)" in err


def test_a_silent_grid_is_no_empty_table(running: Bench, call: Call) -> None:
    running.grid.silent = SILENT
    code, out, err = call("cost")
    assert code == 7 and "my-app (as of its last run)" in out and "8.10" in out
    assert "the contracts, so prices are those of the last run" in err
    (found,) = json.loads(call("cost", "--json")[1])["networks"]
    assert len(found["unasked"]) == 3 and found["balance_tft"] is None and found["deployments"][0]["from"] == "memory"


def test_play_money_says_so(running: Bench, call: Call) -> None:
    running.grid.play_money = True
    _, out, _ = call("cost")
    assert "Network main: play money; nothing is really paid" in out and "needs" not in out


def test_nothing_deployed_is_said(call: Call, bench: Bench) -> None:
    code, out, err = call("cost", "--network", "main")
    assert code == 0 and "Nothing runs on network main." in err and "balance 1000.00 TFT" in out
    bench.grid.silent = SILENT
    code, _, err = call("cost", "--network", "main")
    assert code == 7 and "Nothing runs" not in err and "Nothing that is known here runs on network main." in err


def test_every_network_with_deployments_is_asked_once(running: Bench, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def remember(network: str) -> object:
        opened.append(network)
        return running.grid

    monkeypatch.setattr(registry, "open_grid", remember)
    with Store() as store:
        store.save(replace(running.deployment, id="f" * 16, name="second", network="test"))
    call("cost")
    assert opened == ["main", "test"]


def test_costs_of_a_contract_that_was_made_just_now(running: Bench) -> None:
    found, _ = costs.costs_of(running.grid, [replace(other(1, 0.02), created=0.0)], spending.asked_rates(running.grid)[0], NOW)
    assert found[0].spent_usd is None and found[0].usd_per_hour == pytest.approx(0.02)
    found, _ = costs.costs_of(
        running.grid, [replace(other(1, 0.02), created=NOW + 60)], spending.asked_rates(running.grid)[0], NOW
    )
    assert found[0].spent_usd == 0.0, "clocks differ"


@pytest.mark.parametrize("value, shown", [(0.00525, "0.0053"), (0.0052499999999999995, "0.0053"), (0.005250000000000001, "0.0053"),
                                          (0.0, "0.0000"), (1234.5, "1234.5000"), (0.00004, "0.0000")])  # fmt: skip
def test_a_price_reads_the_same_however_it_was_summed_up(value: float, shown: str) -> None:
    assert figure(value, 4) == shown
