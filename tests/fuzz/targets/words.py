"""The command line: any words, on a state with some deployments, with programs that answer anything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import click

from tests.fuzz import command, mutate, seeds
from tests.fuzz.target import Refused, Target
from tfgrid_compose.cli.main import cli

_OUTPUTS = (
    b"", b"\n", b"1: lo: <LOOPBACK>\n", b"1: lo\n", b"junk", b"default via 10.0.0.1 dev eth0\n10.20.0.0/16 dev wg-web\nbroadcast\n10.999.0.0/99 x\n", b"\xff\xfe\0",
    b"{}", b"[]", b"null", b'{"type": "resource_drift"}\n', b'{"machines": {"value": 5}}', b'{"@level": "error", "diagnostic": {"severity": "error", "summary": "no"}}\n',
    b"OpenTofu v1.9\n", b"x " * 5000, b"5\n0.1\n10% 5G\nreleases/r1\nactive\nrunning\n", b"\n\n\n\n\n", b"permission denied\n", b"digest mismatch\n",
)  # fmt: skip
_WORDS = (
    "web", "shop", "box", "classic", "./classic", "classic/tfgrid-compose.yaml", "0123", "01", "a1b2c3d4e5f60718", "f", "1", "2", "#1", "#2", "3", "folder", "live",
    "2025", "20251123-134501-012345", "setup", "terraform", "CLASSIC_MESSAGE", "CLASSIC_MESSAGE=x", "DOMAIN", "A", "status", "report", "uptime", "main", "local", "dev",
    "single-vm", "nothing", "single", "bash", "file", "passphrase", "keyring", "dev", "xlarge", "4G", "50G", "0", "-1", "1e3", "99999999999999999999", "1.5", "nan", "inf",
    "10m", "yesterday", "hook-failed", "apt-lock", "busy", "state.tfgrid", ".env", "words", "/dev/null", "/proc/self/mem", "/", "/etc", ".", "..", "classic/src", "odd \udcff", "odd \udcff", "loop", "loop/x", "words/x",
)  # fmt: skip
_ENVIRONMENT = (
    ("TFGRID_LOCALGRID", "x"), ("TFGRID_TERRAFORM", "nothing"), ("TFGRID_TERRAFORM", "sh"), ("TFGRID_PASSPHRASE_FILE", "words"), ("TFGRID_PASSPHRASE_FILE", "gone"),
    ("TFGRID_PASSPHRASE_FILE", "classic"), ("TFGRID_SUDO_UID", "x"), ("TFGRID_SUDO_UID", "99999"), ("TF_VAR_mnemonic", "a b"), ("TF_VAR_mnemonic", "\udcff"), ("TERM", "dumb"),
    ("COLUMNS", "1"), ("COLUMNS", "x"), ("LINES", "-1"), ("PASSWORD", "\udcff"), ("NO_COLOR", ""), ("_TFGRID_COMPOSE_COMPLETE", "bash_source"),
    ("_TFGRID_COMPOSE_COMPLETE", "x_y"), ("_TFGRID_COMPOSE_COMPLETE", "bash_complete"),
)  # fmt: skip

# Whole commands that get far; words of them are exchanged, and options added.
_WHOLE = tuple(
    tuple(line.split())
    for line in """
