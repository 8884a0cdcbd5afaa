"""The command line as its users and their scripts meet it: help, output, errors, exit codes."""

from __future__ import annotations

import io
import json
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tests.unit.workbench import Call
from tfgrid_compose import __version__
from tfgrid_compose.cli import elevate
from tfgrid_compose.cli import operate as cli_operate
from tfgrid_compose.cli.main import COMMANDS, cli
from tfgrid_compose.drivers import ssh
from tfgrid_compose.errors import EnvironmentError_
from tfgrid_compose.observe.redact import MASK, PROCESS, Redactor
from tfgrid_compose.state.releases import environment_name
from tfgrid_compose.state.store import Deployment, Store

MACHINE = {"name": "vm", "role": "vm", "node": 7, "contract": "1002", "wireguard_ip": "10.5.3.2", "address": "10.5.3.2"}


def save(name: str = "my-app", id: str = "a1b2c3d4e5f60718", folder: str = "/app", **data: Any) -> Deployment:
    """A deployment that is remembered."""
    with Store() as store:
        store.set_secret(id, "ssh", json.dumps({"private": "KEY", "public": "pub"}).encode())
        kept = {
            "pattern": "single-vm",
            "machines": [MACHINE],
            "app_dir": folder,
            "release": "r1",
            "interface": "wg-inttest-no",
            **data,
        }
        return store.save(Deployment(id, name, "main", "running", 1.0, 1.0, kept))


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the process would have become."""
    found: list[list[str]] = []
    monkeypatch.setattr(ssh, "replace_process", found.append)
    monkeypatch.setattr(ssh, "new_mark", lambda: "MARK")

    def relay(words: list[str], mark: str) -> int:
        found.append([*words[:-1], words[-1].removeprefix(f"printf '%s\\n' {mark}; ")])
        return 0

    monkeypatch.setattr(ssh, "relay", relay)
    return found


# Help


def every_command() -> list[tuple[str, ...]]:
    """All commands with their subcommands, hidden ones left out."""
    found: list[tuple[str, ...]] = []
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, sub) for sub, item in command.commands.items() if not item.hidden]
    return found


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_the_help_of_every_command_has_a_sentence_and_an_example(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*words, "--help"], prog_name="tfgrid-compose")
    assert result.exit_code == 0
    command = cli.get_command(click.Context(cli), words[0])
    for sub in words[1:]:
        assert isinstance(command, click.Group)
        command = command.commands[sub]
    assert command and command.help and command.help.split("\n\n")[0].rstrip().endswith((".", "?"))
    assert command.epilog and command.epilog.startswith("Example:  ")
    assert "Example:" in result.output


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_option_says_what_it_does(words: tuple[str, ...]) -> None:
    command = cli.get_command(click.Context(cli), words[0])
    for sub in words[1:]:
        assert isinstance(command, click.Group)
        command = command.commands[sub]
    assert command
    silent = [item.name for item in command.params if isinstance(item, click.Option) and not item.hidden and not item.help]
    assert silent == []


def test_the_table_of_commands_names_what_exists(call: Call) -> None:
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    for name, (_, _, text) in COMMANDS.items():
        assert f"  {name} " in out
        assert text in " ".join(out.split())


def python(code: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Python of this environment in a process of its own."""
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env={**os.environ, **env})


HEAVY = ("pydantic", "rich", "grpc", "yaml", "cryptography", "google.protobuf", "msgpack", "ansible", "sqlite3")
IMPORTS = """
import sys
before = set(sys.modules)
sys.argv = ["tfgrid-compose", *sys.argv[1:]]
from tfgrid_compose.cli.main import main
try:
    main()
except SystemExit:
    pass
print(sorted(name for name in %r if name in sys.modules and name not in before), file=sys.stderr)
""" % (HEAVY,)  # noqa: UP031


@pytest.mark.parametrize("words", [("--help",), ("--version",)])
def test_help_and_version_load_nothing_heavy(home: Path, words: tuple[str, ...]) -> None:
    assert python(IMPORTS, *words).stderr == "[]\n"


