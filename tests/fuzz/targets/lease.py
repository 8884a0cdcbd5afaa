"""Records of who holds a lease."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from random import Random
from unittest.mock import patch

from tests.fuzz import mutate
from tests.fuzz.target import Target
from tfgrid_compose.errors import BusyError
from tfgrid_compose.state import lease, paths, quiet, whoami

_NAME = "main--web"
_RECORD = {"user": "a", "host": "b", "pid": 2**22 + 7, "command": "tfgrid-compose up", "start": 1_700_000_000, "born": 5}


class Fuzz(Target):
    """Looks at a lease that somebody holds, whose record is odd, and tries to take it and to stop its holder."""

    name, share = "lease", 8

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        paths.private_dir(paths.state_dir() / "locks")
        self._file = (paths.state_dir() / "locks" / f"{_NAME}.lock").open("wb")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def close(self) -> None:
        os.unlink(self._file.name)
        self._file.close()

    def case(self, chance: Random) -> bytes:
        record = {**_RECORD, "host": whoami.host()} if chance.random() < 0.5 else _RECORD
        if chance.random() < 0.6:
            return json.dumps(mutate.tree(chance, record)).encode()
        return mutate.raw(chance, json.dumps(record).encode())

    def run(self, case: bytes) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(case)
        self._file.flush()
        with (
            patch.object(os, "kill", lambda *_: None),
            patch.object(lease, "_MOMENT", 0.0),
            patch.object(lease, "_freed", lambda *_: False),
        ):
            record = lease.holder(_NAME)
            assert record is not None
            json.dumps([record, quiet.held_leases()])
            lease.describe(record)
            try:
                with lease.hold(_NAME):
                    raise AssertionError("taken twice")
            except BusyError:
                pass
            lease.stop_holder(_NAME, patience=0.0)
