"""Who runs this process, and which command: for leases, the journal and the audit log."""

from __future__ import annotations

import getpass
import itertools
import os
import pwd
import socket
import sys
from pathlib import Path


def user() -> str:
    """The user's name; under sudo, that of the user who called it."""
    real = os.environ.get("TFGRID_SUDO_UID", "")
    try:
        return pwd.getpwuid(int(real)).pw_name if real.isdigit() else getpass.getuser()
    except (KeyError, OSError):  # A user id without a name, as containers have it.
        return real or str(os.getuid())


def host() -> str:
    """This computer's name."""
    return socket.gethostname()


def who() -> str:
    """`user@host`."""
    return f"{user()}@{host()}"


def command(words: list[str] | None = None) -> str:
    """The command and its app. What follows an option may be a secret: `--var PASSWORD=…` is never recorded."""
    given = sys.argv[1:] if words is None else words
    plain = list(itertools.takewhile(lambda word: not word.startswith("-"), given))[:2]
    if plain[:1] == ["secrets"]:
        plain = given[:2]
    # A word that is no text, such as an odd file name, can't be stored as one.
    shown = " ".join(["tfgrid-compose", *plain])[:200].encode(errors="replace").decode()
    return shown if len(plain) == len(given) else f"{shown} …"


def process_start(pid: int) -> int | None:
    """When a process started, in clock ticks after boot: with its number it names one process for ever.

    None when there is no such process (proc(5), /proc/PID/stat, field 22).
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
