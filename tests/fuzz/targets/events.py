"""Events whose texts come from outside: redaction, the terminal in both of its forms, JSON lines, and the journal."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from tests.fuzz import mutate
from tests.fuzz.target import Target
from tfgrid_compose.cli.render import Terminal, error_text, json_lines, table
from tfgrid_compose.errors import TfgridError
from tfgrid_compose.observe import diagnosis, events
from tfgrid_compose.observe.redact import MASK, Redactor
from tfgrid_compose.state.store import Deployment, Store

_STEPS = ("infrastructure", "tunnel", "setup", "configure", "healthcheck", "")
_OUTCOMES = ("done", "skipped", "tolerated", "failed", "undone")
_KINDS = ("progress", "progress", "started", "ended", "retry", "notice", "run", "over", "error")


class _Screen(io.TextIOWrapper):
    """A terminal, or a file, of a UTF-8 system."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), "utf-8", "backslashreplace", write_through=True)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


class Fuzz(Target):
    """A stream with all its subscribers; every text of an event is odd, and some of the texts are secret."""

    name, share = "events", 14

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._store = Store(folder / "state.db")

    def close(self) -> None:
        self._store.close()

    def case(self, chance: Random) -> tuple[list[str], list[tuple[str, str, Any, Any, float]], int]:
        secrets = [mutate.text(chance)[:1500] for _ in range(chance.choice((0, 0, 1, 3)))]
        made = []
        for _ in range(chance.randrange(1, 6)):
            text = mutate.text(chance)
            if secrets and chance.random() < 0.5:
                text = text[:20] + chance.choice(secrets) + text[:20]
            extra = mutate.value(chance) if chance.random() < 0.3 else mutate.text(chance)
            made.append(
                (
                    chance.choice(_KINDS),
                    chance.choice((*_STEPS, text[:50])),
                    text,
                    extra,
                    chance.choice((0, 0.5, 99.4, 1e6, 1e12)),
                )
            )
        return secrets, made, chance.randrange(4)

    def run(self, case: tuple[list[str], list[tuple[str, str, Any, Any, float]], int]) -> None:
        secrets, made, mode = case
        stream = events.Stream(Redactor())
        stream.redactor.add(*secrets)
        screen, out = _Screen(mode == 0), io.TextIOWrapper(io.BytesIO(), "utf-8", "strict")
        with patch.object(sys, "stderr", screen), patch.object(sys, "stdout", out):
            terminal = Terminal(verbose=mode == 1)
            stream.subscribe(terminal if mode < 3 else json_lines)
            try:
                for one in made:
                    self._emit(stream, *one)
                if mode == 0:
                    terminal._live_line()
            finally:
                terminal.close()
            out.flush()
        if mode == 3:
            self._journal(made)

    def _emit(self, stream: events.Stream, kind: str, step: str, text: str, extra: Any, seconds: float) -> None:
        shown = stream.redactor.text(text)
        for secret in stream.redactor._known:
            assert secret in MASK or secret not in shown, f"{secret!r} is still in {shown!r}"
        if kind == "error":
            error = TfgridError(text or "x", why=text, fix=text, details=[text, str(extra)], log=text)
            found = diagnosis.explained(error, step, step)
            error_text(found)
            stream.emit(
                events.RunEnded(
                    "run-ended",
                    outcome="failed",
                    seconds=seconds,
                    error=stream.redactor.data({**found.to_dict(), "extra": extra}),
                )
            )
            return
        stream.emit(
            {
                "progress": lambda: events.step_progress(step, text, seconds > 1), "started": lambda: events.step_started(step, text),
                "ended": lambda: events.step_ended(step, _OUTCOMES[len(text) % 5], seconds, text), "retry": lambda: events.step_retry(step, 2, 5, seconds, text),
                "notice": lambda: events.notice(text, "warning" if seconds else "info"),
                "run": lambda: events.RunStarted("run-started", run=1, command="up", deployment=text, name=text, steps=((step, seconds),)),
                "over": lambda: events.RunEnded("run-ended", outcome="succeeded", seconds=seconds),
            }[kind]()
        )  # fmt: skip
        table([text[:20], "B"], [[text, step]])

    def _journal(self, made: list[tuple[str, str, Any, Any, float]]) -> None:
        """What a run writes about itself; the texts come from programs, hooks and paths."""
        text, extra = made[0][2], made[0][3]
        data = {"app_dir": text, "machines": [], "x": extra}
        found = self._store.save(Deployment("d" * 16, "web", "main", "running", 1.0, 1.0, data))
        run = self._store.start_run(found, "up", {"target": text})
        self._store.begin_step(run, found.id, "setup", {"digest": text})
        self._store.end_step(run, found.id, "setup", "done", text, {"digest": text})
        self._store.end_run(run, "failed", {"what": text, "details": [text]})
        self._store.append_audit(action="up", deployment=found.id, name=text)
        assert self._store.runs(limit=1)[0]["error"]["what"] == text
        assert self._store.deployment(found.id).app_dir == text
        self._store.forget(found.id)
