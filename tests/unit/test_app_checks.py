"""Checks of an app folder: what is checked is what goes to the machine, all of it in one round."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.unit.test_load import errors, load
from tfgrid_compose.deploy.lookup import find
from tfgrid_compose.errors import ManifestError
from tfgrid_compose.manifest.bundle import collect
from tfgrid_compose.manifest.contents import explained
from tfgrid_compose.manifest.load import find_manifest, load_app
from tfgrid_compose.manifest.scripts import first_word, release_file
from tfgrid_compose.state.store import Deployment, Store


def warnings(folder: Path, text: str = "name: a\n") -> list[str]:
    return [str(problem) for problem in load(folder, text).warnings]


def put(folder: Path, *names: str, text: str = "#!/bin/sh\n") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


# The app is the folder that was given


def test_a_linked_manifest_gives_its_text_and_no_other_folder(app_folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "shared", "tfgrid-compose.yaml", "private.txt", text="name: linked\n")
    (app_folder / "tfgrid-compose.yaml").unlink()
    (app_folder / "tfgrid-compose.yaml").symlink_to("../shared/tfgrid-compose.yaml")
    for target in (app_folder, app_folder / "tfgrid-compose.yaml"):
        app = load_app(target)
        assert (app.folder, app.manifest.name, app.manifest_name) == (app_folder, "linked", "tfgrid-compose.yaml")
    assert not [entry for entry in collect(app.folder, (app.manifest_path,)).entries if "private" in entry.name]


def test_a_manifest_in_a_folder_of_the_app_belongs_to_the_app(app_folder: Path) -> None:
    put(app_folder, "config/prod.yaml", text="name: prod\n")
    app = load_app(app_folder, file="config/prod.yaml")
    assert (app.folder, app.manifest_name) == (app_folder, "config/prod.yaml")
    assert load_app(app.folder, file=app.manifest_name).manifest == app.manifest
    (app_folder / "config" / "prod.yaml").write_text("name: prod\nhooks: {setup: gone.sh}\n")
    with pytest.raises(ManifestError, match="config/prod.yaml:2: hook `setup`: gone.sh does not exist"):
        load_app(app_folder, file="config/prod.yaml")


def test_a_link_to_the_folder_is_the_folder(app_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(app_folder)
    assert load_app(tmp_path / "way").folder == app_folder
    assert find_manifest(tmp_path / "way") == app_folder / "tfgrid-compose.yaml"


def test_a_deployment_is_found_by_its_linked_manifest(app_folder: Path, tmp_path: Path, home: Path) -> None:
    put(tmp_path / "shared", "prod.yaml", text="name: a\n")
    (app_folder / "prod.yaml").symlink_to("../shared/prod.yaml")
    with Store() as store:
        wanted = Deployment("0" * 16, "a", "local", "running", 0, 0, {"app_dir": str(app_folder)})
        made = store.add(wanted, lambda others: wanted)
        assert find(store, str(app_folder / "prod.yaml")).id == made.id


# What is checked is what goes


@pytest.mark.parametrize(
    ("ignored", "why"),
    [
        ("deployment/\n", "is left out by .gitignore:1"), ("# x\n*.sh\n!configure.sh\n!healthcheck.sh\n", "is left out by .gitignore:2"),
        ("setup.sh", "is left out by .gitignore:1"),
    ],
)  # fmt: skip
def test_a_hook_that_the_ignore_file_leaves_out_is_an_error(app_folder: Path, ignored: str, why: str) -> None:
    (app_folder / ".gitignore").write_text(ignored)
    assert f"tfgrid-compose.yaml:1: hook `setup`: deployment/setup.sh {why} (a hook must go to the machine)" in errors(
        app_folder, "name: a\n"
    )


def test_what_a_linked_hook_leads_to_must_go_too(app_folder: Path) -> None:
    put(app_folder, "build/setup.sh")
    (app_folder / "deployment" / "setup.sh").unlink()
    (app_folder / "deployment" / "setup.sh").symlink_to("../build/setup.sh")
    assert load(app_folder, "name: a\n").manifest.name == "a"
    (app_folder / ".tfgridignore").write_text("/build\n")
    assert errors(app_folder, "name: a\n") == [
        "tfgrid-compose.yaml:1: hook `setup`: deployment/setup.sh is left out by .tfgridignore:1 (a hook must go to the machine)"
    ]


def test_a_script_of_a_command_must_go_too(app_folder: Path) -> None:
    put(app_folder, "scripts/backup.sh", "node_modules/tool.sh", "scripts/my tool.sh")
    (app_folder / "scripts" / ".gitignore").write_text("backup.sh\n")
    (app_folder / ".gitignore").write_text("")
    text = "name: a\ncommands:\n  b: {script: scripts/backup.sh --all}\n  t: {script: node_modules/tool.sh}\n  m: {script: \"'scripts/my tool.sh'\"}\n"
    assert errors(app_folder, text) == [
        "tfgrid-compose.yaml:3: command `b`: scripts/backup.sh is left out by scripts/.gitignore:1 (a script must go to the machine)",
        "tfgrid-compose.yaml:4: command `t`: node_modules/tool.sh never goes to a machine (a script must go to the machine)",
    ]


def test_a_playbook_of_another_folder_is_not_run(app_folder: Path, tmp_path: Path) -> None:
    put(tmp_path, "mine.yml", "app/deployment/own.yml", text="- hosts: app\n")
    (app_folder / "deployment" / "playbook.yml").symlink_to("../../mine.yml")
    assert errors(app_folder, "name: a\n") == [
        "deployment/playbook.yml: leaves the app folder (a playbook stands inside the app folder)"
    ]
    (app_folder / "deployment" / "playbook.yml").unlink()
    (app_folder / "deployment" / "playbook.yml").symlink_to("own.yml")
    assert load(app_folder, "name: a\n").playbook() == app_folder / "deployment" / "playbook.yml"


def test_links_that_arrive_dangling_are_told(app_folder: Path, tmp_path: Path) -> None:
    put(tmp_path, "shared/x")
    put(app_folder, "lib/real", "notes.log")
    (app_folder / ".tfgridignore").write_text("*.log\n")
    for name, target in {
        "src": "../shared", "away": "../nowhere", "ok": "lib/real", "folder": "lib", "log": "notes.log", "fixed": str(app_folder / "lib"),
        "machine": "/opt/app/current/none", "loop": "loop",
    }.items():  # fmt: skip
        (app_folder / name).symlink_to(target)
    out = "what is there stays here (put a copy into the folder, unless the machine has it too)"
    assert warnings(app_folder) == [
        f"away: is a link out of the app folder, to ../nowhere; {out}",
        "fixed: is a link to a path of this computer (make it relative: ln -sr)",
        "log: is a link to notes.log, which is left out by .tfgridignore:1",
        f"src: is a link out of the app folder, to ../shared; {out}",
    ]


def test_two_files_for_one_place_on_the_machine(app_folder: Path) -> None:
    put(app_folder, "app", "src/app/x", "src/conf", "conf/a", "both", "src/both", "lib/a", "src/lib/b", "deployment/state.yaml")
    put(app_folder, "src/deployment/x", "scripts/a", "src/only")
    assert errors(app_folder, "name: a\n") == [
        "app: has the place of the folder src/app/ on the machine (rename one of them)",
        "src/conf: has the place of the folder conf/ on the machine (rename one of them)",
    ]
    (app_folder / "app").unlink()
    (app_folder / "src" / "conf").unlink()
    assert warnings(app_folder) == [
        "both: is hidden by src/both on the machine (rename one of them)",
        "deployment/state.yaml: is replaced by ours on the machine (rename it)",
    ]


def test_what_can_not_go_is_told(app_folder: Path) -> None:
    put(app_folder, ".env", ".env.local", "prod.env", ".env.example", "src/.env")
    (app_folder / "hollow" / "inner").mkdir(parents=True)
    os.mkfifo(app_folder / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        here = os.getcwd()
        os.chdir(app_folder)
        made.bind("socket")
        os.chdir(here)
    sample = "looks like an environment file, so it stays here (call a sample .env.example)"
    assert warnings(app_folder) == [
        f".env.local: {sample}", "hollow/inner: is an empty folder, so it stays here (put a file such as .gitkeep in it)",
        "pipe: is a pipe, so it stays here", f"prod.env: {sample}", "socket: is a socket, so it stays here", f"src/.env: {sample}",
    ]  # fmt: skip
    assert f"prod.env: {sample}" not in warnings(app_folder, "name: a\nenv_file: prod.env\n")
    assert not [item for item in load_app(app_folder, env_file=app_folder / ".env.local").warnings if item.path == ".env.local"]


def test_no_name_of_a_file_reaches_a_terminal_raw(app_folder: Path) -> None:
    for name in (b".env.\x1b[31mred\nsecond: is fine", b".env.caf\xe9", "x.\u202eenv".encode() + b".env"):
        (app_folder / os.fsdecode(name)).write_text("")
    (app_folder / "link").symlink_to("../\x1b]0;title\x07")
    found = warnings(app_folder)
    assert len(found) == 4 and all(line.isprintable() and line.encode() for line in found)
    folder = app_folder / "\x1b[2J"
    folder.mkdir()
    with pytest.raises(ManifestError) as caught, explained(folder):
        raise OSError(13, "Permission denied", str(folder))
    assert caught.value.what.isprintable()


def test_no_more_than_a_few_of_a_kind_are_listed(app_folder: Path) -> None:
    for number in range(9):
        (app_folder / f"hollow{number}").mkdir()
    assert warnings(app_folder)[-1] == "…: and 4 more empty folders" and len(warnings(app_folder)) == 6


def test_a_pattern_that_means_nothing_is_told(app_folder: Path) -> None:
    (app_folder / ".gitignore").write_text("# keys\n[a-\n*.log\nsecret\\\n")
    wrong = "git can't understand this pattern, so it keeps nothing back"
    assert warnings(app_folder) == [f".gitignore:2: {wrong}", f".gitignore:4: {wrong}"]


# Commands are shell lines


@pytest.mark.parametrize(
    "script",
    ["~/bin/backup", "$HOME/bin/backup", "TZ=Europe/Brussels date", "$(which x)/y", "`x`/y", "{a,b}/c", "a/*.sh", "(cd a/b)", "\"$X/y\"", "a/b=c x",
     "/opt/x/y", "uptime", "echo a/b", "'unclosed a/b", "!a/b", "a/b\\"],
)  # fmt: skip
def test_what_only_a_shell_can_tell_is_left_to_it(app_folder: Path, script: str) -> None:
    assert release_file(script) is None
    assert load(app_folder, f"name: a\ncommands:\n  x: {{script: {_quoted(script)}}}\n").manifest.commands


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@pytest.mark.parametrize(
    ("script", "file"),
    [
        ("scripts/a.sh", "scripts/a.sh"), ("  scripts/a.sh -x 'y z'", "scripts/a.sh"), ("'scripts/my tool.sh' x", "scripts/my tool.sh"),
        ('"scripts/my tool.sh"', "scripts/my tool.sh"), ("scripts/my\\ tool.sh a", "scripts/my tool.sh"), ("scripts/a.sh; date", "scripts/a.sh"),
        ("scripts/a.sh|cat", "scripts/a.sh"), ("./a&&b", "./a"), ("scr'ip'ts/a.sh>x", "scripts/a.sh"),
    ],
)  # fmt: skip
def test_a_path_is_found_with_and_without_quotes(app_folder: Path, script: str, file: str) -> None:
    assert first_word(script) == release_file(script) == file
    text = f"name: a\ncommands:\n  x: {{script: {_quoted(script)}}}\n"
    assert errors(app_folder, text) == [f"tfgrid-compose.yaml:3: command `x`: {file} does not exist in the app folder"]
    put(app_folder, file)
    assert load(app_folder, text)


# One round


def test_everything_is_told_in_one_round_by_its_line(app_folder: Path) -> None:
    put(app_folder, "deployment/setup.sh", text="echo no shebang\n")
    text = """name: a
