"""Output that can't be written, streams that are closed, readers that have read enough: real processes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

# A command in the place of `ps`: an event of a run, a result, and then a mark that it came to its end.
RUN = """
import sys
import click
from tfgrid_compose.cli import main
from tfgrid_compose.cli.common import shown_events
from tfgrid_compose.errors import HookError
from tfgrid_compose.observe.events import notice

mark, *options = sys.argv[1:]

@click.command()
@click.option("--json", "as_json", is_flag=True)
def work(as_json):
    with shown_events(as_json) as stream:
        for number in range(5000):
            stream.emit(notice("working"))
        click.echo("done")
        open(mark, "w").close()
        if "fails" in mark:
            raise HookError("hook setup failed")

main.LazyGroup.get_command = lambda self, ctx, name: work
sys.argv = ["tfgrid-compose", "ps", *options]
main.main()
"""


def shell(line: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run our command by a shell line with redirections; `"$@"` is the command."""
    found = [*words] if words else [sys.executable, "-m", "tfgrid_compose"]
    return subprocess.run(["bash", "-c", line, "-", *found], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("words", ["ps --json", "--help", "--version", "schema", "config schema", "patterns", "history --help"])
def test_output_to_a_full_disk_blames_the_output(home: Path, words: str) -> None:
    done = shell(f'"$@" {words} >/dev/full')
    assert done.returncode == 1
    assert "Error: the output can't be written\n  Reason:  No space left on device\n" in done.stderr
    assert "tfgrid-compose can't be written" not in done.stderr and str(home) not in done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('"$@" status nothing 2>/dev/full', 5), ('"$@" status nothing >/dev/full 2>&1', 5), ('"$@" --nonsense 2>/dev/full', 2),
        ('"$@" status nothing --json >/dev/full', 5), ('"$@" patterns >/dev/full 2>&1', 1),
    ],
)  # fmt: skip
def test_an_error_that_can_not_be_said_still_has_its_code(home: Path, line: str, code: int) -> None:
    done = shell(line)
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_nowhere_and_no_file_takes_their_number(home: Path, closed: str) -> None:
    for words in ("ps", "status nothing", "runs", "nodes --help"):
        done = shell(f'"$@" {words} {closed}')
        assert done.returncode == (5 if "nothing" in words else 0), done.stderr
        assert "Bug" not in done.stderr and "Traceback" not in done.stderr
    assert list(home.glob("state/tfgrid-compose/bugs/*")) == []
    database = sqlite3.connect(home / "state" / "tfgrid-compose" / "state.db")
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_a_reader_that_has_read_enough_is_no_failure(home: Path) -> None:
    done = shell('"$@" schema | head -c 10; exit "${PIPESTATUS[0]}"')
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 10, "")


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ('"$@" 2>/dev/full', 1, ""), ('"$@" >/dev/full', 1, "the output can't be written"),
        ('"$@" --json >/dev/full', 1, "the output can't be written"), ('"$@" --json | head -n 1; exit "${PIPESTATUS[0]}"', 0, ""),
    ],
)  # fmt: skip
def test_a_run_comes_to_its_end_although_nobody_can_read(home: Path, line: str, code: int, said: str) -> None:
    mark = home / "mark"
    done = shell(line, sys.executable, "-c", RUN, str(mark))
    assert mark.exists(), done.stderr
    assert done.returncode == code
    assert said in done.stderr and "Traceback" not in done.stderr


def test_why_a_run_failed_is_more_than_that_nobody_could_read(home: Path) -> None:
    done = shell('"$@" >/dev/full', sys.executable, "-c", RUN, str(home / "fails"))
    assert done.returncode == 9
    assert "hook setup failed" in done.stderr and "the output" not in done.stderr


def test_a_long_folder_for_temporary_files_is_not_used_for_sockets(home: Path, tmp_path: Path) -> None:
    long = tmp_path / ("t" * 90)
    long.mkdir()
    code = "import os; from tfgrid_compose.cli import main; main._prepare(); print(os.environ['TMPDIR'])"
    for folder, used in ((str(long), "/tmp"), (str(home)[:60], str(home)[:60])):
        done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": folder}, capture_output=True, text=True)
        assert done.stdout.strip() == used
