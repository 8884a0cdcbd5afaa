"""The app's source as one archive: what is in it, what stays out, and when its digest changes."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfgrid_compose.errors import ManifestError, StateError
from tfgrid_compose.manifest import bundle
from tfgrid_compose.manifest.bundle import collect

ODD_NAMES = [
    "with space.txt",
    "new\nline.txt",
    "quo'te\".txt",
    "日本語/ünï.txt",
    "-rf",
    "*.star",
    "$HOME",
    "a" * 200 + "/" + "b" * 200,
]


def write(folder: Path, *names: str, text: str = "x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def names(folder: Path, *leave_out: Path) -> list[str]:
    return [entry.name for entry in collect(folder, leave_out).entries]


def members(archive: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {item.name: item for item in tar.getmembers()}


def content(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(name)
        assert file
        return file.read()


def test_all_files_go_in_sorted_by_name_and_folders_only_through_them(tmp_path: Path) -> None:
    write(tmp_path, "b", "a/c", "a-b", ".env.example")
    (tmp_path / "empty").mkdir()
    assert names(tmp_path) == [".env.example", "a-b", "a/c", "b"]


def test_what_never_belongs_on_a_machine_stays_out(tmp_path: Path) -> None:
    out = (
        ".git/HEAD",
        "sub/.git/x",
        ".terraform/x",
        ".venv/x",
        "node_modules/a/b",
        ".tfgrid-mnemonic",
        "src/__pycache__/m.pyc",
        ".DS_Store",
        ".hg/x",
        ".svn/x",
    )
    write(tmp_path, "keep", "not.git/keep", ".gitkeep", *out)
    assert names(tmp_path) == [".gitkeep", "keep", "not.git/keep"]


def test_gitignore_counts_when_there_is_no_file_of_our_own(tmp_path: Path) -> None:
    write(tmp_path, "a.log", "keep.log", "build/x", "src/build/y", "src/a.txt", "doc/a.txt")
    (tmp_path / ".gitignore").write_text("*.log\n!keep.log\n/build/\ndoc\n# src\n")
    assert names(tmp_path) == [".gitignore", "keep.log", "src/a.txt", "src/build/y"]


def test_our_own_ignore_file_replaces_gitignore(tmp_path: Path) -> None:
    write(tmp_path, "a.log", "b.bin")
    (tmp_path / ".gitignore").write_text("*.bin\n")
    (tmp_path / ".tfgridignore").write_text("*.log\n")
    assert names(tmp_path) == [".gitignore", ".tfgridignore", "b.bin"]


def test_an_ignore_file_that_is_no_utf8_is_still_obeyed(tmp_path: Path) -> None:
    write(tmp_path, "a.log")
    (tmp_path / ".tfgridignore").write_bytes(b"# \xff\n*.log\n")
    assert names(tmp_path) == [".tfgridignore"]


def test_private_files_never_go_in_under_any_name(tmp_path: Path) -> None:
    write(tmp_path, ".env", "src/a")
    (tmp_path / "src" / "link").symlink_to("../.env")
    assert names(tmp_path, tmp_path / ".env", tmp_path / "gone") == ["src/a"]
    assert names(tmp_path, tmp_path / "src" / ".." / ".env") == ["src/a"]


def test_links_are_kept_as_links_even_broken_ones_and_never_followed(tmp_path: Path) -> None:
    write(tmp_path, "app/real", "outside/secret")
    (tmp_path / "app" / "folder").symlink_to("../outside")
    (tmp_path / "app" / "file").symlink_to("real")
    (tmp_path / "app" / "broken").symlink_to("nowhere")
    found = collect(tmp_path / "app")
    packed = members(found.archive())
    assert {name: (item.issym(), item.linkname) for name, item in packed.items()} == {
        "broken": (True, "nowhere"), "file": (True, "real"), "folder": (True, "../outside"), "real": (False, ""),
    }  # fmt: skip
    assert found.size == 1


def test_pipes_and_sockets_are_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path, "file")
    assert names(tmp_path) == ["file"]


def test_modes_are_two_and_hooks_always_run(tmp_path: Path) -> None:
    write(tmp_path, "deployment/setup.sh", "deployment/data.txt", "src/run", "src/other.sh")
    (tmp_path / "src" / "run").chmod(0o500)
    (tmp_path / "src" / "other.sh").chmod(0o666)
    assert {entry.name: entry.mode for entry in collect(tmp_path).entries} == {
        "deployment/setup.sh": 0o755, "deployment/data.txt": 0o644, "src/run": 0o755, "src/other.sh": 0o644,
    }  # fmt: skip
    packed = members(collect(tmp_path).archive())
    assert {(item.mode, item.uid, item.gid, item.uname) for item in packed.values()} == {
        (0o755, 0, 0, "root"),
        (0o644, 0, 0, "root"),
    }


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_any_name_survives_the_archive(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, text="inside")
    found = collect(tmp_path)
    assert [entry.name for entry in found.entries] == [name]
    assert content(found.archive(), name) == b"inside"


def test_the_same_files_give_the_same_bytes_whenever_and_wherever(tmp_path: Path) -> None:
    for folder, order in (("one", ["a", "b/c", "d"]), ("two", ["d", "b/c", "a"])):
        write(tmp_path / folder, *order)
    os.utime(tmp_path / "two" / "a", (1, 1))
    one, two = collect(tmp_path / "one"), collect(tmp_path / "two")
    assert one.digest == two.digest
    assert one.archive({"x": b"1"}) == two.archive({"x": b"1"})
    assert time.time() > 1


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a").write_text("y"),
        lambda folder: (folder / "a").rename(folder / "b"),
        lambda folder: (folder / "a").chmod(0o755),
        lambda folder: (folder / "new").write_text(""),
        lambda folder: (folder / "link").unlink(),
        lambda folder: ((folder / "link").unlink(), (folder / "link").symlink_to("elsewhere")),
        lambda folder: ((folder / "link").unlink(), (folder / "link").write_text("a")),
    ],
    ids=["content", "name", "run bit", "new file", "gone", "link target", "link became file"],
)
def test_the_digest_changes_with_every_change_that_ships(tmp_path: Path, change: object) -> None:
    write(tmp_path, "a")
    (tmp_path / "link").symlink_to("a")
    before = collect(tmp_path).digest
    assert collect(tmp_path).digest == before
    change(tmp_path)  # type: ignore[operator]
    assert collect(tmp_path).digest != before


def test_the_digest_does_not_change_with_what_does_not_ship(tmp_path: Path) -> None:
    write(tmp_path, "a", ".env", text="1")
    before = collect(tmp_path, (tmp_path / ".env",)).digest
    write(tmp_path, ".env", ".git/index", text="2")
    os.utime(tmp_path / "a", (1, 1))
    (tmp_path / "a").chmod(0o600)
    assert collect(tmp_path, (tmp_path / ".env",)).digest == before


def test_content_moved_between_two_files_changes_the_digest(tmp_path: Path) -> None:
    write(tmp_path, "a", text="12")
    write(tmp_path, "b", text="3")
    before = collect(tmp_path).digest
    write(tmp_path, "a", text="1")
    write(tmp_path, "b", text="23")
    assert collect(tmp_path).digest != before


def test_extras_are_added_and_private(tmp_path: Path) -> None:
    write(tmp_path, "a")
    archive = collect(tmp_path).archive({"deployment/state.yaml": b"id: 1\n", "ü": b""})
    assert content(archive, "deployment/state.yaml") == b"id: 1\n"
    assert {name: item.mode for name, item in members(archive).items()} == {
        "a": 0o644,
        "deployment/state.yaml": 0o600,
        "ü": 0o600,
    }


def test_an_empty_folder_is_an_empty_archive(tmp_path: Path) -> None:
    assert collect(tmp_path).size == 0
    assert members(collect(tmp_path).archive()) == {}


def test_too_much_to_ship_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(bundle.MAX_BYTES + 1)
    with pytest.raises(ManifestError, match="the app folder has 2.0 GiB to ship") as caught:
        collect(tmp_path)
    assert caught.value.code == "bundle-too-large"
    (tmp_path / ".tfgridignore").write_text("huge\n")
    assert collect(tmp_path).size == 5


@pytest.mark.skipif("sys.version_info >= (3, 13)")
def test_a_link_that_points_at_itself_is_shipped_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert names(tmp_path) == ["loop"]


@pytest.mark.parametrize("link", [False, True])
def test_a_name_that_is_no_utf8_is_shipped(tmp_path: Path, link: bool) -> None:
    odd = os.fsdecode(b"caf\xe9")
    if link:
        (tmp_path / "link").symlink_to(odd)
    else:
        (tmp_path / odd).write_text("x")
    assert len(members(collect(tmp_path).archive())) == 1


@pytest.mark.parametrize("pattern", ["!", "a\\", "[z-a]"])
def test_a_bad_pattern_is_an_error_with_the_files_name_or_is_ignored(tmp_path: Path, pattern: str) -> None:
    (tmp_path / ".tfgridignore").write_text(pattern + "\n")
    try:
        assert names(tmp_path) == [".tfgridignore"]
    except ManifestError as error:
        assert ".tfgridignore" in error.what


def test_a_folder_that_can_not_be_read_is_a_manifest_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError):
        collect(tmp_path / "gone")


# Digests that the machine checks

ODD = [
    b"plain.txt", b"with space", b"  two leading", b"tab\there", b"new\nline", b"carriage\rreturn", b"back\\slash", b"\\\\", b"\\n",
    b"\nfirst", b"last\n", b"all\\of\nthem\r\\", b"caf\xe9", b"\xff\xfe", "日本語".encode(), b"-c", b"*star", b"a\\\xe9\n", b"'q\"",
    b"folder with\nbreak/in\\side",
]  # fmt: skip


def check(folder: Path, sums: bytes) -> subprocess.CompletedProcess[bytes]:
    """What the machine does with the list of digests."""
    list = folder.parent / "sums"
    list.write_bytes(sums)
    words = ["sha256sum", "-c", "--quiet", "--strict", str(list)]
    return subprocess.run(words, cwd=folder, capture_output=True, env={**os.environ, "LC_ALL": "C"})


def odd_app(tmp_path: Path, names: list[bytes]) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    for number, name in enumerate(names):
        path = Path(os.fsdecode(bytes(folder) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content {number}")
    return folder


def test_the_real_sha256sum_finds_every_file_whatever_it_is_called(tmp_path: Path) -> None:
    folder = odd_app(tmp_path, ODD)
    (folder / "link").symlink_to("nowhere")
    sums = collect(folder).sums()
    done = check(folder, sums)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert sums.count(b"\n") == len(ODD), "one line for each, none for the link"


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_the_line_of_a_file_is_the_one_that_sha256sum_writes(tmp_path: Path, name: bytes) -> None:
    folder = odd_app(tmp_path, [name])
    done = subprocess.run([b"sha256sum", b"--", name], cwd=folder, capture_output=True, check=True)
    assert collect(folder).sums() == done.stdout


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("change", ["content", "gone"])
def test_the_real_sha256sum_sees_what_changed(tmp_path: Path, name: bytes, change: str) -> None:
    folder = odd_app(tmp_path, [b"other", name])
    sums = collect(folder).sums()
    path = Path(os.fsdecode(bytes(folder) + b"/" + name))
    if change == "gone":
        path.unlink()
    else:
        path.write_text("content 7")
    assert check(folder, sums).returncode == 1


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & {0, 0x2F} and name not in (b".", b"..")))
def test_any_name_at_all_is_found(name: bytes) -> None:
    with tempfile.TemporaryDirectory() as base:
        folder = odd_app(Path(base), [b"other"])
        path = os.path.join(bytes(folder), name)
        try:
            with open(path, "wb") as file:
                file.write(name)
        except OSError:
            return  # No name for this file system.
        found = collect(folder)
        assert check(folder, found.sums()).returncode == 0
        # What is left out is not in the list either.
        assert found.sums().count(b"\n") == len(found.entries)


def test_without_files_the_list_is_empty(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("a")
    assert collect(tmp_path).sums() == b""


def test_the_digests_are_those_of_the_entries_in_their_order(tmp_path: Path) -> None:
    write(tmp_path, "b", "a/c", text="1")
    (tmp_path / "link").symlink_to("b")
    found = collect(tmp_path)
    assert dict(zip([entry.name for entry in found.entries], found.digests, strict=True)) == {
        "a/c": hashlib.sha256(b"1").hexdigest(), "b": hashlib.sha256(b"1").hexdigest(),
        "link": hashlib.sha256(b"b").hexdigest(),
    }  # fmt: skip


# Back to files


def test_an_archive_unpacks_to_the_same_bundle(tmp_path: Path) -> None:
    folder = odd_app(tmp_path, ODD)
    (folder / "link").symlink_to("../outside")
    (folder / "loop").symlink_to("loop")
    (folder / os.fsdecode(b"l\xefnk")).symlink_to(os.fsdecode(b"caf\xe9"))
    (folder / "plain.txt").chmod(0o700)
    before = collect(folder)
    bundle.unpack(before.archive(), tmp_path / "back")
    after = collect(tmp_path / "back")
    assert (after.digest, after.sums(), after.size) == (before.digest, before.sums(), before.size)
    assert after.archive() == before.archive()
    assert os.readlink(tmp_path / "back" / "link") == "../outside"


def test_an_archive_that_can_not_be_unpacked_is_a_manifest_error(tmp_path: Path) -> None:
    write(tmp_path, "app/a")
    archive = collect(tmp_path / "app").archive()
    (tmp_path / "file").write_text("")
    with pytest.raises(ManifestError) as caught:
        bundle.unpack(archive, tmp_path / "file")
    assert caught.value.code == "bundle-unreadable"


def packed(*members: tuple[str, bytes, str]) -> bytes:
    """An archive of (name, type, link target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, kind, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode, info.size = kind, link, 0o6777, 3 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"abc") if info.size else None)
    return out.getvalue()


