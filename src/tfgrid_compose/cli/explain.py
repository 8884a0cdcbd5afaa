"""`explain`: the page of an error code or a diagnosis."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from tfgrid_compose.errors import UsageError

if TYPE_CHECKING:
    from tfgrid_compose.observe.diagnosis import Failure
    from tfgrid_compose.observe.error_pages import Page

_WIDTH = 92
# The code of a class of errors stands for many messages: some of them show what it is like.
_MANY = 4


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(code, help=line) for code, line in _lines() if code.startswith(incomplete)]


@click.command(epilog="Example:  tfgrid-compose explain apt-lock")
@click.argument("code", required=False, shell_complete=_complete)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(code: str | None, as_json: bool) -> None:
    """Explain an error code: reason, fix, what to look at. Without CODE, list all codes.

    A code stands in the error's JSON: `code` says what failed, `cause` why. Both have a page here.
    """
    if code is None:
        click.echo(json.dumps([_facts(each) for each, _ in _lines()]) if as_json else _list())
        return
    known = dict(_lines())
    if code not in known:
        from tfgrid_compose.manifest.load import nearest

        raise UsageError(
            f"there is no error code `{code}`",
            why="neither an error nor a diagnosis has it",
            fix=nearest(code, known) or "tfgrid-compose explain",
            code="error-code-unknown",
        )
    click.echo(json.dumps(_facts(code)) if as_json else _page(code))


def _lines() -> Iterator[tuple[str, str]]:
    """(code, one line) of every code, diagnoses first; a code that is both is a diagnosis."""
    from tfgrid_compose.observe import diagnosis, error_pages

    for row in diagnosis.all_failures():
        yield row.code, row.reason
    for page in error_pages.all_pages():
        if diagnosis.find(page.code) is None:
            yield page.code, _one_line(page)


def _one_line(page: Page) -> str:
    """The class's own sentence, or what the error says where it is raised."""
    about = page.about.rstrip(".")
    return about[:1].lower() + about[1:] if about else page.said[0] if page.said else ""


def _list() -> str:
    """All codes, grouped: diagnoses by subject, errors by exit code."""
    from tfgrid_compose.observe import diagnosis, error_pages

    groups = [(title, [(row.code, row.reason) for row in rows]) for title, rows in diagnosis.groups()]
    by_exit: dict[int, list[tuple[str, str]]] = {}
    for page in error_pages.all_pages():
        by_exit.setdefault(page.exit_codes[0], []).append((page.code, _one_line(page)))
    for number, rows in sorted(by_exit.items()):
        groups.append((f"Exit code {number}: {error_pages.exit_code_meaning(number)}", rows))
    return "\n\n".join(_group(title, rows) for title, rows in groups)


def _group(title: str, rows: list[tuple[str, str]]) -> str:
    return "\n".join([click.style(title, bold=True), *(f"  {code:<28}{line}" for code, line in rows)])


def _facts(code: str) -> dict[str, Any]:
    """A page as JSON values; keys without a value are left out."""
    from tfgrid_compose.observe import diagnosis, error_pages

    facts: dict[str, Any] = {"code": code}
    row, page = diagnosis.find(code), error_pages.find(code)
    if row is not None:
        facts |= {"reason": row.reason, "fix": row.fix_for(""), "transient": row.transient, "about": row.about}
        facts["recognised_by"] = list(row.patterns)
    if page is not None:
        facts["error"] = {
            "exit_codes": page.exit_codes, "about": page.about, "says": page.said, "reasons": page.reasons, "fixes": page.fixes,
        }  # fmt: skip
    return facts


def _page(code: str) -> str:
    from tfgrid_compose.observe import diagnosis, error_pages

    row, page = diagnosis.find(code), error_pages.find(code)
    parts = [] if row is None else [_diagnosis_part(row)]
    if page is not None:
        parts.append(_error_part(page, title=row is None))
    return "\n\n".join(parts)


def _diagnosis_part(row: Failure) -> str:
    lines = [click.style(row.code, bold=True) + f": {row.reason}", "", textwrap.fill(row.about, _WIDTH), ""]
    lines.append(_entry("Next", [row.fix_for("")]))
    again = "it may pass by itself; `up` tries again some times" if row.transient else "it does not pass by itself"
    lines.append(_entry("Again", [again]))
    lines.append(_entry("Seen as", [pattern.strip("^$ ") for pattern in row.patterns]))
    return "\n".join(lines)


def _error_part(page: Page, title: bool) -> str:
    from tfgrid_compose.observe import error_pages

    lines = [click.style(page.code, bold=True) + f": {_one_line(page)}", ""] if title else []
    for number in page.exit_codes:
        lines.append(_entry("Exit code", [f"{number}: {error_pages.exit_code_meaning(number)}"]))
    many = len(page.said) > _MANY
    lines.append(_entry("Says", page.said[:_MANY] + (("and others",) if many else ())))
    lines.append(_entry("Reason", () if many else page.reasons))
    own = "the message itself says it in its line `Next:`; `tfgrid-compose up` goes on where a run stopped"
    lines.append(_entry("Next", (own,) if many or not page.fixes else page.fixes))
    return "\n".join(line for index, line in enumerate(lines) if line or index == 1)


def _entry(key: str, values: list[str] | tuple[str, ...]) -> str:
    """`  Key      value`, further values below the first."""
    wrapped = [textwrap.fill(value, _WIDTH - 13, break_long_words=False, break_on_hyphens=False) for value in values]
    text = "\n".join(wrapped).splitlines()
    return "\n".join(f"  {key if index == 0 else '':<11}{line}" for index, line in enumerate(text))
