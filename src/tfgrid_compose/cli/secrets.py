"""`secrets`: values that apps need and nobody may read, and the key that they are encrypted with."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click

from tfgrid_compose.cli.common import age
from tfgrid_compose.drivers.dns.providers import VARIABLES
from tfgrid_compose.errors import ManifestError, NotFoundError, StateError, UsageError
from tfgrid_compose.manifest.load import NAMES, App, load_app, nearest
from tfgrid_compose.observe.redact import PROCESS
from tfgrid_compose.state import keys
from tfgrid_compose.state.secrets import ENVIRONMENT, folder_owner
from tfgrid_compose.state.store import Deployment, Store
from tfgrid_compose.words import count

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Linux takes no longer text than 128 KB in an environment.
_LONGEST = 100 * 1024
_SHORTEST_PASSPHRASE = 8


@click.group(epilog="Example:  tfgrid-compose secrets set my-app API_TOKEN")
def secrets() -> None:
    """Set, list and unset secret values of an app; rotate or move the key that encrypts all secrets.

    APP is an app folder, deployed or not, a deployment's name, or the beginning of its id. A value is asked for
    without being shown, or read from standard input or a file. It is never given on the command line.
    """


class _Wordless(click.Command):
    """Repeats no word of the command line in an error: one that does not belong there may be the secret."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As usual, but with errors of our own."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise _misused() from error


def _misused() -> UsageError:
    return UsageError(
        "`secrets set` and `secrets unset` take APP and NAME, and no value",
        why="whatever stands on a command line can be read by others and stays in the shell's history",
        fix="give only the name; the value is asked for, or read from standard input or --from-file. "
        "If you have just typed the value, it is known now: change it where it comes from",
        code="secret-on-command-line",
    )


@secrets.command(
    "set",
    cls=_Wordless,
    epilog="Example:  tfgrid-compose secrets set my-app API_TOKEN      pass show token | tfgrid-compose secrets set API_TOKEN",
)
@click.argument("words", nargs=-1, metavar="[APP] NAME")
@click.option("--from-file", type=click.Path(path_type=Path), metavar="FILE", help="Read the value from a file.")
@click.pass_context
def set_secret(ctx: click.Context, words: tuple[str, ...], from_file: Path | None) -> None:
    """Keep a value for a variable of the manifest's `environment`, encrypted.

    The value is asked for on a terminal, and not shown. Without a terminal it is read from standard input. One
    line break at its end is dropped. It belongs to the deployment; or to the app folder, when that is not deployed.
    """
    app, name = _app_and_name(words)
    with Store() as store:
        target = _target(store, app, ctx.obj and ctx.obj.get("file"))
        _check_name(target, name)
        value = _value(name, from_file)
        store.set_app_secret(target.owner, name, value)
        _record(store, "secrets set", target, name)
    if name in VARIABLES and not (target.app and name in [item.name for item in target.app.manifest.environment]):
        click.echo(f"{name} of {target.label} is set. {target.up} uses it for the app's domain; it stays on this computer.")
        return
    click.echo(f"{name} of {target.label} is set. {target.up} brings it to the machine.")
    if target.app and not any(item.secret for item in target.app.manifest.environment if item.name == name):
        click.echo(f"The manifest does not mark {name} as `secret: true`; values set here are treated so anyway.", err=True)


