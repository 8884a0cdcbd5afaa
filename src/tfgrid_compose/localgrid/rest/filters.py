"""Filters of gridproxy's lists: what a parameter is, and which rows pass it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from tfgrid_compose.localgrid.rest.query import BadQueryError, Kind
from tfgrid_compose.localgrid.rest.rows import GpuRow, NodeRow

Test = Callable[[Any], bool]

ZOS3 = (
    "zmount", "zdb", "volume", "ipv4", "ip", "gateway-name-proxy", "gateway-fqdn-proxy", "qsfs", "zlogs", "network", "zmachine",
    "wireguard", "yggdrasil", "mycelium",
)  # fmt: skip
LIGHT = ("zmachine-light", "network-light")
# A balance that covers so many months of a price earns this part of it as discount.
_DISCOUNTS = ((18.0, 0.6), (6.0, 0.4), (3.0, 0.3), (1.5, 0.2))


class Filter(NamedTuple):
    """A parameter: its type, and what makes a test of its value."""

    kind: Kind
    test: Callable[[Any], Test]


Filters = Mapping[str, Filter]


def tests(filters: Filters, wanted: Mapping[str, Any]) -> list[Test]:
    """The tests of the parameters that a request has."""
    return [filters[name].test(value) for name, value in wanted.items()]


def passing(rows: Iterable[Any], checks: list[Test]) -> list[Any]:
    """Rows that pass all tests. One pass for each test: a test is one call, and each leaves fewer rows to the next."""
    found = list(rows)
    for check in checks:
        found = [row for row in found if check(row)]
    return found


def discounted(usd: float, balance: float) -> float:
    """A month's price for an account with this balance in USD."""
    if not balance:
        return usd
    part = next((part for months, part in _DISCOUNTS if balance >= usd * months), 0.0)
    return usd - usd * part


def _filter(kind: Kind, path: str, compare: Callable[[Any, Any], bool]) -> Filter:
    get = attrgetter(path)
    return Filter(kind, lambda value: lambda row: compare(get(row), value))


def _same(path: str) -> Filter:
    return _filter("uint", path, lambda found, value: bool(found == value))


def _least(path: str) -> Filter:
    return _filter("uint", path, lambda found, value: bool(found >= value))


def _text(path: str) -> Filter:
    return _filter("text", path, lambda found, value: bool(found == value))


def _is(path: str) -> Filter:
    return _filter("bool", path, lambda found, value: bool(found) == value)


def _among(path: str, kind: Kind = "uints") -> Filter:
    return _filter(kind, path, lambda found, value: found in value)


def _words(path: str) -> Filter:
    """The same text, whatever its case."""
    get = attrgetter(path)

    def test(value: str) -> Test:
        folded = value.casefold()
        return lambda row: get(row).casefold() == folded

    return Filter("text", test)


def _part(path: str) -> Filter:
    """A part of the text, whatever its case."""
    get = attrgetter(path)

    def test(value: str) -> Test:
        folded = value.casefold()
        return lambda row: folded in get(row).casefold()

    return Filter("text", test)


def _like(path: str) -> Filter:
    """A part of the text as SQL's ILIKE finds it: `%` stands for any signs, `_` for one, a backslash before one for itself."""
    get = attrgetter(path)

    def test(value: str) -> Test:
        parts = _like_parts(value)
        return lambda row: _in_order(parts, get(row))

    return Filter("text", test)


def _like_parts(value: str) -> list[re.Pattern[str]]:
    """The parts between the `%` of a pattern; each is found by itself, so that many `%` cost no more than few."""
    parts, escaped = [""], False
    for char in value:
        if char == "\\" and not escaped:
            escaped = True
        elif char == "%" and not escaped:
            parts.append("")
        else:
            parts[-1] += "." if char == "_" and not escaped else re.escape(char)
            escaped = False
    return [re.compile(part, re.IGNORECASE | re.DOTALL) for part in parts if part]


def _in_order(parts: list[re.Pattern[str]], text: str) -> bool:
    at = 0
    for part in parts:
        found = part.search(text, at)
        if found is None:
            return False
        at = found.end()
    return True


def _features(value: frozenset[str]) -> Test:
    for name in sorted(value):
        if name not in ZOS3 and name not in LIGHT:
            raise BadQueryError(f"{name} is not a valid node feature")
    return lambda row: value.issubset(row.features)


def _available(twin: int) -> Test:
    return lambda row: row.rented_by == twin or not (row.rented_by or row.farm_dedicated or row.extra_fee)


def _rentable_or_rented_by(twin: int) -> Test:
    return lambda row: row.rentable or row.rented_by == twin


def _not_in(ids: frozenset[int]) -> Test:
    return lambda row: row.id not in ids


