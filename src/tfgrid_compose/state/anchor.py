"""The anchor: a small file beside the database that remembers how far it had got.

The database says by itself when something inside it was exchanged. That all of it was exchanged for an older copy
shows only from outside. What the anchor says is never ahead of what is committed, so a crash between the two is
no alarm. Nobody without the key can write one.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import paths
from tfgrid_compose.state.vault import Vault

NAME = "anchor"
_PURPOSE = "anchor"


@dataclass(frozen=True)
class Anchor:
    """The newest generation of secrets, and number and hash of the newest audit entry; (0, "") for none."""

    generation: int = 0
    audit: tuple[int, str] = (0, "")


def read(vault: Vault, folder: Path | None = None) -> Anchor | None:
    """What the anchor says; None when there is none, or none that was written with a key of ours.

    Read it before the database: then the database is always at least as new. Raises `StateError` when the key
    can't be had.
    """
    try:
        raw = _path(vault, folder).read_bytes()
    except OSError:
        return None
    code, _, text = raw.partition(b"\n")
    try:
        if not vault.exists() or not vault.fits(_PURPOSE, text, bytes.fromhex(code.decode())):
            return None
        found = json.loads(text)
        return Anchor(int(found["generation"]), (int(found["audit"][0]), str(found["audit"][1])))
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError):
        return None
    except StateError as error:
        if error.code == "key-wrong":
            return None
        raise


def write(
    vault: Vault,
    *,
    generation: int | None = None,
    audit: tuple[int, str] | None = None,
    anew: bool = False,
    folder: Path | None = None,
) -> Anchor:
    """Remember a generation, an audit entry, or both; call it after the commit. Raises `StateError`.

    What is already remembered never goes back, unless with `anew`, after the database was replaced on purpose.
    """
    path = _path(vault, folder)
    paths.private_dir(path.parent)
    with _alone(path.parent):
        old = None if anew else read(vault, folder)
        old = old or Anchor()
        newest = audit if audit and audit[0] >= old.audit[0] else old.audit
        found = Anchor(max(old.generation, generation or 0), newest)
        if found == old and path.exists() and not anew:
            return found
        text = json.dumps({"generation": found.generation, "audit": found.audit}).encode()
        paths.private_file(path, vault.code(_PURPOSE, text).hex().encode() + b"\n" + text)
    return found


def _path(vault: Vault, folder: Path | None) -> Path:
    return (folder or vault.folder) / NAME


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: two that write two things would each forget the other's."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise paths.write_error(folder, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
