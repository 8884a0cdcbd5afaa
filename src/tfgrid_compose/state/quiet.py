"""Nobody works: every lease is held while the database as a whole is replaced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tfgrid_compose.errors import BusyError
from tfgrid_compose.state import lease, paths

_OWN = "state"


def known_leases() -> list[str]:
    """Names of all leases that were ever taken."""
    return sorted(path.stem for path in (paths.state_dir() / "locks").glob("*.lock"))


def held_leases() -> dict[str, dict[str, Any]]:
    """{name: record of its holder} of the leases that other processes hold. Raises `StateError` when that can't be told."""
    found = {name: lease.holder(name) for name in known_leases()}
    return {name: record for name, record in found.items() if record is not None and record.get("pid") != os.getpid()}


@contextmanager
def quiet(action: str) -> Iterator[None]:
    """Hold every lease that there is, so that no run changes anything meanwhile. Raises `BusyError` that names the run."""
    with ExitStack() as stack:
        # One lease of our own keeps two such commands apart where nothing was ever deployed.
        for name in sorted({_OWN, *known_leases()}):
            try:
                stack.enter_context(lease.hold(name))
            except BusyError as error:
                who = "another command on the whole state" if name == _OWN else f"a run on `{name.split('--')[-1]}`"
                raise BusyError(
                    f"{action} has to wait: {who} goes on",
                    why=error.why,
                    fix="wait until it has ended, or stop it with `tfgrid-compose runs cancel`; then run the command again",
                ) from error
        yield
