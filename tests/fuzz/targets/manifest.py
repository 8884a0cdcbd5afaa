"""App folders: the manifest's text, and the files that it names."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

import yaml

from tests.fuzz import mutate
from tests.fuzz.target import Target
from tfgrid_compose.deploy import resolve
from tfgrid_compose.deploy.options import UpOptions
from tfgrid_compose.deploy.placement import wished_node
from tfgrid_compose.deploy.wishes import Asked
from tfgrid_compose.manifest import envfile
from tfgrid_compose.manifest.load import App, load_app
from tfgrid_compose.manifest.model import HOOKS, Manifest
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.state.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
SEEDS = (*sorted((ROOT / "tests/unit/manifests").glob("*.yaml")), *sorted((ROOT / "examples").glob("*/tfgrid-compose.yaml")))
# Pieces of YAML that a manifest rarely has: anchors, merges, tags, repeated keys, block texts, several documents.
PIECES = (
    "name: other", "<<: *x", "x: &x {a: 1}", "x-a: &a [*a]", "x-b: &b {<<: *b}", "? [a, b]\n: c", "!!python/object:os.system {}",
    "version: !!int x", "version: !!binary aGk=", "version: !!timestamp 2024-01-01", "version: 0123", "version: 1_0.5", "version: 12:30:45",
    "version: .inf", "version: !!float x", "version: 0b1", f"version: 0x{'f' * 5000}", f"version: {'9' * 5000}", "---", "...", "--- {}", "%YAML 9.9",
    "%TAG ! x:", "description: |\n  a\n b", "description: >-\n  a", "'name': a", "name : a", "\tname: a", "hooks: {setup: ../../x}",
    "hooks: {setup: /}", "hooks: {setup: .}", "hooks: {setup: loop}", "hooks: {setup: pipe}", "hooks: {setup: deployment}",
    "commands: {a: {script: loop/x}}", "commands: {a: {script: \"'\"}}", "commands: {'': {script: a}}", "commands: {up: {script: /opt/x/scripts/y}}",
    "environment: {A: , B: 1, 'C D': x}", "environment: [A]", "env_file: loop", "env_file: /", "disks: [{size: 1e9, mount: /data}]",
    "disks: [{size: 5, mount: /data}, {size: 5, mount: /data}]", "resources: {ports: [80: http, 80/udp, '٣', 1e3, {}]}",
    "resources: {cpu: [1], memory: {min: -1}, disk: {recommended: 9T}}", "nodes: {vm: [1.5]}", "nodes: {vm: [99999999999999999999]}",
    "nodes: {vm: {count: 101}}", "keep_releases: true", "on_failure: ''", "hook_config: {setup: {timeout: 1e5}}", "logging: 5",
    "x: [" * 60, "x: {a: " * 60, "a: &a [x]\nb: &b [*a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c]\ne: [*d, *d, *d, *d, *d]",
)  # fmt: skip


class Fuzz(Target):
    """`load_app`, and what `up` asks of an app that was accepted."""

    name, share = "manifest", 22

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._texts = [path.read_text() for path in SEEDS]
        self._trees = [yaml.safe_load(text) for text in self._texts]
        self._lines = sorted({line for text in self._texts for line in text.splitlines()})
        self._keys = sorted(
            {*Manifest.model_fields, "cpu", "memory", "disk", "ports", "provision", "prefer", "script", "default", "options"}
        )
        self._app = folder / "app"
        shutil.copytree(ROOT / "examples" / "classic", self._app)
        (self._app / "loop").symlink_to("loop")
        (self._app / "out").symlink_to("/etc")
        os.mkfifo(self._app / "pipe")

    def case(self, chance: Random) -> tuple[bytes, bool]:
        kind = chance.random()
        if kind < 0.35:
            made = mutate.raw(chance, self._slice(chance).encode(), [chance.choice(self._texts).encode()])
        elif kind < 0.5:
            made = mutate.file_bytes(mutate.lines(chance, self._slice(chance), self._lines))
        elif kind < 0.6:
            made = mutate.file_bytes(
                f"name: a\n{chance.choice(PIECES)}\n" + chance.choice(("", self._slice(chance), chance.choice(PIECES)))
            )
        elif kind < 0.9:
            made = self._written(chance, mutate.tree(chance, self._part(chance), self._other))
        elif kind < 0.95:
            made = self._written(chance, {"name": "a", **{chance.choice(self._keys): mutate.value(chance) for _ in range(4)}})
        else:
            made = chance.choice(
                (
                    chance.randbytes(chance.randrange(60)),
                    self._slice(chance).encode(chance.choice(("utf-16", "utf-32", "utf-8-sig"))),
                )
            )
        return made, chance.random() < 0.3

    def _slice(self, chance: Random) -> str:
        """Some lines of a real manifest: a whole one takes long to read, and a part meets the same code."""
        found = chance.choice(self._texts).splitlines()
        start = chance.choice((0, 0, chance.randrange(len(found))))
        return "name: a\n" * (start > 0) + "\n".join(found[start : start + chance.choice((4, 10, 25))]) + "\n"

    def _part(self, chance: Random) -> dict[str, Any]:
        """Some keys of a real manifest; of long lists and mappings only the beginning."""
        whole = chance.choice(self._trees)
        kept = {"name": "a"} | {key: whole[key] for key in chance.sample(sorted(whole), min(len(whole), 4))}
        return {key: item[:3] if isinstance(item, list) else dict(list(item.items())[:4]) if isinstance(item, dict) else item
                for key, item in kept.items()}  # fmt: skip

    def _other(self, chance: Random) -> Any:
        """An odd value, or a sensible one of another key."""
        return mutate.value(chance) if chance.random() < 0.8 else chance.choice(list(self._part(chance).values()))

    def _written(self, chance: Random, data: Any) -> bytes:
        """As JSON, which is YAML too, or in the form that people write."""
        if chance.random() < 0.7:
            return mutate.file_bytes(json.dumps(data, ensure_ascii=chance.random() < 0.5, allow_nan=True))
        try:
            return mutate.file_bytes(yaml.safe_dump(data, allow_unicode=True))
        except RecursionError:  # PyYAML writes no deeper than Python calls.
            return b"name: [a"

    def run(self, case: tuple[bytes, bool]) -> None:
        data, strict = case
        (self._app / "tfgrid-compose.yaml").write_bytes(data)
        use(load_app(self._app, strict=strict))


def use(app: App) -> None:
    """What `up` and `plan` ask of an app before anything is made."""
    manifest = app.manifest
    [str(problem) for problem in app.problems]
    manifest.network.wishes()
    [manifest.hook_options(hook) for hook in HOOKS]
    json.dumps([port.model_dump() for port in manifest.resources.ports])
    environment, _ = envfile.resolve(app, [])
    json.dumps(environment.given)
    [wished_node(app, role, index) for role in ("vm", "gateway", "ingress", "worker") for index in (0, 1)]
    Asked.by({}, manifest.placement, Settings(), "main").wish(resolve.RoleSizes(1, 512, 4), 0, manifest.network.provisioned())
    pattern = patterns.load("single-vm")
    resolve.split_variables(app, pattern, {})
    overrides = resolve.overrides_of(UpOptions(app.folder, size="xlarge"), {})
    for name, role in pattern.pattern.roles.items():
        resolve.sizes(app, name, role, {})
        resolve.sizes(app, name, role, overrides)
