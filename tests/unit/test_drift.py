"""Drift: what is looked at in each layer, what is reported, and that repairing brings exactly that back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.workbench import STEPS, Bench, contract
from tfgrid_compose.deploy import rollback
from tfgrid_compose.deploy.drift import DRIFT, NONE, UNAPPLIED, UNSEEN, Item, Report, live_options, look, repair_plan
from tfgrid_compose.errors import EnvironmentError_, GridError, InfrastructureError, NotFoundError, PlatformError
from tfgrid_compose.state.store import Deployment


def item(path: str, layer: str = "x") -> Item:
    return Item(layer, path, "this", "that")


def seen(bench: Bench, **given: Any) -> Report:
    """What `drift` finds."""
    options = live_options(bench.store, bench.deployment)
    with rollback.prepared(bench.store, bench.stream(), bench.deployment, options, write=False) as context:
        return look(context, **given)


def paths(report: Report) -> dict[str, str]:
    """{path: what was found} of the drift."""
    return {item.path: item.found for item in report.drift}


def repair(bench: Bench) -> list[str]:
    """`up --repair`, once; the steps that ran."""
    options = live_options(bench.store, bench.deployment)
    with rollback.prepared(bench.store, bench.stream(), bench.deployment, options, write=True) as context:
        plan = repair_plan(context)
        if not plan.needed:
            return []
        rollback.run(context, plan, "repair")
    return list(bench.outcomes())


# The report


@pytest.mark.parametrize(
    ("drift", "unapplied", "unseen", "code"),
    [
        ((), (), {}, NONE), ((item("a"),), (), {}, DRIFT), ((), (item("a"),), {}, UNAPPLIED),
        ((item("a"),), (item("b"),), {}, DRIFT), ((), (), {"terraform": "why"}, UNSEEN),
        ((), (item("a"),), {"terraform": "why"}, UNSEEN), ((item("a"),), (), {"terraform": "why"}, DRIFT),
        ((), (), {"app folder": "why"}, NONE),
    ],
)  # fmt: skip
def test_exit_codes(drift: tuple[Item, ...], unapplied: tuple[Item, ...], unseen: dict[str, str], code: int) -> None:
    report = Report(drift, unapplied, unseen)
    assert report.exit_code == code == report.to_dict()["exit_code"]
    assert (NONE, DRIFT, UNAPPLIED, UNSEEN) == (0, 2, 3, 7)


@pytest.mark.parametrize(
    ("patterns", "drift", "unapplied"),
    [
        ((), ["platform.Install nginx", "release.files.src/a", "tunnel.wg-a"], ["app.files.src/a", "app.manifest"]),
        (("platform.*",), ["release.files.src/a", "tunnel.wg-a"], ["app.files.src/a", "app.manifest"]),
        (("*.src/?", "app.manifest"), ["platform.Install nginx", "tunnel.wg-a"], []),
        (("tunnel",), ["platform.Install nginx", "release.files.src/a", "tunnel.wg-a"], ["app.files.src/a", "app.manifest"]),
        (("*",), [], []),
        (
            ("release.files.src/[ab]", "PLATFORM.*"),
            ["platform.Install nginx", "tunnel.wg-a"],
            ["app.files.src/a", "app.manifest"],
        ),
    ],
)
def test_patterns_leave_paths_out(patterns: tuple[str, ...], drift: list[str], unapplied: list[str]) -> None:
    report = Report(
        (item("platform.Install nginx"), item("release.files.src/a"), item("tunnel.wg-a")),
        (item("app.files.src/a"), item("app.manifest")), {"terraform": "why"},
    )  # fmt: skip
    found = report.without(patterns)
    assert ([one.path for one in found.drift], [one.path for one in found.unapplied]) == (drift, unapplied)
    assert found.unseen == ({} if patterns == ("*",) else {"terraform": "why"})


@pytest.mark.parametrize("pattern", ["terraform", "terraform.*", "terra*"])
def test_a_layer_that_nobody_asks_for_need_not_be_seen(pattern: str) -> None:
    report = Report((), (), {"terraform": "why", "contracts": "why"}).without((pattern,))
    assert (report.unseen, report.exit_code) == ({"contracts": "why"}, UNSEEN)


def test_a_report_is_json() -> None:
    assert Report((Item("tunnel", "tunnel.wg-a", "up", "down", "tunnel"),), (), {"a": "b"}).to_dict() == {
        "drift": [{"layer": "tunnel", "path": "tunnel.wg-a", "expected": "up", "found": "down", "step": "tunnel"}],
        "unapplied": [], "unseen": {"a": "b"}, "exit_code": 2,
    }  # fmt: skip


def test_without_a_live_release_there_is_nothing_to_compare_with(bench: Bench) -> None:
    bench.fail("setup", PlatformError("boom"))
    with pytest.raises(PlatformError):
        bench.up()
    with pytest.raises(NotFoundError) as caught:
        live_options(bench.store, bench.deployment)
    assert (caught.value.code, caught.value.why) == ("release-not-found", "no release of it is live; its status is failed")
    bench.store.save(Deployment("old", "old", "main", "running", 1.0, 1.0))
    bench.store.add_release("r", "old", {})
    bench.store.set_release_live("r", "old")
    with pytest.raises(NotFoundError):
        live_options(bench.store, bench.store.deployment("old"))


# Each layer

WEB = "status: {service: nginx}\n"


@pytest.fixture
def web(bench: Bench) -> Bench:
    """An app with a service and a file, deployed."""
    bench.manifest(WEB)
    bench.write("src/page", "one")
    bench.up()
    return bench


def test_what_is_as_it_was_deployed_has_no_drift_and_looking_changes_nothing(web: Bench) -> None:
    before = (web.deployment, web.store.runs(), web.store.releases(web.deployment.id), web.machine.releases, web.hooks)
    report = seen(web)
    assert (report, report.exit_code) == (Report((), (), {}), 0)
    assert before == (web.deployment, web.store.runs(), web.store.releases(web.deployment.id), web.machine.releases, web.hooks)
    assert web.playbooks[-1] == "check site.yml"
    assert web.store.token == 0, "no turn is taken"


def contract_gone(bench: Bench) -> None:
    bench.grid.live.clear()


def contract_other(bench: Bench) -> None:
    bench.grid.live[1002] = contract(1002, state="GracePeriod")


def contract_more(bench: Bench) -> None:
    bench.grid.live[2000] = contract(2000, node=9)


def terraform_changed(bench: Bench) -> None:
    bench.terraform_drift = [("grid_deployment.vm", "update"), ("grid_network.net", "delete"), ("x.y", "create")]


def tunnel_down(bench: Bench) -> None:
    bench.tunnels.clear()


def silent_machine(bench: Bench) -> None:
    bench.machine.unreachable = "No route to host"


def platform_changed(bench: Bench) -> None:
    bench.checked = ("Install the packages", "Write the firewall")


def file_changed(bench: Bench) -> None:
    (bench.machine.root / "current" / "src" / "page").write_text("changed")


def file_gone(bench: Bench) -> None:
    (bench.machine.root / "current" / "src" / "page").unlink()


def list_changed(bench: Bench) -> None:
    (bench.machine.root / "current" / ".tfgrid" / "sha256sums").write_text("")


def folder_gone(bench: Bench) -> None:
    shutil.rmtree(bench.machine.root / "releases" / bench.live.id)


def link_moved(bench: Bench) -> None:
    (bench.machine.root / "current").unlink()
    (bench.machine.root / "current").symlink_to("releases/other")


def link_gone(bench: Bench) -> None:
    (bench.machine.root / "current").unlink()


def service_down(bench: Bench) -> None:
    bench.machine.services["nginx"] = "failed"


CASES: list[tuple[Callable[[Bench], None], dict[str, str], str]] = [
    (contract_gone, {"contracts.1002": "gone"}, "infrastructure"),
    (contract_other, {"contracts.1002": "GracePeriod"}, "infrastructure"),
    (contract_more, {"contracts.2000": "exists on node 9"}, "infrastructure"),
    (terraform_changed, {"terraform.grid_deployment.vm": "changed", "terraform.grid_network.net": "gone", "terraform.x.y": "create"},
     "infrastructure"),
    (tunnel_down, {"tunnel.wg-my-app": "down"}, "tunnel"),
    (silent_machine, {"addresses.vm": "No route to host"}, "reach"),
    (platform_changed, {"platform.Install the packages": "would change", "platform.Write the firewall": "would change"}, "platform"),
    (file_changed, {"release.files.src/page": "changed or gone"}, "ship"),
    (file_gone, {"release.files.src/page": "changed or gone"}, "ship"),
    (list_changed, {"release.files..tfgrid/sha256sums": "changed or gone"}, "ship"),
    (folder_gone, {"release.files..tfgrid/sha256sums": "changed or gone"}, "ship"),
    (link_moved, {"release.current": "other"}, "activate"),
    (link_gone, {"release.current": "none"}, "activate"),
    (service_down, {"service.nginx": "failed"}, "configure"),
]  # fmt: skip


@pytest.mark.parametrize(("harm", "found", "step"), CASES, ids=[case[0].__name__ for case in CASES])
def test_every_kind_of_drift_is_found_and_names_the_step_that_mends_it(
    web: Bench, harm: Callable[[Bench], None], found: dict[str, str], step: str
) -> None:
    harm(web)
    report = seen(web)
    assert paths(report) == found
    assert {one.step for one in report.drift} == {step}
    assert {one.layer for one in report.drift} == {next(iter(found)).split(".")[0]}
    assert (report.exit_code, report.unapplied) == (2, ())


def test_what_stands_on_a_machine_that_is_not_there_can_not_be_seen(web: Bench) -> None:
    for harm in (contract_gone, silent_machine):
        harm(web)
        report = seen(web)
        assert report.unseen == dict.fromkeys(("platform", "release", "service"), "the machine does not answer")
    assert paths(report) == {"contracts.1002": "gone"}, "nobody tries to reach a machine that is gone"


def test_a_layer_that_can_not_be_looked_at_is_named_and_the_others_are_looked_at(web: Bench) -> None:
    web.grid.silent = GridError("contracts can't be listed", why="no directory")
    web.fail("terraform drift", InfrastructureError("terraform plan failed"))
    web.fail("platform", EnvironmentError_("Ansible is not installed", why="it is missing"))
    service_down(web)
    report = seen(web)
    assert report.unseen == {
        "contracts": "contracts can't be listed: no directory", "terraform": "terraform plan failed",
        "platform": "Ansible is not installed: it is missing",
    }  # fmt: skip
    assert paths(report) == {"service.nginx": "failed"}


def test_a_playbook_that_can_not_be_checked_through_is_drift_of_the_platform(web: Bench) -> None:
    web.fail("platform", PlatformError("Ansible failed", why="nginx.conf is missing"))
    assert paths(seen(web)) == {"platform.playbook": "nginx.conf is missing"}


def test_an_app_without_a_service_or_tunnel_has_none_to_look_at(bench: Bench) -> None:
    bench.manifest("network: {provision: [mycelium]}\n")
    bench.up()
    bench.tunnels.clear()
    bench.machine.services.clear()
    assert seen(bench) == Report((), (), {})


def test_odd_names_of_files_are_reported_as_sha256sum_writes_them(bench: Bench) -> None:
    bench.write("src/with space: FAILED", "1")
    bench.write("src/new\nline", "1")
    bench.up()
    for name in ("with space: FAILED", "new\nline"):
        (bench.machine.root / "current" / "src" / name).write_text("2")
    assert set(paths(seen(bench))) == {"release.files.src/with space: FAILED", "release.files.\\src/new\\nline"}


# What is not deployed yet


def test_what_changed_in_the_folder_is_not_drift(web: Bench) -> None:
    web.manifest(WEB + "resources: {cpu: 8}\n")
    web.write("src/page", "two")
    web.write("src/new", "x")
    report = seen(web)
    assert (report.drift, report.exit_code) == ((), 3)
    assert {one.path: (one.expected, one.found) for one in report.unapplied} == {
        "app.manifest": ("#1", "changed in the folder"), "app.files.src/page": ("#1", "changed in the folder"),
        "app.files.src/new": ("#1", "added in the folder"), "app.vm.cpu": ("2", "8"),
    }  # fmt: skip
    assert seen(web, folder=False).unapplied == ()


def test_drift_goes_before_what_is_not_deployed(web: Bench) -> None:
    web.write("src/page", "two")
    tunnel_down(web)
    report = seen(web)
    assert (len(report.drift), len(report.unapplied), report.exit_code) == (1, 1, 2)


def test_an_app_folder_that_is_gone_is_named(web: Bench) -> None:
    shutil.rmtree(web.folder)
    report = seen(web)
    assert (report.drift, report.unapplied, list(report.unseen)) == ((), (), ["app folder"])


def test_a_deployment_of_another_manifest_is_compared_with_that_one(bench: Bench) -> None:
    bench.write("staging.yaml", "name: my-app\nversion: 7.0.0\n")
    bench.up(file="staging.yaml")
    assert seen(bench) == Report((), (), {})


# Repair


@pytest.mark.parametrize(
    ("harm", "steps"),
    [
        (tunnel_down, ["tunnel", "reach"]), (platform_changed, ["reach", "platform"]), (file_changed, ["reach", "ship"]),
        (file_gone, ["reach", "ship"]), (list_changed, ["reach", "ship"]), (folder_gone, ["reach", "ship"]),
        (link_moved, ["reach", "activate"]), (service_down, ["reach", "configure", "healthcheck"]),
        (terraform_changed, ["infrastructure", "reach"]), (contract_other, ["infrastructure", "reach"]), (contract_gone, STEPS),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_a_repair_runs_what_mends_it_and_nothing_else(web: Bench, harm: Callable[[Bench], None], steps: list[str]) -> None:
    live = web.live
    web.write("src/page", "changed in the folder, not deployed")
    harm(web)
    assert repair(web) == steps
    web.checked, web.terraform_drift, web.machine.services = (), [], {"nginx": "active"}
    web.grid.live = {id: contract(id, found.node or 0) for id, found in web.grid.live.items()}
    assert seen(web, folder=False) == Report((), (), {})
    assert (web.live.id, web.machine.current, web.statuses) == (live.id, live.id, {1: "live"}), "no release is made by mending"
    assert web.machine.read("src/page") == "one"
    assert (web.last_run["kind"], web.last_run["outcome"]) == ("repair", "succeeded")
    assert web.deployment.status == "running"


def test_a_contract_that_nothing_uses_is_cancelled(web: Bench) -> None:
    contract_more(web)
    assert repair(web) == ["infrastructure", "reach"]
    assert list(web.grid.live) == [1002]
    assert paths(seen(web)) == {}


def test_where_nothing_drifted_there_is_nothing_to_repair(web: Bench) -> None:
    web.write("src/page", "two")
    assert repair(web) == []


def test_the_plan_of_a_repair_says_why_and_restores_everything_it_names(web: Bench) -> None:
    tunnel_down(web)
    with rollback.prepared(
        web.store, web.stream(), web.deployment, live_options(web.store, web.deployment), write=False
    ) as context:
        plan = repair_plan(context)
    assert {one.step.name: one.reason for one in plan.steps if one.needed} == {
        "tunnel": "tunnel.wg-my-app: down", "reach": "checked before anything is changed",
    }  # fmt: skip
    assert plan.limits == ()


def test_nobody_repairs_blindly(web: Bench) -> None:
    web.grid.silent = GridError("the grid does not answer")
    with pytest.raises(GridError, match="my-app can't be repaired now") as caught:
        repair(web)
    assert (caught.value.code, caught.value.why) == ("repair-blind", "the grid does not answer")
    assert web.last_run["kind"] == "up"


def test_a_failed_repair_keeps_the_release_live_and_starts_nothing_else(web: Bench) -> None:
    live = web.live
    service_down(web)
    web.fail("configure", PlatformError("boom"))
    with pytest.raises(PlatformError):
        repair(web)
    assert (web.live.id, web.deployment.status, web.last_run["kind"]) == (live.id, "failed", "repair")
    assert web.statuses == {1: "live"}


@pytest.mark.parametrize("changed", ["size", "ports", "comment"])
def test_after_an_up_the_folder_is_deployed_and_a_repair_leaves_it_so(bench: Bench, changed: str) -> None:
    bench.up()
    if changed == "size":
        bench.up(cpu=8)
    else:
        bench.manifest("resources: {ports: [80]}\n" if changed == "ports" else "# a comment\n")
        bench.up()
    kept = (bench.deployment.data["sizes"], bench.deployment.data["ports"])
    tunnel_down(bench)
    assert seen(bench).unapplied == ()
    assert repair(bench) == ["tunnel", "reach"]
    assert (bench.deployment.data["sizes"], bench.deployment.data["ports"]) == kept
