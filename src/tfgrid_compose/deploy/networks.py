"""Which networks the machines of a deployment get, and whose address is tried first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfgrid_compose.errors import UsageError
from tfgrid_compose.manifest.model import NETWORK_KINDS, Network
from tfgrid_compose.state.settings import Connect

# Without a word of anybody: what costs nothing.
FREE = ("wireguard", "mycelium")
_USUAL = ("wireguard", "mycelium", "ipv4", "ipv6")


@dataclass(frozen=True)
class Networks:
    """`provision` are the networks that are made, `prefer` the same in the order in which their addresses are tried."""

    provision: tuple[str, ...] = FREE
    prefer: tuple[str, ...] = FREE


def choose(wanted: Network, connect: Connect, *, ipv4: bool | None = None, chosen: Sequence[str] = ()) -> Networks:
    """The networks by precedence.

    Which are made: the manifest, then the user's configuration, then those that cost nothing; `ipv4` adds or leaves out
    the public IPv4 whatever they say. Which comes first: what was `chosen` for this deployment, then the manifest, then
    the configuration. Raises `UsageError` when nothing is left.
    """
    made = [kind for kind in wanted.provisioned(connect.provision or FREE) if kind != "ipv4" or ipv4 is not False]
    if ipv4 and "ipv4" not in made:
        made.append("ipv4")
    if not made:
        raise UsageError(
            "no network is left for the machines", why="the manifest provisions a public IPv4 only, and --no-ipv4 leaves it out",
            fix="leave --no-ipv4 out, or add wireguard to network.provision", code="no-network",
        )  # fmt: skip
    return Networks(tuple(made), preferred(made, wanted, connect, chosen))


def preferred(made: Sequence[str], wanted: Network, connect: Connect, chosen: Sequence[str]) -> tuple[str, ...]:
    """`made` in the order in which addresses are tried: as `chosen` for the deployment, the manifest's, the configuration's."""
    return ordered(made, [*chosen, *wanted.wishes(), *(connect.prefer or [])])


def ordered(made: Sequence[str], wishes: Sequence[str]) -> tuple[str, ...]:
    """`made` with what is wished for first, the rest in the usual order."""
    return tuple(dict.fromkeys(kind for kind in (*wishes, *_USUAL) if kind in made))


def check(words: str) -> list[str]:
    """Kinds of networks in a comma list. Raises `ValueError` that names the first that is none."""
    found = [word.strip() for word in words.split(",") if word.strip()]
    for word in found:
        if word not in NETWORK_KINDS:
            raise ValueError(f"there is no network `{word}`; there are {', '.join(NETWORK_KINDS)}")
    return list(dict.fromkeys(found))
