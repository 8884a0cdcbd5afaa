"""YAML as people write it: bounded, with lines, and with an explanation for what is no manifest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tfgrid_compose.errors import ManifestError
from tfgrid_compose.manifest import yamlfile
from tfgrid_compose.manifest.yamlfile import Document, read

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 10)
)


def parse(folder: Path, content: str | bytes) -> Document:
    file = folder / "file.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(file)


def refused(folder: Path, content: str | bytes) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        parse(folder, content)
    return caught.value


def test_data_comes_with_the_line_of_every_value(tmp_path: Path) -> None:
    document = parse(tmp_path, "name: a\nresources:\n  cpu:\n    min: 1\n  ports:\n    - 80\n    - 443\n")
    assert document.data == {"name": "a", "resources": {"cpu": {"min": 1}, "ports": [80, 443]}}
    assert document.line(("name",)) == 1
    assert document.line(("resources", "cpu", "min")) == 4
    assert document.line(("resources", "ports", 1)) == 7
    assert document.line(("resources", "cpu", "nothing", "here")) == 3
    assert document.line(("nothing",)) == 1


def test_scalars_have_their_usual_types_and_odd_ones_stay_text(tmp_path: Path) -> None:
    text = "a: 1\nb: 1.5\nc: yes\nd: ~\ne: 2024-01-31\nf: !!binary aGk=\ng: !custom x\nh: !!int many\n1: one\ntrue: two\n"
    assert parse(tmp_path, text).data == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": "2024-01-31", "f": "aGk=", "g": "x", "h": "many", "1": "one", "true": "two",
    }  # fmt: skip


def test_a_tag_never_makes_an_object(tmp_path: Path) -> None:
    assert parse(tmp_path, "a: !!python/object/apply:os.system ['true']\n").data == {"a": ["true"]}
    assert parse(tmp_path, "a: !!python/name:os.system x\n").data == {"a": "x"}


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    document = parse(tmp_path, "base: &b {min: 1}\ncpu: *b\nmemory: {<<: *b, recommended: 2}\n")
    assert document.data == {"base": {"min": 1}, "cpu": {"min": 1}, "memory": {"min": 1, "recommended": 2}}
    assert document.duplicates == ()


def test_duplicate_keys_are_found_at_every_depth(tmp_path: Path) -> None:
    document = parse(tmp_path, "a: 1\nb:\n  - c: 1\n    c: 2\na: 2\n")
    assert sorted(document.duplicates, key=str) == [(("a",), 5), (("b", 0, "c"), 4)]
    assert document.data == {"a": 2, "b": [{"c": 2}]}


def test_a_byte_order_mark_and_windows_line_ends_are_no_obstacle(tmp_path: Path) -> None:
    assert parse(tmp_path, b"\xef\xbb\xbfname: a\r\nversion: b\r\n").data == {"name": "a", "version": "b"}


@pytest.mark.parametrize("content", ["", "\n\n", "# only a comment\n", "---\n", "~", "null"])
def test_an_empty_file_is_told_apart(tmp_path: Path, content: str) -> None:
    error = refused(tmp_path, content)
    assert (error.code, error.fix) == ("manifest-empty", "tfgrid-compose init writes one that deploys")


@pytest.mark.parametrize(
    ("content", "kind"), [("- a\n", "list"), ("hello", "text"), ("yes", "yes or no"), ("3", "number"), ("1.5", "number")]
)
def test_what_is_no_mapping_is_named(tmp_path: Path, content: str, kind: str) -> None:
    error = refused(tmp_path, content)
    assert error.code == "manifest-not-a-mapping"
    assert f"the file holds a {kind}," in error.what


@pytest.mark.parametrize(
    "content", [b"\x7fELF\x02\x01\x00", b"\xff\xfe\x00a", b"name: a\x00", b"\x80abc", "name: ü".encode("latin-1")]
)
def test_a_binary_file_is_no_manifest(tmp_path: Path, content: bytes) -> None:
    error = refused(tmp_path, content)
    assert (error.code, error.exit_code) == ("manifest-binary", 3)


def test_10_megabytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    error = refused(tmp_path, b"a: " + b"x" * 10 * 1024 * 1024)
    assert (error.code, error.why) == ("manifest-too-large", "it has 10.0 MB, the limit is 1 MB")


def test_a_file_of_just_the_limit_is_read(tmp_path: Path) -> None:
    content = b"a: '" + b"x" * (yamlfile.MAX_BYTES - 5) + b"'"
    assert len(parse(tmp_path, content).data["a"]) == yamlfile.MAX_BYTES - 5


@pytest.mark.parametrize("content", ["a: " + "[" * 5000, "a: " + "{x: " * 5000, "".join(f"{' ' * n}a:\n" for n in range(1000))])
def test_nesting_without_end_is_refused(tmp_path: Path, content: str) -> None:
    error = refused(tmp_path, content)
    assert (error.code, error.why) == ("manifest-too-large", "it is nested too deeply")


def test_exploding_anchors_are_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, LAUGHS)
    assert (error.code, error.why) == ("manifest-too-large", "its anchors expand to more than 20000 values")


def test_an_anchor_that_holds_itself_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "a: &a [*a]\n").code == "manifest-too-large"
    assert refused(tmp_path, "a: &a {b: *a}\n").code == "manifest-too-large"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("name: a\nb: [1\n", 3),
        ("name: 'a\n", 2),
        ("a: b: c\n", 1),
        ("name: a\n\tb: c\n", 2),
        ("x: *nothing\n", 1),
        ("a: 1\n---\nb: 2\n", 2),
    ],
)
def test_a_syntax_error_has_its_line(tmp_path: Path, content: str, line: int) -> None:
    error = refused(tmp_path, content)
    assert error.code == "manifest-syntax"
    assert f"file.yaml:{line}: " in error.what


def test_control_characters_and_wrong_merges_are_syntax_errors(tmp_path: Path) -> None:
    assert refused(tmp_path, "name: \x07\n").code == "manifest-syntax"
    assert refused(tmp_path, "a: {<<: 5}\n").code == "manifest-syntax"


def test_a_file_that_can_not_be_read_says_why(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "gone.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ManifestError) as caught:
            read(path)
        assert (caught.value.code, caught.value.why) == ("manifest-unreadable", why)


def test_a_key_may_override_a_merged_one(tmp_path: Path) -> None:
    document = parse(tmp_path, "base: &b {min: 1, recommended: 2}\ncpu: {<<: *b, min: 3}\n")
    assert document.data["cpu"] == {"min": 3, "recommended": 2}
    assert document.duplicates == ()


@pytest.mark.parametrize("value", ["!!bool maybe", "!!int ''", "!!float ''", "!!timestamp noon"])
def test_a_wrong_explicit_tag_leaves_the_text(tmp_path: Path, value: str) -> None:
    assert isinstance(parse(tmp_path, f"a: {value}\n").data["a"], str)


def test_exploding_merges_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    levels = ["&m0 {k: v}", *(f"&m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}" for n in range(1, 8))]
    (tmp_path / "file.yaml").write_text(f"name: a\nx-bomb: {{<<: [{', '.join(levels)}]}}\n")
    code = (
        "import resource, sys; from pathlib import Path; from tfgrid_compose.manifest.yamlfile import read\n"
        "from tfgrid_compose.errors import ManifestError\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 48 * 1024**2,) * 2)\n"
        "try: read(Path(sys.argv[1]))\n"
        "except ManifestError as error: print(error.code)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "file.yaml")], capture_output=True, text=True, timeout=60)
    assert run.stdout == "manifest-too-large\n", run.stderr[-300:]


def test_numbers_are_numbers_and_know_how_they_were_written(tmp_path: Path) -> None:
    data = parse(tmp_path, "a: 1.10\nb: 0123\nc: 0x10\n").data
    assert data == {"a": 1.1, "b": 83, "c": 16}
    assert [str(value) for value in data.values()] == ["1.10", "0123", "0x10"]


def test_a_key_that_is_no_text_is_refused_before_it_is_written_out(tmp_path: Path) -> None:
    error = refused(tmp_path, LAUGHS + "? [*a9]\n: x\n")
    assert error.code in ("manifest-syntax", "manifest-too-large")
    assert refused(tmp_path, "? [a, b]\n: x\n").code == "manifest-syntax"


def test_of_several_merged_sources_the_first_one_wins(tmp_path: Path) -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2, z: 2}\nc: {<<: [*b, *a], z: 3}\n"
    document = parse(tmp_path, text)
    assert (document.data["c"], document.duplicates) == ({"x": 1, "y": 2, "z": 3}, ())


def test_a_merge_of_itself_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "a: &a {<<: *a}\n").code == "manifest-too-large"


def test_too_many_values_are_refused_while_they_are_read(tmp_path: Path) -> None:
    error = refused(tmp_path, "a: [" + "1," * 60_000 + "]\n")
    assert (error.code, error.why) == ("manifest-too-large", "it has more than 20000 values")
