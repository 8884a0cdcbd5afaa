"""SCALE encoding and the metadata (V14) of a small chain with the pallets that the program uses.

Sources: the SCALE codec and frame-metadata V14 of Substrate; pallets, storage, calls and errors of tfchain. Only what is
needed here is there, but with the names, indexes and types of the original.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

SYSTEM, TIMESTAMP, UTILITY, BALANCES, TFGRID, CONTRACTS, PRICE = 0, 2, 3, 6, 25, 26, 28
CONTRACT_ERRORS = (
    "TwinNotExists", "NodeNotExists", "FarmNotExists", "FarmHasNotEnoughPublicIPs", "FarmHasNotEnoughPublicIPsFree",
    "FailedToReserveIP", "FailedToFreeIPs", "ContractNotExists", "TwinNotAuthorizedToUpdateContract",
    "TwinNotAuthorizedToCancelContract", "NodeNotAuthorizedToDeployContract", "NodeNotAuthorizedToComputeReport",
    "PricingPolicyNotExists", "ContractIsNotUnique", "ContractWrongBillingLoopIndex", "NameExists", "NameNotValid",
    "InvalidContractType", "TFTPriceValueError", "NotEnoughResourcesOnNode", "NodeNotAuthorizedToReportResources",
    "NodeHasActiveContracts", "NodeHasRentContract", "FarmIsNotDedicated", "NodeNotAvailableToDeploy",
    "CannotUpdateContractInGraceState",
)  # fmt: skip
SUCCESS, FAILED = 0, 1
CANCELED = {"node": 2, "name": 3, "rent": 12}


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


def compact(value: int) -> bytes:
    if value < 1 << 6:
        return number(value << 2, 1)
    if value < 1 << 14:
        return number(value << 2 | 1, 2)
    if value < 1 << 30:
        return number(value << 2 | 2, 4)
    raw = value.to_bytes((value.bit_length() + 7) // 8, "little")
    return number((len(raw) - 4) << 2 | 3, 1) + raw


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return compact(len(raw)) + raw


def vec(items: Iterable[bytes]) -> bytes:
    found = list(items)
    return compact(len(found)) + b"".join(found)


def option(value: bytes | None) -> bytes:
    return b"\0" if value is None else b"\1" + value


class Reader:
    """Takes SCALE values off bytes, from the front."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise ValueError("it ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def compact(self) -> int:
        mode = self.data[self.at] & 3
        if mode == 3:
            return self.number((self.number(1) >> 2) + 4)
        return self.number((1, 2, 4)[mode]) >> 2

    def text(self) -> bytes:
        return self.take(self.compact())

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)


# Types

_PRIMITIVES = {"u8": 3, "u32": 5, "u64": 6, "u128": 7}
Field = tuple[str | None, int]
Variant = tuple[int, str, Sequence[Field]]


def _fields(found: Sequence[Field]) -> bytes:
    return vec(option(text(name) if name else None) + compact(kind) + option(text("T")) + vec([]) for name, kind in found)


