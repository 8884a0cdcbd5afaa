"""A machine in memory: files, hooks that run, a service; and the scripts that tfgrid-compose sends to it.

A script is recognised by the template that it was made from and played as a generator: what stands between two of
its labels happens at once, and at each label the connection, the script or the whole process can be cut off.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shlex
import string
import tarfile
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from tfgrid_compose.deploy import drift
from tfgrid_compose.deploy.steps import activate, hooks, journal, layout, ship

# Files by absolute path: (kind, content or target, mode); kind is "f" or "l". Folders are where files are.
File = tuple[str, bytes, int]
Script = Generator[str, None, tuple[int, str]]

RUN = "/run/tfgrid-compose/hooks"
DATA, SERVICE, PLATFORM = "/var/lib/app/data", "/etc/service", "/etc/platform"
_VOLATILE = ("/tmp/", "/run/")


class UnknownScriptError(Exception):
    """The machine was sent something that this world does not know; teach it."""


@dataclass
class HookRun:
    """A hook that runs in a session of its own; `code` is None as long as it runs."""

    id: str
    orders: list[str]
    release: str
    code: int | None = None


@dataclass
class Machine:
    """A machine of one contract."""

    contract: int
    name: str
    cpu: int
    memory: int
    disk: int
    keys: tuple[str, ...]
    address: str
    mycelium: str
    host_key: str
    files: dict[str, File] = field(default_factory=dict)
    snapshots: dict[str, dict[str, File]] = field(default_factory=dict)
    hooks: list[HookRun] = field(default_factory=list)
    on: bool = False
    service: str = ""
    violations: list[str] = field(default_factory=list)
    boots: int = 0
    # Lines that a script has said before it ends.
    said: list[str] = field(default_factory=list)

    # Power

    def start(self) -> None:
        """Boot: what is enabled starts."""
        if not self.on:
            self.on = True
            self.boots += 1
            self.service = self.text(SERVICE)

    def stop(self) -> None:
        """Power off: memory is lost, and /tmp and /run with it."""
        self.on, self.service = False, ""
        for hook in self.running():
            hook.code = 137
        self.hooks.clear()
        self.files = self.kept()

    def kept(self) -> dict[str, File]:
        """What a disk keeps when the machine is off."""
        return {path: file for path, file in self.files.items() if not path.startswith(_VOLATILE)}

    # Files

    def text(self, path: str) -> str:
        """A file's content, empty without one."""
        kind, content, _ = self.files.get(path, ("f", b"", 0))
        return content.decode() if kind == "f" else ""

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file."""
        self.files[path] = ("f", text.encode(), mode)

    def link(self, path: str) -> str:
        """Where a link points to, empty without one."""
        kind, target, _ = self.files.get(path, ("f", b"", 0))
        return target.decode() if kind == "l" else ""

    def below(self, folder: str) -> dict[str, File]:
        """{relative path: file} of a folder."""
        return {path[len(folder) + 1 :]: file for path, file in self.files.items() if path.startswith(f"{folder}/")}

    def remove(self, folder: str) -> None:
        """rm -rf."""
        for path in [path for path in self.files if path == folder or path.startswith(f"{folder}/")]:
            del self.files[path]

    def unpack(self, folder: str, archive: bytes, limit: int | None = None) -> int:
        """tar -xz, at most `limit` files; returns how many it was."""
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            members = [member for member in tar if not member.isdir()]
            for member in members[:limit]:
                if member.issym():
                    self.files[f"{folder}/{member.name}"] = ("l", member.linkname.encode(), 0o777)
                else:
                    data = tar.extractfile(member)
                    self.files[f"{folder}/{member.name}"] = ("f", data.read() if data else b"", member.mode)
        return len(members)

    def wrong(self, folder: str, content: str) -> list[str]:
        """What sha256sum finds wrong in a release whose list of digests has the digest `content`."""
        kind, sums, _ = self.files.get(f"{folder}/.tfgrid/sha256sums", ("", b"", 0))
        found = [] if kind == "f" and hashlib.sha256(sums).hexdigest() == content else [".tfgrid/sha256sums"]
        for line in sums.decode().splitlines():
            digest, _, name = line.partition("  ")
            file = self.files.get(f"{folder}/{name}")
            if file is None or hashlib.sha256(file[1]).hexdigest() != digest:
                found.append(name)
        return found

    # Hooks

    def running(self) -> list[HookRun]:
        """Hooks that run now."""
        return [hook for hook in self.hooks if hook.code is None]

    def kill(self, id: str | None = None) -> None:
        """Stop one hook, or all."""
        for hook in self.running():
            if id in (None, hook.id):
                hook.code = 143

    def step(self, hook: HookRun) -> None:
        """Carry out a hook's next order; the last one ends it."""
        if hook.code is not None:
            return
        if not hook.orders:
            hook.code = 0
            return
        order = hook.orders.pop(0)
        source = self.text(f"{self.link('/tmp/app-source')}/page.txt").strip()
        values = dict(line.split("=", 1) for line in self.text(f"{hook.release}/.tfgrid/environment").splitlines())
        page = f"{source} {values.get('GREETING', '')} {values.get('TOKEN', '')}"
        if order == "migrate" and source not in self.text(DATA).split("\n"):
            self.write(DATA, f"{self.text(DATA)}{source}\n")
        elif order == "configure":
            self.write(SERVICE, page)
            self.service = page
        elif order == "fail" or (order == "check" and self.service != page):
            hook.code = 1


