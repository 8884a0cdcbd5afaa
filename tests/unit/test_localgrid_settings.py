"""What the local grid changes in the host's kernel, and gives back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tfgrid_compose.drivers import host, limits
from tfgrid_compose.errors import GridError
from tfgrid_compose.localgrid import hostsettings, kernel
from tfgrid_compose.localgrid.instance import Instance
from tfgrid_compose.localgrid.machine import Machine, MachineSpec

INOTIFY, FORWARD, KEYS = "fs/inotify/max_user_instances", "net/ipv4/ip_forward", "kernel/keys/maxkeys"


class Kernel:
    """A /proc and a set of namespaces of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.namespaces = folder, {"tg0-grid"}
        for path, value in ((INOTIFY, "128"), (FORWARD, "0"), (KEYS, "5000"), ("kernel/random/boot_id", "first")):
            self.write(path, value)

    def read(self, path: str) -> str:
        return (self.folder / "sys" / path).read_text().strip()

    def write(self, path: str, value: str) -> None:
        file = self.folder / "sys" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value + "\n")


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    found = Kernel(tmp_path / "proc")
    monkeypatch.setattr(limits, "PROC", found.folder)
    monkeypatch.setattr(kernel, "read_sysctl", lambda path: found.read(path) if (found.folder / "sys" / path).exists() else "")
    monkeypatch.setattr(kernel, "write_sysctl", found.write)
    monkeypatch.setattr(kernel, "namespaces", lambda prefix: {name for name in found.namespaces if name.startswith(prefix)})
    return found


@pytest.fixture
def grids(tmp_path: Path) -> tuple[Instance, Instance]:
    """Both grids of a host."""
    root = tmp_path / "grids"
    return Instance(0, root / "localgrid-0", root / "cache"), Instance(1, root / "localgrid-1", root / "cache")


def test_what_is_too_low_is_raised_and_said_and_given_back(proc: Kernel, grids: tuple[Instance, Instance]) -> None:
    said: list[str] = []
    hostsettings.apply(grids[0], said.append)
    assert (proc.read(INOTIFY), proc.read(FORWARD), proc.read(KEYS)) == ("8192", "1", "5000"), "what is enough stays"
    assert said == ["fs.inotify.max_user_instances is 8192 instead of 128 until `localgrid down`: all machines share it"]
    hostsettings.apply(grids[0], said.append)
    assert len(said) == 1, "what is so already is not said again"
    proc.namespaces.clear()
    hostsettings.restore(grids[0])
    assert (proc.read(INOTIFY), proc.read(FORWARD), proc.read(KEYS)) == ("128", "0", "5000")
    assert [path.name for path in grids[0].home.parent.iterdir()] == [], "no note is left"


def test_the_last_of_two_grids_gives_back_what_was_before_the_first(proc: Kernel, grids: tuple[Instance, Instance]) -> None:
    hostsettings.apply(grids[0])
    proc.namespaces.add("tg1-grid")
    hostsettings.apply(grids[1])
    proc.namespaces.remove("tg0-grid")
    hostsettings.restore(grids[0])
    assert (proc.read(INOTIFY), proc.read(FORWARD)) == ("8192", "1"), "the other grid needs them"
    proc.namespaces.remove("tg1-grid")
    hostsettings.restore(grids[1])
    assert (proc.read(INOTIFY), proc.read(FORWARD)) == ("128", "0")


def test_what_somebody_changed_meanwhile_is_theirs(proc: Kernel, grids: tuple[Instance, Instance]) -> None:
    hostsettings.apply(grids[0])
    proc.write(INOTIFY, "65536")
    hostsettings.apply(grids[0])
    proc.namespaces.clear()
    hostsettings.restore(grids[0])
    assert (proc.read(INOTIFY), proc.read(FORWARD)) == ("65536", "0")


def test_a_reboot_has_given_everything_back(proc: Kernel, grids: tuple[Instance, Instance]) -> None:
    hostsettings.apply(grids[0])
    for path, value in ((INOTIFY, "512"), (FORWARD, "1"), ("kernel/random/boot_id", "second")):
        proc.write(path, value)
    hostsettings.apply(grids[0])
    assert proc.read(INOTIFY) == "8192"
    proc.namespaces.clear()
    hostsettings.restore(grids[0])
    assert (proc.read(INOTIFY), proc.read(FORWARD)) == ("512", "1"), "as the new boot had them"


