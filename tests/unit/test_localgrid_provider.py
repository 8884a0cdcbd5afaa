"""The provider without Terraform: messages, values, and failures that become diagnostics."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrid_compose.errors import GridError
from tfgrid_compose.localgrid.provider import messages, schema, server
from tfgrid_compose.localgrid.provider.messages import message, parse
from tfgrid_compose.localgrid.provider.values import UNKNOWN, decode, encode, known

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.just(UNKNOWN),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_values_survive_the_wire_unknown_ones_included(value: Any) -> None:
    assert decode(parse("DynamicValue", encode(value).SerializeToString())) == value


def test_every_extension_type_is_an_unknown_value() -> None:
    # Terraform refines unknown values with type 12; they are still unknown.
    packed = msgpack.packb([msgpack.ExtType(0, b"\0"), msgpack.ExtType(12, b"\x81\x01\xc3")])
    assert decode(message("DynamicValue", msgpack=packed)) == [UNKNOWN, UNKNOWN]


def test_values_may_come_as_json_or_not_at_all() -> None:
    assert decode(message("DynamicValue", json=b'{"a": [1, null]}')) == {"a": [1, None]}
    assert decode(message("DynamicValue")) is None


def test_what_is_no_terraform_value_is_refused() -> None:
    with pytest.raises(TypeError, match="not a Terraform value"):
        encode({"a": object()})


def test_known_takes_unknown_for_nothing() -> None:
    assert (known(UNKNOWN), known(0), known(None)) == (None, 0, None)
    assert repr(UNKNOWN) == "(known after apply)"


SAMPLES: dict[str, Any] = {"string": "ü", "bytes": b"\0\xff", "int64": -(2**60), "bool": True, "int32": 7}


def sample(name: str, depth: int = 3) -> Any:
    """A message with every field set."""
    found = {}
    for field, (_, kind) in messages._TABLE[name].items():
        bare = kind.lstrip("*%")
        if bare not in SAMPLES and not depth:
            continue
        value = SAMPLES[bare] if bare in SAMPLES else sample(bare, depth - 1)
        found[field] = [value, value] if kind[0] == "*" else {"key": value} if kind[0] == "%" else value
    return message(name, **found)


@pytest.mark.parametrize("name", sorted(messages._TABLE))
def test_messages_survive_the_wire(name: str) -> None:
    original = sample(name)
    assert parse(name, original.SerializeToString()) == original


# hashicorp/terraform, docs/plugin-protocol/tfplugin5.proto
@pytest.mark.parametrize(
    ("name", "field", "number"),
    [
        ("Diagnostic", "summary", 2), ("Attribute", "sensitive", 7), ("NestedBlock", "max_items", 5),
        ("GetSchema", "server_capabilities", 6), ("ReadRequest", "current_state", 2), ("PlanRequest", "prior_private", 5),
        ("PlanResponse", "legacy_type_system", 5), ("ApplyRequest", "planned_private", 5), ("ApplyResponse", "diagnostics", 3),
    ],
)  # fmt: skip
def test_field_numbers_are_those_of_the_protocol(name: str, field: str, number: int) -> None:
    assert messages._CLASSES[name].DESCRIPTOR.fields_by_name[field].number == number


# The service


class Thing:
    """A resource that fails in a chosen way."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def _act(self, answer: Any = None) -> Any:
        if self.error:
            raise self.error
        return answer

    def validate(self, config: dict[str, Any]) -> None:
        self._act()

    def create(self, planned: dict[str, Any]) -> dict[str, Any]:
        return dict(self._act({**planned, "id": "1"}))

    def read(self, state: dict[str, Any]) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._act()
        return found

    def update(self, state: dict[str, Any], planned: dict[str, Any]) -> dict[str, Any]:
        return dict(self._act(planned))

    def delete(self, state: dict[str, Any]) -> None:
        self._act()


class FakeProvider:
    """Every type is the same thing."""

    def __init__(self, error: Exception | None = None) -> None:
        self.thing, self.configured = Thing(error), None

    def configure(self, config: dict[str, Any]) -> None:
        self.configured = config
        self.thing._act()

    def resource(self, type_name: str) -> Thing:
        return self.thing


def call(name: str, request: Any, error: Exception | None = None) -> Any:
    """The reply of one call."""
    _, _, response = server._CALLS[name]
    return parse(response, server.handler(server.Service(FakeProvider(error)), name)(request.SerializeToString(), None))


REQUESTS: dict[str, Any] = {
    "ValidateResourceTypeConfig": message("ValidateRequest", type_name="grid_network", config=encode({"name": "n"})),
    "Configure": message("ConfigureRequest", config=encode({})),
    "ReadResource": message("ReadRequest", type_name="x", current_state=encode({"id": "1"})),
    "ApplyResourceChange": message("ApplyRequest", type_name="grid_network", prior_state=encode(None), planned_state=encode({})),
}


