"""Archives of releases, each kept once under the digest of its content."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection
from pathlib import Path

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import names, paths

# A blob is written before the record that names it; one that young may belong to a run that goes on.
_SETTLED = 3600.0


def folder() -> Path:
    """Where the archives stand."""
    return paths.state_dir() / "blobs"


def put(data: bytes) -> str:
    """Keep an archive; returns its SHA-256. Raises `StateError` when the disk refuses it."""
    digest = hashlib.sha256(data).hexdigest()
    # Also where it is already: one that was damaged is whole again, and one that nothing named is young again.
    paths.private_file(paths.below(folder(), digest), data)
    return digest


def get(digest: str) -> bytes:
    """An archive, checked against its digest. Raises `StateError` when it is gone or changed."""
    if not names.DIGEST.fullmatch(digest):
        raise _damaged("the archive of a release can't be read", f"the release names {digest[:80]!r}, which is no digest")
    path = paths.below(folder(), digest)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _damaged("the archive of a release can't be read", f"{path}: {error.strerror or error}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise _damaged("the archive of a release was changed", f"{path} does not have the digest that it is called after")
    return data


def _damaged(what: str, why: str) -> StateError:
    fix = "tfgrid-compose history shows the releases; roll back to another one, or run `tfgrid-compose up`"
    return StateError(what, why=why, fix=fix, code="release-damaged")


def prune(needed: Collection[str]) -> int:
    """Remove archives that no release names; returns how many."""
    if not folder().is_dir():
        return 0
    old = time.time() - _SETTLED
    gone = [path for path in folder().iterdir() if path.name not in needed and path.stat().st_mtime < old]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)
