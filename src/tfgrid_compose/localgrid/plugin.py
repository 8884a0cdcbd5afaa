"""The local grid as one of the grids that deployments run on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tfgrid_compose.grids.base import Capacity, ContractInfo, Node, Progress
from tfgrid_compose.localgrid import deployments, networks
from tfgrid_compose.localgrid.catalog import FARMS, NODES, node_public_host
from tfgrid_compose.localgrid.engine import Engine
from tfgrid_compose.localgrid.ledger import Contract

# Play money needs no secret; a fixed phrase gives every run the same account.
PLAY_MNEMONIC = "local grid account of this computer"


class LocalGrid:
    """Network `local`."""

    needs_root = True
    lists_nodes = True

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
    def terraform(self, progress: Progress) -> Iterator[dict[str, str]]:
        """The provider in this process, and the play account."""
        from tfgrid_compose.localgrid.provider.app import LocalProvider
        from tfgrid_compose.localgrid.provider.server import attached

        def open_engine() -> Engine:
            engine = Engine(progress=progress)
            engine.ensure()
            return engine

        provider = LocalProvider(open_engine)
        try:
            with attached(provider) as env:
                yield {**env, "TF_VAR_mnemonic": PLAY_MNEMONIC, "TF_VAR_tfgrid_network": "dev"}
        finally:
            provider.close()

    def contracts(self, deployment: str) -> list[ContractInfo]:
        """Live contracts whose names carry the deployment's id."""
        with Engine() as engine:
            return [_info(contract) for contract in engine.ledger.contracts() if deployment in str(contract.data.get("name"))]

    def alive(self, contracts: Sequence[int]) -> bool:
        """Whether all contracts exist: `prepare` starts every machine that has one."""
        with Engine() as engine:
            return all(deployments.live(engine, id) for id in contracts)

    def cancel(self, contracts: Sequence[int]) -> None:
        """Cancel contracts as the chain would: machines and networks go with them."""
        with Engine() as engine:
            for id in contracts:
                contract = deployments.live(engine, id)
                if contract is None:
                    continue
                if contract.data.get("type") == "network":
                    networks.remove(engine, contract.spec["network"])
                else:
                    deployments.cancel(engine, id)

    def remains(self, contracts: Sequence[int]) -> list[str]:
        """Contracts that live and folders of machines that are left."""
        with Engine() as engine:
            found = [f"contract {id}" for id in contracts if deployments.live(engine, id)]
            for id in contracts:
                found += [f"machine {path}" for path in engine.instance.machines.glob(f"{id}-*")]
            return found


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
    return ContractInfo(contract.id, contract.node, contract.kind, name, contract.state, contract.usd_per_hour)
