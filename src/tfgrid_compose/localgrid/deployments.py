"""Machines of the local grid: what a `grid_deployment` becomes."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import time
from dataclasses import dataclass, field
from typing import Any

from tfgrid_compose.errors import GridError
from tfgrid_compose.grids.addresses import AddressError, machine_mycelium
from tfgrid_compose.grids.marks import app_of, deployment_of
from tfgrid_compose.localgrid import faults, router
from tfgrid_compose.localgrid.catalog import FARMS, GIB, NODES
from tfgrid_compose.localgrid.engine import Engine, in_parallel, node_exists
from tfgrid_compose.localgrid.entries import Contract, Resources
from tfgrid_compose.localgrid.machine import Disk, Link, Machine, MachineSpec, mac_address

_MIB = 1024**2


@dataclass(frozen=True)
class VmConfig:
    """One machine as the user asks for it; memory and rootfs in MiB."""

    name: str
    cpu: int
    memory: int
    rootfs: int
    ip: str | None
    public4: bool
    public6: bool
    planetary: bool
    mycelium_prefix: str | None
    mycelium_seed: str | None
    keys: tuple[str, ...]
    mounts: tuple[tuple[str, str], ...] = ()
    other: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class DeploymentConfig:
    """A deployment as the user asks for it; disk sizes in GiB."""

    name: str
    node: int
    network: str | None
    vms: tuple[VmConfig, ...]
    disks: tuple[tuple[str, int], ...]
    solution_type: str

    def digest(self) -> str:
        """The deployment's hash: equal ones are the same deployment."""
        text = json.dumps([self.name, self.node, self.network, [repr(vm) for vm in self.vms], self.disks])
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def create(engine: Engine, twin: int, config: DeploymentConfig) -> Contract:
    """Make the contract and start its machines.

    What a crash left of the same deployment is adopted and brought to `config`; what stands of it on
    another node is cancelled. Raises `GridError` in the real provider's words; a failed start cancels
    a contract that holds nothing yet.
    """
    _check(engine, config)
    existing = _adoptable(engine, twin, config)
    held = existing.resources if existing else None
    _check_capacity(engine, config.node, _resources(config), held)
    if faults.take(engine.ledger, "no-capacity", *_names(config)):
        raise _full(config.node, _resources(config), Resources())
    for stray in _strays(engine, twin, config, existing):
        cancel(engine, stray.id)
    if existing is None:
        contract = _open(engine, twin, config)
    else:
        _check_change(engine, existing, config)
        contract = existing
    try:
        _play_delays(engine, config, contract.id)
        done = _realise(engine, twin, config, contract.id)
    except Exception:
        # A machine that an earlier run has made may hold data: the next run goes on with it.
        if not contract.spec.get("machines"):
            cancel(engine, contract.id)
        raise
    if faults.take(engine.ledger, "dropped", *_names(config)):
        raise GridError(f"could not reach node {config.node}: connection timeout")
    return done


def _open(engine: Engine, twin: int, config: DeploymentConfig) -> Contract:
    """A new contract, without a hash as long as its machines don't stand."""
    if faults.take(engine.ledger, "refused", *_names(config)):
        raise GridError(f"failed to create contract on node {config.node}: NodeNotAvailableToDeploy")
    with engine.lock():
        needed = _resources(config)
        _check_capacity(engine, config.node, needed)
        public = sum(vm.public4 for vm in config.vms)
        id = engine.ledger.open_contract(twin, config.node, _metadata(config), "", needed, public, {})
    contract = live(engine, id)
    assert contract is not None, "it was opened a moment ago"
    return contract


def _names(config: DeploymentConfig) -> tuple[str, str]:
    """What an ordered fault can name: workload and app."""
    return config.name, app_of(config.solution_type)


def _play_delays(engine: Engine, config: DeploymentConfig, id: int) -> None:
    """Ordered faults between a contract and its machines, where a real node is slow or does not answer."""
    slow = faults.take(engine.ledger, "slow", *_names(config))
    if slow:
        time.sleep(slow.amount)
    if faults.take(engine.ledger, "timeouts", *_names(config)):
        raise GridError(f"error waiting deployment: waiting for deployment {id} timed out")


def _metadata(config: DeploymentConfig) -> dict[str, Any]:
    return {
        "version": 3,
        "type": "vm",
        "name": config.name,
        "projectName": config.solution_type or f"vm/{config.name}",
        "network": config.network,
    }


def _adoptable(engine: Engine, twin: int, config: DeploymentConfig) -> Contract | None:
    """A live contract that is this very deployment: same owner, node, name and network.

    A name that carries a deployment's id is that deployment whatever it holds. Under any other name
    only an equal one is, or one without a hash, which was cut off before its machines stood.
    """
    ours = bool(deployment_of(config.name))
    return next(
        (
            contract
            for contract in _namesakes(engine, twin, config)
            if contract.node == config.node and contract.data.get("network") == config.network
            and (ours or contract.hash in (config.digest(), ""))
        ),
        None,
    )  # fmt: skip


