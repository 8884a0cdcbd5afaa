"""Which deployment the user means: a folder, a name, or the beginning of an id."""

from __future__ import annotations

import shlex
from pathlib import Path

from tfgrid_compose.errors import NotFoundError, UsageError
from tfgrid_compose.manifest.load import NAMES, folder_of, nearest
from tfgrid_compose.state.store import Deployment, Store


def find(store: Store, target: str | None, folder: Path | None = None) -> Deployment:
    """The deployment of `target`; without one, the app in the current folder or the only one there is.

    Raises `NotFoundError` and `UsageError` that list what there is.
    """
    everything = store.deployments()
    here = folder or Path.cwd()
    if target is None:
        mine = [item for item in everything if Path(item.app_dir) == here.resolve()]
        if mine or len(everything) == 1:
            return _only(mine or everything, "this folder")
        if any((here / name).is_file() for name in NAMES):
            raise NotFoundError("the app in this folder is not deployed", fix="tfgrid-compose up", code="deployment-not-found")
        if not everything:
            raise NotFoundError("nothing is deployed", fix="tfgrid-compose up ./my-app", code="deployment-not-found")
        raise UsageError(
            "which deployment?", why=f"there are {', '.join(item.name for item in everything)}",
            fix="name one, or change to its app folder", code="deployment-ambiguous",
        )  # fmt: skip
    named = [item for item in everything if item.name == target]
    if named:
        return _only(named, target)
    path = Path(target)
    if _exists(path):
        mine = [item for item in everything if Path(item.app_dir) == folder_of(path)]
        if mine:
            return _only(mine, target)
        raise NotFoundError(
            f"the app in {target} is not deployed", fix=f"tfgrid-compose up {shlex.quote(target)}", code="deployment-not-found"
        )
    begun = [item for item in everything if len(target) >= 2 and item.id.startswith(target.lower())]
    if begun:
        return _only(begun, target)
    raise NotFoundError(
        f"there is no deployment `{target}`",
        why=f"there are {', '.join(item.name for item in everything)}" if everything else "nothing is deployed",
        fix=nearest(target, [item.name for item in everything]) or "tfgrid-compose ps",
        code="deployment-not-found",
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False  # Longer than any file name, or with a NUL in it.


def _only(found: list[Deployment], target: str) -> Deployment:
    if len(found) == 1:
        return found[0]
    listed = [f"{item.id[:6]} ({item.name} on {item.network})" for item in found]
    raise UsageError(
        f"{target} can mean {len(found)} deployments", why=", ".join(listed),
        fix=f"use an id, for example {found[0].id[:6]}", code="deployment-ambiguous",
    )  # fmt: skip
