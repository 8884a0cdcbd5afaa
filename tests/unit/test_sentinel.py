"""The scanner itself: a secret that stands somewhere is found, whatever it looks like there."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import sentinel
from tests.sentinel import command_lines, find, forms, scan
from tfgrid_compose.observe.redact import MASK, Redactor

SECRET = b"s3ntinel/+ 'quote' & more?"


@given(st.binary(max_size=9), st.binary(max_size=9))
def test_every_offset_of_base64_and_base32_is_found(before: bytes, after: bytes) -> None:
    for encode, name in ((base64.b64encode, "base64"), (base64.urlsafe_b64encode, "base64"), (base64.b32encode, "base32")):
        assert any(form.startswith(name) for form in find(encode(before + SECRET + after), [SECRET]))


def test_what_is_not_there_is_not_found() -> None:
    assert find(b"nothing of it here " * 100, [SECRET]) == []
    assert find(SECRET[:-1], [SECRET]) == []


def test_a_value_that_could_stand_somewhere_by_chance_is_refused() -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        forms(b"short")


def test_files_in_folders_are_scanned_also_where_two_chunks_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentinel, "_CHUNK", 64)
    (tmp_path / "deep").mkdir()
    for lead in range(70):
        (tmp_path / "deep" / f"{lead:02d}").write_bytes(b"x" * lead + SECRET + b"x" * 10)
    (tmp_path / "clean").write_bytes(b"x" * 1000)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "00")
    (tmp_path / "hex").write_text(SECRET.hex())
    found = scan([tmp_path, tmp_path / "missing"], [SECRET])
    assert [path.name for path, form in found if form == "plain"] == [f"{lead:02d}" for lead in range(70)]
    assert (tmp_path / "hex", "hex") in found
    assert len(found) == 71


def test_the_command_line_of_a_process_is_scanned() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()", SECRET.decode()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        found = scan(command_lines(), [SECRET])
        assert (Path(f"/proc/{process.pid}/cmdline"), "plain") in found
    finally:
        process.communicate(b"\n")


TEXTS = sorted(
    name for name in forms(SECRET) if "64" not in name and "32" not in name and name not in ("reversed", "utf-16", "c")
)


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_that_is_looked_for_is_also_masked(name: str) -> None:
    check_masked(forms(SECRET)[name])


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, base64.b32encode])
@pytest.mark.parametrize("lead", range(5))
def test_every_encoding_that_is_looked_for_is_also_masked(encode: Callable[[bytes], bytes], lead: int) -> None:
    check_masked(encode(b"x" * lead + SECRET + b"tail"))


def check_masked(form: bytes) -> None:
    assert find(form, [SECRET])
    redactor = Redactor()
    redactor.add(SECRET.decode())
    shown = redactor.text(f"<{form.decode()}>")
    assert MASK in shown
    assert find(shown.encode(), [SECRET]) == []
