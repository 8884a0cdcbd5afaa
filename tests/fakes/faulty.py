"""A gridproxy on loopback that misbehaves as it is told: slow, half, wrong, elsewhere, or not there.

It serves lists with paging and single answers to the documented contract. `faults` are taken one by one, each for the next
request; then it behaves.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import math
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Reply:
    """What is sent: `cut` bytes of the body at most, after `wait` seconds; `piece` bytes at a time with `wait` between."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    wait: float = 0.0
    piece: int = 0
    silent: bool = False

    @property
    def rows(self) -> list[Any]:
        return list(json.loads(self.body))

    def sending(self, data: Any) -> Reply:
        return replace(self, body=json.dumps(data).encode())


Fault = Callable[[Reply], Reply]


def fine(reply: Reply) -> Reply:
    """No fault: for the requests between others."""
    return reply


def status(code: int, said: str | None = None, **headers: str) -> Fault:
    """Another status, with gridproxy's error object or without."""
    body = b"" if said is None else json.dumps({"error": said}).encode()
    return lambda reply: Reply(code, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def page(body: str = "<!DOCTYPE html><html>maintenance</html>", code: int = 200, kind: str = "text/html") -> Fault:
    """A web page in the place of data."""
    return lambda reply: Reply(code, {"content-type": kind}, body.encode())


def raw(body: bytes, kind: str = "application/json", **headers: str) -> Fault:
    """Any other body, with the headers that a list has."""
    return lambda reply: replace(reply, headers={**reply.headers, "content-type": kind, **headers}, body=body)


def half(reply: Reply) -> Reply:
    """Half of the JSON, as a whole response."""
    return replace(reply, body=reply.body[: len(reply.body) // 2])


def cut_off(reply: Reply) -> Reply:
    """The connection ends within the body."""
    return replace(reply, cut=len(reply.body) // 2)


def dropped(reply: Reply) -> Reply:
    """The connection ends without a response."""
    return replace(reply, silent=True)


def slow(seconds: float) -> Fault:
    """A pause before the response."""
    return lambda reply: replace(reply, wait=seconds)


def dripping(seconds: float) -> Fault:
    """Byte after byte, each after a pause."""
    return lambda reply: replace(reply, wait=seconds, piece=1)


def redirect(to: str, code: int = 302) -> Fault:
    """The way to somewhere else."""
    return lambda reply: Reply(code, {"location": to})


def counting(count: str | None) -> Fault:
    """Another `count` header, or none."""
    return lambda reply: replace(
        reply, headers={name: value for name, value in {**reply.headers, "count": count}.items() if value is not None}
    )


def altered(change: Callable[[list[Any]], Any]) -> Fault:
    """Other rows than there are."""
    return lambda reply: reply.sending(change(reply.rows))


@dataclass
class Gridproxy:
    """What is served, what goes wrong, and what was asked: (path, parameters) of each request."""

    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    singles: dict[str, Any] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    # For each request, whatever its number; before `faults`.
    always: Fault = fine
    largest_page: int = 10_000
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    most_at_once: int = 0
    url: str = ""
    _now: int = 0

    def answer(self, target: str) -> Reply:
        """The reply to a request, faults included."""
        parts = urlsplit(target)
        params = dict(parse_qsl(parts.query))
        self.asked.append((parts.path, params))
        reply = self.always(self._good(parts.path, params))
        return self.faults.pop(0)(reply) if self.faults else reply

    def _good(self, path: str, params: dict[str, str]) -> Reply:
        headers = {"content-type": "application/json"}
        if path in self.singles:
            return Reply(200, headers).sending(self.singles[path])
        if path not in self.lists:
            return status(404, "node not found" if path.startswith("/nodes/") else None)(Reply())
        rows = [row for row in self.lists[path] if self._matches(row, params)]
        size, number = min(int(params.get("size", 50)), self.largest_page), int(params.get("page", 1))
        if params.get("ret_count") == "true":
            headers |= {"count": str(len(rows)), "size": str(size), "pages": str(math.ceil(len(rows) / size))}
        return Reply(200, headers).sending(rows[(number - 1) * size : number * size])

    def _matches(self, row: dict[str, Any], params: dict[str, str]) -> bool:
        """Only what tests here ask for; the filters themselves are the business of the contract suite."""
        fields = {"farm_id": "farmId", "account_id": "accountId", "twin_id": "twin_id"}
        asked = {fields[name]: value for name, value in params.items() if name in fields}
        return all(str(row.get(name)) == value for name, value in asked.items())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            reply = self.answer(head.split(b" ")[1].decode())
            if not reply.silent:
                await self._send(writer, reply)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._now -= 1
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        if reply.wait and not reply.piece:
            await asyncio.sleep(reply.wait)
        headers = {"content-length": str(len(reply.body)), "connection": "close", **reply.headers}
        writer.write(f"HTTP/1.1 {reply.status} X\r\n".encode())
        writer.write("".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n")
        body = reply.body[: reply.cut]
        step = reply.piece or len(body) or 1
        for start in range(0, len(body), step):
            writer.write(body[start : start + step])
            await writer.drain()
            if reply.piece:
                await asyncio.sleep(reply.wait)
        await writer.drain()


@asynccontextmanager
async def serving(gridproxy: Gridproxy, tls: ssl.SSLContext | None = None) -> AsyncIterator[Gridproxy]:
    """Serve it on a free port of loopback; `url` says where."""
    server = await asyncio.start_server(gridproxy.serve, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    gridproxy.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield gridproxy
    finally:
        server.close()
        await server.wait_closed()


def own_certificate(folder: Path) -> ssl.SSLContext:
    """TLS with a certificate for 127.0.0.1 that it has made itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), begin, begin + datetime.timedelta(days=9)
    )
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = made.add_extension(address, critical=False).sign(key, hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    (folder / "own.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    return context


def nobody() -> str:
    """The URL of a port where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


# Rows as gridproxy sends them

GIB = 1024**3


def node_row(id: int = 1, **fields: Any) -> dict[str, Any]:
    """A node of a list, as the documented contract has it."""
    return {
        "id": f"00{id}", "nodeId": id, "farmId": 1, "farmName": "Freefarm", "twinId": id + 100, "country": "Belgium",
        "gridVersion": 3, "city": "Ghent", "uptime": 86400, "created": 1_600_000_000, "farmingPolicyId": 1, "updatedAt": 0,
        "total_resources": {"cru": 16, "sru": 1000 * GIB, "hru": 0, "mru": 64 * GIB},
        "used_resources": {"cru": 4, "sru": 120 * GIB, "hru": 0, "mru": 14 * GIB},
        "location": {"country": "Belgium", "city": "Ghent", "longitude": 3.7, "latitude": None},
        "publicConfig": {"domain": "", "gw4": "", "gw6": "", "ipv4": "", "ipv6": ""}, "status": "up",
        "certificationType": "Diy", "dedicated": False, "inDedicatedFarm": False, "rentContractId": 0, "rented": False,
        "rentable": True, "rentedByTwinId": 0, "serialNumber": "x", "power": {"state": "", "target": ""}, "num_gpu": 0,
        "extraFee": 0, "healthy": True, "dmi": {"bios": {"vendor": "v", "version": "1"}}, "speed": {"upload": 1.5, "download": 2},
        "gpus": [], "price_usd": 12.345, "farm_free_ips": 3, "features": ["zmachine", "network", "wireguard"], **fields,
    }  # fmt: skip


def nested(row: dict[str, Any]) -> dict[str, Any]:
    """The same node as it is sent when it is asked for alone."""
    rest = {name: value for name, value in row.items() if name not in ("total_resources", "used_resources")}
    return {**rest, "capacity": {name: row[name] for name in ("total_resources", "used_resources")}}


def farm_row(id: int = 1, ips: Iterable[tuple[str, int]] = (), **fields: Any) -> dict[str, Any]:
    """A farm; `ips` are its public IPv4 with the contract of each."""
    return {
        "name": f"farm-{id}", "farmId": id, "twinId": id + 10, "pricingPolicyId": 1, "certificationType": "NotCertified",
        "stellarAddress": "", "dedicated": False,
        "publicIps": [{"id": f"ip-{ip}", "ip": ip, "gateway": "", "contract_id": contract} for ip, contract in ips], **fields,
    }  # fmt: skip


def contract_row(id: int = 1, data: object = None, **fields: Any) -> dict[str, Any]:
    """A node contract of twin 7; `data` is its metadata, as text or as what is written as JSON."""
    text = data if isinstance(data, str) else json.dumps(data) if data is not None else ""
    details = {
        "nodeId": 11, "deployment_data": text, "deployment_hash": "h", "number_of_public_ips": 0, "farm_name": "Freefarm",
        "farm_id": 1,
    }  # fmt: skip
    return {
        "contract_id": id, "twin_id": 7, "state": "Created", "created_at": 1_700_000_000, "type": "node", "details": details,
        **fields,
    }  # fmt: skip
