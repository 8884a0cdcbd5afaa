"""The JSON of a gridproxy as the dataclasses of this room.

Fields that are missing or null get a default and unknown ones are passed over; a field of another type is a `WireError`,
because then nothing of the answer can be trusted. Source of the fields: the corrections to gridproxy's swagger file.
"""

from __future__ import annotations

import json
from typing import Any

from tfgrid_compose.grids.fields import Row, WireError, clean, flag, id_of, integer, items, moment, number, part, text, whole
from tfgrid_compose.grids.marks import app_of, deployment_of
from tfgrid_compose.grids.models import (
    Bill,
    Capacity,
    Consumption,
    ContractInfo,
    Farm,
    Gpu,
    Health,
    Node,
    PublicIp,
    Statistics,
    Stats,
    Twin,
    is_public,
)

UNITS_PER_TFT = 10**7
# gridproxy calls a node up that reported within 80 minutes; the rest is for clocks that differ.
FRESH_S = 2 * 3600


def _capacity(row: Row) -> Capacity:
    return Capacity(integer(row, "cru"), integer(row, "mru"), integer(row, "sru"), integer(row, "hru"))


# Rows


def node(row: Row, now: float) -> Node:
    """A node, of a list or alone; `now` in unix seconds tells one that has not reported for hours, which is not up.

    What is used holds the grid's reserve already, so what is free is the rest.
    """
    id = id_of(row, "nodeId")
    capacity = part(row, "capacity") or row
    total, used = _capacity(part(capacity, "total_resources")), _capacity(part(capacity, "used_resources"))
    public, location = part(row, "publicConfig"), part(row, "location")
    updated = moment(row, "updatedAt")
    return Node(
        id=id,
        farm_id=integer(row, "farmId"),
        farm=text(row, "farmName"),
        country=text(row, "country") or text(location, "country"),
        city=text(row, "city") or text(location, "city"),
        status=_status(row, now - updated if updated else 0),
        certified=text(row, "certificationType") == "Certified",
        total=total,
        free=Capacity(
            max(0, total.cru - used.cru), max(0, total.mru - used.mru),
            max(0, total.sru - used.sru), max(0, total.hru - used.hru),
        ),
        ipv4=text(public, "ipv4"),
        free_ips=integer(row, "farm_free_ips"),
        used=used,
        twin=integer(row, "twinId"),
        ipv6=text(public, "ipv6"),
        domain=text(public, "domain"),
        uptime=integer(row, "uptime"),
        healthy=flag(row, "healthy", True),
        dedicated_farm=flag(row, "inDedicatedFarm"),
        rentable=flag(row, "rentable"),
        rented_by=integer(row, "rentedByTwinId"),
        features=_features(items(row, "features")),
        gpus=integer(row, "num_gpu"),
        usd_per_month=number(row, "price_usd"),
        extra_fee=number(row, "extraFee"),
        updated=float(updated),
    )  # fmt: skip


def _status(row: Row, silent_s: float) -> str:
    status = text(row, "status") or "down"
    return "down" if status == "up" and silent_s > FRESH_S else status


# The greater part of a node's JSON, and nothing that is read above.
_UNREAD = frozenset(("id", "dmi", "speed", "gpus", "power", "serialNumber", "created", "farmingPolicyId", "gridVersion"))


