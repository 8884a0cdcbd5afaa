"""Secrets that a deployment is known to have, for whatever shows what its machines print."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfgrid_compose.deploy.steps.infrastructure import private_keys
from tfgrid_compose.state.releases import environment_name
from tfgrid_compose.state.secrets import folder_owner
from tfgrid_compose.state.store import Deployment, Store


def known_secrets(store: Store, deployment: Deployment) -> Iterator[str]:
    """Values of its releases' environments, those set for it and its folder, generated values, keys.

    Raises `StateError` when they can't be read: nothing is shown then that could hold one.
    """
    for release in store.releases(deployment.id):
        found = _object(store, deployment.id, environment_name(release.id))
        values = found.get("values") or {}
        yield from (str(values[name]) for name in found.get("secrets") or () if name in values)
    for owner in (deployment.id, folder_owner(Path(deployment.app_dir))):
        yield from store.app_secrets(owner).values()
    yield from map(str, _object(store, deployment.id, "generated").values())
    yield str(_object(store, deployment.id, "ssh").get("private") or "")
    yield from private_keys((store.secret(deployment.id, "wireguard") or b"").decode(errors="replace"))


def _object(store: Store, id: str, name: str) -> dict[str, Any]:
    found = json.loads(store.secret(id, name) or b"{}")
    return found if isinstance(found, dict) else {}
