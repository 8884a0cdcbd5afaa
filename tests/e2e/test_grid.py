"""The local grid itself: every kind of address, limits, capacity, plain Terraform, and this computer's bad days."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Cli

Make = Callable[..., Path]


def test_every_kind_of_address_answers_and_the_preferred_one_is_used(
    cli: Cli, make_app: Make, removing: Callable[[str], str]
) -> None:
    name = removing("e2e-networks")
    sizes = "resources: {cpu: 1, memory: 512, disk: 4, ports: ['9000:http']}\n"
    app = make_app(
        name, sizes + "network: {provision: 'mycelium, wireguard, ipv4, ipv6', prefer: [mycelium, ipv4]}\n",
        setup="printf '%s\n' \"$TFGRID_WIREGUARD_IP\" \"$TFGRID_MYCELIUM_IP\" \"$TFGRID_IPV4_ADDRESS\" \"$TFGRID_IPV6_ADDRESS\" > /srv/seen",
    )  # fmt: skip
    cli.run("up", str(app), "--yes")
    facts = cli.status(name)
    found = {item["network"]: item["address"] for item in facts["addresses"]}
    assert list(found) == ["mycelium", "ipv4", "wireguard", "ipv6"]
    assert facts["address"] == found["mycelium"]
    assert facts["links"] == [f"http://[{found['mycelium']}]:9000/"]
    assert found["ipv4"].startswith("198.51.100.") and found["ipv6"].startswith("2001:db8:7467:1:")
    assert ":ff0f:" in found["mycelium"]
    for address in found.values():
        with socket.create_connection((address, 22), timeout=5) as connection:
            assert connection.recv(4) == b"SSH-", address
    assert cli.exec(name, "cat /srv/seen").splitlines() == [
        found["wireguard"], found["mycelium"], found["ipv4"], found["ipv6"],
    ]  # fmt: skip
    with pytest.raises(OSError):
        socket.create_connection((found["ipv4"], 9999), timeout=2)
    answers = json.loads(cli.run("network", "test", name, "--json").stdout)
    assert {item["network"] for item in answers if item["milliseconds"]} == set(found)
    # The preferred address falls silent: the next one in the order is used, and said.
    subprocess.run(["ip", "-6", "route", "add", "unreachable", f"{found['mycelium']}/128", "metric", "1"], check=True)
    try:
        done = cli.run("exec", name, "--", "echo", "over", "$SSH_CONNECTION")
        assert f"{found['mycelium']} does not answer; using {found['ipv4']}" in done.stderr
        assert cli.run("network", "test", name, code=0).stdout.count(" ms") == 3
        assert cli.status(name)["machine"]["address"] == found["ipv4"]
    finally:
        subprocess.run(["ip", "-6", "route", "del", "unreachable", f"{found['mycelium']}/128", "metric", "1"], check=True)
    assert cli.run("network", "prefer", "wireguard", "--app", name).stdout.startswith("wireguard,")
    assert cli.run("address", name).stdout == f"http://{found['wireguard']}:9000/\n"
    contract = next(
        item for item in json.loads(cli.run("localgrid", "status", "--json").stdout)["contracts"] if item["type"] == "vm"
    )
    assert contract["usd_per_hour"] > 0.004, "a public IPv4 costs extra"


def test_machines_reach_packages_and_are_limited(cli: Cli, make_app: Make, removing: Callable[[str], str]) -> None:
    name = removing("e2e-limits")
    app = make_app(name)
    cli.run("up", str(app), "--yes")
    assert "E:" not in cli.exec(name, "apt-get update 2>&1 | tail -n 1")
    limit = cli.exec(name, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | head -n 1")
    assert int(limit) == 512 * 1024**2
    assert int(cli.exec(name, "df --output=size -BM / | tail -n 1").rstrip("M")) <= 4 * 1024
    eater = 'python3 -c "b = bytearray(900 * 1024**2)" 2>&1; echo $?'
    assert cli.exec(name, eater).splitlines()[-1] == "137", "more memory than was asked for is not to be had"
    assert cli.exec(name, "systemctl is-system-running") == "running"


def test_a_node_without_room_and_a_node_that_does_not_exist(cli: Cli, make_app: Make) -> None:
    app = make_app("e2e-room")
    nothing = cli.run("up", str(app), "--memory", "250G", "--yes", code=7)
    assert "no node does" in nothing.stderr and "6 have too little free memory" in nothing.stderr
    assert "(Nile-Delta)" in nothing.stderr and "Next:" in nothing.stderr
    assert "node 6 (Serra-Verde) does not do" in cli.run("up", str(app), "--node", "6", "--memory", "8G", "--yes", code=7).stderr
    assert "there is no node 99" in cli.run("up", str(app), "--node", "99", "--yes", code=5).stderr
    assert json.loads(cli.run("localgrid", "status", "--json").stdout)["contracts"] == []
    cli.run("down", "e2e-room", "--yes", code=None)


def test_what_is_used_is_counted_against_the_node(cli: Cli, make_app: Make, removing: Callable[[str], str]) -> None:
    name = removing("e2e-count")
    app = make_app(name)

    def free() -> str:
        nodes = json.loads(cli.run("localgrid", "status", "--json").stdout)["nodes"]
        return str(next(node["free_memory"] for node in nodes if node["node"] == 5))

    assert free() == "14 GB"
    cli.run("up", str(app), "--node", "5", "--memory", "6G", "--yes")
    assert free() == "8 GB"
    other = make_app("e2e-count2")
    assert "GiB of memory are free" in cli.run("up", str(other), "--node", "5", "--memory", "9G", "--yes", code=7).stderr
    cli.run("down", "e2e-count2", "--yes", code=None)
    cli.run("localgrid", "fault", "--node-down", "5")
    assert "it is down" in cli.run("up", str(other), "--node", "5", "--yes", code=7).stderr
    cli.run("localgrid", "fault", "--clear")
    cli.run("down", "e2e-count2", "--yes", code=None)


_PLAIN = """
terraform {
  required_providers {
    grid = {
      source = "threefoldtech/grid"
    }
  }
}
variable "memory" {
  default = 512
}
provider "grid" {
  mnemonic = "any words will do here"
  network  = "dev"
}
resource "grid_network" "net" {
  name          = "plain_net"
  ip_range      = "10.231.0.0/16"
  nodes         = [2, 4]
  add_wg_access = true
}
resource "grid_deployment" "vm" {
  count        = 2
  name         = "plain${count.index}"
  node         = count.index == 0 ? 2 : 4
  network_name = grid_network.net.name
  vms {
    name       = "vm"
    flist      = "https://hub.grid.tf/tf-official-apps/base:latest.flist"
    memory     = var.memory
    entrypoint = "/sbin/zinit init"
    env_vars = {
      SSH_KEY = "ssh-ed25519 AAAA nobody"
    }
  }
}
output "ips" {
  value = [for deployment in grid_deployment.vm : deployment.vms[0].ip]
}
output "users" {
  value = grid_network.net.external_ip
}
"""


def test_plain_terraform_works_by_hand(cli: Cli, tmp_path: Path) -> None:
    settings = cli.run("localgrid", "terraform-rc", "--path").stdout.strip()
    assert "dev_overrides" in cli.run("localgrid", "terraform-rc").stdout
    (tmp_path / "main.tf").write_text(_PLAIN)

    def terraform(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tfgrid_compose.drivers.terraform_shim", *words], cwd=tmp_path, capture_output=True, text=True,
            env={**cli.env, "TF_CLI_CONFIG_FILE": settings, "CHECKPOINT_DISABLE": "1"}, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    try:
        terraform("apply", "-auto-approve", "-no-color")
        outputs = json.loads(terraform("output", "-json"))
        assert outputs["ips"]["value"] == ["10.231.3.2", "10.231.4.2"] and outputs["users"]["value"] == "10.231.2.0/24"
        assert "No changes" in terraform("plan", "-no-color")
        changed = terraform("apply", "-auto-approve", "-no-color", "-var", "memory=1024")
        assert "0 added, 2 changed, 0 destroyed" in changed
        refused = terraform("apply", "-auto-approve", "-no-color", "-var", "memory=200", code=1)
        assert "expected vms.0.memory to be in the range (256 - 262144), got 200" in " ".join(refused.split())
        full = terraform("apply", "-auto-approve", "-no-color", "-var", "memory=200000", code=1)
        assert "does not have enough resources" in " ".join(full.split())
        names = [item["name"] for item in json.loads(cli.run("localgrid", "status", "--json").stdout)["contracts"]]
        assert sorted(names) == ["plain0", "plain1", "plain_net", "plain_net", "plain_net"]
    finally:
        terraform("destroy", "-auto-approve", "-no-color")
    assert json.loads(cli.run("localgrid", "status", "--json").stdout)["contracts"] == []


@pytest.fixture
def foreign_route() -> Iterator[Callable[[str], None]]:
    """Adds a dummy interface with an address, as another VPN would."""
    name = "e2edummy0"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", "e2edummy1"], check=True)

    def add(address: str) -> None:
        subprocess.run(["ip", "addr", "add", address, "dev", name], check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)

    yield add
    subprocess.run(["ip", "link", "del", name], check=True)


def test_a_route_of_the_host_that_collides_is_named(
    cli: Cli, make_app: Make, removing: Callable[[str], str], foreign_route: Callable[[str], None]
) -> None:
    name = removing("e2e-route")
    app = make_app(name)
    cli.run("up", str(app), "--yes")
    ip_range = json.loads(cli.run("inspect", name).stdout)["data"]["ip_range"]
    subprocess.run(["ip", "link", "del", "wg-e2e-route"], check=True)
    foreign_route(f"{ip_range.removesuffix('.0.0/16')}.9.1/24")
    failed = cli.run("up", str(app), "--yes", code=8)
    assert f"the range {ip_range} collides with a route" in failed.stderr and "e2edummy0" in failed.stderr


def test_other_tunnels_are_left_alone(cli: Cli, make_app: Make, removing: Callable[[str], str]) -> None:
    names = [removing("e2e-same-long-name-a"), removing("e2e-same-long-name-b")]
    for name in names:
        cli.run("up", str(make_app(name)), "--yes")
    tunnels = [cli.status(name)["tunnel"]["interface"] for name in names]
    assert len(set(tunnels)) == 2 and all(len(tunnel) <= 15 for tunnel in tunnels)
    cli.run("down", names[0], "--yes")
    assert cli.status(names[1])["problems"] == []


def test_without_root_and_without_sudo_it_says_so(cli: Cli, make_app: Make, tmp_path: Path) -> None:
    app = make_app("e2e-nobody")
    code = "import os, sys; os.geteuid = lambda: 65534; from tfgrid_compose.cli.main import main; main()"
    env = {**cli.env, "PATH": str(tmp_path / "no-sudo-here")}
    done = subprocess.run(
        [sys.executable, "-c", code, "up", str(app), "--yes"], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 4, done.stderr
    assert "deploying on the local grid needs root" in done.stderr and "Traceback" not in done.stderr
    assert "there is no sudo" in done.stderr and "Next:" in done.stderr


def test_a_live_network_needs_an_account(cli: Cli, make_app: Make) -> None:
    app = make_app("e2e-live")
    failed = cli.run("up", str(app), "--network", "main", "--node", "11", "--yes", code=7)
    assert "no account for network main" in failed.stderr and "--network local" in failed.stderr
    plan = json.loads(cli.run("plan", str(app), "--network", "main", "--node", "11", "--json").stdout)
    assert plan["nodes"] == {"vm": [11]} and plan["usd_per_month"] > 0


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with almost no room."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_here_is_named(cli: Cli, make_app: Make, tiny_disk: Path) -> None:
    app = make_app("e2e-diskfull")
    failed = cli.run("up", str(app), "--yes", code=10, XDG_STATE_HOME=str(tiny_disk))
    assert "full" in failed.stderr and "free some" in failed.stderr


def test_a_damaged_database_is_named(cli: Cli, tmp_path: Path) -> None:
    state = tmp_path / "tfgrid-compose"
    state.mkdir(mode=0o700)
    (state / "state.db").write_bytes(b"this is no database, and long enough to be read as one" * 100)
    failed = cli.run("ps", code=10, XDG_STATE_HOME=str(tmp_path))
    assert "is damaged" in failed.stderr and "tfgrid-compose state repair" in failed.stderr


def test_down_cleans_up_what_never_came_to_be(cli: Cli, make_app: Make) -> None:
    app = make_app("e2e-half")
    cli.run("localgrid", "fault", "--node-down", "4")
    failed = cli.run("up", str(app), "--node", "4", "--yes", code=7)
    assert "node 4" in failed.stderr
    cli.run("localgrid", "fault", "--clear")
    process = cli.start("up", str(app), "--yes", "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if "grid_network.network: Creat" in line:
            break
    process.kill()
    process.communicate()
    assert "is gone" in cli.run("down", "e2e-half", "--yes", code=None).stdout
    assert json.loads(cli.run("localgrid", "status", "--json").stdout)["contracts"] == []
    assert os.listdir("/var/lib/tfgrid-compose/localgrid-1/machines") == []


def test_doctor_is_content_here(cli: Cli) -> None:
    checks = json.loads(cli.run("doctor", "--json").stdout)
    assert {check["name"] for check in checks} >= {"system", "python", "lxc-start", "wg", "terraform", "rights", "disk"}
    assert all(check["ok"] for check in checks if check["needed"])
