"""A plan says what it could not look at, and stands all the same."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
import pytest

from tests.unit.workbench import Bench
from tfgrid_compose.cli.plan_text import plan_text
from tfgrid_compose.deploy.plan import make_plan
from tfgrid_compose.errors import GridError

SILENT = GridError("gridproxy of network main can't be reached", why="no route", code="gridproxy-unreachable")
PROVIDER = "whether the pattern fits the grid's provider: Terraform looks at that before anything is bought"


def silent(*_: object, **__: object) -> None:
    """Nobody answers."""
    raise GridError(SILENT.what, why=SILENT.why, code=SILENT.code)


def test_the_plan_says_that_terraform_has_not_seen_the_pattern(bench: Bench) -> None:
    with bench.context() as context:
        plan = make_plan(context)
        assert PROVIDER in plan.to_dict(context)["not_checked"]
        assert f"  Not checked: {PROVIDER}" in click.unstyle(plan_text(context, plan))
        assert context.only_plan


def test_where_the_provider_comes_with_the_grid_there_is_nothing_to_say(bench: Bench) -> None:
    bench.grid.attaches_provider = True
    with bench.context() as context:
        assert PROVIDER not in make_plan(context).to_dict(context)["not_checked"]


def test_a_run_that_goes_on_says_nothing_of_it(bench: Bench) -> None:
    with bench.context(write=True) as context:
        assert PROVIDER not in make_plan(context).to_dict(context)["not_checked"]
        assert not context.only_plan


def test_each_sentence_is_said_once(bench: Bench) -> None:
    with bench.context() as context:
        context.unchecked += ["the weather", "the weather"]
        plan = make_plan(context)
        assert plan.to_dict(context)["not_checked"].count("the weather") == 1
        assert plan_text(context, plan).count("the weather") == 1


def test_contracts_that_can_not_be_asked_for_are_taken_as_living_by_a_plan_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.up()

    def alive(contracts: Sequence[int]) -> bool:
        raise GridError(SILENT.what, why=SILENT.why, code=SILENT.code)

    monkeypatch.setattr(bench.grid, "alive", alive)
    with bench.context() as context:
        plan = make_plan(context)
        assert not any(item.needed for item in plan.steps)
        assert f"whether its contracts still live: {SILENT.what}" in plan.to_dict(context)["not_checked"]
        assert PROVIDER not in plan.to_dict(context)["not_checked"], "Terraform would not run"
    with bench.context(write=True) as context, pytest.raises(GridError):
        make_plan(context)


def test_a_plan_stands_without_a_node_when_nobody_can_name_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.grid, "nodes", silent)
    with bench.context(node=None) as context:
        plan = make_plan(context)
        facts = plan.to_dict(context)
        assert facts["nodes"] == {"vm": [None]}
        assert "vm on a node that is yet to be chosen" in plan.steps[0].text
        assert f"which node vm gets: {SILENT.what} ({SILENT.why})" in facts["not_checked"]
        json.dumps(facts)
        assert "node 0" not in plan_text(context, plan) + json.dumps(facts)
    with pytest.raises(GridError), bench.context(write=True, node=None):
        pass
