"""`state check` finds what is not as it should be, `state repair` mends what it can, `orphans` names what nobody knows."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from tests.unit.otherprocess import held, other_process
from tfgrid_compose.cli.orphans import orphans
from tfgrid_compose.cli.state import state
from tfgrid_compose.deploy import down, repair
from tfgrid_compose.drivers import wireguard
from tfgrid_compose.errors import BusyError, GridError, InterruptedError_, StateError, TfgridError, UsageError
from tfgrid_compose.grids.models import ContractInfo, Marked
from tfgrid_compose.observe.events import Stream
from tfgrid_compose.state import anchor, backups, blobs, check, paths
from tfgrid_compose.state.problem import Problem
from tfgrid_compose.state.quiet import quiet
from tfgrid_compose.state.releases import environment_name
from tfgrid_compose.state.store import Deployment, Store

ID, OTHER, LOST = "0123456789abcdef", "f" * 16, "a" * 16
MACHINE = {"name": "vm", "role": "vm", "node": 4, "contract": "8"}


@dataclass
class FakeGrid:
    """A grid in memory: {contract: (deployment, app)}."""

    name: str = "local"
    needs_root: bool = False
    stands: dict[int, tuple[str, str]] = field(default_factory=dict)
    immortal: bool = False
    broken: bool = False

    def marked(self) -> list[Marked]:
        if self.broken:
            raise GridError("the grid can't be asked", why="no answer", code="grid-silent")
        return [
            Marked(deployment, ContractInfo(id, 4, "node", f"vm_{deployment}", "Created", 0.01, app), app)
            for id, (deployment, app) in self.stands.items()
        ]

    def alive(self, contracts: Sequence[int]) -> bool:
        return all(id in self.stands for id in contracts)

    def cancel(self, contracts: Sequence[int]) -> None:
        if not self.immortal:
            for id in contracts:
                self.stands.pop(id, None)

    def prepare(self, progress: object) -> None:
        pass

    def contracts(self, deployment: str) -> list[ContractInfo]:
        return [item.contract for item in self.marked() if item.deployment == deployment]

    def remains(self, contracts: Sequence[int]) -> list[str]:
        return [f"contract {id}" for id in contracts if id in self.stands]


@pytest.fixture(autouse=True)
def grid(home: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGrid:
    found = FakeGrid()

    def opened(network: str) -> FakeGrid:
        if network != "local":
            raise UsageError(f"there is no network `{network}`")
        return found

    monkeypatch.setattr(repair, "open_grid", opened)
    monkeypatch.setattr("tfgrid_compose.grids.registry.open_grid", opened)
    return found


@pytest.fixture
def store(grid: FakeGrid) -> Iterator[Store]:
    """A state with one healthy deployment, which stands on the grid."""
    with Store() as found:
        found.save(Deployment(ID, "my-app", "local", "running", 1.0, 1.0, facts()))
        found.set_secret(ID, "ssh", b"private")
        archives = {"archive": blobs.put(b"source"), "pattern_archive": blobs.put(b"pattern")}
        for id in ("r1", "r2"):
            found.set_secret(ID, environment_name(id), b"{}")
            found.add_release(id, ID, archives)
            found.set_release_live(id, ID)
        run = found.start_run(found.deployment(ID), "up")
        found.begin_step(run, ID, "ship", {"a": "1"})
        found.end_step(run, ID, "ship", "done")
        found.end_run(run, "succeeded")
        found.append_audit(action="up", deployment=ID, name="my-app")
        paths.private_file(paths.state_dir() / "deployments" / ID / "known_hosts", b"")
        grid.stands = {7: (ID, "my-app"), 8: (ID, "my-app")}
        yield found


def facts(**other: object) -> dict[str, object]:
    return {"pattern": "single-vm", "release": "r2", "contracts": [7, 8], "machines": [MACHINE], **other}


def codes(problems: list[Problem]) -> list[str]:
    return [item.code for item in problems]


def whole(store: Store) -> list[Problem]:
    return repair.problems(store, repair.survey(["local"]))


def change(store: Store, statement: str, *values: object) -> None:
    with store.write() as db:
        db.execute(statement, values)


def old(path: Path) -> Path:
    os.utime(path, (time.time() - 7200, time.time() - 7200))
    return path


def test_a_healthy_state_has_no_problem(store: Store) -> None:
    assert whole(store) == []


BREAKS: dict[str, tuple[Callable[[Store], object], str, str]] = {
    "a run was killed": (lambda store: store.start_run(store.deployment(ID), "up"), "run-cut-off", "mended"),
    "a step was killed": (
        lambda store: store.begin_step(store.start_run(store.deployment(ID), "up"), ID, "setup", {}), "run-cut-off", "mended",
    ),
    "a status was left": (
        lambda store: store.save(Deployment(ID, "my-app", "local", "deploying", 1.0, 1.0, facts())), "status-stale", "mended",
    ),
    "two live releases": (lambda store: change(store, "UPDATE releases SET status = 'live'"), "release-live-twice", "mended"),
    "another live release": (lambda store: store.set_release_live("r1", ID), "release-link", "mended"),
    "a number twice": (lambda store: change(store, "UPDATE releases SET number = 1"), "release-number-twice", "mended"),
    "steps without run": (lambda store: change(store, "DELETE FROM runs"), "dead-rows", "mended"),
    "done without deployment": (lambda store: change(store, "UPDATE done SET deployment = ?", LOST), "dead-rows", "mended"),
    "release without deployment": (
        lambda store: change(store, "INSERT INTO releases VALUES ('x', ?, 1, 'live', '{}', 1, '')", LOST), "dead-rows", "mended",
    ),
    "secrets without deployment": (
        lambda store: change(store, "INSERT INTO secrets VALUES (?, 'x', x'00', 1)", LOST), "dead-rows", "mended",
    ),
    "an environment without release": (lambda store: store.set_secret(ID, "release/gone", b"{}"), "dead-rows", "mended"),
    "a folder without deployment": (
        lambda store: paths.private_file(paths.state_dir() / "deployments" / LOST / "logs" / "x", b""), "folder-leftover", "mended",
    ),
    "a deployment without folder": (
        lambda store: shutil.rmtree(paths.state_dir() / "deployments" / ID), "folder-missing", "mended",
    ),
    "an archive too many": (lambda store: old(blobs.folder() / blobs.put(b"nobody's")), "archive-unneeded", "mended"),
    "a file of a crash": (lambda store: old(paths.private_file(paths.state_dir() / ".state.db.restored-1", b"")), "file-leftover", "mended"),
    "an unpacked release": (
        lambda store: old(paths.private_dir(paths.state_dir() / "deployments" / ID / "tmp" / "release-x")), "file-leftover", "mended",
    ),
    "an open file": (lambda store: store.path.chmod(0o644), "mode-open", "mended"),
    "an open folder": (lambda store: paths.state_dir().chmod(0o755), "mode-open", "mended"),
    "no anchor": (lambda store: store.path.with_name(anchor.NAME).unlink(), "anchor-missing", "mended"),
    "an archive is gone": (lambda store: next(blobs.folder().iterdir()).unlink(), "archive-damaged", "up my-app"),
    "an archive was changed": (lambda store: next(blobs.folder().iterdir()).write_bytes(b"?"), "archive-damaged", "up my-app"),
    "a secret was changed": (
        lambda store: change(store, "UPDATE secrets SET value = x'00' WHERE name = 'ssh'"), "secret-damaged", "state restore",
    ),
    "a secret was removed": (
        lambda store: change(store, "DELETE FROM secrets WHERE name = 'ssh'"), "secret-damaged", "state restore",
    ),
    "the log was changed": (lambda store: change(store, "UPDATE audit SET entry = '{}'"), "audit-broken", "audit verify"),
    "the log was cut": (lambda store: change(store, "DELETE FROM audit"), "audit-broken", "audit verify"),
    "no JSON": (lambda store: change(store, "UPDATE deployments SET data = '{'"), "row-unreadable", "state repair"),
    "a bit flipped": (
        lambda store: change(store, "UPDATE deployments SET data = replace(data, '[7, 8]', '[7, 9]')"), "row-unreadable", "state repair",
    ),
    "a step's inputs": (lambda store: change(store, "UPDATE steps SET inputs = 'x'"), "row-unreadable", "state repair"),
}  # fmt: skip


@pytest.mark.parametrize("what", BREAKS)
def test_each_problem_is_found_and_mended_or_names_what_helps(store: Store, what: str) -> None:
    break_, code, helps = BREAKS[what]
    break_(store)
    found = whole(store)
    assert code in codes(found), found
    problem = next(item for item in found if item.code == code)
    assert problem.text and problem.next
    if helps != "mended":
        assert problem.mend is None
        assert helps in problem.next
        return
    assert problem.mend is not None and problem.next == "tfgrid-compose state repair"
    done, left = repair.repair(store, repair.survey(["local"]))
    assert done and left == [], left
    assert backups.listed()[0].reason == "before-repair"
    assert store.deployment(ID).name == "my-app" and store.secret(ID, "ssh") == b"private"
    last = store.audit_entries(limit=1)[0].facts
    assert (last["action"], last["outcome"], last["mended"]) == ("state repair", "succeeded", done)


def test_what_is_mended_is_what_it_says(store: Store) -> None:
    cut = store.start_run(store.deployment(ID), "up")
    store.begin_step(cut, ID, "setup", {})
    change(store, "UPDATE releases SET status = 'live', number = 1")
    repair.repair(store, None)
    assert [(item.id, item.number, item.status) for item in store.releases(ID)] == [("r2", 2, "live"), ("r1", 1, "superseded")]
    assert (store.run(cut) or {})["outcome"] == "cut off"
    assert [step["outcome"] for step in store.steps(cut)] == ["cut off"]


def test_a_damaged_backup_is_removed_as_long_as_a_good_one_is_left(store: Store) -> None:
    only = backups.save(store.path, "x")
    only.path.write_bytes(b"")
    (problem,) = check.look(store)
    assert (problem.code, problem.mend, problem.next) == ("backup-damaged", None, "tfgrid-compose state backup")
    assert repair.repair(store, None)[1] == [], "repair makes a good one first"
    assert [item.reason for item in backups.listed()] == ["before-repair"]


def test_what_a_crash_wrote_just_now_may_belong_to_a_run(store: Store) -> None:
    blobs.put(b"of a release that is not recorded yet")
    paths.private_file(paths.state_dir() / ".state.db.restored-1", b"")
    assert check.look(store) == []


def test_files_that_other_programs_wrote_have_modes_of_their_own(store: Store) -> None:
    folder = paths.state_dir() / "deployments" / ID
    for name in ("terraform/providers/grid", "tmp/release-x/app/index.html", "known_hosts.old"):
        path = paths.private_file(folder / name, b"")
        path.chmod(0o755)
    assert check.look(store) == []


def test_secrets_of_app_folders_are_nobodys_deployment(store: Store) -> None:
    store.set_secret("app:/srv/my-app", "app-secrets", b"{}")
    assert whole(store) == []


def test_a_run_that_goes_on_is_no_problem_and_can_not_be_repaired_under(store: Store) -> None:
    code = f"""
