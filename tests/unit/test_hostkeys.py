"""Host keys that a hook made anew are remembered while the connection is trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.workbench import Bench, Call
from tfgrid_compose.deploy.context import target_of
from tfgrid_compose.drivers import hostkeys
from tfgrid_compose.drivers.ssh import Target

OLD, NEW = "ssh-ed25519 " + "A" * 68, "ssh-ed25519 " + "B" * 68


@pytest.fixture
def target(tmp_path: Path) -> Target:
    found = Target("10.5.3.2", tmp_path / "key", tmp_path / "known_hosts", "my-app-vm-1002")
    found.known_hosts.write_text(f"other-vm-7 {OLD}\nmy-app-vm-1002 {OLD}\n")
    return found


def test_new_keys_take_the_place_of_the_old_ones_of_this_machine_alone(target: Target) -> None:
    assert hostkeys.renew(target, f"{NEW} root@vm\nssh-rsa {'C' * 300} root@vm\n")
    assert target.known_hosts.read_text().splitlines() == [
        f"other-vm-7 {OLD}", f"my-app-vm-1002 {NEW}", f"my-app-vm-1002 ssh-rsa {'C' * 300}",
    ]  # fmt: skip
    assert target.known_hosts.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("said", ["", "cat: no such file", f"{OLD} root@vm", f"* {NEW}", f"@cert-authority * {NEW}"])
def test_what_is_no_other_key_changes_nothing(target: Target, said: str) -> None:
    before = target.known_hosts.read_text()
    assert not hostkeys.renew(target, said)
    assert target.known_hosts.read_text() == before


def test_no_line_of_a_machine_adds_trust_in_others(target: Target) -> None:
    hostkeys.renew(target, f"{NEW} x\n@cert-authority * {NEW}\n* {NEW}\nother-vm-7 {NEW}\n")
    assert target.known_hosts.read_text() == f"other-vm-7 {OLD}\nmy-app-vm-1002 {NEW}\n"


def test_a_user_can_say_that_a_machine_has_other_keys(bench: Bench, call: Call) -> None:
    bench.up()
    target = target_of(bench.store, bench.deployment, bench.deployment.machines[0])
    target.known_hosts.write_text(f"{target.alias} {OLD}\nother-vm-7 {OLD}\n")
    assert call("network", "trust", "my-app")[0] == 2, "nobody was asked"
    assert "are forgotten" in call("network", "trust", "my-app", "--yes")[1]
    assert target.known_hosts.read_text() == f"other-vm-7 {OLD}\n"
    assert "were not known" in call("network", "trust", "my-app", "--yes")[1]
