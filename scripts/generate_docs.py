"""Write the generated pages of docs/ from the source; with --check only compare and name what is stale.

- docs/commands.md: the --help of every command
- docs/manifest.md: keys of the manifest, from manifest/model.py and docs/templates/manifest.md
- docs/errors.md: error codes, from the class attributes and raise sites in the source; diagnoses, from observe/diagnosis
- src/tfgrid_compose/observe/error_pages.json: the same codes for the command `explain`
- docs/events.md: events, from the dataclasses in observe/events.py
- docs/pattern-contract.md: only the block between its two markers, from patterns/model.py
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tfgrid_compose import errors
from tfgrid_compose.cli.main import cli
from tfgrid_compose.manifest.model import DECORATIVE, Manifest
from tfgrid_compose.observe import diagnosis, events
from tfgrid_compose.patterns.model import Pattern

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "tfgrid_compose"
NOTE = "<!-- Written by scripts/generate_docs.py; `make docs` writes it anew. -->\n\n"
BEGIN, END = "<!-- generated: begin -->\n", "<!-- generated: end -->\n"

# Shapes that the loader accepts besides the plain one; every key must be a path of the model.
SHAPES = {
    "version": "text or number",
    "resources.cpu": "`2`, or `{min: 1, recommended: 2}`",
    "resources.memory": '`4096`, `"4G"`, `"512M"`, or `{min: …, recommended: …}`',
    "resources.disk": '`50`, `"50G"`, `"51200M"`, or `{min: …, recommended: …}`',
    "resources.ports": "list of `8080`, `8080:http`, `53/udp`, `53/udp:dns`, or `{number: …, protocol: …, name: …}`",
    "patterns.supported": "list, or `a, b`",
    "disks[].size": '`20`, or `"20G"`',
    "nodes.vm": "a node id, or a list of them (the first one counts)",
    "network.provision": "list, or `wireguard, mycelium`",
    "network.prefer": "list, or `wireguard, mycelium`",
    "network.public_ipv4": "`true`, `yes`, `on`, `1`, quoted or not",
    "environment": "list, or `{NAME: default}`, or `{NAME: {default: …, secret: …}}`",
    "environment[].default": "text, number, `true` or `false`",
    "hook_config.<hook>.optional": "`true`, `yes`, `on`, `1`, quoted or not",
    "logging": "anything that is not keys with values is ignored",
}


# Text


def cell(text: str) -> str:
    """Text that may stand in a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


