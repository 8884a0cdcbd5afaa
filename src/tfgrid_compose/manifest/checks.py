"""What a manifest names must be there, and must go to the machine: checks of an app folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tfgrid_compose.manifest.contents import ENVIRONMENT, SPECIAL, Contents
from tfgrid_compose.manifest.limits import refusal
from tfgrid_compose.manifest.model import HOOKS, Manifest
from tfgrid_compose.manifest.problem import ERROR, WARNING, Problem, nearest
from tfgrid_compose.manifest.scripts import PLAYBOOK, first_word, hook_path, inside, release_file
from tfgrid_compose.manifest.yamlfile import Document, Location

# As many of a kind as somebody reads.
_SHOWN = 5
# Written by us beside the hooks.
_OURS = ("deployment/state.yaml", "deployment/get_deployment_ip_vm.sh", "deployment/.release")


def check_files(document: Document, manifest: Manifest, folder: Path, contents: Contents) -> Iterator[Problem]:
    """Hooks and command scripts that the manifest names must be there, and be among what goes to the machine."""
    playbook = os.path.isfile(folder / PLAYBOOK)
    if playbook and inside(folder, PLAYBOOK) is None:
        yield Problem(ERROR, PLAYBOOK, 0, "leaves the app folder", "a playbook stands inside the app folder")
    for hook in () if playbook else HOOKS:
        yield from _check_hook(document, folder, contents, hook, getattr(manifest.hooks, hook))
    for name, command in manifest.commands.items():
        yield from _check_command(document, folder, contents, name, command.script)


def _check_hook(document: Document, folder: Path, contents: Contents, hook: str, name: str) -> Iterator[Problem]:
    line = document.line(("hooks", hook))
    path = hook_path(folder, name)
    if path is None:
        yield Problem(
            ERROR, document.name, line, f"hook `{hook}`: {name} leaves the app folder", "hooks stand inside the app folder"
        )
    elif not os.path.isfile(path):
        yield Problem(ERROR, document.name, line, f"hook `{hook}`: {name} does not exist", _file_hint(folder, name))
    elif why := _why_not(folder, contents, path):
        yield Problem(ERROR, document.name, line, f"hook `{hook}`: {name} {why}", "a hook must go to the machine")
    else:
        yield from _check_script(path, name)


def _why_not(folder: Path, contents: Contents, path: Path) -> str:
    stays = contents.why_not(path.relative_to(os.path.realpath(folder)).as_posix())
    return stays.why if stays else ""


def _file_hint(folder: Path, name: str) -> str:
    others = [str(path.relative_to(folder)) for path in (folder / "deployment").glob("*.sh")]
    return nearest(name, others) or "create it, or point `hooks` at your script"


def _check_script(path: Path, name: str) -> Iterator[Problem]:
    try:
        with path.open("rb") as file:
            first = file.readline(200)
    except OSError as error:
        yield Problem(ERROR, name, 1, f"can't be read: {error.strerror}")
        return
    if not first.startswith(b"#!"):
        yield Problem(ERROR, name, 1, "has no shebang, so nothing says what runs it", "begin the file with `#!/usr/bin/env bash`")
    elif first.endswith(b"\r\n"):
        yield Problem(ERROR, name, 1, "has Windows line endings, so its interpreter is not found", f"sed -i 's/\\r$//' {name}")
    elif not path.stat().st_mode & 0o111:
        yield Problem(WARNING, name, 1, "is not executable; it is made so on the machine", f"chmod +x {name}")


def _check_command(document: Document, folder: Path, contents: Contents, name: str, script: str) -> Iterator[Problem]:
    """A script given as a path inside the app must go; one under /opt/<app>/scripts too, by its name."""
    line = document.line(("commands", name, "script"))
    file = release_file(script)
    if file is not None:
        path = inside(folder, file)
        if path is None:
            yield Problem(ERROR, document.name, line, f"command `{name}`: {file} leaves the app folder",
                          "scripts stand inside the app folder, or on the machine with their whole path")  # fmt: skip
        elif not os.path.isfile(path):
            yield Problem(ERROR, document.name, line, f"command `{name}`: {file} does not exist in the app folder")
        elif why := _why_not(folder, contents, path):
            yield Problem(ERROR, document.name, line, f"command `{name}`: {file} {why}", "a script must go to the machine")
        return
    match = re.match(r"^/opt/[^/]+/(?:scripts|commands|bin)/([^/]+)$", first_word(script) or "")
    places = {"src/scripts", "scripts", "src/commands", "src/bin"}
    # Only where the app ships scripts of its own is it certain that a missing one is a mistake.
    shipped = {base for folder, _, base in (entry.name.rpartition("/") for entry in contents.entries) if folder in places}
    if match and shipped and match[1] not in shipped:
        yield Problem(WARNING, document.name, line, f"command `{name}`: the app ships no {match[1]}", nearest(match[1], shipped))


def check_environment(document: Document, manifest: Manifest) -> Iterator[Problem]:
    """What is declared under `environment`: once each, with defaults that can be had."""
    names = [variable.name for variable in manifest.environment]
    for index, variable in enumerate(manifest.environment):
        location: Location = ("environment", index)
        if names.index(variable.name) != index:
            yield Problem(
                ERROR, document.name, document.line(location), f"environment `{variable.name}` is there twice", "keep one"
            )
        if variable.default is not None and (why := refusal(variable.name, variable.default)):
            yield Problem(ERROR, document.name, document.line((*location, "default")), f"the default of `{variable.name}` {why}")
        if variable.options and variable.default is not None and variable.default not in variable.options:
            yield Problem(ERROR, document.name, document.line((*location, "default")),
                          f"the default of `{variable.name}` is not one of its options",
                          nearest(variable.default, variable.options) or ", ".join(variable.options))  # fmt: skip
        for other in variable.depends_on:
            if other not in names:
                text = f"`{variable.name}` depends on `{other}`, which is not in `environment`"
                yield Problem(ERROR, document.name, document.line((*location, "depends_on")), text, nearest(other, names))


def check_contents(folder: Path, contents: Contents) -> Iterator[Problem]:
    """What would not be on the machine as it is here: links that lead out, two files for one place, what can't go."""
    void = (
        Problem(WARNING, file, line, "git can't understand this pattern, so it keeps nothing back")
        for file, line in contents.void
    )
    yield from _limited(void, "such patterns")
    yield from _limited(_links(folder, contents), "links")
    yield from _one_place(contents)
    private = sorted(name for name, item in contents.stays.items() if item.kind == ENVIRONMENT and name != ".env")
    told = [_warning(name, "looks like an environment file, so it stays here", "call a sample .env.example") for name in private]
    yield from _limited(told, "environment files")
    special = sorted((name, item.why) for name, item in contents.stays.items() if item.kind == SPECIAL)
    yield from _limited((_warning(name, f"{why}, so it stays here") for name, why in special), "pipes, sockets and devices")
    hollow = [
        _warning(name, "is an empty folder, so it stays here", "put a file such as .gitkeep in it") for name in contents.empty
    ]
    yield from _limited(hollow, "empty folders")


