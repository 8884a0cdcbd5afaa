"""Cancelling contracts on the chain, so that at every end it is known what happened to each of them.

One `Utility.batch_all` for many: all of it is done, or nothing. Transactions are mortal, so that one that got lost can't be
carried out much later. When it is not known whether one was carried out, the contracts themselves are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tfgrid_compose.errors import GridError, InterruptedError_
from tfgrid_compose.grids import keys
from tfgrid_compose.words import named

if TYPE_CHECKING:
    from tfgrid_compose.grids.account import Signed
    from tfgrid_compose.grids.chain import Chain

_BATCH = 100
# A transaction that is not in a block after so many blocks never will be; of 6 seconds each.
_LIFETIME = 64
# How long contracts are looked at after a transaction got out of sight, and how often, in seconds.
_PATIENCE, _EVERY = 24.0, 3.0
# How often a transaction is made anew that lost its number to another one.
_RACES = 2
_OVER = ("dropped", "invalid", "usurped", "finalitytimeout")


class _Unsure(Exception):
    """A transaction was handed over, and its end is not known."""


def cancel(chain: Chain, ids: Iterable[int], signed: Signed) -> list[int]:
    """Cancel contracts; returns those that were still there. What is gone already is no error.

    Raises `GridError` that names each contract that is left, and `InterruptedError_` that tells what happened to each
    when Ctrl-C came.
    """
    live = _still(chain, ids)
    pair = keys.keypair(signed.secret, signed.key_type)
    done: list[int] = []
    try:
        for at in range(0, len(live), _BATCH):
            done += _group(chain, live[at : at + _BATCH], pair)
    except GridError as error:
        raise _with_rest(chain, error, live) from error
    except KeyboardInterrupt:
        raise _stopped(chain, live) from None
    return done


def _still(chain: Chain, ids: Iterable[int]) -> list[int]:
    """Those that live, in the order in which they can be cancelled: a rented node only when nothing stands on it any more."""
    live = [item for item in chain.contracts(ids).values() if item.live]
    return [item.id for item in sorted(live, key=lambda item: (item.kind == "rent", item.id))]


def _group(chain: Chain, ids: list[int], pair: Any) -> list[int]:
    refusal = _settled(chain, ids, pair)
    if not refusal:
        return ids
    if len(ids) == 1:
        if "ContractNotExists" in refusal:
            return []
        raise _refused(chain, {ids[0]: refusal})
    # One contract that can't be cancelled keeps the whole batch from being done: go on one by one.
    done, refused = [], dict[int, str]()
    for id in _still(chain, ids):
        refusal = _settled(chain, [id], pair)
        if not refusal:
            done.append(id)
        elif "ContractNotExists" not in refusal:
            refused[id] = refusal
    if refused:
        raise _refused(chain, refused)
    return done


def _refused(chain: Chain, refused: dict[int, str]) -> GridError:
    error = chain.refused(next(iter(refused.values())))
    error.what = f"{chain.label} refused to cancel {named('contract', refused)}"
    error.details = [f"contract {id}: {reason}" for id, reason in refused.items()]
    return error


def _settled(chain: Chain, ids: list[int], pair: Any) -> str:
    """Submit, and wait until the end is known; empty when the contracts are cancelled, else the chain's reason."""
    try:
        return _in_turn(chain, ids, pair)
    except _Unsure as unsure:
        chain.close()
        reason = str(unsure)
    deadline = chain.now() + _PATIENCE
    while True:
        try:
            left = _still(chain, ids)
        except GridError:
            left = ids
        if not left:
            return ""
        if chain.now() >= deadline:
            raise GridError(
                f"it is not known whether {named('contract', left)} will be cancelled",
                why=f"the transaction was handed over, and then {reason}",
                fix=f"wait {_minutes()} minutes, then look: tfgrid-compose contracts list"
                + (f" --network {chain.network}" if chain.network else ""),
                code="cancel-unsure",
            )
        chain.pause(_EVERY)


