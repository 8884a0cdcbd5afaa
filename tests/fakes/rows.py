"""A synthetic grid behind the REST API: any number of nodes, always the same ones for the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from tfgrid_compose.grids.models import GIB, Capacity
from tfgrid_compose.localgrid.rest.filters import ZOS3
from tfgrid_compose.localgrid.rest.rows import BillRow, ContractRow, FarmRow, GpuRow, IpRow, NodeRow, TwinRow

NOW = 1_750_000_000.0
PLACES = (
    ("Belgium", "Ghent", "Europe"), ("Belgium", "Antwerp", "Europe"), ("Germany", "Falkenstein", "Europe"),
    ("Egypt", "Cairo", "Africa"), ("South Africa", "Durban", "Africa"), ("Brazil", "Recife", "South America"),
    ("United States", "Dallas", "North America"), ("Switzerland", "Zürich", "Europe"),
)  # fmt: skip
ZOS4 = ("zmount", "zdb", "volume", "gateway-name-proxy", "gateway-fqdn-proxy", "qsfs", "zlogs", "zmachine-light", "network-light",
        "mycelium")  # fmt: skip
_STATUSES = ("up",) * 7 + ("down", "down", "standby")
_STATES = ("Created", "Created", "Created", "GracePeriod", "Deleted")
_KINDS = ("node", "node", "node", "node", "name", "rent")
NODES_PER_FARM = 4
IPS_PER_FARM = 6


def mixed(number: int, salt: int) -> int:
    """A number that looks random and is always the same for the same two."""
    found = (number * 0x9E3779B1 + salt * 0x85EBCA77) & 0xFFFFFFFF
    found = ((found ^ found >> 15) * 0x2C1B3C6D) & 0xFFFFFFFF
    return (found ^ found >> 12) >> 4 & 0xFFFFFF


class SyntheticSource:
    """Nodes with all kinds of capacity, status and use, four to a farm, and half as many contracts as nodes.

    One node in 16 is a gateway, one in 8 is an access node, one in 32 has a graphics card, one in 20 is rented. The
    first node is always up, empty, public and certified.
    """

    def __init__(self, nodes: int = 100, *, now: float = NOW) -> None:
        self._count, self._now = nodes, now

    def now(self) -> float:
        return self._now

    def nodes(self) -> Sequence[NodeRow]:
        return self._nodes

    def farms(self) -> Sequence[FarmRow]:
        return self._farms

    def contracts(self) -> Sequence[ContractRow]:
        return self._contracts

    def twins(self) -> Sequence[TwinRow]:
        return self._twins

    def public_ips(self) -> Sequence[IpRow]:
        return self._ips

    def bills(self, contract: int) -> Sequence[BillRow]:
        if not 1 <= contract <= len(self._contracts):
            return []
        created, hours = self._contracts[contract - 1].created, mixed(contract, 9) % 120
        return [BillRow(created + 3600 * hour, 10_000 + mixed(contract, 10)) for hour in range(hours, 0, -1)]

    def consumption(self, twin: int) -> tuple[float, float]:
        mine = [row.id for row in self._contracts if row.twin == twin]
        overall = sum(bill.units for id in mine for bill in self.bills(id)) / 1e7
        return overall / 100, overall

    @cached_property
    def _farms(self) -> list[FarmRow]:
        count = -(-self._count // NODES_PER_FARM)
        return [self._farm(id) for id in range(1, count + 1)]

    def _farm(self, id: int) -> FarmRow:
        block = f"{185 + id // 65536 % 40}.{id // 256 % 256}.{id % 256}"
        ips = tuple(
            IpRow(f"{id:06d}-{host}", f"{block}.{host + 2}/24", f"{block}.1", 7 if mixed(id, host) % 3 else 0, id)
            for host in range(mixed(id, 1) % (IPS_PER_FARM + 1))
        )
        certification = ("NotCertified", "NotCertified", "Silver", "Gold")[mixed(id, 2) % 4]
        return FarmRow(id, f"Farm-{id}", 1000 + id, ips, 1, certification, f"G{id:055d}", id % 10 == 0)

    @cached_property
    def _nodes(self) -> list[NodeRow]:
        farms = {row.id: (row, row.free_ips) for row in self._farms}
        return [self._node(id, *farms[-(-id // NODES_PER_FARM)]) for id in range(1, self._count + 1)]

    def _node(self, id: int, farm: FarmRow, free_ips: int) -> NodeRow:
        dice = mixed(id, 3)
        country, city, region = PLACES[dice % len(PLACES)]
        total = Capacity(4 << dice % 5, (8 << dice % 6) * GIB, (128 << dice % 7) * GIB, (dice % 3) * 4096 * GIB)
        contracts = 0 if id == 1 else dice % 5
        held = Capacity(contracts, contracts * GIB, contracts * 10 * GIB)
        status = "up" if id == 1 else _STATUSES[dice // 7 % 10]
        renter = 100 + dice % 50 if id % 20 == 0 else 0
        return NodeRow(
            id, farm.id, farm.name, 1_000_000 + id, country, city, region, total, held, status,
            farm.twin, free_ips, farm.dedicated, certified=id == 1 or dice % 6 == 0,
            ipv4=f"192.0.{id // 256 % 256}.{id % 256}/24" if id % 8 == 1 else "", gw4=f"192.0.{id // 256 % 256}.1" if id % 8 == 1 else "",
            ipv6=f"2001:db8:{id % 65536:x}::2/64" if id % 16 == 1 else "",
            domain=f"gent{id:02d}.example.org" if id % 16 == 1 else "",
            uptime=dice % 10_000_000, created=1_600_000_000 + id, updated=int(self._now) - (60 if status == "up" else 86_000),
            contracts=contracts, rent_contract=id if renter else 0, rented_by=renter, extra_fee=500 if id % 50 == 0 else 0,
            healthy=status == "up" and (id == 1 or dice % 9 > 0), has_ipv6=dice % 2 == 0,
            power=("Down", "Down") if status == "standby" else ("Up", "Up"),
            gpus=(GpuRow(f"0000:{id % 256:02x}:00.0/1002/744c", "Advanced Micro Devices, Inc.", "Navi 31", dice % 2),) if id % 32 == 0 else (),
            features=ZOS4 if id % 13 == 0 else ZOS3, price_usd=dice % 400_000 / 1000,
            longitude=dice % 360 - 180.0, latitude=None if id % 11 == 0 else dice % 180 - 90.0,
        )  # fmt: skip

    @cached_property
    def _contracts(self) -> list[ContractRow]:
        return [self._contract(id) for id in range(1, self._count // 2 + 1)]

    def _contract(self, id: int) -> ContractRow:
        dice = mixed(id, 4)
        kind, state, twin = _KINDS[dice % 6], _STATES[dice // 6 % 5], 1 + dice % 40
        created = int(self._now) - 3600 * 200 - dice % 1_000_000
        if kind == "name":
            return ContractRow(id, twin, kind, state, created, name=f"name{id}")
        node = self._nodes[dice % self._count]
        if kind == "rent":
            return ContractRow(id, twin, kind, state, created, node.id, farm=node.farm, farm_name=node.farm_name)
        data = f'{{"version":3,"type":"vm","name":"vm{id}","projectName":"vm/vm{id}"}}'
        return ContractRow(id, twin, kind, state, created, node.id, "", data, f"{dice:032x}", dice % 3, node.farm, node.farm_name)

    @cached_property
    def _twins(self) -> list[TwinRow]:
        count = max(self._count // 4, 40)
        return [TwinRow(id, f"5{id:047d}", "relay.example.org", f"0x{id:066x}") for id in range(1, count + 1)]

    @cached_property
    def _ips(self) -> list[IpRow]:
        return [ip for row in self._farms for ip in row.ips]
