"""A world of its own for a fuzz run: home, state, environment and current folder, put back afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FOLDERS = (("HOME", ""), ("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache"),
            ("XDG_RUNTIME_DIR", "run"))  # fmt: skip
_STRANGERS = ("TFGRID_", "TF_", "MNEMONIC", "ANSIBLE_", "SUDO_")


@contextmanager
def world() -> Iterator[Path]:
    """A folder in memory that is home and current folder; nothing of the user's is read or written."""
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    base = Path(tempfile.mkdtemp(prefix="fuzz-world-", dir=place))
    before, here = dict(os.environ), Path.cwd()
    try:
        for name in [name for name in os.environ if name.startswith(_STRANGERS)]:
            del os.environ[name]
        for variable, name in _FOLDERS:
            folder = base / "home" / name
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.environ[variable] = str(folder)
        # Should anything reach for a local grid, it is neither the user's nor the tests'.
        os.environ |= {"TFGRID_LOCALGRID": "1", "TFGRID_LOCALGRID_ROOT": str(base / "localgrid"), "NO_COLOR": "1"}
        # So deep that no odd path with some `..` in it leads out.
        empty = base / "a" / "b" / "c" / "d" / "empty"
        empty.mkdir(parents=True)
        os.chdir(empty)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield base
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(base, ignore_errors=True)
