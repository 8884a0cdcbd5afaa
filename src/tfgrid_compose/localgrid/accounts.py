"""Accounts of the local grid: any words are one, and the address is made from them.

The form of an address is SS58 with prefix 42, as on the ThreeFold Grid; no key stands behind it.
"""

from __future__ import annotations

import hashlib

# Play money needs no secret; a fixed phrase gives every run the same account.
PLAY_MNEMONIC = "local grid account of this computer"

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PREFIX = b"\x2a"


def digest(mnemonic: str) -> str:
    """What the ledger keeps of a mnemonic."""
    return hashlib.sha256(mnemonic.encode()).hexdigest()


def public_key(account: str) -> str:
    """An account's digest in the form of a public key."""
    return "0x" + _key(account).hex()


def address(account: str) -> str:
    """The address of an account, from its digest."""
    body = _PREFIX + _key(account)
    checked = body + hashlib.blake2b(b"SS58PRE" + body).digest()[:2]
    number, text = int.from_bytes(checked, "big"), ""
    while number:
        number, rest = divmod(number, len(_BASE58))
        text = _BASE58[rest] + text
    return text


def _key(account: str) -> bytes:
    try:
        key = bytes.fromhex(account)
    except ValueError:
        key = b""
    return key if len(key) == 32 else hashlib.sha256(account.encode()).digest()
