"""The grid's directory: an async client of gridproxy, its REST API.

    async with Client(network("main", settings)) as client:
        answer = await client.nodes(status="up", free_mru=4 * GIB)

Every method returns an `Answer`. A kept one that is a few minutes old will do, but not with `refresh`; with `offline`
nobody is asked. When the grid can't be asked, what is kept is returned as `stale`. Contracts, bills and consumption are
never kept: they come from the grid, or there is an error.

Methods raise `GridError` (gridproxy-unreachable, -slow, -answer, -refused, -failing, -offline) and `NotFoundError`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tfgrid_compose.errors import GridError
from tfgrid_compose.grids import wire
from tfgrid_compose.grids.answers import Answers
from tfgrid_compose.grids.asking import Asker, Patience
from tfgrid_compose.grids.directory import Directory, Missing, Question
from tfgrid_compose.grids.fields import WireError
from tfgrid_compose.grids.filters import Filter, encode
from tfgrid_compose.grids.models import (
    Answer,
    Bill,
    Consumption,
    ContractInfo,
    Farm,
    Gpu,
    Health,
    Node,
    PublicIp,
    Statistics,
    Stats,
    Twin,
)
from tfgrid_compose.grids.networks import Network
from tfgrid_compose.grids.pages import Shape
from tfgrid_compose.grids.trouble import unkept
from tfgrid_compose.state import paths

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
LIVE_STATES = ("Created", "GracePeriod")

_NODES = Shape("/nodes", "nodeId", "node_id")
# In this order by itself; asked to sort by `farm_id`, gridproxy fails where a filter is about nodes (the name is ambiguous).
_FARMS = Shape("/farms", "farmId")
_TWINS = Shape("/twins", "twinId", "twin_id")
_CONTRACTS = Shape("/contracts", "contract_id", "contract_id")
_PUBLIC_IPS = Shape("/public_ips", "id", "ip")


class Client:
    """Nodes, farms, contracts, twins and what else a network's gridproxy knows.

    `transport` stands in for the wire: with one, a network without URLs is asked in this process. `cache` is the folder
    of kept answers; by default one of this network, or none where a network has no URLs. `refresh` and `offline` hold
    for all questions of this client. It can be entered again after it was left.
    """

    def __init__(
        self,
        network: Network,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        cache: Path | None = None,
        refresh: bool = False,
        offline: bool = False,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.network, self.refresh, self.offline = network, refresh, offline
        if cache is None and network.gridproxy:
            cache = paths.cache_dir() / "gridproxy" / network.name
        asker = Asker(network, transport, patience or Patience())
        self._directory = Directory(network, asker, Answers(cache, " ".join(network.gridproxy), clock), clock)

    async def __aenter__(self) -> Client:
        await self._directory.asker.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._directory.asker.__aexit__()

    # What is kept for some minutes

    async def nodes(self, *, refresh: bool = False, offline: bool = False, **filters: Filter) -> Answer[list[Node]]:
        """All nodes that pass the filters, or one page of them with `page` and `size`.

        Where nodes have free public IPv4, their farms are asked for too: private ones that farmers registered don't count.
        """
        found = await self._kept(self._nodes(filters), refresh, offline)
        nodes = await self._without_private_ips(found.value, found.stale, refresh, offline)
        if filters.get("has_ipv6") is not None:
            nodes = [replace(node, has_ipv6=bool(filters["has_ipv6"])) for node in nodes]
        return _only_passing(replace(found, value=nodes), filters, free_ips=lambda node: node.free_ips)

    async def node(self, id: int, *, refresh: bool = False, offline: bool = False) -> Answer[Node]:
        """One node. Raises `NotFoundError` with `node-not-found`."""
        question = self._directory.single(f"/nodes/{id}", lambda row, now: _same(wire.node(row, now), id), kind="/nodes/{}")
        among = self._directory.among(self._nodes({}), lambda node: node.id == id)
        found = await self._kept(replace(question, thing="node", id=id, instead=among), refresh, offline)
        return replace(found, value=(await self._without_private_ips([found.value], found.stale, refresh, offline))[0])

    async def farms(self, *, refresh: bool = False, offline: bool = False, **filters: Filter) -> Answer[list[Farm]]:
        """All farms that pass the filters, or one page of them with `page` and `size`."""
        found = await self._kept(self._directory.listing(_FARMS, wire.farm, filters), refresh, offline)
        return _only_passing(found, filters, free_ips=lambda farm: farm.free_ips, total_ips=lambda farm: farm.total_ips)

    async def farm(self, id: int, *, refresh: bool = False, offline: bool = False) -> Answer[Farm]:
        """One farm. Raises `NotFoundError` with `farm-not-found`."""
        listed = self._directory.listing(_FARMS, wire.farm, {"farm_id": id})
        among = self._directory.among(self._directory.listing(_FARMS, wire.farm, {}), lambda farm: farm.id == id)
        question = Question(
            listed.path,
            listed.fetch,
            lambda rows, now: _only(listed.read(rows, now), id),
            listed.params,
            listed.kind,
            thing="farm",
            id=id,
            instead=among,
        )
        return replace(await self._kept(question, refresh, offline), count=None)

    async def public_ips(self, *, refresh: bool = False, offline: bool = False, **filters: Filter) -> Answer[list[PublicIp]]:
        """All public IPv4 of farms that pass the filters; private ones that farmers registered are among them, and never free."""
        found = await self._kept(self._directory.listing(_PUBLIC_IPS, wire.public_ip, filters), refresh, offline)
        return _only_passing(found, filters, free=lambda ip: ip.free)

    async def twins(self, *, refresh: bool = False, offline: bool = False, **filters: Filter) -> Answer[list[Twin]]:
        """All twins that pass the filters, or one page of them with `page` and `size`."""
        return await self._kept(self._directory.listing(_TWINS, wire.twin, filters), refresh, offline)

    async def twin_of(self, address: str, *, refresh: bool = False, offline: bool = False) -> Answer[Twin | None]:
        """The twin of an account's address; None when it has none yet."""
        found = await self.twins(refresh=refresh, offline=offline, account_id=address)
        twin = next((twin for twin in found.value if twin.account == address), None)
        return Answer(twin, found.at, found.stale)

    async def stats(self, status: str = "up", *, refresh: bool = False, offline: bool = False) -> Answer[Stats]:
        """How much the network has, on nodes of a status."""
        params = encode("/stats", {"status": status})
        return await self._kept(self._directory.single("/stats", wire.stats, params, kind="/stats"), refresh, offline)

    # What is always asked

    async def contracts(self, *, twin: int, states: Sequence[str] = LIVE_STATES, **filters: Filter) -> Answer[list[ContractInfo]]:
        """Every contract of a twin in one of the states (in any when none is named)."""
        if twin < 1 or {"page", "size"} & set(filters):
            raise TypeError("contracts are listed for a twin, and all of them")

        def read(row: Any, now: float) -> ContractInfo:
            found = wire.contract(row, now)
            if found.twin != twin or (states and found.state not in states):
                raise WireError(f"contract {found.id} of twin {found.twin} in state {found.state} was not asked for")
            return found

        asked = {**filters, "twin_id": twin, "state": list(states)}
        return await self._now(self._directory.listing(_CONTRACTS, read, asked))

    async def contract(self, id: int) -> Answer[ContractInfo]:
        """One contract, in whatever state. Raises `NotFoundError` with `contract-not-found`."""
        question = self._directory.single(f"/contracts/{id}", lambda row, now: _same(wire.contract(row, now), id))
        return await self._now(replace(question, thing="contract", id=id))

    async def bills(self, id: int) -> Answer[list[Bill]]:
        """Every bill of a contract."""
        question = self._directory.listing(Shape(f"/contracts/{id}/bills"), wire.bill, {})
        return await self._now(replace(question, thing="contract", id=id))

    async def consumption(self, twin: int) -> Answer[Consumption]:
        """What a twin's contracts were billed, in the last hour and over all."""
        return await self._now(self._directory.single(f"/twins/{twin}/consumption", wire.consumption))

    async def statistics(self, node: int) -> Answer[Statistics]:
        """What a node itself says now; one that is down says nothing, which is an error."""
        question = self._directory.single(f"/nodes/{node}/statistics", wire.statistics)
        return await self._now(replace(question, thing="node", id=node))

    async def gpus(self, node: int) -> Answer[list[Gpu]]:
        """The graphics cards of a node."""
        question = self._directory.single(f"/nodes/{node}/gpu", wire.gpus)
        return await self._now(replace(question, thing="node", id=node))

    async def ping(self) -> Answer[str]:
        """Ask whether gridproxy answers at all: `pong`."""
        return await self._now(self._directory.single("/ping", wire.ping))

    async def version(self) -> Answer[str]:
        """The version of gridproxy."""
        return await self._now(self._directory.single("/version", wire.version))

    async def health(self) -> Answer[Health]:
        """Whether gridproxy's own parts work."""
        return await self._now(self._directory.single("/health", wire.health))

    async def _without_private_ips(self, nodes: list[Node], stale: bool, refresh: bool, offline: bool) -> list[Node]:
        """The nodes with what their farms really have; what is stale anyway is left as it is when the farms aren't known."""
        farms = {node.farm_id for node in nodes if node.free_ips}
        if not farms:
            return nodes
        asked: dict[str, Filter] = {"farm_id": next(iter(farms))} if len(farms) == 1 else {"free_ips": 1}
        try:
            answer = await self.farms(refresh=refresh, offline=offline, **asked)
        except GridError:
            if stale or offline or self.offline:
                return nodes
            raise
        free = {farm.id: farm.free_ips for farm in answer.value}
        return [_with_ips(node, free.get(node.farm_id, 0)) for node in nodes]

    def _nodes(self, filters: dict[str, Any]) -> Question[list[Node]]:
        return replace(self._directory.listing(_NODES, wire.node, filters), slim=wire.slim_nodes)

    async def _kept(self, question: Question[T], refresh: bool, offline: bool) -> Answer[T]:
        return await self._directory.kept(question, refresh or self.refresh, offline or self.offline)

    async def _now(self, question: Question[T]) -> Answer[T]:
        if self.offline:
            raise unkept(self.network, question.path)
        return await self._directory.now(question)


