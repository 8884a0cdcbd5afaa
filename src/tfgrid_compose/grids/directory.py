"""Questions to a gridproxy, and where their answers come from: the disk, the grid, or the disk for want of the grid."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from tfgrid_compose.errors import TfgridError
from tfgrid_compose.grids import pages
from tfgrid_compose.grids.answers import FRESH_S, Answers, Kept
from tfgrid_compose.grids.asking import Asker, Unanswered
from tfgrid_compose.grids.fields import WireError
from tfgrid_compose.grids.filters import encode
from tfgrid_compose.grids.models import Answer
from tfgrid_compose.grids.networks import Network
from tfgrid_compose.grids.pages import Shape
from tfgrid_compose.grids.reading import Failed
from tfgrid_compose.grids.trouble import gone, trouble, unkept

T = TypeVar("T")


@dataclass(frozen=True)
class Got:
    """What a base URL gave: JSON, the count of a list, and the time there (0 when it did not say)."""

    body: Any
    count: int | None = None
    now: float = 0.0


@dataclass(frozen=True)
class Question(Generic[T]):
    """What is asked: `fetch` gets it from a base URL, `read` makes sense of it (the time there comes with it).

    `kind` says how long the answer is fresh, `slim` leaves out what need not be kept of it. `thing` and `id` name what may
    not exist. `instead` looks for the answer among others that are kept.
    """

    path: str
    fetch: Callable[[str], Awaitable[Got]]
    read: Callable[[Any, float], T]
    params: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    thing: str = ""
    id: int = 0
    slim: Callable[[Any], Any] = lambda body: body
    instead: Callable[[], Answer[T] | None] = lambda: None


class Missing(Exception):
    """A list has no row of the thing that was asked for."""


class Directory:
    """The gridproxy of one network with the answers that are kept of it."""

    def __init__(self, network: Network, asker: Asker, answers: Answers, clock: Callable[[], float] = time.time) -> None:
        self.network, self.asker, self.answers = network, asker, answers
        self._clock = clock

    # Making questions

    def listing(self, shape: Shape, parse: Callable[[Any, float], T], filters: Mapping[str, Any]) -> Question[list[T]]:
        """A question for all of a list, or one page of it when the filters have `page` or `size`."""
        params = encode(shape.path, filters)
        take = pages.one if {"page", "size"} & set(params) else pages.whole

        async def fetch(base: str) -> Got:
            rows = await take(self.asker, base, shape, params)
            return Got(rows.rows, rows.count, rows.now)

        def read(rows: Any, now: float) -> list[T]:
            return [parse(row, now) for row in rows]

        return Question(shape.path, fetch, read, params, kind=shape.path)

    def single(
        self, path: str, read: Callable[[Any, float], T], params: Mapping[str, str] | None = None, kind: str = ""
    ) -> Question[T]:
        """A question with one answer."""

        async def fetch(base: str) -> Got:
            reply = await self.asker.get(base, path, params)
            return Got(reply.body, None, reply.now)

        return Question(path, fetch, read, params or {}, kind=kind)

    # Asking them

    async def now(self, question: Question[T]) -> Answer[T]:
        """The grid's own answer. Raises `GridError` and `NotFoundError`."""
        try:
            return await self._ask(question)
        except Unanswered as unanswered:
            raise self._error(question, unanswered, kept=False) from unanswered

    async def kept(self, question: Question[T], refresh: bool, offline: bool) -> Answer[T]:
        """A kept answer that is fresh, else the grid's own, else a kept one that is stale.

        With `refresh` the grid is asked first; with `offline` it is not asked. Raises `GridError` and `NotFoundError`.
        """
        old = None if refresh and not offline else self._old(question)
        if old is not None and not old.stale:
            return old
        if offline:
            if old is None:
                raise unkept(self.network, question.path)
            return old
        try:
            return await self._ask(question)
        except Unanswered as unanswered:
            old = old or self._old(question)
            if old is None or not unanswered.unknown:
                raise self._error(question, unanswered, kept=unanswered.unknown) from unanswered
            return replace(old, stale=True)

    async def _ask(self, question: Question[T]) -> Answer[T]:
        async def from_base(base: str) -> tuple[Got, T]:
            got = await question.fetch(base)
            try:
                return got, question.read(got.body, got.now or self._clock())
            except WireError as error:
                raise Failed("answer", base + question.path, str(error)) from error
            except Missing as error:
                raise Failed("missing", base + question.path, str(error), elsewhere=False) from error

        got, value = await self.asker.anywhere(from_base)
        at = self._clock()
        # An empty list is not kept: what is looked for in vain is often made a moment later.
        if question.kind in FRESH_S and got.body:
            self.answers.keep(question.path, question.params, Kept(at, question.slim(got.body), got.count, got.now or at))
        return Answer(value, at, count=got.count)

    def _old(self, question: Question[T]) -> Answer[T] | None:
        """What is kept, fresh or stale; None when it can't be understood any more."""
        found = self.answers.find(question.path, question.params)
        if found is None:
            return question.instead()
        try:
            value = question.read(found.body, found.now)
        except (WireError, Missing, TypeError):
            return question.instead()
        return Answer(value, found.at, stale=not self.answers.is_fresh(question.kind, found), count=found.count)

    def among(self, listing: Question[list[T]], wanted: Callable[[T], bool]) -> Callable[[], Answer[T] | None]:
        """A look into a kept list for the one that is wanted."""

        def look() -> Answer[T] | None:
            found = self._old(listing)
            item = next((item for item in found.value if wanted(item)), None) if found is not None else None
            return replace(found, value=item, count=None) if found is not None and item is not None else None  # type: ignore[arg-type, return-value]

        return look

    def _error(self, question: Question[Any], unanswered: Unanswered, kept: bool) -> TfgridError:
        if unanswered.failures[-1].kind == "missing" and question.thing:
            return gone(self.network, question.thing, question.id)
        return trouble(self.network, unanswered, kept)