def test_ps_loads_the_database_and_nothing_else_that_is_heavy(home: Path) -> None:
    done = python(IMPORTS, "ps", "--json")
    assert (done.stdout, done.stderr.replace("'sqlite3'", "")) == ("[]\n", "[]\n")


COMPLETE = {"_TFGRID_COMPOSE_COMPLETE": "bash_complete", "COMP_CWORD": "1"}


def test_names_of_commands_are_completed(home: Path) -> None:
    done = python(IMPORTS, **COMPLETE, COMP_WORDS="tfgrid-compose val")
    assert done.stdout == "plain,validate\n"


@pytest.mark.parametrize("words, wanted", [("contracts ca", "cancel"), ("dns ap", "apply"), ("runs ca", "cancel"),
                                           ("secrets un", "unset"), ("network pre", "prefer")])  # fmt: skip
def test_commands_of_groups_that_work_without_one_are_completed(home: Path, words: str, wanted: str) -> None:
    done = python(IMPORTS, **(COMPLETE | {"COMP_CWORD": "2"}), COMP_WORDS=f"tfgrid-compose {words}")
    assert done.stdout == f"plain,{wanted}\n"


def test_completion_of_names_loads_nothing_heavy(home: Path) -> None:
    done = python(IMPORTS, **COMPLETE, COMP_WORDS="tfgrid-compose ")
    assert "plain,up" in done.stdout.splitlines()
    assert done.stderr == "[]\n"


def test_the_version_is_the_packages(call: Call) -> None:
    assert call("--version") == (0, f"tfgrid-compose, version {__version__}\n", "")


def test_the_module_runs_like_the_command(home: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "tfgrid_compose", "ps", "--json"], capture_output=True, text=True)
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


# Empty memory


def test_nothing_deployed_is_no_error_and_standard_output_stays_empty(call: Call) -> None:
    assert call("ps") == (0, "", "Nothing is deployed.  tfgrid-compose up ./my-app\n")
    assert call("ps", "--json") == (0, "[]\n", "")


@pytest.mark.parametrize(
    "words", [("status",), ("logs",), ("ssh",), ("exec", "--", "true"), ("address",), ("inspect",), ("run",), ("down",)]
)
def test_every_command_on_nothing_says_what_to_do_first(call: Call, words: tuple[str, ...]) -> None:
    code, out, err = call(*words)
    assert (code, out) == (5, "")
    assert err == "Error: nothing is deployed\n  Next:    tfgrid-compose up ./my-app\n"


@pytest.mark.parametrize("words", [("status", "nope"), ("logs", "nope"), ("ssh", "nope"), ("address", "nope"), ("down", "nope")])
def test_an_error_goes_to_standard_error_with_reason_and_next_command(call: Call, words: tuple[str, ...]) -> None:
    save()
    code, out, err = call(*words)
    assert (code, out) == (5, "")
    assert err.splitlines() == [
        "Error: there is no deployment `nope`", "  Reason:  there are my-app", "  Next:    tfgrid-compose ps",
    ]  # fmt: skip


def test_with_json_an_error_is_json_too(call: Call) -> None:
    code, out, err = call("status", "nope", "--json")
    assert json.loads(out) == {
        "error": {
            "code": "deployment-not-found", "what": "there is no deployment `nope`", "why": "nothing is deployed",
            "fix": "tfgrid-compose ps", "exit_code": 5,
        }
    }  # fmt: skip
    assert code == 5 and err.startswith("Error: ")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("up", "/nowhere", "--network", "main"), 3),
        (("plan", "/nowhere", "--network", "main"), 3),
        (("validate", "/nowhere"), 3),
        (("up", "--var", "X"), 2),
        (("up", "--cpu", "99"), 2),
        (("up", "--memory", "much"), 2),
        (("up", "--network", "moon"), 2),
        (("ps", "--nonsense"), 2),
        (("localgrid", "nonsense"), 2),
        (("exec",), 5),
    ],
)
def test_exit_codes_tell_the_kind_of_failure(call: Call, words: tuple[str, ...], code: int) -> None:
    found, out, err = call(*words)
    assert (found, out) == (code, "")
    assert err


