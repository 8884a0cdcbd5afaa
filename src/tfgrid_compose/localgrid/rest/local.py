"""What the local grid's directory says: catalog and ledger as rows of the REST API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tfgrid_compose.grids.models import GIB, Capacity
from tfgrid_compose.grids.pricing import CERTIFIED, monthly_usd
from tfgrid_compose.localgrid import accounts, billing, faults
from tfgrid_compose.localgrid.catalog import FARMS, NODES, FarmSeed, NodeSeed, node_public_host
from tfgrid_compose.localgrid.entries import Contract, Resources
from tfgrid_compose.localgrid.instance import Instance
from tfgrid_compose.localgrid.ledger import Ledger
from tfgrid_compose.localgrid.rest.rows import BillRow, ContractRow, FarmRow, IpRow, NodeRow, TwinRow

# The grid calls a node down that did not report for 80 minutes.
_SILENT = 90 * 60
# When the play grid was born, in unix seconds.
_CREATED = 1_704_067_200
# A contract that is being cancelled exists until its machines are gone.
_STATES = {"Cancelling": "Created"}


class LocalSource:
    """Catalog and ledger as they are at each question.

    The ledger is opened for each: a server may run while the grid is reset. `clock` gives unix seconds, `uptime` seconds.
    """

    def __init__(
        self, instance: Instance, *, clock: Callable[[], float] = time.time, uptime: Callable[[], int] | None = None
    ) -> None:
        self._instance, self._clock = instance, clock
        self._uptime = uptime or host_uptime

    def now(self) -> float:
        """The time, in unix seconds."""
        return self._clock()

    def nodes(self) -> Sequence[NodeRow]:
        """The catalog's nodes with what their contracts hold."""
        with self._ledger() as ledger:
            contracts = ledger.contracts(ending=True)
            down = {seed.id for seed in NODES if faults.node_is_down(ledger, seed.id)}
            spare = {farm.id: sum(not contract for _, contract in ledger.addresses(farm.id)) for farm in FARMS}
        return [self._node(seed, contracts, spare[seed.farm], seed.id in down) for seed in NODES]

    def _node(self, seed: NodeSeed, contracts: list[Contract], spare: int, down: bool) -> NodeRow:
        farm = _farm(seed.farm)
        mine = [contract for contract in contracts if contract.node == seed.id]
        held = Resources()
        for contract in mine:
            held = held.plus(contract.resources)
        place = self._instance
        price = monthly_usd(seed.cru, seed.mru / GIB, seed.sru / GIB)
        now = int(self._clock())
        return NodeRow(
            seed.id, farm.id, farm.name, seed.twin, seed.country, seed.city, seed.region,
            Capacity(seed.cru, seed.mru, seed.sru), Capacity(held.cru, held.mru, held.sru), "down" if down else "up",
            farm.twin, spare, certified=seed.certified, domain=seed.domain,
            ipv4=f"{place.public4_host(node_public_host(seed.id))}/25" if seed.public else "",
            gw4=place.public4_host(1) if seed.public else "",
            ipv6=f"{place.public6}::{node_public_host(seed.id):x}/64" if seed.public else "",
            gw6=f"{place.public6}::1" if seed.public else "",
            uptime=0 if down else self._uptime(), created=_CREATED, updated=now - _SILENT if down else now,
            contracts=len(mine), healthy=not down, has_ipv6=True, features=seed.features,
            price_usd=price * (CERTIFIED if seed.certified else 1),
        )  # fmt: skip

    def farms(self) -> Sequence[FarmRow]:
        """The catalog's farms with their public addresses."""
        with self._ledger() as ledger:
            return [FarmRow(farm.id, farm.name, farm.twin, self._ips(ledger, farm)) for farm in FARMS]

    def public_ips(self) -> Sequence[IpRow]:
        """The addresses of all farms."""
        return [ip for farm in self.farms() for ip in farm.ips]

    def _ips(self, ledger: Ledger, farm: FarmSeed) -> tuple[IpRow, ...]:
        place = self._instance
        return tuple(
            IpRow(f"{farm.id:04d}-{host:04d}", f"{place.public4_host(host)}/25", place.public4_host(1), contract, farm.id)
            for host, contract in ledger.addresses(farm.id)
        )

    def contracts(self) -> Sequence[ContractRow]:
        """Every contract that the ledger remembers."""
        with self._ledger() as ledger:
            return [contract_row(contract) for contract in ledger.contracts(live=False)]

    def twins(self) -> Sequence[TwinRow]:
        """Accounts that were seen, farmers, nodes."""
        with self._ledger() as ledger:
            found = [(twin.id, twin.account) for twin in ledger.twins()]
        found += [(farm.twin, f"farm {farm.id}") for farm in FARMS] + [(node.twin, f"node {node.id}") for node in NODES]
        return [TwinRow(id, accounts.address(account), "", accounts.public_key(account)) for id, account in found]

    def bills(self, contract: int) -> Sequence[BillRow]:
        """What a contract was billed, newest first."""
        with self._ledger() as ledger:
            past = ledger.past_sizes().get(contract, [])
            found = [billing.bills(item, past, self._clock()) for item in ledger.contracts(id=contract, live=False)]
        return [BillRow(bill.time, bill.units) for items in found for bill in items]

    def consumption(self, twin: int) -> tuple[float, float]:
        """TFT that an account was billed: in the last hour, and ever."""
        with self._ledger() as ledger:
            mine = [contract for contract in ledger.contracts(live=False) if contract.twin == twin]
            return billing.consumption(mine, ledger.past_sizes(), self._clock())

    def _ledger(self) -> Ledger:
        return Ledger(self._instance.ledger)


def farm_of(node: int | None) -> FarmSeed | None:
    """The farm of a node; None for a contract without a node."""
    return next((_farm(seed.farm) for seed in NODES if seed.id == node), None)


def contract_row(contract: Contract) -> ContractRow:
    """A contract of the ledger as the grid's directory shows it."""
    farm = farm_of(contract.node)
    data = {key: value for key, value in contract.data.items() if key != "network"}
    return ContractRow(
        contract.id, contract.twin, contract.kind, _STATES.get(contract.state, contract.state), contract.created,
        contract.node or 0, str(contract.data.get("name", "")) if contract.kind == "name" else "",
        json.dumps(data, separators=(",", ":"), ensure_ascii=False) if contract.kind == "node" else "",
        contract.hash, contract.public_ips, farm.id if farm else 0, farm.name if farm else "",
    )  # fmt: skip


def host_uptime() -> int:
    """Seconds that this computer runs: its nodes have no other uptime."""
    return int(float(Path("/proc/uptime").read_text().split()[0]))


def _farm(id: int) -> FarmSeed:
    return next(farm for farm in FARMS if farm.id == id)
