"""Going back: to which release, with what of it, what can't be restored, and what happens by itself after a failure."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workbench import STEPS, Bench
from tfgrid_compose.deploy import rollback
from tfgrid_compose.deploy.plan import make_plan
from tfgrid_compose.deploy.resolve import RoleSizes
from tfgrid_compose.deploy.rollback import choose
from tfgrid_compose.errors import (
    BusyError,
    EnvironmentError_,
    GridError,
    HookError,
    InfrastructureError,
    InterruptedError_,
    NotFoundError,
    PlatformError,
    ReachError,
    StateError,
    TfgridError,
    TunnelError,
)
from tfgrid_compose.manifest.model import DataDisk
from tfgrid_compose.state import paths
from tfgrid_compose.state.store import Deployment, Release

STAYS = "data that the app wrote stays as it is now"


def ship(bench: Bench, text: str, **given: Any) -> Release:
    """A release with another page."""
    bench.write("src/page", text)
    return bench.up(**given)


@pytest.fixture
def three(bench: Bench) -> Bench:
    """Three releases, the last of them live."""
    for text in ("one", "two", "three"):
        ship(bench, text)
    return bench


# Which one


def test_without_a_word_it_is_the_one_that_was_live_before(three: Bench) -> None:
    assert choose(three.store, three.deployment, None).number == 2


def test_a_release_is_named_by_number_or_id(three: Bench) -> None:
    first = three.store.find_release(three.deployment.id, "1")
    for text in ("1", "#1", first.id):
        assert choose(three.store, three.deployment, text) == first


@pytest.mark.parametrize(
    ("status", "data", "why"),
    [
        ("failed", {"archive": "a"}, "it never went live"), ("shipped", {"archive": "a"}, "it never went live"),
        ("superseded", {}, "it was made by an older tfgrid-compose, without an archive"),
    ],
)  # fmt: skip
def test_what_was_never_live_or_has_no_archive_can_not_be_gone_back_to(
    three: Bench, status: str, data: dict[str, str], why: str
) -> None:
    with three.store.write() as db:
        db.execute(
            "INSERT INTO releases (id, deployment, number, created, status, who, data) VALUES ('odd', ?, 9, 1, ?, '', ?)",
            (three.deployment.id, status, json.dumps(data)),
        )
    with pytest.raises(NotFoundError) as caught:
        choose(three.store, three.deployment, "9")
    assert (caught.value.what, caught.value.why) == ("release #9 (odd) can't be gone back to", why)
    assert (caught.value.code, caught.value.exit_code) == ("release-not-restorable", 5)


def test_a_release_that_is_not_there_is_an_error_before_anything_is_recorded(three: Bench) -> None:
    runs = len(three.store.runs())
    with pytest.raises(NotFoundError), three.back("7"):
        pytest.fail("there is none")
    assert len(three.store.runs()) == runs


# What comes back


def test_a_rollback_brings_back_source_environment_sizes_and_manifest(bench: Bench) -> None:
    bench.manifest(
        "version: 1.0.0\nresources: {ports: [{number: 80, name: http}]}\nenvironment:\n  - {name: WORD}\nstatus: {service: old}\n"
    )
    first = ship(bench, "one", variables={"WORD": "first word"}, cpu=2)
    bench.manifest(
        "version: 2.0.0\nresources: {ports: [{number: 443, name: https}]}\nenvironment:\n  - {name: WORD}\nstatus: {service: new}\n"
    )
    bench.write("src/new", "x")
    second = ship(bench, "two", variables={"WORD": "second word"}, cpu=4)
    assert "WORD='second word'" in bench.machine.read(".tfgrid/environment")
    bench.hooks.clear()
    assert bench.rollback().id == first.id
    assert bench.machine.current == first.id
    assert bench.machine.read("src/page") == "one"
    assert not (bench.machine.root / "current" / "src" / "new").exists()
    environment = bench.machine.read(".tfgrid/environment")
    assert "WORD='first word'" in environment and "APP_VERSION=1.0.0" in environment
    data = bench.deployment.data
    assert (data["sizes"]["vm"]["cpu"], data["service"], data["ports"][0]["number"]) == (2, "old", 80)
    assert (data["release"], data["went_live"]) == (first.id, [first.id, second.id, first.id])
    assert bench.hooks == ["setup", "configure", "healthcheck"]
    assert (bench.statuses, bench.deployment.status) == ({1: "live", 2: "superseded"}, "running")
    assert (bench.last_run["kind"], bench.last_run["data"]) == ("rollback", {"release": first.id, "with_data": False})
    assert bench.playbooks == ["site.yml"] * 3, "the firewall of the release"


def test_a_second_rollback_returns_to_the_release_that_was_left(three: Bench) -> None:
    assert [three.rollback().number for _ in range(4)] == [2, 3, 2, 3]
    assert three.machine.read("src/page") == "three"
    assert three.statuses == {1: "superseded", 2: "superseded", 3: "live"}, "no release is made by going back"


def test_what_is_on_the_machine_still_is_not_sent_again(three: Bench) -> None:
    three.machine.lines.clear()
    three.rollback("1")
    assert not [line for line in three.machine.lines if "head -c" in line]
    shutil.rmtree(three.machine.root / "releases" / three.store.find_release(three.deployment.id, "2").id)
    three.machine.lines.clear()
    three.rollback("2")
    assert [line for line in three.machine.lines if "head -c" in line]
    assert three.machine.read("src/page") == "two"


def test_a_file_that_was_changed_on_the_machine_is_brought_back_too(three: Bench) -> None:
    first = three.store.find_release(three.deployment.id, "1")
    (three.machine.root / "releases" / first.id / "src" / "page").write_text("changed by hand")
    three.rollback("1")
    assert three.machine.read("src/page") == "one"


def test_a_rollback_to_what_runs_has_nothing_to_do(three: Bench) -> None:
    with three.back("3") as context:
        assert not make_plan(context).needed


def test_after_a_rollback_up_deploys_the_folder_again(three: Bench) -> None:
    three.rollback()
    assert "ship" in three.reasons()
    again = three.up()
    assert (again.number, three.machine.read("src/page")) == (4, "three")
    assert three.reasons() == {}


def test_the_app_folder_is_not_needed(three: Bench) -> None:
    shutil.rmtree(three.folder)
    assert three.rollback().number == 2
    assert three.machine.read("src/page") == "two"
    assert three.deployment.app_dir == str(three.folder)


def test_a_plan_of_a_rollback_records_nothing_and_takes_no_turn(three: Bench) -> None:
    before = (three.deployment, len(three.store.runs()), three.live)
    with three.back(write=False) as context:
        assert make_plan(context).needed
        assert three.store.token == 0
    assert (three.deployment, len(three.store.runs()), three.live) == before
    assert three.grid.done == ["prepare"] * 3, "the grid is not started for a plan"


def test_a_secret_of_the_old_environment_is_never_shown(bench: Bench) -> None:
    bench.manifest("environment:\n  - {name: TOKEN, secret: true}\n")
    ship(bench, "one", variables={"TOKEN": "hunter2-hunter2"})
    ship(bench, "two", variables={"TOKEN": "another-secret"})
    with bench.back() as context:
        assert "hunter2" not in context.redactor.text("PIN is hunter2-hunter2")


def test_a_rollback_fails_when_its_release_does_not_pass_its_health_check(three: Bench) -> None:
    three.codes["healthcheck"] = 1
    with pytest.raises(HookError, match="hook healthcheck failed") as caught:
        three.rollback()
    assert caught.value.aftermath == "", "nothing goes back by itself from going back"
    assert (three.live.number, three.deployment.data["release"]) == (3, three.live.id)
    assert three.machine.current == three.live.id, "nothing was switched"
    assert three.deployment.status == "failed"
    three.codes.clear()
    assert three.rollback().number == 2


# What can't be restored


def deployed(**data: Any) -> Deployment:
    return Deployment("d", "my-app", "main", "running", 1.0, 1.0, {"machines": [{"name": "vm"}], **data})


@pytest.mark.parametrize(
    ("then", "now", "disk", "limits"),
    [
        (50, 50, 50, []), (50, 60, 60, ["the root disk of vm stays at 60 GB: a disk can't shrink to 50 GB"]), (60, 50, 60, []),
        (50, None, 50, []),
    ],
)  # fmt: skip
def test_a_root_disk_never_shrinks(then: int, now: int | None, disk: int, limits: list[str]) -> None:
    said: list[str] = []
    found = rollback._sizes(
        deployed(sizes={"vm": {"cpu": 8, "memory": 99, "disk": now}} if now else {}),
        {"sizes": {"vm": {"cpu": 2, "memory": 4096, "disk": then}}}, said,
    )  # fmt: skip
    assert (found, said) == ({"vm": RoleSizes(2, 4096, disk)}, limits)


DATA, LOGS = {"name": "data", "size": 10, "mount": "/data"}, {"name": "logs", "size": 5, "mount": "/logs"}


@pytest.mark.parametrize(
    ("then", "now", "kept", "limits"),
    [
        ([], [], [], []),
        ([DATA], [DATA], [DATA], []),
        ([{**DATA, "size": 20}], [DATA], [{**DATA, "size": 20}], []),
        ([DATA], [{**DATA, "size": 20}], [{**DATA, "size": 20}], ["disk data stays at 20 GB: a disk can't shrink"]),
        ([DATA], [DATA, LOGS], [DATA, LOGS], ["disk logs, added since, stays with its data"]),
        ([], [LOGS], [LOGS], ["disk logs, added since, stays with its data"]),
        ([DATA, LOGS], [DATA], [DATA, LOGS], ["disk logs was removed since; it comes back empty"]),
        ([DATA], [{**DATA, "mount": "/srv/data"}], [DATA], []),
    ],
)
def test_data_disks_never_shrink_and_never_go(
    then: list[dict[str, Any]], now: list[dict[str, Any]], kept: list[dict[str, Any]], limits: list[str]
) -> None:
    said: list[str] = []
    found = rollback._disks(deployed(disks=now), [DataDisk(**disk) for disk in then], said)
    assert ([disk.model_dump() for disk in found], said) == (kept, limits)


def test_disks_of_a_machine_that_was_never_made_are_not_missed() -> None:
    said: list[str] = []
    rollback._disks(deployed(machines=[]), [DataDisk(**DATA)], said)
    assert said == []


@pytest.mark.parametrize(
    ("now", "nodes", "limits"),
    [
        ({"vm": [7]}, {"vm": [7]}, []),
        ({"vm": [9]}, {"vm": [9]}, ["vm stays on node [9]; it was on [7], and moving would lose its data"]),
        (None, {"vm": [7]}, []),
    ],
)
def test_machines_stay_where_they_are(now: dict[str, list[int]] | None, nodes: dict[str, list[int]], limits: list[str]) -> None:
    said: list[str] = []
    assert rollback._nodes(deployed(nodes=now) if now else deployed(), {"nodes": {"vm": [7]}}, said) == nodes
    assert said == limits


@pytest.mark.parametrize(
    ("networks", "address", "limits"),
    [
        (["wireguard"], "", []), (["wireguard", "ipv4"], "198.51.100.7", []),
        (["wireguard"], "198.51.100.7", ["the public address 198.51.100.7 is given back"]),
        (["wireguard", "ipv4"], "", []),
    ],
)  # fmt: skip
def test_a_public_address_is_given_back(networks: list[str], address: str, limits: list[str]) -> None:
    assert rollback._addresses(deployed(machines=[{"name": "vm", "ipv4_address": address}]), {"networks": networks}) == limits


@pytest.mark.parametrize(
    ("stands", "networks", "said"),
    [
        (True, ("wireguard",), "the machine stays without a public IPv4: none can be added to one that stands"),
        (False, ("wireguard", "ipv4"), "a public IPv4 is rented anew, and will be another one"),
    ],
)
def test_a_public_address_comes_back_only_with_a_new_machine(
    bench: Bench, stands: bool, networks: tuple[str, ...], said: str
) -> None:
    bench.manifest("network: {provision: [wireguard, ipv4]}\n")
    ship(bench, "one")
    bench.manifest("")
    ship(bench, "two")
    if not stands:
        bench.grid.live.clear()
    with bench.back(write=False) as context:
        assert said in context.limits
        assert context.networks.provision == networks


def test_all_limits_stand_in_the_plan_and_hold(bench: Bench) -> None:
    ship(bench, "one", disk=50)
    bench.manifest("disks:\n  - {name: logs, size: 5, mount: /logs}\nnetwork: {provision: [wireguard, ipv4]}\n")
    ship(bench, "two", disk=60, node=8)
    with bench.back(write=False) as context:
        plan = make_plan(context)
        variables = context.terraform_variables()
    assert plan.limits == (
        "disk logs, added since, stays with its data", "the root disk of vm stays at 60 GB: a disk can't shrink to 50 GB",
        "vm stays on node [8]; it was on [7], and moving would lose its data", "the public address 198.51.100.7 is given back",
        STAYS,
    )  # fmt: skip
    assert (variables["vm_disk"], variables["vm_node"]) == (60, 8)
    assert variables["data_disks"] == [{"name": "logs", "size": 5, "mount": "/logs"}]
    bench.rollback()
    assert bench.deployment.data["disks"] == [{"name": "logs", "size": 5, "mount": "/logs"}]
    assert bench.deployment.data["nodes"] == {"vm": [8]}
    with bench.back("1", write=False) as context:
        assert not make_plan(context).needed, "it is as far back as it can be"


# Disks that come back


def test_data_comes_back_as_it_was_when_the_release_was_replaced(bench: Bench) -> None:
    bench.grid.can_snapshot = True
    first = ship(bench, "one")
    bench.grid.data = "written while one ran"
    second = ship(bench, "two")
    bench.grid.data = "written while two ran"
    with bench.back(write=False) as context:
        assert context.limits == (f"{STAYS}; --with-data brings it back too",)
    bench.rollback(with_data=True)
    assert bench.grid.data == "written while one ran"
    assert list(bench.outcomes()) == ["snapshot", "restore-data", *STEPS[1:]]
    assert (bench.last_run["data"], bench.live.id) == ({"release": first.id, "with_data": True}, first.id)
    assert bench.grid.copies[second.id] == "written while two ran", "that can be gone back to as well"
    bench.rollback(with_data=True)
    assert bench.grid.data == "written while two ran"


def test_without_the_word_data_stays(bench: Bench) -> None:
    bench.grid.can_snapshot = True
    ship(bench, "one")
    ship(bench, "two")
    bench.grid.data = "new"
    bench.rollback()
    assert bench.grid.data == "new"


def test_the_plan_of_a_rollback_with_data_says_what_is_lost(bench: Bench) -> None:
    bench.grid.can_snapshot = True
    first = ship(bench, "one")
    ship(bench, "two")
    with bench.back(write=False, with_data=True) as context:
        plan = make_plan(context)
    assert plan.limits == ()
    text = next(item.text for item in plan.steps if item.step.name == "restore-data")
    assert text == f"the disks as they were with release {first.id}; what was written since is lost"
    reasons = {item.step.name: item.reason for item in plan.steps}
    assert (reasons["platform"], reasons["setup"]) == ("the disks are restored", "source changed")
    assert reasons["restore-data"] == "asked for with --with-data"
    bench.rollback(with_data=True)
    with bench.back(write=False, with_data=True) as context:
        again = {item.step.name: item.reason for item in make_plan(context).steps}
    assert again["restore-data"] == "asked for with --with-data", "not the numbers of two runs"


def test_a_grid_without_copies_says_so(three: Bench) -> None:
    with pytest.raises(GridError, match="disks can't be restored on network main") as caught, three.back(with_data=True):
        pytest.fail("it can't")
    assert caught.value.code == "snapshot-unsupported"


def test_a_copy_that_was_never_made_is_an_error_that_lists_what_there_is(three: Bench) -> None:
    three.grid.can_snapshot = True
    with pytest.raises(NotFoundError) as caught, three.back(with_data=True):
        pytest.fail("there is none")
    assert (caught.value.code, caught.value.why.split(";")[0]) == ("snapshot-missing", "there are copies of none")
    three.grid.copies["other"] = "x"
    with pytest.raises(NotFoundError) as caught, three.back("1", with_data=True):
        pytest.fail("there is none")
    assert "there are copies of other" in caught.value.why
    assert caught.value.fix.endswith("tfgrid-compose rollback my-app --to 1")


def test_a_copy_that_the_grid_refuses_is_a_warning_and_no_failure(bench: Bench) -> None:
    bench.grid.can_snapshot = True
    first = ship(bench, "one")
    bench.grid.refuses = GridError("there is no room for a copy")
    assert ship(bench, "two").number == 2
    (step,) = [item for item in bench.store.steps(bench.last_run["id"]) if item["name"] == "snapshot"]
    assert step["outcome"] == "tolerated"
    assert step["note"] == f"there is no room for a copy; `rollback --with-data` to {first.id} won't be possible"


def test_a_copy_is_not_made_again_of_disks_that_a_failed_release_has_changed(bench: Bench) -> None:
    bench.grid.can_snapshot = True
    first = ship(bench, "one")
    bench.grid.data = "written while one ran"

    def spoil(place: str) -> None:
        if place == "configure" and bench.deployment.status == "deploying" and bench.last_run["kind"] == "up":
            bench.grid.data = "spoilt by two"
            raise broken("configure")

    bench.fail_at = spoil  # type: ignore[method-assign]
    for text in ("two", "three"):
        bench.write("src/page", text)
        with pytest.raises(HookError):
            bench.up()
        assert bench.last_run["kind"] == "rollback"
        snapshot = {item["name"]: item for item in bench.store.steps(bench.last_run["id"])}["snapshot"]
        assert snapshot["note"] == "the copy of the run before stays: since then the machine was changed"
        if text == "two":
            assert bench.grid.copies[first.id] == "written while one ran"


def test_copies_go_with_their_releases(bench: Bench) -> None:
    bench.grid.can_snapshot = True
    bench.manifest("keep_releases: 2\n")
    found = [ship(bench, str(number)) for number in range(5)]
    assert set(bench.grid.copies) <= {item.id for item in found[2:]}
    assert found[3].id in bench.grid.copies


# After a failure


def fail(bench: Bench, place: str, error: TfgridError) -> TfgridError:
    """A release that fails, and its error."""
    bench.fail(place, error)
    bench.write("src/page", f"fails in {place}")
    with pytest.raises(TfgridError) as caught:
        bench.up()
    return caught.value


def broken(place: str) -> HookError:
    return HookError(f"hook {place} failed", why="it exited with 1")


@pytest.mark.parametrize("place", ["setup", "configure", "healthcheck"])
def test_the_release_that_worked_comes_back_by_itself(bench: Bench, place: str) -> None:
    first = ship(bench, "one")
    bench.hooks.clear()
    error = broken(place)
    assert fail(bench, place, error) is error, "the failure itself is told"
    assert error.aftermath == f"release {first.label}, which worked, runs again"
    assert (bench.statuses, bench.live.id) == ({1: "live", 2: "failed"}, first.id)
    assert (bench.machine.current, bench.machine.read("src/page")) == (first.id, "one")
    assert bench.hooks[-3:] == ["setup", "configure", "healthcheck"], "and is proven to work"
    back, failed = bench.store.runs(limit=2)
    assert (back["kind"], back["outcome"]) == ("rollback", "succeeded")
    assert back["data"] == {"release": first.id, "with_data": False, "because": failed["id"]}
    assert (failed["kind"], failed["outcome"]) == ("up", "failed")
    assert bench.deployment.status == "running"
    assert f"hook {place} failed, {error.why}: going back to release {first.label}, which worked" in bench.notices()


@pytest.mark.parametrize(
    "error",
    [
        InfrastructureError("terraform apply failed", why="no capacity"), GridError("the grid refused", why="not so"),
        PlatformError("Ansible failed", why="a task"), HookError("the source could not be unpacked", why="its disk is full"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_whatever_the_app_or_its_wishes_caused_is_answered_by_going_back(bench: Bench, error: TfgridError) -> None:
    first = ship(bench, "one")
    place = {InfrastructureError: "terraform", GridError: "terraform", PlatformError: "platform"}.get(type(error), "setup")
    bench.manifest("resources: {cpu: 4, ports: [80]}\n")
    assert fail(bench, place, error).aftermath == f"release {first.label}, which worked, runs again"
    assert bench.store.runs(limit=1)[0]["kind"] == "rollback"


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("reach", ReachError("the machine does not answer on 10.5.3.2", why="no route")),
        ("setup", ReachError("the connection failed", why="no route")),
        ("tunnel", TunnelError("the tunnel did not come up")),
        ("platform", EnvironmentError_("Ansible is not installed")),
        ("setup", StateError("the disk is full", code="disk-full")),
        ("setup", BusyError("this run has lost the deployment", code="lease-lost")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, TfgridError) else value,
)
def test_going_back_where_it_meets_the_same_wall_is_not_tried(bench: Bench, place: str, error: TfgridError) -> None:
    first = ship(bench, "one")
    bench.tunnels.clear()
    bench.manifest("resources: {ports: [80]}\n")
    assert fail(bench, place, error).aftermath == ""
    assert (bench.last_run["kind"], bench.last_run["outcome"], len(bench.store.runs())) == ("up", "failed", 2)
    assert (bench.live.id, bench.machine.current, bench.deployment.status) == (first.id, first.id, "failed")


def test_whoever_stops_a_run_does_not_start_another(bench: Bench) -> None:
    ship(bench, "one")
    bench.fail("configure", KeyboardInterrupt())
    bench.write("src/page", "two")
    with pytest.raises(InterruptedError_) as caught:
        bench.up()
    assert (caught.value.aftermath, len(bench.store.runs())) == ("", 2)
    assert bench.statuses == {1: "live", 2: "failed"}


def test_a_first_release_that_fails_has_nothing_to_go_back_to(bench: Bench) -> None:
    assert fail(bench, "setup", broken("setup")).aftermath == ""
    assert (bench.statuses, len(bench.store.runs()), bench.deployment.status) == ({1: "failed"}, 1, "failed")
    error = broken("configure")
    assert fail(bench, "configure", error).aftermath == "", "nor has the second one"
    assert bench.statuses == {1: "failed", 2: "failed"}


def test_keep_leaves_all_as_the_failure_left_it(bench: Bench) -> None:
    bench.manifest("on_failure: keep\n")
    first = ship(bench, "one")
    error = fail(bench, "configure", broken("configure"))
    assert error.aftermath == (f"all is left as the failure left it (on_failure: keep); release {first.label} was live before")
    assert len(bench.store.runs()) == 2
    assert (bench.machine.current, len(bench.machine.releases)) == (first.id, 2)
    assert bench.deployment.status == "failed"


@pytest.mark.parametrize(
    ("manifest", "aftermath", "state"),
    [
        ("status: {service: nginx}\n", "service nginx was stopped (on_failure: stop)", "inactive"),
        ("", "the app names no service, so nothing was stopped (on_failure: stop)", "active"),
    ],
)
def test_stop_stops_the_service(bench: Bench, manifest: str, aftermath: str, state: str) -> None:
    bench.manifest(f"on_failure: stop\n{manifest}")
    ship(bench, "one")
    assert fail(bench, "configure", broken("configure")).aftermath == aftermath
    assert bench.machine.services == {"nginx": state}
    assert len(bench.store.runs()) == 2


def test_a_service_that_can_not_be_stopped_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.manifest("on_failure: stop\nstatus: {service: nginx}\n")
    ship(bench, "one")
    real = bench.machine.run

    def run(command: str, **given: Any) -> Any:
        if command.startswith("systemctl stop"):
            raise ReachError("x", why="no route")
        return real(command, **given)

    monkeypatch.setattr(bench.machine, "run", run)
    assert fail(bench, "configure", broken("configure")).aftermath == "service nginx could not be stopped: no route"


def test_the_policy_is_that_of_the_release_that_failed(bench: Bench) -> None:
    ship(bench, "one")
    bench.manifest("on_failure: keep\n")
    assert "on_failure: keep" in fail(bench, "setup", broken("setup")).aftermath


def test_when_going_back_fails_too_both_failures_are_told(bench: Bench) -> None:
    first = ship(bench, "one")
    bench.fail("setup", broken("setup"), HookError("hook setup failed again", why="it exited with 2"))
    bench.write("src/page", "two")
    with pytest.raises(HookError) as caught:
        bench.up()
    assert caught.value.what == "hook setup failed"
    assert caught.value.aftermath == (
        f"going back to release {first.label} failed too (hook setup failed again: it exited with 2); "
        "`tfgrid-compose rollback my-app --to 1` tries again"
    )
    assert [run["outcome"] for run in bench.store.runs(limit=2)] == ["failed", "failed"]
    assert (bench.live.id, bench.machine.current, bench.deployment.status) == (first.id, first.id, "failed")
    assert bench.rollback("1").id == first.id


def test_when_the_release_that_worked_is_damaged_the_failure_is_still_told(bench: Bench) -> None:
    first = ship(bench, "one")
    (paths.state_dir() / "blobs" / first.data["archive"]).write_bytes(b"damaged")
    error = fail(bench, "setup", broken("setup"))
    assert error.what == "hook setup failed"
    assert "failed too (the archive of a release was changed" in error.aftermath


def test_an_error_without_a_next_command_gets_one(bench: Bench) -> None:
    ship(bench, "one")
    assert fail(bench, "setup", HookError("boom")).fix == "mend it, then run `tfgrid-compose up` again"


def test_going_back_tries_again_as_the_run_did(bench: Bench) -> None:
    ship(bench, "one")
    bench.write("src/page", "two")
    passing = HookError("hook setup failed", why="x", details=["E: Could not get lock /var/lib/dpkg/lock-frontend"])
    bench.fail("setup", broken("setup"), passing)
    with pytest.raises(HookError):
        bench.up(retry=False)
    assert bench.slept == []


def test_nothing_of_a_failed_release_is_shown_as_live(bench: Bench, tmp_path: Path) -> None:
    first = ship(bench, "one")
    fail(bench, "healthcheck", broken("healthcheck"))
    assert bench.deployment.data["release"] == first.id
    assert bench.deployment.data["went_live"] == [first.id]
    assert "ship" in bench.reasons(), "`up` would try the folder again"


def test_a_size_that_worked_is_not_taken_back_by_a_release_that_fails(bench: Bench) -> None:
    ship(bench, "one")
    bench.up(cpu=8)
    fail(bench, "setup", broken("setup"))
    assert bench.deployment.data["sizes"]["vm"]["cpu"] == 8
