"""Read a YAML file written by a person: bounded, with the line of every value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tfgrid_compose.errors import ManifestError

MAX_BYTES = 1024 * 1024
MAX_VALUES = 20_000
Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """Plain data and the 1-based line of every location in it."""

    path: Path
    data: Any
    lines: dict[Location, int]
    duplicates: tuple[tuple[Location, int], ...] = ()
    label: str = ""

    @property
    def name(self) -> str:
        """What people read instead of the whole path."""
        return self.label or self.path.name

    def line(self, location: Location) -> int:
        """The line of a location, or of the nearest parent that is in the file."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


def read(path: Path, label: str = "") -> Document:
    """Parse a YAML file. Raises `ManifestError` for anything that is not a small mapping in YAML."""
    text = _text(path)
    try:
        node = yaml.compose(text, Loader=_Loader)
        reader = _Reader()
        data = reader.value(node, ()) if node is not None else None
    except yaml.YAMLError as error:
        raise _syntax_error(path, error) from error
    except RecursionError as error:
        raise _too_big(path, "it is nested too deeply") from error
    except _TooManyError as error:
        raise _too_big(path, str(error)) from error
    if data is None:
        raise ManifestError(
            f"{path} is empty",
            why="a manifest needs at least a name",
            fix="tfgrid-compose init writes one that deploys",
            code="manifest-empty",
        )
    if not isinstance(data, dict):
        raise ManifestError(
            f"{path}:1: the file holds a {_kind(data)}, not keys with values",
            why="a manifest is a mapping such as `name: my-app`",
            fix="tfgrid-compose init writes one that deploys",
            code="manifest-not-a-mapping",
        )
    return Document(path, data, reader.lines, tuple(reader.duplicates), label)


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _too_big(path, f"it has {size / 1024**2:.1f} MB, the limit is {MAX_BYTES // 1024**2} MB")
        raw = path.read_bytes()
    except OSError as error:
        raise ManifestError(
            f"{path} can't be read", why=error.strerror or str(error), fix=f"ls -l {path}", code="manifest-unreadable"
        ) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _binary(path) from error
    if "\0" in text:
        raise _binary(path)
    return text


def _binary(path: Path) -> ManifestError:
    return ManifestError(
        f"{path} is not a text file",
        why="it holds bytes that are not UTF-8 text",
        fix="save it as UTF-8, or name the right file with --file",
        code="manifest-binary",
    )


def _too_big(path: Path, why: str) -> ManifestError:
    return ManifestError(
        f"{path} is too large to be a manifest", why=why, fix="name the right file with --file", code="manifest-too-large"
    )


def _syntax_error(path: Path, error: yaml.YAMLError) -> ManifestError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{path}:{mark.line + 1}" if mark else str(path)
    reason = getattr(error, "problem", None) or "it is not valid YAML"
    return ManifestError(
        f"{where}: {reason}",
        why="the file is not valid YAML",
        fix="check the indentation and quotes around that line",
        code="manifest-syntax",
    )


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {list: "list", str: "text", bool: "yes or no", int: "number", float: "number"}
    return next((kinds[base] for base in type(value).__mro__ if base in kinds), "value")


class WrittenInt(int):
    """A whole number that shows itself as its author wrote it: 0123 and 0x10 stay that."""

    text: str

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__


class WrittenFloat(float):
    """A number that shows itself as its author wrote it: 1.10 stays 1.10."""

    text: str

    def __repr__(self) -> str:
        return self.text

    __str__ = __repr__


class _TooManyError(Exception):
    """The document has, or expands to, more values than any manifest has."""


class _Loader(yaml.SafeLoader):
    """Makes nodes, and stops at the first one too many: each costs a hundred times its text in memory."""

    _nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._nodes += 1
        # A value may have a key, which is a node as well.
        if self._nodes > 2 * MAX_VALUES:
            raise _TooManyError(f"it has more than {MAX_VALUES} values")
        return super().compose_node(parent, index)


class _Reader(yaml.constructor.SafeConstructor):
    """Turns nodes into data, counting every value that an alias or a merge repeats."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[Location, int] = {}
        self.duplicates: list[tuple[Location, int]] = []
        self._count = 0

    def value(self, node: yaml.Node, location: Location) -> Any:
        self._spend()
        self.lines.setdefault(location, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*location, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _spend(self) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise _TooManyError(f"its anchors expand to more than {MAX_VALUES} values")

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        self._inherit(node, pairs)
        own: set[str] = set()
        for key_node, value_node in node.value:
            if _merges(key_node):
                continue
            key = _key(key_node)
            if key in own:
                self.duplicates.append(((*location, key), key_node.start_mark.line + 1))
            own.add(key)
            pairs[key] = (key_node, value_node)
        found: dict[str, Any] = {}
        for key, (key_node, value_node) in pairs.items():
            self.lines[(*location, key)] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, (*location, key))
        return found

    def _inherit(self, node: yaml.MappingNode, pairs: dict[str, tuple[yaml.Node, yaml.Node]]) -> None:
        """Collect what a mapping gets by `<<`: of several sources the first one wins, and a source's own keys."""
        for source in (source for key, value in node.value if _merges(key) for source in _sources(node, value)):
            self._spend()
            for key_node, value_node in source.value:
                if not _merges(key_node):
                    self._spend()
                    pairs.setdefault(_key(key_node), (key_node, value_node))
            self._inherit(source, pairs)

    def _scalar(self, node: yaml.Node) -> Any:
        text = _plain(node)
        try:
            value = self.construct_object(node)
        except (ValueError, OverflowError, LookupError, AttributeError, TypeError, yaml.constructor.ConstructorError):
            # PyYAML trusts an explicit tag such as `!!int` and fails in its own ways when the text doesn't fit.
            return text
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            # Dates and bytes have no place in a manifest; their text is what the author meant.
            return value if isinstance(value, (str, bool, type(None))) else text
        number = WrittenInt(value) if isinstance(value, int) else WrittenFloat(value)
        number.text = text
        return number


def _merges(key: yaml.Node) -> bool:
    return bool(key.tag == "tag:yaml.org,2002:merge")


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        # Written out, a nested key could be as large as all that its anchors expand to.
        raise yaml.constructor.ConstructorError(None, None, "a key must be a text", node.start_mark)
    return _plain(node)


def _plain(node: yaml.Node) -> str:
    """The text of a scalar; half of a sign, as an escape can write it, is none."""
    text = str(node.value)
    if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise yaml.constructor.ConstructorError(None, None, "the text holds half of a sign", node.start_mark)
    return text


def _sources(node: yaml.MappingNode, value: yaml.Node) -> list[yaml.MappingNode]:
    found = value.value if isinstance(value, yaml.SequenceNode) else [value]
    for source in found:
        if not isinstance(source, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(
                "while merging", node.start_mark, "`<<` takes keys with values, or a list of such", source.start_mark
            )
    return list(found)
