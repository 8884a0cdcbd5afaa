"""What single steps do on a machine and say when it goes wrong: the real shell scripts, on a machine that is a folder."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.workbench import REAL_HOOK, Bench, FakeTerraform, contract
from tfgrid_compose.deploy import operate
from tfgrid_compose.deploy.steps import ship, tunnel
from tfgrid_compose.deploy.steps.hooks import Ending, Hook
from tfgrid_compose.deploy.steps.ship import dotenv
from tfgrid_compose.deploy.tfstate import contracts_in
from tfgrid_compose.drivers.process import Finished
from tfgrid_compose.errors import HookError, PatternError, ReachError, StateError, TunnelError
from tfgrid_compose.manifest.envfile import read_file
from tfgrid_compose.observe.events import StepProgress


def on_machine(bench: Bench, place: str, act: Callable[[], Any]) -> None:
    """Do something on the machine when a step is reached, the first time."""
    real, done = bench.fail_at, list[str]()

    def fail_at(now: str) -> None:
        if now == place and not done:
            done.append(now)
            act()
        real(now)

    bench.fail_at = fail_at  # type: ignore[method-assign]


# ship


@pytest.mark.parametrize(
    ("stderr", "why", "code", "fix"),
    [
        (
            "tar: x: Cannot write: No space left on device",
            "the machine's disk is full",
            "machine-disk-full",
            "ask for a larger --disk",
        ),
        ("gzip: stdin: unexpected end of file", "gzip: stdin: unexpected end of file", "ship-failed", "tfgrid-compose up"),
        ("", "tar failed", "ship-failed", "tfgrid-compose up"),
    ],
)
def test_a_machine_that_does_not_take_the_source_says_why(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, stderr: str, why: str, code: str, fix: str
) -> None:
    real = bench.machine.run
    monkeypatch.setattr(
        bench.machine,
        "run",
        lambda command, **given: Finished((), 1, "", stderr) if given.get("input") else real(command, **given),
    )
    with pytest.raises(HookError, match="the source could not be unpacked on the machine") as caught:
        bench.up(retry=False)
    assert why in [caught.value.why, *caught.value.details]
    assert (caught.value.code, caught.value.fix) == (code, fix)
    assert bench.statuses == {1: "failed"}


def test_hooks_find_the_layout_of_the_bash_tool(bench: Bench) -> None:
    for name in ("src/page", "src/sub/x", "deployment/extra", "README.md", "data/y"):
        bench.write(name, name)
    bench.write(".env", "A=1 2\n")
    bench.up()
    source, hooks = bench.machine.folder / "tmp" / "app-source", bench.machine.folder / "tmp" / "app-deployment"
    assert sorted(str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()) == [
        ".env", "README.md", "data/y", "page", "sub/x", "tfgrid-compose.yaml",
    ]  # fmt: skip
    assert {path.name for path in hooks.iterdir()} == {
        "setup.sh", "configure.sh", "healthcheck.sh", "extra", "state.yaml", "get_deployment_ip_vm.sh", ".release",
    }  # fmt: skip
    assert ((source / ".env").read_text(), (source / ".env").stat().st_mode & 0o777) == ("A='1 2'\n", 0o600)
    done = subprocess.run([hooks / "get_deployment_ip_vm.sh", hooks / "state.yaml"], capture_output=True, text=True)
    assert done.stdout == "10.5.3.2\n"


@pytest.mark.parametrize("name", ["primary_ip_type", "deployment_name"])
def test_a_value_of_strangers_reaches_no_file(bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = FakeTerraform.apply
    monkeypatch.setattr(FakeTerraform, "apply", lambda self: {**real(self), name: "1\nprimary_ip: 6.6.6.6"})
    with pytest.raises(PatternError, match="can't use"):
        bench.up()


def test_the_type_of_the_primary_address_is_that_of_the_address_which_is_written(bench: Bench) -> None:
    bench.up()  # Terraform's own primary address is another one when the machine was reached over WireGuard.
    text = (bench.machine.folder / "tmp" / "app-deployment" / "state.yaml").read_text()
    assert "primary_ip: 10.5.3.2\nprimary_ip_type: wireguard\n" in text


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_shell_reads_the_dotenv_file_exactly(value: str) -> None:
    done = subprocess.run(["sh", "-c", f'set -a\n{dotenv({"A": value})}\nprintf "%s" "$A"'], capture_output=True)
    assert done.stdout == value.encode()


@pytest.mark.parametrize(
    "value", ["", "plain", "it's", "a b", 'say "x"', "$HOME", "a#b", "two\nlines", "back\\slash", "`id`", 'it\'s "both"']
)
def test_our_own_reader_takes_the_dotenv_file_that_we_write(tmp_path: Path, value: str) -> None:
    path = tmp_path / "file.env"
    path.write_text(dotenv({"A": value, "B": "after"}))
    assert read_file(path) == {"A": value, "B": "after"}


def test_a_value_of_strangers_adds_no_line_to_state_yaml() -> None:
    evil = "1\nprimary_ip: 6.6.6.6\x1b]0;x\x07\u2028app_name: y"
    context: Any = SimpleNamespace(
        deployment=SimpleNamespace(name="my-app", id="d" * 16, data={"outputs": {"primary_ip_type": evil, "deployment_name": evil}}),
        app=SimpleNamespace(manifest=SimpleNamespace(version=evil)), pattern=SimpleNamespace(pattern=SimpleNamespace(name="p")),
        hook_machine=lambda: {"address": "10.5.3.2", "mycelium_ip": evil},
    )  # fmt: skip
    text = ship._state_yaml(context)
    assert [line.partition(":")[0] for line in text.splitlines()] == [
        "app_name", "app_version", "deployment_id", "pattern_name", "primary_ip", "primary_ip_type", "deployment_name",
        "wireguard_address", "mycelium_address", "ipv4_address", "ipv6_address", "vm_ip", "mycelium_ip",
    ]  # fmt: skip
    assert "app_version: 1 primary_ip: 6.6.6.6 app_name: y\n" in text


def test_a_second_up_leaves_nothing_of_the_first_in_the_layout(bench: Bench) -> None:
    bench.write("src/old", "x")
    bench.up()
    (bench.folder / "src" / "old").unlink()
    bench.up()
    assert not (bench.machine.folder / "tmp" / "app-source" / "old").exists()


# activate


def change(bench: Bench) -> None:
    (bench.machine.root / "releases" / bench.deployment.data["shipped"] / "deployment" / "setup.sh").write_text("changed")


def remove(bench: Bench) -> None:
    (bench.machine.root / "releases" / bench.deployment.data["shipped"] / "deployment" / "setup.sh").unlink()


def change_with_its_sum(bench: Bench) -> None:
    folder = bench.machine.root / "releases" / bench.deployment.data["shipped"]
    (folder / "deployment" / "setup.sh").write_text("changed")
    names = [line.split("  ", 1)[1] for line in (folder / ".tfgrid" / "sha256sums").read_text().splitlines()]
    done = subprocess.run(["sha256sum", "--", *names], cwd=folder, capture_output=True, check=True)
    (folder / ".tfgrid" / "sha256sums").write_bytes(done.stdout)


@pytest.mark.parametrize("harm", [change, remove, change_with_its_sum])
def test_a_release_whose_files_changed_on_the_machine_never_goes_live(bench: Bench, harm: Callable[[Bench], None]) -> None:
    bench.manifest("on_failure: keep\n")
    first = bench.up()
    bench.write("src/page", "two")
    on_machine(bench, "healthcheck", lambda: harm(bench))
    with pytest.raises(HookError, match="the new release could not be made current") as caught:
        bench.up()
    assert caught.value.why == "its files on the machine are not the ones that were shipped"
    assert (caught.value.code, bench.machine.current, bench.live.id) == ("activate-failed", first.id, first.id)
    assert bench.statuses == {1: "live", 2: "failed"}


def test_files_that_a_hook_adds_are_no_change_of_the_release(bench: Bench) -> None:
    def add() -> None:
        (bench.machine.root / "releases" / bench.deployment.data["shipped"] / "cache").write_text("made by the app")

    on_machine(bench, "healthcheck", add)
    assert bench.up().number == 1
    assert bench.reasons() == {}


def test_a_link_that_can_not_be_set_is_told(bench: Bench) -> None:
    on_machine(bench, "healthcheck", lambda: (bench.machine.root / "current").mkdir())
    with pytest.raises(HookError, match="the new release could not be made current"):
        bench.up()


# infrastructure


def test_contracts_of_a_state_are_found_wherever_the_provider_keeps_them() -> None:
    state = (
        b'{"resources": [{"instances": [{"attributes": {"id": "7", "node": 99, "contract_id": 8}},'
        b'{"attributes": {"node_deployment_id": {"1": 9, "2": "10"}, "id": "a-name", "name_contract_id": null}}]},'
        b'{"instances": [{"attributes": null}]}, {}]}'
    )
    assert contracts_in(state) == {7, 8, 9, 10}
    assert contracts_in(None) == contracts_in(b"{}") == set()
    with pytest.raises(StateError) as caught:
        contracts_in(b"no json")
    assert caught.value.code == "tfstate-damaged"


@pytest.mark.parametrize("adopts", [True, False])
def test_what_a_crash_left_is_taken_over_or_cancelled_before_anything_is_made(bench: Bench, adopts: bool) -> None:
    bench.grid.adopts = adopts  # type: ignore[misc]
    bench.grid.live = {1500: contract(1500)}
    bench.next_contract = 1600
    bench.up()
    assert bench.deployment.data["contracts"] == ([1500] if adopts else [1601])
    assert ("cancel [1500]" in bench.grid.done) is not adopts
    told = [event.text for event in bench.events if isinstance(event, StepProgress) and "1 contract " in event.text]
    assert told == [f"{'taking over' if adopts else 'cancelling'} 1 contract that an earlier run left"]


# tunnel, reach


def test_without_a_configuration_there_is_no_tunnel(bench: Bench) -> None:
    bench.up()
    with bench.context() as context:
        bench.store.set_secret(context.deployment.id, "wireguard", None)
        with pytest.raises(TunnelError) as caught:
            tunnel.Tunnel().apply(context)
    assert caught.value.code == "tunnel-no-access-point"


def test_a_range_that_is_taken_meanwhile_is_no_tunnel(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel.wireguard, "overlapping", lambda ip_range, interface: f"{ip_range} dev eth9")
    with pytest.raises(TunnelError) as caught:
        bench.up()
    assert caught.value.code == "route-conflict"
    assert "dev eth9" in " ".join([caught.value.why, *caught.value.details])


def test_a_machine_without_an_address_can_not_be_reached(bench: Bench) -> None:
    bench.up()
    bare = {**bench.deployment.machines[0], "wireguard_ip": "", "mycelium_ip": "", "address": ""}
    bench.store.save(bench.deployment.with_data(machines=[bare]))
    bench.store.undo(bench.deployment.id, "reach")
    with pytest.raises(ReachError, match="has no address that can be reached from here") as caught:
        bench.up()
    assert caught.value.code == "no-address"


# Hooks


@pytest.mark.parametrize(
    ("ending", "seconds", "why", "code"),
    [
        (Ending(code=1), 0.24, "it exited with 1 after 0.2 s", "hook-failed"),
        (Ending(code=124), 3.0, "it exited with 124 after 3.0 s", "hook-failed"),
        (Ending(code=137), 601.0, "it exited with 137 after 601.0 s", "hook-failed"),
        (Ending(code=255), 0.1, "it exited with 255 after 0.1 s", "hook-failed"),
        (Ending("timeout"), 600.0, "it did not end within 600 s and was stopped", "hook-timeout"),
        (Ending("signal", 9), 5.0, "it was ended by signal 9 after 5.0 s", "hook-failed"),
        (Ending("stopped"), 5.0, "it was ended by signal 15 after 5.0 s", "hook-failed"),
        (Ending(code=126), 0.0, "its interpreter or a program in it was not found (exit code 126)", "hook-failed"),
        (Ending(code=127), 0.0, "its interpreter or a program in it was not found (exit code 127)", "hook-failed"),
        (Ending("unstarted", why="Exec format error"), 0.0, "it could not be started: Exec format error", "hook-failed"),
    ],
)
def test_an_ending_is_explained(bench: Bench, ending: Ending, seconds: float, why: str, code: str) -> None:
    bench.up()
    with bench.context() as context:
        context.run = 7
        error = Hook("setup")._error(context, ending, ["", *"abcdefgh", " "], 600, seconds)
        silent = Hook("setup")._error(context, ending, ["", " "], 600, seconds)
    assert (error.what, error.why, error.code, error.exit_code) == ("hook setup failed", why, code, 9)
    assert (error.details, silent.details) == (list("cdefgh"), ["it printed nothing"])
    assert error.fix.startswith("tfgrid-compose logs my-app --hook setup --run 7 shows all of its output; mend it and run ")
    assert (error.log or "").endswith("/logs/run-7/setup.log")


def test_a_hook_that_fails_is_told_with_what_it_printed(bench: Bench) -> None:
    bench.codes["setup"] = 1
    with pytest.raises(HookError, match="hook setup failed") as caught:
        bench.up()
    assert caught.value.details[0] == f"setup of {bench.deployment.data['shipped']}"
    assert f"--hook setup --run {bench.last_run['id']} " in caught.value.fix


def test_an_optional_hook_that_fails_is_tolerated(bench: Bench) -> None:
    bench.manifest("hook_config: {configure: {optional: true}}\n")
    bench.codes["configure"] = 1
    assert bench.up().number == 1
    assert bench.outcomes()["configure"] == "tolerated"


@pytest.fixture
def real_hooks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Hooks run for real, as this user, in the folder that is the machine."""
    monkeypatch.setattr(Hook, "_run", REAL_HOOK)
    return bench


