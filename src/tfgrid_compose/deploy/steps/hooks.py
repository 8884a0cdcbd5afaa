"""Steps `setup`, `configure`, `healthcheck`: the app's own scripts, or its playbook instead."""

from __future__ import annotations

import functools
import json
import re
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from tfgrid_compose.deploy.context import Context, target_of
from tfgrid_compose.deploy.steps.base import Step, Tolerated, short_digest
from tfgrid_compose.deploy.steps.journal import last_words
from tfgrid_compose.deploy.steps.layout import TAKEN, lay_out, link, release_folder, work_folder
from tfgrid_compose.deploy.steps.platform import run_playbook, variables
from tfgrid_compose.deploy.steps.ship import for_machine, hook_environment, release_inputs, wanted_release
from tfgrid_compose.drivers import hostkeys, output
from tfgrid_compose.errors import HookError, ReachError
from tfgrid_compose.manifest.load import App, hook_path
from tfgrid_compose.observe.flow import Flow
from tfgrid_compose.observe.ownwords import Ours
from tfgrid_compose.state import paths

_MILESTONES = "🚀📦🐳🔧🌐📁📋🔐✅❌⚠ℹ→▶"
# Output, pid and ending of a hook while it runs, and until we have read them. They lie in memory.
_RUNS = "/run/tfgrid-compose/hooks"
# The machine's Python reads the runner from standard input. A restart of the machine clears /tmp, and the release that
# is laid out may be another one.
_RUN = """if [ "$(cat {work}/app-deployment/.release 2>/dev/null)" != {release} ]; then
{lay_out}
else
{link}
fi
exec /usr/bin/python3 -I - {order}
"""
_FOLLOW = "exec /usr/bin/python3 -I - {order}"
# A hook that has no keeper yet finds the file `stop` and does not begin.
_STOP = """mkdir -p /run/tfgrid-compose/hooks && chmod 0700 /run/tfgrid-compose/hooks && : > /run/tfgrid-compose/hooks/{id}.stop
[ -e /run/tfgrid-compose/hooks/{id}.pid ] || exit 0
read -r pid began < /run/tfgrid-compose/hooks/{id}.pid
[ -z "$began" ] || [ "$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f20)" = "$began" ] || exit 0
kill -TERM "$pid" || exit 0
for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do [ -e /run/tfgrid-compose/hooks/{id}.rc ] && exit 0; sleep 1; done
"""
# What `machine` of the runner says.
_IDENTITY = "echo $(cat /proc/sys/kernel/random/boot_id) $(sed 's/.*) //' /proc/1/stat | cut -d' ' -f20)"
_FORGET = "rm -f /run/tfgrid-compose/hooks/{id}.*; " + hostkeys.READ
# A line of the hook, as the runner passes it on.
_LINE = re.compile(r"\|(\d+) (.*)", re.DOTALL)
# How often the runner is followed again before that is a failure.
_FOLLOWS = 20
# What apps call the folder of their hooks.
_FOLDER = "/tmp/app-deployment"  # noqa: S108 - a link to a folder of root alone
# How long a machine that has gone, by a restart or a break of the connection, may take to come back, in seconds.
_GONE = 150.0
_REFUSED = 30.0
# Lines of a hook that are kept in memory.
_LAST = 200


@dataclass(frozen=True)
class Ending:
    """How a hook ended: `exit` and `signal` with their number, `timeout`, `stopped`, `unstarted` with the reason why."""

    how: str = "exit"
    code: int = 0
    why: str = ""

    @property
    def well(self) -> bool:
        """Whether the hook says that all is well."""
        return self.how == "exit" and self.code == 0


class _Restarted(Exception):
    """The machine restarted while the hook ran, and took it along."""


