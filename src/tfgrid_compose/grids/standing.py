"""Whether an account can deploy on a network: what the chain and the services that verify people know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfgrid_compose.errors import GridError
from tfgrid_compose.grids import keys
from tfgrid_compose.grids.account import Signed
from tfgrid_compose.grids.chain import Chain
from tfgrid_compose.grids.models import Account
from tfgrid_compose.grids.verification import verified
from tfgrid_compose.observe.redact import PROCESS

# What the grid's provider asks for before it does anything (facts, "Account / identity").
LEAST_TFT = 2.0


@dataclass(frozen=True)
class Standing:
    """What the chain knows of an account. `unknown` says why it could not be asked; `lacks` are sentences."""

    account: Account
    unknown: str = ""
    lacks: tuple[str, ...] = ()


def standing(signed: Signed, urls: Sequence[str], dashboard: str = "", kyc: Sequence[str] = ()) -> Standing:
    """Look the account up, on the chain and at the services `kyc`. What can't be asked is no error here."""
    network = signed.network
    try:
        with Chain(urls, network=network) as chain:
            tft, twin = chain.free_tft(signed.address), chain.twin_of(signed.address)
            other = "" if twin or tft else _other_type(chain, signed)
    except GridError as error:
        return Standing(Account(network, signed.address, signed.key_type), unknown=PROCESS.text(f"{error.what}: {error.why}"))
    account = Account(network, signed.address, signed.key_type, twin, tft)
    lacks = []
    if other:
        lacks.append(
            f"The same words give an account of type {other} that is known on network {network}: "
            f"`tfgrid-compose signin --network {network} --key-type {other}`."
        )
    if twin is None:
        lacks.append(
            f"The account has no twin on network {network}, and nothing can be deployed without: log in once on "
            f"{dashboard or 'the dashboard'} and accept the terms, that makes it."
        )
    elif kyc and verified(kyc, twin) is False:
        lacks.append(
            f"The account is not verified on network {network}, and nodes take no deployments of such accounts: verify your "
            f"identity on {dashboard or 'the dashboard'}."
        )
    if tft < LEAST_TFT:
        lacks.append(f"The account holds {tft:g} TFT, and deploying needs {LEAST_TFT:g}: send some to {signed.address}.")
    return Standing(account, lacks=tuple(lacks))


def _other_type(chain: Chain, signed: Signed) -> str:
    other = next(item for item in keys.KEY_TYPES if item != signed.key_type)
    return other if chain.twin_of(keys.address(signed.secret, other)) else ""
