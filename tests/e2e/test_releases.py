"""Releases on a real machine: what goes back, what is proven, what drifts and is mended."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Cli

PAGE = 'mkdir -p /srv/app; cp /tmp/app-source/page.txt /srv/app/page.txt; echo "$APP_VERSION $TOKEN" > /srv/app/version'
MANIFEST = "version: '{version}'\nenvironment: [{{name: TOKEN, default: first}}]\n"


class App:
    """An app folder whose version and page change, and what its machine runs."""

    def __init__(self, cli: Cli, make_app: Callable[..., Path], name: str, extra: str = "") -> None:
        self.cli, self.make_app, self.name, self.extra = cli, make_app, name, extra
        self.folder = self.write(1)

    def write(self, version: int, **hooks: str) -> Path:
        """The folder in another version."""
        chosen = {"configure": PAGE, "healthcheck": "test -s /srv/app/page.txt", **hooks}
        folder = self.make_app(self.name, MANIFEST.format(version=version) + self.extra, **chosen)
        (folder / "src").mkdir(exist_ok=True)
        (folder / "src/page.txt").write_text(f"page {version}\n")
        return folder

    def up(self, *words: str, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """Deploy it."""
        return self.cli.run("up", str(self.folder), "--yes", *words, code=code, **env)

    def runs(self) -> list[str]:
        """What the machine runs: page, version, token."""
        return self.cli.exec(self.name, "cat /srv/app/page.txt /srv/app/version").split()

    def history(self) -> dict[int, str]:
        """{number: status} of the releases."""
        return {item["number"]: item["status"] for item in json.loads(self.cli.run("history", self.name, "--json").stdout)}

    def drift(self, *words: str) -> tuple[int, list[str]]:
        """Exit code and paths of what drifted."""
        done = self.cli.run("drift", self.name, "--json", *words, code=None)
        found = json.loads(done.stdout)
        assert set(found["unseen"]) <= {"app folder"} or found["drift"], found
        return done.returncode, [item["path"] for item in found["drift"]]


@pytest.fixture
def app(cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str]) -> App:
    return App(cli, make_app, removing("e2e-releases"))


def test_deploy_redeploy_break_roll_back_and_back_again(app: App) -> None:
    app.up("--var", "TOKEN=one")
    app.write(2)
    app.up("--var", "TOKEN=two")
    assert app.runs() == ["page", "2", "2", "two"]
    # The broken one in between goes back by itself, and says so.
    app.write(3, healthcheck="echo it does not work; exit 3")
    broken = app.up(code=9)
    assert "it exited with 3" in broken.stderr
    assert "release #2" in broken.stderr and "runs again" in broken.stderr
    assert app.runs() == ["page", "2", "2", "two"]
    assert app.history() == {1: "superseded", 2: "live", 3: "failed"}

    plan = app.cli.run("rollback", app.name, "--plan").stdout
    assert "Release #1" in plan and "data that the app wrote stays" in plan
    assert app.runs() == ["page", "2", "2", "two"]
    app.cli.run("rollback", app.name, "--yes")
    assert app.runs() == ["page", "1", "1", "one"]
    assert app.history() == {1: "live", 2: "superseded", 3: "failed"}
    app.cli.run("rollback", app.name, "--yes")
    assert app.runs() == ["page", "2", "2", "two"]
    refused = app.cli.run("rollback", app.name, "--to", "3", "--yes", code=5)
    assert "never went live" in refused.stderr
    assert app.cli.run("rollback", app.name, "--to", "2", "--yes").stdout.count("nothing to do") == 1


def test_what_goes_live_is_proven_by_its_digest(app: App) -> None:
    app.write(1, configure=PAGE + "; echo changed >> $(readlink -f /opt/tfgrid-compose/e2e-releases/releases/*)/src/page.txt")
    failed = app.up(code=9)
    assert "not the ones that were shipped" in failed.stderr


def test_a_rollback_restores_sizes_and_says_what_it_cannot(app: App) -> None:
    app.up("--memory", "512", "--disk", "4")
    app.write(2)
    app.up("--memory", "768", "--disk", "5")
    plan = app.cli.run("rollback", app.name, "--plan").stdout
    assert "stays at 5 GB" in plan
    app.cli.run("rollback", app.name, "--yes")
    contracts = json.loads(app.cli.run("inspect", app.name).stdout)["data"]["sizes"]
    assert contracts["vm"] == {"cpu": 1, "memory": 512, "disk": 5}
    assert app.runs()[1] == "1"


def test_data_comes_back_with_data(app: App) -> None:
    app.up()
    app.cli.exec(app.name, "echo precious > /srv/app/data")
    app.write(2, configure=PAGE + "; echo migrated > /srv/app/data")
    app.up()
    assert app.cli.exec(app.name, "cat /srv/app/data") == "migrated"
    app.cli.run("rollback", app.name, "--with-data", "--yes")
    assert app.cli.exec(app.name, "cat /srv/app/data") == "precious"
    assert app.runs()[1] == "1"


@pytest.mark.parametrize(
    ("policy", "active", "text"), [("keep", "active", "on_failure: keep"), ("stop", "inactive", "on_failure: stop")]
)
def test_other_policies_after_a_failure(
    cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str], policy: str, active: str, text: str
) -> None:
    app = App(cli, make_app, removing(f"e2e-{policy}"), f"on_failure: {policy}\nlogging: {{service: ssh}}\n")
    app.extra = app.extra.replace("ssh", "e2e-demo")
    unit = (
        "printf '[Service]\\nExecStart=/bin/sleep infinity\\n' > /etc/systemd/system/e2e-demo.service; systemctl start e2e-demo"
    )
    app.write(1, configure=f"{PAGE}; {unit}")
    app.up()
    app.write(2, configure=f"{PAGE}; {unit}", healthcheck="exit 4")
    failed = app.up(code=9)
    assert text in failed.stderr
    assert app.runs()[1] == "2"
    assert cli.exec(app.name, "systemctl is-active e2e-demo || true") == active


def test_only_so_many_releases_are_kept_here_and_on_the_machine(
    cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str]
) -> None:
    app = App(cli, make_app, removing("e2e-kept"), "keep_releases: 2\n")
    for version in (1, 2, 3, 4):
        app.write(version)
        app.up()
    assert sorted(app.history()) == [3, 4]
    assert len(cli.exec(app.name, "ls /opt/tfgrid-compose/e2e-kept/releases").split()) == 2
    cli.run("rollback", app.name, "--yes")
    assert app.runs()[1] == "3"


def test_drift_is_found_in_every_layer_and_mended(app: App) -> None:
    app.up()
    assert app.drift() == (0, [])
    app.cli.exec(app.name, "echo tampered >> /opt/tfgrid-compose/e2e-releases/current/src/page.txt")
    code, paths = app.drift()
    assert (code, paths) == (2, ["release.files.src/page.txt"])
    assert app.drift("--ignore", "release.*") == (0, [])
    interface = json.loads(app.cli.run("inspect", app.name).stdout)["data"]["interface"]
    subprocess.run(["ip", "link", "del", interface], check=True)
    code, paths = app.drift()
    assert code == 2 and f"tunnel.{interface}" in paths
    app.cli.run("up", "--repair", app.name, "--yes")
    assert app.drift() == (0, [])
    app.write(2)
    code, paths = app.drift()
    assert (code, paths) == (3, [])


def test_a_machine_deleted_behind_our_back_is_made_again_from_the_release(app: App) -> None:
    app.up("--var", "TOKEN=kept")
    facts = json.loads(app.cli.run("inspect", app.name).stdout)["data"]
    _cancel(app.cli, facts["machines"][0]["contract"])
    shutil.rmtree(app.folder)
    code, paths = app.drift()
    assert code == 2 and any(path.startswith("contracts.") for path in paths)
    app.cli.run("up", "--repair", app.name, "--yes")
    assert app.runs() == ["page", "1", "1", "kept"]
    assert app.drift()[1] == []
    app.write(1)


def _cancel(cli: Cli, contract: int) -> None:
    """Cancel a contract as its owner could on a dashboard."""
    script = f"from tfgrid_compose.localgrid.plugin import LocalGrid; LocalGrid().cancel([{contract}])"
    subprocess.run([cli.argv()[0], "-c", script], check=True, env=cli.env, cwd=cli.home)
