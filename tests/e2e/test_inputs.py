"""What a user writes, on a real machine: names of the system, files that stay, values that are made empty, shell lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from .conftest import Cli

_MANIFEST = """name: messagebus
resources: {cpu: 1, memory: 512, disk: 5}
network: {provision: wireguard}
environment:
  - {name: MAIL_HOST, default: smtp.example.com}
  - {name: E2E_OF_THE_USER}
commands:
  zone: {script: "TZ=Asia/Tokyo date +%Z"}
  tool: {script: "'scripts/my tool.sh' --all"}
"""
_PRIVATE = (
    ".tfgrid-mnemonic",
    ".env",
    ".env.local",
    "prod.env",
    "src/.env",
    ".git/HEAD",
    ".venv/bin/tool",
    "data/private/dump.sql",
)


def _app(folder: Path) -> Path:
    hook = '#!/bin/sh\necho "MAIL_HOST=[$MAIL_HOST] of [$E2E_OF_THE_USER]"\n'
    files = {f"deployment/{name}.sh": hook for name in ("setup", "configure", "healthcheck")}
    files |= {"tfgrid-compose.yaml": _MANIFEST, ".gitignore": "data/*\n!data/\n!.*\n!*.env\n", "src/page": "x"}
    files |= {"scripts/my tool.sh": '#!/bin/sh\necho "tool $*"\n', **dict.fromkeys(_PRIVATE, "PRIVATE=1\n")}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def test_an_app_takes_nothing_of_the_system_and_nothing_private_along(
    cli: Cli, removing: Callable[[str], str], tmp_path: Path
) -> None:
    app, name = _app(tmp_path / "app"), removing("messagebus")
    plan = json.loads(cli.run("plan", str(app), "--json", E2E_OF_THE_USER="me").stdout)
    assert {item["name"]: item["from"] for item in plan["values"]} == {"E2E_OF_THE_USER": "process", "PRIVATE": "file"}

    cli.run("up", str(app), "--yes", E2E_OF_THE_USER="me")
    assert cli.run("logs", name, "--hook", "setup").stdout.strip() == "MAIL_HOST=[smtp.example.com] of [me]"
    current = f"/opt/tfgrid-compose/{name}/current"
    there = cli.exec(name, f"cd {current}; find . -type f ! -path './.tfgrid/*' ! -path './deployment/*' | sort").splitlines()
    assert there == ["./.gitignore", "./scripts/my tool.sh", "./src/page", "./tfgrid-compose.yaml"]
    assert cli.exec(name, f"stat -c %U /var/lib/{name}; getent passwd messagebus | cut -d: -f6") == "app-messagebus\n/nonexistent"
    assert cli.run("zone", name).stdout.strip() == "JST"
    assert cli.run("tool", name).stdout.strip() == "tool --all"

    cli.run("up", str(app), "--yes", "--var", "MAIL_HOST=")
    assert cli.run("logs", name, "--hook", "setup").stdout.strip() == "MAIL_HOST=[] of [me]"
    (app / "src" / "page").write_text("new")
    cli.run("up", str(app), "--yes")
    assert cli.run("logs", name, "--hook", "setup").stdout.strip() == "MAIL_HOST=[] of [me]", "it stays empty"


def test_what_must_fail_on_the_machine_is_refused_before_there_is_one(cli: Cli, tmp_path: Path) -> None:
    app = _app(tmp_path / "app")
    large, foreign = tmp_path / "large", tmp_path / "foreign"
    large.write_text(f"MAIL_HOST={'x' * 150_000}\n")
    foreign.write_text("TOKEN=1\n")
    assert "Linux takes at most" in cli.run("up", str(app), "--yes", "--env-file", str(large), code=3).stderr
    (app / ".gitignore").write_text("deployment/\n")
    assert "deployment/setup.sh is left out by .gitignore:1" in cli.run("up", str(app), "--yes", code=3).stderr
    (app / ".gitignore").unlink()
    (app / ".env").unlink()
    (app / ".env").symlink_to(foreign)
    assert "leads out of the app folder" in cli.run("up", str(app), "--yes", code=3).stderr
    assert json.loads(cli.run("localgrid", "status", "--json").stdout)["contracts"] == []
