"""Which Python packages are installed, and that a fresh machine can install them."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

LOCK = Path(__file__).parents[2] / "requirements" / "dev.txt"
PINNED = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", LOCK.read_text(), re.MULTILINE))
# Debian 12 has 3.11.2; a package that wants a later 3.11 can't be installed there.
# Source: https://packages.debian.org/bookworm/python3.11
OLDEST = "3.11.2"


@pytest.mark.parametrize("name", sorted(PINNED))
def test_a_pinned_package_can_be_installed_on_the_oldest_supported_python(name: str) -> None:
    try:
        wanted = metadata.metadata(name).get("Requires-Python")
    except metadata.PackageNotFoundError:
        pytest.skip("another platform's or another Python's package")
    assert metadata.version(name) == PINNED[name], "not what is pinned: make setup"
    assert SpecifierSet(wanted or "").contains(OLDEST), f"{name} {PINNED[name]} wants Python {wanted}"


def test_every_pin_has_a_hash_and_no_address() -> None:
    text = LOCK.read_text()
    assert len(PINNED) == len(re.findall(r"^\S+==\S+ \\\n    --hash=sha256:", text, re.MULTILINE))
    assert "://" not in text and "--index" not in text and "--find-links" not in text
