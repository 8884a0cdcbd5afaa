"""Options that say which nodes are good enough, and the words of `--explain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from tfgrid_compose.deploy.options import PlacementOptions
from tfgrid_compose.grids.selection import SPREADS

# Options whose value is a list, and what its items are.
_LISTS: Mapping[str, Any] = {
    "farms": str, "countries": str, "whitelist_nodes": int, "blacklist_nodes": int, "blacklist_farms": str,
}  # fmt: skip


class ListType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A comma list of words or numbers."""

    name = "list"

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """To a tuple."""
        words = [word.strip() for word in str(value).split(",") if word.strip()]
        if not words:
            self.fail("it names nothing", param, ctx)
        odd = [word for word in words if self._kind is int and not (word.isascii() and word.isdecimal())]
        if odd:
            self.fail(f"{odd[0]!r} is no number of a node", param, ctx)
        return tuple(self._kind(word) for word in words)


def _listed(names: Sequence[str], key: str, metavar: str, help: str) -> Any:
    return click.option(*names, key, multiple=True, type=ListType(_LISTS[key]), metavar=metavar, help=f"{help}; repeatable.")


def node_options(function: Any) -> Any:
    """Options that `up` and `plan` share."""
    percent = click.FloatRange(0, 100)
    for option in reversed(
        [
            _listed(("--farm", "--whitelist-farm"), "farms", "FARM,…", "Farms to choose from, by name or id; `*` for any"),
            _listed(("--country",), "countries", "NAME,…", "Countries to choose from; `*` for any"),
            click.option("--certified/--no-certified", default=None, help="Only nodes with certified hardware."),
            click.option("--dedicated/--no-dedicated", default=None, help="Only nodes that the account rents as a whole."),
            click.option("--spread", type=click.Choice(SPREADS), help="What machines of one role don't share; nodes by default."),
            _listed(("--whitelist-node",), "whitelist_nodes", "ID,…", "Nodes to choose from, besides those of --farm"),
            _listed(("--blacklist-node",), "blacklist_nodes", "ID,…", "Nodes never to choose"),
            _listed(("--blacklist-farm",), "blacklist_farms", "FARM,…", "Farms never to choose"),
            click.option("--max-cpu-usage", type=percent, metavar="PERCENT", help="Most of a node's cores in use."),
            click.option("--max-disk-usage", type=percent, metavar="PERCENT", help="Most of a node's SSD in use."),
            click.option("--min-uptime-days", type=click.FloatRange(0), metavar="DAYS", help="Fewest days that a node is up."),
            click.option("--ipv4/--no-ipv4", default=None, help="Rent a public IPv4, whatever the manifest says."),
            click.option("--explain", is_flag=True, help="Say why each machine stands where it does, and what else would do."),
        ]
    ):  # fmt: skip
        function = option(function)
    return function


def placement_of(given: dict[str, Any]) -> PlacementOptions:
    """The options about nodes, taken out of what was given."""
    found = {name: given.pop(name) for name in PlacementOptions.__dataclass_fields__ if name in given}
    for name in _LISTS:
        found[name] = tuple(dict.fromkeys(item for part in found.get(name, ()) for item in part))
    return PlacementOptions(**found)


_HOW = {
    "kept": "its machine has this place",
    "asked": "--node names it",
    "hinted": "the manifest wishes it",
    "chosen": "the best",
    "unchecked": "taken without a look at it",
}


def explain_lines(explained: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why each machine stands where it does, for people."""
    lines = []
    for item in explained:
        lines += [_head(item), *(f"    {line}" for line in _body(item))]
    return lines


def _head(item: Mapping[str, Any]) -> str:
    node, number = item["node"], f" {item['machine']}" if item["machine"] > 1 else ""
    where = f" ({node['farm']}, {node['country']})" if "farm" in node else ""
    score = f", score {node['score']:.1f}" if "score" in node else ""
    return f"  Node {node['id']}{where} for {item['role']}{number}: {_HOW[item['how']]}{score}"


def _body(item: Mapping[str, Any]) -> list[str]:
    parts = item["node"].get("parts", [])
    lines = [f"{part['name']:<10}{part['points']:>5.1f} of {part['most']:<3} {part['words']}" for part in parts]
    if item["refused_because"]:
        lines.append(f"for a new machine it would not do: {item['refused_because']}")
    best = ", ".join(f"{node['id']} ({node['farm']}, {node['score']:.1f})" for node in item["next"])
    lines.append(f"Next best: {best or 'none'}")
    refused = f"; {item['refused_text']}" if item["refused_text"] else ""
    return [*lines, f"Looked at {item['looked_at']} nodes: {item['able']} do{refused}"]
