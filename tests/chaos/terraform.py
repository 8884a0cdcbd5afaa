"""Terraform in memory: the resources of the pattern single-vm, and the backend that keeps its state in the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.chaos.strikes import ChildKilled, Killed, current, point
from tests.chaos.world import Contract, Network, Work, check_line, world
from tfgrid_compose.drivers import statebackend, terraform
from tfgrid_compose.errors import GridError, InfrastructureError, TfgridError
from tfgrid_compose.grids.addresses import access_config


class Backend:
    """One state behind Terraform's http backend: what the store refuses is kept until the server ends."""

    def __init__(self, load: statebackend.Load, save: statebackend.Save) -> None:
        self.load = load
        self._save = save
        self.failure: Exception | None = None

    def save(self, data: bytes) -> bool:
        """Whether it could be kept."""
        try:
            self._save(data)
        except Exception as error:
            self.failure = error
            return False
        return True


_backends: dict[str, Backend] = {}


@contextmanager
def serve(load: statebackend.Load, save: statebackend.Save) -> Iterator[dict[str, str]]:
    """As `statebackend.serve`, without a socket."""
    backend, address = Backend(load, save), f"memory:{len(_backends)}"
    _backends[address] = backend
    try:
        yield {"TF_HTTP_ADDRESS": address}
    except TfgridError as error:
        if isinstance(backend.failure, TfgridError):
            raise backend.failure from error
        raise
    finally:
        del _backends[address]
    if backend.failure is not None:
        raise backend.failure


class MemoryTerraform(terraform.Terraform):
    """Terraform with the resources of the pattern single-vm; everything but the program itself is real."""

    def _run(self, *arguments: str, quiet: bool = False) -> str:
        plays: dict[str, Callable[[], str]] = {
            "apply": self._apply,
            "destroy": self._destroy,
            "output": self._output,
            "plan": self._plan,
            "init": str,
        }
        try:
            point(f"terraform:{arguments[0]}")
            found = plays[arguments[0]]()
        except ChildKilled:
            raise self._failed(arguments[0], -9) from None
        except GridError as error:
            raise self._failed(arguments[0], 1, f"{error.what}: {error.why}" if error.why else error.what) from None
        with suppress(ChildKilled):
            point("terraform:ended")
        return found

    def _failed(self, verb: str, code: int, text: str = "") -> InfrastructureError:
        reader = terraform._Reader(self.progress)
        reader.errors += [text] if text else []
        return self._error(verb, code, reader, [])

    @property
    def _backend(self) -> Backend:
        return _backends[self.env["TF_HTTP_ADDRESS"]]

    def _state(self) -> dict[str, Any]:
        raw = self._backend.load()
        return json.loads(raw) if raw else {"version": 4, "serial": 0, "lineage": "memory", "outputs": {}, "resources": []}

    def _apply(self) -> str:
        state = self._refreshed(self._state())
        with self._kept(state):
            self._step(state, self._network)
            self._step(state, self._vm)
            state["outputs"] = _outputs(state)
        return ""

    def _destroy(self) -> str:
        state = self._refreshed(self._state())
        with self._kept(state):
            for kind, work in (("grid_deployment", lambda id: world().cancel(int(id))), ("grid_network", world().drop_network)):
                found = _resource(state, kind)
                if found:
                    self._put(state, kind, work(found["id"]), lambda _: None)
            state["outputs"] = {}
        return ""

    def _step(self, state: dict[str, Any], make: Callable[[dict[str, Any]], None]) -> None:
        make(state)
        if current().lasting:
            self._save(state)  # Terraform saves now and then while it works.

    @contextmanager
    def _kept(self, state: dict[str, Any]) -> Iterator[None]:
        """The state is saved when Terraform ends by itself, also after a failure or a Ctrl-C."""
        try:
            try:
                yield
            except (GridError, KeyboardInterrupt):
                self._save(state)
                raise
            self._save(state)
        except Killed:
            # Its parent is gone: it ends, and finds nobody who keeps the state.
            if current().lasting and self.folder.is_dir():
                with current().outside():
                    (self.folder / "errored.tfstate").write_text(json.dumps(_numbered(state)))
            raise

    def _save(self, state: dict[str, Any]) -> None:
        with current().shielded():
            point("terraform:save")
            data = json.dumps(_numbered(state)).encode()
            kept = self._backend.save(data)
        if not kept:
            if not current().full:
                with current().outside():
                    (self.folder / "errored.tfstate").write_bytes(data)
            raise self._failed("apply", 1, "Failed to save state")

    def _played(self, work: Work) -> tuple[Any, bool]:
        """Play what the provider does: its result, and whether a signal came meanwhile; a second one kills it."""
        stopped = False
        while True:
            try:
                label = next(work)
            except StopIteration as end:
                return end.value, stopped
            try:
                check_line()
                point(label)
            except KeyboardInterrupt:
                stopped = True
            except Killed:
                # The local grid's provider lives in our process and dies with it.
                _ended(work, current().lasting and not world().here)
                raise
            except ChildKilled:
                _ended(work, current().lasting or world().here)
                raise

    def _variable(self, name: str) -> Any:
        text = self.env[f"TF_VAR_{name}"]
        return json.loads(text) if name.startswith(("vm_", "provision_")) and name not in _TEXTS else text

    def _refreshed(self, state: dict[str, Any]) -> dict[str, Any]:
        point("provider:read")
        check_line()
        network, vm = _resource(state, "grid_network"), _resource(state, "grid_deployment")
        if network and not any(item.id == network["id"] for item in world().networks.values()):
            _put(state, "grid_network", None)
        if vm and not world().standing(int(vm["id"])):
            _put(state, "grid_deployment", None)
        return state

    def _network(self, state: dict[str, Any]) -> None:
        before = _resource(state, "grid_network")
        number = world().next()
        private = before["external_sk"] if before else f"private-{number}"
        config = {
            "name": f"net_{self._variable('deployment_id')}", "ip_range": self._variable("ip_range"),
            "nodes": [self._variable("vm_node")], "project": f"tfgrid-compose/{self._variable('app_name')}",
        }  # fmt: skip
        public, id = private.replace("private", "public"), before["id"] if before else None
        self._put(state, "grid_network", world().make_network(config, public, id), lambda item: _network_facts(item, private))

    def _vm(self, state: dict[str, Any]) -> None:
        before, id = _resource(state, "grid_deployment"), self._variable("deployment_id")
        config = {
            "name": f"vm_{id}", "node": self._variable("vm_node"), "network": f"net_{id}",
            "project": f"tfgrid-compose/{self._variable('app_name')}", "cpu": self._variable("vm_cpu"),
            "memory": self._variable("vm_mem"), "disk": self._variable("vm_disk"), "keys": self._variable("SSH_KEY"),
        }  # fmt: skip
        work = world().change_vm(int(before["id"]), config) if before else world().make_vm(config)
        self._put(state, "grid_deployment", work, _vm_facts)

    def _put(self, state: dict[str, Any], kind: str, work: Work, facts: Callable[[Any], dict[str, Any] | None]) -> None:
        value, stopped = self._played(work)
        _put(state, kind, facts(value))
        if stopped:
            raise KeyboardInterrupt

    def _output(self) -> str:
        return json.dumps({name: {"value": value} for name, value in self._state()["outputs"].items()})

    def _plan(self) -> str:
        """What -refresh-only finds."""
        state = self._state()
        before = [item["type"] for item in state["resources"]]
        after = [item["type"] for item in self._refreshed(state)["resources"]]
        gone = [kind for kind in before if kind not in after]
        lines = [{"type": "resource_drift", "change": {"resource": {"addr": f"{kind}.x"}, "action": "delete"}} for kind in gone]
        return "\n".join(map(json.dumps, lines))


