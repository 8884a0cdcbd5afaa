"""The engine in memory: stopped at journal boundaries and at random, it always comes to the same end.

`make chaos` strikes at every point; here is a part of it, the same every time.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import memory
from tests.chaos.bench import FAILED, KILLED, OK, UNCHANGED, Bench, Operation, bench, deploy, go_back, go_on, remove, repair
from tests.chaos.invariants import Broken, empty, machine_of, much_later, settled
from tests.chaos.machine import DATA
from tests.chaos.memory import SCENARIOS, Scenario, Tally, boundaries, one_story
from tests.chaos.story import Story
from tests.chaos.strikes import CHILD, FULL, INTERRUPT, KILL, SIGNAL, Strike
from tfgrid_compose.deploy.steps.infrastructure import STATE
from tfgrid_compose.deploy.steps.layout import ROOT
from tfgrid_compose.errors import HookError
from tfgrid_compose.state import check

_SHM = Path("/dev/shm")  # A disk would make each commit wait.


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench on a grid that adopts."""
    with bench(_folder(tmp_path_factory)) as found:
        yield found


def _folder(factory: pytest.TempPathFactory) -> Path:
    folder = factory.mktemp("chaos")
    return _SHM / f"{folder.parent.parent.name}-{folder.parent.name}-{folder.name}" if _SHM.is_dir() else folder / "bench"


@pytest.fixture
def fresh(place: Bench) -> Bench:
    """An empty world."""
    place.fresh()
    return place


def _points(bench: Bench, text: str) -> list[int]:
    """Numbers of the points of an `up` from here on whose label holds a text; the bench is as before."""
    saved = bench.saved()
    labels = bench.run(deploy(), record=True).process.labels
    bench.load(saved)
    return [at for at, label in enumerate(labels, 1) if text in label]


# All scenarios


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_stopped_at_a_journal_boundary_it_comes_to_the_same_end(place: Bench, scenario: Scenario) -> None:
    tally = Tally()
    boundaries(place, scenario, tally, every=17, only=lambda label: label.startswith("db:"), kinds=(KILL, INTERRUPT))
    assert tally.runs >= 4 and tally.failures == []


@pytest.mark.parametrize("name", ["new", "change", "rollback", "down"])
def test_stopped_anywhere_it_comes_to_the_same_end(place: Bench, name: str) -> None:
    tally = Tally()
    boundaries(place, next(item for item in SCENARIOS if item.name == name), tally, every=61, shift=7)
    assert tally.runs >= 5 and tally.failures == []


def test_killed_twice_it_comes_to_the_same_end(place: Bench) -> None:
    tally = Tally()
    stage = memory.Stage(place, SCENARIOS[1], tally)
    for at in range(5, len(stage.labels), 23):
        stage.strike(SCENARIOS[1].ways[at % 2], Strike(at, KILL, at % 3 == 0), later=[Strike(at * 7 % 150 + 1, KILL)])
    assert tally.runs >= 5 and tally.failures == []


def test_a_signal_between_any_two_lines_does_no_harm(place: Bench) -> None:
    tally = Tally()
    stage = memory.Stage(place, SCENARIOS[1], tally)
    for line in range(200, 14000, 1117):
        stage.strike(SCENARIOS[1].ways[line % 2], Strike(line, SIGNAL))
    # Under a tracer of somebody else's no signal comes, and nothing is disturbed.
    assert tally.runs > 10 and (tally.interrupted > 10 or sys.gettrace()) and tally.failures == []


@pytest.mark.parametrize("flavour", memory.FLAVOURS, ids=["adopting", "cancelling"])
def test_stories_end_well(tmp_path_factory: pytest.TempPathFactory, flavour: tuple[bool, bool]) -> None:
    tally = Tally()
    with bench(_folder(tmp_path_factory), adopts=flavour[0], here=flavour[1]) as found:
        for seed in range(1, 9):
            one_story(found, seed, tally)
    assert tally.interrupted >= 10 and tally.failures == []


def test_the_same_seed_tells_the_same_story(place: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[str]] = []

    def told_by(bench: Bench) -> list[str]:
        outcomes: list[str] = []
        tally = Tally()
        monkeypatch.setattr(tally, "add", lambda outcome: outcomes.append(f"{outcome.kind} {outcome.process.count}"))
        one_story(bench, 5, tally)
        return outcomes

    told = [told_by(place), told_by(place)]
    assert told[0] == told[1] and len(told[0]) > 3


