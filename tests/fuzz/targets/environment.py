"""Environment files."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.fuzz import mutate
from tests.fuzz.runner import Unclean
from tests.fuzz.target import Target
from tfgrid_compose.manifest import envfile
from tfgrid_compose.manifest.load import App
from tfgrid_compose.manifest.model import Manifest

_SEED = b"""# comment
GREETING=Hello
export NAME='a b'   # more
QUOTED="two\\nlines $HOME ${HOME} \\" \\u0041"
MULTI="first
second"
EMPTY=
SPACED = value
DOMAIN=example.com # not a comment
PASSWORD='it'\\''s'
"""
_PIECES = (b'A="', b"A='", b"export ", b"export", b"=x", b"A==", b"A=$(id)", b"A=`id`", b"A=\\", b"A=\"\\", b"A='\\'", b"A B=C", b"A.B=1", b"A=1 B=2",
           b"A=\"\\x\"", b"A=\"\\U00110000\"", b"A=\"\\ud800\"", b"A=\"\\N{DIGIT}\"", b"'A'=1", b"\"A\"=1", b"A=${A:-${B}}", b"#" * 50)  # fmt: skip
_MANIFEST = Manifest.model_validate(
    {
        "name": "a",
        "environment": [
            {"name": "GREETING", "options": ["Hello", "Hi"]},
            {"name": "PASSWORD", "secret": True, "required": True},
            {"name": "DOMAIN", "depends_on": {"GREETING": "Hi"}, "required": True, "default": "x"},
        ],
    }
)


class Fuzz(Target):
    """`envfile.read_file`, and what becomes of its values."""

    name, share = "environment", 16

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._file = folder / ".env"
        self._app = App(folder, folder / "tfgrid-compose.yaml", _MANIFEST)

    def case(self, chance: Random) -> bytes:
        kind = chance.random()
        if kind < 0.5:
            return mutate.raw(chance, _SEED, _PIECES)
        if kind < 0.75:
            return b"\n".join(chance.choice((*_PIECES, *_SEED.splitlines())) for _ in range(chance.randrange(1, 8)))
        if kind < 0.9:
            return mutate.file_bytes("".join(f"{mutate.text(chance)}={mutate.text(chance)}\n" for _ in range(3)))
        if kind < 0.999:
            return chance.randbytes(chance.randrange(80))
        # A whole megabyte of the same: what takes more time for each byte than for the one before shows here.
        return (chance.choice(_PIECES) + chance.choice((b"", b"\n", b" "))) * 40_000

    def run(self, case: bytes) -> None:
        self._file.write_bytes(case)
        found = envfile.read_file(self._file)
        environment, _ = envfile.resolve(self._app, [envfile.Source(envfile.FILE, found)])
        for name, value in environment.values.items():  # As every shell and every process gets it.
            if "\0" in value or len(f"{name}={value}".encode()) > 131_071:
                raise Unclean(f"no process can have {name}")
