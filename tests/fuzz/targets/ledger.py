"""The ledger of the local grid: damaged bytes."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.fuzz import mutate
from tests.fuzz.target import Target
from tfgrid_compose.localgrid.ledger import Ledger, Resources
from tfgrid_compose.state import backups

_NETWORK = {"id": "n1", "twin": 1, "name": "net", "contracts": {}, "subnets": {"1": "10.5.2.0/24"}, "nodes": [1], "access": None}


class Fuzz(Target):
    """Opens a ledger that was changed, reads all of it, and writes into it."""

    name, share = "ledger", 3

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._path = folder / "ledger.db"
        with Ledger(self._path) as ledger:
            twin = ledger.twin("account")
            id = ledger.open_contract(
                twin, 1, {"name": "vm_a", "type": "vm"}, "hash", Resources(1, 2**30, 2**30), 1, {"machines": []}
            )
            ledger.rent_address(1, id, "vm")
            ledger.update_contract(id, "hash", Resources(2, 2**30, 2**30), 1, {"machines": []})
            ledger.save_network(dict(_NETWORK), {"type": "network", "name": "net"})
            ledger.set_fact("base", "/base")
        self._data = backups.consistent_copy(self._path)

    def case(self, chance: Random) -> bytes:
        if chance.random() < 0.3:
            return mutate.raw(chance, self._data)
        found = bytearray(self._data)
        for _ in range(chance.choice((1, 1, 4, 50))):
            # Most of a small database is empty; its first page and the ends of the others say something.
            at = chance.choice((chance.randrange(4096), chance.randrange(len(found)), len(found) - 1 - chance.randrange(400)))
            found[at] ^= 1 << chance.randrange(8)
        return bytes(found)

    def run(self, case: bytes) -> None:
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._path.write_bytes(case)
        with Ledger(self._path) as ledger:
            ledger.contracts(), ledger.contracts(live=False), ledger.networks(), ledger.fact("base"), ledger.addresses(1)
            ledger.twins(), ledger.past_sizes(), ledger.network(1, "net"), ledger.network_by_id("n1")
            ledger.set_fact("fuzz", [1])
            assert ledger.fact("fuzz") == [1]
            ledger.twin("another")
