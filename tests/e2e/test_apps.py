"""The other examples, and apps that go wrong: each failure is one clear error, and the next command goes on."""

from __future__ import annotations

import json
import signal
import time
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import SENTINEL, Cli

Make = Callable[..., Path]


def fetch(url: str, data: bytes | None = None) -> str:
    """A page of an app."""
    with urllib.request.urlopen(url, data=data, timeout=10) as answer:
        return str(answer.read().decode())


def forms(secret: str) -> list[bytes]:
    """A secret as it is, in base64 and URL-encoded."""
    return [secret.encode(), b64encode(secret.encode()).rstrip(b"="), urllib.parse.quote(secret, safe="").encode()]


def test_guestbook_keeps_its_secret_and_its_data(
    cli: Cli, example: Callable[[str, str], Path], removing: Callable[[str], str], tmp_path: Path
) -> None:
    name = removing("e2e-guestbook")
    app = example("guestbook", name)
    missing = cli.run("up", str(app), "--yes", code=3)
    assert "the app needs a value for DB_PASSWORD" in missing.stderr
    assert json.loads(cli.run("localgrid", "status", "--json").stdout)["contracts"] == []

    values = tmp_path / "values.env"
    values.write_text(f"DB_PASSWORD='{SENTINEL.replace(chr(39), '')}'\n")
    secret = SENTINEL.replace("'", "")
    done = cli.run("up", str(app), "--env-file", str(values), "--verbose", "--yes")
    link = cli.run("address", name).stdout.strip()
    assert '"entries": 0' in fetch(link + "health")
    fetch(link, urllib.parse.urlencode({"text": "first <entry>"}).encode())
    assert "<li>first &lt;entry&gt;</li>" in fetch(link)
    assert cli.run("entries", name).stdout.strip() == "1"
    assert "PostgreSQL database dump" in cli.run("backup", name).stdout
    assert cli.exec(name, "findmnt -no FSTYPE /data; stat -c %a /etc/guestbook/environment") == "ext4\n600"

    (app / "src" / "note.txt").write_text("a new release")
    again = cli.run("up", str(app), "--yes", "--verbose")
    assert "<li>first &lt;entry&gt;</li>" in fetch(link), "data outlives a release, and the secret is remembered"

    outputs = [
        done.stdout,
        done.stderr,
        again.stdout,
        again.stderr,
        cli.run("inspect", name).stdout,
        cli.run("status", name).stdout,
    ]
    files = [path for folder in ("state", "run", "cache") for path in (cli.home / folder).rglob("*") if path.is_file()]
    for form in forms(secret):
        assert not any(form in output.encode() for output in outputs)
        assert [path for path in files if form in path.read_bytes()] == []
    found = cli.exec(name, "grep -rlF 's3ntinel' / --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev 2>/dev/null; true")
    for path in found.splitlines():
        assert cli.exec(name, f"stat -c %a {path}") == "600", path


def test_an_app_of_the_bash_tool_runs_unchanged(
    cli: Cli, example: Callable[[str, str], Path], removing: Callable[[str], str]
) -> None:
    name = removing("e2e-classic")
    app = example("classic", name)
    cli.run("up", str(app), "--yes")
    page = fetch(cli.run("address", name).stdout.strip())
    assert "classic version 0.9" in page and "it's all in place" in page
    report = cli.run("report", name).stdout
    assert "primary_ip: 10." in report and f"report for {name}" in report
    assert "primary_ip" not in cli.run("report", name, "--short").stdout


def test_init_writes_an_app_that_deploys(cli: Cli, removing: Callable[[str], str], tmp_path: Path) -> None:
    app = tmp_path / "e2e-init"
    cli.run("init", str(app))
    cli.run("validate", str(app), "--strict")
    cli.run("up", str(app), "--yes")
    removing("e2e-init")
    assert "Hello from the grid" in fetch(cli.run("address", "e2e-init").stdout.strip())