@pytest.mark.parametrize("name", sorted(REQUESTS))
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (GridError("it broke", why="the grid said so"), "it broke: the grid said so"),
        (ValueError("oops"), "the local grid failed: ValueError: oops"),
        (KeyError("vm"), "the local grid failed: KeyError: 'vm'"),
    ],
)
def test_every_failure_becomes_a_diagnostic(name: str, error: Exception, text: str) -> None:
    (found,) = call(name, REQUESTS[name], error).diagnostics
    assert (found.severity, found.summary) == (1, text)


@pytest.mark.parametrize("name", sorted(set(server._CALLS) - {"GetSchema", "Stop", "ImportResourceState"}))
def test_even_nonsense_on_the_wire_gets_an_answer(name: str) -> None:
    _, _, response = server._CALLS[name]
    reply = parse(response, server.handler(server.Service(FakeProvider()), name)(b"\xff\xff\xff", None))
    assert reply.diagnostics[0].summary.startswith("the local grid failed: DecodeError")


def test_a_failed_update_keeps_the_state_it_had() -> None:
    request = message(
        "ApplyRequest", type_name="grid_network", prior_state=encode({"id": "1"}), planned_state=encode({"id": "2"})
    )
    reply = call("ApplyResourceChange", request, GridError("no"))
    assert decode(reply.new_state) == {"id": "1"}
    assert reply.legacy_type_system


def test_apply_creates_updates_and_deletes() -> None:
    def apply(prior: Any, planned: Any) -> Any:
        request = message("ApplyRequest", type_name="grid_network", prior_state=encode(prior), planned_state=encode(planned))
        return decode(call("ApplyResourceChange", request).new_state)

    assert apply(None, {"a": 1}) == {"a": 1, "id": "1"}
    assert apply({"a": 1}, {"a": 2}) == {"a": 2}
    assert apply({"a": 1}, None) is None


def test_states_of_the_same_version_pass_unchanged() -> None:
    reply = call("UpgradeResourceState", message("UpgradeRequest", raw_state=message("RawState", json=b'{"id": "1"}')))
    assert decode(reply.upgraded_state) == {"id": "1"}


def test_the_provider_blocks_defaults_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNEMONIC", "from the environment")
    monkeypatch.delenv("NETWORK", raising=False)
    given_ = dict.fromkeys(schema.provider_block().attributes)
    reply = call("PrepareProviderConfig", message("PrepareRequest", config=encode(given_)))
    found = decode(reply.prepared_config)
    assert (found["mnemonic"], found["network"], found["key_type"], found["rmb_timeout"]) == (
        "from the environment", "dev", "sr25519", 10,
    )  # fmt: skip
    reply = call("PrepareProviderConfig", message("PrepareRequest", config=encode({**given_, "network": "main"})))
    assert decode(reply.prepared_config)["network"] == "main", "what is written wins"


def test_stopping_is_answered() -> None:
    assert call("Stop", message("Empty")).error == ""


# Planned values


def test_a_planned_value_is_kept_from_before_unknown_when_new_and_null_when_nobody_says() -> None:
    block = schema.resource_block("grid_network")
    new = block.plan({"name": "n", "nodes": [1], "ip_range": "10.1.0.0/16"}, None)
    assert new["id"] is UNKNOWN and new["solution_type"] == "Network" and new["mycelium_keys"] is None
    old = block.plan({"name": "n", "nodes": [1], "ip_range": "10.1.0.0/16"}, {"id": "7", "external_sk": "k"})
    assert (old["id"], old["external_sk"]) == ("7", "k")


def test_blocks_of_a_dynamic_that_are_unknown_stay_unknown() -> None:
    planned = schema.resource_block("grid_deployment").plan({"node": 1, "vms": UNKNOWN, "disks": []}, None)
    assert planned["vms"] is UNKNOWN
    assert planned["disks"] == []


def test_unknown_and_absent_values_pass_every_validator() -> None:
    block = schema.resource_block("grid_deployment")
    vm = {"name": UNKNOWN, "cpu": UNKNOWN, "gpus": [UNKNOWN], "memory": None}
    assert list(block.problems({"name": UNKNOWN, "vms": [vm], "disks": UNKNOWN})) == []


def test_the_schema_names_only_known_nestings_and_types() -> None:
    for name in schema.RESOURCES:
        text = json.dumps(schema.resource_block(name).raw)
        assert '"nesting_mode": "set"' not in text


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("proxy_url", "http://127.0.0.1:8080", 'to have a url with schema of: "https", got http://127.0.0.1:8080'),
        ("substrate_url", "ws://tfchain.grid.tf/ws", 'to have a url with schema of: "wss"'),
        ("relay_url", "wss://", "to have a host, got wss://"),
        ("network", "mainnet", "to be one of"),
    ],
)
def test_urls_of_the_provider_block_are_refused_as_the_real_provider_refuses_them(key: str, value: str, said: str) -> None:
    (problem,) = schema.provider_block().problems({key: value})
    assert problem.path == (key,) and said in problem.text
    good = {
        "proxy_url": "https://gridproxy.grid.tf",
        "substrate_url": "wss://tfchain.grid.tf/ws",
        "relay_url": "wss://relay.grid.tf",
    }
    assert list(schema.provider_block().problems(good)) == []
