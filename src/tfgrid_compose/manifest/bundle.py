"""The app's source as one archive: what is in it, its digest, its bytes.

`.tfgridignore`, or else `.gitignore`, leaves files out, in git's own pattern language. The
environment file is never in the archive: its values travel apart, over the machine's stdin.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import stat
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec

from tfgrid_compose.errors import ManifestError

_ALWAYS_OUT = (
    ".git/",
    ".hg/",
    ".svn/",
    ".terraform/",
    ".tfgrid-compose/",
    "__pycache__/",
    ".venv/",
    "node_modules/",
    ".DS_Store",
)
MAX_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Entry:
    """A file or link of the bundle: path inside the app, permission bits."""

    name: str
    path: Path
    mode: int
    size: int


@dataclass(frozen=True)
class Bundle:
    """The files of an app, in a fixed order, and the digest of their names, modes and contents."""

    entries: tuple[Entry, ...]
    digest: str
    size: int

    def archive(self, extras: dict[str, bytes] | None = None) -> bytes:
        """A gzipped tar that is the same, byte for byte, for the same files.

        `extras` are files that the folder doesn't have, {name: content}; they get mode 0600. Raises
        `ManifestError` when a file can't be read any more.
        """
        raw = io.BytesIO()
        with _explained(), gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed:
            with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for entry in self.entries:
                    _add(tar, entry)
                for name, content in (extras or {}).items():
                    info = _info(name, 0o600)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        return raw.getvalue()


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    info = _info(entry.name, entry.mode)
    if entry.path.is_symlink():
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(entry.path)
        tar.addfile(info)
        return
    with entry.path.open("rb") as file:
        info.size = os.fstat(file.fileno()).st_size
        tar.addfile(info, file)


def _info(name: str, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.uid, info.gid, info.uname, info.gname = mode, 0, 0, "root", "root"
    return info


def collect(folder: Path, leave_out: tuple[Path, ...] = ()) -> Bundle:
    """The bundle of an app folder; `leave_out` are files that never go in. Raises `ManifestError`."""
    with _explained(folder):
        spec = _ignore_spec(folder)
        # Unlike Path.resolve, realpath takes a link that points at itself for what it is.
        private = {os.path.realpath(path) for path in leave_out}
        entries = sorted(_walk(folder, folder, spec, private), key=lambda entry: entry.name)
    size = sum(entry.size for entry in entries)
    if size > MAX_BYTES:
        raise ManifestError(
            f"the app folder has {size / 1024**3:.1f} GiB to ship",
            why=f"the limit is {MAX_BYTES / 1024**3:.0f} GiB",
            fix="leave data out with a .tfgridignore file",
            code="bundle-too-large",
        )
    with _explained(folder):
        return Bundle(tuple(entries), _digest(entries), size)


@contextmanager
def _explained(folder: Path | None = None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or folder or "a file of the app"
        raise ManifestError(
            f"{os.fsencode(place).decode(errors='replace')} can't be shipped",
            why=error.strerror or str(error),
            fix="check its permissions, or leave it out with a .tfgridignore file; then run the command again",
            code="bundle-unreadable",
        ) from error


def _ignore_spec(folder: Path) -> GitIgnoreSpec:
    for path in (folder / ".tfgridignore", folder / ".gitignore"):
        if path.is_file():
            lines = path.read_text(errors="replace").splitlines()
            return GitIgnoreSpec([*_patterns(path, _ALWAYS_OUT), *_patterns(path, lines)])
    return GitIgnoreSpec.from_lines(_ALWAYS_OUT)


def _patterns(path: Path, lines: Iterable[str]) -> Iterator[Any]:
    for number, line in enumerate(lines, 1):
        try:
            yield from GitIgnoreSpec.from_lines([line]).patterns
        except (ValueError, re.error) as error:
            # Git would skip it in silence; then what it was meant to keep back would be shipped.
            raise ManifestError(
                f"{path}:{number}: `{line}` is not a pattern",
                why=str(error),
                fix="mend or remove that line",
                code="ignore-file-invalid",
            ) from error


def _walk(root: Path, folder: Path, spec: GitIgnoreSpec, private: set[str]) -> Iterator[Entry]:
    with os.scandir(folder) as items:
        for item in items:
            path = Path(item.path)
            name = path.relative_to(root).as_posix()
            is_folder = item.is_dir(follow_symlinks=False)
            if spec.match_file(name + "/" if is_folder else name) or os.path.realpath(path) in private:
                continue
            if is_folder:
                yield from _walk(root, path, spec, private)
            elif item.is_symlink() or item.is_file(follow_symlinks=False):
                yield _entry(path, name, item.stat(follow_symlinks=False))


def _entry(path: Path, name: str, info: os.stat_result) -> Entry:
    if stat.S_ISLNK(info.st_mode):
        return Entry(name, path, 0o777, 0)
    # A hook without its run bit still runs: the bash tool sets it too.
    runs = info.st_mode & 0o111 or (name.startswith("deployment/") and name.endswith(".sh"))
    return Entry(name, path, 0o755 if runs else 0o644, info.st_size)


def _digest(entries: list[Entry]) -> str:
    total = hashlib.sha256()
    for entry in entries:
        if entry.path.is_symlink():
            inner = hashlib.sha256(os.fsencode(os.readlink(entry.path)))
        else:
            with entry.path.open("rb") as file:
                inner = hashlib.file_digest(file, "sha256")
        name = os.fsencode(entry.name)
        total.update(b"%d:%b:%o:" % (len(name), name, entry.mode) + inner.digest())
    return total.hexdigest()
