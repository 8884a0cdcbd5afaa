"""Bringing a tunnel up on this computer."""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_WIREGUARD = ("wireguard",)

ROWS = (
    Failure(
        code="tun-missing",
        patterns=("/dev/net/tun", "CreateTUN"),
        reason="this computer has no tun device, which WireGuard needs where the kernel has none",
        fix="sudo modprobe tun",
        about=(
            "Without the kernel's own WireGuard a program does its work, through /dev/net/tun. In a container the device "
            "has to be passed in from outside. `ls -l /dev/net/tun` shows whether it is there."
        ),
        scope=("wireguard", "host"),
    ),
    Failure(
        code="route-conflict",
        patterns=("RTNETLINK answers: File exists", "collides with a route of this computer"),
        reason="another interface of this computer already has a route for the tunnel's range",
        fix="`ip route` shows it; take that interface down, then run `tfgrid-compose up {name}`",
        about=(
            "Two routes for the same range can't both win. Another VPN, a container network or an older tunnel has it. "
            "`sudo ip link del INTERFACE` takes one down."
        ),
        scope=_WIREGUARD,
    ),
    Failure(
        code="interface-taken",
        patterns=("wg-quick: `… already exists", "' already exists"),
        reason="an interface of the tunnel's name exists already",
        fix="remove the interface that the message names with `sudo ip link del`, then run `tfgrid-compose up {name}`",
        about=(
            "A tunnel that was not taken down, or one that another program made, has the name. `sudo wg show` lists all of them."
        ),
        scope=_WIREGUARD,
    ),
    Failure(
        code="wireguard-port-taken",
        patterns=("Address already in use",),
        reason="the UDP port of the tunnel is used by another program",
        fix="tfgrid-compose up {name}",
        about="Another WireGuard interface or program listens on that port; `sudo ss -ulpn` names it.",
        scope=_WIREGUARD,
    ),
    Failure(
        code="wireguard-config",
        patterns=(
            "Line unrecognized",
            "Configuration parsing error",
            "Key is not the correct length or format",
            "Unable to parse IP address",
            "Unable to find port of endpoint",
        ),
        reason="the WireGuard configuration that the grid gave can't be used",
        fix="run `tfgrid-compose down {name}`, then `tfgrid-compose up`",
        about="The configuration comes from the network on the grid. When it is damaged, the network has to be made anew.",
        scope=_WIREGUARD,
    ),
    Failure(
        code="resolvconf-missing",
        patterns=("resolvconf: command not found",),
        reason="the tunnel sets a DNS server, and this computer has no resolvconf",
        fix="sudo apt-get install openresolv",
        about=(
            "wg-quick passes DNS settings on to resolvconf. Configurations of the grid have none, so the line comes from "
            "elsewhere."
        ),
        scope=_WIREGUARD,
    ),
    Failure(
        code="wireguard-rights",
        patterns=("Operation not permitted", "must be run as root"),
        reason="this user, or this container, may not make network interfaces",
        fix="run the command as root, or with sudo",
        about="Interfaces belong to the system, so root makes them. A container needs the capability NET_ADMIN besides.",
        scope=_WIREGUARD,
    ),
    Failure(
        code="wireguard-missing",
        patterns=("wireguard-go: command not found", "failed to execute wireguard-go", "neither the kernel's WireGuard nor"),
        reason="this computer has no WireGuard: neither in its kernel nor as a program",
        fix="tfgrid-compose doctor --fix",
        about=(
            "Kernels since 5.6 have WireGuard as a module; containers and some rented machines don't offer it. The "
            "program wireguard-go does the same work without the kernel, a little slower."
        ),
        scope=("wireguard", "host"),
    ),
    Failure(
        code="wireguard-ended",
        patterns=(
            "Falling back to slow userspace",
            "Missing WireGuard kernel module",
            "Unable to access interface",
            "Unable to modify interface",
            "wireguard-go ended",
            "wireguard-go made no interface",
        ),
        reason="wireguard-go, which stands in for the kernel's WireGuard, ended at once",
        fix="tfgrid-compose up {name}",
        about=(
            "It was started twice. `sudo wireguard-go --foreground wg-test` shows what it says; `tfgrid-compose doctor` "
            "looks at limits of this computer that it may have met."
        ),
        scope=("wireguard", "host"),
    ),
)
