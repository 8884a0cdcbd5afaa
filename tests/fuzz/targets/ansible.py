"""The events that our callback plugin sends from inside Ansible, and the error that is made of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz import mutate
from tests.fuzz.target import Target
from tfgrid_compose.drivers.ansible import _Events

_EVENTS: tuple[dict[str, Any], ...] = (
    {"event": "task", "name": "common : install packages"},
    {"event": "retry", "name": "wait for the lock"},
    {"event": "result", "status": "ok", "host": "vm", "name": "install", "changed": True, "message": "", "lines": []},
    {
        "event": "result",
        "status": "failed",
        "host": "vm",
        "name": "install",
        "changed": False,
        "message": "no",
        "lines": ["E: no"],
    },
    {"event": "result", "status": "unreachable", "host": "vm", "name": "install", "changed": False, "message": "", "lines": []},
    {"event": "end", "hosts": {"vm": {"ok": 1}}},
)


class Fuzz(Target):
    """`_Events`, fed through a pipe as in a run."""

    name, share = "ansible", 12

    def case(self, chance: Random) -> tuple[bytes, list[str]]:
        lines = []
        for _ in range(chance.randrange(1, 5)):
            event = chance.choice(_EVENTS)
            kind = chance.random()
            text = json.dumps(event if kind < 0.3 else mutate.tree(chance, event)).encode()
            lines.append(mutate.raw(chance, text) if kind > 0.8 else text)
        data = b"\n".join(lines) + b"\n"
        # A program that is killed ends in the middle of a line.
        return data if chance.random() < 0.8 else data[: chance.randrange(len(data))], [
            mutate.text(chance) for _ in range(chance.randrange(3))
        ]

    def run(self, case: tuple[bytes, list[str]]) -> None:
        data, tail = case
        told: list[tuple[str, bool]] = []
        events = _Events(lambda name, milestone: told.append((name, milestone)))
        reader, writer = os.pipe()
        os.write(writer, data[:60_000])
        os.close(writer)
        events.read(reader)
        json.dumps([told, events.changed, events.tasks])
        assert all(isinstance(name, str) for name in (*events.changed, *(name for name, _ in told)))
        error = events.error(Path("site.yml"), 2, tail, "ansible.log", lambda text: text.replace("x", "y"))
        assert all(isinstance(text, str) for text in (error.what, error.why, *error.details))
        raise error
