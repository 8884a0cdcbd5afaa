"""`state export` and `state import`: one encrypted file, from one state folder to another."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tfgrid_compose.cli.state import state
from tfgrid_compose.errors import BusyError, StateError, UsageError
from tfgrid_compose.state import backups, blobs, check, envelope, lease, package, paths, transfer
from tfgrid_compose.state.releases import environment_name
from tfgrid_compose.state.store import Deployment, Store

ID, OTHER = "0123456789abcdef", "f" * 16
WORDS = "correct horse battery"
Move = Callable[[str], None]


@pytest.fixture
def move(home: Path, monkeypatch: pytest.MonkeyPatch) -> Move:
    """Go on with another state folder."""

    def moved(name: str) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(home / name))
        monkeypatch.setenv("TFGRID_PASSPHRASE_FILE", str(home / "passphrase"))

    # To guess is as cheap here as to know; one test has it as it is.
    monkeypatch.setattr(envelope, "_COST", 16)
    paths.private_file(home / "passphrase", f"{WORDS}\n".encode())
    moved("first")
    return moved


def remember(id: str = ID, name: str = "my-app", network: str = "main", **data: object) -> None:
    """A deployment with everything that belongs to one."""
    with Store() as store:
        found = Deployment(
            id, name, network, "running", 1.0, 1.0, {"pattern": "single-vm", "contracts": [7], "machines": [{}], **data}
        )
        store.save(found)
        for secret in ("tfstate", "wireguard"):
            store.set_secret(id, secret, f"{secret} of {name}".encode())
        store.set_secret(id, "ssh", json.dumps({"private": f"key of {name}", "public": "pub"}).encode())
        store.set_secret(id, "generated", json.dumps({"token": f"of {name}"}).encode())
        run = store.start_run(found, "up", {"aim": "x"})
        store.begin_step(run, id, "setup", {"secret": store.vault.fingerprint(b"value")})
        store.end_step(run, id, "setup", "done")
        store.end_run(run, "succeeded")
        release = f"r-{id[:4]}"
        store.set_secret(
            id, environment_name(release), b'{"values": {"PASSWORD": "hunter22"}, "secrets": ["PASSWORD"], "given": {}}'
        )
        store.add_release(release, id, {"archive": blobs.put(f"source of {name}".encode()), "run": run})
        store.set_release_live(release, id)
        store.save(store.deployment(id).with_data(release=release))
        store.append_audit(action="up", deployment=id, name=name)
    paths.private_file(paths.state_dir() / "deployments" / id / "known_hosts", f"keys of {name}".encode())


def exported() -> bytes:
    with Store() as store:
        return transfer.export(store, WORDS)


def take(data: bytes, *, replace: bool = False, local: tuple[str, ...] = ()) -> transfer.Imported:
    return transfer.take_in(package.opened(data, WORDS), lambda network: network in local, replace=replace)


def everything(id: str = ID) -> dict[str, object]:
    """What is known of a deployment, run numbers and times of change left out."""
    with Store() as store:
        item = store.deployment(id)
        names = [row["name"] for row in store._rows("SELECT name FROM secrets WHERE deployment = ? ORDER BY name", (id,))]
        (release,) = store.releases(id)
        (run,) = store.runs(id)
        (step,) = store.steps(run["id"])
        return {
            # What was agreed to on one computer is not agreed to on another.
            "row": (item.id, item.name, item.network, item.status, item.created, {**item.data, "agreed_code": []}),
            "secrets": {name: store.secret(id, name) for name in names}, "done": store.done(id),
            "release": (release.id, release.number, release.status, {**release.data, "run": 0}), "run_is_known": release.data["run"] == run["id"],
            "run": (run["kind"], run["outcome"], run["name"], run["data"]), "step": (step["name"], step["outcome"], step["inputs"]),
            "blob": blobs.get(release.data["archive"]),
            "known_hosts": (paths.state_dir() / "deployments" / id / "known_hosts").read_bytes(),
        }  # fmt: skip


def test_into_an_empty_state_all_comes_as_it_was(move: Move) -> None:
    remember()
    before, data = everything(), exported()
    with Store() as store:
        head, mark = store.audit_head(), store.vault.fingerprint(b"value")
    move("second")
    done = take(data)
    assert (done.added, done.whole, done.emptied) == (["my-app"], True, [])
    assert everything() == before
    with Store() as store:
        assert store.vault.fingerprint(b"value") == mark, "nothing looks changed to the next `up`"
        assert store.verify_audit() is None
        entries = store.audit_entries()
        assert (entries[1].number, entries[1].hash) == head
        assert (entries[0].facts["action"], entries[0].facts["whole"]) == ("state import", True)
        assert check.look(store) == []


def test_into_a_state_with_deployments_others_are_added_under_its_own_key(move: Move) -> None:
    remember()
    before, data = everything(), exported()
    move("second")
    remember(OTHER, "other")
    with Store() as store:
        kept, key = everything(OTHER), store.vault.keys()
    done = take(data)
    assert (done.added, done.whole) == (["my-app"], False)
    assert everything(OTHER) == kept
    assert everything() == before, "the run has another number, but all else is the same"
    with Store() as store:
        assert store.vault.keys() == key
        assert [item.name for item in store.deployments()] == ["my-app", "other"] or len(store.deployments()) == 2
        assert check.look(store) == []
        last = store.audit_entries(limit=1)[0].facts
    assert (last["action"], last["added"], last["source_head"][0]) == ("state import", ["my-app"], 1)
    assert backups.listed()[0].reason == "before-import"


def test_what_is_here_already_is_refused_with_a_list_and_changes_nothing(move: Move) -> None:
    remember()
    remember(OTHER, "other")
    data = exported()
    move("second")
    remember("a" * 16, "my-app")
    remember(OTHER, "other", "test")
    before = everything("a" * 16)
    with pytest.raises(StateError) as caught:
        take(data)
    assert caught.value.code == "import-conflict"
    assert "my-app (aaaaaa) on network main" in caught.value.why and "other (ffffff) on network test" in caught.value.why
    assert "--replace" in caught.value.fix
    assert everything("a" * 16) == before and backups.listed() == []


def test_with_replace_those_of_the_export_take_their_place(move: Move) -> None:
    remember()
    before, data = everything(), exported()
    move("second")
    remember("a" * 16, "my-app")
    remember(OTHER, "other")
    done = take(data, replace=True)
    assert (done.added, done.replaced) == (["my-app"], ["my-app"])
    assert everything() == before
    with Store() as store:
        assert sorted(item.id for item in store.deployments()) == [ID, OTHER]
        assert store.secret("a" * 16, "ssh") is None
        assert [item.code for item in check.look(store) if item.code == "secret-damaged"] == []


def test_importing_the_same_again_with_replace_is_the_same(move: Move) -> None:
    remember()
    data = exported()
    before = everything()
    take(data, replace=True)
    with Store() as store:
        assert len(store.runs(ID)) == 2, "history is only added to"
        store_runs = store.runs(ID)
        with store.write() as db:
            db.execute("DELETE FROM steps WHERE run = ?", (store_runs[-1]["id"],))
            db.execute("DELETE FROM runs WHERE id = ?", (store_runs[-1]["id"],))
    assert everything() == before


def test_machines_that_live_on_the_other_computer_are_built_anew_here(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(network="local")
    remember(OTHER, "other", "main")
    data, before = exported(), everything(OTHER)
    move("second")
    monkeypatch.setattr(transfer, "computer", lambda: "another one")
    done = take(data, local=("local",))
    assert done.emptied == ["my-app"]
    assert everything(OTHER) == before
    with Store() as store:
        found = store.deployment(ID)
        assert (found.status, found.data["contracts"], found.machines, store.done(ID)) == ("failed", [], [], {})
        assert (store.secret(ID, "tfstate"), store.secret(ID, "wireguard")) == (None, None)
        assert b"key of my-app" in (store.secret(ID, "ssh") or b"")
        assert check.look(store) == []


def test_on_the_same_computer_machines_stay_what_they_are(move: Move) -> None:
    remember(network="local")
    data, before = exported(), everything()
    move("second")
    assert take(data, local=("local",)).emptied == []
    assert everything() == before


def test_an_app_folder_that_is_not_here_is_said(move: Move, tmp_path: Path) -> None:
    remember(app_dir=str(tmp_path / "app"))
    data = exported()
    move("second")
    assert take(data).elsewhere == [f"The app folder of my-app is not here: copy it to {tmp_path / 'app'}."]
    (tmp_path / "app").mkdir()
    assert take(data, replace=True).elsewhere == []


def test_no_secret_and_no_name_is_readable_in_the_file_or_on_the_disk(
    move: Move, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember()
    written: list[Path] = []
    real = paths.private_file
    monkeypatch.setattr(paths, "private_file", lambda path, data: written.append(path) or real(path, data))
    data = exported()
    assert written == [], "nothing is written while it is made"
    with Store() as store:
        keys = store.vault.keys()
    for text in (b"ssh of my-app", b"hunter22", b"my-app", b"SQLite format", keys.active, keys.fingerprint):
        assert text not in data
    move("second")
    take(data)
    for path in home.rglob("*"):
        if path.is_file():
            assert b"ssh of my-app" not in path.read_bytes(), path


def test_two_exports_of_the_same_differ(move: Move) -> None:
    remember()
    assert exported() != exported()


def test_a_passphrase_costs_time_and_memory_to_try() -> None:
    assert envelope._COST >= 2**16
    assert envelope.open_(envelope.close(b"x", WORDS), WORDS) == b"x"


@pytest.mark.parametrize("place", [0, 10, 40, 90, 130, 200, -40, -1])
def test_a_changed_export_is_refused(move: Move, place: int) -> None:
    remember()
    data = bytearray(exported())
    data[place] ^= 1
    with pytest.raises(StateError) as caught:
        package.opened(bytes(data), WORDS)
    assert caught.value.code == "export-unreadable"


@pytest.mark.parametrize("keep", [0, 5, 31, 60, 150, 1000, -1])
def test_a_cut_export_is_refused(move: Move, keep: int) -> None:
    remember()
    with pytest.raises(StateError) as caught:
        package.opened(exported()[:keep], WORDS)
    assert caught.value.code == "export-unreadable"


def test_another_passphrase_opens_nothing(move: Move) -> None:
    remember()
    with pytest.raises(StateError, match="can't be opened") as caught:
        package.opened(exported(), WORDS + "?")
    assert "passphrase is another one" in caught.value.why


def test_parts_can_be_neither_left_out_nor_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "_PART", 10)
    monkeypatch.setattr(envelope, "_COST", 2)
    plain = b"0123456789abcdefghijABCDE"
    data = envelope.close(plain, WORDS)
    assert envelope.open_(data, WORDS) == plain
    head = data.index(b"\n", data.index(b"\n") + 1) + 1
    first, second, third = data[head : head + 30], data[head + 30 : head + 60], data[head + 60 :]
    assert len(third) == 4 + 5 + 16
    for bad in (first + second, first + third, second + first + third, first, b"", first + second + third + third):
        with pytest.raises(StateError):
            envelope.open_(data[:head] + bad, WORDS)
    assert envelope.open_(envelope.close(b"", WORDS), WORDS) == b""


def test_a_cost_that_would_eat_all_memory_is_refused() -> None:
    data = envelope._MAGIC + json.dumps({"salt": "AAAA", "nonce": "AAAAAAAAAA==", "cost": 2**40}).encode() + b"\n" + b"\0" * 40
    with pytest.raises(StateError, match="can't be opened"):
        envelope.open_(data, WORDS)


def test_an_export_of_a_newer_version_is_refused(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    remember()
    data = exported()
    monkeypatch.setattr(backups, "SCHEMA_VERSION", backups.SCHEMA_VERSION - 1)
    with pytest.raises(StateError, match="can't be used") as caught:
        package.opened(data, WORDS)
    assert "newer" in caught.value.why


def test_nothing_is_imported_while_a_run_goes_on(move: Move) -> None:
    remember()
    data = exported()
    move("second")
    with lease.hold("local--x"), pytest.raises(BusyError):
        take(data)


def test_a_release_whose_archive_is_gone_does_not_keep_the_rest_here(move: Move) -> None:
    remember()
    next(blobs.folder().iterdir()).unlink()
    data = exported()
    move("second")
    assert take(data).added == ["my-app"]


# The commands


def invoke(*words: str) -> str:
    done = CliRunner().invoke(state, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_out_and_in_by_command(move: Move, tmp_path: Path) -> None:
    remember()
    remember(OTHER, "other", "local")
    before, file = everything(), tmp_path / "state.tfgrid"
    output = invoke("export", str(file))
    assert "with 2 deployments." in output and "machines of other live on this computer only" in output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="exists already"):
        invoke("export", str(file))
    move("second")
    output = invoke("import", str(file))
    assert "Imported my-app, other, with history and audit log." in output and "state check" in output
    assert everything() == before
    with pytest.raises(StateError, match="2 deployments of the export are here already"):
        invoke("import", str(file))
    assert "Replaced my-app, other" in invoke("import", str(file), "--replace", "--yes")
    with pytest.raises(UsageError, match="can't be read"):
        invoke("import", str(tmp_path / "nothing"))


def test_a_passphrase_is_typed_twice_and_not_too_short(move: Move, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember()
    monkeypatch.delenv("TFGRID_PASSPHRASE_FILE")
    typed: list[str | None] = []
    monkeypatch.setattr("tfgrid_compose.state.keys.ask_hidden", lambda question: typed.pop(0))
    for answers, message in (([None], "is needed"), (["short"], "too short"), ([WORDS, WORDS + "!"], "differ")):
        typed[:] = answers
        with pytest.raises(UsageError, match=message):
            invoke("export", str(tmp_path / "x"))
    typed[:] = [WORDS, WORDS]
    invoke("export", str(tmp_path / "x"))
    move("second")
    monkeypatch.delenv("TFGRID_PASSPHRASE_FILE")
    typed[:] = [WORDS]
    assert "Imported my-app" in invoke("import", str(tmp_path / "x"))


# Cut off


class Cut(BaseException):
    """The process ends here."""


def places(monkeypatch: pytest.MonkeyPatch, cut: int) -> list[str]:
    """Count renames, synced folders and commits, and end the process at number `cut`; returns what was counted."""
    seen: list[str] = []

    def counted(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*words: object, **given: object) -> object:
            seen.append(name)
            if len(seen) == cut:
                raise Cut(name)
            return real(*words, **given)

        return call

    monkeypatch.setattr(os, "replace", counted("replace", os.replace))
    monkeypatch.setattr(paths, "sync_folder", counted("sync", paths.sync_folder))
    monkeypatch.setattr(Store, "_check_file", counted("commit", Store._check_file))
    return seen


def test_an_import_into_an_empty_state_that_is_cut_off_anywhere_is_whole_or_can_be_done_again(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(network="local")
    remember(OTHER, "other")
    found = package.opened(exported(), WORDS)
    monkeypatch.setattr(transfer, "computer", lambda: "another one")
    with monkeypatch.context() as patched:
        move("whole")
        count = len(_run(patched, found, 0))
    assert count > 15
    outcomes = []
    for cut in range(1, count + 1):
        move(f"cut-{cut}")
        with monkeypatch.context() as patched:
            _run(patched, found, cut)
        with Store() as store:
            there = [item.name for item in store.deployments()]
        if not there:
            transfer.take_in(found, lambda network: network == "local")
        with Store() as store:
            assert [problem.code for problem in check.look(store) if problem.code != "file-leftover"] == [], f"cut at {cut}"
            assert store.verify_audit() is None and {item.name for item in store.deployments()} == {"my-app", "other"}
            assert store.deployment(ID).data["contracts"] == [] and store.deployment(OTHER).data["contracts"] == [7]
            assert store.secret(ID, "tfstate") is None and b"key of my-app" in (store.secret(ID, "ssh") or b"")
            assert any(entry.facts["action"] == "state import" for entry in store.audit_entries())
        outcomes.append(bool(there))
    assert {True, False} == set(outcomes)


def _run(monkeypatch: pytest.MonkeyPatch, found: package.Package, cut: int) -> list[str]:
    with Store():
        pass
    seen = places(monkeypatch, cut)
    with contextlib.suppress(Cut):
        transfer.take_in(found, lambda network: network == "local")
    return seen