@secrets.command("list", epilog="Example:  tfgrid-compose secrets list my-app --json")
@click.argument("app", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_secrets(ctx: click.Context, app: str | None, as_json: bool) -> None:
    """List names of secrets, where each comes from, and when it was set; never a value."""
    with Store() as store:
        target = _target(store, app, ctx.obj and ctx.obj.get("file"))
        rows = _listed(store, target)
    if as_json:
        click.echo(json.dumps([{"name": row.name, "from": row.origin, "changed": row.changed} for row in rows]))
        return
    if not rows:
        click.echo(f"{target.label} has no secrets.  tfgrid-compose secrets set {target.word} NAME", err=True)
        return
    from tfgrid_compose.cli.render import table

    now = time.time()
    cells = [[row.name, row.origin or "not set", f"{age(now - row.changed)} ago" if row.changed else "-"] for row in rows]
    click.echo(table(["NAME", "FROM", "CHANGED"], cells))


@secrets.command("unset", cls=_Wordless, epilog="Example:  tfgrid-compose secrets unset my-app API_TOKEN")
@click.argument("words", nargs=-1, metavar="[APP] NAME")
@click.pass_context
def unset_secret(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Forget a value, also as one that the last `up` was given. Releases that have it keep it, for `rollback`."""
    app, name = _app_and_name(words)
    with Store() as store:
        target = _target(store, app, ctx.obj and ctx.obj.get("file"))
        holders = [owner for owner in target.owners if name in _held(store, owner)]
        if not holders:
            known = sorted({word for owner in target.owners for word in _held(store, owner)})
            raise NotFoundError(
                f"{name} of {target.label} is not set",
                why=f"set are {', '.join(known) or 'none'}",
                fix=nearest(name, known) or f"tfgrid-compose secrets list {target.word}",
                code="secret-not-set",
            )
        store.set_app_secret(holders[0], name, None)
        _record(store, "secrets unset", target, name)
    click.echo(f"{name} of {target.label} is forgotten. {target.up} takes it off the machine.")
    if len(holders) > 1:
        click.echo(f"The value of the app folder stays and is used now; unset {name} once more to forget it too.", err=True)


@secrets.command(epilog="Example:  tfgrid-compose secrets rotate")
def rotate() -> None:
    """Make a new key, encrypt all secrets and all backups with it, and forget the old one.

    A backup is made first. When it is cut off, nothing is lost, and `secrets rotate` goes on where it stopped.
    """
    from tfgrid_compose.state import rotation

    with Store() as store:
        done = rotation.rotate(store)
        store.append_audit(
            action="secrets rotate", deployment="", name="", detail=count(done.secrets, "secret"), outcome="succeeded"
        )
    click.echo(f"{count(done.secrets, 'secret')} and {count(done.backups, 'backup')} have a new key.")
    for name in done.damaged:
        click.echo(f"The secrets in backup {name} could not be read, and have no new key.", err=True)


@secrets.command("key", epilog="Example:  tfgrid-compose secrets key --to passphrase")
@click.option("--to", type=click.Choice(keys.SOURCES), help="Move the key: to a file, under a passphrase, or to the keyring.")
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the new passphrase from the first line of a file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_key(to: str | None, passphrase_file: Path | None, as_json: bool) -> None:
    """Show where the key is that encrypts all secrets, or move it."""
    if passphrase_file and to != keys.PASSPHRASE:
        raise UsageError("--passphrase-file goes with --to passphrase", fix="tfgrid-compose secrets key --help")
    with Store() as store:
        if to:
            _move(store, to, passphrase_file)
        source, there = store.vault.file.source(), store.vault.exists()
    path = store.vault.file.path
    if as_json:
        click.echo(json.dumps({"source": source, "file": str(path), "exists": there}))
    elif not there:
        click.echo(f"There is no key yet; the first secret makes one in {path}.")
    else:
        click.echo({
            keys.FILE: f"The key is in the file {path}.",
            keys.PASSPHRASE: f"The key is in the file {path}, and a passphrase opens it.",
            keys.KEYRING: f"The key is in your keyring; {path} names the entry.",
        }[source])  # fmt: skip


def _move(store: Store, to: str, passphrase_file: Path | None) -> None:
    from tfgrid_compose.state import rotation

    before = store.vault.file.source()
    # The present passphrase is asked for before the new one.
    store.vault.keys(make=True)
    rotation.move(store, to, _new_passphrase(passphrase_file, changes=before == to) if to == keys.PASSPHRASE else None)
    store.append_audit(action="secrets key", deployment="", name="", detail=f"from {before} to {to}", outcome="succeeded")
    if before == keys.FILE and to != keys.FILE:
        click.echo("The old file may be in backups of your disk; `tfgrid-compose secrets rotate` makes a new key.", err=True)


def _new_passphrase(file: Path | None, *, changes: bool) -> str:
    found = keys.passphrase_in(file) if file else None if changes else keys.given_passphrase()
    if found is None:
        found = keys.ask_hidden("New passphrase: ")
        if found is not None and found != keys.ask_hidden("Once more: "):
            raise UsageError("the two passphrases differ", fix="run the command again", code="passphrase-differs")
    if found is None:
        raise StateError(
            "a new passphrase is needed", why="there is no terminal to ask for it on",
            fix="name a file that holds it with --passphrase-file", code="passphrase-needed",
        )  # fmt: skip
    if len(found) < _SHORTEST_PASSPHRASE:
        raise UsageError(
            "the passphrase is too short", why=f"it has less than {_SHORTEST_PASSPHRASE} signs, so it can be guessed",
            fix="take several words", code="passphrase-weak",
        )  # fmt: skip
    PROCESS.add(found)
    return found


# Whose secrets


@dataclass(frozen=True)
class _Target:
    """Whose secrets the user means: a deployment with its app folder, or a folder that is not deployed."""

    deployment: Deployment | None
    app: App | None
    word: str

    @property
    def owners(self) -> list[str]:
        """All who may hold values, the one that counts first."""
        folder = Path(self.deployment.app_dir) if self.deployment else self.app.folder if self.app else None
        folders = [folder_owner(folder)] if folder and str(folder) != "." else []
        return [self.deployment.id, *folders] if self.deployment else folders

    @property
    def owner(self) -> str:
        """Who gets a new value."""
        return self.owners[0]

    @property
    def label(self) -> str:
        """How people call it."""
        return self.deployment.name if self.deployment else self.app.manifest.name if self.app else ""

    @property
    def up(self) -> str:
        """The command that deploys it."""
        folder = self.deployment.app_dir if self.deployment else str(self.app.folder) if self.app else ""
        here = folder in ("", str(Path.cwd()))
        return f"`tfgrid-compose up{'' if here else f' {shlex.quote(folder)}'}`"


def _target(store: Store, app: str | None, file: str | None) -> _Target:
    """Raises `NotFoundError`, `UsageError` and `ManifestError`."""
    from tfgrid_compose.deploy.lookup import find

    if app is not None and "=" in app and not os.path.exists(app):
        raise _misused()
    if app is None and any(Path(name).is_file() for name in ([file] if file else NAMES)):
        app = "."  # In an app folder that is not deployed the only deployment is not what is meant.
    try:
        deployment = find(store, app, Path.cwd())
    except NotFoundError:
        if app is None or not os.path.exists(app):
            raise
        found = load_app(Path(app), file=file)
        return _Target(None, found, app)
    try:
        return _Target(
            deployment,
            load_app(Path(deployment.app_dir), file=file or deployment.data.get("manifest_name")),
            app or deployment.name,
        )
    except ManifestError:
        return _Target(deployment, None, app or deployment.name)


def _app_and_name(words: tuple[str, ...]) -> tuple[str | None, str]:
    if not words:
        raise UsageError("which variable?", why="its name is missing", fix="tfgrid-compose secrets list names those of an app")
    if len(words) > 2 or not _NAME.fullmatch(words[-1]):
        raise _misused()
    return (words[0] if len(words) == 2 else None), words[-1]


def _check_name(target: _Target, name: str) -> None:
    """Only what the manifest declares ever reaches the machine; what DNS needs stays here."""
    if target.app is None:
        return
    declared = [variable.name for variable in target.app.manifest.environment]
    if name not in declared and name not in VARIABLES:
        raise UsageError(
            f"{target.label} has no variable {name}",
            why=f"its manifest's `environment` has {', '.join(declared) or 'none'}",
            fix=nearest(name, declared) or "add it under `environment` in the manifest, with `secret: true`",
            code="variable-unknown",
        )


def _value(name: str, from_file: Path | None) -> str:
    """The value, from where it is. Raises `UsageError` that never holds it."""
    if from_file is None and sys.stdin.isatty():
        value = str(click.prompt(f"Value of {name} (not shown)", hide_input=True, default="", show_default=False, err=True))
    else:
        value = _decoded(name, _read(from_file))
    if not value:
        raise UsageError(
            f"the value of {name} is empty", fix="tfgrid-compose secrets unset forgets a value", code="secret-unusable"
        )
    PROCESS.add(value)
    return value


def _read(from_file: Path | None) -> bytes:
    if from_file is None:
        return sys.stdin.buffer.read(_LONGEST + 2)
    try:
        with from_file.open("rb") as file:
            return file.read(_LONGEST + 2)
    except OSError as error:
        raise UsageError(
            f"{from_file} can't be read", why=error.strerror or str(error), fix="name the right file with --from-file",
            code="secret-unusable",
        ) from error  # fmt: skip


def _decoded(name: str, raw: bytes) -> str:
    reason = ""
    if len(raw) > _LONGEST:
        reason = f"it has more than {_LONGEST // 1024} KB, and no environment takes it"
    elif b"\0" in raw:
        reason = "it holds a zero byte, and no environment takes one"
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        reason, text = reason or "it is not UTF-8 text", ""
    if reason:
        raise UsageError(
            f"the value of {name} can't be kept",
            why=reason,
            fix="give it as base64, and decode it in a hook",
            code="secret-unusable",
        )
    return re.sub(r"\r?\n\Z", "", text)


# What is there


@dataclass(frozen=True)
class _Row:
    """A line of the list: `origin` is `deployment`, `folder`, `last-up`, or empty."""

    name: str
    origin: str
    changed: float | None


def _listed(store: Store, target: _Target) -> list[_Row]:
    rows: dict[str, _Row] = {}
    if target.app:
        rows |= {item.name: _Row(item.name, "", None) for item in target.app.manifest.environment if item.secret}
    given = _remembered(store, target.deployment.id) if target.deployment else set()
    rows |= {name: _Row(name, "last-up", None) for name in given & rows.keys()}
    for owner in reversed(target.owners):
        origin = "deployment" if target.deployment and owner == target.deployment.id else "folder"
        rows |= {name: _Row(name, origin, when) for name, when in store.app_secrets_changed(owner).items()}
    return sorted(rows.values(), key=lambda row: row.name)


def _remembered(store: Store, owner: str) -> set[str]:
    """Names of the values that the last `up` was given."""
    return set(json.loads(store.secret(owner, ENVIRONMENT) or b"{}"))


def _held(store: Store, owner: str) -> set[str]:
    return {*store.app_secrets(owner), *_remembered(store, owner)}


def _record(store: Store, action: str, target: _Target, name: str) -> None:
    id = target.deployment.id if target.deployment else ""
    store.append_audit(action=action, deployment=id, name=target.label, detail=f"variable {name}", outcome="succeeded")
