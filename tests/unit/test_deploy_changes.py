"""What is known to fail is refused in the plan, with nothing touched: sizes that no node gives, and changes of what stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.workbench import Bench
from tfgrid_compose.deploy.limits import check_sizes
from tfgrid_compose.errors import GridError, ManifestError
from tfgrid_compose.grids import limits
from tfgrid_compose.grids.models import GIB, Capacity
from tfgrid_compose.manifest.load import load_app

IPV4 = "network: {provision: [wireguard, ipv4]}\n"


def refused(bench: Bench, code: str, **given: Any) -> GridError:
    """The refusal, which `plan` and `up` give alike, before Terraform, audit or journal know of anything."""
    before = [bench.store.runs(), bench.deployment.data, bench.grid.live]
    found = []
    for write in (False, True):
        with pytest.raises(GridError) as caught, bench.context(write=write, **given):
            pass
        found.append(caught.value)
    assert found[0].to_dict() == found[1].to_dict()
    assert found[0].code == code and found[0].why and found[0].fix
    assert [bench.store.runs(), bench.deployment.data, bench.grid.live] == before
    return found[0]


# Sizes that no node gives


@pytest.mark.parametrize(
    ("sizes", "overrides", "what", "why"),
    [
        ((2, 921600, 50), {"memory": 921600}, "vm can't have 921600 MB of memory", "256 to 262144 MB of memory"),
        ((2, 255, 50), {"memory": 255}, "vm can't have 255 MB of memory", "256 to 262144"),
        ((33, 4096, 50), {"cpu": 33}, "vm can't have 33 cores", "1 to 32 cores"),
        ((64, 4096, 50), {"size": "xlarge"}, "vm can't have 64 cores", "and --size xlarge makes it as much"),
        ((2, 4096, 10241), {"disk": 10241}, "vm can't have 10241 GB of root disk", "1 to 10240"),
        ((2, 4096, 1), {"disk": 1}, "vm can't have a root disk of 1 GB", "at least 2 GB"),
        ((8, 1024, 1), {"disk": 1}, "vm can't have a root disk of 1 GB", "at least 2 GB"),
    ],
)
def test_sizes_that_no_node_gives(sizes: tuple[int, int, int], overrides: dict[str, Any], what: str, why: str) -> None:
    found = dict(zip(("cpu", "memory", "disk"), sizes, strict=True))
    with pytest.raises(ManifestError) as caught:
        check_sizes("vm", found, overrides)
    assert caught.value.code == "size-out-of-range" and caught.value.what == what and why in caught.value.why
    assert caught.value.fix


@pytest.mark.parametrize("sizes", [(1, 256, 1), (32, 262144, 10240), (2, 4095, 1), (1, 8191, 1), (8, 1023, 1), (2, 4096, 2)])
def test_sizes_at_the_edge_do(sizes: tuple[int, int, int]) -> None:
    check_sizes("vm", dict(zip(("cpu", "memory", "disk"), sizes, strict=True)), {})


def test_an_option_over_the_limit_is_refused_in_the_plan(bench: Bench) -> None:
    for given in ({"memory": 900 * 1024}, {"disk": 20_000}, {"disk": 1}):
        with pytest.raises(ManifestError) as caught:
            bench.plan(**given)
        assert caught.value.code == "size-out-of-range"
    assert bench.store.deployments() == []


def test_the_manifest_has_the_providers_own_limits(app_folder: Path) -> None:
    """The manifest's types stand in a room that knows no grid, so that they are held together here."""
    ranges = {"cpu": limits.cores(), "memory": limits.memory(), "disk": limits.root_disk()}
    assert limits.root_disk() == limits.data_disk() == (1, 10240)
    for key, (low, high) in ranges.items():
        for value, good in ((low, True), (high, True), (low - 1, False), (high + 1, False)):
            (app_folder / "tfgrid-compose.yaml").write_text(f"name: my-app\nresources: {{{key}: {value}}}\n")
            try:
                assert getattr(load_app(app_folder).manifest.resources, key).min == value
            except ManifestError:
                assert not good, (key, value)
            else:
                assert good, (key, value)


