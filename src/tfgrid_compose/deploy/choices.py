"""What a run was told, kept for the runs after it: options, environment, where the app stands."""

from __future__ import annotations

import json

from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.steps.hooks import service_of


def keep(context: Context) -> None:
    """Commit the choices before anything is made of them: an id that is lost could never be found again.

    Only once it is decided that they hold: what the user declined, or the budget refused, must not decide a later run.
    """
    here = {} if context.release else {"app_dir": str(context.app.folder), "manifest_name": context.app.manifest_path.name}
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
