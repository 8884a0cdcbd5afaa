"""Rows in gridproxy's words: the mixed names of its JSON, capacities in bytes, times in unix seconds."""

from __future__ import annotations

from typing import Any

from tfgrid_compose.grids.models import Capacity
from tfgrid_compose.localgrid.rest.filters import discounted
from tfgrid_compose.localgrid.rest.rows import BillRow, ContractRow, FarmRow, GpuRow, IpRow, NodeRow, TwinRow

Json = dict[str, Any]
# Nobody measures these here.
_DMI: Json = {"bios": {"vendor": "", "version": ""}, "baseboard": {"manufacturer": "", "product_name": ""}, "processor": [],
              "memory": []}  # fmt: skip
_SPEED: Json = {"upload": 0, "download": 0}


def node(row: NodeRow, balance: float = 0.0) -> Json:
    """A node as lists show it, its capacity in two flat keys."""
    facts = _node(row, balance)
    facts["total_resources"], facts["used_resources"] = capacity(row.total), capacity(row.used)
    return facts


def node_nested(row: NodeRow) -> Json:
    """A node as it is shown alone, its capacity one level deeper."""
    facts = _node(row, 0.0)
    facts["capacity"] = {"total_resources": capacity(row.total), "used_resources": capacity(row.used)}
    return facts


def _node(row: NodeRow, balance: float) -> Json:
    state, target = row.power
    return {
        "id": f"{row.id:010d}", "nodeId": row.id, "farmId": row.farm, "farmName": row.farm_name, "twinId": row.twin,
        "country": row.country, "city": row.city, "gridVersion": 3, "uptime": row.uptime, "created": row.created,
        "farmingPolicyId": 1, "updatedAt": row.updated,
        "location": {"country": row.country, "city": row.city, "longitude": row.longitude, "latitude": row.latitude},
        "publicConfig": {"domain": row.domain, "gw4": row.gw4, "gw6": row.gw6, "ipv4": row.ipv4, "ipv6": row.ipv6},
        "status": row.status, "certificationType": row.certification, "dedicated": row.dedicated,
        "inDedicatedFarm": row.farm_dedicated, "rentContractId": row.rent_contract, "rented": row.rented,
        "rentable": row.rentable, "rentedByTwinId": row.rented_by, "serialNumber": "",
        "power": {"state": state, "target": target}, "num_gpu": len(row.gpus), "extraFee": row.extra_fee,
        "healthy": row.healthy,
        "dmi": _DMI, "speed": _SPEED, "gpus": [gpu(item, row.twin) for item in row.gpus],
        "price_usd": round(discounted(row.price_usd, balance), 3), "farm_free_ips": row.farm_free_ips,
        "features": list(row.features),
    }  # fmt: skip


def capacity(found: Capacity) -> Json:
    """Cores and bytes."""
    return {"cru": found.cru, "sru": found.sru, "hru": found.hru, "mru": found.mru}


def gpu(row: GpuRow, twin: int) -> Json:
    """A graphics card of the node whose twin this is."""
    return {"node_twin_id": twin, "id": row.id, "vendor": row.vendor, "device": row.device, "contract": row.contract}


def farm(row: FarmRow) -> Json:
    """A farm with its addresses."""
    ips = [{key: value for key, value in public_ip(item).items() if key != "farm_id"} for item in row.ips]
    return {
        "name": row.name, "farmId": row.id, "twinId": row.twin, "pricingPolicyId": row.policy,
        "certificationType": row.certification, "stellarAddress": row.stellar, "dedicated": row.dedicated, "publicIps": ips,
    }  # fmt: skip


def public_ip(row: IpRow) -> Json:
    """A public address of a farm."""
    return {"id": row.id, "ip": row.ip, "gateway": row.gateway, "contract_id": row.contract, "farm_id": row.farm}


def contract(row: ContractRow) -> Json:
    """A contract; what `details` holds depends on its type."""
    return {
        "contract_id": row.id, "twin_id": row.twin, "state": row.state, "created_at": row.created, "type": row.kind,
        "details": _details(row),
    }  # fmt: skip


def _details(row: ContractRow) -> Json:
    if row.kind == "name":
        return {"name": row.name}
    place: Json = {"nodeId": row.node, "farm_name": row.farm_name, "farm_id": row.farm}
    if row.kind == "rent":
        return place
    return {"deployment_data": row.data, "deployment_hash": row.hash, "number_of_public_ips": row.public_ips, **place}


def twin(row: TwinRow) -> Json:
    """A twin."""
    return {"twinId": row.id, "accountId": row.account, "relay": row.relay, "publicKey": row.public_key}


def bill(row: BillRow) -> Json:
    """A bill; play money has no discount."""
    return {"amountBilled": row.units, "discountReceived": "None", "timestamp": row.time}