def table(headers: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join("| " + " | ".join(row) + " |\n" for row in lines)


def first_paragraph(text: str | None) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((inspect.cleandoc(text or "")).split("\n\n")[0].split())


# docs/commands.md


def commands_page() -> str:
    """The help of every command that is not hidden."""
    parts = [
        "# Commands\n\n" + NOTE,
        "`tfgrid-compose` and `tfgrid` are the same program. APP is a folder, the name of a deployment, or the beginning of its\n"
        "id (two characters or more). Without APP a command takes the app of the current folder, or the only deployment there\n"
        "is. Results go to standard output; progress, plans and errors go to standard error. What each exit code means is in\n"
        "[errors.md](errors.md).\n",
    ]
    for path, text in help_texts(cli, "tfgrid-compose"):
        parts.append(f"\n## {path}\n\n```\n{text}\n```\n")
    return "".join(parts)


def help_texts(command: click.Command, path: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """(path, help) of a command and of all below it."""
    context = click.Context(command, info_name=path.split()[-1], parent=parent, terminal_width=96, max_content_width=96)
    context.help_option_names = ["-h", "--help"]
    yield path, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from help_texts(found, f"{path} {name}", context)


# docs/manifest.md and the block of docs/pattern-contract.md


@dataclass
class Rows:
    """Rows of a model's table; a model that was shown before is only named."""

    shapes: dict[str, str] = field(default_factory=dict)
    found: list[list[str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    _shown: dict[type[BaseModel], str] = field(default_factory=dict)

    def add(self, model: type[BaseModel], prefix: str) -> None:
        """All keys of a model and of those inside it."""
        for name, info in model.model_fields.items():
            path = f"{prefix}{name}"
            self.paths.append(path)
            inner, suffix = _inner(info.annotation, name)
            kind = self._kind(info, inner, path)
            self.found.append([f"`{path}`", cell(kind), cell(_default(info)), cell(info.description or "")])
            if inner is not None and inner not in self._shown:
                self._shown[inner] = path
                self.add(inner, f"{path}{suffix}.")

    def _kind(self, info: FieldInfo, inner: type[BaseModel] | None, path: str) -> str:
        if path in self.shapes:
            return self.shapes[path]
        if inner is not None and inner in self._shown:
            return f"as `{self._shown[inner]}`"
        return _type_text(info.annotation, list(info.metadata))


def _inner(annotation: Any, name: str) -> tuple[type[BaseModel] | None, str]:
    """The model inside an annotation, and what stands for its place in a list or mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    mark = "[]" if get_origin(annotation) is list else ".<hook>" if name == "hook_config" else ".<name>"
    is_holder = get_origin(annotation) in (list, dict)
    for argument in get_args(annotation):
        found, suffix = _inner(argument, name)
        if found is not None:
            return found, (mark if is_holder else "") + suffix
    return None, ""


def _type_text(annotation: Any, metadata: list[Any]) -> str:
    """An annotation in words, with its bounds."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(arguments[0], [*metadata, *_flat(list(arguments[1:]))])
    if origin in (Union, types.UnionType):
        texts = [_type_text(item, metadata) for item in arguments if item is not type(None)]
        return " or ".join(dict.fromkeys(texts))
    if origin is Literal:
        return ", ".join(f"`{item}`" for item in arguments)
    if origin is list:
        return f"list of {_type_text(arguments[0], [])}"
    if origin is dict:
        return f"mapping of {_type_text(arguments[0], [])} to {_type_text(arguments[1], [])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys"
    names = {str: "text", int: "whole number", float: "number", bool: "yes or no", Any: "anything"}
    return names.get(annotation, str(annotation)) + _bounds(metadata)


def _flat(metadata: list[Any]) -> list[Any]:
    """Bounds that stand inside a `Field`."""
    found: list[Any] = []
    for item in metadata:
        found += item.metadata if isinstance(item, FieldInfo) else [item]
    return found


def _bounds(metadata: list[Any]) -> str:
    limits: dict[str, Any] = {}
    for item in metadata:
        for key in ("ge", "le", "pattern"):
            if getattr(item, key, None) is not None:
                limits[key] = getattr(item, key)
    if "ge" in limits and "le" in limits:
        return f", {limits['ge']} to {limits['le']}"
    if "ge" in limits:
        return f", at least {limits['ge']}"
    return f" like `{limits['pattern']}`" if "pattern" in limits else ""


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    if info.default_factory is not None or info.default is PydanticUndefined:
        value = info.default_factory() if info.default_factory else None  # type: ignore[call-arg]
        return f"`{', '.join(value)}`" if isinstance(value, list) and value else ""
    if isinstance(info.default, bool):
        return "no" if not info.default else "yes"
    return "" if info.default in (None, "") else f"`{info.default}`"


def manifest_page() -> str:
    """The template with the table of all keys."""
    rows = Rows(SHAPES)
    rows.add(Manifest, "")
    unknown = set(SHAPES) - set(rows.paths)
    if unknown:
        raise SystemExit(f"scripts/generate_docs.py: SHAPES names keys that the manifest does not have: {sorted(unknown)}")
    keys = table(["Key", "Type and shapes", "Default", "Meaning"], rows.found)
    decorative = ", ".join(f"`{name}`" for name in DECORATIVE)
    template = (ROOT / "docs" / "templates" / "manifest.md").read_text()
    return (
        template.replace("{{note}}\n", NOTE.rstrip("\n") + "\n").replace("{{keys}}\n", keys).replace("{{decorative}}", decorative)
    )


def pattern_page() -> str:
    """docs/pattern-contract.md with a fresh table in its marked block."""
    path = ROOT / "docs" / "pattern-contract.md"
    before, _, rest = path.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{path.name} has lost its markers {BEGIN.strip()} and {END.strip()}")
    rows = Rows()
    rows.add(Pattern, "")
    return before + BEGIN + table(["Key", "Type", "Default", "Meaning"], rows.found) + END + after


# docs/errors.md


@dataclass
class ErrorClass:
    """A class of the error tree as it stands in the source."""

    name: str
    base: str
    code: str
    exit_code: int | None
    doc: str


@dataclass
class Site:
    """A place where an error is made: its code, what it says and why, what it advises, module and line."""

    code: str
    error: str
    what: str
    why: str
    fix: str
    module: str
    line: int


def error_classes(trees: dict[str, ast.Module]) -> dict[str, ErrorClass]:
    """Every class of the tree, wherever it is defined."""
    found = {
        "TfgridError": ErrorClass("TfgridError", "", errors.TfgridError.code, errors.TfgridError.exit_code, "Any other failure.")
    }
    pending = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    grown = True
    while grown:
        grown = False
        for node in pending:
            base = next((item.id for item in node.bases if isinstance(item, ast.Name) and item.id in found), None)
            if base and node.name not in found:
                found[node.name] = _error_class(node, found[base])
                grown = True
    return found


def _error_class(node: ast.ClassDef, base: ErrorClass) -> ErrorClass:
    values: dict[str, Any] = {}
    for item in node.body:
        if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name) and isinstance(item.value, ast.Constant):
            values[item.targets[0].id] = item.value.value
    doc = first_paragraph(ast.get_docstring(node))
    return ErrorClass(node.name, base.name, values.get("code", base.code), values.get("exit_code", base.exit_code), doc)


def error_sites(trees: dict[str, ast.Module], classes: dict[str, ErrorClass]) -> list[Site]:
    """Every place where an error of the tree is made."""
    sites: list[Site] = []
    for module, tree in trees.items():
        scopes = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        for scope in scopes:
            for node in ast.walk(scope):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes:
                    sites += _site(module, scope, node, classes[node.func.id])
    return list({(site.code, site.what, site.module): site for site in sites}.values())


def _site(module: str, scope: ast.AST, node: ast.Call, error: ErrorClass) -> list[Site]:
    keywords = {item.arg: item.value for item in node.keywords}
    what = message(node.args[0]) if node.args else ""
    if not what.strip("… ") and "why" in keywords:
        what = message(keywords["why"])
    why, fix = (message(keywords[name]) if name in keywords else "" for name in ("why", "fix"))
    if "code" not in keywords:
        return [Site(error.code, error.name, what, why, fix, module, node.lineno)]
    codes = constants(keywords["code"], scope)
    if not codes:
        raise SystemExit(f"{module}:{node.lineno}: the code of this error is not a text that can be read from the source")
    return [Site(code, error.name, what, why, fix, module, node.lineno) for code in codes]


def constants(node: ast.expr, scope: ast.AST) -> list[str]:
    """The texts that an expression can be: a literal, a choice of two, or a local name of such."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return constants(node.body, scope) + constants(node.orelse, scope)
    if not isinstance(node, ast.Name):
        return []
    found: list[str] = []
    for item in ast.walk(scope):
        if isinstance(item, ast.Assign):
            for target, value in _pairs(item.targets[0], item.value):
                if isinstance(target, ast.Name) and target.id == node.id:
                    found += constants(value, scope)
    return list(dict.fromkeys(found))


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]


def message(node: ast.expr) -> str:
    """A message as it stands in the source, with `…` for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(message(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.IfExp):
        return " / ".join(text for text in (message(node.body), message(node.orelse)) if text)
    if isinstance(node, ast.BoolOp):
        return " / ".join(text for text in map(message, node.values) if text.strip("…")) or "…"
    if isinstance(node, ast.BinOp):
        return message(node.left) + message(node.right)
    return "…"


def source_trees() -> dict[str, ast.Module]:
    """{module path: syntax tree} of the whole source, in a fixed order."""
    paths = sorted(path for path in SOURCE.rglob("*.py") if "__pycache__" not in path.parts)
    return {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text()) for path in paths}


def errors_page() -> str:
    """Exit codes, then one row for every code and every diagnosis."""
    trees = source_trees()
    classes = error_classes(trees)
    sites = error_sites(trees, classes)
    rows = [[code, cell(meaning)] for code, meaning in exit_codes(classes).items()]
    parts = [
        "# Errors\n\n" + NOTE,
        "An error says what failed (`Error:`), why (`Reason:`), the last lines of output, where the whole log is (`Log:`), what\n"
        "was done about it (`Now:`) and the next command (`Next:`). With `--json` the same facts are printed on standard\n"
        'output, as `{"error": {"code": …, "cause": …, "what": …, "why": …, "fix": …, "aftermath": …, "details": […], "log": …,\n'
        '"exit_code": …}}`; keys without a value are left out. `code` says what failed, `cause` is the diagnosis if there is\n'
        "one. Codes are stable; texts may change. `tfgrid-compose explain CODE` prints the page of a code of either kind.\n\n",
        "## Exit codes\n\n",
        table(["Exit code", "Meaning"], rows),
        "\n`exec`, `ssh`, `logs` and the commands of an app pass on the exit code of the remote command; 255 is a failure of\n"
        "ssh itself.\n",
        "\n## Codes\n\nIn the texts, `…` stands for what is filled in.\n\n",
        table(["Code", "Exit code", "What it says", "Next", "Made in"], _code_rows(classes, sites)),
        "\n## Diagnoses\n\n"
        "The text of an error is looked up among failures that are known. The first that fits gives the reason and the next\n"
        "command, and its code stands in `cause`. Failures that pass by themselves are tried again.\n",
        *(f"\n### {title}\n\n" + _diagnosis_table(rows) for title, rows in diagnosis.groups()),
    ]
    return "".join(parts)


def _diagnosis_table(failures: tuple[diagnosis.Failure, ...]) -> str:
    rows = [
        [f"`{row.code}`", _escaped(row.reason), _escaped(row.fix_for("my-app")), "yes" if row.transient else "no"]
        for row in failures
    ]
    return table(["Code", "Reason", "Next", "Passes by itself"], rows)


def exit_codes(classes: dict[str, ErrorClass]) -> dict[str, str]:
    """{exit code: meaning}, in order."""
    exits: dict[int, list[str]] = {}
    for item in classes.values():
        # A class without a code of its own refines its base and has the same meaning.
        if item.name != "TfgridError" and item.exit_code is not None and item.exit_code != classes[item.base].exit_code:
            exits.setdefault(item.exit_code, []).append(item.doc.rstrip("."))
    found = {code: "; or: ".join(texts) + "." for code, texts in exits.items()}
    found |= {
        0: "Success.", 1: "`status` found something wrong; or any other failure.",
        70: "A bug of tfgrid-compose; a report is saved, and its path is printed.",
    }  # fmt: skip
    return {str(code): found[code] for code in sorted(found)}


def _by_code(classes: dict[str, ErrorClass], sites: list[Site]) -> dict[str, list[Site]]:
    """{code: its sites}, codes in order; codes of classes that are never made themselves have no site."""
    found: dict[str, list[Site]] = {item.code: [] for item in classes.values()}
    for site in sites:
        found.setdefault(site.code, []).append(site)
    return {code: found[code] for code in sorted(found)}


def _own_class(classes: dict[str, ErrorClass], code: str) -> ErrorClass | None:
    return next((item for item in classes.values() if item.code == code), None)


def _exits(classes: dict[str, ErrorClass], code: str, sites: list[Site]) -> list[int]:
    own = _own_class(classes, code)
    found = {classes[site.error].exit_code for site in sites} or {own.exit_code if own else 1}
    return sorted(item for item in found if item is not None)


def _distinct(texts: list[str]) -> list[str]:
    """Texts that say something, each once."""
    return list(dict.fromkeys(text for text in texts if text.strip("… /")))


def _choices(texts: Iterator[str]) -> list[str]:
    """Each of the texts that `message` has joined."""
    return [choice for text in texts for choice in text.split(" / ")]


def error_pages() -> str:
    """What `explain` says about error codes, as JSON."""
    trees = source_trees()
    classes = error_classes(trees)
    pages = {}
    for code, sites in _by_code(classes, error_sites(trees, classes)).items():
        own = _own_class(classes, code)
        pages[code] = {
            "exit_codes": _exits(classes, code, sites),
            "about": own.doc if own else "",
            "said": _distinct(_choices(site.what for site in sites)),
            "reasons": _distinct(_choices(site.why for site in sites)),
            "fixes": _distinct(_choices(site.fix for site in sites)),
        }
    return json.dumps({"exit_codes": exit_codes(classes), "codes": pages}, indent=1, ensure_ascii=False) + "\n"


def _code_rows(classes: dict[str, ErrorClass], sites: list[Site]) -> list[list[str]]:
    rows = []
    for code, found in _by_code(classes, sites).items():
        own = _own_class(classes, code)
        said = list(dict.fromkeys(site.what for site in found if site.what.strip("… ")))
        texts = [own.doc] if own and (len(said) > 4 or not said) else said[:4]
        fixes = _distinct([site.fix for site in found])[:2] if len(said) <= 4 else []
        modules = sorted({site.module.removesuffix(".py") for site in found})
        where = ", ".join(f"`{module}`" for module in modules[:4]) + (" and others" if len(modules) > 4 else "")
        exit_text = ", ".join(str(item) for item in _exits(classes, code, found))
        rows.append([f"`{code}`", exit_text, _escaped("<br>".join(texts)), _escaped("<br>".join(fixes)), where])
    return rows


def _escaped(text: str) -> str:
    kept = text.replace("<br>", "\0")
    return cell(kept.replace("<", "&lt;")).replace("\0", "<br>")


# docs/events.md


def event_kinds() -> dict[str, type[events.Event]]:
    """{kind: class} of every event; the kind is the class's name in kebab case."""
    found = {}
    for name, item in vars(events).items():
        if isinstance(item, type) and issubclass(item, events.Event) and item is not events.Event:
            found[re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()] = item
    return found


def events_page() -> str:
    """One section for every event."""
    parts = [
        "# Events\n\n" + NOTE,
        "`up --json` and `down --json` print what happens as JSON, one event a line, on standard output. The terminal shows the\n"
        "same events. Known secrets are replaced by `«redacted»` before an event reaches anybody.\n\n"
        "Every event has `event` (its kind) and `at` (unix seconds). Two lines are no events: when there is nothing to do,\n"
        '`up --json` prints one line with `"event": "unchanged"` and the plan; when a command fails, the last line is\n'
        '`{"error": {…}}`, see [errors.md](errors.md).\n',
    ]
    for kind, item in event_kinds().items():
        rows = []
        for part in dataclasses.fields(item):
            if part.name not in ("kind", "at"):
                rows.append([f"`{part.name}`", f"`{cell(str(part.type))}`", f"`{part.default!r}`"])
        parts.append(f"\n## {kind}\n\n{first_paragraph(item.__doc__)}\n\n")
        parts.append(table(["Field", "Type", "Default"], rows))
    return "".join(parts)


PAGES: dict[str, Callable[[], str]] = {
    "docs/commands.md": commands_page,
    "docs/manifest.md": manifest_page,
    "docs/errors.md": errors_page,
    "docs/events.md": events_page,
    "docs/pattern-contract.md": pattern_page,
    "src/tfgrid_compose/observe/error_pages.json": error_pages,
}


def main(arguments: list[str]) -> int:
    """Write all pages, or with --check compare them; returns the exit code."""
    if arguments not in ([], ["--check"]):
        print("usage: generate_docs.py [--check]", file=sys.stderr)
        return 2
    stale = []
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if path.is_file() and path.read_text() == text:
            continue
        stale.append(name)
        if not arguments:
            path.write_text(text)
            print(f"wrote {name}")
    if arguments and stale:
        print(f"stale: {', '.join(stale)}; `make docs` writes {'them' if len(stale) > 1 else 'it'} anew", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
