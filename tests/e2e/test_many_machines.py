"""Twenty-five machines, each with a network and an access point: more than the kernel's own limits let live."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.conftest import Cli
from tfgrid_compose.drivers import limits
from tfgrid_compose.localgrid import deployments, kernel, networks, router
from tfgrid_compose.localgrid.catalog import NODES
from tfgrid_compose.localgrid.engine import Engine

COUNT, USUAL = 25, 128
# One of several: a node has memory for some of the machines only.
HOSTS = [node.id for node in NODES if node.id in (1, 2, 3, 4, 5)]


def make(number: int) -> tuple[str, str]:
    """A network with an access point, and a machine in it; (namespace of its router, the machine's address)."""
    with Engine() as engine:
        node = HOSTS[number % len(HOSTS)]
        name = f"many{number}"
        network = networks.apply(
            engine, 1, networks.NetworkConfig(name, f"10.{150 + number}.0.0/16", (node,), {}, True, networks.wireguard_pair()[1])
        )
        vm = deployments.VmConfig(
            name, 1, 256, 1024, None, public4=False, public6=False, planetary=False, mycelium_prefix=None, mycelium_seed=None, keys=(),
        )  # fmt: skip
        config = deployments.DeploymentConfig(name, node, name, (vm,), (), "many")
        contract = deployments.create(engine, 1, config)
        [address] = [link["addresses"][0].split("/")[0] for link in contract.spec["machines"][0]["links"][:1]]
        return router.namespace(engine.instance, network), address


def greeting(namespace: str, address: str) -> str:
    """What the machine's ssh server says first, within half a minute."""
    line = f"exec 3<>/dev/tcp/{address}/22 && head -c 4 <&3"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        words = ["ip", "netns", "exec", namespace, "timeout", "3", "bash", "-c", line]
        said = subprocess.run(words, capture_output=True, text=True).stdout
        if said:
            return said
        time.sleep(0.2)
    return "nothing"


@pytest.mark.usefixtures("cli")
def test_twenty_five_machines_live_beside_each_other(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFGRID_LOCALGRID", "1")
    cli.run("localgrid", "down")
    before = limits.INOTIFY.value()
    if before and before > USUAL and not kernel.namespaces("tg0-"):
        pytest.skip("this computer was given more than is usual")
    said = cli.run("localgrid", "up").stderr
    if before == USUAL:
        assert "fs.inotify.max_user_instances is 8192 instead of 128 until `localgrid down`" in said
    try:
        with ThreadPoolExecutor(max_workers=4) as pool:
            made = list(pool.map(make, range(COUNT)))
            found = list(pool.map(lambda one: greeting(*one), made))
        assert found == ["SSH-"] * COUNT
        assert limits.inotify_used() > USUAL, "so many would not have been given"
    finally:
        cli.run("localgrid", "reset", "--yes")
    assert limits.INOTIFY.value() == before, "as it was"
    cli.run("localgrid", "up")
