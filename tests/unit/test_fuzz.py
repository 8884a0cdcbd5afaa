"""Some thousand odd inputs for everything that reads what others wrote. `python -m tests.fuzz` has a hundred thousand."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.fuzz import mutate, runner
from tests.fuzz.found import FOUND
from tests.fuzz.runner import Hang, attempt, fuzz, opened
from tests.fuzz.target import Target
from tests.fuzz.targets import ALL, shares
from tests.fuzz.world import world
from tfgrid_compose.errors import PatternError, TfgridError, UsageError
from tfgrid_compose.patterns.load import load_folder
from tfgrid_compose.state import lease, whoami

INPUTS = 3000


@pytest.fixture(autouse=True)
def own_world() -> Iterator[Path]:
    with world() as folder:
        yield folder


@pytest.mark.parametrize(("name", "count"), shares(INPUTS).items())
def test_odd_input_is_accepted_or_refused_in_our_own_words(name: str, count: int) -> None:
    result = fuzz(ALL[name], range(count), seed=7)
    assert [finding.describe() for finding in result.findings] == []
    # Some take whatever there is.
    assert result.inputs == count and (result.refused > 0 or name in ("events", "ignore", "gitrules"))


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_once_is_mended(name: str) -> None:
    with opened(ALL[name]) as target:
        for what, case in FOUND[name].items():
            error = attempt(target, case)
            if error is not None and not isinstance(error, TfgridError):
                raise AssertionError(f"{name}: {what}") from error


def test_a_record_never_names_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(pid))
    record = {"user": "a", "host": whoami.host(), "command": "up", "start": 1, "born": None}
    for pid in (-1, 0, 10**30, 2**22 + 7):
        lease._signal({**record, "pid": pid}, 15)
    lease._signal({**record, "pid": os.getpid(), "born": whoami.process_start(os.getpid())}, 15)
    assert killed == [os.getpid()]


@pytest.mark.parametrize("key", ["infrastructure", "platform"])
@pytest.mark.parametrize("path", ["/etc/hostname", "../other", "a/../../other", "a\0b"])
def test_a_pattern_has_no_parts_outside_of_its_folder(tmp_path: Path, key: str, path: str) -> None:
    (tmp_path / "p").mkdir()
    whole = {"name": "p", "version": "1", "description": "", "roles": {"vm": {}}, "variables": {}, key: path}
    (tmp_path / "p" / "pattern.yaml").write_text(json.dumps(whole))
    with pytest.raises(PatternError, match="contract") as caught:
        load_folder(tmp_path / "p")
    assert "inside of the pattern's folder" in caught.value.details[0]


# The runner itself


class Planted(Target):
    """Refuses what holds an x, and has one defect."""

    name, share = "planted", 1

    def case(self, chance: Random) -> tuple[str, list[str]]:
        return chance.choice(("a", "ax", "abc! abc", "abc")), ["left out"]

    def run(self, case: tuple[str, list[str]]) -> None:
        text, _ = case
        if "x" in text:
            raise UsageError("there is an x")
        if "!" in text:
            raise KeyError("!")


def test_a_planted_defect_is_found_counted_and_made_small() -> None:
    told: list[runner.Finding] = []
    result = fuzz(Planted, range(200), 1, told.append)
    assert result.inputs == 200 and min(result.accepted, result.refused, len(result.findings)) > 20
    (finding,) = told
    assert finding.case == ("!", [])
    assert f"--target planted --seed 1 --only {finding.index}" in finding.describe()


def test_the_same_seed_makes_the_same_inputs() -> None:
    for name in ("manifest", "provider", "words"):
        with opened(ALL[name]) as target:
            first, again = ([target.case(Random(f"1/{name}/{index}")) for index in range(20)] for _ in range(2))
        assert repr(first) == repr(again)


class Odd(Target):
    """Does what the input says."""

    name, share = "odd", 1

    def run(self, case: Any) -> None:
        case()


def outcome(case: Any, tmp_path: Path) -> BaseException | None:
    return attempt(Odd(tmp_path), case)


def test_an_input_that_takes_too_long_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swallows_all() -> None:
        while True:
            try:
                time.sleep(0.001)
            except Exception:
                continue

    monkeypatch.setattr(runner, "PATIENCE", 0.05)
    assert isinstance(outcome(swallows_all, tmp_path), Hang)


def test_an_input_that_takes_too_much_memory_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = iter([1000, 500_000, 500_000])
    monkeypatch.setattr(runner, "_memory", lambda: next(used))
    assert isinstance(outcome(lambda: None, tmp_path), MemoryError)


def test_an_error_that_says_nothing_is_a_finding(tmp_path: Path) -> None:
    def refuse(text: str) -> Any:
        def run() -> None:
            raise UsageError(text)

        return run

    assert isinstance(outcome(refuse("no"), tmp_path), UsageError)
    assert not isinstance(outcome(refuse(" "), tmp_path), TfgridError)
    assert isinstance(outcome(lambda: exit(1), tmp_path), SystemExit)


def test_all_inputs_are_shared_out() -> None:
    assert sum(shares(100_000).values()) == 100_000
    assert shares(10, ["lease"]) == {"lease": 10}
    assert min(shares(100_000).values()) > 1000


def test_mutations_change_something_and_leave_the_original_alone() -> None:
    whole = {"a": [1, {"b": "c"}], "d": None}
    before = repr(whole)
    changed = {repr(mutate.tree(Random(seed), whole)) for seed in range(50)}
    assert len(changed) > 30 and repr(whole) == before
    assert len({mutate.raw(Random(seed), b"some bytes") for seed in range(50)}) > 30
    assert len({mutate.lines(Random(seed), "a: 1\nb: 2\n") for seed in range(50)}) > 20
