"""Ansible with our callback plugin, on this computer through a real sshd."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Sshd, free_port
from tfgrid_compose.drivers import ansible, ssh
from tfgrid_compose.errors import PlatformError

pytestmark = pytest.mark.integration


# What would run here, as whoever runs us, if Ansible took it for a template.
EVIL = "{{ lookup('ansible.builtin.pipe', 'touch %/ran') }}"


class Run:
    """One playbook on one machine; what it told is kept."""

    def __init__(self, folder: Path, target: ssh.Target) -> None:
        self.folder, self.target = folder, target
        self.told: list[tuple[str, bool]] = []
        self.variables: dict[str, object] = {"own": "of this machine"}
        self.log = folder / "logs" / "ansible.log"

    def __call__(self, tasks: str, check: bool = False, **variables: object) -> ansible.Outcome:
        """Run tasks; `%` in them stands for a folder."""
        (self.folder / "site.yml").write_text(
            "- name: A play\n  hosts: app\n  gather_facts: false\n  tasks:\n" + tasks.replace("%", str(self.folder))
        )
        return ansible.run(
            self.folder / "site.yml",
            [ansible.Host("one", self.target, ("app", "vm"), self.variables)],
            variables,
            folder=self.folder / "private",
            log=self.log,
            on_task=lambda name, milestone: self.told.append((name, milestone)),
            redact=lambda text: text.replace("hunter2", "«redacted»"),
            check=check,
        )


@pytest.fixture
def play(runtime: Path, tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run on this computer. Mitogen would leave processes; the plain connection is what everybody has."""
    monkeypatch.setenv("TFGRID_MITOGEN", "0")
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "nonsense-of-the-user")
    monkeypatch.setenv("ANSIBLE_CONFIG", "/nowhere/ansible.cfg")
    target = sshd.target(alias="ansible")
    ssh.Connection(target)
    return Run(tmp_path, target)


COPY = """    - name: Write a file
      ansible.builtin.copy: {dest: %/written, content: "{{ word }} {{ own }}", mode: "0600"}
    - name: Look only
      ansible.builtin.command: cat %/written
      changed_when: false
      check_mode: false
      failed_when: false
"""


def test_tasks_run_are_told_and_what_changed_is_listed(play: Run) -> None:
    outcome = play(COPY, word="a word", secret="hunter2")
    assert (play.folder / "written").read_text() == "a word of this machine"
    assert (outcome.tasks, outcome.changed) == (2, ("Write a file",))
    assert play.told == [("Write a file", False), ("Look only", False)]
    assert stat.S_IMODE(play.log.stat().st_mode) == 0o600


def test_a_check_run_says_what_would_change_and_changes_nothing(play: Run) -> None:
    assert play(COPY.split("    - name: Look only")[0], check=True, word="x").changed == ("Write a file",)
    assert not (play.folder / "written").exists()


FAIL = """    - name: Fail with a reason
      ansible.builtin.command: sh -c 'echo to stdout; echo hunter2 is the reason >&2; exit 4'
    - name: Never reached
      ansible.builtin.command: touch %/never
"""


def test_a_failing_task_is_named_with_its_last_lines_and_stops_the_play(play: Run) -> None:
    with pytest.raises(PlatformError) as caught:
        play(FAIL)
    error = caught.value
    assert error.what == "Ansible failed on one in task «Fail with a reason»"
    assert "non-zero return code" in error.why
    assert error.log == str(play.log)
    assert error.exit_code == 9
    assert not (play.folder / "never").exists()
    assert "hunter2" not in play.log.read_text()
    assert error.details == ["«redacted» is the reason"]


def test_the_error_of_a_failing_task_holds_no_secret(play: Run) -> None:
    with pytest.raises(PlatformError) as caught:
        play(FAIL)
    assert "hunter2" not in json.dumps(caught.value.to_dict())


ECHO = """    - name: What a module knows of its settings
      ansible.builtin.command: echo hello
"""


