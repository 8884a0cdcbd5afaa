"""Archives of releases."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from tests.fuzz import mutate, seeds
from tests.fuzz.target import Target
from tfgrid_compose.deploy import releases
from tfgrid_compose.manifest import bundle
from tfgrid_compose.manifest.load import load_app
from tfgrid_compose.state import blobs
from tfgrid_compose.state.releases import Release

_KINDS = (
    tarfile.REGTYPE,
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.FIFOTYPE,
    tarfile.CHRTYPE,
    tarfile.CONTTYPE,
    b"9",
)
# No name leads further out than the folder that is removed afterwards, whatever is made of it.
_NAMES = ("a", "a/b", "a/../b", "../out", "a/../../out", "./a", "a//b", "deployment", "deployment/setup.sh", "tfgrid-compose.yaml", "\ud800", "a\nb", "a\\b", " ",
          "x" * 300, "y" * 150 + "/z", ".", "", "src", "\u00fc", "link/x")  # fmt: skip


class Fuzz(Target):
    """Unpacks archives, lists and reads what is in them, and loads the app that comes out."""

    name, share = "archive", 8

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        app = seeds.app_folder(Path.cwd())
        self._archive = bundle.collect(app).archive({releases.MANIFEST: (app / releases.MANIFEST).read_bytes()})
        self._tar = gzip.decompress(self._archive)

    def case(self, chance: Random) -> tuple[str, Any]:
        kind = chance.random()
        if kind < 0.35:
            return "bytes", mutate.raw(chance, self._archive)
        if kind < 0.7:
            # Within the tar; with sums that fit, so that more than the first header is looked at.
            at = chance.randrange(len(self._tar) // 512) * 512 + chance.choice(
                (100, 124, 136, 156, 157, 257, 329, 345, chance.randrange(512))
            )
            data = (
                self._tar[:at]
                + chance.choice((b"\0", b"7", b"\xff", b"-1", b"99999999999", b"\x80\0\0\0\0\0\0\xff", b"L", b"x", b"g", b"S"))
                + self._tar[at:]
            )
            return "tar", (mutate.raw(chance, self._tar) if chance.random() < 0.3 else data)[: len(self._tar)]
        return "members", [(chance.choice(_NAMES), chance.choice(_KINDS), chance.choice(_NAMES), chance.choice((0, 0o644, 0o4755, 0o777, 2**21 - 1)))
                           for _ in range(chance.randrange(1, 6))]  # fmt: skip

    def run(self, case: tuple[str, Any]) -> None:
        kind, what = case
        data = what if kind == "bytes" else gzip.compress(_with_sums(what) if kind == "tar" else _tar_of(what), 1)
        target = self.folder / "a" / "b" / "app"
        target.mkdir(parents=True)
        try:
            release = Release("r1", "d1", 1, 1.0, "live", "me", {"archive": hashlib.sha256(data).hexdigest()})
            with patch.object(blobs, "get", lambda digest: data):
                for path in list(releases.files_of(release))[:5]:
                    releases.text_of(release, path)
                releases.text_of(release, "gone")
            bundle.unpack(data, target)
            _nothing_outside(self.folder)
            bundle.collect(target, sifting=False).archive()
            load_app(target)
        finally:
            shutil.rmtree(self.folder / "a")
            (self.folder / "out").unlink(missing_ok=True)


def _nothing_outside(folder: Path) -> None:
    left = [
        path
        for path in (*folder.iterdir(), *(folder / "a").iterdir(), *(folder / "a/b").iterdir())
        if path.name not in ("a", "b", "app")
    ]
    assert not left, f"unpacked outside of the folder: {left}"


def _with_sums(data: bytes) -> bytes:
    """Give every header the sum that it should have."""
    found = bytearray(data)
    for at in range(0, len(found) - 511, 512):
        if found[at + 257 : at + 262] == b"ustar":
            found[at + 148 : at + 156] = b" " * 8
            found[at + 148 : at + 156] = b"%06o\0 " % sum(found[at : at + 512])
    return bytes(found)


def _tar_of(members: list[tuple[str, bytes, str, int]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for name, kind, link, mode in members:
            info = tarfile.TarInfo(name.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape"))
            info.type, info.linkname, info.mode, info.size = (
                kind,
                link.encode("utf-8", "replace").decode(),
                mode,
                3 if kind == tarfile.REGTYPE else 0,
            )
            tar.addfile(info, io.BytesIO(b"#!\n") if info.size else None)
    return out.getvalue()
