"""Code of others that runs on this computer and not on the machine: only after a yes to that very code.

Ansible carries out a playbook here, with the rights of whoever runs us: `hosts: localhost`, lookups, connection variables
and plugins beside it reach every file. Terraform does the same with a pattern's files (`local-exec`, `external`, other
providers). No list of what is forbidden would be complete, so the plan says it and somebody has to agree.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from tfgrid_compose.deploy.context import Context
from tfgrid_compose.errors import UsageError
from tfgrid_compose.patterns.load import BUILTIN, tree_digest

# As many as there are releases to go back to, and some.
_KEPT = 20


@dataclass(frozen=True)
class LocalCode:
    """What runs here, in words, and a digest that changes with it."""

    what: str
    digest: str


def unseen(context: Context) -> tuple[LocalCode, ...]:
    """Code of others that would run here and that nobody has agreed to yet for this deployment."""
    agreed = context.deployment.data.get("agreed_code", [])
    return tuple(item for item in _local_code(context) if item.digest not in agreed)


def _local_code(context: Context) -> list[LocalCode]:
    who = "root" if os.geteuid() == 0 else "you"
    found = []
    playbook = context.app.playbook()
    if playbook is not None:
        what = f"deployment/playbook.yml of {context.app.manifest.name}: Ansible runs it on this computer, as {who}"
        found.append(LocalCode(what, tree_digest(playbook.parent)))
    pattern = context.pattern
    if not pattern.folder.is_relative_to(BUILTIN):
        what = f"pattern {pattern.pattern.name} in {pattern.folder}: Terraform and Ansible run it on this computer, as {who}"
        found.append(LocalCode(what, f"{pattern.infrastructure_digest}{pattern.platform_digest}"))
    return found


def require(context: Context) -> None:
    """Raise `UsageError` unless somebody agreed to all code of others that runs here; remember to what."""
    new = unseen(context)
    if not new:
        return
    if not context.trust:
        raise no_consent(new)
    if context.only_plan:
        return
    agreed = [*context.deployment.data.get("agreed_code", []), *(item.digest for item in new)]
    context.remember(agreed_code=agreed[-_KEPT:])


def no_consent(code: tuple[LocalCode, ...]) -> UsageError:
    """The error for code of others that nobody agreed to."""
    return UsageError(
        "the app brings code that runs on this computer, and nobody agreed to it",
        why="; ".join(item.what for item in code),
        fix="read it, then run the command again with --trust",
        code="code-not-agreed",
    )