def test_a_usage_error_is_json_too_where_json_was_asked_for(call: Call) -> None:
    code, out, _ = call("ps", "--json", "--nonsense")
    assert (code, json.loads(out)["error"]["exit_code"]) == (2, 2)


# Names that are no commands


@pytest.mark.parametrize(("typed", "meant"), [("statsu", "status"), ("vaildate", "validate"), ("dwon", "down")])
def test_a_mistyped_command_gets_a_suggestion(call: Call, typed: str, meant: str) -> None:
    code, out, err = call(typed)
    assert (code, out) == (2, "")
    assert f"there is no command `{typed}`" in err
    assert meant in err.splitlines()[-1]


def test_a_mistyped_command_gets_a_suggestion_also_with_a_deployment(call: Call, app_folder: Path) -> None:
    save(folder=str(app_folder))
    code, _, err = call("statsu")
    assert code == 2
    assert "status" in err.splitlines()[-1]


def test_a_name_that_is_nothing_like_a_command_points_to_the_help(call: Call) -> None:
    assert "tfgrid-compose --help" in call("xyzzy-plugh")[2]


# A deployment that is remembered


def test_ps_lists_what_is_remembered(call: Call) -> None:
    save()
    code, out, err = call("ps")
    assert (code, err) == (0, "")
    head, row = out.splitlines()
    assert head.split() == ["ID", "NAME", "STATUS", "NETWORK", "NODE", "ADDRESS", "RELEASE", "MONTH", "AGE"]
    assert row.split()[:7] == ["a1b2c3", "my-app", "running", "main", "7", "10.5.3.2", "r1"]
    (item,) = json.loads(call("ps", "--json")[1])
    assert (item["id"], item["node"], item["app_dir"]) == ("a1b2c3d4e5f60718", "7", "/app")


def test_address_prints_the_link_or_the_address(call: Call) -> None:
    save(ports=[{"number": 80, "name": "http", "protocol": "tcp"}])
    assert call("address", "my-app")[1] == "http://10.5.3.2/\n"
    assert call("address", "--all")[1] == "10.5.3.2  wireguard  vm\n"
    assert json.loads(call("address", "--json")[1]) == {
        "links": ["http://10.5.3.2/"], "primary": "10.5.3.2",
        "addresses": [{"machine": "vm", "network": "wireguard", "address": "10.5.3.2"}],
    }  # fmt: skip
    save()
    assert call("address", "my-app")[1] == "10.5.3.2\n"


def test_inspect_prints_what_is_remembered_without_secrets(call: Call) -> None:
    save()
    code, out, _ = call("inspect", "my-app")
    assert code == 0
    found = json.loads(out)
    assert found["data"]["machines"] == [MACHINE]
    assert "KEY" not in out


