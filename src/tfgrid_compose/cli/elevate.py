"""Run the same command as root when it needs that: for the local grid, and for tunnels."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tfgrid_compose.drivers.process import python_module
from tfgrid_compose.errors import EnvironmentError_

_KEPT = ("HOME", "PATH", "TERM", "LANG", "NO_COLOR", "SSH_AUTH_SOCK", "KEY_TYPE")
_PREFIXES = ("XDG_", "TFGRID_", "TF_VAR_", "MNEMONIC", "LC_")


def ensure_root(why: str) -> None:
    """Return when this process is root; otherwise become it through sudo, which may ask for a password.

    Files that root then writes into the user's folders are given back to the user. Raises
    `EnvironmentError_` when there is no sudo, or nobody to type a password.
    """
    if os.geteuid() == 0:
        return
    sudo = shutil.which("sudo")
    can_ask = sys.stdin.isatty()
    free = sudo is not None and subprocess.run([sudo, "-n", "true"], capture_output=True).returncode == 0
    if sudo is None or not (can_ask or free):
        raise EnvironmentError_(
            f"{why} needs root",
            why="there is no sudo on this computer" if sudo is None else "sudo asks for a password, and there is no terminal",
            fix="run the command as root" if sudo is None else "run it in a terminal, or allow sudo without a password",
            code="root-needed",
        )
    env = {key: value for key, value in os.environ.items() if key in _KEPT or key.startswith(_PREFIXES)}
    env |= {"TFGRID_SUDO_UID": str(os.getuid()), "TFGRID_SUDO_GID": str(os.getgid())}
    os.environ.update(env)
    words = [sudo, f"--preserve-env={','.join(sorted(env))}", *python_module("tfgrid_compose"), *sys.argv[1:]]
    os.execv(sudo, words)
