"""The plan with its reasons, and what hooks and operators get of a deployment."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workbench import MACHINE, STEPS, Bench, Call, contract
from tfgrid_compose.cli.plan_text import plan_json, plan_text
from tfgrid_compose.deploy import operate
from tfgrid_compose.deploy.context import addresses_of, target_of
from tfgrid_compose.deploy.plan import make_plan
from tfgrid_compose.deploy.steps.infrastructure import private_keys
from tfgrid_compose.deploy.steps.ship import hook_environment, shell_assignments
from tfgrid_compose.deploy.up import _placed, tell_unfinished
from tfgrid_compose.errors import GridError, ManifestError, NotFoundError, UsageError
from tfgrid_compose.grids import git
from tfgrid_compose.manifest import envfile
from tfgrid_compose.observe.redact import Secret
from tfgrid_compose.state import settings as settings_of_user
from tfgrid_compose.state.secrets import folder_owner
from tfgrid_compose.state.store import Deployment, Store


def test_a_new_deployment_needs_every_step_and_a_plan_writes_nothing(bench: Bench) -> None:
    with bench.context() as context:
        plan = make_plan(context)
        facts = plan.to_dict(context)
    assert [item.step.name for item in plan.steps] == STEPS
    assert all(item.needed for item in plan.steps) and plan.is_new
    assert (facts["new"], facts["nodes"], facts["network"]) == (True, {"vm": [7]}, "main")
    assert facts["usd_per_month"] > 0
    json.dumps(facts)
    assert bench.store.deployments() == []


def test_when_nothing_changed_nothing_is_needed(bench: Bench) -> None:
    bench.up()
    assert bench.reasons() == {}


def test_a_changed_source_runs_only_what_depends_on_it(bench: Bench) -> None:
    bench.up()
    (bench.folder / "page.html").write_text("new")
    found = bench.reasons()
    assert sorted(found) == sorted(["reach", "ship", "setup", "configure", "healthcheck", "activate"])
    assert found["ship"] == "source changed"
    assert found["reach"] == "checked before anything is changed"


@pytest.mark.parametrize(
    ("given", "reason"),
    [({"cpu": 4}, "cores 2 -> 4"), ({"memory": 8192}, "memory 4096 -> 8192"), ({"disk": 60}, "disk 50 -> 60")],
)
def test_a_changed_size_names_old_and_new(bench: Bench, given: dict[str, Any], reason: str) -> None:
    bench.up()
    found = bench.reasons(**given)
    assert found["infrastructure"] == reason
    assert "healthcheck" in found, "it is proven that the app still works"
    assert {"ship", "activate"} <= set(found), "it is another release"
    assert not {"platform", "setup", "configure"} & set(found)


def test_another_node_makes_everything_anew(bench: Bench) -> None:
    bench.up()
    found = bench.reasons(node=8)
    assert found["infrastructure"].startswith("node 7 -> 8, a new machine: the data of the old one is lost")
    assert list(found) == STEPS
    assert found["platform"] == found["ship"] == "the machine is new"


def test_what_a_move_loses_is_known_whatever_a_pattern_calls_its_variables(bench: Bench) -> None:
    bench.own_pattern("vm_node", "place")
    bench.up(trust=True)
    found = bench.reasons(node=8)
    assert found["infrastructure"] == "node 7 -> 8, a new machine: the data of the old one is lost"
    assert found["platform"] == found["ship"] == "the machine is new"


def test_secrets_change_the_plan_and_are_not_in_it(bench: Bench) -> None:
    (bench.folder / "tfgrid-compose.yaml").write_text("name: my-app\nenvironment:\n  - {name: TOKEN, secret: true}\n")
    bench.up(variables={"TOKEN": "hunter2-hunter2"})
    with bench.context(variables={"TOKEN": "other-secret-value"}) as context:
        plan = make_plan(context)
        text = json.dumps(plan.to_dict(context)) + json.dumps([item.step.inputs(context) for item in plan.steps])
    assert {item.step.name: item.reason for item in plan.steps}["ship"] == "environment changed"
    assert "hunter2" not in text and "other-secret-value" not in text
    assert "hunter2" not in (bench.store.path.read_bytes()).decode(errors="replace")


def lose_tunnel(bench: Bench) -> None:
    bench.tunnels.clear()


def change_file(bench: Bench) -> None:
    (bench.machine.root / "current" / "deployment" / "setup.sh").write_text("something else")


def remove_list(bench: Bench) -> None:
    (bench.machine.root / "current" / ".tfgrid" / "sha256sums").unlink()


def move_link(bench: Bench) -> None:
    (bench.machine.root / "current").unlink()
    (bench.machine.root / "current").symlink_to("releases/other")


CHECKED = "checked before anything is changed"
GONE = "what it made is gone"


@pytest.mark.parametrize(
    ("lose", "found"),
    [
        (lose_tunnel, {"tunnel": GONE, "reach": CHECKED}),
        (change_file, {"ship": GONE, "reach": CHECKED}),
        (remove_list, {"ship": GONE, "reach": CHECKED}),
        (move_link, {"activate": GONE, "reach": CHECKED}),
    ],
)
def test_what_is_gone_is_made_again(bench: Bench, lose: Callable[[Bench], None], found: dict[str, str]) -> None:
    bench.up()
    lose(bench)
    assert bench.reasons() == found
    bench.up()
    assert bench.reasons() == {}
    assert bench.statuses == {1: "live"}, "nothing new was released"
    assert (bench.machine.current, bench.hooks) == (bench.live.id, ["setup", "configure", "healthcheck"])


def test_a_machine_that_is_gone_is_made_anew_with_all_that_stood_on_it(bench: Bench) -> None:
    bench.up()
    bench.grid.live.clear()
    found = bench.reasons()
    assert list(found) == STEPS
    assert (found["infrastructure"], found["platform"], found["ship"]) == (GONE, "the machine is new", "the machine is new")
    first = bench.live
    second = bench.up()
    assert (second.number, bench.machine.current) == (2, second.id)
    assert first.data["inputs"]["machine"] != second.data["inputs"]["machine"]


def test_a_machine_that_does_not_answer_is_reached_before_it_is_asked(bench: Bench) -> None:
    bench.up()
    bench.machine.unreachable = "no route"
    assert bench.reasons() == {"reach": GONE}, "what is on the machine is asked after `reach`"
    bench.machine.unreachable = ""
    assert bench.reasons() == {}


def test_steps_can_be_asked_for_again(bench: Bench) -> None:
    bench.up()
    with bench.context() as context:
        found = make_plan(context, {"configure": "the service is down", "unknown": "x"})
    assert {item.step.name: item.reason for item in found.steps if item.needed} == {
        "reach": CHECKED, "configure": "the service is down", "healthcheck": "configure runs before it",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("place", "runs"),
    [
        ("setup", ["setup", "configure", "healthcheck"]),
        ("configure", ["configure", "healthcheck"]),
        ("healthcheck", ["healthcheck"]),
    ],
)
def test_a_hook_that_runs_again_is_followed_by_those_behind_it(bench: Bench, place: str, runs: list[str]) -> None:
    bench.up()
    bench.store.undo(bench.deployment.id, place)
    found = bench.reasons()
    assert list(found) == ["reach", *runs]
    assert [found[name] for name in runs] == ["not done yet", *(f"{before} runs before it" for before in runs[:-1])]


def test_disks_are_copied_only_where_they_can_be_and_only_before_a_live_release_is_replaced(bench: Bench) -> None:
    bench.grid.can_snapshot = True
    assert list(bench.reasons()) == STEPS, "nothing is live yet"
    bench.up()
    assert bench.reasons() == {}
    bench.tunnels.clear()
    assert "snapshot" not in bench.reasons(), "the machine is not changed"
    bench.write("src/page", "new")
    found = bench.reasons()
    assert list(found)[0] == "snapshot"
    assert found["snapshot"] == "before the machine is changed"
    assert "as release" in bench.plan().steps[0].text
    bench.grid.can_snapshot = False
    assert "snapshot" not in bench.reasons()


def test_the_plan_of_a_rollback_names_the_release_and_what_can_not_be_restored(bench: Bench) -> None:
    first = bench.up()
    bench.write("src/page", "new")
    bench.up()
    with bench.back(write=False) as context:
        plan = make_plan(context)
        facts = plan.to_dict(context)
    assert (facts["release"], facts["not_restored"]) == (first.id, ["data that the app wrote stays as it is now"])
    json.dumps(facts)
    assert [item.step.name for item in plan.steps if item.needed] == STEPS[2:3] + STEPS[4:]
    assert next(item.text for item in plan.steps if item.step.name == "ship").startswith(f"release {first.label}, to ")
    with bench.context() as context:
        assert make_plan(context).to_dict(context)["release"] is None


# After a run that was cut off


@pytest.mark.parametrize("outcome", [None, "failed", "interrupted"])
def test_a_run_that_did_not_end_is_settled_by_the_next_one_even_with_nothing_left_to_do(
    bench: Bench, outcome: str | None
) -> None:
    bench.up()
    run = bench.store.start_run(bench.deployment, "up")
    if outcome:
        bench.store.end_run(run, outcome)
    plan = bench.plan()
    assert (plan.needed, plan.unsettled, [item.step.name for item in plan.steps if item.needed]) == (True, True, [])
    bench.up()
    assert (bench.deployment.status, bench.last_run["outcome"], bench.outcomes()) == ("running", "succeeded", {})
    assert not bench.plan().needed


def test_a_deployment_that_is_called_failed_is_settled_too(bench: Bench) -> None:
    assert not bench.plan().unsettled, "a new one was never begun"
    bench.up()
    bench.store.save(replace(bench.deployment, status="failed"))
    assert bench.plan().unsettled


def test_the_last_run_is_told_when_it_did_not_get_to_its_end(bench: Bench) -> None:
    bench.up()
    told: dict[str, str] = {}
    started = {"up": {}, "rollback": {"release": "r7"}}
    for kind, outcome, steps in (
        ("up", None, {"infrastructure": "done", "ship": None}), ("up", "failed", {"setup": "failed"}),
        ("rollback", "interrupted", {"infrastructure": "done", "setup": "undone"}), ("up", None, {"infrastructure": "done"}),
        ("up", None, {}), ("up", "succeeded", {}),
    ):  # fmt: skip
        run = bench.store.start_run(bench.deployment, kind, started[kind])
        for name, ended in steps.items():
            bench.store.begin_step(run, bench.deployment.id, name, {})
            if ended:
                bench.store.end_step(run, bench.deployment.id, name, ended)
        if outcome:
            bench.store.end_run(run, outcome)
        bench.events.clear()
        tell_unfinished(bench.store, bench.stream(), bench.deployment)
        told[f"{kind} {outcome} {len(steps)}"] = " ".join(bench.notices()).replace(f"number {run}", "number N")
    assert told == {
        "up None 2": "the last run (up, number N) was cut off in step ship; looking at what is there",
        "up failed 1": "the last run (up, number N) failed in step setup; looking at what is there",
        "rollback interrupted 2": "the last run (rollback to release r7, number N) was stopped in step setup; "
        "looking at what is there",
        "up None 1": "the last run (up, number N) was cut off between two steps; looking at what is there",
        "up None 0": "the last run (up, number N) was cut off before its first step; looking at what is there",
        "up succeeded 0": "",
    }


def test_a_run_that_was_cut_off_is_told_by_the_next_one_and_not_by_a_plan(bench: Bench) -> None:
    bench.up()
    bench.store.start_run(bench.deployment, "up")
    with bench.context():
        assert bench.notices() == []
    with bench.context(write=True):
        assert bench.notices() == ["the last run (up, number 2) was cut off before its first step; looking at what is there"]


@pytest.mark.parametrize(
    ("data", "live", "silent", "nodes"),
    [
        ({}, [], False, {}),
        ({"nodes": {"vm": [7]}, "planned_nodes": {"vm": [8]}}, [8], False, {"vm": [7]}),
        ({"planned_nodes": {"vm": [8]}}, [8], False, {"vm": [8]}),
        ({"planned_nodes": {"vm": [8]}}, [], False, {}),
        ({"planned_nodes": {"vm": [8]}}, [9], False, {}),
        ({"planned_nodes": {"vm": [8]}}, [], True, {"vm": [8]}),
    ],
)  # fmt: skip
def test_a_machine_that_a_crash_may_have_left_is_looked_for_where_it_was_planned(
    bench: Bench, data: dict[str, Any], live: list[int], silent: bool, nodes: dict[str, list[int]]
) -> None:
    bench.grid.live = {node: contract(node, node) for node in live}
    bench.grid.silent = GridError("it can't list contracts") if silent else None
    assert _placed(bench.grid, Deployment("d", "my-app", "main", "failed", 1.0, 1.0, data)) == nodes


def test_a_plan_needs_every_value_that_the_app_requires(bench: Bench) -> None:
    (bench.folder / "tfgrid-compose.yaml").write_text("name: my-app\nenvironment:\n  - {name: TOKEN, required: true}\n")
    with pytest.raises(ManifestError, match="the app needs a value for TOKEN") as caught:
        bench.reasons()
    assert caught.value.code == "variable-missing"


def test_a_deployment_keeps_its_pattern(bench: Bench, home: Path) -> None:
    bench.up()
    with pytest.raises(ManifestError) as caught:
        bench.reasons(pattern="k3s")
    assert caught.value.code == "pattern-changed"


def test_a_pattern_that_the_app_does_not_support_is_refused(bench: Bench) -> None:
    (bench.folder / "tfgrid-compose.yaml").write_text(
        "name: my-app\npatterns: {recommended: single-vm, supported: [single-vm]}\n"
    )
    with pytest.raises(ManifestError) as caught:
        bench.reasons(pattern="gateway")
    assert caught.value.code == "pattern-unsupported"


# What hooks get

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,8}X", fullmatch=True), TEXT, max_size=6))
def test_a_shell_reads_every_value_back_exactly(values: dict[str, str]) -> None:
    script = shell_assignments(values) + "".join(f'printf "%s\\0" "${name}"\n' for name in values)
    done = subprocess.run(["sh"], input=script.encode(), capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == list(values.values())


def test_a_name_in_an_environment_file_is_never_executed(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("$(touch${IFS}marker)=1\n")
    try:
        text = shell_assignments(envfile.read_file(file))
    except ManifestError:
        return
    subprocess.run(["sh"], input=text.encode(), cwd=tmp_path, capture_output=True)
    assert not (tmp_path / "marker").exists()


def test_hooks_get_addresses_identity_and_the_apps_own_values(bench: Bench) -> None:
    (bench.folder / "tfgrid-compose.yaml").write_text(
        "name: my-app\nversion: 1.10\nenvironment:\n"
        "  - {name: DOMAIN, default: example.org}\n  - {name: LC_ALL, default: de_DE}\n"
    )
    with bench.context(write=True) as context:
        context.remember(machines=[MACHINE])
        found = hook_environment(context)
    expected = {
        "APP_NAME": "my-app", "DEPLOYMENT_ID": context.deployment.id, "PRIMARY_IP": "10.5.3.2", "TFGRID_WIREGUARD_IP": "10.5.3.2",
        "TFGRID_MYCELIUM_IP": "5ff::7", "TFGRID_NETWORK": "main", "DEPLOYMENT_NETWORK_PREFERENCE": "wireguard",
        "TFGRID_DOMAIN": "example.org", "DOMAIN": "example.org", "LC_ALL": "de_DE",
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected


def test_private_keys_are_found_in_a_configuration() -> None:
    assert private_keys("[Interface]\n PrivateKey = abc=\n[Peer]\nPublicKey = x\n") == ["abc="]
    assert private_keys("") == []


# What operators get


def deployment(**data: Any) -> Deployment:
    """A deployment with one machine."""
    return Deployment("a1b2c3d4", "my-app", "main", "running", 1.0, 1.0,
                      {"pattern": "single-vm", "machines": [MACHINE], "app_dir": "/app", **data})  # fmt: skip


def port(number: int, name: str = "", protocol: str = "tcp") -> dict[str, Any]:
    """A port of the manifest."""
    return {"number": number, "name": name, "protocol": protocol}


@pytest.mark.parametrize(
    ("ports", "address", "links"),
    [
        ([port(80)], "10.5.3.2", ["http://10.5.3.2/"]),
        ([port(443)], "10.5.3.2", ["https://10.5.3.2/"]),
        ([port(8080, "http"), port(8443, "https")], "10.5.3.2", ["http://10.5.3.2:8080/", "https://10.5.3.2:8443/"]),
        ([port(80, "http")], "5ff::7", ["http://[5ff::7]/"]),
        ([port(5432, "postgres"), port(22)], "10.5.3.2", []),
        ([], "10.5.3.2", []),
    ],
)
def test_ports_with_a_web_name_or_number_become_links(ports: list[dict[str, Any]], address: str, links: list[str]) -> None:
    assert operate.links(deployment(ports=ports, machines=[{**MACHINE, "address": address}])) == links


def test_a_deployment_without_a_machine_says_so() -> None:
    with pytest.raises(NotFoundError, match="my-app has no machine") as caught:
        operate.primary_address(deployment(machines=[]))
    assert caught.value.fix == "tfgrid-compose up /app"


def test_addresses_come_in_the_preferred_order() -> None:
    found = deployment(prefer=["mycelium", "ipv4", "wireguard"])
    assert addresses_of(found, MACHINE) == [("mycelium", "5ff::7"), ("wireguard", "10.5.3.2")]
    fresh = {key: value for key, value in MACHINE.items() if key != "address"}
    assert operate.primary_address(deployment(prefer=["mycelium"], machines=[fresh])) == "5ff::7"


@pytest.mark.parametrize(
    ("given", "service", "words"),
    [
        ({"lines": 50}, None, ["-n", "50"]),
        ({}, None, ["-n", "200"]),
        ({"since": "10m", "follow": True}, "nginx", ["-u", "nginx", "--since", "10 minutes ago", "-f"]),
        ({"since": "2h", "lines": 5}, None, ["--since", "2 hours ago", "-n", "5"]),
        ({"since": "2024-01-01 10:00; reboot"}, None, ["--since", "2024-01-01 10:00; reboot"]),
    ],
)
def test_the_log_command_is_one_safe_remote_line(given: dict[str, Any], service: str | None, words: list[str]) -> None:
    line = operate.journal_command(deployment(service=service), **{"follow": False, "since": None, "lines": None, **given})
    assert shlex.split(line) == ["journalctl", "--no-pager", "-o", "short-iso", *words]


def test_one_word_is_a_shell_line_and_several_are_a_program() -> None:
    assert operate.command_line(["ls | wc -l"]) == "ls | wc -l"
    assert operate.command_line(["echo", "a b", "$HOME"]) == "echo 'a b' '$HOME'"


@pytest.fixture
def with_commands(app_folder: Path) -> Deployment:
    """An app that brings commands."""
    (app_folder / "tfgrid-compose.yaml").write_text(
        "name: my-app\ncommands:\n  backup: {script: deployment/backup.sh --full}\n"
        "  top: {script: /usr/bin/top}\n  uptime: {script: echo mine}\n"
    )
    (app_folder / "deployment" / "backup.sh").write_text("#!/bin/sh\n")
    return deployment(app_dir=str(app_folder))


def inner(remote: str) -> str:
    """The shell line that a remote command line of an app's command runs, with the release's environment."""
    *start, environment, line = shlex.split(remote)
    assert start[:4] == ["exec", "/usr/bin/python3", "-I", "-c"] and environment.endswith("/current/.tfgrid/environment")
    return line


def test_commands_of_the_app_run_in_the_current_release(with_commands: Deployment) -> None:
    current = "/opt/tfgrid-compose/my-app/current"
    assert inner(operate.app_command(with_commands, "backup", ["a b"])) == f"{current}/deployment/backup.sh --full 'a b'"
    assert inner(operate.app_command(with_commands, "top", [])) == "/usr/bin/top"
    assert inner(operate.app_command(with_commands, "uptime", [])) == "echo mine", "the app's goes before the pattern's"
    assert inner(operate.app_command(with_commands, "disk", [])).startswith("df -h"), "the pattern's"
    assert f"{current}/.tfgrid/environment" in operate.app_command(with_commands, "disk", [])


def test_a_command_that_nobody_brings_lists_those_that_are_there(with_commands: Deployment) -> None:
    with pytest.raises(UsageError, match="there is no command `backpu`") as caught:
        operate.app_command(with_commands, "backpu", [])
    assert "backup" in caught.value.fix


def test_the_newest_log_of_a_hook_is_shown(home: Path, with_commands: Deployment) -> None:
    with Store() as store:
        folder = home / "state" / "tfgrid-compose" / "deployments" / "a1b2c3d4" / "logs"
        for run, text in ((9, "old"), (10, "new")):
            (folder / f"run-{run}").mkdir(parents=True)
            (folder / f"run-{run}" / "setup.log").write_text(text)
        assert operate.hook_log(store, with_commands, "setup").read_text() == "new"
        with pytest.raises(NotFoundError) as caught:
            operate.hook_log(store, with_commands, "setpu")
    assert "setup" in caught.value.why and "setup" in caught.value.fix


def test_a_login_uses_the_deployments_own_key_and_known_hosts(home: Path) -> None:
    with Store() as store:
        store.set_secret("a1b2c3d4", "ssh", json.dumps({"private": "KEY", "public": "pub"}).encode())
        target = target_of(store, deployment(), MACHINE)
    assert (target.address, target.alias) == ("10.5.3.2", "my-app-vm-1002")
    assert target.key.read_text() == "KEY"
    assert target.key.stat().st_mode & 0o777 == 0o600
    assert str(target.key).startswith(str(home / "run")), "in memory, never on a disk"


def test_problems_of_a_deployment_come_with_the_next_command() -> None:
    facts = {
        "status": "running",
        "tunnel": {"interface": "wg-a", "up": False},
        "machine": {"reachable": False, "why": "no route"},
    }
    assert operate._problems(facts, "", "r1") == [
        "the tunnel wg-a is down; `tfgrid-compose up` brings it back", "the machine does not answer: no route",
    ]  # fmt: skip
    facts = {"name": "a", "status": "running", "tunnel": None, "machine": {"reachable": False, "why": "no route"}}
    assert operate._problems(facts, "", "r1") == [
        "the machine does not answer: no route; `tfgrid-compose drift a` says what is missing"
    ]
    facts = {"status": "running", "tunnel": None, "machine": {"reachable": True, "service": "failed"}}
    assert operate._problems(facts, "r0", "r1") == [
        "release r0 is current on the machine, r1 was deployed", "its service is failed; `tfgrid-compose logs` says why",
    ]  # fmt: skip
    facts = {"status": "running", "tunnel": None, "machine": {"reachable": True, "service": "active"}}
    assert operate._problems(facts, "r1", "r1") == []
    assert "`tfgrid-compose up` goes on" in operate._problems({**facts, "status": "failed"}, "r1", "r1")[0]
    assert "`tfgrid-compose down` goes on" in operate._problems({**facts, "status": "destroying"}, "r1", "r1")[0]


class Asked:
    """A grid that notes which of its methods are called."""

    def __init__(self, grid: object) -> None:
        self._grid, self.calls = grid, list[str]()

    def __getattr__(self, name: str) -> object:
        found = getattr(self._grid, name)
        if callable(found):
            self.calls.append(name)
        return found


def test_an_up_with_nothing_to_do_asks_only_whether_its_contracts_live(
    bench: Bench, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.manifest("budget: 100\nplacement: {countries: [Belgium]}\n")
    bench.up()
    asked = Asked(bench.grid)
    monkeypatch.setattr(bench, "grid", asked)
    code, out, _ = call("up", str(bench.folder), "--network", "main")
    assert code == 0 and "nothing to do" in out
    assert [name for name in asked.calls if name != "payer"] == ["prepare", "alive"]
    asked.calls.clear()
    assert call("ps")[0] == 0 and asked.calls == []


# Whose values an app gets


def test_the_plan_names_where_each_value_comes_from_and_no_value(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("BY_OPTION", "BY_FILE", "AWS_SECRET_ACCESS_KEY", "KEPT", "GIT_TOKEN", "DEFAULT", "MNEMONIC")
    declared = "".join(f"  - {{name: {name}}}\n" for name in names)
    bench.manifest("environment:\n" + declared.replace("{name: DEFAULT}", "{name: DEFAULT, default: d}"))
    bench.write(".env", "BY_FILE=value-1\nEXTRA=value-2\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "value-3")
    monkeypatch.setenv("MNEMONIC", "value-4")
    git.keep(bench.store, git.Server("forge.example.com", "forgejo", "ada", Secret("value-5")))
    settings_of_user.save(settings_of_user.Settings(git=settings_of_user.GitIdentity(name="value-6")))
    bench.store.set_app_secret(folder_owner(bench.folder), "KEPT", "value-7")
    with bench.context(variables={"BY_OPTION": "value-8"}) as context:
        plan = make_plan(context)
        text, facts = click.unstyle(plan_text(context, plan)), json.loads(plan_json(context, plan))
    file = str(bench.folder / ".env")
    assert facts["values"] == [
        {"name": "AWS_SECRET_ACCESS_KEY", "from": "process"}, {"name": "BY_FILE", "from": "file", "file": file},
        {"name": "BY_OPTION", "from": "option"}, {"name": "EXTRA", "from": "file", "file": file}, {"name": "GIT_TOKEN", "from": "git"},
        {"name": "KEPT", "from": "secrets"}, {"name": "TFGRID_GIT_NAME", "from": "git"},
    ]  # fmt: skip
    for line in (
        "  Values from the environment of this command: AWS_SECRET_ACCESS_KEY", f"  Values from {file}: BY_FILE, EXTRA",
        "  Values from --var: BY_OPTION", "  Values from `signin git`: GIT_TOKEN, TFGRID_GIT_NAME", "  Values from `secrets set`: KEPT",
    ):  # fmt: skip
        assert line in text.splitlines()
    assert "value-" not in text and "value-" not in json.dumps(facts)


def test_values_of_an_earlier_run_and_of_a_release_are_named_too(bench: Bench) -> None:
    bench.manifest("environment: [{name: A}]\n")
    bench.up(variables={"A": "1"})
    with bench.context() as context:
        assert make_plan(context).to_dict(context)["values"] == [{"name": "A", "from": "last-up"}]
    bench.write("page.html", "new")
    bench.up()
    release = bench.rollback()
    assert release.number == 1
