"""A bench: a world, an app folder, state folders; it runs the program as processes that can be stopped anywhere."""

from __future__ import annotations

import errno
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.chaos.programs import clock, installed
from tests.chaos.strikes import POWER, Killed, Process, Strike, running
from tests.chaos.world import World, enter
from tfgrid_compose.deploy import drift, resume, rollback, up
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.down import Removal
from tfgrid_compose.deploy.lookup import find
from tfgrid_compose.deploy.options import RollbackOptions, UpOptions
from tfgrid_compose.deploy.plan import Plan, make_plan
from tfgrid_compose.deploy.turn import turn
from tfgrid_compose.errors import InterruptedError_, NotFoundError, TfgridError
from tfgrid_compose.observe.events import Event, Stream
from tfgrid_compose.observe.redact import Redactor
from tfgrid_compose.state import backups
from tfgrid_compose.state.restore import restore
from tfgrid_compose.state.store import Deployment, Store

NAME = "chaos"
_REPAIRS = 3
OK, UNCHANGED, FAILED, KILLED, INTERRUPTED = "ok", "unchanged", "failed", "killed", "interrupted"
Operation = Callable[["Bench", Store, Stream], str]

_MANIFEST = """name: chaos
version: "{version}"
resources: {{cpu: 1, memory: 1024, disk: 10, ports: [8080:http]}}
network: {{provision: wireguard}}
environment: [{{name: GREETING, default: hello}}, {{name: TOKEN, secret: true}}]
status: {{service: chaos}}
keep_releases: 3
"""


class Bug(AssertionError):
    """The program failed in a way that it can't explain."""


@dataclass
class Outcome:
    """How a process ended: `ok`, `unchanged`, `failed`, `killed` or `interrupted`."""

    kind: str
    process: Process
    error: BaseException | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def notices(self) -> list[str]:
        """What it said outside of steps."""
        return [str(getattr(event, "text", "")) for event in self.events if event.kind == "notice"]

    def __str__(self) -> str:
        struck = ", ".join(map(str, self.process.struck))
        why = f": {self.error}" if isinstance(self.error, TfgridError) else ""
        return f"{self.kind}{f' ({struck})' if struck else ''}{why}"