def run_dir(bench: Bench) -> Path:
    return bench.machine.folder / "run" / "tfgrid-compose" / "hooks"


def test_a_hook_runs_with_the_apps_environment_and_its_output_is_kept(real_hooks: Bench) -> None:
    real_hooks.manifest('environment:\n  - {name: WORD, default: "it\'s $HOME"}\n')
    real_hooks.write(
        "deployment/setup.sh",
        '#!/bin/sh\necho "$WORD in $(basename "$PWD")"\necho "⚠ careful"\necho error >&2\ncat /dev/stdin\necho "$TFGRID_HOOK $APP_NAME"\n',
    )
    real_hooks.up()
    log = (
        real_hooks.folder.parent
        / "home"
        / "state"
        / "tfgrid-compose"
        / "deployments"
        / real_hooks.deployment.id
        / "logs"
        / "run-1"
    )
    assert (log / "setup.log").read_text() == "it's $HOME in app-deployment\n⚠ careful\nerror\nsetup my-app\n"
    told = {
        event.text: event.milestone for event in real_hooks.events if isinstance(event, StepProgress) and event.step == "setup"
    }
    assert told == {"it's $HOME in app-deployment": False, "⚠ careful": True, "error": False, "setup my-app": False}
    assert list(run_dir(real_hooks).iterdir()) == [], "nothing of its output stays on the machine"