# The harness itself can fail


def test_a_forgotten_contract_is_found(fresh: Bench) -> None:
    assert fresh.run(deploy()).kind == OK
    settled(fresh)
    vm = fresh.world.live("vm")[0]
    vm.name = "vm_0123456789abcdef"
    with pytest.raises(Broken, match="nobody remembers contract"):
        settled(fresh)


def test_a_tunnel_that_is_left_is_found(fresh: Bench) -> None:
    assert fresh.run(deploy()).kind == OK
    tunnels = dict(fresh.world.tunnels)
    assert fresh.run(remove).kind == OK
    fresh.world.tunnels.update(tunnels)
    with pytest.raises(Broken, match="nobody remembers tunnel"):
        empty(fresh)


def test_a_killed_process_has_no_effect_any_more(fresh: Bench) -> None:
    at = _points(fresh, "db:start_run committed")[0]
    outcome = fresh.run(deploy(), Strike(at, KILL))
    assert outcome.kind == KILLED and outcome.process.count == at
    with fresh.store() as store:
        (run,) = store.runs()
        assert run["outcome"] is None and len(list(store.audit_chain())) == 0, "nothing was written after the commit"


# What a stop means for those who look


def test_the_next_run_says_where_the_last_one_stopped(fresh: Bench) -> None:
    at = _points(fresh, "ansible:firewall")[0]
    assert fresh.run(deploy(), Strike(at, KILL)).kind == KILLED
    outcome = fresh.run(go_on(deploy()))
    assert outcome.kind == OK
    assert "the last run (up, number 1) was cut off in step platform; looking at what is there" in outcome.notices


def test_a_second_signal_ends_the_process_at_once_and_the_next_run_goes_on(fresh: Bench) -> None:
    at = _points(fresh, "hook:configure")[0]
    outcome = fresh.run(deploy(), Strike(at, INTERRUPT), Strike(at + 1, INTERRUPT))
    assert outcome.kind == KILLED
    assert fresh.run(deploy()).kind == OK
    settled(fresh)


# Defects that this harness has found


def test_a_run_that_has_nothing_left_to_do_still_comes_to_its_end(fresh: Bench) -> None:
    at = _points(fresh, "db:end_run begin")[0]
    assert fresh.run(deploy(), Strike(at, FULL)).kind == FAILED
    assert fresh.run(deploy()).kind == OK, "it says that all is done"
    settled(fresh)


def test_a_status_does_not_say_that_a_run_goes_on_that_never_began(fresh: Bench) -> None:
    assert fresh.run(deploy()).kind == OK
    assert fresh.run(remove, Strike(_at(fresh, "db:start_run begin"), KILL)).kind == KILLED
    assert fresh.run(deploy()).kind == OK
    settled(fresh)


def _at(bench: Bench, text: str) -> int:
    saved = bench.saved()
    labels = bench.run(remove, record=True).process.labels
    bench.load(saved)
    return next(at for at, label in enumerate(labels, 1) if text in label)


def _copy(bench: Bench) -> str:
    (copy,) = machine_of(bench).snapshots.values()
    return copy[DATA][1].decode()


@pytest.mark.parametrize("way", [deploy(), go_on(deploy())], ids=["up", "resume"])
def test_the_copy_of_a_release_is_not_replaced_by_what_a_cut_off_run_made_of_its_data(fresh: Bench, way: Operation) -> None:
    assert fresh.run(deploy()).kind == OK
    fresh.write(2)
    assert fresh.run(deploy(), Strike(_points(fresh, "hook:configure")[0], KILL)).kind == KILLED
    assert machine_of(fresh).text(DATA) == "v1\nv2\n", "the new release has changed the data"
    assert fresh.run(way).kind == OK
    assert _copy(fresh) == "v1\n"
    assert fresh.run(go_back(with_data=True)).kind == OK
    assert machine_of(fresh).text(DATA) == "v1\n"


