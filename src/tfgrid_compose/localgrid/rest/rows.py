"""What the REST API serves, before it is written in gridproxy's words."""

from __future__ import annotations

from typing import NamedTuple

from tfgrid_compose.grids.models import GIB, Capacity

MEMORY_RESERVE = 2 * GIB
DISK_RESERVE = 20 * GIB

# Rows are named tuples: a grid has a hundred thousand of them, and they are the quickest immutable thing to make.


class GpuRow(NamedTuple):
    """A graphics card; `id` is `slot/vendor id/device id`, `contract` the one that holds it, or 0."""

    id: str
    vendor: str
    device: str
    contract: int = 0


class NodeRow(NamedTuple):
    """A node; `held` is what its contracts hold, without the node's own reserve. Times in unix seconds, uptime in seconds."""

    id: int
    farm: int
    farm_name: str
    twin: int
    country: str
    city: str
    region: str
    total: Capacity
    held: Capacity
    status: str = "up"
    farm_twin: int = 0
    farm_free_ips: int = 0
    farm_dedicated: bool = False
    certified: bool = False
    ipv4: str = ""
    gw4: str = ""
    ipv6: str = ""
    gw6: str = ""
    domain: str = ""
    uptime: int = 0
    created: int = 0
    updated: int = 0
    contracts: int = 0
    rent_contract: int = 0
    rented_by: int = 0
    extra_fee: int = 0
    healthy: bool = True
    has_ipv6: bool = False
    power: tuple[str, str] = ("", "")
    gpus: tuple[GpuRow, ...] = ()
    features: tuple[str, ...] = ()
    price_usd: float = 0.0
    longitude: float | None = None
    latitude: float | None = None

    @property
    def reserve(self) -> Capacity:
        """What the node keeps for itself: a tenth of its memory but at least 2 GiB, and 20 GiB of SSD."""
        return Capacity(0, max(self.total.mru // 10, MEMORY_RESERVE), DISK_RESERVE)

    @property
    def used(self) -> Capacity:
        """What contracts and the reserve hold together."""
        held, reserve = self.held, self.reserve
        return Capacity(held.cru, held.mru + reserve.mru, held.sru + reserve.sru, held.hru)

    @property
    def free_mru(self) -> int:
        """Bytes of memory that a new contract can have."""
        return self.total.mru - self.held.mru - max(self.total.mru // 10, MEMORY_RESERVE)

    @property
    def free_sru(self) -> int:
        """Bytes of SSD that a new contract can have."""
        return self.total.sru - self.held.sru - DISK_RESERVE

    @property
    def free_hru(self) -> int:
        """Bytes of hard disk that a new contract can have."""
        return self.total.hru - self.held.hru

    @property
    def certification(self) -> str:
        """The node's certification in the words of the chain."""
        return "Certified" if self.certified else "Diy"

    @property
    def rented(self) -> bool:
        """Whether one twin has all of it."""
        return self.rented_by != 0

    @property
    def rentable(self) -> bool:
        """Whether a twin could have all of it."""
        return (self.farm_dedicated or self.contracts == 0) and not self.rented

    @property
    def dedicated(self) -> bool:
        """What gridproxy shows as dedicated; an empty node is, too."""
        return self.farm_dedicated or self.contracts == 0 or self.rented or self.extra_fee > 0


class IpRow(NamedTuple):
    """A public IPv4 of a farm in CIDR form; `contract` is the one that holds it, or 0."""

    id: str
    ip: str
    gateway: str
    contract: int
    farm: int


class FarmRow(NamedTuple):
    """A farm with its public addresses."""

    id: int
    name: str
    twin: int
    ips: tuple[IpRow, ...] = ()
    policy: int = 1
    certification: str = "NotCertified"
    stellar: str = ""
    dedicated: bool = False

    @property
    def total_ips(self) -> int:
        """How many public addresses it has."""
        return len(self.ips)

    @property
    def free_ips(self) -> int:
        """How many of them no contract holds."""
        return sum(not ip.contract for ip in self.ips)

    @property
    def used_ips(self) -> int:
        """How many of them contracts hold."""
        return self.total_ips - self.free_ips


class ContractRow(NamedTuple):
    """A contract of kind `node`, `name` or `rent`; `data` is the metadata's JSON, `created` in unix seconds."""

    id: int
    twin: int
    kind: str
    state: str
    created: int
    node: int = 0
    name: str = ""
    data: str = ""
    hash: str = ""
    public_ips: int = 0
    farm: int = 0
    farm_name: str = ""


class TwinRow(NamedTuple):
    """An account's record."""

    id: int
    account: str
    relay: str = ""
    public_key: str = ""


class BillRow(NamedTuple):
    """What was billed at a time (unix seconds), in 1e-7 TFT."""

    time: int
    units: int
