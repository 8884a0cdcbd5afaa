"""Settings of the host's kernel that the local grid changes while it is up: forwarding, and limits that machines share.

Two grids share a host: the first one writes down what was there before, the last one gives it back.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tfgrid_compose.drivers.limits import LIMITS
from tfgrid_compose.localgrid import kernel
from tfgrid_compose.localgrid.instance import Instance

_FORWARD = "net/ipv4/ip_forward"


def apply(instance: Instance, progress: Callable[[str], None] = lambda _: None) -> None:
    """Let packets through, and raise the limits that are too low for many machines. Says what it raises, and what it can't."""
    with _notes(instance) as notes:
        notes.set(_FORWARD, "1")
        for limit in LIMITS:
            if not limit.low():
                continue
            now = limit.value()
            if notes.set(limit.path, str(limit.enough)):
                progress(f"{limit.name} is {limit.enough} instead of {now} until `localgrid down`: all machines share it")
            else:
                progress(f"{limit.name} is {now} and can't be raised to {limit.enough} here: many machines may exhaust it")


def restore(instance: Instance) -> None:
    """Give the host its settings back, unless a grid still needs them, or somebody has changed them since."""
    with _notes(instance) as notes:
        if not kernel.namespaces("tg0-") and not kernel.namespaces("tg1-"):
            notes.give_back()


class _Notes:
    """What the settings were before any grid, and what we made of them: {path: [before, ours]}; void after a reboot."""

    def __init__(self, folder: Path) -> None:
        self._file, self._older = folder / "settings.json", folder / "ip_forward"
        self._boot = kernel.read_sysctl("kernel/random/boot_id")
        self._settings: dict[str, list[str]] = {}
        try:
            found = json.loads(self._file.read_text())
            if found["boot"] == self._boot:
                self._settings = {str(path): [str(old), str(ours)] for path, (old, ours) in found["settings"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # Before there were limits, forwarding was noted alone.
            if self._older.exists():
                self._settings = {_FORWARD: [self._older.read_text().strip() or "0", "1"]}

    def set(self, path: str, value: str) -> bool:
        """Change a setting; whether it is so now. What was there is noted first: we may be killed in between."""
        old = kernel.read_sysctl(path)
        if old == value:
            return True
        noted = self._settings.get(path)
        self._settings[path] = [noted[0] if noted else old or "0", value]
        self._save()
        try:
            kernel.write_sysctl(path, value)
        except OSError:
            self._settings.pop(path)
            self._save()
            return False
        return True

    def give_back(self) -> None:
        """Put everything back that is still as we made it."""
        for path, (old, ours) in self._settings.items():
            if kernel.read_sysctl(path) == ours:
                with contextlib.suppress(OSError):
                    kernel.write_sysctl(path, old)
        self._file.unlink(missing_ok=True)
        self._older.unlink(missing_ok=True)

    def _save(self) -> None:
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps({"boot": self._boot, "settings": self._settings}))
        partial.replace(self._file)
        self._older.unlink(missing_ok=True)


@contextmanager
def _notes(instance: Instance) -> Iterator[_Notes]:
    """The notes of this host, which both grids share; one process at a time."""
    folder = instance.home.parent
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield _Notes(folder)
    finally:
        os.close(descriptor)
