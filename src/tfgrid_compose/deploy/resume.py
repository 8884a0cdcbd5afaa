"""Going on with a run that was cut off: what it was asked for is in the journal."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tfgrid_compose.deploy.engine import ENDINGS
from tfgrid_compose.deploy.options import UpOptions
from tfgrid_compose.deploy.resolve import said_of
from tfgrid_compose.deploy.wishes import options_of
from tfgrid_compose.errors import NotFoundError
from tfgrid_compose.state.store import Deployment, Store

# Values of --var are kept encrypted with the deployment, not in the journal.
_KEPT = ("name", "network", "pattern", "node", "cpu", "memory", "disk", "size", "file", "strict", "ipv4", "max_monthly")


def aim_of(options: UpOptions) -> dict[str, Any]:
    """What an `up` is asked for, as JSON values for the journal."""
    found = {key: value for key, value in asdict(options).items() if key in _KEPT and value is not None}
    if said := said_of(options.placement):
        found["placement"] = said
    if options.env_file:
        found["env_file"] = str(options.env_file.absolute())
    return {"options": found}


def resumable(store: Store, deployment: Deployment) -> dict[str, Any]:
    """The newest run, when it did not get to its end. Raises `NotFoundError`."""
    run = store.unfinished(deployment.id)
    if run is not None and run["kind"] not in ENDINGS:
        return run
    if run is not None:
        raise NotFoundError(
            f"the last run on {deployment.name} was a {run['kind']}",
            why="it did not get to its end, and is gone on with by itself",
            fix=f"tfgrid-compose {ENDINGS[run['kind']]} {deployment.name}",
            code="nothing-to-resume",
        )
    raise NotFoundError(
        f"there is nothing to resume on {deployment.name}",
        why="its last run got to its end",
        fix=f"tfgrid-compose status {deployment.name}",
        code="nothing-to-resume",
    )


def resumed_options(deployment: Deployment, run: dict[str, Any], file: str | None, turn: dict[str, Any]) -> UpOptions:
    """The options of the run that was cut off."""
    kept: dict[str, Any] = dict(run["data"].get("options", {}))
    env_file = kept.pop("env_file", None)
    kept["placement"] = options_of(kept.get("placement") or {})
    kept["file"] = file or kept.get("file")
    kept["name"], kept["network"] = deployment.name, deployment.network
    return UpOptions(target=Path(deployment.app_dir), env_file=Path(env_file) if env_file else None, **{**kept, **turn})
