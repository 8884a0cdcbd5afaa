"""Any text, of any length, is diagnosed safely and quickly; and what patterns mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.diagnosis.known import CASES
from tests.unit.diagnosis.said import hook
from tfgrid_compose.errors import (
    EnvironmentError_,
    GridError,
    HookError,
    InfrastructureError,
    PlatformError,
    ReachError,
    TfgridError,
    TunnelError,
)
from tfgrid_compose.observe import diagnosis
from tfgrid_compose.observe.diagnosis import Failure, all_failures, diagnose, explained
from tfgrid_compose.observe.diagnosis.text import MAX_LINE, MAX_LINES, text_of


@pytest.mark.parametrize("at", ["what", "why", "details"])
def test_a_text_of_any_length_is_looked_at_only_as_far_as_matters(at: str) -> None:
    noise = ("a" * 1_000_000 + "\n") * 3
    error = HookError("x", why="y")
    setattr(error, at, [noise] * 500 if at == "details" else noise)
    assert len(text_of(error)) < 3 * 64_000 + 3 * MAX_LINES + 100
    assert all(len(line) <= MAX_LINE for line in text_of(error).splitlines())


def test_the_end_of_a_long_output_and_both_ends_of_a_long_line_are_looked_at() -> None:
    killed = ["noise"] * 100_000 + ["Killed"]
    assert explained(HookError("x", details=killed)).cause == "out-of-memory"
    for text in ("no space left on device" + "a" * 1_000_000, "a" * 1_000_000 + "no space left on device"):
        assert explained(hook(text)).cause == "machine-disk-full"
    buried = ["Killed"] + ["noise"] * 100_000
    assert diagnose(HookError("x", details=buried)) is None


class Counted(str):
    """A text that counts how many of its signs are read by searching."""

    read = 0

    def find(self, part: str, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        stop = len(self) if end is None else end
        at = str.find(self, part, start, stop)
        Counted.read += max(0, (stop if at < 0 else at + len(part)) - start)
        return at


@pytest.mark.parametrize("row", all_failures(), ids=lambda row: row.code)
def test_reading_grows_with_the_length_and_not_faster(row: Failure) -> None:
    """Each line is made of what could make a matcher go back and forth: every piece of the row but the last, again and again."""
    pieces = [piece.strip("^$ ") for pattern in row.patterns for piece in pattern.split("…")[:-1]] or [row.patterns[0][:-1]]
    line = " ".join(pieces) + " "
    for lines in (1, 8):
        text = Counted("\n" + "\n".join([line * (4000 // len(line))] * lines) + "\n")
        Counted.read = 0
        row.matches(text)
        steps = sum(len(pattern.split("…")) + 1 for pattern in row.patterns)
        assert Counted.read <= steps * len(text)


ANYTHING = st.text(max_size=300) | st.sampled_from([text for _, _, text in CASES])


@given(
    make=st.sampled_from([TfgridError, InfrastructureError, GridError, HookError, PlatformError, ReachError, TunnelError, EnvironmentError_]),
    what=ANYTHING, why=ANYTHING, fix=ANYTHING, details=st.lists(ANYTHING, max_size=5), name=st.text(max_size=20),
    step=st.sampled_from(["", "infrastructure", "setup", "reach", "no such step"]), code=st.none() | st.text(max_size=10),
)  # fmt: skip
def test_no_text_breaks_the_diagnosis(make: type[TfgridError], name: str, step: str, details: list[str], **texts: Any) -> None:
    error = make(texts["what"], why=texts["why"], fix=texts["fix"], details=list(details), code=texts["code"])
    row, secret = diagnose(error, step), diagnosis._private(error, step)
    assert row is None or row in all_failures()
    after = explained(error, name, step)
    assert after is error
    assert (after.cause, after.why) == (row.code, row.reason) if row else (after.cause, after.why) == ("", texts["why"])
    if row and not secret and texts["why"].strip():
        assert texts["why"].strip().splitlines()[-1] in "\n".join(after.details) or texts["why"].strip() in "\n".join(details)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a…b", "xa--bx", True), ("a…b", "ab", True), ("a…b", "b a", False), ("a…b", "a\nb", False), ("a…b", "a\nb\nab", True),
        ("a … b", "a-b", True), ("a…b…a", "aab\na", False), ("^ab", "ab", True), ("^ab", "xab", False), ("^ab", "x\nab", True),
        ("ab$", "ab\nx", True), ("ab$", "abx", False), ("^ab…c$", "x\nab--c\nx", True), ("^ab…c$", "ab--c-", False), ("AB", "ab", True),
    ],
)  # fmt: skip
def test_the_language_of_patterns(pattern: str, text: str, matches: bool) -> None:
    assert Failure("x", (pattern,), "", "", "").matches(text) is matches


class Raw(str):
    """A text that nobody may take apart before it is cut."""

    def splitlines(self, keepends: bool = False) -> list[str]:
        raise AssertionError("split as a whole")


@pytest.mark.parametrize("at", ["what", "why"])
def test_a_text_is_cut_before_it_is_taken_apart(at: str) -> None:
    error = HookError("x")
    setattr(error, at, Raw("noise\n" * 500_000 + "Killed"))
    found = diagnose(error)
    assert found is not None and found.code == "out-of-memory"


@given(text=st.text(alphabet="ab\n", max_size=40), pattern=st.from_regex(r"\^?[ab]{1,3}(…[ab]{1,3}){0,3}\$?", fullmatch=True))
def test_patterns_mean_the_same_as_regular_expressions(text: str, pattern: str) -> None:
    import re

    plain = pattern.removeprefix("^").removesuffix("$")
    wanted = r"[^\n]*".join(map(re.escape, plain.split("…")))
    wanted = ("^" if pattern.startswith("^") else "") + wanted + ("$" if pattern.endswith("$") else "")
    assert Failure("x", (pattern,), "", "", "").matches(text) == bool(re.search(wanted, text, re.MULTILINE))
