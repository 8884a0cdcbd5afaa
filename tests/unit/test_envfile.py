"""Values for the hooks: where each comes from, which are secret, and what is missing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tfgrid_compose.errors import ManifestError
from tfgrid_compose.manifest.envfile import (
    FILE,
    LAST_UP,
    OPTION,
    PROCESS,
    Environment,
    Source,
    app_file,
    check_file,
    read_file,
    resolve,
)
from tfgrid_compose.manifest.load import App, load_app
from tfgrid_compose.manifest.model import Variable


def declare(folder: Path, environment: str, more: str = "") -> App:
    (folder / "tfgrid-compose.yaml").write_text(f"name: a\n{more}environment:\n{environment}")
    return load_app(folder)


def values(
    app: App,
    file: str | None = None,
    overrides: dict[str, str] | None = None,
    process: dict[str, str] | None = None,
    remembered: dict[str, str] | None = None,
) -> tuple[Environment, list[Variable]]:
    path = None
    if file is not None:
        path = app.folder / ".env"
        path.write_text(file)
    return resolve(app, [
        Source(OPTION, overrides or {}), Source(FILE, read_file(path) if path else {}), Source(PROCESS, process or {}),
        Source(LAST_UP, remembered or {}),
    ])  # fmt: skip


def test_a_file_is_parsed_and_never_executed(tmp_path: Path) -> None:
    (tmp_path / "env").write_text(
        "# comment\nA=1\nexport B=two words\nC='single $A'\nD=\"double\\nline\"\nE=$(touch /tmp/owned)\nF=${A}\nG=\nI=a=b#c\nJ=x # c\n"
    )
    assert read_file(tmp_path / "env") == {
        "A": "1", "B": "two words", "C": "single $A", "D": "double\nline", "E": "$(touch /tmp/owned)", "F": "${A}", "G": "",
        "I": "a=b#c", "J": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "why"), [("gone", "No such file or directory"), ("", "Is a directory"), ("bin", "it is not UTF-8 text")]
)
def test_a_file_that_can_not_be_read_says_why(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "bin").write_bytes(b"A=\xff\n")
    with pytest.raises(ManifestError, match="can't be read") as caught:
        read_file(tmp_path / name)
    assert (caught.value.code, caught.value.why) == ("env-file-unreadable", why)


def test_the_file_is_the_chosen_one_then_the_manifests_then_dot_env(app_folder: Path, tmp_path: Path) -> None:
    app = declare(app_folder, "  []\n")
    assert app_file(app) is None
    (app_folder / ".env").write_text("A=1\n")
    assert app_file(app) == app_folder / ".env"
    named = declare(app_folder, "  []\n", "env_file: config/prod.env\n")
    assert app_file(named) == app_folder / "config" / "prod.env"
    assert app_file(named, tmp_path / "mine") == tmp_path / "mine"


def test_the_nearest_source_wins(app_folder: Path) -> None:
    app = declare(app_folder, "  - {name: A, default: default}\n")
    sources = {"overrides": {"A": "override"}, "file": "A=file\n", "process": {"A": "process"}, "remembered": {"A": "remembered"}}
    for source, wanted in (("overrides", "override"), ("file", "file"), ("process", "process"), ("remembered", "remembered")):
        assert values(app, **sources)[0].values == {"A": wanted}  # type: ignore[arg-type]
        del sources[source]
    assert values(app)[0].values == {"A": "default"}


@pytest.mark.parametrize("given", [{"overrides": {"A": ""}}, {"file": "A=\n"}, {"file": "A=''\n"}, {"remembered": {"A": ""}}])
@pytest.mark.parametrize("declared", ["{name: A}", "{name: A, default: d}", "{name: A, options: ['', x], default: x}"])
def test_an_empty_value_is_a_value_like_any_other(app_folder: Path, given: dict[str, Any], declared: str) -> None:
    app = declare(app_folder, f"  - {declared}\n")
    found, missing = values(app, **{"remembered": {"A": "x"}, **given})
    assert (found.values, found.given, missing) == ({"A": ""}, {"A": ""}, [])


def test_what_was_made_empty_stays_empty(app_folder: Path) -> None:
    app = declare(app_folder, "  - {name: MAIL_HOST, default: localhost}\n")
    first, _ = values(app, overrides={"MAIL_HOST": ""}, remembered={"MAIL_HOST": "smtp.example.com"})
    assert values(app, remembered=first.given)[0].values == {"MAIL_HOST": ""}


@pytest.mark.parametrize("declared", ["{name: A, required: true}", "{name: A, options: [kept, x]}"])
def test_a_variable_that_can_not_be_empty_takes_the_next_source(app_folder: Path, declared: str) -> None:
    app = declare(app_folder, f"  - {declared}\n")
    found, missing = values(app, file="A=\n", process={"A": ""}, remembered={"A": "kept"})
    assert (found.values, missing) == ({"A": "kept"}, [])
    with pytest.raises(ManifestError, match="A can't be empty") as caught:
        values(app, overrides={"A": ""}, remembered={"A": "kept"})
    assert caught.value.code == "variable-invalid" and caught.value.fix


def test_an_empty_form_leaves_a_required_value_missing(app_folder: Path) -> None:
    found, missing = values(declare(app_folder, "  - {name: A, required: true}\n"), file="A=\n")
    assert ([variable.name for variable in missing], found.values) == (["A"], {})


def test_an_empty_value_of_the_process_is_none(app_folder: Path) -> None:
    app = declare(app_folder, "  - {name: A, default: d}\n")
    assert values(app, process={"A": ""})[0].values == {"A": "d"}


# What a process can't have

ODD = {"not UTF-8": "caf\udce9", "a NUL": "x\0y", "too long": "x" * 131_070, "half a sign": "\ud83d"}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("source", ["overrides", "process", "remembered"])
def test_a_value_that_no_process_can_have_is_refused_from_every_source(app_folder: Path, source: str, value: str) -> None:
    app = declare(app_folder, "  - {name: GREETING}\n")
    with pytest.raises(ManifestError, match="the value of GREETING can't be handed to the hooks") as caught:
        values(app, **{source: {"GREETING": value}})  # type: ignore[arg-type]
    assert caught.value.code == "variable-invalid" and value[:4] not in str(caught.value.to_dict())


def test_such_a_value_in_a_file_is_found_by_validate_too(app_folder: Path) -> None:
    app = declare(app_folder, "  []\n")
    for text in (b"A=x\0y\n", b"CERTS=" + b"x" * 150_000):
        (app_folder / ".env").write_bytes(text)
        with pytest.raises(ManifestError, match="can't be handed to the hooks"):
            check_file(app)
    (app_folder / ".env").write_text("A=1\n")
    check_file(app)


@pytest.mark.parametrize("default", ['"a\\0b"', "x" * 131_072])
def test_such_a_default_is_an_error_of_the_manifest(app_folder: Path, default: str) -> None:
    with pytest.raises(ManifestError, match="GREETING|environment"):
        declare(app_folder, f"  - {{name: GREETING, default: {default}}}\n")


def test_the_limit_is_the_one_of_linux(app_folder: Path) -> None:
    app = declare(app_folder, "  - {name: A}\n")
    longest = "x" * (131_072 - len("A=") - 1)
    found, _ = values(app, overrides={"A": longest})
    assert subprocess.run(["true"], env=found.values).returncode == 0
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(["true"], env={"A": longest + "x"})
    with pytest.raises(ManifestError, match=r"takes at most 131069 for it|can't be handed"):
        values(app, overrides={"A": longest + "x"})


def test_all_values_together_have_a_limit(app_folder: Path) -> None:
    app = declare(app_folder, "".join(f"  - {{name: A{number}}}\n" for number in range(20)))
    many = {f"A{number}": "x" * 110_000 for number in range(20)}
    with pytest.raises(ManifestError, match="the values can't be handed") as caught:
        values(app, overrides=many)
    assert caught.value.code == "environment-too-large"
    assert values(app, overrides={name: value[:90_000] for name, value in many.items()})


# Only the user may take values from elsewhere


@pytest.mark.parametrize("named", ["/proc/self/environ", "../other/.env", "config/../../x.env", "way/app.env"])
def test_a_manifest_may_not_name_a_file_outside_of_the_app(app_folder: Path, named: str) -> None:
    (app_folder / "way").symlink_to("/etc")
    app = declare(app_folder, "  []\n", f"env_file: {named}\n")
    with pytest.raises(ManifestError, match="leads out of the app folder") as caught:
        app_file(app)
    assert caught.value.code == "env-file-outside" and "--env-file" in caught.value.fix
    assert app_file(app, Path("/etc/app.env")) == Path("/etc/app.env"), "the user may"


@pytest.mark.parametrize("name", [".env", "prod.env"])
def test_a_link_does_not_lead_out_either(app_folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").write_text("TOKEN=1\n")
    (app_folder / name).symlink_to("../mine")
    app = declare(app_folder, "  []\n", "" if name == ".env" else f"env_file: {name}\n")
    with pytest.raises(ManifestError) as caught:
        app_file(app)
    assert caught.value.code == "env-file-outside"
    (app_folder / name).unlink()
    (app_folder / "real").write_text("TOKEN=1\n")
    (app_folder / name).symlink_to("real")
    assert app_file(app) == app_folder / name


def test_a_pipe_is_not_waited_for(app_folder: Path) -> None:
    os.mkfifo(app_folder / "pipe")
    with pytest.raises(ManifestError, match="it is no file|can't be read"):
        app_file(declare(app_folder, "  []\n", "env_file: pipe\n"))


def test_the_source_of_each_value_is_known(app_folder: Path) -> None:
    app = declare(app_folder, "".join(f"  - {{name: {name}, default: d}}\n" for name in "ABCDE"))
    found, _ = values(app, overrides={"A": "1"}, file="B=1\nX=1\n", process={"B": "2", "C": "2"}, remembered={"D": "3", "C": "3"})
    assert found.sources == {"A": "option", "B": "file", "C": "process", "D": "last-up", "E": "default", "X": "file"}


def test_only_declared_names_are_taken_from_the_process(app_folder: Path) -> None:
    app = declare(app_folder, "  - {name: A}\n")
    assert values(app, process={"A": "1", "HOME": "/root", "AWS_SECRET": "x"}, remembered={"OLD": "1"})[0].values == {"A": "1"}


def test_what_only_the_file_holds_is_passed_on_and_secret(app_folder: Path) -> None:
    app = declare(app_folder, "  - {name: A}\n  - {name: B, secret: true}\n  - {name: C, secret: true}\n")
    found, _ = values(app, file="A=1\nB=2\nEXTRA=3\n")
    sources = {"A": "file", "B": "file", "EXTRA": "file"}
    assert found == Environment({"A": "1", "B": "2", "EXTRA": "3"}, frozenset({"B", "EXTRA"}), {"A": "1", "B": "2"}, sources)


def test_required_variables_without_a_value_are_all_returned(app_folder: Path) -> None:
    app = declare(
        app_folder,
        "  - {name: A, required: true}\n  - {name: B, required: yes, default: x}\n  - {name: C}\n  - {name: D, required: 'on'}\n",
    )
    found, missing = values(app)
    assert [variable.name for variable in missing] == ["A", "D"]
    assert found.values == {"B": "x"}


@pytest.mark.parametrize("source", ["overrides", "file", "process", "remembered"])
def test_a_value_outside_the_options_is_refused_from_every_source(app_folder: Path, source: str) -> None:
    app = declare(app_folder, "  - {name: MODE, options: [fast, slow, 3]}\n")
    wrong = "MODE=fats\n" if source == "file" else {"MODE": "fats"}
    with pytest.raises(ManifestError, match="MODE can't be `fats`") as caught:
        values(app, **{source: wrong})  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.why) == ("variable-invalid", "it takes fast, slow, 3")
    assert caught.value.fix == "did you mean `fast`?"
    assert values(app, overrides={"MODE": "3"})[0].values == {"MODE": "3"}


def test_a_secret_outside_its_options_is_not_shown(app_folder: Path) -> None:
    app = declare(app_folder, "  - {name: PIN, secret: true, options: [aaaa, bbbb]}\n")
    with pytest.raises(ManifestError) as caught:
        values(app, overrides={"PIN": "aaab"})
    assert "aaab" not in str(caught.value.to_dict())
    assert caught.value.what == "PIN can't be a value"


def test_a_required_variable_counts_only_when_what_it_depends_on_applies(app_folder: Path) -> None:
    app = declare(
        app_folder,
        "  - {name: PROVIDER, options: [manual, cloud], default: manual}\n"
        "  - {name: TOKEN, required: true, depends_on: {PROVIDER: cloud}}\n"
        "  - {name: ZONE, required: true, depends_on: {PROVIDER: cloud, TOKEN: t}}\n",
    )
    assert values(app)[1] == []
    assert [variable.name for variable in values(app, overrides={"PROVIDER": "cloud"})[1]] == ["TOKEN"]
    both = values(app, overrides={"PROVIDER": "cloud", "TOKEN": "t"})[1]
    assert [variable.name for variable in both] == ["ZONE"]


def test_what_a_variable_depends_on_may_be_declared_after_it(app_folder: Path) -> None:
    app = declare(app_folder, "  - {name: TOKEN, required: true, depends_on: {P: cloud}}\n  - {name: P, default: cloud}\n")
    assert [variable.name for variable in values(app)[1]] == ["TOKEN"]


@pytest.mark.parametrize(("text", "line"), [("A=1\nDB_PASSWORD\n", 2), ("=x\n", 1), ("A=1\n\n- b: c\n", 3)])
def test_a_line_that_is_no_assignment_is_named(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "env").write_text(text)
    with pytest.raises(ManifestError, match=f":{line} can't be understood"):
        read_file(tmp_path / "env")


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(ManifestError, match="too large"):
        read_file(Path("/dev/zero"))


@pytest.mark.parametrize("name", ["$(reboot)", "a b", "1A", "A;B", "my.name"])
def test_a_name_that_no_shell_takes_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "env").write_text(f"'{name}'=1\n")
    with pytest.raises(ManifestError, match=":1 can't be understood") as caught:
        read_file(tmp_path / "env")
    assert caught.value.code == "env-file-invalid"


def test_a_value_far_from_every_option_still_gets_a_fix(app_folder: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        values(declare(app_folder, "  - {name: MODE, options: [fast, slow]}\n"), overrides={"MODE": "zzz"})
    assert caught.value.fix