def test_a_kill_between_note_and_change_is_harmless(
    proc: Kernel, grids: tuple[Instance, Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: str, value: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(kernel, "write_sysctl", killed)
        with pytest.raises(KeyboardInterrupt):
            hostsettings.apply(grids[0])
    hostsettings.apply(grids[0])
    proc.namespaces.clear()
    hostsettings.restore(grids[0])
    assert (proc.read(INOTIFY), proc.read(FORWARD)) == ("128", "0")


def test_the_note_of_an_older_version_and_one_that_is_damaged(proc: Kernel, grids: tuple[Instance, Instance]) -> None:
    folder = grids[0].home.parent
    folder.mkdir(parents=True)
    (folder / "ip_forward").write_text("0\n")
    (folder / "settings.json").write_text('{"boot": "fir')
    proc.write(FORWARD, "1")
    hostsettings.apply(grids[0])
    assert json.loads((folder / "settings.json").read_text())["settings"][FORWARD] == ["0", "1"]
    proc.namespaces.clear()
    hostsettings.restore(grids[0])
    assert (proc.read(FORWARD), [*folder.iterdir()]) == ("0", [])


def test_a_limit_that_can_not_be_raised_is_said_and_noted_nowhere(
    proc: Kernel, grids: tuple[Instance, Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: str, value: str) -> None:
        if path == INOTIFY:
            raise PermissionError(13, "Permission denied")
        proc.write(path, value)

    monkeypatch.setattr(kernel, "write_sysctl", write)
    said: list[str] = []
    hostsettings.apply(grids[0], said.append)
    assert said == ["fs.inotify.max_user_instances is 128 and can't be raised to 8192 here: many machines may exhaust it"]
    assert INOTIFY not in (grids[0].home.parent / "settings.json").read_text()


def use_inotify(proc: Kernel, pid: int, instances: int) -> None:
    descriptors = proc.folder / str(pid) / "fd"
    descriptors.mkdir(parents=True)
    for number in range(instances):
        (descriptors / str(number)).symlink_to("anon_inode:inotify")
    (descriptors / "other").symlink_to("/dev/null")


def test_a_machine_that_would_come_up_without_services_is_not_started(
    proc: Kernel, grids: tuple[Instance, Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_owner", lambda process: 0)
    found = Machine(grids[0], MachineSpec("1-0", "vm", 1, 256, 1024, "/base", ()))
    use_inotify(proc, 1, 100)
    found._refuse_without_inotify()
    use_inotify(proc, 2, 28)
    with pytest.raises(GridError, match="machine vm can't start") as caught:
        found._refuse_without_inotify()
    assert caught.value.why == "all 128 inotify instances are in use (fs.inotify.max_user_instances)"
    proc.write(INOTIFY, "8192")
    found._refuse_without_inotify()


@pytest.mark.parametrize(("used", "needed"), [(20, False), (121, True)])
def test_doctor_names_limits_that_are_low_and_fails_for_one_that_is_used_up(
    proc: Kernel, monkeypatch: pytest.MonkeyPatch, used: int, needed: bool
) -> None:
    monkeypatch.setattr(limits, "_owner", lambda process: 0)
    use_inotify(proc, 1, used)
    [check] = host._limits()
    assert (check.name, check.ok, check.needed) == ("fs.inotify.max_user_instances", False, needed)
    assert check.found == f"128, {used} in use" and "sysctl -w fs.inotify.max_user_instances=8192" in check.advice
    proc.write(INOTIFY, "8192")
    [check] = host._limits()
    assert (check.name, check.ok) == ("kernel limits", True)


def test_loop_devices_are_counted_where_the_kernel_makes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_DEV", tmp_path)
    assert not host._loops().ok and host._loops().needed
    (tmp_path / "loop-control").touch()
    assert (host._loops().ok, host._loops().found) == (True, "as many as needed")


def test_a_real_kernel_is_read() -> None:
    assert limits.INOTIFY.value() is not None
    assert limits.inotify_used() >= 0
