"""What commands share: `--wait` with and without a number, questions, ages, events on the terminal or as JSON."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tests.unit.workbench import Call
from tfgrid_compose.cli.common import TURN, WaitingCommand, age, confirm, shown_events
from tfgrid_compose.cli.down import down
from tfgrid_compose.cli.rollback import rollback
from tfgrid_compose.cli.up import up
from tfgrid_compose.errors import InterruptedError_, UsageError
from tfgrid_compose.observe.events import notice, step_progress

HOUR = 3600.0


@click.command(cls=WaitingCommand)
@click.argument("app", required=False)
@click.option("-y", "yes", is_flag=True)
@click.option("--name")
@TURN
def example(**given: Any) -> None:
    """Print what was parsed."""
    click.echo(json.dumps(given))


def parsed(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(example, words)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


@pytest.mark.parametrize(
    ("words", "app", "wait"),
    [
        ([], None, 0.0), (["my-app"], "my-app", 0.0),
        (["--wait"], None, HOUR), (["--wait", "my-app"], "my-app", HOUR), (["my-app", "--wait"], "my-app", HOUR),
        (["--wait", "-y", "my-app"], "my-app", HOUR), (["--wait", "./5"], "./5", HOUR), (["--wait", "5-apps"], "5-apps", HOUR),
        (["--wait", ""], "", HOUR), (["--wait", "--", "my-app"], "my-app", HOUR),
        (["--wait=5"], None, 5.0), (["--wait=5", "my-app"], "my-app", 5.0), (["--wait=0.5"], None, 0.5),
        (["--wait", "5"], None, 5.0), (["--wait", "5", "my-app"], "my-app", 5.0), (["my-app", "--wait", "0.5"], "my-app", 0.5),
        (["--wait", "5", "7"], "7", 5.0), (["--wait", "0"], None, 0.0),
        (["--", "--wait"], "--wait", 0.0),
    ],
)  # fmt: skip
def test_wait_takes_a_number_or_nothing(words: list[str], app: str | None, wait: float) -> None:
    found = parsed(*words)
    assert (found["app"], found["wait"]) == (app, wait)


@pytest.mark.parametrize("words", [["--wait=soon"], ["--wait=-1"], ["--wait="], ["--wait", "-5"], ["--wait=1e999x"]])
def test_what_is_no_number_is_a_usage_error(words: list[str]) -> None:
    assert CliRunner().invoke(example, words).exit_code == 2


def test_cancel_and_retry_have_their_usual_values() -> None:
    assert (parsed()["cancel"], parsed()["retry"]) == (False, True)
    found = parsed("--cancel", "--no-retry")
    assert (found["cancel"], found["retry"]) == (True, False)


@pytest.mark.parametrize("command", [up, down, rollback], ids=lambda command: command.name)
def test_every_command_that_takes_a_turn_has_the_same_options(command: click.Command) -> None:
    assert isinstance(command, WaitingCommand)
    texts = {item.name: item.help for item in command.params if isinstance(item, click.Option)}
    assert {name: texts[name] for name in ("wait", "cancel", "retry")} == {
        item.name: item.help
        for item in example.params
        if isinstance(item, click.Option) and item.name in ("wait", "cancel", "retry")
    }
    assert "--wait [SECONDS]" in CliRunner().invoke(command, ["--help"]).output


def test_a_bare_wait_before_an_app_is_understood_by_the_whole_command_line(call: Call) -> None:
    code, _, err = call("down", "--wait", "my-app")
    assert (code, "there is no deployment `my-app`" in err) == (5, True)


# Questions


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal on which somebody types."""
    keys = io.StringIO()
    keys.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", keys)
    return keys


@pytest.mark.parametrize(
    ("typed", "default", "goes_on"),
    [("y\n", False, True), ("n\n", True, False), ("\n", True, True), ("\n", False, False), ("yes\n", False, True)],
)
def test_whoever_says_no_changes_nothing(
    terminal: io.StringIO, capsys: pytest.CaptureFixture[str], typed: str, default: bool, goes_on: bool
) -> None:
    terminal.write(typed)
    terminal.seek(0)
    if goes_on:
        confirm(False, "Go on?", default=default)
    else:
        with pytest.raises(InterruptedError_, match="nothing was changed") as caught:
            confirm(False, "Go on?", default=default)
        assert (caught.value.code, caught.value.exit_code) == ("declined", 130)
    out, err = capsys.readouterr()
    assert (out, "Go on?" in err) == ("", True)


def test_nobody_is_asked_who_said_yes(terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click, "confirm", lambda *words, **given: pytest.fail("nobody asks"))
    confirm(True, "Go on?")


def test_without_a_terminal_silence_is_no_yes(terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click, "confirm", lambda *words, **given: pytest.fail("nobody asks"))
    terminal.isatty = lambda: False  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="destroying it needs a yes") as caught:
        confirm(False, "Destroy it?", what="destroying it", fix="tfgrid-compose down my-app --yes")
    assert (caught.value.exit_code, caught.value.code) == (2, "yes-missing")
    assert "Destroy it?" in caught.value.why and caught.value.fix == "tfgrid-compose down my-app --yes"


# Ages


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-7200, "0 s"),
        (-0.5, "0 s"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (86399, "23 h"),
        (86400, "1 d"),
        (1e6, "11 d"),
    ],
)
def test_an_age_has_one_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text


# Events


def test_events_are_json_lines_or_text_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_events(True) as stream:
        stream.emit(notice("hello"))
    out, err = capsys.readouterr()
    assert (json.loads(out)["text"], err) == ("hello", "")
    with shown_events(False) as stream:
        stream.emit(notice("hello"))
        stream.emit(step_progress("ship", "a detail"))
    assert capsys.readouterr() == ("", "hello\n")
    with shown_events(False, verbose=True) as stream:
        stream.emit(step_progress("ship", "a detail"))
    assert "a detail" in capsys.readouterr().err


def test_the_terminal_is_given_back_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []
    from tfgrid_compose.cli import render

    monkeypatch.setattr(render.Terminal, "close", lambda self: closed.append(True))
    with pytest.raises(KeyboardInterrupt), shown_events(False):
        raise KeyboardInterrupt
    assert closed == [True]
