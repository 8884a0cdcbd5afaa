"""Ignore files, and folders with files of odd names and kinds."""

from __future__ import annotations

import os
import shutil
import socket
from random import Random

from tests.fuzz import mutate
from tests.fuzz.runner import Unclean
from tests.fuzz.target import Target
from tfgrid_compose.manifest import bundle

_NAMES = (b"a", b"b.log", b"src", b".env", b".env.local", b"x.env", b".git", b".tfgrid-mnemonic", b"node_modules", b"deployment", b"setup.sh", b"-x", b" ", b"a b", b"a\nb", b"a\rb", b"a\\b", b"\xff\xfe",
          b"\xed\xa0\x80", b"\xc3\xbc", b"a" * 250, b"*", b"[x]", b"!a", b"#a", b"~", b"\x01\x1b[31m", b"\xe2\x80\xae", b"...", b"a.", b"'", b'"', b"$(id)")  # fmt: skip
_KINDS = (
    "file",
    "file",
    "file",
    "folder",
    "folder",
    "link",
    "loop",
    "pipe",
    "socket",
    "private",
    "executable",
    "dangling",
    "away",
)
_PATTERNS = (b"*", b"!*", b"**", b"/", b"//", b"a/", b"/a", b"!a", b"\\!a", b"\\#a", b"\\", b"a\\", b"[", b"[a-", b"[]", b"[!]", b"[z-a]", b"[[:alpha:]]", b"**/a/**",
             b"***", b"a**b", b"!", b"! ", b"#x", b"(?", b"(", b")", b"+", b"{a,b}", b"a{1000000}", b"?" * 40, b"*a" * 12 + b"b", b"**/" * 20 + b"x",
             b"\xff", b"\0", b"a\0b", b" ", b"a ", b"a\\ ", b"\t", b".", b"..", b"../a", b"./a", b"a/./b", b"$HOME", b"[^a]", b"\xc3\xbc", b"|", b"^", b"$")  # fmt: skip

_PRIVATE = {".env", ".env.local", "x.env", ".git", ".tfgrid-mnemonic", "node_modules"}

Tree = list[tuple[tuple[bytes, ...], str]]


class Fuzz(Target):
    """`bundle.collect` and the archive of what it found."""

    name, share = "ignore", 12

    def case(self, chance: Random) -> tuple[bytes, bool, Tree]:
        items: Tree = []
        for _ in range(chance.randrange(7)):
            parts = tuple(self._name(chance) for _ in range(chance.choice((1, 1, 2, 3))))
            items.append((parts, chance.choice(_KINDS)))
        patterns = [chance.choice(_PATTERNS) for _ in range(chance.randrange(5))]
        text = b"\n".join(patterns)
        if chance.random() < 0.4:
            text = mutate.raw(chance, text, _PATTERNS)
        return text, chance.random() < 0.8, items

    def _name(self, chance: Random) -> bytes:
        made = chance.choice(_NAMES) if chance.random() < 0.85 else mutate.raw(chance, chance.choice(_NAMES), _NAMES, 1)[:255]
        made = made.replace(b"/", b"_").replace(b"\0", b"_")
        return made if made.strip(b".") else b"_"

    def run(self, case: tuple[bytes, bool, Tree]) -> None:
        text, ours, items = case
        root = self.folder / "app"
        root.mkdir()
        try:
            for parts, kind in items:
                _make(os.fsencode(root), parts, kind)
            (root / (".tfgridignore" if ours else ".gitignore")).write_bytes(text)
            found = bundle.collect(root, (root / "a", root / "gone"))
            private = [entry.name for entry in found.entries if set(entry.name.split("/")) & _PRIVATE]
            if private:
                raise Unclean(f"what never goes is in it: {private}")
            found.sums()
            found.archive({"tfgrid-compose.yaml": b"name: a\n"})
        finally:
            shutil.rmtree(root)


def _make(root: bytes, parts: tuple[bytes, ...], kind: str) -> None:
    path = root
    for part in parts[:-1]:
        path = os.path.join(path, part)
        if not os.path.isdir(path):
            if os.path.lexists(path):
                return
            os.mkdir(path)
    path = os.path.join(path, parts[-1])
    if os.path.lexists(path):
        return
    if kind == "folder":
        os.mkdir(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path) if len(path) < 100 else os.mkfifo(path)
    elif kind in ("link", "loop", "dangling", "away"):
        os.symlink({"link": b".", "loop": parts[-1], "dangling": b"gone/\xff", "away": b"/etc/hostname"}[kind], path)
    else:
        with open(path, "wb") as file:
            file.write(b"#!/bin/sh\n")
        os.chmod(path, {"private": 0, "executable": 0o4755}.get(kind, 0o644))
