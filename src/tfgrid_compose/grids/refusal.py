"""Why a node is not taken: one rule for each reason, the most general first.

The order decides which reason a node is counted under, and who is nearest: what fails late nearly does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tfgrid_compose.grids.models import GIB, Node
from tfgrid_compose.grids.wish import DAY, SSD_HEADROOM_GIB, Wish, among

_SMALLER = "ask for less with --cpu, --memory and --disk, or free room with `tfgrid-compose down`"
_LISTS = "`tfgrid-compose preferences` shows the lists"


@dataclass(frozen=True)
class Rule:
    """One reason.

    `matters` says whether a wish needs the rule at all, `refuses` whether a node fails it, `says` the reason for one
    node. `one` and `many` go behind a number: `1 is down`, `3 are down`.
    """

    kind: str
    one: str
    many: str
    fix: str
    refuses: Callable[[Node, Wish], bool]
    says: Callable[[Node, Wish], str]
    matters: Callable[[Wish], bool] = lambda wish: True

    def counted(self, count: int) -> str:
        """So many nodes fail it, in words."""
        return f"{count} {self.one if count == 1 else self.many}"


def _cpu_usage(node: Node) -> float:
    return 100 * node.used.cru / (node.total.cru or 1)


def _disk_usage(node: Node) -> float:
    return 100 * node.used.sru / (node.total.sru or 1)


def _not_listed(node: Node, wish: Wish) -> bool:
    return any(node not in listed for listed in wish.whitelists)


def _list_text(node: Node, wish: Wish) -> str:
    origin = next(listed.origin for listed in wish.whitelists if node not in listed)
    return f"it is none of the nodes and farms that {origin} allow{'s' if origin.startswith('the manifest') else ''}"


def _is_reserved(node: Node, wish: Wish) -> bool:
    """Whether only whoever rents the whole node may use it (facts: gridproxy-notes, `available_for`)."""
    return (node.dedicated_farm or node.extra_fee > 0) and (not wish.twin or node.rented_by != wish.twin)


def _missing(node: Node, wish: Wish) -> str:
    return ", ".join(sorted(wish.features - node.features))


_LISTED = (
    Rule(
        "blacklisted", "is on a blacklist", "are on a blacklist", _LISTS,
        lambda node, wish: node.id in wish.black_nodes or among(node, wish.black_farms),
        lambda node, wish: "it is on a blacklist" if node.id in wish.black_nodes else "its farm is on a blacklist",
        lambda wish: bool(wish.black_nodes or wish.black_farms),
    ),
    Rule(
        "not-whitelisted", "is on no whitelist", "are on no whitelist", f"name another farm with --farm; {_LISTS}",
        _not_listed, _list_text, lambda wish: bool(wish.whitelists),
    ),
    Rule(
        "other-country", "is in another country", "are in another country", "name another country with --country, or `*` for any",
        lambda node, wish: node.country.lower() not in wish.countries,
        lambda node, wish: f"it is in {node.country}",
        lambda wish: bool(wish.countries),
    ),
)  # fmt: skip

_STATE = (
    Rule(
        "not-up", "is not up", "are not up", "try again later, or choose another node",
        lambda node, wish: node.status != "up",
        lambda node, wish: f"it is {node.status}",
    ),
    Rule(
        "not-healthy", "does not answer", "don't answer", "try again later, or choose another node",
        lambda node, wish: not node.healthy,
        lambda node, wish: "it is up and did not answer lately",
    ),
    Rule(
        "rented", "is rented by others", "are rented by others", "choose another node",
        lambda node, wish: node.rented_by not in (0, wish.twin),
        lambda node, wish: f"twin {node.rented_by} rents all of it",
    ),
    Rule(
        "reserved", "can only be rented as a whole", "can only be rented as a whole",
        "rent the node on the dashboard, or choose another",
        _is_reserved,
        lambda node, wish: "it can only be rented as a whole, and this account does not rent it",
    ),
    Rule(
        "not-dedicated", "is not rented by this account", "are not rented by this account",
        "rent a node on the dashboard, or leave --dedicated out",
        lambda node, wish: not wish.twin or node.rented_by != wish.twin,
        lambda node, wish: "this account does not rent it",
        lambda wish: wish.dedicated,
    ),
    Rule(
        "not-certified", "is not certified", "are not certified", "leave --certified out",
        lambda node, wish: not node.certified,
        lambda node, wish: "it is not certified",
        lambda wish: wish.certified,
    ),
    Rule(
        "lacks-feature", "can't do what is asked", "can't do what is asked",
        "leave WireGuard and public addresses out of network.provision",
        lambda node, wish: bool(node.features) and not wish.features <= node.features,
        lambda node, wish: f"it has no {_missing(node, wish)}",
        lambda wish: bool(wish.features),
    ),
    Rule(
        "uptime", "is not up for long enough", "are not up for long enough", "ask for less with --min-uptime-days",
        lambda node, wish: node.uptime < wish.min_uptime_days * DAY,
        lambda node, wish: f"it has been up for {node.uptime / DAY:.1f} days",
        lambda wish: wish.min_uptime_days > 0,
    ),
    Rule(
        "cpu-usage", "has too many cores in use", "have too many cores in use", "allow more with --max-cpu-usage",
        lambda node, wish: _cpu_usage(node) > (wish.max_cpu_usage or 0),
        lambda node, wish: f"{_cpu_usage(node):.0f} % of its cores are in use",
        lambda wish: wish.max_cpu_usage is not None,
    ),
    Rule(
        "disk-usage", "has too much disk in use", "have too much disk in use", "allow more with --max-disk-usage",
        lambda node, wish: _disk_usage(node) > (wish.max_disk_usage or 0),
        lambda node, wish: f"{_disk_usage(node):.0f} % of its disk are in use",
        lambda wish: wish.max_disk_usage is not None,
    ),
)  # fmt: skip

_ROOM = (
    Rule(
        "no-ipv6", "can give no public IPv6", "can give no public IPv6", "leave ipv6 out of network.provision",
        # Machines get an address of the node's own prefix; a public address of the node itself says nothing of that.
        lambda node, wish: not node.has_ipv6,
        lambda node, wish: "it can give no public IPv6",
        lambda wish: wish.ipv6,
    ),
    Rule(
        "no-ipv4", "has no free public IPv4", "have no free public IPv4", "leave the public IPv4 out with --no-ipv4",
        lambda node, wish: node.free_ips < 1,
        lambda node, wish: "its farm has no free public IPv4",
        lambda wish: wish.ipv4,
    ),
    Rule(
        "cores", "has too few cores", "have too few cores", _SMALLER,
        # Nodes share their cores between machines, so only their number counts.
        lambda node, wish: node.total.cru < wish.cpu,
        lambda node, wish: f"it has {node.total.cru} cores",
    ),
    Rule(
        "disk", "has too little free disk", "have too little free disk", _SMALLER,
        lambda node, wish: node.free.sru < wish.disk,
        lambda node, wish: f"{max(0, node.free.sru / GIB - SSD_HEADROOM_GIB):.0f} GiB of disk are free",
    ),
    Rule(
        "memory", "has too little free memory", "have too little free memory", _SMALLER,
        lambda node, wish: node.free.mru < wish.memory,
        lambda node, wish: f"{max(0, node.free.mru) / GIB:.1f} GiB of memory are free",
    ),
)  # fmt: skip

RULES = (*_LISTED, *_STATE, *_ROOM)


def rules_for(wish: Wish) -> tuple[Rule, ...]:
    """The rules that matter for a wish, in their order."""
    return tuple(rule for rule in RULES if rule.matters(wish))


def refusal(node: Node, wish: Wish) -> str:
    """Why a node does not do, in words; empty when it does."""
    found = next((rule for rule in rules_for(wish) if rule.refuses(node, wish)), None)
    return found.says(node, wish) if found else ""
