"""WireGuard tunnels of this computer, one interface a deployment."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Collection
from pathlib import Path

from tfgrid_compose.drivers import output
from tfgrid_compose.drivers.process import CommandError, environment, run, started
from tfgrid_compose.drivers.sudo import as_root
from tfgrid_compose.errors import EnvironmentError_, TunnelError
from tfgrid_compose.state import paths

MAX_NAME = 15
_SOCKETS = Path("/run/wireguard")
_INTERFACES = Path("/sys/class/net")
# The alias of interfaces that we made (ip-link(8)), which everybody can read.
_MARK = "tfgrid-compose"
# How long a program that can't start has to say why, in seconds.
_PROBE = 2.0


def interface_name(app: str, taken: Collection[str]) -> str:
    """`wg-<app>`, at most 15 characters and none of `taken`."""
    stem = re.sub(r"[^a-z0-9-]", "-", app.lower()).strip("-") or "app"
    stem = re.sub(r"^tfgrid-", "", stem)
    name = f"wg-{stem}"[:MAX_NAME].rstrip("-")
    number = 2
    while name in taken:
        suffix = f"-{number}"
        name = f"wg-{stem}"[: MAX_NAME - len(suffix)].rstrip("-") + suffix
        number += 1
    return name


def host_interfaces() -> set[str]:
    """All network interfaces of this computer, and names that a WireGuard process still holds."""
    lines = [line.split(": ") for line in run(["ip", "-o", "link", "show"]).stdout.splitlines()]
    names = {parts[1].split("@")[0] for parts in lines if len(parts) > 1}
    return names | ({path.stem for path in _SOCKETS.glob("*.sock")} if _SOCKETS.is_dir() else set())


def host_routes() -> list[str]:
    """Destinations of this computer's IPv4 routes, default routes left out."""
    lines = run(["ip", "-4", "route", "show", "table", "all"], check=False).stdout.splitlines()
    kinds = ("local", "broadcast", "unreachable", "blackhole", "prohibit", "throw", "multicast", "anycast")
    found = [next((word for word in line.split() if word not in kinds), "") for line in lines]
    return [word for word in found if _is_route(word)]


def _is_route(word: str) -> bool:
    """Whether a word is an IPv4 network, written as `ip` writes it: `10.1.0.0/16`, `10.1.2.3`."""
    import ipaddress

    try:
        ipaddress.IPv4Network(word, strict=False)
    except ValueError:
        return False
    return True


def overlapping(ip_range: str, interface: str) -> str | None:
    """A route of another interface that overlaps `ip_range`, None when there is none."""
    import ipaddress

    ours = ipaddress.ip_network(ip_range)
    for line in run(["ip", "-4", "route", "show"], check=False).stdout.splitlines():
        words = line.split() or [""]
        if not words[0].startswith("10.") or not _is_route(words[0]) or interface in words:
            continue
        if ours.overlaps(ipaddress.ip_network(words[0], strict=False)):
            return line.strip()
    return None


def is_up(interface: str) -> bool:
    """Whether the tunnel is up: the interface exists and is one that we made."""
    return _exists(interface) and _is_ours(interface)


def _exists(interface: str) -> bool:
    return bool(interface) and (_INTERFACES / interface).exists()


def _is_ours(interface: str) -> bool:
    """Whether we made an interface. A record that comes from elsewhere may name one that the user has for something else.

    The configuration alone tells it for one whose making was cut off, or that an older version made.
    """
    try:
        marked = (_INTERFACES / interface / "ifalias").read_text(errors="replace").startswith(_MARK)
    except OSError:
        marked = False
    return marked or config_path(interface).exists()


def config_path(interface: str) -> Path:
    """Where the configuration stands while the tunnel is up: in memory, never on a disk."""
    return paths.below(paths.runtime_dir() / "wireguard", f"{interface}.conf")


def up(interface: str, config: str) -> None:
    """Bring the tunnel up with this configuration. Raises `TunnelError`."""
    if is_up(interface):
        down(interface)
    elif _exists(interface):
        raise TunnelError(
            f"the interface {interface} belongs to something else",
            why="this computer has it already, and tfgrid-compose did not make it",
            fix=f"rename it or take it down (`ip link show {interface}`), then run `tfgrid-compose up` again",
            code="tunnel-name-taken",
        )
    try:
        try:
            _quick(interface, config)
        except CommandError:
            # A program in user space may have died, or another one just ended that had the name.
            down(interface)
            _quick(interface, config)
    except CommandError as error:
        down(interface)
        details = [*error.details, *_userspace_words(interface)]
        raise TunnelError(
            f"the tunnel {interface} did not come up",
            why=_reason(details) or error.why,
            fix="tfgrid-compose doctor",
            details=details,
        ) from error


def _quick(interface: str, config: str) -> None:
    remove_stale_socket(interface)
    path = paths.private_file(config_path(interface), config.encode())
    run(as_root(["wg-quick", "up", str(path)], lasting=True), timeout=30)
    run(as_root(["ip", "link", "set", "dev", interface, "alias", _MARK]), timeout=30)


def socket_path(interface: str) -> Path:
    """Where a WireGuard program of user space listens for the tools. All namespaces of a computer share the folder."""
    return _SOCKETS / f"{interface}.sock"


def remove_stale_socket(interface: str) -> None:
    """Remove a socket on which nobody listens any more: its program was killed, and a new one would be taken for it."""
    path = socket_path(interface)
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            run(as_root(["rm", "-f", "--", str(path)]), check=False, timeout=30)
        except OSError:  # There is none, or it is not ours to ask.
            return


def kernel_has(module: str) -> bool:
    """Whether the kernel has a module: loaded, built in, or to be loaded when it is first needed."""
    if Path("/sys/module", module).exists():
        return True
    with contextlib.suppress(EnvironmentError_):
        return run(["modprobe", "--dry-run", "--quiet", module], check=False, timeout=10).ok
    return False


def _userspace_words(interface: str) -> list[str]:
    """What keeps wireguard-go from starting: wg-quick, which starts it, throws its words away, and says nothing without it."""
    if kernel_has("wireguard"):
        return []
    try:
        with started(
            as_root(["wireguard-go", "--foreground", interface]), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=environment(),
        ) as process:  # fmt: skip
            out, err = output.talk(process, None, _PROBE)
    except FileNotFoundError:
        return ["neither the kernel's WireGuard nor the program wireguard-go is there"]
    except (EnvironmentError_, subprocess.TimeoutExpired, output.TooMuchOutput):
        return []  # It starts now.
    return [line.strip() for line in (out + err).decode(errors="replace").splitlines() if "ERROR" in line][-2:]


def _reason(lines: list[str]) -> str:
    words = ("error", "unable", "cannot", "denied", "exists", "refused")
    matching = [line for line in lines if any(word in line.lower() for word in words) and "Unknown device type" not in line]
    return matching[-1] if matching else ""


def down(interface: str) -> None:
    """Take the tunnel down; one that is down, or never was up, is no error. An interface that is not ours stays."""
    up_now = is_up(interface)
    config_path(interface).unlink(missing_ok=True)
    if not up_now and _exists(interface):
        return
    if up_now:
        run(as_root(["ip", "link", "del", "dev", interface]), check=False, timeout=30)
    remove_stale_socket(interface)
    deadline = time.monotonic() + 5
    while (up_now and _exists(interface)) or socket_path(interface).exists():
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
