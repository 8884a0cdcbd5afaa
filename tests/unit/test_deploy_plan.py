"""The plan with its reasons, the engine that runs it, and what hooks and operators get of a deployment."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfgrid_compose.deploy import engine, operate
from tfgrid_compose.deploy.context import Context, addresses_of, target_of
from tfgrid_compose.deploy.options import UpOptions
from tfgrid_compose.deploy.plan import Plan, PlannedStep, make_plan
from tfgrid_compose.deploy.steps.activate import Activate
from tfgrid_compose.deploy.steps.base import Step
from tfgrid_compose.deploy.steps.hooks import Tolerated
from tfgrid_compose.deploy.steps.infrastructure import private_keys
from tfgrid_compose.deploy.steps.reach import Reach
from tfgrid_compose.deploy.steps.ship import hook_environment, shell_assignments
from tfgrid_compose.deploy.steps.tunnel import Tunnel
from tfgrid_compose.deploy.up import prepared
from tfgrid_compose.drivers import wireguard
from tfgrid_compose.errors import HookError, ManifestError, NotFoundError, UsageError
from tfgrid_compose.manifest import envfile
from tfgrid_compose.observe.events import Event, Stream
from tfgrid_compose.state.store import Deployment, Store

MACHINE = {
    "name": "vm", "role": "vm", "node": 7, "contract": "1002", "private_ip": "10.5.3.2", "wireguard_ip": "10.5.3.2",
    "mycelium_ip": "5ff::7", "ipv4_address": "", "ipv6_address": "", "address": "10.5.3.2",
}  # fmt: skip


class Bench:
    """An app on network `main`, whose node is given, so that no grid is asked."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.store = folder, store
        self.events: list[Event] = []
        self.outcomes: dict[str, str] = {}
        self.run: dict[str, Any] = {}
        self.status = ""

    @contextmanager
    def context(self, write: bool = False, **given: Any) -> Iterator[Context]:
        """A context as `up` and `plan` have it."""
        stream = Stream()
        stream.subscribe(self.events.append)
        options = UpOptions(target=self.folder, network="main", **{"node": 7, **given})
        with prepared(self.store, stream, options, lambda variable: None, write=write) as context:
            yield context

    def pretend_done(self, **given: Any) -> None:
        """Remember every step as done, with a machine that runs."""
        with self.context(write=True, **given) as context:
            context.public_key()
            context.store.set_secret(context.deployment.id, "wireguard", b"[Interface]\n")
            context.remember(machines=[MACHINE], contracts=[1002], nodes=context.nodes, overrides=context.overrides, release="r1")
            run = self.store.start_run(context.deployment.id, "up")
            for item in make_plan(context).steps:
                self.store.begin_step(run, context.deployment.id, item.step.name, item.step.inputs(context))
                self.store.end_step(run, context.deployment.id, item.step.name, "done", "")
            self.store.end_run(run, "succeeded")
            context.deployment = self.store.save(replace(context.deployment, status="running"))

    def reasons(self, **given: Any) -> dict[str, str]:
        """{step: reason} of the steps that a plan would run."""
        with self.context(**given) as context:
            return {item.step.name: item.reason for item in make_plan(context).steps if item.needed}


