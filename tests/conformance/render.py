"""From a manifest to the Terraform variables that `up` would set, by the very code that `up` uses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.unit.workbench import FakeGrid
from tfgrid_compose.deploy import resolve
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.networks import choose
from tfgrid_compose.manifest.bundle import Bundle
from tfgrid_compose.manifest.envfile import Environment
from tfgrid_compose.manifest.load import load_app
from tfgrid_compose.observe.events import Stream
from tfgrid_compose.patterns.load import LoadedPattern
from tfgrid_compose.state.settings import Connect
from tfgrid_compose.state.store import Deployment, Store


@dataclass(frozen=True)
class Case:
    """One configuration: a pattern, a manifest, and what the user says on the command line."""

    pattern: str
    manifest: Mapping[str, Any]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    # How many machines a role has, where the case differs from the pattern.
    counts: Mapping[str, int] = field(default_factory=dict)


def variables(store: Store, folder: Path, number: int, pattern: LoadedPattern, case: Case) -> dict[str, Any]:
    """{Terraform variable: value} of one case. Raises what `up` would raise."""
    app_folder = folder / f"app-{number}"
    (app_folder / "deployment").mkdir(parents=True)
    for hook in ("setup", "configure", "healthcheck"):
        script = app_folder / "deployment" / f"{hook}.sh"
        script.write_text("#!/bin/sh\ntrue\n")
        script.chmod(0o755)
    (app_folder / "tfgrid-compose.yaml").write_text(yaml.safe_dump(dict(case.manifest)))
    app = load_app(app_folder)
    roles = pattern.pattern.roles
    id = hashlib.sha256(f"case {number}".encode()).hexdigest()[:16]
    context = Context(
        store=store, deployment=Deployment(id, app.manifest.name, "main", "new", 0, 0, {"ip_range": f"10.{number % 255}.0.0/16"}),
        app=app, pattern=pattern, grid=FakeGrid(), stream=Stream(), bundle=Bundle((), "", 0),
        environment=Environment({}, frozenset()),
        sizes={name: resolve.sizes(app, name, role, case.overrides) for name, role in roles.items()},
        nodes={name: list(range(7, 7 + case.counts.get(name, role.count))) for name, role in roles.items()},
        overrides=dict(case.overrides), pattern_options=dict(case.options), networks=choose(app.manifest.network, Connect()),
        disks=tuple(app.manifest.disks),
    )  # fmt: skip
    return context.terraform_variables()
