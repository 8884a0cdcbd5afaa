"""The HTTP interfaces of Cloudflare (v4), Name.com (v4) and Namecheap (XML) on loopback, as their documents have them.

What they change goes into a DNS server at once. A test orders what goes wrong with the next requests that match.

    Cloudflare  https://developers.cloudflare.com/api/resources/dns/subresources/records/
    Name.com    https://www.name.com/api-docs/DNS
    Namecheap   https://www.namecheap.com/support/api/methods/domains-dns/
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import quoteattr

TOKEN, USER = "token-of-a-test-0123456789", "tester"
CLIENT_IP = "192.0.2.77"
_HTML = "<!DOCTYPE html><html><body>This service is down for maintenance.</body></html>"
_XML = "http://api.namecheap.com/xml.response"


@dataclass
class Row:
    """A record in a provider's book."""

    id: str
    name: str
    type: str
    content: str
    ttl: int = 1800
    priority: str = "10"


@dataclass
class Order:
    """What goes wrong with the next `times` requests whose method and path hold `match`."""

    what: str
    match: str = ""
    times: int = 1


@dataclass
class Asked:
    """A request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any

    @property
    def line(self) -> str:
        """Method and path, with Namecheap's command."""
        return f"{self.method} {self.path} {self.query.get('Command', '')}".strip()


@dataclass
class Answer:
    """Status and body of an answer."""

    status: int
    body: str
    kind: str = "application/json"


