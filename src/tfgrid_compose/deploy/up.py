"""`up`: from options to a context and a plan; the shell shows the plan and hands it to the engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tfgrid_compose.deploy import changes, resolve
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.networks import choose
from tfgrid_compose.deploy.options import UpOptions
from tfgrid_compose.deploy.payer import same_payer, strange_payer, unable_payer
from tfgrid_compose.deploy.placement import Placement
from tfgrid_compose.deploy.releases import left_out, tidy
from tfgrid_compose.deploy.resume import aim_of
from tfgrid_compose.deploy.retry import NEVER, Policy
from tfgrid_compose.deploy.steps.infrastructure import private_keys
from tfgrid_compose.deploy.steps.platform import ansible_folder
from tfgrid_compose.deploy.turn import turn
from tfgrid_compose.drivers import ansible
from tfgrid_compose.drivers.process import environment as outside
from tfgrid_compose.errors import GridError, ManifestError
from tfgrid_compose.grids import git
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.grids.registry import open_grid
from tfgrid_compose.manifest import bundle as bundles
from tfgrid_compose.manifest import envfile
from tfgrid_compose.manifest.envfile import ASKED, FILE, GIT, LAST_UP, OPTION, PROCESS, SECRETS, Source
from tfgrid_compose.manifest.load import App, load_app
from tfgrid_compose.manifest.model import Variable
from tfgrid_compose.observe.events import Stream, notice
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.patterns.load import LoadedPattern
from tfgrid_compose.state import settings
from tfgrid_compose.state.secrets import folder_owner
from tfgrid_compose.state.store import Deployment, Store

Ask = Callable[[Variable], str | None]


@contextmanager
def prepared(store: Store, stream: Stream, options: UpOptions, ask: Ask, *, write: bool) -> Iterator[Context]:
    """A context for `up` under the deployment's lease; closes its connections at the end.

    `ask` is called for each required value that is missing and returns it, or None. With `write`
    unset nothing is recorded, the lease is not taken and the grid is not started: that is the plan.
    Raises `TfgridError`s of every kind that bad input can cause.
    """
    app = load_app(options.target, file=options.file, strict=options.strict, env_file=options.env_file)
    for problem in app.warnings:
        stream.emit(notice(str(problem), "warning"))
    network = options.network or (existing.network if (existing := resolve.find_deployment(store, app, options)) else None)
    name, network = options.name or app.manifest.name, network or resolve.default_network()
    if not write:
        with _context(store, stream, options, app, ask, write) as context:
            yield context
        return
    with turn(store, stream, name, network, wait=options.wait, cancel=options.cancel):
        with _context(store, stream, options, app, ask, write) as context:
            yield context


@contextmanager
def _context(store: Store, stream: Stream, options: UpOptions, app: App, ask: Ask, write: bool) -> Iterator[Context]:
    deployment = resolve.find_deployment(store, app, options)
    pattern = _pattern(app, options, deployment)
    deployment = deployment or resolve.new_deployment(store, app, options, pattern.pattern.name)
    if write:
        tell_unfinished(store, stream, deployment)
    grid = open_grid(deployment.network)
    if write:
        grid.prepare(lambda text: stream.emit(notice(text)))
    mine, theirs = resolve.split_variables(app, pattern, options.variables)
    env_file = envfile.app_file(app, options.env_file)
    environment = _environment(store, stream, deployment, app, env_file, mine, ask)
    overrides = resolve.overrides_of(options, deployment.data.get("overrides", {}))
    sizes = {name: resolve.sizes(app, name, role, overrides) for name, role in pattern.pattern.roles.items()}
    config = settings.load()
    networks = choose(app.manifest.network, config.connect, ipv4=overrides.get("ipv4"),
                      chosen=deployment.data.get("prefer_chosen", ()))  # fmt: skip
    placement = Placement(grid, app, pattern, sizes, networks.provision, overrides, config, only_plan=not write)
    placement.place(_placed(grid, deployment))
    for text in [*placement.warnings, *(f"not checked: {text}" for text in placement.unchecked if write)]:
        stream.emit(notice(text, "warning"))
    unchecked = [] if write else [*placement.unchecked, *unable_payer(grid)]
    context = Context(
        store=store, deployment=deployment, app=app, pattern=pattern, grid=grid, stream=stream,
        bundle=bundles.collect(app.folder, left_out(app, env_file)), environment=environment, sizes=sizes,
        nodes=placement.nodes, placement=placement, networks=networks, unchecked=unchecked,
        overrides=overrides, pattern_options={**deployment.data.get("pattern_options", {}), **theirs},
        disks=tuple(app.manifest.disks), dotenv=env_file is not None, terraform=options.terraform,
        policy=Policy() if options.retry else NEVER, aim=aim_of(options), max_monthly=options.max_monthly, trust=options.trust,
    )  # fmt: skip
    with opened(context, write):
        yield context


@contextmanager
def opened(context: Context, write: bool) -> Iterator[None]:
    """What every context needs at its start and its end, whatever it was made from."""
    store, stream = context.store, context.stream
    context.only_plan = not write
    stream.redactor.add(*private_keys((store.secret(context.deployment.id, "wireguard") or b"").decode()))
    try:
        if write:
            same_payer(context.grid, context.deployment)
            tidy(context.deployment)
            ansible.forget(ansible_folder(context.deployment.id))
        else:
            context.unchecked += strange_payer(context.grid, context.deployment)
        changes.check(context)
        yield
    finally:
        context.close()
        _forget_unused(store, context.deployment)


def tell_unfinished(store: Store, stream: Stream, deployment: Deployment) -> None:
    """Say where the last run stopped, when it did not get to its end."""
    run = store.unfinished(deployment.id)
    if run is None:
        return
    steps = store.steps(run["id"])
    open_step = next((step for step in steps if step["outcome"] not in ("done", "tolerated", "skipped")), None)
    where = f"in step {open_step['name']}" if open_step else "between two steps" if steps else "before its first step"
    how = {"failed": "failed", "interrupted": "was stopped"}.get(run["outcome"] or "", "was cut off")
    aim = f" to release {run['data']['release']}" if run["kind"] == "rollback" and run["data"].get("release") else ""
    stream.emit(notice(f"the last run ({run['kind']}{aim}, number {run['id']}) {how} {where}; looking at what is there"))


def _placed(grid: Grid, deployment: Deployment) -> dict[str, list[int]]:
    """Where its machines stand, or where a run that was cut off was about to put them and something is."""
    nodes: dict[str, list[int]] = deployment.data.get("nodes", {})
    planned: dict[str, list[int]] = deployment.data.get("planned_nodes", {})
    if nodes or not planned:
        return nodes
    try:
        taken = {contract.node for contract in grid.contracts(deployment.id)}
    except GridError:
        return planned  # Where contracts can't be listed, only staying makes sure that none is doubled.
    return planned if taken & {node for chosen in planned.values() for node in chosen} else {}


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
    kept_git = _git_values(app)
    of_deployment, of_folder = store.app_secrets(deployment.id), store.app_secrets(folder_owner(app.folder))
    last = json.loads(store.secret(deployment.id, "environment") or b"{}")
    asked: dict[str, str] = {}
    sources = [
        Source(OPTION, overrides), Source(ASKED, asked), Source(FILE, envfile.read_file(env_file) if env_file else {}),
        Source(PROCESS, outside()), Source(SECRETS, {**of_folder, **of_deployment}), Source(LAST_UP, last), Source(GIT, kept_git),
    ]  # fmt: skip
    while True:
        environment, missing = envfile.resolve(app, sources)
        answers = {variable.name: ask(variable) for variable in missing}
        if not all(answers.values()):
            raise _missing_values(app.manifest.name, [variable for variable in missing if not answers[variable.name]])
        if not missing:
            break
        asked |= {name: value for name, value in answers.items() if value is not None}
    used = {name for name, kind in environment.sources.items() if kind == GIT}
    # What was given as a secret is one, whatever the manifest says. What `signin git` gives is asked for at each `up`: a
    # token that is changed there takes effect.
    named = (of_deployment.keys() | of_folder.keys()) & environment.values.keys()
    environment = replace(
        environment, secrets=environment.secrets | named | (used & git.SECRETS),
        given={name: value for name, value in environment.given.items() if name not in used}, file=env_file,
    )  # fmt: skip
    stream.redactor.add(*(environment.values[name] for name in environment.secrets))
    return environment


def _git_values(app: App) -> dict[str, str]:
    """Identity and tokens of `signin git` for the variables that the manifest declares."""
    declared = {variable.name for variable in app.manifest.environment} & git.NAMES
    return {name: value for name, value in git.environment().items() if name in declared} if declared else {}


def _missing_values(app: str, missing: list[Variable]) -> ManifestError:
    names = ", ".join(variable.name for variable in missing)
    return ManifestError(
        f"the app needs a value for {names}",
        why="the manifest requires it, and nothing gives it",
        fix=f"tfgrid-compose secrets set {app} {missing[0].name}, or pass a file (mode 0600) with --env-file",
        details=[f"{variable.name}: {variable.description}" for variable in missing if variable.description],
        code="variable-missing",
    )


def _forget_unused(store: Store, deployment: Deployment) -> None:
    """A new deployment that never got as far as its first run, because the user said no, is forgotten."""
    found = store.find(deployment.name, deployment.network)
    if found and found.status == "new":
        store.forget(found.id)
