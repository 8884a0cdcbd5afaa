"""Audit entries around a change, with digests of what a deployment was before it and after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tfgrid_compose.errors import InterruptedError_
from tfgrid_compose.state.store import Store


@dataclass
class Turn:
    """What the code under `audited` may add to the entry that ends it."""

    facts: dict[str, Any]


@contextmanager
def audited(store: Store, action: str, deployment: str = "", **facts: Any) -> Iterator[Turn]:
    """Two entries around a change: `begun`, then `ended` with its outcome and the digests before and after.

    `facts` stand in both; what is put into the `facts` of the yielded `Turn` stands in the second.
    """
    named = {"action": action, "deployment": deployment, **facts, "before": digest_of(store, deployment)}
    store.append_audit(**named, phase="begun")
    turn = Turn({})

    def ended(outcome: str) -> None:
        store.append_audit(**named, **turn.facts, phase="ended", after=digest_of(store, deployment), outcome=outcome)

    try:
        yield turn
    except BaseException as error:
        ended("interrupted" if isinstance(error, (KeyboardInterrupt, InterruptedError_)) else "failed")
        raise
    ended("succeeded")


def digest_of(store: Store, deployment: str) -> str:
    """A digest of what a deployment is: its row without the time of its last change, and its live release.

    Two digests are equal exactly when these are equal; empty when there is no such deployment.
    """
    found = next((item for item in store.deployments() if item.id == deployment), None)
    if found is None:
        return ""
    live = store.live_release(deployment)
    data = {**found.data, "contracts": sorted(found.data.get("contracts", []), key=str)}
    facts = {
        "id": found.id, "name": found.name, "network": found.network, "status": found.status, "created": found.created,
        "data": data, "release": live.id if live else None,
    }  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
