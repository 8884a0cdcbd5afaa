"""Runs the program and stops it at a journal boundary; started by the harness as `python -m tests.chaos.victim …`.

`CHAOS_AT` is the number of the commit after which the process gets signal `CHAOS_SIGNAL` (0: before the first one);
`CHAOS_COUNT` names a file that gets the number of commits at the end.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfgrid_compose.cli.main import main
from tfgrid_compose.state.database import Database


class Bomb:
    """Counts commits and goes off."""

    def __init__(self) -> None:
        self.at = int(os.environ.get("CHAOS_AT", "-1"))
        self.signal = int(os.environ.get("CHAOS_SIGNAL", "9"))
        self.commits = 0
        self._write = Database.write

    def arm(self) -> None:
        """Stand between the program and its database."""
        bomb = self

        @contextmanager
        def write(database: Any) -> Iterator[sqlite3.Connection]:
            bomb.tick()
            with bomb._write(database) as db:
                yield db
            bomb.commits += 1
            bomb.tick()

        Database.write = write  # type: ignore[method-assign]

    def tick(self) -> None:
        """Go off when it is time, once."""
        if self.commits == self.at:
            self.at = -1
            os.kill(os.getpid(), self.signal)

    def report(self) -> None:
        """Write how many commits there were."""
        if os.environ.get("CHAOS_COUNT"):
            Path(os.environ["CHAOS_COUNT"]).write_text(str(self.commits))


if __name__ == "__main__":
    bomb = Bomb()
    bomb.arm()
    try:
        main()
    finally:
        bomb.report()
