"""One question to a gridproxy: time-outs, retries, the next URL, and what went wrong in plain words."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from tfgrid_compose.errors import GridError
from tfgrid_compose.grids.fields import clean
from tfgrid_compose.grids.networks import Network
from tfgrid_compose.grids.reading import Failed, Reply, body_of, read

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

# Base URL of a gridproxy that runs in this process; it is never resolved.
IN_PROCESS = "http://in-process"
_HOPS = 3


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, how often to try one URL, and how many pages are fetched at once.

    `read` is the longest silence within an answer, `answer` the longest time for one answer, `whole` that for a list;
    no attempt begins later than `deadline` after the first, and no other URL is asked after `search`. Tests replace `sleep`,
    `clock` and `jitter`.
    """

    connect: float = 5.0
    read: float = 15.0
    answer: float = 45.0
    whole: float = 240.0
    deadline: float = 20.0
    search: float = 45.0
    attempts: int = 3
    first_pause: float = 0.5
    longest_pause: float = 8.0
    at_once: int = 4
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random


class Unanswered(Exception):
    """No URL of a network answered; `failures` has at least one."""

    def __init__(self, failures: list[Failed]) -> None:
        super().__init__("; ".join(str(item) for item in failures))
        self.failures = failures

    @property
    def kind(self) -> str:
        """What went wrong at the URL that was asked last."""
        return self.failures[-1].kind

    @property
    def unknown(self) -> bool:
        """Whether the answer is not known, so that an older one may stand in for it."""
        return self.failures[-1].elsewhere


class Asker:
    """Asks the gridproxy of one network; a context manager."""

    def __init__(self, network: Network, transport: httpx.AsyncBaseTransport | None, patience: Patience) -> None:
        self.network, self.patience = network, patience
        self._transport = transport
        self._http: httpx.AsyncClient | None = None
        self._last = ""

    async def __aenter__(self) -> Asker:
        bases = self.bases()
        self._http = self._opened(here=all(on_loopback(base) for base in bases))
        return self

    async def __aexit__(self, *_: object) -> None:
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    def _opened(self, here: bool) -> httpx.AsyncClient:
        """The HTTP client; for URLs of this computer without proxies and authorities."""
        import httpx

        from tfgrid_compose import __version__

        waits = httpx.Timeout(self.patience.read, connect=self.patience.connect)
        headers = {"accept": "application/json", "user-agent": f"tfgrid-compose/{__version__}"}
        try:
            return httpx.AsyncClient(
                transport=self._transport, timeout=waits, headers=headers, follow_redirects=False,
                trust_env=not here, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if here else _authorities(),
            )  # fmt: skip
        except (ImportError, ValueError, httpx.InvalidURL, OSError) as error:
            raise GridError(
                "the proxy or certificates that the environment names can't be used",
                why=" ".join(str(error).split()),
                fix="env | grep -iE 'proxy|ssl_cert'",
                code="gridproxy-environment",
            ) from error

    def bases(self) -> list[str]:
        """Base URLs, the one that answered last at the front. Raises `GridError` for one that must not be asked."""
        if not self.network.gridproxy and self._transport is not None:
            return [IN_PROCESS]
        found = [base.rstrip("/") for base in self.network.gridproxy]
        for base in found:
            self._check(base)
        if not found:
            raise self._bad_url("none", "no URL is known")
        return sorted(found, key=lambda base: base != self._last)

    def _check(self, base: str) -> None:
        try:
            parts = urlsplit(base)
            usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            raise self._bad_url("it", "it is no URL") from None
        shown = f"{parts.scheme}://{parts.hostname}"
        if not usable or parts.username or parts.query or parts.fragment:
            raise self._bad_url(shown, "it must be a host and at most a port and a path")
        if parts.scheme != "https" and not (parts.scheme == "http" and on_loopback(base)):
            raise self._bad_url(shown, "only https is asked, and http on this computer")

    def _bad_url(self, base: str, why: str) -> GridError:
        return GridError(
            f"the gridproxy of network {self.network.name} can't be asked: {base}",
            why=why,
            fix=f"tfgrid-compose config show names the file; put https://… under networks, {self.network.name}, gridproxy",
            code="gridproxy-url",
        )

    async def anywhere(self, question: Callable[[str], Awaitable[T]]) -> T:
        """Put a question to one base URL after the other until one answers. Raises `Unanswered`."""
        failures: list[Failed] = []
        begun = self.patience.clock()
        for base in self.bases():
            # Whoever reaches none of them must not wait for each.
            if failures and self.patience.clock() - begun > self.patience.search:
                break
            try:
                answer = await question(base)
            except Failed as failed:
                failures.append(failed)
                if not failed.elsewhere:
                    break
            else:
                self._last = base
                return answer
        raise Unanswered(failures)

    async def get(self, base: str, path: str, params: Mapping[str, str] | None = None) -> Reply:
        """Ask one URL, again after a pause where that may help. Raises `Failed`."""
        patience, begun, attempt = self.patience, self.patience.clock(), 1
        while True:
            try:
                return await self._once(base + path, params or {})
            except Failed as failed:
                pause = max(failed.after, self._pause(attempt))
                late = patience.clock() - begun + pause > patience.deadline
                if not failed.again or attempt >= patience.attempts or late:
                    raise
            await patience.sleep(pause)
            attempt += 1

    def _pause(self, attempt: int) -> float:
        """Twice as long each time, and between half and all of that, so that many clients don't come back together."""
        longest: float = min(self.patience.longest_pause, self.patience.first_pause * 2 ** (attempt - 1))
        return longest * (0.5 + self.patience.jitter() / 2)

    async def _once(self, url: str, params: Mapping[str, str]) -> Reply:
        async with _plain_words(url, self.patience):
            target, query = url, dict(params)
            for _ in range(_HOPS + 1):
                assert self._http is not None, "the client is used as a context manager"
                async with self._http.stream("GET", target, params=query or None) as response:
                    if not response.has_redirect_location:
                        return Reply(url, read(url, response, await body_of(url, response)), response.headers)
                    target, query = _hop(url, str(response.url), str(response.url.join(response.headers["location"]))), {}
        raise Failed("answer", url, f"it redirects more than {_HOPS} times")


