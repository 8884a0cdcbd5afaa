"""A few megabytes that are kept for `down`: on a full disk nothing could be written, and so nothing could be destroyed."""

from __future__ import annotations

import contextlib
import os

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import paths

NAME = "reserve"
SIZE = 4 * 1024**2


def keep() -> None:
    """Take the room, where there is so much; without it all else works too."""
    path = paths.state_dir() / NAME
    if path.exists():
        return
    with contextlib.suppress(StateError, OSError):
        paths.private_file(path, b"")
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, SIZE)
            except OSError:
                path.unlink()
                raise


def give_back() -> None:
    """Free the room for what has to be written now."""
    with contextlib.suppress(OSError):
        (paths.state_dir() / NAME).unlink()
