"""A domain, and a run that is stopped anywhere while its record is made, changed or deleted: no record is forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import terraform
from tests.chaos.bench import INTERRUPTED, KILLED, OK, Bench, Operation, bench, deploy, go_on, look, remove
from tests.chaos.invariants import always, empty, much_later, settled
from tests.chaos.strikes import INTERRUPT, KILL, Strike, point
from tests.chaos.world import world
from tfgrid_compose.deploy import domain
from tfgrid_compose.drivers.dns import authority, names, zones
from tfgrid_compose.drivers.dns.authority import Said, Server
from tfgrid_compose.drivers.dns.names import Record
from tfgrid_compose.drivers.dns.zones import Found

_SHM = Path("/dev/shm")  # A disk would make each commit wait.
ADDRESS = "198.51.100.7"
STRANGER = ("mail.example.com", "A", "192.0.2.1")


class MemoryZone:
    """A zone of the world, held to `zones.Zone`."""

    def records(self, names: Iterable[str]) -> list[Found]:
        """All records of these names."""
        point("dns:records")
        wanted = set(names)
        return [Found(Record(*item), str(item)) for item in sorted(world().records) if item[0] in wanted]

    def create(self, wanted: Record) -> None:
        """Make a record."""
        point("dns:create")
        world().records.add((wanted.name, wanted.type, wanted.content))
        point("dns:created")

    def change(self, found: Found, wanted: Record) -> None:
        """Give a record another content."""
        self.delete(found)
        self.create(wanted)

    def delete(self, found: Found) -> None:
        """Delete a record."""
        point("dns:delete")
        world().records.discard((found.record.name, found.record.type, found.record.content))
        point("dns:deleted")


@contextmanager
def _opened(*_: Any) -> Iterator[MemoryZone]:
    point("dns:open")
    yield MemoryZone()


def _answers(asked: Any, wanted: Iterable[str]) -> list[Said]:
    known = set(wanted)
    return [Said("ns1.example.com", frozenset(Record(*item) for item in world().records if item[0] in known))]


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """An app on a grid whose machines have addresses of the internet."""
    folder = tmp_path_factory.mktemp("domain")
    root = _SHM / f"{folder.parent.name}-{folder.name}" if _SHM.is_dir() else folder / "bench"
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "a-token-of-a-test")
    monkeypatch.setattr(zones, "opened", _opened)
    monkeypatch.setattr(authority, "servers", lambda zone: [Server("ns1.example.com", ())])
    monkeypatch.setattr(authority, "look", _answers)
    monkeypatch.setattr(names, "is_global", lambda record: True)
    outputs = terraform._outputs

    def with_address(state: dict[str, Any]) -> dict[str, Any]:
        found = outputs(state)
        return {**found, "machines": [{**machine, "ipv4_address": ADDRESS} for machine in found["machines"]]}

    monkeypatch.setattr(terraform, "_outputs", with_address)
    with bench(root) as found:
        found.world.global_addresses = True
        found.world.records = {STRANGER}
        name(found, "blog.example.com")
        yield found


def name(bench: Bench, wanted: str) -> None:
    """The app wants a domain, or none."""
    bench.write(bench.version + 1)
    path = bench.app / "tfgrid-compose.yaml"
    text = path.read_text().replace("provision: wireguard", "provision: [wireguard, ipv4]")
    path.write_text(text + (f"domain: {{name: {wanted}, provider: cloudflare}}\n" if wanted else ""))


def ours(bench: Bench) -> set[tuple[str, str, str]]:
    """The records that the deployment remembers as its own."""
    found = bench.deployment()
    return {(item.record.name, item.record.type, item.record.content) for item in domain.ours(found)} if found else set()


def stopped_anywhere(bench: Bench, way: Operation, wanted: str) -> None:
    """Stop a run at every point around what it does to the zone; the next one comes to the same end, none is forgotten."""
    saved = bench.saved()
    labels = bench.run(way, record=True).process.labels
    bench.load(saved)
    last = max(at for at, label in enumerate(labels, 1) if label.startswith("dns:"))
    # The two looks before anything is rented are one point each; then step `dns` and some commits around it.
    close = [at for at in range(1, last + 6) if any(label.startswith("dns:") for label in labels[max(0, at - 6) : at + 5])]
    assert len(close) > 10
    for at in close:
        for kind, ends in ((KILL, KILLED), (INTERRUPT, INTERRUPTED)):
            assert bench.run(way, Strike(at, kind)).kind in (ends, OK), labels[at - 1]
            always(bench)
            assert bench.world.records <= {STRANGER} | ours(bench), f"a record that nobody remembers: {kind} at {labels[at - 1]}"
            if way is not remove:
                assert bench.run(go_on(way)).kind != KILLED
                settled(bench)
            elif bench.deployment():
                assert bench.run(remove).kind == OK
            expected = {(wanted, "A", ADDRESS)} if wanted else set()
            assert bench.world.records == {STRANGER} | expected, f"{kind} at {labels[at - 1]}"
            assert ours(bench) == expected
            bench.load(saved)


def test_while_the_record_is_made(fresh: Bench) -> None:
    stopped_anywhere(fresh, deploy(), "blog.example.com")


@pytest.mark.parametrize("wanted", ["news.example.com", ""])
def test_while_another_name_or_none_takes_its_place(fresh: Bench, wanted: str) -> None:
    assert fresh.run(deploy()).kind == OK
    name(fresh, wanted)
    stopped_anywhere(fresh, deploy(), wanted)


def test_while_it_is_deleted(fresh: Bench) -> None:
    assert fresh.run(deploy()).kind == OK
    with much_later():
        stopped_anywhere(fresh, remove, "")
        assert fresh.run(remove).kind == OK
        empty(fresh)


def test_a_look_changes_nothing_and_finds_what_is_missing(fresh: Bench) -> None:
    assert fresh.run(deploy()).kind == OK
    fresh.world.records = {STRANGER}
    before = repr(fresh.world)
    assert fresh.run(look).kind == OK and repr(fresh.world) == before
    assert fresh.run(deploy()).kind == OK
    assert fresh.world.records == {STRANGER, ("blog.example.com", "A", ADDRESS)}
