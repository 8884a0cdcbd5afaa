"""`localgrid serve`: it listens where it is told to, answers, and ends with Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.workbench import Call
from tfgrid_compose.cli import localgrid as commands
from tfgrid_compose.errors import EnvironmentError_
from tfgrid_compose.localgrid.rest import server

# `main` with a root user that the grid takes at its word.
PROGRAM = "import os; os.geteuid = lambda: 0; from tfgrid_compose.cli.main import main; main()"


@pytest.fixture
def serving(home: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server on a free port of loopback, and its URL."""
    env = {**os.environ, "TFGRID_LOCALGRID": "1", "TFGRID_LOCALGRID_ROOT": str(tmp_path / "grid")}
    words = [sys.executable, "-c", PROGRAM, "localgrid", "serve", "--port", "0"]
    process = subprocess.Popen(words, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("The REST API of the local grid is at http://127.0.0.1:"), line
        yield process, line.split(" at ")[1].split(";")[0]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_told_to_end(serving: tuple[subprocess.Popen[str], str], number: int) -> None:
    process, url = serving
    with urllib.request.urlopen(f"{url}nodes?country=egypt&ret_count=true", timeout=20) as answer:
        assert answer.headers["count"] == "2" and "access-control-allow-origin" not in answer.headers
        assert b'"city":"Cairo"' in answer.read()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{url}nodes/77", timeout=20)
    with caught.value as refusal:
        assert (refusal.code, refusal.read()) == (404, b'{"error":"node not found"}')
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "The server has stopped.\n")


def test_other_names_other_origins_and_nonsense_are_refused(serving: tuple[subprocess.Popen[str], str]) -> None:
    process, url = serving
    host = url.split("/")[2]
    refused = [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example:80"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ]
    for headers in refused:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(f"{url}ping", headers=headers), timeout=20)
        with caught.value as refusal:
            assert refusal.code == 403 and b"pong" not in refusal.read()
    for headers in ({"Host": "localhost:1"}, {"Host": "[::1]"}, {"Origin": f"http://{host}"}):
        with urllib.request.urlopen(urllib.request.Request(f"{url}ping", headers=headers), timeout=20) as answer:
            assert answer.read() == b'{"ping":"pong"}'
    name, port = host.split(":")
    for raw in (
        b"\x16\x03\x01\0\r\n\r\n",
        b"GET /" + b"x" * 100_000,
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /pi",
    ):
        with socket.create_connection((name, int(port)), timeout=20) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                assert not connection.recv(100).startswith(b"HTTP/1.1 200")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (out, err) == ("", "The server has stopped.\n"), "and no traceback"


def test_a_port_that_is_taken_is_an_error_with_a_way_out() -> None:
    with server.listen("127.0.0.1", 0) as first:
        with pytest.raises(EnvironmentError_) as caught:
            server.listen("127.0.0.1", first.getsockname()[1])
    assert (caught.value.code, caught.value.why) == ("port-taken", "address already in use")
    assert "--port" in caught.value.fix


@pytest.mark.parametrize("host", ["192.0.2.1", "\0", "x" * 300])
def test_an_address_that_is_not_ours_is_an_error(host: str) -> None:
    with pytest.raises(EnvironmentError_) as caught:
        server.listen(host, 0)
    assert caught.value.code == "port-taken" and caught.value.why


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://0.0.0.0:"), ("::1", "http://[::1]:")]
)
def test_the_url_is_one_that_a_browser_takes(host: str, shown: str) -> None:
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with server.listen(host, 0) as listening:
        assert server.url(listening).startswith(shown)


@pytest.mark.parametrize(
    ("host", "own"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
                      ("192.0.2.1", False), ("example.org", False)],
)  # fmt: skip
def test_only_loopback_is_for_this_computer_alone(host: str, own: bool) -> None:
    assert server.is_loopback(host) is own


def test_other_addresses_are_warned_about(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn

    ran: list[object] = []
    monkeypatch.setenv("TFGRID_LOCALGRID_ROOT", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: ran.extend(sockets))
    said: list[str] = []
    server.run("0.0.0.0", 0, said.append)
    assert len(ran) == 1
    assert said[1] == "Whoever reaches this address can read it: it asks for no password."
    for host in ("127.0.0.1", ""):
        said.clear()
        server.run(host, 0, said.append)
        assert "http://127.0.0.1:" in said[0] and len(said) == 2 and "password" not in "".join(said)


def test_loopback_is_what_it_takes_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(commands, "ensure_root", lambda why: None)
    monkeypatch.setattr(server, "run", lambda host, port, say: asked.append((host, port)))
    for words in ([], ["--port", "9000", "--host", "::1"]):
        assert CliRunner().invoke(commands.localgrid, ["serve", *words]).exit_code == 0
    assert asked == [("127.0.0.1", 8700), ("::1", 9000)]


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_that_is_none_is_a_usage_error(call: Call, port: str) -> None:
    code, _, err = call("localgrid", "serve", "--port", port)
    assert code == 2 and "--port" in err
