"""Archives under the digest of their content: kept once, checked when read, removed when nothing names them."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from tfgrid_compose.errors import StateError
from tfgrid_compose.state import blobs


@pytest.fixture(autouse=True)
def own_home(home: Path) -> Path:
    return home


def names() -> list[str]:
    return sorted(path.name for path in blobs.folder().iterdir())


def aged(digest: str, hours: float = 2.0) -> None:
    at = time.time() - hours * 3600
    os.utime(blobs.folder() / digest, (at, at))


@pytest.mark.parametrize("data", [b"", b"x", os.urandom(100_000)], ids=["empty", "small", "large"])
def test_what_is_put_comes_back_under_its_digest_and_is_private(data: bytes) -> None:
    digest = blobs.put(data)
    assert digest == hashlib.sha256(data).hexdigest()
    assert blobs.get(digest) == data
    assert names() == [digest]
    assert (blobs.folder() / digest).stat().st_mode & 0o777 == 0o600
    assert blobs.folder().stat().st_mode & 0o777 == 0o700


def test_the_same_content_is_kept_once() -> None:
    assert blobs.put(b"x") == blobs.put(b"x")
    assert len(names()) == 1


@pytest.mark.parametrize("change", [b"", b"tbe archive", b"the archive."], ids=["emptied", "one bit", "longer"])
def test_an_archive_that_was_changed_is_damaged(change: bytes) -> None:
    digest = blobs.put(b"the archive")
    (blobs.folder() / digest).write_bytes(change)
    with pytest.raises(StateError, match="the archive of a release was changed") as caught:
        blobs.get(digest)
    assert (caught.value.code, caught.value.exit_code) == ("release-damaged", 10)
    assert digest in caught.value.why
    assert caught.value.fix.startswith("tfgrid-compose history")


@pytest.mark.parametrize("digest", ["0" * 64, ""])
def test_an_archive_that_is_gone_is_damaged(digest: str) -> None:
    blobs.put(b"another")
    with pytest.raises(StateError, match="the archive of a release can't be read") as caught:
        blobs.get(digest)
    assert caught.value.code == "release-damaged"


def test_an_archive_that_was_changed_is_mended_when_the_same_one_is_put_again() -> None:
    digest = blobs.put(b"the archive")
    (blobs.folder() / digest).write_bytes(b"the arch")
    assert blobs.put(b"the archive") == digest
    assert blobs.get(digest) == b"the archive"


def test_a_disk_that_refuses_an_archive_is_a_state_error(home: Path) -> None:
    blobs.folder().parent.mkdir(parents=True, exist_ok=True)
    blobs.folder().write_text("a file is in the way")
    with pytest.raises(StateError):
        blobs.put(b"x")


def test_what_nothing_names_is_removed_once_it_is_old(home: Path) -> None:
    kept, fresh, old, partial = (blobs.put(text) for text in (b"kept", b"fresh", b"old", b"partial"))
    for digest in (kept, old, partial):
        aged(digest)
    (blobs.folder() / partial).rename(blobs.folder() / f".{partial}.123")
    assert blobs.prune({kept, ""}) == 2
    assert names() == sorted([kept, fresh])
    assert blobs.prune({kept}) == 0
    aged(fresh, 0.9)
    assert blobs.prune(set()) == 1, "one that young may belong to a run that goes on"
    assert names() == [fresh]


def test_an_archive_that_is_needed_again_is_young_again() -> None:
    digest = blobs.put(b"x")
    aged(digest)
    blobs.put(b"x")
    assert blobs.prune(set()) == 0, "the run that put it has not recorded its release yet"


def test_pruning_what_was_never_there_is_nothing() -> None:
    assert blobs.prune(set()) == 0
