"""The file of keys and the anchor beside it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from tests.fuzz import mutate, seeds
from tests.fuzz.target import Target
from tfgrid_compose.errors import StateError
from tfgrid_compose.state import anchor, keys, paths
from tfgrid_compose.state.store import Store
from tfgrid_compose.state.vault import Vault

_WORDS = "correct horse"


def _cheap(passphrase: str, salt: bytes, cost: int) -> bytes:
    """To guess is as cheap here as to know."""
    return hashlib.sha256(passphrase.encode(errors="surrogateescape") + salt).digest()


class Fuzz(Target):
    """`Vault` and `anchor.read` with files that were changed, alone and below a store."""

    name, share = "keyfile", 6

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._state = seeds.StateFolder(folder)
        self._state.empty()
        seeds.state(seeds.app_folder(Path.cwd()))
        kept = self._state.keep("whole")
        self._anchor, self._file = (kept / "anchor").read_bytes(), (kept / "key").read_bytes()
        found = keys.KeyFile(kept / "key").read()
        with patch.object(keys, "_stretched", _cheap), seeds.repeatable():
            wrapped = keys._wrapped(json.dumps(keys._to_json(found)).encode(), _WORDS)
        self._forms: list[dict[str, Any]] = [
            json.loads(self._file), {"version": 2, "source": "passphrase", "wrapped": wrapped}, {"version": 2, "source": "keyring", "entry": "00"},
        ]  # fmt: skip
        (folder / "words").write_text(_WORDS + "\n")

    def case(self, chance: Random) -> tuple[bytes, bytes, bytes, bool]:
        key, mark, words = self._file, self._anchor, f"{_WORDS}\n".encode()
        kind = chance.random()
        if kind < 0.6:
            form = chance.choice(self._forms)
            key = (
                json.dumps(mutate.tree(chance, form)).encode()
                if chance.random() < 0.6
                else mutate.raw(chance, json.dumps(form).encode())
            )
        elif kind < 0.7:
            key = chance.randbytes(chance.choice((0, 31, 32, 33, 64)))
        if kind > 0.65:
            code, _, text = mark.partition(b"\n")
            mark = (
                code + b"\n" + json.dumps(mutate.tree(chance, json.loads(text))).encode()
                if chance.random() < 0.5
                else mutate.raw(chance, mark)
            )
        if chance.random() < 0.2:
            words = mutate.raw(chance, words)
        return key, mark, words, chance.random() < 0.1

    def run(self, case: tuple[bytes, bytes, bytes, bool]) -> None:
        key, mark, words, with_store = case
        folder = self._state.put("whole") if with_store else paths.private_dir(paths.state_dir())
        (folder / "key").write_bytes(key)
        (folder / "anchor").write_bytes(mark)
        (self.folder / "words").write_bytes(words)
        os.environ["TFGRID_PASSPHRASE_FILE"] = str(self.folder / "words")
        try:
            with patch.object(keys, "_stretched", _cheap), patch.object(keys, "_keyring", _no_keyring):
                self._use(with_store)
        finally:
            keys._PASSPHRASES.clear()
            del os.environ["TFGRID_PASSPHRASE_FILE"]

    def _use(self, with_store: bool) -> None:
        vault = Vault()
        assert vault.exists() and vault.file.source() in keys.SOURCES
        vault.file.asks()
        anchor.read(vault)
        # What an anchor says is believed only with a code of ours; here are its odd texts with a good one.
        text = (vault.folder / "anchor").read_bytes().partition(b"\n")[2]
        with_code = vault.code("anchor", text).hex().encode() + b"\n" + text
        (vault.folder / "anchor").write_bytes(with_code)
        mark = anchor.read(vault)
        if mark:
            json.dumps([mark.generation, mark.audit])
            anchor.write(vault, generation=mark.generation + 1)
        assert vault.decrypt(vault.encrypt(b"x", "a", "b"), "a", "b") == b"x"
        if with_store:
            with Store() as store:
                store.secret_problems(), store.verify_audit()
                store.secret(seeds.IDS["web"], "ssh")
                store.set_secret(seeds.IDS["web"], "ssh", b"new")
                store.append_audit(action="fuzz")


def _no_keyring() -> Any:
    raise StateError("the keyring can't be used", why="a fuzz run has none", fix="none", code="keyring-unavailable")
