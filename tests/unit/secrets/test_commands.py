"""Values for apps, and the `secrets` commands: no value is shown, on the command line, or needed twice."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sentinel import find, scan
from tests.unit.secrets.database import VALUE, A, B
from tfgrid_compose.cli import main as entry
from tfgrid_compose.state import backups, keys, paths
from tfgrid_compose.state.secrets import Secrets, folder_owner
from tfgrid_compose.state.store import Deployment, Store

# Values for apps


def test_values_for_apps_are_kept_by_owner_with_their_time(store: Store) -> None:
    folder = folder_owner(Path("/app"))
    before = time.time()
    store.set_app_secret(A, "TOKEN", "one")
    store.set_app_secret(A, "OTHER", "two")
    store.set_app_secret(folder, "TOKEN", "three")
    assert store.app_secrets(A) == {"TOKEN": "one", "OTHER": "two"}
    assert store.app_secrets(folder) == {"TOKEN": "three"}
    assert store.app_secrets(B) == {}
    assert before <= store.app_secrets_changed(A)["TOKEN"] <= time.time()
    store.set_app_secret(A, "TOKEN", None)
    store.set_app_secret(A, "OTHER", None)
    assert (store.app_secrets(A), store.secret(A, "app-secrets")) == ({}, None)


def test_forgetting_a_value_forgets_that_the_last_up_was_given_it(store: Store) -> None:
    store.set_secret(A, "environment", json.dumps({"TOKEN": "one", "OTHER": "two"}).encode())
    store.set_app_secret(A, "TOKEN", "one")
    store.set_app_secret(A, "TOKEN", None)
    assert json.loads(store.secret(A, "environment") or b"") == {"OTHER": "two"}


# The commands

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def app(app_folder: Path) -> Path:
    (app_folder / "tfgrid-compose.yaml").write_text(
        "name: my-app\nenvironment:\n  - name: API_TOKEN\n    secret: true\n  - name: DB_PASSWORD\n    secret: true\n  - name: GREETING\n"
    )
    return app_folder


@pytest.fixture
def call(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Run the command line in this process, with standard input: (exit code, standard output, standard error)."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.delenv("TFGRID_PASSPHRASE_FILE", raising=False)

    def run(*words: str, given: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tfgrid-compose", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        with pytest.raises(SystemExit) as ended:
            entry.main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return int(ended.value.code or 0), out, err

    return run


def deploy(folder: Path, id: str = A) -> None:
    with Store() as store:
        store.save(Deployment(id, "my-app", "local", "running", 1.0, 1.0, {"app_dir": str(folder)}))


def test_a_value_comes_from_standard_input_or_a_file_and_is_never_shown(call: Call, app: Path, tmp_path: Path) -> None:
    code, out, err = call("secrets", "set", str(app), "API_TOKEN", given=VALUE + b"\n")
    assert (code, err) == (0, "")
    assert out == f"API_TOKEN of my-app is set. `tfgrid-compose up {app}` brings it to the machine.\n"
    (tmp_path / "value").write_bytes(b"line 1\nline 2\r\n")
    assert call("secrets", "set", str(app), "DB_PASSWORD", "--from-file", str(tmp_path / "value"))[0] == 0
    with Store() as store:
        assert store.app_secrets(folder_owner(app)) == {"API_TOKEN": VALUE.decode(), "DB_PASSWORD": "line 1\nline 2"}
        entry = store.audit_entries(limit=1)[0]
    assert (entry.facts["action"], entry.facts["detail"], entry.facts["outcome"]) == (
        "secrets set",
        "variable DB_PASSWORD",
        "succeeded",
    )
    code, out, err = call("secrets", "list", str(app))
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["NAME", "FROM"],
        ["API_TOKEN", "folder"],
        ["DB_PASSWORD", "folder"],
    ]
    assert find((out + err).encode(), [VALUE]) == []
    assert scan([paths.state_dir()], [VALUE]) == []


def test_in_the_app_folder_its_name_is_not_needed_whatever_else_is_deployed(
    call: Call, app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store() as store:
        store.save(Deployment(B, "other", "local", "running", 1.0, 1.0, {"app_dir": "/other"}))
    monkeypatch.chdir(app)
    assert call("secrets", "set", "API_TOKEN", given=b"one")[1] == (
        "API_TOKEN of my-app is set. `tfgrid-compose up` brings it to the machine.\n"
    )
    with Store() as store:
        assert (store.app_secrets(folder_owner(app)), store.app_secrets(B)) == ({"API_TOKEN": "one"}, {})


def test_a_deployment_has_values_of_its_own_before_those_of_its_folder(call: Call, app: Path) -> None:
    call("secrets", "set", str(app), "API_TOKEN", given=b"of the folder")
    deploy(app)
    with Store() as store:
        store.set_secret(A, "environment", json.dumps({"DB_PASSWORD": "remembered", "GREETING": "hello"}).encode())
    assert call("secrets", "set", "my-app", "API_TOKEN", given=b"of the deployment")[0] == 0
    code, out, _ = call("secrets", "list", "my-app", "--json")
    facts = json.loads(out)
    assert [(item["name"], item["from"]) for item in facts] == [("API_TOKEN", "deployment"), ("DB_PASSWORD", "last-up")]
    assert facts[1]["changed"] is None and time.time() - facts[0]["changed"] < 60
    code, out, err = call("secrets", "unset", A[:6], "API_TOKEN")
    assert (code, "is forgotten" in out, "value of the app folder stays" in err) == (0, True, True)
    assert json.loads(call("secrets", "list", "my-app", "--json")[1])[0]["from"] == "folder"
    assert call("secrets", "unset", "my-app", "API_TOKEN")[0] == 0
    assert call("secrets", "unset", "my-app", "DB_PASSWORD")[0] == 0, "what is remembered can be forgotten too"
    facts = json.loads(call("secrets", "list", "my-app", "--json")[1])
    assert [(item["name"], item["from"]) for item in facts] == [("API_TOKEN", ""), ("DB_PASSWORD", "")]
    code, _, err = call("secrets", "unset", "my-app", "API_TOKN")
    assert (code, "API_TOKN of my-app is not set" in err) == (5, True)


def test_a_name_that_the_manifest_does_not_have_is_refused_with_the_nearest_one(call: Call, app: Path) -> None:
    code, _, err = call("secrets", "set", str(app), "API_TOKE", given=VALUE)
    assert (code, "did you mean `API_TOKEN`?" in err, VALUE.decode() in err) == (2, True, False)
    deploy(app)
    shutil.rmtree(app)
    code, out, _ = call("secrets", "set", "my-app", "ANYTHING", given=b"value")
    assert (code, "ANYTHING of my-app is set" in out) == (0, True), "without its folder nobody knows the names"


def test_a_variable_that_is_not_marked_as_secret_is_taken_with_a_word(call: Call, app: Path) -> None:
    code, _, err = call("secrets", "set", str(app), "GREETING", given=b"hello")
    assert (code, "secret: true" in err) == (0, True)


SPOKEN = "s3cret-on-the-command-line"


@pytest.mark.parametrize(
    "words",
    [["API_TOKEN=" + SPOKEN], ["{app}", "API_TOKEN=" + SPOKEN], ["API_TOKEN=" + SPOKEN, "API_TOKEN"], ["{app}", "API_TOKEN", SPOKEN],
     ["{app}", "API_TOKEN", "--" + SPOKEN], ["{app}", "API_TOKEN", "--value=" + SPOKEN], ["{app}", "API_TOKEN", "-" + SPOKEN],
     ["{app}", SPOKEN], [SPOKEN], ["{app}", "API_TOKEN", "--from-file"]],
)  # fmt: skip
@pytest.mark.parametrize("command", ["set", "unset"])
def test_a_value_on_the_command_line_is_refused_and_not_repeated(call: Call, app: Path, words: list[str], command: str) -> None:
    code, out, err = call("secrets", command, *(word.format(app=app) for word in words))
    assert (code, out) == (2, "")
    assert SPOKEN not in err
    assert "takes" in err or "take APP and NAME" in err
    assert scan([paths.state_dir()], [SPOKEN.encode()]) == []


@pytest.mark.parametrize(
    ("given", "why"),
    [(b"", "is empty"), (b"\n", "is empty"), (b"\xff\xfe", "UTF-8"), (b"a\0b", "zero byte"), (b"x" * 200_000, "100 KB")],
)  # fmt: skip
def test_a_value_that_no_environment_takes_is_refused(call: Call, app: Path, given: bytes, why: str) -> None:
    code, _, err = call("secrets", "set", str(app), "API_TOKEN", given=given)
    assert (code, why in err) == (2, True)


def test_what_is_not_there_is_named(call: Call, app: Path, tmp_path: Path) -> None:
    assert call("secrets", "set", "nothing", "API_TOKEN", given=b"x")[0] == 5
    assert call("secrets", "set", str(tmp_path), "API_TOKEN", given=b"x")[0] == 3
    code, _, err = call("secrets", "set", str(app), "API_TOKEN", "--from-file", "/nowhere/file")
    assert (code, "/nowhere/file can't be read" in err) == (2, True)
    code, _, err = call("secrets", "set")
    assert (code, "which variable?" in err) == (2, True)
    (app / "tfgrid-compose.yaml").write_text("name: my-app\n")
    code, out, err = call("secrets", "list", str(app))
    assert (code, out, "has no secrets" in err) == (0, "", True)


def test_rotate_says_what_it_did_and_the_log_remembers(call: Call, app: Path) -> None:
    call("secrets", "set", str(app), "API_TOKEN", given=VALUE)
    with Store() as store:
        old = store.vault.keys()
        damaged = backups.save(store.path, "damaged")
    damaged.path.write_bytes(b"nothing")
    code, out, err = call("secrets", "rotate")
    assert (code, out) == (0, "1 secret and 1 backup have a new key.\n")
    assert damaged.name in err
    with Store() as store:
        assert store.vault.keys().active != old.active
        assert store.app_secrets(folder_owner(app)) == {"API_TOKEN": VALUE.decode()}
        assert store.audit_entries(limit=1)[0].facts["action"] == "secrets rotate"


def test_the_key_is_shown_and_moved(call: Call, app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_COST", 2)
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    assert "There is no key yet" in call("secrets", "key")[1]
    call("secrets", "set", str(app), "API_TOKEN", given=VALUE)
    assert json.loads(call("secrets", "key", "--json")[1]) == {
        "source": "file", "file": str(paths.state_dir() / "key"), "exists": True,
    }  # fmt: skip
    (tmp_path / "pass").write_text("four words make one\n")
    code, out, err = call("secrets", "key", "--to", "passphrase", "--passphrase-file", str(tmp_path / "pass"))
    assert (code, "a passphrase opens it" in out, "secrets rotate" in err) == (0, True, True)
    assert call("secrets", "rotate")[0] == 0
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    monkeypatch.setattr(keys, "ask_hidden", lambda _: None)
    code, _, err = call("secrets", "list", str(app))
    assert (code, "TFGRID_PASSPHRASE_FILE" in err) == (10, True)
    monkeypatch.setenv("TFGRID_PASSPHRASE_FILE", str(tmp_path / "pass"))
    assert "API_TOKEN" in call("secrets", "list", str(app))[1]
    assert call("secrets", "key", "--to", "file")[0] == 0
    monkeypatch.delenv("TFGRID_PASSPHRASE_FILE")
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    with Store() as store:
        assert store.app_secrets(folder_owner(app)) == {"API_TOKEN": VALUE.decode()}


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        (["four words", "four words"], 0, ""),
        (["four words", "for words"], 2, "differ"),
        (["short", "short"], 2, "too short"),
        ([None], 10, "--passphrase-file"),
    ],
)
def test_a_new_passphrase_is_asked_twice(
    call: Call, app: Path, monkeypatch: pytest.MonkeyPatch, answers: list[str | None], code: int, said: str
) -> None:
    monkeypatch.setattr(keys, "_COST", 2)
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    call("secrets", "set", str(app), "API_TOKEN", given=VALUE)
    left = list(answers)
    monkeypatch.setattr(keys, "ask_hidden", lambda _: left.pop(0))
    found, _, err = call("secrets", "key", "--to", "passphrase")
    assert (found, said in err, left) == (code, True, [])
    with Store() as store:
        assert store.app_secrets(folder_owner(app)) == {"API_TOKEN": VALUE.decode()}
        assert store.vault.file.source() == ("passphrase" if code == 0 else "file")


def test_the_passphrase_is_changed_when_the_old_one_is_known(
    call: Call, app: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keys, "_COST", 2)
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    call("secrets", "set", str(app), "API_TOKEN", given=VALUE)
    left = ["first words", "first words"]
    monkeypatch.setattr(keys, "ask_hidden", lambda _: left.pop(0))
    assert call("secrets", "key", "--to", "passphrase")[0] == 0
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    left = ["first words", "second words", "second words"]
    assert call("secrets", "key", "--to", "passphrase")[0] == 0
    monkeypatch.setattr(keys, "_PASSPHRASES", {})
    left = ["first words", "first words", "first words"]
    assert call("secrets", "list", str(app))[0] == 10
    left = ["second words"]
    assert call("secrets", "list", str(app))[0] == 0


def test_a_file_of_a_passphrase_without_a_passphrase_is_a_mistake(call: Call) -> None:
    assert call("secrets", "key", "--to", "file", "--passphrase-file", "/x")[0] == 2


def test_on_a_terminal_the_value_is_asked_for_and_not_shown(home: Path, app: Path) -> None:
    """In a terminal of its own, as a person has it."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(app)
        os.execv(sys.executable, [sys.executable, "-m", "tfgrid_compose", "secrets", "set", "API_TOKEN"])
    shown = b""
    asked = False
    try:
        while True:
            read = os.read(terminal, 1000)
            shown += read
            if b"not shown" in shown and not asked:
                asked = True
                os.write(terminal, VALUE + b"\n")
            if not read:
                break
    except OSError:  # The terminal is gone with its last process.
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert re.search(rb"Value of API_TOKEN \(not shown\)", shown)
    assert b"is set" in shown
    assert VALUE not in shown
    with Store() as store:
        assert store.app_secrets(folder_owner(app)) == {"API_TOKEN": VALUE.decode()}


def test_secrets_is_a_part_of_the_store() -> None:
    assert issubclass(Store, Secrets)
