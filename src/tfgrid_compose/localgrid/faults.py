"""Faults that tests order: the next creates, updates or machines fail in a way that real ones do.

An order is kept in the ledger and used up there, one use at a time, whatever process uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tfgrid_compose.localgrid.ledger import Ledger

_FACT = "faults"
_NODES = "fault_nodes_down"
_COUNTED = ("timeouts", "dropped", "no-capacity", "refused")


@dataclass(frozen=True)
class Order:
    """One order: how many uses are left, its seconds or count, and the names that it is for (`*` is any)."""

    kind: str
    left: int
    amount: float = 0
    only: str = "*"


def orders(counts: Mapping[str, float], only: str = "*") -> list[Order]:
    """The orders of a command's options: those with a number that is not 0."""
    counts = {name.replace("_", "-"): value for name, value in counts.items()}
    found = [Order(kind, int(counts[kind]), 0, only) for kind in _COUNTED]
    found += [Order("slow", int(counts["times"]), counts["slow"], only)] if counts["slow"] else []
    found += [Order(kind, int(counts["machines"]), amount, only) for kind in _PROGRAMS if (amount := counts[kind])]
    return [item for item in found if item.left > 0]


def order(ledger: Ledger, wanted: Order) -> None:
    """Add an order to those that wait."""
    ledger.change_fact(_FACT, lambda found: [*(found or []), asdict(wanted)])


def waiting(ledger: Ledger) -> list[Order]:
    """Orders that are not used up, oldest first."""
    return [Order(**item) for item in ledger.fact(_FACT) or []]


def take(ledger: Ledger, kind: str, *names: str) -> Order | None:
    """Use an order of this kind once, if one waits for any of the names: workload, app."""
    if not any(_fits(item, kind, names) for item in waiting(ledger)):
        return None
    used: list[Order] = []

    def change(found: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
        orders = [Order(**item) for item in found or []]
        first = next((index for index, item in enumerate(orders) if _fits(item, kind, names)), None)
        if first is not None:
            used.append(orders[first])
            orders[first] = Order(kind, orders[first].left - 1, orders[first].amount, orders[first].only)
        return [asdict(item) for item in orders if item.left > 0]

    ledger.change_fact(_FACT, change)
    return used[0] if used else None


def _fits(item: Order, kind: str, names: tuple[str, ...]) -> bool:
    return item.kind == kind and item.left > 0 and any(fnmatchcase(name, item.only) for name in names)


def set_nodes_down(ledger: Ledger, nodes: list[int]) -> None:
    """Order nodes to be dead until the orders are cleared."""
    ledger.set_fact(_NODES, nodes)


def node_is_down(ledger: Ledger, node: int) -> bool:
    """Whether a node was ordered to be dead."""
    return node in (ledger.fact(_NODES) or [])


def clear(ledger: Ledger) -> None:
    """Forget all orders."""
    for key in (_FACT, _NODES):
        ledger.set_fact(key, None)


# Faults inside a machine: a program that its first boot runs and that removes itself


def first_boot(ledger: Ledger, *names: str) -> Callable[[Path], None]:
    """What to add to the root filesystem of a new machine, by the orders that wait for it."""
    used = [found for kind in _PROGRAMS if (found := take(ledger, kind, *names))]

    def seed(root: Path) -> None:
        for item in used:
            install(root, item.kind, _PROGRAMS[item.kind].format(amount=item.amount, unit=_unit(item.kind)))

    return seed


def _unit(kind: str) -> str:
    return f"tfgrid-fault-{kind}"


def install(root: Path, kind: str, program: str) -> None:
    """Write a program and the unit that runs it before ssh answers."""
    name = _unit(kind)
    script = root / "usr/local/sbin" / name
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(program)
    script.chmod(0o755)
    units = root / "etc/systemd/system"
    wants = units / "multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (units / f"{name}.service").write_text(_UNIT.format(name=name))
    (wants / f"{name}.service").unlink(missing_ok=True)
    (wants / f"{name}.service").symlink_to(f"/etc/systemd/system/{name}.service")


_UNIT = """[Unit]
Description=Fault that a test has ordered
Before=ssh.service
[Service]
Type=notify
ExecStart=/usr/bin/python3 /usr/local/sbin/{name}
"""

# What every program begins with: it removes itself, so that a later boot is a usual one.
_HEAD = """import fcntl, os, signal, socket, time
for path in ("/usr/local/sbin/{unit}", "/etc/systemd/system/{unit}.service",
             "/etc/systemd/system/multi-user.target.wants/{unit}.service"):
    os.unlink(path)

def ready():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect(os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1))
        notify.send(b"READY=1")

"""

# dpkg and apt lock with fcntl, not with flock.
_APT_LOCK = """held = [open(path, "w") for path in ("/var/lib/dpkg/lock-frontend", "/var/lib/apt/lists/lock")]
for file in held:
    fcntl.lockf(file, fcntl.LOCK_EX)
ready()
time.sleep({amount})
"""

_DROP_SSH = """def sessions():
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and open(f"/proc/{{entry}}/cmdline").read().startswith("sshd: root@"):
                yield int(entry)
        except OSError:
            pass

ready()
for _ in range(int({amount})):
    while not list(sessions()):
        time.sleep(0.1)
    time.sleep(3)
    for pid in sessions():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
"""

_PROGRAMS = {"apt-lock": _HEAD + _APT_LOCK, "drop-ssh": _HEAD + _DROP_SSH}
