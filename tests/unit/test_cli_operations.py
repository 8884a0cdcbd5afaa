"""`rollback`, `history`, `diff`, `drift`, `runs` and `up --repair` as their users and their scripts meet them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.otherprocess import held
from tests.unit.workbench import Bench, Call, contract
from tfgrid_compose.errors import GridError, HookError, InfrastructureError, InterruptedError_, TfgridError
from tfgrid_compose.state import lease
from tfgrid_compose.state.store import Deployment, Release


def ship(bench: Bench, text: str) -> Release:
    bench.write("src/page", text)
    return bench.up()


@pytest.fixture
def two(bench: Bench) -> Bench:
    """Two releases."""
    ship(bench, "one\n")
    ship(bench, "two\n")
    return bench


def events(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


# rollback


def test_rollback_shows_the_plan_and_goes_back(two: Bench, call: Call) -> None:
    first = two.store.find_release(two.deployment.id, "1")
    code, out, err = call("rollback", "my-app")
    assert code == 0
    assert out.startswith(f"my-app runs release {first.label} again (")
    assert f"Release {first.label} for my-app" in err
    assert "  Not restored: data that the app wrote stays as it is now" in err
    assert two.machine.read("src/page") == "one\n"


def test_rollback_goes_to_a_certain_release_and_back(two: Bench, call: Call) -> None:
    ship(two, "three\n")
    assert call("rollback", "my-app", "--to", "1")[0] == 0
    assert two.live.number == 1
    assert call("rollback", "my-app", "--to", "#2", "-y")[0] == 0
    assert two.live.number == 2
    assert call("rollback", "my-app")[0] == 0
    assert two.live.number == 1


@pytest.mark.parametrize("flag", ["--plan", "--dry-run"])
def test_a_plan_of_a_rollback_changes_nothing(two: Bench, call: Call, flag: str) -> None:
    code, out, _ = call("rollback", "my-app", flag)
    assert (code, "Release #1 (" in out, "USD a month" in out) == (0, True, True)
    found = json.loads(call("rollback", "my-app", flag, "--json")[1])
    assert found["release"] == two.store.find_release(two.deployment.id, "1").id
    assert found["not_restored"] == ["data that the app wrote stays as it is now"]
    assert (two.live.number, len(two.store.runs())) == (2, 2)


def test_rollback_to_what_runs_says_that_there_is_nothing_to_do(two: Bench, call: Call) -> None:
    code, out, _ = call("rollback", "my-app", "--to", "2")
    assert code == 0 and out.startswith(f"my-app runs release {two.live.label} already; nothing to do (")
    (event,) = events(call("rollback", "my-app", "--to", "2", "--json")[1])
    assert (event["event"], event["outcome"]) == ("run-ended", "unchanged")
    assert len(two.store.runs()) == 2


def test_rollback_as_json_is_events_and_nothing_else(two: Bench, call: Call) -> None:
    code, out, err = call("rollback", "my-app", "--json")
    assert (code, err) == (0, "")
    found = events(out)
    assert [item["event"] for item in found if item["event"].startswith("run-")] == ["run-started", "run-ended"]
    assert (found[0]["command"], found[-1]["outcome"]) == ("rollback", "succeeded")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--to", "9"], 5, "no release begins with `9`"), (["--to", "²"], 5, "no release begins with `²`"),
        (["--to", ""], 5, "no release begins with ``"), (["--with-data"], 7, "disks can't be restored on network main"),
    ],
)  # fmt: skip
def test_a_rollback_that_can_not_be_is_refused_before_anything_is_done(
    two: Bench, call: Call, words: list[str], code: int, text: str
) -> None:
    found, out, err = call("rollback", "my-app", *words)
    assert (found, out, text in err) == (code, "", True)
    assert two.live.number == 2


def test_a_rollback_waits_for_its_turn(two: Bench, call: Call) -> None:
    with lease.hold("main--my-app"):
        code, _, err = call("rollback", "my-app")
    assert (code, "another run holds the deployment `my-app`" in err) == (6, True)


def test_a_first_release_has_nothing_to_go_back_to(bench: Bench, call: Call) -> None:
    bench.up()
    code, _, err = call("rollback", "my-app")
    assert (code, "my-app has no release to go back to" in err) == (5, True)


def test_no_retry_reaches_the_rollback(two: Bench, call: Call) -> None:
    passing = HookError("hook setup failed", why="x", details=["E: Could not get lock /var/lib/dpkg/lock-frontend"])
    two.fail("setup", passing)
    code, _, err = call("rollback", "my-app", "--no-retry")
    assert (code, two.slept, "trying again" in err) == (9, [], False)
    two.fail("setup", passing)
    code, _, err = call("rollback", "my-app")
    assert (code, len(two.slept)) == (0, 1)
    assert "(attempt 2 of 5)" in err


# A failure that is answered


def test_an_up_that_fails_tells_what_became_of_it(two: Bench, call: Call) -> None:
    two.write("src/page", "three\n")
    two.fail("healthcheck", HookError("hook healthcheck failed", why="it exited with 1", fix="mend it"))
    code, out, err = call("up", str(two.folder), "--network", "main")
    live = two.live
    assert (code, live.number, out) == (9, 2, "")
    assert err.splitlines()[-4:] == [
        "Error: hook healthcheck failed", "  Reason:  it exited with 1",
        f"  Now:     release {live.label}, which worked, runs again", "  Next:    mend it",
    ]  # fmt: skip
    assert f"Warning: hook healthcheck failed, it exited with 1: going back to release {live.label}, which worked" in err
    two.write("src/page", "four\n")
    two.fail("healthcheck", HookError("hook healthcheck failed", why="it exited with 1"))
    out = call("up", str(two.folder), "--network", "main", "--json")[1]
    assert json.loads(out.splitlines()[-1])["error"]["aftermath"].endswith("which worked, runs again")


# history


def test_history_lists_releases_newest_first(two: Bench, call: Call) -> None:
    two.fail("setup", HookError("boom"))
    two.manifest("on_failure: keep\nversion: 2.0.0\n")
    with pytest.raises(HookError):
        ship(two, "three\n")
    code, out, err = call("history", "my-app")
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split() == ["RELEASE", "ID", "STATUS", "VERSION", "SOURCE", "BY", "AGE"]
    assert [row.split()[:4:2] for row in rows] == [["#3", "failed"], ["#2", "live"], ["#1", "superseded"]]
    assert rows[0].split()[3] == "2.0.0"
    assert rows[1].split()[1] == two.live.id and rows[1].split()[4] == two.live.data["source"][:12]


def test_history_as_json_leaves_out_what_is_long(two: Bench, call: Call) -> None:
    second, first = json.loads(call("history", "my-app", "--json")[1])
    assert (second["number"], second["status"], first["status"]) == (2, "live", "superseded")
    assert {"archive", "source", "sizes", "pattern", "by", "created"} <= set(second)
    assert not {"manifest", "inputs"} & set(second)


def test_a_deployment_without_releases_says_so(bench: Bench, call: Call) -> None:
    bench.fail("terraform", GridError("boom"))
    with pytest.raises(GridError):
        bench.up()
    assert call("history", "my-app") == (0, "", f"my-app has no release yet.  tfgrid-compose up {bench.folder}\n")
    assert call("history", "my-app", "--json") == (0, "[]\n", "")


# diff


def test_diff_without_a_word_compares_what_is_live_with_the_folder(
    two: Bench, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("diff", "my-app") == (0, "#2 and folder are the same.\n", "")
    two.write("src/page", "three\n")
    two.manifest("version: 9.0.0\nresources: {cpu: 8}\n")
    code, out, _ = call("diff", "my-app")
    assert code == 1
    assert "vm cpu: 2 -> 8\n" in out
    assert "+version: 9.0.0\n" in out
    assert "src/page: changed\n" in out and "-two\n+three\n" in out
    monkeypatch.chdir(two.folder)
    assert call("diff")[1] == out


@pytest.mark.parametrize(
    ("words", "old", "new"),
    [
        (["my-app", "1", "2"], "#1", "#2"), (["my-app", "2", "1"], "#2", "#1"), (["my-app", "1"], "#1", "#2"), (["1"], "#1", "#2"),
        (["1", "2"], "#1", "#2"), (["#1"], "#1", "#2"), (["my-app", "1", "folder"], "#1", "folder"), (["folder", "1"], "folder", "#1"),
    ],
)  # fmt: skip
def test_diff_of_releases(two: Bench, call: Call, words: list[str], old: str, new: str) -> None:
    found = json.loads(call("diff", *words, "--json")[1])
    assert (found["old"], found["new"], found["same"]) == (old, new, False)
    assert [item["path"] for item in found["files"]] == ["src/page"]


def test_diff_of_a_release_with_itself_is_nothing(two: Bench, call: Call) -> None:
    assert call("diff", "my-app", "1", "1")[:2] == (0, "#1 and #1 are the same.\n")
    assert call("diff", "my-app", "2")[:2] == (0, "#2 and #2 are the same.\n")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["my-app", "9"], 5), (["my-app", "1", "9"], 5), (["nope"], 5), (["nope", "1", "2"], 5), (["my-app", "1", "2", "3"], 2),
        (["9"], 5),
    ],
)  # fmt: skip
def test_a_diff_of_what_is_not_there_is_an_error(two: Bench, call: Call, words: list[str], code: int) -> None:
    found, out, err = call("diff", *words)
    assert (found, out, err.startswith("Error: ")) == (code, "", True)


def test_a_diff_before_anything_was_live_says_so(bench: Bench, call: Call) -> None:
    bench.fail("terraform", GridError("boom"))
    with pytest.raises(GridError):
        bench.up()
    code, _, err = call("diff", "my-app")
    assert (code, "nothing was live yet" in err) == (5, True)


def test_a_release_without_an_archive_can_not_be_compared(two: Bench, call: Call) -> None:
    two.store.add_release("old", two.deployment.id, {})
    code, _, err = call("diff", "my-app", "3", "folder")
    assert (code, "made by an older tfgrid-compose, without an archive" in err) == (5, True)


# drift


def test_drift_says_that_all_is_well(two: Bench, call: Call) -> None:
    code, out, err = call("drift", "my-app")
    assert (code, out) == (0, "my-app is as it was deployed.\n")
    assert "looking at contracts" in err
    code, out, err = call("drift", "my-app", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"deployment": "my-app", "drift": [], "unapplied": [], "unseen": {}, "exit_code": 0}


def test_drift_is_told_with_what_mends_it(two: Bench, call: Call) -> None:
    two.tunnels.clear()
    two.write("src/page", "three\n")
    code, out, _ = call("drift", "my-app")
    assert (code, out.splitlines()) == (2, [
        "drift      tunnel.wg-my-app: down (expected: up)", "unapplied  app.files.src/page: changed in the folder",
        "Next:  tfgrid-compose up --repair my-app brings back what release and grid should be",
    ])  # fmt: skip
    found = json.loads(call("drift", "my-app", "--json")[1])
    assert (found["exit_code"], found["drift"][0]["path"]) == (2, "tunnel.wg-my-app")


def test_what_is_ignored_does_not_count(two: Bench, call: Call) -> None:
    two.tunnels.clear()
    two.write("src/page", "three\n")
    code, out, _ = call("drift", "my-app", "--ignore", "tunnel.*")
    assert (code, out.splitlines()[-1].startswith("No drift. The app folder has changes")) == (3, True)
    assert call("drift", "my-app", "--ignore", "tunnel.*", "--ignore", "app.*")[:2] == (0, "my-app is as it was deployed.\n")


def test_what_could_not_be_looked_at_is_told_and_nothing_is_called_well(two: Bench, call: Call) -> None:
    two.grid.silent = GridError("contracts can't be listed", why="no directory")
    code, out, _ = call("drift", "my-app")
    assert (code, out.splitlines()) == (7, [
        "not seen   contracts: contracts can't be listed: no directory",
        "No drift was seen, but not everything was looked at.",
    ])  # fmt: skip
    assert call("drift", "my-app", "--ignore", "contracts")[:2] == (0, "my-app is as it was deployed.\n")


def test_drift_without_a_release_is_an_error(bench: Bench, call: Call) -> None:
    bench.fail("terraform", GridError("boom"))
    with pytest.raises(GridError):
        bench.up()
    assert call("drift", "my-app")[0] == 5


# up --repair


def test_repair_mends_the_way_and_then_looks_at_what_is_behind_it(two: Bench, call: Call) -> None:
    two.manifest("status: {service: nginx}\n")
    ship(two, "three\n")
    two.machine.unreachable = "No route to host"
    two.machine.services["nginx"] = "failed"
    (two.machine.root / "current" / "src" / "page").write_text("changed by hand")
    real = two.fail_at

    def mended(place: str) -> None:
        if place == "reach":
            two.machine.unreachable = ""
        if place == "configure":
            two.machine.services["nginx"] = "active"
        real(place)

    two.fail_at = mended  # type: ignore[method-assign]
    code, _, err = call("up", "--repair", "my-app")
    assert code == 0, err
    second, first = two.store.runs(limit=2)
    assert (first["kind"], list(two.outcomes(first["id"]))) == ("repair", ["reach", "ship"])
    assert (second["kind"], list(two.outcomes(second["id"]))) == ("repair", ["reach", "configure", "healthcheck"])
    assert two.machine.read("src/page") == "three\n"
    assert two.statuses == {1: "superseded", 2: "superseded", 3: "live"}


def test_repair_that_does_not_help_ends(two: Bench, call: Call) -> None:
    two.manifest("status: {service: nginx}\n")
    ship(two, "three\n")
    two.machine.services["nginx"] = "failed"
    assert call("up", "--repair", "my-app")[0] == 0
    assert [run["kind"] for run in two.store.runs(limit=5)] == ["repair"] * 3 + ["up"] * 2


def test_repair_of_what_is_well_does_nothing(two: Bench, call: Call) -> None:
    two.write("src/page", "three\n")
    code, out, _ = call("up", "--repair", "my-app")
    assert (code, "my-app is as it was deployed; nothing to do" in out, len(two.store.runs())) == (0, True, 2)


def test_a_plan_of_a_repair_changes_nothing(two: Bench, call: Call) -> None:
    two.tunnels.clear()
    code, out, _ = call("up", "--repair", "my-app", "--plan")
    assert (code, "[tunnel.wg-my-app: down]" in out) == (0, True)
    assert two.tunnels == set() and len(two.store.runs()) == 2


def test_a_machine_that_was_deleted_is_made_again_from_the_release(two: Bench, call: Call) -> None:
    two.grid.live.clear()
    two.write("src/page", "not deployed")
    assert call("up", "--repair", "my-app", "--yes")[0] == 0
    assert (two.machine.read("src/page"), two.live.number, len(two.grid.live)) == ("two\n", 2, 1)
    assert two.store.runs(limit=1)[0]["kind"] == "repair"


# runs


@pytest.fixture
def history(two: Bench) -> Bench:
    """Runs of two deployments; one of them is gone."""
    gone = Deployment("gone", "old-app", "main", "running", 1.0, 1.0)
    two.store.save(gone)
    run = two.store.start_run(gone, "down")
    two.store.end_run(run, "succeeded")
    two.store.forget("gone")
    two.fail("setup", HookError("hook setup failed", why="it exited with 1"))
    two.manifest("on_failure: keep\n")
    with pytest.raises(HookError):
        ship(two, "three\n")
    return two


@pytest.mark.parametrize(
    "words", [("runs",), ("runs", "list"), ("runs", "-n", "9"), ("runs", "--limit=9"), ("runs", "list", "-n", "9")]
)
def test_runs_are_listed_newest_first(history: Bench, call: Call, words: tuple[str, ...]) -> None:
    code, out, _ = call(*words)
    assert code == 0
    head, *rows = out.splitlines()
    assert head.split() == ["RUN", "DEPLOYMENT", "KIND", "OUTCOME", "BY", "TOOK", "AGE"]
    assert [row.split()[:4] for row in rows] == [
        ["4", "my-app", "up", "failed"], ["3", "old-app", "down", "succeeded"], ["2", "my-app", "up", "succeeded"],
        ["1", "my-app", "up", "succeeded"],
    ]  # fmt: skip


def test_runs_of_one_deployment_also_of_one_that_is_gone(history: Bench, call: Call) -> None:
    assert [item["id"] for item in json.loads(call("runs", "my-app", "--json")[1])] == [4, 2, 1]
    assert [item["id"] for item in json.loads(call("runs", "my-app", "-n", "1", "--json")[1])] == [4]
    assert [item["id"] for item in json.loads(call("runs", "list", "old-app", "--json")[1])] == [3]
    assert [item["id"] for item in json.loads(call("runs", "--json")[1])] == [4, 3, 2, 1]
    assert call("runs", "nope")[0] == 5
    assert call("runs", "-n", "0")[0] == 2
    assert call("runs", "-n", str(10**30))[0] == 2


def test_without_runs_there_is_a_hint(call: Call) -> None:
    assert call("runs") == (0, "", "There are no runs yet.  tfgrid-compose up ./my-app\n")
    assert call("runs", "--json") == (0, "[]\n", "")


def test_a_run_is_shown_with_its_steps(history: Bench, call: Call) -> None:
    code, out, _ = call("runs", "show", "4")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("Run 4: up of my-app on main, failed, by ")
    assert lines[1] == "  hook setup failed: it exited with 1"
    assert lines[2].split() == ["STEP", "OUTCOME", "ATTEMPTS", "TOOK", "NOTE"]
    assert lines[-1].split()[:3] == ["setup", "failed", "1"]
    found = json.loads(call("runs", "show", "4", "--json")[1])
    assert (found["outcome"], found["steps"][-1]["name"]) == ("failed", "setup")


@pytest.mark.parametrize("number", ["99", "0", str(10**30)])
def test_a_run_that_is_not_there_is_not_found(history: Bench, call: Call, number: str) -> None:
    code, _, err = call("runs", "show", number)
    assert (code, f"there is no run {number}" in err) == (5, True)


def test_a_run_that_was_cut_off_looks_like_it(two: Bench, call: Call) -> None:
    run = two.store.start_run(two.deployment, "up")
    two.store.begin_step(run, two.deployment.id, "ship", {})
    assert call("runs", "-n", "1")[1].splitlines()[1].split()[3:5] == ["cut", "off"]
    code, out, _ = call("runs", "show", str(run))
    assert (code, out.splitlines()[-1].split()[:2]) == (0, ["ship", "open"])
    with lease.hold("main--my-app"):
        assert json.loads(call("runs", "--json")[1])[0]["outcome"] == "running"


@pytest.mark.parametrize("target", ["my-app", "2", "id", "folder", None])
def test_a_run_is_cancelled_and_that_is_written_down(
    two: Bench, call: Call, monkeypatch: pytest.MonkeyPatch, target: str | None
) -> None:
    words = {"id": [two.deployment.id[:6]], "folder": [str(two.folder)], None: []}.get(target, [str(target)])
    with held("main--my-app") as child:
        code, out, err = call("runs", "cancel", *words)
        assert child.wait(30) == -15
    assert code == 0
    assert out == f"The run on my-app (pid {child.pid}) has stopped. `tfgrid-compose up --resume my-app` goes on from there.\n"
    assert err.startswith("stopping ")
    facts = two.store.audit_entries(limit=1)[0].facts
    assert (facts["action"], facts["name"], facts["pid"]) == ("runs cancel", "my-app", child.pid)


def test_where_nothing_runs_nothing_is_cancelled(two: Bench, call: Call) -> None:
    code, _, err = call("runs", "cancel", "my-app")
    assert (code, "nothing runs on my-app" in err) == (5, True)
    for target in ("nope", "²", "9" * 5000):
        assert call("runs", "cancel", target)[0] == 5


def test_an_app_that_is_called_like_a_command_is_listed_by_list(bench: Bench, call: Call, tmp_path: Path) -> None:
    bench.store.save(Deployment("d", "show", "main", "running", 1.0, 1.0))
    bench.store.start_run(bench.store.deployment("d"), "up")
    assert [item["name"] for item in json.loads(call("runs", "list", "show", "--json")[1])] == ["show"]


# down


def test_down_is_a_run_that_can_be_seen_afterwards(two: Bench, call: Call) -> None:
    two.grid.live[1002] = contract(1002)
    code, out, _ = call("down", "my-app", "-y")
    assert (code, out) == (0, "my-app is gone. Checked: contracts and machines, tunnel, configuration files, routes, keys.\n")
    assert two.store.deployments() == [] and two.grid.live == {} and two.tunnels == set()
    run = two.store.runs(limit=1)[0]
    assert (run["kind"], run["outcome"], run["name"]) == ("down", "succeeded", "my-app")
    assert call("runs", "my-app")[0] == 0


def test_down_that_is_stopped_goes_on_with_down(two: Bench, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(contracts: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(two.grid, "cancel", stop)
    code, _, err = call("down", "my-app", "-y")
    assert code == 130
    assert "Error: stopped in step infrastructure" in err
    assert "Next:    tfgrid-compose down my-app goes on from here" in err
    monkeypatch.undo()
    assert two.deployment.status == "destroying"


def test_status_calls_a_run_that_was_cut_off_so_as_ps_does(two: Bench, call: Call) -> None:
    two.store.save(replace(two.deployment, status="deploying"))
    code, out, _ = call("status", "my-app", "--json")
    facts = json.loads(out)
    assert (code, facts["status"]) == (1, "cut off")
    assert facts["problems"][0] == "its last run was cut off; `tfgrid-compose up --resume my-app` goes on"
    assert json.loads(call("ps", "--json")[1])[0]["status"] == "cut off"


# What is there, and what is said


def test_what_a_stop_inside_infrastructure_bought_is_told(bench: Bench, call: Call) -> None:
    bench.fail("terraform", KeyboardInterrupt())
    bench.grid.live = {number: contract(number) for number in (1001, 1002, 1003)}
    with pytest.raises(InterruptedError_):
        bench.up()
    (row,) = json.loads(call("ps", "--json")[1])
    assert (row["status"], row["node"]) == ("failed", "7") and row["usd_per_month"] > 0
    code, out, _ = call("status", "my-app", "--json")
    facts = json.loads(out)
    assert (code, facts["node"], facts["contracts"]) == (1, "7", [1001, 1002, 1003])
    assert facts["usd_per_month"] is not None
    text = " ".join(facts["problems"])
    assert "never made" not in text and "contracts 1001, 1002, 1003 stand, and cost" in text


def test_a_run_that_bought_nothing_leaves_no_price(bench: Bench, call: Call) -> None:
    bench.fail("terraform", *[InfrastructureError("terraform apply failed", why="no") for _ in range(9)])
    with pytest.raises(TfgridError):
        bench.up()
    (row,) = json.loads(call("ps", "--json")[1])
    assert (row["node"], row["usd_per_month"]) == ("", None)
    assert "it was never made" in call("status", "my-app")[1]


def test_a_contract_that_ended_on_the_grid_is_told_by_status_and_then_by_ps(two: Bench, call: Call) -> None:
    (number,) = two.deployment.data["contracts"]
    assert json.loads(call("ps", "--json")[1])[0]["status"] == "running"
    two.grid.live.clear()
    code, out, _ = call("status", "my-app", "--json")
    facts = json.loads(out)
    assert (code, facts["status"], facts["usd_per_month"], facts["gone"]) == (1, "broken", None, [number])
    assert f"contract {number} ended on the grid; `tfgrid-compose up --repair` makes" in facts["problems"][0]
    (row,) = json.loads(call("ps", "--json")[1])
    assert (row["status"], row["usd_per_month"]) == ("broken", None)
    two.up()
    (row,) = json.loads(call("ps", "--json")[1])
    assert row["status"] == "running" and row["usd_per_month"] > 0
    assert json.loads(call("status", "my-app", "--json")[1])["gone"] == []


@pytest.mark.parametrize("can", [True, False])
def test_the_plan_says_what_is_lost_with_a_machine_that_ended(two: Bench, can: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    two.store.save(two.deployment.with_data(disks=[{"name": "data", "size": 1, "mount": "/data"}]))
    assert two.plan().limits == ()
    two.grid.live.clear()
    monkeypatch.setattr(two.grid, "can_snapshot", can)
    monkeypatch.setattr(two.grid, "snapshots", lambda contracts: [two.store.releases(two.deployment.id)[-1].id])
    (said,) = two.plan().limits
    assert "machine vm ended on the grid; it is made anew, and its root disk and its data disk data are new and empty" in said
    assert ("`tfgrid-compose rollback my-app --to 1 --with-data` brings them back" in said) is can
    monkeypatch.setattr(two.grid, "snapshots", lambda contracts: [])
    assert ("No snapshot of it is left" in two.plan().limits[0]) is can
