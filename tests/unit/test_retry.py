"""When a step is tried again, by value."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrid_compose.deploy.retry import NEVER, Policy


def never() -> float:
    return 0.0


def waits(policy: Policy, chance: float = 0.0) -> list[float]:
    """All waits of a step that fails at once, each time."""
    found: list[float] = []
    now = time.monotonic()
    while (seconds := policy.wait(len(found) + 1, now, lambda: chance)) is not None:
        found.append(seconds)
    return found


def test_the_usual_policy_tries_five_times_with_waits_that_double() -> None:
    assert waits(Policy()) == [2.0, 4.0, 8.0, 16.0]


def test_no_wait_is_longer_than_the_longest() -> None:
    assert waits(Policy(attempts=8, first=10.0, longest=30.0)) == [10.0, 20.0, 30.0, 30.0, 30.0, 30.0, 30.0]


def test_chance_stretches_a_wait_by_up_to_a_quarter() -> None:
    assert waits(Policy(attempts=3), 1.0) == [2.5, 5.0]
    assert waits(Policy(attempts=3), 0.5) == [2.25, 4.5]
    assert all(2.0 <= (Policy().wait(1, time.monotonic()) or 0) <= 2.5 for _ in range(100))
    assert len({Policy().wait(1, time.monotonic()) for _ in range(10)}) > 1, "many runs don't knock at the same moment"


def test_whoever_must_not_try_again_never_waits() -> None:
    assert NEVER.wait(1, time.monotonic(), never) is None
    assert Policy(attempts=0).wait(1, time.monotonic(), never) is None


@pytest.mark.parametrize(("ago", "wait"), [(0.0, 2.0), (597.0, 2.0), (598.5, None), (700.0, None)])
def test_nobody_waits_beyond_the_deadline(ago: float, wait: float | None) -> None:
    assert Policy().wait(1, time.monotonic() - ago, never) == wait


@given(
    st.integers(1, 200), st.integers(1, 300), st.floats(0, 1000), st.floats(0, 100), st.floats(0, 1, exclude_max=True)
)  # fmt: skip
def test_every_wait_is_within_its_bounds(attempts: int, attempt: int, first: float, longest: float, chance: float) -> None:
    wait = Policy(attempts=attempts, first=first, longest=longest).wait(attempt, time.monotonic(), lambda: chance)
    assert (wait is None) == (attempt >= attempts)
    assert wait is None or 0 <= wait <= longest * 1.25
