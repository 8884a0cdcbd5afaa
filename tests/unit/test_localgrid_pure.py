"""What the local grid works out before it touches the host: names, recipes, configurations, rules."""

from __future__ import annotations

import ipaddress
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrid_compose.drivers.process import CommandError, Finished, run
from tfgrid_compose.errors import EnvironmentError_, UsageError
from tfgrid_compose.localgrid import deployments, engine, fabric, images, instance, kernel, machine, rootfs, router
from tfgrid_compose.localgrid.instance import Instance
from tfgrid_compose.localgrid.machine import Disk, Link, Machine, MachineSpec

LINK = Link("eth0", "tg1-n1", "b1", ("10.1.3.2/24",), (("default", "via", "10.1.3.1"),), (("a/128",),), ("fe80::1/64",))
SPEC = MachineSpec(
    "1002-0", "my_vm", 2, 1024, 4096, "/base", ("key one",), (Disk("data", 5, "/srv/data"), Disk("spare", 1, "")), (LINK,)
)


@pytest.fixture
def place(tmp_path: Path) -> Instance:
    """Instance 1 in a temporary folder."""
    return Instance(1, tmp_path / "grid", tmp_path / "cache")


# Instance


def test_two_grids_share_no_name_and_no_range(tmp_path: Path) -> None:
    one, two = (Instance(number, tmp_path, tmp_path) for number in (0, 1))
    for name in ("prefix", "grid_ns", "uplink", "uplink4", "uplink6", "public4", "public6", "nft_table"):
        assert getattr(one, name) != getattr(two, name)
    assert not ipaddress.ip_network(one.public4).overlaps(ipaddress.ip_network(two.public4))
    for grid in (one, two):
        assert ipaddress.ip_address(grid.public4_host(126)) in ipaddress.ip_network(grid.public4)
        assert len(grid.uplink) <= 15


def test_the_grid_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TFGRID_LOCALGRID", raising=False)
    monkeypatch.delenv("TFGRID_LOCALGRID_ROOT", raising=False)
    assert instance.current() == Instance(0, Path("/var/lib/tfgrid-compose/localgrid-0"), Path("/var/lib/tfgrid-compose/cache"))
    monkeypatch.setenv("TFGRID_LOCALGRID", "1")
    monkeypatch.setenv("TFGRID_LOCALGRID_ROOT", "/elsewhere")
    assert instance.current() == Instance(1, Path("/elsewhere/localgrid-1"), Path("/elsewhere/cache"))
    assert instance.current().ledger == Path("/elsewhere/localgrid-1/ledger.db")


