"""Terraform's `http` backend on loopback: the state is stored encrypted, never as a plain file.

Implements GET, POST, DELETE, LOCK and UNLOCK of Terraform's HTTP backend protocol, behind a
password that lives as long as the process.
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

from tfgrid_compose.errors import TfgridError

Load = Callable[[], bytes | None]
Save = Callable[[bytes | None], None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, load: Load, save: Save, password: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.load, self.save = load, save
        self.authorization = "Basic " + base64.b64encode(f"tfgrid:{password}".encode()).decode()
        self.guard = threading.Lock()
        self.holder: bytes | None = None
        self.failure: Exception | None = None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged: addresses carry lock ids."""

    def _answer(self, code: int, body: bytes = b"") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), self.server.authorization.encode()):
            return self._answer(401)
        with self.server.guard:
            try:
                code, reply = self._act(body)
            except Exception as error:  # The store's failure is raised where the store is, not printed here.
                self.server.failure = error
                code, reply = 500, str(error).encode()
        self._answer(code, reply)

    def _act(self, body: bytes) -> tuple[int, bytes]:
        server = self.server
        if self.command == "LOCK":
            if server.holder:
                return 423, server.holder
            server.holder = body
        elif self.command == "UNLOCK":
            server.holder = None
        elif self.command == "GET":
            found = server.load()
            return (200, found) if found else (404, b"")
        elif server.holder and f"ID={json.loads(server.holder)['ID']}" not in self.path:
            return 423, server.holder
        else:
            server.save(None if self.command == "DELETE" else body)
        return 200, b""

    do_GET = do_POST = do_DELETE = do_LOCK = do_UNLOCK = _serve


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
