"""A WebSocket server for tests (RFC 6455, text messages only), a thread for each connection, on loopback."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import struct
import threading
from collections.abc import Callable

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class Connection:
    """One client, after the handshake."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._lock = threading.Lock()

    def send(self, text: str, kind: int = _TEXT) -> None:
        data = text.encode()
        size = len(data)
        head = (
            bytes([size])
            if size < 126
            else b"\x7e" + struct.pack(">H", size)
            if size < 65536
            else b"\x7f" + struct.pack(">Q", size)
        )
        with self._lock:
            self._raw.sendall(bytes([0x80 | kind]) + head + data)

    def receive(self) -> str | None:
        """The next message, None when the client is gone."""
        parts = b""
        while True:
            head = self._exactly(2)
            if head is None:
                return None
            last, kind, size = head[0] & 0x80, head[0] & 0x0F, head[1] & 0x7F
            if size >= 126:
                longer = self._exactly(2 if size == 126 else 8)
                if longer is None:
                    return None
                size = int.from_bytes(longer, "big")
            mask, data = self._exactly(4), self._exactly(size)
            if mask is None or data is None or kind == _CLOSE:
                return None
            plain = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
            if kind == _PING:
                self.send(plain.decode(), _PONG)
            elif kind != _PONG:
                parts += plain
                if last:
                    return parts.decode()

    def _exactly(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            try:
                more = self._raw.recv(size - len(data))
            except OSError:
                return None
            if not more:
                return None
            data += more
        return data

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._raw.shutdown(socket.SHUT_RDWR)
        self._raw.close()


class Server:
    """Listens on a free port; `talk` is called with each new connection, in a thread of its own."""

    def __init__(self, talk: Callable[[Connection], None]) -> None:
        self._talk = talk
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closed = False
        # What the server says instead of a handshake, such as a page of a proxy.
        self.instead = b""
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *words: object) -> None:
        thread = threading.Thread(target=target, args=words, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(raw)
            self._start(self._serve, raw)

    def _serve(self, raw: socket.socket) -> None:
        try:
            if self._shake_hands(raw):
                self._talk(Connection(raw))
        except OSError:
            pass  # The client is gone, or the test is over.
        finally:
            raw.close()

    def _shake_hands(self, raw: socket.socket) -> bool:
        request = b""
        while b"\r\n\r\n" not in request:
            more = raw.recv(4096)
            if not more:
                return False
            request += more
        if self.instead:
            raw.sendall(self.instead)
            return False
        headers = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:] if b": " in line)
        key = next(value for name, value in headers.items() if name.lower() == b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        raw.sendall(answer + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        return True

    def close(self) -> None:
        """End everything, and wait for the threads."""
        self._closed = True
        for raw in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)
            raw.close()
        for thread in self._threads:
            thread.join(5)
