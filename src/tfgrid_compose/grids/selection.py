"""Choose nodes for machines: what does, the best first, and why the others don't. Pure: it asks nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from tfgrid_compose.errors import GridError, NotFoundError
from tfgrid_compose.grids.models import Node
from tfgrid_compose.grids.refusal import RULES, Rule, refusal, rules_for
from tfgrid_compose.grids.score import Scored, points, rate, scored
from tfgrid_compose.grids.wish import ANY, SSD_HEADROOM_GIB, Whitelist, Wish

__all__ = ["ANY", "SSD_HEADROOM_GIB", "Ranking", "Scored", "Taken", "Whitelist", "Wish", "check", "place_many", "rank",
           "refusal", "unknown_farms"]  # fmt: skip

SPREADS = ("nodes", "farms", "countries", "none")
_SHOWN = 6
_LISTED = 12


@dataclass
class Taken:
    """What machines that were placed a moment ago will use, though no directory knows of it yet."""

    memory: Counter[int] = field(default_factory=Counter)
    disk: Counter[int] = field(default_factory=Counter)
    addresses: Counter[int] = field(default_factory=Counter)

    def add(self, node: Node, wish: Wish) -> None:
        """A machine is placed on a node. The room that pools need beyond their disks is needed once."""
        self.memory[node.id] += wish.memory
        self.disk[node.id] += wish.disk_gib * 1024**3
        self.addresses[node.farm_id] += wish.ipv4

    def left(self, node: Node) -> Node:
        """A node with what it has left."""
        memory, disk, addresses = self.memory[node.id], self.disk[node.id], self.addresses[node.farm_id]
        if not (memory or disk or addresses):
            return node
        free = replace(node.free, mru=node.free.mru - memory, sru=node.free.sru - disk)
        return replace(node, free=free, free_ips=node.free_ips - addresses)

    def left_of(self, nodes: Sequence[Node]) -> Sequence[Node]:
        """All nodes with what they have left."""
        touched, farms = {*self.memory, *self.disk}, {*self.addresses}
        if not touched and not farms:
            return nodes
        return [self.left(node) if node.id in touched or node.farm_id in farms else node for node in nodes]


@dataclass(frozen=True)
class Ranking:
    """All nodes, judged for one wish: those that do, the best first, and those that don't with the rule that they fail."""

    wish: Wish
    candidates: tuple[Node, ...]
    refused: tuple[tuple[Node, Rule], ...]
    cheapest: float = 0.0

    @property
    def looked_at(self) -> int:
        """How many nodes were judged."""
        return len(self.candidates) + len(self.refused)

    @cached_property
    def counts(self) -> dict[str, int]:
        """{reason: how many nodes it refuses}, the most frequent first."""
        return dict(Counter(rule.kind for _, rule in self.refused).most_common())

    def reasons(self) -> str:
        """The counts in words: `3 are not up, 1 has too little free memory`."""
        rules = {rule.kind: rule for rule in RULES}
        return ", ".join(rules[kind].counted(count) for kind, count in self.counts.items())

    def scored(self, node: Node) -> Scored:
        """A node with its score and the parts of it."""
        return scored(node, self.wish, self.cheapest)

    def find(self, id: int) -> Node | None:
        """The candidate with this id."""
        return next((node for node in self.candidates if node.id == id), None)

    def nearest(self, count: int = _SHOWN) -> list[tuple[Node, Rule]]:
        """Those refused nodes that lack least: refused late, and the roomiest of them."""
        order = {rule.kind: place for place, rule in enumerate(RULES)}
        return sorted(self.refused, key=lambda item: (-order[item[1].kind], -item[0].free.mru, item[0].id))[:count]


