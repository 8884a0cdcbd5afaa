"""Git servers and the git identity, and the apps that get them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.chain import FakeChain
from tests.unit.account.people import TOKEN, bash_file, error_of, on_disk, run
from tfgrid_compose.cli.account import signin, signout, whoami
from tfgrid_compose.errors import GridError, NotFoundError, UsageError
from tfgrid_compose.grids import git
from tfgrid_compose.observe.redact import PROCESS, Secret
from tfgrid_compose.state import settings
from tfgrid_compose.state.store import Store

# Git


def test_a_git_server(chain: FakeChain) -> None:
    done = run(signin, "git", "--server", "https://Forge.example.com/", "--username", "ada", input=TOKEN + "\n")
    assert done.exit_code == 0 and "forge.example.com (forgejo)" in done.stdout
    assert TOKEN.encode() not in on_disk()
    assert git.environment() == {
        "GIT_SERVER": "forge.example.com", "GIT_PLATFORM": "forgejo", "GIT_USERNAME": "ada", "GIT_TOKEN": TOKEN,
        "TFGRID_FORGEJO_URL": "https://forge.example.com", "TFGRID_FORGEJO_TOKEN": TOKEN,
    }  # fmt: skip
    assert TOKEN not in PROCESS.text(f"pushed with {TOKEN}")


def test_several_git_servers_and_the_default(chain: FakeChain) -> None:
    run(signin, "git", "--server", "github.com", "--username", "ada", input="github-1")
    run(signin, "git", "--server", "git.example.org", "--platform", "gitea", input="gitea-1")
    found = git.environment()
    assert (found["GIT_SERVER"], found["TFGRID_GITHUB_TOKEN"], found["TFGRID_GITEA_TOKEN"]) == (
        "github.com",
        "github-1",
        "gitea-1",
    )
    run(signin, "git", "--server", "git.example.org", "--platform", "gitea", "--default", input="gitea-2")
    found = git.environment()
    assert (found["GIT_SERVER"], found["GIT_TOKEN"]) == ("git.example.org", "gitea-2")
    assert [server.default for server in git.servers()] == [True, False]
    assert set(found) <= git.NAMES


def test_the_identity(chain: FakeChain) -> None:
    assert run(signin, "git", "--name", "Ada L", "--email", "ada@example.com").exit_code == 0
    assert git.identity_environment() == {"TFGRID_GIT_NAME": "Ada L", "TFGRID_GIT_EMAIL": "ada@example.com"}
    run(signin, "git", "--email", "new@example.com")
    assert git.identity() == ("Ada L", "new@example.com")
    error_of(run(signin, "git"), UsageError, "usage")


def test_the_bash_tools_servers() -> None:
    bash_file({
        "git": {"name": "Ada", "email": "a@example.com"}, "github": {"token": "gh-token"},
        "gitea": {"url": "https://gitea.example.com", "token": "gitea-token"},
        "git_servers": [
            {"name": "git.one.org", "platform": "gitea", "username": "a", "token": "one-token"},
            {"name": "forge.two.org", "platform": "forgejo", "username": "b", "token": "two-token", "default": True},
            "odd", {"name": "no-token.org"}, {"name": "odd.org", "platform": 7, "token": "odd-token"},
        ],
    })  # fmt: skip
    found = git.environment()
    assert (found["GIT_SERVER"], found["GIT_TOKEN"], found["TFGRID_GIT_NAME"]) == ("forge.two.org", "two-token", "Ada")
    assert (found["TFGRID_GITHUB_TOKEN"], found["TFGRID_FORGEJO_URL"]) == ("gh-token", "https://forge.two.org")
    assert found["TFGRID_GITEA_TOKEN"] == "one-token"
    assert "two-token" not in PROCESS.text("two-token")
    with Store() as store:
        git.keep(store, git.Server("forge.two.org", "forgejo", "b", Secret("newer-token")))
    assert git.environment()["GIT_TOKEN"] == "newer-token"


def test_a_damaged_file_costs_a_name_and_no_token_silently() -> None:
    bash_file(b"- x\n")
    assert git.identity() == ("", "")
    with pytest.raises(GridError):
        git.environment()


@pytest.mark.parametrize("server", ["", "http://x.org", "ftp://x", "two words", "a;b"])
def test_names_that_are_no_servers(chain: FakeChain, server: str) -> None:
    error_of(run(signin, "git", "--server", server, input=TOKEN), UsageError, "git-server-invalid")


def test_an_empty_token(chain: FakeChain) -> None:
    error_of(run(signin, "git", "--server", "github.com", input="\n"), UsageError, "secret-unusable")


def test_forgetting_a_git_server(chain: FakeChain, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    done = run(signin, "git", "--server", "github.com", "--file", str(file))
    assert f"rm {file}" in done.stderr
    assert "github.com" in run(whoami).stdout
    known = json.loads(run(whoami, "--json").stdout)["git"]["servers"]
    assert known == [{"server": "github.com", "platform": "github", "username": "", "default": True, "from": "signin"}]
    assert "github.com" in error_of(run(signout, "git", "--server", "gihub.com", "-y"), NotFoundError, "account-not-kept").fix
    error_of(run(signout, "git", "--server", "github.com"), UsageError, "yes-missing")
    assert run(signout, "git", "--server", "github.com", "-y").exit_code == 0
    assert git.servers() == []


# Apps get them


@pytest.fixture
def app(app_folder: Path) -> Any:
    from tfgrid_compose.manifest.load import load_app

    text = "name: my-app\nenvironment:\n  - {name: GIT_TOKEN, required: true}\n  - {name: TFGRID_GIT_NAME}\n  - {name: OTHER, default: x}\n"
    (app_folder / "tfgrid-compose.yaml").write_text(text)
    return load_app(app_folder)


def resolved(app: Any, store: Store, **overrides: str) -> Any:
    from tfgrid_compose.deploy.up import _environment
    from tfgrid_compose.observe.events import Stream
    from tfgrid_compose.state.store import Deployment

    deployment = Deployment("0123456789abcdef", "my-app", "local", "new", 0.0, 0.0, {})
    store.save(deployment)
    return _environment(store, Stream(), deployment, app, None, overrides, lambda variable: None)


def test_an_app_that_declares_them_gets_them(app: Any) -> None:
    with Store() as store:
        git.keep(store, git.Server("forge.example.com", "forgejo", "ada", Secret(TOKEN)))
        settings.save(settings.Settings(git=settings.GitIdentity(name="Ada")))
        found = resolved(app, store)
        assert found.values == {"GIT_TOKEN": TOKEN, "TFGRID_GIT_NAME": "Ada", "OTHER": "x"}
        assert "GIT_TOKEN" in found.secrets and "TFGRID_GIT_NAME" not in found.secrets
        assert found.given == {}, "it is asked for each time, so that a new token takes effect"


def test_what_the_user_gives_counts_first(app: Any) -> None:
    with Store() as store:
        git.keep(store, git.Server("forge.example.com", "forgejo", "ada", Secret(TOKEN)))
        assert resolved(app, store, GIT_TOKEN="mine").values["GIT_TOKEN"] == "mine"
        store.set_app_secret("0123456789abcdef", "GIT_TOKEN", "kept")
        assert resolved(app, store).values["GIT_TOKEN"] == "kept"


def test_an_app_that_declares_none_does_not_ask_for_them(app_folder: Path) -> None:
    from tfgrid_compose.manifest.load import load_app

    bash_file(b"- damaged\n")
    with Store() as store:
        assert resolved(load_app(app_folder), store).values == {}
