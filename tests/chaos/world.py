"""A grid in memory, built to the contract of `grids.base.Grid` and to what the local grid does: contracts, networks,
machines, adoption by name, half-done cancels and restores; and this computer's tunnels.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.machine import Machine
from tests.chaos.strikes import current, point
from tfgrid_compose.errors import GridError
from tfgrid_compose.grids.base import Progress
from tfgrid_compose.grids.client import Client
from tfgrid_compose.grids.marks import app_of, deployment_of
from tfgrid_compose.grids.models import GIB, Account, Capacity, ContractInfo, Marked, Node
from tfgrid_compose.grids.pricing import Rates

LIVE = ("Created", "Cancelling")
Work = Generator[str, None, Any]


@dataclass
class Contract:
    """A contract of a machine (`vm`) or of a network on one node; without a hash its machine is not made yet."""

    id: int
    node: int
    kind: str
    name: str
    project: str
    network: str = ""
    hash: str = ""
    state: str = "Created"
    shape: dict[str, Any] = field(default_factory=dict)


@dataclass
class Network:
    """A private network; keys are names of pairs: `private-3` belongs to `public-3`."""

    id: str
    name: str
    ip_range: str
    project: str
    nodes: list[int]
    contracts: dict[int, int]
    user_public: str
    node_public: str
    up: bool = False


@dataclass
class Tunnel:
    """A WireGuard interface of this computer; without routes it was never finished."""

    config: str = ""
    routes: tuple[str, ...] = ()
    alias: str = ""


@dataclass
class World:
    """Everything that stands outside of tfgrid-compose's own files.

    `here`: the grid runs on this computer, so that a power cut ends its machines too, and no network is needed.
    `lists`: contracts are listed; where they are not, the directory lags behind and does not know them yet. `full` are
    nodes that have no room after all. `global_addresses`: machines have addresses of the internet.
    """

    adopts: bool = True
    here: bool = True
    lists: bool = True
    contracts: dict[int, Contract] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    machines: dict[int, Machine] = field(default_factory=dict)
    tunnels: dict[str, Tunnel] = field(default_factory=dict)
    restores: list[tuple[int, str]] = field(default_factory=list)
    full: set[int] = field(default_factory=set)
    # What the provider of a domain's zone has: {(name, type, content)}.
    records: set[tuple[str, str, str]] = field(default_factory=set)
    global_addresses: bool = False
    last: int = 1000
    violations: list[str] = field(default_factory=list)

    def next(self) -> int:
        """A number that was never given before."""
        self.last += 1
        return self.last

    # Looking

    def live(self, kind: str | None = None) -> list[Contract]:
        """Contracts that exist, half-cancelled ones too."""
        return [item for item in self.contracts.values() if item.state in LIVE and kind in (None, item.kind)]

    def standing(self, id: int) -> Contract | None:
        """A contract that exists and is not being cancelled."""
        found = self.contracts.get(id)
        return found if found and found.state == "Created" else None

    def watch(self) -> None:
        """Never two machines for one."""
        names = [item.name for item in self.live("vm") if item.state == "Created"]
        for name in {name for name in names if names.count(name) > 1}:
            self.violations.append(f"two machines for {name}")

    # Networks

    def make_network(self, config: dict[str, Any], public: str, id: str | None = None) -> Work:
        """Create the network, adopt one of its name, or change the one with `id`; returns it."""
        found = next((item for item in self.networks.values() if (item.id == id if id else item.name == config["name"])), None)
        if found and not id and (not self.adopts or found.ip_range != config["ip_range"]):
            raise GridError(f"could not deploy network {config['name']}: network name exists with range {found.ip_range}")
        yield "provider:network"
        if found is None:
            number = self.next()
            found = Network(
                f"net-{number}", config["name"], config["ip_range"], config["project"], [], {}, public, f"public-{number}"
            )
            self.networks[config["name"]] = found
        found.user_public, found.project, found.ip_range = public, config["project"], config["ip_range"]
        self._agree(found, config["nodes"])
        yield "provider:network-recorded"
        found.up = True
        yield "provider:network-up"
        return found

    def _agree(self, network: Network, nodes: list[int]) -> None:
        """One contract for each node, as the ledger does it: in one commit."""
        network.nodes = list(nodes)
        for node in [node for node in network.contracts if node not in nodes]:
            self.contracts[network.contracts.pop(node)].state = "Deleted"
        for node in nodes:
            if node not in network.contracts:
                id = self.next()
                self.contracts[id] = Contract(id, node, "network", network.name, network.project, network.name, "recorded")
                network.contracts[node] = id

    def drop_network(self, id: str) -> Work:
        """Cancel its contracts; one that is gone is no error."""
        found = next((item for item in self.networks.values() if item.id == id), None)
        yield "provider:network-drop"
        if found:
            for contract in found.contracts.values():
                self.contracts[contract].state = "Deleted"
            del self.networks[found.name]
            yield "provider:network-dropped"

    # Machines

    def make_vm(self, config: dict[str, Any]) -> Work:
        """Create the deployment, or adopt what a crash left of it; what stands on another node is cancelled."""
        yield "provider:vm"
        mine = (
            [item for item in self.live("vm") if item.name == config["name"] and item.state == "Created"] if self.adopts else []
        )
        contract = next((item for item in mine if item.node == config["node"] and item.network == config["network"]), None)
        for stray in mine:
            if contract is None or stray.id != contract.id:
                yield from self.cancel(stray.id)
        if contract is None:
            contract = self._open(config)
            yield "provider:contract-opened"
        elif contract.shape:
            self._check_change(contract, config)
        return (yield from self._realise(contract, config))

    def _open(self, config: dict[str, Any]) -> Contract:
        if config["node"] in self.full:
            raise GridError(f"node {config['node']} does not have enough resources. needed: [mru: 2], free: [mru: 1]")
        contract = Contract(self.next(), config["node"], "vm", config["name"], config["project"], config["network"])
        self.contracts[contract.id] = contract
        self.watch()
        return contract

    def change_vm(self, id: int, config: dict[str, Any]) -> Work:
        """Change it in place; on another node it is made anew."""
        contract = self.standing(id)
        if contract is None:
            raise GridError(f"failed to update deployment {id}: ContractNotExists")
        if contract.node != config["node"]:
            yield from self.cancel(id)
            return (yield from self.make_vm(config))
        if contract.hash == _digest(config):
            contract.project = config["project"]
            return contract
        self._check_change(contract, config)
        return (yield from self._realise(contract, config))

    def _check_change(self, contract: Contract, config: dict[str, Any]) -> None:
        before, now = contract.shape["disk"], config["disk"]
        if now < before:
            raise GridError(f"rootfs of vm can't shrink from {before} MB to {now} MB", code="disk-shrinks")

    def _realise(self, contract: Contract, config: dict[str, Any]) -> Work:
        network = self.networks.get(config["network"])
        if network is None:
            raise GridError("you passed vm/vms in the deployment but network name is invalid")
        contract.hash, contract.shape, contract.project = "", dict(config), config["project"]
        yield "provider:vm-recorded"
        base = network.ip_range.rsplit(".", 2)[0]
        machine = self.machines.get(contract.id)
        if machine is None:
            machine = Machine(
                contract.id,
                "vm",
                0,
                0,
                0,
                (),
                f"{base}.3.{2 + contract.id % 200}",
                f"5ff::{contract.id:x}",
                f"host-{self.next()}",
            )
            self.machines[contract.id] = machine
            yield "provider:vm-made"
        machine.cpu, machine.memory, machine.disk = config["cpu"], config["memory"], config["disk"]
        machine.keys = tuple(config["keys"].splitlines())
        machine.start()
        yield "provider:vm-started"
        contract.hash = _digest(config)
        return contract

    def cancel(self, id: int) -> Work:
        """Remove the machine, then the contract; one that is gone is no error."""
        contract = self.contracts.get(id)
        yield "provider:cancel"
        if contract is None or contract.state == "Deleted":
            return
        contract.state = "Cancelling"
        yield "provider:cancelling"
        self.machines.pop(id, None)
        yield "provider:machine-gone"
        contract.state = "Deleted"

    # This computer

    def power_cut(self) -> None:
        """This computer loses power: tunnels go, and machines of a grid that runs here."""
        self.tunnels.clear()
        if self.here:
            for machine in self.machines.values():
                machine.stop()
            for network in self.networks.values():
                network.up = False

    def reaches(self, address: str) -> Machine | None:
        """The machine that answers on an address."""
        if not self.here and current().offline > 0:
            return None
        for id, machine in self.machines.items():
            if machine.on and address == machine.mycelium:
                return machine
            if machine.on and address == machine.address and self._tunnelled(self.contracts[id]):
                return machine
        return None

    def _tunnelled(self, contract: Contract) -> bool:
        """Whether a tunnel of this computer ends in the network of a machine: both ends know each other's key."""
        network = self.networks.get(contract.network)
        if network is None or not network.up:
            return False
        for tunnel in self.tunnels.values():
            keys = dict(re.findall(r"(PrivateKey|PublicKey) = (\S+)", tunnel.config))
            mine = keys.get("PrivateKey", "").replace("private", "public") == network.user_public
            if mine and keys.get("PublicKey") == network.node_public and network.ip_range in tunnel.routes:
                return True
        return False