import sys
from dataclasses import replace
from tfgrid_compose.state import lease
from tfgrid_compose.state.store import Store
with Store() as store, lease.hold("local--my-app"):
    store.save(replace(store.deployment("{ID}"), status="deploying"))
    store.start_run(store.deployment("{ID}"), "up")
    print("held", flush=True)
    sys.stdin.read()
"""
    with other_process(code):
        assert check.look(store) == []
        with pytest.raises(BusyError, match="a run on `my-app` goes on"):
            repair.repair(store, None)
    assert sorted(codes(check.look(store))) == ["run-cut-off", "status-stale"]


# State and grid


def test_a_contract_that_nobody_knows_becomes_a_deployment_that_can_be_taken_down(store: Store, grid: FakeGrid) -> None:
    grid.stands |= {20: (LOST, "shop"), 21: (LOST, "shop")}
    (problem,) = whole(store)
    assert problem.code == "contract-orphaned" and "shop (aaaaaa) stands on network local (contracts 20, 21)" in problem.text
    done, left = repair.repair(store, repair.survey(["local"]))
    assert left == [] and "only `tfgrid-compose down shop` works on it" in done[0]
    found = store.deployment(LOST)
    assert (found.name, found.network, found.status, found.data["contracts"]) == ("shop", "local", "orphaned", [20, 21])
    grid.stands[22] = (LOST, "shop")
    assert repair.repair(store, repair.survey(["local"]))[1] == []
    assert store.deployment(LOST).data["contracts"] == [20, 21, 22]


def test_a_deployment_of_which_only_contracts_are_known_can_be_taken_down(
    store: Store, grid: FakeGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(down, "open_grid", lambda network: grid)
    grid.stands |= {20: (LOST, "shop"), 21: (LOST, "shop")}
    config = paths.private_file(wireguard.config_path("wg-shop"), b"")
    repair.repair(store, repair.survey(["local"]))
    found = store.deployment(LOST)
    assert found.data["interface"] == "wg-shop", "the tunnel that it has left here"
    checks = down.Removal(store, Stream(), found).run()
    assert all(item.clean for item in checks) and set(grid.stands) == {7, 8}
    assert not config.exists()
    assert [item.id for item in store.deployments()] == [ID]
    assert whole(store) == []


def test_what_a_lost_deployment_left_here_is_kept_when_it_still_stands(store: Store, grid: FakeGrid) -> None:
    store.save(Deployment(LOST, "shop", "local", "running", 1.0, 1.0, {}))
    store.set_secret(LOST, "ssh", b"key of the shop")
    folder = paths.private_dir(paths.state_dir() / "deployments" / LOST)
    change(store, "DELETE FROM deployments WHERE id = ?", LOST)
    grid.stands[20] = (LOST, "shop")
    for view in (None, repair.View({}, {"local": "no root"}), repair.survey(["local"])):
        repair.repair(store, view)
        assert folder.is_dir()
    assert store.secret(LOST, "ssh") == b"key of the shop"


def test_a_forgotten_deployment_that_is_listed_again_is_not_taken_for_robbed(store: Store) -> None:
    store.forget(ID)
    repair.repair(store, repair.survey(["local"]))
    assert store.deployment(ID).status == "orphaned"
    assert store.secret(ID, "wireguard") is None
    assert whole(store) == []


def test_two_orphans_of_one_name_and_one_without_a_name_can_be_told_apart(store: Store, grid: FakeGrid) -> None:
    grid.stands |= {20: (LOST, "my-app"), 21: (OTHER, "")}
    repair.repair(store, repair.survey(["local"]))
    assert sorted(item.name for item in store.deployments()) == ["my-app", "my-app-aaaaaa", "unknown"]


def test_the_name_of_a_lost_deployment_is_that_of_its_runs(store: Store, grid: FakeGrid) -> None:
    store.start_run(Deployment(LOST, "shop-2", "local", "", 1.0, 1.0), "up")
    grid.stands[20] = (LOST, "shop")
    (orphan,) = repair.orphans(store, repair.survey(["local"]))
    assert orphan.name == "shop-2"


def test_a_deployment_whose_contracts_ended_is_built_anew_by_up(store: Store, grid: FakeGrid) -> None:
    grid.stands = {}
    (problem,) = whole(store)
    assert problem.code == "contracts-gone"
    repair.repair(store, repair.survey(["local"]))
    found = store.deployment(ID)
    assert (found.status, found.data["contracts"], found.machines, store.done(ID)) == ("failed", [], [], {})
    assert found.data["release"] == "r2"
    assert whole(store) == []


def test_a_part_that_ended_or_that_is_new_is_for_up_to_mend(store: Store, grid: FakeGrid) -> None:
    del grid.stands[8]
    grid.stands[9] = (ID, "my-app")
    assert [(item.code, item.mend) for item in whole(store)] == [("contract-unlisted", None), ("contract-gone", None)]
    assert all("tfgrid-compose up my-app" in item.next for item in whole(store))


def test_a_contract_that_lives_without_its_mark_is_not_gone(store: Store, grid: FakeGrid) -> None:
    grid.stands[8] = ("", "")
    assert [item for item in whole(store) if item.code.startswith("contract-gone")] == []


def test_a_grid_that_can_not_be_looked_at_is_said_and_judged_by_nobody(
    store: Store, grid: FakeGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid.stands = {}
    grid.broken = True
    assert repair.survey(["local", "nowhere"]).unseen == {
        "local": "the grid can't be asked: no answer", "nowhere": "there is no network `nowhere`",
    }  # fmt: skip
    assert whole(store) == []
    grid.broken, grid.needs_root = False, True
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "--grid asks sudo" in repair.survey(["local"]).unseen["local"]


# The commands


def invoke(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(state, list(words), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def test_a_check_that_was_to_look_at_a_grid_that_does_not_answer_is_no_success(store: Store, grid: FakeGrid) -> None:
    grid.broken = True
    assert "was not looked at" in invoke("check", "--grid", code=7)
    invoke("check")


def test_check_says_what_is_wrong_with_exit_code_10(store: Store, grid: FakeGrid) -> None:
    assert invoke("check") == "All is well; looked at network local too.\n"
    assert json.loads(invoke("check", "--json")) == {"problems": [], "grids_seen": ["local"], "grids_not_seen": {}}
    store.path.chmod(0o640)
    grid.broken = True
    output = invoke("check", code=10)
    assert "can be read by others (mode 640)  [mode-open]" in output and "Next:    tfgrid-compose state repair" in output
    assert "Network local was not looked at: the grid can't be asked: no answer." in output
    assert "1 problem; `tfgrid-compose state repair` mends 1." in output
    (problem,) = json.loads(invoke("check", "--no-grid", "--json", code=10))["problems"]
    assert (problem["code"], problem["mended"], problem["fix"]) == ("mode-open", True, "tfgrid-compose state repair")


def test_repair_says_each_thing_that_it_did(store: Store) -> None:
    store.path.chmod(0o640)
    store.start_run(store.deployment(ID), "up")
    output = invoke("repair", "--yes")
    assert f"  {store.path} is private again\n" in output and "  closed run 2, which was cut off\n" in output
    assert output.endswith("All is well; looked at network local too.\n")
    change(store, "DELETE FROM audit WHERE seq = 1")
    assert "[audit-broken]" in invoke("repair", "--yes", code=10)


@pytest.mark.parametrize("ruin", ["garbage", "empty", "missing"])
@pytest.mark.parametrize("backup", [True, False])
def test_repair_of_a_lost_database_restores_a_backup_or_finds_what_stands(
    store: Store, grid: FakeGrid, ruin: str, backup: bool
) -> None:
    if backup:
        backups.save(store.path, "x")
    store.close()
    for suffix in ("-wal", "-shm"):
        store.path.with_name(store.path.name + suffix).unlink(missing_ok=True)
    store.path.write_bytes(b"rubbish" * 1000 if ruin == "garbage" else b"")
    if ruin == "missing":
        store.path.unlink()
    (problem, *_) = json.loads(invoke("check", "--json", code=10))["problems"]
    assert problem["code"] == ("database-damaged" if ruin == "garbage" else "database-lost")
    assert ("state restore" if backup else "state repair") in problem["fix"]
    output = invoke("repair", "--yes")
    assert ("restored the backup" if backup else "began a new database") in output
    with Store() as again:
        (found,) = again.deployments()
        assert (found.id, found.status) == (ID, "running" if backup else "orphaned")
        assert again.verify_audit() is None
        assert again.secret(ID, "ssh") == (b"private" if backup else None)


def test_backups_are_listed_made_and_restored_by_command(store: Store, grid: FakeGrid) -> None:
    assert "There is no backup" in invoke("backups")
    assert json.loads(invoke("backups", "--json")) == []
    made = json.loads(invoke("backup", "--json"))["name"]
    grid.stands[20] = (LOST, "shop")
    store.forget(ID)
    output = invoke("backups")
    assert made in output and "by-hand" in output and "good" in output
    store.close()
    output = invoke("restore", made[:19], "--yes", code=10)
    assert f"Restored {made}." in output and "The database that it replaced is" in output
    assert "shop (aaaaaa) stands on network local" in output and "Next:    tfgrid-compose state repair" in output
    with Store() as again:
        assert [item.name for item in again.deployments()] == ["my-app"]
    (backups.folder() / made).write_bytes(b"")
    assert [item["condition"] for item in json.loads(invoke("backups", "--json"))] == ["good", "damaged"]
    assert [item["reason"] for item in json.loads(invoke("backups", "--json"))] == ["before-restore", "by-hand"]


def listed(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(orphans, list(words), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def test_orphans_are_listed_with_what_they_cost_and_destroyed_after_a_yes(store: Store, grid: FakeGrid) -> None:
    assert "There are no orphans on network local." in listed()
    grid.stands |= {20: (LOST, "shop"), 21: (LOST, "shop"), 22: (OTHER, "")}
    output = listed()
    assert "shop" in output and "20,21" in output and "14.40" in output and "my-app" not in output
    found = json.loads(listed("--json", "--network", "local"))["orphans"]
    assert [(item["name"], item["deployment"], len(item["contracts"])) for item in found] == [("shop", LOST, 2), ("", OTHER, 1)]
    with pytest.raises(UsageError, match="needs a yes"):
        listed("--destroy")
    assert 20 in grid.stands
    output = listed("--destroy", "--yes")
    assert "shop (aaaaaa) is gone." in output and "unknown (ffffff) is gone." in output
    assert set(grid.stands) == {7, 8}
    assert json.loads(listed("--destroy", "--yes", "--json")) == {"destroyed": []}
    last = store.audit_entries(limit=1)[0].facts
    assert (last["action"], last["deployment"], last["contracts"], last["outcome"]) == (
        "orphans destroy",
        OTHER,
        [22],
        "succeeded",
    )


def test_what_does_not_go_away_is_said_and_recorded(store: Store, grid: FakeGrid) -> None:
    grid.stands[20] = (LOST, "shop")
    grid.immortal = True
    with pytest.raises(GridError, match=r"something of shop \(aaaaaa\) is left: contract 20") as caught:
        listed("--destroy", "--yes", "--json")
    assert (caught.value.code, caught.value.exit_code) == ("leftovers", 7)
    assert store.audit_entries(limit=1)[0].facts["outcome"] == "failed"


def test_what_a_run_that_goes_on_has_just_made_is_no_orphan(store: Store, grid: FakeGrid) -> None:
    grid.stands[20] = (LOST, "shop")
    with held("local--shop"):
        assert repair.orphans(store, repair.survey(["local"])) == []
    assert len(repair.orphans(store, repair.survey(["local"]))) == 1


def test_a_network_that_can_not_be_looked_at_is_not_called_clean(store: Store, grid: FakeGrid) -> None:
    grid.broken = True
    assert "Network local was not looked at" in listed(code=7)
    assert json.loads(listed("--json", code=7))["grids_not_seen"] == {"local": "the grid can't be asked: no answer"}


def test_damage_is_told_apart_from_a_bug(store: Store) -> None:
    assert check.damage_behind(KeyError("x")) is None
    change(store, "UPDATE deployments SET data = '{'")
    found = check.damage_behind(KeyError("x"))
    assert isinstance(found, StateError) and found.code == "state-damaged"
    store.close()
    store.path.write_bytes(b"rubbish" * 1000)
    assert isinstance(check.damage_behind(TypeError()), TfgridError)


def test_a_lock_that_can_not_be_read_is_a_problem(store: Store) -> None:
    path = paths.private_dir(paths.state_dir() / "locks" / "local--odd.lock")
    (problem,) = check.look(store)
    assert (problem.code, problem.next) == ("lock-unreadable", f"ls -ld {path}")


def test_two_commands_on_the_whole_state_take_turns(store: Store) -> None:
    with (
        quiet("one"),
        pytest.raises(BusyError, match="two has to wait: another command on the whole state goes on"),
        quiet("two"),
    ):
        pytest.fail("both at once")


def test_with_grid_root_is_asked_for_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("tfgrid_compose.cli.elevate.ensure_root", asked.append)
    for words in (["check"], ["repair", "--yes"]):
        invoke(*words, "--grid")
        invoke(*words, "--no-grid")
    assert asked == ["looking at the local grid"] * 2


def test_on_a_terminal_repair_shows_what_it_would_mend_and_asks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tfgrid_compose.cli.state.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True), exit=sys.exit)
    )
    asked: list[str] = []

    def confirm(yes: bool, question: str, **_: object) -> None:
        asked.append(question)
        raise InterruptedError_("nothing was changed")

    monkeypatch.setattr("tfgrid_compose.cli.state.confirm", confirm)
    assert "All is well" in invoke("repair") and asked == []
    store.path.chmod(0o640)
    with pytest.raises(InterruptedError_):
        invoke("repair")
    assert asked == ["Mend what can be mended?"] and store.path.stat().st_mode & 0o777 == 0o640


def test_what_can_not_be_mended_for_want_of_a_right_is_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.path.chmod(0o640)

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refused)
    with pytest.raises(StateError, match="can't be written"):
        repair.repair(store, None)
    assert store.audit_entries(limit=1)[0].facts["outcome"] == "failed"


def test_check_offers_no_repair_of_what_it_can_not_mend(capsys: pytest.CaptureFixture[str]) -> None:
    from tfgrid_compose.cli.state import _tell
    from tfgrid_compose.state.problem import Problem

    _tell([Problem("contract-gone", "contract 1 ended", fix="tfgrid-compose up my-app")], None)
    assert capsys.readouterr().out.endswith("1 problem.\n")
