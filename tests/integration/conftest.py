"""What the integration tests share: Terraform out of its library, a fake grid below it, and a real sshd on loopback."""

from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration import fake_engine
from tests.integration.fake_engine import FakeKernel
from tfgrid_compose.drivers import ssh
from tfgrid_compose.localgrid.engine import Engine
from tfgrid_compose.localgrid.provider.app import LocalProvider
from tfgrid_compose.localgrid.provider.server import attached

SHIM = [sys.executable, "-P", "-m", "tfgrid_compose.drivers.terraform_shim"]
HEAD = """
terraform {
  required_providers {
    grid = {
      source  = "threefoldtech/grid"
      version = "~> 1.11.3"
    }
  }
}
provider "grid" {
  mnemonic = "words of a test"
  network  = "dev"
}
"""


@dataclass
class Workspace:
    """A folder with Terraform files and the environment that Terraform runs in there."""

    folder: Path
    env: dict[str, str]
    last: str = field(default="")

    def write(self, body: str) -> None:
        """Replace the configuration."""
        (self.folder / "main.tf").write_text(HEAD + body)

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Terraform, whatever comes of it."""
        done = subprocess.run(
            [*SHIM, *words], cwd=self.folder, env=self.env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=50
        )
        self.last = done.stdout + done.stderr
        return done

    def run(self, *words: str) -> str:
        """Run Terraform, which must succeed."""
        done = self.call(*words)
        assert done.returncode == 0, self.last
        return done.stdout

    def apply(self) -> dict[str, Any]:
        """Apply and return {address: values of the resource}."""
        self.run("apply", "-auto-approve", "-input=false", "-no-color")
        return self.state()

    def state(self) -> dict[str, Any]:
        """{address: values} of the state file; asking Terraform for it would take a process more."""
        path = self.folder / "terraform.tfstate"
        found = json.loads(path.read_text())["resources"] if path.exists() else []
        return {f"{item['type']}.{item['name']}": item["instances"][0]["attributes"] for item in found}

    def plan(self) -> dict[str, Any]:
        """{address: change} of a plan, with its actions, `after` and `after_unknown`."""
        self.run("plan", "-input=false", "-no-color", "-out=plan")
        found = json.loads(self.run("show", "-json", "plan"))
        return {item["address"]: item["change"] for item in found["resource_changes"]}

    def diagnostics(self) -> list[dict[str, Any]]:
        """What `validate` complains about."""
        found: list[dict[str, Any]] = json.loads(self.call("validate", "-json").stdout)["diagnostics"]
        return found


def terraform_environment(folder: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without the user's Terraform settings, with ours."""
    settings = folder / "cli.tfrc"
    settings.write_text("disable_checkpoint = true\n")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "MNEMONIC", "NETWORK"))}
    return {**kept, "TF_CLI_CONFIG_FILE": str(settings), "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", **extra}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """The fake edge to the host."""
    return fake_engine.install(monkeypatch)


@pytest.fixture
def engine(kernel: FakeKernel, tmp_path: Path) -> Iterator[Engine]:
    """A grid with a ledger in a temporary folder and nothing on the host."""
    with fake_engine.open_engine(tmp_path) as found:
        yield found


@pytest.fixture
def workspace(tmp_path: Path, engine: Engine) -> Iterator[Workspace]:
    """Terraform, attached to a provider that works on the fake grid."""
    folder = tmp_path / "terraform"
    folder.mkdir()
    with attached(LocalProvider(lambda: engine)) as extra:
        yield Workspace(folder, terraform_environment(folder, extra))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Terraform, attached to a provider whose engine nobody may open."""
    folder = tmp_path_factory.mktemp("sealed")

    def refuse() -> Engine:
        raise AssertionError("this needs no grid, and must open none")

    with attached(LocalProvider(refuse)) as extra:
        yield Workspace(folder, terraform_environment(folder, extra))


# A real sshd on loopback


@functools.cache
def sshd_program() -> tuple[str, dict[str, str]]:
    """(path, environment) of sshd: the host's, or Debian's package unpacked beside the tests' other temporary files."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found:
        return found, {}
    folder = Path(tempfile.gettempdir()) / f"tfgrid-compose-sshd-{os.geteuid()}"
    binary, libraries = folder / "root/usr/sbin/sshd", folder / "root/usr/lib/x86_64-linux-gnu"
    if not binary.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        got = subprocess.run(["apt-get", "download", "openssh-server", "libwrap0"], cwd=folder, capture_output=True, text=True)
        if got.returncode != 0:
            pytest.skip("there is no sshd, and apt-get can't download one: apt-get install openssh-server")
        for package in sorted(folder.glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(package), str(folder / "root")], check=True)
    return str(binary), {"LD_LIBRARY_PATH": str(libraries)}


@dataclass
class Sshd:
    """A server that takes one key; its clients' targets are made by `target`."""

    port: int
    folder: Path
    key: Path
    start: Callable[[], None]
    stop: Callable[[], None]

    def target(self, address: str = "127.0.0.1", alias: str = "the-machine", **changes: Any) -> ssh.Target:
        """How ssh reaches it."""
        return ssh.Target(
            address=address,
            key=changes.pop("key", self.key),
            known_hosts=self.folder / "client" / "known_hosts",
            alias=alias,
            port=changes.pop("port", self.port),
            **changes,
        )


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_banner(process: subprocess.Popen[bytes], port: int) -> None:
    """Return as soon as an ssh server answers on the port."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        assert process.poll() is None, (process.stderr.read() if process.stderr else b"").decode()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
                if probe.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.01)
    raise AssertionError("sshd did not answer")


def _ssh_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, stdin=subprocess.DEVNULL)
    return path


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """sshd in a mount namespace of its own, where it finds the user that it drops to; the host stays as it is."""
    if os.geteuid() != 0:
        pytest.skip("a login as root needs an sshd that runs as root")
    program, extra = sshd_program()
    folder, port = tmp_path_factory.mktemp("sshd"), free_port()
    _ssh_key(folder / "host_key")
    key = _ssh_key(folder / "client_key")
    shutil.copy(f"{key}.pub", folder / "authorized_keys")
    passwd = Path("/etc/passwd").read_text()
    (folder / "passwd").write_text(passwd + ("" if "\nsshd:" in passwd else "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"))
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/authorized_keys\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nStrictModes no\n"
        "PidFile none\nUsePAM no\nMaxSessions 50\nMaxStartups 50:30:100\n"
    )
    script = (
        f"mount --bind {folder}/passwd /etc/passwd && mount -t tmpfs -o mode=755 tmpfs /run && mkdir -m 755 /run/sshd"
        f" && exec {program} -D -e -f {folder}/sshd_config"
    )
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script], env={**os.environ, **extra},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        running.append(process)
        wait_for_banner(process, port)

    def stop() -> None:
        while running:
            process = running.pop()
            process.terminate()
            process.wait(timeout=10)
            if process.stderr:
                process.stderr.close()

    start()
    try:
        yield Sshd(port, folder, key, start, stop)
    finally:
        stop()


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short runtime folder: a socket's path may have 108 bytes, and pytest's folders are long."""
    with tempfile.TemporaryDirectory(prefix="tfg") as folder:
        for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            monkeypatch.setenv(name, folder)
        yield Path(folder)
