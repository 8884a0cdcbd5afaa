"""A chain for tests: a ledger in memory behind the JSON-RPC over WebSocket that clients of Substrate speak.

    with FakeChain() as chain:
        chain.fund(address, tft=100)
        chain.add_twin(7, address)
        chain.add_contract(11, twin=7, node=1)
        cancel(Chain([chain.url]), [11], signed)

Storage, calls, errors and fees are those of tfchain as far as the program uses them; signatures, nonces and the lifetime
of transactions are checked. `orders` makes it fail in the ways that real ones do.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import ed25519_zebra
import sr25519
import xxhash
from scalecodec.utils.ss58 import ss58_decode

from tests.fakes import scale
from tests.fakes.websocket import Connection, Server

TFT = 10_000_000
FEE = 10_000
_METHODS = (
    "author_submitAndWatchExtrinsic", "author_submitExtrinsic", "author_unwatchExtrinsic", "chain_getBlock",
    "chain_getBlockHash", "chain_getFinalizedHead", "chain_getHead", "chain_getHeader", "payment_queryInfo", "rpc_methods",
    "state_call", "state_getMetadata", "state_getRuntimeVersion", "state_getStorage", "state_getStorageAt",
    "state_queryStorageAt", "system_accountNextIndex", "system_chain", "system_name", "system_properties", "system_version",
)  # fmt: skip


@dataclass
class Contract:
    """A contract; `name` is a name contract's, else it is a node contract, or with `rent` one for a whole node."""

    id: int
    twin: int
    node: int = 0
    name: str = ""
    rent: bool = False
    data: str = ""
    public_ips: int = 0
    state: str = "Created"

    @property
    def kind(self) -> str:
        return "name" if self.name else "rent" if self.rent else "node"

    def encoded(self) -> bytes:
        grace = scale.number(2, 1) + scale.number(1000, 8)
        state = {"Created": b"\0", "Deleted": b"\1\0", "OutOfFunds": b"\1\1", "GracePeriod": grace}[self.state]
        head = scale.number(4, 4) + state + scale.number(self.id, 8) + scale.number(self.twin, 4)
        if self.name:
            data = b"\1" + scale.text(self.name)
        elif self.rent:
            data = b"\2" + scale.number(self.node, 4)
        else:
            hash = blake2b(str(self.id).encode(), digest_size=32).digest()
            ips = scale.number(self.public_ips, 4) + scale.vec([])
            data = b"\0" + scale.number(self.node, 4) + hash + scale.text(self.data) + ips
        return head + data + scale.option(None)


@dataclass
class Orders:
    """How the chain shall fail.

    `silent` never answers these methods, and calls `on_silence` instead; `garbage` is sent instead of every answer; `errors` are JSON-RPC errors by
    method; `behind` is how old the newest block is, in seconds; `refuse` is the error of the pallet that every transaction
    ends with. What was submitted: `drop` closes the connection before anything is said of it, `lose` forgets it,
    `hold` says nothing of it, `status` is said of it instead of a block; `on_submit` is called once it is in a block,
    `on_lost` once it was forgotten.
    """

    silent: set[str] = field(default_factory=set)
    garbage: str = ""
    errors: dict[str, dict[str, Any]] = field(default_factory=dict)
    behind: float = 0.0
    refuse: str = ""
    drop: bool = False
    lose: bool = False
    hold: bool = False
    status: Any = None
    on_submit: Callable[[], None] | None = None
    on_lost: Callable[[], None] | None = None
    on_silence: Callable[[], None] = lambda: None


@dataclass
class _Block:
    hash: str
    events: bytes = b"\0"
    extrinsics: list[str] = field(default_factory=list)


class Refused(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str, data: str = "") -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, **({"data": data} if data else {})}


