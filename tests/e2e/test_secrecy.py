"""Sentinels through every command, failures included: they are found in their 0600 homes and nowhere else."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Cli
from tests.sentinel import command_lines, find, scan

NAME = "e2e-secrecy"
MNEMONIC = "zebra quartz velvet anchor puzzle nephew tundra ribbon walnut sphinx oxygen glider"
PASSWORD = "S3ntinel-Passw0rd/+=&<x>"
TOKEN = "S3ntinel-Tok3n_'quoted' \"twice\" $HOME"
MANIFEST = """version: '{version}'
environment:
  - {{name: PASSWORD, secret: true, required: true}}
  - {{name: TOKEN, secret: true, required: true}}
commands:
  show: {{script: "printenv PASSWORD", description: prints it}}
"""
# A hook as careless as they come.
LEAKS = (
    'echo "the password is $PASSWORD"; printf %s "$TOKEN" | base64 -w0; echo; printf %q "$TOKEN"; echo; env | grep -E "PASSWORD|TOKEN"; '
    "python3 -c \"import os, urllib.parse; print(urllib.parse.quote(os.environ['PASSWORD'], safe=str()))\""
)


class Watch:
    """Looks at the command lines of all processes while commands run."""

    def __init__(self, secrets: list[bytes]) -> None:
        self.seen: set[str] = set()
        self._secrets, self._over = secrets, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.is_set():
            self.seen |= {f"{path} {form}" for path, form in scan(command_lines(), self._secrets)}
            time.sleep(0.05)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def keys_of(cli: Cli) -> list[bytes]:
    """The deployment's ssh key and WireGuard key, as they stand in memory: one line of each that nobody else has."""
    found = []
    for path in (cli.home / "run/tfgrid-compose/keys").glob("*"):
        found += [line.encode() for line in path.read_text().splitlines()[2:4]]
    for path in (cli.home / "run/tfgrid-compose/wireguard").glob("*.conf"):
        found += [
            line.split("=", 1)[1].strip().encode() for line in path.read_text().splitlines() if line.startswith("PrivateKey")
        ]
    return found


def test_no_secret_leaves_its_home(
    cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str], tmp_path: Path
) -> None:
    name = removing(NAME)
    folder = make_app(name, MANIFEST.format(version=1), setup=LEAKS, configure="true", healthcheck='test -n "$TOKEN"')
    values = tmp_path / "values.env"
    values.write_text(f"PASSWORD='{PASSWORD}'\n")
    values.chmod(0o600)
    env = {"TF_VAR_mnemonic": MNEMONIC, "MNEMONIC": MNEMONIC}
    secrets = [text.encode() for text in (MNEMONIC, PASSWORD, TOKEN)]
    said: dict[str, str] = {}

    def run(*words: str, code: int | None = None, input: str = "") -> None:
        done = cli.run(*words, code=code, input=input.encode() if input else None, **env)
        said[" ".join(words)] = done.stdout + done.stderr

    with Watch(secrets) as watch:
        run("secrets", "set", str(folder), "TOKEN", code=0, input=TOKEN)
        run("up", str(folder), "--yes", "--verbose", "--env-file", str(values), code=0)
        run("up", str(folder), "--yes", "--json", "--env-file", str(values), code=0)
        secrets += keys_of(cli)
        assert len(secrets) >= 6
        make_app(name, MANIFEST.format(version=2), setup=LEAKS, healthcheck=f"{LEAKS}; exit 5")
        run("up", str(folder), "--yes", "--json", code=9)
        make_app(name, MANIFEST.format(version=3), setup=LEAKS)
        run("up", str(folder), "--yes", "--verbose", code=0)
        for words in (
            ("rollback", name, "--yes", "--json"), ("drift", name), ("drift", name, "--json"), ("status", name),
            ("status", name, "--json"), ("ps", "--json"), ("inspect", name), ("history", name, "--json"), ("diff", name, "1", "3"),
            ("diff", name, "--json"), ("runs", "--json"), ("runs", "show", "1", "--json"), ("plan", str(folder), "--json"),
            ("logs", name, "--hook", "setup"), ("logs", name, "--hook", "healthcheck"), ("logs", name, "--hook", "terraform"),
            ("logs", name, "--hook", "platform"), ("audit", "--json"), ("audit", "export", "--json"), ("state", "check", "--json"),
            ("state", "backup"), ("secrets", "list", name, "--json"), ("secrets", "rotate", "--yes"), ("orphans", "--json"),
            ("address", name, "--json"), ("up", "--repair", name, "--yes"), 
            ("secrets", "unset", name, "TOKEN"), ("localgrid", "status", "--json"), ("run", "nonsense", name),
        ):  # fmt: skip
            run(*words)
    assert watch.seen == set()
    run("secrets", "set", name, f"TOKEN={TOKEN}", code=2)  # It stood on our own command line; the answer must not repeat it.
    spoken = {words: forms for words, text in said.items() if (forms := find(text.encode(), secrets))}
    assert spoken == {}
    # Commands that are made to print it do print it: what the user asks for on the machine is not ours to change.
    assert PASSWORD in cli.run("run", "show", name, **env).stdout

    kept = [cli.home / part for part in ("state", "config", "cache")]
    assert scan(kept, secrets) == []
    assert len(list((cli.home / "state/tfgrid-compose/backups").glob("*.db"))) >= 1
    machine = on_the_machine(cli, name)
    base = f"/opt/tfgrid-compose/{name}"
    homes = (f"{base}/releases/", f"{base}/work/app-source/.env")
    assert machine, "the environment has to be somewhere"
    for path, mode in machine.items():
        assert path.startswith(homes) and mode == "600", (path, mode)


