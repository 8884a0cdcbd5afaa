"""The programs that tfgrid-compose drives, played in memory in the drivers' own words.

`installed` puts them in the place of the real ones. The steps, the engine, the store and what writes files stay real.
"""

from __future__ import annotations

import functools
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.remote import MemoryConnection, play, try_login
from tests.chaos.strikes import ChildKilled, Clock, System, current, point
from tests.chaos.terraform import MemoryTerraform, serve
from tests.chaos.world import MemoryGrid, Tunnel, world
from tfgrid_compose.deploy import down as down_module
from tfgrid_compose.deploy import engine, releases, retry
from tfgrid_compose.deploy.steps import hooks, infrastructure, ship
from tfgrid_compose.drivers import ansible, ssh, statebackend, wireguard
from tfgrid_compose.drivers.process import CommandError, Finished
from tfgrid_compose.grids import registry
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.state import blobs, journal, keys, lease, paths, restore, whoami
from tfgrid_compose.state.database import Database

clock = Clock()

# This computer


def host_run(argv: Sequence[str], *, check: bool = True, timeout: float = 120, **_: Any) -> Finished:
    """`ip` and `wg-quick` on the tunnels of this world."""
    words = list(argv)
    try:
        return Finished(tuple(words), 0, _host(words), "")
    except ChildKilled:
        finished = Finished(tuple(words), -9, "", "")
    except FileExistsError as error:
        finished = Finished(tuple(words), 1, "", str(error))
    if check:
        raise CommandError(finished) from None
    return finished


def is_ours(interface: str) -> bool:
    """Whether a tunnel of this world is one that the program made, as the driver tells it."""
    return bool(world().tunnels[interface].alias) or wireguard.config_path(interface).exists()


def _host(words: list[str]) -> str:
    tunnels = world().tunnels
    if words[:3] == ["ip", "-o", "link"]:
        return "".join(f"{n}: {name}: <UP>\n" for n, name in enumerate(tunnels, 1))
    if words[:3] == ["ip", "-4", "route"]:
        return "".join(f"{route} dev {name} scope link\n" for name, tunnel in tunnels.items() for route in tunnel.routes)
    point(f"tunnel:{words[0]}")
    if words[:3] == ["ip", "link", "del"]:
        tunnels.pop(words[4], None)
    elif words[:2] == ["wg-quick", "up"]:
        _quick_up(Path(words[2]))
    elif words[:3] == ["ip", "link", "set"] and words[5] == "alias":
        tunnels[words[4]].alias = words[6]
    else:
        raise AssertionError(f"this computer does not know {words}")
    point("tunnel:done")
    return ""


def _quick_up(path: Path) -> None:
    if path.stem in world().tunnels:
        raise FileExistsError(f"wg-quick: `{path.stem}' already exists")
    tunnel = world().tunnels[path.stem] = Tunnel()
    point("tunnel:link")
    tunnel.config = path.read_text()
    point("tunnel:configured")
    line = next(line for line in tunnel.config.splitlines() if line.startswith("AllowedIPs"))
    tunnel.routes = tuple(part.strip() for part in line.split("=")[1].split(","))


# Installing


def _guarded(real: Callable[[Database], Any]) -> Callable[[Database], Any]:
    """`Database.write` with a point before, in and after each transaction."""

    @contextmanager
    def write(database: Database) -> Iterator[sqlite3.Connection]:
        name = sys._getframe(2).f_code.co_name
        point(f"db:{name} begin")
        with real(database) as db:
            yield db
            point(f"db:{name} commit")
            if current().full:
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
        point(f"db:{name} committed")

    return write


@contextmanager
def installed(root: Path) -> Iterator[None]:
    """Play everything in memory, with all files below `root`."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, name in _FOLDERS.items():
            (root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            patch.setenv(variable, str(root / name))
        for variable in [name for name in os.environ if name.startswith(("TF_", "TFGRID_"))]:
            patch.delenv(variable)
        _install(patch)
        yield


_FOLDERS = {
    "HOME": "home", "XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache", "XDG_RUNTIME_DIR": "run",
}  # fmt: skip


def _install(patch: pytest.MonkeyPatch) -> None:
    for module in (paths, lease, journal, restore, keys):
        patch.setattr(module, "os", System())
    for module in (engine, retry, hooks, ship, lease, wireguard, ssh):
        patch.setattr(module, "time", clock)
    patch.setattr(whoami, "process_start", lambda pid: pid)
    patch.setattr(Database, "write", _guarded(Database.write))
    patch.setitem(registry._GRIDS, "local", f"{MemoryGrid.__module__}:{MemoryGrid.__name__}")
    patch.setattr(statebackend, "serve", serve)
    patch.setattr(infrastructure, "Terraform", MemoryTerraform)
    for module in (infrastructure, down_module):
        patch.setattr(module, "find", lambda choice=None: ["terraform"])
    patch.setattr(ssh, "Connection", MemoryConnection)
    patch.setattr(ssh, "_try_login", try_login)
    patch.setattr(ansible, "run", play)
    for module in (wireguard, down_module):
        patch.setattr(module, "run", host_run)
    patch.setattr(wireguard, "_exists", lambda interface: interface in world().tunnels)
    patch.setattr(wireguard, "_is_ours", is_ours)
    patch.setattr(wireguard, "as_root", lambda argv, **_: list(argv))
    patch.setattr(wireguard, "_SOCKETS", Path("/nonexistent"))
    # The same pattern is read thousands of times.
    patch.setattr(patterns, "load", functools.cache(patterns.load))
    archive, archives = releases._pattern_archive, dict[Path, bytes]()

    def once(pattern: patterns.LoadedPattern) -> bytes:
        if pattern.folder not in archives:
            archives[pattern.folder] = archive(pattern)
        return archives[pattern.folder]

    patch.setattr(releases, "_pattern_archive", once)
    assert blobs.folder().is_relative_to(paths.state_dir()), "all files are below the root"
