"""Encryption at rest: AES-256-GCM, with the owner, name and generation of a value bound in.

A value that is moved to another deployment, another name or another time does not decrypt.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable
from pathlib import Path

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import paths
from tfgrid_compose.state.keys import KeyFile, Keys, key_id

_MAGIC = b"tfg2"
_NONCE = 12
_HEAD = len(_MAGIC) + 4
_MAC = 4 + 32


class Vault:
    """Encrypts and decrypts with the keys of this user, made on first use.

    What is encrypted begins with the id of its key. The file of keys is looked at each time, so that a rotation
    in another process is seen at once.
    """

    def __init__(self, key_file: Path | None = None) -> None:
        self.file = KeyFile(key_file or paths.state_dir() / "key")
        # Tells whether secrets exist; then a key that is missing was lost, and no other one will do.
        self.in_use: Callable[[], bool] = lambda: False
        self._cached: tuple[tuple[int, ...], Keys] | None = None

    @property
    def folder(self) -> Path:
        """Where the key stands, and the anchor beside it."""
        return self.file.path.parent

    def exists(self) -> bool:
        """Whether there are keys. Raises `StateError` when that can't be told."""
        return self.file.signature() is not None

    def keys(self, *, make: bool = False) -> Keys:
        """The keys; `make` makes them when there never were any. Raises `StateError`."""
        signature = self.file.signature()
        if signature is None:
            if not make or self.in_use():
                raise self._missing()
            self.file.create()
            signature = self.file.signature() or ()
        if self._cached is None or self._cached[0] != signature:
            self._cached = (signature, self.file.read())
        return self._cached[1]

    def _missing(self) -> StateError:
        return StateError(
            f"the key {self.file.path} is missing",
            why="secrets were encrypted with it, and nothing else decrypts them",
            fix=f"put {self.file.path} back from a backup of this computer",
            code="key-missing",
        )

    # Encryption

    def encrypt(self, data: bytes, *bound: str) -> bytes:
        """Encrypt; `bound` are the names that decryption must give again."""
        key = self.keys(make=True).active
        head = _MAGIC + key_id(key)
        return head + _seal(key, data, head + _names(bound))

    def decrypt(self, data: bytes, *bound: str) -> bytes:
        """The inverse of `encrypt`. Raises `StateError` when data or names were changed."""
        head = data[:_HEAD]
        if len(head) < _HEAD or not head.startswith(_MAGIC):
            raise _damaged(bound)
        key = self._key(head[len(_MAGIC) :])
        return _open([key], data[_HEAD:], head + _names(bound), bound)

    def encrypt_first(self, data: bytes, *bound: str) -> bytes:
        """Encrypt as version 1 of the database has it: without the id of the key."""
        return _seal(self.keys(make=True).active, data, "\0".join(bound).encode())

    def decrypt_first(self, data: bytes, *bound: str) -> bytes:
        """Decrypt what version 1 of the database encrypted. Raises `StateError`."""
        return _open(list(self.keys().ring), data, "\0".join(bound).encode(), bound)

    def is_current(self, data: bytes) -> bool:
        """Whether something was encrypted, or given a code, with the active key."""
        head = key_id(self.keys().active)
        return data.startswith((_MAGIC + head, head))

    def _key(self, id: bytes) -> bytes:
        key = self.keys().find(id)
        if key is None:
            raise StateError(
                "the secrets belong to another key",
                why=f"they were encrypted with key {id.hex()}; {self.file.path} holds {key_id(self.keys().active).hex()}",
                fix=f"restore {self.file.path} and the database from the same backup",
                code="key-wrong",
            )
        return key

    # Codes

    def code(self, purpose: str, data: bytes) -> bytes:
        """A code of 36 bytes that only who has the key can make for these data."""
        key = self.keys(make=True).active
        return key_id(key) + _code(key, purpose, data)

    def fits(self, purpose: str, data: bytes, code: bytes) -> bool:
        """Whether a code was made for these data and purpose. Raises `StateError` when it needs a key that we lack."""
        if len(code) != _MAC:
            return False
        return hmac.compare_digest(code[4:], _code(self._key(code[:4]), purpose, data))

    def fingerprint(self, data: bytes) -> str:
        """A keyed digest: tells whether a secret changed, and nothing about it. It outlives a rotation."""
        return hmac.new(self.keys(make=True).fingerprint, data, hashlib.sha256).hexdigest()[:16]


def _names(bound: tuple[str, ...]) -> bytes:
    return json.dumps(bound).encode()


def _seal(key: bytes, data: bytes, bound: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, data, bound)


def _open(keys: list[bytes], data: bytes, bound: bytes, names: tuple[str, ...]) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    for key in keys:
        try:
            return AESGCM(key).decrypt(data[:_NONCE], data[_NONCE:], bound)
        except (InvalidTag, ValueError):  # ValueError: it was cut so short that not even the nonce is left.
            continue
    raise _damaged(names)


def _damaged(names: tuple[str, ...]) -> StateError:
    return StateError(
        f"a stored secret ({' '.join(names[:2])}) can't be decrypted",
        why="it was changed, or stood elsewhere when it was written",
        fix="tfgrid-compose state restore",
        code="secret-damaged",
    )


def _code(key: bytes, purpose: str, data: bytes) -> bytes:
    derived = hmac.new(key, f"tfgrid-compose {purpose}".encode(), hashlib.sha256).digest()
    return hmac.new(derived, data, hashlib.sha256).digest()
