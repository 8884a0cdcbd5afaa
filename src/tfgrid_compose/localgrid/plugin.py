"""The local grid as one of the grids that deployments run on."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tfgrid_compose.grids.base import Progress
from tfgrid_compose.grids.marks import app_of, deployment_of
from tfgrid_compose.grids.models import Account, Capacity, ContractInfo, Marked, Node, with_apps
from tfgrid_compose.grids.pricing import Rates
from tfgrid_compose.localgrid import accounts, billing, deployments, networks, snapshots
from tfgrid_compose.localgrid.accounts import PLAY_MNEMONIC
from tfgrid_compose.localgrid.engine import Engine, require_root
from tfgrid_compose.localgrid.entries import Contract, Twin
from tfgrid_compose.localgrid.instance import current
from tfgrid_compose.localgrid.ledger import Ledger
from tfgrid_compose.localgrid.machine import Machine
from tfgrid_compose.localgrid.rest.local import LocalSource, farm_of
from tfgrid_compose.localgrid.rest.rows import NodeRow

if TYPE_CHECKING:
    from tfgrid_compose.grids.client import Client


class LocalGrid:
    """Network `local`."""

    needs_root = True
    adopts = True
    can_snapshot = True
    global_addresses = False
    play_money = True
    attaches_provider = True

    def __init__(self, network: str = "local") -> None:
        self.name = network

    def prepare(self, progress: Progress) -> None:
        """Start the grid and every machine that has a contract."""
        with Engine(progress=progress) as engine:
            engine.ensure()

    def may_buy(self) -> None:
        """Play money is always there."""

    def nodes(self, *, ipv6: bool = False) -> list[Node]:
        """The catalog's nodes with what is free on each.

        The very rows that `client` serves, without its HTTP: importing that would make every `up` slower.
        """
        require_root()
        rows = LocalSource(current()).nodes()
        return [replace(_node(row), has_ipv6=row.has_ipv6) if ipv6 else _node(row) for row in rows]

    def these_nodes(self, ids: Collection[int]) -> list[Node]:
        """Some of the catalog's nodes."""
        return [node for node in self.nodes() if node.id in ids]

    def client(self) -> Client:
        """The client of the local grid's REST API, which runs in this process. Raises `EnvironmentError_` without root."""
        import httpx

        from tfgrid_compose.grids.client import Client
        from tfgrid_compose.grids.networks import Network
        from tfgrid_compose.localgrid.rest.app import create_app

        require_root()
        # What a source raises says more than a status code could, so it comes through to the caller.
        return Client(Network(self.name), transport=httpx.ASGITransport(app=create_app(LocalSource(current()))))

    def account(self) -> Account:
        """The play account, with what its contracts have left of its money."""
        with Engine() as engine:
            twin = _play_twin(engine.ledger)
            left = billing.balance(engine.ledger, twin, time.time())
        return Account(self.name, accounts.address(twin.account), twin=twin.id, tft=left)

    def payer(self) -> str:
        """Nobody: it is play money."""
        return ""

    def rates(self) -> Rates:
        """The play price of a TFT; nobody has a discount."""
        return Rates(billing.USD_PER_TFT)

    def all_contracts(self) -> list[ContractInfo]:
        """Every contract of the play account that lives, those that are only half cancelled too."""
        with Engine() as engine:
            twin = _play_twin(engine.ledger).id
            return with_apps([_info(found) for found in engine.ledger.contracts(ending=True) if found.twin == twin])

    @contextmanager
    def terraform(self, progress: Progress, *, only_look: bool = False) -> Iterator[dict[str, str]]:
        """The provider in this process, and the play account."""
        from tfgrid_compose.localgrid.provider.app import LocalProvider
        from tfgrid_compose.localgrid.provider.server import attached

        def open_engine() -> Engine:
            engine = Engine(progress=progress)
            if not only_look:
                engine.ensure()
            return engine

        provider = LocalProvider(open_engine)
        try:
            with attached(provider) as env:
                yield {**env, "TF_VAR_mnemonic": PLAY_MNEMONIC, "TF_VAR_tfgrid_network": "dev"}
        finally:
            provider.close()

    def contracts(self, deployment: str) -> list[ContractInfo]:
        """Live contracts whose names carry the deployment's id, those that are only half cancelled too."""
        with Engine() as engine:
            return [_info(found) for found in engine.ledger.contracts(ending=True) if deployment in str(found.data.get("name"))]

    def marked(self) -> list[Marked]:
        """Everything that carries our mark, of whatever deployment."""
        with Engine() as engine:
            found = with_apps([_info(contract) for contract in engine.ledger.contracts(ending=True)])
        return [Marked(id, contract, contract.app) for contract in found if (id := deployment_of(contract.name))]

    def alive(self, contracts: Sequence[int]) -> bool:
        """Whether all contracts exist: `prepare` starts every machine that has one."""
        with Engine() as engine:
            return all(deployments.live(engine, id) for id in contracts)

    def cancel(self, contracts: Sequence[int]) -> None:
        """Cancel contracts as the chain would: machines and networks go with them."""
        with Engine() as engine:
            for id in contracts:
                for contract in engine.ledger.contracts(id=id, ending=True):
                    if contract.data.get("type") == "network":
                        networks.remove(engine, contract.spec["network"])
                        engine.ledger.close_contract(id)
                    else:
                        deployments.cancel(engine, id)

    def remains(self, contracts: Sequence[int]) -> list[str]:
        """Contracts that live and folders of machines that are left."""
        with Engine() as engine:
            found = [f"contract {id}" for id in contracts if engine.ledger.contracts(id=id, ending=True)]
            for id in contracts:
                found += [f"machine {path}" for path in engine.instance.machines.glob(f"{id}-*")]
            return found

    def snapshot(self, contracts: Sequence[int], name: str) -> int:
        """Keep the disks of the contracts' machines as they are now; returns the bytes that this takes."""
        with Engine() as engine:
            return snapshots.take(_machines(engine, contracts), name)

    def restore(self, contracts: Sequence[int], name: str) -> None:
        """Give the contracts' machines the disks of a snapshot and start them anew."""
        with Engine() as engine:
            snapshots.restore(engine.ledger, _machines(engine, contracts), name)

    def snapshots(self, contracts: Sequence[int]) -> list[str]:
        """Names of the snapshots that all machines of the contracts have, oldest first."""
        with Engine() as engine:
            return snapshots.names(_machines(engine, contracts))

    def forget_snapshot(self, contracts: Sequence[int], name: str) -> None:
        """Delete a snapshot; one that is gone is no error."""
        with Engine() as engine:
            snapshots.forget(_machines(engine, contracts), name)


