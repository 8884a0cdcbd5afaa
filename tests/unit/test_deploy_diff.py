"""What differs between two releases, or between one and the app folder."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.workbench import Bench
from tfgrid_compose.deploy import diff
from tfgrid_compose.deploy.diff import Difference, Side, compare
from tfgrid_compose.deploy.options import PlacementOptions
from tfgrid_compose.errors import ManifestError, StateError
from tfgrid_compose.state import blobs
from tfgrid_compose.state.store import Release

FILE = ("1" * 64, 0o644)


def side(name: str = "#1", text: dict[str, str | None] | None = None, **given: Any) -> Side:
    """A side with one file `a`, unless said otherwise."""
    values: dict[str, Any] = {"manifest": "name: x\n", "files": {"a": FILE}, "infrastructure": {"vm cpu": "2"}}
    return Side(name, text=(text or {}).get, **{**values, **given})


def of(found: Difference, path: str) -> dict[str, Any]:
    (item,) = [item for item in found.files if item["path"] == path]
    return item


# By value


def test_two_sides_that_are_the_same_differ_in_nothing() -> None:
    found = compare(side(environment={"A": "1"}), side("#2", environment={"A": "1"}))
    assert found.same
    assert found.to_dict() == {
        "old": "#1", "new": "#2", "manifest": [], "files": [], "infrastructure": [], "environment": [], "same": True,
    }  # fmt: skip


def test_a_changed_manifest_is_a_unified_diff_of_both_sides() -> None:
    found = compare(side(manifest="name: x\ncpu: 1\n"), side("folder", manifest="name: x\ncpu: 2\n"))
    assert found.manifest == [
        "--- tfgrid-compose.yaml (#1)", "+++ tfgrid-compose.yaml (folder)", "@@ -1,2 +1,2 @@", " name: x", "-cpu: 1", "+cpu: 2",
    ]  # fmt: skip
    assert not found.same and found.files == []


def test_files_are_added_removed_changed_or_have_another_mode() -> None:
    old = {"gone": FILE, "mode": FILE, "text": FILE, "binary": FILE, "same": FILE, "link": ("-> a", 0o777)}
    other = ("2" * 64, 0o644)
    new = {"new": FILE, "mode": ("1" * 64, 0o755), "text": other, "binary": other, "same": FILE, "link": ("-> b", 0o777)}
    found = compare(
        side(files=old, text={"text": "one\ntwo\n", "gone": "x"}), side("#2", files=new, text={"text": "one\n2\n", "new": "y"})
    )
    assert [(item["path"], item["change"]) for item in found.files] == [
        ("binary", "changed"), ("gone", "removed"), ("link", "changed"), ("mode", "mode"), ("new", "added"), ("text", "changed"),
    ]  # fmt: skip
    assert of(found, "text")["lines"][2:] == ["@@ -1,2 +1,2 @@", " one", "-two", "+2"]
    assert [item["path"] for item in found.files if item["lines"]] == ["text"], "nothing is shown of what is no text"


def test_a_file_that_became_no_text_has_no_lines() -> None:
    found = compare(side(text={"a": "x"}), side("#2", files={"a": ("2" * 64, 0o644)}, text={"a": None}))
    assert of(found, "a") == {"path": "a", "change": "changed", "lines": []}


def test_the_manifest_is_not_listed_among_the_files_too() -> None:
    found = compare(side(files={"tfgrid-compose.yaml": FILE}), side("#2", files={}))
    assert found.same


def test_infrastructure_names_what_is_there_on_one_side_only() -> None:
    found = compare(
        side(infrastructure={"vm cpu": "2", "disk data": "5 GB at /data"}), side("#2", infrastructure={"vm cpu": "4", "networks": "ipv4"})
    )  # fmt: skip
    assert found.infrastructure == [
        {"what": "disk data", "old": "5 GB at /data", "new": ""}, {"what": "networks", "old": "", "new": "ipv4"},
        {"what": "vm cpu", "old": "2", "new": "4"},
    ]  # fmt: skip


def test_names_of_changed_values_are_told_and_only_when_both_sides_have_an_environment() -> None:
    old, new = side(environment={"A": "1", "B": "2", "C": "3"}), side("#2", environment={"A": "1", "B": "9", "D": "4"})
    assert compare(old, new).environment == ["B", "C", "D"]
    folder = side("folder", has_environment=False)
    assert compare(old, folder).environment == compare(folder, old).environment == []


# Of releases and the folder


@pytest.fixture
def two(bench: Bench) -> tuple[Release, Release]:
    """Two releases that differ in everything."""
    bench.manifest(
        "version: 1.0.0\nresources: {cpu: 1}\nenvironment:\n  - {name: TOKEN, secret: true}\n  - {name: SAME, default: s}\n"
    )
    bench.write("src/page", "one\n")
    bench.write("src/gone", "x")
    first = bench.up(variables={"TOKEN": "hunter2-hunter2"})
    bench.manifest(
        "version: 2.0.0\nresources: {cpu: 2}\nnetwork: {provision: [wireguard]}\n"
        "disks:\n  - {name: data, size: 7, mount: /data}\n"
        "environment:\n  - {name: TOKEN, secret: true}\n  - {name: SAME, default: s}\n"
    )
    bench.write("src/page", "two\n")
    (bench.folder / "src" / "gone").unlink()
    return first, bench.up(variables={"TOKEN": "another-secret"})


def test_two_releases_are_compared_without_any_value_of_the_environment(bench: Bench, two: tuple[Release, Release]) -> None:
    found = compare(*(diff.of_release(bench.store, item) for item in two))
    assert (found.old, found.new) == ("#1", "#2")
    assert [(item["path"], item["change"]) for item in found.files] == [("src/gone", "removed"), ("src/page", "changed")]
    assert of(found, "src/page")["lines"][-2:] == ["-one", "+two"]
    assert {item["what"]: (item["old"], item["new"]) for item in found.infrastructure} == {
        "vm cpu": ("1", "2"), "disk data": ("", "7 GB at /data"), "networks": ("wireguard, mycelium", "wireguard"),
    }  # fmt: skip
    assert found.environment == ["TOKEN"]
    assert "+version: 2.0.0" in found.manifest
    assert "hunter2" not in json.dumps(found.to_dict()) and "another-secret" not in json.dumps(found.to_dict())


def test_what_was_just_deployed_is_the_same_as_the_folder(bench: Bench, two: tuple[Release, Release]) -> None:
    assert compare(diff.of_release(bench.store, two[1]), diff.of_folder(bench.deployment)).same
    assert compare(diff.of_release(bench.store, two[1]), diff.of_release(bench.store, two[1])).same


@pytest.mark.parametrize(
    ("path", "change"),
    [("src/new", "added"), ("src/page", "changed"), ("deployment/setup.sh", "changed"), ("tfgrid-compose.yaml", "manifest")],
)
def test_what_changed_in_the_folder_since_is_found(bench: Bench, path: str, change: str) -> None:
    bench.write("src/page", "one\n")
    live = bench.up()
    bench.write(path, "#!/bin/sh\nexit 0\n" if path.endswith(".sh") else "name: my-app\nversion: 9.9.9\n")
    found = compare(diff.of_release(bench.store, live), diff.of_folder(bench.deployment))
    if change == "manifest":
        assert found.files == [] and "+version: 9.9.9" in found.manifest
    else:
        assert [(item["path"], item["change"]) for item in found.files] == [(path, change)]
    assert found.new == "folder"


def test_links_and_run_bits_of_the_folder_are_compared_too(bench: Bench) -> None:
    bench.write("src/page", "one\n")
    (bench.folder / "src" / "link").symlink_to("page")
    live = bench.up()
    assert compare(diff.of_release(bench.store, live), diff.of_folder(bench.deployment)).same
    (bench.folder / "src" / "link").unlink()
    (bench.folder / "src" / "link").symlink_to("nowhere")
    (bench.folder / "src" / "page").chmod(0o755)
    found = compare(diff.of_release(bench.store, live), diff.of_folder(bench.deployment))
    assert [(item["path"], item["change"]) for item in found.files] == [("src/link", "changed"), ("src/page", "mode")]
    assert of(found, "src/link")["lines"] == []


def test_sizes_that_the_user_chose_are_no_change_of_the_folder(bench: Bench) -> None:
    live = bench.up(cpu=4, memory=8192)
    assert compare(diff.of_release(bench.store, live), diff.of_folder(bench.deployment)).same


def test_the_environment_file_is_no_file_of_the_app(bench: Bench) -> None:
    bench.write(".env", "A=1\n")
    live = bench.up()
    bench.write(".env", "A=hunter2\n")
    found = compare(diff.of_release(bench.store, live), diff.of_folder(bench.deployment))
    assert found.same


def test_another_manifest_can_be_compared(bench: Bench) -> None:
    bench.write("staging.yaml", "name: my-app\nversion: 3.0.0\n")
    live = bench.up(file="staging.yaml")
    assert compare(diff.of_release(bench.store, live), diff.of_folder(bench.deployment, "staging.yaml")).same
    assert compare(diff.of_release(bench.store, live), diff.of_folder(bench.deployment)).same, "it is remembered"
    assert not compare(diff.of_release(bench.store, live), diff.of_folder(bench.deployment, "tfgrid-compose.yaml")).same


def test_files_that_are_no_text_or_too_long_are_changed_without_lines(bench: Bench) -> None:
    (bench.folder / "src").mkdir()
    (bench.folder / "src" / "binary").write_bytes(b"\0\1")
    bench.write("src/long", "x\n" * 150_000)
    live = bench.up()
    (bench.folder / "src" / "binary").write_bytes(b"\0\2")
    bench.write("src/long", "y\n" * 150_000)
    found = compare(diff.of_release(bench.store, live), diff.of_folder(bench.deployment))
    assert [(item["path"], item["lines"]) for item in found.files] == [("src/binary", []), ("src/long", [])]


def test_damage_and_a_folder_that_is_gone_are_errors_that_say_so(bench: Bench) -> None:
    live = bench.up()
    (blobs.folder() / live.data["archive"]).write_bytes(b"")
    with pytest.raises(StateError) as caught:
        diff.of_release(bench.store, live)
    assert caught.value.code == "release-damaged"
    (bench.folder / "tfgrid-compose.yaml").unlink()
    with pytest.raises(ManifestError):
        diff.of_folder(bench.deployment)


def test_two_releases_differ_in_where_they_stood_and_what_was_said_about_nodes(bench: Bench) -> None:
    bench.up()
    bench.up(node=9, size="medium")
    bench.up(node=None, placement=PlacementOptions(countries=("Belgium",)), size="large")
    first, second, third = (diff.of_release(bench.store, item) for item in reversed(bench.store.releases(bench.deployment.id)))
    moved = {item["what"]: (item["old"], item["new"]) for item in diff.compare(first, second).infrastructure}
    assert moved["vm on node"] == ("7", "9") and "vm cpu" in moved
    said = {item["what"]: item["new"] for item in diff.compare(second, third).infrastructure}
    assert said["option countries"] == "Belgium" and "vm on node" not in said
    live = diff.compare(third, diff.of_folder(bench.deployment))
    assert live.infrastructure == [], "the folder says nothing of nodes"
