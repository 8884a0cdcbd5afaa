"""What Terraform gives back is checked where it enters."""

from __future__ import annotations

from typing import Any

import pytest

from tfgrid_compose.deploy.outputs import parse_outputs
from tfgrid_compose.errors import PatternError
from tfgrid_compose.patterns.load import load

PATTERN = load("single-vm").pattern
EVIL = "{{ lookup('pipe', 'id > /tmp/x') }}"


def outputs(**machine: Any) -> dict[str, Any]:
    """The outputs of single-vm, with something else in its machine."""
    vm = {
        "name": "vm", "role": "vm", "node": 7, "contract": "1002", "private_ip": "10.5.3.2", "wireguard_ip": "10.5.3.2",
        "mycelium_ip": "5FF:0::7", "ipv4_address": "", "ipv6_address": None, **machine,
    }  # fmt: skip
    return {
        "machines": [vm], "wg_config": None, "contracts": {"vm": [1002], "network": ["1001"]}, "primary_ip": "10.5.3.2",
        "primary_ip_type": "wireguard", "deployment_name": "vm_1", "node_ids": [7],
    }  # fmt: skip


def test_addresses_ids_and_names_come_in_one_form() -> None:
    found = parse_outputs(PATTERN, outputs())
    assert found["machines"] == [
        {"name": "vm", "role": "vm", "node": 7, "contract": "1002", "private_ip": "10.5.3.2", "wireguard_ip": "10.5.3.2",
         "mycelium_ip": "5ff::7", "ipv4_address": "", "ipv6_address": ""}
    ]  # fmt: skip
    assert found["contracts"] == {"vm": [1002], "network": [1001]}
    assert found["wg_config"] == ""


@pytest.mark.parametrize("field", ["private_ip", "wireguard_ip", "mycelium_ip", "ipv4_address", "ipv6_address"])
@pytest.mark.parametrize(
    "value",
    [EVIL, "fe80::1%" + EVIL, "10.5.3.2 -oProxyCommand=id", "-oProxyCommand=id", "vm.example", "10.5.3.2/24", 7, ["::1"], True],
)
def test_what_is_not_an_address_goes_nowhere(field: str, value: Any) -> None:
    with pytest.raises(PatternError, match="can't use") as caught:
        parse_outputs(PATTERN, outputs(**{field: value}))
    assert caught.value.code == "output-missing"
    assert "is not an address" in caught.value.why


@pytest.mark.parametrize(
    ("field", "value"), [("mycelium_ip", "10.5.3.2"), ("wireguard_ip", "5ff::7"), ("ipv4_address", "5ff::7")]
)
def test_an_address_of_another_kind_is_refused(field: str, value: str) -> None:
    with pytest.raises(PatternError):
        parse_outputs(PATTERN, outputs(**{field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../../x"), ("name", EVIL), ("name", "a b"), ("name", "-v"), ("name", ""), ("name", 7), ("name", "a\nb"), ("name", "x" * 64),
        ("role", "other"), ("role", EVIL), ("node", "7; id"), ("node", None), ("node", True), ("node", -1), ("node", 1.5),
        ("contract", EVIL), ("contract", ""), ("contract", None), ("contract", [1]), ("contract", "\u0663"),
    ],
)  # fmt: skip
def test_names_roles_and_numbers_are_what_they_are_called(field: str, value: Any) -> None:
    with pytest.raises(PatternError, match="can't use"):
        parse_outputs(PATTERN, outputs(**{field: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("primary_ip", EVIL), ("primary_ip_type", EVIL), ("deployment_name", "a\nprimary_ip: 6.6.6.6"), ("node_ids", [EVIL]),
        ("wg_config", 7), ("contracts", {"vm": [EVIL]}), ("contracts", [1]), ("machines", [{}]), ("machines", "vm"),
    ],
)  # fmt: skip
def test_the_other_outputs_are_checked_too(name: str, value: Any) -> None:
    with pytest.raises(PatternError, match="can't use"):
        parse_outputs(PATTERN, {**outputs(), name: value})


def test_two_machines_of_one_name_are_refused() -> None:
    given = outputs()
    with pytest.raises(PatternError, match="can't use"):
        parse_outputs(PATTERN, {**given, "machines": given["machines"] * 2})
