"""An Ansible callback that writes what happens as JSON lines to the file descriptor TFGRID_EVENTS_FD."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: tfgrid_events
type: notification
short_description: JSON lines for tfgrid-compose
description: Writes one JSON object per play, task and result to the file descriptor in TFGRID_EVENTS_FD.
"""

# Much more than is shown: the other side masks secrets first and cuts then.
_MOST = 16384


class CallbackModule(CallbackBase):
    """Tells the runner about plays, tasks and results."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "tfgrid_events"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        raw = os.environ.get("TFGRID_EVENTS_FD", "")
        self._fd = int(raw) if raw.isdigit() else None
        self.disabled = self._fd is None

    def _write(self, **event: Any) -> None:
        if self._fd is not None:
            os.write(self._fd, json.dumps(event).encode() + b"\n")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """A task begins."""
        self._write(event="task", name=task.get_name())

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """A handler begins."""
        self._write(event="task", name=task.get_name())

    def v2_runner_retry(self, result: Any) -> None:
        """A task is tried again."""
        self._write(event="retry", name=result.task.get_name() if hasattr(result, "task") else "")

    def _result(self, status: str, result: Any) -> None:
        data = result.result if hasattr(result, "result") else result._result
        task = result.task if hasattr(result, "task") else result._task
        host = result.host if hasattr(result, "host") else result._host
        message = "" if status in ("ok", "skipped") or task.no_log else str(data.get("msg", ""))[:_MOST]
        printed = "" if task.no_log else str(data.get("stderr") or data.get("stdout") or "")[-20_000:]
        lines = [line[:_MOST] for line in printed.splitlines()[-6:]]
        self._write(event="result", status=status, host=host.get_name(), name=task.get_name(),
                    changed=bool(data.get("changed")), message=message, lines=lines if message else [])  # fmt: skip

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task succeeded."""
        self._result("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A task failed."""
        self._result("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A machine does not answer."""
        self._result("unreachable", result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The playbook ended."""
        self._write(event="end", hosts={host: stats.summarize(host) for host in stats.processed})
