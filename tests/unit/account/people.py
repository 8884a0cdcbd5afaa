"""Accounts that everybody knows, the files in which the bash tool kept one, and commands whose output shows no secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import yaml
from click.testing import CliRunner, Result

from tfgrid_compose.errors import TfgridError
from tfgrid_compose.grids import oldplaces
from tfgrid_compose.observe.redact import PROCESS
from tfgrid_compose.state import paths

# The development phrase of Substrate and its addresses, which everybody knows.
PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
SR25519 = "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV"
ED25519 = "5DFJF7tY4bpbpcKPJcBTQaKuCDEPCpiz8TRjpmLeTtweqmXL"
ALICE_SEED = "0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a"
ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
OTHER = "abandon " * 11 + "about"
TOKEN = "tok-9f8e7d6c5b4a"


def run(command: click.Command, *words: str, input: str = "") -> Result:
    """The command's outcome; no secret stands in its output or on the disk, whatever happened."""
    done = CliRunner().invoke(command, list(words), input=input)
    if isinstance(done.exception, TfgridError):
        text = PROCESS.text(json.dumps(done.exception.to_dict(), ensure_ascii=False))
    else:
        text = ""
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    for secret in (PHRASE, OTHER.strip(), TOKEN, ALICE_SEED):
        assert secret not in done.output + text
    return done


def error_of(done: Result, kind: type[TfgridError], code: str) -> TfgridError:
    assert isinstance(done.exception, kind), done.output
    assert done.exception.code == code and done.exception.why and done.exception.fix
    return done.exception


def on_disk(*ignored: Path) -> bytes:
    files = [path for path in Path.home().rglob("*") if path.is_file() and path not in ignored]
    return b"".join(path.read_bytes() for path in files)


def old_file(text: str, mode: int = 0o600) -> Path:
    path = Path.home() / ".config" / "threefold" / "mnemonic"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def bash_file(data: Any) -> Path:
    return paths.private_file(oldplaces.credentials_file(), data if isinstance(data, bytes) else yaml.safe_dump(data).encode())
