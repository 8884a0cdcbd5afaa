"""Snapshots of machines: copies of their disk images, all taken at one moment.

A snapshot is the folder `snapshots/<name>` of each machine and goes with the machine. It is written
under a name that ends in `.partial` and renamed when it is on the disk.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tfgrid_compose.drivers.process import CommandError
from tfgrid_compose.errors import GridError
from tfgrid_compose.localgrid import images
from tfgrid_compose.localgrid.ledger import Ledger
from tfgrid_compose.localgrid.machine import Machine

# Copied at some 350 MB/s where files can't share blocks: a machine must not stand still for longer than that.
_LARGEST = 4 * 1024**3
_GIB = 1024**3
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?<!\.partial)(?<!\.old)")
_PARTIAL, _OLD, _RESTORED = ".partial", ".old", ".restored"
_FACT = "restores"


def take(machines: Sequence[Machine], name: str) -> int:
    """Keep the disks of all machines as they are at one moment; returns the bytes that the copies take.

    Writers wait while the images are copied. Raises `GridError`.
    """
    _check_name(name)
    if not machines:
        raise GridError("there is no machine to take a snapshot of", why="its contracts are gone", code="snapshot-missing")
    with _all_held(machines), _leaving_no_partials(machines, name):
        for machine in machines:
            machine.flush()
        needed = sum(images.allocated(image) for machine in machines for image in _existing(machine))
        _check_room(needed, machines[0].folder)
        for machine in machines:
            _fresh(_folder(machine, name + _PARTIAL))
        try:
            for machine in machines:
                machine.freeze()
            copies = [copy for machine in machines for copy in _copy_into(machine, _folder(machine, name + _PARTIAL))]
        finally:
            for machine in machines:
                machine.thaw()
        for file in copies:
            images.sync(file)
        for machine in machines:
            _put(machine, name)
        return sum(images.allocated(image) for machine in machines for image in _folder(machine, name).iterdir())


def _existing(machine: Machine) -> list[Path]:
    return [image for image, _ in machine.images() if image.exists()]


def _copy_into(machine: Machine, folder: Path) -> list[Path]:
    for image in _existing(machine):
        images.copy(image, folder / image.name)
    return sorted(folder.iterdir())


def _put(machine: Machine, name: str) -> None:
    """Give a finished snapshot its name; an older one of that name goes."""
    partial, final, old = (_folder(machine, name + suffix) for suffix in (_PARTIAL, "", _OLD))
    images.sync(partial)
    if final.exists():
        final.rename(old)
    partial.rename(final)
    images.sync(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def names(machines: Sequence[Machine]) -> list[str]:
    """Snapshots that all machines have, oldest first."""
    found = [_names(machine) for machine in machines]
    if not found:
        return []
    common = set(found[0]).intersection(*found[1:])
    return sorted(common, key=lambda name: found[0][name])


def _names(machine: Machine) -> dict[str, int]:
    """{name: when it was taken, in nanoseconds}."""
    folder = machine.folder / "snapshots"
    entries = list(folder.iterdir()) if folder.exists() else []
    return {entry.name: entry.stat().st_mtime_ns for entry in entries if _NAME.fullmatch(entry.name)}


def forget(machines: Sequence[Machine], name: str) -> None:
    """Delete a snapshot; one that is gone is no error."""
    _check_name(name)
    with _all_held(machines):
        for machine in machines:
            folder = _folder(machine, name)
            if folder.exists():
                # Half of a snapshot must not be taken for one.
                folder.rename(_fresh(_folder(machine, name + _OLD), make=False))
                shutil.rmtree(_folder(machine, name + _OLD), ignore_errors=True)


def restore(ledger: Ledger, machines: Sequence[Machine], name: str) -> None:
    """Give all machines the disks of a snapshot and boot them; disks that are newer than it stay.

    A disk that has grown since grows again when its machine boots.
    The copies are made first, and only then, noted in the ledger, put in place: a killed restore is
    either not begun or ended by `finish_restores`. Raises `GridError`.
    """
    if name not in names(machines):
        raise GridError(
            f"there is no snapshot `{name}`",
            why=f"snapshots are {', '.join(names(machines))}" if names(machines) else "there are none",
            code="snapshot-missing",
        )
    with _all_held(machines):
        kept = [image for machine in machines for image in _folder(machine, name).iterdir()]
        _check_room(sum(images.allocated(image) for image in kept), machines[0].folder)
        for machine in machines:
            with _named_when_full():
                _copy_back(machine, name)
        ids = [machine.spec.id for machine in machines]
        ledger.change_fact(_FACT, lambda found: [*(found or []), ids])
        _swap(ledger, machines, ids)
        for machine in machines:
            machine.boot()


def _copy_back(machine: Machine, name: str) -> None:
    for image, _ in machine.images():
        source, target = _folder(machine, name) / image.name, _restored(image)
        if source.exists():
            images.copy(source, target)
            images.sync(target)


def _swap(ledger: Ledger, machines: Sequence[Machine], ids: list[str]) -> None:
    """Put copies in place and take the note out of the ledger; again after a crash, it goes on."""
    for machine in machines:
        machine.halt()
    for machine in machines:
        for image, _ in machine.images():
            images.wait_for_release(image)
            if _restored(image).exists():
                _restored(image).rename(image)
        images.sync(machine.folder)
    ledger.change_fact(_FACT, lambda found: [item for item in found or [] if item != ids])


def finish_restores(ledger: Ledger, machines: Mapping[str, Machine]) -> None:
    """End restores that a killed command has begun; the machines are off afterwards."""
    for ids in ledger.fact(_FACT) or []:
        left = [machines[id] for id in ids if id in machines]
        with _all_held(left):
            if ids in (ledger.fact(_FACT) or []):
                _swap(ledger, left, ids)


def disturbed(machine: Machine) -> bool:
    """Whether a command works on the machine's disks now or was killed while it did."""
    folder = machine.folder / "snapshots"
    halves = (entry for entry in (folder.iterdir() if folder.exists() else ()) if not _NAME.fullmatch(entry.name))
    return machine.frozen or any(halves) or any(_restored(image).exists() for image, _ in machine.images())


