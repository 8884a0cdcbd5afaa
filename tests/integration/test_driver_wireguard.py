"""WireGuard tunnels for real: one interface of our own, with a peer that does not exist."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tfgrid_compose.drivers import wireguard
from tfgrid_compose.errors import TunnelError
from tfgrid_compose.localgrid.networks import wireguard_pair
from tfgrid_compose.observe.diagnosis import explained

pytestmark = pytest.mark.integration

NAME = "wg-inttest"
# 10.231 and above are never chosen for a deployment.
RANGE = "10.249.0.0/16"


@pytest.fixture(autouse=True)
def interface(runtime: Path) -> Iterator[None]:
    """The interface is gone before and after every test."""
    if os.geteuid() != 0:
        pytest.skip("interfaces need root")
    assert not wireguard.is_up(NAME), f"somebody else has an interface called {NAME}"
    yield
    wireguard.down(NAME)
    assert not wireguard.is_up(NAME)
    assert not Path("/run/wireguard", f"{NAME}.sock").exists()


def config(allowed: str = RANGE) -> str:
    """A configuration whose peer is made up and on loopback."""
    return (
        f"[Interface]\nAddress = 100.64.249.2\nPrivateKey = {wireguard_pair()[0]}\n[Peer]\nPublicKey = {wireguard_pair()[1]}\n"
        f"AllowedIPs = {allowed}\nEndpoint = 127.0.0.1:9\n"
    )


def routes() -> str:
    """The routes through our interface."""
    return subprocess.run(["ip", "-4", "route", "show", "dev", NAME], capture_output=True, text=True).stdout


def test_up_makes_interface_address_and_route_and_down_takes_all_away() -> None:
    text = config()
    wireguard.up(NAME, text)
    assert wireguard.is_up(NAME)
    assert NAME in wireguard.host_interfaces()
    assert RANGE in routes()
    assert RANGE in wireguard.host_routes()
    path = wireguard.config_path(NAME)
    assert path.read_text() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    wireguard.down(NAME)
    assert not wireguard.is_up(NAME)
    assert not path.exists(), "the private key goes with the tunnel"
    assert RANGE not in wireguard.host_routes()


def test_up_again_takes_the_new_configuration() -> None:
    wireguard.up(NAME, config())
    wireguard.up(NAME, config("10.250.0.0/16"))
    assert "10.250.0.0/16" in routes()
    assert RANGE not in routes()


def test_up_works_after_the_interface_was_deleted_by_hand() -> None:
    wireguard.up(NAME, config())
    subprocess.run(["ip", "link", "del", "dev", NAME], check=True)
    wireguard.up(NAME, config())
    assert RANGE in routes()


def test_down_is_no_error_when_the_interface_is_gone_or_never_was() -> None:
    wireguard.down(NAME)
    wireguard.up(NAME, config())
    subprocess.run(["ip", "link", "del", "dev", NAME], check=True)
    wireguard.down(NAME)
    assert not wireguard.config_path(NAME).exists()


def test_a_configuration_that_is_refused_leaves_nothing_and_says_why() -> None:
    with pytest.raises(TunnelError, match=f"the tunnel {NAME} did not come up") as caught:
        wireguard.up(NAME, config().replace("AllowedIPs = ", "AllowedIPs = nonsense/"))
    assert "nonsense" in caught.value.why + " ".join(caught.value.details)
    assert not wireguard.is_up(NAME)
    assert not wireguard.config_path(NAME).exists()


def test_only_routes_of_other_interfaces_clash() -> None:
    wireguard.up(NAME, config())
    assert wireguard.overlapping(RANGE, NAME) is None
    clash = wireguard.overlapping("10.249.7.0/24", "wg-other")
    assert clash and NAME in clash and clash.startswith(RANGE)
    assert wireguard.overlapping("10.248.0.0/16", "wg-other") is None


def test_an_interface_of_the_users_is_neither_taken_for_ours_nor_removed() -> None:
    """An export that somebody else made, or a name that was taken since, may name it."""
    subprocess.run(["ip", "tuntap", "add", "dev", NAME, "mode", "tun"], check=True)
    try:
        assert not wireguard.is_up(NAME)
        wireguard.down(NAME)
        with pytest.raises(TunnelError, match="belongs to something else"):
            wireguard.up(NAME, config())
        assert Path("/sys/class/net", NAME).exists()
    finally:
        subprocess.run(["ip", "link", "del", "dev", NAME], check=True)


def test_a_tunnel_is_known_as_ours_when_its_configuration_is_gone() -> None:
    """What stands in memory is gone when the user logs out, and the interface is not."""
    wireguard.up(NAME, config())
    wireguard.config_path(NAME).unlink()
    assert wireguard.is_up(NAME)
    wireguard.down(NAME)
    assert not Path("/sys/class/net", NAME).exists()


def program() -> int | None:
    """The pid of the program behind our interface, where the kernel has no WireGuard."""
    found = subprocess.run(["pgrep", "-f", f"^wireguard-go {NAME}$"], capture_output=True, text=True).stdout.split()
    return int(found[0]) if found else None


def test_the_terminal_does_not_reach_the_program_behind_a_tunnel() -> None:
    wireguard.up(NAME, config())
    pid = program()
    if pid is None:
        pytest.skip("the kernel has WireGuard of its own")
    assert os.getsid(pid) != os.getsid(0) and os.getpgid(pid) != os.getpgid(0)


def test_a_stale_socket_is_removed_and_a_live_one_is_not() -> None:
    socket_path = wireguard.socket_path(NAME)
    socket_path.parent.mkdir(mode=0o700, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(socket_path))
        server.listen()
        wireguard.remove_stale_socket(NAME)
        assert socket_path.exists()
    wireguard.remove_stale_socket(NAME)
    assert not socket_path.exists()


def test_up_works_after_its_program_was_killed() -> None:
    wireguard.up(NAME, config())
    pid = program()
    if pid is None:
        pytest.skip("the kernel has WireGuard of its own")
    os.kill(pid, signal.SIGKILL)
    wireguard.up(NAME, config())
    assert RANGE in routes()
    assert NAME in subprocess.run(["wg", "show", "interfaces"], capture_output=True, text=True).stdout


FLAKY = """#!/bin/bash
[ "$(wc -l < {count})" -ge {failures} ] || {{ echo x >> {count}; echo "ERROR: ($1) too many open files" >&2; exit 1; }}
exec wireguard-go "$@"
"""


@pytest.mark.parametrize(("failures", "works"), [(1, True), (2, False)])
def test_a_tunnel_that_failed_once_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, works: bool
) -> None:
    if wireguard.kernel_has("wireguard"):
        pytest.skip("the kernel has WireGuard of its own")
    flaky, count = tmp_path / "flaky", tmp_path / "count"
    count.touch()
    flaky.write_text(FLAKY.format(count=count, failures=failures))
    flaky.chmod(0o755)
    monkeypatch.setenv("WG_QUICK_USERSPACE_IMPLEMENTATION", str(flaky))
    if works:
        wireguard.up(NAME, config())
        assert RANGE in routes()
        return
    with pytest.raises(TunnelError) as caught:
        wireguard.up(NAME, config())
    known = explained(caught.value, "my-app", "tunnel")
    assert known.cause == "wireguard-ended", "it is installed, so nobody says that it isn't"


def test_a_program_that_can_not_start_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    if wireguard.kernel_has("wireguard"):
        pytest.skip("the kernel has WireGuard of its own")
    # In a user namespace the limit can be lowered for this program alone.
    alone = [
        "unshare",
        "--user",
        "--map-root-user",
        "--net",
        "sh",
        "-c",
        'echo 0 > /proc/sys/user/max_inotify_instances; "$@"',
        "-",
    ]
    monkeypatch.setattr(wireguard, "as_root", lambda argv, **_: [*alone, *argv])
    [words] = wireguard._userspace_words(NAME)
    assert "Failed to listen on uapi socket: too many open files" in words
    error = explained(TunnelError("the tunnel did not come up", why=words, details=[words]), "my-app", "tunnel")
    assert error.cause == "inotify-limit"


def test_only_what_is_nowhere_is_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wireguard, "kernel_has", lambda module: False)
    monkeypatch.setattr(wireguard, "as_root", lambda argv, **_: ["no-such-wireguard-go", *argv[1:]])
    [words] = wireguard._userspace_words(NAME)
    assert explained(TunnelError("the tunnel did not come up", details=[words]), "my-app", "tunnel").cause == "wireguard-missing"
