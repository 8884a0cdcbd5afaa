"""`up`: from options to a context and a plan; the shell shows the plan and hands it to the engine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tfgrid_compose.deploy import resolve
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.options import UpOptions
from tfgrid_compose.deploy.steps.infrastructure import private_keys
from tfgrid_compose.errors import ManifestError
from tfgrid_compose.grids.registry import open_grid
from tfgrid_compose.manifest import bundle as bundles
from tfgrid_compose.manifest import envfile
from tfgrid_compose.manifest.load import App, load_app
from tfgrid_compose.manifest.model import Variable
from tfgrid_compose.observe.events import Stream, notice
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.patterns.load import LoadedPattern
from tfgrid_compose.state import lease
from tfgrid_compose.state.store import Deployment, Store

Ask = Callable[[Variable], str | None]


@contextmanager
def prepared(store: Store, stream: Stream, options: UpOptions, ask: Ask, *, write: bool) -> Iterator[Context]:
    """A context for `up` under the deployment's lease; closes its connections at the end.

    `ask` is called for each required value that is missing and returns it, or None. With `write`
    unset nothing is recorded, the lease is not taken and the grid is not started: that is the plan.
    Raises `TfgridError`s of every kind that bad input can cause.
    """
    app = load_app(options.target, file=options.file, strict=options.strict)
    for problem in app.warnings:
        stream.emit(notice(str(problem), "warning"))
    network = options.network or (existing.network if (existing := resolve.find_deployment(store, app, options)) else None)
    name = lease_name(options.name or app.manifest.name, network or resolve.DEFAULT_NETWORK)
    if not write:
        with _context(store, stream, options, app, ask, write) as context:
            yield context
        return
    with lease.hold(name, wait=options.wait, waiting=lambda text: stream.emit(notice(text))):
        with _context(store, stream, options, app, ask, write) as context:
            yield context


def lease_name(name: str, network: str) -> str:
    """The name of a deployment's lease."""
    return f"{network}--{name}"


@contextmanager
def _context(store: Store, stream: Stream, options: UpOptions, app: App, ask: Ask, write: bool) -> Iterator[Context]:
    deployment = resolve.find_deployment(store, app, options)
    pattern = _pattern(app, options, deployment)
    deployment = deployment or resolve.new_deployment(store, app, options, pattern.pattern.name)
    grid = open_grid(deployment.network)
    if write:
        grid.prepare(lambda text: stream.emit(notice(text)))
    mine, theirs = resolve.split_variables(app, pattern, options.variables)
    env_file = envfile.app_file(app, options.env_file)
    environment = _environment(store, stream, deployment, app, env_file, mine, ask)
    overrides = resolve.overrides_of(options, deployment.data.get("overrides", {}))
    sizes = {name: resolve.sizes(app, name, role, overrides) for name, role in pattern.pattern.roles.items()}
    nodes = resolve.place(grid, pattern, app, sizes, overrides, deployment.data.get("nodes", {}))
    leave_out = tuple(path for path in (env_file, app.manifest_path) if path)
    context = Context(
        store=store, deployment=deployment, app=app, pattern=pattern, grid=grid, stream=stream,
        bundle=bundles.collect(app.folder, leave_out), environment=environment, sizes=sizes, nodes=nodes,
        overrides=overrides, pattern_options={**deployment.data.get("pattern_options", {}), **theirs},
        env_file=env_file, terraform=options.terraform,
    )  # fmt: skip
    stream.redactor.add(*private_keys((store.secret(deployment.id, "wireguard") or b"").decode()))
    try:
        if write:
            _keep(context)
        yield context
    finally:
        context.close()
        _forget_unused(store, deployment)


def _pattern(app: App, options: UpOptions, deployment: Deployment | None) -> LoadedPattern:
    name = options.pattern or (deployment.data.get("pattern") if deployment else None) or app.manifest.pattern_name
    if deployment and options.pattern and options.pattern != deployment.data["pattern"]:
        raise ManifestError(
            f"`{deployment.name}` was made with pattern {deployment.data['pattern']}",
            why="a deployment can't change its pattern; its machines would be different ones",
            fix=f"tfgrid-compose down {deployment.name}, then `up` with --pattern {options.pattern}; or choose another --name",
            code="pattern-changed",
        )
    supported = app.manifest.patterns.supported
    if supported and name not in supported:
        raise ManifestError(
            f"the app does not support pattern `{name}`",
            why=f"its manifest lists {', '.join(supported)}",
            fix=f"leave --pattern out, or add {name} to patterns.supported",
            code="pattern-unsupported",
        )
    return patterns.load(str(name))


def _environment(
    store: Store, stream: Stream, deployment: Deployment, app: App, env_file: Path | None, overrides: dict[str, str], ask: Ask
) -> envfile.Environment:
    remembered = json.loads(store.secret(deployment.id, "environment") or b"{}")
    given = dict(overrides)
    while True:
        environment, missing = envfile.resolve(app, file=env_file, overrides=given, process=os.environ, remembered=remembered)
        answers = {variable.name: ask(variable) for variable in missing}
        if None in answers.values():
            raise _missing_values([variable for variable in missing if answers[variable.name] is None])
        if not missing:
            break
        given |= {name: value for name, value in answers.items() if value is not None}
    stream.redactor.add(*(environment.values[name] for name in environment.secrets))
    return environment


def _missing_values(missing: list[Variable]) -> ManifestError:
    names = ", ".join(variable.name for variable in missing)
    return ManifestError(
        f"the app needs a value for {names}",
        why="the manifest requires it, and nothing gives it",
        fix=f"write {missing[0].name}=… into a file (mode 0600) and pass it with --env-file, or set it in the environment",
        details=[f"{variable.name}: {variable.description}" for variable in missing if variable.description],
        code="variable-missing",
    )


def _keep(context: Context) -> None:
    """Commit the choices before anything is made of them: an id that is lost could never be found again."""
    # Defaults are not remembered: a changed one in the manifest takes effect.
    values = json.dumps(context.environment.given).encode()
    context.store.set_secret(context.deployment.id, "environment", values)
    context.remember(
        pattern=context.pattern.pattern.name, pattern_options=context.pattern_options,
        prefer=list(context.app.manifest.network.preferred()),
        ports=[port.model_dump() for port in context.app.manifest.resources.ports],
        service=_service(context.app),
    )  # fmt: skip


def _service(app: App) -> str | None:
    """The systemd unit whose journal is the app's log."""
    for section in (app.manifest.logging, app.manifest.status):
        if section and section.service:
            return section.service
    return None


def _forget_unused(store: Store, deployment: Deployment) -> None:
    """A new deployment that never got as far as its first run, because the user said no, is forgotten."""
    found = store.find(deployment.name, deployment.network)
    if found and found.status == "new":
        store.forget(found.id)