def test_the_exit_code_of_a_hook_decides_whatever_it_prints(real_hooks: Bench) -> None:
    real_hooks.write("deployment/setup.sh", "#!/bin/sh\necho all is well\nexit 3\n")
    with pytest.raises(HookError) as caught:
        real_hooks.up()
    assert [line for line in (caught.value.why, *caught.value.details) if line.startswith("it exited with 3 after ")]
    assert caught.value.details[0] == "all is well"
    assert Path(caught.value.log or "").read_text() == "all is well\n"


def test_a_hook_that_takes_too_long_is_stopped(real_hooks: Bench) -> None:
    real_hooks.manifest("hook_config: {setup: {timeout: 1}}\n")
    real_hooks.write("deployment/setup.sh", "#!/bin/sh\necho begun\nexec sleep 60\n")
    with pytest.raises(HookError) as caught:
        real_hooks.up()
    assert caught.value.code == "hook-timeout"
    assert "it did not end within 1 s and was stopped" in (caught.value.why, *caught.value.details)


def test_a_hook_of_a_run_that_was_cut_off_is_ended_before_the_next_one_begins(real_hooks: Bench) -> None:
    real_hooks.up()
    left = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        (run_dir(real_hooks) / "setup-0.pid").write_text(str(left.pid))
        (run_dir(real_hooks) / "setup-0.log").write_text("old output")
        real_hooks.store.undo(real_hooks.deployment.id, "setup")
        real_hooks.up()
        assert left.wait(20) == -15
    finally:
        left.kill()
        left.wait()
    assert list(run_dir(real_hooks).iterdir()) == []


