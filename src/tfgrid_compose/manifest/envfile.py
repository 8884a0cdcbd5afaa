"""Values for the hooks' environment: where each comes from, and what is missing.

A file is parsed, never executed: `export NAME=value` works, `$(command)` stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv.parser import parse_stream

from tfgrid_compose.errors import ManifestError
from tfgrid_compose.manifest.load import App, nearest
from tfgrid_compose.manifest.model import Variable

MAX_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Environment:
    """Resolved values; `secrets` are never shown, `given` are those that somebody gave: all but defaults."""

    values: dict[str, str]
    secrets: frozenset[str]
    given: dict[str, str] = field(default_factory=dict)


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
    """The environment file in use: the chosen one, the manifest's, or `.env` when it exists."""
    if chosen is not None:
        return chosen
    if app.manifest.env_file:
        return app.folder / app.manifest.env_file
    default = app.folder / ".env"
    return default if default.is_file() else None


def resolve(
    app: App,
    *,
    file: Path | None,
    overrides: Mapping[str, str],
    process: Mapping[str, str],
    remembered: Mapping[str, str],
) -> tuple[Environment, list[Variable]]:
    """Values by precedence: overrides, file, this process, the last deployment, the default.

    Returns the environment and the required variables that have no value. Raises `ManifestError`
    for a value outside the options.
    """
    declared = {variable.name: variable for variable in app.manifest.environment}
    from_file = read_file(file) if file else {}
    given: dict[str, str] = {}
    for name in declared:
        sources = (overrides, from_file, process, remembered)
        value = next((source[name] for source in sources if source.get(name) not in (None, "")), None)
        if value is not None:
            given[name] = value
    defaults = {name: variable.default for name, variable in declared.items() if variable.default is not None}
    values = {**defaults, **from_file, **given}
    for name, variable in declared.items():
        if name in values:
            _check_option(variable, values[name])
    missing = [
        variable for name, variable in declared.items() if variable.required and name not in values and _applies(variable, values)
    ]
    secret = {name for name, variable in declared.items() if variable.secret}
    # What a private file holds and the manifest does not explain is treated as a secret.
    secret |= {name for name in from_file if name not in declared}
    return Environment(values, frozenset(secret & set(values)), given), missing


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
