"""The shared cache of Terraform's plug-ins: lock files, versions that are too old, one init at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from tfgrid_compose.drivers import plugins
from tfgrid_compose.errors import EnvironmentError_, StateError

ADDRESS = "registry.terraform.io/threefoldtech/grid"


@pytest.fixture(autouse=True)
def own_home(home: Path) -> Path:
    return home


def block(version: str = "1.11.3", address: str = ADDRESS) -> str:
    return f'provider "{address}" {{\n  version     = "{version}"\n  constraints = "~> 1.11.3"\n  hashes = [\n    "h1:abc=",\n  ]\n}}\n'


def put(version: str = "1.11.3", address: str = ADDRESS) -> Path:
    folder = plugins.cache() / address / version / "linux_amd64"
    folder.mkdir(parents=True)
    (folder / f"terraform-provider-grid_v{version}").write_text("")
    return folder


def test_a_lock_file_says_which_versions_were_chosen() -> None:
    text = "# by terraform init\n\n" + block() + "\n" + block("3.6.0", "registry.terraform.io/hashicorp/random")
    assert plugins.locked(text) == {ADDRESS: "1.11.3", "registry.terraform.io/hashicorp/random": "3.6.0"}
    assert plugins.locked("") == plugins.locked("nonsense {") == plugins.locked('provider "x" {\n}\n') == {}


@pytest.mark.parametrize(("version", "number"), [
    ("1.11.3", (1, 11, 3)), ("v1.11", (1, 11, 0)), ("1.11.2-dev", (1, 11, 2)), ("1.9.0+x", (1, 9, 0)), ("", (0, 0, 0)),
])  # fmt: skip
def test_versions_are_compared_by_their_numbers(version: str, number: tuple[int, ...]) -> None:
    assert plugins.number(version) == number


def test_the_cache_counts_only_when_it_holds_every_provider() -> None:
    text = block()
    assert not plugins.cached("")
    assert not plugins.cached(text)
    folder = put()
    assert plugins.cached(text)
    assert not plugins.cached(text + block("3.6.0", "registry.terraform.io/hashicorp/random"))
    (folder / "terraform-provider-grid_v1.11.3").unlink()
    assert not plugins.cached(text), "an empty folder is no plug-in"
    assert plugins.cache().stat().st_mode & 0o777 == 0o700


def test_a_working_folder_notices_that_the_cache_was_emptied(tmp_path: Path) -> None:
    package = put()
    link = tmp_path / ".terraform" / "providers" / ADDRESS / "1.11.3" / "linux_amd64"
    link.parent.mkdir(parents=True)
    link.symlink_to(package)
    assert plugins.linked(tmp_path, block())
    assert plugins.linked(tmp_path, ""), "nothing is locked where the provider is attached"
    for file in package.iterdir():
        file.unlink()
    assert not plugins.linked(tmp_path, block())
    plugins.forget(tmp_path)
    assert not (tmp_path / ".terraform" / "providers").exists()


def test_what_one_deployment_chose_serves_the_next(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(
        'terraform {\n  required_providers {\n    grid = { source = "threefoldtech/grid" }\n  }\n}\n'
    )
    assert plugins.seed(tmp_path) == ""
    plugins.share(block("1.11.2"))
    plugins.share(block("1.11.3") + block("3.6.0", "registry.terraform.io/hashicorp/random"))
    plugins.share("")
    assert plugins.locked(plugins.seed(tmp_path)) == {ADDRESS: "1.11.3"}, "the newest, and only what its files name"


def test_a_version_that_is_too_old_is_refused_with_its_place() -> None:
    plugins.refuse_old(block("1.11.2-dev"), "x", "y")
    plugins.refuse_old(block("1.0.0", "registry.terraform.io/hashicorp/random"), "x", "y")
    with pytest.raises(EnvironmentError_, match="version 1.11.1 of the provider threefoldtech/grid is too old") as caught:
        plugins.refuse_old(block("1.11.1"), "main.lock names it", "rm main.lock")
    assert (caught.value.code, caught.value.fix) == ("provider-too-old", "rm main.lock")
    assert "main.lock names it; it calls the account `mnemonics`" in caught.value.why


def test_an_installed_plugin_that_is_too_old_is_named(home: Path) -> None:
    plugins.refuse_old_install()
    folder = home / ".terraform.d" / "plugins" / ADDRESS
    folder.mkdir(parents=True)
    (folder / "terraform-provider-grid_1.10.0_linux_amd64.zip").write_text("")
    (folder / "1.11.1").mkdir()
    (folder / "1.11.3.txt").write_text("")
    assert set(plugins.installed()) == {"1.10.0", "1.11.1"}
    with pytest.raises(EnvironmentError_, match=r"version 1\.11\.1") as caught:
        plugins.refuse_old_install()
    assert caught.value.fix == f"remove {folder / '1.11.1'}"
    (folder / "terraform-provider-grid_1.11.3_linux_amd64.zip").write_text("")
    plugins.refuse_old_install()


def test_one_init_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with plugins.turn(said.append):
        path = plugins.cache().with_name("terraform-plugins.lock")
        other = os.open(path, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    now = iter([0.0, 0.1, 0.6, 0.7, 0.8])
    monkeypatch.setattr(plugins.time, "monotonic", lambda: next(now))

    def sleep(seconds: float) -> None:
        if said:
            fcntl.flock(other, fcntl.LOCK_UN)

    monkeypatch.setattr(plugins.time, "sleep", sleep)
    with plugins.turn(said.append):
        assert said == ["waiting for another run that fetches Terraform's plug-ins"]
    os.close(other)


def test_an_init_that_never_ends_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 10.0, 1000.0])
    monkeypatch.setattr(plugins.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(plugins.time, "sleep", lambda seconds: None)
    other = os.open(plugins.cache().with_name("terraform-plugins.lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(EnvironmentError_, match="plug-ins can't be fetched") as caught, plugins.turn(lambda text: None):
        pass
    os.close(other)
    assert caught.value.code == "plugins-busy"


def test_a_lock_that_can_not_be_written_is_an_error_of_the_state() -> None:
    plugins.cache().with_name("terraform-plugins.lock").mkdir()
    with pytest.raises(StateError), plugins.turn(lambda text: None):
        pass
