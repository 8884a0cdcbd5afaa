"""The REST API as an ASGI application: routes, status codes, headers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tfgrid_compose import __version__
from tfgrid_compose.errors import TfgridError
from tfgrid_compose.localgrid.rest import listing, sums, wire
from tfgrid_compose.localgrid.rest.listing import Listing
from tfgrid_compose.localgrid.rest.query import BadQueryError
from tfgrid_compose.localgrid.rest.rows import NodeRow
from tfgrid_compose.localgrid.rest.source import Source

# An id is a number of up to 32 bits on the chain; a longer one names nothing.
_LONGEST_ID = 10

Handler = Callable[[Source, Request], Response]


class _Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def create_app(source: Source) -> Starlette:
    """The application. Called in-process, an error of the source reaches the caller; served, it is an answer with 500."""

    def route(path: str, handler: Handler) -> Route:
        def endpoint(request: Request) -> Response:
            try:
                return handler(source, request)
            except BadQueryError as error:
                return _error(error.status, str(error))
            except _Refusal as refusal:
                return _error(refusal.status, refusal.text)

        found = Route(path, endpoint, methods=["GET"])
        assert found.methods is not None, "it was given one"
        found.methods.discard("HEAD")
        return found

    app = Starlette(
        routes=[route(path, handler) for path, handler in _ROUTES.items()],
        exception_handlers={HTTPException: _http_error, Exception: _failure},
    )
    app.router.redirect_slashes = False
    return app


def _answer(body: Any, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    return JSONResponse(body, status, headers)


def _error(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return _answer({"error": text}, headers, status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "it is registered for these"
    return _error(error.status_code, error.detail.lower(), dict(error.headers or {}))


async def _failure(request: Request, error: Exception) -> Response:
    return _error(500, error.what if isinstance(error, TfgridError) else "internal server error")


# Lists


def _list(kind: Listing, source: Source, request: Request) -> Response:
    found = listing.page(kind, source, request.query_params.multi_items())
    return _answer(found.body, found.headers)


def _bills(source: Source, request: Request) -> Response:
    return _list(listing.bills(_id(request)), source, request)


# Single things


def _id(request: Request) -> int:
    """The number in the path; -1 for one that is too long to name anything."""
    text = request.path_params["id"]
    if not (text.isascii() and text.isdigit()):
        raise _Refusal(404, "not found")
    return int(text) if len(text) <= _LONGEST_ID else -1


def _node(source: Source, request: Request) -> NodeRow:
    wanted = _id(request)
    found = next((row for row in source.nodes() if row.id == wanted), None)
    if found is None:
        raise _Refusal(404, "node not found")
    return found


def _live_node(source: Source, request: Request, what: str) -> NodeRow:
    """A node that answers; gridproxy can't ask another."""
    found = _node(source, request)
    if found.status != "up":
        raise _Refusal(500, f"cannot fetch {what} from node {found.id} with status: {found.status}")
    return found


def _show_node(source: Source, request: Request) -> Response:
    return _answer(wire.node_nested(_node(source, request)))


def _show_gateway(source: Source, request: Request) -> Response:
    found = _node(source, request)
    if not found.domain:
        raise _Refusal(404, "gateway not found")
    return _answer(wire.node_nested(found))


def _status(source: Source, request: Request) -> Response:
    return _answer({"status": _node(source, request).status})


def _statistics(source: Source, request: Request) -> Response:
    return _answer(sums.statistics(_live_node(source, request, "statistics"), source.contracts()))


def _gpus(source: Source, request: Request) -> Response:
    found = _live_node(source, request, "GPU information")
    return _answer([wire.gpu(item, found.twin) for item in found.gpus])


def _contract(source: Source, request: Request) -> Response:
    wanted = _id(request)
    found = next((row for row in source.contracts() if row.id == wanted), None)
    if found is None:
        # A contract that is missing is 500 there, and clients know it by this text.
        raise _Refusal(500, "contract not found")
    return _answer(wire.contract(found))


def _consumption(source: Source, request: Request) -> Response:
    hour, overall = source.consumption(_id(request))
    return _answer({"last_hour_consumption": hour, "overall_consumption": overall})


# The server itself


def _index(source: Source, request: Request) -> Response:
    paths = " ".join(f"[{path}]" for path in _ROUTES)
    return _answer(f"REST API of the local grid of tfgrid-compose, endpoints {paths}")


_ROUTES: dict[str, Handler] = {
    "/": _index,
    "/farms": partial(_list, listing.FARMS),
    "/stats": lambda source, request: _answer(sums.stats(source, request.query_params.multi_items())),
    "/twins": partial(_list, listing.TWINS),
    "/twins/{id}/consumption": _consumption,
    "/nodes": partial(_list, listing.NODES),
    "/nodes/{id}": _show_node,
    "/nodes/{id}/status": _status,
    "/nodes/{id}/statistics": _statistics,
    "/nodes/{id}/gpu": _gpus,
    "/gateways": partial(_list, listing.NODES),
    "/gateways/{id}": _show_gateway,
    "/gateways/{id}/status": _status,
    "/contracts": partial(_list, listing.CONTRACTS),
    "/contracts/{id}": _contract,
    "/contracts/{id}/bills": _bills,
    "/public_ips": partial(_list, listing.IPS),
    # The name that the swagger file has for it.
    "/ips": partial(_list, listing.IPS),
    "/ping": lambda source, request: _answer({"ping": "pong"}),
    "/version": lambda source, request: _answer({"version": f"tfgrid-compose {__version__}"}),
    "/health": lambda source, request: _answer(sums.health(source.now())),
}