# Scripts


def _lay_out(machine: Machine, work: str, release: str) -> Generator[str, None, None]:
    machine.remove(work)
    yield "machine:lay-out-removed"
    for name, file in machine.below(release).items():
        top, _, rest = name.partition("/")
        if top == "deployment":
            machine.files[f"{work}/app-deployment/{rest}"] = file
        elif top == "src":
            machine.files[f"{work}/app-source/{rest}"] = file
        elif top != ".tfgrid":
            machine.files[f"{work}/app-source/{name}"] = file
        elif rest in ("state.yaml", "get_deployment_ip_vm.sh"):
            machine.files[f"{work}/app-deployment/{rest}"] = file
    yield "machine:lay-out-copied"
    machine.write(f"{work}/app-deployment/.release", release)
    _link(machine, work)


def _link(machine: Machine, work: str) -> None:
    for name in ("app-deployment", "app-source"):
        machine.files[f"/tmp/{name}"] = ("l", f"{work}/{name}".encode(), 0o777)


def _unpack(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    release, size = match["release"], int(match["size"])
    half = machine.unpack(release, input[:size], 1)
    yield "machine:unpack-begun"
    if half:
        machine.unpack(release, input[:size])
    yield "machine:unpack-source"
    machine.unpack(release, input[size:])
    yield "machine:unpack-own"
    yield from _lay_out(machine, match["work"], release)
    return 0, ""


def _unpack_own(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    machine.unpack(match["release"], input)
    yield "machine:unpack-own"
    yield from _lay_out(machine, match["work"], match["release"])
    return 0, ""


def _verify(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    yield "machine:verify"
    return (1 if machine.wrong(match["release"], match["content"]) else 0), ""


def _switch(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    root, release, keep = match["root"], match["release"], match["keep"].split()
    verify = _VERIFY.fullmatch(match["verify"])
    assert verify, "the switch proves the release"
    if machine.wrong(f"{root}/releases/{release}", verify["content"]):
        return 3, "its files on the machine are not the ones that were shipped"
    machine.files[f"{root}/current.new"] = ("l", f"releases/{release}".encode(), 0o777)
    yield "machine:switch-link"
    machine.files[f"{root}/current"] = machine.files.pop(f"{root}/current.new")
    yield "machine:switched"
    for old in {name.split("/")[0] for name in machine.below(f"{root}/releases")} - set(keep):
        machine.remove(f"{root}/releases/{old}")
        yield "machine:switch-pruned"
    return 0, machine.link(f"{root}/current")


def _look(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    yield "machine:look"
    lines = [machine.link(match["current"]) or "none"]
    if machine.below(match["folder"]):
        lines += [f"{name}: FAILED" for name in machine.wrong(match["folder"], match["content"])]
    return 0, "\n".join(lines)


def _run_hook(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    order = json.loads(match["order"])
    release, work, id = match["release"], match["work"], order["id"]
    if machine.text(f"{work}/app-deployment/.release") != release:
        yield from _lay_out(machine, work, release)
    _link(machine, work)
    for path in [path for path in machine.files if path.startswith(f"{RUN}/")]:
        if path.endswith(".pid"):
            machine.kill(path.removeprefix(f"{RUN}/").removesuffix(".pid"))
        del machine.files[path]
    yield "machine:hook-ready"
    if machine.running():
        machine.violations.append(f"hook {id} runs beside {machine.running()[0].id}")
    script = machine.text(f"{order['folder']}/{order['script'].removeprefix('./')}")
    orders = [line.split()[1] for line in script.splitlines() if line.startswith("#: ")]
    hook = HookRun(id, orders, order["environment"].removesuffix("/.tfgrid/environment"))
    machine.hooks.append(hook)
    machine.write(f"{RUN}/{id}.log", "", 0o600)
    machine.write(f"{RUN}/{id}.pid", "1")
    machine.said.append(_word(machine, order, how="started"))
    return (yield from _followed(machine, hook, order))


def _followed(machine: Machine, hook: HookRun, order: dict[str, Any]) -> Script:
    while hook.code is None:
        yield f"hook:{hook.id.partition('-')[0]}"
        machine.step(hook)
    yield "machine:hook-ended"
    code = hook.code or 0
    how = {"how": "stopped"} if code == 143 else {"how": "signal", "code": 9} if code == 137 else {"how": "exit", "code": code}
    return 0, _word(machine, order, **how)


def _word(machine: Machine, order: dict[str, Any], **how: Any) -> str:
    return "#" + json.dumps({**how, "machine": str(machine.boots)})


def _follow(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    yield "machine:follow"
    order = json.loads(match["order"])
    hook = next((hook for hook in machine.hooks if hook.id == order["id"]), None)
    if hook is None or f"{RUN}/{hook.id}.pid" not in machine.files:
        return 0, _word(machine, order, how="gone")
    return (yield from _followed(machine, hook, order))


def _identity(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    yield "machine:identity"
    return 0, str(machine.boots)


def _stop(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    yield "machine:hook-stop"
    if f"{RUN}/{match['id']}.pid" in machine.files:
        machine.kill(match["id"])
    return 0, ""


def _forget(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    yield "machine:hook-forget"
    for path in [path for path in machine.files if path.startswith(f"{RUN}/{match['id']}.")]:
        del machine.files[path]
    return 0, ""


def _readlink(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    yield "machine:readlink"
    found = machine.link(match["path"])
    return (0 if found else 1), found


def _rm(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    yield "machine:rm"
    machine.remove(match["path"])
    return 0, ""


def _is_active(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    yield "machine:is-active"
    return (0, "active") if machine.service else (3, "inactive")


def _stop_service(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    yield "machine:stop-service"
    machine.service = ""
    return 0, ""


def _true(machine: Machine, match: dict[str, str], input: bytes) -> Script:
    yield "machine:true"
    return 0, ""


# Recognising


def pattern(template: str) -> re.Pattern[str]:
    """What matches every text that `template.format(…)` can give; fields become groups."""
    parts, seen = [], set[str]()
    for literal, name, _, _ in string.Formatter().parse(template):
        parts.append(re.escape(literal))
        if name is not None:
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>.*?)")
            seen.add(name)
    return re.compile("".join(parts), re.DOTALL)


def _with_layout(template: str) -> re.Pattern[str]:
    # The name of the release stands in both templates, and that of the work folder in two.
    laid = pattern(layout.LAY_OUT + layout.LINK).pattern.replace("(?P<release>.*?)", ".*?")
    return re.compile(pattern(template).pattern + laid, re.DOTALL)


_VERIFY = pattern(layout.VERIFY)
Handler = Callable[[Machine, dict[str, str], bytes], Script]
_KNOWN: list[tuple[re.Pattern[str], Handler]] = [
    (re.compile("true"), _true),
    (_with_layout(ship._UNPACK), _unpack),
    (_with_layout(ship._UNPACK_OWN), _unpack_own),
    (pattern(journal.SCRIPT), _true),
    (pattern(activate._SWITCH), _switch),
    (pattern(drift._RELEASE), _look),
    (_VERIFY, _verify),
    (pattern(hooks._RUN), _run_hook),
    (pattern(hooks._FOLLOW), _follow),
    (re.compile(re.escape(hooks._IDENTITY)), _identity),
    (pattern(hooks._STOP), _stop),
    (pattern(hooks._FORGET), _forget),
    (re.compile(r"readlink (?P<path>\S+)"), _readlink),
    (re.compile(r"rm -rf (?P<path>\S+)"), _rm),
    (re.compile(r"systemctl is-active (?P<service>\S+)"), _is_active),
    (re.compile(r"systemctl stop (?P<service>\S+)"), _stop_service),
]
_SHELL = re.compile(r"(?:sh|bash) -c (?P<script>.*)", re.DOTALL)


def play(machine: Machine, command: str, input: bytes = b"") -> Script:
    """The script of a command line. Raises `UnknownScriptError`."""
    shell = _SHELL.fullmatch(command)
    text = shlex.split(shell["script"])[0] if shell else command
    for known, handler in _KNOWN:
        match = known.fullmatch(text)
        if match:
            plain: dict[str, Any] = {key: _plain(value) for key, value in match.groupdict().items()}
            return handler(machine, plain, input)
    raise UnknownScriptError(text)


def _plain(value: str) -> str:
    """A value as the shell reads it; scripts within scripts stay as they are."""
    if "\n" in value or not value.startswith("'"):
        return value
    return shlex.split(value)[0]