class Hook(Step):
    """One hook: its exit code decides, whatever it prints."""

    is_hook = True

    def __init__(self, hook: str) -> None:
        self.name = hook
        self.expected = {"setup": 15.0, "configure": 3.0, "healthcheck": 2.0}[hook]
        self._left = "was stopped on the machine"

    def describe(self, context: Context) -> str:
        """The script, its digest and how it is treated."""
        options = context.app.manifest.hook_options(self.name)
        path = self._path(context)
        digest = short_digest(path.read_bytes().hex())[:8]
        optional = ", a failure is tolerated" if options.optional else ""
        return f"{path.relative_to(context.app.folder)} ({digest}), at most {options.timeout} s{optional}"

    def _path(self, context: Context) -> Path:
        path = hook_path(context.app.folder, getattr(context.app.manifest.hooks, self.name))
        assert path is not None, "checked when the manifest was loaded"
        return path

    def inputs(self, context: Context) -> dict[str, str]:
        """The release, and for the health check also the machine's size."""
        found = release_inputs(context)
        if self.name == "healthcheck":
            found["size"] = short_digest({role: vars(size) for role, size in context.sizes.items()})
        return found

    def apply(self, context: Context) -> str:
        """Run the script on the machine. Raises `HookError`, unless the manifest tolerates a failure."""
        options = context.app.manifest.hook_options(self.name)
        started = time.monotonic()
        lines: list[str] = []
        ending = self._run(context, options.timeout, lines)
        if ending.well:
            return ""
        seconds = time.monotonic() - started
        error = self._error(context, ending, lines, options.timeout, seconds)
        error.details += last_words(context, service_of(context.app), seconds)
        if not options.optional:
            raise error
        raise Tolerated(f"{error.what}; tolerated, because hook_config.{self.name}.optional is set") from error

    def undo(self, context: Context) -> str:
        """The hook was stopped on the machine when the signal came, if the machine could be reached."""
        return f"hook {self.name} {self._left}; the next run runs it again from its beginning"

    def _run(self, context: Context, timeout: int, lines: list[str]) -> Ending:
        with paths.private_log(context.logs / f"{self.name}.log") as log:
            allowance = output.Allowance()

            def show(clean: str) -> None:
                kept = allowance.take(clean)
                if kept is not None:
                    log.write(kept + "\n")
                # The last lines say why it failed, however much came before.
                lines.append(clean)
                del lines[:-_LAST]
                context.progress(self.name, clean, milestone=clean.lstrip()[:1] in _MILESTONES and clean.strip() != "")

            with Flow(context.redactor, show) as flow:
                return self._run_twice(context, timeout, flow.line, lines)

    def _run_twice(self, context: Context, timeout: int, on_line: Callable[[str], None], lines: list[str]) -> Ending:
        """A hook that restarts the machine is run again, once. Raises `HookError`."""

        def once() -> Ending:
            return _Running(context, self.name, self._script_name(context), timeout, on_line, self._was_stopped).to_the_end()

        try:
            return once()
        except _Restarted:
            context.progress(self.name, Ours("the machine restarted while the hook ran; running the hook again"), True)
        try:
            return once()
        except _Restarted as error:
            raise HookError(
                f"hook {self.name} failed",
                why="the machine restarted while it ran, twice",
                details=lines[-6:],
                fix="let the hook restart the machine only when that is still needed, and end by itself",
                log=str(context.logs / f"{self.name}.log"),
                code="hook-restarts-machine",
            ) from error

    def _was_stopped(self, how: str) -> None:
        self._left = how

    def _script_name(self, context: Context) -> str:
        """The script as it stands in /tmp/app-deployment."""
        path = self._path(context).relative_to(context.app.folder)
        if path.parts[0] == "deployment":
            return Path(*path.parts[1:]).as_posix()
        return f"../app-source/{Path(*path.parts[1:]) if path.parts[0] == 'src' else path}"

    def _error(self, context: Context, ending: Ending, lines: list[str], timeout: int, seconds: float) -> HookError:
        why = {
            "timeout": f"it did not end within {timeout} s and was stopped",
            "unstarted": f"it could not be started: {ending.why}",
            "stopped": f"it was ended by signal 15 after {seconds:.1f} s",
            "signal": f"it was ended by signal {ending.code} after {seconds:.1f} s",
        }.get(ending.how, f"it exited with {ending.code} after {seconds:.1f} s")
        if ending.how == "exit" and ending.code in (126, 127):
            why = f"its interpreter or a program in it was not found (exit code {ending.code})"
        last = [line for line in lines if line.strip()][-6:]
        return HookError(
            f"hook {self.name} failed",
            why=why if ending.how == "unstarted" else Ours(why),
            details=last or ["it printed nothing"],
            fix=f"tfgrid-compose logs {context.deployment.name} --hook {self.name} --run {context.run} shows all of its output; "
            "mend it and run `tfgrid-compose up` again",
            log=str(context.logs / f"{self.name}.log"),
            code="hook-timeout" if ending.how == "timeout" else "hook-failed",
        )