def test_a_failing_hook_fails_the_deployment_whatever_it_prints(cli: Cli, make_app: Make, removing: Callable[[str], str]) -> None:
    name = removing("e2e-fail")
    app = make_app(name, setup="echo '✅ all fine'; echo cause >&2; exit 3")
    failed = cli.run("up", str(app), "--yes", code=9)
    assert "hook setup failed" in failed.stderr and "it exited with 3" in failed.stderr and "cause" in failed.stderr
    assert cli.status(name)["status"] == "failed"
    assert cli.status(name)["last_run"]["error"]["code"] == "hook-failed"
    make_app(name, setup="test -f /srv/half || { touch /srv/half; exit 1; }", healthcheck="exit 5")
    cli.run("up", str(app), "--yes", code=9)
    machine = json.loads(cli.run("inspect", name).stdout)["data"]["machines"][0]["contract"]
    failed = cli.run("up", str(app), "--yes", code=9)
    assert "✓ setup" in failed.stderr and "hook healthcheck failed" in failed.stderr
    make_app(name)
    cli.run("up", str(app), "--yes")
    assert json.loads(cli.run("inspect", name).stdout)["data"]["machines"][0]["contract"] == machine


def test_hooks_that_hang_fork_flood_or_are_optional(cli: Cli, make_app: Make, removing: Callable[[str], str]) -> None:
    name = removing("e2e-hang")
    config = "hook_config:\n  setup: {timeout: 2}\n  configure: {optional: true}\n"
    app = make_app(name, config, setup="echo started; sleep 600")
    failed = cli.run("up", str(app), "--yes", code=9)
    assert "it did not end within 2 s and was stopped" in failed.stderr and "started" in failed.stderr
    assert cli.exec(name, "pgrep -fc '[s]leep 600' || true") == "0"
    flood = "head -c 3000000 /dev/urandom | base64 -w0; echo; head -c 1000 /dev/urandom; echo; echo the end"
    make_app(name, config, setup=flood, configure="exit 4", healthcheck="setsid sleep 300 & cat; env | grep ^TFGRID_HOOK=")
    done = cli.run("up", str(app), "--yes")
    assert "! configure" in done.stderr and "tolerated" in done.stderr
    assert "the end" in cli.run("logs", name, "--hook", "setup").stdout
    assert "TFGRID_HOOK=healthcheck" in cli.run("logs", name, "--hook", "healthcheck").stdout


def test_a_hook_that_ends_sshd_is_one_clear_error(cli: Cli, make_app: Make, removing: Callable[[str], str]) -> None:
    name = removing("e2e-nossh")
    app = make_app(name, setup="systemctl stop ssh; pkill -9 sshd; sleep 1")
    failed = cli.run("up", str(app), "--yes", code=9)
    assert "hook setup cut the connection to the machine" in failed.stderr
    assert "tfgrid-compose down" in failed.stderr
    cli.run("down", name, "--yes")


def test_a_hook_survives_a_connection_that_breaks(cli: Cli, make_app: Make, removing: Callable[[str], str]) -> None:
    name = removing("e2e-broken")
    app = make_app(name, setup="echo before; pkill -9 -f 'sshd: root' || true; sleep 3; echo after > /srv/after")
    done = cli.run("up", str(app), "--yes")
    assert "the connection broke" in done.stderr
    assert cli.exec(name, "cat /srv/after") == "after"


def test_a_playbook_replaces_the_hooks(cli: Cli, make_app: Make, removing: Callable[[str], str]) -> None:
    name = removing("e2e-playbook")
    app = make_app(name, "environment: [{name: COLOUR, default: green}]\n")
    for hook in ("setup", "configure", "healthcheck"):
        (app / "deployment" / f"{hook}.sh").unlink()
    (app / "deployment" / "playbook.yml").write_text(
        "- hosts: app\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.copy: {dest: /srv/colour, content: '{{ COLOUR }} at {{ tfgrid_environment.PRIMARY_IP }}'}\n"
    )
    refused = cli.run("up", str(app), "--yes", code=2)
    assert "deployment/playbook.yml" in refused.stderr and "--trust" in refused.stderr
    assert "configure" in cli.steps("up", str(app), "--yes", "--trust")
    assert cli.exec(name, "cat /srv/colour").startswith("green at 10.")
    (app / "deployment" / "playbook.yml").write_text("- hosts: app\n  tasks:\n    - ansible.builtin.command: /bin/false\n")
    failed = cli.run("up", str(app), "--yes", "--trust", code=9)
    assert "Ansible failed on vm in task" in failed.stderr and "Log:" in failed.stderr