# What stands


def test_a_root_disk_never_shrinks(bench: Bench) -> None:
    bench.up(disk=8)
    error = refused(bench, "disk-shrinks", disk=4)
    assert error.what == "the root disk of vm can't shrink from 8 GB to 4 GB"
    assert not bench.reasons(disk=8)
    assert "infrastructure" in bench.reasons(disk=9)


def test_a_data_disk_never_shrinks(bench: Bench) -> None:
    bench.manifest("disks:\n  - {name: logs, size: 9, mount: /logs}\n")
    bench.up()
    bench.manifest("disks:\n  - {name: logs, size: 8, mount: /logs}\n")
    assert refused(bench, "disk-shrinks").what == "disk logs can't shrink from 9 GB to 8 GB"


def test_what_moves_or_is_gone_is_a_new_machine_and_may_be_smaller(bench: Bench) -> None:
    bench.up(disk=8)
    assert "infrastructure" in bench.reasons(disk=4, node=8)
    bench.grid.live.clear()
    assert "infrastructure" in bench.reasons(disk=4)


def test_a_public_ipv4_is_not_added_to_what_stands(bench: Bench) -> None:
    bench.up()
    bench.manifest(IPV4)
    assert refused(bench, "public-ip-added").what == "vm can't get a public IPv4"
    assert "infrastructure" in bench.reasons(node=8), "a new machine can have one"
    bench.up(node=8)
    assert not bench.reasons(node=8)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"memory": 8192}, "3.0 GiB of memory are free, and 4.0 more are needed"),
        ({"disk": 61}, "10.0 GiB of disk are free, and 11.0 more are needed"),
        ({"cpu": 5}, "it has 4 cores"),
    ],
)
def test_what_grows_needs_room_on_its_node(bench: Bench, given: dict[str, int], why: str) -> None:
    bench.up(cpu=2, memory=4096, disk=50)
    bench.grid.directory.change(7, total=Capacity(4, 8 * GIB, 99 * GIB), free=Capacity(0, 3 * GIB, 10 * GIB))
    assert refused(bench, "no-capacity", **given).why == why
    assert "infrastructure" in bench.reasons(cpu=4, memory=4096 + 3072, disk=60), "exactly what is there"
    assert "infrastructure" in bench.reasons(memory=2048), "less needs no room"


def test_data_disks_need_room_too(bench: Bench) -> None:
    bench.up()
    bench.grid.directory.change(7, free=Capacity(9, 9 * GIB, 4 * GIB))
    bench.manifest("disks:\n  - {name: logs, size: 5, mount: /logs}\n")
    assert refused(bench, "no-capacity").why == "4.0 GiB of disk are free, and 5.0 more are needed"


def test_a_node_that_is_down_changes_nothing(bench: Bench) -> None:
    bench.up(memory=4096)
    bench.grid.directory.change(7, status="down")
    assert refused(bench, "no-capacity", memory=8192).why == "it is down"
    assert not bench.reasons(memory=4096), "nobody looks where nothing grows"


def test_a_directory_that_is_silent_is_said(bench: Bench) -> None:
    bench.up(memory=4096)
    bench.grid.directory.silent = GridError("the directory is silent")
    with bench.context(memory=8192) as context:
        assert "whether there is room to grow: the directory is silent" in context.unchecked
    bench.up(memory=8192)
    assert "not checked: whether there is room to grow: the directory is silent" in bench.notices()


def test_going_back_asks_for_room_too_and_adds_no_address(bench: Bench) -> None:
    bench.manifest(IPV4)
    bench.write("src/page", "one")
    bench.up(memory=8192)
    bench.manifest("")
    bench.write("src/page", "two")
    bench.up(memory=2048)
    with bench.back(write=False) as context:
        assert "the machine stays without a public IPv4: none can be added to one that stands" in context.limits
        assert "ipv4" not in context.networks.provision
    bench.grid.directory.change(7, free=Capacity(9, 5 * GIB, 99 * GIB))
    with pytest.raises(GridError) as caught, bench.back():
        pass
    assert caught.value.code == "no-capacity"