def rank(nodes: Iterable[Node], wish: Wish) -> Ranking:
    """Judge nodes for one machine. Equal scores are ordered by id, so that the same nodes give the same answer."""
    rules = [(rule.refuses, rule) for rule in rules_for(wish)]
    able: list[Node] = []
    refused: list[tuple[Node, Rule]] = []
    for node in nodes:
        for refuses, rule in rules:
            if refuses(node, wish):
                refused.append((node, rule))
                break
        else:
            able.append(node)
    prices = [rate(node) for node in able]
    cheapest = min((price for price in prices if price), default=0.0)
    # Rounded as it is shown: whoever looks at two equal figures expects the lower number first.
    order = sorted(
        (-round(sum(points(node, wish, price, cheapest)), 1), node.id, place)
        for place, (node, price) in enumerate(zip(able, prices, strict=True))
    )
    return Ranking(wish, tuple(able[place] for _, _, place in order), tuple(refused), cheapest)


def place_many(ranking: Ranking, count: int, spread: str = "nodes", beside: Iterable[Node] = ()) -> list[Node]:
    """Nodes for `count` equal machines, the best first. Raises `GridError` when there are not as many.

    They don't share what `spread` names, neither with each other nor with the machines on the nodes `beside` them; with
    `none` they may stand together where the room is enough for all of them.
    """
    shared = {"nodes": lambda node: node.id, "farms": lambda node: node.farm_id, "countries": lambda node: node.country.lower()}
    key = shared.get(spread)
    used = {key(node) for node in beside} if key else set()
    taken, chosen = Taken(), list[Node]()
    for node in ranking.candidates:
        while len(chosen) < count and not (key and key(node) in used) and not refusal(taken.left(node), ranking.wish):
            chosen.append(node)
            taken.add(node, ranking.wish)
            used |= {key(node)} if key else set()
        if len(chosen) == count:
            return chosen
    raise _no_room(ranking, count, spread, len(chosen))


def check(nodes: Sequence[Node], id: int, wish: Wish) -> Node:
    """The node with this id, which must do. Raises `NotFoundError`, or `GridError` with the reason."""
    node = next((node for node in nodes if node.id == id), None)
    if node is None:
        raise NotFoundError(
            f"there is no node {id}",
            why=f"the network has {_ids(nodes)}",
            fix="`tfgrid-compose nodes` lists them, with --network",
            code="node-not-found",
        )
    for rule in rules_for(wish):
        if rule.refuses(node, wish):
            raise GridError(
                f"node {id} ({node.farm}) does not do for {wish.text()}",
                why=rule.says(node, wish),
                fix=f"leave --node out to have one chosen; {rule.fix}",
                code="no-capacity",
            )
    return node


def _ids(nodes: Sequence[Node]) -> str:
    if len(nodes) > _LISTED:
        return f"{len(nodes)} nodes, and none has this number"
    ids = ", ".join(str(node.id) for node in sorted(nodes, key=lambda node: node.id))
    return f"nodes {ids}" if ids else "no nodes"


def unknown_farms(nodes: Iterable[Node], farms: Collection[str]) -> list[str]:
    """Those farms, by name in small letters or id, that no node belongs to."""
    known = {word for node in nodes for word in (node.farm.lower(), str(node.farm_id))}
    return sorted({*farms} - known - {ANY})


def _no_room(ranking: Ranking, count: int, spread: str, found: int) -> GridError:
    wish, able = ranking.wish, len(ranking.candidates)
    if able:
        apart = "" if spread == "none" else f" on different {spread}"
        return GridError(
            f"there is room for {found} of {count} machines with {wish.text()}{apart}",
            why=f"{able} of {ranking.looked_at} nodes do, and that is not enough" + _others(ranking),
            details=_near(ranking),
            fix="let them stand closer with --spread none, or ask for less" if spread != "none" else RULES[-1].fix,
            code="no-capacity",
        )
    nearest = ranking.nearest(1)
    return GridError(
        f"no node does for {wish.text()}",
        why=f"of {ranking.looked_at} nodes, {ranking.reasons()}" if ranking.refused else "the grid has no nodes",
        details=_near(ranking),
        fix=nearest[0][1].fix if nearest else "choose another grid with --network",
        code="no-capacity",
    )


def _others(ranking: Ranking) -> str:
    return f"; {ranking.reasons()}" if ranking.refused else ""


def _near(ranking: Ranking) -> list[str]:
    return [f"node {node.id} ({node.farm}): {rule.says(node, ranking.wish)}" for node, rule in ranking.nearest()]