up classic --network main --node 7 --yes --terraform sh
up classic --name web --network main --yes
up classic --name fresh --network dev --node 1 --json --no-retry
up web --resume --yes
up web --repair --yes
plan classic --network main --node 7 --size medium --var DOMAIN=x
plan classic --name web --network main --json
rollback web --yes
rollback shop --to 1 --plan --json
down web --yes
down box --yes --json
drift web
drift web --json --ignore platform.*
diff web 1 2
diff web 1 folder --json
history web
runs web
runs show 2
runs cancel web
status web
status shop --json
logs web --hook setup
logs web --since 10m -n 5
ssh web
exec web -- ls -la
address web --all
inspect web
run uptime web
report web x
secrets set web CLASSIC_MESSAGE
secrets set classic CLASSIC_MESSAGE
secrets set ODD CLASSIC_MESSAGE
secrets list ODD
up ODD --network main --node 7 --yes --terraform sh
validate ODD --json
secrets list web
secrets unset web CLASSIC_MESSAGE
secrets key --to passphrase --passphrase-file words
secrets rotate
audit web --limit 3
audit export --json
state backup
state restore 2 --yes --no-grid
state check
state repair --yes
state export state.tfgrid
state import state.tfgrid --yes --replace
orphans --destroy --yes
explain apt-lock
init fresh --name fresh
validate classic --strict
localgrid status
localgrid terraform-rc
doctor --json
""".strip().splitlines()
)

Case = tuple[list[str], bytes, str, dict[str, str], tuple[int, bytes, bytes]]


class Fuzz(Target):
    """`main()` in this process, from words to exit code."""

    name, share = "words", 8

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._base = Path.cwd()
        self._app = seeds.app_folder(self._base)
        odd = self._base / os.fsdecode(b"odd \xff")
        shutil.copytree(self._app, odd) if not odd.exists() else None
        (self._base / "loop").symlink_to("loop") if not (self._base / "loop").is_symlink() else None
        (self._base / "words").write_text("correct horse battery\n")
        self._state = seeds.StateFolder(folder)
        self._state.empty()
        seeds.state(self._app)
        self._state.keep("whole")
        self._state.put("whole")
        self._commands = list(_commands(cli, ()))
        self._files = {path.name for path in self._base.iterdir()}

    def close(self) -> None:
        self._tidy()

    def case(self, chance: Random) -> Case:
        words = self._words(chance)
        stdin = b"" if chance.random() < 0.6 else chance.choice((b"value\n", b"\xff", b"a\0b", b"y\n", b"x" * 200_000))
        encoding = "utf-8" if chance.random() < 0.9 else chance.choice(("ascii", "iso8859-1"))
        environment = dict(chance.choice(_ENVIRONMENT) for _ in range(chance.choice((0, 0, 0, 1, 2))))
        if environment.get("_TFGRID_COMPOSE_COMPLETE") == "bash_complete":
            # A shell that asks always says what was typed.
            typed = " ".join(["tfgrid-compose", *self._words(chance), chance.choice(("", '"', "'", "\\"))])
            environment |= {"COMP_WORDS": typed.replace("\0", ""), "COMP_CWORD": str(chance.randrange(6))}
        return words, stdin, encoding, environment, command.answer(chance, _OUTPUTS)

    def _words(self, chance: Random) -> list[str]:
        if chance.random() < 0.45:
            return self._nearly_whole(chance)
        path, params = chance.choice(self._commands)
        words = [*path]
        if chance.random() < 0.05:
            words[-1:] = [self._word(chance)]
        options = [param for param in params if isinstance(param, click.Option)]
        for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
            if options and chance.random() < 0.85:
                words += self._option(chance, chance.choice(options))
            else:
                words.append(
                    chance.choice(
                        ("--", "--json", "-", "-x", "--nothing", "--help", "-f", "--version", "--yes", self._word(chance))
                    )
                )
        arguments = sum(2 if param.nargs < 0 else 1 for param in params if isinstance(param, click.Argument))
        for _ in range(arguments + chance.choice((-1, 0, 0, 0, 0, 1))):
            words.insert(chance.randrange(len(path), len(words) + 1), self._word(chance))
        if chance.random() < 0.05:
            words[:0] = ["-f", self._word(chance)]
        return words

    def _nearly_whole(self, chance: Random) -> list[str]:
        words = ["odd \udcff" if word == "ODD" else word for word in chance.choice(_WHOLE)]
        params = next((params for path, params in self._commands if path in (tuple(words[:1]), tuple(words[:2])) and params), [])
        options = [param for param in params if isinstance(param, click.Option)]
        for _ in range(chance.choice((0, 0, 1, 2))):
            if options and chance.random() < 0.6:
                words += self._option(chance, chance.choice(options))
            else:
                words[chance.randrange(len(words))] = self._word(chance)
        return words

    def _option(self, chance: Random, option: click.Option) -> list[str]:
        flag = chance.choice((*option.opts, *option.secondary_opts))
        if option.is_flag:
            return [flag]
        if isinstance(option.type, click.Choice) and chance.random() < 0.7:
            return [flag, str(chance.choice(option.type.choices))]
        return [flag, self._word(chance)] if chance.random() < 0.9 else [f"{flag}={self._word(chance)}"]

    def _word(self, chance: Random) -> str:
        """A word that leads nowhere outside of the run's own folder, and that a command line can hold."""
        if chance.random() < 0.75:
            return chance.choice(("web", "classic", "1", "2") if chance.random() < 0.4 else _WORDS)
        made = mutate.file_bytes(mutate.text(chance).replace("\0", "0")) if chance.random() < 0.9 else b"\xff\xfe"
        return os.fsdecode(made).lstrip("/").replace("..", ".")

    def run(self, case: Case) -> None:
        words, stdin, encoding, environment, answers = case
        self._tidy()
        self._state.put("whole")
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        try:
            with command.edges(answers):
                done = command.checked(words, stdin, encoding)
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
            os.chdir(self._base)
        if done.code:
            raise Refused(f"exit code {done.code}: {done.err[-200:]}")

    def _tidy(self) -> None:
        """Remove what `init` and `export` have made."""
        for path in self._base.iterdir():
            if path.name not in self._files:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[click.Parameter]]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from _commands(found, (*path, name))
        yield (*path, name), list(found.params)
