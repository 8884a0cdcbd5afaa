"""Events on a terminal: one line per finished step, and on a real terminal a live line below."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from tfgrid_compose.cli import stop
from tfgrid_compose.errors import TfgridError
from tfgrid_compose.observe.events import Event, Notice, RunEnded, RunStarted, StepEnded, StepProgress, StepRetry, StepStarted
from tfgrid_compose.observe.plain import coloured, one_line, plain

_MARKS = {
    "done": ("✓", "green"),
    "skipped": ("–", "bright_black"),
    "tolerated": ("!", "yellow"),
    "failed": ("✗", "red"),
    "undone": ("✗", "yellow"),
}


def seconds_text(seconds: float) -> str:
    """`0.4 s`, `12 s` or `2 min 5 s`; no less than nothing, whatever the clock did meanwhile."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def error_text(error: TfgridError) -> str:
    """What failed, why, the lines that matter, the log, the next command; without secrets and orders to the terminal."""
    from tfgrid_compose.observe.redact import PROCESS

    facts = PROCESS.facts(error.to_dict())
    lines = [click.style("Error: ", fg="red", bold=True) + one_line(facts["what"])]

    def line(title: str, key: str) -> None:
        if key in facts:
            lines.append(f"  {title:<8} " + plain(facts[key]).replace("\n", "\n" + " " * 11))

    line("Reason:", "why")
    lines += [click.style(f"    | {one_line(detail)}", dim=True) for detail in facts.get("details", [])]
    line("Log:", "log")
    line("Now:", "aftermath")
    line("Next:", "fix")
    if error.cause:
        lines.append(f"  More:    tfgrid-compose explain {error.cause}")
    return "\n".join(lines)


class Terminal:
    """A subscriber that writes to standard error; standard output stays free for results."""

    def __init__(self, verbose: bool = False) -> None:
        self._verbose = verbose
        self._live = sys.stderr.isatty() and not verbose
        self._status: Any = None
        self._expected: dict[str, float] = {}
        self._step = ""
        self._step_at = 0.0
        self._started = time.monotonic()
        self._doing = ""

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, RunStarted):
            self._expected = dict(event.steps)
            self._started = time.monotonic()
        elif isinstance(event, StepStarted):
            self._begin(event)
        elif isinstance(event, StepProgress):
            self._progress(event)
        elif isinstance(event, StepEnded):
            self._end(event)
        elif isinstance(event, StepRetry):
            self._line(f"    {one_line(event.reason)}")
            again = f"trying again in {seconds_text(event.wait)} (attempt {event.attempt} of {event.attempts})"
            self._line(click.style(f"    {again}", fg="yellow"))
        elif isinstance(event, Notice):
            text = plain(event.text)
            self._line(click.style("Warning: ", fg="yellow") + text if event.level == "warning" else text)
        elif isinstance(event, RunEnded):
            self._stop()

    def _begin(self, event: StepStarted) -> None:
        self._step, self._step_at, self._doing = event.step, time.monotonic(), ""
        if self._verbose:
            self._line(click.style(f"> {event.step}: {one_line(event.text)}", bold=True))
        if self._live:
            self._start_status()

    def _start_status(self) -> None:
        from rich.console import Console
        from rich.live import Live

        if self._status is None:
            self._status = Live(
                get_renderable=self._live_line, console=Console(stderr=True), refresh_per_second=8, transient=True
            )
            self._status.start()

    def _live_line(self) -> Any:
        from rich.text import Text

        elapsed = time.monotonic() - self._step_at
        left = max(0.0, self._expected.get(self._step, 5.0) - elapsed) + sum(
            seconds for step, seconds in self._expected.items() if step != self._step
        )
        frame = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(time.monotonic() * 8) % 10]
        total = seconds_text(time.monotonic() - self._started)
        times = f"{seconds_text(elapsed)} · {total} so far, about {seconds_text(left)} left"
        if stop.asked():
            times, doing = f"{seconds_text(elapsed)} · stopping", ""
        else:
            doing = f" · {self._doing}" if self._doing else ""
        line = f"{frame} {self._step} {times}{doing}"
        return Text(line, style="cyan", no_wrap=True, overflow="ellipsis")

    def _progress(self, event: StepProgress) -> None:
        self._doing = one_line(event.text)
        # A hook may colour its lines; nothing else that a terminal obeys is passed on.
        text = coloured(event.text)
        if self._verbose:
            self._line(f"  {text}")
        elif event.milestone and not self._live or event.milestone and event.step in ("setup", "configure", "healthcheck"):
            self._line(f"    {text}")

    def _end(self, event: StepEnded) -> None:
        self._expected.pop(event.step, None)
        mark, colour = _MARKS[event.outcome]
        note = f"  {one_line(event.text)}" if event.text and event.outcome != "failed" else ""
        self._line(
            f"{click.style(mark, fg=colour)} {event.step:<15}{seconds_text(event.seconds):>8}{click.style(note, dim=True)}"
        )

    def _line(self, text: str) -> None:
        if self._status is not None:
            from rich.text import Text

            self._status.console.print(Text.from_ansi(text), soft_wrap=True)
        else:
            click.echo(text, err=True)

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def close(self) -> None:
        """Give the terminal back."""
        self._stop()


def json_lines(event: Event) -> None:
    """A subscriber that prints each event as one line of JSON on standard output."""
    import json

    click.echo(json.dumps(event.to_dict()))


def table(headers: list[str], rows: list[list[str]]) -> str:
    """Columns as wide as their widest value; each value on one line, whoever it comes from."""
    rows = [list(map(one_line, row)) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(headers, *rows, strict=True)]
    lines = []
    for row in [headers, *rows]:
        cells = [cell + " " * (size - len(cell)) for cell, size in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([click.style(lines[0], bold=True), *lines[1:]])
