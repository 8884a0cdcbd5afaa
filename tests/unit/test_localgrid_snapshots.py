"""Snapshots by their files: whole or not at all, and what a killed command has left is put right."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tfgrid_compose.drivers.process import CommandError, Finished
from tfgrid_compose.errors import GridError
from tfgrid_compose.localgrid import images, snapshots
from tfgrid_compose.localgrid.instance import Instance
from tfgrid_compose.localgrid.ledger import Ledger
from tfgrid_compose.localgrid.machine import Disk, Machine, MachineSpec


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as found:
        yield found


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done to machines, which are files only here."""
    found: list[str] = []

    def copy(source: Path, target: Path) -> None:
        found.append(f"copy {source.name}")
        shutil.copy(source, target)

    monkeypatch.setattr(images, "copy", copy)
    monkeypatch.setattr(images, "wait_for_release", lambda image: None)
    for name in ("boot", "halt", "freeze", "thaw"):
        monkeypatch.setattr(Machine, name, lambda self, name=name: found.append(f"{name} {self.spec.id}"))
    return found


def make(place: Path, id: str, text: str = "one") -> Machine:
    machine = Machine(Instance(1, place, place), MachineSpec(id, id, 1, 256, 512, "/base", (), (Disk("data", 1, "/data"),)))
    machine.folder.mkdir(parents=True)
    for image, _ in machine.images():
        image.write_text(f"{id} {text}")
    return machine


@pytest.fixture
def machines(tmp_path: Path, calls: list[str]) -> list[Machine]:
    return [make(tmp_path, "1002-1"), make(tmp_path, "1002-0")]


def contents(machines: list[Machine]) -> set[str]:
    return {image.read_text().split()[1] for machine in machines for image, _ in machine.images()}


def rewrite(machines: list[Machine], text: str) -> None:
    for machine in machines:
        for image, _ in machine.images():
            image.write_text(f"{machine.spec.id} {text}")


def test_all_machines_are_frozen_while_their_disks_are_copied(machines: list[Machine], calls: list[str]) -> None:
    assert snapshots.take(machines, "a") > 0
    frozen = calls.index("freeze 1002-0"), calls.index("freeze 1002-1")
    copied = [index for index, call in enumerate(calls) if call.startswith("copy")]
    assert len(copied) == 4 and max(frozen) < min(copied)
    assert {"thaw 1002-0", "thaw 1002-1"} <= set(calls[max(copied) :])


def test_what_was_kept_comes_back_whole(machines: list[Machine], ledger: Ledger, calls: list[str]) -> None:
    snapshots.take(machines, "a")
    rewrite(machines, "two")
    snapshots.take(machines, "b")
    rewrite(machines, "three")
    snapshots.restore(ledger, machines, "a")
    assert contents(machines) == {"one"}
    assert calls[-2:] == ["boot 1002-1", "boot 1002-0"]
    snapshots.restore(ledger, machines, "b")
    assert contents(machines) == {"two"}
    assert (snapshots.names(machines), ledger.fact("restores")) == (["a", "b"], [])


def test_a_copy_that_fails_leaves_nothing_and_thaws(
    machines: list[Machine], calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Path, target: Path) -> None:
        target.write_text("half")
        raise CommandError(Finished(("cp",), 1, "", "cp: error writing 'x': No space left on device"))

    snapshots.take(machines, "a")
    monkeypatch.setattr(images, "copy", fail)
    with pytest.raises(GridError) as caught:
        snapshots.take(machines, "a")
    assert (caught.value.code, caught.value.what) == ("disk-full", "the disk is full")
    assert calls[-1].startswith("thaw")
    assert snapshots.names(machines) == ["a"], "the older one of that name is still there"
    assert not any(snapshots.disturbed(machine) for machine in machines if not machine.frozen)
    monkeypatch.setattr(images, "copy", lambda *_: os.open("/no/such/file", os.O_RDONLY))
    with pytest.raises(GridError) as other:
        snapshots.take(machines, "b")
    assert other.value.code == "snapshot-failed"


def test_only_what_all_machines_have_is_a_snapshot(tmp_path: Path, machines: list[Machine], ledger: Ledger) -> None:
    snapshots.take(machines, "a")
    later = [*machines, make(tmp_path, "1002-2")]
    assert (snapshots.names(later), snapshots.names([])) == ([], [])
    with pytest.raises(GridError, match="there is no snapshot `a`") as caught:
        snapshots.restore(ledger, later, "a")
    assert caught.value.why == "there are none"
    with pytest.raises(GridError, match="no machine to take"):
        snapshots.take([], "a")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x.partial", "x.old", "a" * 65, "a\n"])
def test_names_that_are_no_folder_of_ours_are_refused(machines: list[Machine], name: str) -> None:
    for job in (snapshots.take, snapshots.forget):
        with pytest.raises(GridError) as caught:
            job(machines, name)
        assert caught.value.code == "snapshot-name"


def test_a_release_number_is_a_name(machines: list[Machine]) -> None:
    snapshots.take(machines, "1.2.3-rc_1")
    assert snapshots.names(machines) == ["1.2.3-rc_1"]


def test_room_for_twice_the_copies_and_a_gib_must_be_free(machines: list[Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    needed, gib = sum(images.allocated(image) for machine in machines for image, _ in machine.images()), 1024**3
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, gib + 2 * needed - 1))
    with pytest.raises(GridError) as caught:
        snapshots.take(machines, "a")
    assert caught.value.code == "snapshot-too-large"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, gib + 2 * needed))
    snapshots.take(machines, "a")


def test_leftovers_of_a_killed_command_are_put_right(machines: list[Machine]) -> None:
    snapshots.take(machines, "a")
    machine = machines[0]
    folder = machine.folder / "snapshots"
    assert not snapshots.disturbed(machine)
    shutil.copytree(folder / "a", folder / "b.partial")
    (folder / "a").rename(folder / "a.old")
    (machine.folder / "root.img.restored").touch()
    assert snapshots.disturbed(machine)
    snapshots.mend(machine)
    assert os.listdir(folder) == ["a"], "the older one is the only one, so it stays"
    assert not (machine.folder / "root.img.restored").exists()
    shutil.copytree(folder / "a", folder / "a.old")
    snapshots.mend(machine)
    assert os.listdir(folder) == ["a"]


def test_a_restore_that_was_noted_is_ended_and_one_whose_machines_are_gone_is_forgotten(
    machines: list[Machine], ledger: Ledger
) -> None:
    (machines[0].folder / "root.img.restored").write_text("x new")
    ledger.set_fact("restores", [["1002-1", "1002-0"], ["gone"]])
    snapshots.finish_restores(ledger, {machine.spec.id: machine for machine in machines})
    assert (machines[0].folder / "root.img").read_text() == "x new"
    assert contents(machines[1:]) == {"one"}
    assert ledger.fact("restores") == []


def test_a_lock_goes_with_its_machine(tmp_path: Path, machines: list[Machine]) -> None:
    with machines[0].held():
        assert os.listdir(tmp_path / "locks") == ["1002-1"]
    assert os.listdir(tmp_path / "locks") == ["1002-1"]
    with machines[0].held():
        shutil.rmtree(machines[0].folder)
    assert os.listdir(tmp_path / "locks") == []
