"""Steps `setup`, `configure`, `healthcheck`: the app's own scripts, or its playbook instead."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path

from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.steps.base import Step, Tolerated, short_digest
from tfgrid_compose.deploy.steps.platform import run_playbook, variables
from tfgrid_compose.deploy.steps.ship import (
    LAY_OUT,
    for_machine,
    hook_environment,
    release_folder,
    release_inputs,
    wanted_release,
)
from tfgrid_compose.drivers import ssh
from tfgrid_compose.errors import HookError, ReachError
from tfgrid_compose.manifest.load import App, hook_path
from tfgrid_compose.state import paths

_TIMED_OUT, _KILLED = 124, 137
_MILESTONES = "🚀📦🐳🔧🌐📁📋🔐✅❌⚠ℹ→▶"
# The hook runs in a session of its own with its output in a file, so that it survives a connection
# that breaks; we follow the file. The file lies in memory and goes when we have read it.
_RUN = """set -u
dir=/run/tfgrid-compose/hooks; mkdir -p "$dir"; chmod 0700 /run/tfgrid-compose "$dir"
log=$dir/{id}.log; rc=$dir/{id}.rc; rm -f "$rc"; (umask 077; : > "$log")
if [ "$(cat /tmp/app-deployment/.release 2>/dev/null)" != {release} ]; then
{lay_out}
fi
cd /tmp/app-deployment || exit 126
# A hook of a run that was cut off must not work beside this one.
for old in "$dir"/*.pid; do
  [ -e "$old" ] && pkill -TERM -s "$(cat "$old")" 2>/dev/null
  rm -f "$old" "${{old%.pid}}.rc"; [ "${{old%.pid}}.log" = "$log" ] || rm -f "${{old%.pid}}.log"
done
chmod +x {script}
setsid bash -c 'set -a; . "$2"; set +a; export TFGRID_HOOK={hook}
  timeout -k 10 {timeout} "$3" > "$0" 2>&1 < /dev/null; echo $? > "$1"' "$log" "$rc" {environment} {script} 2>/dev/null &
pid=$!; echo $pid > "$dir/{id}.pid"
tail -n +1 -s 0.1 --pid=$pid -f "$log"
wait $pid
exit "$(cat "$rc" 2>/dev/null || echo 137)"
"""
# After a connection that broke: follow the rest of the output, wherever the hook is by now.
_FOLLOW = """dir=/run/tfgrid-compose/hooks
pid=$(cat "$dir/{id}.pid" 2>/dev/null) || exit 137
tail -n +{line} -s 0.1 --pid="$pid" -f "$dir/{id}.log"
exit "$(cat "$dir/{id}.rc" 2>/dev/null || echo 137)"
"""
_STOP = 'pid=$(cat /run/tfgrid-compose/hooks/{id}.pid 2>/dev/null) && pkill -TERM -s "$pid"; true'
_FORGET = "rm -f /run/tfgrid-compose/hooks/{id}.*"


class Hook(Step):
    """One hook: its exit code decides, whatever it prints."""

    def __init__(self, hook: str) -> None:
        self.name = hook
        self.expected = {"setup": 15.0, "configure": 3.0, "healthcheck": 2.0}[hook]

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
        code = self._run(context, options.timeout, lines)
        if code == 0:
            return ""
        error = self._error(context, code, lines, options.timeout, time.monotonic() - started)
        if not options.optional:
            raise error
        raise Tolerated(f"{error.what}; tolerated, because hook_config.{self.name}.optional is set") from error

    def undo(self, context: Context) -> str:
        """The hook was stopped on the machine when the signal came."""
        return f"hook {self.name} was stopped on the machine; the next run runs it again from its beginning"

    def _run(self, context: Context, timeout: int, lines: list[str]) -> int:
        connection = context.connection(context.hook_machine())
        id = f"{self.name}-{context.run}"
        release = release_folder(context, wanted_release(context))
        script = _RUN.format(
            id=id, hook=self.name, timeout=timeout, script=shlex.quote(f"./{self._script_name(context)}"),
            environment=shlex.quote(f"{release}/.tfgrid/environment"),
            release=shlex.quote(release), lay_out=LAY_OUT.format(release=shlex.quote(release)),
        )  # fmt: skip
        with paths.private_log(context.logs / f"{self.name}.log") as log:

            def on_line(line: str) -> None:
                clean = context.redactor.text(line)
                lines.append(clean)
                log.write(clean + "\n")
                context.progress(self.name, clean, milestone=clean.lstrip()[:1] in _MILESTONES and clean.strip() != "")

            try:
                code = connection.stream(f"bash -c {shlex.quote(script)}", on_line)
                if _lost(code):
                    code = self._recover(context, connection, id, lines, on_line)
            except KeyboardInterrupt:
                connection.run(_STOP.format(id=id), timeout=20)
                raise
        connection.run(_FORGET.format(id=id), timeout=20)
        return code

    def _script_name(self, context: Context) -> str:
        """The script as it stands in /tmp/app-deployment."""
        path = self._path(context).relative_to(context.app.folder)
        if path.parts[0] == "deployment":
            return Path(*path.parts[1:]).as_posix()
        return f"../app-source/{Path(*path.parts[1:]) if path.parts[0] == 'src' else path}"

    def _recover(
        self, context: Context, connection: ssh.Connection, id: str, lines: list[str], on_line: Callable[[str], None]
    ) -> int:
        """The connection broke: go on following the hook, unless it has ended ssh itself."""
        context.progress(self.name, "the connection broke; trying again", True)
        deadline = time.monotonic() + 30
        reason = ""
        while time.monotonic() < deadline:
            connection.close()
            try:
                connection.run("true", timeout=15)
            except ReachError as error:
                reason = error.why
                time.sleep(0.5)
                continue
            follow = _FOLLOW.format(id=id, line=len(lines) + 1)
            code = connection.stream(f"bash -c {shlex.quote(follow)}", on_line)
            if not _lost(code):
                return code
        raise HookError(
            f"hook {self.name} cut the connection to the machine",
            why=f"ssh does not answer any more: {reason}",
            details=lines[-6:],
            fix="mend the hook, then `tfgrid-compose down` and `tfgrid-compose up`",
            log=str(context.logs / f"{self.name}.log"),
            code="hook-lost-machine",
        )

    def _error(self, context: Context, code: int, lines: list[str], timeout: int, seconds: float) -> HookError:
        why, kind = f"it exited with {code} after {seconds:.1f} s", "hook-failed"
        if code == _TIMED_OUT or (code == _KILLED and seconds >= timeout):
            why, kind = f"it did not end within {timeout} s and was stopped", "hook-timeout"
        elif code > 128:
            why = f"it was ended by signal {code - 128} after {seconds:.1f} s"
        elif code in (126, 127):
            why = f"its interpreter or a program in it was not found (exit code {code})"
        last = [line for line in lines if line.strip()][-6:]
        return HookError(
            f"hook {self.name} failed",
            why=why,
            details=last or ["it printed nothing"],
            fix=f"tfgrid-compose logs {context.deployment.name} --hook {self.name} --run {context.run} shows all of its output; "
            "mend it and run `tfgrid-compose up` again",
            log=str(context.logs / f"{self.name}.log"),
            code=kind,
        )


def _lost(code: int) -> bool:
    """Whether ssh ended before the hook did: the connection broke, or ssh itself was killed (negative, the signal)."""
    return code == ssh.CONNECTION_LOST or code < 0


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
        return f"deployment/playbook.yml ({short_digest(path.read_text())[:8]}) by Ansible instead of hooks"

    def inputs(self, context: Context) -> dict[str, str]:
        """The release."""
        return release_inputs(context)

    def apply(self, context: Context) -> str:
        """Run it with the hooks' environment as variables."""
        path = context.app.playbook()
        assert path is not None, "this step only exists when there is a playbook"
        env = hook_environment(context)
        # Ansible would take `{{ … }}` in a value for a template of its own.
        plain = {name: {"__ansible_unsafe": value} for name, value in env.items()}
        mine = {name: plain[name] for name in for_machine(context)}
        values = {**variables(context), "tfgrid_environment": plain, **mine}
        outcome = run_playbook(context, self.name, path, values)
        return f"{outcome.tasks} tasks, {len(outcome.changed)} changed something"
