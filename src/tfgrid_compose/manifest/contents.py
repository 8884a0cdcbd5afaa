"""What of an app folder goes to the machine, and why the rest stays.

Ignore files are read as git reads them, folder by folder. What is private stays whatever they say.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tfgrid_compose.errors import ManifestError
from tfgrid_compose.manifest import gitignore
from tfgrid_compose.words import readable

IGNORE_FILES = (".tfgridignore", ".gitignore")
# Left out wherever they stand; the bash tool takes the account's mnemonic from the last one.
NEVER = frozenset({
    ".git", ".hg", ".svn", ".terraform", ".tfgrid-compose", "__pycache__", ".venv", "node_modules", ".ds_store",
    ".tfgrid-mnemonic",
})  # fmt: skip
# Ours on the machine: a release keeps its own files there.
_RESERVED = ".tfgrid"
_MAX_IGNORE_FILE = 1024 * 1024
# `.env`, `.envrc`, `.env.local`, `.env-old`, `prod.env`, `prod.env.bak`; not `env.py`, `vite-env.d.ts`, `app.env.ts`.
_ENVIRONMENT = re.compile(
    r"\.env(rc)?([^a-z0-9].*)?"
    r"|.*\.env([~.-]?|[._-](local|bak|backup|old|orig|save|swp|dev|development|test|testing|stage|staging|prod|production)~?)",
    re.IGNORECASE | re.DOTALL,
)
_SAMPLE = re.compile(r"(.*[._-])?(example|sample|template|tmpl|tpl|dist|j2|erb)", re.IGNORECASE | re.DOTALL)
IGNORED, PRIVATE, ENVIRONMENT, SPECIAL = "ignored", "private", "environment", "special"


@dataclass(frozen=True)
class Entry:
    """A file or link that goes: path inside the app, permission bits."""

    name: str
    path: Path
    mode: int
    size: int


@dataclass(frozen=True)
class Stays:
    """Why a file or a folder with all that is in it stays: one of the kinds above, and words for it."""

    kind: str
    why: str


@dataclass(frozen=True)
class Contents:
    """What of a folder goes, in a fixed order, and what stays, by name.

    `empty` are folders that have nothing in them, `void` the (file, line) of patterns that mean nothing to git.
    """

    entries: tuple[Entry, ...]
    stays: dict[str, Stays] = field(default_factory=dict)
    empty: tuple[str, ...] = ()
    void: tuple[tuple[str, int], ...] = ()

    def why_not(self, name: str) -> Stays | None:
        """Why a file of the folder stays; None when it goes."""
        parts = name.split("/")
        return next((self.stays[part] for end in range(len(parts)) if (part := "/".join(parts[: end + 1])) in self.stays), None)


def is_environment(name: str) -> bool:
    """Whether a file or folder of that name may hold values of an environment; a sample such as `.env.example` doesn't."""
    if not _ENVIRONMENT.fullmatch(name):
        return False
    stem, _, last = name.rpartition(".")
    return not _SAMPLE.fullmatch(stem if last.lower() == "env" else last)


def contents(folder: Path, leave_out: tuple[Path, ...] = (), *, sifting: bool = True) -> Contents:
    """What of an app folder goes to the machine; `leave_out` are files that stay under any name. Raises `ManifestError`.

    Without `sifting` everything else goes: what was unpacked was sifted when it was packed.
    """
    with explained(folder):
        private = {same for path in leave_out if (same := _identity(path))}
        walk = _Walk(private, _ignore_file(folder) if sifting else None, sifting)
        walk.go(folder)
    return Contents(
        tuple(sorted(walk.entries, key=lambda entry: entry.name)), walk.stays, tuple(sorted(walk.empty)), tuple(walk.void)
    )


@contextmanager
def explained(folder: Path | None = None) -> Iterator[None]:
    """What the system refuses, as a `ManifestError`."""
    try:
        yield
    except OSError as error:
        place = error.filename or folder or "a file of the app"
        raise ManifestError(
            f"{readable(os.fsdecode(place))} can't be shipped",
            why=error.strerror or str(error),
            fix="check its permissions, or leave it out with a .tfgridignore file; then run the command again",
            code="bundle-unreadable",
        ) from error


