"""Exports that somebody else made: names, ids and addresses in the rows and lists of a state, taken in and used."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from tests.fuzz import mutate, seeds
from tests.fuzz.runner import Unclean
from tests.fuzz.target import Target
from tests.fuzz.targets.keyfile import _cheap
from tfgrid_compose.deploy.context import addresses_of, key_file
from tfgrid_compose.deploy.down import remove_files
from tfgrid_compose.deploy.operate import addresses, links, primary_address
from tfgrid_compose.deploy.turn import lease_name
from tfgrid_compose.drivers import ssh, wireguard
from tfgrid_compose.errors import TfgridError
from tfgrid_compose.state import backups, check, envelope, lease, package, paths, transfer
from tfgrid_compose.state.database import parsed, with_checksum
from tfgrid_compose.state.store import Deployment, Store

_WORDS = "correct horse"
_AWAY = (
    "../../../../victim", "../victim", "..", ".", "/", "/etc/passwd", "a/b", "victim\0", "-oProxyCommand=id", "-rf", "eth0", "lo",
    "wg-x;id", "{{ lookup('pipe', 'id') }}", "10.0.0.1 -o x", "root@10.0.0.1", "::1%eth0", "a\nprimary_ip: 6.6.6.6", "\x1b[2J",
)  # fmt: skip
_JSON = (("deployments", "data"), ("releases", "data"), ("runs", "data"), ("runs", "error"), ("steps", "inputs"))


class Fuzz(Target):
    """Takes exports in, and does what later commands do with what they brought; a folder beside the state must stay."""

    name, share = "export", 3

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._state = seeds.StateFolder(folder)
        self._state.empty()
        seeds.state(seeds.app_folder(Path.cwd()))
        with patch.object(envelope, "_stretched", _cheap), seeds.repeatable(), Store() as store:
            plain = envelope.open_(transfer.export(store, _WORDS), _WORDS)
        with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
            self._members = {item.name: file.read() for item in tar if (file := tar.extractfile(item))}
        self._state.keep("whole")
        with closing(backups.in_memory(self._members[package.DATABASE])) as db:
            self._columns = [
                (table, row[0])
                for table in ("deployments", "runs", "steps", "done", "releases", "secrets", "leases", "audit", "meta")
                for row in db.execute("SELECT name FROM pragma_table_info(?)", (table,))
            ]
            self._texts = {
                (table, column): db.execute(f"SELECT rowid, {column} FROM {table}").fetchall() for table, column in _JSON
            }
        # Whatever an odd path could mean: beside the state, above it, and where deployments stand.
        base = paths.state_dir()
        self._victims = [place / "victim" for place in (base.parent, base.parent.parent, base.parent.parent.parent)]
        for victim in self._victims:
            victim.mkdir(parents=True, exist_ok=True)

    def case(self, chance: Random) -> tuple[list[tuple[str, ...]], bool]:
        """Changes, each (kind, where, what as JSON); and whether the state that takes them in is empty."""
        return [self._change(chance) for _ in range(chance.choice((1, 1, 1, 2, 4)))], chance.random() < 0.5

    def _change(self, chance: Random) -> tuple[str, ...]:
        kind = chance.random()
        if kind < 0.35:
            return ("column", *chance.choice(self._columns), json.dumps(_odd(chance)))
        if kind < 0.75:
            place = chance.choice(_JSON)
            rows = [row for row in self._texts[place] if row[1]]
            if not rows:
                return ("id", _text(chance))
            rowid, text = chance.choice(rows)
            return ("json", *place, str(rowid), json.dumps(mutate.tree(chance, parsed(text), _odd)))
        if kind < 0.85:
            name = chance.choice((package.FACTS, package.SECRETS))
            return ("list", name, json.dumps(mutate.tree(chance, json.loads(self._members[name]), _odd)))
        if kind < 0.95:
            return ("id", _text(chance))
        return ("member", chance.choice((package.BLOBS, package.KNOWN_HOSTS, "")) + _text(chance))

    def run(self, case: tuple[list[tuple[str, ...]], bool]) -> None:
        changes, into_empty = case
        members = dict(self._members)
        for change in changes:
            _carry_out(members, change)
        with patch.object(envelope, "_stretched", _cheap):
            found = package.opened(envelope.close(package.packed(members), _WORDS), _WORDS)
        self._state.empty() if into_empty else self._state.put("whole")
        json.dumps(vars(transfer.take_in(found, lambda network: network == "local", replace=True)))
        with Store() as store:
            check.look(store)
            for item in store.deployments():
                self._use(store, item)

    def _use(self, store: Store, item: Deployment) -> None:
        json.dumps([item.summary(), links(item), addresses(item), store.runs(item.id), store.done(item.id)], default=str)
        with suppress(TfgridError):
            primary_address(item)
        lease.holder(lease_name(item.name, item.network))
        interface = str(item.data.get("interface", ""))
        if interface and not interface.startswith("wg-"):
            raise Unclean(f"{interface!r} would be deleted as an interface of ours")
        for machine in item.machines:
            for _, address in addresses_of(item, machine):
                target = ssh.Target(address, key_file(store, item), paths.deployment_dir(item.id) / "known_hosts", item.name)
                if not all(sign.isalnum() or sign in ".:" for sign in address) or any(
                    "\0" in word for word in ssh.argv(target, "true")
                ):
                    raise Unclean(f"{address!r} would be given to ssh")
        wireguard.config_path(interface or "wg-none")
        remove_files(item)
        gone = [victim for victim in self._victims if not victim.is_dir()]
        if gone:
            raise Unclean(f"{gone[0].name} beside the state was removed")


def _odd(chance: Random) -> Any:
    return _text(chance) if chance.random() < 0.6 else mutate.value(chance)


def _text(chance: Random) -> str:
    found = chance.choice(_AWAY) if chance.random() < 0.7 else mutate.text(chance)
    return found.encode(errors="replace").decode()


def _carry_out(members: dict[str, bytes], change: tuple[str, ...]) -> None:
    kind, *words = change
    if kind == "list":
        members[words[0]] = words[1].encode()
    elif kind == "member":
        members[words[0]] = b"x"
    elif kind == "id":
        _renamed(members, words[0])
    else:
        with closing(backups.in_memory(members[package.DATABASE])) as db:
            # A value that the column refuses, or that no export could hold, changes nothing.
            with suppress(sqlite3.Error, OverflowError, UnicodeError):
                if kind == "column":
                    value = json.loads(words[2])
                    db.execute(f"UPDATE {words[0]} SET {words[1]} = ?", (value if _plain(value) else json.dumps(value),))
                else:
                    text = with_checksum(json.loads(words[3]))
                    db.execute(f"UPDATE {words[0]} SET {words[1]} = ? WHERE rowid = ?", (text, int(words[2])))
            members[package.DATABASE] = bytes(db.serialize())


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float))


def _renamed(members: dict[str, bytes], id: str) -> None:
    """Another id for one deployment, in rows and lists alike."""
    old = seeds.IDS["web"]
    with closing(backups.in_memory(members[package.DATABASE])) as db:
        with suppress(sqlite3.Error):
            db.execute("UPDATE deployments SET id = ? WHERE id = ?", (id, old))
            for table in ("runs", "done", "releases", "secrets"):
                db.execute(f"UPDATE {table} SET deployment = ? WHERE deployment = ?", (id, old))
        members[package.DATABASE] = bytes(db.serialize())
    for name in (package.FACTS, package.SECRETS):
        members[name] = members[name].replace(json.dumps(old).encode(), json.dumps(id).encode())
