"""What `explained` makes of an error: reason, fix and cause, and nothing twice."""

from __future__ import annotations

import pytest

from tests.unit.diagnosis.said import grid, task
from tfgrid_compose.errors import GridError, HookError, InfrastructureError, ReachError
from tfgrid_compose.observe.diagnosis import all_failures, explained, find


def test_an_error_that_nobody_knows_stays_as_it_is() -> None:
    error = HookError("a", why="b", fix="c", details=["d"])
    assert explained(error) is error
    assert error.to_dict() == {"code": "hook-failed", "what": "a", "why": "b", "fix": "c", "details": ["d"], "exit_code": 9}
    assert error.transient is False


def test_an_explained_error_has_reason_fix_and_cause_and_keeps_what_it_said() -> None:
    error = grid("could not reach node 11: context deadline exceeded")
    assert explained(error, "my-app", "infrastructure") is error
    assert error.to_dict() == {
        "code": "infrastructure", "cause": "node-unreachable", "what": "`terraform apply` failed", "why": "the node does not answer",
        "fix": "tfgrid-compose up my-app --node ID", "details": ["could not reach node 11: context deadline exceeded"], "log": "/l",
        "exit_code": 7,
    }  # fmt: skip
    assert error.transient is True


def test_what_was_said_comes_last_and_only_once() -> None:
    error = task("E: Could not get lock /var/lib/dpkg/lock-frontend")
    error.details = ["first", "second"]
    assert explained(error).details == ["first", "second", "E: Could not get lock /var/lib/dpkg/lock-frontend"]
    error = HookError("a", why="Killed", details=["x: Killed"])
    assert explained(error).details == ["x: Killed"]
    details: list[str] = []
    explained(HookError("a", why="Killed", details=details))
    assert details == [], "the caller's list is its own"


def test_explaining_twice_changes_nothing_more() -> None:
    error = explained(grid("ContractNotExists"), "my-app")
    before = error.to_dict()
    assert explained(error, "another").to_dict() == before


@pytest.mark.parametrize(
    ("code", "fix", "kept"),
    [
        (None, "", False),
        (
            None,
            "tfgrid-compose logs my-app --hook setup shows all of its output",
            False,
        ),  # The class's code: the site knew no reason.
        ("ship-failed", "tfgrid-compose up", False),
        ("ship-failed", "run the command again", False),
        ("machine-disk-full", "ask for a larger --disk", True),
    ],
)
def test_a_fix_that_knew_the_reason_is_kept(code: str | None, fix: str, kept: bool) -> None:
    error = explained(HookError("a", why="No space left on device", fix=fix, code=code), "my-app")
    assert error.fix == (fix if kept else "tfgrid-compose up my-app --disk 50")
    assert error.cause == "machine-disk-full"


def test_a_fix_without_a_name_takes_the_app_of_the_folder() -> None:
    for row in all_failures():
        assert "{" not in row.fix_for("").replace("${NAME", ""), row.code
        assert "  " not in row.fix_for(""), row.code
        assert row.fix_for("my-app").count("my-app") == row.fix.count("{name}"), row.code
    row = find("apt-lock")
    assert row is not None
    assert (row.fix_for(""), row.fix_for("a")) == ("tfgrid-compose up", "tfgrid-compose up a")


def test_what_has_waited_already_is_not_tried_again() -> None:
    waited = ReachError("the machine does not answer on 10.5.3.2", why="10.5.3.2: Connection refused")
    assert (explained(waited).cause, waited.transient) == ("ssh-refused", False)
    late = HookError("hook setup failed", why="it did not end within 60 s and was stopped", details=["Waiting for cache lock: x"])
    assert (explained(late).cause, late.transient) == ("apt-lock", False)


def test_a_mnemonic_in_a_message_is_not_shown() -> None:
    secret = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    said = f"error creating threefold plugin client: mnemonic/seed '{secret}' is invalid"
    for error in (grid(said), GridError(said), InfrastructureError("x", why=said, details=[said, f"more of '{secret}'"])):
        explained(error)
        assert error.cause == "mnemonic-invalid"
        assert "winner" not in f"{error.to_dict()} {error} {error!r}"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("failed to get twin for the given mnemonic/seed {}: websocket: close 1006", "twin-unasked"),
        ("error getting identity using '{}': invalid seed length", "mnemonic-invalid"),
        # What a row before these knows is the reason, and the message is as secret as ever.
        ("account not found: failed to get twin for the given mnemonic/seed {}", "account-not-activated"),
        ("insufficient balance; error getting identity using '{}'", "fee-unpayable"),
    ],
)
def test_a_secret_of_the_provider_is_not_shown_whatever_the_reason(said: str, cause: str) -> None:
    secret = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    text = said.format(secret)
    for error in (grid(text), GridError(text), InfrastructureError("x", why="y", details=["z", text])):
        explained(error)
        assert "winner" not in f"{error.to_dict()} {error} {error!r}"
        assert error.cause in (cause, "twin-unasked", "mnemonic-invalid")


def test_find_knows_codes_and_nothing_else() -> None:
    assert find("apt-lock") in all_failures()
    assert find("apt-lok") is None and find("") is None
