"""Limits of a kernel that all programs share, and on this computer all machines of the local grid.

Before the rows of system.py: their words are often those of a full disk or of a program's own limit.
"""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_HERE = ("host", "wireguard")
_MACHINE = ("machine",)
_RAISE = "tfgrid-compose localgrid up"
_SHARED = (
    "All machines of the local grid share this limit of the computer. `localgrid up` raises it while the grid is up, if it may; "
    "`doctor` shows it. "
)
_INOTIFY = (
    "uapi socket: too many open files",
    "inotify_init… too many open files",
    "inotify_add_watch… No space left on device",
    "inotify watch limit reached",
    "Failed to allocate manager object: Too many open files",
    "limit on inotify watches was reached",
    "inotify resources exhausted",
    "inotify instances are in use",
    "System limit for number of file watchers reached",
)
_KEYS = ("session key… quota exceeded", "keyring… quota exceeded", "keyctl… quota exceeded", "add_key… quota exceeded")
_PTYS = (
    "out of pty devices",
    "PTY allocation request failed",
    "openpty… No space left on device",
    "pty… No space left on device",
)

ROWS = (
    Failure(
        code="inotify-limit",
        patterns=_INOTIFY,
        reason="no inotify instance or watch is left on this computer",
        fix=_RAISE,
        about=_SHARED + "Each machine needs 4 or 5 instances, each tunnel in user space one. By hand: `sudo sysctl -w "
        "fs.inotify.max_user_instances=8192`.",
        scope=_HERE,
    ),
    Failure(
        code="machine-inotify-limit",
        patterns=_INOTIFY,
        reason="no inotify instance or watch is left on the machine",
        fix="raise fs.inotify.max_user_instances with sysctl in the hook",
        about=(
            "Programs that watch files, such as build tools and containers, need instances and watches. On the local grid "
            "the limit is that of the computer: `doctor` shows it."
        ),
        scope=_MACHINE,
    ),
    Failure(
        code="key-limit",
        patterns=_KEYS,
        reason="no room is left for keys in the kernel; it is no disk that is full",
        fix=_RAISE,
        about=_SHARED + "They are kernel.keys.maxkeys and maxbytes. Every container and every login makes a "
        "keyring, and users of machines have the same numbers. "
        "On a machine of the grid raise kernel.keys.maxkeys with sysctl in the hook.",
        scope=("host", "machine"),
    ),
    Failure(
        code="file-limit",
        patterns=("Too many open files in system",),
        reason="the kernel has no room left for open files (fs.file-max)",
        fix=_RAISE,
        about=_SHARED + "On a machine of the grid raise fs.file-max with sysctl in the hook.",
        scope=("host", "wireguard", "machine"),
    ),
    Failure(
        code="loop-devices",
        patterns=(
            "find a free loop device",
            "find any free loop device",
            "failed to setup loop device",
            "find an unused loop device",
        ),
        reason="this computer has no loop device left, and a disk of a local machine needs one",
        fix="sudo modprobe loop max_loop=256",
        about=(
            "Each disk of a machine of the local grid is a file behind a loop device. Where there is /dev/loop-control the "
            "kernel makes as many as are needed; in a container the devices have to be passed in from outside."
        ),
        scope=("host",),
    ),
    Failure(
        code="terminal-limit",
        patterns=_PTYS,
        reason="no terminal is left (kernel.pty.max); it is no disk that is full",
        fix=_RAISE,
        about=_SHARED + "Programs that leave terminals open use them up: `sysctl kernel.pty.nr` counts them.",
        scope=("host", "machine"),
    ),
    Failure(
        code="connection-limit",
        patterns=("nf_conntrack: table full",),
        reason="the kernel tracks as many connections as it may, and drops new ones",
        fix=_RAISE,
        about=_SHARED + "It is net.netfilter.nf_conntrack_max; `sysctl net.netfilter.nf_conntrack_count` counts them.",
        scope=("host", "wireguard", "machine"),
    ),
)
