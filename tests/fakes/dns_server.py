"""An authoritative DNS server on loopback: real sockets, real messages, zones in memory.

It stands for the zone's own servers, and for this computer's resolver too. Every address that it listens on is one
server; one of them can lag behind, be silent, or refuse.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset

Key = tuple[str, str]


@dataclass
class Nameserver:
    """Zones as {zone: {(name, type): contents}}; `old` are zones as a server that lags behind has them."""

    addresses: tuple[str, ...] = ("127.0.0.1", "127.0.0.2")
    port: int = 0
    zones: dict[str, dict[Key, set[str]]] = field(default_factory=dict)
    old: dict[str, dict[str, dict[Key, set[str]]]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    refusing: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    _running: list[socketserver.BaseServer] = field(default_factory=list)

    def add(self, zone: str, *, hosts: Iterable[str] = ()) -> None:
        """A zone whose servers are all our addresses."""
        names = list(hosts) or [f"ns{number}.{zone}" for number in range(1, len(self.addresses) + 1)]
        records: dict[Key, set[str]] = {(zone, "NS"): {f"{name}." for name in names}}
        for name, address in zip(names, self.addresses):
            records[name, "A"] = {address}
        self.zones[zone] = records

    def publish(self, zone: str, records: Iterable[tuple[str, str, str]]) -> None:
        """The zone's records from now on, besides those of its servers: (name, type, content)."""
        kept = {key: value for key, value in self.zones[zone].items() if key == (zone, "NS") or key[0].startswith("ns")}
        for name, type, content in records:
            kept.setdefault((name, type), set()).add(content)
        self.zones[zone] = kept

    def lag(self, address: str) -> None:
        """This server answers from now on with what it knows now."""
        self.old[address] = {zone: dict(records) for zone, records in self.zones.items()}

    def catch_up(self, address: str) -> None:
        """The server answers as the others do."""
        self.old.pop(address, None)

    # Messages

    def answer(self, wire: bytes, address: str) -> bytes | None:
        """The answer to a message that came in on an address; None when the server is silent."""
        query = dns.message.from_wire(wire)
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        type = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((address, name, type))
        if address in self.silent:
            return None
        response = dns.message.make_response(query)
        zones = self.old.get(address, self.zones)
        zone = max((item for item in zones if name == item or name.endswith(f".{item}")), key=len, default="")
        if address in self.refusing or not zone:
            response.set_rcode(dns.rcode.REFUSED if address in self.refusing else dns.rcode.NXDOMAIN)
        else:
            self._fill(response, zones[zone], zone, name, type)
        return response.to_wire()

    def _fill(self, response: dns.message.Message, records: dict[Key, set[str]], zone: str, name: str, type: str) -> None:
        cut = next((key[0] for key in records if key[1] == "NS" and key[0] != zone and f".{name}".endswith(f".{key[0]}")), "")
        if cut:
            response.authority.append(dns.rrset.from_text_list(f"{cut}.", 300, "IN", "NS", sorted(records[cut, "NS"])))
            return
        response.flags |= dns.flags.AA
        for _ in range(5):
            if (name, type) in records:
                response.answer.append(dns.rrset.from_text_list(f"{name}.", 300, "IN", type, sorted(records[name, type])))
                return
            if (name, "CNAME") not in records:
                break
            (target,) = records[name, "CNAME"]
            response.answer.append(dns.rrset.from_text(f"{name}.", 300, "IN", "CNAME", f"{target.rstrip('.')}."))
            name = target.rstrip(".")
        response.authority.append(
            dns.rrset.from_text(f"{zone}.", 300, "IN", "SOA", f"ns1.{zone}. admin.{zone}. 1 3600 600 86400 60")
        )
        if not any(key[0] == name or key[0].endswith(f".{name}") for key in records) and not response.answer:
            response.set_rcode(dns.rcode.NXDOMAIN)

    # Sockets

    def start(self) -> None:
        """Listen on all addresses, on one port."""
        wanted = self.port
        while not self._running:
            self._bind(wanted)
        for server in self._running:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def _bind(self, wanted: int) -> None:
        """Take a port of UDP everywhere, and the same of TCP; where somebody has that one, nothing is taken."""
        self.port, taken = wanted, []
        try:
            for address in self.addresses:
                for kind, handler in ((_Udp, _UdpHandler), (_Tcp, _TcpHandler)):
                    server = kind((address, self.port), handler)
                    taken.append(server)
                    self.port, server.nameserver = server.server_address[1], self
        except OSError:
            for server in taken:
                server.server_close()
            if wanted:
                raise
        else:
            self._running += taken

    def stop(self) -> None:
        """Listen no more."""
        for server in self._running:
            server.shutdown()
            server.server_close()
        self._running.clear()


class _Udp(socketserver.ThreadingUDPServer):
    daemon_threads, allow_reuse_address = True, True
    nameserver: Nameserver


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address = True, True
    nameserver: Nameserver


class _UdpHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        wire, socket = self.request
        found = self.server.nameserver.answer(wire, self.server.server_address[0])
        if found is not None:
            socket.sendto(found, self.client_address)


class _TcpHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        size = int.from_bytes(self.request.recv(2), "big")
        found = self.server.nameserver.answer(self.request.recv(size), self.server.server_address[0])
        if found is not None:
            self.request.sendall(len(found).to_bytes(2, "big") + found)
