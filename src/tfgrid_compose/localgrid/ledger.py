"""What the local grid remembers: nodes, contracts, networks, machines and their bill.

SQLite with write-ahead log and full sync. Rows are written before the thing they describe is
made and removed after it is gone, so that whatever a crash leaves can be found and finished.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from tfgrid_compose.localgrid.database import Database
from tfgrid_compose.localgrid.entries import Contract, PastSize, Resources, Twin, contract_of, readable, record_of, usd_per_hour

OPENING_BALANCE_TFT = 10_000.0


class Ledger(Database):
    """One open ledger; use as a context manager or call `close`."""

    # Accounts

    def twin(self, account: str) -> int:
        """The twin of an account (a digest of its mnemonic), made on first sight."""
        rows = self._rows("SELECT id FROM twins WHERE account = ?", (account,))
        if not rows:
            with self.write() as db:
                db.execute("INSERT OR IGNORE INTO twins (account, balance) VALUES (?, ?)", (account, OPENING_BALANCE_TFT))
            return self.twin(account)
        return int(rows[0]["id"])

    def twins(self) -> list[Twin]:
        """Every account that was ever seen, oldest first."""
        rows = self._rows("SELECT * FROM twins ORDER BY id")
        with self._explained(), readable("an account"):
            return [Twin(int(row["id"]), str(row["account"]), float(row["balance"])) for row in rows]

    # Contracts

    def contracts(
        self, *, node: int | None = None, live: bool = True, id: int | None = None, ending: bool = False
    ) -> list[Contract]:
        """Contracts, oldest first; by default only those that exist now.

        With `ending` also those whose cancelling was begun and has not come to its end.
        """
        states = "'Created', 'GracePeriod', 'Cancelling'" if ending else "'Created', 'GracePeriod'"
        clauses = [f"state IN ({states})"] if live else ["1"]
        values: list[Any] = []
        for column, value in (("node", node), ("id", id)):
            if value is not None:
                clauses.append(f"{column} = ?")
                values.append(value)
        # The clauses are the fixed strings above; values are bound.
        rows = self._rows(f"SELECT * FROM contracts WHERE {' AND '.join(clauses)} ORDER BY id", values)  # noqa: S608
        with self._explained():
            return [contract_of(row) for row in rows]

    def open_contract(
        self,
        twin: int,
        node: int | None,
        data: dict[str, Any],
        digest: str,
        resources: Resources,
        public_ips: int,
        spec: dict[str, Any],
        kind: str = "node",
    ) -> int:
        """Record a new contract and return its id."""
        with self.write() as db:
            return _insert(db, twin, node, data, digest, resources, public_ips, spec, kind)

    def update_contract(self, id: int, digest: str, resources: Resources, public_ips: int, spec: dict[str, Any]) -> None:
        """Record the new content of a contract that is updated in place; what it cost until now is kept for its bill."""
        with self.write() as db:
            db.execute(
                "INSERT INTO past_sizes SELECT id, ?, cru, mru, sru, public_ips FROM contracts"
                " WHERE id = ? AND (cru, mru, sru, public_ips) != (?, ?, ?, ?)",
                (int(time.time()), id, resources.cru, resources.mru, resources.sru, public_ips),
            )
            db.execute(
                "UPDATE contracts SET hash = ?, cru = ?, mru = ?, sru = ?, public_ips = ?, spec = ? WHERE id = ?",
                (digest, resources.cru, resources.mru, resources.sru, public_ips, json.dumps(spec), id),
            )

    def past_sizes(self) -> dict[int, list[PastSize]]:
        """What contracts cost before they were changed, by contract, oldest first."""
        found: dict[int, list[PastSize]] = {}
        rows = self._rows(
            "SELECT past_sizes.*, contracts.node FROM past_sizes JOIN contracts ON contracts.id = past_sizes.contract"
            " ORDER BY contract, until, past_sizes.rowid"
        )
        with self._explained(), readable("a past size of a contract"):
            for row in rows:
                price = usd_per_hour(row["node"], Resources(row["cru"], row["mru"], row["sru"]), row["public_ips"])
                found.setdefault(row["contract"], []).append(PastSize(int(row["until"]), price))
        return found

    def set_metadata(self, id: int, data: dict[str, Any]) -> None:
        """Record the new public metadata of a contract."""
        with self.write() as db:
            db.execute("UPDATE contracts SET data = ? WHERE id = ?", (json.dumps(data), id))

    def begin_cancel(self, id: int) -> None:
        """Record that a contract is being cancelled: from now on it only waits for its machines to go."""
        with self.write() as db:
            db.execute("UPDATE contracts SET state = 'Cancelling' WHERE id = ? AND state != 'Deleted'", (id,))

    def close_contract(self, id: int) -> None:
        """Cancel a contract and free its public addresses."""
        with self.write() as db:
            _close(db, id)

    def used(self, node: int) -> Resources:
        """What the live contracts of a node hold, without the node's own reserve."""
        total = Resources()
        for contract in self.contracts(node=node, ending=True):
            total = total.plus(contract.resources)
        return total

    # Public addresses

    def rent_address(self, farm: int, contract: int, vm: str) -> int | None:
        """Reserve a public IPv4 of the farm; returns its last octet, None when none is free."""
        with self.write() as db:
            mine = db.execute("SELECT host FROM addresses WHERE contract = ? AND vm = ?", (contract, vm)).fetchone()
            if mine:
                return int(mine["host"])
            free = db.execute(
                "SELECT host FROM addresses WHERE farm = ? AND contract IS NULL ORDER BY host LIMIT 1", (farm,)
            ).fetchone()
            if free is None:
                return None
            db.execute("UPDATE addresses SET contract = ?, vm = ? WHERE host = ?", (contract, vm, free["host"]))
            return int(free["host"])

    def free_addresses(self, contract: int, keep: Sequence[str]) -> None:
        """Give back the public IPv4 of machines of a contract that are not in `keep`."""
        with self.write() as db:
            for row in db.execute("SELECT host, vm FROM addresses WHERE contract = ?", (contract,)).fetchall():
                if row["vm"] not in keep:
                    db.execute("UPDATE addresses SET contract = NULL, vm = NULL WHERE host = ?", (row["host"],))

    def addresses(self, farm: int) -> list[tuple[int, int]]:
        """(last octet, contract or 0) of every public IPv4 of a farm."""
        rows = self._rows("SELECT host, contract FROM addresses WHERE farm = ? ORDER BY host", (farm,))
        with self._explained(), readable("a public address"):
            return [(int(row["host"]), int(row["contract"] or 0)) for row in rows]

    # Networks

    def networks(self) -> list[dict[str, Any]]:
        """Every network's record."""
        return self._records("SELECT record FROM networks ORDER BY number")

    def network(self, twin: int, name: str) -> dict[str, Any] | None:
        """The record of a twin's network by name."""
        found = self._records("SELECT record FROM networks WHERE twin = ? AND name = ?", (twin, name))
        return found[0] if found else None

    def network_by_id(self, id: str) -> dict[str, Any] | None:
        """The record of a network by its id."""
        found = self._records("SELECT record FROM networks WHERE id = ?", (id,))
        return found[0] if found else None

    def _records(self, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        rows = self._rows(query, values)
        with self._explained():
            return [record_of(row["record"]) for row in rows]

    def save_network(self, record: dict[str, Any], data: dict[str, Any] | None = None) -> dict[str, Any]:
        """Insert or replace a network; a new one gets the lowest free `number`.

        With `data`, the metadata of its contracts, every node with a subnet has a contract afterwards
        and no other node has one. All in one commit: a crash leaves no network without contracts
        and no contract without its network.
        """
        with self.write() as db:
            if "number" not in record:
                taken = {int(row[0]) for row in db.execute("SELECT number FROM networks")}
                record["number"] = next(n for n in range(1, 60000) if n not in taken)
            if data is not None:
                _agree(db, record, data)
            db.execute(
                "INSERT INTO networks (id, number, twin, name, record) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET record = excluded.record, name = excluded.name",
                (record["id"], record["number"], record["twin"], record["name"], json.dumps(record)),
            )
        return record

    def drop_network(self, id: str) -> None:
        """Forget a network and cancel its contracts, in one commit."""
        with self.write() as db:
            row = db.execute("SELECT record FROM networks WHERE id = ?", (id,)).fetchone()
            for contract in record_of(row["record"]).get("contracts", {}).values() if row else ():
                _close(db, contract)
            db.execute("DELETE FROM networks WHERE id = ?", (id,))

    # Single facts: what the host looked like before, ordered faults

    def fact(self, key: str) -> Any:
        """A remembered value, None when absent."""
        rows = self._rows("SELECT value FROM facts WHERE key = ?", (key,))
        with self._explained(), readable("a fact"):
            return json.loads(rows[0]["value"]) if rows else None

    def set_fact(self, key: str, value: Any) -> None:
        """Remember a value; None forgets it."""
        with self.write() as db:
            if value is None:
                db.execute("DELETE FROM facts WHERE key = ?", (key,))
            else:
                db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, json.dumps(value)))

    def change_fact(self, key: str, change: Callable[[Any], Any]) -> None:
        """Replace a value by what `change` makes of it, with no other writer in between."""
        with self.write() as db:
            row = db.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
            with readable("a fact"):
                found = json.loads(row["value"]) if row else None
            value = change(found)
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, json.dumps(value)))


