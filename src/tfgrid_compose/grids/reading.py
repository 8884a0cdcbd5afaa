"""What a gridproxy's response says: data, or what is wrong with it in plain words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from tfgrid_compose.grids.fields import clean

if TYPE_CHECKING:
    import httpx

MOST_BYTES = 64 * 1024**2
# Errors of status 500 that are an answer: asking again gives the same.
_FINAL = ("cannot fetch", "cannot get", "failed to decode")


@dataclass(frozen=True)
class Reply:
    """What a gridproxy answered: the JSON, and the headers in lower case."""

    url: str
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def now(self) -> float:
        """The time there, in unix seconds; 0 when it did not say. A clock of this computer may be hours off."""
        try:
            return parsedate_to_datetime(self.headers.get("date", "")).timestamp()
        except (ValueError, TypeError, OverflowError, OSError):
            return 0.0


class Failed(Exception):
    """One URL did not answer as documented.

    `kind` is `unreachable`, `slow`, `answer`, `refused`, `failing` or `missing`; `again` says that the same URL may
    answer later, `elsewhere` that another one may, `after` how many seconds it asked us to wait.
    """

    def __init__(self, kind: str, url: str, why: str, *, again: bool = False, elsewhere: bool = True, after: float = 0.0) -> None:
        super().__init__(f"{url}: {why}")
        self.kind, self.url, self.why = kind, url, why
        self.again, self.elsewhere, self.after = again, elsewhere, after


async def body_of(url: str, response: httpx.Response) -> bytes:
    """A response's body, unpacked. Raises `Failed` when it is too large."""
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > MOST_BYTES:
            raise Failed("answer", url, f"it sent more than {MOST_BYTES // 1024**2} MiB")
        parts.append(part)
    return b"".join(parts)


def read(url: str, response: httpx.Response, body: bytes) -> Any:
    """The JSON of a response that is an answer. Raises `Failed` for every other."""
    status = response.status_code
    if status == 200:
        return _json(url, response.headers.get("content-type", ""), body)
    said = _said(body)
    if status in (404, 500) and "not found" in said:
        raise Failed("missing", url, said, elsewhere=False)
    why = f"status {status}" + (f": {said}" if said else "")
    if status == 429:
        raise Failed("refused", url, "too many questions in a short time", again=True, after=_after(response.headers))
    if status >= 500:
        final = said.startswith(_FINAL)
        raise Failed("failing", url, why, again=not final, elsewhere=not final, after=_after(response.headers))
    if status >= 400:
        raise Failed("refused", url, why, elsewhere=not said)
    raise Failed("answer", url, why)


def _json(url: str, kind: str, body: bytes) -> Any:
    start = body[:100].lstrip()
    if start.startswith(b"<") or "html" in kind:
        raise Failed("answer", url, "it sent a web page instead of data")
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        what = "it sent nothing" if not start else f"its answer of {len(body)} bytes is no JSON, or half of it"
        raise Failed("answer", url, what, again=True) from error


def _no_number(word: str) -> float:
    """NaN and Infinity, which Python would take."""
    raise ValueError(word)


def _said(body: bytes) -> str:
    """The text of gridproxy's own error object; empty when somebody else answered."""
    try:
        data = json.loads(body[:10_000].decode("utf-8"))
    except (ValueError, RecursionError):
        return ""
    said = data.get("error") if isinstance(data, dict) else None
    return clean(said) if isinstance(said, str) else ""


def _after(headers: Mapping[str, str]) -> float:
    value = headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdecimal() and len(value) < 6 else 0.0