@dataclass
class Provider:
    """One provider: {zone: rows}. `publish` gets every change: zone and (name, type, content)."""

    publish: Callable[[str, list[tuple[str, str, str]]], None] = lambda zone, records: None
    zones: dict[str, list[Row]] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    mail: str = "FWD"
    own_servers: bool = True
    page: int = 100
    slow: float = 5.0
    url: str = ""
    _last: int = 100
    _server: ThreadingHTTPServer | None = None

    def order(self, what: str, match: str = "", times: int = 1) -> None:
        """`429`, `500`, `html`, `slow`, `drop` (before anything is done) or `lost` (after it was done)."""
        self.orders.append(Order(what, match, times))

    def next_id(self) -> str:
        """A number that was never given before."""
        self._last += 1
        return str(self._last)

    def put(self, zone: str, name: str, type: str, content: str) -> Row:
        """A record that somebody made by hand."""
        row = Row(self.next_id(), name, type, content)
        self.zones[zone].append(row)
        self.changed(zone)
        return row

    def changed(self, zone: str) -> None:
        """Publish the zone."""
        addresses = [row for row in self.zones[zone] if row.type in ("A", "AAAA", "CNAME")]
        self.publish(zone, [(row.name, row.type, row.content) for row in addresses])

    def all(self, zone: str) -> set[tuple[str, str, str]]:
        """(name, type, content) of all records."""
        return {(row.name, row.type, row.content) for row in self.zones[zone]}

    def writes(self) -> list[str]:
        """Requests that were to change something."""
        return [item.line for item in self.asked if item.method != "GET" and not item.line.endswith(("getHosts", "getInfo"))]

    def handle(self, asked: Asked) -> Answer:
        """What the provider answers."""
        raise NotImplementedError

    def start(self) -> None:
        """Serve on a free port of loopback."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Serve no more."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def ordered(self, asked: Asked) -> str:
        """What goes wrong with this request."""
        for order in self.orders:
            if order.times and order.match in asked.line:
                order.times -= 1
                return order.what
        return ""


class Cloudflare(Provider):
    """Bearer token; zones and records by ids; pages."""

    def handle(self, asked: Asked) -> Answer:
        """`/zones`, `/zones/ID/dns_records`, `/zones/ID/dns_records/ID`."""
        token = asked.headers.get("authorization", "")
        if " " in token.removeprefix("Bearer "):
            return self._error(
                400, 6003, "Invalid request headers", [{"code": 6111, "message": "Invalid format for Authorization header"}]
            )
        if token != f"Bearer {TOKEN}":
            return self._error(401, 1000, "Invalid API Token")
        parts = asked.path.strip("/").split("/")
        if parts == ["zones"]:
            zones = [{"id": f"id-of-{name}", "name": name, "status": "active"} for name in self.zones]
            return self._listed(zones, asked)
        zone = parts[1].removeprefix("id-of-")
        if zone not in self.zones:
            return self._error(404, 1001, "Invalid zone identifier")
        return self._records(zone, parts[3:], asked)

    def _records(self, zone: str, rest: list[str], asked: Asked) -> Answer:
        rows = self.zones[zone]
        if asked.method == "GET":
            wanted = {key: asked.query[key] for key in ("name", "type", "content") if key in asked.query}
            found = [row for row in rows if all(getattr(row, key) == value for key, value in wanted.items())]
            return self._listed([self._shown(row) for row in found], asked)
        mine = next((row for row in rows if rest and row.id == rest[0]), None)
        if rest and mine is None:
            return self._error(404, 81044, "Record does not exist.")
        if asked.method == "DELETE":
            rows.remove(mine)
            self.changed(zone)
            return self._done({"id": mine.id})
        body = asked.body
        problem = self._clash([row for row in rows if row is not mine], body)
        if problem:
            return problem
        if mine is None:
            mine = Row(self.next_id(), "", "", "")
            rows.append(mine)
        mine.name, mine.type, mine.content, mine.ttl = body["name"], body["type"], body["content"], int(body["ttl"])
        self.changed(zone)
        return self._done(self._shown(mine))

    def _clash(self, others: list[Row], body: dict[str, Any]) -> Answer | None:
        same = [row for row in others if row.name == body["name"]]
        if any((row.type, row.content) == (body["type"], body["content"]) for row in same):
            return self._error(400, 81058, "An identical record already exists.")
        if any(row.type == "CNAME" for row in same):
            return self._error(400, 81053, "An A, AAAA, or CNAME record with that host already exists.")
        return None

    def _shown(self, row: Row) -> dict[str, Any]:
        return {"id": row.id, "name": row.name, "type": row.type, "content": row.content, "ttl": row.ttl, "proxied": False}

    def _listed(self, items: list[dict[str, Any]], asked: Asked) -> Answer:
        page = int(asked.query.get("page", "1"))
        size = min(self.page, int(asked.query.get("per_page", "100")))
        shown = items[(page - 1) * size : page * size]
        info = {"page": page, "per_page": size, "count": len(shown), "total_count": len(items),
                "total_pages": max(1, -(-len(items) // size))}  # fmt: skip
        return Answer(200, json.dumps({"success": True, "errors": [], "messages": [], "result": shown, "result_info": info}))

    def _done(self, result: dict[str, Any]) -> Answer:
        return Answer(200, json.dumps({"success": True, "errors": [], "messages": [], "result": result}))

    def _error(self, status: int, code: int, message: str, chain: list[dict[str, Any]] | None = None) -> Answer:
        error = {"code": code, "message": message, **({"error_chain": chain} if chain else {})}
        return Answer(status, json.dumps({"success": False, "errors": [error], "messages": [], "result": None}))


class Namecom(Provider):
    """Basic authentication; records by numbers; fields that are empty are left out; `nextPage`."""

    def handle(self, asked: Asked) -> Answer:
        """`/domains`, `/domains/NAME/records`, `/domains/NAME/records/ID`."""
        wanted = base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
        if asked.headers.get("authorization") != f"Basic {wanted}":
            return self._error(401, "Unauthorized")
        parts = asked.path.strip("/").split("/")
        if parts == ["domains"]:
            return self._listed("domains", [{"domainName": name} for name in self.zones], asked)
        if parts[1] not in self.zones:
            return self._error(404, "Not Found")
        return self._records(parts[1], parts[3:], asked)

    def _records(self, zone: str, rest: list[str], asked: Asked) -> Answer:
        rows = self.zones[zone]
        if asked.method == "GET":
            return self._listed("records", [self._shown(zone, row) for row in rows], asked)
        mine = next((row for row in rows if rest and row.id == rest[0]), None)
        if rest and mine is None:
            return self._error(404, "Not Found")
        if asked.method == "DELETE":
            rows.remove(mine)
            self.changed(zone)
            return Answer(200, "{}")
        host = asked.body.get("host", "")
        name = zone if host in ("", "@") else f"{host}.{zone}"
        if int(asked.body.get("ttl", 300)) < 300:
            return self._error(400, "Invalid Argument", "Parameter Value Error - TTL must be at least 300")
        if any((row.name, row.type, row.content) == (name, asked.body["type"], asked.body["answer"]) for row in rows):
            return self._error(400, "Invalid Argument", "Parameter Value Error - Duplicate Record")
        if mine is None:
            mine = Row(self.next_id(), "", "", "")
            rows.append(mine)
        mine.name, mine.type, mine.content, mine.ttl = name, asked.body["type"], asked.body["answer"], int(asked.body["ttl"])
        self.changed(zone)
        return Answer(200, json.dumps(self._shown(zone, mine)))

    def _shown(self, zone: str, row: Row) -> dict[str, Any]:
        host = row.name.removesuffix(zone).rstrip(".")
        shown = {"id": int(row.id), "domainName": zone, "host": host, "fqdn": f"{row.name}.", "type": row.type,
                 "answer": row.content, "ttl": row.ttl}  # fmt: skip
        return {key: value for key, value in shown.items() if value != ""}

    def _listed(self, key: str, items: list[dict[str, Any]], asked: Asked) -> Answer:
        page, size = int(asked.query.get("page", "1")), self.page
        shown: dict[str, Any] = {key: items[(page - 1) * size : page * size]}
        if page * size < len(items):
            shown |= {"nextPage": page + 1, "lastPage": -(-len(items) // size)}
        return Answer(200, json.dumps({name: value for name, value in shown.items() if value}))

    def _error(self, status: int, message: str, details: str = "") -> Answer:
        return Answer(status, json.dumps({"message": message, **({"details": details} if details else {})}))


class Namecheap(Provider):
    """A key in the query, XML answers with status 200, and all records of a domain at once."""

    def handle(self, asked: Asked) -> Answer:
        """`namecheap.domains.getInfo`, `….dns.getHosts`, `….dns.setHosts`."""
        given = {**asked.query, **(asked.body or {})}
        if given.get("ApiKey") != TOKEN or given.get("ApiUser") != USER:
            return self._error("1011102", "API Key is invalid or API access has not been enabled")
        if given.get("ClientIP") != CLIENT_IP:
            return self._error("1011150", f"Invalid request IP: {given.get('ClientIP')}")
        command = given["Command"]
        zone = given["DomainName"] if command.endswith("getInfo") else f"{given['SLD']}.{given['TLD']}"
        if zone not in self.zones:
            return self._error("2019166", "Domain not found")
        if command.endswith("getInfo"):
            return self._ok(command, f'<DomainGetInfoResult Status="Ok" DomainName="{zone}" IsOwner="true"/>')
        if command.endswith("getHosts"):
            return self._ok(command, self._hosts(zone))
        return self._set(zone, given, command)

    def _hosts(self, zone: str) -> str:
        lines = [
            f"<host HostId={quoteattr(row.id)} Name={quoteattr(self._host(row.name, zone))} Type={quoteattr(row.type)} "
            f'Address={quoteattr(row.content)} MXPref={quoteattr(row.priority)} TTL={quoteattr(str(row.ttl))} IsActive="true"/>'
            for row in self.zones[zone]
        ]
        ours = str(self.own_servers).lower()
        head = f'<DomainDNSGetHostsResult Domain="{zone}" EmailType="{self.mail}" IsUsingOurDNS="{ours}">'
        return head + "".join(lines) + "</DomainDNSGetHostsResult>"

    def _host(self, name: str, zone: str) -> str:
        return "@" if name == zone else name.removesuffix(f".{zone}")

    def _set(self, zone: str, given: dict[str, str], command: str) -> Answer:
        rows = []
        for number in range(1, 1000):
            if f"RecordType{number}" not in given:
                break
            host = given[f"HostName{number}"]
            if not host:
                return self._error("2050900", "INVALID_ADDRESS : hostname is empty")
            name = zone if host == "@" else f"{host}.{zone}"
            rows.append(Row(self.next_id(), name, given[f"RecordType{number}"], given[f"Address{number}"],
                            int(given.get(f"TTL{number}", 1800)), given.get(f"MXPref{number}", "10")))  # fmt: skip
        # What is not sent is gone, the kind of mail too.
        self.zones[zone], self.mail = rows, given.get("EmailType", "")
        self.changed(zone)
        return self._ok(command, f'<DomainDNSSetHostsResult Domain="{zone}" IsSuccess="true"/>')

    def _ok(self, command: str, inside: str) -> Answer:
        body = (
            f'<?xml version="1.0" encoding="utf-8"?><ApiResponse Status="OK" xmlns="{_XML}"><Errors/>'
            f'<RequestedCommand>{command}</RequestedCommand><CommandResponse Type="{command}">{inside}</CommandResponse></ApiResponse>'
        )
        return Answer(200, body, "text/xml")

    def _error(self, number: str, text: str) -> Answer:
        body = (
            f'<?xml version="1.0" encoding="utf-8"?><ApiResponse Status="ERROR" xmlns="{_XML}">'
            f'<Errors><Error Number="{number}">{text}</Error></Errors></ApiResponse>'
        )
        return Answer(200, body, "text/xml")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def _do(self) -> None:
        provider: Provider = self.server.provider
        asked = self._read()
        provider.asked.append(asked)
        what = provider.ordered(asked)
        if what == "slow":
            time.sleep(provider.slow)
        if what == "drop":
            self.close_connection = True
            return
        if what in ("429", "500"):
            self._send(Answer(int(what), "{}"))
        elif what == "html":
            self._send(Answer(200, _HTML, "text/html"))
        else:
            answer = provider.handle(asked)
            if what == "lost":
                self.close_connection = True
                return
            self._send(answer)

    def _read(self) -> Asked:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        parts = urlsplit(self.path)
        is_json = "json" in self.headers.get("Content-Type", "") or raw.startswith("{")
        body = json.loads(raw or "null") if is_json else {key: value[0] for key, value in parse_qs(raw).items()}
        query = {key: value[0] for key, value in parse_qs(parts.query).items()}
        return Asked(self.command, parts.path, query, {key.lower(): value for key, value in self.headers.items()}, body)

    def _send(self, answer: Answer) -> None:
        raw = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _do