@pytest.fixture
def bench(home: Path, app_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench on a computer without tunnels, where what was made is still there."""
    monkeypatch.setattr(wireguard, "host_routes", list)
    monkeypatch.setattr(wireguard, "host_interfaces", set)
    monkeypatch.setenv("TF_VAR_mnemonic", "words of a test")
    for step in (Reach, Activate, Tunnel):
        monkeypatch.setattr(step, "probe", lambda self, context: True)
    with Store() as store:
        yield Bench(app_folder, store)


STEPS = ["infrastructure", "tunnel", "reach", "platform", "ship", "setup", "configure", "healthcheck", "activate"]


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
    bench.pretend_done()
    assert bench.reasons() == {}


def test_a_changed_source_runs_only_what_depends_on_it(bench: Bench) -> None:
    bench.pretend_done()
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
    bench.pretend_done()
    found = bench.reasons(**given)
    assert found["infrastructure"] == reason
    assert "healthcheck" in found, "it is proven that the app still works"
    assert not {"platform", "ship", "setup"} & set(found)


def test_another_node_makes_everything_anew(bench: Bench) -> None:
    bench.pretend_done()
    found = bench.reasons(node=8)
    assert found["infrastructure"].startswith("node 7 -> 8, a new machine: the data of the old one is lost")
    assert list(found) == STEPS
    assert found["platform"] == found["ship"] == "the machine is new"


def test_secrets_change_the_plan_and_are_not_in_it(bench: Bench) -> None:
    (bench.folder / "tfgrid-compose.yaml").write_text("name: my-app\nenvironment:\n  - {name: TOKEN, secret: true}\n")
    bench.pretend_done(variables={"TOKEN": "hunter2-hunter2"})
    with bench.context(variables={"TOKEN": "other-secret-value"}) as context:
        plan = make_plan(context)
        text = json.dumps(plan.to_dict(context)) + json.dumps([item.step.inputs(context) for item in plan.steps])
    assert {item.step.name: item.reason for item in plan.steps}["ship"] == "environment changed"
    assert "hunter2" not in text and "other-secret-value" not in text
    assert "hunter2" not in (bench.store.path.read_bytes()).decode(errors="replace")


def test_what_is_gone_is_made_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.pretend_done()
    monkeypatch.setattr(Tunnel, "probe", lambda self, context: False)
    assert bench.reasons() == {"tunnel": "what it made is gone", "reach": "checked before anything is changed"}


def test_a_plan_needs_every_value_that_the_app_requires(bench: Bench) -> None:
    (bench.folder / "tfgrid-compose.yaml").write_text("name: my-app\nenvironment:\n  - {name: TOKEN, required: true}\n")
    with pytest.raises(ManifestError, match="the app needs a value for TOKEN") as caught:
        bench.reasons()
    assert caught.value.code == "variable-missing"


def test_a_deployment_keeps_its_pattern(bench: Bench, home: Path) -> None:
    bench.pretend_done()
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


# The engine


class Fake(Step):
    """A step that does what a test says."""

    def __init__(self, name: str, act: Any = None, probes: bool = True) -> None:
        self.name, self._act, self._probes, self.runs = name, act, probes, 0

    def describe(self, context: Context) -> str:
        """Its name."""
        return self.name

    def inputs(self, context: Context) -> dict[str, str]:
        """Always the same."""
        return {"a": "1"}

    def probe(self, context: Context) -> bool:
        """As told."""
        return self._probes

    def apply(self, context: Context) -> str:
        """As told."""
        self.runs += 1
        if isinstance(self._act, BaseException):
            raise self._act
        return "noted"


def execute(bench: Bench, *steps: Fake, needed: bool = True) -> tuple[dict[str, str], str]:
    """({step: outcome}, status of the deployment) after a run."""
    with bench.context(write=True) as context:
        plan = Plan(tuple(PlannedStep(step, step.name, "x" if needed else "") for step in steps), 0.0, True)
        try:
            engine.execute(context, plan)
        finally:
            outcomes = {item["name"]: item["outcome"] for item in bench.store.steps(context.run)}
            bench.outcomes, bench.run = outcomes, bench.store.runs(context.deployment.id, 1)[0]
            bench.status = bench.store.deployments()[0].status
    return outcomes, bench.store.deployments()[0].status


def test_a_run_that_succeeds_is_journalled_step_by_step(bench: Bench) -> None:
    assert execute(bench, Fake("one"), Fake("two")) == ({"one": "done", "two": "done"}, "running")
    kinds = [event.kind for event in bench.events]
    assert kinds == ["run-started", "step-started", "step-ended", "step-started", "step-ended", "run-ended"]
    (found,) = bench.store.deployments()
    assert bench.store.done(found.id) == {"one": {"a": "1"}, "two": {"a": "1"}}


def test_a_failing_step_ends_the_run_and_is_not_done(bench: Bench) -> None:
    last = Fake("last")
    with pytest.raises(HookError):
        execute(bench, Fake("one"), Fake("two", HookError("it broke", why="so")), last)
    assert (bench.outcomes, bench.status) == ({"one": "done", "two": "failed"}, "failed")
    assert last.runs == 0
    assert bench.run["outcome"] == "failed"
    assert bench.run["error"]["what"] == "it broke"
    assert list(bench.store.done(bench.store.deployments()[0].id)) == ["one"]


def test_a_tolerated_failure_goes_on(bench: Bench) -> None:
    outcomes, status = execute(bench, Fake("one", Tolerated("never mind")), Fake("two"))
    assert (outcomes, status) == ({"one": "tolerated", "two": "done"}, "running")


def test_a_run_that_the_user_stops_is_interrupted(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        execute(bench, Fake("one", KeyboardInterrupt()))
    assert bench.run["outcome"] == "interrupted"
    assert bench.events[-1].to_dict()["error"]["code"] == "interrupted"


def test_a_step_that_the_plan_left_out_stays_out_unless_it_changed(bench: Bench) -> None:
    execute(bench, Fake("one"))
    again = Fake("one")
    execute(bench, again, needed=False)
    assert again.runs == 0
    fresh = Fake("never done")
    execute(bench, fresh, needed=False)
    assert fresh.runs == 1


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


def inner(line: str) -> str:
    """What bash runs on the machine, after the environment was loaded."""
    words = shlex.split(line)
    assert words[:2] == ["bash", "-c"] and len(words) == 3
    return words[2].split("set +a; ")[1]


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
    facts = {"status": "running", "tunnel": None, "machine": {"reachable": True, "service": "failed"}}
    assert operate._problems(facts, "r0", "r1") == [
        "release r0 is current on the machine, r1 was deployed", "its service is failed; `tfgrid-compose logs` says why",
    ]  # fmt: skip
    facts = {"status": "running", "tunnel": None, "machine": {"reachable": True, "service": "active"}}
    assert operate._problems(facts, "r1", "r1") == []
    assert "`tfgrid-compose up` goes on" in operate._problems({**facts, "status": "failed"}, "r1", "r1")[0]
    assert "`tfgrid-compose down` goes on" in operate._problems({**facts, "status": "destroying"}, "r1", "r1")[0]