@dataclass
class Bench:
    """Everything that a schedule of processes works on; `version` and `broken` are what the app folder holds.

    `flavour`: whether grids adopt, and whether they run on this computer; see `World`.
    """

    root: Path
    flavour: tuple[bool, bool]
    world: World = field(default_factory=World)
    version: int = 1
    broken: str = ""
    processes: int = 0
    # Whether an older database was put back: then what is remembered is older than what stands.
    restored: bool = False

    @property
    def app(self) -> Path:
        """The app folder."""
        return self.root / "app"

    # The app

    def write(self, version: int, broken: str = "") -> None:
        """The app folder in a version; with `broken` set that hook fails after it has done its work."""
        self.version, self.broken = version, broken
        (self.app / "deployment").mkdir(parents=True, exist_ok=True)
        (self.app / "src").mkdir(exist_ok=True)
        (self.app / "tfgrid-compose.yaml").write_text(_MANIFEST.format(version=version))
        (self.app / "src" / "page.txt").write_text(f"v{version}\n")
        for hook, orders in (("setup", ["migrate", "rest"]), ("configure", ["configure"]), ("healthcheck", ["check"])):
            found = [*orders, *(["fail"] if hook == broken else [])]
            script = self.app / "deployment" / f"{hook}.sh"
            script.write_text("#!/bin/sh\n" + "".join(f"#: {order}\n" for order in found))
            script.chmod(0o755)

    def options(self, **given: Any) -> UpOptions:
        """Options of `up`."""
        return UpOptions(target=self.app, **{"variables": {"TOKEN": "t0ken"}, **given})

    # Processes

    def run(self, operation: Operation, *strikes: Strike, record: bool = False) -> Outcome:
        """Run the program once."""
        self.processes += 1
        process = Process(f"{self.root}/", f"{self.root}/state/", strikes, record)
        events: list[Event] = []
        stream = Stream(Redactor())
        stream.subscribe(events.append)
        kind = FAILED
        error: BaseException | None = None
        with running(process):
            try:
                with Store() as store:
                    kind = operation(self, store, stream)
            except Killed:
                kind = KILLED
            except (KeyboardInterrupt, InterruptedError_) as stopped:
                kind, error = INTERRUPTED, stopped
            except TfgridError as failed:
                error = failed
            except OSError as failed:
                if not process.full or failed.errno != errno.ENOSPC:
                    raise
                error = failed
            except Exception as bug:
                raise Bug(f"{type(bug).__name__}: {bug}") from bug
        if process.dead and process.struck[-1].kind == POWER:
            self.power_cut()
        self.world.watch()
        return Outcome(kind, process, error, events)

    def power_cut(self) -> None:
        """This computer goes off and on again: all that was in memory is gone."""
        self.world.power_cut()
        shutil.rmtree(self.root / "run")
        (self.root / "run").mkdir(mode=0o700)

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The store, to look into it."""
        with running(Process(f"{self.root}/", "")), Store() as store:
            yield store

    def deployment(self) -> Deployment | None:
        """The deployment as it is remembered."""
        with self.store() as store:
            found = store.deployments()
        return found[0] if found else None

    # Copies

    def saved(self) -> bytes:
        """World and files as they are, for `load`."""
        keep = self.root.with_name(self.root.name + ".saved")
        number = len(list(keep.iterdir())) if keep.is_dir() else 0
        shutil.copytree(self.root, keep / str(number), symlinks=True)
        return pickle.dumps((number, self.world, self.version, self.broken))

    def load(self, data: bytes) -> None:
        """Go back to what was saved."""
        number, self.world, self.version, self.broken = pickle.loads(data)
        enter(self.world)
        for name in ("app", "state", "run", "cache", "config", "home"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        shutil.copytree(
            self.root.with_name(self.root.name + ".saved") / str(number), self.root, symlinks=True, dirs_exist_ok=True
        )
        self.restored = False
        clock.ahead = 0.0

    def fresh(self) -> None:
        """An empty world, an empty state, and version 1 of the app."""
        for path in self.root.iterdir():
            shutil.rmtree(path)
        for name in ("app", "state", "run", "cache", "config", "home"):
            (self.root / name).mkdir(mode=0o700)
        self.world = World(*self.flavour)
        enter(self.world)
        self.restored = False
        self.write(1)


@contextmanager
def bench(root: Path, *, adopts: bool = True, here: bool = True) -> Iterator[Bench]:
    """A bench below `root`, with all programs played in memory."""
    root.mkdir(parents=True, exist_ok=True)
    with installed(root):
        found = Bench(root, (adopts, here))
        found.fresh()
        try:
            yield found
        finally:
            shutil.rmtree(root, ignore_errors=True)
            shutil.rmtree(root.with_name(root.name + ".saved"), ignore_errors=True)


# What the program can be told. As the command line does it, without its questions.


def deploy(**given: Any) -> Operation:
    """`up`."""

    def operation(bench: Bench, store: Store, stream: Stream) -> str:
        with up.prepared(store, stream, bench.options(**given), lambda variable: None, write=True) as context:
            return _execute(context, make_plan(context))

    return operation


def _execute(context: Context, plan: Plan, kind: str = "up") -> str:
    if not plan.needed:
        return UNCHANGED
    if kind == "up":
        rollback.deploy(context, plan)
    else:
        rollback.run(context, plan, kind)
    return OK


def go_on(otherwise: Operation) -> Operation:
    """`up --resume`; `otherwise` when there is nothing to go on with."""

    def operation(bench: Bench, store: Store, stream: Stream) -> str:
        try:
            deployment = find(store, NAME)
            run = resume.resumable(store, deployment)
        except NotFoundError:
            return otherwise(bench, store, stream)
        if run["kind"] == "repair":
            return repair(bench, store, stream)
        if run["kind"] == "rollback":
            return go_back(run["data"].get("release"), with_data=bool(run["data"].get("with_data")))(bench, store, stream)
        options = replace(resume.resumed_options(deployment, run, None, {}), variables={})
        with up.prepared(store, stream, options, lambda variable: None, write=True) as context:
            return _execute(context, make_plan(context))

    return operation


def go_back(release: str | None = None, *, with_data: bool = False) -> Operation:
    """`rollback`."""

    def operation(bench: Bench, store: Store, stream: Stream) -> str:
        options = RollbackOptions(release, with_data)
        with rollback.prepared(store, stream, find(store, NAME), options, write=True) as context:
            return _execute(context, make_plan(context), "rollback")

    return operation


def repair(bench: Bench, store: Store, stream: Stream) -> str:
    """`up --repair`."""
    deployment = find(store, NAME)
    options, done = drift.live_options(store, deployment), UNCHANGED
    with rollback.prepared(store, stream, deployment, options, write=True) as context:
        # What stood behind a broken tunnel or machine is looked at again.
        for _ in range(_REPAIRS):
            if _execute(context, drift.repair_plan(context), "repair") == UNCHANGED:
                break
            done = OK
    return done


def look(bench: Bench, store: Store, stream: Stream) -> str:
    """`drift`: `ok` when there is some, `unchanged` when there is none."""
    deployment = find(store, NAME)
    with rollback.prepared(store, stream, deployment, drift.live_options(store, deployment), write=False) as context:
        return OK if drift.look(context, folder=False).drift else UNCHANGED


def remove(bench: Bench, store: Store, stream: Stream) -> str:
    """`down`."""
    deployment = find(store, NAME)
    with turn(store, stream, deployment.name, deployment.network):
        Removal(store, stream, store.deployment(deployment.id)).run()
    return OK


def put_back(bench: Bench, store: Store, stream: Stream) -> str:
    """`state restore` of the newest backup."""
    store.close()
    restore(backups.find(None))
    return OK
