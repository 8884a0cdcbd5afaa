"""Ansible: inventory, settings and a run whose events we read from a pipe."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfgrid_compose.drivers import output, ssh
from tfgrid_compose.drivers.process import die_with_parent, environment, python_module
from tfgrid_compose.errors import EnvironmentError_, PlatformError
from tfgrid_compose.state import paths

# What Ansible reads when it starts, in memory only.
_GIVEN = ("variables.json", "inventory.yml")
# Signs of a task's message that are shown.
_SHOWN = 2000
_PLUGINS = Path(__file__).parent / "ansible_plugins"


@dataclass(frozen=True)
class Host:
    """A machine of the inventory: how ssh reaches it, its groups, its own variables."""

    name: str
    target: ssh.Target
    groups: tuple[str, ...]
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a playbook did: tasks that changed something, and how many ran."""

    changed: tuple[str, ...]
    tasks: int


def unsafe(value: Any) -> Any:
    """A value whose texts Ansible takes as they are, wherever they come from: `{{ … }}` in them would run here, with our rights.

    The form is that of Ansible's own JSON, which it reads in inventories and variables (tried with ansible-core 2.18 and 2.19).
    """
    if isinstance(value, str):
        return {"__ansible_unsafe": value}
    if isinstance(value, Mapping):
        return {key: unsafe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [unsafe(item) for item in value]
    return value


def inventory(hosts: Sequence[Host]) -> dict[str, Any]:
    """The inventory as Ansible's YAML plugin reads it (JSON is YAML)."""
    groups: dict[str, Any] = {}
    entries: dict[str, Any] = {}
    for host in hosts:
        target = host.target
        arguments = shlex.join(ssh.options(target))
        entries[host.name] = unsafe({
            "ansible_host": target.address, "ansible_user": target.user, "ansible_port": target.port,
            "ansible_ssh_private_key_file": str(target.key), "ansible_ssh_common_args": arguments,
            "ansible_python_interpreter": "/usr/bin/python3", **host.variables,
        })  # fmt: skip
        for group in host.groups:
            groups.setdefault(group, {"hosts": {}})["hosts"][host.name] = {}
    return {"all": {"hosts": entries, "children": groups}}


def settings(folder: Path, forks: int) -> dict[str, str]:
    """Ansible's settings as environment: ours alone, whatever the user's ansible.cfg says."""
    found = {
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_CALLBACK_PLUGINS": str(_PLUGINS),
        "ANSIBLE_CALLBACKS_ENABLED": "tfgrid_events",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "ANSIBLE_INVENTORY_ENABLED": "yaml",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_SSH_ARGS": "",
        "ANSIBLE_FORKS": str(max(1, forks)),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_TIMEOUT": "30",
        # What it compiled would stand in the folder whose content somebody agreed to.
        "PYTHONDONTWRITEBYTECODE": "1",
        # Modules write their arguments, secrets among them, to the machine's journal: "Invoked with …".
        "ANSIBLE_NO_TARGET_SYSLOG": "True",
        # What a playbook marks as private is so in output too, and no value of ours is written to a log of Ansible's own.
        "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "False",
        "ANSIBLE_LOG_PATH": "",
    }
    plugins = _mitogen()
    if plugins:
        found |= {"ANSIBLE_STRATEGY": "mitogen_linear", "ANSIBLE_STRATEGY_PLUGINS": plugins}
    return found


def _mitogen() -> str | None:
    """Folder of Mitogen's strategy plugins; None when it isn't installed or switched off."""
    if os.environ.get("TFGRID_MITOGEN", "1") == "0":
        return None
    found = importlib.util.find_spec("ansible_mitogen")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / "plugins" / "strategy"
    return str(path) if path.is_dir() else None


def run(
    playbook: Path,
    hosts: Sequence[Host],
    variables: Mapping[str, Any],
    *,
    folder: Path,
    log: Path,
    on_task: Callable[[str, bool], None],
    redact: Callable[[str], str] = lambda text: text,
    check: bool = False,
) -> Outcome:
    """Run a playbook. `on_task` gets each task's name and whether it is worth a line.

    Raises `PlatformError` with the failing task, its message and its last lines.
    """
    if importlib.util.find_spec("ansible") is None:
        raise EnvironmentError_("Ansible is not installed", why="the platform is made with it",
                                fix="pip install ansible-core", code="ansible-missing")  # fmt: skip
    paths.private_dir(folder)
    paths.private_file(folder / "ansible.cfg", b"[defaults]\n")
    paths.private_file(folder / "inventory.yml", json.dumps(inventory(hosts)).encode())
    paths.private_file(folder / "variables.json", json.dumps(unsafe(variables)).encode())
    reader, writer = os.pipe()
    words = [*python_module("ansible"), "playbook", "-i", str(folder / "inventory.yml"),
             "--extra-vars", f"@{folder / 'variables.json'}", *(["--check"] if check else []), str(playbook)]  # fmt: skip
    kept = {key: value for key, value in environment().items() if not key.startswith("ANSIBLE_")}
    env = {**kept, **settings(folder, len(hosts)), "TFGRID_EVENTS_FD": str(writer), "LC_ALL": "C.UTF-8"}
    events = _Events(on_task)
    with _forgotten(folder), paths.private_log(log) as file:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, pass_fds=[writer],
            cwd=playbook.parent, start_new_session=True, umask=0o077, preexec_fn=die_with_parent,
        )  # fmt: skip
        os.close(writer)
        thread = threading.Thread(target=events.read, args=(reader,), daemon=True)
        thread.start()
        tail = _copy(process, file, redact)
        thread.join(timeout=10)
    if process.returncode != 0:
        raise events.error(playbook, process.returncode, tail, str(log), redact)
    return Outcome(tuple(events.changed), events.tasks)


