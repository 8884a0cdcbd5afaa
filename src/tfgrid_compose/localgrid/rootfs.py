"""The machines' root filesystem: built by mmdebstrap from the host's own distribution and mirror.

Built once and cached by the digest of its recipe, so a changed package list or release makes a
new one and an unchanged one costs nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tfgrid_compose.drivers.process import CommandError, environment, run
from tfgrid_compose.errors import EnvironmentError_
from tfgrid_compose.localgrid import images

_RECIPE_VERSION = 4
_PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "python3-apt", "iproute2", "ca-certificates",
    "iputils-ping", "curl", "sudo", "nftables", "kmod", "procps", "netbase", "udev", "less", "locales", "tzdata",
    "git", "gnupg", "htop", "jq", "logrotate", "rsync", "unzip", "vim-tiny", "wget",
)  # fmt: skip
# Units that make no sense in a machine whose addresses and kernel come from outside.
_MASKED = (
    "systemd-udevd.service", "systemd-udev-trigger.service", "systemd-networkd-wait-online.service",
    "systemd-resolved.service", "systemd-timesyncd.service", "getty@tty1.service", "console-getty.service",
    "systemd-logind.service", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One line of a Debian package list."""

    uri: str
    suite: str
    components: tuple[str, ...]

    @property
    def line(self) -> str:
        """In one-line form; the mirror's key is the distribution's own keyring."""
        return f"deb {self.uri} {self.suite} {' '.join(self.components)}"


@dataclass(frozen=True)
class Recipe:
    """All that decides what a root filesystem contains."""

    version: int
    distribution: str
    codename: str
    sources: tuple[Source, ...]
    packages: tuple[str, ...]
    apt_options: tuple[str, ...]

    @property
    def digest(self) -> str:
        """12 hex digits that name the cache folder."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def os_release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    """The key=value pairs of os-release, without quotes."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {key: value.strip('"') for key, value in pairs}


def host_recipe(progress: Callable[[str], None] = lambda _: None) -> Recipe:
    """The recipe for this host; its package lists are fetched when there are none yet.

    Raises `EnvironmentError_` when it is neither Debian nor Ubuntu, or has no source for its own release.
    """
    release = os_release()
    distribution, codename = release.get("ID", ""), release.get("VERSION_CODENAME", "")
    if distribution not in ("debian", "ubuntu") or not codename:
        raise EnvironmentError_(
            f"the local grid needs Debian or Ubuntu, this is {release.get('PRETTY_NAME', 'something else')}",
            why="its machines are built from the host's own packages",
            fix="use a Debian 12 or Ubuntu computer, or deploy on the ThreeFold Grid with --network main",
            code="host-unsupported",
        )
    sources = _sources(codename)
    if not sources:
        # apt tells only of sources whose lists it has; a new system has none.
        progress("fetching the package lists of this computer (once)")
        _fetch_lists()
        sources = _sources(codename)
    if not sources:
        raise EnvironmentError_(
            f"apt has no package source for {codename}",
            why="the local grid builds its machines from the host's own mirror, and none of its sources has this release",
            fix=f"add a source for {codename} to /etc/apt/sources.list, then run `apt-get update`",
            code="apt-sources-missing",
        )
    options = apt_options(run(["apt-config", "dump"]).stdout)
    return Recipe(_RECIPE_VERSION, distribution, codename, sources, _PACKAGES, options)


def _sources(codename: str) -> tuple[Source, ...]:
    words = "$(CREATED_BY)|$(SITE)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)"
    return parse_index_targets(run(["apt-get", "indextargets", "--format", words]).stdout, codename)


def _fetch_lists() -> None:
    try:
        run(["apt-get", "update", "-o", "DPkg::Lock::Timeout=60"], timeout=300)
    except CommandError as error:
        raise EnvironmentError_(
            "the package lists of this computer could not be fetched",
            why=error.why,
            fix="check that `apt-get update` works, then run the command again",
            details=error.details,
            code="apt-lists-missing",
        ) from error


