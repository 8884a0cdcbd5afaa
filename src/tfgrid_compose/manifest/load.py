"""From an app folder to a checked manifest, with every problem at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import ValidationError

from tfgrid_compose.errors import ManifestError
from tfgrid_compose.manifest.checks import check_contents, check_environment, check_files
from tfgrid_compose.manifest.contents import contents
from tfgrid_compose.manifest.model import DECORATIVE, Manifest, Model
from tfgrid_compose.manifest.problem import ERROR, WARNING, Problem, in_order, nearest, problems_error
from tfgrid_compose.manifest.scripts import PLAYBOOK, hook_path
from tfgrid_compose.manifest.yamlfile import Document, Location, read

__all__ = ["NAMES", "App", "Problem", "find_manifest", "folder_of", "hook_path", "load_app", "nearest", "problems_error"]

NAMES = ("tfgrid-compose.yaml", "tfgrid-compose.yml")
# As often as values that are wrong are taken out of a manifest, so that the others can be looked at.
_ROUNDS = 20


@dataclass(frozen=True)
class App:
    """An app folder with its manifest."""

    folder: Path
    manifest_path: Path
    manifest: Manifest
    problems: tuple[Problem, ...] = field(default=())

    @property
    def manifest_name(self) -> str:
        """The manifest's path from the app folder on."""
        return os.path.relpath(self.manifest_path, self.folder)

    @property
    def warnings(self) -> list[Problem]:
        """Problems that don't stop a deployment."""
        return [problem for problem in self.problems if problem.severity == WARNING]

    def playbook(self) -> Path | None:
        """`deployment/playbook.yml`, which replaces the hooks when it exists."""
        path = self.folder / PLAYBOOK
        return path if path.is_file() else None


def find_manifest(target: Path, file: str | None = None) -> Path:
    """The manifest of a folder, or `target` itself when it is a YAML file. Raises `ManifestError`.

    A link to a manifest elsewhere is not followed: the app is the folder that was given, only the text comes through the link.
    """
    if "\n" in str(target) or "\0" in str(target):
        raise ManifestError(
            f"{str(target)!r} is not a usable path", why="it holds a line break", fix="rename the folder", code="path-unusable"
        )
    # Unlike the methods of Path, these take a name that no file can have for a file that isn't there.
    if os.path.isfile(target) and target.suffix in (".yaml", ".yml"):
        return folder_of(target) / target.name
    if not os.path.isdir(target):
        raise ManifestError(
            f"there is no app folder {target}",
            why="the path does not exist" if not os.path.exists(target) else "it is a file, not a folder",
            fix=f"tfgrid-compose init {target.name or 'my-app'} makes a new one",
            code="app-not-found",
        )
    for name in [file] if file else NAMES:
        if os.path.isfile(path := folder_of(target) / name):
            return path
    raise ManifestError(
        f"{target} has no {file or NAMES[0]}",
        why="every app folder needs a manifest",
        fix=f"tfgrid-compose init {target} writes one",
        code="manifest-missing",
    )


def folder_of(target: Path) -> Path:
    """The app folder that a path means: the folder itself, or the one that a YAML file is in."""
    return Path(os.path.realpath(target.parent if os.path.isfile(target) else target))


def load_app(
    target: Path, *, file: str | None = None, strict: bool = False, env_file: Path | None = None, packed: bool = False
) -> App:
    """Read and check an app folder. Raises `ManifestError` that lists every problem.

    `env_file` is the environment file that the user chose. What comes out of a release (`packed`) was sifted before.
    """
    path, folder = find_manifest(target, file), folder_of(target)
    document = read(path, os.path.relpath(path, folder))
    problems = list(_duplicates(document))
    try:
        manifest: Manifest | None = Manifest.model_validate(document.data)
    except ValidationError as error:
        problems += _from_pydantic(document, error)
        manifest = _what_is_right(document.data)
    problems += _unknown_keys(document, Manifest, document.data, (), ERROR if strict else WARNING)
    if manifest is not None:
        private = (path, *([env_file] if env_file else []), *([folder / manifest.env_file] if manifest.env_file else []))
        found = contents(folder, private, sifting=not packed)
        problems += check_files(document, manifest, folder, found)
        problems += check_environment(document, manifest)
        problems += () if packed else check_contents(folder, found)
    ordered = in_order(problems, document.name)
    if manifest is None or any(problem.severity == ERROR for problem in ordered):
        raise problems_error(ordered)
    return App(folder, path, manifest, ordered)


def _what_is_right(data: Any) -> Manifest | None:
    """A manifest without the values that are wrong, so that whatever else can be checked is checked in the same round."""
    rest = _copy(data)
    for _ in range(_ROUNDS):
        try:
            return Manifest.model_validate(rest)
        except ValidationError as error:
            for item in error.errors():
                _take_out(rest, _place(rest, item["loc"], item["type"] == "missing"), item["type"] == "missing")
    return None


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _take_out(data: Any, location: Location, missing: bool) -> None:
    """Take a value out; of a list, the whole list, because the others must keep their places."""
    if location == ("name",):
        data["name"] = "app"
        return
    # What disagrees with something else has no place of its own; there is one such rule, on `pattern`.
    location = (location[:-1] if missing else location) or ("patterns",)
    while location:
        *way, last = location
        try:
            holder = reduce(lambda inside, part: inside[part], way, data)
        except (KeyError, IndexError, TypeError):
            return  # It went with another value.
        if isinstance(holder, dict):
            holder.pop(last, None)
            return
        location = tuple(way)


def _duplicates(document: Document) -> Iterator[Problem]:
    for location, line in document.duplicates:
        yield Problem(ERROR, document.name, line, f"`{_dotted(location)}` is there twice", "keep one")


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
            yield Problem(ERROR, document.name, line, text, hint)


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
    yield Problem(severity, document.name, document.line(location), f"unknown key `{_dotted(location)}`", hint or known)


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