def _ended(work: Work, goes_on: bool) -> None:
    """What becomes of a job that nobody waits for any more."""
    if goes_on:
        with current().outside(), suppress(StopIteration):
            while True:
                next(work)


_TEXTS = ("vm_flist", "vm_entrypoint", "vm_ip_seed")


def _numbered(state: dict[str, Any]) -> dict[str, Any]:
    state["serial"] += 1
    return state


def _resource(state: dict[str, Any], kind: str) -> dict[str, Any] | None:
    found = [item["instances"][0]["attributes"] for item in state["resources"] if item["type"] == kind]
    return found[0] if found else None


def _put(state: dict[str, Any], kind: str, attributes: dict[str, Any] | None) -> None:
    kept = [item for item in state["resources"] if item["type"] != kind]
    state["resources"] = kept + ([{"type": kind, "name": "x", "instances": [{"attributes": attributes}]}] if attributes else [])


def _network_facts(item: Network, private: str) -> dict[str, Any]:
    subnet = item.ip_range.replace(".0.0/16", ".2.0/24")
    config = access_config(private, subnet, item.ip_range, item.node_public, "198.51.100.11:2000")
    contracts = {str(node): id for node, id in item.contracts.items()}
    return {"id": item.id, "external_sk": private, "access_wg_config": config, "node_deployment_id": contracts}


def _vm_facts(item: Contract) -> dict[str, Any]:
    machine = world().machines[item.id]
    return {"id": str(item.id), "node": item.node, "ip": machine.address, "mycelium_ip": machine.mycelium}


def _outputs(state: dict[str, Any]) -> dict[str, Any]:
    network, vm = _resource(state, "grid_network"), _resource(state, "grid_deployment")
    assert network and vm, "both were made"
    entry = {
        "name": "vm", "role": "vm", "node": vm["node"], "contract": vm["id"], "private_ip": vm["ip"],
        "wireguard_ip": vm["ip"], "mycelium_ip": "", "ipv4_address": "", "ipv6_address": "",
    }  # fmt: skip
    contracts = {"network": list(network["node_deployment_id"].values()), "vm": [int(vm["id"])]}
    return {
        "machines": [entry], "wg_config": network["access_wg_config"], "contracts": contracts, "primary_ip": vm["ip"],
        "primary_ip_type": "wireguard", "deployment_name": "vm", "node_ids": [vm["node"]],
    }  # fmt: skip
