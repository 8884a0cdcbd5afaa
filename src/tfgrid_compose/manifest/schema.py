"""The JSON Schema of the manifest, for editors."""

from __future__ import annotations

from typing import Any

from tfgrid_compose.manifest.model import DECORATIVE, NETWORK_KINDS, Manifest


def json_schema() -> dict[str, Any]:
    """Schema of `tfgrid-compose.yaml` in all its accepted shapes.

    Written for reading by people who complete in an editor: unknown keys are allowed only with
    the prefix `x-`, as `--strict` has it.
    """
    schema = Manifest.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "tfgrid-compose manifest"
    for model in [schema, *schema["$defs"].values()]:
        if model.get("type") == "object" and "properties" in model:
            model["additionalProperties"] = False
            model["patternProperties"] = {"^x-": {}}
    schema["properties"] |= {name: {"description": "For readers; has no effect."} for name in DECORATIVE}
    _allow_shapes(schema)
    return schema


def _allow_shapes(schema: dict[str, Any]) -> None:
    """Shapes that the loader turns into the model's: scalars, comma strings, short ports."""
    definitions = schema["$defs"]
    size = {"type": ["integer", "string"]}
    for role in ("Resources", "RoleResources"):
        for key, reference in (("cpu", "CpuRange"), ("memory", "MemoryRange"), ("disk", "DiskRange")):
            entry = definitions[role]["properties"][key]
            entry["anyOf"] = [{"$ref": f"#/$defs/{reference}"}, size, {"type": "null"}]
    ports = definitions["Resources"]["properties"]["ports"]
    ports["items"] = {"anyOf": [{"$ref": "#/$defs/Port"}, {"type": ["integer", "string"]}, {"type": "object"}]}
    kinds = {"type": "array", "items": {"enum": list(NETWORK_KINDS)}}
    for key in ("provision", "prefer"):
        definitions["Network"]["properties"][key]["anyOf"] = [kinds, {"type": "string"}, {"type": "null"}]
    definitions["Network"]["properties"]["public_ipv4"]["anyOf"] = [{"type": ["boolean", "string", "integer", "null"]}]
    schema["properties"]["environment"] = {
        "description": schema["properties"]["environment"]["description"],
        "anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Variable"}}, {"type": "object"}],
    }
    for model, key in (("Variable", "default"), ("Manifest", "version")):
        holder = schema if model == "Manifest" else definitions[model]
        holder["properties"][key] = {
            "description": holder["properties"][key]["description"], "type": ["string", "number", "boolean", "null"],
        }  # fmt: skip
    definitions["Variable"]["properties"]["options"]["items"] = {"type": ["string", "number"]}