def test_the_copy_of_a_release_is_not_replaced_when_it_comes_back_by_itself(fresh: Bench) -> None:
    assert fresh.run(deploy()).kind == OK
    fresh.write(2, "healthcheck")
    outcome = fresh.run(deploy())
    with fresh.store() as store:
        assert outcome.kind == FAILED and [run["kind"] for run in store.runs(limit=2)] == ["rollback", "up"]
    assert machine_of(fresh).text(DATA) == "v1\nv2\n" and _copy(fresh) == "v1\n"


def test_an_archive_that_a_killed_rollback_unpacked_goes(fresh: Bench) -> None:
    for version in (1, 2):
        fresh.write(version)
        assert fresh.run(deploy()).kind == OK
    assert fresh.run(go_back("1"), Strike(60, KILL)).kind == KILLED
    assert fresh.run(deploy()).kind in (OK, UNCHANGED)
    settled(fresh)


def test_no_private_key_stays_in_memory_after_down(fresh: Bench) -> None:
    for at in _points(fresh, "file:rename run/"):
        saved = fresh.saved()
        fresh.run(deploy(), Strike(at, KILL))
        assert fresh.run(remove).kind == OK
        empty(fresh)
        fresh.load(saved)


def test_a_hook_whose_ssh_was_killed_is_waited_for_and_never_runs_twice(fresh: Bench) -> None:
    at = _points(fresh, "hook:setup")[0]
    outcome = fresh.run(deploy(), Strike(at, CHILD, lasting=True))
    assert outcome.kind == OK
    settled(fresh)


def test_down_knows_what_only_a_plain_state_that_terraform_left_knows(fresh: Bench) -> None:
    fresh.world.lists = False
    at = _points(fresh, "terraform:save")[0]
    assert fresh.run(deploy(), Strike(at, KILL, lasting=True)).kind == KILLED
    (deployment,) = [fresh.deployment()]
    assert deployment is not None and list(fresh.root.rglob("errored.tfstate"))
    with fresh.store() as store:
        assert store.secret(deployment.id, STATE) is None
    assert fresh.run(remove).kind == OK
    empty(fresh)


def _plain_state(bench: Bench) -> Path:
    deployment = bench.deployment()
    assert deployment is not None
    return bench.root / "state" / "tfgrid-compose" / "deployments" / deployment.id / "terraform" / "errored.tfstate"


def test_a_plain_state_that_comes_too_late_does_not_replace_a_newer_one(fresh: Bench) -> None:
    """A Terraform that lost its parent may end after the next run has."""
    fresh.world.adopts = False
    assert fresh.run(deploy(), Strike(_points(fresh, "provider:vm-started")[0], KILL, lasting=True)).kind == KILLED
    late = _plain_state(fresh).read_bytes()
    assert fresh.run(deploy()).kind == OK
    machine = machine_of(fresh).host_key
    _plain_state(fresh).write_bytes(late)
    assert fresh.run(deploy(cpu=4)).kind == OK
    settled(fresh)
    assert machine_of(fresh).host_key == machine, "it is the same machine"


@pytest.mark.parametrize("way", [deploy(cpu=4), remove], ids=["up", "down"])
def test_half_of_a_plain_state_is_not_taken_for_one(fresh: Bench, way: Operation) -> None:
    assert fresh.run(deploy()).kind == OK
    _plain_state(fresh).write_bytes(b'{"version": 4, "serial": 7, "lin')
    with much_later():
        assert fresh.run(way).kind == OK
    if way is remove:
        empty(fresh)
    else:
        settled(fresh)


def test_what_was_shipped_and_got_lost_before_it_was_live_is_shipped_again(fresh: Bench) -> None:
    assert fresh.run(deploy(), Strike(_points(fresh, "hook:setup")[0], KILL)).kind == KILLED
    for path in [path for path in machine_of(fresh).files if path.endswith("src/page.txt") and path.startswith(ROOT)]:
        machine_of(fresh).write(path, "")
    assert fresh.run(deploy()).kind == OK
    settled(fresh)


@pytest.mark.parametrize("way", [deploy(), repair], ids=["up", "repair"])
def test_disks_that_a_cut_off_rollback_brought_back_are_not_taken_for_what_later_steps_made(fresh: Bench, way: Operation) -> None:
    for version in (1, 2):
        fresh.write(version)
        assert fresh.run(deploy()).kind == OK
    back, saved = go_back("1", with_data=True), fresh.saved()
    labels = fresh.run(back, record=True).process.labels
    fresh.load(saved)
    assert fresh.run(back, Strike(labels.index("grid:restored") + 2, KILL)).kind == KILLED
    assert fresh.run(way).kind == OK
    settled(fresh)
    assert machine_of(fresh).service.startswith("v2 ")


