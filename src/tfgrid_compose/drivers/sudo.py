"""Root where it is needed: our own, or sudo's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from tfgrid_compose.errors import EnvironmentError_


def as_root(argv: Sequence[str], *, lasting: bool = False) -> list[str]:
    """The argv that runs as root. Raises `EnvironmentError_` when there is no way to.

    `lasting`: it leaves something running. sudo needs the terminal for its question, so the session that the terminal
    does not reach begins behind it.
    """
    if os.geteuid() == 0:
        return list(argv)
    if shutil.which("sudo"):
        return ["sudo", "--", *(["setsid", "--wait"] if lasting else []), *argv]
    raise EnvironmentError_(
        f"`{argv[0]}` needs root, and there is no sudo",
        why="network interfaces belong to the system",
        fix="run the command as root, or install sudo",
        code="root-needed",
    )
