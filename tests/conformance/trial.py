"""One Terraform run over many configurations: each becomes a module of one root, so that few processes check much."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conformance.service import SchemaService
from tests.integration.conftest import SHIM, terraform_environment
from tfgrid_compose.localgrid.provider.server import attached

MNEMONIC = {"mnemonic": "words of a test", "tfgrid_network": "main"}


@dataclass
class Trial:
    """A folder with a root module; `diagnostics` are the errors of the last run, `outputs` those of each module."""

    folder: Path
    service: SchemaService = field(default_factory=SchemaService)
    modules: dict[str, dict[str, Any]] = field(default_factory=dict)
    diagnostics: list[dict[str, Any]] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, source: Path, variables: Mapping[str, Any]) -> None:
        """One configuration: the files of a folder, with the values of their variables."""
        copy = self.folder / "sources" / source.parent.name
        if not copy.exists():
            shutil.copytree(source, copy)
        self._use(name, copy.name, variables)

    def add_changed(self, name: str, source: Path, variables: Mapping[str, Any], old: str, new: str) -> None:
        """A configuration with one place of its files changed; the place must be there."""
        copy = self.folder / "sources" / name
        shutil.copytree(source, copy)
        text = (copy / "main.tf").read_text()
        assert old in text, f"{name} changes nothing: {old!r} is not in {source}"
        (copy / "main.tf").write_text(text.replace(old, new, 1))
        self._use(name, name, variables)

    def _use(self, name: str, source: str, variables: Mapping[str, Any]) -> None:
        self.modules[name] = {"source": f"./sources/{source}", **MNEMONIC, **{k: _quoted(v) for k, v in variables.items()}}

    def validate(self) -> list[dict[str, Any]]:
        """What `terraform validate` says against the schema."""
        found: list[dict[str, Any]] = []
        with attached(self.service) as provider:
            env = self._ready(provider)
            done = self._run(env, "validate", "-json")
            found = json.loads(done.stdout)["diagnostics"]
        self.diagnostics = [item for item in found if item["severity"] == "error"]
        return self.diagnostics

    def apply(self) -> list[dict[str, Any]]:
        """Plan and apply all of them; returns the errors."""
        with attached(self.service) as provider:
            env = self._ready(provider)
            done = self._run(env, "apply", "-input=false", "-auto-approve", "-json", "-parallelism=20")
            messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            found = [item["diagnostic"] for item in messages if item.get("type") == "diagnostic"]
            self.diagnostics = [item for item in found if item["severity"] == "error"]
            if done.returncode == 0:
                printed = json.loads(self._run(env, "output", "-json").stdout)
                self.outputs = {name: item["value"] for name, item in printed.items()}
            assert done.returncode == 0 or self.diagnostics, done.stdout + done.stderr
        return self.diagnostics

    def _ready(self, provider: dict[str, str]) -> dict[str, str]:
        outputs = {name: {"value": f"${{module.{name}}}", "sensitive": True} for name in self.modules}
        (self.folder / "main.tf.json").write_text(json.dumps({"module": self.modules, "output": outputs}))
        env = terraform_environment(self.folder, provider)
        done = self._run(env, "init", "-input=false", "-no-color")
        assert done.returncode == 0, done.stdout + done.stderr
        return env

    def _run(self, env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*SHIM, *words], cwd=self.folder, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300
        )


def _quoted(value: Any) -> Any:
    """A value as Terraform's JSON takes it literally: texts are templates there."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, dict):
        return {key: _quoted(item) for key, item in value.items()}
    return [_quoted(item) for item in value] if isinstance(value, list) else value
