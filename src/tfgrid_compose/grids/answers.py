"""Answers of a gridproxy that are kept on disk, so that they need not be asked for again, or can't be.

Only what is public and changes slowly is kept. Contracts, bills and balances never are: an old list of them would say that
something is not there which is being paid for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import paths

_VERSION = 1
_MOST_FILES = 64
# For how many seconds an answer is as good as a new one, by path.
FRESH_S = {"/nodes": 300.0, "/nodes/{}": 120.0, "/farms": 900.0, "/twins": 3600.0, "/public_ips": 300.0, "/stats": 900.0}


@dataclass(frozen=True)
class Kept:
    """An answer as it is kept: its JSON, the count that came with it, and when it was given.

    Both times are in unix seconds: `at` by this computer's clock, `now` by that of the gridproxy.
    """

    at: float
    body: Any
    count: int | None = None
    now: float = 0.0


class Answers:
    """Kept answers of one network; without a folder nothing is kept."""

    def __init__(self, folder: Path | None, owner: str, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._owner, self._clock = folder, owner, clock

    def file(self, path: str, params: Mapping[str, str]) -> Path | None:
        """Where the answer to a question stands; other URLs of the network are another question."""
        if self._folder is None:
            return None
        question = json.dumps([_VERSION, self._owner, path, sorted(params.items())])
        name = path.strip("/").replace("/", "-").replace("_", "-")
        return self._folder / f"{name}-{hashlib.sha256(question.encode()).hexdigest()[:24]}.json"

    def find(self, path: str, params: Mapping[str, str]) -> Kept | None:
        """The kept answer, however old; None when there is none that can be read."""
        file = self.file(path, params)
        if file is None:
            return None
        try:
            data = json.loads(file.read_bytes().decode("utf-8"))
            count = data["count"]
            return Kept(float(data["at"]), data["body"], count if count is None else int(count), float(data["now"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def is_fresh(self, kind: str, kept: Kept) -> bool:
        """Whether an answer need not be asked for again; one from the future needs to be."""
        return 0 <= self._clock() - kept.at < FRESH_S.get(kind, 0.0)

    def keep(self, path: str, params: Mapping[str, str], kept: Kept) -> None:
        """Keep an answer; a disk that is full or not ours to write on is no reason to fail."""
        file = self.file(path, params)
        if file is None:
            return
        data = json.dumps(vars(kept), separators=(",", ":"))
        with contextlib.suppress(StateError, OSError):
            paths.private_file(file, data.encode())
            self._prune(file.parent)

    def _prune(self, folder: Path) -> None:
        """Every filter is a file: keep the newest."""
        files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files[_MOST_FILES:]:
            file.unlink(missing_ok=True)
