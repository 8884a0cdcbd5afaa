"""The WireGuard configuration that a grid gives, in our words: known keys with values that can only be what they are.

`wg-quick` runs `PostUp` and its like as root, and routes whatever `AllowedIPs` says, so nothing is passed on unread.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable

from tfgrid_compose.errors import TunnelError
from tfgrid_compose.grids.addresses import WIREGUARD_SUPERNET

_KEY = re.compile(r"[A-Za-z0-9+/_-]{1,64}={0,2}")
_HOST = re.compile(r"\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<four>[0-9.]+)")


def narrowed(config: str, ip_range: str) -> str:
    """The configuration with known keys only, and only this deployment's ranges routed. Raises `TunnelError`.

    The grid writes AllowedIPs 100.64.0.0/16 into every configuration, so that two tunnels would
    fight for it; the tunnel addresses of 10.A.0.0/16 are all in 100.64.A.0/24.
    """
    own = f"100.64.{ip_range.split('.')[1]}.0/24"
    ranges = [ipaddress.ip_network(ip_range), ipaddress.ip_network(own)]
    section, lines = "", []
    for raw in config.splitlines():
        line = raw.partition("#")[0].strip()
        if line.startswith("["):
            section = line
            lines += [line] if line in _KNOWN else []
            continue
        key, _, value = (part.strip() for part in line.partition("="))
        read = _KNOWN.get(section, {}).get(key.lower())
        if read is None:
            continue
        name, check = read
        found = check(value.replace(WIREGUARD_SUPERNET, own), ranges)
        if not found:
            raise _refused(name, value)
        lines.append(f"{name} = {found}")
    return "".join(f"{line}\n" for line in lines)


_Networks = list[ipaddress.IPv4Network | ipaddress.IPv6Network]
_Check = Callable[[str, _Networks], str]


def _key(value: str, ranges: _Networks) -> str:
    return value if _KEY.fullmatch(value) else ""


def _number(value: str, ranges: _Networks) -> str:
    return str(int(value)) if re.fullmatch(r"[0-9]{1,5}", value) and int(value) < 65536 else ""


def _inside(value: str, ranges: _Networks) -> str:
    """Networks, each of them within one that belongs to the deployment; routes to any others would be taken from the user."""
    try:
        found = [ipaddress.ip_network(part.strip(), strict=False) for part in value.split(",")]
    except ValueError:
        return ""
    return ", ".join(str(item) for item in found) if all(_within(item, ranges) for item in found) else ""


def _within(network: ipaddress.IPv4Network | ipaddress.IPv6Network, ranges: Iterable[object]) -> bool:
    fours = [item for item in ranges if isinstance(item, ipaddress.IPv4Network)]
    return isinstance(network, ipaddress.IPv4Network) and any(network.subnet_of(item) for item in fours)


def _address(value: str, ranges: _Networks) -> str:
    """The tunnel's own address, as it was written."""
    return value if _inside(value, ranges) and "," not in value else ""


def _endpoint(value: str, ranges: _Networks) -> str:
    host, _, port = value.rpartition(":")
    found = _HOST.fullmatch(host)
    if not found or not _number(port, ranges):
        return ""
    try:
        ipaddress.ip_address(found["six"] or found["four"])
    except ValueError:
        return ""
    return value


_KNOWN: dict[str, dict[str, tuple[str, _Check]]] = {
    "[Interface]": {
        "address": ("Address", _address), "privatekey": ("PrivateKey", _key), "listenport": ("ListenPort", _number),
        "mtu": ("MTU", _number),
    },
    "[Peer]": {
        "publickey": ("PublicKey", _key), "presharedkey": ("PresharedKey", _key), "allowedips": ("AllowedIPs", _inside),
        "persistentkeepalive": ("PersistentKeepalive", _number), "endpoint": ("Endpoint", _endpoint),
    },
}  # fmt: skip


def _refused(key: str, value: str) -> TunnelError:
    shown = "" if "Key" in key else f" {value[:80]!r}"
    return TunnelError(
        "the grid gave a WireGuard configuration that can't be used",
        why=f"its {key}{shown} is not what belongs to this deployment",
        fix="choose another node with --node, so that the access point is another one",
        code="tunnel-config-odd",
    )
