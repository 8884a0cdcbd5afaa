"""How good a node is for a machine: points for what stays free, for reliability, price, and the user's favourites."""

from __future__ import annotations

from dataclasses import dataclass

from tfgrid_compose.grids.models import GIB, Node
from tfgrid_compose.grids.pricing import monthly_usd
from tfgrid_compose.grids.wish import DAY, Wish

# The most points of each part, in the order of `points`. A favourite that does beats every node that is none. Certified
# hardware costs a quarter more, which takes more points than it gives: who wants it asks for it.
MOST = {"memory": 25, "disk": 15, "load": 10, "uptime": 20, "price": 20, "certified": 2, "favourite": 100}
# After a month without a break more of it says little.
_LONG = 30 * DAY


@dataclass(frozen=True)
class Part:
    """One part of a score: its points of the most that it can have, and what they were given for."""

    name: str
    points: float
    most: int
    words: str


@dataclass(frozen=True)
class Scored:
    """A node with its score and the parts of it."""

    node: Node
    total: float
    parts: tuple[Part, ...]


def rate(node: Node) -> float:
    """The price of the whole node as a share of what its capacity costs by the list; 0 when its price is unknown.

    It shows what certified hardware and a farmer's extra fee add.
    """
    if node.usd_per_month <= 0:
        return 0.0
    total = node.total
    usual = monthly_usd(total.cru, total.mru / GIB, total.sru / GIB, hdd_gib=total.hru / GIB)
    return node.usd_per_month / usual if usual > 0 else 0.0


def points(node: Node, wish: Wish, price: float, cheapest: float) -> tuple[float, float, float, float, float, float, float]:
    """The points of each part, as in `MOST`; `price` is the node's `rate`, `cheapest` the lowest of all candidates."""
    total, free = node.total, node.free
    return (
        25 * _share(free.mru - wish.memory, total.mru),
        15 * _share(free.sru - wish.disk, total.sru),
        10 * _share(total.cru - node.used.cru, total.cru),
        20 * _share(node.uptime, _LONG),
        20 * _share(cheapest, price) if price else 10.0,
        2.0 if node.certified else 0.0,
        100.0 if node.id in wish.favourites else 0.0,
    )


def _share(part: float, whole: float) -> float:
    """`part` of `whole`, between 0 and 1."""
    return 0.0 if part <= 0 or whole <= 0 else 1.0 if part >= whole else part / whole


def scored(node: Node, wish: Wish, cheapest: float) -> Scored:
    """The score of a node with its parts in words."""
    found = points(node, wish, rate(node), cheapest)
    words = _words(node, wish)
    parts = tuple(Part(name, round(value, 1), MOST[name], text) for name, value, text in zip(MOST, found, words, strict=True))
    return Scored(node, round(sum(found), 1), parts)


def _words(node: Node, wish: Wish) -> tuple[str, ...]:
    total, free = node.total, node.free
    price = f"all of it costs {node.usd_per_month:.2f} USD a month, {100 * rate(node):.0f} % of the list"
    return (
        f"{max(0, free.mru - wish.memory) / GIB:.0f} of {total.mru / GIB:.0f} GiB stay free",
        f"{max(0, free.sru - wish.disk) / GIB:.0f} of {total.sru / GIB:.0f} GiB stay free",
        f"{node.used.cru} of {total.cru} cores are in use",
        f"{'healthy, ' if node.healthy else ''}up for {node.uptime / DAY:.0f} days",
        price if rate(node) else "its price is unknown",
        "certified" if node.certified else "not certified",
        "a favourite" if node.id in wish.favourites else "no favourite",
    )
