"""The local grid as a whole: bring it up, make and cancel contracts, take it down.

There is no daemon. A command opens the engine, starts what it needs and goes; machines and tunnels
outlive it, and the ledger tells the next command what should exist.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tfgrid_compose.errors import EnvironmentError_
from tfgrid_compose.localgrid import fabric, faults, hostsettings, images, kernel, rootfs, router, snapshots
from tfgrid_compose.localgrid.catalog import GIB, NODES
from tfgrid_compose.localgrid.entries import Contract, Resources, node_total
from tfgrid_compose.localgrid.instance import Instance, current
from tfgrid_compose.localgrid.ledger import Ledger
from tfgrid_compose.localgrid.machine import Machine, MachineSpec

PROGRAMS = ("lxc-start", "mmdebstrap", "ip", "nft", "wg", "mkfs.ext4", "ssh-keygen")


class Engine:
    """The local grid of one instance; close it when done."""

    def __init__(self, instance: Instance | None = None, progress: Callable[[str], None] = lambda _: None) -> None:
        self.instance = instance or current()
        self.progress = progress
        require_root()
        self.ledger = Ledger(self.instance.ledger)

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the grid: kernel objects and choices of addresses are made by one process at a time."""
        with (self.instance.home / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # Life of the grid

    def ensure(self) -> None:
        """Bring the grid up, with every network and machine that has a contract.

        What a killed command has left half-done is finished or undone first.
        """
        require_programs()
        with self.lock():
            self._ensure_base()
            if not fabric.is_up(self.instance):
                self.progress("starting the local grid")
                fabric.up(self.instance)
            hostsettings.apply(self.instance, self.progress)
            for network in self.ledger.networks():
                if not router.is_up(self.instance, network):
                    router.up(self.instance, network)
            self._remove_orphans()
        self.finish()
        stopped = [machine for machine in self.machines() if machine.state() != "running"]
        if stopped:
            self.progress(f"starting {len(stopped)} machine{'s' if len(stopped) > 1 else ''} again")
            in_parallel([partial(self._start_again, machine) for machine in stopped])

    def finish(self) -> None:
        """End what a killed command began: cancels, restores, snapshots."""
        for contract in self.ledger.contracts(ending=True):
            if contract.state == "Cancelling":
                self.cancel(contract.id)
        machines = {machine.spec.id: machine for machine in self.machines()}
        snapshots.finish_restores(self.ledger, machines)
        for machine in machines.values():
            if snapshots.disturbed(machine):
                snapshots.mend(machine)

    def _start_again(self, machine: Machine) -> None:
        """Start a machine as the ledger has it now: another process may have changed or cancelled it meanwhile."""
        with machine.held():
            fresh = next((found for found in self.machines() if found.spec.id == machine.spec.id), None)
            if fresh is not None:
                fresh.boot()

    def cancel(self, id: int) -> None:
        """Remove the machines of a contract, then the contract; one that is gone is no error."""
        self.ledger.begin_cancel(id)
        for contract in self.ledger.contracts(id=id, ending=True):
            in_parallel([Machine(self.instance, spec).remove for spec in self.machine_specs(contract)])
            self.ledger.close_contract(id)

    def _ensure_base(self) -> None:
        remembered = self.ledger.fact("base_stamp")
        if remembered != rootfs.stamp() or not os.path.exists(f"{self.base}/etc/tfgrid-rootfs"):
            self.ledger.set_fact("base", str(rootfs.ensure(self.instance.cache, self.progress)))
            self.ledger.set_fact("base_stamp", rootfs.stamp())

    @property
    def base(self) -> str:
        """Folder of the root filesystem that new machines stand on."""
        return str(self.ledger.fact("base"))

    def is_up(self) -> bool:
        """Whether the grid's fabric exists on the host."""
        return fabric.is_up(self.instance)

    def down(self) -> None:
        """Power everything off; contracts and disks stay for the next `ensure`."""
        self.finish()
        with self.lock():
            in_parallel([machine.stop for machine in self.machines()])
            for network in self.ledger.networks():
                router.down(self.instance, network)
            self._remove_orphans()
            for name in kernel.namespaces(f"{self.instance.prefix}-") - {self.instance.grid_ns}:
                kernel.ip_remove("netns", "del", name)
            fabric.down(self.instance)
            hostsettings.restore(self.instance)
            for image in self.instance.machines.glob("*/*.img"):
                images.wait_for_release(image)

    def _remove_orphans(self) -> None:
        """Remove machines, and locks of machines, that no contract names.

        A machine is in the ledger before its folder or lock exists, so those are listed first.
        """
        folders, locks = _entries(self.instance.machines), _entries(self.instance.locks)
        known = {spec.id for contract in self.ledger.contracts(ending=True) for spec in self.machine_specs(contract)}
        for folder in folders:
            if folder.name not in known:
                Machine(self.instance, _orphan_spec(folder.name)).remove()
        for lock in locks:
            if lock.name not in known:
                lock.unlink(missing_ok=True)

    def reset(self) -> None:
        """Take the grid down and forget every contract, machine and address; the image stays cached."""
        self.down()
        self.close()
        shutil.rmtree(self.instance.home, ignore_errors=True)

    def leftovers(self) -> list[str]:
        """Kernel objects and mounts of this grid that exist on the host now."""
        prefix = self.instance.prefix
        found = [f"namespace {name}" for name in sorted(kernel.namespaces(f"{prefix}-"))]
        found += [f"link {name}" for name in sorted(kernel.links()) if name.startswith(prefix)]
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        return found + [f"mount {line.split()[1]}" for line in mounts if str(self.instance.home) in line]

    # Machines

    def machine_specs(self, contract: Contract) -> list[MachineSpec]:
        """The machines that a contract holds."""
        return [MachineSpec.from_dict(data) for data in contract.spec.get("machines", [])]

    def machines(self) -> list[Machine]:
        """Every machine of every live contract."""
        return [Machine(self.instance, spec) for contract in self.ledger.contracts() for spec in self.machine_specs(contract)]

    # Capacity

    def free(self, node: int) -> Resources:
        """What a node can still give, after the reserve that the grid keeps on every node.

        The reserve is 10 % of memory but at least 2 GiB, and 20 GiB of SSD, as gridproxy counts.
        """
        total, used = node_total(node), self.ledger.used(node)
        return Resources(
            total.cru,
            total.mru - used.mru - max(total.mru // 10, 2 * GIB),
            total.sru - used.sru - 20 * GIB,
        )

    def new_port(self, node: int) -> int:
        """A WireGuard port of a node that no other network uses."""
        taken = {network["access"]["port"] for network in self.ledger.networks() if network.get("access")}
        while (port := 1024 + secrets.randbelow(32767 - 1024)) in taken:
            continue
        return port

    def node_is_down(self, node: int) -> bool:
        """Whether a test has ordered this node to be dead."""
        return faults.node_is_down(self.ledger, node)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def node_exists(node: int) -> bool:
    """Whether the catalog has this node."""
    return any(seed.id == node for seed in NODES)


def in_parallel(jobs: list[Callable[[], None]]) -> None:
    """Run all jobs side by side; the first failure is raised after all have ended."""
    if not jobs:
        return
    with ThreadPoolExecutor(max_workers=min(8, len(jobs))) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result()


def _orphan_spec(name: str) -> MachineSpec:
    return MachineSpec(id=name, hostname=name, cpu=1, memory=256, rootfs=1024, base="/", keys=())


def require_root() -> None:
    """Raise `EnvironmentError_` unless this process is root."""
    if os.geteuid() != 0:
        raise EnvironmentError_(
            "the local grid needs root",
            why="it makes network namespaces, mounts and containers",
            fix="run the command with sudo",
            code="root-needed",
        )


def require_programs() -> None:
    """Raise `EnvironmentError_` when a program that the local grid drives is missing."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in PROGRAMS if not shutil.which(name, path=path)]
    if missing:
        raise EnvironmentError_(
            f"the local grid lacks {', '.join(f'`{name}`' for name in missing)}",
            why="its machines and networks are made with them",
            fix="tfgrid-compose doctor --fix",
            code="program-missing",
        )