def test_a_machine_that_has_lost_its_temporary_folders_gets_them_back_before_a_hook(real_hooks: Bench) -> None:
    real_hooks.write("src/page", "here")
    real_hooks.write("deployment/healthcheck.sh", "#!/bin/sh\ncat ../app-source/page\n")
    real_hooks.up()
    for name in ("app-source", "app-deployment"):
        subprocess.run(["rm", "-rf", real_hooks.machine.folder / "tmp" / name], check=True)
    real_hooks.store.undo(real_hooks.deployment.id, "healthcheck")
    real_hooks.up()
    assert real_hooks.outcomes()["healthcheck"] == "done"
    assert os.path.exists(real_hooks.machine.folder / "tmp" / "app-source" / "page")


@pytest.mark.parametrize("code", [1, 124, 126, 127, 137, 143, 255])
def test_a_hooks_own_exit_code_is_taken_for_nothing_else(real_hooks: Bench, code: int) -> None:
    real_hooks.manifest("hook_config: {configure: {optional: true}}\n")
    real_hooks.write("deployment/configure.sh", f"#!/bin/sh\nexit {code}\n")
    real_hooks.up()
    assert real_hooks.outcomes()["configure"] == "tolerated"
    real_hooks.write("deployment/healthcheck.sh", f"#!/bin/sh\nexit {code}\n")
    with pytest.raises(HookError, match="hook healthcheck failed") as caught:
        real_hooks.up(retry=False)
    assert caught.value.code == "hook-failed"
    assert f"{code}" in " ".join([caught.value.why, *caught.value.details])


