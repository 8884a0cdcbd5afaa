"""`down`: everything goes, what Terraform can't remove is cancelled, and nothing is forgotten before all of it is gone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.workbench import Bench, contract
from tfgrid_compose.deploy import down
from tfgrid_compose.errors import EnvironmentError_, GridError, InfrastructureError, InterruptedError_, TfgridError
from tfgrid_compose.state import backups, paths
from tfgrid_compose.state.check import look

PLACES = ["contracts and machines", "tunnel", "configuration files", "routes", "keys"]


@pytest.fixture
def terraform(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Terraform as `down` calls it: what it was given, in order. It fails where a test says so."""
    calls: list[Any] = []

    @contextmanager
    def session(store: Any, id: str, grid: Any, folder: Path, variables: dict[str, str], progress: Any) -> Iterator[Any]:
        def destroy() -> None:
            bench.fail_at("destroy")
            bench.grid.live.clear()
            calls.append(variables)

        yield SimpleNamespace(prepare=lambda folder: calls.append(folder.name), init=lambda: None, destroy=destroy)

    monkeypatch.setattr(down, "session", session)
    monkeypatch.setattr(down, "find", lambda given=None: ["terraform"])
    bench.up()
    bench.store.set_secret(bench.deployment.id, "tfstate", b"{}")
    return calls


def gone(bench: Bench) -> bool:
    return bench.store.deployments() == [] and bench.grid.live == {} and bench.tunnels == set()


def test_everything_is_removed_checked_and_forgotten(bench: Bench, terraform: list[Any]) -> None:
    found = bench.deployment
    folder = paths.state_dir() / "deployments" / found.id
    config = paths.private_file(down.wireguard.config_path("wg-my-app"), b"[Interface]")
    with bench.context() as context:
        generated = context.generated()
    assert [check.name for check in bench.down()] == PLACES
    assert gone(bench) and not folder.exists() and not config.exists()
    name, variables = terraform
    assert name == "infrastructure"
    assert (variables["TF_VAR_vm_cpu"], variables["TF_VAR_deployment_id"]) == ("2", found.id)
    assert variables["TF_VAR_mycelium_key"] == generated["mycelium_key"]
    assert bench.store.secret(found.id, "ssh") is None and bench.store.releases(found.id) == []
    run = bench.last_run
    assert (run["kind"], run["outcome"], run["deployment"]) == ("down", "succeeded", found.id)
    assert bench.outcomes() == {"tunnel": "done", "infrastructure": "done", "verify": "done"}
    assert [entry.facts["phase"] for entry in bench.store.audit_entries(found.id)][:2] == ["ended", "begun"]
    assert backups.listed(), "the state as it was before can be looked at"


def test_random_values_are_secret_whatever_a_pattern_calls_their_variables(bench: Bench, terraform: list[Any]) -> None:
    bench.own_pattern("mycelium_key", "vm_network_seed")
    bench.write("page", "new")
    bench.up(trust=True)
    with bench.context() as context:
        seed = context.generated()["mycelium_key"]
        assert context.terraform_variables()["vm_network_seed"] == seed
    assert "vm_network_seed" not in bench.deployment.data["variables"]
    with bench.store.write() as db:
        rows = [
            json.dumps(list(map(str, row)))
            for table in ("deployments", "done", "steps")
            for row in db.execute(f"SELECT * FROM {table}")
        ]
    assert not [row for row in rows if seed in row], "only fingerprints of it are written down"
    bench.down()
    assert terraform[-1]["TF_VAR_vm_network_seed"] == seed


def test_a_deployment_that_was_never_made_is_just_forgotten(bench: Bench) -> None:
    bench.fail("terraform", GridError("no room"))
    with pytest.raises(GridError):
        bench.up()
    assert [check.name for check in bench.down()] == PLACES
    assert gone(bench)
    assert bench.store.steps(bench.last_run["id"])[1]["note"] == "there were none"


def test_what_can_be_destroyed_is_not_forgotten(bench: Bench, terraform: list[Any]) -> None:
    with pytest.raises(GridError) as caught:
        bench.removal().forget()
    assert (caught.value.code, caught.value.fix) == ("contracts-stand", "tfgrid-compose down my-app")
    assert bench.deployment.status == "running" and bench.last_run["kind"] == "up" and bench.grid.live and bench.tunnels


def test_what_a_grid_that_has_ended_still_had_is_forgotten_and_named(bench: Bench, terraform: list[Any]) -> None:
    found, (id,) = bench.deployment, bench.grid.live
    bench.grid.silent = GridError("gridproxy is gone")
    assert bench.removal().forget() == [id]
    assert bench.store.deployments() == [] and bench.tunnels == set() and terraform == [], "Terraform had nothing to do"
    assert (bench.last_run["kind"], bench.last_run["outcome"]) == ("forget", "succeeded")
    assert bench.store.steps(bench.last_run["id"])[-1]["note"] == f"left on network main: contract {id}"
    assert [entry.facts["action"] for entry in bench.store.audit_entries(found.id)][:2] == ["forget", "forget"]
    assert look(bench.store) == [] and backups.listed()


