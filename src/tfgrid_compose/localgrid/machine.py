"""One machine: an LXC container with its own disk images, limits and network namespace.

The root filesystem is an overlay of the shared base and a sparse ext4 image of the size that was
asked for, so `df` inside tells the truth and a full disk is really full. Root inside such a
container is root on the host: the docs say so.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tfgrid_compose.drivers.process import CommandError, run
from tfgrid_compose.errors import GridError
from tfgrid_compose.localgrid import kernel
from tfgrid_compose.localgrid.instance import Instance

_PERIOD = 100_000
_RELEASE = 15.0
_WRITE_BACK = 180.0


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
    """Start, change and remove the machine of a spec."""

    def __init__(self, instance: Instance, spec: MachineSpec) -> None:
        self._instance = instance
        self.spec = spec
        self.folder = instance.machines / spec.id
        self.namespace = f"{instance.prefix}-m{spec.id}"

    @property
    def rootfs(self) -> Path:
        """Where the machine's root filesystem is mounted on the host."""
        return self.folder / "rootfs"

    def state(self) -> str:
        """`running`, `stopped` or `absent`."""
        if not (self.folder / "config").exists():
            return "absent"
        done = run(["lxc-info", "-P", str(self._instance.machines), "-n", self.spec.id, "-s", "-H"], check=False)
        return "running" if done.stdout.strip() in ("RUNNING", "FROZEN") else "stopped"

    def start(self) -> None:
        """Bring the machine up; one that runs is left alone. Raises `GridError`."""
        if self.state() == "running":
            return
        try:
            self._prepare_disks()
            self._prepare_network()
            self._seed()
            (self.folder / "config").write_text(self._config())
            log = self.folder / "lxc.log"
            run(["lxc-start", "-P", str(self._instance.machines), "-n", self.spec.id, "-d", "-o", str(log), "-l", "WARN"],
                timeout=60)  # fmt: skip
        except (CommandError, OSError) as error:
            tail = _tail(self.folder / "lxc.log") or getattr(error, "details", [])
            raise GridError(
                f"machine {self.spec.hostname} did not start",
                why=getattr(error, "why", "") or str(error),
                fix="tfgrid-compose doctor",
                details=tail,
                code="localgrid-machine",
            ) from error

    def _prepare_disks(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = self.folder / "store"
        _mount_image(self.folder / "root.img", store, self.spec.rootfs)
        for part in ("upper", "work"):
            (store / part).mkdir(exist_ok=True)
        (store / "upper").chmod(0o755)
        self.rootfs.mkdir(exist_ok=True)
        if not self.rootfs.is_mount():
            options = f"lowerdir={self.spec.base},upperdir={store / 'upper'},workdir={store / 'work'}"
            run(["mount", "-t", "overlay", "overlay", "-o", options, str(self.rootfs)])
        for disk in self.spec.disks:
            _mount_image(self.folder / f"disk-{disk.name}.img", self.folder / "disks" / disk.name, disk.size * 1024)

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
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", spec.hostname, "-f", str(host_key)])

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
        if self.state() == "running":
            run(["lxc-stop", "-P", str(self._instance.machines), "-n", self.spec.id, "-k"], check=False, timeout=60)
        for mount in [self.rootfs, *(self.folder / "disks" / disk.name for disk in self.spec.disks), self.folder / "store"]:
            _unmount(mount)
        for index, link in enumerate(self.spec.links):
            if kernel.namespaces(link.peer_ns):
                kernel.ip_remove("link", "del", f"m{self.spec.id}.{index}", ns=link.peer_ns)
        kernel.ip_remove("netns", "del", self.namespace)

    def remove(self) -> None:
        """Power off and delete every trace."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def resize(self, spec: MachineSpec) -> None:
        """Change cores, memory and disk sizes of the running machine; disks only grow.

        Where the kernel doesn't let a mounted disk grow, the machine is restarted for it.
        """
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
        growing = [(image, size) for image, size in self._images() if _extend(image, size)]
        if not all(_grow_mounted(image) for image, _ in growing):
            self.stop()
            for image, _ in growing:
                wait_for_release(image)
                run(["e2fsck", "-fp", str(image)], check=False, timeout=600)
                run(["resize2fs", str(image)], timeout=600)
            self.start()

    def _images(self) -> list[tuple[Path, int]]:
        """(disk image, size in MiB) of root and data disks."""
        disks = [(self.folder / f"disk-{disk.name}.img", disk.size * 1024) for disk in self.spec.disks]
        return [(self.folder / "root.img", self.spec.rootfs), *disks]


def mac_address(machine: str, index: int) -> str:
    """A stable, locally administered MAC of a machine's card."""
    digest = hashlib.sha256(f"{machine}/{index}".encode()).digest()
    return ":".join(["02", *(f"{byte:02x}" for byte in digest[:5])])


def host_resolver() -> str:
    """A resolv.conf that works inside a machine: the host's servers, loopback ones left out."""
    for path in ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"):
        try:
            lines = Path(path).read_text().splitlines()
        except OSError:
            continue
        servers = [line for line in lines if line.startswith("nameserver") and " 127." not in line and " ::1" not in line]
        if servers:
            return "\n".join(servers) + "\n"
    return "nameserver 1.1.1.1\nnameserver 8.8.8.8\n"


def _mount_image(image: Path, target: Path, size_mib: int) -> None:
    """Mount a sparse ext4 image, made on first use."""
    if not image.exists():
        partial = image.with_suffix(".new")
        with partial.open("wb") as file:
            file.truncate(size_mib * 1024 * 1024)
        run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", str(partial)])
        partial.rename(image)
    target.mkdir(parents=True, exist_ok=True)
    if not target.is_mount():
        wait_for_release(image)
        run(["mount", "-o", "loop", str(image), str(target)])


def _unmount(target: Path) -> None:
    """Unmount; the last processes of a machine that was just stopped may hold it for a moment."""
    deadline = time.monotonic() + _RELEASE
    while target.is_mount():
        if run(["umount", str(target)], check=False).ok:
            return
        if time.monotonic() > deadline:
            run(["umount", "-l", str(target)], check=False)
            return
        time.sleep(0.05)


def wait_for_release(image: Path) -> None:
    """Wait until the kernel has written an image back: touched before, its file system would be damaged.

    The last reference to a mount goes with the machine's last process, and writing back takes its
    time on a busy disk. Raises `GridError` when it stays in use.
    """
    deadline = time.monotonic() + _WRITE_BACK
    while image.exists() and run(["losetup", "-j", str(image)], check=False).stdout.strip():
        if time.monotonic() > deadline:
            raise GridError(
                f"the disk {image} is still in use",
                why="a process on this computer holds it",
                fix=f"find it with `fuser -vm {image.parent}`, then run the command again",
                code="localgrid-disk-busy",
            )
        time.sleep(0.05)


def _extend(image: Path, size_mib: int) -> bool:
    """Make an image file larger; False when it is large enough already."""
    if not image.exists() or image.stat().st_size >= size_mib * 1024 * 1024:
        return False
    with image.open("r+b") as file:
        file.truncate(size_mib * 1024 * 1024)
    return True


def _grow_mounted(image: Path) -> bool:
    """Grow the filesystem of a mounted image; False where the kernel refuses."""
    for line in run(["losetup", "-j", str(image)]).stdout.splitlines():
        device = line.split(":")[0]
        run(["losetup", "-c", device])
        if not run(["resize2fs", device], check=False, timeout=300).ok:
            return False
    return True


def _tail(path: Path, count: int = 6) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return []
