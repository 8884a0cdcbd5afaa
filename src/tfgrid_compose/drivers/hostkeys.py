"""The keys by which machines are known: renewed while a connection is trusted, forgotten when a user says so."""

from __future__ import annotations

import re

from tfgrid_compose.drivers.ssh import Target
from tfgrid_compose.state import paths

# A remote line that prints the machine's keys.
READ = "cat /etc/ssh/ssh_host_*_key.pub 2>/dev/null"
_KEY = re.compile(r"^((?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]{32,4000}={0,3})(?: .*)?$")


def parse(text: str) -> list[str]:
    """`type key` of each public key in a text; anything else is left out."""
    return [found[1] for line in text.splitlines() if (found := _KEY.match(line.strip()))]


def renew(target: Target, text: str) -> bool:
    """Remember the keys that a machine has now, told over a connection that was trusted; True when they are others.

    A program of the app may have made new ones, and the next connection would take the machine for another one.
    """
    keys, before = parse(text), _lines(target)
    known = {line.partition(" ")[2] for line in before if _is_of(line, target)}
    if not keys or not known or known <= set(keys):
        return False
    others = [line for line in before if not _is_of(line, target)]
    _write(target, [*others, *(f"{target.alias} {key}" for key in keys)])
    return True


def forget(target: Target) -> bool:
    """Forget the keys of a machine: the next connection remembers what it shows then. False when none was known."""
    before = _lines(target)
    others = [line for line in before if not _is_of(line, target)]
    if others == before:
        return False
    _write(target, others)
    return True


def _lines(target: Target) -> list[str]:
    return target.known_hosts.read_text().splitlines() if target.known_hosts.exists() else []


def _is_of(line: str, target: Target) -> bool:
    return line.partition(" ")[0] == target.alias


def _write(target: Target, lines: list[str]) -> None:
    paths.private_file(target.known_hosts, "".join(f"{line}\n" for line in lines).encode())