def _insert(
    db: sqlite3.Connection, twin: int, node: int | None, data: dict[str, Any], digest: str, resources: Resources,
    public_ips: int, spec: dict[str, Any], kind: str = "node",
) -> int:  # fmt: skip
    cursor = db.execute(
        "INSERT INTO contracts (twin, kind, node, state, created, data, hash, public_ips, cru, mru, sru, spec)"
        " VALUES (?, ?, ?, 'Created', ?, ?, ?, ?, ?, ?, ?, ?)",
        (twin, kind, node, int(time.time()), json.dumps(data), digest, public_ips,
         resources.cru, resources.mru, resources.sru, json.dumps(spec)),
    )  # fmt: skip
    return int(cursor.lastrowid or 0)


def _close(db: sqlite3.Connection, id: int) -> None:
    db.execute("UPDATE contracts SET state = 'Deleted', closed = ? WHERE id = ?", (int(time.time()), id))
    db.execute("UPDATE addresses SET contract = NULL, vm = NULL WHERE contract = ?", (id,))


def _agree(db: sqlite3.Connection, record: dict[str, Any], data: dict[str, Any]) -> None:
    """One contract for each subnet of a network's record; those of nodes that left are cancelled."""
    held = record["contracts"]
    for node in [node for node in held if node not in record["subnets"]]:
        _close(db, held.pop(node))
    for node in record["subnets"]:
        if node in held:
            db.execute("UPDATE contracts SET data = ? WHERE id = ?", (json.dumps(data), held[node]))
        else:
            spec = {"network": record["id"]}
            held[node] = _insert(db, record["twin"], int(node), data, secrets.token_hex(16), Resources(), 0, spec)
