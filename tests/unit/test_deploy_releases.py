"""What a release keeps, which ones are kept, and that one becomes the very same files again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workbench import Bench
from tfgrid_compose.deploy import releases
from tfgrid_compose.errors import NotFoundError, StateError
from tfgrid_compose.manifest import bundle as bundles
from tfgrid_compose.manifest.bundle import collect
from tfgrid_compose.manifest.envfile import Environment
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.state import blobs, paths
from tfgrid_compose.state.store import Deployment, Release


def ship(bench: Bench, text: str) -> Release:
    """A release with another page."""
    bench.write("src/page", text)
    return bench.up()


def damage(digest: str) -> None:
    (blobs.folder() / digest).write_bytes(b"damaged")


# What is kept


def test_a_release_remembers_all_that_decides_what_runs(bench: Bench) -> None:
    bench.manifest(
        "version: 1.10\nnetwork: {provision: [wireguard, ipv4]}\nresources: {cpu: 3}\n"
        "disks:\n  - {name: data, size: 7, mount: /data}\nenvironment:\n  - {name: TOKEN, secret: true}\n"
    )
    bench.write("deployment/setup.sh", "#!/bin/sh\necho setup\n")
    found = bench.up(variables={"TOKEN": "hunter2-hunter2", "vm_flist": "https://example.org/x.flist"}).data
    assert found["version"] == "1.10"
    assert found["manifest"] == (bench.folder / "tfgrid-compose.yaml").read_text()
    with bench.context(variables={"TOKEN": "hunter2-hunter2"}) as context:
        assert (found["source"], found["size"], found["files"]) == (context.bundle.digest, context.bundle.size, 3)
        assert found["content"] == releases.content_digest(context)
    assert set(found["hooks"]) == {"setup", "configure", "healthcheck"}
    assert found["sizes"] == {"vm": {"cpu": 3, "memory": 4096, "disk": 50}}
    assert found["disks"] == [{"name": "data", "size": 7, "mount": "/data"}]
    assert (found["nodes"], found["overrides"], found["contracts"]) == ({"vm": [7]}, {"node": 7}, [1002])
    assert found["pattern_options"] == {"vm_flist": "https://example.org/x.flist"}
    assert (found["pattern"]["name"], found["pattern"]["version"]) == ("single-vm", "1.0.0")
    assert found["networks"] == ["wireguard", "ipv4"]
    assert (found["variables"]["vm_cpu"], found["outputs"]["primary_ip"]) == ("3", "5ff::7")
    assert (found["dotenv"], found["run"]) == (False, 1)


def test_values_of_the_environment_are_kept_encrypted_and_nowhere_else(bench: Bench) -> None:
    bench.manifest("environment:\n  - {name: TOKEN, secret: true}\n  - {name: PLAIN, default: plain-value}\n")
    bench.write(".env", "TOKEN=hunter2-hunter2\n")
    release = bench.up()
    assert releases.environment_of(bench.store, release) == Environment(
        {"TOKEN": "hunter2-hunter2", "PLAIN": "plain-value"}, frozenset({"TOKEN"}), {"TOKEN": "hunter2-hunter2"}
    )
    assert "hunter2" not in str(release.data)
    assert ".env" not in releases.files_of(release)
    bench.store.close()
    kept = [path for path in paths.state_dir().rglob("*") if path.is_file()]
    assert len(kept) > 4
    assert not [path for path in kept if b"hunter2" in path.read_bytes()]


def test_a_release_without_an_environment_of_its_own_had_none(bench: Bench) -> None:
    release = bench.store.add_release("old", "d", {})
    assert releases.environment_of(bench.store, release) == Environment({}, frozenset(), {})


def test_two_releases_of_the_same_files_share_their_archives(bench: Bench) -> None:
    bench.manifest("environment:\n  - {name: WORD}\n")
    first = bench.up(variables={"WORD": "one"})
    second = bench.up(variables={"WORD": "two"})
    assert (first.number, second.number) == (1, 2)
    assert (first.data["archive"], first.data["pattern_archive"]) == (second.data["archive"], second.data["pattern_archive"])
    assert len(list(blobs.folder().iterdir())) == 2


# Back to files

ODD = [b"with space", b"new\nline", b"back\\slash", b"caf\xe9", "日本語/ünï".encode(), b"-rf", b"a" * 120 + b"/" + b"b" * 120]


def odd(bench: Bench) -> None:
    """Files with odd names, links and modes."""
    for name in ODD:
        path = Path(os.fsdecode(bytes(bench.folder) + b"/src/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"in " + name)
    bench.write("src/run", "#!/bin/sh\n")
    (bench.folder / "src" / "run").chmod(0o755)
    (bench.folder / "src" / "link").symlink_to("run")
    (bench.folder / "src" / "broken").symlink_to("../no\nwhere")
    bench.write(".tfgridignore", "*.log\n")
    bench.write("src/a.log", "left out")
    bench.write(".env", "X=1\n")


def test_an_unpacked_release_is_the_same_bundle(bench: Bench) -> None:
    odd(bench)
    with bench.context() as context:
        before, sums = context.bundle, context.bundle.sums()
    release = bench.up()
    shutil.rmtree(bench.folder / "src")
    with releases.unpacked(bench.deployment, release) as folder:
        after = collect(folder, (folder / releases.MANIFEST,))
        assert (after.digest, after.sums(), after.size) == (before.digest, sums, before.size)
        assert after.digest == release.data["source"]
        assert (folder / releases.MANIFEST).read_text() == "name: my-app\n"
        assert os.readlink(folder / "src" / "broken") == "../no\nwhere"
        assert (folder / "src" / "run").stat().st_mode & 0o111
        assert not (folder / ".env").exists() and not (folder / "src" / "a.log").exists()
        assert str(folder).startswith(str(paths.state_dir() / "deployments" / bench.deployment.id))
        assert folder.parent.stat().st_mode & 0o077 == 0, "nobody else reads it"
    assert not folder.parent.exists()


def test_an_unpacked_release_goes_away_whatever_happens(bench: Bench) -> None:
    release = bench.up()
    with pytest.raises(ValueError), releases.unpacked(bench.deployment, release) as folder:
        raise ValueError
    assert not folder.parent.exists()


def test_odd_files_ship_are_proven_and_come_back_with_a_rollback(bench: Bench) -> None:
    odd(bench)
    first = bench.up()
    shutil.rmtree(bench.folder / "src")
    bench.up()
    assert not (bench.machine.root / "current" / "src").exists()
    assert bench.rollback().id == first.id
    there = bench.machine.root / "current" / "src"
    for name in ODD:
        assert Path(os.fsdecode(bytes(there) + b"/" + name)).read_bytes() == b"in " + name
    assert os.readlink(there / "link") == "run"


def test_files_of_a_release_are_listed_with_digest_and_mode_without_unpacking(bench: Bench) -> None:
    odd(bench)
    release = bench.up()
    found = releases.files_of(release)
    with bench.context() as context:
        bundle = context.bundle
    plain = {entry.name: (digest, entry.mode) for entry, digest in zip(bundle.entries, bundle.digests, strict=True)}
    links = {"src/link": ("-> run", 0o777), "src/broken": ("-> ../no\nwhere", 0o777)}
    manifest = {releases.MANIFEST: found[releases.MANIFEST]}
    assert found == {**plain, **links, **manifest}


def test_a_file_of_a_release_is_read_as_text_where_it_is_text(bench: Bench) -> None:
    bench.write("src/page", "grüezi\n")
    bench.write("src/zero", "a\0b")
    (bench.folder / "src" / "latin").write_bytes(b"caf\xe9")
    bench.write("src/long", "x" * 101)
    bench.write("src/fits", "x" * 100)
    (bench.folder / "src" / "broken").symlink_to("nowhere")
    release = bench.up()
    assert releases.text_of(release, "src/page") == "grüezi\n"
    assert releases.text_of(release, releases.MANIFEST) == "name: my-app\n"
    assert releases.text_of(release, "src/fits", limit=100) == "x" * 100
    for name in ("src/zero", "src/latin", "src/gone", "src", "src/broken"):
        assert releases.text_of(release, name) is None, name
    assert releases.text_of(release, "src/long", limit=100) is None


# Damage


@pytest.mark.parametrize("harm", [damage, lambda digest: (blobs.folder() / digest).unlink()], ids=["changed", "gone"])
def test_a_release_whose_archive_is_damaged_is_refused_and_nothing_is_touched(bench: Bench, harm: Any) -> None:
    first = ship(bench, "one")
    second = ship(bench, "two")
    harm(first.data["archive"])
    runs = len(bench.store.runs())
    with pytest.raises(StateError) as caught:
        bench.rollback("1")
    assert (caught.value.code, caught.value.exit_code) == ("release-damaged", 10)
    for look in (releases.files_of, lambda release: releases.text_of(release, "src/page")):
        with pytest.raises(StateError):
            look(first)
    assert (bench.live.id, bench.machine.current, len(bench.store.runs())) == (second.id, second.id, runs)
    assert list((paths.state_dir() / "deployments" / bench.deployment.id / "tmp").glob("*")) == []


def test_up_of_the_same_files_mends_a_damaged_archive(bench: Bench) -> None:
    first = ship(bench, "one")
    ship(bench, "two")
    damage(first.data["archive"])
    again = ship(bench, "one")
    assert again.data["archive"] == first.data["archive"]
    bench.rollback("2")
    assert bench.rollback("1").id == first.id, "both are whole again"


def test_a_damaged_archive_of_the_live_release_is_no_obstacle_for_the_next_one(bench: Bench) -> None:
    first = ship(bench, "one")
    damage(first.data["archive"])
    assert ship(bench, "two").number == 2


# The release that was live before


def test_previous_is_the_release_that_was_live_before_and_toggles(bench: Bench) -> None:
    first, second, third = (ship(bench, text) for text in ("one", "two", "three"))
    assert releases.previous(bench.store, bench.deployment).id == second.id
    bench.rollback()
    assert releases.previous(bench.store, bench.deployment).id == third.id, "back to what was left"
    bench.rollback()
    assert releases.previous(bench.store, bench.deployment).id == second.id
    bench.rollback("1")
    assert releases.previous(bench.store, bench.deployment).id == third.id, "not the number below, but what was live"
    assert bench.live.id == first.id


def test_after_a_rollback_and_a_new_release_previous_is_the_one_that_was_gone_back_to(bench: Bench) -> None:
    for text in ("one", "two", "three"):
        ship(bench, text)
    bench.rollback("1")
    assert ship(bench, "four").number == 4
    assert releases.previous(bench.store, bench.deployment).number == 1, "three was left because it was bad"


def test_after_a_release_that_failed_the_last_that_worked_is_gone_back_to(bench: Bench) -> None:
    first = ship(bench, "one")
    bench.manifest("on_failure: keep\n")
    second = ship(bench, "two")
    bench.codes["healthcheck"] = 1
    with pytest.raises(Exception, match="healthcheck failed"):
        ship(bench, "three")
    assert bench.statuses == {1: "superseded", 2: "live", 3: "failed"}
    assert (releases.previous(bench.store, bench.deployment).id, bench.live.id) == (second.id, second.id)
    bench.codes.clear()
    assert (bench.rollback().id, bench.machine.read("src/page")) == (second.id, "two")
    assert releases.previous(bench.store, bench.deployment).id == first.id, "a release that failed is never the previous one"


def test_without_an_earlier_release_there_is_nothing_to_go_back_to(bench: Bench) -> None:
    bench.up()
    with pytest.raises(NotFoundError, match="my-app has no release to go back to") as caught:
        releases.previous(bench.store, bench.deployment)
    assert (caught.value.code, caught.value.exit_code) == ("release-not-found", 5)
    assert "tfgrid-compose history" in caught.value.fix


@pytest.mark.parametrize(
    ("history", "release", "expected"),
    [([], "a", ["a"]), (["a"], "b", ["a", "b"]), (["a", "b"], "a", ["a", "b", "a"]), (["a", "b"], "b", ["a", "b"])],
)
def test_the_order_in_which_releases_went_live(history: list[str], release: str, expected: list[str]) -> None:
    deployment = Deployment("d", "my-app", "main", "running", 1.0, 1.0, {"went_live": history})
    assert releases.went_live(deployment, release) == expected


def test_the_order_is_not_remembered_for_ever() -> None:
    deployment = Deployment("d", "my-app", "main", "running", 1.0, 1.0, {"went_live": [str(number) for number in range(100)]})
    found = releases.went_live(deployment, "new")
    assert (len(found), found[-1], found[0]) == (50, "new", "51")


# Which ones are kept


def records(bench: Bench, *statuses: str) -> None:
    """Releases r1, r2, … of a deployment `d`."""
    with bench.store.write() as db:
        for number, status in enumerate(statuses, 1):
            db.execute(
                "INSERT INTO releases (id, deployment, number, created, status, who, data) VALUES (?, 'd', ?, ?, ?, '', ?)",
                (f"r{number}", number, number, status, '{"archive": "a"}'),
            )


OLD, BAD = "superseded", "failed"


@pytest.mark.parametrize(
    ("statuses", "went_live", "keep", "expected"),
    [
        ([OLD, OLD, OLD, "live"], ["r1", "r2", "r3", "r4"], 2, ["r4", "r3"]),
        ([OLD, OLD, OLD, "live"], ["r1", "r2", "r3", "r4"], 9, ["r4", "r3", "r2", "r1"]),
        # After a rollback the live one is an old one, and the one before it is what the next rollback needs.
        (["live", OLD, OLD, OLD], ["r1", "r2", "r3", "r4", "r1"], 2, ["r4", "r1"]),
        (["live", OLD, OLD, OLD], ["r1", "r2", "r3", "r4", "r2", "r1"], 2, ["r2", "r1"]),
        # Those that failed push out nothing.
        ([OLD, "live", BAD, BAD, BAD, BAD], ["r1", "r2"], 2, ["r6", "r5", "r2", "r1"]),
        ([BAD, BAD, OLD, "live"], ["r3", "r4"], 2, ["r4", "r3"]),
        # One that is on its way stays.
        ([OLD, OLD, "live", "shipped"], ["r1", "r2", "r3"], 2, ["r4", "r3", "r2"]),
        # One that was live before anybody wrote down the order goes first.
        ([OLD, OLD, "live"], ["r3"], 2, ["r3", "r2"]),
        ([BAD], [], 2, ["r1"]),
        ([], [], 2, []),
    ],
)  # fmt: skip
def test_what_is_kept(bench: Bench, statuses: list[str], went_live: list[str], keep: int, expected: list[str]) -> None:
    records(bench, *statuses)
    live = next((f"r{number}" for number, status in enumerate(statuses, 1) if status == "live"), "")
    deployment = Deployment("d", "my-app", "main", "running", 1.0, 1.0, {"went_live": went_live, "release": live})
    assert releases.kept(bench.store, deployment, keep) == expected
    bench.store.save(deployment)
    assert releases.prune(bench.store, deployment, keep) == len(statuses) - len(expected)
    assert [item.id for item in bench.store.releases("d")] == expected
    assert releases.prune(bench.store, deployment, keep) == 0


def test_whatever_is_pruned_a_rollback_always_finds_what_was_live_before(bench: Bench) -> None:
    bench.manifest("keep_releases: 2\non_failure: keep\n")
    for text in ("one", "two", "three"):
        ship(bench, text)
    assert bench.statuses == {2: "superseded", 3: "live"}
    bench.codes["healthcheck"] = 1
    for text in ("bad", "worse", "worst"):
        with pytest.raises(Exception, match="healthcheck failed"):
            ship(bench, text)
    bench.codes.clear()
    assert (bench.live.number, bench.rollback().number) == (3, 3), "the last that worked"
    assert bench.rollback().number == 2
    assert bench.rollback().number == 3
    assert set(bench.machine.releases) >= {item.id for item in bench.store.releases(bench.deployment.id) if item.worked}
    assert bench.machine.read("src/page") == "three"


def test_folders_of_forgotten_releases_go_from_the_machine_with_their_archives_and_environments(bench: Bench) -> None:
    bench.manifest("keep_releases: 2\n")
    found = [ship(bench, text) for text in ("one", "two", "three")]
    assert set(bench.machine.releases) >= {item.id for item in found[1:]}
    assert bench.store.secret(bench.deployment.id, f"release/{found[0].id}") is None
    assert bench.store.secret(bench.deployment.id, "ssh") is not None, "the other secrets can still be read"
    archive = blobs.folder() / found[0].data["archive"]
    assert archive.exists(), "it is young, and could belong to a run that goes on"
    os.utime(archive, (1, 1))
    assert releases.prune_archives(bench.store) == 1
    assert not archive.exists()
    assert {path.name for path in blobs.folder().iterdir()} == {
        item.data[key] for item in found[1:] for key in ("archive", "pattern_archive")
    }
    ship(bench, "four")
    assert found[0].id not in bench.machine.releases


def test_down_forgets_releases_and_their_archives(bench: Bench) -> None:
    bench.up()
    for path in blobs.folder().iterdir():
        os.utime(path, (1, 1))
    bench.down()
    assert list(blobs.folder().iterdir()) == []


# The pattern


def test_the_installed_pattern_is_used_while_it_is_the_same(bench: Bench, tmp_path: Path) -> None:
    found = releases.pattern_of(bench.up(), tmp_path / "app")
    assert found.folder == patterns.BUILTIN / "single-vm"


@pytest.mark.parametrize("part", ["infrastructure/main.tf", "platform/site.yml", "pattern.yaml"])
def test_a_pattern_that_changed_since_is_taken_from_the_archive(bench: Bench, home: Path, tmp_path: Path, part: str) -> None:
    before = {path: path.read_bytes() for path in (patterns.BUILTIN / "single-vm").rglob("*") if path.is_file()}
    release = bench.up()
    mine = paths.config_dir() / "patterns" / "single-vm"
    shutil.copytree(patterns.BUILTIN / "single-vm", mine)
    text = (mine / part).read_text()
    (mine / part).write_text(text.replace("version: 1.0.0", "version: 9.9.9") if part == "pattern.yaml" else text + "\n# new\n")
    found = releases.pattern_of(release, tmp_path / "app")
    assert found.folder == tmp_path / "patterns" / "single-vm"
    assert found.pattern.version == "1.0.0"
    assert {path: (found.folder / path.relative_to(patterns.BUILTIN / "single-vm")).read_bytes() for path in before} == before


@pytest.mark.parametrize("broken", ["removed", "nonsense"])
def test_a_pattern_that_is_gone_or_broken_comes_from_the_archive(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    release = bench.up()
    folder = tmp_path / "installed"
    (folder / "single-vm").mkdir(parents=True)
    if broken == "nonsense":
        (folder / "single-vm" / "pattern.yaml").write_text("{[")
    monkeypatch.setattr(patterns, "BUILTIN", folder)
    found = releases.pattern_of(release, tmp_path / "app")
    assert found.pattern.name == "single-vm" and found.folder.is_relative_to(tmp_path / "patterns")


def test_a_damaged_archive_of_a_pattern_is_told_only_when_it_is_needed(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = bench.up()
    damage(release.data["pattern_archive"])
    releases.pattern_of(release, tmp_path / "one" / "app")
    monkeypatch.setattr(patterns, "BUILTIN", tmp_path / "nothing")
    with pytest.raises(StateError) as caught:
        releases.pattern_of(release, tmp_path / "two" / "app")
    assert caught.value.code == "release-damaged"


def test_a_rollback_brings_the_pattern_back_that_the_release_had(bench: Bench, home: Path) -> None:
    first = bench.up()
    mine = paths.config_dir() / "patterns" / "single-vm"
    shutil.copytree(patterns.BUILTIN / "single-vm", mine)
    with (mine / "platform" / "site.yml").open("a") as file:
        file.write("\n# new\n")
    bench.write("src/page", "two")
    assert "platform" in bench.reasons()
    bench.up(trust=True)
    bench.playbooks.clear()
    with bench.back(write=False) as context:
        assert context.pattern.folder.is_relative_to(paths.state_dir())
        assert context.pattern.platform_digest == first.data["pattern"]["platform"]
    bench.rollback()
    assert bench.playbooks == ["site.yml"]


# Other manifests in the folder


def test_the_manifest_of_a_release_is_the_one_that_was_used(bench: Bench) -> None:
    bench.write("staging.yaml", "name: my-app\nversion: 7.0.0\n")
    first = bench.up(file="staging.yaml")
    assert (first.data["version"], bench.machine.read(releases.MANIFEST)) == ("7.0.0", "name: my-app\nversion: 7.0.0\n")
    assert bundles.collect(bench.machine.root / "current").entries
    bench.write("src/page", "two")
    bench.up(file="staging.yaml")
    assert bench.rollback().id == first.id


def test_two_manifests_in_one_folder_are_no_two_files_of_one_name(bench: Bench) -> None:
    bench.write("staging.yaml", "name: my-app\nversion: 7.0.0\n")
    first = bench.up(file="staging.yaml")
    assert releases.text_of(first, releases.MANIFEST) == "name: my-app\nversion: 7.0.0\n"
    with bench.context(file="staging.yaml") as context:
        assert [entry.name for entry in context.bundle.entries if "/" not in entry.name] == []
    bench.write("tfgrid-compose.yaml", "name: my-app\nversion: 8.0.0\n")
    assert bench.reasons(file="staging.yaml") == {}, "a manifest that is not used is no change"


def test_an_ignore_file_that_is_not_shipped_itself_still_gives_the_same_files_back(bench: Bench) -> None:
    bench.write(".tfgridignore", ".tfgridignore\n")
    bench.write(".gitignore", "lib/\n")
    bench.write("lib/index.js", "1")
    first = bench.up()
    assert bench.machine.read("lib/index.js") == "1"
    bench.write("src/page", "two")
    bench.up()
    assert bench.rollback().id == first.id
