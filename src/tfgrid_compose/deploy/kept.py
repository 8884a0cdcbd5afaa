"""Files that Terraform and its providers leave in their working folder and that must not be lost.

While Terraform runs they stand in the folder. After it they are stored encrypted, with the deployment's other secrets,
and the plain files are removed: so they are in every backup and export. One that stands there before a run comes from a
run that was killed; it is the newer one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfgrid_compose.drivers.plugins import LOCK_FILE, locked
from tfgrid_compose.state import paths
from tfgrid_compose.state.store import Store

STATE = "tfstate"
PROVIDER_STATE = "provider-state"
PROVIDER_LOCK = "provider-lock"
# Whether what a run left is to be stored in place of what is stored.
Better = Callable[[bytes, bytes | None], bool]


@dataclass(frozen=True)
class Kept:
    """One file: the name of its secret, its name in the folder, and whether the next run needs it there."""

    secret: str
    file: str
    better: Better
    needed: bool = True


def _serial(state: bytes | None) -> int:
    """The number of a Terraform state, which grows with each change; -1 for what is none."""
    try:
        return int(json.loads(state or b"{}").get("serial", -1))
    except (ValueError, TypeError, AttributeError):
        return -1


def _parsed(data: bytes | None) -> dict[str, Any]:
    """A JSON object; an empty one for what is none, or was cut off."""
    try:
        found = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


KEPT = (
    # Terraform could not hand its state over. An older one came from a Terraform that outlived its run.
    Kept(STATE, "errored.tfstate", lambda left, stored: _serial(left) > _serial(stored), needed=False),
    # The grid's provider keeps the subnets of networks there, and finds no address for a machine without it.
    Kept(PROVIDER_STATE, "state.json", lambda left, stored: bool(_parsed(left).get("State"))),
    # Versions and checksums of the providers, as they were when the deployment was made.
    Kept(PROVIDER_LOCK, LOCK_FILE, lambda left, stored: bool(locked(left.decode(errors="replace")))),
)


def take_in(store: Store, id: str, folder: Path) -> None:
    """Store what a run has left in its folder, and remove the plain files. Raises `StateError`."""
    for item in KEPT:
        path = folder / item.file
        if path.is_file():
            data, stored = path.read_bytes(), store.secret(id, item.secret)
            if data != stored and item.better(data, stored):
                store.set_secret(id, item.secret, data)
            path.unlink()


def put_back(store: Store, id: str, folder: Path) -> None:
    """Put what the next run needs into its folder. Raises `StateError`."""
    for item in KEPT:
        data = store.secret(id, item.secret) if item.needed else None
        if data is not None:
            paths.private_file(folder / item.file, data)


def clear(folder: Path) -> None:
    """Remove the plain files of a run that only looked."""
    for item in KEPT:
        (folder / item.file).unlink(missing_ok=True)


def complete_provider_state(store: Store, id: str, folder: Path) -> None:
    """Add networks that Terraform's state knows and the provider's own file does not.

    The provider writes its file when it ends; one that was killed has made networks that are only in Terraform's state.
    """
    networks = _subnets(store.secret(id, STATE))
    path = folder / "state.json"
    found = _parsed(path.read_bytes() if path.is_file() else None)
    known = found.get("State") if isinstance(found.get("State"), dict) else {}
    missing = {name: {"Subnets": subnets} for name, subnets in networks.items() if name not in (known or {})}
    if missing:
        paths.private_file(path, json.dumps({**found, "State": {**(known or {}), **missing}}).encode())


def _subnets(state: bytes | None) -> dict[str, dict[str, str]]:
    """{network: {node: subnet}} of a Terraform state; what can't be read is left out, and said where it is used."""
    found = {}
    for resource in _parsed(state).get("resources") or []:
        for instance in resource.get("instances") or [] if resource.get("type") == "grid_network" else []:
            attributes = instance.get("attributes") or {}
            if attributes.get("name") and isinstance(attributes.get("nodes_ip_range"), dict):
                found[str(attributes["name"])] = dict(attributes["nodes_ip_range"])
    return found
