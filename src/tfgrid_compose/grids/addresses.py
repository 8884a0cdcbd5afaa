"""The grid's address plan: subnets, WireGuard and mycelium addresses.

Source: threefoldtech/tfgrid-sdk-go (address plan of a network) and threefoldtech/mycelium
(`crates` key to address), summed up in the facts under "WireGuard, addresses, mycelium".
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterable, Sequence

WIREGUARD_SUPERNET = "100.64.0.0/16"
_FIRST_SUBNET = 2
_LAST_SUBNET = 254


class AddressError(ValueError):
    """A range, key or seed is not of the grid's form; the text is the real provider's."""


def check_network_range(value: str) -> ipaddress.IPv4Network:
    """Return `value` as a network, which must be exactly a /16 (10.1.0.0/16).

    Raises `AddressError` in the words of the real provider's validator.
    """
    try:
        network = ipaddress.IPv4Network(value, strict=False)
        given = value.split("/")[0]
    except ValueError as error:
        raise AddressError(f'expected "ip_range" to contain a valid Value, got: {value} with err: {error}') from error
    if str(network.network_address) != given or "/" not in value:
        raise AddressError(f'expected "ip_range" to contain a valid network Value, expected {network}, got {value}')
    if network.prefixlen != 16:
        raise AddressError(
            f'expected "ip_range" to contain a network Value with between 16 and 16 significant bits, got: {network.prefixlen}'
        )
    return network


def plan_subnets(
    ip_range: str, nodes: Sequence[int], taken: dict[int, str], user: bool, user_subnet: str | None = None
) -> tuple[dict[int, str], str | None]:
    """Give every node its /24 and, with WireGuard access, the user one too.

    The user gets the first free subnet (third octet from 2 on), nodes the next in their order;
    subnets already `taken` stay. Returns ({node: subnet}, the user's subnet or None).
    Raises `AddressError` when the /16 is full.
    """
    network = check_network_range(ip_range)
    base = str(network.network_address).rsplit(".", 2)[0]
    used = {int(subnet.split(".")[2]) for subnet in taken.values()}
    if user_subnet:
        used.add(int(user_subnet.split(".")[2]))

    def next_free() -> str:
        for octet in range(_FIRST_SUBNET, _LAST_SUBNET + 1):
            if octet not in used:
                used.add(octet)
                return f"{base}.{octet}.0/24"
        raise AddressError("could not find a free ip to add node")

    mine = (user_subnet or next_free()) if user else None
    return {node: taken.get(node) or next_free() for node in nodes}, mine


def wireguard_address(subnet: str) -> str:
    """The tunnel address of whoever owns `subnet`: 10.1.2.0/24 -> 100.64.1.2."""
    _, second, third, _ = subnet.split("/")[0].split(".")
    return f"100.64.{second}.{third}"


def access_config(private_key: str, subnet: str, ip_range: str, peer_key: str, endpoint: str) -> str:
    """The user's WireGuard configuration, byte for byte as the real provider writes it."""
    return (
        "\n[Interface]\n"
        f"Address = {wireguard_address(subnet)}\n"
        f"PrivateKey = {private_key}\n"
        "[Peer]\n"
        f"PublicKey = {peer_key}\n"
        f"AllowedIPs = {ip_range}, {WIREGUARD_SUPERNET}\n"
        "PersistentKeepalive = 25\n"
        f"Endpoint = {endpoint}\n"
        "\t"
    )


def mycelium_subnet(key_hex: str) -> bytes:
    """The first 8 bytes of every mycelium address behind a 32-byte hex key."""
    from blake3 import blake3
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    try:
        key = bytes.fromhex(key_hex)
    except ValueError as error:
        raise AddressError(f"failed to decode mycelium key: {error}") from error
    if len(key) != 32:
        raise AddressError(f"invalid mycelium key length {len(key)} must be 32 or empty")
    public = X25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw()
    digest = bytearray(blake3(public).digest()[:16])
    digest[0] = 0x04 | (digest[0].bit_count() % 2)
    return bytes(digest[:8])


def mycelium_network(key_hex: str) -> str:
    """The /64 behind a network's mycelium key on one node."""
    return f"{ipaddress.IPv6Address(mycelium_subnet(key_hex) + bytes(8))}/64"


def machine_mycelium(network: str, seed_hex: str) -> str:
    """The address of a machine with `seed_hex` (6 bytes) in a mycelium /64."""
    try:
        seed = bytes.fromhex(seed_hex)
    except ValueError as error:
        raise AddressError(f"failed to decode mycelium ip seed: {error}") from error
    if len(seed) != 6:
        raise AddressError("invalid mycelium ip seed length")
    if seed in (b"\x00" * 6, b"\xff" * 6):
        raise AddressError("invalid seed")
    prefix = ipaddress.IPv6Network(network).network_address.packed[:8]
    return str(ipaddress.IPv6Address(prefix + b"\xff\x0f" + seed))


def choose_range(host_routes: Iterable[str], start: int | None = None) -> str:
    """A 10.x.0.0/16 that no route of the host and no other deployment overlaps.

    `start` (1 to 230) makes the choice repeatable. Raises `AddressError` when all are taken.
    """
    taken = [ipaddress.ip_network(route, strict=False) for route in host_routes]
    taken4 = [net for net in taken if net.version == 4 and net.prefixlen > 0]
    first = start if start is not None else secrets.randbelow(229) + 1
    for offset in range(230):
        candidate = ipaddress.ip_network(f"10.{(first - 1 + offset) % 230 + 1}.0.0/16")
        if not any(candidate.overlaps(net) for net in taken4):
            return str(candidate)
    raise AddressError("every 10.x.0.0/16 is taken by a route of this computer")
