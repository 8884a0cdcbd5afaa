"""Find and check patterns: the built-in ones and those in the user's configuration folder."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from tfgrid_compose.errors import ManifestError, PatternError
from tfgrid_compose.manifest.load import nearest
from tfgrid_compose.manifest.yamlfile import read
from tfgrid_compose.patterns import providers
from tfgrid_compose.patterns.model import Pattern
from tfgrid_compose.state import paths

BUILTIN = Path(__file__).parent / "builtin"
_FIX = "compare it with the contract: docs/pattern-contract.md"
_VARIABLE = re.compile(r'^\s*variable\s+"([^"]+)"', re.MULTILINE)
_OUTPUT = re.compile(r'^\s*output\s+"([^"]+)"', re.MULTILINE)


@dataclass(frozen=True)
class LoadedPattern:
    """A pattern and the folder that it stands in."""

    folder: Path
    pattern: Pattern

    @property
    def infrastructure(self) -> Path:
        """Folder with the Terraform files."""
        return self.folder / self.pattern.infrastructure

    @property
    def playbook(self) -> Path:
        """The Ansible playbook."""
        return self.folder / self.pattern.platform

    @cached_property
    def infrastructure_digest(self) -> str:
        """Changes when any Terraform file changes."""
        return _tree_digest(self.infrastructure)

    @cached_property
    def platform_digest(self) -> str:
        """Changes when anything of the platform changes."""
        return _tree_digest(self.playbook.parent)


def folders() -> Iterator[Path]:
    """Folders that hold patterns, the user's first, so that they can replace a built-in one."""
    for root in (paths.config_dir() / "patterns", BUILTIN):
        if root.is_dir():
            yield from sorted(folder for folder in root.iterdir() if (folder / "pattern.yaml").is_file())


def names() -> list[str]:
    """Names of all patterns."""
    return list(dict.fromkeys(folder.name for folder in folders()))


def load(name: str) -> LoadedPattern:
    """A pattern by name. Raises `PatternError`."""
    for folder in folders():
        if folder.name == name:
            return load_folder(folder)
    raise PatternError(
        f"there is no pattern `{name}`",
        why=f"known patterns: {', '.join(names())}",
        fix=nearest(name, names()) or "tfgrid-compose patterns",
        code="pattern-not-found",
    )


def load_folder(folder: Path) -> LoadedPattern:
    """Read and check one pattern. Raises `PatternError` that lists every breach of the contract."""
    try:
        document = read(folder / "pattern.yaml")
    except ManifestError as error:
        raise PatternError(
            f"{folder / 'pattern.yaml'} can't be used",
            why=error.what,
            fix=_FIX,
        ) from error
    try:
        pattern = Pattern.model_validate(document.data)
    except ValidationError as error:
        details = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        raise PatternError(f"{document.path} breaks the pattern contract", why=details[0], fix=_FIX, details=details) from error
    loaded = LoadedPattern(folder, pattern)
    breaches = list(_breaches(loaded))
    if breaches:
        raise PatternError(f"{document.path} breaks the pattern contract", why=breaches[0], fix=_FIX, details=breaches)
    return loaded


def _breaches(loaded: LoadedPattern) -> Iterator[str]:
    pattern = loaded.pattern
    if loaded.folder.name != pattern.name:
        yield f"the folder is called {loaded.folder.name}, the pattern {pattern.name}"
    outside = [name for name in (pattern.infrastructure, pattern.platform) if not _is_below(name)]
    yield from (f"{name[:60]!r} is no path inside of the pattern's folder" for name in outside)
    if outside:
        return
    if not os.path.isfile(loaded.playbook):
        yield f"{pattern.platform} does not exist"
    if not os.path.isdir(loaded.infrastructure) or not list(loaded.infrastructure.glob("*.tf")):
        yield f"{pattern.infrastructure} holds no Terraform files"
        return
    try:
        text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(loaded.infrastructure.glob("*.tf")))
    except (OSError, UnicodeDecodeError) as error:
        yield f"{pattern.infrastructure} holds a file that can't be read as UTF-8 text: {error}"
        return
    yield from providers.breaches(text)
    declared, given = set(_VARIABLE.findall(text)), {*pattern.variables, *pattern.options, "mnemonic", "tfgrid_network"}
    for name in sorted(given - declared):
        yield f"variable `{name}` is not declared in Terraform"
    for name in sorted(declared - given):
        yield f"Terraform variable `{name}` gets no value"
    for name in sorted(set(pattern.outputs) - set(_OUTPUT.findall(text))):
        yield f"output `{name}` is promised and not there"


def _is_below(name: str) -> bool:
    """Whether a path, as it is written, stays below the folder that it starts from."""
    return "\0" not in name and not os.path.isabs(name) and Path(os.path.normpath(name)).parts[:1] != ("..",)


def _tree_digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()[:16]
