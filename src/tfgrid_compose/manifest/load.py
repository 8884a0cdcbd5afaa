"""From an app folder to a checked manifest, with every problem at once."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import ValidationError

from tfgrid_compose.errors import ManifestError
from tfgrid_compose.manifest.model import DECORATIVE, HOOKS, Manifest, Model
from tfgrid_compose.manifest.yamlfile import Document, Location, read

NAMES = ("tfgrid-compose.yaml", "tfgrid-compose.yml")
ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Problem:
    """One thing wrong in an app folder: where, what, and what would be right."""

    severity: str
    path: str
    line: int
    text: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.path}:{self.line}: {self.text}{hint}"


@dataclass(frozen=True)
class App:
    """An app folder with its manifest."""

    folder: Path
    manifest_path: Path
    manifest: Manifest
    problems: tuple[Problem, ...] = field(default=())

    @property
    def warnings(self) -> list[Problem]:
        """Problems that don't stop a deployment."""
        return [problem for problem in self.problems if problem.severity == WARNING]

    def playbook(self) -> Path | None:
        """`deployment/playbook.yml`, which replaces the hooks when it exists."""
        path = self.folder / "deployment" / "playbook.yml"
        return path if path.is_file() else None


def find_manifest(target: Path, file: str | None = None) -> Path:
    """The manifest of a folder, or `target` itself when it is a YAML file. Raises `ManifestError`."""
    if "\n" in str(target) or "\0" in str(target):
        raise ManifestError(
            f"{str(target)!r} is not a usable path", why="it holds a line break", fix="rename the folder", code="path-unusable"
        )
    # Unlike the methods of Path, these take a name that no file can have for a file that isn't there.
    if os.path.isfile(target) and target.suffix in (".yaml", ".yml"):
        return target.resolve()
    if not os.path.isdir(target):
        raise ManifestError(
            f"there is no app folder {target}",
            why="the path does not exist" if not os.path.exists(target) else "it is a file, not a folder",
            fix=f"tfgrid-compose init {target.name or 'my-app'} makes a new one",
            code="app-not-found",
        )
    for name in [file] if file else NAMES:
        path = target / name
        if os.path.isfile(path):
            return path.resolve()
    raise ManifestError(
        f"{target} has no {file or NAMES[0]}",
        why="every app folder needs a manifest",
        fix=f"tfgrid-compose init {target} writes one",
        code="manifest-missing",
    )


def load_app(target: Path, *, file: str | None = None, strict: bool = False) -> App:
    """Read and check an app folder. Raises `ManifestError` that lists every error."""
    path = find_manifest(target, file)
    document = read(path)
    problems = list(_duplicates(document))
    manifest: Manifest | None = None
    try:
        manifest = Manifest.model_validate(document.data)
    except ValidationError as error:
        problems += _from_pydantic(document, error)
    problems += _unknown_keys(document, Manifest, document.data, (), ERROR if strict else WARNING)
    if manifest is not None:
        problems += _check_files(document, manifest, path.parent)
        problems += _check_environment(document, manifest)
    errors = [problem for problem in problems if problem.severity == ERROR]
    if errors or manifest is None:
        raise problems_error(errors)
    return App(path.parent, path, manifest, tuple(problems))


def problems_error(errors: list[Problem]) -> ManifestError:
    """One error that names them all."""
    count = len(errors)
    return ManifestError(
        str(errors[0]) if count == 1 else f"the app has {count} errors",
        why="" if count == 1 else "each is listed below with its line",
        fix="mend the manifest, then run `tfgrid-compose validate`",
        details=[] if count == 1 else [str(problem) for problem in errors],
    )


def nearest(word: str, choices: Any) -> str:
    """`did you mean …?` for a misspelt word, or nothing."""
    found = difflib.get_close_matches(word, [str(choice) for choice in choices], n=1, cutoff=0.6)
    return f"did you mean `{found[0]}`?" if found else ""


def _duplicates(document: Document) -> Iterator[Problem]:
    for location, line in document.duplicates:
        yield Problem(ERROR, document.path.name, line, f"`{_dotted(location)}` is there twice", "keep one")