hooks: {configure: gone.sh}
resources: {cpu: many}
environment:
  - {name: A, options: [x], default: y}
  - {name: A}
  - {name: B, required: perhaps}
commands:
  one: {script: scripts/gone.sh}
  two: {description: no script}
keep_releases: 1
resorces: {}
"""
    with pytest.raises(ManifestError) as caught:
        load(app_folder, text)
    assert caught.value.what == "the app has 9 errors"
    assert [line.split("(")[0].strip() for line in caught.value.details] == [
        "tfgrid-compose.yaml:2: hook `configure`: gone.sh does not exist",
        "tfgrid-compose.yaml:3: `resources.cpu` is 'many'; it must be a whole number",
        "tfgrid-compose.yaml:5: the default of `A` is not one of its options",
        "tfgrid-compose.yaml:6: environment `A` is there twice",
        "tfgrid-compose.yaml:7: `environment[2].required` is 'perhaps'; it must be yes or no",
        "tfgrid-compose.yaml:9: command `one`: scripts/gone.sh does not exist in the app folder",
        "tfgrid-compose.yaml:10: `commands.two.script` is missing",
        "tfgrid-compose.yaml:11: `keep_releases` is 1; it must be at least 2",
        "deployment/setup.sh:1: has no shebang, so nothing says what runs it",
        "warning: tfgrid-compose.yaml:12: unknown key `resorces`",
    ]


@pytest.mark.parametrize(
    "wrong", ["pattern: a\npatterns: {recommended: b}\n", "name: /\n", "environment: 5\n", "commands: [1]\n", "hooks: 7\n"]
)
def test_no_error_hides_a_missing_hook(app_folder: Path, wrong: str) -> None:
    (app_folder / "deployment" / "healthcheck.sh").unlink()
    found = errors(app_folder, wrong if wrong.startswith("name") else f"name: a\n{wrong}")
    assert len(found) == 2 and any("hook `healthcheck`" in line for line in found)
