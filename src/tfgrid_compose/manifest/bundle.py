"""The app's source as one archive: its digest, its bytes, and back to files."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tfgrid_compose.errors import ManifestError, StateError
from tfgrid_compose.manifest.contents import Entry, contents, explained

MAX_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Bundle:
    """The files of an app, in a fixed order, and the digest of their names, modes and contents."""

    entries: tuple[Entry, ...]
    digest: str
    size: int
    digests: tuple[str, ...] = ()

    def sums(self) -> bytes:
        """The digests of all files as `sha256sum -c` reads them; links are left out, it would follow them."""
        pairs = zip(self.entries, self.digests, strict=True)
        return b"".join(_sum_line(entry.name, digest) for entry, digest in pairs if not entry.path.is_symlink())

    def archive(self, extras: dict[str, bytes] | None = None) -> bytes:
        """A gzipped tar that is the same, byte for byte, for the same files.

        `extras` are files that the folder doesn't have, {name: content}; they get mode 0600. Raises
        `ManifestError` when a file can't be read any more.
        """
        return _packed(self.entries, extras or {})

    @staticmethod
    def archive_of(files: dict[str, bytes]) -> bytes:
        """An archive of files that no folder has."""
        return _packed((), files)


def _packed(entries: Iterable[Entry], extras: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with explained(), gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for entry in entries:
                _add(tar, entry)
            for name, content in extras.items():
                info = _info(name, 0o600)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return raw.getvalue()


def _sum_line(name: str, digest: str) -> bytes:
    """One line of `sha256sum`; a leading backslash says that the name is escaped (coreutils manual, md5sum)."""
    raw = os.fsencode(name)
    escaped = raw.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if escaped != raw else b"") + digest.encode() + b"  " + escaped + b"\n"


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


def collect(folder: Path, leave_out: tuple[Path, ...] = (), *, sifting: bool = True) -> Bundle:
    """The bundle of an app folder; see `contents` for what goes in. Raises `ManifestError`."""
    entries = contents(folder, leave_out, sifting=sifting).entries
    size = sum(entry.size for entry in entries)
    if size > MAX_BYTES:
        raise ManifestError(
            f"the app folder has {size / 1024**3:.1f} GiB to ship",
            why=f"the limit is {MAX_BYTES / 1024**3:.0f} GiB",
            fix="leave data out with a .tfgridignore file",
            code="bundle-too-large",
        )
    with explained(folder):
        digests = tuple(_content(entry) for entry in entries)
        return Bundle(entries, _digest(entries, digests), size, digests)


def unpack(archive: bytes, folder: Path) -> None:
    """Unpack an archive that `Bundle.archive` made into an empty folder, links and modes included.

    Nothing is written outside of the folder. `tarfile` has filters for this only from Python 3.11.4 on, and Debian 12's
    Python is older. Raises `ManifestError` and `StateError`.
    """
    with explained(folder), reading(archive) as tar:
        folder.mkdir(parents=True, exist_ok=True)
        # Links come last: until then nothing in the folder leads out of it.
        for member in sorted(tar.getmembers(), key=tarfile.TarInfo.issym):
            _unpack(tar, member, folder)


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """One member: only what we pack, at a place that is inside and free."""
    path = folder / member.name
    if not (member.isreg() or member.issym()):
        raise tarfile.ReadError(f"{member.name!r} is neither a file nor a link")
    if path.name in ("", "..") or not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder)):
        raise tarfile.ReadError(f"{member.name!r} leads out of the archive")
    if os.path.lexists(path):
        raise tarfile.ReadError(f"{member.name!r} is there twice")
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
        return
    content = tar.extractfile(member)
    assert content is not None, "a regular file has content"
    with path.open("xb") as file:
        shutil.copyfileobj(content, file)
        os.fchmod(file.fileno(), member.mode & 0o755)


@contextmanager
def reading(archive: bytes) -> Iterator[tarfile.TarFile]:
    """An archive that `Bundle.archive` made, to be read. Raises `StateError` when it turns out to be damaged."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            yield tar
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, KeyError, ValueError, RecursionError) as error:
        raise StateError(
            "the archive of a release is damaged",
            why=str(error),
            fix="tfgrid-compose history shows the releases; roll back to another one, or run `tfgrid-compose up`",
            code="release-damaged",
        ) from error


def _content(entry: Entry) -> str:
    if entry.path.is_symlink():
        return hashlib.sha256(os.fsencode(os.readlink(entry.path))).hexdigest()
    with entry.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(entries: tuple[Entry, ...], digests: tuple[str, ...]) -> str:
    total = hashlib.sha256()
    for entry, inner in zip(entries, digests, strict=True):
        name = os.fsencode(entry.name)
        total.update(b"%d:%b:%o:" % (len(name), name, entry.mode) + bytes.fromhex(inner))
    return total.hexdigest()
