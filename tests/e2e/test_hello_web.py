"""The example that everybody tries first, from `up` to `down`, in the order in which a person would."""

from __future__ import annotations

import json
import shutil
import sqlite3
import urllib.request
from pathlib import Path

import pytest

from .conftest import EXAMPLES, Cli

NAME = "e2e-hello"


@pytest.fixture(scope="module")
def app(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example under a name of its own, deployed."""
    folder = tmp_path_factory.mktemp("apps") / NAME
    shutil.copytree(EXAMPLES / "hello-web", folder)
    manifest = folder / "tfgrid-compose.yaml"
    manifest.write_text(manifest.read_text().replace("name: hello-web", f"name: {NAME}"))
    before = cli.run("up", str(folder), "--plan")
    assert "Deploy e2e-hello" in before.stdout and "USD a month" in before.stdout
    assert json.loads(cli.run("ps", "--json").stdout) == [], "a plan changes nothing"
    done = cli.run("up", str(folder), "--yes")
    assert f"{NAME} is running" in done.stdout
    for step in ("infrastructure", "tunnel", "reach", "platform", "ship", "setup", "configure", "healthcheck", "activate"):
        assert f"✓ {step}" in done.stderr
    return folder


def page(cli: Cli) -> str:
    """The app's page, through the tunnel."""
    address = cli.run("address", NAME).stdout.strip()
    with urllib.request.urlopen(address, timeout=10) as answer:
        return str(answer.read().decode())


def test_the_page_answers_through_the_tunnel(cli: Cli, app: Path) -> None:
    assert "Hello from your own grid" in page(cli)
    assert "version 1.0.0" in page(cli)


def test_status_says_that_all_is_well(cli: Cli, app: Path) -> None:
    facts = cli.status(NAME)
    assert facts["status"] == "running" and facts["problems"] == []
    assert facts["tunnel"]["up"] and facts["machine"]["reachable"]
    assert facts["machine"]["service"] == "active"
    assert facts["machine"]["release"] == facts["release"]
    assert facts["usd_per_month"] > 0
    text = cli.run("status", NAME).stdout
    assert "Tunnel    wg-e2e-hello is up" in text


def test_ps_lists_it_as_table_and_json(cli: Cli, app: Path) -> None:
    rows = json.loads(cli.run("ps", "--json").stdout)
    mine = next(row for row in rows if row["name"] == NAME)
    assert mine["status"] == "running" and mine["address"].startswith("10.")
    assert NAME in cli.run("ps").stdout


def test_node_price_and_contracts_tell_of_the_same_machine(cli: Cli, app: Path) -> None:
    mine = next(row for row in json.loads(cli.run("ps", "--json").stdout) if row["name"] == NAME)
    nodes = {node["id"]: node for node in json.loads(cli.run("nodes", "--json").stdout)["nodes"]}
    node = nodes[int(mine["node"])]
    assert len(nodes) == 6 and node["used"]["cru"] >= 1
    assert f"Node {node['id']}" in cli.run("nodes", "show", mine["node"]).stdout
    contracts = json.loads(cli.run("contracts", "--json").stdout)["contracts"]
    kinds = {item["kind"]: item for item in contracts if item["deployment"] == NAME}
    assert set(kinds) == {"vm", "network"} and kinds["vm"]["node"] == node["id"]
    (network,) = json.loads(cli.run("cost", "--json").stdout)["networks"]
    cost = next(item for item in network["deployments"] if item["name"] == NAME)
    assert network["play_money"] and network["balance_days"] > 1
    assert cost["usd_per_month"] == pytest.approx(kinds["vm"]["usd_per_hour"] * 720, abs=0.01)
    assert cli.status(NAME)["usd_per_month"] == pytest.approx(cost["usd_per_month"], abs=0.01)
    explained = cli.run("plan", str(app), "--name", "e2e-other", "--explain").stdout
    assert "Looked at 6 nodes" in explained and "Next best" in explained


def test_what_is_dearer_than_the_budget_is_refused_before_anything_is_made(cli: Cli, app: Path) -> None:
    refused = cli.run("up", str(app), "--name", "e2e-dear", "--max-monthly", "1USD", "--yes", code=2)
    assert "would cost" in refused.stderr and "--size dev" in refused.stderr
    assert "e2e-dear" not in cli.run("contracts", "--json").stdout + cli.run("ps", "--json").stdout


def test_a_folder_a_name_and_the_beginning_of_an_id_mean_the_same(cli: Cli, app: Path) -> None:
    id = next(row["id"] for row in json.loads(cli.run("ps", "--json").stdout) if row["name"] == NAME)
    for target in (str(app), NAME, id[:6]):
        assert cli.run("exec", target, "--", "hostname").stdout.strip() == "vm"


def test_exec_passes_exit_code_and_streams_through(cli: Cli, app: Path) -> None:
    assert cli.run("exec", NAME, "--", "sh", "-c", "echo out; echo err >&2; exit 7", code=7).stdout == "out\n"
    assert cli.run("exec", NAME, "--", "cat", input=b"piped\n").stdout == "piped\n"
    assert cli.exec(NAME, "echo 'a  b' | wc -c") == "5"
    assert cli.run("exec", NAME, "--", "printf", "%s|", "a b", "$HOME").stdout == "a b|$HOME|"


def test_logs_show_the_journal_and_the_hooks(cli: Cli, app: Path) -> None:
    assert "nginx" in cli.run("logs", NAME, "-n", "20").stdout
    assert "nginx" in cli.run("logs", NAME, "--since", "1h").stdout
    assert "Installing nginx" in cli.run("logs", NAME, "--hook", "setup").stdout
    assert "there is no log of `setpu`" in cli.run("logs", NAME, "--hook", "setpu", code=5).stderr


def test_commands_of_app_and_pattern_run_on_the_machine(cli: Cli, app: Path) -> None:
    assert "load average" in cli.run("uptime", NAME).stdout
    assert cli.run("visitors", NAME).stdout.strip().isdigit()
    assert "there is no command `visitrs`" in cli.run("visitrs", NAME, code=2).stderr


def test_inspect_holds_everything_but_secrets(cli: Cli, app: Path) -> None:
    text = cli.run("inspect", NAME).stdout
    facts = json.loads(text)
    assert facts["data"]["machines"][0]["role"] == "vm" and facts["releases"][0]["status"] == "live"
    assert "PRIVATE KEY" not in text and "PrivateKey" not in text


def test_files_are_private_and_hold_no_key_in_clear(cli: Cli, app: Path) -> None:
    root = cli.home / "state" / "tfgrid-compose"
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            assert path.stat().st_mode & 0o077 == 0, path
    for path in root.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"OPENSSH PRIVATE KEY" not in data and b"PrivateKey" not in data and b'"external_sk"' not in data, path


def test_up_again_changes_nothing(cli: Cli, app: Path) -> None:
    done = cli.run("up", str(app), "--yes")
    assert "is up to date; nothing to do" in done.stdout
    assert cli.events("up", str(app))[-1]["outcome"] == "unchanged"


def test_a_changed_source_ships_and_runs_hooks_and_nothing_else(cli: Cli, app: Path) -> None:
    index = app / "src" / "index.html"
    index.write_text(index.read_text().replace("</body>", "<p>changed</p></body>"))
    plan = json.loads(cli.run("plan", str(app), "--json").stdout)
    needed = {step["step"]: step["reason"] for step in plan["steps"] if step["needed"]}
    assert needed["ship"] == "source changed"
    assert "platform" not in needed and "infrastructure" not in needed
    ran = cli.steps("up", str(app))
    assert list(ran) == ["snapshot", "reach", "ship", "setup", "configure", "healthcheck", "activate"]
    assert "<p>changed</p>" in page(cli)


def test_a_changed_value_reaches_the_hooks(cli: Cli, app: Path) -> None:
    ran = cli.steps("up", str(app), "--var", "GREETING=Good 'day' & <you>")
    assert "ship" in ran and "platform" not in ran
    assert "Good 'day' & <you>" in page(cli)
    assert "unchanged" in cli.run("up", str(app), "--json").stdout, "the value is remembered"


def test_a_changed_port_changes_the_firewall_only_on_the_platform(cli: Cli, app: Path) -> None:
    manifest = app / "tfgrid-compose.yaml"
    manifest.write_text(manifest.read_text().replace("    - 80:http\n", "    - 80:http\n    - 8443/tcp:admin\n    - 5353/udp\n"))
    ran = cli.steps("up", str(app))
    assert list(ran) == ["snapshot", "reach", "platform", "ship", "activate"]
    rules = cli.exec(NAME, "nft list chain inet tfgrid input")
    assert "tcp dport 8443 accept" in rules and "udp dport 5353 accept" in rules and "policy drop" in rules


def test_the_platform_playbook_changes_nothing_the_second_time(cli: Cli, app: Path) -> None:
    database = cli.home / "state" / "tfgrid-compose" / "state.db"
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM done WHERE step = 'platform'")
    connection.close()
    notes = {event["step"]: event["text"] for event in cli.events("up", str(app)) if event["event"] == "step-ended"}
    tasks, changed = notes["platform"].split(", ")
    assert int(tasks.split()[0]) >= 15
    assert changed == "0 changed something"


def test_a_changed_size_is_applied_to_the_running_machine(cli: Cli, app: Path) -> None:
    boot = cli.exec(NAME, "ps -o lstart= -p 1")
    ran = cli.steps("up", str(app), "--memory", "768M", "--cpu", "2", "--yes")
    assert list(ran) == ["snapshot", "infrastructure", "reach", "ship", "healthcheck", "activate"]
    assert cli.exec(NAME, "ps -o lstart= -p 1") == boot, "the machine was not restarted"
    limit = cli.exec(NAME, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | head -n 1")
    assert int(limit) == 768 * 1024**2
    assert "less than the app's minimum" in cli.run("up", str(app), "--memory", "300", code=3).stderr


def test_a_larger_disk_keeps_its_data(cli: Cli, app: Path) -> None:
    cli.exec(NAME, "echo precious > /srv/precious")
    assert "infrastructure" in cli.steps("up", str(app), "--disk", "12", "--yes")
    assert int(cli.exec(NAME, "df --output=size -BM / | tail -n 1").rstrip("M")) > 11 * 1024
    assert cli.exec(NAME, "cat /srv/precious") == "precious"


def test_a_change_that_must_fail_is_refused_before_anything_is_touched(cli: Cli, app: Path) -> None:
    boot, runs = cli.exec(NAME, "ps -o lstart= -p 1"), [line.split()[0] for line in cli.run("runs", NAME).stdout.splitlines()]
    for command in (("plan",), ("up", "--yes")):
        shrunk = cli.run(command[0], str(app), "--disk", "4", *command[1:], code=7).stderr
        assert "the root disk of vm can't shrink from 12 GB to 4 GB" in shrunk
        assert "900G" not in cli.run(command[0], str(app), "--memory", "900G", *command[1:], code=3).stderr
        assert "vm can't grow to" in cli.run(command[0], str(app), "--memory", "250G", *command[1:], code=7).stderr
    assert [line.split()[0] for line in cli.run("runs", NAME).stdout.splitlines()] == runs
    assert cli.exec(NAME, "ps -o lstart= -p 1") == boot


def test_old_releases_are_pruned_and_current_is_the_last(cli: Cli, app: Path) -> None:
    for number in range(5):
        (app / "src" / "note.txt").write_text(str(number))
        cli.run("up", str(app), "--yes")
    releases = cli.exec(NAME, f"ls /opt/tfgrid-compose/{NAME}/releases").splitlines()
    assert len(releases) == 5
    assert cli.exec(NAME, f"readlink /opt/tfgrid-compose/{NAME}/current") == f"releases/{cli.status(NAME)['release']}"


def test_a_tunnel_that_was_deleted_by_hand_comes_back(cli: Cli, app: Path) -> None:
    import subprocess

    subprocess.run(["ip", "link", "del", "wg-e2e-hello"], check=True)
    facts = cli.status(NAME)
    assert any("tunnel wg-e2e-hello is down" in problem for problem in facts["problems"])
    assert cli.run("status", NAME, code=1)
    assert list(cli.steps("up", str(app))) == ["tunnel", "reach"]
    assert "Good" in page(cli)


def test_the_grid_can_be_stopped_and_started_and_everything_is_still_there(cli: Cli, app: Path) -> None:
    cli.exec(NAME, "echo kept > /srv/kept")
    cli.run("localgrid", "down")
    from .conftest import leftovers

    assert leftovers() == []
    assert cli.status(NAME)["machine"]["reachable"] is False
    cli.run("localgrid", "up")
    assert list(cli.steps("up", str(app))) == ["tunnel", "reach"]
    assert cli.exec(NAME, "cat /srv/kept") == "kept"
    assert "Good" in page(cli)


def test_a_machine_that_was_removed_behind_our_back_is_rebuilt(cli: Cli, app: Path) -> None:
    import subprocess
    import sys

    contracts = json.loads(cli.run("inspect", NAME).stdout)["data"]["contracts"]
    code = f"from tfgrid_compose.localgrid.plugin import LocalGrid; LocalGrid().cancel([{max(contracts)}])"
    subprocess.run([sys.executable, "-c", code], env=cli.env, check=True)
    assert cli.status(NAME)["machine"]["reachable"] is False
    plan = json.loads(cli.run("plan", str(app), "--json").stdout)
    assert all(step["needed"] for step in plan["steps"] if step["step"] != "tunnel")
    cli.run("up", str(app), "--yes")
    assert "Good" in page(cli)


def test_down_removes_everything_and_says_what_it_checked(cli: Cli, app: Path) -> None:
    done = cli.run("down", NAME, "--yes")
    assert "is gone. Checked: contracts and machines, tunnel, configuration files, routes, keys." in done.stdout
    assert NAME not in cli.run("ps", "--json").stdout
    assert not Path("/sys/class/net/wg-e2e-hello").exists()
    assert list((cli.home / "run").rglob("*.conf")) == []
    grid = json.loads(cli.run("localgrid", "status", "--json").stdout)
    assert grid["contracts"] == []
    assert "there is no deployment" in cli.run("down", NAME, "--yes", code=5).stderr
