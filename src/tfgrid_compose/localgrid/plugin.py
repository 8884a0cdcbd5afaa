"""The local grid as one of the grids that deployments run on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tfgrid_compose.grids.base import Capacity, ContractInfo, Marked, Node, Progress
from tfgrid_compose.grids.marks import app_of, deployment_of
from tfgrid_compose.localgrid import deployments, networks, snapshots
from tfgrid_compose.localgrid.catalog import FARMS, NODES, node_public_host
from tfgrid_compose.localgrid.engine import Engine
from tfgrid_compose.localgrid.ledger import Contract
from tfgrid_compose.localgrid.machine import Machine

# Play money needs no secret; a fixed phrase gives every run the same account.
PLAY_MNEMONIC = "local grid account of this computer"


class LocalGrid:
    """Network `local`."""

    needs_root = True
    lists_nodes = True
    adopts = True
    can_snapshot = True

    def __init__(self, network: str = "local") -> None:
        self.name = network

    def prepare(self, progress: Progress) -> None:
        """Start the grid and every machine that has a contract."""
        with Engine(progress=progress) as engine:
            engine.ensure()

    def nodes(self) -> list[Node]:
        """The catalog's nodes with what is free on each."""
        with Engine() as engine:
            return [_node(engine, seed.id) for seed in NODES]

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
            found = [_info(contract) for contract in engine.ledger.contracts(ending=True)]
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


def _node(engine: Engine, id: int) -> Node:
    seed = next(seed for seed in NODES if seed.id == id)
    farm = next(farm for farm in FARMS if farm.id == seed.farm)
    free = engine.free(id)
    spare = sum(1 for _, contract in engine.ledger.addresses(farm.id) if not contract)
    ipv4 = f"{engine.instance.public4_host(node_public_host(id))}/25" if seed.public else ""
    return Node(
        id, farm.id, farm.name, seed.country, seed.city, "down" if engine.node_is_down(id) else "up", seed.certified,
        Capacity(seed.cru, seed.mru, seed.sru), Capacity(free.cru, free.mru, free.sru), ipv4, spare,
    )  # fmt: skip


def _info(contract: Contract) -> ContractInfo:
    name = str(contract.data.get("name", ""))
    app = app_of(str(contract.data.get("projectName", "")))
    return ContractInfo(contract.id, contract.node, contract.kind, name, contract.state, contract.usd_per_hour, app)