def _warning(name: str, text: str, hint: str = "") -> Problem:
    return Problem(WARNING, name, 0, text, hint)


def _limited(problems: Iterable[Problem], what: str) -> Iterator[Problem]:
    found = list(problems)
    yield from found[:_SHOWN]
    if len(found) > _SHOWN:
        yield Problem(WARNING, "…", 0, f"and {len(found) - _SHOWN} more {what}")


def _links(folder: Path, contents: Contents) -> Iterator[Problem]:
    root = os.path.realpath(folder)
    for entry in contents.entries:
        if not entry.path.is_symlink():
            continue
        target, real = os.readlink(entry.path), os.path.realpath(entry.path)
        within = Path(real).is_relative_to(root)
        if not within and (not os.path.isabs(target) or os.path.exists(real)):
            hint = "put a copy into the folder, unless the machine has it too"
            yield _warning(entry.name, f"is a link out of the app folder, to {target}; what is there stays here", hint)
        elif within and os.path.isabs(target):
            yield _warning(entry.name, "is a link to a path of this computer", "make it relative: ln -sr")
        elif within and (why := _why_not(folder, contents, Path(real))):
            yield _warning(entry.name, f"is a link to {target}, which {why}")


def _one_place(contents: Contents) -> Iterator[Problem]:
    """`src/` and the folder itself become one folder on the machine: what stands in both has one place there."""
    names = [entry.name for entry in contents.entries]
    inner = {name.removeprefix("src/") for name in names if name.startswith("src/")}
    outer = {name for name in names if not name.startswith(("src/", "deployment/"))}
    for files, others, mine, its in ((inner, outer, "src/", ""), (outer, inner, "", "src/")):
        for name in sorted(files & _folders(others)):
            yield Problem(
                ERROR, f"{mine}{name}", 0, f"has the place of the folder {its}{name}/ on the machine", "rename one of them"
            )
    hidden = (_warning(name, f"is hidden by src/{name} on the machine", "rename one of them") for name in sorted(inner & outer))
    yield from _limited(hidden, "hidden files")
    for name in _OURS:
        if name in names or name in _folders(names):
            kind, text = (WARNING, "is replaced by ours") if name in names else (ERROR, "is a folder where a file of ours comes")
            yield Problem(kind, name, 0, f"{text} on the machine", "rename it")


def _folders(names: Iterable[str]) -> set[str]:
    """All folders that the files are in."""
    return {name[:at] for name in names for at, sign in enumerate(name) if sign == "/"}