NODES: Filters = {
    "status": _among("status", "texts"),
    "free_mru": _least("free_mru"), "free_hru": _least("free_hru"), "free_sru": _least("free_sru"),
    "total_mru": _least("total.mru"), "total_hru": _least("total.hru"), "total_sru": _least("total.sru"),
    "total_cru": _least("total.cru"),
    "country": _words("country"), "country_contains": _like("country"),
    "city": _words("city"), "city_contains": _like("city"), "region": _like("region"),
    "farm_name": _words("farm_name"), "farm_name_contains": _like("farm_name"), "farm_ids": _among("farm"),
    "free_ips": _least("farm_free_ips"), "ipv4": _is("ipv4"), "ipv6": _is("ipv6"), "domain": _is("domain"),
    "has_ipv6": _is("has_ipv6"),
    "dedicated": _filter("bool", "dedicated", lambda found, value: found == value),
    "in_dedicated_farm": _is("farm_dedicated"), "rentable": _is("rentable"), "owned_by": _same("farm_twin"),
    "rented": _is("rented"), "rented_by": _same("rented_by"),
    "rentable_or_rented_by": Filter("uint", _rentable_or_rented_by), "available_for": Filter("uint", _available),
    "node_id": _same("id"), "node_ids": _among("id"), "excluded": Filter("uints", _not_in), "twin_id": _same("twin"),
    "certification_type": _words("certification"), "healthy": _is("healthy"),
    "has_gpu": _is("gpus"), "num_gpu": Filter("uint", lambda value: lambda row: len(row.gpus) >= value),
    "features": Filter("texts", _features),
}  # fmt: skip

# What a graphics card must be; one and the same card has to pass all of these.
GPUS: Filters = {
    "gpu_device_id": _like("id"), "gpu_vendor_id": _like("id"),
    "gpu_device_name": _like("device"), "gpu_vendor_name": _like("vendor"),
    "gpu_available": Filter("bool", lambda value: lambda gpu: (gpu.contract == 0) == value),
}  # fmt: skip
PRICES: dict[str, Kind] = {"price_min": "float", "price_max": "float"}

FARMS: Filters = {
    "free_ips": _least("free_ips"), "total_ips": _least("total_ips"), "stellar_address": _text("stellar"),
    "pricing_policy_id": _same("policy"), "farm_id": _same("id"), "twin_id": _same("twin"), "name": _words("name"),
    "name_contains": _part("name"), "certification_type": _text("certification"), "dedicated": _is("dedicated"),
}  # fmt: skip

# What at least one node of a farm must be; one and the same node has to pass all of these.
NODES_OF_FARMS: Filters = {
    "node_free_mru": NODES["free_mru"], "node_free_hru": NODES["free_hru"], "node_free_sru": NODES["free_sru"],
    "node_total_cru": NODES["total_cru"], "node_status": NODES["status"], "node_rented_by": NODES["rented_by"],
    "node_available_for": NODES["available_for"], "node_has_gpu": NODES["has_gpu"], "node_has_ipv6": NODES["has_ipv6"],
    "node_certified": _is("certified"), "node_features": NODES["features"], "country": NODES["country"],
    "region": NODES["region"],
}  # fmt: skip


def _states(value: frozenset[str]) -> Test:
    wanted = {state.lower() for state in value}
    return lambda row: row.state.lower() in wanted


CONTRACTS: Filters = {
    "contract_id": _same("id"), "twin_id": _same("twin"), "node_id": _same("node"), "type": _text("kind"),
    "state": Filter("texts", _states), "name": _text("name"), "number_of_public_ips": _least("public_ips"),
    "deployment_data": _text("data"), "deployment_hash": _text("hash"), "farm_name": _words("farm_name"),
    "farm_id": _same("farm"),
}  # fmt: skip

TWINS: Filters = {
    "twin_id": _same("id"), "account_id": _text("account"), "relay": _text("relay"), "public_key": _text("public_key"),
}  # fmt: skip

IPS: Filters = {
    "farm_ids": _among("farm"), "free": Filter("bool", lambda value: lambda row: (row.contract == 0) == value),
    "ip": _text("ip"), "gateway": _text("gateway"),
}  # fmt: skip


def with_gpu(wanted: Mapping[str, Any]) -> Test:
    """Nodes that have a card which passes all of these filters."""
    checks = tests(GPUS, wanted)

    def fits(gpu: GpuRow) -> bool:
        return all(check(gpu) for check in checks)

    return lambda row: any(fits(gpu) for gpu in row.gpus)


def priced(wanted: Mapping[str, float], balance: float) -> Test:
    """Nodes whose monthly price, with the balance's discount, is between the two."""
    least, most = wanted.get("price_min", 0.0), wanted.get("price_max", float("inf"))

    def test(row: NodeRow) -> bool:
        return least <= discounted(row.price_usd, balance) <= most

    return test
