"""The docs say what the program does: generated pages are fresh, nothing is missing, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import click
import pytest
from pydantic import BaseModel

from tfgrid_compose.cli.main import COMMANDS, cli
from tfgrid_compose.manifest.load import load_app
from tfgrid_compose.manifest.model import Manifest
from tfgrid_compose.observe.diagnosis import all_failures
from tfgrid_compose.patterns.load import names

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(path for path in DOCS.rglob("*.md") if "templates" not in path.parts),
    *sorted(ROOT.glob("*.md")),
]
GENERATED = ("commands.md", "manifest.md", "errors.md", "events.md", "pattern-contract.md")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "scripts" / "generate_docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def visible(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that `--help` shows, with its whole name."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            if not found.hidden:
                yield from visible(found, f"{path} {name}")


ALL_COMMANDS = list(visible(cli, "tfgrid-compose"))


def models(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """A model and every model inside it."""
    if model in seen:
        return
    seen.add(model)
    yield model
    for info in model.model_fields.values():
        for inner in inside(info.annotation):
            yield from models(inner, seen)


def inside(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from inside(argument)


# Generated pages


def test_generated_pages_are_fresh() -> None:
    done = subprocess.run([sys.executable, "scripts/generate_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_check_names_the_stale_page_and_writes_nothing(
    generator: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "events.md").write_text("old")
    monkeypatch.setattr(generator, "ROOT", tmp_path)
    monkeypatch.setattr(generator, "PAGES", {"docs/events.md": generator.events_page})
    assert generator.main(["--check"]) == 1
    assert "stale: docs/events.md" in capsys.readouterr().err
    assert (tmp_path / "docs" / "events.md").read_text() == "old"
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0


def test_an_unknown_argument_of_the_generator_is_refused(generator: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert generator.main(["--chek"]) == 2
    assert "--check" in capsys.readouterr().err


# Commands, manifest, errors, events


@pytest.mark.parametrize(("path", "command"), ALL_COMMANDS, ids=[path for path, _ in ALL_COMMANDS])
def test_every_command_and_option_is_documented(path: str, command: click.Command) -> None:
    text = (DOCS / "commands.md").read_text()
    assert f"\n## {path}\n" in text
    section = text.split(f"\n## {path}\n", 1)[1].split("\n## ", 1)[0]
    options = [item for item in command.params if isinstance(item, click.Option) and not item.hidden]
    for option in options:
        for name in option.opts:
            assert re.search(rf"(^|[\s,]){re.escape(name)}([\s,]|$)", section), f"{path} {name}"
    assert "Example" in section or path == "tfgrid-compose"


def test_the_table_of_commands_has_no_unknown_one() -> None:
    headings = re.findall(r"^## (.+)$", (DOCS / "commands.md").read_text(), re.MULTILINE)
    assert headings == [path for path, _ in ALL_COMMANDS]


def test_every_manifest_key_is_documented() -> None:
    text = (DOCS / "manifest.md").read_text()
    documented = set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))
    last_parts = {key.split(".")[-1] for key in documented}
    for name in Manifest.model_fields:
        assert name in documented, name
    for model in models(Manifest, set()):
        for name, info in model.model_fields.items():
            assert name in last_parts, f"{model.__name__}.{name}"
            assert info.description, f"{model.__name__}.{name} has no description"


def test_every_error_code_is_documented() -> None:
    documented = set(re.findall(r"^\| `([a-z0-9-]+)` \|", (DOCS / "errors.md").read_text(), re.MULTILINE))
    found = set()
    for path in (ROOT / "src" / "tfgrid_compose").rglob("*.py"):
        # A second, simpler look at the source than the generator's.
        found |= set(re.findall(r'\bcode ?= ?"([a-z0-9-]+)"', path.read_text()))
    assert len(found) > 50
    assert found <= documented, sorted(found - documented)


def test_every_diagnosis_is_documented() -> None:
    section = (DOCS / "errors.md").read_text().split("\n## Diagnoses\n", 1)[1]
    documented = re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.MULTILINE)
    assert documented == [row.code for row in all_failures()]


def test_the_pages_of_explain_are_made_from_the_source(generator: ModuleType) -> None:
    name = "src/tfgrid_compose/observe/error_pages.json"
    assert name in generator.PAGES
    assert (ROOT / name).read_text() == generator.error_pages()


def test_every_event_is_documented(generator: ModuleType) -> None:
    text = (DOCS / "events.md").read_text()
    emitted = set()
    for path in (ROOT / "src" / "tfgrid_compose").rglob("*.py"):
        emitted |= set(
            re.findall(
                r'(?:RunStarted|StepStarted|StepProgress|StepRetry|StepEnded|RunEnded|Notice)\(\s*"([a-z-]+)"', path.read_text()
            )
        )
    assert emitted == set(generator.event_kinds())
    for kind in emitted:
        assert f"\n## {kind}\n" in text, kind


def test_every_pattern_and_every_page_is_linked() -> None:
    everything = "".join(path.read_text() for path in PAGES)
    for name in names():
        assert f"`{name}`" in everything
    for page in PAGES:
        if page.name not in ("README.md", "CHANGELOG.md"):
            assert f"{page.name})" in everything or f"{page.name}#" in everything, f"nothing links to {page.name}"


# The rest


def test_every_dependency_has_a_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {re.split(r"[\[<>=~! ]", item)[0] for group in groups for item in group}
    text = (DOCS / "development" / "dependencies.md").read_text()
    documented = set(re.findall(r"^\| `([A-Za-z0-9-]+)` \|", text, re.MULTILINE))
    assert wanted - documented == set(), "without a reason"
    assert documented - wanted - {"hatchling"} == set(), "not a dependency any more"


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_relative_links_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"^[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(path.read_text()), f"{page.name}: {target}"


def anchors(text: str) -> set[str]:
    """The anchors that headings get."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_commands_in_the_docs_exist(page: Path) -> None:
    """A word after `tfgrid-compose` is one of our commands, or the example of an app's own one."""
    of_apps = {"backup", "entries", "visitors", "report", "uptime", "disk"}
    blocks = re.findall(r"```.*?```|`[^`\n]+`", page.read_text(), re.DOTALL)
    for word in re.findall(r"\btfgrid-compose ([a-z][a-z-]+)", " ".join(blocks)):
        assert word in COMMANDS or word in of_apps, f"{page.name}: tfgrid-compose {word}"


@pytest.mark.parametrize("example", sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_dir()))
def test_examples_validate_strictly(example: str) -> None:
    app = load_app(ROOT / "examples" / example, strict=True)
    assert not app.warnings


def test_the_manifest_in_the_docs_validates(app_folder: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", (DOCS / "manifest.md").read_text(), re.DOTALL)
    assert example is not None
    (app_folder / "tfgrid-compose.yaml").write_text(example[1])
    (app_folder / "scripts").mkdir()
    (app_folder / "scripts" / "backup.sh").write_text("#!/bin/sh\n")
    assert not load_app(app_folder, strict=True).warnings


def test_readme_is_short_and_names_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) < 120
    assert "make demo" in lines and "make test" in lines
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test"} <= set(targets)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_style(page: Path) -> None:
    """No word that blames the reader; no path of a developer's machine; every fence is closed."""
    text = page.read_text()
    if page.name != "style.md":
        assert not re.search(r"\bsimply\b", text, re.IGNORECASE)
    assert "/home/" not in text and "/work/" not in text
    assert text.count("```") % 2 == 0
    assert text.endswith("\n")
