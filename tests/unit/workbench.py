"""A workbench: an app, a store, and a world of fakes around them, in which `up`, `rollback` and `down` really run.

Fake are the grid, Terraform, the tunnel, Ansible and hooks. A machine is a folder of this computer, in which the
program's own shell scripts run, so that shipping, proving and switching releases are done for real.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes.directory import FakeDirectory
from tfgrid_compose.cli import down as cli_down
from tfgrid_compose.cli import shell as cli_shell
from tfgrid_compose.cli import up as cli_up
from tfgrid_compose.deploy import down, drift, engine, operate, rollback, up
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.down import Check, Removal
from tfgrid_compose.deploy.options import RollbackOptions, UpOptions
from tfgrid_compose.deploy.plan import Plan, make_plan
from tfgrid_compose.deploy.steps import infrastructure
from tfgrid_compose.deploy.steps.hooks import Ending, Hook
from tfgrid_compose.drivers import ansible, output, ssh, wireguard
from tfgrid_compose.drivers.process import Finished
from tfgrid_compose.errors import GridError, ReachError
from tfgrid_compose.grids import registry
from tfgrid_compose.grids.models import Account, ContractInfo, Marked, Node
from tfgrid_compose.grids.pricing import Rates
from tfgrid_compose.observe.events import Event, Notice, Stream
from tfgrid_compose.observe.redact import Redactor
from tfgrid_compose.patterns.load import BUILTIN
from tfgrid_compose.state import paths
from tfgrid_compose.state.store import Deployment, Release, Store

# Runs the command line in this process: (exit code, standard output, standard error).
Call = Callable[..., tuple[int, str, str]]
REAL_HOOK = Hook._run
MACHINE = {
    "name": "vm", "role": "vm", "node": 7, "contract": "1002", "private_ip": "10.5.3.2", "wireguard_ip": "10.5.3.2",
    "mycelium_ip": "5ff::7", "ipv4_address": "", "ipv6_address": "", "address": "10.5.3.2",
}  # fmt: skip
STEPS = ["infrastructure", "tunnel", "reach", "platform", "ship", "setup", "configure", "healthcheck", "activate"]


class FakeGrid:
    """A grid that remembers contracts and copies of disks, and does what a test says."""

    name, needs_root, adopts = "main", False, True

    def __init__(self) -> None:
        self.global_addresses = True
        self.can_snapshot = self.play_money = self.attaches_provider = False
        self.live: dict[int, ContractInfo] = {}
        self.copies: dict[str, str] = {}
        self.done: list[str] = []
        self.silent: GridError | None = None
        self.refuses: GridError | None = None
        self.data = "as it was made"
        # The account, and what its network's directory knows of nodes and bills.
        self.usd_per_tft, self.tft, self.address = 0.06, 1000.0, ""
        self.others: list[ContractInfo] = []
        self.directory = FakeDirectory()

    def prepare(self, progress: Callable[[str], None]) -> None:
        """Nothing takes long here."""
        self.done.append("prepare")

    def may_buy(self) -> None:
        """Whoever pays may."""

    def nodes(self, *, ipv6: bool = False) -> list[Node]:
        """Twelve nodes on which everything fits."""
        return [self.directory.known(id) for id in range(1, 13)]

    def these_nodes(self, ids: Collection[int]) -> list[Node]:
        """Any node."""
        return self.directory.listed(ids)

    @contextmanager
    def terraform(self, progress: Callable[[str], None], *, only_look: bool = False) -> Iterator[dict[str, str]]:
        """Nothing is needed."""
        yield {}

    def client(self) -> FakeDirectory:
        """The directory."""
        return self.directory

    def rates(self) -> Rates:
        """What a TFT costs."""
        if self.silent:
            raise self.silent
        return Rates(self.usd_per_tft)

    def account(self) -> Account:
        """An account with a balance."""
        if self.silent:
            raise self.silent
        return Account(self.name, "5Fake", twin=42, tft=self.tft)

    def payer(self) -> str:
        """Who is signed in."""
        return self.address

    def all_contracts(self) -> list[ContractInfo]:
        """Those of the deployment, and others."""
        return [*self.contracts(""), *self.others]

    def contracts(self, deployment: str) -> list[ContractInfo]:
        """All that live."""
        if self.silent:
            raise self.silent
        return list(self.live.values())

    def marked(self) -> list[Marked]:
        """Nothing of others."""
        return []

    def alive(self, contracts: Sequence[int]) -> bool:
        """Whether all live."""
        return set(contracts) <= set(self.live)

    def cancel(self, contracts: Sequence[int]) -> None:
        """Forget them."""
        self.done.append(f"cancel {sorted(contracts)}")
        for id in contracts:
            self.live.pop(id, None)

    def remains(self, contracts: Sequence[int]) -> list[str]:
        """Those that live."""
        return [f"contract {id}" for id in contracts if id in self.live]

    def snapshot(self, contracts: Sequence[int], name: str) -> int:
        """Keep what `data` is."""
        if self.refuses:
            raise self.refuses
        self.copies[name] = self.data
        return 3 * 1024**2

    def restore(self, contracts: Sequence[int], name: str) -> None:
        """Bring `data` back."""
        self.data = self.copies[name]

    def snapshots(self, contracts: Sequence[int]) -> list[str]:
        """Names, oldest first."""
        return list(self.copies)

    def forget_snapshot(self, contracts: Sequence[int], name: str) -> None:
        """Drop one."""
        self.copies.pop(name, None)


class FakeMachine:
    """A machine that is a folder: scripts run in it with their absolute paths put below it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unreachable = ""
        self.lines: list[str] = []
        self.services = {"nginx": "active"}
        self.make()

    def make(self) -> None:
        """A new machine has nothing on it."""
        for name in ("opt", "tmp", "run", "bin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        chown = self.folder / "bin" / "chown"
        chown.write_text("#!/bin/sh\nexit 0\n")
        chown.chmod(0o755)

    @property
    def root(self) -> Path:
        """Where releases of my-app stand."""
        return self.folder / "opt" / "tfgrid-compose" / "my-app"

    @property
    def current(self) -> str:
        """The release that is live."""
        link = self.root / "current"
        return link.readlink().name if link.is_symlink() else ""

    @property
    def releases(self) -> list[str]:
        """Names of all release folders."""
        found = self.root / "releases"
        return sorted(path.name for path in found.iterdir()) if found.is_dir() else []

    def read(self, name: str) -> str:
        """A file of the live release."""
        return (self.root / "current" / name).read_text()

    def run(self, command: str, *, input: bytes | None = None, timeout: float = 120) -> Finished:
        """As `ssh.Connection.run`."""
        self.lines.append(command)
        if self.unreachable:
            raise ReachError("the connection to my-app-vm (10.5.3.2) failed", why=self.unreachable)
        if command.startswith("systemctl "):
            verb, service = shlex.split(command)[1:3]
            if verb == "stop":
                self.services[service] = "inactive"
            return Finished((), 0, self.services.get(service, "unknown") + "\n", "")
        words, env = self._here(command)
        done = subprocess.run(words, input=input or b"", capture_output=True, env=env, timeout=60)
        return Finished((), done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def stream(
        self, command: str, on_line: Callable[[str], None], *, input: bytes | None = None, clean: Callable[[str], str] = str
    ) -> int:
        """As `ssh.Connection.stream`."""
        words, env = self._here(command)
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env) as process:
            assert process.stdout and process.stdin
            process.stdin.write(input or b"")
            process.stdin.close()
            for line in output.lines(process.stdout, clean):
                on_line(line)
        return process.returncode

    def _here(self, command: str) -> tuple[list[str], dict[str, str]]:
        """The command with its absolute paths put below the folder."""
        for place in ("/opt/tfgrid-compose", "/tmp/app-", "/run/tfgrid-compose"):
            command = command.replace(place, f"{self.folder}{place}")
        return ["bash", "-c", command], {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}

    def close(self) -> None:
        """Nothing is open."""


class FakeTerraform:
    """Makes one machine; another node is another machine."""

    def __init__(self, bench: Bench, context: Context) -> None:
        self._bench, self._context = bench, context

    def prepare(self, folder: Path) -> None:
        """Nothing to copy."""

    def init(self) -> None:
        """Nothing to load."""

    def apply(self) -> dict[str, Any]:
        """The outputs of pattern single-vm."""
        bench, context = self._bench, self._context
        bench.fail_at("terraform")
        node = context.nodes["vm"][0]
        id = next((id for id, found in bench.grid.live.items() if found.node == node), 0)
        if not id:
            bench.next_contract = id = bench.next_contract + 1
            bench.grid.live = {id: contract(id, node)}
            shutil.rmtree(bench.machine.folder)
            bench.machine.make()
        public = "198.51.100.7" if "ipv4" in context.networks.provision else ""
        machine = {key: value for key, value in MACHINE.items() if key != "address"}
        return {
            "machines": [{**machine, "node": node, "contract": str(id), "ipv4_address": public}],
            "wg_config": "[Interface]\nPrivateKey = a-key-of-the-tunnel=\n", "contracts": {"vm": [id]},
            "primary_ip": "5ff::7", "primary_ip_type": "mycelium", "deployment_name": "my-app", "node_ids": [node],
        }  # fmt: skip

    def drift(self) -> list[tuple[str, str]]:
        """What a test says."""
        self._bench.fail_at("terraform drift")
        return self._bench.terraform_drift


def contract(id: int, node: int = 7, state: str = "Created") -> ContractInfo:
    """A contract of the fake grid."""
    return ContractInfo(id, node, "node", f"vm_{id}", state, 0.01, "my-app")


class Bench:
    """An app on network `main`, whose node is given."""

    def __init__(self, folder: Path, store: Store, machine: FakeMachine, grid: FakeGrid) -> None:
        self.folder, self.store, self.machine, self.grid = folder, store, machine, grid
        self.events: list[Event] = []
        self.hooks: list[str] = []
        self.codes: dict[str, int] = {}
        self.failures: dict[str, list[BaseException]] = {}
        self.tunnels: set[str] = set()
        self.playbooks: list[str] = []
        self.checked: tuple[str, ...] = ()
        self.terraform_drift: list[tuple[str, str]] = []
        self.slept: list[float] = []
        self.next_contract = 1001
        # Addresses that don't answer: {address: why}.
        self.silent: dict[str, str] = {}

    # The world

    def fail(self, place: str, *errors: BaseException) -> None:
        """The next times that `place` is reached, these errors are raised, one each."""
        self.failures.setdefault(place, []).extend(errors)

    def fail_at(self, place: str) -> None:
        """Raise what a test has ordered for this place."""
        ordered = self.failures.get(place, [])
        if ordered:
            raise ordered.pop(0)

    def own_pattern(self, old: str, new: str) -> None:
        """The user's own copy of the pattern, in which a Terraform variable has another name."""
        folder = paths.config_dir() / "patterns" / "single-vm"
        shutil.copytree(BUILTIN / "single-vm", folder)
        for path in (folder / "pattern.yaml", *(folder / "infrastructure").glob("*.tf")):
            path.write_text(re.sub(rf'(^  |"|var\.){old}\b', rf"\g<1>{new}", path.read_text(), flags=re.MULTILINE))

    def write(self, name: str, text: str) -> None:
        """A file of the app."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def manifest(self, text: str) -> None:
        """The manifest, after its name."""
        self.write("tfgrid-compose.yaml", f"name: my-app\n{text}")

    # Commands

    def stream(self) -> Stream:
        """A stream whose events are kept in `events`, and whose redactor is this test's own."""
        found = Stream(Redactor())
        found.subscribe(self.events.append)
        return found

    @contextmanager
    def context(self, write: bool = False, **given: Any) -> Iterator[Context]:
        """A context as `up` and `plan` have it."""
        options = UpOptions(**{"target": self.folder, "network": "main", "node": 7, **given})
        with up.prepared(self.store, self.stream(), options, lambda variable: None, write=write) as found:
            yield found

    def plan(self, **given: Any) -> Plan:
        """What `up` would do."""
        with self.context(**given) as context:
            return make_plan(context)

    def reasons(self, **given: Any) -> dict[str, str]:
        """{step: reason} of the steps that `up` would run."""
        return {item.step.name: item.reason for item in self.plan(**given).steps if item.needed}

    def up(self, **given: Any) -> Release:
        """`up`; returns the release that is live then."""
        with self.context(write=True, **given) as context:
            rollback.deploy(context, make_plan(context))
        return self.live

    @contextmanager
    def back(self, to: str | None = None, write: bool = True, **given: Any) -> Iterator[Context]:
        """A context as `rollback` has it."""
        options = RollbackOptions(release=to, **given)
        with rollback.prepared(self.store, self.stream(), self.deployment, options, write=write) as found:
            yield found

    def rollback(self, to: str | None = None, **given: Any) -> Release:
        """`rollback`; returns the release that is live then."""
        with self.back(to, **given) as context:
            rollback.run(context, make_plan(context))
        return self.live

    def removal(self) -> Removal:
        """What `down` does, and `down --forget`."""
        return Removal(self.store, self.stream(), self.deployment)

    def down(self) -> list[Check]:
        """`down`."""
        return self.removal().run()

    # What is remembered

    @property
    def deployment(self) -> Deployment:
        """The only one."""
        (found,) = self.store.deployments()
        return found

    @property
    def live(self) -> Release:
        """The live release."""
        found = self.store.live_release(self.deployment.id)
        assert found is not None
        return found

    @property
    def statuses(self) -> dict[int, str]:
        """{number: status} of all releases, oldest first."""
        return {item.number: item.status for item in reversed(self.store.releases(self.deployment.id))}

    @property
    def last_run(self) -> dict[str, Any]:
        """The newest run."""
        return self.store.runs(limit=1)[0]

    def outcomes(self, run: int | None = None) -> dict[str, str | None]:
        """{step: outcome} of a run, the newest by default."""
        return {item["name"]: item["outcome"] for item in self.store.steps(run or self.last_run["id"])}

    def notices(self) -> list[str]:
        """Sentences that were said."""
        return [event.text for event in self.events if isinstance(event, Notice)]


def fake_world(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the fakes where grid, programs and machine are reached."""
    for module in (registry, up, rollback, down, operate, cli_shell, cli_up, cli_down):
        monkeypatch.setattr(module, "open_grid", lambda network: bench.grid)
    monkeypatch.setattr(engine, "time", SimpleNamespace(sleep=bench.slept.append, monotonic=engine.time.monotonic))

    @contextmanager
    def terraform(context: Context, progress: Any = None) -> Iterator[FakeTerraform]:
        yield FakeTerraform(bench, context)

    monkeypatch.setattr(infrastructure, "find", lambda given=None: ["terraform"])
    monkeypatch.setattr(infrastructure, "working", terraform)
    monkeypatch.setattr(drift, "looking", terraform)

    def tunnel_up(interface: str, config: str) -> None:
        bench.fail_at("tunnel")
        bench.tunnels.add(interface)

    monkeypatch.setattr(wireguard, "host_routes", list)
    monkeypatch.setattr(wireguard, "host_interfaces", set)
    monkeypatch.setattr(wireguard, "overlapping", lambda ip_range, interface: None)
    monkeypatch.setattr(wireguard, "is_up", lambda interface: interface in bench.tunnels)
    monkeypatch.setattr(wireguard, "up", tunnel_up)
    monkeypatch.setattr(wireguard, "down", bench.tunnels.discard)

    def login(targets: list[ssh.Target], deadline: float, waiting: Any = None) -> ssh.Target:
        bench.fail_at("reach")
        bench.machine.run("true")
        return targets[0]

    monkeypatch.setattr(ssh, "Connection", lambda target: bench.machine)
    monkeypatch.setattr(ssh, "wait_for_login", login)
    monkeypatch.setattr(ssh, "knock", lambda target, timeout: bench.silent.get(target.address, ""))

    def playbook(path: Path, hosts: Any, variables: Any, *, check: bool = False, **given: Any) -> ansible.Outcome:
        bench.playbooks.append(f"check {path.name}" if check else path.name)
        bench.fail_at("platform")
        return ansible.Outcome(bench.checked if check else (), 12)

    monkeypatch.setattr(ansible, "run", playbook)

    def hook(self: Hook, context: Context, timeout: int, lines: list[str]) -> Ending:
        bench.hooks.append(self.name)
        bench.fail_at(self.name)
        lines.append(f"{self.name} of {context.deployment.data['shipped']}")
        return Ending(code=bench.codes.get(self.name, 0))

    monkeypatch.setattr(Hook, "_run", hook)
