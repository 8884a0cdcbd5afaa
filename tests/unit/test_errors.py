"""The error tree: stable codes, documented exit codes, and what `--json` shows."""

from __future__ import annotations

import inspect
import re

import pytest

from tfgrid_compose import errors
from tfgrid_compose.errors import TfgridError

CLASSES = [
    item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, TfgridError) and item is not TfgridError
]
DOCUMENTED = {name: int(code) for name, code in re.findall(r"-- (\w+) .*\(exit (\d+)\)", errors.__doc__ or "")}


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [TfgridError.code, *(item.code for item in CLASSES)]
    assert len(CLASSES) >= 14
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


def test_the_module_lists_every_error_with_its_exit_code() -> None:
    assert {item.__name__: item.exit_code for item in CLASSES} == DOCUMENTED


def test_no_exit_code_means_success_or_a_bug() -> None:
    assert all(item.exit_code not in (0, 1, 70) for item in CLASSES)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_says_what_in_one_sentence_of_documentation(kind: type[TfgridError]) -> None:
    error = kind("it broke")
    assert str(error) == "it broke"
    assert kind.__doc__
    assert error.to_dict() == {"code": kind.code, "what": "it broke", "exit_code": kind.exit_code}


def test_an_error_keeps_all_that_it_was_told() -> None:
    error = errors.GridError("a", why="b", fix="c", code="d", details=["e"], log="/f", exit_code=42)
    assert error.to_dict() == {"code": "d", "what": "a", "why": "b", "fix": "c", "details": ["e"], "log": "/f", "exit_code": 42}


def test_what_is_learnt_of_an_error_later_is_shown_too() -> None:
    error = errors.HookError("a", why="b")
    error.aftermath, error.cause = "release #1 runs again", "apt-lock"
    assert error.to_dict() == {
        "code": "hook-failed", "cause": "apt-lock", "what": "a", "why": "b", "aftermath": "release #1 runs again", "exit_code": 9,
    }  # fmt: skip
    assert (errors.HookError("c").aftermath, errors.HookError("c").cause, errors.HookError("c").transient) == ("", "", False)


def test_a_code_of_one_error_does_not_leak_into_the_next() -> None:
    errors.GridError("a", code="special", exit_code=99)
    assert (errors.GridError("b").code, errors.GridError("b").exit_code) == ("grid", 7)


def test_details_are_not_shared_between_errors() -> None:
    first = errors.HookError("a")
    first.details.append("x")
    assert errors.HookError("b").details == []
