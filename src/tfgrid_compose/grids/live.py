"""The ThreeFold Grid itself. Only what a deployment on a chosen node needs; choosing comes later."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tfgrid_compose.errors import GridError
from tfgrid_compose.grids.base import ContractInfo, Marked, Node, Progress


class LiveGrid:
    """One of main, test, qa and dev."""

    needs_root = False
    lists_nodes = False
    adopts = False
    can_snapshot = False

    def __init__(self, network: str) -> None:
        self.name = network

    def prepare(self, progress: Progress) -> None:
        """Check that there is an account to pay with. Raises `GridError`."""
        self._mnemonic()

    def _mnemonic(self) -> str:
        for variable in ("TF_VAR_mnemonic", "MNEMONIC"):
            if os.environ.get(variable):
                return os.environ[variable]
        stored = Path.home() / ".config" / "threefold" / "mnemonic"
        words = self._stored(stored)
        if words:
            return words
        raise GridError(
            f"no account for network {self.name}",
            why="deploying there is paid from a grid account, and no mnemonic is set",
            fix=f"put it into {stored} (mode 0600), or try without an account: --network local",
            code="account-missing",
        )

    def _stored(self, file: Path) -> str:
        try:
            return file.read_text(encoding="utf-8").strip() if file.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise GridError(
                f"the account of network {self.name} can't be read",
                why=f"{file}: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}",
                fix=f"ls -l {file}",
                code="account-unreadable",
            ) from error

    def nodes(self) -> list[Node]:
        """Not known yet: the user names the node."""
        raise GridError(
            f"nodes of network {self.name} can't be chosen automatically yet",
            why="this version does not ask the grid's node directory",
            fix="choose a node on https://dashboard.grid.tf and pass it with --node",
            code="node-choice-unsupported",
        )

    @contextmanager
    def terraform(self, progress: Progress, *, only_look: bool = False) -> Iterator[dict[str, str]]:
        """The account, by environment only."""
        yield {"TF_VAR_mnemonic": self._mnemonic(), "TF_VAR_tfgrid_network": self.name}

    def contracts(self, deployment: str) -> list[ContractInfo]:
        """Unknown without the grid's directory; raising is the only honest answer."""
        raise self._no_list()

    def marked(self) -> list[Marked]:
        """Unknown for the same reason."""
        raise self._no_list()

    def _no_list(self) -> GridError:
        return GridError(
            f"contracts of network {self.name} can't be listed yet",
            why="this version does not ask the grid's contract directory",
            fix="look them up on https://dashboard.grid.tf",
            code="contract-list-unsupported",
        )

    def alive(self, contracts: Sequence[int]) -> bool:
        """Taken on trust: Terraform's own refresh finds what is gone."""
        return True

    def cancel(self, contracts: Sequence[int]) -> None:
        """Only Terraform cancels here."""

    def remains(self, contracts: Sequence[int]) -> list[str]:
        """Terraform's destroy is the proof; there is nothing else to ask yet."""
        return []

    def snapshot(self, contracts: Sequence[int], name: str) -> int:
        """Nodes of the grid keep no snapshots."""
        raise self._no_snapshots()

    def restore(self, contracts: Sequence[int], name: str) -> None:
        """Nodes of the grid keep no snapshots."""
        raise self._no_snapshots()

    def snapshots(self, contracts: Sequence[int]) -> list[str]:
        """Nodes of the grid keep no snapshots."""
        raise self._no_snapshots()

    def forget_snapshot(self, contracts: Sequence[int], name: str) -> None:
        """Nodes of the grid keep no snapshots."""
        raise self._no_snapshots()

    def _no_snapshots(self) -> GridError:
        return GridError(
            f"network {self.name} has no snapshots of machines",
            why="nodes of the ThreeFold Grid don't copy a machine's disks",
            fix="let the app keep backups of its data, or use --network local",
            code="snapshot-unsupported",
        )
