"""Whatever way a program writes a secret down, broken into lines and columns, no part of it that says anything is left."""

from __future__ import annotations

import base64
import random
import re
import shutil
import string
import subprocess
import textwrap
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfgrid_compose.observe.flow import Flow
from tfgrid_compose.observe.redact import MASK, Redactor

Form = Callable[[bytes], str]
secrets = st.text(string.ascii_letters + string.digits + string.punctuation + "äß€ ", min_size=6, max_size=70).filter(
    lambda value: value == value.strip() and len(set(value)) > 3 and value not in MASK
)
filling = st.binary(max_size=100)


def redactor(*values: str) -> Redactor:
    found = Redactor()
    found.add(*values)
    return found


def wrapped(text: str, width: int, between: str = "\n") -> str:
    return between.join(textwrap.wrap(text, width, break_on_hyphens=False))


def pairs(data: bytes, between: str, before: str = "", upper: bool = False) -> str:
    return between.join(before + (f"{byte:02X}" if upper else f"{byte:02x}") for byte in data)


def rows(data: bytes, size: int, row: Callable[[int, bytes], str]) -> str:
    return "\n".join(row(at, data[at : at + size]) for at in range(0, len(data), size))


def seen(data: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)


def words(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def xxd(data: bytes) -> str:
    return rows(data, 16, lambda at, part: f"{at:08x}: {' '.join(word.hex() for word in words(part, 2)):<39}  {seen(part)}")


def hexdump(data: bytes) -> str:
    return (
        rows(data, 16, lambda at, part: f"{at:08x}  {pairs(part[:8], ' ')}  {pairs(part[8:], ' ')}  |{seen(part)}|")
        + f"\n{len(data):08x}"
    )


def od(base: str, size: int, offset: bool = True) -> Form:
    def write(data: bytes) -> str:
        width = {"o": {1: 3, 2: 6, 4: 11}[size], "x": 2 * size, "u": 3}[base]

        def row(at: int, part: bytes) -> str:
            numbers = [int.from_bytes(word, "little") for word in words(part, size)]
            shown = [f"{number:{width}d}" if base == "u" else f"{number:0{width}{base}}" for number in numbers]
            return (f"{at:07o}" if offset else "") + " " + " ".join(shown)

        return rows(data, 16, row)

    return write


def od_c(data: bytes) -> str:
    names = {0: r"\0", 9: r"\t", 10: r"\n", 13: r"\r", 92: "\\"}
    cells = [names.get(byte, chr(byte) if 32 <= byte < 127 else f"{byte:03o}") for byte in data]
    return rows(data, 16, lambda at, part: f"{at:07o}" + "".join(f"{cell:>4}" for cell in cells[at : at + 16]))


FORMS: dict[str, Form] = {
    "plain": lambda data: data.decode(errors="surrogateescape"),
    **{f"base64 at {width}": lambda data, width=width: wrapped(base64.b64encode(data).decode(), width) for width in (4, 19, 64, 76)},
    "base64, url, in a quoted list": lambda data: wrapped(base64.urlsafe_b64encode(data).decode(), 30, '",\n  "'),
    "base64 in JSON": lambda data: wrapped(base64.b64encode(data).decode(), 64, "\\n"),
    "base64 with CRLF": lambda data: wrapped(base64.b64encode(data).decode(), 76, "\r\n"),
    "base32 at 64": lambda data: wrapped(base64.b32encode(data).decode(), 64),
    "hex": lambda data: data.hex(),
    "HEX at 60": lambda data: wrapped(data.hex().upper(), 60),
    "colons": lambda data: pairs(data, ":", upper=True),
    "dashes": lambda data: pairs(data, "-"),
    "spaces over lines": lambda data: rows(data, 16, lambda at, part: " " + pairs(part, " ")),
    "C array": lambda data: rows(data, 12, lambda at, part: "  " + pairs(part, ", ", "0x") + ","),
    "C string": lambda data: "".join(f"\\x{byte:02X}" for byte in data),
    "octal string": lambda data: "".join(f"\\{byte:03o}" for byte in data),
    "octal string in JSON": lambda data: "".join(f"\\\\{byte:03o}" for byte in data),
    "every byte in a URL": lambda data: "".join(f"%{byte:02x}" for byte in data),
    "EVERY BYTE IN A URL": lambda data: "".join(f"%{byte:02X}" for byte in data),
    "twice in a URL": lambda data: quote(quote(data, safe=""), safe=""),
    "three times in a URL": lambda data: quote(quote(quote(data, safe=""), safe=""), safe=""),
    "every byte twice in a URL": lambda data: "".join(f"%25{byte:02x}" for byte in data),
    "base64 in a URL": lambda data: quote(base64.b64encode(data), safe=""),
    "entities": lambda data: "".join(f"&#x{ord(sign):x};" for sign in data.decode(errors="replace")),
    "xxd": xxd,
    "xxd in capitals": lambda data: xxd(data).upper() if data.isascii() else xxd(data),
    "xxd -b": lambda data: rows(data, 6, lambda at, part: f"{at:08x}: {' '.join(f'{byte:08b}' for byte in part)}  {seen(part)}"),
    "hexdump -C": hexdump,
    "od -tx1": od("x", 1), "od -An -tx1": od("x", 1, False), "od -x": od("x", 2), "od -An -x": od("x", 2, False),
    "od -tx4": od("x", 4), "od -b": od("o", 1), "od": od("o", 2), "od -An": od("o", 2, False), "od -to4": od("o", 4),
    "od -tu1": od("u", 1), "od -c": od_c,
}  # fmt: skip
# Where a secret may begin inside of something longer.
INNER = [name for name in FORMS if not name.startswith(("every", "EVERY", "twice", "three", "entities"))]


def left_of(shown: str, form: str) -> str:
    """What is left of a form: without masks, offsets, and the signs that only separate."""
    text = re.sub(r"(?m)^(0x)?[0-9a-fA-F]{7,8}(:|(?=\s|$))", "", shown.replace(MASK, ""))
    return re.sub(r"[\s=:,.|\"'\\-]|0x|%3D", "", text)


@settings(max_examples=200, deadline=None)
@given(secrets, st.sampled_from(sorted(FORMS)))
def test_nothing_is_left_of_a_secret_that_is_written_down_alone(secret: str, name: str) -> None:
    form = FORMS[name](secret.encode())
    shown = redactor(secret).text(f"\n{form}\n")
    assert MASK in shown, form
    if "capitals" not in name:
        assert len(left_of(shown, form)) <= 3, (shown, form)


@settings(max_examples=200, deadline=None)
@given(secrets, filling, filling, st.sampled_from(sorted(INNER)))
def test_a_secret_inside_of_something_longer_is_found(secret: str, before: bytes, after: bytes, name: str) -> None:
    if name == "plain":
        before, after = before.hex().encode(), after.hex().encode()
    form = FORMS[name](before + secret.encode() + after)
    shown = redactor(secret).text(f"\n{form}\n")
    assert MASK in shown, form
    assert shown.count("\n") == form.count("\n") + 2, "lines keep their number"


@settings(max_examples=100, deadline=None)
@given(secrets, st.data())
def test_escape_sequences_and_line_breaks_inside_hide_nothing(secret: str, data: st.DataObject) -> None:
    cuts = sorted(set(data.draw(st.lists(st.integers(1, len(secret) - 1), min_size=1, max_size=5))))
    marks = data.draw(st.lists(st.sampled_from(["\x1b[31m", "\x1b[0m", "\n", "\r\n", "\x1b[K", "\x1b]0;x\x07", "\x08", "\0"]),
                               min_size=len(cuts), max_size=len(cuts)))  # fmt: skip
    text = secret
    for cut, mark in reversed(list(zip(cuts, marks, strict=True))):
        text = text[:cut] + mark + text[cut:]
    shown = redactor(secret).text(f"<{text}>")
    assert re.sub(f"{MASK}|\n", "", shown) == "<>", text


@settings(max_examples=200, deadline=None)
@given(secrets, st.sampled_from(sorted(FORMS)), st.integers(1, 40), st.booleans())
def test_lines_that_come_one_by_one_hide_nothing(secret: str, name: str, width: int, broken: bool) -> None:
    form = FORMS[name](secret.encode())
    if broken and "\n" not in form:
        form = "\n".join(form[at : at + width] for at in range(0, len(form), width))
    lines = ["before", *form.split("\n"), "after"]
    got: list[str] = []
    flow = Flow(redactor(secret), got.append)
    for line in lines:
        flow.line(line)
    flow.close()
    assert len(got) == len(lines)
    assert (got[0], got[-1]) == ("before", "after")
    whole = redactor(secret).text("\n".join(lines)).split("\n")
    # A line may be gone before its end could be told from the beginning of a word: a sign or two, no more.
    for line, clean in zip(got, whole, strict=True):
        more = len(left_of(line, form)) - len(left_of(clean, form))
        assert more <= (16 if re.search(r"[%\\&]", form) else 5), (got, whole)


def test_lines_wait_only_where_a_secret_may_begin() -> None:
    got: list[str] = []
    flow = Flow(redactor("hunter2!"), got.append)
    flow.line("nothing of it")
    assert got == ["nothing of it"]
    flow.line("it ends in hunt")
    assert len(got) == 1
    flow.line("er2! and more")
    assert got[1:] == [f"it ends in {MASK}", f"{MASK} and more"]
    flow.line("it ends in hun")
    flow.line("ger")
    assert got[3:] == ["it ends in hun", "ger"]
    flow.line("hunt")
    flow.close()
    assert got[5:] == ["hunt"]


def test_lines_do_not_wait_for_ever() -> None:
    got: list[str] = []
    flow = Flow(redactor("hunter2!"), got.append)
    for at in range(1000):
        flow.line(f"{at:08x}: 6161 6161 6161 6161  aaaaaaaa")
    assert len(got) > 900


def test_ordinary_output_is_left_as_it_is() -> None:
    text = "\n".join(
        [
            "Get:12 http://packages.example/debian bookworm/main amd64 libc6 2.36-9 [2758 kB]",
            "drwxr-xr-x 2 root root 4096 Nov 27 23:38 added dead beef",
            "00000000: 0001 0203 0405 0607 0809 0a0b 0c0d 0e0f  ................",
            "0000000 123 456 012 034", "    def main() -> None:", "2026-11-27T23:38:28.123456 10.1.2.3 200 512",
            "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", r"C:\new\table 100%25 &amp; more",
        ]
    )  # fmt: skip
    known = redactor("pass", "word", "abcd", "test", "0000", "hunter2!", "release", "local", "4321")
    assert known.text(text) == text.replace("0000", MASK) or MASK in known.text(text)
    assert redactor("pass", "word", "hunter2!", "secret", "4321").text(text) == text


PROGRAMS = [
    "base64", "base64 -w 20", "base32", "od", "od -c", "od -b", "od -x", "od -tx1", "od -An -tx1", "od -tx1z", "od -tx4", "od -tx8",
    "od -A x -t x1z -v", "od -An -c", "od -tu1", "od -A d -t o4", "xxd", "xxd -p", "xxd -i", "xxd -u", "xxd -g 4", "xxd -b", "xxd -e",
    "xxd -c 8", "hexdump", "hexdump -C", "hexdump -c", "hexdump -b", "hexdump -x", "fold -w 5", "fold -w 9", "fold -s -w 12", "fmt -w 8", "rev | rev", "cat -A",
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("secret", ["S3ntinel-Passw0rd/+=&<x>", "correct horse battery staple", "hunter2!"])
def test_what_real_programs_print_of_a_secret_is_masked(program: str, secret: str) -> None:
    if shutil.which(program.split()[0]) is None:
        pytest.skip(f"needs {program.split()[0]}")
    for before in ("", "12345", "the password of the database is "):
        done = subprocess.run(["sh", "-c", program], input=f"{before}{secret}\n".encode(), capture_output=True, check=True)
        form = done.stdout.decode()
        shown = redactor(secret).text(form)
        assert MASK in shown, form
        assert secret[:6] not in shown.replace("\n", "")


@pytest.mark.parametrize("secret", ["hunter2!", "local", "%%%%", "\\\\\\\\a", "a" * 900])
@pytest.mark.parametrize(
    "part", ["\n", "a\n", "%25", "\\\\", "\\x5c", "&amp;", "0x", "00000000: 0000 0000  ....\n", " 000 000\n", "\x1b[31m", "YWFh", "aa",
             "61 ", "    ", "   a\n", "3030303", "%", "ü", "hunter2", "loca\n", "\x9b"],
)  # fmt: skip
def test_time_grows_with_the_text_and_not_faster(secret: str, part: str) -> None:
    known = redactor(secret, "another-secret")

    def seconds(text: str) -> float:
        begin = time.process_time()
        known.text(text)
        return time.process_time() - begin

    size = 60_000 // len(part)
    seconds(part * size)
    assert seconds(part * size * 4) < 12 * max(seconds(part * size), 0.02)


def test_a_large_log_takes_seconds_at_most() -> None:
    chosen = random.Random(1)
    lines = [
        f"2026-11-27T10:00:00 web[{chosen.randrange(9999)}]: "
        + " ".join(chosen.choice(string.ascii_letters) * 5 for _ in range(9))
        for _ in range(20_000)
    ]
    known = redactor(*(f"{chosen.getrandbits(128):032x}" for _ in range(8)), "local", "release")
    begin = time.process_time()
    known.text("\n".join(lines))
    flow = Flow(known, lambda line: None)
    for line in lines:
        flow.line(line)
    assert time.process_time() - begin < 10
