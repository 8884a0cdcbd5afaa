"""The JSON Schema of the manifest, for editors."""

from __future__ import annotations

from typing import Any

from tfgrid_compose.manifest.model import DECORATIVE, Manifest

_NULL = {"type": "null"}


def json_schema() -> dict[str, Any]:
    """Schema of `tfgrid-compose.yaml` in all its accepted shapes.

    Written for reading by people who complete in an editor: unknown keys are allowed only with
    the prefix `x-`, as `--strict` has it.
    """
    schema = Manifest.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "tfgrid-compose manifest"
    _allow_shapes(schema)
    for model in [schema, *schema["$defs"].values()]:
        if model.get("type") == "object" and "properties" in model:
            model["additionalProperties"] = False
            model["patternProperties"] = {"^x-": {}}
            for key, entry in model["properties"].items():
                model["properties"][key] = _complete(entry, schema["$defs"], key in model.get("required", []))
    schema["properties"] |= {name: {"description": "For readers; has no effect."} for name in DECORATIVE}
    return schema


def _complete(entry: dict[str, Any], definitions: dict[str, Any], required: bool) -> dict[str, Any]:
    """A property with its description, and empty where its key may be left out."""
    # pydantic leaves a description out where that of the model behind the reference says the same.
    target = definitions.get(entry.get("$ref", "").rsplit("/")[-1], {})
    about: dict[str, Any] = {key: entry[key] for key in ("description", "default", "title") if key in entry}
    about.setdefault("description", target.get("description", ""))
    shape = {key: value for key, value in entry.items() if key not in about}
    if not required and _NULL not in shape.get("anyOf", []):
        shape = {"anyOf": [*shape["anyOf"], _NULL] if set(shape) == {"anyOf"} else [shape, _NULL]}
    return {**about, **shape}


def _allow_shapes(schema: dict[str, Any]) -> None:
    """Shapes that the loader turns into a model's: a plain number for a range, short ports, variables as a mapping."""
    definitions = schema["$defs"]
    for role in ("Resources", "RoleResources"):
        for key, name in (("cpu", "CpuRange"), ("memory", "MemoryRange"), ("disk", "DiskRange")):
            definitions[role]["properties"][key]["anyOf"] += definitions[name]["properties"]["min"]["anyOf"][:1]
    short_port = {
        "type": "object", "maxProperties": 1, "minProperties": 1, "additionalProperties": False,
        "patternProperties": {r"^\d{1,5}(/(tcp|udp))?$": {"type": ["string", "integer", "null"]}},
    }  # fmt: skip
    ports = definitions["Resources"]["properties"]["ports"]
    ports["items"] = {"anyOf": [{"$ref": "#/$defs/Port"}, {"type": ["integer", "string"]}, short_port]}
    environment = schema["properties"]["environment"]
    environment["anyOf"] = [{"type": environment.pop("type"), "items": environment.pop("items")}, {"type": "object"}]
    schema["properties"]["domain"]["anyOf"].insert(0, {"type": "string"})
    # Everything but keys with values is ignored there.
    schema["properties"]["logging"]["anyOf"] = [{"$ref": "#/$defs/Logging"}, {"not": {"type": "object"}}]
