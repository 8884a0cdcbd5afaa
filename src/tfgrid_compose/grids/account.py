"""The account that pays on a network: kept encrypted, or found where other tools keep it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tfgrid_compose.errors import GridError
from tfgrid_compose.grids import keys, oldplaces
from tfgrid_compose.observe.redact import Secret
from tfgrid_compose.state import paths
from tfgrid_compose.state.secrets import ACCOUNTS

if TYPE_CHECKING:
    from tfgrid_compose.state.store import Store

# The owner of all accounts; each network's is one secret, as JSON.
OWNER = f"{ACCOUNTS}grid"
SIGNIN = "signin"


@dataclass(frozen=True)
class Signed:
    """An account that can sign. `origin` is `signin`, or says in words where it was found; `advice` may be empty."""

    network: str
    key_type: str
    secret: Secret
    origin: str = SIGNIN
    advice: str = ""
    _address: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """The account's address."""
        if not self._address:
            object.__setattr__(self, "_address", keys.address(self.secret, self.key_type))
        return self._address


def signed_in(network: str) -> Signed:
    """The account of a network.

    The environment counts first, then what `signin` keeps, then files of other tools. Raises `GridError`:
    `account-missing`, `mnemonic-invalid`, `account-unreadable`.
    """
    found = oldplaces.variable()
    if found:
        return _of(network, found)
    kept = _kept(network)
    if kept:
        return kept
    elsewhere = next(oldplaces.files(), None)
    if elsewhere:
        return _of(network, elsewhere)
    unused, option = oldplaces.unused()
    raise GridError(
        f"no account for network {network}",
        why=f"deploying there is paid from a grid account, and nobody is signed in{unused}",
        fix=f"tfgrid-compose signin --network {network}{option}; or try without an account: --network local",
        code="account-missing",
    )


def _of(network: str, found: oldplaces.Found) -> Signed:
    secret = Secret(keys.checked(found.text, found.origin))
    return Signed(network, _key_type(), secret, found.origin, _advice(network, found))


def _key_type() -> str:
    # The grid's provider reads this variable, too.
    chosen = os.environ.get("KEY_TYPE") or keys.KEY_TYPES[0]
    if chosen not in keys.KEY_TYPES:
        raise GridError(
            f"there is no key type `{chosen}`", why="the variable KEY_TYPE says it",
            fix=f"set KEY_TYPE to {' or '.join(keys.KEY_TYPES)}, or leave it out", code="key-type-unknown",
        )  # fmt: skip
    return chosen


def _advice(network: str, found: oldplaces.Found) -> str:
    if found.file is None:
        return ""
    who = "and other users of this computer can read it" if oldplaces.open_to_others(found.file) else "in plain text"
    command = f"tfgrid-compose signin --network {network} --file {found.file}"
    return f"The mnemonic stands in {found.file}, {who}. `{command}` keeps it encrypted."


# What signin keeps


def _kept(network: str) -> Signed | None:
    if not anything_kept():
        return None
    from tfgrid_compose.state.store import Store

    with Store() as store:
        return kept_in(store, network)


def anything_kept() -> bool:
    """Whether anything was ever remembered: to look for an account makes no database."""
    return (paths.state_dir() / "state.db").exists()


def kept_in(store: Store, network: str) -> Signed | None:
    """What `signin` keeps for a network."""
    raw = store.secret(OWNER, network)
    if raw is None:
        return None
    facts = json.loads(raw)
    keys.learn(facts["secret"])
    return Signed(network, facts["key_type"], Secret(facts["secret"]), _address=facts["address"])


def networks() -> list[str]:
    """Networks that `signin` keeps an account for."""
    if not anything_kept():
        return []
    from tfgrid_compose.state.store import Store

    with Store() as store:
        return store.secret_names(OWNER)


def keep(store: Store, signed: Signed) -> None:
    """Keep an account encrypted, in the place of the one that was there for its network."""
    facts = {
        "secret": signed.secret.reveal(), "key_type": signed.key_type, "address": signed.address, "changed": time.time(),
    }  # fmt: skip
    store.set_secret(OWNER, signed.network, json.dumps(facts).encode())


def forget(store: Store, network: str) -> None:
    """Forget the account of a network."""
    store.set_secret(OWNER, network, None)


# What the chain says
