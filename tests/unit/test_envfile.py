"""Values for the hooks: where each comes from, which are secret, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfgrid_compose.errors import ManifestError
from tfgrid_compose.manifest.envfile import Environment, app_file, read_file, resolve
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
    return resolve(app, file=path, overrides=overrides or {}, process=process or {}, remembered=remembered or {})


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
    assert app_file(declare(app_folder, "  []\n", "env_file: /etc/app.env\n")) == Path("/etc/app.env")


def test_the_nearest_source_wins(app_folder: Path) -> None:
    app = declare(app_folder, "  - {name: A, default: default}\n")
    sources = {"overrides": {"A": "override"}, "file": "A=file\n", "process": {"A": "process"}, "remembered": {"A": "remembered"}}
    for source, wanted in (("overrides", "override"), ("file", "file"), ("process", "process"), ("remembered", "remembered")):
        assert values(app, **sources)[0].values == {"A": wanted}  # type: ignore[arg-type]
        del sources[source]
    assert values(app)[0].values == {"A": "default"}


def test_an_empty_value_is_no_value(app_folder: Path) -> None:
    app = declare(app_folder, "  - {name: A, required: true}\n")
    found, missing = values(app, file="A=\n", process={"A": ""}, remembered={"A": "kept"})
    assert (found.values, missing) == ({"A": "kept"}, [])


def test_only_declared_names_are_taken_from_the_process(app_folder: Path) -> None:
    app = declare(app_folder, "  - {name: A}\n")
    assert values(app, process={"A": "1", "HOME": "/root", "AWS_SECRET": "x"}, remembered={"OLD": "1"})[0].values == {"A": "1"}


def test_what_only_the_file_holds_is_passed_on_and_secret(app_folder: Path) -> None:
    app = declare(app_folder, "  - {name: A}\n  - {name: B, secret: true}\n  - {name: C, secret: true}\n")
    found, _ = values(app, file="A=1\nB=2\nEXTRA=3\n")
    assert found == Environment({"A": "1", "B": "2", "EXTRA": "3"}, frozenset({"B", "EXTRA"}), {"A": "1", "B": "2"})


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
