"""Pattern folders: `pattern.yaml`, the Terraform files beside it, and the places that it names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import yaml

from tests.fuzz import mutate
from tests.fuzz.target import Target
from tfgrid_compose.patterns import load
from tfgrid_compose.patterns.model import lookup

_BUILTIN = load.BUILTIN / "single-vm"
_FILES = ("infrastructure/main.tf", "infrastructure/variables.tf", "infrastructure/outputs.tf", "platform/site.yml")
_PLACES = ("", ".", "..", "../..", "/", "infrastructure", "infrastructure/main.tf", "platform", "platform/site.yml", "loop", "out", "a\0b",
           "a" * 300, "/dev/null", "/etc/hostname", "../single-vm/platform/site.yml", "/proc/self", "infrastructure/../infrastructure", "**", "*")  # fmt: skip


class Fuzz(Target):
    """`patterns.load.load_folder`, and what the engine asks of a pattern that was accepted."""

    name, share = "pattern", 10

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._place = folder / "single-vm"
        shutil.copytree(_BUILTIN, self._place)
        (self._place / "loop").symlink_to("loop")
        (self._place / "out").symlink_to("/etc")
        self._whole = {name: (_BUILTIN / name).read_bytes() for name in _FILES}
        self._text = (_BUILTIN / "pattern.yaml").read_text()
        self._tree = yaml.safe_load(self._text)

    def case(self, chance: Random) -> tuple[bytes, dict[str, bytes | None]]:
        files: dict[str, bytes | None] = {}
        kind = chance.random()
        if kind < 0.3:
            made = mutate.raw(chance, self._text.encode())
        elif kind < 0.45:
            made = mutate.file_bytes(mutate.lines(chance, self._text))
        elif kind < 0.8:
            made = json.dumps(mutate.tree(chance, self._tree, self._other)).encode()
        else:
            made = self._text.encode()
        if kind >= 0.7:
            for name in chance.sample(_FILES, chance.choice((1, 1, 2))):
                files[name] = None if chance.random() < 0.2 else mutate.raw(chance, self._whole[name], list(self._whole.values()))
        return made, files

    def _other(self, chance: Random) -> Any:
        return chance.choice(_PLACES) if chance.random() < 0.3 else mutate.value(chance)

    def run(self, case: tuple[bytes, dict[str, bytes | None]]) -> None:
        text, files = case
        (self._place / "pattern.yaml").write_bytes(text)
        try:
            for name, data in files.items():
                (self._place / name).unlink() if data is None else (self._place / name).write_bytes(data)
            self._use()
        finally:
            for name in files:
                (self._place / name).write_bytes(self._whole[name])

    def _use(self) -> None:
        found = load.load_folder(self._place)
        found.pattern.hook_role()
        assert found.infrastructure_digest and found.platform_digest
        json.dumps(found.pattern.model_dump())
        for path in found.pattern.variables.values():
            try:
                lookup({"deployment": {"id": "a"}, "roles": {}}, path)
            except KeyError:
                continue
