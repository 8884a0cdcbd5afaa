"""Runs a hook on the machine, in a session of its own that survives a connection which breaks.

The machine's own Python (3.8 or newer) reads this file from standard input; its one argument is an order, in JSON. A
keeper starts the hook with exactly the environment of the release, stops it after its time, cuts output that has no
bounds, and writes down how the hook ended: whatever number it exits with, it is not taken for anything else.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

Order = dict[str, Any]
# A longer line is cut, and so is what exceeds the log: it lies in memory. The other side cuts lines sooner, with the room
# that it needs to know a secret at the cut; the log is cut between two lines.
LINE_BYTES = 96 * 1024
LOG_BYTES = 8 * 1024 * 1024
TAIL_BYTES = 64 * 1024
_GRACE = 10.0
_POLL = 0.05
_SET_NAME, _SET_SUBREAPER = 15, 36  # prctl(2)


class Cutter:
    """Passes output on to `write` within bounds, and says what it left out."""

    def __init__(
        self, write: Callable[[bytes], None], line: int = LINE_BYTES, total: int = LOG_BYTES, tail: int = TAIL_BYTES
    ) -> None:
        self._write, self._line, self._total, self._keep = write, line, total, tail
        self._column = self._cut = self._written = self._dropped = 0
        self._full = False
        self._tail: deque[bytes] = deque()
        self._tail_size = 0

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        if self._column + len(data) <= self._line:
            # No line of these can be too long: the usual case, at the speed of a copy.
            self._out(data)
            end = data.rfind(b"\n")
            self._column = self._column + len(data) if end < 0 else len(data) - end - 1
            return
        for part in data.splitlines(keepends=True):
            whole = part.endswith(b"\n")
            body = part[:-1] if whole else part
            room = max(0, self._line - self._column)
            self._out(body[:room])
            self._cut += len(body[room:])
            self._column += len(body)
            if whole:
                self._end_line()

    def close(self) -> None:
        """No more comes: the end of what was too much is passed on."""
        if self._cut:
            self._end_line()
        if self._dropped:
            tail = b"".join(self._tail)[-self._keep :].partition(b"\n")[2]
            self._write(b"\n... %d bytes of output left out ...\n" % (self._dropped - len(tail)) + tail)

    def _end_line(self) -> None:
        self._out(b" ... %d bytes of this line left out\n" % self._cut if self._cut else b"\n")
        self._column = self._cut = 0

    def _out(self, data: bytes) -> None:
        if not self._full:
            room = self._total - self._written
            if len(data) <= room:
                self._write(data)
                self._written += len(data)
                return
            last = data.rfind(b"\n", 0, room) + 1
            self._write(data[:last])
            data, self._full = data[last:], True
        self._dropped += len(data)
        self._tail.append(data)
        self._tail_size += len(data)
        while self._tail and self._tail_size - len(self._tail[0]) >= self._keep:
            self._tail_size -= len(self._tail.popleft())


def path_of(order: Order, kind: str) -> str:
    """A file of one hook: `log`, `pid` of its keeper, `rc`, how it ended."""
    return os.path.join(order["runs"], f"{order['id']}.{kind}")


def machine() -> str:
    """Another text after each start of the machine; a container's boot id is its host's, so its first process counts too."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
    with open("/proc/1/stat") as file:
        return f"{boot} {file.read().rpartition(')')[2].split()[19]}"


def environment(path: str) -> dict[str, str]:
    """{name: value} of a file of shell assignments, each as it was given: no name is special here, as some are in a shell."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return dict(word.partition("=")[::2] for word in shlex.split(file.read()))


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()[:1] not in ([], ["Z"])


def started(pid: int) -> str:
    """When a process began; with its number it names it, as numbers come again."""
    return (read(f"/proc/{pid}/stat").rpartition(")")[2].split() + [""] * 20)[19]


def processes() -> list[tuple[int, int, int]]:
    """(pid, parent, session) of all that run."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        words = read(f"/proc/{name}/stat").rpartition(")")[2].split()[:4]
        if words and words[0] != "Z":
            found.append((int(name), int(words[1]), int(words[3])))
    return found


def session(leader: int) -> list[int]:
    """Processes of a session, its leader included."""
    return [pid for pid, _, sid in processes() if sid == leader]


