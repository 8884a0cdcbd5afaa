"""What an installed package knows about its own error codes: `error_pages.json`, made from the source.

`make docs` writes the file from the places where errors are raised, so that no page can be forgotten.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Page:
    """A code of the error tree. In the texts `…` stands for what is filled in."""

    code: str
    exit_codes: tuple[int, ...]
    about: str
    said: tuple[str, ...]
    reasons: tuple[str, ...]
    fixes: tuple[str, ...]


@functools.cache
def _data() -> dict[str, Any]:
    text = resources.files("tfgrid_compose.observe").joinpath("error_pages.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def find(code: str) -> Page | None:
    """The page of an error code, None when no error has it."""
    facts = _data()["codes"].get(code)
    return None if facts is None else Page(code, **{key: _frozen(value) for key, value in facts.items()})


def all_pages() -> tuple[Page, ...]:
    """Every page, codes in order."""
    return tuple(page for page in map(find, _data()["codes"]) if page is not None)


def exit_code_meaning(code: int) -> str:
    """What an exit code of the program means; empty when it is none of ours."""
    return str(_data()["exit_codes"].get(str(code), ""))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
