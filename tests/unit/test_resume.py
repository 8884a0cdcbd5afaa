"""Going on with a run that was cut off: with what it was asked for, whatever kind of run it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workbench import STEPS, Bench, Call
from tfgrid_compose.deploy.options import UpOptions
from tfgrid_compose.deploy.resume import aim_of, resumable, resumed_options
from tfgrid_compose.errors import HookError, InterruptedError_, NotFoundError
from tfgrid_compose.state.store import Deployment


def broken() -> HookError:
    return HookError("hook configure failed", why="it exited with 1")


# What is written down


def test_the_aim_of_an_up_is_what_was_asked_for_and_no_value_of_the_environment(tmp_path: Path) -> None:
    options = UpOptions(
        target=tmp_path, name="other", network="main", pattern="single-vm", node=7, cpu=2, memory=512, disk=9, size="large",
        variables={"TOKEN": "hunter2"}, env_file=Path("x/.env"), file="staging.yaml", strict=True, terraform="/bin/tofu", wait=5,
        cancel=True, retry=False,
    )  # fmt: skip
    found = aim_of(options)
    assert found == {
        "options": {
            "name": "other", "network": "main", "pattern": "single-vm", "node": 7, "cpu": 2, "memory": 512, "disk": 9, "size": "large",
            "file": "staging.yaml", "strict": True, "env_file": str(Path.cwd() / "x" / ".env"),
        }
    }  # fmt: skip
    assert "hunter2" not in json.dumps(found)
    assert aim_of(UpOptions(target=tmp_path)) == {"options": {"strict": False}}


def test_options_come_back_as_they_were_asked_for_with_this_commands_own_turn() -> None:
    deployment = Deployment("d", "my-app", "main", "failed", 1.0, 1.0, {"app_dir": "/app"})
    options = UpOptions(
        target=Path("/somewhere"),
        network="main",
        node=7,
        cpu=2,
        size="large",
        env_file=Path("/x/.env"),
        file="staging.yaml",
        strict=True,
    )
    run = {"data": json.loads(json.dumps(aim_of(options)))}
    turn = {"wait": 3.0, "cancel": True, "retry": False, "terraform": "tofu"}
    assert resumed_options(deployment, run, None, turn) == UpOptions(
        target=Path("/app"), name="my-app", network="main", node=7, cpu=2, size="large", env_file=Path("/x/.env"),
        file="staging.yaml", strict=True, wait=3.0, cancel=True, retry=False, terraform="tofu",
    )  # fmt: skip
    assert resumed_options(deployment, run, "other.yaml", {}).file == "other.yaml"
    assert resumed_options(deployment, {"data": {}}, None, {}) == UpOptions(target=Path("/app"), name="my-app", network="main")


# What can be gone on with


@pytest.mark.parametrize("kind", ["up", "rollback", "repair"])
@pytest.mark.parametrize("outcome", [None, "failed", "interrupted"])
def test_a_run_that_did_not_get_to_its_end_can_be_gone_on_with(bench: Bench, kind: str, outcome: str | None) -> None:
    bench.up()
    run = bench.store.start_run(bench.deployment, kind, {"release": "r"})
    if outcome:
        bench.store.end_run(run, outcome)
    found = resumable(bench.store, bench.deployment)
    assert (found["id"], found["kind"], found["data"]) == (run, kind, {"release": "r"})


def test_what_got_to_its_end_can_not(bench: Bench) -> None:
    bench.up()
    with pytest.raises(NotFoundError, match="there is nothing to resume on my-app") as caught:
        resumable(bench.store, bench.deployment)
    assert (caught.value.code, caught.value.exit_code) == ("nothing-to-resume", 5)


def test_a_down_is_gone_on_with_by_itself(bench: Bench) -> None:
    bench.up()
    bench.store.start_run(bench.deployment, "down")
    with pytest.raises(NotFoundError, match="the last run on my-app was a down") as caught:
        resumable(bench.store, bench.deployment)
    assert (caught.value.code, caught.value.fix) == ("nothing-to-resume", "tfgrid-compose down my-app")


# The command


def stop(bench: Bench, place: str, **given: Any) -> None:
    """An `up` that the user stops."""
    bench.fail(place, KeyboardInterrupt())
    with pytest.raises(InterruptedError_):
        bench.up(**given)


@pytest.mark.parametrize("target", ["name", "id", "path", "folder"])
def test_resume_goes_on_where_the_run_stopped_with_what_it_was_asked_for(
    bench: Bench, call: Call, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    bench.manifest("environment:\n  - {name: WORD}\n")
    bench.write("values", "WORD=from a file\n")
    stop(bench, "configure", cpu=4, size="large", env_file=bench.folder / "values")
    words = {"name": ["my-app"], "id": [bench.deployment.id[:6]], "path": [str(bench.folder)], "folder": []}[target]
    if target == "folder":
        monkeypatch.chdir(bench.folder)
    code, out, err = call("up", "--resume", *words)
    assert (code, "my-app is running" in out) == (0, True), err
    assert "the last run (up, number 1) was stopped in step configure; looking at what is there" in err
    assert set(bench.outcomes()) == {"reach", "configure", "healthcheck", "activate"}
    assert bench.deployment.data["overrides"] == {"size": "large", "cpu": 4, "node": 7}
    assert "WORD='from a file'" in bench.machine.read(".tfgrid/environment")
    assert (bench.statuses, bench.last_run["kind"], bench.last_run["outcome"]) == ({1: "live"}, "up", "succeeded")
    assert call("up", "--resume", *words)[0] == 5, "there is nothing more to resume"


def test_values_of_the_run_that_was_stopped_are_kept_encrypted(bench: Bench, call: Call) -> None:
    bench.manifest("environment:\n  - {name: TOKEN, secret: true}\n")
    stop(bench, "setup", variables={"TOKEN": "hunter2-hunter2"})
    assert call("up", "--resume", "my-app")[0] == 0
    assert "TOKEN=hunter2-hunter2" in bench.machine.read(".tfgrid/environment")


def test_a_rollback_that_was_stopped_is_finished(bench: Bench, call: Call) -> None:
    bench.grid.can_snapshot = True
    found = []
    for text in ("one", "two", "three"):
        bench.write("src/page", text)
        found.append(bench.up())
    bench.fail("configure", KeyboardInterrupt())
    with pytest.raises(InterruptedError_):
        bench.rollback("1")
    assert bench.live.number == 3
    code, out, err = call("up", "--resume", "my-app")
    assert code == 0, err
    assert f"Release {found[0].label} for my-app" in err
    assert (bench.live.id, bench.machine.current, bench.machine.read("src/page")) == (found[0].id, found[0].id, "one")
    assert (bench.last_run["kind"], bench.last_run["data"]) == ("rollback", {"release": found[0].id, "with_data": False})


def test_a_rollback_with_data_is_finished_with_data(bench: Bench, call: Call) -> None:
    bench.grid.can_snapshot = True
    for text in ("one", "two"):
        bench.write("src/page", text)
        bench.grid.data = f"written before {text}"
        bench.up()
    two = bench.live
    bench.grid.data = "written while two ran"
    bench.fail("configure", KeyboardInterrupt())
    with pytest.raises(InterruptedError_):
        bench.rollback(with_data=True)
    assert call("up", "--resume", "my-app", "--yes")[0] == 0
    assert bench.last_run["data"]["with_data"] is True
    assert bench.grid.data == "written before two"
    assert bench.grid.copies[two.id] == "written while two ran", "the first copy stays: since then the disks were restored"


def test_a_repair_that_was_stopped_is_finished(bench: Bench, call: Call) -> None:
    bench.up()
    bench.tunnels.clear()
    bench.fail("tunnel", KeyboardInterrupt())
    assert call("up", "--repair", "my-app")[0] == 130
    assert bench.last_run["kind"] == "repair"
    bench.write("src/page", "not deployed")
    assert call("up", "--resume", "my-app")[0] == 0
    assert bench.tunnels and bench.statuses == {1: "live"}
    assert bench.last_run["kind"] == "repair"


def test_after_a_failure_that_was_answered_by_going_back_there_is_nothing_to_resume(bench: Bench, call: Call) -> None:
    bench.up()
    bench.write("src/page", "two")
    bench.fail("configure", broken())
    with pytest.raises(HookError):
        bench.up()
    code, _, err = call("up", "--resume", "my-app")
    assert (code, "there is nothing to resume" in err) == (5, True)


def test_a_first_up_that_failed_is_gone_on_with_once_the_app_is_mended(bench: Bench, call: Call) -> None:
    bench.fail("configure", broken())
    with pytest.raises(HookError):
        bench.up(cpu=4)
    bench.write("deployment/configure.sh", "#!/bin/sh\ntrue\n")
    assert call("up", "--resume", "my-app")[0] == 0
    assert set(bench.outcomes()) == {"reach", *STEPS[4:]}
    assert bench.deployment.data["sizes"]["vm"]["cpu"] == 4
    assert bench.statuses == {1: "failed", 2: "live"}


def test_a_plan_of_what_would_be_gone_on_with_changes_nothing(bench: Bench, call: Call) -> None:
    stop(bench, "configure", cpu=4)
    code, out, _ = call("up", "--resume", "my-app", "--plan", "--json")
    assert code == 0
    steps = {item["step"]: item["needed"] for item in json.loads(out)["steps"]}
    assert (steps["infrastructure"], steps["configure"]) == (False, True)
    assert len(bench.store.runs()) == 1


@pytest.mark.parametrize("form", ["--resume", "--repair"])
@pytest.mark.parametrize("wish", [["--cpu", "2"], ["--var", "A=b"], ["--farm", "Nile"], ["--node", "3"], ["--no-ipv4"]])
def test_what_is_known_already_takes_no_other_wishes(call: Call, form: str, wish: list[str]) -> None:
    code, _, err = call("up", form, *wish, "--yes")
    assert (code, f"{form} and {wish[0]} can't go together" in err) == (2, True)


def test_resume_and_repair_exclude_each_other(bench: Bench, call: Call) -> None:
    code, _, err = call("up", "--resume", "--repair")
    assert (code, "can't go together" in err) == (2, True)


def test_resume_of_what_is_not_deployed_says_so(bench: Bench, call: Call) -> None:
    assert call("up", "--resume", "my-app")[0] == 5


# What the budget said


def test_a_resumed_run_keeps_the_sum_that_it_may_cost_and_another_one_can_be_said(bench: Bench, call: Call) -> None:
    stop(bench, "terraform", max_monthly=9.0)
    bench.grid.tft = 0.5  # Without its discount the machine is dearer.
    bench.manifest("resources: {cpu: {recommended: 8}}\n")
    code, _, err = call("up", "--resume", "my-app")
    assert code == 2 and "more than 9.00 USD" in err
    bench.grid.tft = 1e6
    assert call("up", "--resume", "my-app", "--max-monthly", "500", "--yes")[0] == 0


@pytest.mark.parametrize(("sum", "code"), [("1USD", 2), ("500USD", 0)])
def test_a_repair_is_refused_for_money_only_when_a_sum_is_said_with_it(bench: Bench, call: Call, sum: str, code: int) -> None:
    bench.up()
    bench.grid.live = {}
    assert call("up", "--repair", "my-app", "--max-monthly", sum, "--yes")[0] == code
    assert bool(bench.grid.live) == (code == 0)