FILE, LINK = tarfile.REGTYPE, tarfile.SYMTYPE


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([("../out", FILE, "")], "leads out"), ([("a/../../out", FILE, "")], "leads out"), ([("..", LINK, "x")], "leads out"),
        ([("", FILE, "")], "leads out"), ([("way", LINK, ".."), ("way/out", LINK, "x")], "leads out"),
        ([("a", FILE, ""), ("a", FILE, "")], "there twice"), ([("a", FILE, ""), ("a", LINK, "x")], "there twice"),
        ([("pipe", tarfile.FIFOTYPE, "")], "neither"), ([("device", tarfile.CHRTYPE, "")], "neither"),
        ([("hard", tarfile.LNKTYPE, "/etc/passwd")], "neither"), ([("pipe", tarfile.FIFOTYPE, ""), ("pipe", FILE, "")], ""),
    ],
)  # fmt: skip
def test_an_archive_that_we_never_made_writes_nothing_outside(
    tmp_path: Path, members: list[tuple[str, bytes, str]], why: str
) -> None:
    with pytest.raises(StateError) as caught:
        bundle.unpack(packed(*members), tmp_path / "app")
    assert caught.value.code == "release-damaged" and why in caught.value.why
    assert [item.name for item in tmp_path.iterdir()] == ["app"]


def test_a_path_from_the_root_stays_out(tmp_path: Path) -> None:
    with pytest.raises(StateError):
        bundle.unpack(packed((str(tmp_path / "out"), FILE, "")), tmp_path / "app")
    assert not (tmp_path / "out").exists()


def test_a_link_that_leads_out_is_kept_and_never_written_through(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    bundle.unpack(packed(("a", FILE, ""), ("link", LINK, "../target"), ("way", LINK, "..")), tmp_path / "app")
    assert (tmp_path / "target").read_text() == "mine" and os.readlink(tmp_path / "app" / "way") == ".."
    assert stat.S_IMODE((tmp_path / "app" / "a").stat().st_mode) == 0o755, "no special bits, and nobody else may write"
