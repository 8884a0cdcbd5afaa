"""The state backend as Terraform's HTTP protocol wants it."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from tfgrid_compose.drivers import statebackend

Answer = tuple[int, bytes]


class Client:
    """Speaks to one backend; `kept` is what it has stored."""

    def __init__(self, env: dict[str, str], kept: list[bytes | None]) -> None:
        self.env, self.kept = env, kept

    def __call__(self, method: str, body: bytes = b"", id: str = "", authorization: str | None = None) -> Answer:
        """One request with the right password, or another header."""
        secret = f"{self.env['TF_HTTP_USERNAME']}:{self.env['TF_HTTP_PASSWORD']}"
        header = authorization if authorization is not None else "Basic " + base64.b64encode(secret.encode()).decode()
        url = urlsplit(self.env["TF_HTTP_ADDRESS"])
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
        try:
            connection.request(method, url.path + (f"?ID={id}" if id else ""), body, {"Authorization": header})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()


@pytest.fixture
def client() -> Iterator[Client]:
    """A backend with an empty state."""
    kept: list[bytes | None] = [None]
    with statebackend.serve(lambda: kept[0], lambda state: kept.__setitem__(0, state)) as env:
        yield Client(env, kept)


LOCK = json.dumps({"ID": "abc", "Who": "me"}).encode()


def test_a_state_is_stored_read_and_removed(client: Client) -> None:
    assert client("GET") == (404, b"")
    assert client("POST", b"state") == (200, b"")
    assert (client("GET"), client.kept) == ((200, b"state"), [b"state"])
    assert client("DELETE")[0] == 200
    assert client.kept == [None]


@pytest.mark.parametrize("header", ["", "Basic", "Basic dGZncmlkOg==", "Bearer x"])
def test_nobody_without_the_password_sees_or_changes_anything(client: Client, header: str) -> None:
    client("POST", b"state")
    for method in ("GET", "POST", "DELETE", "LOCK", "UNLOCK"):
        assert client(method, b"x", authorization=header) == (401, b"")
    assert client.kept == [b"state"]
    assert client("LOCK", LOCK)[0] == 200, "the lock was not taken either"


@pytest.mark.filterwarnings("ignore")
def test_a_password_of_odd_letters_is_simply_wrong(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    assert client("GET", authorization="Basic é")[0] == 401
    assert capfd.readouterr().err == ""


def test_a_held_lock_is_named_to_whoever_comes_second(client: Client) -> None:
    assert client("LOCK", LOCK) == (200, b"")
    assert client("LOCK", b'{"ID": "other"}') == (423, LOCK)
    assert client("UNLOCK", LOCK)[0] == 200
    assert client("LOCK", b'{"ID": "other"}')[0] == 200


def test_only_the_holder_of_the_lock_writes(client: Client) -> None:
    client("LOCK", LOCK)
    assert client("POST", b"theirs") == (423, LOCK)
    assert client("POST", b"theirs", id="xyz") == (423, LOCK)
    assert client("DELETE") == (423, LOCK)
    assert client("POST", b"mine", id="abc") == (200, b"")
    assert client("GET") == (200, b"mine"), "reading needs no lock"


def test_the_password_is_new_every_time_and_the_port_closes(client: Client) -> None:
    with statebackend.serve(lambda: None, lambda state: None) as other:
        assert other["TF_HTTP_PASSWORD"] != client.env["TF_HTTP_PASSWORD"]
        assert urlsplit(other["TF_HTTP_ADDRESS"]).hostname == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        Client(other, [])("GET")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_store_that_fails_is_an_answer_not_a_traceback(capfd: pytest.CaptureFixture[str], method: str) -> None:
    def fail(*_: object) -> bytes | None:
        raise OSError("the disk is full")

    broken: Callable[..., bytes | None] = fail
    with pytest.raises(OSError, match="the disk is full"):
        with statebackend.serve(broken, broken) as env:  # type: ignore[arg-type]
            code, body = Client(env, [])(method, b"state")
    assert code == 500
    assert "Traceback" not in capfd.readouterr().err


# What nobody asked for: bodies without a password, lengths that are none, clients that break off


def _raw(
    client: Client, method: str, headers: dict[str, str], body: bytes = b"", password: bool = True, whole: bool = True
) -> int:
    """The status of one request that is written by hand; 0 when the connection ends without an answer."""
    url = urlsplit(client.env["TF_HTTP_ADDRESS"])
    sent = {"Host": f"{url.hostname}:{url.port}"}
    if password:
        sent["Authorization"] = "Basic " + base64.b64encode(f"tfgrid:{client.env['TF_HTTP_PASSWORD']}".encode()).decode()
    lines = [f"{method} /state HTTP/1.1", *(f"{name}: {value}" for name, value in {**sent, **headers}.items()), "", ""]
    with socket.create_connection((url.hostname, url.port), timeout=5) as connection:
        connection.sendall("\r\n".join(lines).encode() + body)
        if not whole:
            connection.shutdown(socket.SHUT_WR)
        return int(connection.recv(1024).split()[1] or 0)


def test_no_body_is_read_before_the_password(client: Client) -> None:
    """600 MB are announced and not sent: whoever waited for them would not answer."""
    for method in ("POST", "LOCK", "UNLOCK", "DELETE", "GET"):
        assert _raw(client, method, {"Content-Length": str(600 * 1024**2)}, password=False) == 401


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "0x10", "٣", "9" * 30, "1, 1", ""])
def test_a_length_that_is_none_is_a_bad_request(client: Client, capfd: pytest.CaptureFixture[str], length: str) -> None:
    assert _raw(client, "POST", {"Content-Length": length}, b"state") == 400
    assert _raw(client, "POST", {"Content-Length": length}, b"state", password=False) == 401
    assert client.kept == [None] and client("GET")[0] == 404
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("method", "mb"), [("POST", 300), ("LOCK", 1), ("GET", 1)])
def test_what_is_too_long_is_refused_unread(client: Client, method: str, mb: int) -> None:
    assert _raw(client, method, {"Content-Length": str(mb * 1024**2)}) == 413


def test_a_body_without_a_length_is_refused(client: Client) -> None:
    assert _raw(client, "POST", {"Transfer-Encoding": "chunked"}, b"5\r\nstate\r\n0\r\n\r\n") == 400
    assert client.kept == [None]


def test_a_body_that_breaks_off_is_no_state(client: Client) -> None:
    client("POST", b"whole")
    assert _raw(client, "POST", {"Content-Length": "100"}, b"half", whole=False) == 400
    assert client.kept == [b"whole"]


def test_another_host_is_refused(client: Client) -> None:
    """A page in a browser can make a name of its own lead to 127.0.0.1."""
    for host in ("evil.example", "127.0.0.1", "localhost:1"):
        assert _raw(client, "GET", {"Host": host}) == 421


def test_a_client_that_goes_away_leaves_no_traceback(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    url = urlsplit(client.env["TF_HTTP_ADDRESS"])
    for data in (b"", b"\x16\x03\x01", b"GET /", b"POST /state HTTP/1.1\r\nContent-Length: 9\r\n\r\n"):
        with socket.create_connection((url.hostname, url.port), timeout=5) as connection:
            connection.sendall(data)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert client("GET") == (404, b"")
    assert capfd.readouterr().err == ""


def test_only_so_many_connections_have_a_thread(client: Client) -> None:
    url = urlsplit(client.env["TF_HTTP_ADDRESS"])
    address = (url.hostname or "", url.port or 0)
    idle = [socket.create_connection(address, timeout=5) for _ in range(statebackend._CONNECTIONS)]
    try:
        with socket.create_connection(address, timeout=5) as late:
            assert late.recv(1) == b"", "it is closed at once"
    finally:
        for connection in idle:
            connection.close()
    with socket.create_connection(address, timeout=5):
        pass


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"{}", b'{"ID": 7}', b"[" * 5000])
def test_a_lock_without_an_id_is_none(client: Client, body: bytes) -> None:
    assert client("LOCK", body)[0] == 400
    assert client("POST", b"state")[0] == 200, "nobody holds it"
