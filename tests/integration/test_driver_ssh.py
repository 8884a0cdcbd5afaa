"""OpenSSH against a real sshd on loopback."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.integration.conftest import Sshd, free_port
from tfgrid_compose.drivers import ssh
from tfgrid_compose.errors import EnvironmentError_, ReachError

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("runtime")]


@pytest.fixture
def connection(sshd: Sshd) -> ssh.Connection:
    """A connection, closed by whoever opened its master: `ControlPersist` ends it else."""
    return ssh.Connection(sshd.target())


def test_a_command_gives_its_output_and_exit_code(connection: ssh.Connection) -> None:
    done = connection.run("echo out; echo err >&2; exit 3")
    assert (done.code, done.stdout, done.stderr, done.ok) == (3, "out\n", "err\n", False)
    connection.close()


def test_commands_share_one_connection_until_it_is_closed(connection: ssh.Connection) -> None:
    socket_ = connection.target.control_path
    first = connection.run("echo $SSH_CONNECTION").stdout
    assert stat.S_ISSOCK(socket_.stat().st_mode)
    assert stat.S_IMODE(socket_.parent.stat().st_mode) == 0o700
    assert connection.run("echo $SSH_CONNECTION").stdout == first
    connection.close()
    # The shared connection acknowledges first, then ends and removes its socket.
    deadline = time.monotonic() + 5
    while socket_.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not socket_.exists()
    assert connection.run("echo $SSH_CONNECTION").stdout != first
    connection.close()


def test_closing_a_connection_that_never_was_is_no_error(connection: ssh.Connection) -> None:
    connection.close()
    assert not connection.target.control_path.exists()


def test_input_reaches_the_command_byte_for_byte(connection: ssh.Connection) -> None:
    data = bytes(range(256)) * 4096
    done = connection.run("sha256sum", input=data)
    import hashlib

    assert done.stdout.split()[0] == hashlib.sha256(data).hexdigest()
    connection.close()


def test_without_input_a_command_reads_nothing(connection: ssh.Connection) -> None:
    assert connection.run("cat").stdout == ""
    connection.close()


def test_lines_arrive_while_the_command_still_runs(connection: ssh.Connection, tmp_path: Path) -> None:
    flag, seen = tmp_path / "flag", []

    def on_line(line: str) -> None:
        seen.append(line)
        flag.touch()

    # The command ends only when its first line has been passed on.
    code = connection.stream(f"echo first; until [ -e {flag} ]; do sleep 0.02; done; echo second >&2; exit 7", on_line)
    assert (code, seen) == (7, ["first", "second"])
    connection.close()


def test_a_stream_takes_input_too(connection: ssh.Connection) -> None:
    lines: list[str] = []
    assert connection.stream("cat", lines.append, input="a\r\nü\n".encode()) == 0
    assert lines == ["a", "ü"]
    connection.close()


def test_a_stream_that_is_stopped_leaves_no_ssh_behind(connection: ssh.Connection) -> None:
    started: list[int] = []

    def stop(line: str) -> None:
        started.append(1)
        raise KeyboardInterrupt

    before = set(children())
    connection.run("true")
    with pytest.raises(KeyboardInterrupt):
        connection.stream("echo go; sleep 60", stop)
    assert started == [1]
    connection.close()
    assert set(children()) <= before


def children() -> list[str]:
    """The pids of ssh clients that are children of this process."""
    done = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())], capture_output=True, text=True)
    return [line.split()[0] for line in done.stdout.splitlines() if line.split()[1] == "ssh"]


def test_a_command_that_takes_too_long_is_a_lost_connection(connection: ssh.Connection) -> None:
    with pytest.raises(ReachError, match=r"the connection to the-machine \(127.0.0.1\) failed") as caught:
        connection.run("sleep 60", timeout=0.2)
    assert caught.value.why == "a command did not end within 0.2 s"
    connection.close()


def test_a_connection_that_the_server_cuts_is_lost(sshd: Sshd, connection: ssh.Connection) -> None:
    with pytest.raises(ReachError) as caught:
        connection.run("kill -9 $PPID; sleep 5")
    assert caught.value.why
    assert "tfgrid-compose up" in caught.value.fix
    connection.close()


def test_an_ssh_that_is_killed_is_a_lost_connection(connection: ssh.Connection) -> None:
    before = set(children())

    def kill() -> None:
        while not (new := set(children()) - before):
            time.sleep(0.05)
        os.kill(int(new.pop()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ReachError) as caught:
        connection.run("sleep 30")
    killer.join()
    assert caught.value.why == "ssh was ended by signal 9"
    connection.close()


def test_a_stream_that_the_server_cuts_has_no_exit_code(connection: ssh.Connection) -> None:
    line = "echo before; kill -9 $PPID; sleep 5"
    assert connection.stream(line, lambda line: None) is None
    connection.close()


def test_a_closed_port_is_a_lost_connection(sshd: Sshd) -> None:
    with pytest.raises(ReachError) as caught:
        ssh.Connection(sshd.target(port=free_port(), alias="closed")).run("true")
    assert "Connection refused" in caught.value.why


def test_a_key_that_is_not_allowed_is_a_lost_connection(sshd: Sshd, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    with pytest.raises(ReachError) as caught:
        ssh.Connection(sshd.target(key=tmp_path / "other", alias="denied")).run("true")
    assert "Permission denied" in caught.value.why


def test_known_hosts_is_private_and_names_the_alias(sshd: Sshd, connection: ssh.Connection) -> None:
    connection.run("true")
    connection.close()
    path = connection.target.known_hosts
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "the-machine" in [line.split()[0] for line in path.read_text().splitlines()]


def test_a_machine_that_shows_another_key_is_not_trusted(sshd: Sshd, tmp_path: Path) -> None:
    target = sshd.target(alias="changed")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    wrong = (tmp_path / "other.pub").read_text().split()
    target.known_hosts.parent.mkdir(exist_ok=True)
    with target.known_hosts.open("a") as file:
        file.write(f"changed {wrong[0]} {wrong[1]}\n")
    with pytest.raises(ReachError) as caught:
        ssh.Connection(target).run("true")
    assert "Host key verification failed" in caught.value.why


def test_the_users_own_ssh_configuration_is_not_used(sshd: Sshd, connection: ssh.Connection) -> None:
    done = subprocess.run(
        ["ssh", "-G", *ssh.options(sshd.target()), "root@127.0.0.1"], capture_output=True, text=True, check=True
    )
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert found["identityfile"] == str(sshd.key)
    assert found["userknownhostsfile"] == str(connection.target.known_hosts)
    assert (found["batchmode"], found["identitiesonly"], found["stricthostkeychecking"]) == ("yes", "yes", "accept-new")
    assert ssh.options(sshd.target())[:2] == ["-F", "none"], "only this keeps ~/.ssh/config out"


def test_folders_may_have_spaces_in_their_names(sshd: Sshd, tmp_path: Path) -> None:
    folder = tmp_path / "my state"
    folder.mkdir()
    key = folder / "key"
    key.write_bytes(sshd.key.read_bytes())
    key.chmod(0o600)
    target = ssh.Target("127.0.0.1", key, folder / "known_hosts", "spaced", port=sshd.port)
    connection = ssh.Connection(target)
    try:
        assert connection.run("true").ok
        assert target.known_hosts.read_text().startswith("spaced ")
    finally:
        connection.close()


def test_a_missing_ssh_program_says_so(sshd: Sshd, connection: ssh.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EnvironmentError_, match="`ssh` is not installed"):
        connection.run("true")


# Waiting for a login


def test_the_preferred_address_wins_when_both_answer(sshd: Sshd) -> None:
    targets = [sshd.target(address, alias=f"w-{address}") for address in ("127.0.0.2", "127.0.0.1")]
    targets[0] = sshd.target("localhost", alias="w-first")
    found = ssh.wait_for_login(targets, deadline=10)
    assert found is targets[0]
    ssh.Connection(found).close()


def test_a_less_preferred_address_is_taken_when_the_better_one_is_dead(sshd: Sshd) -> None:
    targets = [sshd.target(port=free_port(), alias="dead"), sshd.target(alias="alive")]
    started = time.monotonic()
    found = ssh.wait_for_login(targets, deadline=1)
    assert found is targets[1]
    assert time.monotonic() - started >= 0.25, "the better one got its head start of a quarter of the deadline"
    ssh.Connection(found).close()


def test_a_machine_that_comes_up_late_is_waited_for(sshd: Sshd) -> None:
    sshd.stop()
    thread = threading.Thread(target=lambda: sshd.start())
    target = sshd.target(alias="late")
    thread.start()
    try:
        assert ssh.wait_for_login([target], deadline=20) is target
    finally:
        thread.join()
    ssh.Connection(target).close()


def test_when_nothing_answers_every_address_says_why(sshd: Sshd, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        def answer() -> None:
            while True:
                try:
                    client, _ = other.accept()
                except OSError:
                    return
                with client:
                    client.sendall(b"HTTP/1.1 200\r\n")

        threading.Thread(target=answer, daemon=True).start()
        targets = [sshd.target("127.0.0.1", port=free_port(), alias="a"), sshd.target("127.0.0.2", port=port, alias="b")]
        targets[1] = ssh.Target("127.0.0.1", sshd.key, targets[1].known_hosts, "b", port=port)
        with pytest.raises(ReachError) as caught:
            ssh.wait_for_login(targets, deadline=0.4)
        other.shutdown(socket.SHUT_RDWR)
    assert "Connection refused" in caught.value.why
    assert "something else than ssh answers" in caught.value.why


def test_a_login_that_is_refused_is_no_login(sshd: Sshd, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    with pytest.raises(ReachError) as caught:
        ssh.wait_for_login([sshd.target(key=tmp_path / "other", alias="refused")], deadline=0.2)
    assert "Permission denied" in caught.value.why


def test_a_login_that_hangs_is_one_that_does_not_work(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(words: list[str], **_: object) -> None:
        raise EnvironmentError_("it did not end within 30 s", code="command-timeout")

    monkeypatch.setattr(ssh, "run", hang)
    with pytest.raises(ReachError):
        ssh.wait_for_login([sshd.target(alias="hangs")], deadline=0.2)


def test_becoming_ssh_passes_streams_and_exit_code_through(sshd: Sshd) -> None:
    words = ssh.argv(sshd.target(), "cat; exit 9", share=False)
    code = f"from tfgrid_compose.drivers.ssh import replace_process; replace_process({words!r})"
    done = subprocess.run([sys.executable, "-c", code], input="through\n", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (9, "through\n")


def test_a_relayed_command_passes_streams_and_exit_code_through_behind_its_mark(sshd: Sshd) -> None:
    line = "echo a greeting; printf 'half a line '; printf '%s\\n' MARK; cat; printf 'no end'; echo error >&2; exit 255"
    words = ssh.argv(sshd.target(), line, share=False)
    code = f"import sys; from tfgrid_compose.drivers.ssh import relay; sys.exit(relay({words!r}, 'MARK'))"
    done = subprocess.run([sys.executable, "-c", code], input=b"through\n\xff\n", capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (255, b"through\n\xff\nno end", b"error\n")


@pytest.mark.parametrize("code", [0, 1, 127, 137, 143, 254, 255])
def test_a_commands_own_exit_code_is_no_broken_connection(connection: ssh.Connection, code: int) -> None:
    assert connection.run(f"echo said; echo so >&2; exit {code}").code == code
    assert connection.stream(f"exit {code}", lambda line: None) == code
    connection.close()


@pytest.mark.parametrize("text", ["", "a", "a\n", "a\n\n", "\n", "\n\na", "a\n\nb\n"])
def test_marks_leave_output_as_it_is(connection: ssh.Connection, text: str) -> None:
    lines: list[str] = []
    command = f"printf '{text.encode('unicode_escape').decode()}'"
    assert connection.run(command).stdout == text
    assert connection.stream(command, lines.append) == 0
    assert lines == text.splitlines()
    connection.close()


def test_what_a_login_shell_says_by_itself_is_no_answer() -> None:
    mark = "MARK"
    answer = b"Welcome\nto vm" + f"{mark}\n".encode() + b"releases/1\n" + f"\n{mark} 255.\n".encode() + b"bye\n"
    assert ssh.unmarked(answer, mark) == (b"releases/1\n", 255)
    assert ssh.unmarked(b"Permission denied\n", mark) == (b"Permission denied\n", None)
    assert ssh.unmarked(f"hi\n{mark}\nhalf".encode(), mark) == (b"half", None)


def test_a_runtime_folder_with_a_long_name_is_no_obstacle(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("r" * 110)
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    target = sshd.target(alias="long")
    assert ssh.wait_for_login([target], 10) == target
    connection = ssh.Connection(target)
    assert connection.run("echo in").stdout == "in\n"
    assert target.control_path.exists(), "the connection is shared all the same"
    connection.close()