# The rules of a folder's ignore file, where it stands, and its name for people.
_Level = tuple[tuple[gitignore.Rule, ...], str, str]


@dataclass
class _Walk:
    private: set[tuple[int, int]]
    ignore_file: str | None
    sifting: bool
    entries: list[Entry] = field(default_factory=list)
    stays: dict[str, Stays] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    void: list[tuple[str, int]] = field(default_factory=list)

    def go(self, top: Path) -> None:
        """Go through a folder and all that is below it, but for what stays."""
        # With a path in the app that ends with a `/`, and the rules from the top on. No recursion: folders nest deeper.
        waiting: list[tuple[str, str, tuple[_Level, ...]]] = [(str(top), "", ())]
        while waiting:
            folder, inside, levels = waiting.pop()
            if self.ignore_file and (rules := _rules(Path(folder, self.ignore_file))):
                levels = (*levels, (rules, inside, f"{inside}{self.ignore_file}"))
                self.void += [(levels[-1][2], rule.line) for rule in rules if rule.matches is gitignore.nothing]
            with os.scandir(folder) as found:
                items = list(found)
            if inside and not items:
                self.empty.append(inside.rstrip("/"))
            for item in items:
                name = inside + item.name
                is_folder = item.is_dir(follow_symlinks=False)
                if reason := self._stays(item, name, is_folder, levels):
                    self.stays[name] = reason
                elif is_folder:
                    waiting.append((item.path, f"{name}/", levels))
                else:
                    self.entries.append(_entry(Path(item.path), name, item.stat(follow_symlinks=False)))

    def _stays(self, item: os.DirEntry[str], name: str, is_folder: bool, levels: tuple[_Level, ...]) -> Stays | None:
        if _identity(item) in self.private:
            return Stays(PRIVATE, "is a manifest, or holds values that travel apart")
        if self.sifting:
            if item.name.lower() in NEVER or name == _RESERVED:
                return Stays(PRIVATE, "never goes to a machine")
            if line := _left_out_by(name, is_folder, levels):
                return Stays(IGNORED, f"is left out by {line}")
            if is_environment(item.name):
                return Stays(ENVIRONMENT, "looks like an environment file")
        if not (is_folder or item.is_symlink() or item.is_file(follow_symlinks=False)):
            return Stays(SPECIAL, f"is a {_kind(item.stat(follow_symlinks=False).st_mode)}")
        return None


def _left_out_by(name: str, folder: bool, levels: tuple[_Level, ...]) -> str:
    """The line of an ignore file that leaves a path out; the nearest file that says something about it decides."""
    for rules, base, file in reversed(levels):
        rule = gitignore.decided(rules, os.fsencode(name)[len(os.fsencode(base)) :], folder)
        if rule is not None:
            return "" if rule.keeps else f"{file}:{rule.line}"
    return ""


def _ignore_file(folder: Path) -> str | None:
    """The name under which ignore files are looked for: the first one that stands at the top."""
    return next((name for name in IGNORE_FILES if (folder / name).is_file()), None)


def _rules(path: Path) -> tuple[gitignore.Rule, ...]:
    if not path.is_file():
        return ()
    with path.open("rb") as file:
        raw = file.read(_MAX_IGNORE_FILE + 1)
    if len(raw) > _MAX_IGNORE_FILE:
        raise ManifestError(
            f"ignore file {path} is too large", why=f"it has more than {_MAX_IGNORE_FILE // 1024} KB",
            fix="ignore whole folders instead of single files", code="ignore-file-invalid",
        )  # fmt: skip
    return gitignore.parse(raw)


def _identity(path: Path | os.DirEntry[str]) -> tuple[int, int] | None:
    """What a path and every link to it have in common; None where it leads nowhere."""
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _entry(path: Path, name: str, info: os.stat_result) -> Entry:
    if stat.S_ISLNK(info.st_mode):
        return Entry(name, path, 0o777, 0)
    # A hook without its run bit still runs: the bash tool sets it too.
    runs = info.st_mode & 0o111 or (name.startswith("deployment/") and name.endswith(".sh"))
    return Entry(name, path, 0o755 if runs else 0o644, info.st_size)


def _kind(mode: int) -> str:
    return "socket" if stat.S_ISSOCK(mode) else "pipe" if stat.S_ISFIFO(mode) else "device"
