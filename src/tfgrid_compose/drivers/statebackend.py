"""Terraform's `http` backend on loopback: the state is stored encrypted, never as a plain file.

Implements GET, POST, DELETE, LOCK and UNLOCK of Terraform's HTTP backend protocol, behind a
password that lives as long as the process. Nothing of a request without it is kept in memory.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tfgrid_compose.errors import TfgridError

Load = Callable[[], bytes | None]
Save = Callable[[bytes | None], None]


# Terraform's own states stay far below; a lock is a few hundred bytes.
_LARGEST = {"POST": 256 * 1024**2, "LOCK": 64 * 1024, "UNLOCK": 64 * 1024, "GET": 64 * 1024, "DELETE": 64 * 1024}
# So much of a refused request is read and thrown away, so that its sender reads the answer.
_DISCARDED = 64 * 1024
_CONNECTIONS = 64
_PATIENCE_S = 10.0


class _Refusal(Exception):
    """A request that is answered without a look at its body."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # As many as there are threads: beyond it the kernel lets a client wait that we would refuse at once.
    request_queue_size = _CONNECTIONS

    def __init__(self, load: Load, save: Save, password: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.load, self.save = load, save
        self.authorization = "Basic " + base64.b64encode(f"tfgrid:{password}".encode()).decode()
        self.guard = threading.Lock()
        self.free = threading.BoundedSemaphore(_CONNECTIONS)
        self.holder: bytes | None = None
        self.failure: Exception | None = None

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, unless there are too many: each has a thread."""
        if not self.free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke concerns its client, and is no traceback here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE_S
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged: addresses carry lock ids."""

    def _answer(self, code: int, body: bytes = b"") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _serve(self) -> None:
        try:
            body = self._body()
        except _Refusal as refusal:
            return self._refuse(refusal.status)
        with self.server.guard:
            try:
                code, reply = self._act(body)
            except Exception as error:  # The store's failure is raised where the store is, not printed here.
                self.server.failure = error
                code, reply = 500, str(error).encode()
        self._answer(code, reply)

    def _body(self) -> bytes:
        """The body of a request that has the password; raises `_Refusal` before it reads one that has not."""
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), self.server.authorization.encode()):
            raise _Refusal(401)
        if self.headers.get("Host") != f"127.0.0.1:{self.server.server_port}":
            raise _Refusal(421)
        length = self._length()
        if length is None:
            raise _Refusal(400)
        if length > _LARGEST[self.command]:
            raise _Refusal(413)
        body = self.rfile.read(length)
        if len(body) < length:
            raise _Refusal(400)
        return body

    def _length(self) -> int | None:
        """How long the body is; None when that is not said in digits."""
        text = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding") or not (text.isascii() and text.isdigit() and len(text) < 20):
            return None
        return int(text)

    def _refuse(self, status: int) -> None:
        self.close_connection = True
        self._answer(status)
        # What was sent and is not read resets the connection, and the answer is lost.
        self.rfile.read(min(self._length() or 0, _DISCARDED))

    def _act(self, body: bytes) -> tuple[int, bytes]:
        server = self.server
        if self.command == "LOCK":
            if server.holder:
                return 423, server.holder
            if not _lock_id(body):
                return 400, b""
            server.holder = body
        elif self.command == "UNLOCK":
            server.holder = None
        elif self.command == "GET":
            found = server.load()
            return (200, found) if found else (404, b"")
        elif server.holder and _lock_id(server.holder) not in parse_qs(urlsplit(self.path).query).get("ID", []):
            return 423, server.holder
        else:
            server.save(None if self.command == "DELETE" else body)
        return 200, b""

    do_GET = do_POST = do_DELETE = do_LOCK = do_UNLOCK = _serve


def _lock_id(body: bytes) -> str:
    """The id of a lock; empty for what is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    id = found.get("ID") if isinstance(found, dict) else None
    return id if isinstance(id, str) else ""


@contextmanager
def serve(load: Load, save: Save) -> Iterator[dict[str, str]]:
    """Serve one state; yields the environment that points Terraform's http backend to it."""
    password = secrets.token_urlsafe(24)
    server = _Server(load, save, password)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/state"
    try:
        yield {
            "TF_HTTP_ADDRESS": address, "TF_HTTP_LOCK_ADDRESS": address, "TF_HTTP_UNLOCK_ADDRESS": address,
            "TF_HTTP_USERNAME": "tfgrid", "TF_HTTP_PASSWORD": password,
        }  # fmt: skip
    except TfgridError as error:
        if isinstance(server.failure, TfgridError):
            # Why the state could not be kept explains more than Terraform's own words about it.
            raise server.failure from error
        raise
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    if server.failure is not None:
        raise server.failure