def _only_passing(found: Answer[list[T]], filters: Mapping[str, Filter], **counts: Callable[[T], int]) -> Answer[list[T]]:
    """Without what has too few addresses once private ones don't count: gridproxy counts them, too."""
    least = {name: int(wanted) for name in counts if isinstance(wanted := filters.get(name), int)}
    value = [item for item in found.value if all(counts[name](item) >= number for name, number in least.items())]
    gone = len(found.value) - len(value)
    return replace(found, value=value, count=found.count - gone if found.count is not None else None) if gone else found


def _with_ips(node: Node, free: int) -> Node:
    return node if node.free_ips <= free else replace(node, free_ips=free)


def _same(found: T, id: int) -> T:
    """The thing that was asked for, not another. Raises `WireError`."""
    other = getattr(found, "id", id)
    if other != id:
        raise WireError(f"{id} was asked for, {other} came")
    return found


def _only(found: list[Farm], id: int) -> Farm:
    """The one row of a list that asked for an id. Raises `Missing` when there is none, `WireError` when others came."""
    if not found:
        raise Missing(f"/farms has no {id}")
    if len(found) > 1:
        raise WireError(f"{id} was asked for, {len(found)} rows came")
    return _same(found[0], id)


def ask(make: Callable[[Client], Awaitable[T]], client: Client) -> T:
    """Run one question from code that is not async: `ask(lambda c: c.nodes(), client)`.

    Within a running loop it runs in a thread of its own, and that loop waits.
    """

    async def run() -> T:
        async with client:
            return await make(client)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(run())
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, run()).result()