class _Running:
    """One start of a hook on the machine, and whatever connections it takes to see its end."""

    def __init__(
        self,
        context: Context,
        hook: str,
        script: str,
        timeout: int,
        on_line: Callable[[str], None],
        on_stop: Callable[[str], None],
    ) -> None:
        self._context, self._hook, self._on_line, self._on_stop = context, hook, on_line, on_stop
        self._connection = context.connection(context.hook_machine())
        # Number and text of the last line that was seen: where the connection broke, only a part of it may have come.
        self._last = (0, "")
        self._follows = 0
        self._stray: list[str] = []
        # Which start of the machine the hook was begun in, and how it ended; as the runner tells.
        self._machine = ""
        self._said: dict[str, Any] = {}
        release = release_folder(context, wanted_release(context))
        self._order: dict[str, Any] = {
            "id": f"{hook}-{context.run}", "hook": hook, "script": f"./{script}", "timeout": timeout, "runs": _RUNS,
            "folder": f"{work_folder(context)}/app-deployment", "known_as": _FOLDER,
            "environment": f"{release}/.tfgrid/environment",
        }  # fmt: skip
        self._release = release

    def to_the_end(self) -> Ending:
        """Run the hook. Raises `_Restarted`, and `HookError` when the machine is lost."""
        id = self._order["id"]
        try:
            ending = self._start()
            while ending is None:
                ending = self._again()
        except KeyboardInterrupt:
            self._on_stop(self._stop(id))
            raise
        said = self._connection.run(_FORGET.format(id=id), timeout=20).stdout
        if hostkeys.renew(target_of(self._context.store, self._context.deployment, self._context.hook_machine()), said):
            self._context.progress(self._hook, "the machine has new host keys; they are remembered", True)
        return ending

    def _stop(self, id: str) -> str:
        """Stop the hook; what became of it. That the machine does not answer is no reason to forget why we stop."""
        try:
            self._connection.run(_STOP.format(id=id), timeout=30)
        except ReachError as error:
            return f"may still run on the machine ({error.why})"
        return "was stopped on the machine"

    def _start(self) -> Ending | None:
        context, work = self._context, shlex.quote(work_folder(self._context))
        script = _RUN.format(
            work=work, release=shlex.quote(self._release), order=shlex.quote(json.dumps({**self._order, "verb": "run"})),
            lay_out=lay_out(context, self._release), link=link(context),
        )  # fmt: skip
        return self._follow(script)

    def _follow(self, script: str) -> Ending | None:
        """Follow the hook; None when the connection broke."""
        self._said = {}
        code = self._connection.stream(
            f"sh -c {shlex.quote(script)}", self._take, input=_runner(), clean=self._context.redactor.text
        )
        how = self._said.get("how")
        if how is None and code is not None:
            raise self._not_run(code)
        if how in (None, "started"):
            return None  # The connection broke, or something on the machine ended what follows the hook.
        if how == "restart" or self._said["machine"] != self._machine:
            self._wait_for_machine()
            raise _Restarted
        if how == "gone":
            return Ending("signal", 9)
        return Ending(how, int(self._said.get("code", 0)), str(self._said.get("why", "")))

    def _take(self, line: str) -> None:
        if line.startswith("#"):
            self._hear(line[1:])
        elif found := _LINE.match(line):
            seen = (int(found[1]), found[2])
            if seen != self._last:
                self._last = seen
                self._on_line(seen[1])
        else:
            self._stray = [*self._stray[-5:], line]  # What shells say before the runner, or instead of it.

    def _hear(self, text: str) -> None:
        """A word of the runner; one that did not come whole is none."""
        try:
            said = json.loads(text)
        except ValueError:
            return
        if isinstance(said, dict) and isinstance(said.get("how"), str) and isinstance(said.get("machine"), str):
            self._said = said
            self._machine = said["machine"] if said["how"] == "started" else self._machine

    def _again(self) -> Ending | None:
        """The connection broke: go on following the hook, unless it has ended ssh itself."""
        self._context.progress(self._hook, Ours("the connection broke; trying again"), True)
        self._wait_for_machine()
        self._follows += 1
        if self._follows > _FOLLOWS:
            raise self._lost("something on the machine ends whatever follows the hook")
        if not self._machine:
            return self._start()  # Nothing says that it ever began.
        order = json.dumps({**self._order, "verb": "follow", "lines": max(0, self._last[0] - 1)})
        return self._follow(_FOLLOW.format(order=shlex.quote(order)))

    def _wait_for_machine(self) -> None:
        """Wait until a login works that is not one of before a restart. Raises `HookError` after some minutes."""
        deadline = time.monotonic() + _GONE
        stays = self._said.get("how") == "restart"
        reason, refused = "it is still going down", 0.0
        # A machine that is up and refuses for long has no ssh server any more; one that restarts is silent in between.
        while time.monotonic() < deadline and not (refused and time.monotonic() > refused + _REFUSED):
            self._connection.close()
            try:
                now = self._connection.run(_IDENTITY, timeout=15)
            except ReachError as error:
                reason = error.why
                refused = (refused or time.monotonic()) if "refused" in reason else 0.0
            else:
                refused = 0.0
                if not stays or now.stdout.strip() != self._machine:
                    return
            time.sleep(0.5)
        raise self._lost(f"ssh does not answer on the machine any more: {reason}")

    def _lost(self, why: str) -> HookError:
        return HookError(
            f"hook {self._hook} cut the connection to the machine",
            why=why,
            fix="mend the hook, then `tfgrid-compose down` and `tfgrid-compose up`",
            log=str(self._context.logs / f"{self._hook}.log"),
            code="hook-lost-machine",
        )

    def _not_run(self, code: int) -> HookError:
        """The runner itself did not run."""
        return HookError(
            f"hook {self._hook} could not be run on the machine",
            why="another user of the machine holds its place in /tmp" if code == TAKEN else f"the runner exited with {code}",
            details=self._stray,
            fix="tfgrid-compose exec -- ls -ld /tmp/app-source /tmp/app-deployment",
            log=str(self._context.logs / f"{self._hook}.log"),
            code="hook-not-run",
        )


