"""Terraform's plug-ins: the cache that deployments share, the versions that they are locked to, and those that are too old.

Terraform's own cache is not safe for two inits at once (its documentation says so), and it asks the registry even for
what it has. So one init runs at a time, and what a lock file names and the cache holds is taken from there.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tfgrid_compose.errors import EnvironmentError_
from tfgrid_compose.state import paths

LOCK_FILE = ".terraform.lock.hcl"
GRID = "threefoldtech/grid"
# Up to 1.11.1 the grid's provider calls attributes by other names: `mnemonics`, `disk_name`.
OLDEST = (1, 11, 2)
_BLOCK = re.compile(r'^provider\s+"(?P<address>[^"\s]+)"\s*\{.*?^\}', re.MULTILINE | re.DOTALL)
_VERSION = re.compile(r'^\s*version\s*=\s*"([^"]+)"', re.MULTILINE)
_PACKED = re.compile(r"^terraform-provider-grid_v?(?P<version>\d[^_]*)_.*\.zip$")
_PATIENCE = 900.0
_MOMENT = 0.5


def cache() -> Path:
    """The folder in which all deployments share plug-ins; made when it is missing. Raises `StateError`."""
    return paths.private_dir(paths.cache_dir() / "terraform-plugins")


@contextmanager
def turn(waiting: Callable[[str], None]) -> Iterator[None]:
    """Only one init at a time uses the cache; `waiting` gets a sentence when another one does.

    Raises `EnvironmentError_` when the other does not end, and `StateError` when the lock can't be written.
    """
    path = cache().with_name("terraform-plugins.lock")
    with paths.private_log(path) as file:
        _acquire(file.fileno(), path, waiting)
        yield
        paths.give_all(cache())


def _acquire(descriptor: int, path: Path, waiting: Callable[[str], None]) -> None:
    begin = time.monotonic()
    told = False
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            now = time.monotonic()
        if now - begin > _PATIENCE:
            raise EnvironmentError_(
                "Terraform's plug-ins can't be fetched",
                why=f"another run has been at it for {_PATIENCE / 60:.0f} minutes and holds {path}",
                fix="tfgrid-compose runs",
                code="plugins-busy",
            )
        if not told and now - begin > _MOMENT:
            waiting("waiting for another run that fetches Terraform's plug-ins")
            told = True
        time.sleep(0.05)


def locked(text: str) -> dict[str, str]:
    """{address of a provider: version} of a lock file."""
    found = {}
    for block in _BLOCK.finditer(text):
        version = _VERSION.search(block.group())
        if version:
            found[block["address"]] = version.group(1)
    return found


def cached(text: str) -> bool:
    """Whether the cache holds every provider that a lock file names."""
    named = locked(text)
    return bool(named) and all(_holds(cache() / address / version) for address, version in named.items())


def linked(folder: Path, text: str) -> bool:
    """Whether a working folder still has every provider that its lock file names; the cache may have been emptied."""
    return all(_holds(folder / ".terraform" / "providers" / address / version) for address, version in locked(text).items())


def _holds(folder: Path) -> bool:
    """Whether there is a package for some platform in a folder, with a program in it."""
    return any(item.is_file() for item in folder.glob("*/terraform-provider-*"))


def seed(source: Path) -> str:
    """A lock file for a deployment that has none: what the cache holds, of the providers that its files name.

    It makes Terraform use the version that is here already, so that a second deployment needs no registry.
    """
    files = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in sorted(source.glob("*.tf")))
    blocks = [block.group() for block in _BLOCK.finditer(_shared()) if _named(block["address"], files)]
    return "".join(f"{block}\n\n" for block in blocks)


def share(text: str) -> None:
    """Remember a lock file's providers for deployments to come. Raises `StateError`."""
    known = {block["address"]: block.group() for found in (_shared(), text) for block in _BLOCK.finditer(found)}
    if known:
        whole = "".join(f"{known[address]}\n\n" for address in sorted(known))
        if whole != _shared():
            paths.private_file(_shared_file(), whole.encode())


def _shared_file() -> Path:
    return cache() / "locked.hcl"


def _shared() -> str:
    try:
        return _shared_file().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _named(address: str, files: str) -> bool:
    return f'"{address.partition("/")[2]}"' in files or f'"{address}"' in files


def refuse_old(text: str, where: str, fix: str) -> None:
    """Raise `EnvironmentError_` when a lock file holds a version of the grid's provider that is too old for us."""
    for address, version in locked(text).items():
        if address.endswith(f"/{GRID}") and number(version) < OLDEST:
            raise too_old(version, where, fix)


def too_old(version: str, where: str, fix: str) -> EnvironmentError_:
    """The error for a version of the grid's provider that speaks another schema."""
    return EnvironmentError_(
        f"version {version} of the provider {GRID} is too old",
        why=f"{where}; it calls the account `mnemonics` and a mounted disk `disk_name`, which changed in 1.11.2",
        fix=fix,
        code="provider-too-old",
    )


def number(version: str) -> tuple[int, ...]:
    """A version's three numbers; what stands behind them does not count."""
    found = [int(part) for part in re.findall(r"\d+", re.split(r"[-+]", version)[0])[:3]]
    return tuple(found + [0] * (3 - len(found)))


def installed() -> dict[str, Path]:
    """{version: file or folder} of the grid's provider in folders where Terraform looks before it asks a registry."""
    home, data = Path.home(), Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    shared = (Path("/usr/local/share"), Path("/usr/share"))
    roots = [home / ".terraform.d" / "plugins"]
    roots += [base / name / "plugins" for base in (data, *shared) for name in ("terraform", "opentofu")]
    found: dict[str, Path] = {}
    for root in roots:
        for path in root.glob(f"*/{GRID}/*") if root.is_dir() else ():
            packed = _PACKED.match(path.name)
            if packed or (path.is_dir() and re.match(r"\d+\.", path.name)):
                found.setdefault(packed["version"] if packed else path.name, path)
    return found


def refuse_old_install() -> None:
    """Raise `EnvironmentError_` when the only installed versions of the grid's provider are too old: they hide the registry's."""
    found = installed()
    if found and all(number(version) < OLDEST for version in found):
        newest = max(found, key=number)
        raise too_old(newest, f"it is installed as {found[newest]}, and Terraform looks no further", f"remove {found[newest]}")


def forget(folder: Path) -> None:
    """Drop the links to plug-ins from a working folder, so that the next init makes them anew."""
    shutil.rmtree(folder / ".terraform" / "providers", ignore_errors=True)
