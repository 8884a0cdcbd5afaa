"""The real provider's schema: read from its own description, with defaults and validators.

The JSON is in the form of `terraform providers schema -json`; the extras hold what that form
leaves out. Serving the same schema is what lets Terraform written for the grid run unchanged.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from tfgrid_compose.grids.addresses import AddressError, check_network_range
from tfgrid_compose.localgrid.provider.messages import message
from tfgrid_compose.localgrid.provider.values import UNKNOWN

PROVIDER = "registry.terraform.io/threefoldtech/grid"
RESOURCES = ("grid_network", "grid_deployment")
_NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}
_RANGE = re.compile(r"IntBetween\((\d+), (\d+)\)")
_MATCH = re.compile(r"StringMatch\((?:MustCompile\()?(?P<pattern>\^.*\$)\)?, (?P<message>.*)\)$")
_SCHEME = re.compile(r"IsURLWithScheme\(\[(.*)\]\)")
_CHOICE = re.compile(r"StringInSlice\(\[(.*)\], False\)")


@dataclass(frozen=True)
class Problem:
    """A value that the schema refuses: path of attribute names and indexes, and the provider's words."""

    path: tuple[str | int, ...]
    text: str


@cache
def _documents() -> tuple[dict[str, Any], dict[str, Any]]:
    folder = resources.files("tfgrid_compose.grids") / "provider_schema"
    schema = json.loads((folder / "grid-1.11.3.json").read_text())
    extras = json.loads((folder / "grid-1.11.3-extras.json").read_text())
    return schema["provider_schemas"][PROVIDER], extras


