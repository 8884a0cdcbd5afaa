"""The local grid's bad days: commands killed in the middle, ordered faults, snapshots; on real machines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tfgrid_compose.errors import GridError
from tfgrid_compose.localgrid import deployments, networks, router, snapshots
from tfgrid_compose.localgrid.deployments import DeploymentConfig, VmConfig
from tfgrid_compose.localgrid.engine import Engine
from tfgrid_compose.localgrid.ledger import Contract
from tfgrid_compose.localgrid.machine import Machine
from tfgrid_compose.localgrid.plugin import LocalGrid

from .conftest import Cli

ID = "00aa11bb22cc33dd"
# A child that does one thing and dies, as by `kill -9`, right before the given call of a function.
_CHILD = """
import importlib, json, os, signal, sys
from tests.e2e import test_localgrid_faults as own

point, skip, action, words = sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
module, _, path = point.partition(":")
owner = importlib.import_module(module)
*parents, last = path.split(".")
for name in parents:
    owner = getattr(owner, name)
real = getattr(owner, last)

def dying(*args, **named):
    global skip
    skip -= 1
    if skip < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **named)

setattr(owner, last, dying)
own.act(action, words)
"""
BASE = "tfgrid_compose.localgrid."


def config(
    key: str, node: int = 1, memory: int = 512, rootfs: int = 4096, disks: tuple[tuple[str, int], ...] = (("data", 1),)
) -> DeploymentConfig:
    """One machine with a public address and a data disk."""
    mounts = tuple((name, f"/srv/{name}") for name, _ in disks)
    vm = VmConfig("vm", 1, memory, rootfs, None, True, False, False, None, None, (key,), mounts)
    return DeploymentConfig(f"vm_{ID}", node, f"net_{ID}", (vm,), disks, "tfgrid-compose/e2e-faults")


def make_network(engine: Engine, *nodes: int) -> None:
    """The deployment's network on these nodes."""
    wanted = networks.NetworkConfig(f"net_{ID}", "10.78.0.0/16", nodes, {}, False, "", "tfgrid-compose/e2e-faults")
    networks.apply(engine, engine.ledger.twin("faults"), wanted)


def act(action: str, words: list[str]) -> None:
    """What a child does, in a process of its own."""
    grid = LocalGrid()
    with Engine() as engine:
        if action == "create":
            make_network(engine, 1)
            deployments.create(engine, engine.ledger.twin("faults"), config(*words))
            return
    if action == "cancel":
        grid.cancel([int(words[0])])
    elif action == "ensure":
        grid.prepare(print)
    else:
        getattr(grid, action)([int(words[0])], *words[1:])


@dataclass
class Site:
    """The tests' grid, driven without the deployment engine."""

    cli: Cli
    engine: Engine
    key: Path

    @property
    def public(self) -> str:
        return self.key.with_suffix(".pub").read_text().strip()

    def config(self, **changes: object) -> DeploymentConfig:
        return config(self.public, **changes)  # type: ignore[arg-type]

    def create(self, wanted: DeploymentConfig | None = None) -> Contract:
        return deployments.create(self.engine, self.engine.ledger.twin("faults"), wanted or self.config())

    def ready(self) -> Contract:
        """A machine that answers."""
        LocalGrid().prepare(lambda _: None)
        make_network(self.engine, 1)
        contract = self.create()
        self.answers(contract)
        return contract

    def kill(self, point: str, skip: int, action: str, *words: str) -> None:
        """Do something in a child that dies right before a call of `point`, which it must reach."""
        argv = [sys.executable, "-c", _CHILD, BASE + point, str(skip), action, json.dumps(words)]
        done = subprocess.run(argv, env=self.cli.env, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120)
        assert done.returncode == -signal.SIGKILL, f"{point} was not reached\n{done.stdout}{done.stderr}"

    def contracts(self) -> list[Contract]:
        return [contract for contract in self.engine.ledger.contracts(ending=True) if contract.data["type"] == "vm"]

    def folders(self) -> list[str]:
        place = self.engine.instance.machines
        return sorted(os.listdir(place)) if place.exists() else []

    def machine(self, contract: Contract) -> Machine:
        return Machine(self.engine.instance, self.engine.machine_specs(contract)[0])

    def only(self) -> Contract:
        """The one contract, which must have exactly one machine that runs."""
        (contract,) = self.contracts()
        assert self.folders() == [self.machine(contract).spec.id]
        assert self.machine(contract).state() == "running"
        return contract

    def ssh(self, contract: Contract, line: str) -> subprocess.CompletedProcess[str]:
        address = contract.spec["vms"]["vm"]["computedip"].split("/")[0]
        options = (
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "BatchMode=yes",
            "ConnectTimeout=2",
        )
        flags = [word for option in options for word in ("-o", option)]
        return subprocess.run(
            ["ssh", "-F", "none", "-i", str(self.key), *flags, f"root@{address}", line],
            capture_output=True,
            text=True,
            timeout=60,
        )

    def answers(self, contract: Contract, line: str = "true") -> str:
        """Output of a line, as soon as the machine answers."""
        deadline = time.monotonic() + 30
        while (done := self.ssh(contract, line)).returncode == 255 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def fault(self, *words: str) -> None:
        self.cli.run("localgrid", "fault", *words)


