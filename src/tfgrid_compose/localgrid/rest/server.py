"""The REST API on a port of this computer."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Callable

from tfgrid_compose.errors import EnvironmentError_
from tfgrid_compose.localgrid.engine import require_root
from tfgrid_compose.localgrid.instance import current
from tfgrid_compose.localgrid.rest.local import LocalSource

LOOPBACK = "127.0.0.1"
# Connections at a time; whoever comes later is answered with 503.
_CONNECTIONS = 100


def run(host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve the local grid until a signal ends it. Raises `EnvironmentError_` when the address can't be had."""
    import uvicorn

    from tfgrid_compose.localgrid.rest.app import create_app
    from tfgrid_compose.localgrid.rest.guard import Guard

    require_root()
    # An empty host would mean every address of this computer.
    host = host or LOOPBACK
    listening = listen(host, port)
    with listening:
        say(f"The REST API of the local grid is at {url(listening)}; Ctrl-C ends it.")
        if not is_loopback(host):
            say("Whoever reaches this address can read it: it asks for no password.")
        # What goes wrong is in the answer; a log of it would be a traceback.
        config = uvicorn.Config(
            Guard(create_app(LocalSource(current())), host),
            log_level="critical",
            limit_concurrency=_CONNECTIONS,
            h11_max_incomplete_event_size=16 * 1024,
            http="h11",
            ws="none",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=3,
        )
        # Ctrl-C is how a server ends; uvicorn hands it on when all answers are given.
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    say("The server has stopped.")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises `EnvironmentError_`."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family, kind)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(128)
        except BaseException:
            found.close()
            raise
    except (OSError, UnicodeError, OverflowError) as error:
        raise EnvironmentError_(
            f"can't listen on {host}, port {port}",
            why=(getattr(error, "strerror", "") or str(error)).lower(),
            fix="name an address of this computer with --host, and a port that nobody uses with --port (0 takes a free one)",
            code="port-taken",
        ) from error
    return found


def url(listening: socket.socket) -> str:
    """The URL of a socket that listens."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
