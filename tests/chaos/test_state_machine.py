"""Hypothesis chooses what happens to a deployment, where it is cut off, and how it goes on; the invariants always hold."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.chaos.bench import bench
from tests.chaos.invariants import always, empty
from tests.chaos.memory import FLAVOURS
from tests.chaos.story import Story
from tests.chaos.strikes import KINDS, Strike

# The points of a command are some hundred; a strike beyond the last one does not happen.
STRIKES = st.lists(st.builds(Strike, st.integers(1, 300), st.sampled_from(KINDS), st.booleans()), max_size=2).map(tuple)
HOOKS = st.sampled_from(["setup", "configure", "healthcheck"])


class Deployments(RuleBasedStateMachine):
    """One app, from nothing to nothing. Each rule looks at the world after it; see `Story`."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.story: Story

    @initialize(flavour=st.sampled_from(FLAVOURS))
    def begin(self, flavour: tuple[bool, bool]) -> None:
        """An empty world with a grid of one of the flavours."""
        root = Path(tempfile.mkdtemp(prefix="chaos-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.stack.callback(shutil.rmtree, root, ignore_errors=True)
        self.story = Story(self.stack.enter_context(bench(root / "bench", adopts=flavour[0], here=flavour[1])))

    @rule(strikes=STRIKES)
    def up(self, strikes: tuple[Strike, ...]) -> None:
        self.story.up(*strikes)

    @rule(strikes=STRIKES)
    def change_source(self, strikes: tuple[Strike, ...]) -> None:
        self.story.write(self.story.bench.version + 1)
        self.story.up(*strikes)

    @rule(hook=HOOKS, strikes=STRIKES)
    def break_a_hook(self, hook: str, strikes: tuple[Strike, ...]) -> None:
        self.story.write(self.story.bench.version + 1, hook)
        self.story.up(*strikes)

    @rule(cpu=st.integers(1, 4), strikes=STRIKES)
    def resize(self, cpu: int, strikes: tuple[Strike, ...]) -> None:
        self.story.up(*strikes, cpu=cpu)

    @rule(node=st.integers(1, 4), strikes=STRIKES)
    def move(self, node: int, strikes: tuple[Strike, ...]) -> None:
        self.story.up(*strikes, node=node)

    @rule(strikes=STRIKES)
    def resume(self, strikes: tuple[Strike, ...]) -> None:
        self.story.resume(*strikes)

    @rule(with_data=st.booleans(), strikes=STRIKES)
    def rollback(self, with_data: bool, strikes: tuple[Strike, ...]) -> None:
        self.story.rollback(*strikes, with_data=with_data)

    @rule(what=st.sampled_from(["tamper", "relink", "no_tunnel", "no_machine", "reboot"]))
    def drift(self, what: str) -> None:
        getattr(self.story, what)()
        self.story.look()

    @rule(strikes=STRIKES)
    def repair(self, strikes: tuple[Strike, ...]) -> None:
        self.story.repair(*strikes)

    @precondition(lambda self: not self.story.bench.world.live())
    @rule()
    def restore_a_backup(self) -> None:
        self.story.restore()

    @rule(strikes=STRIKES)
    def down(self, strikes: tuple[Strike, ...]) -> None:
        self.story.down(*strikes)

    @invariant()
    def holds(self) -> None:
        always(self.story.bench)

    def teardown(self) -> None:
        """Whatever has happened, it can be brought to a good end."""
        try:
            if hasattr(self, "story"):
                self.story.finish()
                empty(self.story.bench)
        finally:
            self.stack.close()


Deployments.TestCase.settings = settings(
    max_examples=25, stateful_step_count=10, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip
TestDeployments = Deployments.TestCase