def others() -> list[int]:
    """The hook's processes: the keeper's session, and all that descends from it by whatever way."""
    mine, all_of_them = os.getpid(), processes()
    found: set[int] = set()
    while True:
        more = {pid for pid, parent, sid in all_of_them if sid == mine or parent == mine or parent in found} - found - {mine}
        if not more:
            return sorted(found)
        found |= more


def send(number: int, pids: Iterable[int]) -> None:
    """Send a signal to processes, some of which may be gone."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def read(path: str) -> str:
    """A file's text; empty when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def write(path: str, text: str) -> None:
    """Write a file that appears whole."""
    descriptor = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    os.rename(path + ".new", path)


def keeper_of(order: Order) -> int:
    """The pid of a hook's keeper; 0 when there is none, or its number is another process by now."""
    pid, _, began = read(path_of(order, "pid")).strip().partition(" ")
    if not pid.isdecimal() or (alive(int(pid)) and began and began != started(int(pid))):
        return 0
    return int(pid)


def stop_others(order: Order) -> None:
    """End hooks of runs that were cut off: none may work beside the next one."""
    runs, mine = order["runs"], order["id"]
    for name in [name for name in os.listdir(runs) if name.endswith(".pid")]:
        other = dict(order, id=name[:-4])
        # One that wrote how it ended has ended.
        pid = 0 if os.path.exists(path_of(other, "rc")) else keeper_of(other)
        if pid:
            send(signal.SIGTERM, session(pid))
            end = time.monotonic() + _GRACE
            while session(pid) and time.monotonic() < end:
                time.sleep(_POLL)
            send(signal.SIGKILL, session(pid))
    for name in os.listdir(runs):
        if name != f"{mine}.stop":
            os.unlink(os.path.join(runs, name))


# The keeper