def _in_turn(chain: Chain, ids: list[int], pair: Any) -> str:
    """As `_submitted`, again where another program of this account took the same number first."""
    for _ in range(_RACES):
        try:
            return _submitted(chain, ids, pair)
        except GridError as error:
            if error.cause != "transaction-race":
                raise
        chain.pause(_EVERY)
    return _submitted(chain, ids, pair)


def _minutes() -> int:
    return -(-_LIFETIME * 6 // 60)


def _submitted(chain: Chain, ids: list[int], pair: Any) -> str:
    """As `_settled`; raises `_Unsure` when the transaction got out of sight, `GridError` when it never got in."""
    api, extrinsic = chain.ask(lambda api: (api, _signed(api, ids, pair)))
    api.websocket.settimeout(chain.inclusion)
    from substrateinterface.exceptions import SubstrateRequestException  # type: ignore[import-untyped]

    try:
        with chain.explained():
            block, over = _watched(api, extrinsic)
            refusal = None if over else _outcome(api, extrinsic, block)
    except GridError as error:
        if isinstance(error.__cause__, SubstrateRequestException):
            raise  # The chain itself says that it did not take it.
        raise _Unsure(f"{error.what}: {error.why}") from error
    finally:
        api.websocket.settimeout(chain.timeout)
    if refusal is None:
        raise _Unsure(f"the chain said that it is {over}" if over else "the block did not say how it ended")
    return refusal


def _signed(api: Any, ids: list[int], pair: Any) -> Any:
    calls = [api.compose_call("SmartContractModule", "cancel_contract", {"contract_id": id}) for id in ids]
    call = calls[0] if len(calls) == 1 else api.compose_call("Utility", "batch_all", {"calls": calls})
    # This number counts what waits for a block, too; the account's own does not.
    nonce = api.rpc_request("system_accountNextIndex", [pair.ss58_address])["result"]
    return api.create_signed_extrinsic(call, pair, era={"period": _LIFETIME}, nonce=int(nonce))


def _watched(api: Any, extrinsic: Any) -> tuple[str, str]:
    """Submit, and wait: the hash of the block that it got into, or the word of the chain that it gets into none."""

    def on_update(message: dict[str, Any], number: int, subscription: str) -> tuple[str, str] | None:
        del number, subscription
        status = message["params"]["result"]
        word, value = (status, "") if isinstance(status, str) else next(iter(status.items()))
        if word.lower() in _OVER:
            return "", word.lower()
        return (str(value), "") if word.lower() in ("inblock", "finalized") else None

    found: tuple[str, str] = api.rpc_request("author_submitAndWatchExtrinsic", [str(extrinsic.data)], result_handler=on_update)
    return found


def _outcome(api: Any, extrinsic: Any, block: str) -> str | None:
    """Empty when it was carried out, else the name of the chain's error; None when the block does not say."""
    from substrateinterface import ExtrinsicReceipt  # type: ignore[import-untyped]

    receipt = ExtrinsicReceipt(api, extrinsic_hash=f"0x{extrinsic.extrinsic_hash.hex()}", block_hash=block)
    if receipt.is_success:
        return ""
    return str(receipt.error_message["name"]) if receipt.error_message else None


# What is told at the end


def _with_rest(chain: Chain, error: GridError, live: list[int]) -> GridError:
    if len(live) > 1 or f"contract {live[0]}" not in error.what or error.code != "chain-refused":
        error.details = [*error.details, *_rest(chain, live)]
    return error


def _rest(chain: Chain, live: list[int]) -> list[str]:
    """What became of the contracts, as far as the chain can be asked."""
    try:
        left = _still(chain, live)
    except GridError:
        return [f"not known to be cancelled: {', '.join(map(str, live))}"]
    gone = [id for id in live if id not in left]
    return [f"{word}: {', '.join(map(str, found))}" for word, found in (("cancelled", gone), ("still there", left)) if found]


def _stopped(chain: Chain, live: list[int]) -> InterruptedError_:
    chain.close()
    return InterruptedError_(
        "stopped while contracts were being cancelled",
        why=f"what was handed over to the chain may still be carried out, within {_minutes()} minutes",
        fix="tfgrid-compose contracts list" + (f" --network {chain.network}" if chain.network else ""),
        details=_rest(chain, live),
    )
