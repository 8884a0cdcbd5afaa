"""A home of its own for each of these tests, and a clock that does not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.grid_client.asking import Waits


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture(autouse=True)
def _own_home(home: Path) -> Path:
    return home
