"""ssh and Ansible in memory: what they do on a machine of this world, and what their drivers report."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.chaos import machine as machines
from tests.chaos.machine import PLATFORM, Machine
from tests.chaos.strikes import ChildKilled, Dropped, Killed, current, point
from tests.chaos.world import world
from tfgrid_compose.drivers import ansible, ssh
from tfgrid_compose.drivers.process import Finished
from tfgrid_compose.errors import PlatformError
from tfgrid_compose.state import paths


def login(target: ssh.Target) -> Machine | str:
    """The machine behind an address, or why nobody lets us in."""
    if current().offline > 0:
        current().offline -= 1.0
    found = world().reaches(target.address)
    if found is None:
        return "No route to host"
    try:
        key = _public(target.key.read_bytes())
    except (OSError, ValueError):
        return "Permission denied (publickey)"
    if key not in {line.rsplit(" ", 1)[0] for line in found.keys}:
        return "Permission denied (publickey)"
    known = dict(line.split() for line in target.known_hosts.read_text().splitlines())
    if target.alias not in known:
        with target.known_hosts.open("a") as file:
            file.write(f"{target.alias} {found.host_key}\n")
    elif known[target.alias] != found.host_key:
        return "Host key verification failed."
    return found


@functools.lru_cache(maxsize=64)
def _public(private: bytes) -> str:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_ssh_private_key(private, None).public_key()
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


class MemoryConnection(ssh.Connection):
    """A connection whose other end is in memory."""

    def run(self, command: str, *, input: bytes | None = None, timeout: float = 120) -> Finished:
        """As ssh would."""
        try:
            code, text = self._played(command, input or b"")
        except Dropped:
            code, text = ssh.CONNECTION_LOST, ""
        if code == ssh.CONNECTION_LOST:
            raise self.lost(text or "the connection was closed")
        return Finished(("ssh", self.target.address, command[:60]), code, text, "")

    def stream(
        self, command: str, on_line: Callable[[str], None], *, input: bytes | None = None, clean: Callable[[str], str] = str
    ) -> int | None:
        """As ssh would."""
        try:
            code, text = self._played(command, input or b"")
        except Dropped:
            code, text = ssh.CONNECTION_LOST, ""
        for line in [*self._said_before(), *text.splitlines()]:
            on_line(line)
        return None if code in (ssh.CONNECTION_LOST, -9) else code

    def _said_before(self) -> list[str]:
        machine = world().reaches(self.target.address)
        said = machine.said[:] if machine else []
        if machine:
            machine.said.clear()
        return said

    def close(self) -> None:
        """Nothing is kept open."""
        if self.target.control_path.exists():
            raise AssertionError("there is no socket here")

    def _played(self, command: str, input: bytes) -> tuple[int, str]:
        try:
            point("ssh:start")
            found = login(self.target)
            if isinstance(found, str):
                return ssh.CONNECTION_LOST, found
            done = _on_machine(found, machines.play(found, command, input))
            point("ssh:answer")
        except ChildKilled:
            return -9, ""
        return done


def _on_machine(machine: Machine, script: machines.Script) -> tuple[int, str]:
    while True:
        try:
            label = next(script)
        except StopIteration as end:
            done: tuple[int, str] = end.value
            return done
        try:
            point(label)
        except ChildKilled:
            if not label.startswith("hook:"):
                _left_alone(script)
                raise
            if current().lasting:
                raise  # The ssh client was killed; the hook runs in a session of its own.
            for hook in machine.running():
                hook.code = 137
        except (Killed, KeyboardInterrupt, Dropped):
            _left_alone(script)
            raise


def _left_alone(script: machines.Script) -> None:
    """Nobody listens to the script any more; it goes on, or a write to nowhere ends it."""
    if current().lasting:
        with current().outside(), suppress(StopIteration):
            while True:
                next(script)


def try_login(target: ssh.Target) -> str:
    try:
        point("ssh:login")
    except ChildKilled:
        return "login failed"
    except Dropped:
        return "Connection reset by peer"
    found = login(target)
    return found if isinstance(found, str) else ""


# Ansible

_TASKS = ("packages", "firewall", "user", "folders")


def play(
    playbook: Path, hosts: Sequence[ansible.Host], variables: Mapping[str, Any], *, folder: Path, log: Path,
    on_task: Callable[[str, bool], None], redact: Callable[[str], str] = str, check: bool = False,
) -> ansible.Outcome:  # fmt: skip
    """As `ansible.run`: it writes its files, and brings every machine to what the playbook says."""
    paths.private_dir(folder)
    for name, text in (("ansible.cfg", "[defaults]\n"), ("inventory.yml", json.dumps(ansible.inventory(hosts)))):
        paths.private_file(folder / name, text.encode())
    wanted = hashlib.sha256(playbook.read_bytes() + json.dumps(dict(variables), sort_keys=True).encode()).hexdigest()
    with paths.private_log(log) as output:
        output.write("PLAY\n")
    try:
        point("ansible:start")
        changed = [task for host in hosts for task in _configured(host, wanted, on_task, check)]
        point("ansible:ended")
    except ChildKilled:
        raise PlatformError(f"Ansible exited with -9 on {playbook.name}", why="it printed nothing", log=str(log)) from None
    return ansible.Outcome(tuple(dict.fromkeys(changed)), len(_TASKS))


def _configured(host: ansible.Host, wanted: str, on_task: Callable[[str, bool], None], check: bool) -> Iterator[str]:
    for task in _TASKS:
        on_task(task, False)
        try:
            point(f"ansible:{task}")
        except Dropped:
            found: Machine | str = "Connection reset"
        else:
            found = login(host.target)
        if isinstance(found, str):
            raise PlatformError(f"Ansible lost {host.name} in task «{task}»", why=found)
        if found.text(f"{PLATFORM}/{task}") != wanted:
            if not check:
                found.write(f"{PLATFORM}/{task}", wanted)
            yield task
