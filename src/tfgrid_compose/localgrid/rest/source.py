"""Where the REST API gets its rows from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tfgrid_compose.localgrid.rest.rows import BillRow, ContractRow, FarmRow, IpRow, NodeRow, TwinRow


class Source(Protocol):
    """A grid's directory at this moment; every list is in the order of its ids. Called from several threads."""

    def nodes(self) -> Sequence[NodeRow]:
        """All nodes."""

    def farms(self) -> Sequence[FarmRow]:
        """All farms with their public addresses."""

    def contracts(self) -> Sequence[ContractRow]:
        """All contracts, those that are deleted too."""

    def twins(self) -> Sequence[TwinRow]:
        """All twins: of accounts, farmers and nodes."""

    def public_ips(self) -> Sequence[IpRow]:
        """The public addresses of all farms."""

    def bills(self, contract: int) -> Sequence[BillRow]:
        """What a contract was billed, newest first; nothing for one that does not exist."""

    def consumption(self, twin: int) -> tuple[float, float]:
        """TFT that a twin was billed: in the last hour, and ever."""

    def now(self) -> float:
        """The time of this grid, in unix seconds."""
