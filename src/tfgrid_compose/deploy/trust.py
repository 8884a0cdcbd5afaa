"""Code of others that runs on this computer and not on the machine: only after a yes to that very code.

Ansible carries out a playbook here, with the rights of whoever runs us: `hosts: localhost`, lookups, connection variables
and plugins beside it reach every file. Terraform does the same with a pattern's files (`local-exec`, `external`, other
providers). No list of what is forbidden would be complete, so the plan says it and somebody has to agree.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from tfgrid_compose.deploy.context import Context
from tfgrid_compose.errors import UsageError
from tfgrid_compose.patterns.load import BUILTIN

# As many as there are releases to go back to, and some.
_KEPT = 20


@dataclass(frozen=True)
class LocalCode:
    """What runs here, in words, and a digest that changes with it. `ours` came with tfgrid-compose itself."""

    what: str
    digest: str
    ours: bool = False


def unseen(context: Context) -> tuple[LocalCode, ...]:
    """Code of others that would run here and that nobody has agreed to yet for this deployment."""
    agreed = context.deployment.data.get("agreed_code")
    if agreed is None and context.release is not None:
        return ()  # Made on this computer before this was remembered: what its releases bring has run here.
    return tuple(item for item in _local_code(context) if not item.ours and item.digest not in (agreed or []))


def _local_code(context: Context) -> list[LocalCode]:
    who = "root" if os.geteuid() == 0 else "you"
    pattern, found = context.pattern, []
    playbook = context.app.playbook()
    if playbook is not None:
        what = f"deployment/playbook.yml of {context.app.manifest.name}: Ansible runs it on this computer, as {who}"
        found.append(LocalCode(what, _of_playbook(context, playbook.parent)))
    digest, builtin = digest_of(pattern.folder), BUILTIN / pattern.pattern.name
    what = f"pattern {pattern.pattern.name} in {pattern.folder}: Terraform and Ansible run it on this computer, as {who}"
    found.append(LocalCode(what, digest, ours=builtin.is_dir() and digest == digest_of(builtin)))
    return found


def _of_playbook(context: Context, folder: Path) -> str:
    """The digest of what a playbook runs: its folder, and all of the app when something in there leads out of it.

    Whoever hides such a path in expressions hides it in code that somebody agreed to.
    """
    own = digest_of(folder)
    leads_out = any(path.is_symlink() or (path.is_file() and b".." in path.read_bytes()) for path in folder.rglob("*"))
    return hashlib.sha256(f"{own} {context.bundle.digest}".encode()).hexdigest() if leads_out else own


def digest_of(folder: Path) -> str:
    """64 hex digits that change with anything below a folder: names, contents, where links lead."""
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            what = f"link {os.readlink(path)!r}"
        elif path.is_file():
            what = f"file {hashlib.sha256(path.read_bytes()).hexdigest()}"
        else:
            continue
        lines.append(f"{path.relative_to(folder).as_posix()!r} {what}\n")
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def require(context: Context) -> None:
    """Raise `UsageError` unless somebody agreed to all code of others that runs here; remember to what."""
    new = unseen(context)
    if new and not context.trust:
        raise no_consent(new)
    agreed = context.deployment.data.get("agreed_code") or []
    fresh = [item.digest for item in _local_code(context) if item.digest not in agreed]
    if fresh and not context.only_plan:
        context.remember(agreed_code=[*agreed, *fresh][-_KEPT:])


def no_consent(code: tuple[LocalCode, ...]) -> UsageError:
    """The error for code of others that nobody agreed to."""
    return UsageError(
        "the app brings code that runs on this computer, and nobody agreed to it",
        why="; ".join(item.what for item in code),
        fix="read it, then run the command again with --trust",
        code="code-not-agreed",
    )
