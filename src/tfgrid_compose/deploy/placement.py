"""Which node each machine of a deployment stands on, and why.

Machines that exist stay where they are. --node must do. The manifest's `nodes:` was written for one network and is a wish.
All others are chosen by `grids.selection`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tfgrid_compose.deploy.resolve import RoleSizes
from tfgrid_compose.deploy.wishes import MANIFEST, OPTIONS, Asked
from tfgrid_compose.errors import GridError, NotFoundError, TfgridError
from tfgrid_compose.grids import selection
from tfgrid_compose.grids.base import Grid
from tfgrid_compose.grids.models import Node
from tfgrid_compose.grids.selection import Ranking, Taken, Wish
from tfgrid_compose.manifest.load import App, nearest
from tfgrid_compose.patterns.load import LoadedPattern
from tfgrid_compose.state.settings import Settings

KEPT, ASKED, HINTED, CHOSEN, TRUSTED = "kept", "asked", "hinted", "chosen", "unchecked"
_NEXT = 3


@dataclass
class Placement:
    """Nodes for the machines of one deployment.

    `how` says for each role how its machines came to their nodes. `unchecked` are sentences about nodes that were taken
    without a look at them, `warnings` about names that mean nothing on this network.
    """

    grid: Grid
    app: App
    pattern: LoadedPattern
    sizes: Mapping[str, RoleSizes]
    networks: Sequence[str]
    overrides: Mapping[str, Any]
    settings: Settings
    nodes: dict[str, list[int]] = field(default_factory=dict)
    how: dict[str, list[str]] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    # For a plan that nothing comes of: where nobody can be asked, a machine gets node 0, which is none.
    only_plan: bool = False
    _taken: Taken = field(default_factory=Taken)

    # What is asked

    @cached_property
    def asked(self) -> Asked:
        """Everybody who has a say."""
        return Asked.by(self.overrides, self.app.manifest.placement, self.settings, self.grid.name)

    @cached_property
    def _answer(self) -> list[Node] | GridError:
        """What the grid says of its nodes, or why it says nothing: a directory that is down is waited for once."""
        try:
            return self.grid.nodes(ipv6="ipv6" in self.networks)
        except GridError as error:
            error.fix = f"{error.fix}; or name a node with --node" if error.fix else "name a node with --node"
            return error

    @cached_property
    def listed(self) -> list[Node]:
        """The grid's nodes. Raises `GridError` when they are not known, `NotFoundError` for a farm that nobody knows."""
        if isinstance(self._answer, GridError):
            raise self._answer
        self._look_at_names(self._answer)
        return self._answer

    @cached_property
    def _twin(self) -> int:
        """The account's twin, asked for only where nodes are rented; 0 when nobody can say."""
        if not self.asked.dedicated and not any(node.rented_by for node in self.listed):
            return 0
        try:
            return self.grid.account().twin or 0
        except TfgridError:
            return 0

    def wish(self, role: str) -> Wish:
        """What a machine of a role wants of its node."""
        disks = sum(disk.size for disk in self.app.manifest.disks) if self.pattern.pattern.roles[role].disks else 0
        return self.asked.wish(self.sizes[role], disks, self.networks, self._twin)

    def ranking(self, role: str, without: Collection[int] = ()) -> Ranking:
        """All nodes for a machine of a role, after what machines of this deployment that were just placed take."""
        nodes = [node for node in self.listed if node.id not in without] if without else self.listed
        return selection.rank(self._taken.left_of(nodes), self.wish(role))

    # Choosing

    def place(self, placed: Mapping[str, list[int]]) -> Placement:
        """Choose a node for every machine; `placed` are those that have one. Raises `GridError` or `NotFoundError`."""
        for role, found in self.pattern.pattern.roles.items():
            nodes: list[int | None] = [*placed.get(role, [])[: found.count]]
            nodes += [None] * (found.count - len(nodes))
            pinned = self.overrides.get("node")
            nodes = [node if pinned in (None, node) else None for node in nodes]
            how = [CHOSEN if node is None else KEPT for node in nodes]
            for index, node in enumerate(nodes):
                if node is None:
                    nodes[index], how[index] = self._named(role, index)
            chosen = iter(self._best(role, nodes))
            self.nodes[role] = [next(chosen) if node is None else node for node in nodes]
            self.how[role] = how
        return self

    def _named(self, role: str, index: int) -> tuple[int | None, str]:
        """The node that the user or the manifest names for a machine, and how it came to it."""
        pinned, hint = self.overrides.get("node"), wished_node(self.app, role, index)
        id = pinned or hint
        if not id:
            return None, CHOSEN
        if isinstance(self._answer, GridError):
            said = self._answer
            self.unchecked.append(f"node {id} for {role}: {said.what}" + (f" ({said.why})" if said.why else ""))
            return id, TRUSTED
        nodes = self._taken.left_of(self.listed)
        if pinned:
            node = self._must(nodes, pinned, self.wish(role))
        else:
            found = next((node for node in nodes if node.id == hint and not selection.refusal(node, self.wish(role))), None)
            if found is None:
                return None, CHOSEN
            node = found
        self._taken.add(node, self.wish(role))
        return node.id, ASKED if pinned else HINTED

    def _must(self, nodes: Sequence[Node], id: int, wish: Wish) -> Node:
        """The node that the user names; one that is not listed is asked for by itself, to say what is wrong with it."""
        if any(node.id == id for node in nodes):
            return selection.check(nodes, id, wish)
        try:
            alone = self.grid.these_nodes([id])
        except GridError:
            alone = []
        return selection.check(alone or nodes, id, wish)

    def _best(self, role: str, nodes: Sequence[int | None], without: Collection[int] = ()) -> list[int]:
        """Nodes for the machines of a role that have none yet, apart from those that have one."""
        count = sum(node is None for node in nodes)
        if not count:
            return []
        if self.only_plan and isinstance(self._answer, GridError):
            self.unchecked.append(f"which node {role} gets: {self._answer.what} ({self._answer.why})")
            return [0] * count
        beside = [node for node in self.listed if node.id in nodes]
        chosen = selection.place_many(self.ranking(role, without), count, self.asked.spread, beside)
        for node in chosen:
            self._taken.add(node, self.wish(role))
        return [node.id for node in chosen]

    def take(self, role: str, id: int) -> None:
        """A machine of a role will use a node, and the grid does not say so yet."""
        node = next((node for node in self.listed if node.id == id), None)
        if node is not None:
            self._taken.add(node, self.wish(role))

    def instead_of(self, now: Mapping[str, list[int]], failed: Collection[int], without: Collection[int]) -> dict[str, list[int]]:
        """The same nodes with other ones for those that failed; none of `without` is taken. Raises `GridError`."""
        found = {}
        for role, nodes in now.items():
            left = [None if node in failed else node for node in nodes]
            chosen = iter(self._best(role, left, without))
            found[role] = [next(chosen) if node is None else node for node in left]
        return found

    # Names that mean nothing here

    def _look_at_names(self, nodes: Sequence[Node]) -> None:
        """A farm that nobody knows must not turn a whitelist into one that lets everything in, nor be passed over."""
        if not nodes:
            return
        for listed in self.asked.whitelists():
            unknown = selection.unknown_farms(nodes, listed.farms)
            if unknown and (listed.origin == OPTIONS or not listed.nodes and len(unknown) == len(listed.farms)):
                raise self._no_farm(nodes, unknown[0], listed.origin)
            self.warnings += [f"no node belongs to farm `{name}`, which {_names(listed.origin)}" for name in unknown]
        self._look_at_countries(nodes)
        black = {word.strip().lower() for word in self.asked.options.blacklist_farms}
        self.warnings += [
            f"no node belongs to farm `{name}` of --blacklist-farm" for name in selection.unknown_farms(nodes, black)
        ]

    def _look_at_countries(self, nodes: Sequence[Node]) -> None:
        wanted = self.asked.countries
        known = {node.country.lower() for node in nodes}
        self.warnings += [f"no node is in `{name}`" for name in sorted(wanted - known) if wanted & known]
        if wanted and not wanted & known:
            name = min(wanted)
            raise NotFoundError(
                f"no node of network {self.grid.name} is in `{name}`",
                why="--country or `placement.countries` of the manifest asks for it",
                fix=nearest(name, known) or "choose another with --country, or `--country '*'` for any",
                code="country-not-found",
            )

    def _no_farm(self, nodes: Sequence[Node], name: str, origin: str) -> NotFoundError:
        names = sorted({node.farm for node in nodes})
        meant = nearest(name, [item.lower() for item in names])
        return NotFoundError(
            f"no node of network {self.grid.name} belongs to farm `{name}`",
            why=f"{_names(origin)} it" + (f"; farms with nodes are {', '.join(names)}" if len(names) <= 8 else ""),
            fix=meant or "choose another with --farm, or `--farm '*'` for any; `tfgrid-compose farms` lists them",
            code="farm-not-found",
        )

    # Explaining

    def explain(self, nodes: Mapping[str, list[int]]) -> list[dict[str, Any]]:
        """Why each machine stands where it does: its node's score, the next best, how many don't do and why; as JSON values."""
        self._taken = Taken()
        found = []
        for role, chosen in nodes.items():
            ranking = self.ranking(role)
            for index, id in enumerate(chosen):
                how = (self.how.get(role) or [])[index : index + 1]
                found.append(
                    {"role": role, "machine": index + 1, "how": how[0] if how else KEPT, **_explained(ranking, id, chosen)}
                )
        return found