def test_a_hook_gets_every_value_under_every_name_as_it_was_given(real_hooks: Bench) -> None:
    special = [
        "UID",
        "EUID",
        "PPID",
        "GROUPS",
        "RANDOM",
        "SECONDS",
        "LINENO",
        "IFS",
        "BASH_ARGV0",
        "SHELLOPTS",
        "BASH_ENV",
        "PS4",
    ]
    values = {name: f"a 'b' $c \\ \"{name}\" `d` é" for name in special}
    real_hooks.manifest(
        "environment:\n" + "".join(f"  - {{name: {name}, default: {json.dumps(text)}}}\n" for name, text in values.items())
    )
    # Not a shell: one would set some of them anew.
    script = "#!/usr/bin/python3 -I\nimport json, os\njson.dump(dict(os.environ), open('seen.json', 'w'))\n"
    real_hooks.write("deployment/setup.sh", script)
    real_hooks.up()
    seen = json.loads((real_hooks.machine.root / "work" / "app-deployment" / "seen.json").read_text())
    assert {name: seen.get(name) for name in values} == values
    assert seen["PWD"].endswith("/tmp/app-deployment")


def test_what_a_hook_leaves_in_the_background_goes_on_and_may_go_on_talking(real_hooks: Bench) -> None:
    real_hooks.write("deployment/setup.sh", "#!/bin/sh\n(sleep 0.6; echo still; echo here > late) &\necho done\n")
    real_hooks.up()
    late = real_hooks.machine.root / "work" / "app-deployment" / "late"
    for _ in range(200):
        if late.exists() and late.read_text():
            break
        time.sleep(0.05)
    assert late.read_text() == "here\n"