def _digest(config: dict[str, Any]) -> str:
    return repr(sorted((key, value) for key, value in config.items() if key != "project"))


_world = World()


def enter(world: World) -> None:
    """Make this the world."""
    global _world
    _world = world


def world() -> World:
    """The world that there is now."""
    return _world


_SIZES = ((1, 16, 64), (2, 8, 32), (3, 16, 64), (4, 32, 128))


class MemoryGrid:
    """Network `local`, in this world."""

    needs_root = False
    play_money = True
    attaches_provider = True

    def __init__(self, network: str = "local") -> None:
        self.name = network
        self.global_addresses = _world.global_addresses
        self.adopts = self.can_snapshot = _world.adopts

    def _call(self, what: str) -> World:
        point(f"grid:{what}")
        check_line()
        return _world

    def prepare(self, progress: Progress) -> None:
        """End what a killed command began, and start what has a contract."""
        world = self._call("prepare")
        for contract in world.live():
            if contract.state == "Cancelling":
                _played(world.cancel(contract.id))
        while world.restores:
            point("grid:finish-restore")
            _swap(world)
        for network in world.networks.values() if world.here else ():
            network.up = True
        for machine in world.machines.values() if world.here else ():
            point("grid:start-machine")
            machine.start()

    def may_buy(self) -> None:
        """Whoever pays may."""

    def nodes(self, *, ipv6: bool = False) -> list[Node]:
        """Four nodes that never fill up."""
        self._call("nodes")
        return [_node(id, cores, memory) for id, cores, memory in _SIZES]

    def these_nodes(self, ids: Collection[int]) -> list[Node]:
        """Some of them."""
        return [node for node in self.nodes() if node.id in ids]

    @contextmanager
    def terraform(self, progress: Progress, *, only_look: bool = False) -> Iterator[dict[str, str]]:
        """Nothing is needed."""
        yield {"TF_VAR_mnemonic": "words", "TF_VAR_tfgrid_network": "dev"}

    def client(self) -> Client:
        """There is none: what would be asked of it is free here."""
        raise GridError("this network has no directory", code="gridproxy-unreachable")

    def account(self) -> Account:
        """Somebody with enough."""
        return Account(self.name, "5Memory", twin=1, tft=10_000.0)

    def payer(self) -> str:
        """Always the same."""
        return "5Memory"

    def rates(self) -> Rates:
        """Play prices."""
        return Rates(0.01)

    def all_contracts(self) -> list[ContractInfo]:
        """All of the account."""
        return [_info(item) for item in self._call("all-contracts").live()]

    def contracts(self, deployment: str) -> list[ContractInfo]:
        """Contracts whose names carry the id."""
        world = self._call("contracts")
        return [_info(item) for item in world.live() if deployment in item.name and world.lists]

    def marked(self) -> list[Marked]:
        """Everything with our mark."""
        found = [_info(item) for item in self._call("marked").live()]
        return [Marked(id, item, item.app) for item in found if (id := deployment_of(item.name))]

    def alive(self, contracts: Sequence[int]) -> bool:
        """Whether all exist."""
        world = self._call("alive")
        return all(world.standing(id) for id in contracts)

    def cancel(self, contracts: Sequence[int]) -> None:
        """Machines and networks go with their contracts."""
        world = self._call("cancel")
        for id in contracts:
            network = next((item for item in world.networks.values() if id in item.contracts.values()), None)
            _played(world.drop_network(network.id) if network else world.cancel(id))

    def remains(self, contracts: Sequence[int]) -> list[str]:
        """What is left of cancelled contracts."""
        world = self._call("remains")
        found = [f"contract {item.id}" for item in world.live() if item.id in contracts]
        return found + [f"machine {id}" for id in world.machines if id in contracts]

    # Snapshots

    def snapshot(self, contracts: Sequence[int], name: str) -> int:
        """A copy of the disks."""
        machine = self._machine("snapshot", contracts)
        machine.snapshots.pop(name, None)
        machine.snapshots[name] = machine.kept()
        point("grid:snapshot-taken")
        return len(machine.snapshots[name])

    def restore(self, contracts: Sequence[int], name: str) -> None:
        """Disks of a snapshot, and a restart."""
        machine = self._machine("restore", contracts)
        if name not in machine.snapshots:
            raise GridError(f"there is no snapshot `{name}`", code="snapshot-missing")
        _world.restores.append((machine.contract, name))
        point("grid:restore-noted")
        _swap(_world)
        point("grid:restored")
        machine.start()
        point("grid:restore-booted")

    def snapshots(self, contracts: Sequence[int]) -> list[str]:
        """Their names, oldest first."""
        self._call("snapshots")
        found = [_world.machines[id] for id in contracts if id in _world.machines]
        return list(found[0].snapshots) if found else []

    def forget_snapshot(self, contracts: Sequence[int], name: str) -> None:
        """One that is gone is no error."""
        self._machine("forget-snapshot", contracts).snapshots.pop(name, None)

    def _machine(self, what: str, contracts: Sequence[int]) -> Machine:
        world = self._call(what)
        found = [world.machines[id] for id in contracts if id in world.machines]
        if not found:
            raise GridError("there is no machine to take a snapshot of", why="its contracts are gone", code="snapshot-missing")
        return found[0]


def _swap(world: World) -> None:
    id, name = world.restores[0]
    machine = world.machines.get(id)
    if machine:
        machine.stop()
        machine.files = dict(machine.snapshots[name])
    del world.restores[0]


def check_line() -> None:
    """Raise `GridError` while a grid elsewhere can't be reached; each call that fails takes a second."""
    process = current()
    if not _world.here and process.offline > 0:
        process.offline -= 1.0
        raise GridError("the grid does not answer", why="network is unreachable", code="grid-unreachable")


def _played(work: Work) -> Any:
    while True:
        try:
            point(next(work).replace("provider:", "grid:"))
        except StopIteration as end:
            return end.value


def _node(id: int, cores: int, memory: int) -> Node:
    size = Capacity(cores, memory * GIB, 1024 * GIB)
    return Node(id, 1, "Memory-Farm", "Belgium", "Ghent", "up", True, size, size, f"198.51.100.{id}/25", 4)


def _info(item: Contract) -> ContractInfo:
    return ContractInfo(item.id, item.node, "node", item.name, item.state, 0.001, app_of(item.project))