def _names(origin: str) -> str:
    return f"{origin} name{'s' if origin == MANIFEST else ''}"


def _explained(ranking: Ranking, id: int, chosen: Sequence[int]) -> dict[str, Any]:
    best = [node for node in ranking.candidates if node.id not in chosen][:_NEXT]
    node = ranking.find(id)
    return {
        "node": _facts(ranking, node) if node else {"id": id},
        "refused_because": next((rule.says(item, ranking.wish) for item, rule in ranking.refused if item.id == id), ""),
        "next": [_facts(ranking, item) for item in best],
        "looked_at": ranking.looked_at,
        "able": len(ranking.candidates),
        "refused": ranking.counts,
        "refused_text": ranking.reasons(),
    }


def _facts(ranking: Ranking, node: Node) -> dict[str, Any]:
    scored = ranking.scored(node)
    return {
        "id": node.id, "farm": node.farm, "country": node.country, "score": scored.total,
        "parts": [vars(part) for part in scored.parts],
    }  # fmt: skip


def wished_node(app: App, role: str, index: int) -> int | None:
    """The node that the manifest wishes for a machine; one number is for the first machine of its role."""
    value = getattr(app.manifest.nodes, role, None) or getattr(app.manifest.nodes, f"{role}s", None)
    listed = value if isinstance(value, list) else [value] if isinstance(value, int) else []
    return int(listed[index]) if index < len(listed) else None
