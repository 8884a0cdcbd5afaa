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
                self._make()
            self._cached = self._read()
        return self._cached

    def _make(self) -> None:
        """Make the key: nobody ever sees a part of it, and of several processes one wins."""
        fresh = self._file.with_name(f".{self._file.name}.new-{os.getpid()}-{os.urandom(4).hex()}")
        paths.private_file(fresh, os.urandom(32))
        try:
            # Unlike a rename, a link never replaces a key that another process has made meanwhile.
            os.link(fresh, self._file)
        except FileExistsError:
            pass
        except OSError as error:
            raise paths.write_error(self._file, error) from error
        finally:
            fresh.unlink(missing_ok=True)

    def _read(self) -> bytes:
        try:
            key = self._file.read_bytes()
        except OSError as error:
            raise StateError(
                f"the key {self._file} can't be read", why=error.strerror or str(error), fix=f"ls -l {self._file}",
                code="key-unreadable",
            ) from error  # fmt: skip
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
        except (InvalidTag, ValueError) as error:  # ValueError: it was cut so short that not even the nonce is left.
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