def test_output_without_bounds_is_cut_and_the_cut_is_told(real_hooks: Bench) -> None:
    script = (
        "#!/bin/sh\nhead -c 300000000 /dev/zero | tr '\\0' x; echo; echo short\n"
        "i=0; while [ $i -lt 900 ]; do printf '%16000s\\n' $i; i=$((i+1)); done; echo end\n"
    )
    real_hooks.write("deployment/setup.sh", script)
    real_hooks.up()
    with real_hooks.context() as context:
        log = context.folder / "logs" / "run-1" / "setup.log"
    text = log.read_text()
    lines = text.splitlines()
    assert "of this line are left out" in lines[0] and len(lines[0]) < 70_000
    assert (lines[1], lines[-1]) == ("short", "end")
    assert [line for line in lines if line.startswith("... ") and line.endswith(" bytes of output left out ...")]
    assert len(text) < 9 * 1024 * 1024


def test_hooks_run_in_a_folder_of_root_alone_that_tmp_only_points_to(real_hooks: Bench) -> None:
    real_hooks.up()
    machine, work = real_hooks.machine.folder, real_hooks.machine.root / "work"
    assert work.stat().st_mode & 0o777 == 0o700
    for name in ("app-deployment", "app-source"):
        assert (machine / "tmp" / name).readlink() == work / name


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_a_name_in_tmp_that_somebody_took_is_taken_back(real_hooks: Bench, tmp_path: Path, kind: str) -> None:
    real_hooks.up()
    theirs, place = tmp_path / "theirs", real_hooks.machine.folder / "tmp" / "app-deployment"
    theirs.mkdir()
    (theirs / "healthcheck.sh").write_text("#!/bin/sh\ntouch was-here\n")
    (theirs / ".release").write_text((place / ".release").read_text())
    place.unlink()
    if kind == "folder":
        theirs.rename(place)
    elif kind == "link":
        place.symlink_to(theirs)
    else:
        place.write_text("mine")
    real_hooks.store.undo(real_hooks.deployment.id, "healthcheck")
    real_hooks.up()
    assert place.readlink() == real_hooks.machine.root / "work" / "app-deployment"
    assert not (theirs / "was-here").exists()


def test_a_name_in_tmp_that_somebody_holds_stops_the_run(real_hooks: Bench) -> None:
    real_hooks.up()
    # Whoever wins the race for the name each time; here because nothing can be removed.
    for program in ("rm", "ln"):
        stub = real_hooks.machine.folder / "bin" / program
        stub.write_text("#!/bin/sh\nexit 0\n")
        stub.chmod(0o755)
    place = real_hooks.machine.folder / "tmp" / "app-deployment"
    place.unlink()
    place.mkdir()
    real_hooks.store.undo(real_hooks.deployment.id, "healthcheck")
    with pytest.raises(HookError) as caught:
        real_hooks.up(retry=False)
    assert caught.value.code == "hook-not-run"


