"""What commands share: options for taking one's turn, event output, questions, ages."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from tfgrid_compose.cli import stop, streams
from tfgrid_compose.errors import InterruptedError_, UsageError
from tfgrid_compose.manifest.sizes import disk_gib, memory_mib, usd

_WAIT_BY_DEFAULT = 3600.0
_AGAIN = "run the command again with --yes"
_NUMBER = re.compile(r"^\d+(\.\d+)?$")


class WaitingCommand(click.Command):
    """Knows `--wait` without a value: the next word is its value only when it is a number."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give a bare `--wait` its usual value."""
        words = list(args)
        for place, word in enumerate(args):
            if word == "--":
                break
            following = args[place + 1] if place + 1 < len(args) else ""
            if word == "--wait" and not _NUMBER.match(following):
                words[place] = f"--wait={_WAIT_BY_DEFAULT:g}"
        return super().parse_args(ctx, words)


class Quantity(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A number with an optional unit, as `parse` reads it."""

    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """To MB, GB or USD."""
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


SIZE_MIB, SIZE_GIB, USD = Quantity("size", memory_mib), Quantity("size", disk_gib), Quantity("sum", usd)


def TURN(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that takes its turn on a deployment."""
    for option in reversed(
        [
            click.option(
                "--wait", type=click.FloatRange(0), default=0, metavar="[SECONDS]",
                help="Wait for another run on this deployment to end; an hour without a number.",
            ),
            click.option("--cancel", is_flag=True, help="Stop another run on this deployment first, as Ctrl-C would."),
            click.option("--retry/--no-retry", default=True, help="Try again after failures that pass (on by default)."),
        ]
    ):  # fmt: skip
        function = option(function)
    return function


@contextmanager
def shown_events(as_json: bool, verbose: bool = False) -> Iterator[Any]:
    """A stream whose events are shown on the terminal, or printed as JSON."""
    from tfgrid_compose.cli.render import Terminal, json_lines
    from tfgrid_compose.observe.events import Stream

    stream, terminal = Stream(), None if as_json else Terminal(verbose)
    stream.subscribe(terminal or json_lines)
    try:
        with stop.answered(), streams.needless():
            yield stream
    finally:
        if terminal:
            terminal.close()


def no_yes(what: str, question: str, fix: str = _AGAIN) -> UsageError:
    """The error for a question that there is no terminal to ask on."""
    return UsageError(f"{what} needs a yes", why=f"there is no terminal to ask on: {question}", fix=fix, code="yes-missing")


def confirm(yes: bool, question: str, *, default: bool = True, what: str = "this", fix: str = _AGAIN) -> None:
    """Ask on a terminal, unless the command line said yes.

    Raises `InterruptedError_` when the user says no, and `UsageError` when there is no terminal to ask on: what is
    destroyed or bought without a yes can't be taken back.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise no_yes(what, question, fix)
    click.echo("", err=True)
    if not click.confirm(question, default=default, err=True):
        raise InterruptedError_("nothing was changed", code="declined", exit_code=130)


def age(seconds: float) -> str:
    """`12 s`, `5 min`, `3 h`, `2 d`; what seems to lie ahead, because the clock was, is now."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"
