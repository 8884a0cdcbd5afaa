"""Exports that somebody else made: what they say becomes no path, no interface, no login and no program here."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_state_transfer import ID, WORDS, Move, exported, move, remember
from tfgrid_compose.deploy.down import remove_files
from tfgrid_compose.errors import StateError
from tfgrid_compose.grids.marks import app_of
from tfgrid_compose.state import backups, blobs, envelope, lease, package, paths, transfer
from tfgrid_compose.state.database import parsed, with_checksum
from tfgrid_compose.state.store import Deployment, Store

__all__ = ["move"]
AWAY = "../../../../victim"
Members = dict[str, bytes]


def changed(change: Callable[[Members], None]) -> bytes:
    """An export whose members somebody has changed, under the same passphrase."""
    remember()
    with tarfile.open(fileobj=io.BytesIO(envelope.open_(exported(), WORDS))) as tar:
        members = {item.name: file.read() for item in tar if (file := tar.extractfile(item))}
    change(members)
    return envelope.close(package.packed(members), WORDS)


def statements(*lines: str, values: tuple[Any, ...] = ()) -> Callable[[Members], None]:
    """Run SQL in the export's database."""

    def change(members: Members) -> None:
        with closing(backups.in_memory(members[package.DATABASE])) as db:
            for line in lines:
                db.execute(line, values)
            members[package.DATABASE] = bytes(db.serialize())

    return change


def in_data(table: str, **facts: Any) -> Callable[[Members], None]:
    """Put facts into the JSON of a table's rows."""

    def change(members: Members) -> None:
        with closing(backups.in_memory(members[package.DATABASE])) as db:
            for id, text in db.execute(f"SELECT id, data FROM {table}").fetchall():
                db.execute(f"UPDATE {table} SET data = ? WHERE id = ?", (with_checksum({**parsed(text), **facts}), id))
            members[package.DATABASE] = bytes(db.serialize())

    return change


def in_facts(**facts: Any) -> Callable[[Members], None]:
    return lambda members: members.update({package.FACTS: json.dumps({**json.loads(members[package.FACTS]), **facts}).encode()})


def renamed(id: str) -> Callable[[Members], None]:
    """Another id for the deployment, everywhere that it stands."""

    def change(members: Members) -> None:
        lines = [f"UPDATE {table} SET deployment = :id" for table in ("runs", "done", "releases", "secrets", "seals")]
        with closing(backups.in_memory(members[package.DATABASE])) as db:
            for line in ("UPDATE deployments SET id = :id", *(f"{line} WHERE deployment = '{ID}'" for line in lines)):
                db.execute(line, {"id": id})
            members[package.DATABASE] = bytes(db.serialize())
        for name in (package.FACTS, package.SECRETS):
            members[name] = members[name].replace(ID.encode(), id.encode())

    return change


def secret(owner: str, name: str, value: bytes = b"{}") -> Callable[[Members], None]:
    return lambda members: members.update(
        {package.SECRETS: json.dumps([*json.loads(members[package.SECRETS]), [owner, name, package.to_text(value)]]).encode()}
    )


MACHINE = {"name": "vm", "role": "vm", "node": 7, "contract": "7", "address": "10.5.3.2"}


