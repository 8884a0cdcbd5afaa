"""What a run was told, kept for the runs after it: options, environment, where the app stands."""

from __future__ import annotations

import json

from tfgrid_compose.deploy import resolve
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.steps.hooks import service_of
from tfgrid_compose.observe.events import notice


def keep(context: Context) -> None:
    """Commit the choices before anything is made of them: an id that is lost could never be found again.

    Only once it is decided that they hold: what the user declined, or the budget refused, must not decide a later run.
    """
    if context.deployment.status == "new":
        _claim(context)
    here = {} if context.release else {"app_dir": str(context.app.folder), "manifest_name": context.app.manifest_name}
    context.remember(
        **here, pattern=context.pattern.pattern.name, pattern_options=context.pattern_options,
        prefer=list(context.networks.prefer),
        ports=[port.model_dump() for port in context.app.manifest.resources.ports],
        service=service_of(context.app), overrides=context.overrides,
    )  # fmt: skip
    # Defaults are not remembered: a changed one in the manifest takes effect. A secret comes after its deployment,
    # so that none is left without one.
    values = json.dumps(context.environment.given).encode()
    context.store.set_secret(context.deployment.id, "environment", values)


def _claim(context: Context) -> None:
    planned = context.deployment.data
    context.deployment = resolve.claim(context.store, context.deployment)
    for key in ("ip_range", "interface"):
        if context.deployment.data[key] != planned[key]:
            taken, given = planned[key], context.deployment.data[key]
            context.stream.emit(notice(f"{taken} was taken by another deployment since the plan; this one gets {given}"))
