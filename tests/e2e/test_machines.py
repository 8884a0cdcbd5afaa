"""What real machines do that no fake does: greet, restart, refuse programs in /tmp, exit with 255, start slowly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Cli

Make = Callable[..., Path]

pytestmark = pytest.mark.e2e


def test_a_machine_that_greets_and_restarts_is_understood(cli: Cli, make_app: Make, removing: Callable[[str], str]) -> None:
    name = removing("e2e-odd-machine")
    greet = 'grep -q Welcome ~/.bashrc || echo "echo Welcome to vm; echo hello >&2" >> ~/.bashrc\n'
    restart = "[ -e /srv/restarted ] || { touch /srv/restarted; echo restarting; systemctl reboot >/dev/null 2>&1; sleep 60; }\necho configured\n"
    app = make_app(name, setup=greet, configure=restart, healthcheck="exit 0")
    shown = cli.run("up", str(app), "--yes")
    assert "the machine restarted while the hook ran; running the hook again" in shown.stdout + shown.stderr
    log = cli.run("logs", name, "--hook", "configure").stdout.splitlines()
    assert log == ["restarting", "configured"]
    facts = cli.status(name)
    assert facts["problems"] == [] and facts["machine"]["release"] == facts["release"]
    assert facts["machine"]["uptime_seconds"] > 0
    assert cli.run("exec", name, "--", "echo", "plain").stdout == "plain\n", "no greeting in what a program reads"
    assert json.loads(cli.run("drift", name, "--json").stdout)["drift"] == []


def test_a_hook_runs_where_tmp_runs_nothing_and_ends_with_any_code(
    cli: Cli, make_app: Make, removing: Callable[[str], str]
) -> None:
    name = removing("e2e-noexec")
    app = make_app(name, "hook_config: {configure: {optional: true}}\n", configure="exit 255", healthcheck="exit 0")
    cli.run("up", str(app), "--yes")
    cli.exec(name, "mount -t tmpfs -o noexec,mode=1777 tmpfs /tmp")
    (app / "src").mkdir(exist_ok=True)
    (app / "src" / "page").write_text("changed")
    ran = cli.steps("up", str(app), "--yes")
    assert (ran["configure"], ran["healthcheck"]) == ("tolerated", "done")
    assert cli.exec(name, "cat /tmp/app-source/page; echo; stat -c %a $(readlink /tmp/app-source)/..") == "changed\n700"


def test_a_program_of_the_machine_that_takes_our_names_in_tmp_is_not_run(
    cli: Cli, make_app: Make, removing: Callable[[str], str]
) -> None:
    name = removing("e2e-squat")
    app = make_app(name, setup="touch /srv/ours")
    cli.run("up", str(app), "--yes")
    evil = "rm -f /tmp/app-deployment; runuser -u nobody -- sh -c 'mkdir /tmp/app-deployment; cd /tmp/app-deployment; " \
        "echo \"#!/bin/sh\" > setup.sh; echo \"touch /srv/theirs\" >> setup.sh; chmod +x setup.sh'; rm -f /srv/ours"  # fmt: skip
    cli.exec(name, evil)
    cli.run("up", str(app), "--yes", "--var", "A=1", code=None)
    (app / "src").mkdir(exist_ok=True)
    (app / "src" / "page").write_text("changed")
    cli.run("up", str(app), "--yes")
    assert cli.exec(name, "ls /srv/ours /srv/theirs 2>/dev/null; readlink /tmp/app-deployment").split() == [
        "/srv/ours", f"/opt/tfgrid-compose/{name}/work/app-deployment",
    ]  # fmt: skip


def test_host_keys_that_a_hook_makes_anew_are_remembered(cli: Cli, make_app: Make, removing: Callable[[str], str]) -> None:
    name = removing("e2e-hostkeys")
    renew = "[ -e /srv/renewed ] || { touch /srv/renewed; rm -f /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh; }"
    app = make_app(name, setup=renew)
    cli.run("up", str(app), "--yes")
    # A connection of its own, not the one that is shared with the hook's.
    assert cli.exec(name, "echo reached") == "reached"
