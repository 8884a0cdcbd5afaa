"""Which provider a pattern's Terraform files ask for: the grid's own, in a version that speaks the schema we write for.

Up to 1.11.1 the provider calls the account `mnemonics` and a mounted disk `disk_name`; since 1.11.2 it is `mnemonic` and
`name` (facts: grid-contracts.md, section 1.1). A range that lets both in works or fails by what the registry has that day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

SOURCE = "threefoldtech/grid"
WANTED = "~> 1.11.3"
_SOURCES = (SOURCE, f"registry.terraform.io/{SOURCE}", f"registry.opentofu.org/{SOURCE}")
_LAST_OLD = (1, 11, 1)
# Strings stay whole; comments go. A `#` in a string begins no comment.
_TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|#[^\n]*|//[^\n]*|/\*.*?\*/', re.DOTALL)
_REQUIRED = re.compile(r"\brequired_providers\s*\{")
_ENTRY = re.compile(r'"?(?P<name>[\w-]+)"?\s*[=:]\s*(?:\{(?P<body>[^{}]*)\}|"(?P<version>[^"]*)")')
_VALUE = r'"?\b{key}"?\s*[=:]\s*"([^"]*)"'
_PART = re.compile(r"^(?P<operator>=|!=|>=|<=|~>|>|<)?\s*v?(?P<version>\d+(?:\.\d+){0,2})(?:[-+][0-9A-Za-z.+-]+)?$")

Version = tuple[int, int, int]


class Required(NamedTuple):
    """An entry of `required_providers`; what it does not say is empty."""

    name: str
    source: str
    version: str


def breaches(text: str) -> Iterator[str]:
    """What is wrong with the providers that Terraform files ask for, a sentence each."""
    bare = without_comments(text)
    entries = list(required(bare))
    grid = [entry for entry in entries if entry.name == "grid" or entry.source.split("/")[-1] == "grid"]
    if not grid and re.search(r'^\s*(resource|data)\s+"grid_', bare, re.MULTILINE):
        yield f'required_providers does not name the grid\'s provider; write `source = "{SOURCE}"` and `version = "{WANTED}"`'
    for entry in grid:
        if entry.source not in _SOURCES:
            found = f"source `{entry.source}`" if entry.source else "no source"
            yield f"required_providers gives `{entry.name}` {found}; the grid's provider is `{SOURCE}`"
        elif problem := _version_problem(entry.version):
            yield f'required_providers {problem}; write `version = "{WANTED}"`'


def without_comments(text: str) -> str:
    """HCL without its comments."""
    return _TOKEN.sub(lambda found: found.group() if found.group().startswith('"') else " ", text)


def required(bare: str) -> Iterator[Required]:
    """The entries of every `required_providers` block; comments must be gone."""
    for start in _REQUIRED.finditer(bare):
        for entry in _ENTRY.finditer(_block(bare, start.end())):
            body = entry["body"]
            if body is None:
                yield Required(entry["name"], "", entry["version"])
            else:
                yield Required(entry["name"], _value(body, "source"), _value(body, "version"))


def _block(text: str, start: int) -> str:
    """What stands between a brace that was just opened and the one that closes it."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place]
    return text[start:]


def _value(body: str, key: str) -> str:
    found = re.search(_VALUE.format(key=key), body)
    return found[1].strip() if found else ""


def _version_problem(constraint: str) -> str:
    """What is wrong with a version constraint; empty when nothing is."""
    if not constraint:
        return "names no version, so that any may be fetched"
    try:
        lowest = lowest_version(constraint)
    except ValueError:
        return f"has a version that is none: `{constraint[:60]}`"
    if lowest is None:
        return f"has a version that nothing can meet: `{constraint}`"
    if lowest <= _LAST_OLD:
        return f"lets `{constraint}` in, and up to 1.11.1 the provider's attributes have other names"
    return ""


def lowest_version(constraint: str) -> Version | None:
    """The lowest version that meets a constraint; None when none does. Raises `ValueError` for what is no constraint."""
    low, high, never = (0, 0, 0), None, set()
    for part in constraint.split(","):
        match = _PART.match(part.strip())
        if not match:
            raise ValueError(part)
        operator = match["operator"] or "="
        if operator == "!=":
            never.add(_three(match["version"]))
            continue
        first, behind = _interval(operator, match["version"])
        low, high = max(low, first), behind if high is None else min(high, behind or high)
    while low in never:
        low = _next(low)
    return low if high is None or low < high else None


def _interval(operator: str, text: str) -> tuple[Version, Version | None]:
    """(lowest version that fits, first one behind the range); None when the range has no end."""
    version = _three(text)
    if operator == "~>":
        parts = [int(part) for part in text.split(".")]
        behind = (parts[0] + 1, 0, 0) if len(parts) < 3 else (parts[0], parts[1] + 1, 0)
        return version, behind
    nothing: Version = (0, 0, 0)
    return {
        "=": (version, _next(version)), ">=": (version, None), ">": (_next(version), None), "<": (nothing, version),
        "<=": (nothing, _next(version)),
    }[operator]  # fmt: skip


def _three(text: str) -> Version:
    parts = [int(part) for part in text.split(".")] + [0, 0]
    return parts[0], parts[1], parts[2]


def _next(version: Version) -> Version:
    return version[0], version[1], version[2] + 1