class _PalletError(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.place = scale.CONTRACT_ERRORS.index(name)


class FakeChain:
    """The server and its ledger; `asked` lists every method that was called."""

    def __init__(self) -> None:
        self.orders = Orders()
        self.asked: list[str] = []
        self.submitted: list[list[int]] = []
        self.contracts: dict[int, Contract] = {}
        self.musd_per_tft = 20
        # Called before a transaction is carried out: what another program does meanwhile.
        self.before_submit: Callable[[], Any] | None = None
        self._free: dict[bytes, int] = {}
        self._frozen: dict[bytes, int] = {}
        self._nonces: dict[bytes, int] = {}
        self._twins: dict[bytes, int] = {}
        self._lock = threading.RLock()
        self._blocks: list[_Block] = []
        for _ in range(3):
            self._mine()
        self._server = Server(self._talk)
        self.url = f"ws://127.0.0.1:{self._server.port}"

    def __enter__(self) -> FakeChain:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.close()

    def answer_handshake(self, raw: bytes) -> None:
        """Say this instead of a handshake, such as the page of a proxy."""
        self._server.instead = raw

    # The ledger

    def fund(self, address: str, tft: float, locked: float = 0.0) -> None:
        self._free[_key(address)], self._frozen[_key(address)] = round(tft * TFT), round(locked * TFT)

    def free_tft(self, address: str) -> float:
        return self._free.get(_key(address), 0) / TFT

    def add_twin(self, id: int, address: str) -> None:
        self._twins[_key(address)] = id

    def add_contract(self, id: int, twin: int, **facts: Any) -> Contract:
        self.contracts[id] = Contract(id, twin, **facts)
        return self.contracts[id]

    def _mine(self, events: bytes = b"\0", extrinsics: list[str] | None = None) -> _Block:
        hash = "0x" + blake2b(f"block {len(self._blocks)}".encode(), digest_size=32).hexdigest()
        self._blocks.append(_Block(hash, events, extrinsics or []))
        return self._blocks[-1]

    def _block(self, hash: str | None) -> tuple[int, _Block]:
        found = [(place, item) for place, item in enumerate(self._blocks) if item.hash == hash]
        return found[0] if found else (len(self._blocks) - 1, self._blocks[-1])

    # Storage

    def _storage(self, key: str, at: str | None) -> str | None:
        raw = bytes.fromhex(key[2:])
        where = raw[:32]
        _, block = self._block(at)
        plain = {
            _prefix("System", "Events"): block.events,
            _prefix("Timestamp", "Now"): scale.number(round((time.time() - self.orders.behind) * 1000), 8),
            _prefix("TFTPriceModule", "AverageTftPrice"): scale.number(self.musd_per_tft, 4),
        }
        maps: dict[bytes, Callable[[bytes], bytes | None]] = {
            _prefix("System", "Account"): self._account,
            _prefix("TfgridModule", "TwinIdByAccountID"): lambda key: _known(self._twins.get(key), 4),
            _prefix("SmartContractModule", "Contracts"): self._contract,
            _prefix("SmartContractModule", "ContractIDByNameRegistration"): self._named,
            _prefix("SmartContractModule", "ActiveNodeContracts"): self._active,
        }
        found = plain.get(where) if where in plain else maps[where](raw[48:])
        return None if found is None else "0x" + found.hex()

    def _account(self, key: bytes) -> bytes | None:
        if key not in self._free:
            return None
        frozen = scale.number(self._frozen.get(key, 0), 16)
        head = scale.number(self._nonces.get(key, 0), 4) + scale.number(0, 4) + scale.number(1, 4) + scale.number(0, 4)
        return head + scale.number(self._free[key], 16) + scale.number(0, 16) + frozen + frozen

    def _contract(self, key: bytes) -> bytes | None:
        found = self.contracts.get(int.from_bytes(key, "little"))
        return found.encoded() if found else None

    def _active(self, key: bytes) -> bytes | None:
        node = int.from_bytes(key, "little")
        found = [item.id for item in self.contracts.values() if item.kind == "node" and item.node == node]
        return scale.vec(scale.number(id, 8) for id in sorted(found)) if found else None

    def _named(self, key: bytes) -> bytes | None:
        name = scale.Reader(key).text().decode()
        return next((_known(item.id, 8) for item in self.contracts.values() if item.name == name), None)

    # Transactions

    def _submit(self, data: str) -> _Block | None:
        """Check and carry out; the block that it got into, None when it was lost."""
        raw = bytes.fromhex(data[2:])
        try:
            key, nonce, call = self._checked(raw)
        except (ValueError, IndexError) as error:
            raise Refused(1002, "Verification Error: Runtime error", str(error)) from error
        expected = self._nonces.get(key, 0)
        if nonce != expected:
            raise Refused(
                1010, "Invalid Transaction", "Transaction is outdated" if nonce < expected else "Transaction is too new"
            )
        if self._free.get(key, 0) - self._frozen.get(key, 0) < FEE:
            raise Refused(1010, "Invalid Transaction", "Inability to pay some fees (e.g. account balance too low)")
        if self.orders.lose:
            return None
        self._nonces[key] = nonce + 1
        self._free[key] -= FEE
        ids = _ids(scale.Reader(call))
        self.submitted.append(ids)
        return self._mine(self._applied(key, ids), [_INHERENT, data])

    def _checked(self, raw: bytes) -> tuple[bytes, int, bytes]:
        """(account, nonce, call) of a transaction, when its signature and lifetime are right."""
        reader = scale.Reader(raw)
        if reader.compact() != len(raw) - reader.at or reader.number(1) != 0x84 or reader.number(1) != 0:
            raise ValueError("it is no signed transaction of version 4")
        key, kind, signature = reader.take(32), reader.number(1), reader.take(64)
        extra = reader.at
        first = reader.number(1)
        era = b"\0" if first == 0 else bytes([first]) + reader.take(1)
        nonce, _ = reader.compact(), reader.compact()
        signed = raw[extra : reader.at]
        call = reader.rest()
        fixed = scale.number(151, 4) + scale.number(2, 4)
        hashes = bytes.fromhex(self._blocks[0].hash[2:]) + bytes.fromhex(self._blocks[self._birth(era)].hash[2:])
        payload = call + signed + fixed + hashes
        if len(payload) > 256:
            payload = blake2b(payload, digest_size=32).digest()
        verify = {0: ed25519_zebra.ed_verify, 1: sr25519.verify}[kind]
        if not verify(signature, payload, key):
            raise Refused(1010, "Invalid Transaction", "Transaction has a bad signature")
        return key, nonce, call

    def _birth(self, era: bytes) -> int:
        if era == b"\0":
            return 0
        word, now = int.from_bytes(era, "little"), len(self._blocks) - 1
        period = 2 << (word % 16)
        phase = (word >> 4) * max(period >> 12, 1)
        return (max(now, phase) - phase) // period * period + phase

    def _applied(self, key: bytes, ids: list[int]) -> bytes:
        """The events of the block; all of the batch is done, or nothing of it."""
        info = scale.compact(1000) + scale.compact(0) + b"\0\0"
        phase, topics = b"\0" + scale.number(1, 4), b"\0"
        before = dict(self.contracts)
        try:
            if self.orders.refuse:
                raise _PalletError(self.orders.refuse)
            gone = [self._cancel(key, id) for id in ids]
            said = [scale.number(scale.CONTRACTS, 1) + event for event in gone] + [bytes([scale.SYSTEM, scale.SUCCESS]) + info]
        except _PalletError as error:
            self.contracts = before
            module = b"\3" + scale.number(scale.CONTRACTS, 1) + bytes([error.place, 0, 0, 0])
            said = [bytes([scale.SYSTEM, scale.FAILED]) + module + info]
        return scale.vec(phase + event + topics for event in said)

    def _cancel(self, key: bytes, id: int) -> bytes:
        contract, twin = self.contracts.get(id), self._twins.get(key)
        if contract is None:
            raise _PalletError("ContractNotExists")
        if twin is None:
            raise _PalletError("TwinNotExists")
        if contract.twin != twin:
            raise _PalletError("TwinNotAuthorizedToCancelContract")
        others = [item for item in self.contracts.values() if item.kind == "node" and item.node == contract.node]
        if contract.rent and others:
            raise _PalletError("NodeHasActiveContracts")
        del self.contracts[id]
        rest = scale.number(contract.node, 4) + scale.number(twin, 4) if contract.kind == "node" else b""
        return scale.number(scale.CANCELED[contract.kind], 1) + scale.number(id, 8) + rest

    # JSON-RPC

    def _talk(self, connection: Connection) -> None:
        while (message := connection.receive()) is not None:
            request = json.loads(message)
            method, params = request["method"], request.get("params") or []
            self.asked.append(method)
            if self.orders.garbage:
                connection.send(self.orders.garbage)
                continue
            if method in self.orders.silent or "*" in self.orders.silent:
                self.orders.on_silence()
                continue
            try:
                with self._lock:
                    result = self._answer(connection, method, params)
            except Refused as error:
                connection.send(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error.error}))
                continue
            if result is _CLOSE:
                connection.close()
                return
            connection.send(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}))
            if method == "author_submitAndWatchExtrinsic":
                self._watch(connection, result)

    def _watch(self, connection: Connection, subscription: str) -> None:
        statuses = ["ready", self.orders.status or {"inBlock": self._blocks[-1].hash}]
        if self.orders.hold or (self.orders.lose and self.orders.status is None):
            statuses.pop()
        for status in statuses:
            params = {"subscription": subscription, "result": status}
            connection.send(json.dumps({"jsonrpc": "2.0", "method": "author_extrinsicUpdate", "params": params}))

    def _answer(self, connection: Connection, method: str, params: list[Any]) -> Any:
        if method in self.orders.errors:
            error = self.orders.errors[method]
            raise Refused(error["code"], error["message"], error.get("data", ""))
        if method.startswith("author_submit"):
            return self._taken(method, params[0])
        plain: dict[str, Callable[[], Any]] = {
            "rpc_methods": lambda: {"methods": list(_METHODS)},
            "system_chain": lambda: "tfchain fake", "system_name": lambda: "tfchain", "system_version": lambda: "2.9.0",
            "system_properties": lambda: {"ss58Format": 42, "tokenDecimals": 7, "tokenSymbol": "TFT"},
            "system_accountNextIndex": lambda: self._nonces.get(_key(params[0]), 0),
            "chain_getHead": lambda: self._blocks[-1].hash, "chain_getFinalizedHead": lambda: self._blocks[-2].hash,
            "chain_getBlockHash": lambda: self._blocks[int(params[0]) if params and params[0] is not None else -1].hash,
            "chain_getHeader": lambda: self._header(params[0] if params else None),
            "chain_getBlock": lambda: self._whole(params[0] if params else None),
            "state_getRuntimeVersion": lambda: {"specName": "tfchain", "specVersion": 151, "transactionVersion": 2},
            "state_getMetadata": lambda: "0x" + scale.metadata().hex(),
            "state_getStorage": lambda: self._storage(params[0], params[1] if len(params) > 1 else None),
            "state_getStorageAt": lambda: self._storage(params[0], params[1] if len(params) > 1 else None),
            "state_queryStorageAt": lambda: [
                {"block": params[1], "changes": [[key, self._storage(key, params[1])] for key in params[0]]}
            ],
            "author_unwatchExtrinsic": lambda: True,
            "payment_queryInfo": lambda: {"weight": {"ref_time": 1000, "proof_size": 0}, "class": "normal", "partialFee": str(FEE)},
        }  # fmt: skip
        if method not in plain:
            raise Refused(-32601, "Method not found")
        return plain[method]()

    def _taken(self, method: str, data: str) -> Any:
        if self.before_submit:
            self.before_submit()
        block = self._submit(data)
        after = self.orders.on_submit if block else self.orders.on_lost
        if after:
            after()
        if self.orders.drop:
            return _CLOSE
        return (
            "sub-1" if method.endswith("WatchExtrinsic") else "0x" + blake2b(bytes.fromhex(data[2:]), digest_size=32).hexdigest()
        )

    def _header(self, hash: str | None) -> dict[str, Any]:
        place, _ = self._block(hash)
        parent = self._blocks[place - 1].hash if place else "0x" + "00" * 32
        root = "0x" + "11" * 32
        return {
            "parentHash": parent, "number": hex(place), "stateRoot": root, "extrinsicsRoot": root, "digest": {"logs": []},
        }  # fmt: skip

    def _whole(self, hash: str | None) -> dict[str, Any]:
        _, block = self._block(hash)
        return {"block": {"header": self._header(hash), "extrinsics": block.extrinsics}, "justifications": None}


# `Timestamp.set(0)`, which every block begins with: 4 bytes long, version 4, pallet, call, value.
_INHERENT = "0x10" + bytes([4, scale.TIMESTAMP, 0, 0]).hex()
_CLOSE = object()


def _ids(reader: scale.Reader) -> list[int]:
    """The contracts that a call cancels, by itself or as a batch."""
    pallet, call = reader.number(1), reader.number(1)
    if (pallet, call) == (scale.CONTRACTS, 2):
        return [reader.number(8)]
    if (pallet, call) == (scale.UTILITY, 2):
        return [id for _ in range(reader.compact()) for id in _ids(reader)]
    raise Refused(1002, "Verification Error: Runtime error", f"call {pallet}.{call} is not made here")


def _key(address: str) -> bytes:
    return bytes.fromhex(ss58_decode(address))


def _known(value: int | None, size: int) -> bytes | None:
    return None if value is None else scale.number(value, size)


def _prefix(pallet: str, item: str) -> bytes:
    def twox128(name: str) -> bytes:
        return b"".join(xxhash.xxh64(name.encode(), seed=seed).intdigest().to_bytes(8, "little") for seed in (0, 1))

    return twox128(pallet) + twox128(item)
