"""Own secrets, an own folder and a chain on loopback for each of these tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from tests.fakes.chain import FakeChain
from tfgrid_compose.observe.redact import PROCESS, Redactor
from tfgrid_compose.state import paths, settings


@pytest.fixture(autouse=True)
def own_secrets(monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path) -> None:
    """Each test knows only its own secrets and places."""
    monkeypatch.setattr(PROCESS, "_known", {})
    monkeypatch.setattr(PROCESS, "_encoded", Redactor()._encoded)
    for name in ("TF_VAR_mnemonic", "MNEMONIC", "KEY_TYPE"):
        monkeypatch.delenv(name, raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


@pytest.fixture
def chain(home: Path) -> Iterator[FakeChain]:
    """The chain of every network."""
    with FakeChain() as fake:
        rows = {name: {"chain": [fake.url]} for name in ("main", "test", "dev")}
        rows["qa"] = {"chain": ["ws://127.0.0.1:1"]}
        paths.private_file(settings.path(), yaml.safe_dump({"networks": rows}).encode())
        yield fake


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True), exit=sys.exit)
    for module in ("account", "common"):
        monkeypatch.setattr(f"tfgrid_compose.cli.{module}.sys", fake)
