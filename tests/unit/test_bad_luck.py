"""Bad input and bad luck on the live grid, through the command line: one clear error each, and nothing bought and forgotten."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes.live import MNEMONIC, LiveNetwork
from tests.unit.workbench import MACHINE, Bench, Call
from tfgrid_compose.cli import down as cli_down
from tfgrid_compose.cli import shell as cli_shell
from tfgrid_compose.cli import up as cli_up
from tfgrid_compose.deploy import down, operate, rollback, up
from tfgrid_compose.deploy.steps import infrastructure
from tfgrid_compose.drivers import terraform
from tfgrid_compose.errors import InfrastructureError
from tfgrid_compose.grids import keys, registry
from tfgrid_compose.grids.asking import Patience
from tfgrid_compose.grids.live import LiveGrid
from tfgrid_compose.observe.redact import Secret

# Another example of BIP-39.
OTHER = " ".join(["zoo"] * 11 + ["wrong"])
UP = ("--network", "main", "--yes")


class World:
    """An app, network `main`, and a Terraform that buys on its chain; `fail` are errors that come after the contract is made."""

    def __init__(self, bench: Bench, call: Call, network: LiveNetwork) -> None:
        self.bench, self.call, self.network = bench, call, network
        self.fail: list[Exception] = []
        self.bought: list[int] = []

    def up(self, *words: str) -> tuple[int, str, str]:
        return self.call("up", str(self.bench.folder), *UP, *words)

    def buy(self, context: Any) -> dict[str, Any]:
        node, id = context.nodes["vm"][0], context.deployment.id
        mine = next((item for item in self.network.chain.contracts.values() if id in item.data), None)
        number = mine.id if mine else 1001 + len(self.bought)
        if not mine:
            self.bought.append(self.network.contract(number, f"vm_{id}", node=node))
        if self.fail:
            raise self.fail.pop(0)
        machine = {**MACHINE, "node": node, "contract": str(number)}
        return {
            "machines": [machine], "contracts": {"vm": [number]}, "wg_config": "[Interface]\nPrivateKey = a-key=\n",
            "primary_ip": "10.5.3.2", "primary_ip_type": "wireguard", "deployment_name": "my-app", "node_ids": [node],
        }  # fmt: skip


@pytest.fixture
def world(bench: Bench, call: Call, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("tfgrid_compose.grids.client.Patience", partial(Patience, attempts=1, read=0.5))
    monkeypatch.delenv("KEY_TYPE", raising=False)
    for module in (registry, up, rollback, down, operate, cli_shell, cli_up, cli_down):
        monkeypatch.setattr(module, "open_grid", LiveGrid)
    with LiveNetwork("main") as network:
        network.account(100)
        found = World(bench, call, network)

        @contextmanager
        def working(context: Any, progress: Any = None) -> Iterator[Any]:
            nothing: Callable[..., None] = lambda *_: None  # noqa: E731
            yield SimpleNamespace(prepare=nothing, init=nothing, apply=lambda: found.buy(context))

        monkeypatch.setattr(infrastructure, "working", working)
        yield found


def wrong_word(world: World) -> None:
    os.environ["MNEMONIC"] = MNEMONIC.replace("about", "abuot")


def no_account(world: World) -> None:
    del os.environ["MNEMONIC"]


def no_twin(world: World) -> None:
    os.environ["MNEMONIC"] = OTHER
    world.network.chain.fund(keys.address(Secret(OTHER), "sr25519"), 100)


def too_few_tft(world: World) -> None:
    world.network.chain.fund(world.network.address, 1.9)


def answers(how: str) -> Callable[[World], None]:
    def order(world: World) -> None:
        world.network.answer = how

    return order


def no_gridproxy(world: World) -> None:
    world.network.without_proxy()


def no_chain(world: World) -> None:
    world.network.without_chain()


def chain_behind(world: World) -> None:
    world.network.chain.orders.behind = 600


def chain_garbage(world: World) -> None:
    world.network.chain.orders.garbage = '{"jsonrpc": "2.0", "result": {"half'


def no_node(world: World) -> None:
    world.network.directory.nodes = list  # type: ignore[assignment, method-assign]


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (wrong_word, "mnemonic-invalid"), (no_account, "account-missing"), (no_twin, "account-without-twin"),
        (too_few_tft, "balance-too-low"), (no_gridproxy, "gridproxy-unreachable"), (answers("html"), "gridproxy-answer"),
        (answers("half"), "gridproxy-answer"), (answers("failing"), "gridproxy-failing"), (answers("slow"), "gridproxy-slow"),
        (no_chain, "chain-unreachable"), (chain_behind, "chain-behind"), (chain_garbage, "chain-answer"), (no_node, None),
    ],
)  # fmt: skip
def test_what_goes_wrong_before_the_first_contract_is_one_error_and_buys_nothing(
    world: World, order: Callable[[World], None], code: str | None
) -> None:
    order(world)
    status, out, err = world.up("--json")
    error = json.loads(out.splitlines()[-1])["error"]
    assert status == 7 and error["what"] and error["why"] and error["fix"], err
    assert error["code"] == code or code is None
    assert err.count("Error:") == 1
    assert "abuot" not in out + err and MNEMONIC not in out + err
    assert world.bought == [] and world.bench.store.deployments() == []


def test_a_node_that_dies_between_choice_and_contract_costs_nothing_more(world: World) -> None:
    world.fail = [
        InfrastructureError("`terraform apply` failed", why="deployment 1001 failed: cannot fulfil required memory size")
    ]
    status, out, err = world.up()
    first, second = world.bought
    assert status == 0, err
    assert world.network.live == [second] and world.bench.deployment.data["contracts"] == [second]
    assert f"cancelling contract {first}" in out + err


def test_a_failure_after_the_contract_forgets_nothing(world: World) -> None:
    world.fail = [InfrastructureError("`terraform apply` failed", why="name my-app is already registered")] * 4
    status, out, err = world.up("--no-retry")
    assert (status, err.count("Error:")) == (1, 1) or status in (7, 8), err
    assert world.network.live == world.bought != []
    world.network.directory.behind = True
    status, out, err = world.call("contracts", "list", "--network", "main", "--json")
    assert status == 0
    status, out, err = world.call("down", "my-app", "--yes")
    assert status == 0, err
    assert world.network.live == [] and world.bench.store.deployments() == []


def test_a_directory_that_lags_doubles_nothing_and_hides_nothing(world: World) -> None:
    world.network.directory.behind = True
    assert world.up()[0] == 0
    (id,) = world.network.live
    facts = json.loads(world.call("contracts", "--network", "main", "--json")[1])
    assert [(item["id"], item["deployment"]) for item in facts["contracts"]] == [(id, "my-app")]
    world.bench.write("src/page", "new\n")
    status, out, err = world.up()
    assert status == 0, err
    assert (world.network.live, world.bought) == ([id], [id])
    assert json.loads(world.call("orphans", "--network", "main", "--json")[1])["orphans"] == []


@pytest.mark.parametrize("words", [("up",), ("down",), ("rollback",)])
def test_with_another_account_nothing_is_bought_again_and_nothing_is_forgotten(world: World, words: tuple[str, ...]) -> None:
    assert world.up()[0] == 0
    world.bench.write("src/page", "new\n")
    assert world.up()[0] == 0
    other = keys.address(Secret(OTHER), "sr25519")
    world.network.chain.fund(other, 100)
    world.network.chain.add_twin(8, other)
    os.environ["MNEMONIC"] = OTHER
    if words == ("up",):
        status, out, err = world.up("--json")
    else:
        status, out, err = world.call(*words, "my-app", "--yes", "--json")
    error = json.loads(out.splitlines()[-1])["error"]
    assert (status, error["code"]) == (7, "account-changed"), err
    assert world.network.address in error["fix"]
    assert world.network.live == world.bought and world.bench.deployment.status == "running"
    listed = world.call("contracts", "--network", "main")[2]
    assert "Not known: the contracts of my-app, for which another account pays" in listed
    planned = world.call("up", str(world.bench.folder), "--network", "main", "--plan")
    assert "my-app belongs to another account" in planned[1] + planned[2]
    os.environ["MNEMONIC"] = MNEMONIC
    status, _, err = world.call("down", "my-app", "--yes")
    assert (status, world.network.live) == (0, []), err


def test_contracts_of_an_older_deployment_are_not_gone_for_another_account(world: World) -> None:
    """What was deployed before addresses were remembered."""
    assert world.up()[0] == 0
    found = world.bench.deployment
    world.bench.store.save(found.with_data(account=None))
    other = keys.address(Secret(OTHER), "sr25519")
    world.network.chain.fund(other, 100)
    world.network.chain.add_twin(8, other)
    os.environ["MNEMONIC"] = OTHER
    _, out, err = world.call("drift", "my-app")
    assert "contracts.1001" not in out and "another account" in out + err
    status, out, _ = world.call("down", "my-app", "--yes", "--json")
    assert (status, json.loads(out.splitlines()[-1])["error"]["code"]) == (7, "account-changed")
    assert world.network.live == world.bought and world.bench.store.deployments() != []


def test_a_deployment_whose_account_is_lost_can_be_forgotten_and_says_what_stays(world: World) -> None:
    assert world.up()[0] == 0
    status, out, _ = world.call("down", "my-app", "--forget", "--yes", "--json")
    assert (status, json.loads(out.splitlines()[-1])["error"]["code"]) == (7, "contracts-stand")
    other = keys.address(Secret(OTHER), "sr25519")
    world.network.chain.fund(other, 100)
    world.network.chain.add_twin(8, other)
    os.environ["MNEMONIC"] = OTHER
    (id,) = world.network.live
    status, out, err = world.call("down", "my-app", "--forget", "--yes")
    assert status == 0, err
    assert out == f"my-app is forgotten here. Left on network main, and maybe costing: contract {id}.\n"
    assert world.network.live == [id] and world.bench.store.deployments() == [] and world.bench.tunnels == set()


def test_ctrl_c_in_a_question_to_the_chain_buys_nothing(world: World) -> None:
    chain = world.network.chain
    chain.orders.silent = {"state_getStorage", "state_getStorageAt", "state_queryStorageAt"}
    # Pressed when the chain has been asked, however busy this computer is.
    chain.orders.on_silence = lambda: os.kill(os.getpid(), signal.SIGINT)
    status, _, err = world.up()
    assert status == 130 and err.count("Error:") <= 1, err
    assert world.bought == [] and world.bench.store.deployments() == []


def test_the_mnemonic_is_in_no_program_s_environment_but_terraform_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from tfgrid_compose.drivers import ansible, process, ssh

    for name in ("MNEMONIC", "TF_VAR_mnemonic"):
        monkeypatch.setenv(name, MNEMONIC)
    assert MNEMONIC not in process.run(["env"]).stdout
    given: list[Any] = []
    monkeypatch.setattr(ssh.os, "execvpe", lambda program, words, env: given.append(env))
    ssh.replace_process(["ssh"])
    for module, name in ((ssh.subprocess, "run"), (ansible.subprocess, "Popen")):

        def seen(*words: Any, env: Any = None, **rest: Any) -> Any:
            given.append(env)
            raise FileNotFoundError("ssh")

        monkeypatch.setattr(module, name, seen)
    target = ssh.Target(alias="x", address="127.0.0.1", user="root", key=tmp_path / "key", known_hosts=tmp_path / "known")
    connection = ssh.Connection(target)
    with pytest.raises(Exception, match="ssh"):
        connection.run("true")
    with pytest.raises(FileNotFoundError):
        connection.stream("true", print)
    assert len(given) == 3 and all(env is not None and MNEMONIC not in env.values() for env in given)


def test_an_app_that_asks_for_the_mnemonic_does_not_get_it_from_the_environment(world: World) -> None:
    world.bench.manifest("environment:\n  - name: MNEMONIC\n    required: true\n")
    status, out, err = world.up("--json")
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "variable-missing", err
    assert world.bought == []


def test_terraform_has_its_account_by_its_own_variable_only(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNEMONIC", OTHER)
    monkeypatch.setenv("TF_VAR_mnemonic", OTHER)
    found = terraform.Terraform(tmp_path, ["terraform"], {"TF_VAR_mnemonic": MNEMONIC})._environment()
    assert (found["TF_VAR_mnemonic"], OTHER in found.values()) == (MNEMONIC, False)
