"""A state as it is after some weeks, made the same way each time; and a state folder that is put back after each input."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from unittest.mock import patch

from tests.unit import test_migrations
from tfgrid_compose.deploy import releases
from tfgrid_compose.manifest import bundle as bundles
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.state import backups, blobs, paths
from tfgrid_compose.state.releases import environment_name
from tfgrid_compose.state.store import Deployment, Store

ROOT = Path(__file__).resolve().parents[2]
APP = "classic"
NAMES = {"web": "main", "shop": "main", "box": "local"}
IDS = {"web": "0123456789abcdef", "shop": "a1b2c3d4e5f60718", "box": "f00df00df00df00d"}
MACHINE = {
    "name": "vm", "role": "vm", "node": 7, "contract": "1002", "private_ip": "10.5.3.2", "wireguard_ip": "10.5.3.2", "mycelium_ip": "5ff::7",
    "ipv4_address": "", "ipv6_address": "", "address": "10.5.3.2",
}  # fmt: skip


@contextmanager
def repeatable() -> Iterator[None]:
    """The same random bytes, times and process number each time; nothing that is made here is a secret of anybody."""
    chance, ticks = Random(7), itertools.count(1_700_000_000)
    with patch.object(os, "urandom", chance.randbytes), patch.object(time, "time", lambda: float(next(ticks))):
        with patch.object(os, "getpid", lambda: 4_190_000):
            yield


def app_folder(base: Path) -> Path:
    """An app that deploys, with an environment."""
    folder = base / APP
    if not folder.exists():
        shutil.copytree(ROOT / "examples" / APP, folder)
        (folder / ".env").write_text("PASSWORD=hunter22\n")
    return folder


def state(app: Path) -> None:
    """Three deployments with runs, releases, secrets and audit entries, and two backups."""
    with repeatable(), Store() as store:
        archive = blobs.put(bundles.collect(app).archive({releases.MANIFEST: (app / releases.MANIFEST).read_bytes()}))
        pattern = patterns.load("single-vm")
        pattern_archive = blobs.put(releases._pattern_archive(pattern))
        for name, network in NAMES.items():
            _deployment(store, app, name, network, archive, {**releases._pattern_facts(pattern)}, pattern_archive)
            backups.save(store.path, "by-hand") if name != "web" else None


def _deployment(
    store: Store, app: Path, name: str, network: str, archive: str, pattern: dict[str, str], pattern_archive: str
) -> None:
    id = IDS[name]
    data = {
        "app_dir": str(app), "app": name, "pattern": "single-vm", "ip_range": "10.20.0.0/16", "contracts": [1001, 1002], "interface": f"wg-{name}",
        "machines": [MACHINE], "prefer": ["wireguard", "mycelium"], "ports": [{"number": 80, "protocol": "tcp", "name": "http"}],
        "service": "nginx", "overrides": {"cpu": 2}, "sizes": {"vm": {"cpu": 2, "memory": 2048, "disk": 20}}, "disks": [],
        "nodes": {"vm": [7]}, "planned_nodes": {"vm": [7]}, "pattern_options": {}, "variables": {"name": name}, "outputs": {},
    }  # fmt: skip
    found = store.save(Deployment(id, name, network, "running", 1.0, 1.0, data))
    for secret, value in (("ssh", b'{"private": "KEY", "public": "pub"}'), ("tfstate", b'{"version": 4}'), ("wireguard", b"[Interface]\n"),
                          ("environment", b'{"PASSWORD": "hunter22"}'), ("generated", b'{"key": "00"}')):  # fmt: skip
        store.set_secret(id, secret, value)
    went_live = []
    for number in (1, 2):
        run = store.start_run(found, "up", {"target": str(app), "variables": {}})
        for step in ("infrastructure", "ship", "setup"):
            store.begin_step(run, id, step, {"digest": "0" * 16})
            store.end_step(run, id, step, "done", "a note")
        store.end_run(
            run,
            *(
                ("failed", {"code": "hook-failed", "what": "hook setup failed", "why": "x"})
                if number == 1
                else ("succeeded", None)
            ),
        )
        store.append_audit(action="up", deployment=id, name=name, network=network, run=run, outcome="succeeded")
        release = f"20251123-13450{number}-{id[:6]}"
        facts = {
            "inputs": {}, "run": run, "version": f"1.0.{number}", "manifest": (app / releases.MANIFEST).read_text(), "source": "0" * 64, "size": 10,
            "files": 3, "content": "1" * 64, "archive": archive, "hooks": {"setup": "2" * 64}, "pattern": pattern,
            "pattern_archive": pattern_archive, "sizes": data["sizes"], "disks": [], "nodes": data["nodes"], "overrides": {}, "pattern_options": {},
            "variables": {}, "outputs": {}, "contracts": [1001], "networks": ["wireguard"], "dotenv": True,
        }  # fmt: skip
        store.set_secret(
            id, environment_name(release), json.dumps({"values": {"A": "b"}, "secrets": ["A"], "given": {}}).encode()
        )
        store.add_release(release, id, facts)
        store.set_release_live(release, id)
        went_live.append(release)
    store.save(store.deployment(id).with_data(release=went_live[-1], went_live=went_live))


def first_version() -> None:
    """A database of version 1."""
    with repeatable():
        test_migrations.first()


class StateFolder:
    """The run's state folder: filled once, and put back before each input."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: dict[str, Path] = {}

    def keep(self, name: str) -> Path:
        """Remember what is in the state folder now, as `name`; then empty it."""
        self._kept[name] = Path(shutil.copytree(paths.state_dir(), self._folder / f"kept-{name}"))
        self.empty()
        return self._kept[name]

    def empty(self) -> None:
        """Remove all that is remembered."""
        shutil.rmtree(paths.state_dir(), ignore_errors=True)

    def put(self, name: str) -> Path:
        """Put back what was kept under this name; returns the state folder."""
        self.empty()
        return Path(shutil.copytree(self._kept[name], paths.state_dir()))


def checkpointed(folder: Path) -> bytes:
    """The database of a folder as one file."""
    return backups.consistent_copy(folder / "state.db")