@pytest.mark.parametrize(
    "change",
    [
        renamed(AWAY), renamed("."), renamed("a/b"), renamed("0123456789abcde"), renamed("-rf"), renamed("a" * 17),
        in_facts(deployments=[[AWAY, "my-app", "main"]]), in_facts(deployments=[[ID, "my-app", "test"]]),
        in_facts(deployments=[[ID, "../x", "main"]]), in_facts(deployments=[[ID, "my-app", "../x"]]),
        in_facts(deployments=[[ID, "my-app"]]), in_facts(deployments={"a": 1}), in_facts(who="a\x1b[2Jb"), in_facts(who=["a"]),
        statements("UPDATE deployments SET name = '../../x'"), statements("UPDATE deployments SET network = 'a/b'"),
        statements("UPDATE deployments SET status = x'1b5b324a'"), statements("UPDATE deployments SET status = 'a' || char(10)"),
        statements("UPDATE runs SET name = '../../x'"), statements("UPDATE runs SET network = '/etc'"),
        statements("UPDATE steps SET name = '../../../../etc/x'"), statements("UPDATE done SET step = 'a/b'"),
        statements("UPDATE releases SET id = '../../x'"), statements("UPDATE releases SET status = 'a/b'"),
        statements("UPDATE releases SET number = 'seven'"), statements("UPDATE runs SET pid = 'x'"),
        statements("UPDATE secrets SET name = '../x' WHERE name = 'ssh'"), statements("UPDATE secrets SET deployment = '../x'"),
        in_data("deployments", dns={"made": [{"name": 7}]}), in_data("deployments", dns=[1]),
        in_data("deployments", dns={"provider": "a\nb"}), in_data("deployments", interface="eth0"), in_data("deployments", interface="wg-x; id"), in_data("deployments", interface="../x"),
        in_data("deployments", interface=["wg-a"]), in_data("deployments", ip_range="0.0.0.0/0"), in_data("deployments", ip_range="-x"),
        in_data("deployments", machines=[{**MACHINE, "address": "-oProxyCommand=id"}]),
        in_data("deployments", machines=[{**MACHINE, "address": "10.5.3.2 id"}]),
        in_data("deployments", machines=[{**MACHINE, "mycelium_ip": "{{ lookup('pipe', 'id') }}"}]),
        in_data("deployments", machines=[{**MACHINE, "name": "../vm"}]), in_data("deployments", machines=[{**MACHINE, "contract": "7 x"}]),
        in_data("deployments", machines={"a": 1}), in_data("deployments", machines=["vm"]), in_data("deployments", contracts=["x"]),
        in_data("deployments", ports=[{"number": "22; id", "name": "a"}]), in_data("deployments", ports=[{"number": 22, "name": "a\nb"}]),
        in_data("deployments", app_dir="../x"), in_data("deployments", app_dir="/a\x1b[2J"), in_data("deployments", pattern="../x"),
        in_data("deployments", release="../x"), in_data("deployments", went_live=["a/b"]), in_data("deployments", price={"usd_per_month": "x"}),
        in_data("deployments", disks=[{"name": "../d", "size": 1, "mount": "/d"}]),
        in_data("releases", archive="../../../etc/passwd"), in_data("releases", archive="0" * 63), in_data("releases", pattern_archive="x/y"),
        in_data("releases", run=[]), in_data("releases", pattern={"name": "../x", "version": "1", "infrastructure": "", "platform": ""}),
        in_data("releases", version="1\nprimary_ip: 6.6.6.6"),
        secret("../x", "ssh"), secret(ID, "../x"), secret(ID, "release/../x"), secret(ID, ""), secret(ID, "ssh", b"no JSON"),
        secret(ID, "ssh", b'{"private": 7, "public": "x"}'), secret(ID, "ssh", b'{"private": "x", "public": "a\\nb"}'),
        secret("account:grid", "main", b'{"secret": 7}'), secret(ID, "release/r-1", b"[]"),
        statements("CREATE TRIGGER t AFTER INSERT ON runs BEGIN UPDATE deployments SET name = '../x'; END"),
        statements("CREATE VIEW v AS SELECT 1"),
    ],
    ids=lambda _: "",
)  # fmt: skip
def test_what_could_not_be_ours_is_refused_and_nothing_is_imported(move: Move, change: Callable[[Members], None]) -> None:
    data = changed(change)
    move("second")
    with pytest.raises(StateError) as caught:
        package.opened(data, WORDS)
    assert caught.value.code == "export-unreadable" and "\x1b" not in caught.value.why
    assert not paths.state_dir().exists() or not list(paths.state_dir().iterdir())


