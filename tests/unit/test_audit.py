"""The audit log: a chain that shows where it was changed, and what the commands make of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tfgrid_compose.cli.audit import audit
from tfgrid_compose.errors import NotFoundError, StateError
from tfgrid_compose.state import anchor
from tfgrid_compose.state.audit import GENESIS, link
from tfgrid_compose.state.audited import audited, digest_of
from tfgrid_compose.state.store import Deployment, Store

ID = "0123456789abcdef"


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store() as found:
        yield found


def fill(store: Store, number: int = 6) -> None:
    for index in range(1, number + 1):
        store.append_audit(
            action="up", deployment=ID, name="my-app", network="local", phase="ended", outcome="succeeded", n=index
        )


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(audit, list(words), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def change(store: Store, *statements: str) -> None:
    with store.write() as db:
        for statement in statements:
            db.execute(statement)


# The chain


def test_an_entry_says_who_when_and_what_and_holds_to_the_one_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tfgrid-compose", "up", "my-app", "--var", "PASSWORD=hunter2"])
    assert store.verify_audit() is None
    assert store.append_audit(action="up", deployment=ID, phase="begun", before="a") == 1
    assert store.append_audit(action="up", deployment=ID, phase="ended", before="a", after="b", outcome="succeeded") == 2
    second, first = store.audit_entries()
    assert (first.previous, second.previous) == (GENESIS, first.hash)
    assert first.hash == link(GENESIS, first.text)
    assert first.facts["command"] == "tfgrid-compose up my-app …"
    assert re.fullmatch(r".+@.+", first.facts["who"])
    assert abs(first.facts["at"] - first.at) < 0.01
    assert "hunter2" not in first.text + second.text
    assert store.verify_audit() is None


def rehashed(store: Store, number: int, **facts: Any) -> list[str]:
    """Statements that change an entry and give it, and all that follow, hashes that fit."""
    statements, previous = [], ""
    for entry in store.audit_chain():
        if entry.number < number:
            continue
        previous = previous or entry.previous
        text = json.dumps({**entry.facts, **(facts if entry.number == number else {})}, sort_keys=True)
        hash = link(previous, text)
        statements.append(
            f"UPDATE audit SET entry = '{text}', previous = '{previous}', hash = '{hash}' WHERE seq = {entry.number}"
        )
        previous = hash
    return statements


MOVED = "UPDATE audit SET seq = seq + 1000 WHERE seq > 3;UPDATE audit SET seq = seq - 999 WHERE seq > 1000"
TAMPERED: dict[str, tuple[Callable[[Store], list[str]], int, str]] = {
    "text": (lambda store: ["UPDATE audit SET entry = replace(entry, 'my-app', 'mx-app') WHERE seq = 3"], 3, "changed"),
    "hash": (lambda store: [f"UPDATE audit SET hash = '{'0' * 64}' WHERE seq = 3"], 3, "changed"),
    "previous": (lambda store: [f"UPDATE audit SET previous = '{'0' * 64}' WHERE seq = 3"], 3, "changed"),
    "time": (lambda store: ["UPDATE audit SET at = at + 60 WHERE seq = 3"], 3, "changed"),
    "text and hash": (lambda store: rehashed(store, 3, outcome="failed")[:1], 3, "changed"),
    "everything after": (lambda store: rehashed(store, 3, outcome="failed"), 6, "changed"),
    "first removed": (lambda store: ["DELETE FROM audit WHERE seq = 1"], 1, "removed"),
    "one removed": (lambda store: ["DELETE FROM audit WHERE seq = 3"], 3, "removed"),
    "two removed": (lambda store: ["DELETE FROM audit WHERE seq IN (3, 4)"], 3, "removed"),
    "one removed, numbers closed": (
        lambda store: ["DELETE FROM audit WHERE seq = 3", "UPDATE audit SET seq = seq - 1 WHERE seq > 3"], 2, "changed",
    ),
    "first removed, numbers closed": (
        lambda store: ["DELETE FROM audit WHERE seq = 1", "UPDATE audit SET seq = seq - 1 WHERE seq > 1"], 1, "removed",
    ),
    "last removed": (lambda store: ["DELETE FROM audit WHERE seq = 6"], 6, "truncated"),
    "end removed": (lambda store: ["DELETE FROM audit WHERE seq > 2"], 3, "truncated"),
    "all removed": (lambda store: ["DELETE FROM audit"], 1, "truncated"),
    "swapped": (
        lambda store: [f"UPDATE audit SET seq = {new} WHERE seq = {old}" for old, new in ((3, 99), (4, 3), (99, 4))], 2, "changed",
    ),
    "nonsense": (lambda store: ["UPDATE audit SET entry = x'ff00', hash = 5 WHERE seq = 3"], 3, "changed"),
}  # fmt: skip


@pytest.mark.parametrize("how", TAMPERED)
def test_the_first_broken_link_is_found(store: Store, how: str) -> None:
    fill(store)
    make, number, kind = TAMPERED[how]
    change(store, *make(store))
    broken = store.verify_audit()
    assert broken is not None
    assert (broken.number, broken.kind) == (number, kind), broken
    output = run("verify", code=10)
    assert f"broken at entry {number} ({kind})" in output
    assert json.loads(run("verify", "--json", code=10))["broken"]["number"] == number


def test_an_inserted_entry_is_found(store: Store) -> None:
    fill(store)
    third = next(item for item in store.audit_chain() if item.number == 3)
    text = json.dumps({"at": 1.0, "action": "down"}, sort_keys=True)
    change(store, *MOVED.split(";"))
    with store.write() as db:
        db.execute("INSERT INTO audit VALUES (4, 1.0, ?, ?, ?)", (text, third.hash, link(third.hash, text)))
    broken = store.verify_audit()
    assert broken is not None and (broken.number, broken.kind) == (4, "inserted")


def test_what_is_written_after_damage_does_not_hide_it(store: Store) -> None:
    fill(store)
    change(store, "DELETE FROM audit WHERE seq > 4")
    fill(store, 3)
    broken = store.verify_audit()
    assert broken is not None and (broken.number, broken.kind) == (5, "removed"), "numbers are never given twice"


def test_a_log_that_goes_on_under_old_numbers_does_not_hide_what_was_cut_off(store: Store) -> None:
    fill(store)
    change(store, "DELETE FROM audit WHERE seq > 4", "UPDATE sqlite_sequence SET seq = 4 WHERE name = 'audit'")
    fill(store, 1)
    broken = store.verify_audit()
    assert broken is not None and (broken.number, broken.kind) == (6, "truncated")
    fill(store, 5)
    broken = store.verify_audit()
    assert broken is not None and (broken.number, broken.kind) == (6, "changed")


def test_an_anchor_that_stayed_behind_is_no_alarm_and_one_that_is_gone_is(store: Store) -> None:
    fill(store, 3)
    path = store.path.with_name(anchor.NAME)
    kept = path.read_bytes()
    fill(store, 3)
    path.write_bytes(kept)
    assert store.verify_audit() is None, "a crash between commit and anchor"
    path.unlink()
    store.set_secret("d", "x", b"y")
    fill(store, 1)
    broken = store.verify_audit()
    assert broken is not None and broken.kind == "unproven", "what is written later does not hide it"
    store.anchor_audit_anew()
    assert store.verify_audit() is None


ERASED = ["DELETE FROM audit", "DELETE FROM sqlite_sequence WHERE name = 'audit'"]


def test_a_log_that_was_erased_together_with_its_anchor_is_not_whole(store: Store) -> None:
    item = store.save(Deployment(ID, "my-app", "local", "running", 1.0, 1.0))
    assert store.verify_audit() is None
    store.start_run(item, "up")
    assert store.verify_audit() is None, "a run that was killed before its first entry"
    fill(store)
    path = store.path.with_name(anchor.NAME)
    change(store, *ERASED)
    path.unlink()
    broken = store.verify_audit()
    assert broken is not None and (broken.number, broken.kind) == (1, "unproven")
    assert "the log is empty, but there are runs" in broken.text
    assert "(unproven)" in run("verify", code=10)
    store.set_secret("d", "x", b"y")
    assert store.verify_audit() is not None, "an anchor that is made anew knows nothing of the log"
    store.start_run(item, "up")
    fill(store, 2)
    broken = store.verify_audit()
    assert broken is not None and broken.kind == "unproven", "a log that is begun anew does not hide it"
    store.anchor_audit_anew()
    assert store.verify_audit() is None
    fill(store, 1)
    assert store.verify_audit() is None


def test_an_anchor_that_nobody_with_the_key_wrote_does_not_count(store: Store) -> None:
    fill(store, 3)
    path = store.path.with_name(anchor.NAME)
    path.write_bytes(path.read_bytes().replace(b"3,", b"2,"))
    change(store, "DELETE FROM audit WHERE seq = 3")
    broken = store.verify_audit()
    assert broken is not None and broken.kind == "unproven"


# Digests and the turn


def test_the_digest_of_a_deployment_is_equal_exactly_when_the_deployment_is(store: Store) -> None:
    assert digest_of(store, ID) == ""
    made = store.save(Deployment(ID, "my-app", "local", "running", 1.0, 1.0, {"contracts": [2, 1], "b": 1, "a": 2}))
    first = digest_of(store, ID)
    assert re.fullmatch(r"[0-9a-f]{64}", first)
    store.save(Deployment(ID, "my-app", "local", "running", 1.0, 99.0, {"a": 2, "b": 1, "contracts": [1, 2]}))
    assert digest_of(store, ID) == first, "neither the order nor the time of the change counts"
    seen = {first}
    for changed in (made.with_data(contracts=[1]), made.with_data(b=2), made.with_data(c=None)):
        store.save(changed)
        seen.add(digest_of(store, ID))
    store.save(Deployment(ID, "my-app", "local", "failed", 1.0, 1.0, made.data))
    seen.add(digest_of(store, ID))
    store.add_release("r1", ID, {})
    assert digest_of(store, ID) in seen, "only a release that is live counts"
    store.set_release_live("r1", ID)
    seen.add(digest_of(store, ID))
    assert len(seen) == 6
    store.forget(ID)
    assert digest_of(store, ID) == ""


@pytest.mark.parametrize(
    ("error", "outcome"), [(None, "succeeded"), (StateError("x"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_a_change_has_an_entry_before_and_one_after(store: Store, error: BaseException | None, outcome: str) -> None:
    def work() -> None:
        with audited(store, "state repair", ID, name="my-app") as turn:
            (begun,) = store.audit_entries()
            assert (begun.facts["phase"], begun.facts["before"]) == ("begun", "")
            store.save(Deployment(ID, "my-app", "local", "running", 1.0, 1.0))
            turn.facts["mended"] = 2
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            work()
    else:
        work()
    ended = store.audit_entries(limit=1)[0].facts
    assert (ended["phase"], ended["outcome"], ended["name"], ended["mended"]) == ("ended", outcome, "my-app", 2)
    assert (ended["before"], ended["after"]) == ("", digest_of(store, ID))


# Commands


def test_the_log_is_shown_newest_first_and_of_one_deployment_also_when_it_is_gone(store: Store) -> None:
    assert run() == ""
    store.save(Deployment(ID, "my-app", "local", "running", 1.0, 1.0))
    store.append_audit(action="up", deployment=ID, name="my-app", network="local", phase="begun", run=1)
    store.append_audit(
        action="up", deployment="f" * 16, name="other", network="main", phase="ended", outcome="failed", after="12345678x"
    )
    lines = run().splitlines()
    assert re.match(r"NO +WHEN \(UTC\) +WHO +ACTION +APP +NETWORK +BEFORE +AFTER +OUTCOME", lines[0])
    assert [line.split()[0] for line in lines[1:]] == ["2", "1"]
    assert "up (run 1)" in lines[2] and "begun" in lines[2] and "12345678 " in lines[1]
    assert [item["name"] for item in json.loads(run("--json"))] == ["other", "my-app"]
    assert [item["seq"] for item in json.loads(run("--json", "--limit", "1"))] == [2]
    for words in (("my-app",), ("0123",), ("my-app", "--limit", "5"), ("--limit", "5", "my-app")):
        assert [item["name"] for item in json.loads(run(*words, "--json"))] == ["my-app"]
    for words in (("other",), ("ffff",)):  # Nothing of it is left but this.
        assert [item["name"] for item in json.loads(run(*words, "--json"))] == ["other"]
    with pytest.raises(NotFoundError):
        run("nope")


def test_a_long_log_is_read_in_portions(store: Store) -> None:
    fill(store, 450)
    assert [item.number for item in store.audit_entries(limit=420)][::419] == [450, 31]
    assert [item.number for item in store.audit_chain()] == list(range(1, 451))


def test_a_whole_log_says_its_last_hash(store: Store) -> None:
    fill(store, 2)
    number, head = store.audit_head()
    assert run("verify") == f"The audit log is whole: {number} entries, the last one has hash {head}.\n"
    assert json.loads(run("verify", "--json")) == {"whole": True, "entries": 2, "head": head, "broken": None}


def script() -> str:
    page = (Path(__file__).resolve().parents[2] / "docs" / "audit.md").read_text()
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1]


def test_anybody_can_verify_an_export_with_the_five_lines_of_the_docs(store: Store, tmp_path: Path) -> None:
    code = script()
    assert len([line for line in code.splitlines() if line]) == 5
    (tmp_path / "verify.py").write_text(code)

    def verified(text: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-I", str(tmp_path / "verify.py")], input=text, capture_output=True, text=True, cwd=tmp_path
        )
        return done.returncode, done.stderr

    fill(store)
    exported = run("export", "--json")
    assert run("export") == exported
    lines = exported.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert verified(exported) == (0, "")
    assert verified("") == (0, "")
    for bad in (
        exported.replace('\\"n\\": 3', '\\"n\\": 9'), "\n".join(lines[:2] + lines[3:]), "\n".join(lines[1:]),
        "\n".join([*lines[:3], lines[1], *lines[3:]]),
    ):  # fmt: skip
        code_, said = verified(bad)
        assert code_ == 1 and "is broken" in said
