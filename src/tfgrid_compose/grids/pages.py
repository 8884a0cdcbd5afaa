"""All of a list, page by page: no row twice, none lost, or an error."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfgrid_compose.grids.asking import Asker
from tfgrid_compose.grids.reading import Failed, Reply

PAGE_ROWS = 1000
MOST_ROWS = 1_000_000
# How often a list is read that changes while it is read.
READINGS = 3
Row = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """A list's path, the field that tells its rows apart (empty: none does), and the field that keeps them in order."""

    path: str
    key: str = ""
    order: str = ""


@dataclass(frozen=True)
class Rows:
    """Rows of a list, how many there are on the grid, and the time there in unix seconds (0 when unknown)."""

    rows: list[Row]
    count: int
    now: float = 0.0


class _Moving(Exception):
    """The list changed between two pages; the text says what does not fit together."""


async def one(asker: Asker, base: str, shape: Shape, params: Mapping[str, str]) -> Rows:
    """The page that `params` name. Raises `Failed`."""
    asked = {"page": "1", "size": str(PAGE_ROWS), **params, "ret_count": "true"}
    reply = await asker.get(base, shape.path, asked)
    rows, count, size = _rows(reply), _count(reply), _size(reply, int(asked["size"]))
    due = min(size, max(0, count - (int(asked["page"]) - 1) * size))
    if len(rows) != due:
        raise Failed("answer", reply.url, f"half a page: {len(rows)} rows where {due} are due")
    return Rows(rows, count, reply.now)


async def whole(asker: Asker, base: str, shape: Shape, params: Mapping[str, str]) -> Rows:
    """Every row; read anew when it changed in between. Raises `Failed`, also when it never holds still."""
    reason = ""
    for reading in range(1, READINGS + 1):
        try:
            async with asyncio.timeout(asker.patience.whole):
                return await _reading(asker, base, shape, params)
        except _Moving as moving:
            reason = str(moving)
        except TimeoutError as error:
            why = f"the list was not whole within {asker.patience.whole:g} s"
            raise Failed("slow", base + shape.path, why) from error
        if reading < READINGS:
            await asker.patience.sleep(asker.patience.first_pause * reading)
    raise Failed("answer", base + shape.path, f"half a page: {reason}")


async def _reading(asker: Asker, base: str, shape: Shape, params: Mapping[str, str]) -> Rows:
    asked = {**({"sort_by": shape.order} if shape.order else {}), **params, "ret_count": "true"}
    first = await asker.get(base, shape.path, {**asked, "page": "1", "size": str(PAGE_ROWS)})
    count, rows = _count(first), _rows(first)
    size = _size(first, PAGE_ROWS)
    pages = [rows]
    if len(rows) < count:
        if len(rows) != size:
            raise _Moving(f"page 1 has {len(rows)} rows where {min(size, count)} are due")
        numbers = range(2, math.ceil(count / size) + 1)
        questions = [{**asked, "page": str(number), "size": str(size)} for number in numbers]
        pages += await _at_once(asker, base, shape.path, questions, count)
    found = [row for page in pages for row in page]
    _check(found, count, shape.key)
    return Rows(found, count, first.now)


async def _at_once(asker: Asker, base: str, path: str, questions: list[dict[str, str]], count: int) -> list[list[Row]]:
    """Pages in their order, a few of them under way at a time; the first failure stops the rest."""
    turn = asyncio.Semaphore(asker.patience.at_once)

    async def page(question: dict[str, str]) -> list[Row]:
        async with turn:
            reply = await asker.get(base, path, question)
        if _count(reply) != count:
            raise _Moving(f"page 1 counts {count} rows, page {question['page']} {_count(reply)}")
        return _rows(reply)

    tasks = [asyncio.ensure_future(page(question)) for question in questions]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _check(rows: list[Row], count: int, key: str) -> None:
    if len(rows) != count:
        raise _Moving(f"{len(rows)} rows came, {count} were counted")
    if key and len({row.get(key) if isinstance(row.get(key), int | str) else id(row) for row in rows}) != count:
        raise _Moving("a row came twice")


def _rows(reply: Reply) -> list[Row]:
    if not isinstance(reply.body, list) or not all(isinstance(row, dict) for row in reply.body):
        raise Failed("answer", reply.url, "it sent something else than a list of objects")
    return reply.body


def _number(reply: Reply, header: str) -> int | None:
    value = reply.headers.get(header, "")
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 19 else None


def _count(reply: Reply) -> int:
    count = _number(reply, "count")
    if count is None or count > MOST_ROWS:
        why = "it does not say how many rows there are" if count is None else f"it counts {count} rows"
        raise Failed("answer", reply.url, why)
    return count


def _size(reply: Reply, asked: int) -> int:
    """Rows on a page; a gridproxy may give fewer than were asked for, and then says so."""
    size = _number(reply, "size")
    return size if size is not None and 0 < size < asked else asked
