"""The files that hooks and commands of a manifest mean."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

# Replaces the hooks where it exists; Ansible runs it on the user's computer.
PLAYBOOK = "deployment/playbook.yml"
# The first word of a shell line, when the shell takes it as it is, with or without quotes.
_FIRST_WORD = re.compile(r"""\s*((?:[^\s"'\\`$~=;&|<>(){}*?\[\]#!]|'[^']*'|"[^"$`\\!]*"|\\[^\n])+)(?=[\s;&|<>]|$)""")


def hook_path(folder: Path, name: str) -> Path | None:
    """Where a hook's file is: as written, or by its name in `deployment/` as the bash tool does.

    None when the path leaves the app folder.
    """
    path = inside(folder, name)
    if path is None or os.path.isfile(path):
        return path
    fallback = inside(folder, os.path.join("deployment", os.path.basename(name)))
    return path if fallback is not None and not os.path.isfile(fallback) else fallback


def inside(folder: Path, name: str) -> Path | None:
    """The file that a name means, all links followed; None when it is outside of the folder."""
    root = os.path.realpath(folder)
    path = Path(os.path.realpath(os.path.join(root, name)))
    return path if path.is_relative_to(root) else None


def first_word(script: str) -> str | None:
    """The program that a shell line begins with; None when only a shell can tell."""
    match = _FIRST_WORD.match(script)
    return shlex.split(match[1])[0] if match else None


def release_file(script: str) -> str | None:
    """The file of the app folder that a command's script begins with: a relative path with a `/`. None for all else."""
    word = first_word(script)
    return word if word and "/" in word and not word.startswith("/") else None
