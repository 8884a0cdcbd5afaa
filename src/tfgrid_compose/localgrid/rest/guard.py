"""What stands before the REST API when it is served: who may ask it by which name."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class Guard:
    """Refuses requests that a page of another site can have made.

    A page can make a name of its own lead to this computer, and then read answers as its own: only addresses, `localhost` and
    the host that the server was told to listen on are names of it. A page that asks directly sends its origin.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app, self._host = app, host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        text = self._refused(headers.getlist("host"), headers.getlist("origin"))
        answer = JSONResponse({"error": text}, 403) if text else self._app
        await answer(scope, receive, send)

    def _refused(self, hosts: list[str], origins: list[str]) -> str:
        if len(hosts) != 1 or not self._ours(hosts[0]):
            return "this server has no such name"
        if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins):
            return "pages of other sites may not read this"
        return ""

    def _ours(self, host: str) -> bool:
        name = host_of(host)
        return bool(name) and (name in ("localhost", self._host) or _is_address(name))


def host_of(text: str) -> str:
    """The host of a `Host` header, without its port, in lower case; empty for what is none."""
    try:
        url = urlsplit(f"//{text}")
        _ = url.port  # It raises for a port that is none.
        return (url.hostname or "") if url.netloc == text and "@" not in text else ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
