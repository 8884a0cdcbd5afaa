"""What all tests share: folders of their own, so that no test sees or touches the user's state."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tfgrid_compose.observe.redact import PROCESS


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C mean something: what a script starts in its background ignores it, and so would all that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """What the program makes of signals in this process ends with the test: the next one's Ctrl-C would end them all."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def own_secrets() -> Iterator[None]:
    """Secrets that the process learnt in one test are words like any other in the next."""
    before = dict(vars(PROCESS))
    yield
    vars(PROCESS).update(before)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder of its own, with all XDG folders below it."""
    for variable, name in (
        ("HOME", ""), ("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache"),
        ("XDG_RUNTIME_DIR", "run"),
    ):  # fmt: skip
        folder = tmp_path / "home" / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        monkeypatch.setenv(variable, str(folder))
    yield tmp_path / "home"


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    """A minimal app folder that is valid."""
    folder = tmp_path / "app"
    (folder / "deployment").mkdir(parents=True)
    (folder / "tfgrid-compose.yaml").write_text("name: my-app\n")
    for hook in ("setup", "configure", "healthcheck"):
        script = folder / "deployment" / f"{hook}.sh"
        script.write_text("#!/usr/bin/env bash\ntrue\n")
        script.chmod(0o755)
    return folder