def test_what_is_ours_is_taken_and_files_of_others_are_left_behind(move: Move) -> None:
    def change(members: Members) -> None:
        members |= {"blobs/../../x": b"1", "blobs/abc": b"2", f"known_hosts/{AWAY}": b"3", "known_hosts/ffff": b"4", "../x": b"5"}

    data = changed(change)
    move("second")
    found = package.opened(data, WORDS)
    assert [len(name) for name in found.blobs] == [64] and list(found.known_hosts) == [ID]
    assert transfer.take_in(found, lambda _: False).added == ["my-app"]
    files = {path.relative_to(paths.state_dir()) for path in paths.state_dir().rglob("known_hosts*")}
    assert files == {Path("deployments", ID, "known_hosts")}


def test_tables_of_others_do_not_come_along(move: Move) -> None:
    data = changed(statements("CREATE TABLE foreign_rows (a)", "CREATE INDEX odd ON runs (kind)"))
    move("second")
    transfer.take_in(package.opened(data, WORDS), lambda _: False)
    with Store() as store:
        names = {row["name"] for row in store._rows("SELECT name FROM sqlite_master")}
        assert names.isdisjoint({"foreign_rows", "odd"})
        assert store.deployment(ID).name == "my-app" and store.verify_audit() is None


def test_an_export_that_unpacks_without_end_is_not_held_in_memory(move: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "_LIMIT", 64 * 1024)
    data = changed(lambda members: members.update({"blobs/" + "0" * 64: bytes(65 * 1024)}))
    with pytest.raises(StateError, match="can't be used") as caught:
        package.opened(data, WORDS)
    assert "unpacks to more than" in caught.value.why


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc", "../x", "a\0b", ".hidden", "-rf", "a\nb", "é", "x" * 300])
def test_a_name_that_could_lead_elsewhere_becomes_no_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(StateError) as caught:
        paths.below(tmp_path, name)
    assert caught.value.code == "name-unsafe"
    with pytest.raises(StateError) as caught:
        blobs.get(name)
    assert caught.value.code == "release-damaged"
    ways: list[Callable[[], object]] = [
        lambda: paths.deployment_dir(name),
        lambda: lease.holder(f"{name}/"),
    ]
    for way in ways:
        with pytest.raises(StateError, match="can't be the name of a file"):
            way()


@pytest.mark.parametrize("id", [AWAY, "..", "a/b", "", "A", "a.b"])
def test_an_id_that_leads_elsewhere_is_neither_written_nor_removed(home: Path, id: str) -> None:
    victim = home / "victim"
    victim.mkdir()
    item = Deployment(id, "my-app", "main", "running", 1.0, 1.0, {"interface": "wg-x"})
    with Store() as store, pytest.raises(StateError):
        store.save(item)
    with pytest.raises(StateError):
        remove_files(Deployment(f"../../../../{victim.name}", "my-app", "main", "running", 1.0, 1.0, {"interface": "wg-x"}))
    assert victim.is_dir()


@pytest.mark.parametrize(
    ("column", "value"),
    [("id", AWAY), ("name", "../x"), ("network", "a/b"), ("data", with_checksum({"interface": "eth0"})),
     ("data", with_checksum({"machines": [{"address": "-oProxyCommand=id"}]})), ("data", with_checksum({"machines": 7}))],
)  # fmt: skip
def test_a_row_of_the_database_that_can_not_be_ours_is_damage(home: Path, column: str, value: str) -> None:
    remember()
    with closing(sqlite3.connect(paths.state_dir() / "state.db")) as db, db:
        db.execute(f"UPDATE deployments SET {column} = ?", (value,))
    with Store() as store, pytest.raises(StateError) as caught:
        store.deployments()
    assert caught.value.code == "state-damaged"


def test_a_contract_on_the_grid_names_no_app_that_is_none() -> None:
    assert [app_of(f"tfgrid-compose/{name}") for name in ("my-app", "../x", "a/b", "a\x1b[2J", "")] == ["my-app", "", "", "", ""]
