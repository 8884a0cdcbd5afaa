"""The messages of Terraform's plugin protocol 5 that a provider needs.

Field numbers are those of hashicorp/terraform `docs/plugin-protocol/tfplugin5.proto`. Types are
built at import from the table below, so no generated code has to match a protobuf release.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "tfplugin5"
_SCALARS = {"string": 9, "bytes": 12, "int64": 3, "bool": 8, "int32": 5}

# message -> {field: (number, type)}; `*` repeats, `%` is a map from string, dots nest.
_TABLE: dict[str, dict[str, tuple[int, str]]] = {
    "DynamicValue": {"msgpack": (1, "bytes"), "json": (2, "bytes")},
    "Step": {"attribute_name": (1, "string"), "element_key_string": (2, "string"), "element_key_int": (3, "int64")},
    "AttributePath": {"steps": (1, "*Step")},
    "Diagnostic": {
        "severity": (1, "int32"), "summary": (2, "string"), "detail": (3, "string"), "attribute": (4, "AttributePath"),
    },
    "RawState": {"json": (1, "bytes")},
    "Attribute": {
        "name": (1, "string"), "type": (2, "bytes"), "description": (3, "string"), "required": (4, "bool"),
        "optional": (5, "bool"), "computed": (6, "bool"), "sensitive": (7, "bool"),
    },
    "NestedBlock": {
        "type_name": (1, "string"), "block": (2, "Block"), "nesting": (3, "int32"), "min_items": (4, "int64"),
        "max_items": (5, "int64"),
    },
    "Block": {"version": (1, "int64"), "attributes": (2, "*Attribute"), "block_types": (3, "*NestedBlock"),
              "description": (4, "string")},
    "Schema": {"version": (1, "int64"), "block": (2, "Block")},
    "ServerCapabilities": {"plan_destroy": (1, "bool"), "get_provider_schema_optional": (2, "bool")},
    "Empty": {},
    "GetSchema": {
        "provider": (1, "Schema"), "resource_schemas": (2, "%Schema"), "data_source_schemas": (3, "%Schema"),
        "diagnostics": (4, "*Diagnostic"), "server_capabilities": (6, "ServerCapabilities"),
    },
    "PrepareRequest": {"config": (1, "DynamicValue")},
    "PrepareResponse": {"prepared_config": (1, "DynamicValue"), "diagnostics": (2, "*Diagnostic")},
    "ValidateRequest": {"type_name": (1, "string"), "config": (2, "DynamicValue")},
    "DiagnosticsResponse": {"diagnostics": (1, "*Diagnostic")},
    "UpgradeRequest": {"type_name": (1, "string"), "version": (2, "int64"), "raw_state": (3, "RawState")},
    "UpgradeResponse": {"upgraded_state": (1, "DynamicValue"), "diagnostics": (2, "*Diagnostic")},
    "ConfigureRequest": {"terraform_version": (1, "string"), "config": (2, "DynamicValue")},
    "ReadRequest": {"type_name": (1, "string"), "current_state": (2, "DynamicValue"), "private": (3, "bytes")},
    "ReadResponse": {"new_state": (1, "DynamicValue"), "diagnostics": (2, "*Diagnostic"), "private": (3, "bytes")},
    "PlanRequest": {
        "type_name": (1, "string"), "prior_state": (2, "DynamicValue"), "proposed_new_state": (3, "DynamicValue"),
        "config": (4, "DynamicValue"), "prior_private": (5, "bytes"),
    },
    "PlanResponse": {
        "planned_state": (1, "DynamicValue"), "requires_replace": (2, "*AttributePath"),
        "planned_private": (3, "bytes"), "diagnostics": (4, "*Diagnostic"), "legacy_type_system": (5, "bool"),
    },
    "ApplyRequest": {
        "type_name": (1, "string"), "prior_state": (2, "DynamicValue"), "planned_state": (3, "DynamicValue"),
        "config": (4, "DynamicValue"), "planned_private": (5, "bytes"),
    },
    "ApplyResponse": {
        "new_state": (1, "DynamicValue"), "private": (2, "bytes"), "diagnostics": (3, "*Diagnostic"),
        "legacy_type_system": (4, "bool"),
    },
    "ReadDataRequest": {"type_name": (1, "string"), "config": (2, "DynamicValue")},
    "ReadDataResponse": {"state": (1, "DynamicValue"), "diagnostics": (2, "*Diagnostic")},
    "ImportRequest": {"type_name": (1, "string"), "id": (2, "string")},
    "ImportResponse": {"diagnostics": (2, "*Diagnostic")},
    "StopResponse": {"error": (1, "string")},
}  # fmt: skip


def _build() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="tfplugin5.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _TABLE.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, name, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _TABLE}


def _add_field(message: Any, owner: str, field: str, number: int, kind: str) -> None:
    entry = message.field.add(name=field, number=number, label=1)
    if kind[0] == "%":
        nested = message.nested_type.add(name="".join(part.title() for part in field.split("_")) + "Entry")
        nested.options.map_entry = True
        nested.field.add(name="key", number=1, label=1, type=9)
        nested.field.add(name="value", number=2, label=1, type=11, type_name=f".{_PACKAGE}.{kind[1:]}")
        entry.label, entry.type, entry.type_name = 3, 11, f".{_PACKAGE}.{owner}.{nested.name}"
        return
    if kind[0] == "*":
        entry.label, kind = 3, kind[1:]
    if kind in _SCALARS:
        entry.type = _SCALARS[kind]
    else:
        entry.type, entry.type_name = 11, f".{_PACKAGE}.{kind}"


_CLASSES = _build()


def message(name: str, /, **fields: Any) -> Any:
    """A new message of the table's type `name`."""
    return _CLASSES[name](**fields)


def parse(name: str, data: bytes) -> Any:
    """Decode bytes as the table's type `name`."""
    return _CLASSES[name].FromString(data)
