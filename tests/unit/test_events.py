"""Events: their JSON form, and that every subscriber gets them without secrets."""

from __future__ import annotations

import json

from tfgrid_compose.observe import events
from tfgrid_compose.observe.events import Event, RunEnded, RunStarted, Stream
from tfgrid_compose.observe.ownwords import Ours
from tfgrid_compose.observe.redact import MASK, Redactor


def test_an_event_is_json_with_its_kind_first() -> None:
    event = RunStarted("run-started", run=3, command="up", deployment="d", name="n", steps=(("ship", 1.5),), at=10.0)
    facts = event.to_dict()
    assert list(facts)[0] == "event"
    assert json.loads(json.dumps(facts)) == {
        "event": "run-started", "at": 10.0, "run": 3, "command": "up", "deployment": "d", "name": "n", "steps": [["ship", 1.5]],
    }  # fmt: skip


def test_the_makers_fill_in_the_kind() -> None:
    assert events.step_started("ship", "Ship").kind == "step-started"
    assert events.step_progress("ship", "half", milestone=True).milestone is True
    assert events.step_ended("ship", "done", 1.23456).seconds == 1.235
    retry = events.step_retry("ship", 2, 5, 4.26, "why")
    assert (retry.kind, retry.attempt, retry.attempts, retry.wait, retry.reason) == ("step-retry", 2, 5, 4.3, "why")
    assert (events.notice("careful", "warning").level, events.notice("hello").level) == ("warning", "info")


def test_events_are_stamped_with_the_time_in_order() -> None:
    first, second = Event("a"), Event("b")
    assert 1_600_000_000 < first.at <= second.at


def test_every_subscriber_gets_every_event_in_order() -> None:
    stream, one, other = Stream(), list[Event](), list[Event]()
    stream.subscribe(one.append)
    stream.emit(events.notice("first"))
    stream.subscribe(other.append)
    stream.emit(events.notice("second"))
    assert [getattr(event, "text", "") for event in one] == ["first", "second"]
    assert [getattr(event, "text", "") for event in other] == ["second"]


def test_no_subscriber_ever_sees_a_secret_at_any_depth() -> None:
    redactor = Redactor()
    redactor.add("hunter2!")
    stream, seen = Stream(redactor), list[Event]()
    stream.subscribe(seen.append)
    stream.emit(events.notice("the password is hunter2!"))
    stream.emit(RunEnded("run-ended", outcome="failed", error={"details": ["x", "key=hunter2!"], "n": {"a": ("hunter2!",)}}))
    stream.emit(RunStarted("run-started", steps=(("hunter2!", 1.0),)))
    assert "hunter2!" not in json.dumps([event.to_dict() for event in seen])
    assert str([event.to_dict() for event in seen]).count(MASK) == 4
    assert [type(event).__name__ for event in seen] == ["Notice", "RunEnded", "RunStarted"]


def test_a_secret_learnt_during_the_run_is_masked_from_then_on() -> None:
    stream, seen = Stream(), list[Event]()
    stream.subscribe(seen.append)
    stream.emit(events.notice("s3cr3t"))
    stream.redactor.add("s3cr3t")
    stream.emit(events.notice("s3cr3t"))
    assert [getattr(event, "text", "") for event in seen] == ["s3cr3t", MASK]


def test_masking_leaves_the_time_and_the_original_event_alone() -> None:
    redactor = Redactor()
    redactor.add("hunter2!")
    event = events.notice("hunter2!")
    assert redactor.event(event).at == event.at
    assert event.text == "hunter2!"


def test_our_own_words_stay_even_if_a_secret_is_one_of_them() -> None:
    redactor = Redactor()
    redactor.add("failed", "infrastructure", "step-ended", "hook-failed", "release", "my-app", "local", "8080")
    redactor.own.add("my-app")
    event = redactor.event(events.step_ended("infrastructure", "failed", 1.0, "hook failed; release #1 of my-app, port 8080"))
    assert (event.kind, event.step, event.outcome) == ("step-ended", "infrastructure", "failed")
    assert event.text == "hook failed; release #1 of my-app, port 8080"
    started = redactor.event(RunStarted("run-started", name="my-app", command="up", steps=(("infrastructure", 1.0),)))
    assert (started.name, started.steps) == ("my-app", (("infrastructure", 1.0),))


def test_what_comes_from_outside_is_masked_also_in_our_sentences() -> None:
    redactor = Redactor()
    redactor.add("hunter2!", "failed", "zebra-crossing", "correct horse")
    for text in ("hook hunter2! ended", "it says zebra-crossing", "aHVudGVyMiE=", "correct horse", "it says correct\nhorse"):
        for event in (events.notice(text), events.step_started("ship", text), events.step_ended("ship", "done", 1.0, text)):
            assert MASK in redactor.event(event).text, text
    assert redactor.event(events.step_progress("setup", "it failed")).text == f"it {MASK}", "a hook may have printed it"
    assert redactor.event(events.step_progress("setup", Ours("it failed"))).text == "it failed"


def test_an_error_is_redacted_by_its_fields() -> None:
    redactor = Redactor()
    redactor.add("failed", "healthcheck", "hunter2!", "my-app", ".local", "exited")
    redactor.own.add("my-app")
    facts = {
        "code": "hook-failed", "what": "hook healthcheck failed", "why": "curl: healthcheck failed",
        "details": ["healthcheck of my-app failed"], "log": "/home/me/.local/state/healthcheck.log", "exit_code": 9,
        "fix": "tfgrid-compose logs my-app --hook healthcheck --run 1, hunter2!",
    }  # fmt: skip
    ended = redactor.event(RunEnded("run-ended", outcome="failed", error=facts))
    assert ended.error == {
        **facts, "why": f"curl: {MASK} {MASK}", "details": [f"{MASK} of {MASK} {MASK}"],
        "fix": f"tfgrid-compose logs my-app --hook healthcheck --run 1, {MASK}",
    }  # fmt: skip
    assert redactor.facts({"why": Ours("it exited with 1")}) == {"why": "it exited with 1"}
    assert redactor.told("hook failed", "it failed") == f"hook failed: it {MASK}"
