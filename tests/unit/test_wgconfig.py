"""WireGuard configurations of a grid: what is taken of them, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tfgrid_compose.drivers.wgconfig import narrowed
from tfgrid_compose.errors import TunnelError
from tfgrid_compose.grids.addresses import access_config

RANGE = "10.7.0.0/16"
KEY = "a" * 43 + "="
WHOLE = access_config(KEY, "10.7.2.0/24", RANGE, KEY, "1.2.3.4:5")
CLEAN = (
    f"[Interface]\nAddress = 100.64.7.2\nPrivateKey = {KEY}\n[Peer]\nPublicKey = {KEY}\n"
    "AllowedIPs = 10.7.0.0/16, 100.64.7.0/24\nPersistentKeepalive = 25\nEndpoint = 1.2.3.4:5\n"
)


def test_only_this_deployments_tunnel_addresses_are_routed() -> None:
    assert narrowed(WHOLE, RANGE) == CLEAN


@pytest.mark.parametrize(
    "line",
    [
        "PostUp = id > /tmp/x", "PreUp=id", "PostDown = id", "PreDown = id", "SaveConfig = true", "Table = off", "FwMark = 7", "DNS = 6.6.6.6",
        "postup = id", "POSTUP = id", "  PostUp  =  id  ", "\tPostUp=id", "PostUp", "= id", "PostUp = id # = x", "Name = x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("after", ["[Interface]", "[Peer]"])
def test_other_keys_are_left_out(line: str, after: str) -> None:
    assert narrowed(WHOLE.replace(f"{after}\n", f"{after}\n{line}\n"), RANGE) == CLEAN


def test_keys_of_sections_that_are_none_are_left_out() -> None:
    assert narrowed(f"PostUp = id\nPrivateKey = x\n[Hooks]\nPostUp = id\nPrivateKey = x\n{WHOLE}", RANGE) == CLEAN
    assert narrowed(WHOLE.replace("[Interface]", "[Interface] # a\r"), RANGE) == CLEAN.replace("[Interface] # a", "[Interface]")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("AllowedIPs", "0.0.0.0/0"), ("AllowedIPs", "10.7.0.0/16, 0.0.0.0/0"), ("AllowedIPs", "::/0"), ("AllowedIPs", "10.8.0.0/16"),
        ("AllowedIPs", "10.0.0.0/8"), ("AllowedIPs", "192.168.1.0/24"), ("AllowedIPs", "x"), ("AllowedIPs", ""),
        ("Address", "192.168.1.1"), ("Address", "100.64.8.2"), ("Address", "100.64.7.2; id"), ("Address", "$(id)"), ("Address", "fe80::1"),
        ("PrivateKey", "$(id)"), ("PrivateKey", "a b"), ("PublicKey", "<(id)"), ("PublicKey", "a\x1b[2J"),
        ("Endpoint", "host.example:5"), ("Endpoint", "1.2.3.4"), ("Endpoint", "1.2.3.4:99999"), ("Endpoint", "1.2.3.4:5 id"), ("Endpoint", "999.1.1.1:5"),
        ("PersistentKeepalive", "-1"), ("PersistentKeepalive", "$(id)"), ("PersistentKeepalive", "²"),
    ],
)  # fmt: skip
def test_values_that_can_not_be_this_deployments_are_refused(key: str, value: str) -> None:
    lines = [f"{key} = {value}" if line.startswith(key) else line for line in WHOLE.splitlines()]
    with pytest.raises(TunnelError) as caught:
        narrowed("\n".join(lines), RANGE)
    assert caught.value.code == "tunnel-config-odd" and key in caught.value.why
    assert "Key" not in key or value not in caught.value.why


@pytest.mark.parametrize("endpoint", ["[2001:db8::1]:51820", "1.2.3.4:51820"])
def test_an_access_point_has_an_address_of_either_kind(endpoint: str) -> None:
    assert f"Endpoint = {endpoint}\n" in narrowed(WHOLE.replace("1.2.3.4:5", endpoint), RANGE)


@given(some.lists(some.sampled_from(
    ["[Interface]", "[Peer]", "[X]", "PostUp = id", "SaveConfig=1", "AllowedIPs = 10.7.1.0/24", "a", "=", "#", "Address = 100.64.7.2", "PrivateKey = x\x0bPostUp = id",
     "PrivateKey = x\x85PostUp = id", "Endpoint = 1.2.3.4:5\u2028PostDown = id", "mtu = 1420", "[Interface]PostUp = id"])))  # fmt: skip
def test_whatever_a_grid_writes_nothing_of_it_is_a_command(lines: list[str]) -> None:
    try:
        found = narrowed("\n".join(lines), RANGE)
    except TunnelError:
        return
    known = ("[Interface]", "[Peer]", "Address = ", "PrivateKey = ", "MTU = ", "AllowedIPs = ", "Endpoint = ")
    assert all(line.startswith(known) and "Post" not in line and "Save" not in line for line in found.splitlines())
