"""What Terraform's state says about contracts, and forgetting those that are gone."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from tfgrid_compose.errors import StateError

# Where resources of the grid's provider keep ids of contracts (facts: grid-schema.json).
_IDS = ("id", "contract_id", "node_contract_id", "name_contract_id", "node_deployment_id")


def contracts_in(state: bytes | None) -> set[int]:
    """Ids of the contracts that a Terraform state knows. Raises `StateError` when it is none."""
    try:
        resources = json.loads(state or b"{}").get("resources") or []
        instances = [instance for resource in resources for instance in resource.get("instances") or []]
        return {id for instance in instances for id in _ids_of(instance.get("attributes") or {})}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StateError(
            "the Terraform state of this deployment can't be read",
            why=f"it is not what Terraform writes: {error}",
            fix="tfgrid-compose state restore",
            code="tfstate-damaged",
        ) from error


def without(state: bytes, nodes: Collection[int], contracts: Collection[int]) -> bytes:
    """A Terraform state that has forgotten nodes and contracts which are gone, so that no provider asks for them."""
    data = json.loads(state)
    for resource in data.get("resources") or []:
        if str(resource.get("type", "")).startswith("grid_"):
            kept = [item for item in resource.get("instances") or [] if not _is_gone(item, nodes, contracts)]
            for instance in kept:
                _forget_nodes(instance.get("attributes") or {}, contracts)
            resource["instances"] = kept
    data["resources"] = [item for item in data.get("resources") or [] if item.get("instances")]
    data["serial"] = int(data.get("serial") or 0) + 1
    return json.dumps(data).encode()


def _is_gone(instance: dict[str, Any], nodes: Collection[int], contracts: Collection[int]) -> bool:
    """Whether nothing of a resource stands any more: all its contracts are gone, or it has none and was for these nodes."""
    attributes = instance.get("attributes") or {}
    ids = set(_ids_of(attributes)) - {0}
    on = attributes.get("nodes") or [attributes.get("node")]
    return ids <= set(contracts) if ids else all(node in nodes for node in on)


def _forget_nodes(attributes: dict[str, Any], contracts: Collection[int]) -> None:
    """Take nodes whose contracts are gone out of a network that stands on others too."""
    held = attributes.get("node_deployment_id")
    gone = [node for node, id in held.items() if int(id) in contracts] if isinstance(held, dict) else []
    for key in ("node_deployment_id", "nodes_ip_range", "mycelium_keys") if gone else ():
        if isinstance(attributes.get(key), dict):
            attributes[key] = {node: value for node, value in attributes[key].items() if node not in gone}
    if gone and isinstance(attributes.get("nodes"), list):
        attributes["nodes"] = [node for node in attributes["nodes"] if str(node) not in gone]
    if str(attributes.get("public_node_id")) in gone:
        attributes["public_node_id"] = 0


def _ids_of(attributes: dict[str, Any]) -> Iterator[int]:
    """Ids of contracts in the attributes of a resource."""
    for key in _IDS:
        value = attributes.get(key)
        for item in value.values() if isinstance(value, dict) else [value]:
            if str(item).isdecimal():
                yield int(str(item))