def mend(machine: Machine) -> None:
    """Undo what a killed command has left: frozen disks, halves of snapshots, copies that never came into use."""
    with machine.held():
        _mend(machine)


def _mend(machine: Machine) -> None:
    machine.thaw()
    folder = machine.folder / "snapshots"
    for entry in sorted(folder.iterdir()) if folder.exists() else []:
        older = entry.with_suffix("")
        if entry.suffix == _OLD and not older.exists():
            entry.rename(older)
        elif not _NAME.fullmatch(entry.name):
            shutil.rmtree(entry, ignore_errors=True)
    for image, _ in machine.images():
        _restored(image).unlink(missing_ok=True)


def _folder(machine: Machine, name: str) -> Path:
    return machine.folder / "snapshots" / name


def _restored(image: Path) -> Path:
    return image.with_name(image.name + _RESTORED)


def _fresh(folder: Path, make: bool = True) -> Path:
    """A folder, empty; or, without `make`, a path where none is."""
    shutil.rmtree(folder, ignore_errors=True)
    if make:
        folder.mkdir(parents=True, mode=0o700)
    return folder


@contextmanager
def _all_held(machines: Sequence[Machine]) -> Iterator[None]:
    """Hold all machines, always in the same order, and mend each."""
    with ExitStack() as stack:
        for machine in sorted(machines, key=lambda machine: machine.spec.id):
            stack.enter_context(machine.held())
            machine.thaw()
        yield


@contextmanager
def _leaving_no_partials(machines: Sequence[Machine], name: str) -> Iterator[None]:
    try:
        with _named_when_full():
            yield
    finally:
        for machine in machines:
            shutil.rmtree(_folder(machine, name + _PARTIAL), ignore_errors=True)


@contextmanager
def _named_when_full() -> Iterator[None]:
    """Name a disk of the host that fills up after all."""
    try:
        yield
    except (OSError, CommandError) as error:
        text = str(getattr(error, "why", "")) or str(error)
        full = "No space left" in text
        raise GridError(
            "the disk is full" if full else "a copy of the machine's disks could not be made",
            why=text,
            fix="free some disk space, then run the command again" if full else "tfgrid-compose doctor",
            code="disk-full" if full else "snapshot-failed",
        ) from error


def _check_room(needed: int, folder: Path) -> None:
    """Refuse what would leave the host without room: twice the copies and 1 GiB must be free."""
    if needed > _LARGEST:
        raise GridError(
            f"the machine's disks hold {needed / _GIB:.1f} GiB, too much to copy while it runs",
            why=f"the machine stands still while its disks are copied; up to {_LARGEST / _GIB:.0f} GiB that takes seconds",
            fix="the app's own backups bring its data back; rollback works without --with-data",
            code="snapshot-too-large",
        )
    free = shutil.disk_usage(folder).free
    if free < 2 * needed + _GIB:
        raise GridError(
            f"a copy of the machine's disks needs {(2 * needed + _GIB) / _GIB:.1f} GiB of free disk",
            why=f"{free / _GIB:.1f} GiB are free under {folder}, and the machine's disks hold {needed / _GIB:.1f} GiB",
            fix="free some disk space, then run the command again",
            code="snapshot-too-large",
        )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise GridError(
            f"`{name}` can't be the name of a snapshot",
            why="it has at most 64 letters, digits, `.`, `-` and `_`, a letter or digit first, no .old or .partial at its end",
            fix="choose another name",
            code="snapshot-name",
        )
