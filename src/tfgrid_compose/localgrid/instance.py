"""Which local grid this is: its names, folders and address ranges on the host.

Two may exist side by side: number 0 is the user's, number 1 the tests'. Every namespace, link,
nft table and process of a grid carries its prefix, so that one grid never touches another.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tfgrid_compose.errors import UsageError

# RFC 5737 and RFC 3849 set these ranges aside for documentation: no real host owns them.
_PUBLIC4 = "198.51.100"
_HALF = 128
_ROOT = "/var/lib/tfgrid-compose"


@dataclass(frozen=True)
class Instance:
    """Names and ranges of one local grid."""

    number: int
    home: Path
    cache: Path

    @property
    def prefix(self) -> str:
        """What every kernel object of this grid is named after, 3 characters."""
        return f"tg{self.number}"

    @property
    def grid_ns(self) -> str:
        """The namespace that stands for the internet between nodes."""
        return f"{self.prefix}-grid"

    @property
    def uplink(self) -> str:
        """The host's end of the link to the grid."""
        return f"{self.prefix}up"

    @property
    def uplink4(self) -> tuple[str, str]:
        """IPv4 of host and grid on the uplink, a /30."""
        third = 255 - self.number
        return f"10.231.{third}.1", f"10.231.{third}.2"

    @property
    def uplink6(self) -> tuple[str, str]:
        """Mycelium-like addresses of host and grid on the uplink, a /64."""
        return f"5ff:7467:6772:{self.number:x}::1", f"5ff:7467:6772:{self.number:x}::2"

    @property
    def public4(self) -> str:
        """The "public" IPv4 range: each grid has one half of 198.51.100.0/24."""
        return f"{_PUBLIC4}.{_HALF * self.number}/25"

    def public4_host(self, host: int) -> str:
        """The "public" IPv4 address number `host` (1 to 126) of this grid."""
        return f"{_PUBLIC4}.{_HALF * self.number + host}"

    @property
    def public6(self) -> str:
        """Prefix of the "public" IPv6 /64, without the final colons."""
        return f"2001:db8:7467:{self.number:x}"

    @property
    def nft_table(self) -> str:
        """Name of our nft table on the host."""
        return f"tfgrid_compose_{self.number}"

    @property
    def ledger(self) -> Path:
        """The SQLite file with nodes, contracts and machines."""
        return self.home / "ledger.db"

    @property
    def machines(self) -> Path:
        """Folder of the machines' disks and configuration."""
        return self.home / "machines"

    @property
    def locks(self) -> Path:
        """Folder of one lock for each machine."""
        return self.home / "locks"


def current() -> Instance:
    """The instance that `TFGRID_LOCALGRID` names (0 or 1; 0 when unset)."""
    raw = os.environ.get("TFGRID_LOCALGRID", "0")
    if raw not in ("0", "1"):
        raise UsageError(
            f"TFGRID_LOCALGRID is {raw!r}",
            why="a computer can hold two local grids, number 0 and number 1",
            fix="unset TFGRID_LOCALGRID",
        )
    root = Path(os.environ.get("TFGRID_LOCALGRID_ROOT", _ROOT))
    return Instance(int(raw), root / f"localgrid-{raw}", root / "cache")
