"""The state backend as Terraform's HTTP protocol wants it."""

from __future__ import annotations

import base64
import http.client
import json
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
