"""What a gridproxy can be asked for: the parameters of each list, and how values are written.

Names are gridproxy's own. It answers 400 to one it doesn't know, so a wrong name is a mistake of ours and a `TypeError`.
Source: the corrections to gridproxy's swagger file, under "filters" (threefoldtech/tfgrid-sdk-go, `grid-proxy/pkg/types`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Filter = str | int | float | bool | Iterable[str | int] | None

_LIMITS = {"page": "int", "size": "int", "randomize": "bool", "sort_by": "text", "sort_order": "text"}


def _table(**kinds: str) -> dict[str, str]:
    return {name: kind for kind, names in kinds.items() for name in names.split()}


TABLE: dict[str, dict[str, str]] = {
    "/nodes": _table(
        int="free_mru free_hru free_sru total_mru total_hru total_sru total_cru free_ips owned_by rented_by"
        " rentable_or_rented_by available_for node_id twin_id num_gpu",
        bool="ipv4 ipv6 domain dedicated in_dedicated_farm rentable rented has_gpu gpu_available healthy has_ipv6",
        text="country city farm_name",
        part="country_contains city_contains region farm_name_contains certification_type"
        " gpu_device_id gpu_device_name gpu_vendor_id gpu_vendor_name",
        list="status farm_ids node_ids excluded features",
        number="price_min price_max balance",
    ),
    "/farms": _table(
        int="free_ips total_ips pricing_policy_id farm_id twin_id node_free_mru node_free_hru node_free_sru node_total_cru"
        " node_rented_by node_available_for",
        bool="dedicated node_has_gpu node_has_ipv6 node_certified",
        text="stellar_address name certification_type country",
        part="region",
        escaped="name_contains",
        list="node_status node_features",
    ),
    "/contracts": _table(
        int="contract_id twin_id node_id number_of_public_ips farm_id",
        text="type name deployment_data deployment_hash farm_name",
        list="state",
    ),
    "/twins": _table(int="twin_id", text="account_id relay public_key"),
    "/public_ips": _table(bool="free", text="ip gateway", list="farm_ids"),
    "/stats": _table(list="status"),
}


def encode(path: str, values: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of a question; None, empty texts and empty lists are left out, as gridproxy ignores them.

    Raises `TypeError` for a name that the list doesn't have, or a value of another type.
    """
    known = {**_LIMITS, **TABLE.get(path, {})}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise TypeError(f"{path} can't be filtered by {', '.join(unknown)}")
    written = {name: _written(name, known[name], value) for name, value in values.items() if value is not None}
    return {name: text for name, text in sorted(written.items()) if text}


def _written(name: str, kind: str, value: Any) -> str:
    if kind == "bool" and isinstance(value, bool):
        return "true" if value else "false"
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        return format(value, "f").rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    if kind in ("text", "part", "escaped") and isinstance(value, str):
        return value if kind == "text" else _literal(value, "\\%_" if kind == "part" else "\\")
    if kind == "list":
        return _listed(name, [value] if isinstance(value, str | int) else value)
    kind = {"part": "text", "escaped": "text"}.get(kind, kind)
    raise TypeError(f"{name} must be of type {kind}, not {type(value).__name__}")


def _literal(value: str, special: str) -> str:
    """A text whose signs mean themselves: gridproxy looks for parts with SQL's LIKE, where `%` and `_` stand for others.

    Only `name_contains` of farms it escapes itself, all but the backslash.
    """
    return "".join(f"\\{char}" if char in special else char for char in value)


def _listed(name: str, items: Iterable[Any]) -> str:
    """One value with commas; the order says nothing, so a set is sorted and asks the same question each time."""
    if isinstance(items, set | frozenset):
        items = sorted(items, key=str)
    words = []
    for item in items:
        if isinstance(item, bool) or not isinstance(item, str | int) or "," in str(item):
            raise TypeError(f"{name} must hold numbers or words, not {item!r}")
        words.append(str(item))
    return ",".join(words)