def keep(order: Order) -> None:
    """In a process of its own: start the hook, pass its output on, stop it in time, write how it ended."""
    os.setsid()
    # What a hook leaves without a parent stays ours while it runs, so that all of it can be ended.
    prctl(_SET_SUBREAPER, 1)
    stopped: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(time.monotonic()))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    log = os.open(path_of(order, "log"), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    write(path_of(order, "pid"), f"{os.getpid()} {started(os.getpid())}\n")
    if os.path.exists(path_of(order, "stop")):
        finish(order, {"how": "stopped"})
        return
    reader, writer = os.pipe()
    began = time.monotonic()
    try:
        process = start(order, writer)
    except (OSError, ValueError) as error:
        finish(order, {"how": "unstarted", "why": why_not(order, error)})
        return
    finally:
        os.close(writer)
    cutter = Cutter(lambda data: to_log(log, data))
    how = watch(order, process, reader, cutter, began, stopped)
    open_end = drain(reader, cutter)
    cutter.close()
    how["seconds"] = time.monotonic() - began
    finish(order, how)
    if open_end:
        # A program that the hook left in the background still has the pipe; without a reader its next word would end it.
        prctl(_SET_SUBREAPER, 0)
        os.set_blocking(reader, True)
        os.dup2(reader, 0)
        os.execvp("cat", ["cat"])


def prctl(what: int, value: Any) -> None:
    """Set a property of this process; what the kernel does not know is left."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


def start(order: Order, writer: int) -> subprocess.Popen[bytes]:
    """The hook's process. Raises `OSError` when it can't be executed."""
    os.chdir(order["folder"])
    script = order["script"]
    os.chmod(script, os.stat(script).st_mode | 0o111)  # noqa: S103 - a script of the app, below a folder of root alone
    values = dict(os.environ)
    values.update(environment(order["environment"]))
    # The folder under the name that apps know; a shell takes it when both are one.
    values.update(TFGRID_HOOK=order["hook"], PWD=order["known_as"])

    return subprocess.Popen(
        [script], stdin=subprocess.DEVNULL, stdout=writer, stderr=writer, env=values, preexec_fn=usual_signals, close_fds=True
    )


def usual_signals() -> None:
    """What the keeper ignores, the hook does not."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def why_not(order: Order, error: Exception) -> str:
    """Why a script could not be started."""
    try:
        noexec = os.statvfs(order["script"]).f_flag & os.ST_NOEXEC
    except OSError:
        noexec = False
    if isinstance(error, PermissionError) and noexec:
        return f"{order['folder']} is mounted noexec"
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


def watch(
    order: Order, process: subprocess.Popen[bytes], reader: int, cutter: Cutter, started: float, stopped: list[float]
) -> dict[str, Any]:
    """Wait for the hook's end, or bring it about."""
    os.set_blocking(reader, False)
    deadline, why = started + order["timeout"], ""
    asked: float | None = None
    while process.poll() is None:
        pump(reader, cutter, _POLL)
        now = time.monotonic()
        if asked is None and (stopped or now > deadline):
            asked, why = now, "stopped" if stopped else "timeout"
            send(signal.SIGTERM, others())
        elif asked is not None and now > asked + _GRACE:
            send(signal.SIGKILL, others())
    if why:
        send(signal.SIGKILL, others())
    if why != "timeout" and (why or process.returncode < 0) and machine_stops():
        return {"how": "restart"}
    if why:
        return {"how": why}
    if process.returncode < 0:
        return {"how": "signal", "code": -process.returncode}
    return {"how": "exit", "code": process.returncode}


def machine_stops() -> bool:
    """Whether systemd is taking the machine down."""
    try:
        done = subprocess.run(["systemctl", "is-system-running"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == b"stopping"


def pump(reader: int, cutter: Cutter, wait: float) -> bool:
    """Pass on what is there; False when all writers have closed their end."""
    if not select.select([reader], [], [], wait)[0]:
        return True
    try:
        data = os.read(reader, 65536)
    except BlockingIOError:
        return True
    cutter.feed(data)
    if not data:
        time.sleep(min(wait, 0.01))
    return bool(data)


def drain(reader: int, cutter: Cutter) -> bool:
    """Pass on what was written before the end; True when somebody still holds the other end."""
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        if not pump(reader, cutter, 0.02):
            return False
    return True


def to_log(log: int, data: bytes) -> None:
    """Write to the log; a full disk must not stop the hook."""
    with suppress(OSError):
        os.write(log, data)


def finish(order: Order, how: dict[str, Any]) -> None:
    """Write how the hook ended."""
    write(path_of(order, "rc"), json.dumps(how))


# What listens on the other side. Each line says whose it is by its first sign, so that no hook can speak for us:
# `|` and a number before a line of the hook, `#` before a word of ours.


def say(order: Order, how: dict[str, Any]) -> None:
    """One word of ours."""
    told(b"#" + json.dumps(dict(how, machine=machine())).encode() + b"\n")


def told(data: bytes) -> None:
    """Write to the other side."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def follow(order: Order) -> None:
    """Pass on the hook's output behind the lines that were seen, and at the end say how it ended."""
    pid = keeper_of(order)
    if not pid:
        say(order, {"how": "gone"})
        return
    skip, number, rest = order.get("lines", 0), 0, b""
    with open(path_of(order, "log"), "rb") as log:
        while True:
            ended = os.path.exists(path_of(order, "rc")) or not alive(pid)
            data = log.read(1 << 20)
            *lines, rest = (rest + data).split(b"\n")
            if not data and ended and rest:
                lines, rest = [rest], b""
            out = []
            for line in lines:
                number += 1
                if number > skip:
                    out.append(b"|%d %s\n" % (number, line.rstrip(b"\r")))
            told(b"".join(out))
            if not data and ended:
                break
            if not data:
                time.sleep(_POLL)
    how = read(path_of(order, "rc"))
    if not how:
        # Without a word the keeper was killed from outside; nothing looks after the hook any more.
        send(signal.SIGKILL, session(pid))
    say(order, json.loads(how or '{"how": "signal", "code": 9}'))


def run(order: Order) -> None:
    """Start the hook, then follow it."""
    os.makedirs(order["runs"], mode=0o700, exist_ok=True)
    os.chmod(order["runs"], 0o700)
    stop_others(order)
    pid = os.fork()
    if pid == 0:
        try:
            keep(order)
        except Exception as error:  # Whatever it is: the other side waits for a word.
            finish(order, {"how": "unstarted", "why": f"{type(error).__name__}: {error}"})
        finally:
            os._exit(0)
    while not os.path.exists(path_of(order, "pid")) and not os.waitpid(pid, os.WNOHANG)[0]:
        time.sleep(0.005)
    say(order, {"how": "started"})
    follow(order)


def main() -> None:
    """Carry out the order of the command line."""
    # A hook may end every Python by its name, and means its own.
    prctl(_SET_NAME, b"tfgrid-hook")
    order = json.loads(sys.argv[1])
    {"run": run, "follow": follow}[order["verb"]](order)


if __name__ == "__main__":
    main()
