"""The keys of the vault, and where they are kept: in a file, under a passphrase, or in the keyring of the desktop.

The file `key` says where. In its first form it is nothing but 32 bytes, one key.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import paths

FILE, PASSPHRASE, KEYRING = SOURCES = ("file", "passphrase", "keyring")
_SIZE = 32
_SERVICE = "tfgrid-compose"
_VARIABLE = "TFGRID_PASSPHRASE_FILE"
_BOUND = b"tfgrid-compose keys"
# 64 MB and a fifth of a second for each guess. Files say what they were made with; more than the bound is damage.
_COST, _COST_BOUND = 2**16, 2**20
_TRIES = 3
# Passphrases that opened a file: nobody is asked twice by one process.
_PASSPHRASES: dict[Path, str] = {}


@dataclass(frozen=True)
class Keys:
    """The active key first, then those that a rotation has not yet replaced; and the key of fingerprints, which stays."""

    ring: tuple[bytes, ...]
    fingerprint: bytes

    @property
    def active(self) -> bytes:
        """The key that everything new is encrypted with."""
        return self.ring[0]

    @property
    def rotating(self) -> bool:
        """Whether a rotation was begun and not ended."""
        return len(self.ring) > 1

    def find(self, id: bytes) -> bytes | None:
        """A key by its id."""
        return next((key for key in self.ring if key_id(key) == id), None)

    def begun(self) -> Keys:
        """With a new active key before the others."""
        return Keys((os.urandom(_SIZE), *self.ring), self.fingerprint)

    def ended(self) -> Keys:
        """With nothing but the active key."""
        return Keys((self.active,), self.fingerprint)


def key_id(key: bytes) -> bytes:
    """Four bytes that name a key and say nothing about it."""
    return hashlib.sha256(b"tfgrid-compose key id\0" + key).digest()[:4]


def fresh() -> Keys:
    """New keys."""
    return Keys((os.urandom(_SIZE),), os.urandom(_SIZE))


class KeyFile:
    """The file that holds the keys, or says where they are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def signature(self) -> tuple[int, ...] | None:
        """Changes whenever the file is written anew; None when there is none. Raises `StateError`."""
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(error) from error
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> Keys:
        """The keys; asks for the passphrase when nothing else gives it. Raises `StateError`."""
        raw = self._raw()
        if _is_first(raw):
            return Keys((raw,), raw)
        found = self._parsed(raw)
        try:
            if found["source"] == FILE:
                return _from_json(found["keys"])
            if found["source"] == KEYRING:
                return _from_json(json.loads(_from_keyring(found["entry"])))
            return _from_json(json.loads(self._unwrapped(found["wrapped"])))
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged("not all that it should hold is in it") from error

    def source(self) -> str:
        """Where the keys are: one of `SOURCES`; `file` when there are none yet. Raises `StateError`."""
        if self.signature() is None:
            return FILE
        raw = self._raw()
        return FILE if _is_first(raw) else str(self._parsed(raw)["source"])

    def create(self) -> None:
        """Make keys: nobody ever sees a part of the file, and of several processes one wins. Raises `StateError`."""
        partial = self.path.with_name(f".{self.path.name}.new-{os.getpid()}-{os.urandom(4).hex()}")
        paths.private_file(partial, _file({"source": FILE, "keys": _to_json(fresh())}))
        try:
            # Unlike a rename, a link never replaces a key that another process has made meanwhile.
            os.link(partial, self.path)
        except FileExistsError:
            pass
        except OSError as error:
            raise paths.write_error(self.path, error) from error
        finally:
            partial.unlink(missing_ok=True)

    def write(self, keys: Keys, source: str | None = None, passphrase: str | None = None) -> None:
        """Put other keys in the place of those that are there; without `source` they are kept as they were.

        Raises `StateError`; then the old ones are still there.
        """
        source = source or self.source()
        entry = self._entry()
        facts: dict[str, Any] = {"source": source}
        if source == FILE:
            facts["keys"] = _to_json(keys)
        elif source == PASSPHRASE:
            passphrase = passphrase or _PASSPHRASES[self.path]
            facts["wrapped"] = _wrapped(json.dumps(_to_json(keys)).encode(), passphrase)
        else:
            # A new entry each time: as long as the file names the old one, the old one is whole.
            facts["entry"] = _to_keyring(json.dumps(_to_json(keys)))
        paths.private_file(self.path, _file(facts))
        if source == PASSPHRASE and passphrase:
            _PASSPHRASES[self.path] = passphrase
        if entry:
            _forget_in_keyring(entry)

    def asks(self) -> bool:
        """Whether `read` would ask somebody for the passphrase."""
        if self.signature() is None or self.source() != PASSPHRASE:
            return False
        return self.path not in _PASSPHRASES and not os.environ.get(_VARIABLE)

    def _entry(self) -> str:
        """The entry of the keyring that the file names, empty without one."""
        if self.source() != KEYRING or self.signature() is None:
            return ""
        return str(self._parsed(self._raw()).get("entry", ""))

    def _raw(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise self._unreadable(error) from error

    def _parsed(self, raw: bytes) -> dict[str, Any]:
        try:
            found = json.loads(raw)
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("version") != 2 or found.get("source") not in SOURCES:
            raise self._damaged(f"its {len(raw)} bytes are neither a key nor a file of keys")
        return found

    def _unwrapped(self, wrapped: dict[str, Any]) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        salt, sealed, cost = _bytes(wrapped["salt"]), _bytes(wrapped["sealed"]), wrapped["cost"]
        if not isinstance(cost, int) or not 2 <= cost <= _COST_BOUND or cost & (cost - 1):
            raise ValueError("not a cost that we would have written")
        for passphrase in self._passphrases():
            try:
                plain = AESGCM(_stretched(passphrase, salt, cost)).decrypt(sealed[:12], sealed[12:], _BOUND)
            except InvalidTag:
                continue
            _PASSPHRASES[self.path] = passphrase
            return plain
        raise StateError(
            "the passphrase does not open the keys",
            why=f"it is another one than {self.path} was closed with",
            fix=f"type it again, or name the file that holds it in {_VARIABLE}",
            code="passphrase-wrong",
        )

    def _passphrases(self) -> Iterator[str]:
        """What may open the file: what opened it before, the file of the environment, what somebody types."""
        if self.path in _PASSPHRASES:
            yield _PASSPHRASES[self.path]
        if os.environ.get(_VARIABLE):
            yield passphrase_in(Path(os.environ[_VARIABLE]))
            return
        for _ in range(_TRIES):
            typed = ask_hidden("Passphrase of your secrets: ")
            if typed is None:
                raise StateError(
                    "the passphrase of the secrets is needed",
                    why="there is no terminal to ask for it on",
                    fix=f"name a file that holds it (mode 0600) in {_VARIABLE}",
                    code="passphrase-needed",
                )
            yield typed

    def _unreadable(self, error: OSError) -> StateError:
        return StateError(
            f"the key {self.path} can't be read", why=error.strerror or str(error), fix=f"ls -l {self.path}",
            code="key-unreadable",
        )  # fmt: skip

    def _damaged(self, why: str) -> StateError:
        return StateError(
            f"the key {self.path} is damaged",
            why=why,
            fix=f"restore {self.path} from a backup; without it the stored secrets can't be read",
            code="key-damaged",
        )


# Passphrases


def ask_hidden(question: str) -> str | None:
    """Ask on the terminal without showing what is typed; None when there is no terminal.

    The one question that does not come from the command line's own room: whatever needs a secret first asks it.
    """
    import getpass

    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return getpass.getpass(question)
    except (OSError, EOFError):
        return None


def passphrase_in(path: Path) -> str:
    """The first line of a file. Raises `StateError`."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(
            f"the passphrase in {path} can't be read",
            why=getattr(error, "strerror", None) or "it is not UTF-8 text",
            fix=f"ls -l {path}",
            code="passphrase-needed",
        ) from error
    if not lines or not lines[0]:
        raise StateError(
            f"{path} holds no passphrase", why="its first line is empty", fix=f"ls -l {path}", code="passphrase-needed"
        )
    return lines[0]


def given_passphrase() -> str | None:
    """The passphrase of the file that the environment names, None without one. Raises `StateError`."""
    name = os.environ.get(_VARIABLE)
    return passphrase_in(Path(name)) if name else None


@functools.lru_cache(maxsize=4)
def _stretched(passphrase: str, salt: bytes, cost: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=_SIZE, n=cost, r=8, p=1).derive(passphrase.encode(errors="surrogateescape"))


def _wrapped(plain: bytes, passphrase: str) -> dict[str, Any]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt, nonce = os.urandom(16), os.urandom(12)
    sealed = nonce + AESGCM(_stretched(passphrase, salt, _COST)).encrypt(nonce, plain, _BOUND)
    return {"salt": _text(salt), "cost": _COST, "sealed": _text(sealed)}


# The keyring of the desktop


def _keyring() -> Any:
    try:
        import keyring
    except ImportError as error:
        raise StateError(
            "the keyring can't be used",
            why="the Python package `keyring` is not installed",
            fix="pip install 'tfgrid-compose[keyring]'",
            code="keyring-unavailable",
        ) from error
    return keyring


def _keyring_failed(error: Exception) -> StateError:
    why, fix = str(error) or type(error).__name__, "unlock it, then run the command again"
    elsewhere = "tfgrid-compose secrets key --to passphrase keeps the key without one"
    if type(error).__name__ == "NoKeyringError":
        why, fix = "there is none in this session", f"log in to a desktop that has one; or {elsewhere}"
    elif os.geteuid() == 0 and os.environ.get("TFGRID_SUDO_UID"):
        why, fix = "this command runs as root, and root can't reach the keyring of a user", elsewhere
    return StateError("the keyring can't be used", why=why, fix=fix, code="keyring-unavailable")


def _from_keyring(entry: str) -> str:
    library = _keyring()
    try:
        found = library.get_password(_SERVICE, entry)
    except Exception as error:  # Each keyring has errors of its own.
        raise _keyring_failed(error) from error
    if found is None:
        raise StateError(
            "the keyring does not hold the key",
            why=f"it has no entry {entry} of {_SERVICE}",
            fix="open the keyring that it was put into, then run the command again",
            code="key-missing",
        )
    return str(found)


def _to_keyring(text: str) -> str:
    library, entry = _keyring(), os.urandom(8).hex()
    try:
        library.set_password(_SERVICE, entry, text)
        kept = library.get_password(_SERVICE, entry) == text
    except Exception as error:
        raise _keyring_failed(error) from error
    if not kept:
        raise _keyring_failed(RuntimeError("it does not keep what is put into it"))
    return entry


def _forget_in_keyring(entry: str) -> None:
    try:
        _keyring().delete_password(_SERVICE, entry)
    except Exception:  # Nothing names the entry any more; what is left of it hurts nobody's work.
        return


# Texts


def _is_first(raw: bytes) -> bool:
    """Whether it is a file of version 1: one key, as it is."""
    return len(raw) == _SIZE and not raw.startswith(b'{"version"')


def _file(facts: dict[str, Any]) -> bytes:
    return json.dumps({"version": 2, **facts}).encode() + b"\n"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _to_json(keys: Keys) -> dict[str, Any]:
    return {"ring": [_text(key) for key in keys.ring], "fingerprint": _text(keys.fingerprint)}


def _from_json(found: dict[str, Any]) -> Keys:
    """The inverse of `_to_json`. Raises `ValueError`, `KeyError` or `TypeError` when it is none."""
    keys = Keys(tuple(_bytes(text) for text in found["ring"]), _bytes(found["fingerprint"]))
    if not keys.ring or {len(key) for key in (*keys.ring, keys.fingerprint)} != {_SIZE}:
        raise ValueError("not keys of ours")
    return keys