def test_status_of_a_dead_machine_is_said_and_is_exit_code_1(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfgrid_compose.deploy import operate

    save()
    monkeypatch.setattr(operate, "_machine_facts", lambda store, deployment: {"reachable": False, "why": "no route"})
    code, out, err = call("status", "my-app")
    assert (code, err) == (1, "")
    assert "my-app (a1b2c3)  running" in out
    assert "Problem   the machine does not answer: no route" in out
    code, out, _ = call("status", "my-app", "--json")
    assert code == 1 and [text.split(";")[0] for text in json.loads(out)["problems"]] == ["the machine does not answer: no route"]


def test_status_of_a_live_machine_shows_it(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfgrid_compose.deploy import operate

    facts = {"reachable": True, "uptime_seconds": 7300, "load": "0.1", "disk": "5% 9G", "release": "r1", "service": "active",
             "system": "running"}  # fmt: skip
    monkeypatch.setattr(operate, "_machine_facts", lambda store, deployment: facts)
    save()
    code, out, _ = call("status", "my-app")
    assert code == 0
    assert "Machine   up 2 h, load 0.1, disk 5% 9G free" in out
    assert "Service   active" in out


@pytest.mark.parametrize(
    ("words", "remote"),
    [
        (("exec", "my-app", "--", "echo", "a b"), "echo 'a b'"),
        (("exec", "my-app", "--", "ls | wc -l"), "ls | wc -l"),
        (("exec", "--", "ls", "-la"), "ls -la"),
        (("exec", "my-app", "ls", "-la"), "ls -la"),
        (("exec", "ls", "-la", "--all"), "ls -la --all"),
        (("exec", "a1b2", "--", "true"), "true"),
        (("exec", "my-app", "--", "--", "x"), "-- x"),
    ],
)
def test_exec_finds_deployment_and_command(call: Call, became: list[list[str]], words: tuple[str, ...], remote: str) -> None:
    save()
    assert call(*words)[0] == 0
    ((*_, separator, line),) = became
    assert (separator, line) == ("--", remote)
    assert "root@10.5.3.2" in became[0]


def test_exec_without_a_command_says_how_it_is_written(call: Call, became: list[list[str]]) -> None:
    save()
    for words in (("exec",), ("exec", "my-app", "--")):
        code, _, err = call(*words)
        assert code == 2 and "tfgrid-compose exec my-app -- uptime" in err
    assert call("exec", "my-app", "other", "--", "true")[0] == 2
    assert became == []


def test_ssh_opens_a_login_on_the_machine(call: Call, became: list[list[str]]) -> None:
    save()
    assert call("ssh", "my-app")[0] == 0
    assert became[0][-1] == "root@10.5.3.2"


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> tuple[list[list[str]], list[str]]:
    """The ssh clients that were started, and the lines that the machine gives."""
    asked: list[list[str]] = []
    said: list[str] = []

    def follow(words: list[str], mark: str, on_line: Callable[[str], None], clean: Callable[[str], str]) -> int:
        asked.append(words)
        for line in said:
            on_line(line)
        return 0

    monkeypatch.setattr(ssh, "follow", follow)
    monkeypatch.setattr(PROCESS, "_known", {})
    monkeypatch.setattr(PROCESS, "_encoded", Redactor()._encoded)
    return asked, said


def test_logs_asks_the_machines_journal(call: Call, journal: tuple[list[list[str]], list[str]]) -> None:
    save(service="nginx")
    asked, _ = journal
    assert call("logs", "my-app", "-f", "--since", "10m")[0] == 0
    line = shlex.split(shlex.split(asked[0][-1])[-1].split("(", 1)[1].split(")")[0])
    assert line == ["journalctl", "--no-pager", "-o", "short-iso", "-u", "nginx", "--since", "10 minutes ago", "-f"]
    call("logs", "-n", "5")
    assert " -n 5\n" in asked[1][-1]


def test_logs_show_no_secret_and_nothing_that_a_terminal_obeys(
    call: Call, journal: tuple[list[list[str]], list[str]], home: Path
) -> None:
    found = save()
    with Store() as store:
        store.add_release("r1", found.id, {})
        values = {"values": {"TOKEN": "hunter2!", "MODE": "shown"}, "secrets": ["TOKEN"], "given": {}}
        store.set_secret(found.id, environment_name("r1"), json.dumps(values).encode())
        store.set_secret(found.id, "generated", b'{"seed": "0a1b2c3d4e5f"}')
        store.set_app_secret(found.id, "OTHER", "s3cr3t-of-mine")
    folder = home / "state" / "tfgrid-compose" / "deployments" / found.id / "logs" / "run-1"
    folder.mkdir(parents=True)
    text = "Invoked with TOKEN=hunter2! 0a1b2c3d4e5f\naHVudG\nVyMiE=\ns3cr3t-of\n-mine \x1b]52;c;cm0=\x07\x1b[2J\x1b[31mred\x1b[0m shown\n"
    (folder / "setup.log").write_text(text)
    journal[1].extend(text.splitlines())
    for words in (("logs", "my-app"), ("logs", "my-app", "--hook", "setup")):
        code, out, _ = call(*words)
        lines = click.unstyle(out).splitlines()
        assert code == 0
        assert lines == [
            f"Invoked with TOKEN={MASK} {MASK}", MASK, f"{MASK}=", MASK, f"{MASK} red shown",
        ], words  # fmt: skip
        assert "\x1b]" not in out and "\x1b[2J" not in out


def test_logs_of_a_hook_are_printed_byte_for_byte(call: Call, home: Path, became: list[list[str]]) -> None:
    found = save()
    folder = home / "state" / "tfgrid-compose" / "deployments" / found.id / "logs" / "run-1"
    folder.mkdir(parents=True)
    (folder / "setup.log").write_text("one\ntwo without an end")
    assert call("logs", "my-app", "--hook", "setup") == (0, "one\ntwo without an end", "")
    assert call("logs", "my-app", "--hook", "nope")[0] == 5
    assert became == []


def test_a_hook_name_can_not_leave_the_folder_of_logs(call: Call, home: Path) -> None:
    found = save()
    folder = home / "state" / "tfgrid-compose" / "deployments" / found.id / "logs" / "run-1"
    folder.mkdir(parents=True)
    (home / "other.log").write_text("not a hook's")
    assert call("logs", "my-app", "--hook", str(home / "other"))[0] == 2


def test_commands_of_app_and_pattern_run_by_their_name(call: Call, became: list[list[str]], app_folder: Path) -> None:
    (app_folder / "tfgrid-compose.yaml").write_text(
        "name: my-app\ncommands:\n  backup: {script: /usr/bin/backup, description: Saves}\n"
    )
    save(folder=str(app_folder))
    for words in (("backup", "my-app", "--full"), ("run", "backup", "my-app", "--full"), ("backup", "--full")):
        assert call(*words)[0] == 0
        assert became.pop()[-1].endswith(" /opt/tfgrid-compose/my-app/current/.tfgrid/environment '/usr/bin/backup --full'")
    code, out, _ = call("run")
    assert code == 0
    assert {line.split()[0] for line in out.splitlines()} >= {"backup", "uptime", "disk"}


# Commands without a deployment


def test_init_writes_an_app_that_is_valid_and_never_overwrites(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "new-app"
    code, out, err = call("init", str(folder))
    assert (code, out) == (0, f"Next:  tfgrid-compose up {folder}\n")
    assert "wrote" in err
    assert call("validate", str(folder), "--strict") == (0, "new-app 0.1.0 is valid (pattern single-vm).\n", "")
    (folder / "src" / "index.html").write_text("mine")
    code, _, err = call("init", str(folder))
    assert code == 3 and "never overwrites" in err
    assert (folder / "src" / "index.html").read_text() == "mine"


def test_validate_as_json_is_json_either_way(call: Call, app_folder: Path) -> None:
    assert json.loads(call("validate", str(app_folder), "--json")[1]) == {"valid": True, "name": "my-app", "warnings": []}
    (app_folder / "tfgrid-compose.yaml").write_text("name: my-app\nresources: {cpu: many}\n")
    code, out, err = call("validate", str(app_folder), "--json")
    found = json.loads(out)
    assert (code, err, found["valid"], found["error"]["exit_code"]) == (3, "", False, 3)
    code, out, err = call("validate", str(app_folder))
    assert (code, out) == (3, "")
    assert "tfgrid-compose.yaml:2:" in err


def test_validate_of_a_pattern_that_does_not_exist_is_an_error(call: Call, app_folder: Path) -> None:
    (app_folder / "tfgrid-compose.yaml").write_text("name: my-app\npattern: singel-vm\n")
    code, _, err = call("validate", str(app_folder))
    assert code == 3 and "single-vm" in err


def test_validate_as_json_of_a_missing_pattern_says_that_it_is_invalid(call: Call, app_folder: Path) -> None:
    (app_folder / "tfgrid-compose.yaml").write_text("name: my-app\npattern: singel-vm\n")
    assert json.loads(call("validate", str(app_folder), "--json")[1])["valid"] is False


def test_another_manifest_can_be_named(call: Call, app_folder: Path) -> None:
    (app_folder / "tfgrid-compose.yaml").rename(app_folder / "other.yaml")
    assert call("validate", str(app_folder))[0] == 3
    assert call("-f", "other.yaml", "validate", str(app_folder))[0] == 0


def test_the_schema_is_a_json_schema_that_knows_the_manifest(call: Call) -> None:
    import jsonschema

    code, out, _ = call("schema")
    document = json.loads(out)
    jsonschema.validators.validator_for(document).check_schema(document)
    assert code == 0 and {"name", "resources", "hooks"} <= set(document["properties"])


def test_patterns_are_listed(call: Call) -> None:
    code, out, _ = call("patterns")
    assert code == 0 and "single-vm" in out
    assert "single-vm" in [item["name"] for item in json.loads(call("patterns", "--json")[1])]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_of_the_shell(call: Call, shell: str) -> None:
    code, out, _ = call("completion", shell)
    assert code == 0 and f"_TFGRID_COMPOSE_COMPLETE={shell}_complete" in out


@pytest.fixture
def accounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account on the grid, and a computer without routes."""
    from tfgrid_compose.drivers import wireguard

    monkeypatch.setenv("TF_VAR_mnemonic", "words of a test")
    monkeypatch.setattr(wireguard, "host_routes", list)
    monkeypatch.setattr(wireguard, "host_interfaces", set)


@pytest.mark.parametrize("command", [("plan",), ("up", "--plan"), ("up", "--dry-run")])
def test_a_plan_is_shown_and_nothing_is_written(call: Call, accounted: None, app_folder: Path, command: tuple[str, ...]) -> None:
    words = (*command, str(app_folder), "--network", "main", "--node", "7")
    code, out, _ = call(*words)
    assert code == 0
    assert "Deploy my-app" in out and "+ infrastructure" in out and "USD a month" in out
    found = json.loads(call(*words, "--json")[1])
    assert found["new"] is True and found["nodes"] == {"vm": [7]}
    assert call("ps", "--json")[1] == "[]\n"


def test_up_on_the_grid_without_an_account_says_where_it_goes(call: Call, accounted: None, app_folder: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.delenv("TF_VAR_mnemonic")
    code, _, err = call("up", str(app_folder), "--network", "main", "--node", "7", "-y")
    assert code == 7 and "no account for network main" in err and "--network local" in err
    assert call("ps", "--json")[1] == "[]\n", "what never began is forgotten"


# Failures that are ours


def test_a_bug_is_a_report_and_no_traceback(call: Call, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a thing that nobody expected")

    monkeypatch.setattr(cli_operate.Store, "deployments", fail)
    code, out, err = call("ps")
    assert (code, out) == (70, "")
    assert "Bug: tfgrid-compose failed in a way that it can't explain (RuntimeError)." in err
    assert "nobody expected" not in err
    (report,) = (home / "state" / "tfgrid-compose" / "bugs").iterdir()
    assert str(report) in err
    assert "RuntimeError: a thing that nobody expected" in report.read_text()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


def test_a_bug_report_holds_no_value_of_the_command_line(call: Call, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfgrid_compose.cli import up

    monkeypatch.setattr(up, "open_grid", lambda network: {}["nothing"])
    assert call("up", "--var=TOKEN=s3cret-of-the-user", "--network", "main")[0] == 70
    (report,) = (home / "state" / "tfgrid-compose" / "bugs").iterdir()
    assert "s3cret" not in report.read_text()


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (click.exceptions.Abort(), 130)])
def test_being_stopped_is_no_bug(call: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    def stop(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli_operate.Store, "deployments", stop)
    found, out, err = call("ps")
    assert (found, out, err.strip()) == (code, "", "Stopped.")


def test_a_reader_that_goes_away_is_no_error(home: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m tfgrid_compose schema | head -c 1; echo; echo done >&2"],
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("{\n", "done\n")


# Root


def test_root_is_asked_for_with_a_reason_where_nobody_can_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentError_, match="testing needs root") as caught:
        elevate.ensure_root("testing")
    assert caught.value.fix == "run the command as root"
    sudo = tmp_path / "sudo"
    sudo.write_text("#!/bin/sh\nexit 1\n")
    sudo.chmod(0o755)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(EnvironmentError_) as caught:
        elevate.ensure_root("testing")
    assert caught.value.why == "sudo asks for a password, and there is no terminal"


def test_the_same_command_runs_again_as_root_with_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sudo, ran = tmp_path / "sudo", []
    sudo.write_text("#!/bin/sh\nexit 0\n")
    sudo.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TFGRID_LOCALGRID", "1")
    monkeypatch.setenv("AWS_SECRET", "not ours")
    for name in ("TFGRID_SUDO_UID", "TFGRID_SUDO_GID"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(sys, "argv", ["tfgrid-compose", "up", "a b"])
    monkeypatch.setattr(os, "execv", lambda path, words: ran.append((path, words)))
    elevate.ensure_root("testing")
    ((path, words),) = ran
    assert path == str(sudo) and words[2:] == [sys.executable, "-P", "-m", "tfgrid_compose", "up", "a b"]
    kept = words[1].removeprefix("--preserve-env=").split(",")
    assert {"HOME", "PATH", "TFGRID_LOCALGRID", "TFGRID_SUDO_UID"} <= set(kept)
    assert "AWS_SECRET" not in kept


# doctor


def test_doctor_tells_what_is_missing_and_how_to_get_it(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfgrid_compose.drivers import host

    checks = [host.Check("wg", False, "missing", "apt-get install wireguard-tools", package="wireguard-tools"),
              host.Check("mitogen", False, "missing; slower", needed=False)]  # fmt: skip
    monkeypatch.setattr(host, "examine", lambda: checks)
    monkeypatch.setattr(host, "repairs", lambda found: [["apt-get", "install", "wireguard-tools"]])
    code, out, err = call("doctor")
    assert code == 4 and "✗ wg" in out and "! mitogen" in out
    assert err.splitlines()[-1] == "  Next:    apt-get install wireguard-tools"
    code, out, err = call("doctor", "--json")
    assert (code, err, json.loads(out)[0]["package"]) == (4, "", "wireguard-tools")
    fixed: list[list[str]] = []

    def repair(words: list[str]) -> None:
        fixed.append(words)
        checks[0] = host.Check("wg", True, "/usr/bin/wg")

    monkeypatch.setattr(host, "repair", repair)
    code, out, err = call("doctor", "--fix")
    assert (code, fixed) == (0, [["apt-get", "install", "wireguard-tools"]])
    assert err == "$ apt-get install wireguard-tools\n"


@pytest.mark.parametrize("words, wanted", [(("nodes", "show", "x"), "'x' is no whole number"),
                                           (("nodes", "--min-cpu", "ten"), "'ten' is no whole number"),
                                           (("plan", "--min-uptime-days", "x"), "'x' is no number")])  # fmt: skip
def test_a_number_that_is_none_is_told_in_plain_words(call: Call, words: tuple[str, ...], wanted: str) -> None:
    code, _, err = call(*words)
    assert (code, wanted in err, " range" in err) == (2, True, False)


@pytest.mark.parametrize("words", [("contracts", "cancel", "my-app"), ("contracts", "show", "my-app")])
def test_a_contract_is_no_name(call: Call, words: tuple[str, ...]) -> None:
    code, _, err = call(*words)
    assert code == 2 and "`my-app` is no number of a contract" in err and "tfgrid-compose down" in err


def test_a_url_without_tls_is_refused_in_words(call: Call) -> None:
    code, _, err = call("config", "set", "networks.main.gridproxy", "http://gridproxy.example")
    assert code == 2 and "https://" in err and "^" not in err
