"""Records of releases: numbered, found by number or id, changed in nothing but their status."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from tfgrid_compose.errors import NotFoundError
from tfgrid_compose.state import whoami
from tfgrid_compose.state.releases import Release, environment_name
from tfgrid_compose.state.store import Deployment, Store


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store() as found:
        yield found


def statuses(store: Store, deployment: str = "d") -> dict[str, str]:
    """{id: status}, newest first."""
    return {item.id: item.status for item in store.releases(deployment)}


def add(store: Store, id: str, *, live: bool = False, deployment: str = "d") -> Release:
    found = store.add_release(id, deployment, {"archive": f"archive of {id}"})
    if live:
        store.set_release_live(id, deployment)
    return found


def test_a_new_release_is_shipped_numbered_and_says_who_made_it(store: Store) -> None:
    first = store.add_release("r1", "d", {"source": "aa", "ü": [1, None]})
    assert (first.id, first.deployment, first.number, first.status, first.who) == ("r1", "d", 1, "shipped", whoami.who())
    assert abs(first.created - time.time()) < 60
    second = store.add_release("r2", "d", {})
    other = store.add_release("x1", "e", {})
    assert (second.number, other.number) == (2, 1)
    with Store(store.path) as again:
        assert again.releases("d")[1].data == {"source": "aa", "ü": [1, None]}
        assert [item.number for item in again.releases("d")] == [2, 1]
    assert first.label == "#1 (r1)"


def test_one_that_never_got_live_has_failed_when_the_next_one_is_made(store: Store) -> None:
    add(store, "other", deployment="e")
    for id in ("r1", "r2", "r3"):
        add(store, id)
    assert statuses(store) == {"r3": "shipped", "r2": "failed", "r1": "failed"}
    assert statuses(store, "e") == {"other": "shipped"}


def test_a_release_that_goes_live_supersedes_the_one_before_and_no_other(store: Store) -> None:
    add(store, "other", live=True, deployment="e")
    add(store, "r1", live=True)
    add(store, "r2")
    assert statuses(store) == {"r2": "shipped", "r1": "live"}, "what was live stays so until the switch"
    store.set_release_live("r2", "d")
    assert statuses(store) == {"r2": "live", "r1": "superseded"}
    store.set_release_live("r1", "d")
    assert statuses(store) == {"r2": "superseded", "r1": "live"}
    store.set_release_live("r1", "d")
    assert statuses(store) == {"r2": "superseded", "r1": "live"}
    assert statuses(store, "e") == {"other": "live"}
    live = store.live_release("d")
    assert live and live.id == "r1"
    assert store.live_release("nobody") is None


def test_only_one_that_is_on_its_way_can_fail(store: Store) -> None:
    add(store, "r1", live=True)
    add(store, "r2", live=True)
    add(store, "r3")
    for id in ("r1", "r2", "r3", "nothing", ""):
        store.set_release_failed(id)
    assert statuses(store) == {"r3": "failed", "r2": "live", "r1": "superseded"}


@pytest.mark.parametrize(
    ("status", "data", "worked"),
    [
        ("live", {"archive": "a"}, True), ("superseded", {"archive": "a"}, True), ("shipped", {"archive": "a"}, False),
        ("failed", {"archive": "a"}, False), ("live", {}, False), ("superseded", {}, False),
    ],
)  # fmt: skip
def test_only_what_was_live_and_has_an_archive_can_be_gone_back_to(status: str, data: dict[str, Any], worked: bool) -> None:
    assert Release("r", "d", 1, 1.0, status, "me", data).worked is worked


# Finding


def test_a_release_is_found_by_its_number_or_the_beginning_of_its_id(store: Store) -> None:
    for id in ("20251123-134500-1a2b3c", "20251123-134501-4d5e6f", "99-other"):
        add(store, id)
    add(store, "20251123-134500-ffffff", deployment="e")
    for text, number in (("1", 1), ("#2", 2), ("20251123-134500", 1), ("20251123-134501-4d5e6f", 2), ("99", 3)):
        assert store.find_release("d", text).number == number


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("2025", "several releases begin with `2025`"), ("4", "no release begins with `4`"), ("#4", "no release begins with `#4`"),
        ("nope", "no release begins with `nope`"), ("", "no release begins with ``"), ("#", "no release begins with `#`"),
        ("%", "no release begins with `%`"),
    ],
)  # fmt: skip
def test_what_names_none_or_several_lists_what_there_is(store: Store, text: str, what: str) -> None:
    for id in ("20251123-1", "20251123-2", "x"):
        add(store, id)
    with pytest.raises(NotFoundError) as caught:
        store.find_release("d", text)
    assert (caught.value.what, caught.value.why, caught.value.code) == (what, "there are #3, #2, #1", "release-not-found")
    assert caught.value.exit_code == 5
    assert "tfgrid-compose history" in caught.value.fix


def test_a_number_goes_before_an_id_that_begins_with_it(store: Store) -> None:
    add(store, "2-begins-with-a-two")
    add(store, "other")
    assert store.find_release("d", "2").id == "other"


@pytest.mark.parametrize("text", ["²", "٣", "１"])
def test_a_digit_that_is_none_of_ours_is_just_not_found(store: Store, text: str) -> None:
    add(store, "r1")
    with pytest.raises(NotFoundError):
        store.find_release("d", text)


# A record never changes


def test_a_record_is_frozen_and_a_second_one_of_the_same_id_is_refused(store: Store) -> None:
    found = add(store, "r1", live=True)
    with pytest.raises(FrozenInstanceError):
        found.number = 7  # type: ignore[misc]
    with pytest.raises(Exception, match="UNIQUE"):
        store.add_release("r1", "d", {"archive": "another"})
    assert store.releases("d")[0].data == {"archive": "archive of r1"}


def test_whatever_happens_to_a_release_only_its_status_changes(store: Store) -> None:
    add(store, "r1", live=True)

    def kept() -> tuple[Any, ...]:
        (row,) = store._db.execute("SELECT id, deployment, created, number, who, data FROM releases WHERE id = 'r1'").fetchall()
        return tuple(row)

    before = kept()
    changed = store.releases("d")[0]
    changed.data["archive"] = "in memory only"
    add(store, "r2", live=True)
    add(store, "r3")
    store.set_release_live("r1", "d")
    store.set_release_failed("r1")
    store.save(Deployment("d", "my-app", "local", "running", 1.0, 1.0, {"release": "r1"}))
    store.forget_releases("d", ["r2", "r3"])
    assert kept() == before


def test_no_statement_of_the_program_writes_data_of_a_release_but_the_one_that_adds_it() -> None:
    source = Path(__file__).parents[2] / "src" / "tfgrid_compose"
    statements = [
        line.strip() for path in source.rglob("*.py") for line in path.read_text().splitlines() if "UPDATE releases" in line
    ]
    assert len(statements) >= 4
    assert all("SET status" in line or "SET number" in line for line in statements), statements
    assert [path.name for path in source.rglob("*.py") if "INTO releases" in path.read_text()] == ["releases.py"]


# Forgetting


def test_forgetting_a_release_removes_its_environment_and_nothing_else(store: Store) -> None:
    store.save(Deployment("d", "my-app", "local", "running", 1.0, 1.0))
    store.set_secret("d", "ssh", b"key")
    for id in ("r1", "r2", "r3"):
        store.set_secret("d", environment_name(id), b"PIN of " + id.encode())
        add(store, id, live=True)
    store.forget_releases("d", ["r1", "r2"])
    assert list(statuses(store)) == ["r3"]
    assert [store.secret("d", environment_name(id)) for id in ("r1", "r2", "r3")] == [None, None, b"PIN of r3"]
    assert store.secret("d", "ssh") == b"key", "the seal of the others still fits"
    assert store.secret_problems() == []
    rows = [row[0] for row in store._db.execute("SELECT name FROM secrets")]
    assert sorted(rows) == ["release/r3", "ssh"]


def test_the_number_of_a_forgotten_release_is_not_given_again_while_a_newer_one_is_kept(store: Store) -> None:
    for id in ("r1", "r2", "r3"):
        add(store, id, live=True)
    store.forget_releases("d", ["r1", "r2"])
    assert add(store, "r4").number == 4


def test_releases_of_another_deployment_are_not_forgotten_by_their_id(store: Store) -> None:
    add(store, "r1", deployment="e")
    store.forget_releases("d", ["r1"])
    assert list(statuses(store, "e")) == ["r1"]
