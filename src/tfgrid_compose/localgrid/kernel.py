"""Thin wrappers around ip, nft and sysctl, tolerant where "already so" is the wish."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tfgrid_compose.drivers.process import CommandError, Finished, run

_ALREADY = ("File exists", "Address already assigned")
_GONE = ("No such file or directory", "Cannot find device", "No such process", "does not exist", "Invalid argument")


def ip(*args: str, ns: str | None = None, check: bool = True) -> Finished:
    """Run `ip`, in a namespace when one is given."""
    prefix = ["-n", ns] if ns else []
    return run(["ip", *prefix, *args], check=check, timeout=30)


def ip_ensure(*args: str, ns: str | None = None) -> None:
    """Run `ip` and accept that what it adds is already there."""
    done = ip(*args, ns=ns, check=False)
    if not done.ok and not any(word in done.stderr for word in _ALREADY):
        raise CommandError(done)


def ip_remove(*args: str, ns: str | None = None) -> None:
    """Run `ip` and accept that what it removes is already gone."""
    done = ip(*args, ns=ns, check=False)
    if not done.ok and not any(word in done.stderr for word in _GONE):
        raise CommandError(done)


def namespaces(prefix: str) -> set[str]:
    """Names of the network namespaces that begin with `prefix`."""
    folder = Path("/run/netns")
    return {entry.name for entry in folder.iterdir() if entry.name.startswith(prefix)} if folder.exists() else set()


def make_namespace(name: str, settings: Iterable[str] = ()) -> None:
    """Make a namespace with its loopback up; `settings` are sysctl assignments."""
    if name not in namespaces(name):
        ip("netns", "add", name)
    ip("link", "set", "lo", "up", ns=name)
    assignments = list(settings)
    if assignments:
        run(["ip", "netns", "exec", name, "sysctl", "-qw", *assignments], check=False, timeout=30)


def mark_ready(marker: Path, ns: str) -> None:
    """Note that all parts of a namespace are made; the note is void for a later namespace of that name."""
    marker.write_text(_identity(ns))


def is_ready(marker: Path, ns: str) -> bool:
    """Whether a namespace exists and was made to its end."""
    try:
        return marker.read_text() == _identity(ns)
    except OSError:
        return False


def _identity(ns: str) -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/run/netns', ns).stat().st_ino}"


def links(ns: str | None = None) -> set[str]:
    """Names of the links of a namespace (the host's own when none is given)."""
    done = ip("-o", "link", "show", ns=ns, check=False)
    return {line.split(": ")[1].split("@")[0] for line in done.stdout.splitlines() if ": " in line}


def nft(text: str, ns: str | None = None) -> None:
    """Load a ruleset text."""
    prefix = ["ip", "netns", "exec", ns] if ns else []
    run([*prefix, "nft", "-f", "-"], input=text, timeout=30)


def read_sysctl(path: str) -> str:
    """The value of a file under /proc/sys, empty when it does not exist."""
    try:
        return Path("/proc/sys", path).read_text().strip()
    except OSError:
        return ""


def write_sysctl(path: str, value: str) -> None:
    """Set a file under /proc/sys."""
    Path("/proc/sys", path).write_text(value)
