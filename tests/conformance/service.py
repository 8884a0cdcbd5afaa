"""A provider that is nothing but a schema: Terraform validates, plans and applies against it, and nothing is made.

It speaks the local grid's half of the plug-in protocol, but serves any document of `terraform providers schema -json`
whole: resources and data sources that the local grid does not have, and schemas of other versions.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfgrid_compose.localgrid.provider.messages import message
from tfgrid_compose.localgrid.provider.schema import PROVIDER, Block
from tfgrid_compose.localgrid.provider.server import Service
from tfgrid_compose.localgrid.provider.values import UNKNOWN, decode, encode

CONTRACTS = Path(__file__).parents[1] / "contracts"
NEWEST, OLD = "grid-schema.json", "grid-schema-1.11.1.json"


def document(name: str = NEWEST) -> dict[str, Any]:
    """The schemas of the grid's provider in one contract document."""
    found: dict[str, Any] = json.loads((CONTRACTS / name).read_text())["provider_schemas"][PROVIDER]
    return found


def extras() -> dict[str, dict[str, Any]]:
    """Defaults and validators, which the schema's JSON form leaves out."""
    found: dict[str, dict[str, Any]] = json.loads((CONTRACTS / "grid-schema-extras.json").read_text())
    return found


def _computed(block: Block, config: dict[str, Any]) -> Iterator[str]:
    """Attributes that a configuration sets although only the grid does; the real provider's SDK refuses them."""
    for name, raw in block.attributes.items():
        if config.get(name) is not None and not raw.get("required") and not raw.get("optional"):
            yield name
    for name, _, nested in block.children():
        items = config.get(name)
        for item in items if isinstance(items, list) else ():
            yield from _computed(nested, item) if isinstance(item, dict) else ()


@dataclass(frozen=True)
class Recorded:
    """What Terraform asked for: the resource's type, its configuration, and the plan that it was answered with."""

    type: str
    config: dict[str, Any]


@dataclass
class SchemaService(Service):
    """The service; `validating` also applies the extras' validators, as the real provider does."""

    _provider: Any = None
    name: str = NEWEST
    validating: bool = True
    recorded: list[Recorded] = field(default_factory=list)
    providers: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._schemas, self._extras = document(self.name), extras()
        self._ids, self._guard = itertools.count(1001), threading.Lock()

    def _block(self, kind: str, name: str) -> Block:
        rules = self._extras.get(name if kind == "resource" else f"data.{name}", {})
        return Block(self._schemas[f"{kind}_schemas" if kind == "resource" else "data_source_schemas"][name]["block"], rules)

    @property
    def _provider_block(self) -> Block:
        return Block(self._schemas["provider"]["block"], self._extras["provider"])

    def get_schema(self, _: Any) -> Any:
        """Every schema of the document."""

        def served(kind: str, names: Any) -> dict[str, Any]:
            return {name: message("Schema", version=0, block=self._block(kind, name).to_message()) for name in names}

        return message(
            "GetSchema",
            provider=message("Schema", version=0, block=self._provider_block.to_message()),
            resource_schemas=served("resource", self._schemas["resource_schemas"]),
            data_source_schemas=served("data", self._schemas["data_source_schemas"]),
            server_capabilities=message("ServerCapabilities", get_provider_schema_optional=True),
        )

    def prepare(self, request: Any) -> Any:
        """The provider block as it is written."""
        config = decode(request.config) or {}
        return message(
            "PrepareResponse", prepared_config=encode(config), diagnostics=self._problems(self._provider_block, config)
        )

    def configure(self, request: Any) -> Any:
        """Remember the provider block; there is nothing to connect to."""
        with self._guard:
            self.providers.append(decode(request.config) or {})
        return message("DiagnosticsResponse")

    def _problems(self, block: Block, config: dict[str, Any]) -> list[Any]:
        texts = [f"{name}: this field cannot be set" for name in _computed(block, config)]
        texts += [problem.text for problem in block.problems(config)] if self.validating else []
        return [message("Diagnostic", severity=1, summary=text) for text in texts]

    def validate(self, request: Any) -> Any:
        """The validators, where they are wanted."""
        return message(
            "DiagnosticsResponse",
            diagnostics=self._problems(self._block("resource", request.type_name), decode(request.config)),
        )

    def plan(self, request: Any) -> Any:
        """Defaults and unknown values, as the real provider's SDK fills them in."""
        proposed, prior = decode(request.proposed_new_state), decode(request.prior_state)
        planned = None if proposed is None else self._block("resource", request.type_name).plan(proposed, prior)
        return message("PlanResponse", planned_state=encode(planned), legacy_type_system=True)

    def read(self, request: Any) -> Any:
        """As it is in the state."""
        return message("ReadResponse", new_state=encode(decode(request.current_state)))

    def apply(self, request: Any) -> Any:
        """Record the configuration, with every value known; answer with made-up values for what the grid computes."""
        planned = decode(request.planned_state)
        if planned is not None:
            with self._guard:
                self.recorded.append(Recorded(request.type_name, decode(request.config)))
                planned = self._known(self._block("resource", request.type_name), planned)
        return message("ApplyResponse", new_state=encode(planned), legacy_type_system=True)

    def validate_data(self, request: Any) -> Any:
        """No data source has validators."""
        return message("DiagnosticsResponse")

    def read_data(self, request: Any) -> Any:
        """Made-up values for what is computed."""
        config = decode(request.config)
        with self._guard:
            self.recorded.append(Recorded(f"data.{request.type_name}", config))
            block = self._block("data", request.type_name)
            return message("ReadDataResponse", state=encode(self._known(block, block.plan(config, None))))

    def _known(self, block: Block, planned: dict[str, Any]) -> dict[str, Any]:
        """The same with a value for each one that is not known, of its type."""
        found = dict(planned)
        for name, raw in block.attributes.items():
            if found.get(name) is UNKNOWN:
                found[name] = self._made_up(name, raw["type"])
        for name, raw, nested in block.children():
            if raw["nesting_mode"] == "list" and isinstance(found.get(name), list):
                found[name] = [self._known(nested, item) for item in found[name]]
        return found

    def _made_up(self, name: str, kind: Any) -> Any:
        words = {
            "id": str(next(self._ids)), "ip": "10.7.3.2", "computedip": "185.206.122.32/24", "computedip6": "2a10:b600::2/64",
            "mycelium_ip": "5e8:946b:3fb0:edb8:ff0f:b60f:2b7e:c39c", "fqdn": "my.gent01.dev.grid.tf",
            "access_wg_config": "\n[Interface]\nAddress = 100.64.1.2\nPrivateKey = a2V5\n[Peer]\n",
        }  # fmt: skip
        if kind == "string":
            return words.get(name, "made-up")
        if isinstance(kind, list) and kind[0] == "map":
            return {"7": next(self._ids) if kind[1] == "number" else "10.7.3.0/24"}
        return {"number": next(self._ids), "bool": False}.get(kind, []) if isinstance(kind, str) else []