def test_going_back_to_a_release_with_the_same_content_makes_that_one_live(fresh: Bench) -> None:
    assert fresh.run(deploy()).kind == OK and fresh.run(deploy(node=3)).kind == OK
    assert fresh.run(go_back("1")).kind == OK
    settled(fresh, again=False)
    with fresh.store() as store:
        (found,) = store.deployments()
        live = store.live_release(found.id)
    assert live is not None and live.number == 1


def test_files_that_were_changed_by_hand_are_mended_on_a_machine_that_was_made_anew(fresh: Bench) -> None:
    story = Story(fresh)
    assert story.up().kind == OK
    story.no_machine()
    assert story.repair().kind == OK
    story.tamper()
    assert story.up().kind == OK


def test_no_environment_is_kept_of_a_release_that_was_never_recorded(fresh: Bench) -> None:
    for at in _points(fresh, "db:add_release"):
        saved = fresh.saved()
        assert fresh.run(deploy(), Strike(at, KILL)).kind == KILLED
        with fresh.store() as store:
            assert not store._rows("SELECT name FROM secrets WHERE name LIKE 'release/%'")
        fresh.load(saved)


def test_the_machine_keeps_no_release_that_nobody_remembers(fresh: Bench) -> None:
    for version in range(1, 6):
        fresh.write(version)
        assert fresh.run(deploy()).kind == OK
        settled(fresh)


def test_a_release_that_comes_back_by_itself_keeps_the_size_that_was_chosen_meanwhile(fresh: Bench) -> None:
    assert fresh.run(deploy()).kind == OK
    assert fresh.run(deploy(cpu=4)).kind == OK
    fresh.write(2, "healthcheck")
    assert isinstance(fresh.run(deploy()).error, HookError)
    assert machine_of(fresh).cpu == 4


def test_a_release_is_forgotten_with_its_environment_or_not_at_all(fresh: Bench) -> None:
    for version in (1, 2, 3):
        fresh.write(version)
        assert fresh.run(deploy()).kind == OK
    fresh.write(4)
    assert fresh.run(deploy(), Strike(_points(fresh, "db:changed_secrets committed")[-1], KILL)).kind == KILLED
    with fresh.store() as store:
        assert not [item.text for item in check.look(store) if item.code == "dead-rows"]


def test_a_log_whose_first_entry_was_cut_off_can_be_proven_later(fresh: Bench) -> None:
    fresh.run(deploy(), Strike(_points(fresh, "db:append_audit committed")[0], KILL))
    assert fresh.run(deploy()).kind == OK
    with fresh.store() as store:
        assert store.verify_audit() is None


def test_a_down_that_was_cut_off_at_its_very_end_is_closed_by_the_next_run(fresh: Bench) -> None:
    assert fresh.run(deploy()).kind == OK
    assert fresh.run(remove, Strike(_at(fresh, "db:forget committed"), KILL)).kind == KILLED
    assert fresh.run(deploy()).kind == OK
    with fresh.store() as store:
        assert [run["outcome"] for run in store.runs()][0] == "succeeded"
        assert not store._rows("SELECT id FROM runs WHERE outcome IS NULL")


class Late:
    """A connection on which Ctrl-C comes while a transaction is begun: Python raises it when the call has returned."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self._real = real

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        cursor = self._real.execute(statement, *values)
        if statement == "BEGIN IMMEDIATE":
            raise KeyboardInterrupt
        return cursor

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def test_ctrl_c_while_a_transaction_begins_leaves_none_open(fresh: Bench) -> None:
    with fresh.store() as store:
        real, store._db = store._db, Late(store._db)  # type: ignore[assignment]
        with pytest.raises(KeyboardInterrupt):
            store.set_fact("key", "value")
        store._db = real
        store.set_fact("key", "value")


def test_figures_can_be_printed() -> None:
    assert "0 processes" in Tally().text() and "failures: 0" in Tally().text()
