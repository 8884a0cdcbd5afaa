"""Places where other tools keep the account: the environment, and files of the bash tool and of ThreeFold's own tools."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tfgrid_compose.errors import GridError
from tfgrid_compose.state import paths

VARIABLES = ("TF_VAR_mnemonic", "MNEMONIC")
LOCAL_FILE = ".tfgrid-mnemonic"
# No mnemonic and no file of credentials is longer.
_LONGEST = 64 * 1024


@dataclass(frozen=True)
class Found:
    """A mnemonic as it stands somewhere; `file` is None when it is a variable of the environment."""

    text: str
    origin: str
    file: Path | None = None


def variable() -> Found | None:
    """What the environment gives."""
    for name in VARIABLES:
        if os.environ.get(name, "").strip():
            return Found(os.environ[name], f"the variable {name}")
    return None


def files() -> Iterator[Found]:
    """What the files give, the one that counts first. Raises `GridError` for one that can't be read."""
    words = credentials().get("threefold")
    mnemonic = words.get("mnemonic") if isinstance(words, dict) else None
    if isinstance(mnemonic, str) and mnemonic.strip():
        yield Found(mnemonic, str(credentials_file()), credentials_file())
    file = Path.home() / ".config" / "threefold" / "mnemonic"
    text = read(file) if file.exists() else ""
    if text.strip():
        yield Found(text, str(file), file)


def unused() -> tuple[str, str]:
    """(what is to be said of a file of the current folder that the bash tool would have taken, the option that takes it).

    It is named and never read: the folder may be somebody else's app, and its author would choose who pays, or where the
    contracts go.
    """
    if not os.path.lexists(LOCAL_FILE):
        return "", ""
    why = f"; `{LOCAL_FILE}` of the current folder counts only when you name it, because the folder may be somebody else's"
    return why, f" --file {LOCAL_FILE}"


def credentials_file() -> Path:
    """Where the bash tool keeps its secrets."""
    return paths.config_dir() / "credentials.yaml"


def credentials(file: Path | None = None) -> dict[str, Any]:
    """What the bash tool's file holds, empty when there is none. Raises `GridError`."""
    where = file or credentials_file()
    if not where.exists():
        return {}
    line = ""
    try:
        found = yaml.safe_load(read(where))
    except yaml.MarkedYAMLError as error:
        # Its own words quote the line, and that is a secret.
        line = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        found = None
    except (yaml.YAMLError, ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    raise _unreadable(where, f"it is not what the bash tool writes{line}")


def read(file: Path) -> str:
    """The text of a file. Raises `GridError`."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(_LONGEST + 1)
        if len(raw) > _LONGEST:
            raise _unreadable(file, f"it has more than {_LONGEST // 1024} KB")
        return raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, getattr(error, "strerror", None) or "it is not UTF-8 text") from None


def mnemonic_in(file: Path) -> str:
    """The mnemonic in a file that the user names, which may be the bash tool's. Raises `GridError`."""
    if file.suffix not in (".yaml", ".yml"):
        return read(file)
    words = credentials(file).get("threefold")
    return str(words.get("mnemonic") or "") if isinstance(words, dict) else ""


def open_to_others(file: Path) -> bool:
    """Whether other users of this computer may read a file."""
    try:
        return bool(file.stat().st_mode & 0o077)
    except OSError:
        return False


def _unreadable(file: Path, why: str) -> GridError:
    return GridError(
        f"the account can't be read from {file}", why=why, fix=f"ls -l {file}; or keep it here with `tfgrid-compose signin`",
        code="account-unreadable",
    )  # fmt: skip
