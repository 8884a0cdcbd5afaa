"""One machine: an LXC container with its own disk images, limits and network namespace.

The root filesystem is an overlay of the shared base and a sparse ext4 image of the size that was
asked for, so `df` inside tells the truth and a full disk is really full. Root inside such a
container is root on the host: the docs say so.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tfgrid_compose.drivers import limits
from tfgrid_compose.drivers.process import CommandError, Finished, run
from tfgrid_compose.errors import GridError
from tfgrid_compose.localgrid import images, kernel
from tfgrid_compose.localgrid.instance import Instance

_PERIOD = 100_000
_SETTLING = 20.0
# What a machine is for a moment only; BUSY is ours: a start or a stop is under way.
_PASSING = ("BUSY", "STARTING", "STOPPING", "ABORTING")


@dataclass(frozen=True)
class Disk:
    """A data disk: name, size in GiB, where it is mounted (empty when it is not)."""

    name: str
    size: int
    mount_point: str


@dataclass(frozen=True)
class Link:
    """One network card: a veth whose other end is in `peer_ns`, on `bridge` unless that is empty."""

    name: str
    peer_ns: str
    bridge: str
    addresses: tuple[str, ...]
    routes: tuple[tuple[str, ...], ...]
    peer_routes: tuple[tuple[str, ...], ...] = ()
    peer_addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class MachineSpec:
    """All that decides what a machine is. Memory and root disk in MiB."""

    id: str
    hostname: str
    cpu: int
    memory: int
    rootfs: int
    base: str
    keys: tuple[str, ...]
    disks: tuple[Disk, ...] = ()
    links: tuple[Link, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, for the ledger."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> MachineSpec:
        """The inverse of `to_dict`, after a round trip through JSON."""
        links = tuple(_link(item) for item in data["links"])
        disks = tuple(Disk(**item) for item in data["disks"])
        return cls(**{**data, "keys": tuple(data["keys"]), "disks": disks, "links": links})


def _link(item: dict[str, Any]) -> Link:
    def pairs(key: str) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(route) for route in item[key])

    return Link(
        item["name"],
        item["peer_ns"],
        item["bridge"],
        tuple(item["addresses"]),
        pairs("routes"),
        pairs("peer_routes"),
        tuple(item["peer_addresses"]),
    )


class Machine:
    """Start, change and remove the machine of a spec.

    Each of `start`, `stop`, `remove` and `resize` holds the machine: two processes never work on one
    at the same time. `boot` and `halt` are for a caller that holds it.
    """

    def __init__(self, instance: Instance, spec: MachineSpec) -> None:
        self._instance = instance
        self.spec = spec
        # What ordered faults add to the root filesystem of a new machine.
        self.first_boot: Callable[[Path], None] = lambda root: None
        self.folder = instance.machines / spec.id
        self.namespace = f"{instance.prefix}-m{spec.id}"

    @property
    def rootfs(self) -> Path:
        """Where the machine's root filesystem is mounted on the host."""
        return self.folder / "rootfs"

    def state(self) -> str:
        """`running`, `stopped` or `absent`; while it is being started or stopped, what comes of that."""
        if not (self.folder / "config").exists():
            return "absent"
        deadline = time.monotonic() + _SETTLING
        while (found := self._lxc_state()) in _PASSING and time.monotonic() < deadline:
            time.sleep(0.05)
        return "running" if found in ("RUNNING", "FROZEN") else "stopped"

    def _lxc_state(self) -> str:
        if self._busy.exists() and images.locked(self._busy):
            return "BUSY"
        return run(["lxc-info", "-P", str(self._instance.machines), "-n", self.spec.id, "-s", "-H"], check=False).stdout.strip()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes, and other threads of this one, away from the machine."""
        file = self._instance.locks / self.spec.id
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            with file.open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                # Whoever removed the machine has removed this file too: then a new one is the lock.
                if not _is_file(lock.fileno(), file):
                    continue
                try:
                    yield
                finally:
                    if not self.folder.exists():
                        file.unlink(missing_ok=True)
                return

    def start(self) -> None:
        """Bring the machine up; one that runs is left alone. Raises `GridError`."""
        with self.held():
            self.boot()

    def boot(self) -> None:
        """`start`, for a caller that holds the machine."""
        if self.state() == "running":
            return
        first = not (self.folder / "config").exists()
        self._refuse_without_inotify()
        try:
            self._prepare_disks()
            self._prepare_network()
            self._seed()
            if first:
                self.first_boot(self.rootfs)
            (self.folder / "config").write_text(self._config())
            done = self._lxc("lxc-start", "-d", "-o", str(self.folder / "lxc.log"), "-l", "WARN")
            # A start that a killed command had begun may have come first.
            if not done.ok and self.state() != "running":
                raise CommandError(done)
        except (CommandError, OSError) as error:
            tail = _tail(self.folder / "lxc.log") or getattr(error, "details", [])
            raise GridError(
                f"machine {self.spec.hostname} did not start",
                why=getattr(error, "why", "") or str(error),
                fix="tfgrid-compose doctor",
                details=tail,
                code="localgrid-machine",
            ) from error

    def _refuse_without_inotify(self) -> None:
        """Its systemd would stop in silence, and nobody could log in. Asked only where the limit could not be raised."""
        if limits.INOTIFY.low() and limits.inotify_exhausted():
            raise GridError(
                f"machine {self.spec.hostname} can't start",
                why=f"all {limits.INOTIFY.value()} inotify instances are in use ({limits.INOTIFY.name})",
                fix=f"sudo sysctl -w {limits.INOTIFY.name}={limits.INOTIFY.enough}",
                code="localgrid-inotify",
            )

    def _lxc(self, program: str, *words: str) -> Finished:
        """Start or stop under a lock that outlives this command, but not the program (`-o`: the machine has none of it)."""
        place = str(self._instance.machines)
        return run(["flock", "-o", str(self._busy), program, "-P", place, "-n", self.spec.id, *words], check=False, timeout=60)

    @property
    def _busy(self) -> Path:
        return self.folder / "busy"

    # Freezing

    @property
    def frozen(self) -> bool:
        """Whether a command froze the disks and has not thawed them: it is at work, or was killed."""
        return (self.folder / "frozen").exists()

    def disks(self) -> list[Path]:
        """Where the file systems of root and data disks are mounted, if they are."""
        found = [self.folder / "store", *(self.folder / "disks" / disk.name for disk in self.spec.disks)]
        return [path for path in found if path.is_mount()]

    def freeze(self) -> None:
        """Let every writer wait, with all that was written in the images; noted, so that it can't be forgotten."""
        (self.folder / "frozen").touch()
        for disk in self.disks():
            images.freeze(disk)

    def flush(self) -> None:
        """Write what waits in memory to the images, so that freezing has little left to do."""
        for disk in self.disks():
            images.flush(disk)

    def thaw(self) -> None:
        """Undo `freeze`, also one that a killed command has left."""
        if self.frozen:
            for disk in self.disks():
                images.thaw(disk)
            (self.folder / "frozen").unlink(missing_ok=True)

    def _prepare_disks(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = self.folder / "store"
        images.mount(self.folder / "root.img", store, self.spec.rootfs)
        for part in ("upper", "work"):
            (store / part).mkdir(exist_ok=True)
        (store / "upper").chmod(0o755)
        self.rootfs.mkdir(exist_ok=True)
        if not self.rootfs.is_mount():
            options = f"lowerdir={self.spec.base},upperdir={store / 'upper'},workdir={store / 'work'}"
            run(["mount", "-t", "overlay", "overlay", "-o", options, str(self.rootfs)])
        for disk in self.spec.disks:
            images.mount(self.folder / f"disk-{disk.name}.img", self.folder / "disks" / disk.name, disk.size * 1024)

    def _prepare_network(self) -> None:
        ns = self.namespace
        kernel.make_namespace(ns)
        present = kernel.links(ns)
        for index, link in enumerate(self.spec.links):
            peer = f"m{self.spec.id}.{index}"
            if link.name not in present:
                kernel.ip_remove("link", "del", peer, ns=link.peer_ns)
                kernel.ip("link", "add", peer, "type", "veth", "peer", "name", link.name, "netns", ns, ns=link.peer_ns)
                kernel.ip("link", "set", "dev", link.name, "address", mac_address(self.spec.id, index), ns=ns)
            master = ["master", link.bridge] if link.bridge else []
            kernel.ip("link", "set", peer, *master, "up", ns=link.peer_ns)
            for address in link.peer_addresses:
                kernel.ip_ensure("addr", "add", address, "dev", peer, "nodad", ns=link.peer_ns)
            for address in link.addresses:
                # The address may have belonged to an earlier machine, with another card.
                kernel.ip("neigh", "flush", "to", address.split("/")[0], ns=link.peer_ns, check=False)
            for route in link.peer_routes:
                kernel.ip("-6" if ":" in route[0] else "-4", "route", "replace", *route, "dev", peer, ns=link.peer_ns)
            kernel.ip("link", "set", link.name, "up", ns=ns)
            for address in link.addresses:
                extra = ["nodad"] if ":" in address else []
                kernel.ip_ensure("addr", "add", address, "dev", link.name, *extra, ns=ns)
            for route in link.routes:
                kernel.ip("-6" if any(":" in word for word in route) else "-4", "route", "replace", *route,
                          "dev", link.name, ns=ns)  # fmt: skip

    def _seed(self) -> None:
        """What a first boot sets on a real node: name, resolver, keys."""
        root, spec = self.rootfs, self.spec
        (root / "etc/hostname").write_text(spec.hostname + "\n")
        own = [link.addresses[0].split("/")[0] for link in spec.links if link.addresses]
        names = "\n".join(f"{address} {spec.hostname}" for address in own[:1])
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n::1 localhost ip6-localhost\n{names}\n")
        (root / "etc/resolv.conf").unlink(missing_ok=True)
        (root / "etc/resolv.conf").write_text(host_resolver())
        ssh = root / "root/.ssh"
        ssh.mkdir(mode=0o700, exist_ok=True)
        (ssh / "authorized_keys").write_text("".join(f"{key}\n" for key in spec.keys))
        (ssh / "authorized_keys").chmod(0o600)
        host_key = root / "etc/ssh/ssh_host_ed25519_key"
        if not host_key.exists():
            partial = host_key.with_name("new_host_key")
            for file in (partial, partial.with_suffix(".pub")):
                file.unlink(missing_ok=True)
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", spec.hostname, "-f", str(partial)])
            partial.with_suffix(".pub").rename(host_key.with_suffix(".pub"))
            partial.rename(host_key)

    def _config(self) -> str:
        spec, quota = self.spec, self.spec.cpu * _PERIOD
        memory = spec.memory * 1024 * 1024
        lines = [
            "lxc.include = /usr/share/lxc/config/common.conf",
            "lxc.arch = amd64",
            f"lxc.uts.name = {spec.hostname.replace('_', '-')}",
            f"lxc.rootfs.path = dir:{self.rootfs}",
            f"lxc.namespace.share.net = /run/netns/{self.namespace}",
            "lxc.apparmor.profile = unconfined",
            "lxc.mount.entry = /dev/net/tun dev/net/tun none bind,create=file,optional 0 0",
            "lxc.cgroup.devices.allow = c 10:200 rwm",
            "lxc.cgroup2.devices.allow = c 10:200 rwm",
            f"lxc.cgroup.memory.limit_in_bytes = {memory}",
            f"lxc.cgroup2.memory.max = {memory}",
            f"lxc.cgroup.cpu.cfs_period_us = {_PERIOD}",
            f"lxc.cgroup.cpu.cfs_quota_us = {quota}",
            f"lxc.cgroup2.cpu.max = {quota} {_PERIOD}",
        ]
        for disk in spec.disks:
            if disk.mount_point:
                source, target = self.folder / "disks" / disk.name, disk.mount_point.lstrip("/")
                lines.append(f"lxc.mount.entry = {source} {target} none bind,create=dir 0 0")
        return "\n".join(lines) + "\n"

    def stop(self) -> None:
        """Power the machine off and unmount what it used; one that is off is left alone."""
        with self.held():
            self.halt()

    def halt(self) -> None:
        """`stop`, for a caller that holds the machine."""
        self.thaw()
        if self.state() == "running":
            self._lxc("lxc-stop", "-k")
        for mounted in images.mounts_below(self.folder):
            images.unmount(mounted)
        for index, link in enumerate(self.spec.links):
            if kernel.namespaces(link.peer_ns):
                kernel.ip_remove("link", "del", f"m{self.spec.id}.{index}", ns=link.peer_ns)
        kernel.ip_remove("netns", "del", self.namespace)

    def remove(self) -> None:
        """Power off and delete every trace, snapshots too."""
        with self.held():
            self.halt()
            shutil.rmtree(self.folder, ignore_errors=True)

    def resize(self, spec: MachineSpec) -> None:
        """Change cores, memory and disk sizes of the running machine; disks only grow.

        Where the kernel doesn't let a mounted disk grow, the machine is restarted for it.
        """
        with self.held():
            self.thaw()
            self._resize(spec)

    def _resize(self, spec: MachineSpec) -> None:
        self.spec = spec
        base = ["lxc-cgroup", "-P", str(self._instance.machines), "-n", spec.id]
        quota, memory = spec.cpu * _PERIOD, spec.memory * 1024 * 1024
        pairs = (
            ("memory.limit_in_bytes", str(memory)),
            ("memory.max", str(memory)),
            ("cpu.cfs_quota_us", str(quota)),
            ("cpu.max", f"{quota} {_PERIOD}"),
        )
        for key, value in pairs:
            run([*base, key, value], check=False)  # One of each pair exists, by the host's cgroup version.
        (self.folder / "config").write_text(self._config())
        growing = [image for image, size in self.images() if images.extend(image, size)]
        if not all(images.grow_mounted(image) for image in growing):
            self.halt()
            for image in growing:
                images.wait_for_release(image)
                images.grow(image)
            self.boot()

    def images(self) -> list[tuple[Path, int]]:
        """(disk image, size in MiB) of root and data disks."""
        disks = [(self.folder / f"disk-{disk.name}.img", disk.size * 1024) for disk in self.spec.disks]
        return [(self.folder / "root.img", self.spec.rootfs), *disks]


def _is_file(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that stands at a path now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def mac_address(machine: str, index: int) -> str:
    """A stable, locally administered MAC of a machine's card."""
    digest = hashlib.sha256(f"{machine}/{index}".encode()).digest()
    return ":".join(["02", *(f"{byte:02x}" for byte in digest[:5])])


def host_resolver() -> str:
    """A resolv.conf that works inside a machine: the host's servers, loopback ones left out."""
    for path in ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"):
        try:
            lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        servers = [line for line in lines if line.startswith("nameserver") and " 127." not in line and " ::1" not in line]
        if servers:
            return "\n".join(servers) + "\n"
    return "nameserver 1.1.1.1\nnameserver 8.8.8.8\n"


def _tail(path: Path, count: int = 6) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return []
