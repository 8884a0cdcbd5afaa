"""Backups, and exports of a whole state: names, digests and contents that were changed."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from tests.fuzz import mutate, seeds
from tests.fuzz.target import Target
from tests.fuzz.targets.keyfile import _cheap
from tfgrid_compose.errors import NotFoundError, StateError
from tfgrid_compose.state import backups, envelope, rotation, transfer
from tfgrid_compose.state import package as packages
from tfgrid_compose.state.restore import restore
from tfgrid_compose.state.store import Store
from tfgrid_compose.state.vault import Vault

_WORDS = "correct horse"
_NAMES = (
    "20251123-134500-000-x.db",
    "20251123-134500-000-x.sha256",
    "99999999-999999-999-a.db",
    "state.db",
    ".20251123-134500-000-x.db.7",
    "x",
)


class Fuzz(Target):
    """Lists, examines and restores backups; opens and takes in exports."""

    name, share = "backup", 4

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._state = seeds.StateFolder(folder)
        self._state.empty()
        seeds.state(seeds.app_folder(Path.cwd()))
        with patch.object(envelope, "_stretched", _cheap), seeds.repeatable():
            with Store() as store:
                self._export = transfer.export(store, _WORDS)
            plain = envelope.open_(self._export, _WORDS)
        with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
            self._members = {item.name: file.read() for item in tar if (file := tar.extractfile(item))}
        kept = self._state.keep("whole")
        self._backups = sorted(path.name for path in (kept / "backups").iterdir())
        self._content = {name: (kept / "backups" / name).read_bytes() for name in self._backups}

    def case(self, chance: Random) -> tuple[str, Any]:
        kind = chance.random()
        if kind < 0.5:
            return "backup", (self._changed(chance), chance.random() < 0.15)
        if kind < 0.75:
            return "bytes", mutate.raw(chance, self._export)
        name = chance.choice(sorted(self._members))
        data: bytes | None = self._members[name]
        if name.endswith(".json") and chance.random() < 0.9:
            data = json.dumps(mutate.tree(chance, json.loads(self._members[name]), self._other)).encode()
        else:
            data = None if chance.random() < 0.3 else mutate.raw(chance, self._members[name])
        return "member", (name, data, chance.random() < 0.5)

    def _other(self, chance: Random) -> Any:
        return (
            base64.b64encode(chance.randbytes(chance.choice((0, 4, 32)))).decode()
            if chance.random() < 0.3
            else mutate.value(chance)
        )

    def _changed(self, chance: Random) -> dict[str, bytes | None]:
        """{name of a file: what is in it}; in half of the cases the digest fits to what was changed."""
        found: dict[str, bytes | None] = {}
        for name in chance.sample(self._backups, chance.choice((1, 1, 2))):
            data = mutate.raw(chance, self._content[name])
            found[name] = None if chance.random() < 0.1 else data
            if name.endswith(".db") and chance.random() < 0.5:
                found[name.replace(".db", ".sha256")] = hashlib.sha256(data).hexdigest().encode() + b"\n"
        if chance.random() < 0.3:
            found[chance.choice(_NAMES)] = mutate.raw(chance, chance.choice(list(self._content.values()))[:5000])
        return found

    def run(self, case: tuple[str, Any]) -> None:
        kind, what = case
        with patch.object(envelope, "_stretched", _cheap):
            if kind == "backup":
                self._look(*what)
            elif kind == "bytes":
                packages.opened(what, _WORDS)
            else:
                self._take_in(*what)

    def _look(self, files: dict[str, bytes | None], also_restore: bool) -> None:
        folder = self._state.put("whole") / "backups"
        for name, data in files.items():
            (folder / name).unlink(missing_ok=True) if data is None else (folder / name).write_bytes(data)
        for item in backups.listed():
            assert item.condition() in (backups.GOOD, backups.DAMAGED, backups.NEWER)
        backups.remedy()
        list(rotation.unusable_backups(Vault()))
        for name in ("2", "20251123", *self._backups[:1]):
            try:
                backups.find(name)
            except (NotFoundError, StateError):
                continue
        found = backups.find(None)
        if also_restore:
            restore(found)
            with Store() as store:
                store.deployments(), store.secret_problems()

    def _take_in(self, name: str, data: bytes | None, into_empty: bool) -> None:
        members = {key: value for key, value in {**self._members, name: data}.items() if value is not None}
        package = packages.opened(envelope.close(packages.packed(members), _WORDS), _WORDS)
        self._state.empty() if into_empty else self._state.put("whole")
        done = transfer.take_in(package, lambda network: network == "local", replace=True)
        json.dumps(vars(done))
        with Store() as store:
            store.deployments(), store.runs(), store.secret_problems()
        assert os.path.exists(store.path)
