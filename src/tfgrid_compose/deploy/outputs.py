"""What Terraform gives back: from a node, through a provider and a pattern; none of them is trusted with its form."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from tfgrid_compose.errors import PatternError
from tfgrid_compose.patterns.model import Pattern

# Which kind of address a machine can have; 0 for either.
ADDRESSES = {"private_ip": 0, "wireguard_ip": 4, "mycelium_ip": 6, "ipv4_address": 4, "ipv6_address": 6}
_KINDS = ("ipv4", "ipv6", "mycelium", "wireguard", "")
# Names become names of hosts, files and known_hosts entries.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_PLAIN = ("wg_config", "machines", "contracts")


def parse_outputs(pattern: Pattern, outputs: dict[str, Any]) -> dict[str, Any]:
    """The outputs in the form that the engine uses: addresses are addresses, ids are numbers, names are names.

    Raises `PatternError` unless they are all that the pattern promised.
    """
    missing = [name for name in (*pattern.outputs, "contracts") if name not in outputs]
    if missing or not outputs.get("machines"):
        raise _bad_output(pattern, f"did not give its output `{(missing or ['machines'])[0]}`", "the engine needs it to go on")
    try:
        machines = [_machine(pattern, machine) for machine in outputs["machines"]]
        if len({machine["name"] for machine in machines}) < len(machines):
            raise ValueError("two machines have the same name")
        contracts = {str(what): [_number(id) for id in ids] for what, ids in outputs["contracts"].items()}
        return {**outputs, **_well_known(outputs), "machines": machines, "contracts": contracts}
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        why = "machines have a name, a role, a node and a contract; contracts are lists of numbers; wg_config is a text"
        found = f"{error}"[:120] if isinstance(error, ValueError) else ""
        raise _bad_output(pattern, "gave outputs that the engine can't use", f"{found}; {why}" if found else why) from error


def _machine(pattern: Pattern, machine: dict[str, Any]) -> dict[str, Any]:
    if machine["role"] not in pattern.roles:
        raise ValueError(f"{str(machine['role'])[:40]!r} is not a role of the pattern")
    addresses = {key: address(machine[key], version) for key, version in ADDRESSES.items() if key in machine}
    contract = machine["contract"]
    # A text in the state of an older release, which it is compared with.
    contract = str(_number(contract)) if isinstance(contract, str) else _number(contract)
    return {**machine, **addresses, "name": _name(machine["name"]), "node": _number(machine["node"]), "contract": contract}


def _well_known(outputs: dict[str, Any]) -> dict[str, Any]:
    """Outputs that reach files and hooks, where the pattern has them."""
    found: dict[str, Any] = {"wg_config": outputs.get("wg_config") or ""}
    if not isinstance(found["wg_config"], str):
        raise ValueError("wg_config is not a text")
    for name, version in {"primary_ip": 0, **ADDRESSES}.items():
        if name in outputs:
            found[name] = address(outputs[name], version)
    if outputs.get("primary_ip_type", "") not in _KINDS:
        raise ValueError(f"primary_ip_type is not one of {', '.join(_KINDS[:-1])}")
    if "deployment_name" in outputs:
        found["deployment_name"] = _name(outputs["deployment_name"])
    if "node_ids" in outputs:
        found["node_ids"] = [_number(node) for node in outputs["node_ids"]]
    return found


def address(value: Any, version: int = 0) -> str:
    """An address in its usual form; empty for none. Raises `ValueError` for anything else, a zone (`%eth0`) included."""
    if value in ("", None):
        return ""
    if not isinstance(value, str) or "%" in value:
        raise ValueError(f"{str(value)[:60]!r} is not an address")
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        raise ValueError(f"{value[:60]!r} is not an address") from None
    if version and found.version != version:
        raise ValueError(f"{value[:60]!r} is not an IPv{version} address")
    return str(found)


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{str(value)[:60]!r} is not a name")
    return value


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)) or not re.fullmatch(r"[0-9]{1,18}", str(value)):
        raise ValueError(f"{str(value)[:60]!r} is not a number")
    return int(value)


def _bad_output(pattern: Pattern, what: str, why: str) -> PatternError:
    return PatternError(
        f"pattern {pattern.name} {what}",
        why=why,
        fix="mend outputs.tf of the pattern, then run `tfgrid-compose up` again",
        code="output-missing",
    )
