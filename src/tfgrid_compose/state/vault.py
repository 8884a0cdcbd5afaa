"""Encryption at rest: AES-256-GCM, with the owner and name of a value bound in.

A value that is moved to another deployment or another name does not decrypt.
"""

from __future__ import annotations

import os
from pathlib import Path

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import paths

_NONCE = 12


class Vault:
    """Encrypts and decrypts with the key of this user, made on first use."""

    def __init__(self, key_file: Path | None = None) -> None:
        self._file = key_file or paths.state_dir() / "key"
        self._cached: bytes | None = None

    def _key(self) -> bytes:
        if self._cached is None:
            if not self._file.exists():
                try:
                    paths.private_dir(self._file.parent)
                    descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                    with os.fdopen(descriptor, "wb") as file:
                        file.write(os.urandom(32))
                        file.flush()
                        os.fsync(file.fileno())
                except FileExistsError:
                    pass  # Another process was faster; its key is the key.
                except OSError as error:
                    raise paths.write_error(self._file, error) from error
            self._cached = self._read()
        return self._cached

    def _read(self) -> bytes:
        key = self._file.read_bytes()
        if len(key) != 32:
            raise StateError(
                f"the key {self._file} is damaged",
                why=f"it has {len(key)} bytes instead of 32",
                fix=f"restore {self._file} from a backup; without it the stored secrets can't be read",
                code="key-damaged",
            )
        return key

    def encrypt(self, data: bytes, *bound: str) -> bytes:
        """Encrypt; `bound` are the names that decryption must give again."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(self._key()).encrypt(nonce, data, "\0".join(bound).encode())

    def decrypt(self, data: bytes, *bound: str) -> bytes:
        """The inverse of `encrypt`. Raises `StateError` when data or names were changed."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self._key()).decrypt(data[:_NONCE], data[_NONCE:], "\0".join(bound).encode())
        except InvalidTag as error:
            raise StateError(
                f"a stored secret ({' '.join(bound)}) can't be decrypted",
                why="it was changed, or belongs to another key",
                fix=f"restore {self._file} and the database from the same backup",
                code="secret-damaged",
            ) from error

    def fingerprint(self, data: bytes) -> str:
        """A keyed digest: tells whether a secret changed, and nothing about it."""
        import hashlib
        import hmac

        return hmac.new(self._key(), data, hashlib.sha256).hexdigest()[:16]