@pytest.mark.parametrize("tasks", [ECHO, FAIL])
def test_what_ansible_was_given_is_gone_after_the_run_and_not_told_to_the_journal(
    play: Run, tasks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, bytes] = {}
    real = ansible._copy

    def look(*arguments: Any) -> Any:
        for path in (play.folder / "private").glob("*.*"):
            given[path.name] = path.read_bytes()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        return real(*arguments)

    monkeypatch.setattr(ansible, "_copy", look)
    with contextlib.suppress(PlatformError):
        play(tasks, word="hunter2-of-the-app")
    assert b"hunter2-of-the-app" in given["variables.json"], "it needs them while it runs"
    left = [path for path in (play.folder / "private").rglob("*") if path.is_file()]
    assert not [path for path in left if b"hunter2-of-the-app" in path.read_bytes()]
    assert {"variables.json", "inventory.yml"} & {path.name for path in left} == set()
    assert ansible.settings(play.folder, 1)["ANSIBLE_NO_TARGET_SYSLOG"] == "True"


def test_a_task_without_logging_gives_nothing_away(play: Run) -> None:
    with pytest.raises(PlatformError) as caught:
        play('    - name: Quiet\n      ansible.builtin.fail: {msg: "hunter3"}\n      no_log: true\n')
    assert "hunter3" not in json.dumps(caught.value.to_dict())
    assert caught.value.why == "the task gave no message"


def test_an_ignored_failure_is_none_and_a_retry_is_told(play: Run) -> None:
    outcome = play(
        "    - name: Ignored\n      ansible.builtin.command: 'false'\n      ignore_errors: true\n"
        "    - name: Second try works\n      ansible.builtin.command: mkdir %/made/deeper\n      register: made\n"
        "      until: made.rc == 0\n      retries: 2\n      delay: 0\n      ignore_errors: true\n"
    )
    assert outcome.tasks == 2
    assert any(text.startswith("trying again") and milestone for text, milestone in play.told)


def test_a_machine_that_does_not_answer_is_lost_not_failed(play: Run, sshd: Sshd) -> None:
    play.target = sshd.target(alias="gone", port=free_port())
    with pytest.raises(PlatformError) as caught:
        play(COPY, word="x")
    assert caught.value.what.startswith("Ansible lost one in task «Write a file»")
    assert "Connection refused" in caught.value.why + " ".join(caught.value.details)
    assert "tfgrid-compose up" in caught.value.fix


def test_a_playbook_that_is_no_yaml_fails_with_ansibles_own_words(play: Run) -> None:
    with pytest.raises(PlatformError) as caught:
        play("    - name: [unclosed\n")
    assert caught.value.what == "Ansible exited with 4 on site.yml"
    assert str(play.log) in caught.value.fix


def test_stopping_ends_ansible(play: Run) -> None:
    def stop(text: str) -> str:
        raise KeyboardInterrupt

    marker = play.folder / "marker"
    (play.folder / "site.yml").write_text(
        "- hosts: app\n  gather_facts: false\n  tasks:\n    - ansible.builtin.command: sleep 30\n"
        f"    - ansible.builtin.command: touch {marker}\n"
    )
    with pytest.raises(KeyboardInterrupt):
        ansible.run(
            play.folder / "site.yml", [ansible.Host("one", play.target, ("app",))], {}, folder=play.folder / "private",
            log=play.log, on_task=lambda *_: None, redact=stop,
        )  # fmt: skip
    assert not marker.exists()
    running = [Path(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit()]
    assert not [path for path in running if path.exists() and str(play.folder / "site.yml").encode() in path.read_bytes()]


@pytest.mark.parametrize("mitogen", ["0", "1"])
def test_no_value_of_anybody_is_a_template(play: Run, monkeypatch: pytest.MonkeyPatch, mitogen: str) -> None:
    monkeypatch.setenv("TFGRID_MITOGEN", mitogen)
    evil = EVIL.replace("%", str(play.folder))
    play.variables = {"mycelium_ip": evil, "nested": {"list": [evil]}}
    outcome = play(
        "    - name: Use every value\n"
        "      ansible.builtin.copy:\n"
        "        dest: %/seen\n"
        "        mode: '0600'\n"
        '        content: \'{{ mycelium_ip }} {{ nested.list[0] }} {{ word }} {{ ports | map(attribute="name") | join(",") }}\'\n',
        word=evil,
        ports=[{"number": 80, "name": evil}],
    )
    assert outcome.tasks == 1
    assert (play.folder / "seen").read_text() == f"{evil} {evil} {evil} {evil}"
    assert not (play.folder / "ran").exists()
