"""A node that has no room after all, and a run that is stopped while another takes its place: nothing is bought and forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import memory
from tests.chaos.bench import FAILED, KILLED, OK, Bench, bench, deploy, remove
from tests.chaos.invariants import always, empty, much_later, settled
from tests.chaos.strikes import INTERRUPT, KILL, Strike

_SHM = Path("/dev/shm")  # A disk would make each commit wait.


@pytest.fixture(scope="module", params=memory.FLAVOURS, ids=["adopting", "cancelling"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench whose best node (4) is full."""
    folder = tmp_path_factory.mktemp("nextbest")
    root = _SHM / f"{folder.parent.name}-{folder.name}" if _SHM.is_dir() else folder / "bench"
    with bench(root, adopts=request.param[0], here=request.param[1]) as found:
        yield found


@pytest.fixture
def fresh(place: Bench) -> Bench:
    """An empty world with a full node."""
    place.fresh()
    place.world.full = {4}
    return place


def nodes(bench: Bench) -> list[int]:
    """Nodes of all contracts that live."""
    return sorted({item.node for item in bench.world.live()})


def test_the_next_best_node_takes_the_machine_and_nothing_stays_on_the_full_one(fresh: Bench) -> None:
    outcome = fresh.run(deploy())
    assert outcome.kind == OK
    assert nodes(fresh) == [1]
    (said,) = [text for text in outcome.notices if "can't take the machine" in text]
    assert said.startswith("node 4 can't take the machine: the node has less free memory or disk")
    assert said.endswith("going on with node 1") and "cancelled" in said
    settled(fresh)
    with much_later():
        assert fresh.run(remove).kind == OK
    empty(fresh)


def test_stopped_anywhere_on_the_way_to_the_next_node_it_comes_to_the_same_end(fresh: Bench) -> None:
    saved = fresh.saved()
    labels = fresh.run(deploy(), record=True).process.labels
    fresh.load(saved)
    first = next(at for at, label in enumerate(labels, 1) if "terraform:apply" in label)
    last = next(at for at, label in enumerate(labels, 1) if "terraform:output" in label)
    assert last - first > 20
    for at in range(first, last, 2):
        kind = (KILL, INTERRUPT)[at % 4 // 2]
        outcome = fresh.run(deploy(), Strike(at, kind))
        assert kind != KILL or outcome.kind == KILLED
        always(fresh)
        assert fresh.run(deploy()).kind == OK, f"after a {kind} at {labels[at - 1]}"
        assert nodes(fresh) == [1], f"after a {kind} at {labels[at - 1]}"
        settled(fresh)
        fresh.load(saved)


def test_when_all_nodes_are_full_the_last_error_names_them_and_down_leaves_nothing(fresh: Bench) -> None:
    fresh.world.full = {1, 2, 3, 4}
    outcome = fresh.run(deploy())
    assert outcome.kind == FAILED
    with much_later():
        assert fresh.run(remove).kind == OK
    empty(fresh)


def test_a_machine_that_ran_is_never_moved(fresh: Bench) -> None:
    fresh.world.full = set()
    assert fresh.run(deploy()).kind == OK and nodes(fresh) == [4]
    fresh.world.full = {4}
    fresh.write(2)
    assert fresh.run(deploy()).kind == OK and nodes(fresh) == [4]