def _strays(engine: Engine, twin: int, config: DeploymentConfig, adopted: Contract | None) -> list[Contract]:
    """Contracts of this deployment that are not where it shall be; there is none under a name without an id."""
    if not deployment_of(config.name):
        return []
    return [contract for contract in _namesakes(engine, twin, config) if adopted is None or contract.id != adopted.id]


def _namesakes(engine: Engine, twin: int, config: DeploymentConfig) -> list[Contract]:
    return [
        contract
        for contract in engine.ledger.contracts()
        if contract.twin == twin and contract.data.get("name") == config.name and contract.data.get("type") == "vm"
    ]


def update(engine: Engine, twin: int, id: int, config: DeploymentConfig) -> Contract:
    """Change a deployment in place; machines that only change in size are not restarted."""
    contract = live(engine, id)
    if contract is None:
        raise GridError(f"failed to update deployment {id}: ContractNotExists")
    _check(engine, config)
    if contract.node != config.node:
        # What can be refused is refused before the old machine is gone.
        _check_capacity(engine, config.node, _resources(config))
        cancel(engine, id)
        return create(engine, twin, config)
    if contract.hash == config.digest():
        engine.ledger.set_metadata(id, _metadata(config))
        return contract
    _check_change(engine, contract, config)
    needed = _resources(config)
    with engine.lock():
        _check_capacity(engine, config.node, needed, contract.resources)
    _play_delays(engine, config, id)
    return _realise(engine, twin, config, id)


def _check_change(engine: Engine, contract: Contract, config: DeploymentConfig) -> None:
    """Refuse what can't be changed in place; a contract whose machines were never planned can become anything."""
    if not contract.spec.get("machines"):
        return
    if sum(vm.public4 for vm in config.vms) > contract.public_ips:
        raise GridError("currently, it's not possible to increase the number of reserved public ips in a deployment")
    _check_shrinking(engine, contract, config)


def live(engine: Engine, id: int) -> Contract | None:
    """The contract, or None when it does not exist any more."""
    found = engine.ledger.contracts(id=id)
    return found[0] if found else None


def cancel(engine: Engine, id: int) -> None:
    """Remove the machines and the contract; one that is gone is no error."""
    engine.cancel(id)


def _resources(config: DeploymentConfig) -> Resources:
    total = Resources(sru=sum(size for _, size in config.disks) * GIB)
    for vm in config.vms:
        total = total.plus(Resources(vm.cpu, vm.memory * _MIB, vm.rootfs * _MIB))
    return total


def _check(engine: Engine, config: DeploymentConfig) -> None:
    if not node_exists(config.node):
        raise GridError(f"failed to get node {config.node}: object not found")
    if engine.node_is_down(config.node):
        raise GridError(f"could not reach node {config.node}: context deadline exceeded")
    disks = {name for name, _ in config.disks}
    for vm in config.vms:
        for name, _ in vm.mounts:
            if name not in disks:
                raise GridError(f"invalid deployment: vm {vm.name} mount {name}: disk or qsfs with this name was not found")
        if len(vm.name) > 36:
            raise GridError(f"invalid deployment: vm {vm.name}: name cannot exceed 36 characters")


def _check_shrinking(engine: Engine, contract: Contract, config: DeploymentConfig) -> None:
    before = {f"rootfs of {spec.hostname}": spec.rootfs for spec in engine.machine_specs(contract)}
    before |= {f"disk {name}": size * 1024 for name, size in contract.spec.get("disks", [])}
    after = {f"rootfs of {vm.name}": vm.rootfs for vm in config.vms} | {
        f"disk {name}": size * 1024 for name, size in config.disks
    }
    for what, size in after.items():
        if size < before.get(what, 0):
            raise GridError(f"{what} can't shrink from {before[what]} MB to {size} MB", code="disk-shrinks")


def _check_capacity(engine: Engine, node: int, needed: Resources, held: Resources | None = None) -> None:
    free, held = engine.free(node), held or Resources()
    total = next(seed for seed in NODES if seed.id == node)
    if needed.mru > free.mru + held.mru or needed.sru > free.sru + held.sru or needed.cru > total.cru:
        raise _full(node, needed, Resources(0, free.mru + held.mru, free.sru + held.sru))


def _full(node: int, needed: Resources, free: Resources) -> GridError:
    return GridError(
        f"node {node} does not have enough resources. needed: [mru: {needed.mru}, sru: {needed.sru}, hru: 0], "
        f"free: [mru: {free.mru}, sru: {free.sru}, hru: 0]",
        code="node-full",
    )


