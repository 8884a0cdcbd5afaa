"""What a deployment costs: asked before anything is bought, held against budget and balance, remembered for `ps`."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.workbench import Bench, Call, contract
from tfgrid_compose.cli import plan_text, shell
from tfgrid_compose.cli.cost import price_lines
from tfgrid_compose.deploy import budget, rollback, spending
from tfgrid_compose.deploy import price as prices
from tfgrid_compose.deploy.plan import make_plan
from tfgrid_compose.errors import GridError, InterruptedError_, UsageError
from tfgrid_compose.grids import pricing
from tfgrid_compose.grids.models import Bill, ContractInfo
from tfgrid_compose.grids.pricing import Rates
from tfgrid_compose.state import settings
from tfgrid_compose.state.settings import Settings

LIST = 8.1  # 2 cores, 4 GB, 50 GB
IPV4 = 2.88
SILENT = GridError("the chain does not answer", why="it is a test", fix="wait", code="chain-slow")


def other(id: int, usd_per_hour: float | None, kind: str = "vm") -> ContractInfo:
    """A contract of the account that is none of ours."""
    return ContractInfo(id, 9, kind, "elsewhere", "Created", usd_per_hour)


def price_of(bench: Bench, **given: Any) -> prices.DeploymentPrice:
    """The price of a plan."""
    with bench.context(**given) as context:
        return budget.price_of(context)


# The price


def test_the_price_is_that_of_the_machine_after_the_accounts_discount(bench: Bench) -> None:
    bench.grid.tft = LIST / 0.06 * 6
    found = price_of(bench)
    assert found.usd_per_month == pytest.approx(LIST * 0.6)
    assert found.list_usd_per_hour * 720 == pytest.approx(LIST)
    assert found.tft_per_hour == pytest.approx(LIST * 0.6 / 720 / 0.06)
    assert [level.name for level in found.levels] == ["silver"]
    assert found.unasked == ()


def test_disks_addresses_and_certified_nodes_are_in_it(bench: Bench) -> None:
    bench.manifest("disks: [{name: data, size: 100, mount: /data}]\nnetwork: {provision: [wireguard, ipv4]}\n")
    bench.grid.tft = 0.0
    bench.grid.directory.change(7, certified=True)
    (machine,) = price_of(bench).machines
    assert machine.certified and machine.price.usd_per_month == pytest.approx((LIST + 1.8 + IPV4) * 1.25)
    assert (
        machine.text.startswith("vm on certified node 7: ") and "USD a month" in machine.text and "compute 9.00," in machine.text
    )
    assert "data disks 2.25" in machine.text and "public IPv4 3.60" in machine.text


def test_on_a_node_that_the_account_rents_nothing_is_paid(bench: Bench) -> None:
    bench.grid.directory.change(7, rented_by=42)
    assert price_of(bench).usd_per_month == 0
    assert price_of(bench).machines[0].text == "vm on node 7: nothing, because you rent the node"
    bench.grid.directory.change(7, rented_by=43)
    with bench.context(node=8) as context:
        context.nodes = {"vm": [7]}
        assert budget.price_of(context).usd_per_month > 0, "somebody else rents it"


def test_rates_are_asked_once_for_a_plan(bench: Bench) -> None:
    with bench.context() as context:
        first = budget.price_of(context)
        asked = len(bench.grid.directory.asked)
        assert budget.price_of(context) is first and len(bench.grid.directory.asked) == asked
        context.nodes = {"vm": [8]}
        bench.grid.directory.change(8, certified=True)
        assert budget.price_of(context).usd_per_month == pytest.approx(1.25 * first.usd_per_month, abs=0.01), (
            "another node was chosen"
        )


def test_what_can_not_be_asked_is_said_and_the_price_is_the_one_before_discounts(bench: Bench) -> None:
    bench.grid.directory.silent = SILENT
    with bench.context() as context:
        bench.grid.silent = SILENT
        found = budget.price_of(context)
        assert found.usd_per_month == pytest.approx(LIST) and found.tft_per_hour is None
        assert len(found.unasked) == 3 and all("the chain does not answer" in text for text in found.unasked)
        assert set(found.unasked) <= set(context.unchecked)
        facts = make_plan(context).to_dict(context)
    assert (facts["price"]["tft_per_month"], facts["price"]["usd_per_month"]) == (None, LIST)
    assert any("certified" in text for text in facts["not_checked"])


def test_a_chain_that_knows_no_price_of_a_tft_leaves_usd(bench: Bench) -> None:
    bench.grid.usd_per_tft = 0.0
    found = price_of(bench)
    assert (found.tft_per_hour, found.usd_per_month) == (None, pytest.approx(LIST))
    assert any("USD only" in text for text in found.unasked)


def test_play_money_gets_no_discount_and_is_told(bench: Bench) -> None:
    bench.grid.play_money, bench.grid.tft = True, 1e9
    bench.grid.directory.change(7, certified=True)
    found = price_of(bench)
    assert (found.usd_per_month, found.play_money) == (10.13, True)
    with bench.context() as context:
        assert "TFT), in play money" in plan_text.plan_text(context, make_plan(context))


def test_the_plan_has_the_price_of_every_machine(bench: Bench) -> None:
    bench.grid.tft = 0.0
    with bench.context() as context:
        facts = make_plan(context).to_dict(context)
        text = plan_text.plan_text(context, make_plan(context))
    assert facts["usd_per_month"] == facts["price"]["usd_per_month"] == LIST
    (machine,) = facts["price"]["machines"]
    assert machine["parts_usd_per_month"] == {"compute": 7.2, "storage": 0.9} and machine["node"] == 7
    assert facts["over_budget"] is None
    json.dumps(facts)
    assert "Price: 8.10 USD a month (135.00 TFT), 0.0113 USD an hour (0.1875 TFT)" in text
    assert "vm on node 7: 8.10 USD a month (135.00 TFT); compute 7.20, storage 0.90" in text and "Balance: 0.00 TFT" in text


def test_the_plan_names_the_discount_level(bench: Bench) -> None:
    bench.grid.tft = LIST / 0.06 * 18
    with bench.context() as context:
        text = plan_text.plan_text(context, make_plan(context))
    assert "Price: 3.24 USD a month (54.00 TFT)" in text
    assert "discount level gold (60%), 8.10 USD without it" in text
    assert "vm on node 7: 3.24 USD a month (54.00 TFT); before discounts compute 7.20, storage 0.90" in text


# Budget


@pytest.mark.parametrize(
    ("manifest", "option", "limit"),
    [("", None, None), ("budget: 5\n", None, 5), ("", 6.0, 6), ("budget: 5 USD\n", 6.0, 5), ("budget: {monthly: 7}\n", 6.0, 6)],
)
def test_the_smaller_of_option_and_manifest_holds(bench: Bench, manifest: str, option: float | None, limit: float | None) -> None:
    bench.manifest(manifest)
    with bench.context(max_monthly=option) as context:
        found = budget.limit_of(context)
    assert (found and found[0]) == limit


def test_what_is_dearer_is_refused_with_its_parts_and_what_would_be_cheaper(bench: Bench) -> None:
    bench.grid.tft = 0.0
    bench.manifest("resources: {cpu: {min: 1, recommended: 2}, memory: {min: 1G, recommended: 4G}}\n"
                   "network: {provision: [wireguard, ipv4]}\n")  # fmt: skip
    with bench.context(max_monthly=9) as context, pytest.raises(UsageError) as caught:
        budget.check_budget(context, budget.price_of(context))
    error = caught.value
    assert (error.code, error.what) == ("over-budget", "my-app would cost 10.98 USD a month, more than 9.00 USD")
    assert "--max-monthly" in error.why and "no discount" in error.why
    assert error.fix.startswith("--no-ipv4 (no public IPv4) costs 8.10 USD")
    text = "\n".join(error.details)
    assert "compute 7.20" in text and "--size dev --no-ipv4" in text


def test_with_nothing_cheap_enough_the_limit_is_what_can_change(bench: Bench) -> None:
    bench.grid.tft = 0.0
    bench.manifest("budget: 1\n")
    with bench.context() as context, pytest.raises(UsageError) as caught:
        budget.check_budget(context, budget.price_of(context))
    assert caught.value.fix == "allow more: set budget: 9 in tfgrid-compose.yaml"
    assert caught.value.why.startswith("`budget` of tfgrid-compose.yaml allows no more")


def test_a_price_that_is_just_the_budget_is_not_over_it(bench: Bench) -> None:
    bench.grid.tft = 0.0
    with bench.context(max_monthly=LIST) as context:
        budget.check_budget(context, budget.price_of(context))


def test_a_discount_that_is_not_known_does_not_make_it_cheaper(bench: Bench) -> None:
    with bench.context(max_monthly=5) as context:
        bench.grid.silent = SILENT
        with pytest.raises(UsageError, match="8.10 USD") as caught:
            budget.check_budget(context, budget.price_of(context))
    assert "discount could not be asked" in caught.value.why


def test_up_refuses_before_it_asks_for_consent_and_before_anything_is_bought(
    bench: Bench, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "confirm", lambda yes, question: pytest.fail("nobody is asked"))
    bench.grid.tft = 0.0
    code, _, err = call("up", str(bench.folder), "--network", "main", "--node", "7", "--max-monthly", "5USD")
    assert code == 2 and "would cost 8.10 USD a month, more than 5.00 USD" in err
    assert bench.grid.live == {} and bench.store.runs() == [] and bench.store.deployments() == []


def test_the_plan_shows_the_price_and_refuses_too(bench: Bench, call: Call) -> None:
    bench.grid.tft = 0.0
    words = ("plan", str(bench.folder), "--network", "main", "--node", "7", "--max-monthly", "$5")
    code, out, err = call(*words)
    assert code == 2 and "Price: 8.10 USD" in out and "more than 5.00 USD" in err
    code, out, _ = call(*words, "--json")
    plan, refusal = map(json.loads, out.splitlines())
    assert plan["over_budget"].startswith("my-app would cost 8.10 USD") and refusal["error"]["code"] == "over-budget"
    bench.grid.tft = 1.0
    assert call("plan", str(bench.folder), "--network", "main", "--node", "7", "--max-monthly", "9")[0] == 0


@pytest.mark.parametrize("sum", ["ten", "-1", "5 EUR", ""])
def test_a_sum_that_is_none_is_a_usage_error(bench: Bench, call: Call, sum: str) -> None:
    code, _, err = call("plan", str(bench.folder), "--max-monthly", sum)
    assert code == 2 and "--max-monthly" in err


def test_the_option_is_not_remembered_and_the_manifests_budget_is(bench: Bench) -> None:
    bench.up(max_monthly=1000)
    with bench.context() as context:
        assert context.max_monthly is None and budget.limit_of(context) is None
    bench.manifest("budget: 1\n")
    with bench.context() as context:
        assert budget.limit_of(context) == (1.0, "`budget` of tfgrid-compose.yaml")


def test_going_back_is_never_refused_for_money_and_says_so(bench: Bench) -> None:
    bench.manifest("budget: 1\n")
    bench.grid.tft = 0.0
    with bench.context() as context:
        found = spending.judge(context, refuse=False)
        assert "would cost 8.10 USD a month, more than 1.00 USD" in found[0]
        with pytest.raises(UsageError):
            spending.judge(context)


def test_a_rollback_warns_and_goes_on(bench: Bench, call: Call) -> None:
    bench.manifest("budget: 5\n")
    bench.grid.tft = 1e6
    bench.up()
    bench.write("src/page", "new")
    bench.up()
    bench.grid.tft = 0.0
    code, _, err = call("rollback", "my-app", "--yes")
    assert code == 0 and "Warning: my-app would cost 8.10 USD a month, more than 5.00 USD" in err
    code, _, err = call("up", str(bench.folder), "--network", "main", "--yes")
    assert code == 2 and bench.live.number == 1, "up does not"


def test_whoever_executes_a_plan_of_up_is_held_to_the_budget(bench: Bench) -> None:
    bench.grid.tft = 0.0
    with pytest.raises(UsageError, match="more than 5.00 USD"):
        bench.up(max_monthly=5)
    assert bench.grid.live == {}


# Balance


def test_a_balance_that_does_not_pay_the_first_hour_is_refused(bench: Bench) -> None:
    bench.grid.tft = 0.1
    with bench.context() as context, pytest.raises(GridError) as caught:
        spending.judge(context)
    assert caught.value.code == "balance-too-low" and "0.10 TFT, and the first hour costs 0.19" in caught.value.what
    bench.grid.tft = 0.2
    with bench.context() as context:
        spending.judge(context)


def test_play_money_is_never_too_little(bench: Bench) -> None:
    bench.grid.tft, bench.grid.play_money = 0.0, True
    with bench.context() as context:
        spending.judge(context)


def test_a_short_balance_is_warned_of_with_all_that_the_account_runs(bench: Bench) -> None:
    bench.grid.tft = 0.1875 * 24 * 15  # fifteen days of this deployment alone
    bench.grid.rates = lambda: Rates(0.06, balance_tft=0.0)  # type: ignore[method-assign]
    with bench.context() as context:
        assert spending.judge(context) == []
    bench.grid.others = [other(1, 8.1 / 720)]
    with bench.context() as context:
        (warning,) = spending.judge(context)
    assert "lasts 7.5 days" in warning and "fewer than 14" in warning
    settings.save(Settings(balance_days=7))
    with bench.context() as context:
        assert spending.judge(context) == []


def test_contracts_without_a_price_are_counted_by_what_the_account_was_billed(bench: Bench) -> None:
    bench.grid.others = [other(1, None)]
    bench.grid.directory.last_hour = 100.0
    bench.grid.tft = 2400.0
    with bench.context() as context:
        (warning,) = spending.judge(context)
    assert "lasts 1.0 days" in warning
    assert "consumption 42" in bench.grid.directory.asked


def test_contracts_that_can_not_be_listed_are_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[ContractInfo]:
        raise SILENT

    monkeypatch.setattr(bench.grid, "all_contracts", fail)
    with bench.context() as context:
        spending.judge(context)
        assert any("what else runs on the account" in text for text in context.unchecked)


# Remembered


def test_the_price_is_remembered_and_ps_shows_it_without_asking(bench: Bench, call: Call) -> None:
    bench.grid.tft = 0.0
    with bench.context(write=True) as context:
        budget.price_of(context)
        rollback.deploy(context, make_plan(context))
    assert bench.deployment.data["price"]["usd_per_month"] == LIST
    assert bench.deployment.data["price"]["tft_per_month"] == 135.0
    bench.grid.silent = bench.grid.directory.silent = SILENT
    asked = len(bench.grid.directory.asked)
    _, out, _ = call("ps")
    assert "MONTH" in out and " 8.10 " in out and len(bench.grid.directory.asked) == asked
    assert json.loads(call("ps", "--json")[1])[0]["usd_per_month"] == LIST


def test_a_deployment_of_an_older_version_has_no_price_in_ps(bench: Bench, call: Call) -> None:
    bench.up()
    data = {key: value for key, value in bench.deployment.data.items() if key != "price"}
    bench.store.save(replace(bench.deployment, data=data))
    _, out, _ = call("ps")
    assert "MONTH" in out and " - " in out.splitlines()[1]


def test_a_run_that_nobody_priced_remembers_the_list_price_and_asks_nobody(bench: Bench) -> None:
    bench.up()
    assert bench.deployment.data["price"]["list_usd_per_month"] == LIST
    assert bench.grid.directory.asked == []


# Status


def test_status_tells_what_the_contracts_cost(bench: Bench, call: Call) -> None:
    bench.up()
    bench.grid.tft = 0.5
    _, out, _ = call("status", "my-app")
    assert "Price     7.20 USD a month (120.00 TFT), 0.0100 USD an hour (0.1667 TFT)" in out
    assert "Warning" in out and "lasts 0.1 days" in out
    facts = json.loads(call("status", "my-app", "--json")[1])
    assert facts["usd_per_month"] == 7.2 and facts["price"]["from"] == "prices"


def test_status_takes_bills_where_there_are_some(bench: Bench, call: Call) -> None:
    bench.up()
    (id,) = bench.grid.live
    bench.grid.live = {id: replace(contract(id), usd_per_hour=None)}
    bench.grid.directory.contract_bills[id] = [Bill(7200.0, 0.1, "Gold"), Bill(3600.0, 0.2, "None")]
    facts = json.loads(call("status", "my-app", "--json")[1])["price"]
    assert (facts["tft_per_hour"], facts["usd_per_hour"], facts["level"], facts["from"]) == (0.1, 0.006, "gold", "bills")
    assert facts["list_usd_per_month"] == pytest.approx(0.006 / 0.4 * 720)
    assert (facts["spent_tft"], facts["spent_usd"]) == (pytest.approx(0.3), pytest.approx(0.018))


def test_status_of_a_silent_grid_has_the_price_of_the_last_run(bench: Bench, call: Call) -> None:
    bench.up()
    bench.grid.silent = SILENT
    _, out, _ = call("status", "my-app")
    assert "as of its last run" in out and "8.10 USD" in out


def test_a_contract_whose_price_the_grid_does_not_tell_costs_what_the_last_run_found(bench: Bench) -> None:
    bench.up()
    (id,) = bench.grid.live
    bench.grid.live = {id: replace(contract(id), usd_per_hour=None, kind="vm")}
    found = spending.purse(bench.grid, [bench.deployment]).spendings[0]
    assert found.usd_per_hour == pytest.approx(LIST / 720, abs=1e-6) and found.to_dict()["from"] == "memory"
    assert found.unknown == 0


def test_what_the_budget_refused_is_not_bought_by_a_later_up(bench: Bench, call: Call) -> None:
    bench.up()
    app = (str(bench.folder), "--network", "main", "--yes")
    code, _, _ = call("up", *app, "--size", "xlarge", "--node", "3", "--max-monthly", "9")
    assert code == 2 and bench.deployment.data["overrides"] == {"node": 7}
    code, out, _ = call("up", *app)
    assert code == 0 and "nothing to do" in out and bench.deployment.data["nodes"] == {"vm": [7]}


def test_what_was_declined_is_not_remembered(bench: Bench, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.manifest("environment:\n  - {name: WORD}\n")
    bench.up(variables={"WORD": "one"})
    bench.up(variables={"WORD": "two"})
    before = bench.deployment.data

    def no(yes: bool, question: str) -> None:
        raise InterruptedError_("nothing was changed", code="declined", exit_code=130)

    with monkeypatch.context() as patched:
        patched.setattr(shell, "confirm", no)
        patched.setattr(shell, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
        words = (str(bench.folder), "--network", "main")
        assert call("up", *words, "--node", "3", "--var", "WORD=three")[0] == 130
    assert bench.deployment.data == before and bench.reasons(node=None) == {}


def test_options_that_change_nothing_now_are_remembered(bench: Bench, call: Call) -> None:
    bench.up()
    code, out, _ = call("up", str(bench.folder), "--network", "main", "--country", "Belgium", "--yes")
    assert code == 0 and "nothing to do" in out
    assert bench.deployment.data["overrides"] == {"placement": {"countries": ["Belgium"]}}
    assert bench.deployment.data["nodes"] == {"vm": [7]}, "a machine that runs is not moved"


def test_an_empty_account_does_not_keep_an_app_from_being_mended(bench: Bench, call: Call) -> None:
    bench.up()
    bench.grid.tft = 0.0
    bench.write("src/page", "mended")
    words = (str(bench.folder), "--network", "main", "--yes")
    assert call("plan", *words[:3])[0] == 0
    assert call("up", *words)[0] == 0 and bench.live.number == 2
    code, _, err = call("up", *words, "--size", "large")
    assert code == 7 and "the first hour costs" in err


@pytest.mark.parametrize("month", [4.725, 4.7249, 4.715, 0.005, 10.0])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_sum_is_that_of_the_lines_below_it(month: float, count: int) -> None:
    one = pricing.Price({"machine": month / 730 / 3, "disk": month / 730 * 2 / 3}, pricing.LEVELS[0], pricing.LIST_RATES)
    whole = prices.DeploymentPrice(tuple(prices.MachinePrice("vm", node, one) for node in range(1, count + 1)))
    first, *lines = price_lines(whole)
    shown = [float(line.split(": ")[1].split(" USD")[0]) for line in lines]
    assert f"Price: {sum(shown):.2f} USD a month" in first and whole.to_dict()["usd_per_month"] == round(sum(shown), 2)
    assert whole.to_dict()["usd_per_month"] == round(sum(item["usd_per_month"] for item in whole.to_dict()["machines"]), 2)
    for line, total in zip(lines, shown, strict=True):
        parts = [float(part.rsplit(" ", 1)[1]) for part in line.split("; ")[1].split(", ")]
        assert round(sum(parts), 2) == total