def parse_index_targets(text: str, codename: str) -> tuple[Source, ...]:
    """The host's sources for `codename` and its updates, from `apt-get indextargets`."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in text.splitlines():
        created, _, suite, component, uri = [*line.split("|"), "", "", "", ""][:5]
        if created != "Packages" or not suite.startswith(codename) or not uri:
            continue
        components = found.setdefault((uri.rstrip("/"), suite), [])
        if component not in components:
            components.append(component)
    return tuple(Source(uri, suite, tuple(components)) for (uri, suite), components in found.items())


def apt_options(dump: str) -> tuple[str, ...]:
    """The host's apt settings that a machine needs to reach the same mirror (proxy, dates)."""
    wanted = ("Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
    return tuple(line.strip() for line in dump.splitlines() if line.startswith(wanted) and '""' not in line)


def ensure(cache: Path, progress: Callable[[str], None]) -> Path:
    """Return the folder of the root filesystem, building it when it is not cached.

    `progress` gets a line for each thing that takes long. Raises `EnvironmentError_`.
    """
    recipe = host_recipe(progress)
    target = cache / f"rootfs-{recipe.distribution}-{recipe.codename}-{recipe.digest}"
    if (target / "etc" / "tfgrid-rootfs").exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache) as lock:
        # The other grid of this computer may have built it meanwhile.
        if not (target / "etc" / "tfgrid-rootfs").exists():
            _build(recipe, target, progress, lock)
    return target


@contextmanager
def _alone(cache: Path) -> Iterator[int]:
    """Both grids of a computer share the cache: one builds, the other waits. The lock's descriptor."""
    descriptor = os.open(cache, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _build(recipe: Recipe, target: Path, progress: Callable[[str], None], lock: int) -> None:
    cache = target.parent
    _check_room(cache)
    progress(f"building the {recipe.distribution} {recipe.codename} image (once, about half a minute)")
    for stale in cache.glob("rootfs-*.partial"):
        _drop(stale)
    partial = cache / f"{target.name}.partial"
    try:
        # It shares the lock: when we are killed it takes a minute to clean up, and nobody may build there before.
        run(_mmdebstrap_argv(recipe, partial), timeout=1200, env={**environment(), "LC_ALL": "C.UTF-8"}, pass_fds=(lock,))
    except CommandError as error:
        _drop(partial)
        raise EnvironmentError_(
            "building the machines' root filesystem failed",
            why=error.why,
            fix="check that `apt-get update` works, then run the command again",
            details=error.details,
            code="rootfs-failed",
        ) from error
    _finish(partial, recipe)
    partial.rename(target)


def _drop(partial: Path) -> None:
    """Remove an image that was not finished; a build that was killed has left the host's /sys and others mounted in it."""
    for mounted in images.mounts_below(partial):
        images.unmount(mounted)
    if not images.mounts_below(partial):
        shutil.rmtree(partial, ignore_errors=True)


def stamp() -> str:
    """Changes whenever the host's apt settings may have: cheap to ask, unlike the recipe."""
    total = hashlib.sha256(str((_RECIPE_VERSION, _PACKAGES)).encode())
    for path in ("/etc/os-release", "/etc/apt", "/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/apt.conf.d"):
        if os.path.exists(path):
            total.update(f"{path} {os.stat(path).st_mtime_ns}".encode())
    return total.hexdigest()[:12]


def _check_room(cache: Path, needed: int = 2 * 1024**3) -> None:
    probe = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(probe).free
    if free < needed:
        raise EnvironmentError_(
            f"only {free / 1024**3:.1f} GiB free under {probe}",
            why=f"the machines' root filesystem needs {needed / 1024**3:.0f} GiB to be built",
            fix="free some space, then run the command again",
            code="disk-full",
        )


def _mmdebstrap_argv(recipe: Recipe, target: Path) -> list[str]:
    # When we are killed it cleans up: nobody would finish what it makes.
    argv = [
        "setpriv",
        "--pdeathsig",
        "TERM",
        "mmdebstrap",
        "--variant=apt",
        "--mode=root",
        f"--include={','.join(recipe.packages)}",
    ]
    argv += ['--aptopt=APT::Install-Recommends "false"', "--dpkgopt=path-exclude=/usr/share/man/*"]
    argv += ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    argv += [f"--aptopt={option}" for option in recipe.apt_options]
    argv += ["--skip=cleanup/apt/lists"]
    return [*argv, recipe.codename, str(target), *(source.line for source in recipe.sources)]


def _finish(root: Path, recipe: Recipe) -> None:
    """Make the tree ready to be the common base of many machines."""
    (root / "etc/machine-id").write_text("")
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/apt/sources.list").write_text("".join(f"{source.line}\n" for source in recipe.sources))
    for name in ("usr/sbin/policy-rc.d", "etc/resolv.conf", "etc/hostname"):
        (root / name).unlink(missing_ok=True)
    units = root / "etc/systemd/system"
    for unit in _MASKED:
        link = units / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    (root / "etc/ssh/sshd_config.d/10-tfgrid.conf").write_text("UseDNS no\nPermitRootLogin prohibit-password\n")
    (root / "etc/tfgrid-rootfs").write_text(recipe.digest + "\n")
