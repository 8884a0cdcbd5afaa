"""Looks for secrets where none may be: in output, files, databases, and the command lines of processes.

A test gives each secret of a deployment a value that stands nowhere else, runs, and scans all that it can reach.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import shlex
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

# A shorter value could stand somewhere by chance.
SHORTEST = 8
_CHUNK = 1024 * 1024


def forms(secret: bytes) -> dict[str, bytes]:
    """{name: how the secret may be written}. A short secret is a mistake of the test."""
    if len(secret) < SHORTEST:
        raise ValueError(f"a sentinel has {SHORTEST} bytes or more")
    found = {"plain": secret, "hex": secret.hex().encode(), "HEX": secret.hex().upper().encode(), "reversed": secret[::-1]}
    for offset in range(3):
        found[f"base64+{offset}"] = _inner(base64.b64encode, secret, offset, 6)
        found[f"base64url+{offset}"] = _inner(base64.urlsafe_b64encode, secret, offset, 6)
    for offset in range(5):
        found[f"base32+{offset}"] = _inner(base64.b32encode, secret, offset, 5)
    with contextlib.suppress(UnicodeDecodeError):
        found |= _texts(secret.decode())
    # Which forms are the same depends on the secret; each is looked for once, under its first name.
    unique: dict[bytes, str] = {}
    for name, form in found.items():
        unique.setdefault(form, name)
    return {name: form for form, name in unique.items()}


def _inner(encode: object, secret: bytes, offset: int, bits: int) -> bytes:
    """The signs that hold nothing but bits of the secret when it begins `offset` bytes after a full group."""
    encoded: bytes = encode(b"\0" * offset + secret)  # type: ignore[operator]
    return encoded[-(-8 * offset // bits) : 8 * (offset + len(secret)) // bits]


def _texts(secret: str) -> dict[str, bytes]:
    texts = {
        "url": quote(secret, safe=""), "url-path": quote(secret), "url-plus": quote_plus(secret),
        "url-small": "".join(f"%{ord(sign):02x}" if not sign.isalnum() else sign for sign in secret),
        "json": json.dumps(secret)[1:-1], "html": html.escape(secret), "python": repr(secret)[1:-1],
        "shell": shlex.quote(secret), "utf-16": "", "c": "".join(f"\\x{byte:02x}" for byte in secret.encode()),
    }  # fmt: skip
    found = {name: text.encode() for name, text in texts.items()}
    return {**found, "utf-16": secret.encode("utf-16-le")}


def find(data: bytes, secrets: Iterable[bytes]) -> list[str]:
    """The names of the forms in which a secret stands in `data`."""
    return [name for secret in secrets for name, form in forms(secret).items() if form in data]


def scan(paths: Iterable[Path], secrets: Iterable[bytes]) -> list[tuple[Path, str]]:
    """(file, form) for each file, also in folders, that holds a secret. What can't be read is left out.

    The secret itself is not in the answer, so that a failed test doesn't print it.
    """
    looked_for = [item for secret in secrets for item in forms(secret).items()]
    overlap = max((len(form) for _, form in looked_for), default=1) - 1
    found = []
    for path in _files(paths):
        seen: set[str] = set()
        for chunk in _chunks(path, overlap):
            seen |= {name for name, form in looked_for if form in chunk}
        found += [(path, name) for name in sorted(seen)]
    return found


def command_lines() -> list[Path]:
    """The command lines of all processes; everybody can read them."""
    return sorted(Path("/proc").glob("[0-9]*/cmdline"))


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            for folder, _, names in os.walk(path):
                yield from (Path(folder, name) for name in sorted(names))
        else:
            yield path


def _chunks(path: Path, overlap: int) -> Iterator[bytes]:
    """The content in pieces that overlap, so that nothing is lost between two of them."""
    # A file that has just gone, a socket, a link: nothing to read. Links are scanned where they lead.
    with contextlib.suppress(OSError):
        if not stat.S_ISREG(path.lstat().st_mode):
            return
        with path.open("rb") as file:
            kept = b""
            while read := file.read(_CHUNK):
                yield kept + read
                kept = (kept + read)[-overlap:] if overlap else b""
