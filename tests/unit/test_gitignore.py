"""Which files of a folder go: exactly git's, less what never goes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.gitfiles import Files, Git, random_files, write_files
from tfgrid_compose.errors import ManifestError
from tfgrid_compose.manifest import gitignore
from tfgrid_compose.manifest.contents import ENVIRONMENT, IGNORED, PRIVATE, SPECIAL, contents, is_environment


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Git:
    return Git(tmp_path_factory.mktemp("git"))


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "app"
    folder.mkdir()
    yield folder


def names(folder: Path, *leave_out: Path) -> set[str]:
    return {entry.name for entry in contents(folder, leave_out).entries}


def write(folder: Path, *files: str) -> None:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


@pytest.mark.parametrize("ignore_file", [".gitignore", ".tfgridignore"])
def test_the_files_are_exactly_those_of_git_whatever_the_ignore_files_say(
    git: Git, tmp_path_factory: pytest.TempPathFactory, ignore_file: str
) -> None:
    base = tmp_path_factory.mktemp("apps")

    @settings(max_examples=150, deadline=None)
    @given(st.randoms(use_true_random=False))
    def same(chance: Random) -> None:
        files = random_files(chance, ignore_file.encode())
        assert _ours(base, files) == _gits(base, files, git, ignore_file)

    same()


def _ours(base: Path, files: Files) -> set[str]:
    folder = base / "app"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    write_files(folder, files)
    return names(folder)


def _gits(base: Path, files: Files, git: Git, ignore_file: str) -> set[str]:
    return git.files(base / "app", ignore_file)


def test_the_random_folders_are_worth_asking_about(git: Git, tmp_path: Path) -> None:
    """In many of them something stays, and in some of them something goes again by a `!`."""
    some = with_exception = 0
    for seed in range(150):
        folder = tmp_path / str(seed)
        folder.mkdir()
        write_files(folder, random_files(Random(seed), b".gitignore"))
        found = contents(folder)
        some += len(found.stays) > 0
        with_exception += any(
            rule.keeps
            and rule.matches(entry.name.encode(errors="surrogateescape"), entry.path.name.encode(errors="surrogateescape"))
            for rule in gitignore.parse((folder / ".gitignore").read_bytes())
            for entry in found.entries
        )
    assert some > 40 and with_exception > 5


@pytest.mark.parametrize(
    ("text", "goes"),
    [
        (
            "secrets/\n!/app/\n",
            ["app/x", "data/private/dump", "top"],
        ),  # A folder that is taken in again says nothing on what is in it.
        ("data/*\n!data/\n", ["app/secrets/key.pem", "app/x", "top"]),
        ("*\n!*/\n!x\n", ["app/x"]),
        ("app\n!app/x\n", ["data/private/dump", "top"]),  # What is in a folder that is out can't be taken in again.
        ("/app/*\n!/app/secrets\n", ["app/secrets/key.pem", "data/private/dump", "top"]),
        ("**/key.*\ndata/**\n", ["app/x", "top"]),
        ("top \n", ["app/secrets/key.pem", "app/x", "data/private/dump"]),
        ("[a-\n[z-a]\nto\\\n[[:nonsense:]]op\n", ["app/secrets/key.pem", "app/x", "data/private/dump", "top"]),
    ],
)
def test_git_decides_folder_by_folder(git: Git, app: Path, text: str, goes: list[str]) -> None:
    write(app, "app/secrets/key.pem", "app/x", "data/private/dump", "top")
    (app / ".gitignore").write_text(text)
    assert sorted(names(app) - {".gitignore"}) == goes == sorted(git.files(app, ".gitignore") - {".gitignore"})


def test_an_ignore_file_counts_in_its_own_folder_and_before_those_above(git: Git, app: Path) -> None:
    write(app, "a.log", "sub/a.log", "sub/b.log", "sub/deep/b.log", "other/b.log")
    (app / ".gitignore").write_text("*.log\n")
    (app / "sub" / ".gitignore").write_text("!b.log\n/deep\n")
    assert names(app) == git.files(app, ".gitignore") == {".gitignore", "sub/.gitignore", "sub/b.log"}


def test_only_one_kind_of_ignore_file_counts(app: Path) -> None:
    write(app, "a.log", "sub/a.bin")
    (app / ".tfgridignore").write_text("*.log\n")
    (app / "sub" / ".gitignore").write_text("*\n")
    assert names(app) == {".tfgridignore", "sub/.gitignore", "sub/a.bin"}


@pytest.mark.parametrize(
    "pattern", ["*a" * 12 + "b", "*" * 40 + "b/a", "**/a" * 30 + "/b", "**/*a*" * 12 + "b", "[a-z]*" * 20 + "!"]
)
def test_no_pattern_takes_long(pattern: str) -> None:
    (rule,) = gitignore.parse(pattern.encode())
    before = time.process_time()
    for path in (b"a" * 250, b"/".join([b"a"] * 2000), b"/".join([b"a" * 60] * 60)):
        assert gitignore.decided((rule,), path, False) is None
    assert time.process_time() - before < 2


def test_an_ignore_file_without_end_is_refused(app: Path) -> None:
    (app / ".gitignore").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ManifestError) as caught:
        contents(app)
    assert caught.value.code == "ignore-file-invalid"


def test_folders_may_nest_deeper_than_calls(app: Path) -> None:
    os.makedirs(app / ("d/" * 900))
    os.makedirs(f"{app}/{'d/' * 1200}")
    Path(f"{app}/{'d/' * 1200}x").write_text("")
    try:
        assert names(app) == {"d/" * 1200 + "x"}
    finally:
        # Python's own way of removing a tree is made of calls, too.
        subprocess.run(["rm", "-rf", str(app / "d")], check=True)


# What never goes

NEVER = (".git/HEAD", "sub/.git/x", ".hg/x", ".svn/x", ".terraform/state", ".tfgrid-compose/x", "src/__pycache__/m.pyc", ".venv/bin/tool",
         "node_modules/a/b", ".DS_Store", ".tfgrid-mnemonic", "src/.tfgrid-mnemonic", ".tfgrid/environment", "sub/.Git/x")  # fmt: skip
ENVIRONMENTS = (".env", ".env.local", ".env.production", "src/.env", "config/prod.env", ".envrc", ".ENV", ".env~", ".env.bak", ".env-old",
                "prod.env.bak", ".env.example.local", "a.env.local", "conf.env/a", ".env.d/b")  # fmt: skip
OPEN = ("!.*\n", "!*\n", "!*/\n!.*\n!*.*\n", "*\n!*/\n!*.*\n!.*\n!*\n", "!.tfgrid-mnemonic\n!.git\n!.env\n!/.env\n!*.env\n")


@pytest.mark.parametrize("text", OPEN)
@pytest.mark.parametrize("ignore_file", [".gitignore", ".tfgridignore"])
def test_what_never_goes_stays_whatever_the_ignore_file_says(app: Path, text: str, ignore_file: str) -> None:
    write(app, *NEVER, *ENVIRONMENTS, "src/file.txt")
    (app / ignore_file).write_text(text)
    (app / "sub" / ignore_file).write_text(text)
    assert names(app) == {ignore_file, f"sub/{ignore_file}", "src/file.txt"}


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_no_ignore_file_at_all_takes_in_what_is_private(chance: Random) -> None:
    with tempfile.TemporaryDirectory() as base:
        private = {tuple(name.encode().split(b"/")): b"" for name in (*NEVER, *ENVIRONMENTS)}
        write_files(Path(base), {**private, **random_files(chance, b".gitignore")})
        for entry in contents(Path(base)).entries:
            assert not any(entry.name == name or entry.name.endswith("/" + name) for name in (*NEVER, *ENVIRONMENTS))


def test_samples_of_environment_files_and_code_go() -> None:
    for name in (".env.example", ".env.sample", ".env.template", ".env.dist", "example.env", "prod.env.example", "app.sample.env", "app.env.j2",
                 "env.py", "env", "environment", "vite-env.d.ts", "app.env.ts", "x.environment", "env.d.ts", ".environment", "prodenv"):  # fmt: skip
        assert not is_environment(name), name
    for name in ENVIRONMENTS:
        assert any(map(is_environment, name.split("/"))), name


def test_a_link_or_a_second_name_of_a_private_file_stays_too(app: Path) -> None:
    write(app, "values", "src/a")
    (app / "src" / "link").symlink_to("../values")
    (app / "src" / "twin").hardlink_to(app / "values")
    assert names(app, app / "values") == {"src/a"}


def test_it_is_told_why_something_stays(app: Path) -> None:
    write(app, "out/a/b", "src/x.log", ".env.local", ".git/HEAD", "values")
    os.mkfifo(app / "pipe")
    (app / "hollow").mkdir()
    (app / ".gitignore").write_text("# first\n/out/\n")
    (app / "src" / ".gitignore").write_text("*.log\n")
    found = contents(app, (app / "values",))
    assert {name: (item.kind, item.why) for name, item in found.stays.items()} == {
        "out": (IGNORED, "is left out by .gitignore:2"), "src/x.log": (IGNORED, "is left out by src/.gitignore:1"),
        ".env.local": (ENVIRONMENT, "looks like an environment file"), ".git": (PRIVATE, "never goes to a machine"),
        "values": (PRIVATE, "is a manifest, or holds values that travel apart"), "pipe": (SPECIAL, "is a pipe"),
    }  # fmt: skip
    assert found.empty == ("hollow",)
    assert found.why_not("out/a/b") == found.stays["out"] and found.why_not("src") is None