@pytest.mark.parametrize("value", ["2", "", "-1", "x"])
def test_there_are_only_two_grids(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("TFGRID_LOCALGRID", value)
    with pytest.raises(UsageError) as caught:
        instance.current()
    assert caught.value.fix == "unset TFGRID_LOCALGRID"


# The root filesystem's recipe

TARGETS = """Packages|http://mirror.example/debian|bookworm|main|http://mirror.example/debian/
Packages|http://mirror.example/debian|bookworm|contrib|http://mirror.example/debian/
Packages|http://mirror.example/debian|bookworm|main|http://mirror.example/debian/
Translations|http://mirror.example/debian|bookworm|main|http://mirror.example/debian/
Packages|http://mirror.example/debian|bookworm-updates|main|http://mirror.example/debian/
Packages|http://security.debian.org|bookworm-security|main|http://security.debian.org/debian-security/
Packages|https://download.docker.com|trixie|stable|https://download.docker.com/linux/debian/
Packages|broken

"""


def test_the_hosts_own_sources_of_its_release_are_used_once_each() -> None:
    assert [source.line for source in rootfs.parse_index_targets(TARGETS, "bookworm")] == [
        "deb http://mirror.example/debian bookworm main contrib",
        "deb http://mirror.example/debian bookworm-updates main",
        "deb http://security.debian.org/debian-security bookworm-security main",
    ]
    assert rootfs.parse_index_targets(TARGETS, "noble") == ()


def test_only_settings_that_lead_to_the_mirror_are_taken_over() -> None:
    dump = (
        'APT "";\nAcquire::http::Proxy "http://proxy:3128";\nAcquire::http::Proxy::host "DIRECT";\nAcquire::https::Proxy "";\n'
        'Acquire::Check-Valid-Until "false";\nAcquire::Retries "3";\n'
    )
    assert rootfs.apt_options(dump) == (
        'Acquire::http::Proxy "http://proxy:3128";',
        'Acquire::http::Proxy::host "DIRECT";',
        'Acquire::Check-Valid-Until "false";',
    )


def test_os_release_is_read_without_quotes(tmp_path: Path) -> None:
    file = tmp_path / "os-release"
    file.write_text('# comment=1\nID=debian\nPRETTY_NAME="Debian 12 = good"\n\nnonsense\n')
    assert rootfs.os_release(file) == {"ID": "debian", "PRETTY_NAME": "Debian 12 = good"}
    assert rootfs.os_release(tmp_path / "missing") == {}


def fake_host(monkeypatch: pytest.MonkeyPatch, release: dict[str, str], targets: str) -> None:
    monkeypatch.setattr(rootfs, "os_release", lambda: release)
    monkeypatch.setattr(rootfs, "run", lambda argv, **_: Finished(tuple(argv), 0, targets if argv[0] == "apt-get" else "", ""))


def test_the_recipe_names_the_cache_and_changes_with_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_host(monkeypatch, {"ID": "debian", "VERSION_CODENAME": "bookworm"}, TARGETS)
    first = rootfs.host_recipe()
    assert len(first.digest) == 12
    assert rootfs.host_recipe().digest == first.digest
    fake_host(monkeypatch, {"ID": "debian", "VERSION_CODENAME": "bookworm"}, TARGETS.replace("mirror.example", "mirror"))
    assert rootfs.host_recipe().digest != first.digest


@pytest.mark.parametrize(
    ("release", "targets", "code"),
    [
        ({"ID": "fedora", "PRETTY_NAME": "Fedora 40"}, TARGETS, "host-unsupported"),
        ({}, TARGETS, "host-unsupported"),
        ({"ID": "debian"}, TARGETS, "host-unsupported"),
        ({"ID": "ubuntu", "VERSION_CODENAME": "noble"}, TARGETS, "apt-sources-missing"),
    ],
)
def test_a_host_that_can_not_build_machines_is_told_why(
    monkeypatch: pytest.MonkeyPatch, release: dict[str, str], targets: str, code: str
) -> None:
    fake_host(monkeypatch, release, targets)
    with pytest.raises(EnvironmentError_) as caught:
        rootfs.host_recipe()
    assert caught.value.code == code
    assert caught.value.fix


def host_without_lists(monkeypatch: pytest.MonkeyPatch, fetched: str | None) -> list[str]:
    """A host whose package lists are empty until `apt-get update`, which fails when `fetched` is None."""
    known: list[str] = []
    said: list[str] = []

    def apt(argv: list[str], **_: object) -> Finished:
        if argv[1] == "update":
            if fetched is None:
                raise CommandError(Finished(tuple(argv), 100, "", "E: Could not resolve 'mirror.example'"))
            known.append(fetched)
        return Finished(tuple(argv), 0, "".join(known) if argv[1] == "indextargets" else "", "")

    monkeypatch.setattr(rootfs, "os_release", lambda: {"ID": "debian", "VERSION_CODENAME": "bookworm"})
    monkeypatch.setattr(rootfs, "run", apt)
    return said


def test_empty_package_lists_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    said = host_without_lists(monkeypatch, TARGETS)
    assert rootfs.host_recipe(said.append).sources == rootfs.parse_index_targets(TARGETS, "bookworm")
    assert said == ["fetching the package lists of this computer (once)"]
    rootfs.host_recipe(said.append)
    assert len(said) == 1


@pytest.mark.parametrize(("fetched", "code"), [(None, "apt-lists-missing"), ("", "apt-sources-missing")])
def test_lists_that_can_not_be_fetched_are_not_taken_for_missing_sources(
    monkeypatch: pytest.MonkeyPatch, fetched: str | None, code: str
) -> None:
    host_without_lists(monkeypatch, fetched)
    with pytest.raises(EnvironmentError_) as caught:
        rootfs.host_recipe()
    assert caught.value.code == code
    assert fetched is not None or "mirror.example" in caught.value.why


def recipe() -> rootfs.Recipe:
    return rootfs.Recipe(
        1, "debian", "bookworm", rootfs.parse_index_targets(TARGETS, "bookworm"), ("systemd", "curl"), ('A "b";',)
    )


def test_mmdebstrap_gets_packages_settings_and_sources() -> None:
    argv = rootfs._mmdebstrap_argv(recipe(), Path("/t"))
    assert argv[:7] == ["setpriv", "--pdeathsig", "TERM", "mmdebstrap", "--variant=apt", "--mode=root", "--include=systemd,curl"]
    assert '--aptopt=A "b";' in argv
    assert argv[argv.index("bookworm") + 1 :] == ["/t", *(source.line for source in recipe().sources)]


def test_a_cached_image_is_used_and_a_new_one_appears_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    built: list[str] = []
    said: list[str] = []

    def build(argv: list[str], **_: object) -> Finished:
        root = Path(argv[argv.index("bookworm") + 1])
        built.append(root.name)
        for folder in ("etc/ssh/sshd_config.d", "etc/apt", "etc/systemd/system", "root", "var/lib/dbus", "usr/sbin"):
            (root / folder).mkdir(parents=True)
        for file in ("etc/ssh/ssh_host_rsa_key", "etc/resolv.conf", "usr/sbin/policy-rc.d", "var/lib/dbus/machine-id"):
            (root / file).write_text("left")
        return Finished(tuple(argv), 0, "", "")

    monkeypatch.setattr(rootfs, "host_recipe", lambda progress: recipe())
    monkeypatch.setattr(rootfs, "_check_room", lambda cache: None)
    monkeypatch.setattr(rootfs, "run", build)
    (tmp_path / "rootfs-old.partial").mkdir()
    root = rootfs.ensure(tmp_path, said.append)
    assert root.name == f"rootfs-debian-bookworm-{recipe().digest}"
    assert built == [f"{root.name}.partial"]
    assert list(tmp_path.iterdir()) == [root], "nothing half-made is left"
    assert not (root / "etc/ssh/ssh_host_rsa_key").exists(), "machines must not share a host key"
    assert not (root / "usr/sbin/policy-rc.d").exists()
    assert (root / "etc/machine-id").read_text() == ""
    assert os.readlink(root / "etc/systemd/system/systemd-udevd.service") == "/dev/null"
    assert "deb http://mirror.example/debian bookworm main contrib" in (root / "etc/apt/sources.list").read_text()
    assert rootfs.ensure(tmp_path, said.append) == root
    assert len(built) == len(said) == 1


def test_two_grids_that_need_the_same_image_build_it_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    built: list[Path] = []

    def build(recipe: rootfs.Recipe, target: Path, progress: object, lock: int) -> None:
        assert run(["flock", "--nonblock", str(tmp_path), "true"], check=False).code == 1
        built.append(target)
        (target / "etc").mkdir(parents=True)
        (target / "etc/tfgrid-rootfs").touch()

    monkeypatch.setattr(rootfs, "host_recipe", lambda progress: recipe())
    monkeypatch.setattr(rootfs, "_build", build)
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = {future.result() for future in [pool.submit(rootfs.ensure, tmp_path, print) for _ in range(8)]}
    assert [*found] == built, "one built it, the others waited for it"


def test_what_a_killed_build_has_left_mounted_is_not_emptied_with_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    partial = tmp_path / "rootfs-x.partial"
    (partial / "sys").mkdir(parents=True)
    mounted, busy = [partial / "sys"], [True]

    def unmount(target: Path) -> None:
        if not busy[0]:
            mounted.remove(target)

    monkeypatch.setattr(rootfs.images, "mounts_below", lambda folder: [*mounted])
    monkeypatch.setattr(rootfs.images, "unmount", unmount)
    rootfs._drop(partial)
    assert partial.exists(), "what is mounted there is the host's"
    busy[0] = False
    rootfs._drop(partial)
    assert not partial.exists()


def test_a_failed_build_leaves_nothing_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def build(argv: list[str], **_: object) -> Finished:
        Path(argv[argv.index("bookworm") + 1]).mkdir()
        raise CommandError(Finished(("mmdebstrap",), 100, "", "E: mirror is gone"))

    monkeypatch.setattr(rootfs, "host_recipe", lambda progress: recipe())
    monkeypatch.setattr(rootfs, "_check_room", lambda cache: None)
    monkeypatch.setattr(rootfs, "run", build)
    with pytest.raises(EnvironmentError_) as caught:
        rootfs.ensure(tmp_path, lambda text: None)
    assert (caught.value.code, caught.value.why) == ("rootfs-failed", "E: mirror is gone")
    assert list(tmp_path.iterdir()) == []


def test_too_little_room_is_told_before_building(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentError_) as caught:
        rootfs._check_room(tmp_path / "not" / "there", needed=1 << 60)
    assert caught.value.code == "disk-full"
    rootfs._check_room(tmp_path, needed=1)


def test_the_stamp_is_repeatable() -> None:
    assert rootfs.stamp() == rootfs.stamp()


# Machines


def test_a_spec_survives_json() -> None:
    import json

    assert MachineSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC


def test_the_machines_configuration_carries_limits_name_and_mounts(place: Instance) -> None:
    found = Machine(place, SPEC)
    lines = found._config().splitlines()
    assert "lxc.uts.name = my-vm" in lines, "an underscore is no letter of a host name"
    assert f"lxc.rootfs.path = dir:{place.home}/machines/1002-0/rootfs" in lines
    assert "lxc.namespace.share.net = /run/netns/tg1-m1002-0" in lines
    assert "lxc.cgroup.memory.limit_in_bytes = 1073741824" in lines
    assert "lxc.cgroup2.memory.max = 1073741824" in lines
    assert "lxc.cgroup.cpu.cfs_quota_us = 200000" in lines
    assert "lxc.cgroup2.cpu.max = 200000 100000" in lines
    mounts = [line for line in lines if "/disks/" in line]
    assert mounts == [f"lxc.mount.entry = {found.folder}/disks/data srv/data none bind,create=dir 0 0"], "spare is not mounted"


def test_a_machine_that_was_never_made_is_absent(place: Instance) -> None:
    assert Machine(place, SPEC).state() == "absent"


@given(st.text(min_size=1), st.integers(0, 9))
def test_macs_are_local_unicast_and_stable(name: str, index: int) -> None:
    found = machine.mac_address(name, index)
    assert found == machine.mac_address(name, index)
    first = int(found.split(":")[0], 16)
    assert (first & 1, first & 2) == (0, 2)
    assert len(found) == 17


def test_the_address_a_card_gives_itself_is_the_rfcs_example() -> None:
    # RFC 4291, appendix A: 34-56-78-9A-BC-DE becomes 36-56-78-FF-FE-9A-BC-DE.
    assert deployments._slaac("2001:db8", "34:56:78:9a:bc:de") == "2001:db8::3656:78ff:fe9a:bcde"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/run/systemd/resolve/resolv.conf": "nameserver 9.9.9.9\nsearch x\n", "/etc/resolv.conf": "nameserver 127.0.0.53\n"},
         "nameserver 9.9.9.9\n"),
        ({"/etc/resolv.conf": "nameserver 127.0.0.53\nnameserver ::1\nnameserver 10.0.0.1\n"}, "nameserver 10.0.0.1\n"),
        ({"/etc/resolv.conf": "nameserver 127.0.0.1\n"}, "nameserver 1.1.1.1\nnameserver 8.8.8.8\n"),
        ({}, "nameserver 1.1.1.1\nnameserver 8.8.8.8\n"),
    ],
)  # fmt: skip
def test_machines_get_a_resolver_that_they_can_reach(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    for name, text in files.items():
        (tmp_path / name.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name.lstrip("/")).write_text(text)
    monkeypatch.setattr(machine, "Path", lambda name: tmp_path / str(name).lstrip("/"))
    assert machine.host_resolver() == expected


def superblock(blocks: int, log_size: int = 2) -> bytes:
    """The parts of an ext4 superblock that say how large the file system is."""
    found = bytearray(1024)
    found[4:8], found[24:28], found[56:58] = (blocks & 0xFFFFFFFF).to_bytes(4, "little"), bytes([log_size, 0, 0, 0]), b"\x53\xef"
    found[0x150:0x154] = (blocks >> 32).to_bytes(4, "little")
    return bytes(found)


@given(st.integers(1, 1 << 40), st.sampled_from([0, 1, 2]))
def test_the_size_of_a_file_system_is_read_from_its_superblock(blocks: int, log_size: int) -> None:
    assert images.filesystem_size(superblock(blocks, log_size)) == blocks * (1024 << log_size)
    assert images.filesystem_size(bytes(1024)) == 0


def test_an_image_grows_and_never_shrinks(tmp_path: Path) -> None:
    mib, image = 1024 * 1024, tmp_path / "root.img"
    assert images.extend(image, 400) is False, "one that does not exist is made elsewhere"
    with image.open("wb") as file:
        file.write(bytes(1024) + superblock(100 * mib // 4096))
        file.truncate(100 * mib)
    assert images.extend(image, 400) is True
    assert image.stat().st_size == 400 * mib
    assert images.extend(image, 400) is True, "a command that was killed has not made the file system grow"
    with image.open("r+b") as file:
        file.write(bytes(1024) + superblock(398 * mib // 4096))
    assert images.extend(image, 400) is False, "mkfs may leave a little at the end out"
    assert images.extend(image, 200) is False
    assert image.stat().st_size == 400 * mib


def test_mounts_are_taken_away_in_the_opposite_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = "\n".join(f"x {path} ext4 rw 0 0" for path in ("/a/m/store", "/a/m/root\\040fs", "/a/other/store", "/a/m"))
    (tmp_path / "mounts").write_text(lines)
    monkeypatch.setattr(images, "Path", lambda name: tmp_path / "mounts" if name == "/proc/self/mounts" else Path(name))
    assert images.mounts_below(Path("/a/m")) == [Path("/a/m/root fs"), Path("/a/m/store")]


def test_only_sizes_may_change_without_a_restart() -> None:
    from dataclasses import replace

    same = replace(SPEC, cpu=8, memory=1, rootfs=9, disks=(Disk("data", 50, "/srv/data"), SPEC.disks[1]))
    assert deployments._only_size_differs(SPEC, same)
    for changed in (replace(SPEC, keys=()), replace(SPEC, links=()), replace(SPEC, disks=(Disk("data", 5, "/other"),))):
        assert not deployments._only_size_differs(SPEC, changed)


# Network names and rules


@given(st.integers(1, 59999))
def test_every_private_network_has_an_address_of_its_own_between_routers(number: int) -> None:
    address = ipaddress.ip_address(fabric.router_address(number))
    assert address in ipaddress.ip_network(fabric.ROUTERS)
    assert str(address) not in (fabric.ROUTERS_GATEWAY, "198.18.0.0")
    assert fabric.router_address(number + 1) != str(address)


def test_names_of_a_networks_parts_fit_the_kernel(place: Instance) -> None:
    network = {"number": 59999}
    assert router.namespace(place, network) == "tg1-n59999"
    assert router._interface(place, network) == "tg1w59999"
    assert len(router._interface(place, network)) <= 15
    assert router.bridge(6) == "b6"


def test_the_hosts_rules_hide_the_grid_behind_the_host_and_name_only_its_table(place: Instance) -> None:
    text = fabric._host_rules(place)
    assert f'ip saddr {{ {place.uplink4[0]}/30, {place.public4} }} oifname != "tg1up" masquerade' in text
    assert "table ip tfgrid_compose_1 {" in text
    assert "flush ruleset" not in text


def answer(monkeypatch: pytest.MonkeyPatch, code: int, stderr: str) -> None:
    monkeypatch.setattr(kernel, "run", lambda argv, **_: Finished(tuple(argv), code, "", stderr))


@pytest.mark.parametrize("words", ["RTNETLINK answers: File exists", "Error: ipv4: Address already assigned."])
def test_what_exists_already_may_be_added(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    answer(monkeypatch, 2, words)
    kernel.ip_ensure("addr", "add", "x")
    with pytest.raises(CommandError):
        kernel.ip_remove("addr", "del", "x")


@pytest.mark.parametrize(
    "words", ['Cannot find device "x"', "RTNETLINK answers: No such process", "Cannot remove: No such file or directory"]
)
def test_what_is_gone_already_may_be_removed(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    answer(monkeypatch, 1, words)
    kernel.ip_remove("link", "del", "x")
    with pytest.raises(CommandError):
        kernel.ip_ensure("link", "add", "x")


def test_links_are_named_without_their_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "1: lo: <UP> mtu 1\n2: eth0@if7: <UP> mtu 2\n3: wg-a: <POINTOPOINT>\n"
    monkeypatch.setattr(kernel, "run", lambda argv, **_: Finished(tuple(argv), 0, text, ""))
    assert kernel.links() == {"lo", "eth0", "wg-a"}


def test_a_setting_that_does_not_exist_is_empty() -> None:
    assert kernel.read_sysctl("net/no/such/thing") == ""
    assert kernel.read_sysctl("kernel/ostype") == "Linux"


# The engine's own


def test_all_jobs_end_before_the_first_failure_is_raised() -> None:
    done: list[int] = []

    def fail() -> None:
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        engine.in_parallel([fail, lambda: done.append(1), lambda: done.append(2)])
    assert sorted(done) == [1, 2]
    engine.in_parallel([])


def test_the_local_grid_needs_root_and_its_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EnvironmentError_) as caught:
        engine.Engine(Instance(1, tmp_path, tmp_path))
    assert caught.value.code == "root-needed"
    monkeypatch.setattr(engine.shutil, "which", lambda name, path: None if name == "nft" else name)
    with pytest.raises(EnvironmentError_, match="lacks `nft`$"):
        engine.require_programs()
    monkeypatch.setattr(engine.shutil, "which", lambda name, path: name)
    engine.require_programs()
