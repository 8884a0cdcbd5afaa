"""What ids and names of ours look like, wherever they come in: files, locks, interfaces and commands are made of them.

Each is to be matched as a whole (`fullmatch`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# A new deployment's id is 16 hex digits; what stands in a state folder may be any plain word.
NEW_ID = re.compile(r"[0-9a-f]{16}")
ID = re.compile(r"[0-9a-z][0-9a-z-]{0,63}")
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
NETWORK = re.compile(r"[a-z][a-z0-9-]{0,19}")
# Never the name of an interface that is not ours: `down` deletes it.
INTERFACE = re.compile(r"wg-[a-z0-9-]{1,12}")
RANGE = re.compile(r"10\.[0-9]{1,3}\.[0-9]{1,3}\.0/[0-9]{1,2}")
RELEASE = re.compile(r"[0-9a-zA-Z][0-9a-zA-Z_-]{0,63}")
DIGEST = re.compile(r"[0-9a-f]{64}")
# Enough to be no option of ssh and no user's name before an `@`; where an address comes in, it is parsed.
ADDRESS = re.compile(r"[0-9a-fA-F.:]{2,45}")
# Of secrets: a deployment, an account, or the folder of an app; and what each is called.
OWNER = re.compile(rf"{ID.pattern}|(account|app):[^\0]*")
SECRET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}(/[A-Za-z0-9][A-Za-z0-9_-]{0,63})?")
# Kinds, steps and states; a line for people; a folder or a file.
WORDS = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9 _.-]{0,63}")
LINE = re.compile(r"[^\0-\x1f\x7f-\x9f]*")
PATH = re.compile(r"/[^\0-\x1f\x7f-\x9f]*")
ADDRESSES = ("address", "wireguard_ip", "mycelium_ip", "ipv4_address", "ipv6_address")


def odd_deployment(id: str, name: str, network: str, data: Mapping[str, Any]) -> str:
    """What about a deployment can't be ours, for people; empty when nothing is.

    Looked at each time that one is read or written: what paths, interfaces and logins are made of.
    """
    for what, value, like in (("id", id, ID), ("name", name, NAME), ("network", network, NETWORK)):
        if not isinstance(value, str) or not like.fullmatch(value):
            return f"{value!r} is no {what} of a deployment"
    for key, like in (("interface", INTERFACE), ("ip_range", RANGE)):
        value = data.get(key, "")
        if value and not (isinstance(value, str) and like.fullmatch(value)):
            return f"{value!r} is no {key} of a deployment"
    return _odd_machines(data.get("machines") or ())


def _odd_machines(machines: Any) -> str:
    if not isinstance(machines, (list, tuple)) or not all(isinstance(machine, dict) for machine in machines):
        return "its machines are no list of machines"
    for machine in machines:
        for key in ADDRESSES:
            value = machine.get(key) or ""
            if value and not (isinstance(value, str) and ADDRESS.fullmatch(value)):
                return f"{value!r} is no address of a machine"
        for key in ("name", "contract"):
            value = str(machine.get(key, ""))
            if value and not NAME.fullmatch(value):
                return f"{value!r} is no {key} of a machine"
    return ""