def test_two_runs_at_once_one_works_and_the_other_refuses_or_waits(
    cli: Cli, make_app: Make, removing: Callable[[str], str]
) -> None:
    name = removing("e2e-twice")
    app = make_app(name, setup="sleep 4")
    first = cli.start("up", str(app), "--yes")
    _wait_for_lease(cli, name)
    refused = cli.run("up", str(app), "--yes", code=6)
    assert f"(pid {first.pid})" in refused.stderr and "tfgrid-compose up" in refused.stderr
    assert cli.run("down", name, "--yes", code=6)
    waited = cli.run("up", str(app), "--yes", "--wait", "120")
    assert first.wait(timeout=120) == 0, first.communicate()
    assert "waiting for" in waited.stderr and "up to date" in waited.stdout
    first.communicate()
    assert len([row for row in json.loads(cli.run("ps", "--json").stdout) if row["name"] == name]) == 1


def _wait_for_lease(cli: Cli, name: str) -> None:
    file = cli.home / "state" / "tfgrid-compose" / "locks" / f"local--{name}.lock"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (file.exists() and b"pid" in file.read_bytes()):
        time.sleep(0.05)


def test_a_run_that_is_killed_is_gone_on_with(cli: Cli, make_app: Make, removing: Callable[[str], str]) -> None:
    name = removing("e2e-killed")
    app = make_app(name)
    log = cli.home / "state" / "tfgrid-compose" / "deployments"
    process = cli.start("up", str(app), "--yes")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(log.glob("*/logs/run-*/platform.log")):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert cli.status(name)["last_run"]["outcome"] == "cut off"
    _wait_for_no_child(cli)
    before = json.loads(cli.run("inspect", name).stdout)["data"]["machines"]
    ran = cli.steps("up", str(app))
    assert "infrastructure" not in ran and "platform" in ran
    assert json.loads(cli.run("inspect", name).stdout)["data"]["machines"][0]["contract"] == before[0]["contract"]
    mine = [item for item in json.loads(cli.run("localgrid", "status", "--json").stdout)["contracts"] if item["type"] == "vm"]
    assert len(mine) == 1


