"""What Terraform says and writes: its messages, its outputs, the drift it sees, its state."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.fuzz import mutate
from tests.fuzz.target import Target
from tfgrid_compose.cli.render import Terminal
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.networks import Networks
from tfgrid_compose.deploy.outputs import parse_outputs
from tfgrid_compose.deploy.price import DeploymentPrice
from tfgrid_compose.deploy.steps.infrastructure import Infrastructure, private_keys
from tfgrid_compose.deploy.tfstate import contracts_in
from tfgrid_compose.drivers.terraform import Terraform, _Reader
from tfgrid_compose.observe.events import Stream
from tfgrid_compose.observe.redact import Redactor
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.state.store import Deployment, Store

_MESSAGES: tuple[dict[str, Any], ...] = (
    {"@level": "info", "@message": "Terraform 1.9.0", "@module": "terraform.ui", "terraform": "1.9.0", "type": "version", "ui": "1.2"},
    {"@level": "info", "@message": "grid_deployment.vm: Creating...", "type": "apply_start", "hook": {"resource": {"addr": "grid_deployment.vm"}, "action": "create"}},
    {"@level": "error", "@message": "Error: no", "type": "diagnostic", "diagnostic": {"severity": "error", "summary": "no", "detail": "why", "snippet": None}},
    {"@level": "info", "@message": "drift", "type": "resource_drift", "change": {"resource": {"addr": "grid_network.net"}, "action": "update"}},
    {"@level": "info", "@message": "Outputs: 2", "type": "outputs", "outputs": {"machines": {"sensitive": False}}},
)  # fmt: skip
_OUTPUTS: dict[str, Any] = {
    "machines": {"value": [{"name": "vm", "role": "vm", "node": 7, "contract": "1002", "wireguard_ip": "10.5.3.2"}], "type": "dynamic"},
    "wg_config": {"value": "[Interface]\nPrivateKey = abcdefgh=\nAddress = 100.64.20.2\n", "sensitive": True},
    "contracts": {"value": {"net": [1001], "vm": ["1002"]}}, "primary_ip": {"value": "10.5.3.2"},
}  # fmt: skip
_STATE: dict[str, Any] = {
    "version": 4, "serial": 3, "outputs": {},
    "resources": [{"type": "grid_deployment", "instances": [{"attributes": {"id": "1002", "node_deployment_id": {"7": 1001}, "vms": []}}]}],
}  # fmt: skip


class _Terraform(Terraform):
    """Has run already."""

    said = ""

    def _run(self, *arguments: str, quiet: bool = False) -> str:
        return self.said


class Fuzz(Target):
    """The reader of messages with a terminal behind it, and all that is made of outputs and state."""

    name, share = "terraform", 14

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._store = Store(folder / "state.db")
        self._terraform = _Terraform(folder, ["terraform"], {})
        self._pattern = patterns.load("single-vm").pattern.model_copy(update={"outputs": ["machines"]})

    def close(self) -> None:
        self._store.close()

    def case(self, chance: Random) -> tuple[str, str]:
        kind = chance.choice(("lines", "lines", "drift", "outputs", "state", "machines", "config"))
        if kind in ("lines", "drift"):
            lines = [self._text(chance, chance.choice(_MESSAGES)) for _ in range(chance.randrange(1, 5))]
            return kind, "\n".join([*lines, mutate.text(chance)] if chance.random() < 0.2 else lines)
        if kind == "config":
            return kind, mutate.lines(chance, str(_OUTPUTS["wg_config"]["value"]))
        whole = {"outputs": _OUTPUTS, "state": _STATE, "machines": {name: item["value"] for name, item in _OUTPUTS.items()}}[kind]
        return kind, self._text(chance, whole)

    def _text(self, chance: Random, whole: dict[str, Any]) -> str:
        if chance.random() < 0.75:
            return json.dumps(mutate.tree(chance, whole))
        return mutate.raw(chance, json.dumps(whole).encode()).decode(errors="replace")

    def run(self, case: tuple[str, str]) -> None:
        kind, text = case
        self._terraform.said = text
        if kind == "lines":
            self._read(text)
        elif kind == "drift":
            assert all(isinstance(part, str) for pair in self._terraform.drift() for part in pair)
        elif kind == "outputs":
            json.dumps(self._terraform.outputs())
        elif kind == "state":
            assert all(isinstance(id, int) for id in contracts_in(text.encode()))
        elif kind == "config":
            private_keys(text)
        else:
            self._remember(text)

    def _read(self, text: str) -> None:
        stream = Stream(Redactor())
        screen = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
        with patch.object(sys, "stderr", screen):
            terminal = Terminal(verbose=True)
            stream.subscribe(terminal)
            context = SimpleNamespace(stream=stream)
            reader = _Reader(lambda said, milestone: Context.progress(context, "infrastructure", said, milestone))  # type: ignore[arg-type]
            for line in text.splitlines(keepends=True):
                reader.feed(line)
            terminal.close()
        error = self._terraform._error("apply", 1, reader, text.splitlines())
        assert isinstance(error.why, str) and all(isinstance(line, str) for line in error.details)
        raise error

    def _remember(self, text: str) -> None:
        """Outputs are whatever a pattern of the user's gives."""
        try:
            outputs = json.loads(text)
        except (ValueError, RecursionError):
            return  # The driver has refused it before.
        self._terraform.said = (
            json.dumps({name: {"value": value} for name, value in outputs.items()}) if isinstance(outputs, dict) else text
        )
        found = self._store.save(Deployment("d" * 16, "web", "main", "running", 1.0, 1.0, {}))
        context = SimpleNamespace(
            store=self._store, deployment=found, redactor=Redactor(), nodes={}, overrides={}, sizes={}, disks=(), networks=Networks(), price=DeploymentPrice((), play_money=True),
            remember=lambda **changes: self._store.save(found.with_data(**changes)),
        )  # fmt: skip
        try:
            given = self._terraform.outputs()
            Infrastructure()._remember(context, parse_outputs(self._pattern, given))  # type: ignore[arg-type]
        finally:
            self._store.forget(found.id)