def forget(folder: Path) -> None:
    """Remove what a run was given: variables with secrets, and addresses. A run that was killed leaves them."""
    for name in _GIVEN:
        (folder / name).unlink(missing_ok=True)


@contextmanager
def _forgotten(folder: Path) -> Iterator[None]:
    """However it ends, what Ansible was given does not outlive it."""
    try:
        yield
    finally:
        forget(folder)


def _copy(process: subprocess.Popen[bytes], log: Any, redact: Callable[[str], str]) -> list[str]:
    """Copy the program's output to the log; returns its last lines. Ends it when we are stopped."""
    tail: list[str] = []
    assert process.stdout is not None
    try:
        allowance = output.Allowance()
        for line in map(redact, output.lines(process.stdout, redact)):
            kept = allowance.take(line)
            if kept is not None:
                log.write(kept + "\n")
            # The last lines say why it failed, however much came before.
            tail = [*tail[-11:], line.rstrip()] if line.strip() else tail
        process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            # It is deaf; why we stop must not be lost over that, and nobody may go on working on the machines.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise
    finally:
        process.stdout.close()
    return tail


def _event(line: bytes) -> dict[str, Any]:
    """An event with all its facts; an empty one for a line that a killed program left unfinished."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    found = found if isinstance(found, dict) else {}
    lines = found.get("lines")
    return {
        **{key: str(found.get(key) or "") for key in ("event", "name", "status", "host", "message")},
        "changed": bool(found.get("changed")),
        "lines": [str(part) for part in lines] if isinstance(lines, list) else [],
    }


class _Events:
    """What the callback plugin told us."""

    def __init__(self, on_task: Callable[[str, bool], None]) -> None:
        self._on_task = on_task
        self.changed: list[str] = []
        self.tasks = 0
        self._failures: list[dict[str, Any]] = []

    def read(self, descriptor: int) -> None:
        """Read events until the program closes its end."""
        with os.fdopen(descriptor, "rb") as pipe:
            for line in pipe:
                self._take(_event(line))

    def _take(self, event: dict[str, Any]) -> None:
        if event["event"] == "task":
            self.tasks += 1
            self._on_task(event["name"], False)
        elif event["event"] == "retry":
            self._on_task(f"trying again: {event['name']}", True)
        elif event["event"] == "result":
            if event["changed"] and event["name"] not in self.changed:
                self.changed.append(event["name"])
            if event["status"] in ("failed", "unreachable"):
                self._failures.append(event)

    def error(self, playbook: Path, code: int, tail: list[str], log: str, redact: Callable[[str], str]) -> PlatformError:
        """The error for a failed run."""
        if not self._failures:
            named = [line for line in tail if "ERROR" in line]
            why = (named or tail[-1:] or ["it printed nothing"])[0]
            return PlatformError(
                f"Ansible exited with {code} on {playbook.name}", why=why, details=tail[-6:], fix=f"read {log}", log=log
            )
        first = self._failures[0]
        unreachable = first["status"] == "unreachable"
        return PlatformError(
            f"Ansible {'lost' if unreachable else 'failed on'} {first['host']} in task «{first['name']}»",
            why=redact(first["message"] or (first["lines"] or ["the task gave no message"])[-1])[:_SHOWN],
            details=[line[:_SHOWN] for line in redact("\n".join(first["lines"])).split("\n")] if first["lines"] else [],
            fix="run `tfgrid-compose up` again; finished tasks are not repeated" if unreachable else "",
            log=log,
        )
