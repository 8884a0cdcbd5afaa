"""The provider's validators and the grid's own limits, held against values that Terraform really sent.

Written apart from the local grid's validators, so that a slip in one shows in the other. Sources: grid-schema-extras.json
beside the schema, and the grid's documented limits for what no schema says.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from typing import Any

NAME = re.compile(r"[a-zA-Z0-9_]{1,36}")
# A contract's public metadata must fit into this many bytes.
METADATA = 512


def breaches(kind: str, config: dict[str, Any], extras: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What a resource's values break: the extras' rules, then the limits of the grid."""
    yield from _ruled(config, extras.get(kind, {}), "")
    yield from {"grid_network": _network, "grid_deployment": _deployment}.get(kind, _nothing)(config)


def _nothing(config: dict[str, Any]) -> Iterator[str]:
    return iter(())


def _ruled(value: Any, rules: dict[str, dict[str, Any]], path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _ruled(item, rules, f"{path}.{name}".lstrip("."))
        return
    if isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            yield from _ruled(item, rules, path)
        return
    found = rules.get(path, {})
    if value is not None and "Validate" in found:
        yield from (f"{path}: {text}" for text in refused(found["Validate"], value))
    if value is not None and "ElemValidate" in found:
        yield from (f"{path}: {text}" for item in value for text in refused(found["ElemValidate"], item))


def refused(rule: str, value: Any) -> list[str]:
    """Why a rule refuses a value. Raises `AssertionError` for a rule that nobody wrote a check for."""
    name, _, argument = rule.partition("(")
    argument = argument.removesuffix(")")
    if name == "IntBetween":
        low, high = (int(part) for part in argument.split(","))
        good = float(value).is_integer() and low <= float(value) <= high
    elif name == "StringMatch":
        pattern = re.sub(r"^MustCompile\((.*)$", r"\1", argument).split("$")[0].lstrip("(") + "$"
        good = re.search(pattern, value) is not None
    elif name == "StringInSlice":
        good = value in re.findall(r"'([^']*)'", argument)
    elif name == "StringIsNotEmpty":
        good = value != ""
    elif name == "IsIPAddress":
        good = _is_address(value)
    elif name == "IsCIDRNetwork":
        good = _is_range(value, *(int(part) for part in argument.split(",")))
    elif name == "IsURLWithScheme":
        good = any(value.startswith(f"{scheme}://") for scheme in re.findall(r"'([^']*)'", argument))
    else:
        raise AssertionError(f"no check for the rule {rule}")
    return [] if good else [f"{rule} refuses {value!r}"]


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_range(value: str, low: int, high: int) -> bool:
    try:
        return low <= ipaddress.ip_network(value, strict=True).prefixlen <= high
    except ValueError:
        return False


# What no schema says


def _network(config: dict[str, Any]) -> Iterator[str]:
    yield from _names(config["name"])
    if not config["nodes"]:
        yield "nodes: a network needs one"
    for node, key in (config.get("mycelium_keys") or {}).items():
        if int(node) not in config["nodes"]:
            yield f"mycelium_keys: node {node} is not in the network"
        if not re.fullmatch(r"[0-9a-f]{64}", key):
            yield "mycelium_keys: not 32 bytes in hex"
    yield from _metadata("network", config["name"], config.get("solution_type"))


def _deployment(config: dict[str, Any]) -> Iterator[str]:
    for item in (config, *config["disks"], *config["vms"], *config["zdbs"], *config["qsfs"]):
        yield from _names(item["name"])
    held = [item["name"] for item in (*config["disks"], *config["qsfs"])]
    yield from (f"{name}: twice in one deployment" for name in {name for name in held if held.count(name) > 1})
    for vm in config["vms"]:
        yield from (f"mounts: there is no disk {mount['name']}" for mount in vm["mounts"] if mount["name"] not in held)
        yield from (f"mounts: {mount['mount_point']} is no path" for mount in vm["mounts"] if mount["mount_point"][:1] != "/")
        if vm["mycelium_ip_seed"] is not None and not re.fullmatch(r"[0-9a-f]{12}", vm["mycelium_ip_seed"]):
            yield "mycelium_ip_seed: not 6 bytes in hex"
        if not vm["flist"].endswith((".flist", ".fl")):
            yield f"flist: {vm['flist']} is none"
    yield from _metadata("vm", config["name"] or "vm", config.get("solution_type"))


def _names(name: str | None) -> Iterator[str]:
    if name is not None and not NAME.fullmatch(name):
        yield f"name: {name!r} is not 1 to 36 letters, digits and underscores"


def _metadata(kind: str, name: str, project: str | None) -> Iterator[str]:
    size = len(json.dumps({"version": 3, "type": kind, "name": name, "projectName": project or ""}))
    if size > METADATA:
        yield f"solution_type: the contract's metadata would have {size} bytes, more than {METADATA}"
