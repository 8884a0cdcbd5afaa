"""What a normal user's shell looks like must not matter."""

from __future__ import annotations

from .conftest import Cli


def test_a_path_without_sbin_is_enough(cli: Cli) -> None:
    cli.run("localgrid", "up", PATH="/usr/bin:/bin")
    assert "The local grid is up" in cli.run("localgrid", "status", PATH="/usr/bin:/bin").stdout
    cli.run("localgrid", "down", PATH="/usr/bin:/bin")
