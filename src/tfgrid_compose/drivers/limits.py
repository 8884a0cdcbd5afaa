"""Limits of this computer's kernel that its machines share, and that many machines exhaust."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_DEV = Path("/dev")


@dataclass(frozen=True)
class Limit:
    """A setting below /proc/sys. `enough` is what some dozens of machines need; `what` names what is counted."""

    path: str
    enough: int
    what: str

    @property
    def name(self) -> str:
        """As sysctl writes it."""
        return self.path.replace("/", ".")

    def value(self) -> int | None:
        """What it is now; None where the kernel does not have it."""
        try:
            return int((PROC / "sys" / self.path).read_text())
        except (OSError, ValueError):
            return None

    def low(self) -> bool:
        """Whether it is there and below what is enough."""
        value = self.value()
        return value is not None and value < self.enough


# A machine's systemd has 4 or 5 inotify instances, and each tunnel in user space one; all of them are root's.
INOTIFY = Limit("fs/inotify/max_user_instances", 8192, "inotify instances")
LIMITS = (
    INOTIFY,
    Limit("fs/inotify/max_user_watches", 524_288, "inotify watches"),
    # Every service and login of every machine makes a keyring; users of machines have the same numbers.
    Limit("kernel/keys/maxkeys", 2000, "keys of a user"),
    Limit("kernel/keys/maxbytes", 2_000_000, "bytes of a user's keys"),
    Limit("kernel/keys/root_maxkeys", 1_000_000, "keys of root"),
    Limit("kernel/keys/root_maxbytes", 25_000_000, "bytes of root's keys"),
    Limit("net/netfilter/nf_conntrack_max", 262_144, "tracked connections"),
    Limit("fs/file-max", 1_048_576, "open files"),
    Limit("kernel/pty/max", 4096, "terminals"),
)


def inotify_used(uid: int = 0) -> int:
    """Inotify instances of all processes of a user, as far as we may see them."""
    return sum(_instances(process) for process in PROC.glob("[0-9]*") if _owner(process) == uid)


def _owner(process: Path) -> int:
    try:
        return process.stat().st_uid
    except OSError:
        return -1


def _instances(process: Path) -> int:
    try:
        with os.scandir(process / "fd") as descriptors:
            return sum(1 for item in descriptors if os.readlink(item.path) == "anon_inode:inotify")
    except OSError:  # It has ended, or is not ours.
        return 0


def inotify_exhausted() -> bool:
    """Whether a program that wants one more inotify instance will be refused."""
    limit = INOTIFY.value()
    return limit is not None and inotify_used() >= limit


def loop_devices() -> int | None:
    """How many loop devices there can be; None where the kernel makes them as they are needed."""
    if (_DEV / "loop-control").exists():
        return None
    return sum(1 for path in _DEV.glob("loop[0-9]*") if path.is_block_device())