@functools.cache
def _runner() -> bytes:
    return files("tfgrid_compose.deploy.onmachine").joinpath("runner.py").read_bytes()


def service_of(app: App) -> str | None:
    """The systemd unit that the manifest names: its journal is the app's log, and it must be active."""
    for section in (app.manifest.logging, app.manifest.status):
        if section and section.service:
            return section.service
    return None


class Playbook(Step):
    """`deployment/playbook.yml`, run from here instead of the hooks."""

    name = "configure"
    expected = 20.0

    def describe(self, context: Context) -> str:
        """The playbook and its digest."""
        path = context.app.playbook()
        assert path is not None, "this step only exists when there is a playbook"
        return f"deployment/playbook.yml ({short_digest(path.read_bytes().hex())[:8]}) by Ansible instead of hooks"

    def inputs(self, context: Context) -> dict[str, str]:
        """The release."""
        return release_inputs(context)

    def apply(self, context: Context) -> str:
        """Run it with the hooks' environment as variables."""
        path = context.app.playbook()
        assert path is not None, "this step only exists when there is a playbook"
        env = hook_environment(context)
        values = {**variables(context), "tfgrid_environment": env, **{name: env[name] for name in for_machine(context)}}
        outcome = run_playbook(context, self.name, path, values)
        return f"{outcome.tasks} tasks, {len(outcome.changed)} changed something"
