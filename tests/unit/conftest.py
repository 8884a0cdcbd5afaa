"""What unit tests share: the workbench, and the command line in this process."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workbench import Bench, Call, FakeGrid, FakeMachine, fake_world
from tfgrid_compose.cli import main as entry
from tfgrid_compose.grids.asking import Patience
from tfgrid_compose.state.store import Store


@pytest.fixture(autouse=True)
def nobody_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name but this computer's is known, so that no test asks a real network; who asks again does so at once."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        try:
            known = name in (None, "", "localhost") or bool(ipaddress.ip_address(name))
        except ValueError:
            known = False
        if not known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("tfgrid_compose.grids.client.Patience", partial(Patience, first_pause=0.0))


@pytest.fixture
def bench(home: Path, app_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """An app, an empty store, and a grid, a machine and programs that are fakes."""
    monkeypatch.setenv("TF_VAR_mnemonic", "words of a test")
    with Store() as store:
        found = Bench(app_folder, store, FakeMachine(tmp_path / "machine"), FakeGrid())
        fake_world(found, monkeypatch)
        yield found


@pytest.fixture
def call(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """Run the command line in this process: (exit code, standard output, standard error)."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    for name in ("TFGRID_LOCALGRID", "TFGRID_LOCALGRID_ROOT", "TF_VAR_mnemonic", "MNEMONIC"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tfgrid-compose", *words])
        with pytest.raises(SystemExit) as ended:
            entry.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(ended.value.code or 0), out, err

    yield run
