"""A home of its own for each of these tests, and a store with two deployments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.secrets.database import A, B
from tfgrid_compose.state.store import Deployment, Store


@pytest.fixture(autouse=True)
def own_home(home: Path) -> Path:
    return home


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store() as found:
        for id in (A, B):
            found.save(Deployment(id, f"app-{id[0]}", "local", "running", 1.0, 1.0, {}))
        yield found
