"""A local grid whose kernel edge is in memory: the ledger, networks and deployments above it are the real ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tfgrid_compose.localgrid import fabric, kernel, router
from tfgrid_compose.localgrid.engine import Engine
from tfgrid_compose.localgrid.instance import Instance
from tfgrid_compose.localgrid.machine import Machine, MachineSpec


@dataclass
class FakeKernel:
    """What would be on the host: running machines and routers, and every call in its order."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    specs: dict[str, MachineSpec] = field(default_factory=dict)
    stopped: dict[str, MachineSpec] = field(default_factory=dict)
    routers: dict[int, dict[str, Any]] = field(default_factory=dict)
    on_start: Callable[[MachineSpec], None] = lambda spec: None
    guard: threading.Lock = field(default_factory=threading.Lock)

    def names(self, verb: str) -> list[str]:
        """What a verb was done to, in order."""
        return [name for done, name in self.calls if done == verb]

    def note(self, verb: str, name: str) -> None:
        """Record a call; machines start side by side."""
        with self.guard:
            self.calls.append((verb, name))


def install(monkeypatch: pytest.MonkeyPatch) -> FakeKernel:  # noqa: C901  # one small function for each edge
    """Put the fake in place of everything that would touch the host."""
    fake = FakeKernel()

    def start(self: Machine) -> None:
        fake.note("start", self.spec.hostname)
        fake.on_start(self.spec)
        fake.stopped.pop(self.spec.id, None)
        fake.specs[self.spec.id] = self.spec

    def stop(self: Machine) -> None:
        fake.note("stop", self.spec.hostname)
        if self.spec.id in fake.specs:
            fake.stopped[self.spec.id] = fake.specs.pop(self.spec.id)

    def remove(self: Machine) -> None:
        fake.note("remove", self.spec.hostname)
        fake.specs.pop(self.spec.id, None)
        fake.stopped.pop(self.spec.id, None)

    def resize(self: Machine, spec: MachineSpec) -> None:
        fake.note("resize", spec.hostname)
        self.spec = fake.specs[spec.id] = spec

    def state(self: Machine) -> str:
        return "running" if self.spec.id in fake.specs else "stopped" if self.spec.id in fake.stopped else "absent"

    def router_up(instance: Instance, network: dict[str, Any]) -> None:
        fake.note("router up", network["name"])
        fake.routers[network["number"]] = network

    def router_down(instance: Instance, network: dict[str, Any]) -> None:
        fake.note("router down", network["name"])
        fake.routers.pop(network["number"], None)

    for name, function in (("start", start), ("stop", stop), ("remove", remove), ("resize", resize), ("state", state)):
        monkeypatch.setattr(Machine, name, function)
    monkeypatch.setattr(router, "up", router_up)
    monkeypatch.setattr(router, "down", router_down)
    monkeypatch.setattr(fabric, "is_up", lambda instance: True)

    def forbidden(*words: object, **_: object) -> None:
        raise AssertionError(f"a test with a fake kernel wanted to touch the host: {words}")

    for module, name in ((kernel, "ip"), (kernel, "nft"), (kernel, "make_namespace"), (fabric, "up"), (fabric, "down")):
        monkeypatch.setattr(module, name, forbidden)
    return fake


def open_engine(folder: Path) -> Engine:
    """A real engine with a ledger of its own; instance 1 only lends its address ranges."""
    engine = Engine(Instance(1, folder / "grid", folder / "cache"))
    engine.ledger.set_fact("base", "/base")
    return engine
