"""Which provider a pattern may ask for: sources and version ranges, each way of getting it wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_patterns import GOOD, TERRAFORM, breaches, write
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.patterns import providers


def block(body: str) -> str:
    return "terraform {\n  required_providers {\n" + body + "\n  }\n}\n"


def grid(version: str, source: str = "threefoldtech/grid") -> str:
    return block(f'    grid = {{\n      source  = "{source}"\n      version = "{version}"\n    }}')


USES = 'resource "grid_network" "n" {\n}\n'


@pytest.mark.parametrize("version", [
    "~> 1.11.3", "1.11.3", "= 1.11.2", ">= 1.11.2", "> 1.11.1", ">= 1.11.1, != 1.11.1", "~> 1.11, >= 1.11.3", "v1.11.3",
    ">= 1.11.2, < 2.0.0", "1.11.2-rc1", "~>1.12", ">= 1.11.0,!=1.11.0,!=1.11.1", "~> 2",
])  # fmt: skip
def test_versions_that_speak_our_schema_are_taken(version: str) -> None:
    assert list(providers.breaches(grid(version) + USES)) == []


@pytest.mark.parametrize("version", [
    ">= 1.11.1", "~> 1.11", "~> 1.9.0", "~> 1", "1.11.1", "= 1.11.0", "< 2.0.0", "<= 1.11.3", "!= 1.11.1", "> 1.10.0, < 1.12.0",
    ">= 1.11", "~> 1.11.0", ">= 1.11.0, != 1.11.0", "1.11",
])  # fmt: skip
def test_versions_with_other_attribute_names_are_refused(version: str) -> None:
    (found,) = providers.breaches(grid(version) + USES)
    assert f"lets `{version}` in" in found
    assert '`version = "~> 1.11.3"`' in found


@pytest.mark.parametrize(("version", "words"), [
    ("", "names no version"), ("latest", "a version that is none: `latest`"), ("~> 1.11.3, < 1.11.2", "nothing can meet"),
    (">= 1.12.0, < 1.12.0", "nothing can meet"), ("= 1.11.3, != 1.11.3", "nothing can meet"), ("1.2.3.4", "is none"), (",", "is none"),
])  # fmt: skip
def test_versions_that_are_none_are_refused(version: str, words: str) -> None:
    (found,) = providers.breaches(grid(version))
    assert words in found


@pytest.mark.parametrize(("body", "words"), [
    ('    grid = { source = "threefold/grid", version = "~> 1.9.0" }', "source `threefold/grid`"),
    ('    grid = { version = "~> 1.11.3" }', "no source"),
    ('    grid = "~> 1.11.3"', "no source"),
    ('    tf = { source = "example.com/me/grid", version = "~> 1.11.3" }', "gives `tf` source `example.com/me/grid`"),
    ('    random = { source = "hashicorp/random", version = "~> 3.5" }', "does not name the grid's provider"),
    ('    # grid = { source = "threefoldtech/grid", version = "~> 1.11.3" }', "does not name the grid's provider"),
])  # fmt: skip
def test_other_sources_are_refused(body: str, words: str) -> None:
    (found,) = providers.breaches(block(body) + USES)
    assert words in found


def test_every_block_counts_and_comments_do_not() -> None:
    two = grid("~> 1.11.3") + "/* " + grid("~> 1.9.0") + " */" + grid("~> 1.10.0")
    assert len(list(providers.breaches(two))) == 1
    assert list(providers.breaches(grid("~> 1.11.3", "registry.opentofu.org/threefoldtech/grid") + USES)) == []
    text = 'locals {\n  url = "https://x/#a"\n}\n'
    assert providers.without_comments(text) == text
    assert list(providers.breaches("terraform {\n  required_providers {")) == []


def test_a_pattern_that_uses_nothing_of_the_grid_needs_no_provider() -> None:
    assert list(providers.breaches("locals {}\n")) == []


def test_the_loader_refuses_a_pattern_that_asks_for_another_provider(tmp_path: Path) -> None:
    stale = 'terraform {\n  required_providers {\n    grid = {\n      source = "threefold/grid"\n    }\n  }\n}\n'
    found = breaches(write(tmp_path, GOOD, terraform=TERRAFORM + "\n" + stale))
    assert found == ["required_providers gives `grid` source `threefold/grid`; the grid's provider is `threefoldtech/grid`"]


@pytest.mark.parametrize("name", sorted(path.parent.name for path in patterns.BUILTIN.glob("*/pattern.yaml")))
def test_every_pattern_that_we_ship_pins_the_provider(name: str) -> None:
    folder = patterns.BUILTIN / name / "infrastructure"
    bare = providers.without_comments("\n".join(path.read_text() for path in sorted(folder.glob("*.tf"))))
    assert [tuple(entry) for entry in providers.required(bare)] == [("grid", providers.SOURCE, providers.WANTED)]
