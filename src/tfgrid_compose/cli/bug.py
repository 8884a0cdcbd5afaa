"""The report of a bug: a traceback in a private file, never on the screen."""

from __future__ import annotations

import platform
import sys
import time
import traceback
from pathlib import Path

from tfgrid_compose import __version__
from tfgrid_compose.observe.redact import PROCESS
from tfgrid_compose.state import paths


def save_report(error: Exception) -> Path:
    """Write the report and return its path. Values of local variables are left out on purpose."""
    lines = [
        f"tfgrid-compose {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"command: {' '.join(sys.argv[1:2])}",
        "".join(traceback.format_exception(error)),
    ]
    path = paths.state_dir() / "bugs" / f"{time.strftime('%Y%m%d-%H%M%S')}.txt"
    try:
        return paths.private_file(path, PROCESS.text("\n".join(lines)).encode())
    except Exception:
        return Path("(no report: the state folder can't be written)")