def interrupted(deployment: Any) -> None:
    raise KeyboardInterrupt


def test_a_forgetting_that_is_stopped_says_how_it_goes_on(
    bench: Bench, terraform: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.grid.silent = GridError("gridproxy is gone")
    with monkeypatch.context() as patched, pytest.raises(InterruptedError_) as caught:
        patched.setattr(down, "remove_files", interrupted)
        bench.removal().forget()
    assert caught.value.fix == "tfgrid-compose down --forget my-app goes on from here"
    assert len(bench.removal().forget()) == 1 and bench.store.deployments() == []


@pytest.mark.parametrize(
    "error", [InfrastructureError("terraform destroy failed"), EnvironmentError_("there is no Terraform")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_what_terraform_can_not_remove_is_cancelled(bench: Bench, terraform: list[Any], error: TfgridError) -> None:
    bench.grid.live[2000] = contract(2000)
    bench.fail("destroy", error)
    bench.down()
    assert gone(bench)
    assert "cancel [1002, 2000]" in bench.grid.done


def test_what_a_crash_left_is_cancelled_too(bench: Bench, terraform: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    left = {2000: contract(2000)}
    monkeypatch.setattr(bench.grid, "contracts", lambda deployment: list(left.values()))
    monkeypatch.setattr(bench.grid, "cancel", lambda ids: [left.pop(id) for id in ids])
    bench.down()
    assert (left, bench.store.deployments()) == ({}, [])


def test_where_neither_terraform_nor_the_grid_can_tell_nothing_is_forgotten(bench: Bench, terraform: list[Any]) -> None:
    bench.fail("destroy", InfrastructureError("terraform destroy failed", why="the grid refused"))
    bench.grid.silent = GridError("contracts can't be listed")
    with pytest.raises(InfrastructureError, match="terraform destroy failed"):
        bench.down()
    assert (bench.deployment.status, bench.last_run["outcome"]) == ("destroying", "failed")
    assert bench.store.secret(bench.deployment.id, "tfstate") is not None
    bench.grid.silent = None
    bench.down()
    assert gone(bench)


def still_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> str:
    bench.fail("destroy", InfrastructureError("boom"))
    monkeypatch.setattr(bench.grid, "cancel", lambda ids: None)
    return "contract 1002"


def tunnel_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(down.wireguard, "down", lambda interface: None)
    return "interface wg-my-app"


@pytest.mark.parametrize("leave", [still_there, tunnel_there])
def test_what_is_left_is_named_and_keeps_the_deployment(
    bench: Bench, terraform: list[Any], monkeypatch: pytest.MonkeyPatch, leave: Callable[..., str]
) -> None:
    left = leave(bench, monkeypatch)
    with pytest.raises(GridError, match="something of my-app is left") as caught:
        bench.down()
    assert left in caught.value.what
    assert (caught.value.code, caught.value.fix) == ("leftovers", "tfgrid-compose down my-app tries again")
    assert (bench.deployment.status, bench.outcomes()["verify"]) == ("destroying", "failed")


def test_a_down_that_is_stopped_says_how_it_goes_on(bench: Bench, terraform: list[Any]) -> None:
    bench.fail("destroy", KeyboardInterrupt())
    with pytest.raises(InterruptedError_) as caught:
        bench.down()
    assert caught.value.fix == "tfgrid-compose down my-app goes on from here"
    assert (bench.deployment.status, bench.outcomes()["infrastructure"]) == ("destroying", "undone")
    bench.down()
    assert gone(bench)


def test_a_failure_of_the_grid_that_passes_is_tried_again(
    bench: Bench, terraform: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.grid.live[2000] = contract(2000)
    bench.fail("destroy", InfrastructureError("boom"))
    real, fails = bench.grid.cancel, [GridError("cancelling failed", why="context deadline exceeded")]

    def cancel(ids: Any) -> None:
        if fails:
            raise fails.pop()
        real(ids)

    monkeypatch.setattr(bench.grid, "cancel", cancel)
    bench.down()
    assert gone(bench) and len(bench.slept) == 1


def test_the_private_key_of_the_tunnel_is_never_shown(bench: Bench, terraform: list[Any]) -> None:
    bench.fail("destroy", InfrastructureError("boom", why="PrivateKey = a-key-of-the-tunnel="))
    bench.events.clear()
    bench.down()
    assert "a-key-of-the-tunnel" not in str([event.to_dict() for event in bench.events])


def test_a_down_that_is_killed_after_all_is_forgotten_leaves_no_run_that_nobody_can_end(
    bench: Bench, terraform: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise SystemExit("killed")

    monkeypatch.setattr(bench.store, "end_run", killed)
    with pytest.raises(SystemExit):
        bench.down()
    assert bench.store.deployments() == []
    assert bench.store.runs(limit=1)[0]["outcome"] == "succeeded"
    assert look(bench.store) == []
