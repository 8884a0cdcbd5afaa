"""A damaged database: no command breaks over it, and none takes it for an empty one."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tfgrid_compose.cli.main import cli
from tfgrid_compose.errors import StateError, TfgridError
from tfgrid_compose.state import backups, paths, watermark
from tfgrid_compose.state.releases import environment_name
from tfgrid_compose.state.restore import restore
from tfgrid_compose.state.store import Deployment, Store

NAMES = {f"app-{number}" for number in range(6)}
COMMANDS = (["ps", "--json"], ["inspect", "app-1"], ["history", "app-1", "--json"], ["runs", "--json"], ["audit", "--json"],
            ["audit", "verify"], ["state", "check", "--no-grid"], ["state", "backup"])  # fmt: skip


def fill() -> None:
    """A state as it is after some weeks."""
    chance = random.Random(7)
    with Store() as store:
        for name in sorted(NAMES):
            id = f"{chance.getrandbits(64):016x}"
            machines = [{"name": "vm", "role": "vm", "node": 4, "contract": 1001, "wireguard_ip": "10.20.2.2"}]
            data = {"app_dir": "/srv/app", "pattern": "single-vm", "ip_range": "10.20.0.0/16", "contracts": [1, 2],
                    "interface": f"wg-{name}", "machines": machines, "release": f"r{id}"}  # fmt: skip
            found = store.save(Deployment(id, name, "main", "running", 1.0, 1.0, data))
            store.set_secret(id, "tfstate", chance.randbytes(3000))
            for _ in range(3):
                run = store.start_run(found, "up")
                for step in ("infrastructure", "ship", "setup"):
                    store.begin_step(run, id, step, {"digest": f"{chance.getrandbits(256):064x}"})
                    store.end_step(run, id, step, "done", "a note")
                store.end_run(run, "succeeded")
                store.append_audit(action="up", deployment=id, name=name, network="main")
            store.set_secret(id, environment_name(f"r{id}"), b"{}")
            store.add_release(f"r{id}", id, {"version": "1.0.0", "source": "0" * 64})
            store.set_release_live(f"r{id}", id)


@pytest.fixture
def whole(home: Path) -> Iterator[bytes]:
    """The bytes of a whole database, of which a backup is kept."""
    fill()
    path = paths.state_dir() / "state.db"
    backups.save(path, "x")
    yield path.read_bytes()


def put(data: bytes | None) -> Path:
    path = paths.state_dir() / "state.db"
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if data is not None:
        path.write_bytes(data)
        path.chmod(0o600)
    return path


def run(words: list[str]) -> Result:
    done = CliRunner().invoke(cli, words)
    if done.exception is not None and not isinstance(done.exception, (SystemExit, TfgridError)):
        raise AssertionError(f"{words} broke") from done.exception
    return done


def look(data: bytes | None, place: str) -> str:
    """Run every command on a damaged database; returns what `ps` made of it."""
    said = ""
    for words in COMMANDS:
        put(data)
        done = run(words)
        error = done.exception
        if isinstance(error, StateError) and error.code in ("state-damaged", "state-lost"):
            assert error.fix.startswith("tfgrid-compose state restore"), f"{words} after {place}: {error.fix}"
        if words[0] == "ps":
            said = error.code if isinstance(error, TfgridError) else "ok"
            if not error:
                assert len(json.loads(done.stdout)) == len(NAMES), f"ps after {place}"
    return said


def spread(size: int, number: int) -> list[int]:
    """Places all over a file; the header, of which each byte says something, more densely."""
    return sorted({*range(0, 100, 3), *(size * step // number for step in range(number))})


@pytest.mark.parametrize("part", range(4))
def test_a_flipped_byte_breaks_no_command_and_hides_no_deployment(whole: bytes, part: int) -> None:
    said = []
    for place in spread(len(whole), 60)[part::4]:
        for change in (0x01, 0xFF):
            data = bytearray(whole)
            data[place] ^= change
            said.append(look(bytes(data), f"byte {place} xor {change}"))
    assert "state-damaged" in said


def test_a_page_of_something_else_breaks_no_command(whole: bytes) -> None:
    said = []
    for page in range(0, len(whole), 4096):
        for filling in (os.urandom(4096), bytes(4096)):
            said.append(look(whole[:page] + filling + whole[page + 4096 :], f"page {page // 4096}"))
    assert said.count("ok") < len(said) / 4


def test_a_truncated_database_is_refused_with_the_command_that_restores_it(whole: bytes) -> None:
    for length in [*range(0, len(whole), 1500), len(whole) - 1, len(whole) - 4096]:
        assert look(whole[:length], f"cut at {length}") in ("state-damaged", "state-lost"), length


def test_a_missing_database_is_refused_and_none_is_made(whole: bytes) -> None:
    path = put(None)
    assert look(None, "removal") == "state-lost"
    assert not path.exists()
    restore(backups.find(None))
    with Store() as store:
        assert {item.name for item in store.deployments()} == NAMES


def test_without_key_and_backup_a_missing_database_is_a_first_start(home: Path) -> None:
    assert json.loads(run(["ps", "--json"]).stdout) == []


def test_a_lost_log_of_recent_writes_shows_in_the_audit_log(whole: bytes) -> None:
    path = put(whole)
    child = os.fork()
    if not child:
        store = Store()
        store.append_audit(action="up")
        os._exit(0)
    os.waitpid(child, 0)
    assert path.with_name("state.db-wal").stat().st_size
    put(whole)
    error = run(["audit", "verify"]).exception
    assert isinstance(error, StateError) and (error.code, error.exit_code) == ("state-behind", 10)
    # Whoever removes the watermark too is met by the anchor.
    (path.parent / watermark.NAME).unlink()
    done = run(["audit", "verify"])
    assert done.exit_code == 10 and "truncated" in done.stdout
