"""When a step is tried again: only after failures that are known to pass, never for ever, always visibly."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """How often and how long: `attempts` in all, waits from `first` seconds on that double, up to `deadline` seconds.

    Every wait is stretched by up to a quarter at random, so that many runs don't knock at the same moment.
    """

    attempts: int = 5
    first: float = 2.0
    longest: float = 30.0
    deadline: float = 600.0

    def wait(self, attempt: int, started: float, chance: Callable[[], float] = random.random) -> float | None:
        """Seconds to wait after failed attempt number `attempt` (from 1); None when it was the last one."""
        if attempt >= self.attempts:
            return None
        seconds = min(self.longest, self.first * 2.0 ** min(attempt - 1, 30)) * (1 + chance() / 4)
        return seconds if time.monotonic() - started + seconds < self.deadline else None


NEVER = Policy(attempts=1)