class Types:
    """A registry of types, as scale-info writes it."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []
        for name, place in _PRIMITIVES.items():
            setattr(self, name, self.add(b"\5" + number(place, 1)))
        self.bytes = self.sequence(self.u8)
        self.unit = self.tuple()

    u8: int
    u32: int
    u64: int
    u128: int

    def reserve(self) -> int:
        self.rows.append(b"")
        return len(self.rows) - 1

    def add(self, definition: bytes, path: str = "", params: Sequence[Field] = (), at: int | None = None) -> int:
        named = vec(text(name or "") + option(compact(kind)) for name, kind in params)
        place = self.reserve() if at is None else at
        self.rows[place] = vec(text(part) for part in path.split("::") if part) + named + definition + vec([])
        return place

    def composite(self, path: str, *found: Field, params: Sequence[Field] = ()) -> int:
        return self.add(b"\0" + _fields(found), path, params)

    def variant(self, path: str, *found: Variant, params: Sequence[Field] = (), at: int | None = None) -> int:
        rows = vec(text(name) + _fields(fields) + number(index, 1) + vec([]) for index, name, fields in found)
        return self.add(b"\1" + rows, path, params, at)

    def sequence(self, kind: int) -> int:
        return self.add(b"\2" + compact(kind))

    def array(self, size: int, kind: int) -> int:
        return self.add(b"\3" + number(size, 4) + compact(kind))

    def tuple(self, *kinds: int) -> int:
        return self.add(b"\4" + vec(map(compact, kinds)))

    def compact(self, kind: int) -> int:
        return self.add(b"\6" + compact(kind))

    def option(self, kind: int) -> int:
        return self.variant("Option", (0, "None", ()), (1, "Some", ((None, kind),)), params=(("T", kind),))

    def bounded(self, kind: int) -> int:
        inner = self.sequence(kind)
        path = "bounded_collections::bounded_vec::BoundedVec"
        return self.composite(path, (None, inner), params=(("T", kind), ("S", self.unit)))

    def encoded(self) -> bytes:
        return vec(compact(place) + row for place, row in enumerate(self.rows))


# Pallets


def _plain(name: str, kind: int, default: bytes = b"", optional: bool = False) -> bytes:
    return text(name) + number(0 if optional else 1, 1) + b"\0" + compact(kind) + text(default) + vec([])


def _map(name: str, key: int, value: int, default: bytes = b"", optional: bool = False) -> bytes:
    blake2_128_concat = vec([b"\2"])
    entry = b"\1" + blake2_128_concat + compact(key) + compact(value)
    return text(name) + number(0 if optional else 1, 1) + entry + text(default) + vec([])


def _pallet(
    name: str, index: int, storage: Sequence[bytes] = (), *, calls: int | None = None, event: int | None = None,
    error: int | None = None, constants: Sequence[bytes] = (),
) -> bytes:  # fmt: skip
    kept = option(text(name) + vec(storage) if storage else None)
    parts = [option(None if kind is None else compact(kind)) for kind in (calls, event)]
    return (
        text(name)
        + kept
        + b"".join(parts)
        + vec(constants)
        + option(None if error is None else compact(error))
        + number(index, 1)
    )


class _Chain:
    """The types that several pallets share."""

    def __init__(self) -> None:
        types = self.types = Types()
        self.account = types.composite("sp_core::crypto::AccountId32", (None, types.array(32, types.u8)))
        self.hash = types.composite("primitive_types::H256", (None, types.array(32, types.u8)))
        self.call, self.event = types.reserve(), types.reserve()

    def extrinsic(self) -> bytes:
        types = self.types
        address = types.variant(
            "sp_runtime::multiaddress::MultiAddress",
            (0, "Id", ((None, self.account),)), (1, "Index", ((None, types.compact(types.unit)),)), (2, "Raw", ((None, types.bytes),)),
            (3, "Address32", ((None, types.array(32, types.u8)),)), (4, "Address20", ((None, types.array(20, types.u8)),)),
            params=(("AccountId", self.account), ("AccountIndex", types.unit)),
        )  # fmt: skip
        kinds = [
            types.composite(f"sp_core::{name}::Signature", (None, types.array(size, types.u8)))
            for name, size in (("ed25519", 64), ("sr25519", 64), ("ecdsa", 65))
        ]
        names = ("Ed25519", "Sr25519", "Ecdsa")
        rows = [(place, name, ((None, kind),)) for place, (name, kind) in enumerate(zip(names, kinds, strict=True))]
        signature = types.variant("sp_runtime::MultiSignature", *rows)
        era = types.variant("sp_runtime::generic::era::Era", (0, "Immortal", ()))
        extensions = [
            ("CheckNonZeroSender", types.unit, types.unit), ("CheckSpecVersion", types.unit, types.u32),
            ("CheckTxVersion", types.unit, types.u32), ("CheckGenesis", types.unit, self.hash), ("CheckMortality", era, self.hash),
            ("CheckNonce", types.compact(types.u32), types.unit), ("CheckWeight", types.unit, types.unit),
            ("ChargeTransactionPayment", types.compact(types.u128), types.unit),
        ]  # fmt: skip
        extra = types.tuple(*(kind for _, kind, _ in extensions))
        whole = types.composite(
            "sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic", (None, types.bytes),
            params=(("Address", address), ("Call", self.call), ("Signature", signature), ("Extra", extra)),
        )  # fmt: skip
        signed = vec(text(name) + compact(kind) + compact(additional) for name, kind, additional in extensions)
        return compact(whole) + number(4, 1) + signed

    def system(self) -> tuple[bytes, int]:
        types = self.types
        weight = types.composite(
            "sp_weights::weight_v2::Weight", ("ref_time", types.compact(types.u64)), ("proof_size", types.compact(types.u64))
        )
        kind = types.variant(
            "frame_support::dispatch::DispatchClass", (0, "Normal", ()), (1, "Operational", ()), (2, "Mandatory", ())
        )
        pays = types.variant("frame_support::dispatch::Pays", (0, "Yes", ()), (1, "No", ()))
        info = types.composite("frame_support::dispatch::DispatchInfo", ("weight", weight), ("class", kind), ("pays_fee", pays))
        module = types.composite("sp_runtime::ModuleError", ("index", types.u8), ("error", types.array(4, types.u8)))
        error = types.variant(
            "sp_runtime::DispatchError",
            (0, "Other", ()), (1, "CannotLookup", ()), (2, "BadOrigin", ()), (3, "Module", ((None, module),)),
        )  # fmt: skip
        event = types.variant(
            "frame_system::pallet::Event",
            (SUCCESS, "ExtrinsicSuccess", (("dispatch_info", info),)),
            (FAILED, "ExtrinsicFailed", (("dispatch_error", error), ("dispatch_info", info))),
        )
        balance = types.composite(
            "pallet_balances::AccountData",
            ("free", types.u128), ("reserved", types.u128), ("misc_frozen", types.u128), ("fee_frozen", types.u128),
        )  # fmt: skip
        account = types.composite(
            "frame_system::AccountInfo",
            ("nonce", types.u32), ("consumers", types.u32), ("providers", types.u32), ("sufficients", types.u32), ("data", balance),
        )  # fmt: skip
        phase = types.variant(
            "frame_system::Phase", (0, "ApplyExtrinsic", ((None, types.u32),)), (1, "Finalization", ()), (2, "Initialization", ())
        )
        record = types.composite(
            "frame_system::EventRecord", ("phase", phase), ("event", self.event), ("topics", types.sequence(self.hash))
        )
        storage = [_map("Account", self.account, account, bytes(80)), _plain("Events", types.sequence(record), b"\0")]
        prefix = text("SS58Prefix") + compact(types.u8) + text(number(42, 1)) + vec([])
        return _pallet("System", SYSTEM, storage, event=event, constants=[prefix]), event

    def contracts(self) -> tuple[bytes, int, int]:
        types = self.types
        cause = types.variant("pallet_smart_contract::types::Cause", (0, "CanceledByUser", ()), (1, "OutOfFunds", ()))
        state = types.variant(
            "pallet_smart_contract::types::ContractState",
            (0, "Created", ()), (1, "Deleted", ((None, cause),)), (2, "GracePeriod", ((None, types.u64),)),
        )  # fmt: skip
        ip = types.composite(
            "tfchain_support::types::PublicIP",
            ("ip", types.bounded(types.u8)), ("gateway", types.bounded(types.u8)), ("contract_id", types.u64),
        )  # fmt: skip
        node = types.composite(
            "pallet_smart_contract::types::NodeContract",
            ("node_id", types.u32), ("deployment_hash", types.array(32, types.u8)), ("deployment_data", types.bounded(types.u8)),
            ("public_ips", types.u32), ("public_ips_list", types.bounded(ip)),
        )  # fmt: skip
        unique = types.composite("pallet_smart_contract::name_contract::NameContractName", (None, types.bounded(types.u8)))
        name = types.composite("pallet_smart_contract::types::NameContract", ("name", unique))
        rent = types.composite("pallet_smart_contract::types::RentContract", ("node_id", types.u32))
        data = types.variant(
            "pallet_smart_contract::types::ContractData",
            (0, "NodeContract", ((None, node),)), (1, "NameContract", ((None, name),)), (2, "RentContract", ((None, rent),)),
        )  # fmt: skip
        contract = types.composite(
            "pallet_smart_contract::types::Contract",
            ("version", types.u32), ("state", state), ("contract_id", types.u64), ("twin_id", types.u32),
            ("contract_type", data), ("solution_provider_id", types.option(types.u64)),
        )  # fmt: skip
        event = types.variant(
            "pallet_smart_contract::pallet::Event",
            (
                CANCELED["node"],
                "NodeContractCanceled",
                (("contract_id", types.u64), ("node_id", types.u32), ("twin_id", types.u32)),
            ),
            (CANCELED["name"], "NameContractCanceled", (("contract_id", types.u64),)),
            (CANCELED["rent"], "RentContractCanceled", (("contract_id", types.u64),)),
        )
        calls = types.variant(
            "pallet_smart_contract::pallet::Call",
            (2, "cancel_contract", (("contract_id", types.u64),)), (6, "create_rent_contract", (("node_id", types.u32),)),
        )  # fmt: skip
        errors = types.variant(
            "pallet_smart_contract::pallet::Error", *((place, item, ()) for place, item in enumerate(CONTRACT_ERRORS))
        )
        storage = [
            _map("Contracts", types.u64, contract, b"\0", optional=True),
            _map("ContractIDByNameRegistration", unique, types.u64, bytes(8)),
            _map("ActiveNodeContracts", types.u32, types.sequence(types.u64), b"\0"),
        ]
        return _pallet("SmartContractModule", CONTRACTS, storage, calls=calls, event=event, error=errors), calls, event


@functools.cache
def metadata() -> bytes:
    """All of it, as `state_getMetadata` answers."""
    chain = _Chain()
    types = chain.types
    extrinsic = chain.extrinsic()
    system, system_event = chain.system()
    contracts, contract_calls, contract_event = chain.contracts()
    calls = types.sequence(chain.call)
    utility_calls = types.variant(
        "pallet_utility::pallet::Call",
        (0, "batch", (("calls", calls),)), (2, "batch_all", (("calls", calls),)), (4, "force_batch", (("calls", calls),)),
    )  # fmt: skip
    stamp_calls = types.variant("pallet_timestamp::pallet::Call", (0, "set", (("now", types.compact(types.u64)),)))
    utility_event = types.variant("pallet_utility::pallet::Event", (1, "BatchCompleted", ()))
    types.variant(
        "tfchain_runtime::RuntimeCall",
        (TIMESTAMP, "Timestamp", ((None, stamp_calls),)), (UTILITY, "Utility", ((None, utility_calls),)),
        (CONTRACTS, "SmartContractModule", ((None, contract_calls),)),
        at=chain.call,
    )  # fmt: skip
    types.variant(
        "tfchain_runtime::RuntimeEvent",
        (SYSTEM, "System", ((None, system_event),)), (UTILITY, "Utility", ((None, utility_event),)),
        (CONTRACTS, "SmartContractModule", ((None, contract_event),)),
        at=chain.event,
    )  # fmt: skip
    pallets = [
        system,
        _pallet("Timestamp", TIMESTAMP, [_plain("Now", types.u64, bytes(8))], calls=stamp_calls),
        _pallet("Utility", UTILITY, calls=utility_calls, event=utility_event),
        _pallet("TfgridModule", TFGRID, [_map("TwinIdByAccountID", chain.account, types.u32, b"\0", optional=True)]),
        contracts,
        _pallet(
            "TFTPriceModule", PRICE, [_plain("TftPrice", types.u32, bytes(4)), _plain("AverageTftPrice", types.u32, bytes(4))]
        ),
    ]
    runtime = types.composite("tfchain_runtime::Runtime")
    return b"meta" + number(14, 1) + types.encoded() + vec(pallets) + extrinsic + compact(runtime)