def on_the_machine(cli: Cli, name: str) -> dict[str, str]:
    """{file: mode} of files on the machine that hold a sentinel, in plain or base64 form."""
    import base64

    patterns = [PASSWORD, "S3ntinel-Tok3n", MNEMONIC, base64.b64encode(PASSWORD.encode()).decode()[:28]]
    words = " ".join(f"-e '{pattern}'" for pattern in patterns)
    line = f"grep -rlsF {words} / --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev | xargs -r -d '\\n' stat -c '%a %n'"
    done = cli.run("exec", name, "--", line, code=None)
    return {row.split(" ", 1)[1]: row.split(" ", 1)[0] for row in done.stdout.splitlines()}


@pytest.mark.parametrize("form", ["plain", "older"])
def test_a_stored_secret_that_was_exchanged_is_noticed(
    cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str], form: str
) -> None:
    """A row that was written over, and the whole row as it was before."""
    import sqlite3

    name = removing("e2e-exchanged")
    folder = make_app(name, "environment: [{name: TOKEN, secret: true, default: one}]\n")
    cli.run("up", str(folder), "--yes", "--var", "TOKEN=first-value")
    id = json.loads(cli.run("inspect", name).stdout)["id"]
    path = cli.home / "state/tfgrid-compose/state.db"
    with sqlite3.connect(path) as db:
        old = db.execute("SELECT value, generation FROM secrets WHERE deployment = ? AND name = 'environment'", (id,)).fetchone()
    cli.run("up", str(folder), "--yes", "--var", "TOKEN=second-value")
    with sqlite3.connect(path) as db:
        now = db.execute("SELECT value, generation FROM secrets WHERE deployment = ? AND name = 'environment'", (id,)).fetchone()
        value, generation = old if form == "older" else (now[0][:-1] + bytes([now[0][-1] ^ 1]), now[1])
        db.execute(
            "UPDATE secrets SET value = ?, generation = ? WHERE deployment = ? AND name = 'environment'", (value, generation, id)
        )
    refused = cli.run("up", str(folder), "--yes", code=10)
    assert "secret" in refused.stderr and "tfgrid-compose state" in refused.stderr
    cli.run("down", name, "--yes")
