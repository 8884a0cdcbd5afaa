"""One file under a passphrase: scrypt and AES-256-GCM, in parts, so that its size has no bound."""

from __future__ import annotations

import base64
import json
import os
import struct
from collections.abc import Iterator

from tfgrid_compose.errors import StateError

_MAGIC = b"tfgrid-compose state export 1\n"
# 64 MB and a fifth of a second for each guess. A file says what it was made with; more than the bound is damage.
_COST, _COST_BOUND = 2**16, 2**20
_PART = 16 * 1024**2
_LENGTH = struct.Struct(">I")


def close(plain: bytes, passphrase: str) -> bytes:
    """Encrypt. Nothing of `plain` is readable without the passphrase, and a part that is changed or missing shows."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt, prefix = os.urandom(16), os.urandom(7)
    facts = {"salt": _text(salt), "nonce": _text(prefix), "cost": _COST}
    head = _MAGIC + json.dumps(facts).encode() + b"\n"
    cipher = AESGCM(_stretched(passphrase, salt, _COST))
    parts = [plain[at : at + _PART] for at in range(0, len(plain), _PART)] or [b""]
    sealed = [cipher.encrypt(_nonce(prefix, n, len(parts)), part, head) for n, part in enumerate(parts)]
    return head + b"".join(_LENGTH.pack(len(part)) + part for part in sealed)


def open_(data: bytes, passphrase: str) -> bytes:
    """Decrypt. Raises `StateError` when it is no export, was changed, or belongs to another passphrase."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if not data.startswith(_MAGIC):
        raise _refused("it is no export of a state, or one of another version")
    head, _, body = data[len(_MAGIC) :].partition(b"\n")
    try:
        facts = json.loads(head)
        salt, prefix, cost = _bytes(facts["salt"]), _bytes(facts["nonce"]), facts["cost"]
        if not isinstance(cost, int) or not 2 <= cost <= _COST_BOUND or cost & (cost - 1):
            raise ValueError("not a cost that we would have written")
        cipher, parts = AESGCM(_stretched(passphrase, salt, cost)), list(_parts(body))
        bound = _MAGIC + head + b"\n"
        return b"".join(cipher.decrypt(_nonce(prefix, n, len(parts)), part, bound) for n, part in enumerate(parts))
    except InvalidTag as error:
        raise _refused("the passphrase is another one, or the file was changed") from error
    except (KeyError, TypeError, ValueError) as error:
        raise _refused("the file is damaged") from error


def _parts(body: bytes) -> Iterator[bytes]:
    """The encrypted parts. Raises `ValueError` when the file ends within one."""
    at = 0
    while at < len(body) or not at:
        (size,) = _LENGTH.unpack(body[at : at + 4].ljust(4, b"\xff"))
        part = body[at + 4 : at + 4 + size]
        if len(part) != size:
            raise ValueError("the file ends too early")
        yield part
        at += 4 + size


def _nonce(prefix: bytes, number: int, parts: int) -> bytes:
    """Twelve bytes that are never used twice with a key; the last part has a mark of its own, so that none can go unseen."""
    if len(prefix) != 7:
        raise ValueError("not a nonce of ours")
    return prefix + struct.pack(">I", number) + (b"\1" if number == parts - 1 else b"\0")


def _stretched(passphrase: str, salt: bytes, cost: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(passphrase.encode(errors="surrogateescape"))


def _refused(why: str) -> StateError:
    return StateError(
        "the export can't be opened", why=why, fix="type the passphrase again, or export anew", code="export-unreadable"
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