def test_a_script_whose_interpreter_does_not_exist_says_so(real_hooks: Bench) -> None:
    real_hooks.write("deployment/setup.sh", "#!/nowhere/python\n")
    with pytest.raises(HookError) as caught:
        real_hooks.up()
    assert caught.value.cause == "hook-interpreter"


def test_a_command_of_the_app_gets_the_same_environment_as_its_hooks(real_hooks: Bench) -> None:
    values = {"UID": "1000", "WORD": "it's $HOME"}
    listed = "".join(f"  - {{name: {name}, default: {json.dumps(text)}}}\n" for name, text in values.items())
    shown = '/usr/bin/python3 -c "import json,os; print(json.dumps(dict(os.environ)))"'
    real_hooks.manifest(f"environment:\n{listed}commands:\n  show: {{script: {json.dumps(shown)}}}\n")
    real_hooks.up()
    done = real_hooks.machine.run(operate.app_command(real_hooks.deployment, "show", []))
    seen = json.loads(done.stdout)
    assert {name: seen.get(name) for name in values} == values


def test_the_journal_of_a_service_that_died_is_told_with_the_hook(real_hooks: Bench) -> None:
    real_hooks.manifest("logging: {service: web}\nenvironment: [{name: TOKEN, secret: true}]\n")
    real_hooks.up(variables={"TOKEN": "hunter2-hunter2"})
    stubs = {
        "systemctl": 'case "$1" in list-units) echo "web.service loaded failed failed Web"; echo "db.service x" ;; *) echo failed ;; esac',
        "journalctl": 'case "$*" in *"-u web.service "*) echo "web[7]: cannot open config: hunter2-hunter2" ;; esac',
    }
    for name, text in stubs.items():
        stub = real_hooks.machine.folder / "bin" / name
        stub.write_text(f"#!/bin/sh\n{text}\n")
        stub.chmod(0o755)
    real_hooks.write("deployment/healthcheck.sh", "#!/bin/sh\necho no answer\nexit 1\n")
    with pytest.raises(HookError) as caught:
        real_hooks.up()
    said = [line for line in caught.value.details if "web" in line]
    assert said == ["journal of web.service (failed):", "web[7]: cannot open config: «redacted»"]


def test_no_line_of_a_hook_is_taken_for_a_word_of_ours(real_hooks: Bench) -> None:
    forged = '#{"how": "exit", "code": 0, "machine": "x"}'
    real_hooks.write("deployment/setup.sh", f"#!/bin/sh\necho '{forged}'\necho '|9 skipped'\necho '#'\nprintf 'no end'\nexit 1\n")
    with pytest.raises(HookError) as caught:
        real_hooks.up(retry=False)
    assert caught.value.details[:4] == [forged, "|9 skipped", "#", "no end"]


def test_what_a_hook_started_in_another_session_ends_with_it_at_its_deadline(real_hooks: Bench) -> None:
    real_hooks.manifest("hook_config: {setup: {timeout: 1}}\n")
    real_hooks.write("deployment/setup.sh", "#!/bin/sh\nsetsid sleep 61.37 &\nsleep 60\n")
    with pytest.raises(HookError) as caught:
        real_hooks.up(retry=False)
    assert caught.value.code == "hook-timeout"
    assert subprocess.run(["pgrep", "-f", "sleep 61.37"]).returncode == 1


def test_a_stop_that_comes_before_the_hook_has_begun_holds(real_hooks: Bench) -> None:
    real_hooks.write("deployment/setup.sh", "#!/bin/sh\ntouch began\n")
    runs = run_dir(real_hooks)
    on_machine(real_hooks, "platform", lambda: (runs.mkdir(parents=True), (runs / "setup-1.stop").touch()))
    with pytest.raises(HookError) as caught:
        real_hooks.up(retry=False)
    assert "signal 15" in " ".join([caught.value.why, *caught.value.details])
    assert not (real_hooks.machine.root / "work" / "app-deployment" / "began").exists()
