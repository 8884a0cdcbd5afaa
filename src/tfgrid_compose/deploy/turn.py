"""Taking one's turn on a deployment: one writer at a time, under a lease with a fencing token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tfgrid_compose.observe.events import Stream, notice
from tfgrid_compose.state import lease
from tfgrid_compose.state.store import Store

# So long a run that was cancelled may take to end its step: Terraform saves its state, a hook is stopped.
PATIENCE = 120.0


def lease_name(name: str, network: str) -> str:
    """The name of a deployment's lease."""
    return f"{network}--{name}"


@contextmanager
def turn(store: Store, stream: Stream, name: str, network: str, *, wait: float = 0.0, cancel: bool = False) -> Iterator[None]:
    """Hold the lease of a deployment; every write of `store` inside checks that no newer run has taken over.

    `wait` is in seconds. With `cancel` a run that holds the lease is stopped first, as Ctrl-C would stop it.
    Raises `BusyError`.
    """
    held = lease_name(name, network)

    def say(text: str) -> None:
        stream.emit(notice(text))

    if cancel:
        lease.stop_holder(held, patience=PATIENCE, waiting=say)
    with lease.hold(held, wait=max(wait, 5.0 if cancel else 0.0), waiting=say):
        store.take_fence(held)
        try:
            yield
        finally:
            store.drop_fence()
