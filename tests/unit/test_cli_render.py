"""How results look on a terminal."""

from __future__ import annotations

import re

import click
import pytest

from tfgrid_compose.cli.render import _MARKS, Terminal, error_text, seconds_text, table
from tfgrid_compose.errors import TfgridError
from tfgrid_compose.observe.events import Event, StepEnded, notice, step_ended, step_progress, step_retry, step_started


@pytest.mark.parametrize(
    ("seconds", "text"), [(-7.0, "0.0 s"), (0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (89.6, "90 s"), (125, "2 min 5 s")]
)
def test_seconds_are_written_as_people_do(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_an_error_shows_all_that_it_knows_in_a_fixed_order() -> None:
    error = TfgridError("it broke", why="so", fix="do this", details=["last line"], log="/x.log")
    assert click.unstyle(error_text(error)).splitlines() == [
        "Error: it broke", "  Reason:  so", "    | last line", "  Log:     /x.log", "  Next:    do this",
    ]  # fmt: skip


def test_what_was_done_about_an_error_stands_before_the_next_command_and_its_page_after_it() -> None:
    error = TfgridError("it broke", why="so", fix="do this")
    error.aftermath, error.cause = "release #1 (r1), which worked, runs again", "apt-lock"
    assert click.unstyle(error_text(error)).splitlines() == [
        "Error: it broke", "  Reason:  so", "  Now:     release #1 (r1), which worked, runs again", "  Next:    do this",
        "  More:    tfgrid-compose explain apt-lock",
    ]  # fmt: skip


# Events


def shown(capsys: pytest.CaptureFixture[str], *events: Event, verbose: bool = False) -> list[str]:
    """Lines on a standard error that is no terminal."""
    terminal = Terminal(verbose)
    for event in events:
        terminal(event)
    terminal.close()
    out, err = capsys.readouterr()
    assert out == "", "standard output is for results"
    return [line.rstrip() for line in click.unstyle(err).splitlines()]


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        ("done", "✓ ship              1.5 s  a note"), ("skipped", "– ship              1.5 s  a note"),
        ("tolerated", "! ship              1.5 s  a note"), ("failed", "✗ ship              1.5 s"),
        ("undone", "✗ ship              1.5 s  a note"),
    ],
)  # fmt: skip
def test_every_outcome_has_its_line(capsys: pytest.CaptureFixture[str], outcome: str, line: str) -> None:
    assert shown(capsys, step_started("ship", "text"), step_ended("ship", outcome, 1.5, "a note")) == [line]


def test_every_outcome_that_the_engine_gives_can_be_shown() -> None:
    found = re.findall(r"`(\w+)`", (StepEnded.__doc__ or "").split(", after")[0])
    assert set(found) == set(_MARKS)


def test_another_attempt_says_why_and_when(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, step_retry("platform", 2, 5, 4.21, "apt is locked: another program uses it")) == [
        "    apt is locked: another program uses it", "    trying again in 4.2 s (attempt 2 of 5)",
    ]  # fmt: skip


def test_lines_inside_a_step_are_shown_when_they_matter_or_all_of_them_were_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    events = (
        step_progress("platform", "detail"),
        step_progress("platform", "Install", milestone=True),
        step_progress("setup", "x"),
    )
    assert shown(capsys, *events) == ["    Install"]
    assert shown(capsys, *events, verbose=True) == ["  detail", "  Install", "  x"]


def test_a_warning_is_called_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, notice("careful", "warning"), notice("hello")) == ["Warning: careful", "hello"]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert click.unstyle(table(["A", "LONG"], [["wide", "x"], ["y", ""]])) == "A     LONG\nwide  x\ny"
