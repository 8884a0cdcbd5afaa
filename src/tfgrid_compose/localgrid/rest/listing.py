"""One page of a list: filter, order, cut."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from tfgrid_compose.localgrid.rest import filters, wire
from tfgrid_compose.localgrid.rest.filters import Filters, Test
from tfgrid_compose.localgrid.rest.query import LIMITS, BadQueryError, BrokenQueryError, Kind, Limit, decode, quoted
from tfgrid_compose.localgrid.rest.rows import NodeRow
from tfgrid_compose.localgrid.rest.source import Source

Wanted = Mapping[str, Any]
Key = Callable[[Any], Any]


@dataclass(frozen=True)
class Page:
    """Rows in gridproxy's words; `count` is how many there are in all."""

    body: list[dict[str, Any]]
    count: int
    limit: Limit

    @property
    def headers(self) -> dict[str, str]:
        """Count, size and pages, where the request asks for them."""
        if not self.limit.ret_count:
            return {}
        size = self.limit.size
        pages = -(-self.count // size) if size else 0
        return {"count": str(self.count), "size": str(size), "pages": str(pages)}


@dataclass(frozen=True)
class Listing:
    """What a list is made of. `name` is the type's name in error texts, `orders` what it can be sorted by."""

    name: str
    rows: Callable[[Source], Sequence[Any]]
    write: Callable[[Any, Limit], dict[str, Any]]
    filters: Filters
    orders: Mapping[str, Key] = field(default_factory=dict)
    # Parameters that need more than a row of their own, and what makes tests of them.
    more: Mapping[str, Kind] = field(default_factory=dict)
    more_tests: Callable[[Source, Wanted, Limit], list[Test]] = lambda source, wanted, limit: []
    # A key that comes before the order that the request asks for; None where it has none.
    first: Callable[[Wanted], Key | None] = lambda wanted: None
    # What gridproxy's database says of a request that it can't carry out; empty for all others.
    breaks: Callable[[Wanted, Limit], str] = lambda wanted, limit: ""

    @property
    def known(self) -> dict[str, Kind]:
        """All parameters and their types."""
        return {**{name: item.kind for name, item in self.filters.items()}, **self.more, **LIMITS}


def page(listing: Listing, source: Source, items: Iterable[tuple[str, str]]) -> Page:
    """The page that the request's parameters ask for. Raises `BadQueryError`."""
    found = decode(items, listing.known)
    limit = Limit(**{name: found.pop(name) for name in LIMITS if name in found})
    key = _order(listing, limit)
    simple = {name: value for name, value in found.items() if name in listing.filters}
    special = {name: value for name, value in found.items() if name in listing.more}
    if broken := listing.breaks(special, limit):
        raise BrokenQueryError(broken)
    checks = filters.tests(listing.filters, simple) + listing.more_tests(source, special, limit)
    rows = _ordered(filters.passing(listing.rows(source), checks), limit, key, listing.first(found))
    start = max(limit.page - 1, 0) * limit.size
    return Page([listing.write(row, limit) for row in rows[start : start + limit.size]], len(rows), limit)


def _order(listing: Listing, limit: Limit) -> Key | None:
    """The key that the request sorts by. Raises `BadQueryError` for a field or an order that there is not."""
    if limit.sort_by and limit.sort_by not in listing.orders:
        raise BadQueryError(f"{quoted(limit.sort_by)} is not a sort field for {listing.name} type")
    if limit.sort_order.upper() not in ("", "ASC", "DESC"):
        raise BadQueryError(f"{quoted(limit.sort_order)} is not a valid sort order")
    return listing.orders.get(limit.sort_by)


def _ordered(rows: list[Any], limit: Limit, key: Key | None, first: Key | None) -> list[Any]:
    if limit.randomize:
        random.shuffle(rows)
        return rows
    if key is not None:
        rows.sort(key=key, reverse=limit.descending)
    if first is not None:
        rows.sort(key=first)
    return rows


# Nodes

_STATUSES = {"up": 0, "standby": 1, "down": 2}


def _node_orders() -> dict[str, Key]:
    paths = {
        "node_id": "id", "farm_id": "farm", "twin_id": "twin", "uptime": "uptime", "created": "created", "updated_at": "updated",
        "country": "country", "city": "city", "dedicated_farm": "farm_dedicated", "rent_contract_id": "rent_contract",
        "rented": "rented", "rentable": "rentable", "extra_fee": "extra_fee", "price_usd": "price_usd",
    }  # fmt: skip
    for unit in ("cru", "mru", "hru", "sru"):
        paths |= {f"total_{unit}": f"total.{unit}", f"used_{unit}": f"used.{unit}"}
    return {
        **{name: attrgetter(path) for name, path in paths.items()},
        "status": lambda row: _STATUSES[row.status],
        "num_gpu": lambda row: len(row.gpus),
        "free_cru": lambda row: row.total.cru - row.held.cru,
    }


def _node_tests(source: Source, wanted: Wanted, limit: Limit) -> list[Test]:
    cards = {name: value for name, value in wanted.items() if name in filters.GPUS}
    prices = {name: value for name, value in wanted.items() if name in filters.PRICES}
    found = [filters.with_gpu(cards)] if cards else []
    return [*found, filters.priced(prices, limit.balance)] if prices else found


def _rented_first(wanted: Wanted) -> Key | None:
    asked = "available_for" in wanted or "rentable_or_rented_by" in wanted
    return (lambda row: not row.rented) if asked else None


NODES = Listing(
    "Node",
    lambda source: source.nodes(),
    lambda row, limit: wire.node(row, limit.balance),
    filters.NODES,
    _node_orders(),
    {**{name: item.kind for name, item in filters.GPUS.items()}, **filters.PRICES},
    _node_tests,
    _rented_first,
)


# Farms


def _farm_tests(source: Source, wanted: Wanted, limit: Limit) -> list[Test]:
    """Farms that have a node that passes."""
    if not wanted:
        return []
    nodes: list[NodeRow] = filters.passing(source.nodes(), filters.tests(filters.NODES_OF_FARMS, wanted))
    farms = {row.farm for row in nodes}
    return [lambda row: row.id in farms]


def _ambiguous(wanted: Wanted, limit: Limit) -> str:
    """Counting farms by what their nodes are joins tables that have this column, too."""
    if wanted and limit.ret_count and limit.sort_by == "farm_id" and not limit.randomize:
        return 'couldn\'t get farm count: ERROR: column reference "farm_id" is ambiguous (SQLSTATE 42702)'
    return ""


FARMS = Listing(
    "Farm",
    lambda source: source.farms(),
    lambda row, limit: wire.farm(row),
    filters.FARMS,
    {"name": attrgetter("name"), "farm_id": attrgetter("id"), "twin_id": attrgetter("twin"),
     "dedicated": attrgetter("dedicated"), "public_ips": attrgetter("total_ips"), "free_ips": attrgetter("free_ips"),
     "total_ips": attrgetter("total_ips"), "used_ips": attrgetter("used_ips")},
    {name: item.kind for name, item in filters.NODES_OF_FARMS.items()},
    _farm_tests,
    breaks=_ambiguous,
)  # fmt: skip

CONTRACTS = Listing(
    "Contract",
    lambda source: source.contracts(),
    lambda row, limit: wire.contract(row),
    filters.CONTRACTS,
    {"contract_id": attrgetter("id"), "twin_id": attrgetter("twin"), "type": attrgetter("kind"), "state": attrgetter("state"),
     "created_at": attrgetter("created")},
)  # fmt: skip

TWINS = Listing(
    "Twin",
    lambda source: source.twins(),
    lambda row, limit: wire.twin(row),
    filters.TWINS,
    {"twin_id": attrgetter("id"), "account_id": attrgetter("account"), "relay": attrgetter("relay"),
     "public_key": attrgetter("public_key")},
)  # fmt: skip

IPS = Listing(
    "PublicIP",
    lambda source: source.public_ips(),
    lambda row, limit: wire.public_ip(row),
    filters.IPS,
    {"ip": attrgetter("ip"), "contract_id": attrgetter("contract"), "farm_id": attrgetter("farm")},
)


def bills(contract: int) -> Listing:
    """The list of a contract's bills; it has no order of its own."""
    return Listing("ContractBilling", lambda source: source.bills(contract), lambda row, limit: wire.bill(row), {})