def _realise(engine: Engine, twin: int, config: DeploymentConfig, id: int) -> Contract:
    """Make the machines of a contract what the configuration says."""
    contract = live(engine, id)
    assert contract is not None, "the contract was opened a moment ago"
    network = engine.ledger.network(twin, config.network) if config.network else None
    if config.vms and network is None:
        raise GridError("you passed vm/vms in the deployment but network name is invalid")
    before = {spec.hostname: spec for spec in engine.machine_specs(contract)}
    with engine.lock():
        planner = _Planner(engine, config, contract, network or {})
        specs = [planner.spec(vm, before.get(vm.name)) for vm in config.vms]
        details = {spec.hostname: planner.details[spec.hostname] for spec in specs}
        record = {"machines": [spec.to_dict() for spec in specs], "vms": details,
                  "disks": [list(disk) for disk in config.disks]}  # fmt: skip
        public = sum(vm.public4 for vm in config.vms)
        # Until the machines are what the record says, the contract carries no hash: the next run goes on.
        engine.ledger.update_contract(id, "", _resources(config), public, record)
        engine.ledger.set_metadata(id, _metadata(config))
    gone = [spec for name, spec in before.items() if name not in details]
    in_parallel([Machine(engine.instance, spec).remove for spec in gone])
    in_parallel([_settle(engine, spec, before.get(spec.hostname), _names(config)) for spec in specs])
    engine.ledger.update_contract(id, config.digest(), _resources(config), public, record)
    engine.ledger.free_addresses(id, [vm.name for vm in config.vms if vm.public4])
    fresh = live(engine, id)
    assert fresh is not None, "nobody else cancels a contract that we hold"
    return fresh


def _settle(engine: Engine, spec: MachineSpec, before: MachineSpec | None, names: tuple[str, str]) -> Any:
    """The job that brings one machine from `before` to `spec`."""
    machine = Machine(engine.instance, spec)
    if before is None:
        machine.first_boot = faults.first_boot(engine.ledger, *names)

    def job() -> None:
        if before is None or machine.state() != "running":
            machine.start()
        elif _only_size_differs(before, spec):
            machine.resize(spec)
        else:
            Machine(engine.instance, before).stop()
            machine.start()

    return job


def _only_size_differs(before: MachineSpec, after: MachineSpec) -> bool:
    def shape(spec: MachineSpec) -> tuple[object, ...]:
        return (spec.links, spec.keys, [(disk.name, disk.mount_point) for disk in spec.disks])

    return shape(before) == shape(after)