def _machines(engine: Engine, contracts: Sequence[int]) -> list[Machine]:
    """The machines of contracts, with nothing half-done about them."""
    engine.finish()
    found = [contract for id in contracts for contract in engine.ledger.contracts(id=id)]
    return [Machine(engine.instance, spec) for contract in found for spec in engine.machine_specs(contract)]


def _play_twin(ledger: Ledger) -> Twin:
    """The account that deployments are made with, made on first sight."""
    id = ledger.twin(accounts.digest(PLAY_MNEMONIC))
    return next(twin for twin in ledger.twins() if twin.id == id)


def _node(row: NodeRow) -> Node:
    free = Capacity(row.total.cru - row.used.cru, row.free_mru, row.free_sru, row.free_hru)
    return Node(
        row.id, row.farm, row.farm_name, row.country, row.city, row.status, row.certified, row.total,
        Capacity(*(max(0, value) for value in (free.cru, free.mru, free.sru, free.hru))), row.ipv4, row.farm_free_ips,
        row.used, row.twin, row.ipv6, row.domain, row.uptime, row.healthy, row.farm_dedicated, row.rentable, row.rented_by,
        frozenset(row.features), len(row.gpus), round(row.price_usd, 3), float(row.extra_fee), float(row.updated),
    )  # fmt: skip


def _info(contract: Contract) -> ContractInfo:
    name = str(contract.data.get("name", ""))
    app = app_of(str(contract.data.get("projectName", "")))
    farm = farm_of(contract.node)
    return ContractInfo(
        contract.id, contract.node, _kind(contract), name, contract.state, contract.usd_per_hour, app, deployment_of(name),
        float(contract.created), contract.twin, contract.public_ips, farm.name if farm else "",
    )  # fmt: skip


def _kind(contract: Contract) -> str:
    """The type of a node contract's workload, else what kind of contract it is."""
    return str(contract.data.get("type") or contract.kind) if contract.kind == "node" else contract.kind
