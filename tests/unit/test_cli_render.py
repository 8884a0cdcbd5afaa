"""How results look on a terminal."""

from __future__ import annotations

import click
import pytest

from tfgrid_compose.cli.render import error_text, seconds_text, table
from tfgrid_compose.errors import TfgridError


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (89.6, "90 s"), (125, "2 min 5 s")]
)
def test_seconds_are_written_as_people_do(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_an_error_shows_all_that_it_knows_in_a_fixed_order() -> None:
    error = TfgridError("it broke", why="so", fix="do this", details=["last line"], log="/x.log")
    assert click.unstyle(error_text(error)).splitlines() == [
        "Error: it broke", "  Reason:  so", "    | last line", "  Log:     /x.log", "  Next:    do this",
    ]  # fmt: skip


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert click.unstyle(table(["A", "LONG"], [["wide", "x"], ["y", ""]])) == "A     LONG\nwide  x\ny"
