"""Other processes, in which leases are held for real while a test goes on in this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

HOLDER = """
import sys
from tfgrid_compose.state import lease
name, sys.argv = sys.argv[1], ["tfgrid-compose", "up", "./my-app"]
with lease.hold(name):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_process(code: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A process of this code, from when it printed `held` until the end of the `with`, at which it is killed."""
    child = subprocess.Popen([sys.executable, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin and child.stdout
    try:
        assert child.stdout.readline() == "held\n"
        yield child
    finally:
        child.kill()
        child.wait(30)
        child.stdin.close()
        child.stdout.close()


def held(name: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """A process that holds this lease as `up ./my-app` would, and does nothing else."""
    return other_process(HOLDER, name)
