"""From a folder to a checked manifest: what is wrong is found all at once, with line and hint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfgrid_compose.errors import ManifestError, TfgridError
from tfgrid_compose.manifest.load import App, find_manifest, hook_path, load_app, nearest
from tfgrid_compose.manifest.model import Manifest


def load(folder: Path, text: str, **options: Any) -> App:
    (folder / "tfgrid-compose.yaml").write_text(text)
    return load_app(folder, **options)


def errors(folder: Path, text: str, **options: Any) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        load(folder, text, **options)
    assert caught.value.fix
    return [line for line in caught.value.details if not line.startswith("warning: ")] or [caught.value.what]


# Finding


def test_a_folder_a_file_in_it_or_a_manifest_of_another_name_can_be_given(app_folder: Path) -> None:
    manifest = (app_folder / "tfgrid-compose.yaml").resolve()
    assert find_manifest(app_folder) == find_manifest(manifest) == manifest
    other = app_folder / "other.yml"
    other.write_text("name: other\n")
    assert load_app(app_folder, file="other.yml").manifest.name == "other"
    assert load_app(other).manifest.name == "other"


def test_yml_counts_when_there_is_no_yaml(app_folder: Path) -> None:
    (app_folder / "tfgrid-compose.yml").write_text("name: second\n")
    assert load_app(app_folder).manifest.name == "my-app"
    (app_folder / "tfgrid-compose.yaml").unlink()
    assert load_app(app_folder).manifest.name == "second"


def test_a_relative_folder_works_from_where_the_user_stands(app_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(app_folder)
    assert load_app(Path(".")).folder == app_folder.resolve()


def test_what_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there is no app folder") as gone:
        load_app(tmp_path / "my-shop")
    assert (gone.value.code, gone.value.fix) == ("app-not-found", "tfgrid-compose init my-shop makes a new one")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ManifestError) as file:
        load_app(tmp_path / "notes.txt")
    assert file.value.why == "it is a file, not a folder"
    with pytest.raises(ManifestError, match=r"has no tfgrid-compose\.yaml") as empty:
        load_app(tmp_path)
    assert empty.value.code == "manifest-missing"
    with pytest.raises(ManifestError, match=r"has no prod\.yaml"):
        load_app(tmp_path, file="prod.yaml")


@pytest.mark.parametrize("name", ["new\nline", "nul\0"])
def test_a_path_with_a_line_break_is_refused_before_it_reaches_a_shell(tmp_path: Path, name: str) -> None:
    with pytest.raises(ManifestError, match="is not a usable path") as caught:
        load_app(tmp_path / name)
    assert caught.value.code == "path-unusable"
    assert "\n" not in caught.value.what


# Errors of the manifest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 1\n", "tfgrid-compose.yaml:1: `name` is missing (for example `name: my-app`)"),
        ("{}\n", "tfgrid-compose.yaml:1: `name` is missing (for example `name: my-app`)"),
        ("version: 1\nname: 3\n", "tfgrid-compose.yaml:2: `name` is 3; it must be a text"),
        ("name: [a]\n", "tfgrid-compose.yaml:1: `name` is ['a']; it must be a text"),
        ("name: -a b\n", "tfgrid-compose.yaml:1: `name` can't be '-a b' (it must match ^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$)"),
        ("name: a\nresources:\n  cpu:\n    recommended: 0\n", "tfgrid-compose.yaml:4: `resources.cpu.recommended` is 0; it must be at least 1"),
        ("name: a\nresources:\n  cpu:\n    min: 33\n", "tfgrid-compose.yaml:4: `resources.cpu.min` is 33; it must be at most 32"),
        ("name: a\nresources: {cpu: {min: many}}\n", "tfgrid-compose.yaml:2: `resources.cpu.min` is 'many'; it must be a whole number"),
        ("name: a\nresources: {cpu: {min: 1.5}}\n", "tfgrid-compose.yaml:2: `resources.cpu.min` is 1.5; it must be a whole number"),
        ("name: a\nresources: {cpu: {min: yes}}\n", "tfgrid-compose.yaml:2: `resources.cpu.min`: write a number, not yes or no"),
        ("name: a\nresources: {memory: {min: 5 apples}}\n",
         "tfgrid-compose.yaml:2: `resources.memory.min`: '5 apples' is not a size; write 4096 (MB), 8G or 512M"),
        ("name: a\nresources: {memory: {min: 1M}}\n", "tfgrid-compose.yaml:2: `resources.memory.min` is '1M'; it must be at least 256"),
        ("name: a\nresources:\n  ports:\n    - 80\n    - http\n",
         "tfgrid-compose.yaml:5: `resources.ports[1]`: 'http' is not a port; write 8080, 8080:http or 53/udp:dns"),
        ("name: a\nresources: {ports: [true]}\n",
         "tfgrid-compose.yaml:2: `resources.ports[0]`: True is not a port; write 8080, 8080:http or 53/udp:dns"),
        ("name: a\nresources: {ports: [70000]}\n", "tfgrid-compose.yaml:2: `resources.ports[0]` is 70000; it must be at most 65535"),
        ("name: a\nresources: {ports: 80}\n", "tfgrid-compose.yaml:2: `resources.ports` is 80; it must be a list"),
        ("name: a\nresources: 3\n", "tfgrid-compose.yaml:2: `resources` is 3; it must be keys with values"),
        ("name: a\nnetwork: {provision: wirguard}\n",
         "tfgrid-compose.yaml:2: `network.provision` can't be 'wirguard'; it takes mycelium, wireguard, ipv4, ipv6"
         " (did you mean `wireguard`?)"),
        ("name: a\nnetwork: {public_ipv4: maybe}\n", "tfgrid-compose.yaml:2: `network.public_ipv4` is 'maybe'; it must be yes or no"),
        ("name: a\nnetwork: {public_ipv4: []}\n", "tfgrid-compose.yaml:2: `network.public_ipv4` is []; it must be yes or no"),
        ("name: a\nenvironment:\n  - description: x\n", "tfgrid-compose.yaml:3: `environment[0].name` is missing"),
        ("name: a\nenvironment: [A]\n", "tfgrid-compose.yaml:2: `environment[0]` is 'A'; it must be keys with values"),
        ("name: a\ngateway: [1]\n", "tfgrid-compose.yaml:2: `gateway` is [1]; it must be keys with values"),
        ("name: a\ncommands:\n  go: {script: ''}\n", "tfgrid-compose.yaml:3: `commands.go.script` is ''; it must be not empty"),
        ("name: a\nhook_config: {setup: {timeout: .inf}}\n", "tfgrid-compose.yaml:2: `hook_config.setup.timeout`: Input should be a finite number"),
        (f"name: {'a' * 100}!\n", f"tfgrid-compose.yaml:1: `name` can't be '{'a' * 56}… (it must match ^[a-zA-Z0-9][a-zA-Z0-9_.-]{{0,62}}$)"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_line_and_our_words(app_folder: Path, text: str, message: str) -> None:
    assert errors(app_folder, text) == [message]


def test_a_node_may_be_a_number_a_list_or_a_count_and_nothing_else(app_folder: Path) -> None:
    found = errors(app_folder, "name: a\nnodes:\n  masters: many\n")
    assert all(line.startswith("tfgrid-compose.yaml:3: `nodes.masters` ") for line in found)
    assert any("whole number" in line for line in found)


def test_all_mistakes_are_told_at_once(app_folder: Path) -> None:
    (app_folder / "deployment" / "setup.sh").write_text("echo no shebang\n")
    found = errors(app_folder, "name: a\nname: b\nhooks: {configure: no.sh}\nresorces: {}\n", strict=True)
    assert found == [
        "tfgrid-compose.yaml:2: `name` is there twice (keep one)",
        "tfgrid-compose.yaml:3: hook `configure`: no.sh does not exist (create it, or point `hooks` at your script)",
        "tfgrid-compose.yaml:4: unknown key `resorces` (did you mean `resources`?)",
        "deployment/setup.sh:1: has no shebang, so nothing says what runs it (begin the file with `#!/usr/bin/env bash`)",
    ]


def test_one_mistake_is_the_headline_itself(app_folder: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        load(app_folder, "name: a\nname: b\n")
    assert (caught.value.what, caught.value.details, caught.value.why) == (
        "tfgrid-compose.yaml:2: `name` is there twice (keep one)", [], "",
    )  # fmt: skip


def test_duplicates_deep_inside_are_named_with_their_place(app_folder: Path) -> None:
    found = errors(app_folder, "name: a\nenvironment:\n  - name: A\n    name: B\n")
    assert found == ["tfgrid-compose.yaml:4: `environment[0].name` is there twice (keep one)"]


# Unknown keys


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("enviroment: []", "tfgrid-compose.yaml:2: unknown key `enviroment` (did you mean `environment`?)"),
        ("tgas: []", "tfgrid-compose.yaml:2: unknown key `tgas` (did you mean `tags`?)"),
        ("hooks: {setpu: x}", "tfgrid-compose.yaml:2: unknown key `hooks.setpu` (did you mean `setup`?)"),
        ("resources: {vm: {cpus: 2}}", "tfgrid-compose.yaml:2: unknown key `resources.vm.cpus` (did you mean `cpu`?)"),
        ("resources: {cpu: {minimum: 2}}", "tfgrid-compose.yaml:2: unknown key `resources.cpu.minimum` (did you mean `min`?)"),
        (
            "environment:\n  - {name: A, requird: yes}",
            "tfgrid-compose.yaml:3: unknown key `environment[0].requird` (did you mean `required`?)",
        ),
        ("commands:\n  go: {script: x, arg: y}", "tfgrid-compose.yaml:3: unknown key `commands.go.arg` (did you mean `args`?)"),
        (
            "hook_config: {setup: {timout: 3}}",
            "tfgrid-compose.yaml:2: unknown key `hook_config.setup.timout` (did you mean `timeout`?)",
        ),
        ("disks: [{size: 1, mount: /a, sise: 2}]", "tfgrid-compose.yaml:2: unknown key `disks[0].sise` (did you mean `size`?)"),
        ("nodes: {workers: {count: 1, zzz: 2}}", "tfgrid-compose.yaml:2: unknown key `nodes.workers.zzz` (known keys: count)"),
        ("patterns: {tags: 1}", "tfgrid-compose.yaml:2: unknown key `patterns.tags` (known keys: recommended, supported)"),
    ],
)
def test_an_unknown_key_is_a_warning_with_the_nearest_known_one_and_strict_makes_it_an_error(
    app_folder: Path, text: str, problem: str
) -> None:
    app = load(app_folder, f"name: a\n{text}\n")
    assert [str(item) for item in app.warnings] == [problem]
    assert errors(app_folder, f"name: a\n{text}\n", strict=True) == [problem]


def test_decorative_keys_and_those_with_x_pass_even_strictly(app_folder: Path) -> None:
    text = "name: a\nx-anything: {b: 1}\nauthor: me\nk3s: {version: 1}\nresources: {x-note: hi}\ncommands: {x: {script: y, x-z: 1}}\n"
    assert load(app_folder, text, strict=True).problems == ()


def test_free_mappings_take_any_key(app_folder: Path) -> None:
    text = "name: a\ngateway: {any: 1}\nlogging: {options: {max-size: 1}}\nenvironment: {ANY: x}\n"
    assert load(app_folder, text, strict=True).problems == ()


@pytest.mark.parametrize(
    ("word", "choices", "hint"),
    [("setpu", ["setup", "configure"], "did you mean `setup`?"), ("zzz", ["setup"], ""), ("80", [80, 443], "did you mean `80`?")],
)
def test_the_nearest_word_is_suggested_only_when_it_is_near(word: str, choices: list[Any], hint: str) -> None:
    assert nearest(word, choices) == hint


# Hooks and scripts


@pytest.mark.parametrize("hook", ["setup", "configure", "healthcheck"])
def test_a_hook_that_is_missing_is_named(app_folder: Path, hook: str) -> None:
    (app_folder / "deployment" / f"{hook}.sh").rename(app_folder / "deployment" / f"{hook}s.sh")
    assert errors(app_folder, "name: a\n") == [
        f"tfgrid-compose.yaml:1: hook `{hook}`: deployment/{hook}.sh does not exist (did you mean `deployment/{hook}s.sh`?)"
    ]


def test_an_app_without_a_deployment_folder_is_told_about_all_three_hooks(tmp_path: Path) -> None:
    assert [line.split("`")[1] for line in errors(tmp_path, "name: a\n")] == ["setup", "configure", "healthcheck"]


def test_a_playbook_replaces_the_hooks(app_folder: Path) -> None:
    assert load_app(app_folder).playbook() is None
    for script in (app_folder / "deployment").iterdir():
        script.unlink()
    (app_folder / "deployment" / "playbook.yml").write_text("[]\n")
    assert load_app(app_folder).playbook() == (app_folder / "deployment" / "playbook.yml").resolve()


def test_a_hook_is_found_as_written_or_by_its_name_in_deployment(app_folder: Path) -> None:
    (app_folder / "scripts").mkdir()
    (app_folder / "scripts" / "install.sh").write_text("#!/bin/sh\n")
    assert hook_path(app_folder, "scripts/install.sh") == app_folder / "scripts" / "install.sh"
    assert hook_path(app_folder, "elsewhere/setup.sh") == app_folder / "deployment" / "setup.sh"
    assert hook_path(app_folder, "setup.sh") == app_folder / "deployment" / "setup.sh"
    assert hook_path(app_folder, "gone.sh") == app_folder / "gone.sh"


@pytest.mark.parametrize("name", ["../evil.sh", "/etc/passwd", "deployment/../../x.sh", ".."])
def test_a_hook_never_leaves_the_app_folder(app_folder: Path, name: str) -> None:
    (app_folder.parent / "evil.sh").write_text("#!/bin/sh\n")
    assert hook_path(app_folder, name) is None
    assert errors(app_folder, f"name: a\nhooks:\n  setup: {name}\n") == [
        f"tfgrid-compose.yaml:3: hook `setup`: {name} leaves the app folder (hooks stand inside the app folder)"
    ]


def test_a_hook_that_is_a_link_out_of_the_folder_is_refused(app_folder: Path) -> None:
    (app_folder.parent / "evil.sh").write_text("#!/bin/sh\n")
    (app_folder / "deployment" / "setup.sh").unlink()
    (app_folder / "deployment" / "setup.sh").symlink_to("../../evil.sh")
    assert "leaves the app folder" in errors(app_folder, "name: a\n")[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no shebang"), (b"echo hi\n", "has no shebang"), (b"\xef\xbb\xbf#!/bin/sh\n", "has no shebang"), (b"\n#!/bin/sh\n", "has no shebang"),
        (b"#!/bin/bash\r\necho hi\r\n", "has Windows line endings"),
    ],
)  # fmt: skip
def test_a_hook_that_no_kernel_would_run_is_an_error(app_folder: Path, content: bytes, words: str) -> None:
    (app_folder / "deployment" / "configure.sh").write_bytes(content)
    (found,) = errors(app_folder, "name: a\n")
    assert found.startswith(f"deployment/configure.sh:1: {words}")


def test_a_hook_without_its_run_bit_is_only_a_warning(app_folder: Path) -> None:
    (app_folder / "deployment" / "setup.sh").chmod(0o644)
    app = load_app(app_folder)
    assert [(item.severity, item.path, item.hint) for item in app.problems] == [
        ("warning", "deployment/setup.sh", "chmod +x deployment/setup.sh")
    ]
    load_app(app_folder, strict=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user id, because root reads everything")
def test_a_hook_that_can_not_be_read_is_an_error(app_folder: Path) -> None:
    (app_folder / "deployment" / "setup.sh").chmod(0o000)
    code = (
        "import os, sys; from pathlib import Path; from tfgrid_compose.manifest.checks import _check_script\n"
        "folder = os.open(sys.argv[1], os.O_RDONLY); os.fchdir(folder); os.setuid(54321)\n"
        "print(*_check_script(Path('setup.sh'), 'setup.sh'))\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(app_folder / "deployment")], capture_output=True, text=True, timeout=60)
    assert run.stdout == "setup.sh:1: can't be read: Permission denied\n", run.stderr


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("scripts/go.sh", "command `x`: scripts/go.sh does not exist in the app folder"),
        ("scripts/go.sh --fast", "command `x`: scripts/go.sh does not exist in the app folder"),
        ("/opt/app/scripts/lsit.sh -a", "command `x`: the app ships no lsit.sh"),
        ("/opt/app/bin/other", "command `x`: the app ships no other"),
        ("scripts/list.sh", None), ("/opt/app/scripts/list.sh one two", None), ("/usr/bin/uptime", None), ("journalctl -f", None),
        ("/opt/app/deep/scripts/x.sh", None),
    ],
)  # fmt: skip
def test_scripts_of_commands_must_be_there(app_folder: Path, script: str, problem: str | None) -> None:
    (app_folder / "scripts").mkdir()
    (app_folder / "scripts" / "list.sh").write_text("#!/bin/sh\n")
    text = f"name: a\ncommands:\n  x:\n    description: d\n    script: {script}\n"
    try:
        found = [str(item) for item in load(app_folder, text).problems]
    except ManifestError as error:
        found = [error.what]
    hint = " (did you mean `list.sh`?)" if "lsit" in script else ""
    assert found == ([f"tfgrid-compose.yaml:5: {problem}{hint}"] if problem else [])


def test_an_app_that_ships_no_scripts_is_not_asked_for_those_on_the_machine(app_folder: Path) -> None:
    assert load(app_folder, "name: a\ncommands: {x: {script: /opt/a/scripts/gone.sh}}\n").problems == ()


# Environment


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ("[{name: A}, {name: B}, {name: A}]", "environment `A` is there twice (keep one)"),
        (
            "[{name: A, options: [fast, slow], default: fats}]",
            "the default of `A` is not one of its options (did you mean `fast`?)",
        ),
        ("[{name: A, options: [fast, slow], default: zz}]", "the default of `A` is not one of its options (fast, slow)"),
        (
            "[{name: MODE}, {name: B, depends_on: {MOD: x}}]",
            "`B` depends on `MOD`, which is not in `environment` (did you mean `MODE`?)",
        ),
    ],
)
def test_an_environment_that_contradicts_itself_is_an_error(app_folder: Path, environment: str, problem: str) -> None:
    assert errors(app_folder, f"name: a\nenvironment: {environment}\n") == [f"tfgrid-compose.yaml:2: {problem}"]


# Whatever is thrown at it

keys = st.sampled_from(
    [*Manifest.model_fields, "min", "recommended", "setup", "script", "count", "vm", "ports", "provision", "default", "options"]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 70000)
    | st.floats(width=16)
    | st.text("ab/.: -8G\u00fc", max_size=6).filter(lambda t: t == "" or t.strip())
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text("ab-", max_size=3), inner, max_size=4),
    max_leaves=15,
)
fuzz = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def loads_or_explains(folder: Path) -> None:
    """Whatever the manifest holds, it is one or there is an error with a next step."""
    try:
        assert load_app(folder).manifest.name
    except TfgridError as error:
        assert error.what
        assert error.fix


@fuzz
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_manifest_or_an_explained_error(app_folder: Path, content: bytes) -> None:
    (app_folder / "tfgrid-compose.yaml").write_bytes(content)
    loads_or_explains(app_folder)


@fuzz
@given(st.text("ab:-[]{}&*!|>'\"#%@,? \n\t1.<~", max_size=60))
def test_arbitrary_yaml_is_a_manifest_or_an_explained_error(app_folder: Path, text: str) -> None:
    (app_folder / "tfgrid-compose.yaml").write_text("name: a\n" + text)
    loads_or_explains(app_folder)


@fuzz
@given(st.dictionaries(keys, trees, max_size=6))
def test_arbitrary_values_under_known_keys_are_a_manifest_or_an_explained_error(app_folder: Path, data: dict[str, Any]) -> None:
    (app_folder / "tfgrid-compose.yaml").write_text(yaml.safe_dump({"name": "a", **data}))
    loads_or_explains(app_folder)


# What once went wrong


@pytest.mark.filterwarnings("error")
def test_checking_the_hooks_leaves_no_file_open(app_folder: Path) -> None:
    code = "import sys; from pathlib import Path; from tfgrid_compose.manifest.load import load_app; load_app(Path(sys.argv[1]))"
    run = subprocess.run([sys.executable, "-X", "dev", "-c", code, str(app_folder)], capture_output=True, text=True, timeout=60)
    assert "ResourceWarning" not in run.stderr


@pytest.mark.parametrize(
    "text",
    ["commands: {x: {script: '  '}}", 'hooks: {setup: "a\\0b"}', f"hooks: {{setup: {'a' * 300}}}", "hooks: {setup: loop}"],
    ids=["blank script", "nul", "long name", "link loop"],
)
def test_odd_paths_are_explained_errors(app_folder: Path, text: str) -> None:
    (app_folder / "loop").symlink_to("loop")
    with pytest.raises(ManifestError):
        load(app_folder, f"name: a\n{text}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('version: "1\\nprimary_ip: 6.6.6.6"', "`version`: it is to stand on one line"),
        ('version: "1\\e[2J"', "`version`: it holds the control character '\\x1b'"),
        ('description: "\\e]0;x\\a"', "`description`: it holds the control character '\\x1b'"),
        ('logging: {service: "a\\nb"}', "`logging.service`: it is to stand on one line"),
        ('commands: {x: {script: "a", description: "\\b"}}', "`commands.x.description`: it holds the control character '\\x08'"),
        ('commands: {"x\\e": {script: a}}', "it holds the control character"),
        ('placement: {farms: ["a\\nb"]}', "it is to stand on one line"),
        ('hooks: {setup: "a\\u2028b"}', "it holds the control character '\\u2028'"),
        ('pattern: "a\\x9b"', "it holds the control character '\\x9b'"),
    ],
)
def test_texts_of_a_manifest_hold_no_control_characters(app_folder: Path, text: str, said: str) -> None:
    assert said in errors(app_folder, f"name: a\n{text}\n")[0]


def test_prose_and_values_may_have_several_lines(app_folder: Path) -> None:
    text = 'name: a\ndescription: |\n  one\n  two\tthree\nenvironment: [{name: A, default: "x\\ny"}]\n'
    manifest = load(app_folder, text).manifest
    assert (manifest.description, manifest.environment[0].default) == ("one\ntwo\tthree\n", "x\ny")


def test_a_target_that_is_too_long_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ManifestError):
        find_manifest(tmp_path / ("a" * 300))


def test_an_endless_number_is_an_explained_error(app_folder: Path) -> None:
    errors(app_folder, f"name: a\nresources: {{cpu: 0x{'f' * 5000}}}\n")


def test_a_port_as_key_and_value_is_no_unknown_key(app_folder: Path) -> None:
    assert load(app_folder, "name: a\nresources: {ports: [{80: http}]}\n").problems == ()


def test_a_command_called_int_keeps_its_name_in_errors(app_folder: Path) -> None:
    assert "`commands.int.script` is missing" in errors(app_folder, "name: a\ncommands: {int: {description: x}}\n")[0]


def test_a_plain_number_that_is_wrong_is_told_once(app_folder: Path) -> None:
    assert len(errors(app_folder, "name: a\nresources:\n  cpu: 0\n")) == 1


def test_a_misspelt_hook_in_hook_config_is_named_plainly(app_folder: Path) -> None:
    assert "[key]" not in errors(app_folder, "name: a\nhook_config: {setpu: {timeout: 3}}\n")[0]


def test_a_misspelt_key_in_the_environment_map_is_a_warning(app_folder: Path) -> None:
    assert load(app_folder, "name: a\nenvironment: {A: {defualt: x}}\n").warnings


def test_a_script_of_a_command_never_leaves_the_app_folder(app_folder: Path) -> None:
    (app_folder.parent / "evil.sh").write_text("#!/bin/sh\n")
    errors(app_folder, "name: a\ncommands: {x: {script: ../evil.sh}}\n")


def test_an_empty_section_is_as_good_as_none(app_folder: Path) -> None:
    app = load(app_folder, "name: a\nnetwork:\nresources:\n  cpu:\n  ports:\nhooks:\n  setup:\nenvironment:\ncommands:\n")
    assert app.manifest == Manifest(name="a")
    assert "`name` is missing" in errors(app_folder, "name:\n")[0]


def test_a_port_whose_name_was_left_out_has_none(app_folder: Path) -> None:
    (port,) = load(app_folder, "name: a\nresources:\n  ports:\n    - 80:\n").manifest.resources.ports
    assert (port.number, port.name) == (80, "")


def test_a_hook_in_deployment_that_links_out_of_the_folder_is_refused_by_its_bare_name_too(app_folder: Path) -> None:
    (app_folder.parent / "evil.sh").write_text("#!/bin/sh\n")
    (app_folder / "deployment" / "setup.sh").unlink()
    (app_folder / "deployment" / "setup.sh").symlink_to("../../evil.sh")
    assert "leaves the app folder" in errors(app_folder, "name: a\nhooks: {setup: setup.sh}\n")[0]
