"""`explain`: every code has a page, and the list names them all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tfgrid_compose.cli.explain import explain
from tfgrid_compose.errors import UsageError
from tfgrid_compose.observe import diagnosis, error_pages

ROOT = Path(__file__).resolve().parents[2]
CODES = sorted({row.code for row in diagnosis.all_failures()} | {page.code for page in error_pages.all_pages()})
Call = Callable[..., str]


@pytest.fixture
def call() -> Call:
    """Standard output of `explain` with these words."""

    def run(*words: str) -> str:
        done = CliRunner().invoke(explain, list(words))
        if done.exception is not None:
            raise done.exception
        return done.stdout

    return run


def test_a_diagnosis_has_reason_next_command_and_what_it_is_recognised_by(call: Call) -> None:
    text = call("apt-lock")
    assert text.startswith("apt-lock: apt package lock held by automatic updates\n\n")
    assert "only one program may" in text
    assert "\n  Next       tfgrid-compose up\n" in text
    assert "\n  Again      it may pass by itself" in text
    assert "\n  Seen as    Could not get lock /var/\n             Waiting for cache lock\n" in text
    assert "Exit code" not in text


def test_an_error_without_a_diagnosis_has_a_page_too(call: Call) -> None:
    text = call("app-exists")
    assert text.startswith("app-exists: … exists already\n\n")
    assert "\n  Exit code  3: The app folder or its manifest is wrong" in text
    assert "\n  Says       … exists already\n" in text
    assert "\n  Reason     init never overwrites a file\n" in text
    assert "\n  Next       tfgrid-compose up …, or choose another folder\n" in text


def test_the_code_of_a_class_shows_examples_and_no_fix_of_one_of_them(call: Call) -> None:
    text = call("usage")
    assert text.startswith("usage: the command line itself is wrong\n\n")
    assert "and others\n" in text and "Reason" not in text
    assert "the message itself says it" in text


def test_a_code_that_is_both_shows_both(call: Call) -> None:
    text = call("disk-full")
    assert text.startswith("disk-full: a disk of this computer is full\n\n")
    assert "\n  Exit code  4: " in text and "\n  Exit code  10: " in text


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_useful_page(call: Call, code: str) -> None:
    text = call(code)
    assert text.startswith(f"{code}: ") and len(text.splitlines()) >= 4
    assert "\n  Next       " in text
    assert "{" not in text.replace("${NAME", "").replace("{ create", "")
    assert all(len(line) <= 100 for line in text.splitlines())
    facts = json.loads(call(code, "--json"))
    assert facts["code"] == code
    assert facts.get("fix") or facts["error"]["exit_codes"]


def test_json_has_the_facts_of_the_row(call: Call) -> None:
    row = diagnosis.find("hook-timeout")
    assert row is not None
    facts = json.loads(call("hook-timeout", "--json"))
    assert facts["reason"] == row.reason and facts["about"] == row.about and facts["transient"] is False
    assert facts["recognised_by"] == list(row.patterns)
    assert facts["error"]["exit_codes"] == [9]


def test_without_a_code_all_are_listed_in_groups(call: Call) -> None:
    text = call()
    listed = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
    assert sorted(set(listed)) == CODES
    assert text.startswith("Account\n  mnemonic-invalid ")
    assert "\n\nExit code 2: The command line itself is wrong.\n" in text
    assert all(line.strip().split(" ", 1)[1:] for line in text.splitlines() if line.startswith("  ")), "each has its line"
    facts = json.loads(call("--json"))
    assert sorted(item["code"] for item in facts) == CODES


@pytest.mark.parametrize(("code", "fix"), [("apt-lok", "did you mean `apt-lock`?"), ("xyzzyplugh", "tfgrid-compose explain")])
def test_an_unknown_code_names_the_nearest(call: Call, code: str, fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        call(code)
    assert (caught.value.code, caught.value.what) == ("error-code-unknown", f"there is no error code `{code}`")
    assert caught.value.fix == fix


def test_codes_are_completed() -> None:
    parameter = explain.params[0]
    found = parameter.shell_complete(explain.make_context("explain", []), "apt-l")
    assert [(item.value, item.help) for item in found][0] == ("apt-lock", "apt package lock held by automatic updates")
    assert all(item.value.startswith("apt-l") for item in found)


def test_the_wheel_brings_the_pages(tmp_path: Path) -> None:
    """The pages are data beside the code; a package without them would explain nothing."""
    import zipfile

    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "tfgrid_compose/observe/error_pages.json" in names
    assert "tfgrid_compose/observe/diagnosis/table.py" in names


def test_pages_know_every_exit_code_of_the_tree() -> None:
    for page in error_pages.all_pages():
        assert page.exit_codes and all(error_pages.exit_code_meaning(number) for number in page.exit_codes)
    assert error_pages.exit_code_meaning(70).startswith("A bug")
    assert error_pages.exit_code_meaning(71) == ""
    assert error_pages.find("no-such-code") is None
