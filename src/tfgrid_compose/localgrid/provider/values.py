"""Terraform values on the wire: msgpack, with unknown values as extension types."""

from __future__ import annotations

import json
from typing import Any

import msgpack

from tfgrid_compose.localgrid.provider.messages import message


class Unknown:
    """A value that Terraform does not know yet; there is one instance, `UNKNOWN`."""

    def __repr__(self) -> str:
        return "(known after apply)"


UNKNOWN = Unknown()


def decode(value: Any) -> Any:
    """A DynamicValue as Python data; every extension type is an unknown value."""
    if value.json:
        return json.loads(value.json)
    if value.msgpack:
        return msgpack.unpackb(value.msgpack, ext_hook=lambda *_: UNKNOWN, strict_map_key=False)
    return None


def encode(data: Any) -> Any:
    """Python data as a DynamicValue."""
    return message("DynamicValue", msgpack=msgpack.packb(data, default=_extension))


def _extension(value: Any) -> msgpack.ExtType:
    if value is UNKNOWN:
        return msgpack.ExtType(0, b"\x00")
    raise TypeError(f"not a Terraform value: {value!r}")


def known(value: Any) -> Any:
    """The value, or None while it is unknown."""
    return None if value is UNKNOWN else value