@dataclass(frozen=True)
class Block:
    """A block of the schema with the defaults and validators of its attributes."""

    raw: dict[str, Any]
    extras: dict[str, Any]
    prefix: str = ""

    @property
    def attributes(self) -> dict[str, dict[str, Any]]:
        """{name: description of the attribute}."""
        found: dict[str, dict[str, Any]] = self.raw.get("attributes", {})
        return found

    def extra(self, name: str) -> dict[str, Any]:
        """Default and validator of an attribute."""
        found: dict[str, Any] = self.extras.get(f"{self.prefix}{name}", {})
        return found

    def children(self) -> Iterator[tuple[str, dict[str, Any], Block]]:
        """(name, raw block type, block) of every nested block."""
        for name, raw in self.raw.get("block_types", {}).items():
            yield name, raw, Block(raw["block"], self.extras, f"{self.prefix}{name}.")

    def to_message(self) -> Any:
        """As the protocol's Block."""
        attributes = [
            message(
                "Attribute", name=name, type=json.dumps(raw["type"]).encode(), description=raw.get("description", ""),
                required=raw.get("required", False), optional=raw.get("optional", False),
                computed=raw.get("computed", False), sensitive=raw.get("sensitive", False),
            )
            for name, raw in self.attributes.items()
        ]  # fmt: skip
        blocks = [
            message(
                "NestedBlock", type_name=name, block=block.to_message(), nesting=_NESTING[raw["nesting_mode"]],
                min_items=raw.get("min_items", 0), max_items=raw.get("max_items", 0),
            )
            for name, raw, block in self.children()
        ]  # fmt: skip
        return message("Block", attributes=attributes, block_types=blocks)

    def plan(self, proposed: dict[str, Any], prior: dict[str, Any] | None) -> dict[str, Any]:
        """The planned value: defaults filled in, computed values kept or unknown."""
        planned: dict[str, Any] = {}
        for name, raw in self.attributes.items():
            value = proposed.get(name)
            if value is None and "Default" in self.extra(name):
                value = self.extra(name)["Default"]
            if value is None and raw.get("computed"):
                value = UNKNOWN if prior is None else prior.get(name)
            planned[name] = value
        for name, raw, block in self.children():
            if raw["nesting_mode"] == "single" or proposed.get(name) is UNKNOWN:
                planned[name] = proposed.get(name)
                continue
            before = (prior or {}).get(name) or []
            planned[name] = [
                block.plan(item, before[index] if index < len(before) else None)
                for index, item in enumerate(proposed.get(name) or [])
            ]
        return planned

    def wished(self, planned: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
        """The plan without values that nobody wrote: computed ones are only carried over from the state.

        A machine that moves must get a new address, unless its configuration names one.
        """
        wished = dict(planned)
        for name, raw in self.attributes.items():
            carried = raw.get("optional") and raw.get("computed") and name != "id"
            if carried and name in planned and config.get(name) is None:
                wished[name] = None
        for name, raw, block in self.children():
            items, written = planned.get(name), config.get(name)
            if raw["nesting_mode"] == "list" and isinstance(items, list) and isinstance(written, list):
                pairs = zip(items, [*written, *[{}] * len(items)], strict=False)
                wished[name] = [block.wished(item, its_config) for item, its_config in pairs]
        return wished

    def problems(self, config: dict[str, Any], path: tuple[str | int, ...] = ()) -> Iterator[Problem]:
        """Every value of a configuration that a validator refuses; unknown ones pass."""
        for name in self.attributes:
            value = config.get(name)
            if value is None or value is UNKNOWN:
                continue
            misfits = list(_misfits(self.attributes[name]["type"], value, (*path, name)))
            yield from misfits or self._refused(name, value, (*path, name))
        for name, raw, block in self.children():
            items = config.get(name) or []
            if raw["nesting_mode"] == "list" and isinstance(items, list):
                for index, item in enumerate(items):
                    yield from block.problems(item, (*path, name, index))

    def _refused(self, name: str, value: Any, path: tuple[str | int, ...]) -> Iterator[Problem]:
        """What the validators of one attribute say."""
        rules = self.extra(name)
        if "Validate" in rules:
            yield from _check(rules["Validate"], value, path)
        if "ElemValidate" in rules:
            for index, item in enumerate(value if isinstance(value, list) else []):
                if item is not UNKNOWN:
                    yield from _check(rules["ElemValidate"], item, (*path, index))


@cache
def provider_block() -> Block:
    """The provider's own configuration."""
    schema, extras = _documents()
    return Block(schema["provider"]["block"], extras["provider"])


@cache
def resource_block(name: str) -> Block:
    """The schema of a resource."""
    schema, extras = _documents()
    return Block(schema["resource_schemas"][name]["block"], extras.get(name, {}))


def _misfits(kind: Any, value: Any, path: tuple[str | int, ...]) -> Iterator[Problem]:
    """What the real provider's SDK refuses whatever the attribute is: numbers that are not whole, lists with nothing in them.

    Terraform writes a number that no machine word holds as a text.
    """
    if kind == "number" and not re.fullmatch(r"-?\d{1,30}(\.0)?", str(value)):
        yield Problem(path, f"expected {'.'.join(map(str, path))} to be a whole number, got {value}")
    for index, item in enumerate(value if isinstance(kind, list) and isinstance(value, list) else []):
        if item is None:
            yield Problem((*path, index), "null values are not allowed for this attribute value")
        elif item is not UNKNOWN:
            yield from _misfits(kind[1], item, (*path, index))


def _check(rule: str, value: Any, path: tuple[str | int, ...]) -> Iterator[Problem]:
    shown = ".".join(str(part) for part in path)
    if match := _RANGE.match(rule):
        low, high = int(match[1]), int(match[2])
        if not low <= float(value) <= high:
            yield Problem(path, f"expected {shown} to be in the range ({low} - {high}), got {value}")
    elif match := _MATCH.match(rule):
        if not re.fullmatch(match["pattern"].strip("^$"), str(value)):
            yield Problem(path, f"invalid value for {shown} ({match['message']})")
    elif match := _CHOICE.match(rule):
        choices = [item.strip(" '") for item in match[1].split(",")]
        if value not in choices:
            yield Problem(path, f"expected {shown} to be one of {json.dumps(choices)}, got {value}")
    else:
        yield from _check_form(rule, value, path)


def _check_form(rule: str, value: Any, path: tuple[str | int, ...]) -> Iterator[Problem]:
    """What the validators of URLs and addresses say."""
    shown = ".".join(str(part) for part in path)
    if match := _SCHEME.match(rule):
        schemes = [item.strip(" '") for item in match[1].split(",")]
        scheme, _, place = str(value).partition("://")
        if scheme not in schemes:
            yield Problem(path, f'expected "{shown}" to have a url with schema of: "{",".join(schemes)}", got {value}')
        elif not place.partition("/")[0]:
            yield Problem(path, f'expected "{shown}" to have a host, got {value}')
    elif rule.startswith(("IsIPAddress", "IsCIDRNetwork")):
        try:
            ipaddress.ip_address(value) if rule.startswith("IsIP") else check_network_range(value)
        except AddressError as error:
            yield Problem(path, str(error))
        except ValueError:
            yield Problem(path, f"expected {shown} to contain a valid IP, got: {value}")