@cache
def _authorities() -> ssl.SSLContext:
    """Whose certificates are trusted; reading them takes longer than asking, so it's done once."""
    import httpx

    return httpx.create_ssl_context()


def on_loopback(url: str) -> bool:
    """Whether a URL is one of this computer or this process."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or url.startswith(IN_PROCESS)


def _hop(url: str, here: str, there: str) -> str:
    """Where a redirect leads: the same host, port and scheme only."""
    old, new = urlsplit(here), urlsplit(there)
    if (old.scheme, old.netloc) != (new.scheme, new.netloc):
        raise Failed("answer", url, f"it redirects elsewhere, to {clean(new.scheme)}://{clean(new.netloc.rpartition('@')[2])}")
    return there


@asynccontextmanager
async def _plain_words(url: str, patience: Patience) -> AsyncIterator[None]:
    """Make a `Failed` of whatever the transport raises."""
    import httpx

    try:
        async with asyncio.timeout(patience.answer):
            yield
    except (httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise Failed("unreachable", url, f"no connection within {patience.connect:g} s", again=True) from error
    except (httpx.TimeoutException, TimeoutError) as error:
        raise Failed("slow", url, "it took too long to answer", again=True) from error
    except httpx.ConnectError as error:
        raise Failed("unreachable", url, _reason(error), again=True) from error
    except (httpx.RemoteProtocolError, httpx.DecodingError) as error:
        raise Failed("answer", url, f"its answer broke off: {clean(str(error))}", again=True) from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise Failed("unreachable", url, _reason(error), again=True) from error


def _reason(error: BaseException) -> str:
    """The innermost reason that the system gave, such as `Connection refused`."""
    found = ""
    link: BaseException | None = error
    while link is not None:
        found = _words(link) or found
        link = link.__cause__ or link.__context__
    return clean(found or " ".join(str(error).split()) or type(error).__name__)


def _words(error: BaseException) -> str:
    verify = getattr(error, "verify_message", "")
    if verify:
        return f"its certificate is not trusted: {verify}"
    if not isinstance(error, OSError):
        return ""
    # asyncio writes the address in the place of the system's words; name look-up has numbers of its own.
    plain = os.strerror(error.errno) if type(error).__module__ == "builtins" and error.errno else error.strerror
    return (plain or "").lower()
