"""What a terminal obeys is taken out of the texts of strangers; what a person reads stays."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrid_compose.observe.plain import coloured, one_line, plain
from tfgrid_compose.observe.screen import Screen, harmless

# Cursor, clearing, title, clipboard, hyperlink, answer-back, printer, other screens and fonts, 8-bit forms.
ORDERS = [
    "\x1b[2J", "\x1b[1A", "\x1b[2K", "\x1b[10;10H", "\x1b[?25l", "\x1b[?1049h", "\x1b[6n", "\x1b[5i", "\x1b[8m", "\x1b[5m",
    "\x1b[7m", "\x1b]0;title\x07", "\x1b]2;title\x1b\\", "\x1b]52;c;cm0gLXJm\x07", "\x1b]8;;http://evil\x1b\\", "\x1bP1$r0m\x1b\\",
    "\x1b_apc\x1b\\", "\x1b^pm\x1b\\", "\x1bXsos\x1b\\", "\x1bc", "\x1b#8", "\x1b(0", "\x1b=", "\x1b7", "\x9b2J", "\x9d0;title\x9c",
    "\x90q\x9c", "\x1b[0;8m", "\x1b[38;5;1;8m", "\x1b[", "\x1b", "\x1b]0;never ended",
]  # fmt: skip
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_to_the_terminal_goes_whole(order: str) -> None:
    for clean in (plain, one_line, coloured):
        assert clean(f"before{order}") == "before", clean


def test_words_tabs_and_line_breaks_stay() -> None:
    text = "Grüße,\tмир 🎉 👩‍🚀\nsecond"
    assert plain(text) == text
    assert one_line(text) == "Grüße, мир 🎉 👩‍🚀 second"
    assert coloured("Grüße,\tмир 🎉") == "Grüße,\tмир 🎉"


@pytest.mark.parametrize("sign", ["\0", "\x07", "\x08", "\x7f", "\u202e", "\u2066", "\ud800", "\u2028"])
def test_other_signs_that_are_no_text_show_as_such(sign: str) -> None:
    assert plain(f"a{sign}b") == coloured(f"a{sign}b") == "a�b"
    assert one_line(f"a{sign}b") == "a b"


def test_nothing_is_hidden_by_a_carriage_return() -> None:
    assert plain("rm -rf /\rls\r\n") == "rm -rf /\nls\n"
    assert coloured("rm -rf /\rls") == "rm -rf / ls"
    assert one_line("a\r\n\tb") == "a b"


@pytest.mark.parametrize("colour", ["31", "1;32", "38;5;200", "38;2;1;2;3", "0", "", "97;44", "4"])
def test_colours_stay_in_output_and_end_with_the_line(colour: str) -> None:
    assert coloured(f"a\x1b[{colour}mb") == f"a\x1b[{colour}mb\x1b[0m"
    assert plain(f"a\x1b[{colour}mb\x1b[0m") == "ab"


@given(st.text(st.sampled_from("\x1b[]P^_X\\\x07\x9b\x9d;0178mHJK?ab\n\t\r\u202e"), max_size=40))
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    assert not OBEYED.search(plain(text))
    assert one_line(text).isprintable()
    left = re.sub(r"\x1b\[[0-9;:]*m", "", coloured(text))
    assert not OBEYED.search(left)
    for found in re.findall(r"\x1b\[([0-9;:]*)m", coloured(text)):
        assert "8" not in re.split("[;:]", found)
    assert plain(plain(text)) == plain(text), "what is left does not become an order"


def test_no_text_makes_it_slow() -> None:
    for part in ("\x1b", "\x1b[", "\x1b]", "\x1b[1;", "\x1bP", "\x9b", "\x1b[31m"):
        plain(part * 100_000)
        coloured(part * 100_000)


@pytest.mark.parametrize("order", ORDERS)
def test_the_last_gate_lets_no_order_to_the_terminal_pass(order: str) -> None:
    kept = order if order in ("\x1b[1A", "\x1b[2K", "\x1b[?25l") else ""
    assert harmless(f"a{order}") == f"a{kept}"


def test_a_screen_writes_text_and_colours_and_what_a_live_line_needs() -> None:
    kept = io.BytesIO()
    screen = Screen(kept, "utf-8", "backslashreplace", newline="")
    assert screen.write("\x1b[1;31mred\x1b[0m\r\x1b[1A\x1b[2K✓\n\x1b]0;title\x07\x1b[H\x07") == 39
    screen.flush()
    assert (screen.encoding, screen.errors, screen.isatty()) == ("utf-8", "backslashreplace", False)
    assert kept.getvalue().decode() == "\x1b[1;31mred\x1b[0m\r\x1b[1A\x1b[2K✓\n�"


def test_a_command_on_a_terminal_gives_no_orders_of_strangers(home: Path) -> None:
    """A name in the file of favourites, a folder's name: whatever forgot to clean, the terminal gets no order."""
    code = (
        "import sys; from tfgrid_compose.cli import main; main._prepare(); import click; "
        "click.echo('a\\x1b]52;c;cm0=\\x07b \\x1b[31mred\\x1b[0m'); click.echo('c\\x1b[2Jd', err=True)"
    )
    pid, terminal = os.forkpty()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    shown = b""
    with contextlib.suppress(OSError), os.fdopen(terminal, "rb", buffering=0) as screen:
        while part := screen.read(4096):
            shown += part
    assert os.waitpid(pid, 0)[1] == 0
    assert shown.replace(b"\r\n", b"\n") == b"ab \x1b[31mred\x1b[0m\ncd\n"
