"""Secrets that a user hands over: typed and not shown, from a file, or from standard input; never on the command line."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import click

from tfgrid_compose.errors import UsageError
from tfgrid_compose.observe.redact import PROCESS

_LONGEST = 64 * 1024
_SEED = re.compile(r"0x[0-9a-fA-F]{32,}")
_WORDS = 9


class Wordless(click.Group):
    """Repeats no word of the command line that may be a part of a secret."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As usual, unless a mnemonic or a seed stands there."""
        for word in args:
            if len(word.split()) >= _WORDS or _SEED.fullmatch(word):
                PROCESS.add(word)
                raise _misused()
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As usual, but a word that is no command may be the first of a mnemonic."""
        if args[0] not in self.commands:
            raise _misused()
        return super().resolve_command(ctx, args)


def _misused() -> UsageError:
    return UsageError(
        "this command takes no secret, and no other word, from the command line",
        why="whatever stands on a command line can be read by others and stays in the shell's history",
        fix="tfgrid-compose signin asks for the mnemonic; or give it on standard input or with --file. "
        "If you have just typed it, remove it from the shell's history",
        code="secret-on-command-line",
    )


def given_secret(what: str, file: Path | None = None, learn: Callable[[str], None] = PROCESS.add) -> str:
    """The text from a file, a terminal, or standard input; without blanks around it, and known as a secret from then on.

    Raises `UsageError` that never holds it.
    """
    try:
        if file:
            with file.open("rb") as opened:
                raw = opened.read(_LONGEST + 1)
        elif sys.stdin.isatty():
            raw = str(
                click.prompt(f"{what.capitalize()} (not shown)", hide_input=True, default="", show_default=False, err=True)
            ).encode()
        else:
            raw = sys.stdin.buffer.read(_LONGEST + 1)
        text = raw.decode("utf-8-sig").strip() if len(raw) <= _LONGEST else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the {what} can't be read", why=getattr(error, "strerror", None) or "it is not UTF-8 text",
            fix="give it on a terminal, on standard input, or in a file", code="secret-unusable",
        ) from None  # fmt: skip
    learn(text)
    if not text:
        raise UsageError(
            f"the {what} is empty" if len(raw) <= _LONGEST else f"the {what} is too long",
            why="nothing was given" if len(raw) <= _LONGEST else f"it has more than {_LONGEST // 1024} KB",
            fix="give it on a terminal, on standard input, or in a file", code="secret-unusable",
        )  # fmt: skip
    return text