def _wait_for_no_child(cli: Cli) -> None:
    """Neither Ansible nor Terraform outlives the run that started it."""
    deadline = time.monotonic() + 60
    mark = str(cli.home).encode()
    while True:
        lines = [_command_of(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
        left = [line for line in lines if mark in line and (b"ansible" in line or b"terraform" in line)]
        if not left:
            return
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _command_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # It has just ended.


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_the_hook_and_leaves_a_run_that_goes_on(
    cli: Cli, make_app: Make, removing: Callable[[str], str], how: signal.Signals
) -> None:
    name = removing("e2e-ctrlc")
    app = make_app(name, setup="echo waiting; test -f /srv/go || sleep 500")
    process = cli.start("up", str(app), "--yes", "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if '"waiting"' in line:
            break
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert cli.exec(name, "touch /srv/go; pgrep -fc '[s]leep 500' || true") == "0"
    assert cli.status(name)["last_run"]["outcome"] == "interrupted"
    assert list(cli.steps("up", str(app))) == ["reach", "setup", "configure", "healthcheck", "activate"]


def test_apt_that_is_locked_is_waited_for(cli: Cli, make_app: Make, removing: Callable[[str], str]) -> None:
    name = removing("e2e-apt")
    app = make_app(name)
    cli.run("up", str(app), "--yes")
    lock = "import fcntl,time; f=open('/var/lib/dpkg/lock-frontend','w'); fcntl.lockf(f,fcntl.LOCK_EX); print('held',flush=True); time.sleep(6)"
    holder = cli.start("exec", name, "--", "python3", "-c", lock)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    make_app(name, setup="apt-get install -y --no-install-recommends tree && echo installed")
    assert cli.steps("up", str(app))["setup"] == "done"
    holder.communicate(timeout=60)
    assert "installed" in cli.run("logs", name, "--hook", "setup").stdout


def test_a_full_disk_on_the_machine_is_named(cli: Cli, make_app: Make, removing: Callable[[str], str]) -> None:
    name = removing("e2e-full")
    app = make_app(name)
    cli.run("up", str(app), "--yes")
    cli.run("exec", name, "--", "dd if=/dev/zero of=/srv/fill bs=1M 2>/dev/null; true", code=None)
    (app / "big.bin").write_bytes(bytes(range(256)) * 8000)
    failed = cli.run("up", str(app), "--yes", code=9)
    assert "its disk is full" in failed.stderr and "--disk" in failed.stderr
    cli.exec(name, "rm /srv/fill")
    cli.run("up", str(app), "--yes")


def test_own_patterns_and_pattern_options(cli: Cli, make_app: Make, removing: Callable[[str], str]) -> None:
    import shutil

    from tfgrid_compose.patterns.load import BUILTIN

    folder = cli.home / "config" / "tfgrid-compose" / "patterns" / "my-vm"
    shutil.copytree(BUILTIN / "single-vm", folder)
    text = (folder / "pattern.yaml").read_text()
    (folder / "pattern.yaml").write_text(text.replace("name: single-vm", "name: my-vm"))
    try:
        name = removing("e2e-pattern")
        app = make_app(name, "pattern: my-vm\n")
        assert "my-vm" in cli.run("patterns").stdout
        cli.run("up", str(app), "--yes", "--trust")
        site = folder / "platform" / "site.yml"
        site.write_text(site.read_text().replace("vm.swappiness = 10", "vm.swappiness = 20"))
        assert list(cli.steps("up", str(app), "--trust")) == ["snapshot", "reach", "platform", "ship", "activate"]
        flist = "https://hub.grid.tf/tf-official-vms/ubuntu-22.04.flist"
        assert "infrastructure" in cli.steps("up", str(app), "--yes", "--var", f"vm_flist={flist}")
        failed = cli.run("up", str(app), "--pattern", "single-vm", "--yes", code=3)
        assert "was made with pattern my-vm" in failed.stderr
        (folder / "pattern.yaml").write_text("name: my-vm\nversion: 1\n")
        assert "breaks the pattern contract" in cli.run("up", str(app), "--yes", code=3).stderr
        (folder / "pattern.yaml").write_text(text.replace("name: single-vm", "name: my-vm"))
    finally:
        cli.run("down", "e2e-pattern", "--yes", code=None)
        shutil.rmtree(folder)


def test_an_odd_path_and_a_hook_that_prints_a_secret(
    cli: Cli, make_app: Make, removing: Callable[[str], str], tmp_path: Path
) -> None:
    name = removing("e2e-odd")
    leak = 'echo "$TOKEN"; printf %s "x$TOKEN" | base64 -w0; echo; env; exit 3'
    source = make_app(name, "environment: [{name: TOKEN, secret: true}]\n", setup=leak)
    folder = tmp_path / "we ird" / "ünï 'quoted' $(touch owned)"
    folder.parent.mkdir()
    source.rename(folder)
    (folder / "src" / "a b").mkdir(parents=True)
    (folder / "src" / "a b" / "line\nbreak 'ü'.txt").write_text("here")
    values = tmp_path / "values"
    secret = SENTINEL.replace("'", "")
    values.write_text(f"TOKEN='{secret}'\n")
    failed = cli.run("up", str(folder / ".." / folder.name), "--env-file", str(values), "--verbose", "--yes", code=9)
    streamed = cli.run("up", str(folder), "--json", "--yes", code=9)
    shown = [failed.stdout, failed.stderr, streamed.stdout, streamed.stderr, cli.run("logs", name, "--hook", "setup").stdout]
    shown += [cli.run("status", name, "--json", code=1).stdout, cli.run("inspect", name).stdout]
    files = [path for path in (cli.home / "state").rglob("*") if path.is_file()]
    for form in [*forms(secret), b64encode(f"x{secret}".encode())]:
        assert not any(form in text.encode() for text in shown)
        assert [path for path in files if form in path.read_bytes()] == []
    assert "TOKEN=" in shown[-3], "the line is there, its secret is not"
    assert cli.exec(name, "cat '/tmp/app-source/a b/line'*") == "here"
    assert not (tmp_path / "owned").exists() and not (cli.home / "owned").exists()