@pytest.fixture
def site(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The grid, up and with nothing of ours on it; cleared afterwards."""
    monkeypatch.setenv("TFGRID_LOCALGRID", "1")
    monkeypatch.delenv("TFGRID_LOCALGRID_ROOT", raising=False)
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    with Engine() as engine:
        engine.ensure()
        found = Site(cli, engine, key)
        yield found
        found.fault("--clear")
        engine.ensure()
        grid = LocalGrid()
        grid.cancel([contract.id for contract in engine.ledger.contracts(ending=True)])
        assert found.folders() == [] and engine.ledger.contracts(ending=True) == []
        assert os.listdir(engine.instance.home / "locks") == [], "locks go with their machines"


# Killed while a machine is made


@pytest.mark.parametrize(
    ("point", "skip"),
    [
        ("ledger:Ledger.save_network", 0),
        ("router:_bridges", 0),
        ("deployments:_realise", 0),  # a contract without machines
        ("machine:Machine._prepare_disks", 0),
        ("machine:Machine._prepare_network", 0),
        ("machine:Machine._seed", 0),
        ("machine:Machine._config", 0),
        ("ledger:Ledger.update_contract", 1),  # the machine runs, and its contract has no hash
        ("ledger:Ledger.free_addresses", 0),
    ],
)
@pytest.mark.parametrize("ensured", [False, True])
def test_a_create_that_is_killed_anywhere_leads_to_one_machine(site: Site, point: str, skip: int, ensured: bool) -> None:
    site.kill(point, skip, "create", site.public)
    if ensured:
        site.engine.ensure()
    make_network(site.engine, 1)
    site.create(site.config(memory=768))
    contract = site.only()
    assert contract.hash and site.machine(contract).spec.memory == 768
    assert len([item for item in site.engine.ledger.contracts() if item.data["type"] == "network"]) == 1
    assert (
        int(
            site.answers(
                contract, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null | head -n 1"
            )
        )
        == 768 * 1024**2
    )
    assert site.answers(contract, "test -s /etc/ssh/ssh_host_ed25519_key.pub && findmnt -no TARGET /srv/data") == "/srv/data"


def test_a_crash_before_the_choice_of_another_node_leaves_one_machine(site: Site) -> None:
    first = site.ready()
    make_network(site.engine, 1, 3)
    second = site.create(site.config(node=3))
    assert (second.node, second.id != first.id) == (3, True)
    assert site.only().id == second.id


def test_a_name_without_an_id_is_left_alone_on_another_node(site: Site) -> None:
    site.ready()
    make_network(site.engine, 1, 3)
    plain = replace(site.config(), name="plain")
    site.create(plain)
    site.create(replace(plain, node=3))
    site.create(replace(plain, node=3, vms=(replace(plain.vms[0], memory=600),)))
    assert [(item.node, item.data["name"]) for item in site.contracts()] == [
        (1, f"vm_{ID}"),
        (1, "plain"),
        (3, "plain"),
        (3, "plain"),
    ]


def test_a_machine_with_data_survives_a_change_that_fails(site: Site) -> None:
    contract = site.ready()
    site.answers(contract, "echo precious > /srv/data/x; sync")
    with pytest.raises(GridError, match="can't shrink from 4096 MB to 2048 MB"):
        site.create(site.config(rootfs=2048))
    site.fault("--timeouts", "1", "--for", "vm_*")
    with pytest.raises(GridError, match=f"error waiting deployment: waiting for deployment {contract.id} timed out"):
        site.create(site.config(memory=600))
    grown = site.create(site.config(rootfs=6144, disks=(("data", 2),)))
    assert grown.id == contract.id == site.only().id
    assert (
        site.answers(grown, "cat /srv/data/x; df --output=size -BM / /srv/data | tail -n 2 | tr -dc '0-9\\n'").split()[0]
        == "precious"
    )


def test_a_disk_that_grew_while_the_machine_was_off_is_grown_at_its_boot(site: Site) -> None:
    contract = site.ready()
    site.machine(contract).stop()
    site.create(site.config(rootfs=8192))
    assert int(site.answers(site.only(), "df --output=size -BM / | tail -n 1").rstrip("M")) > 7000


# Killed while a contract is cancelled


@pytest.mark.parametrize(
    ("point", "skip"), [("machine:Machine.halt", 0), ("machine:shutil.rmtree", 0), ("ledger:Ledger.close_contract", 0)]
)
@pytest.mark.parametrize("again", [False, True])
def test_a_cancel_that_is_killed_is_ended_by_whoever_comes_next(site: Site, point: str, skip: int, again: bool) -> None:
    contract = site.ready()
    site.kill(point, skip, "cancel", str(contract.id))
    grid = LocalGrid()
    assert [item.id for item in grid.contracts(ID) if item.name.startswith("vm")] == [contract.id], "`down` finds it"
    assert grid.remains([contract.id]) != []
    assert not grid.alive([contract.id])
    if again:
        grid.cancel([contract.id])
    else:
        site.engine.ensure()
    assert grid.remains([contract.id]) == []
    assert site.contracts() == []


def test_a_machine_that_no_contract_names_is_removed(site: Site) -> None:
    contract = site.ready()
    orphan = replace(site.machine(contract).spec, id="4711-0", hostname="orphan", links=())
    Machine(site.engine.instance, orphan).start()
    site.engine.ensure()
    assert site.only().id == contract.id
    assert "tg1-m4711-0" not in os.listdir("/run/netns")


# Snapshots


def write(site: Site, contract: Contract, text: str) -> None:
    site.answers(contract, f"echo {text} | tee /opt/x /srv/data/x")


def read(site: Site, contract: Contract) -> list[str]:
    return site.answers(contract, "cat /opt/x /srv/data/x").split()


def test_a_snapshot_brings_both_disks_back_and_the_machine_runs_on_meanwhile(site: Site) -> None:
    contract, grid = site.ready(), LocalGrid()
    network = next(item.id for item in grid.contracts(ID) if item.name.startswith("net"))
    both = [network, contract.id]
    write(site, contract, "one")
    kept = grid.snapshot(both, "release-1")
    assert 1024**2 < kept < 1024**3
    boot = site.answers(contract, "uptime -s; systemctl is-system-running --wait")
    write(site, contract, "two")
    assert grid.snapshot(both, "release-2") > 0
    assert site.answers(contract, "uptime -s; systemctl is-system-running") == boot, "a snapshot restarts nothing"
    assert grid.snapshots(both) == ["release-1", "release-2"]
    write(site, contract, "three")
    for name, text in (("release-1", "one"), ("release-2", "two"), ("release-1", "one")):
        grid.restore(both, name)
        assert read(site, contract) == [text, text]
    write(site, contract, "four")
    grid.snapshot(both, "release-1")
    assert grid.snapshots(both) == ["release-2", "release-1"], "one of the same name is replaced"
    grid.forget_snapshot(both, "release-2")
    grid.forget_snapshot(both, "release-2")
    assert grid.snapshots(both) == ["release-1"]
    with pytest.raises(GridError, match="there is no snapshot `release-2`") as caught:
        grid.restore(both, "release-2")
    assert (caught.value.code, caught.value.why) == ("snapshot-missing", "snapshots are release-1")
    assert site.answers(contract, "dmesg 2>/dev/null | grep -c 'EXT4-fs error' || true") in ("0", "")


def test_disks_that_grew_since_the_snapshot_stay_large_and_new_ones_stay(site: Site) -> None:
    contract, grid = site.ready(), LocalGrid()
    write(site, contract, "one")
    grid.snapshot([contract.id], "small")
    site.create(site.config(rootfs=6144, disks=(("data", 2), ("more", 1))))
    site.answers(contract, "echo new > /srv/more/x")
    write(site, contract, "two")
    grid.restore([contract.id], "small")
    assert read(site, contract) == ["one", "one"]
    sizes = site.answers(contract, "df --output=size -BM / /srv/data | tail -n 2").replace("M", "").split()
    assert int(sizes[0]) > 5500 and int(sizes[1]) > 1900
    assert site.answers(contract, "cat /srv/more/x") == "new"


def test_the_tunnel_of_another_deployment_does_not_keep_the_disks_in_use(site: Site) -> None:
    contract, grid = site.ready(), LocalGrid()
    public = networks.wireguard_pair()[1]
    other = networks.NetworkConfig("net_ffffffffffffffff", "10.79.0.0/16", (3,), {}, True, public)
    record = networks.apply(site.engine, site.engine.ledger.twin("faults"), other)
    grid.snapshot([contract.id], "kept")
    grid.restore([contract.id], "kept")
    assert router.is_up(site.engine.instance, record)
    pid = site.engine.instance.home / f"wireguard-{record['number']}.pid"
    if pid.exists():
        os.kill(int(pid.read_text()), signal.SIGKILL)
        deadline = time.monotonic() + 5
        while router.is_up(site.engine.instance, record) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not router.is_up(site.engine.instance, record)
        site.engine.ensure()
        assert router.is_up(site.engine.instance, record), "an access point that died is made anew"


def test_a_machine_that_is_off_can_be_kept_too(site: Site) -> None:
    contract, grid = site.ready(), LocalGrid()
    write(site, contract, "one")
    site.machine(contract).stop()
    assert grid.snapshot([contract.id], "off") > 0
    site.engine.ensure()
    site.answers(contract)
    write(site, contract, "two")
    grid.restore([contract.id], "off")
    assert read(site, contract) == ["one", "one"]


def test_too_little_room_is_told_before_anything_is_frozen(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    contract, grid = site.ready(), LocalGrid()
    monkeypatch.setattr(snapshots, "_GIB", 1 << 60)
    with pytest.raises(GridError) as caught:
        grid.snapshot([contract.id], "huge")
    assert caught.value.code == "snapshot-too-large"
    assert grid.snapshots([contract.id]) == []


@pytest.mark.parametrize(
    ("point", "skip"), [("images:freeze", 1), ("images:copy", 0), ("images:copy", 1), ("images:thaw", 0), ("snapshots:_put", 0)]
)
def test_a_snapshot_that_is_killed_is_none_and_leaves_nothing_frozen(site: Site, point: str, skip: int) -> None:
    contract, grid = site.ready(), LocalGrid()
    write(site, contract, "one")
    site.kill(point, skip, "snapshot", str(contract.id), "broken")
    site.engine.ensure()
    assert site.answers(contract, "echo two > /opt/x; echo two > /srv/data/x; sync; cat /opt/x") == "two", (
        "writers don't wait any more"
    )
    assert grid.snapshots([contract.id]) == []
    assert os.listdir(site.machine(contract).folder / "snapshots") == []
    assert not site.machine(contract).frozen
    assert site.only().id == contract.id


def test_a_machine_that_was_left_frozen_can_be_cancelled(site: Site) -> None:
    contract = site.ready()
    site.kill("images:copy", 0, "snapshot", str(contract.id), "broken")
    assert site.machine(contract).frozen
    LocalGrid().cancel([contract.id])
    assert site.folders() == []


@pytest.mark.parametrize(
    ("point", "skip", "expected"),
    [
        ("images:copy", 1, "two"),
        ("snapshots:_swap", 0, "one"),  # noted: from here on it is ended
        ("machine:Machine.halt", 0, "one"),
        ("images:wait_for_release", 1, "one"),  # one disk is in place, the other is not
        ("machine:Machine.boot", 0, "one"),
        ("machine:Machine._prepare_network", 0, "one"),
    ],
)
def test_a_restore_that_is_killed_is_not_begun_or_ended(site: Site, point: str, skip: int, expected: str) -> None:
    contract, grid = site.ready(), LocalGrid()
    write(site, contract, "one")
    grid.snapshot([contract.id], "kept")
    write(site, contract, "two")
    site.answers(contract, "sync")
    site.kill(point, skip, "restore", str(contract.id), "kept")
    site.engine.ensure()
    assert read(site, contract) == [expected, expected]
    assert list(site.machine(contract).folder.glob("*.restored")) == []
    assert site.engine.ledger.fact("restores") == []
    assert grid.snapshots([contract.id]) == ["kept"]
    assert site.only().id == contract.id


# Killed while the grid comes up


@pytest.mark.parametrize("point", ["fabric:_bridges", "router:_bridges", "machine:Machine._seed"])
def test_a_start_of_the_grid_that_is_killed_is_ended_by_the_next(site: Site, point: str) -> None:
    contract = site.ready()
    site.engine.down()
    site.kill(point, 0, "ensure")
    site.engine.ensure()
    assert site.only().id == contract.id
    site.answers(contract)


# Ordered faults


def test_creates_fail_as_ordered_and_the_next_one_succeeds(site: Site) -> None:
    LocalGrid().prepare(lambda _: None)
    site.fault("--timeouts", "1", "--for", "net_*")
    with pytest.raises(GridError, match="could not reach node 1: context deadline exceeded"):
        make_network(site.engine, 1)
    make_network(site.engine, 1)
    for option, words in (
        ("--timeouts", "error waiting deployment: waiting for deployment [0-9]+ timed out"),
        ("--refused", "failed to create contract on node 1: NodeNotAvailableToDeploy"),
        ("--no-capacity", "node 1 does not have enough resources. needed: .*, free: "),
    ):
        site.fault(option, "1", "--for", "e2e-*")
        with pytest.raises(GridError, match=words):
            site.create()
        assert site.contracts() == [] and site.folders() == []
    site.fault("--timeouts", "5", "--for", "another-app")
    site.fault("--slow", "1.5")
    started = time.monotonic()
    site.create()
    assert time.monotonic() - started > 1.5
    site.only()
    site.fault("--clear")
    assert site.engine.ledger.fact("faults") is None


def test_an_answer_that_is_dropped_leaves_a_machine_that_the_next_create_adopts(site: Site) -> None:
    LocalGrid().prepare(lambda _: None)
    make_network(site.engine, 1)
    site.fault("--dropped", "1")
    with pytest.raises(GridError, match="could not reach node 1: connection timeout"):
        site.create()
    left = site.only()
    assert site.create().id == left.id == site.only().id


_LOCKED = "python3 -c \"import fcntl; fcntl.lockf(open('/var/lib/dpkg/lock-frontend', 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)\""


def test_a_new_machine_holds_its_package_locks_for_a_while_and_once(site: Site) -> None:
    LocalGrid().prepare(lambda _: None)
    make_network(site.engine, 1)
    site.fault("--apt-lock", "4")
    contract = site.create()
    done = site.ssh(contract, "true")
    site.answers(contract)
    done = site.ssh(contract, f"{_LOCKED}; apt-get install -y -q tree 2>&1")
    assert "BlockingIOError" in done.stderr and "Could not get lock /var/lib/dpkg/lock-frontend" in done.stdout
    site.answers(contract, "systemctl is-system-running --wait")
    site.answers(contract, "for i in $(seq 100); do systemctl is-active -q tfgrid-fault-apt-lock || break; sleep 0.1; done")
    assert site.ssh(contract, _LOCKED).returncode == 0
    assert site.answers(contract, "systemctl is-system-running; find / -xdev -name 'tfgrid-fault*'") == "running"
    site.machine(contract).stop()
    site.engine.ensure()
    site.answers(contract)
    assert site.ssh(contract, _LOCKED).returncode == 0, "only the first boot"


def test_a_new_machine_ends_ssh_sessions_as_often_as_ordered(site: Site) -> None:
    LocalGrid().prepare(lambda _: None)
    make_network(site.engine, 1)
    site.fault("--drop-ssh", "2")
    contract = site.create()
    site.answers(contract)
    ends: list[float] = []
    for _ in range(2):
        started = time.monotonic()
        assert site.ssh(contract, "sleep 20").returncode == 255
        ends.append(time.monotonic() - started)
    assert all(2 < seconds < 19 for seconds in ends), "the machine ended them, and not before a login was through"
    assert site.ssh(contract, "sleep 5").returncode == 0
    assert site.answers(contract, "systemctl is-system-running; find / -xdev -name 'tfgrid-fault*'") == "running"
