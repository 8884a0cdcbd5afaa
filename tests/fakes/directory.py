"""A node directory for tests about money: nodes, bills and consumption, as `grids.client.Client` answers them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from tfgrid_compose.errors import GridError
from tfgrid_compose.grids.models import GIB, Answer, Bill, Capacity, Consumption, Node

_ROOM = Capacity(32, 128 * GIB, 2000 * GIB)
NODE = Node(0, 1, "Freefarm", "Belgium", "Ghent", "up", False, _ROOM, _ROOM, "", 4)


class FakeDirectory:
    """Every node exists; those that a test changed are in `nodes`."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}
        self.contract_bills: dict[int, list[Bill]] = {}
        self.last_hour = 0.0
        self.silent: GridError | None = None
        self.asked: list[str] = []

    def change(self, id: int, **changes: object) -> None:
        """Say something about a node."""
        self.nodes[id] = replace(NODE, id=id, **changes)  # type: ignore[arg-type]

    def known(self, id: int) -> Node:
        """A node as it is."""
        return self.nodes.get(id, replace(NODE, id=id))

    async def __aenter__(self) -> FakeDirectory:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def listed(self, ids: Collection[int]) -> list[Node]:
        """Some nodes."""
        self._answer(f"nodes {sorted(ids)}")
        return [self.known(id) for id in sorted(ids)]

    async def bills(self, id: int) -> Answer[list[Bill]]:
        """What a contract was billed."""
        self._answer(f"bills {id}")
        return Answer(self.contract_bills.get(id, []), 0.0)

    async def consumption(self, twin: int) -> Answer[Consumption]:
        """What the account was billed."""
        self._answer(f"consumption {twin}")
        return Answer(Consumption(self.last_hour, 0.0), 0.0)

    def _answer(self, what: str) -> None:
        self.asked.append(what)
        if self.silent:
            raise self.silent