class _Planner:
    """Chooses addresses for the machines of one deployment."""

    def __init__(self, engine: Engine, config: DeploymentConfig, contract: Contract, network: dict[str, Any]) -> None:
        self._engine, self._config, self._contract, self._network = engine, config, contract, network
        self._subnet = network.get("subnets", {}).get(str(config.node))
        if config.vms and not self._subnet:
            raise GridError("couldn't deploy deployment with error: invalid ip range ")
        self.details: dict[str, dict[str, Any]] = {}
        self._ids = {spec.id for spec in engine.machine_specs(contract)}
        self._taken = self._addresses_in_use()

    def _addresses_in_use(self) -> set[str]:
        found = set()
        for contract in self._engine.ledger.contracts(node=self._config.node, ending=True):
            if contract.id != self._contract.id and contract.data.get("network") == self._config.network:
                found |= {vm["ip"] for vm in contract.spec.get("vms", {}).values()}
        return found

    def _new_id(self) -> str:
        """An id that no machine of the contract has, not even one that is about to go."""
        id = next(id for index in range(10_000) if (id := f"{self._contract.id}-{index}") not in self._ids)
        self._ids.add(id)
        return id

    def spec(self, vm: VmConfig, before: MachineSpec | None) -> MachineSpec:
        """The machine of `vm`, with the addresses it had before if it existed."""
        id = before.id if before else self._new_id()
        links = [self._private(vm, before)]
        detail: dict[str, Any] = {"ip": links[0].addresses[0].split("/")[0], "computedip": "", "computedip6": "",
                                  "planetary_ip": "", "mycelium_ip": ""}  # fmt: skip
        if vm.public4 or vm.public6:
            links[0] = _without_default(links[0])
            links.append(self._public(vm, id, detail))
        if vm.mycelium_seed or vm.planetary:
            links.append(self._overlay(vm, id, detail))
        host = int(detail["ip"].split(".")[3])
        gateway = str(ipaddress.ip_network(self._subnet)[1])
        detail["console_url"] = f"{gateway}:{20000 + host}"
        self.details[vm.name] = detail
        sizes = dict(self._config.disks)
        disks = tuple(Disk(name, sizes[name], point) for name, point in vm.mounts)
        base = before.base if before else self._engine.base
        return MachineSpec(id, vm.name, vm.cpu, vm.memory, vm.rootfs, base, vm.keys, disks, tuple(links))

    def _private(self, vm: VmConfig, before: MachineSpec | None) -> Link:
        address = self._private_address(vm, before)
        self._taken.add(address)
        gateway = str(ipaddress.ip_network(self._subnet)[1])
        routes = tuple((target, "via", gateway) for target in ("default", self._network["ip_range"], "100.64.0.0/16"))
        ns = router.namespace(self._engine.instance, self._network)
        return Link("eth0", ns, router.bridge(self._config.node), (f"{address}/24",), routes)

    def _private_address(self, vm: VmConfig, before: MachineSpec | None) -> str:
        subnet = ipaddress.ip_network(self._subnet)
        if vm.ip:
            if ipaddress.ip_address(vm.ip) not in subnet:
                raise GridError(f"deployment ip range '{self._subnet}' doesn't contain ip '{vm.ip}'")
            if vm.ip in (str(subnet[0]), str(subnet[1]), str(subnet[255])):
                raise GridError(f"ip {vm.ip} is reserved")
            if vm.ip in self._taken:
                raise GridError(f"ip {vm.ip} is used by another machine of the network")
            return vm.ip
        kept = before.links[0].addresses[0].split("/")[0] if before else ""
        if kept and ipaddress.ip_address(kept) in subnet:
            return kept
        wanted = {other.ip for other in self._config.vms if other.ip}
        for host in range(2, 255):
            candidate = str(subnet[host])
            if candidate not in self._taken and candidate not in wanted:
                return candidate
        raise GridError("all 253 ips of the network are exhausted")

    def _public(self, vm: VmConfig, id: str, detail: dict[str, Any]) -> Link:
        instance = self._engine.instance
        addresses: list[str] = []
        routes: list[tuple[str, ...]] = []
        if vm.public4:
            farm = next(seed.farm for seed in NODES if seed.id == self._config.node)
            host = self._engine.ledger.rent_address(farm, self._contract.id, vm.name)
            if host is None:
                name = next(seed for seed in FARMS if seed.id == farm)
                raise GridError(f"farm {name.id} does not have enough public ips", code="no-public-ip")
            detail["computedip"] = f"{instance.public4_host(host)}/25"
            addresses.append(detail["computedip"])
            routes.append(("default", "via", instance.public4_host(1)))
        if vm.public6:
            detail["computedip6"] = f"{_slaac(instance.public6, mac_address(id, 1))}/64"
            addresses.append(detail["computedip6"])
            routes.append(("default", "via", f"{instance.public6}::1"))
        return Link("eth1", instance.grid_ns, "pub", tuple(addresses), tuple(routes))

    def _overlay(self, vm: VmConfig, id: str, detail: dict[str, Any]) -> Link:
        """Mycelium and Yggdrasil-like addresses, routed straight to the machine."""
        addresses: list[str] = []
        routes: list[tuple[str, ...]] = []
        if vm.mycelium_seed:
            if not vm.mycelium_prefix:
                raise GridError("could not set up tap device: network has no mycelium key on this node")
            try:
                detail["mycelium_ip"] = machine_mycelium(vm.mycelium_prefix, vm.mycelium_seed)
            except AddressError as error:
                raise GridError(str(error)) from error
            addresses.append(detail["mycelium_ip"])
            routes.append(("400::/7", "via", "fe80::1"))
        if vm.planetary:
            digest = hashlib.sha256(f"{id}/planetary".encode()).digest()
            detail["planetary_ip"] = str(ipaddress.IPv6Address(b"\x03\x00" + digest[:14]))
            addresses.append(detail["planetary_ip"])
            routes.append(("200::/7", "via", "fe80::1"))
        peer_routes = tuple((f"{address}/128",) for address in addresses)
        return Link("overlay0", self._engine.instance.grid_ns, "", tuple(f"{a}/128" for a in addresses), tuple(routes),
                    peer_routes, ("fe80::1/64",))  # fmt: skip


def _without_default(link: Link) -> Link:
    """A machine with a public address answers through it, so the private card loses the default route."""
    routes = tuple(route for route in link.routes if route[0] != "default")
    return Link(link.name, link.peer_ns, link.bridge, link.addresses, routes, link.peer_routes, link.peer_addresses)


def _slaac(prefix: str, mac: str) -> str:
    """The address that a card gives itself in a /64 (RFC 4291, appendix A)."""
    parts = [int(part, 16) for part in mac.split(":")]
    parts[0] ^= 2
    suffix = bytes([*parts[:3], 0xFF, 0xFE, *parts[3:]])
    network = ipaddress.IPv6Address(f"{prefix}::").packed[:8]
    return str(ipaddress.IPv6Address(network + suffix))
