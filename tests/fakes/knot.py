"""Knot DNS on loopback: a real authoritative server, changed by RFC 2136 updates, in a folder of its own.

It is the host's, or Debian's packages unpacked beside the tests' other temporary files; nothing is installed.
"""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.update
import pytest

_ZONE = """$ORIGIN {zone}.
$TTL 300
@ SOA ns1 admin 1 3600 600 86400 60
@ NS ns1
@ NS ns2
ns1 A 127.0.0.1
ns2 A 127.0.0.2
"""
_CONFIG = """server:
    listen: [127.0.0.1@{port}, 127.0.0.2@{port}]
    rundir: {folder}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {folder}
log:
  - target: {folder}/log
    any: warning
acl:
  - id: tests
    address: 127.0.0.0/8
    action: update
template:
  - id: default
    storage: {folder}
    acl: tests
    zonefile-sync: -1
    journal-max-usage: 4M
zone:
"""


@functools.cache
def program() -> tuple[str, dict[str, str]]:
    """(path, environment) of knotd; skips the test where it can't be had."""
    found = shutil.which("knotd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found:
        return found, {}
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("there is no knotd, and only root can have apt-get fetch one: apt-get install knot")
    folder = Path(tempfile.gettempdir()) / f"tfgrid-compose-knot-{os.geteuid()}"
    binary = folder / "root/usr/sbin/knotd"
    if not binary.exists():
        (folder / "partial").mkdir(parents=True, exist_ok=True, mode=0o700)
        words = [
            "apt-get",
            "install",
            "-y",
            "--no-install-recommends",
            "--download-only",
            "-o",
            f"Dir::Cache::archives={folder}/",
            "knot",
        ]
        got = subprocess.run(words, capture_output=True, text=True)
        if got.returncode != 0:
            pytest.skip("there is no knotd, and apt-get can't fetch one: apt-get install knot")
        for package in sorted(folder.glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(package), str(folder / "root")], check=True)
    libraries = sorted({str(path.parent) for path in (folder / "root").rglob("*.so*")})
    return str(binary), {"LD_LIBRARY_PATH": ":".join(libraries)}


class Knot:
    """One knotd with two addresses; its zones are fixed when it starts."""

    addresses = ("127.0.0.1", "127.0.0.2")

    def __init__(self, folder: Path, zones: Iterable[str] = ("example.com",)) -> None:
        self._folder, self.port = folder, 0
        self.zones: dict[str, set[tuple[str, str]]] = {zone: set() for zone in zones}
        self._process: subprocess.Popen[bytes] | None = None

    def publish(self, zone: str, records: Iterable[tuple[str, str, str]]) -> None:
        """Replace what was published before, in one update."""
        update = dns.update.UpdateMessage(f"{zone}.")
        for name, type in self.zones[zone]:
            update.delete(f"{name}.", type)
        wanted = list(records)
        for name, type, content in wanted:
            update.add(f"{name}.", 300, type, f"{content}." if type == "CNAME" else content)
        self.zones[zone] = {(name, type) for name, type, _ in wanted}
        answer = dns.query.tcp(update, "127.0.0.1", port=self.port, timeout=5)
        assert answer.rcode() == dns.rcode.NOERROR, answer

    def start(self) -> None:
        """Start it and wait until it answers for every zone."""
        binary, extra = program()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = _CONFIG.format(folder=self._folder, port=self.port)
        for zone in self.zones:
            (self._folder / f"{zone}.zone").write_text(_ZONE.format(zone=zone))
            config += f"  - domain: {zone}\n    file: {zone}.zone\n"
        (self._folder / "knot.conf").write_text(config)
        self._process = subprocess.Popen(
            [binary, "-c", str(self._folder / "knot.conf")], env={**os.environ, **extra}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for zone in self.zones:
            self._wait(zone)

    def _wait(self, zone: str) -> None:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            assert self._process and self._process.poll() is None, (self._folder / "log").read_text()
            try:
                answer = dns.query.udp(dns.message.make_query(f"{zone}.", "SOA"), "127.0.0.1", port=self.port, timeout=0.3)
                if answer.answer:
                    return
            except (dns.exception.DNSException, OSError):
                time.sleep(0.02)
        raise AssertionError("knotd does not answer")

    def stop(self) -> None:
        """End it."""
        if self._process:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None