def _dotted(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _from_pydantic(document: Document, error: ValidationError) -> Iterator[Problem]:
    seen: set[tuple[int, str]] = set()
    for item in error.errors():
        location = _place(document.data, item["loc"], item["type"] == "missing")
        line = document.line(location)
        text, hint = _explain(item, location)
        if (line, text) not in seen:
            seen.add((line, text))
            yield Problem(ERROR, document.path.name, line, text, hint)


def _place(data: Any, parts: Location, missing: bool) -> Location:
    """Where pydantic's location is in the file. It also names branches of a type, and parts of our own normal form."""
    found: list[str | int] = []
    for at, part in enumerate(parts, 1):
        names = list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else []
        if isinstance(part, int) and part < len(names):
            part = names[part]  # A list may be written as `{NAME: value}`, too.
        if part in names:
            data = data[part]
            found.append(part)
        elif missing and at == len(parts):
            found.append(part)
    return tuple(found)


def _explain(item: Any, location: Location) -> tuple[str, str]:
    """A pydantic error in our words."""
    name, kind, value = _dotted(location) or "the manifest", item["type"], item.get("input")
    context = item.get("ctx", {})
    if kind == "missing":
        return f"`{name}` is missing", _example(name)
    if kind == "literal_error":
        allowed = [word.strip(" '") for word in context["expected"].replace(" or ", ", ").split(",")]
        return f"`{name}` can't be {value!r}; it takes {', '.join(allowed)}", nearest(str(value), allowed)
    if kind == "string_pattern_mismatch":
        return f"`{name}` can't be {_short(value)}", f"it must match {context['pattern']}"
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return f"`{name}` is {_short(value)}; it must be {bound}", ""
    if kind == "value_error":
        return f"`{name}`: {context.get('error', item['msg'])}", ""
    wanted = {"int_parsing": "a whole number", "int_type": "a whole number", "int_from_float": "a whole number",
              "string_type": "a text", "list_type": "a list", "dict_type": "keys with values", "bool_parsing": "yes or no",
              "bool_type": "yes or no", "model_type": "keys with values", "string_too_short": "not empty"}.get(kind)  # fmt: skip
    if wanted:
        return f"`{name}` is {_short(value)}; it must be {wanted}", ""
    return f"`{name}`: {item['msg']}", ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _example(name: str) -> str:
    return {"name": "for example `name: my-app`"}.get(name, "")


def _unknown_keys(document: Document, model: type[Model], data: Any, location: Location, severity: str) -> Iterator[Problem]:
    """Keys that no model knows, at every depth; `x-…` and decorative ones pass."""
    for key in model.written_keys(data):
        inner = (*location, key)
        field_info = model.model_fields.get(key)
        child = _model_of(field_info.annotation) if field_info else None
        if field_info is None:
            yield from _unknown_key(document, model, inner, severity)
        elif child is not None:
            for place, item in _children(data[key], inner, child.many):
                yield from _unknown_keys(document, child.model, item, place, severity)


def _unknown_key(document: Document, model: type[Model], location: Location, severity: str) -> Iterator[Problem]:
    key, top = str(location[-1]), len(location) == 1
    if key.startswith("x-") or (top and key in DECORATIVE):
        return
    hint = nearest(key, [*model.model_fields, *(DECORATIVE if top else ())])
    known = f"known keys: {', '.join(list(model.model_fields)[:12])}"
    yield Problem(severity, document.path.name, document.line(location), f"unknown key `{_dotted(location)}`", hint or known)


def _children(value: Any, location: Location, many: bool) -> Iterator[tuple[Location, Any]]:
    """The values below a key that are of its model: list items, named entries, or the value itself."""
    if isinstance(value, list):
        yield from (((*location, index), item) for index, item in enumerate(value))
    elif many and isinstance(value, dict):
        yield from (((*location, name), item) for name, item in value.items())
    else:
        yield location, value


class _Child(NamedTuple):
    """The model of a field, and whether the field holds many of it."""

    model: type[Model]
    many: bool


def _model_of(annotation: Any, many: bool = False) -> _Child | None:
    """The model inside an annotation such as `list[Port] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return _Child(annotation, many)
    many = many or get_origin(annotation) in (list, dict)
    return next(filter(None, (_model_of(argument, many) for argument in get_args(annotation))), None)


def _check_files(document: Document, manifest: Manifest, folder: Path) -> Iterator[Problem]:
    """Hooks and command scripts that the manifest names must be there."""
    playbook = (folder / "deployment" / "playbook.yml").is_file()
    for hook in HOOKS:
        name = getattr(manifest.hooks, hook)
        location = ("hooks", hook)
        if playbook:
            continue
        path = hook_path(folder, name)
        if path is None:
            yield Problem(ERROR, document.path.name, document.line(location), f"hook `{hook}`: {name} leaves the app folder",
                          "hooks stand inside the app folder")  # fmt: skip
        elif not os.path.isfile(path):
            hint = _file_hint(folder, name)
            yield Problem(ERROR, document.path.name, document.line(location), f"hook `{hook}`: {name} does not exist", hint)
        else:
            yield from _check_script(path, name)
    for name, command in manifest.commands.items():
        yield from _check_command(document, folder, name, command.script)


def hook_path(folder: Path, name: str) -> Path | None:
    """Where a hook's file is: as written, or by its name in `deployment/` as the bash tool does.

    None when the path leaves the app folder.
    """
    path = _inside(folder, name)
    if path is None or os.path.isfile(path):
        return path
    fallback = _inside(folder, os.path.join("deployment", os.path.basename(name)))
    return path if fallback is not None and not os.path.isfile(fallback) else fallback


def _inside(folder: Path, name: str) -> Path | None:
    """The file that a name means, all links followed; None when it is outside of the folder."""
    root = os.path.realpath(folder)
    path = Path(os.path.realpath(os.path.join(root, name)))
    return path if path.is_relative_to(root) else None


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


def _check_command(document: Document, folder: Path, name: str, script: str) -> Iterator[Problem]:
    """A script given as a path inside the app must exist; one under /opt/<app>/scripts too, by its name."""
    line = document.line(("commands", name, "script"))
    file = script.split()[0]
    if not file.startswith("/"):
        path = _inside(folder, file)
        if path is None:
            yield Problem(ERROR, document.path.name, line, f"command `{name}`: {file} leaves the app folder",
                          "scripts stand inside the app folder, or on the machine with their whole path")  # fmt: skip
        elif "/" in file and not os.path.isfile(path):
            yield Problem(ERROR, document.path.name, line, f"command `{name}`: {file} does not exist in the app folder")
        return
    match = re.match(r"^/opt/[^/]+/(?:scripts|commands|bin)/([^/]+)$", file)
    # Only where the app ships scripts of its own is it certain that a missing one is a mistake.
    shipped = [path for part in ("src/scripts", "scripts", "src/commands", "src/bin") for path in (folder / part).glob("*")]
    if match and shipped and match[1] not in {path.name for path in shipped}:
        hint = nearest(match[1], [path.name for path in shipped])
        yield Problem(WARNING, document.path.name, line, f"command `{name}`: the app ships no {match[1]}", hint)


def _check_environment(document: Document, manifest: Manifest) -> Iterator[Problem]:
    names = [variable.name for variable in manifest.environment]
    for index, variable in enumerate(manifest.environment):
        location: Location = ("environment", index)
        if names.index(variable.name) != index:
            yield Problem(
                ERROR, document.path.name, document.line(location), f"environment `{variable.name}` is there twice", "keep one"
            )
        if variable.options and variable.default is not None and variable.default not in variable.options:
            yield Problem(ERROR, document.path.name, document.line((*location, "default")),
                          f"the default of `{variable.name}` is not one of its options",
                          nearest(variable.default, variable.options) or ", ".join(variable.options))  # fmt: skip
        for other in variable.depends_on:
            if other not in names:
                text = f"`{variable.name}` depends on `{other}`, which is not in `environment`"
                yield Problem(ERROR, document.path.name, document.line((*location, "depends_on")), text, nearest(other, names))
