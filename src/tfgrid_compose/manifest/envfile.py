"""Values for the hooks' environment: where each comes from, and what is missing.

A file is parsed, never executed: `export NAME=value` works, `$(command)` stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dotenv.parser import parse_stream

from tfgrid_compose.errors import ManifestError
from tfgrid_compose.manifest.limits import refusal, too_much
from tfgrid_compose.manifest.load import App, nearest
from tfgrid_compose.manifest.model import Variable
from tfgrid_compose.manifest.scripts import inside

MAX_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


# Where values come from, and words for it.
OPTION, ASKED, FILE, PROCESS, SECRETS, LAST_UP, GIT, DEFAULT = (
    "option", "asked", "file", "process", "secrets", "last-up", "git", "default",
)  # fmt: skip


PLACES = {
    OPTION: "--var", ASKED: "your answer", FILE: "the environment file", PROCESS: "the environment of this command",
    SECRETS: "`secrets set`", LAST_UP: "the last `up`", GIT: "`signin git`", DEFAULT: "the manifest", "release": "the release",
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Where values come from: one of the kinds above, and the values of it, whoever asks for them."""

    kind: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Environment:
    """Resolved values; `secrets` are never shown, `given` are those that somebody gave: all but defaults.

    `sources` has the kind of source of each value, and is empty for the values of a release; `file` is the file in use.
    """

    values: dict[str, str]
    secrets: frozenset[str]
    given: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    file: Path | None = None


def read_file(path: Path) -> dict[str, str]:
    """The assignments of an environment file, pipes included. Raises `ManifestError` with file and line."""
    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(_text(path))):
        written = binding.original.string
        line = binding.original.line + written[: len(written) - len(written.lstrip())].count("\n")
        if binding.error:
            raise _invalid(path, line, "it is no assignment")
        if binding.key is None:
            continue
        # Names are written into shell scripts as they are; only values can be quoted.
        if not _NAME.fullmatch(binding.key):
            raise _invalid(path, line, f"{binding.key!r} can't be the name of a variable")
        if binding.value is None:
            raise _invalid(path, line, f"{binding.key} has no `=` behind it")
        found[binding.key] = binding.value
    return found


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ManifestError(
                f"environment file {path} is too large",
                why=f"it has more than {MAX_BYTES // 1024} KB",
                fix="name the right file with --env-file",
                code="env-file-unreadable",
            )
        return raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ManifestError(
            f"environment file {path} can't be read", why=reason, fix="name the right file with --env-file",
            code="env-file-unreadable",
        ) from error  # fmt: skip


def _invalid(path: Path, line: int, why: str) -> ManifestError:
    return ManifestError(
        f"environment file {path}:{line} can't be understood",
        why=why,
        fix="write each line as NAME=value; names are letters, digits and _",
        code="env-file-invalid",
    )


def app_file(app: App, chosen: Path | None = None) -> Path | None:
    """The environment file in use: the chosen one, the manifest's, or `.env` when it exists.

    Only the user may choose one outside of the app folder. Raises `ManifestError` when the app does.
    """
    if chosen is not None:
        return chosen
    named = app.manifest.env_file
    if not named and not (app.folder / ".env").is_file():
        return None
    path = app.folder / (named or ".env")
    if inside(app.folder, named or ".env") is None:
        raise ManifestError(
            f"environment file {named or '.env'} leads out of the app folder",
            why=f"{app.manifest_name} names it" if named else f"it is a link to {path.readlink()}",
            fix=f"give it yourself, when you trust the app with it: --env-file {path}",
            code="env-file-outside",
        )
    if path.exists() and not path.is_file():
        raise ManifestError(
            f"environment file {path} can't be read", why="it is no file", fix="name the right file with --env-file",
            code="env-file-unreadable",
        )  # fmt: skip
    return path


def resolve(app: App, sources: Sequence[Source]) -> tuple[Environment, list[Variable]]:
    """The value of each declared variable from the first source that has one, then its default; what else is in a file.

    An empty text is a value, too, but for a variable that can't be empty. Returns the environment and the required
    variables that have no value. Raises `ManifestError` for a value that can't be.
    """
    declared = {variable.name: variable for variable in app.manifest.environment}
    values: dict[str, str] = {}
    found: dict[str, str] = {}
    given: dict[str, str] = {}
    for name, variable in declared.items():
        source = next((item for item in sources if _gives(item, variable)), None)
        if source is not None:
            values[name], found[name] = source.values[name], source.kind
            given[name] = values[name]
        elif variable.default is not None:
            values[name], found[name] = variable.default, DEFAULT
    # What a private file holds and the manifest does not explain goes along, and is treated as a secret.
    more = {name: value for item in sources if item.kind == FILE for name, value in item.values.items() if name not in declared}
    values |= more
    found |= dict.fromkeys(more, FILE)
    _check(declared, values, found)
    missing = [
        variable for name, variable in declared.items() if variable.required and name not in values and _applies(variable, values)
    ]
    secret = {name for name, variable in declared.items() if variable.secret and name in values} | more.keys()
    return Environment(values, frozenset(secret), given, found), missing


def check_file(app: App) -> None:
    """Whether the app's own environment file, where there is one, has values that can be. Raises `ManifestError`."""
    file = app_file(app)
    if file and file.is_file():
        resolve(app, [Source(FILE, read_file(file))])


def _gives(source: Source, variable: Variable) -> bool:
    """Whether a source has a value for a variable. Raises `ManifestError` when the user makes empty what can't be."""
    value = source.values.get(variable.name)
    if value != "":
        return value is not None
    # Shells and forms to fill in are full of empty values that nobody means.
    if source.kind == PROCESS:
        return False
    possible = not variable.required and (not variable.options or "" in variable.options)
    if not possible and source.kind == OPTION:
        raise ManifestError(
            f"{variable.name} can't be empty",
            why="the manifest requires a value" if variable.required else f"it takes {', '.join(variable.options)}",
            fix=f"leave --var {variable.name}= out, or give it a value",
            code="variable-invalid",
        )
    return possible


def _check(declared: Mapping[str, Variable], values: Mapping[str, str], found: Mapping[str, str]) -> None:
    for name, value in values.items():
        if why := refusal(name, value):
            raise ManifestError(
                f"the value of {name} can't be handed to the hooks", why=f"it {why}",
                fix=f"change it where it comes from: {PLACES[found[name]]}", code="variable-invalid",
            )  # fmt: skip
        if name in declared:
            _check_option(declared[name], value)
    if why := too_much(values):
        raise ManifestError(
            "the values can't be handed to the hooks", why=why, fix="put large ones into files that are shipped",
            code="environment-too-large",
        )  # fmt: skip


def _applies(variable: Variable, values: Mapping[str, str]) -> bool:
    return all(values.get(name) == wanted for name, wanted in variable.depends_on.items())


def _check_option(variable: Variable, value: str) -> None:
    if variable.options and value not in variable.options:
        shown = "a value" if variable.secret else f"`{value}`"
        raise ManifestError(
            f"{variable.name} can't be {shown}",
            why=f"it takes {', '.join(variable.options)}",
            fix=("" if variable.secret else nearest(value, variable.options)) or "choose one of them",
            code="variable-invalid",
        )