def slim_nodes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of nodes without the fields that nobody reads."""
    return [{key: value for key, value in row.items() if key not in _UNREAD} for row in rows]


_FEATURES: dict[tuple[Any, ...], frozenset[str]] = {}


def _features(items: list[Any]) -> frozenset[str]:
    """Nearly all nodes have the same few sets, so each is made once."""
    try:
        found = _FEATURES.get(key := tuple(items))
    except TypeError:
        raise WireError("`features` holds something else than words") from None
    if found is None:
        if not all(type(item) is str for item in items):
            raise WireError("`features` holds something else than words")
        if len(_FEATURES) > 1000:
            _FEATURES.clear()
        found = _FEATURES[key] = frozenset(clean(item) for item in items)
    return found


def farm(row: Row, _: float = 0.0) -> Farm:
    """A farm; its private "public" addresses are not counted."""
    id = id_of(row, "farmId")
    ips = [public_ip(item) for item in items(row, "publicIps")]
    public = [ip for ip in ips if is_public(ip.ip)]
    return Farm(
        id=id,
        name=text(row, "name"),
        twin=integer(row, "twinId"),
        certification=text(row, "certificationType"),
        dedicated=flag(row, "dedicated"),
        free_ips=sum(ip.contract == 0 for ip in public),
        total_ips=len(public),
    )


def public_ip(row: Row, _: float = 0.0) -> PublicIp:
    """A public IPv4 of a farm."""
    whole(row)
    return PublicIp(text(row, "id"), text(row, "ip"), text(row, "gateway"), integer(row, "farm_id"), integer(row, "contract_id"))


def twin(row: Row, _: float = 0.0) -> Twin:
    """A twin."""
    return Twin(id_of(row, "twinId"), text(row, "accountId"), text(row, "relay"))


def contract(row: Row, _: float = 0.0) -> ContractInfo:
    """A contract; one whose metadata is foreign or broken is a contract all the same, of kind `node` and without a name."""
    id, kind, details = id_of(row, "contract_id"), text(row, "type"), part(row, "details")
    data = _metadata(_text_or_raw(details, "deployment_data")) if kind == "node" else {}
    name = text(details, "name") if kind == "name" else _word(data, "name")
    return ContractInfo(
        id=id,
        node=integer(details, "nodeId") or None,
        kind=(_word(data, "type") or "node") if kind == "node" else kind or "unknown",
        name=name,
        state=text(row, "state"),
        usd_per_hour=None,
        app=app_of(_word(data, "projectName")),
        deployment=deployment_of(name),
        created=float(moment(row, "created_at")),
        twin=integer(row, "twin_id"),
        public_ips=integer(details, "number_of_public_ips"),
        farm=text(details, "farm_name"),
    )


def _text_or_raw(details: Row, key: str) -> str:
    """Metadata whole: cutting it to a length would break it."""
    value = details.get(key)
    return value if type(value) is str else ""


def _metadata(text: str) -> dict[str, Any]:
    """What whoever made the contract wrote into it (512 bytes at most); anything but an object says nothing."""
    try:
        data = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return data if type(data) is dict else {}


def _word(data: Row, key: str) -> str:
    value = data.get(key)
    return clean(value) if type(value) is str else ""


def bill(row: Row, _: float = 0.0) -> Bill:
    """A bill of a contract."""
    if whole(row).get("amountBilled") is None:
        raise WireError("a bill has no amount")
    return Bill(float(moment(row, "timestamp")), integer(row, "amountBilled") / UNITS_PER_TFT, text(row, "discountReceived"))


# Single answers


def consumption(row: Any, _: float = 0.0) -> Consumption:
    """What a twin was billed; a missing sum is an error, because it is not the same as nothing."""
    whole(row)
    for key in ("last_hour_consumption", "overall_consumption"):
        if row.get(key) is None:
            raise WireError(f"`{key}` is missing")
    return Consumption(number(row, "last_hour_consumption"), number(row, "overall_consumption"))


def stats(row: Any, _: float = 0.0) -> Stats:
    """How much a network has."""
    whole(row)
    return Stats(
        nodes=integer(row, "nodes"),
        farms=integer(row, "farms"),
        twins=integer(row, "twins"),
        contracts=integer(row, "contracts"),
        public_ips=integer(row, "publicIps"),
        gateways=integer(row, "gateways"),
        access_nodes=integer(row, "accessNodes"),
        dedicated_nodes=integer(row, "dedicatedNodes"),
        gpus=integer(row, "gpus"),
        workloads=integer(row, "workloads_number"),
        total=Capacity(integer(row, "totalCru"), integer(row, "totalMru"), integer(row, "totalSru"), integer(row, "totalHru")),
        countries={clean(name): integer(spread, name) for spread in [part(row, "nodesDistribution")] for name in spread},
    )


def statistics(row: Any, _: float = 0.0) -> Statistics:
    """What a node itself says."""
    whole(row)
    used, users = part(row, "used"), part(row, "users")
    return Statistics(
        total=_capacity(part(row, "total")),
        used=_capacity(used),
        system=_capacity(part(row, "system")),
        used_ipv4=integer(used, "ipv4u"),
        deployments=integer(users, "deployments"),
        workloads=integer(users, "workloads"),
        last_deployment=float(moment(users, "last_deployment_timestamp")),
    )


def gpus(rows: Any, _: float = 0.0) -> list[Gpu]:
    """The graphics cards of a node."""
    if not isinstance(rows, list):
        raise WireError("it sent something else than a list")
    return [_gpu(whole(row)) for row in rows]


def _gpu(row: Row) -> Gpu:
    return Gpu(text(row, "id"), text(row, "vendor"), text(row, "device"), integer(row, "contract"))


def ping(row: Any, _: float = 0.0) -> str:
    """`pong`."""
    if text(whole(row), "ping") != "pong":
        raise WireError("`ping` is not `pong`")
    return "pong"


def version(row: Any, _: float = 0.0) -> str:
    """The version of a gridproxy."""
    found = text(whole(row), "version")
    if not found:
        raise WireError("`version` is missing")
    return found


def health(row: Any, _: float = 0.0) -> Health:
    """Whether a gridproxy's own parts work."""
    whole(row)
    parts = {clean(key): clean(value) for key, value in row.items() if type(value) is str}
    return Health(flag(row, "total_state_ok"), parts)
