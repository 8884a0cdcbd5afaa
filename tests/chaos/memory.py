"""Thousands of interrupted runs of the real engine against a grid in memory.

    python -m tests.chaos.memory [--runs N] [--seed N] [--boundaries] [--every N] [--only NAMES]

Each run is a schedule: what is done, where it is stopped and by what, and how it is gone on with. The same seed
gives the same schedules. A failure prints its seed and its schedule.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.bench import (
    FAILED,
    INTERRUPTED,
    KILLED,
    OK,
    UNCHANGED,
    Bench,
    Operation,
    Outcome,
    bench,
    deploy,
    go_back,
    go_on,
    remove,
    repair,
)
from tests.chaos.invariants import Broken, always, difference, digest, empty, fair, machine_of, much_later, settled
from tests.chaos.story import Story
from tests.chaos.strikes import CHILD, DROP, FULL, INTERRUPT, KILL, KINDS, OFFLINE, POWER, SIGNAL, Strike
from tfgrid_compose.deploy.steps.layout import ROOT

Named = tuple[str, Operation]


# Scenarios: one command that is stopped at every point, and the ways to go on


@dataclass(frozen=True)
class Scenario:
    """`make` brings the bench to where `act` begins; each of `ways` goes on after `act` was stopped."""

    name: str
    make: Callable[[Bench], None]
    act: Operation
    ways: tuple[Named, ...]
    # Whether `act` ends with the error of a release that fails.
    fails: bool = False
    # Whether the folder holds what runs at the end, so that another `up` is idle.
    idle: bool = True


def _deployed(*versions: int, **given: Any) -> Callable[[Bench], None]:
    def make(bench: Bench) -> None:
        for version in versions:
            bench.write(version)
            _must(bench.run(deploy(**given)))

    return make


def _then(make: Callable[[Bench], None], *more: Callable[[Bench], Any]) -> Callable[[Bench], None]:
    def made(bench: Bench) -> None:
        make(bench)
        for one in more:
            one(bench)

    return made


def _must(outcome: Outcome, *kinds: str) -> Outcome:
    if outcome.kind not in (kinds or (OK, UNCHANGED)):
        if outcome.error:
            raise Broken(str(outcome)) from outcome.error
        raise Broken(str(outcome))
    return outcome


def _to_first(**given: Any) -> Operation:
    """`rollback --to 1`, as the user says it who means that release."""
    return go_back("1", **given)


def tamper(bench: Bench) -> None:
    """Somebody changes a file of the live release and takes the tunnel down."""
    machine = machine_of(bench)
    for path in [path for path in machine.files if path.endswith("src/page.txt") and path.startswith(ROOT)]:
        machine.write(path, "tampered\n")
    bench.world.tunnels.clear()


_UP, _RESUME, _DOWN = ("up", deploy()), ("resume", go_on(deploy())), ("down", remove)
_CHANGE, _BACK, _BACK_WITH_DATA = deploy(), _to_first(), _to_first(with_data=True)
_COPYING = (_CHANGE, _BACK, _BACK_WITH_DATA)
SCENARIOS = (
    Scenario("new", lambda bench: None, deploy(), (_UP, _RESUME, _DOWN)),
    Scenario("change", _then(_deployed(1), lambda bench: bench.write(2)), _CHANGE, (_UP, _RESUME, _DOWN)),
    Scenario("resize", _deployed(1), deploy(cpu=4, memory=2048),
             (("up", deploy(cpu=4, memory=2048)), ("resume", go_on(deploy(cpu=4, memory=2048))), _DOWN)),
    Scenario("move", _deployed(1), deploy(node=3), (("up", deploy(node=3)), ("resume", go_on(deploy(node=3))), _DOWN)),
    Scenario("broken", _then(_deployed(1), lambda bench: bench.write(2, "healthcheck")), deploy(), (_UP, _RESUME, _DOWN),
             fails=True, idle=False),
    Scenario("rollback", _deployed(1, 2), _BACK, (("rollback", _to_first()), ("resume", go_on(_to_first())), _DOWN),
             idle=False),
    Scenario("rollback-data", _deployed(1, 2), _BACK_WITH_DATA,
             (("rollback", _to_first(with_data=True)), ("resume", go_on(_to_first(with_data=True))), _DOWN), idle=False),
    Scenario("repair", _then(_deployed(1), tamper), repair, (("repair", repair), ("resume", go_on(repair)), _DOWN)),
    Scenario("down", _deployed(1), remove, (_DOWN, _UP)),
)  # fmt: skip


@dataclass
class Tally:
    """Figures of all runs."""

    runs: int = 0
    processes: int = 0
    interrupted: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome) -> None:
        """Count a process."""
        self.processes += 1
        self.ended[outcome.kind] += 1
        self.interrupted += bool(outcome.process.struck)
        for strike in outcome.process.struck:
            self.struck[strike.kind] += 1

    def text(self) -> str:
        """For people."""
        seconds = time.monotonic() - self.started
        struck = ", ".join(f"{count} {kind}" for kind, count in sorted(self.struck.items()))
        ended = ", ".join(f"{count} {kind}" for kind, count in sorted(self.ended.items()))
        return (
            f"{self.runs} schedules, {self.processes} processes, {self.interrupted} of them interrupted, in {seconds:.1f} s\n"
            f"interruptions: {sum(self.struck.values())} ({struck})\nprocesses ended: {ended}\nfailures: {len(self.failures)}"
        )


# Every boundary


class Stage:
    """A scenario that was made once, and is gone back to for every strike."""

    def __init__(self, bench: Bench, scenario: Scenario, tally: Tally) -> None:
        self.bench, self.scenario, self.tally = bench, scenario, tally
        bench.fresh()
        scenario.make(bench)
        self._saved = bench.saved()
        outcome = bench.run(scenario.act, record=True)
        _must(outcome, FAILED) if scenario.fails else _must(outcome)
        self.labels = outcome.process.labels
        self.expected = {way: self._undisturbed(operation) for way, operation in scenario.ways}

    def _undisturbed(self, way: Operation) -> dict[str, Any]:
        """What `way` ends with after a run that nothing disturbed."""
        if way is remove:
            return {"deployments": 0, "contracts": 0, "tunnels": 0}
        self.bench.load(self._saved)
        self.bench.run(self.scenario.act)
        if self.scenario.act is remove:
            self.bench.run(way)
        self._settled()
        return digest(self.bench)

    def _settled(self) -> None:
        settled(self.bench, again=self.scenario.idle)

    def strike(self, way: Named, *strikes: Strike, later: Sequence[Strike] = ()) -> None:
        """Disturb the command; go on by `way`, which `later` disturbs too; look whether all is as without."""
        self.tally.runs += 1
        self.bench.load(self._saved)
        told = [str(item) for item in strikes]
        try:
            outcome = self._run(self.scenario.act, *strikes)
            told.append(f"-> {outcome}")
            always(self.bench)
            told.append(f"then {way[0]} {' '.join(map(str, later))}")
            self._go_on(outcome, way, later)
        except (Broken, AssertionError) as error:
            label = self.labels[strikes[0].at - 1] if strikes and strikes[0].at <= len(self.labels) else ""
            self.tally.failures.append(f"{self.scenario.name}: {' '.join(told)} [{label}]: {error}")

    def _run(self, operation: Operation, *strikes: Strike) -> Outcome:
        outcome = self.bench.run(operation, *strikes)
        self.tally.add(outcome)
        fair(outcome)
        return outcome

    def _go_on(self, first: Outcome, way: Named, later: Sequence[Strike]) -> None:
        name, operation = way
        if operation is remove and self.bench.deployment() is None:
            return  # It was stopped before anything was remembered, or after everything was gone.
        if later:
            self._run(operation, *later)
            always(self.bench)
        if operation is remove:
            self._down()
            return
        unfinished = self._unfinished()
        outcome = self._run(operation)
        if outcome.kind == FAILED and self.scenario.fails:
            pass  # The release fails again, and the one before is there again.
        else:
            _must(outcome)
        if unfinished and not any(text.startswith("the last run") for text in outcome.notices):
            raise Broken("the next run did not say where the last one stopped")
        self._settled()
        found, expected = digest(self.bench), dict(self.expected[name])
        if first.kind not in (KILLED, INTERRUPTED) or self.scenario.act not in _COPYING:
            # A release that came back by itself, or a machine that was copied once more, has other copies by right.
            found.pop("copies"), expected.pop("copies")
        if found != expected:
            raise Broken(f"another end than undisturbed: {difference(expected, found)}")

    def _unfinished(self) -> bool:
        with self.bench.store() as store:
            found = store.deployments()
            return bool(found) and store.unfinished(found[0].id) is not None

    def _down(self) -> None:
        if self.bench.deployment() is not None:
            with much_later():
                _must(self._run(remove))
        empty(self.bench)


def kinds_at(label: str) -> Iterator[Strike]:
    """What can strike at a point; `at` is filled in later."""
    area = label.partition(":")[0]
    yield Strike(0, KILL)
    yield Strike(0, INTERRUPT)
    if area in ("terraform", "provider", "machine", "hook"):
        yield Strike(0, KILL, lasting=True)
        yield Strike(0, CHILD)
        yield Strike(0, CHILD, lasting=True)
    elif area in ("ansible", "tunnel", "ssh"):
        yield Strike(0, CHILD)
    if area in ("machine", "hook", "ssh"):
        yield Strike(0, DROP)
        yield Strike(0, DROP, lasting=True)
    if area in ("db", "file"):
        yield Strike(0, FULL)
    if area == "grid":
        yield Strike(0, OFFLINE)
        yield Strike(0, OFFLINE, lasting=True)
    yield Strike(0, POWER)


def boundaries(
    bench: Bench, scenario: Scenario, tally: Tally, *, every: int = 1, shift: int = 0,
    only: Callable[[str], bool] = lambda label: True, kinds: Sequence[str] = KINDS,
) -> None:  # fmt: skip
    """Strike a scenario at each point (or each `every`-th), with all that can happen there, and go on in each way by turns."""
    stage = Stage(bench, scenario, tally)
    turn = shift
    for at, label in enumerate(stage.labels, 1):
        if not only(label):
            continue
        for kind in kinds_at(label):
            if kind.kind not in kinds:
                continue
            turn += 1
            if turn % every:
                continue
            ways = stage.scenario.ways if every == 1 else [stage.scenario.ways[(turn // every) % len(stage.scenario.ways)]]
            for way in ways:
                stage.strike(way, Strike(at, kind.kind, kind.lasting))


# At random


_ACTIONS: dict[str, int] = {
    "up": 10, "change": 8, "break": 3, "resume": 8, "resize": 3, "move": 2, "rollback": 5, "rollback-data": 3, "repair": 4, "down": 2,
    "drift": 1, "tamper": 2, "relink": 1, "no-tunnel": 2, "no-machine": 2, "reboot": 2, "restore": 1,
}  # fmt: skip
# A command has some hundred points; many strikes shall fall into its first third.
_POINTS = 320
# So many lines of the program run from one point to the next.
_LINES = 60


def strikes_of(chance: random.Random) -> tuple[Strike, ...]:
    """None, one or two."""
    count = chance.choices((0, 1, 2), (2, 6, 2))[0]
    found = []
    for _ in range(count):
        at = chance.randrange(1, chance.choice((40, 120, _POINTS)))
        kind = chance.choices((*KINDS, SIGNAL), (6, 4, 6, 4, 3, 2, 2, 1))[0]
        found.append(Strike(at * _LINES if kind == SIGNAL else at, kind, chance.random() < 0.5))
    return tuple(found)


def act(story: Story, chance: random.Random) -> None:
    """Go on with a story by chance."""
    action = chance.choices(list(_ACTIONS), list(_ACTIONS.values()))[0]
    strikes = strikes_of(chance)
    if action in ("change", "break"):
        story.write(story.bench.version + 1, chance.choice(("setup", "configure", "healthcheck")) if action == "break" else "")
        story.up(*strikes)
    elif action == "resize":
        story.up(*strikes, cpu=chance.randrange(1, 5), memory=1024 * chance.randrange(1, 4))
    elif action == "move":
        story.up(*strikes, node=chance.randrange(1, 5))
    elif action == "rollback-data":
        story.rollback(*strikes, with_data=True)
    elif action in ("up", "resume", "rollback", "repair", "down"):
        getattr(story, action)(*strikes)
    else:
        _BY_HAND[action](story)
        mend = chance.choice((Story.up, Story.up, Story.repair, None, None))
        if mend:
            mend(story)


_BY_HAND: dict[str, Callable[[Story], Any]] = {
    "drift": Story.look, "tamper": Story.tamper, "relink": Story.relink, "no-tunnel": Story.no_tunnel, "no-machine": Story.no_machine,
    "reboot": Story.reboot, "restore": Story.restore,
}  # fmt: skip


def one_story(bench: Bench, seed: int, tally: Tally) -> None:
    """The story of a seed, from an empty world to an empty world."""
    chance = random.Random(seed)
    bench.fresh()
    story = Story(bench, tally.add)
    try:
        for _ in range(chance.randrange(3, 12)):
            act(story, chance)
        story.finish()
    except (Broken, AssertionError) as error:
        tally.failures.append(f"seed {seed}: {'; '.join(story.told)}: {error}")
    tally.runs += 1


def run_stories(root: Path, first: int, runs: int, tally: Tally) -> None:
    """Stories from seed `first` on, until `runs` commands were interrupted, on grids of all flavours in turn."""
    benches = len(FLAVOURS)
    for place, (adopts, here) in enumerate(FLAVOURS):
        with bench(root, adopts=adopts, here=here) as found:
            seed = first + place
            while tally.interrupted < runs * (place + 1) // benches:
                one_story(found, seed, tally)
                seed += benches


def run_boundaries(root: Path, every: int, only: Sequence[str], tally: Tally, flavours: Sequence[tuple[bool, bool]]) -> None:
    """All scenarios on a grid of each flavour."""
    for adopts, here in flavours:
        with bench(root, adopts=adopts, here=here) as found:
            for scenario in SCENARIOS:
                if (not only or scenario.name in only) and (adopts or scenario.name != "rollback-data"):
                    before, runs = len(tally.failures), tally.runs
                    boundaries(found, scenario, tally, every=every)
                    print(f"{scenario.name:14} {tally.runs - runs:6} runs, {len(tally.failures) - before} failures", flush=True)


FLAVOURS = ((True, True), (False, False))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boundaries", action="store_true", help="strike at every point instead of at random")
    parser.add_argument("--every", type=int, default=1, help="with --boundaries: only each N-th strike")
    parser.add_argument("--only", default="", help="names of scenarios")
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="chaos-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        if given.boundaries:
            run_boundaries(Path(folder) / "bench", given.every, [name for name in given.only.split(",") if name], tally, FLAVOURS)
        else:
            run_stories(Path(folder) / "bench", given.seed, given.runs, tally)
    print(tally.text())
    for failure in tally.failures[:40]:
        print("  " + failure)
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
