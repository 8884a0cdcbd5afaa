"""`grid_deployment` on the local grid."""

from __future__ import annotations

import re
from typing import Any

from tfgrid_compose.errors import GridError
from tfgrid_compose.localgrid import deployments
from tfgrid_compose.localgrid.engine import Engine
from tfgrid_compose.localgrid.entries import Contract
from tfgrid_compose.localgrid.provider.values import UNKNOWN, known

# Workloads that need software of real nodes; refusing them is honest, ignoring them is not.
_MISSING = ("zdbs", "qsfs")


class DeploymentResource:
    """Machines and disks on one node."""

    def __init__(self, engine: Engine, twin: int) -> None:
        self._engine, self._twin = engine, twin

    def validate(self, config: dict[str, Any]) -> None:
        """Checks that the real provider makes beyond its schema."""
        for block in _MISSING:
            if known(config.get(block)):
                raise GridError(f"the local grid has no {block}", fix="use disks, or deploy with --network dev")
        listed = known(config.get("disks"))
        # Blocks made by `dynamic` are unknown until their values are.
        disks = None if listed is None else {disk["name"] for disk in listed}
        for vm in known(config.get("vms")) or []:
            _check_mounts(vm, disks)
            flist = known(vm.get("flist")) or ""
            if flist and not flist.endswith((".fl", ".flist")):
                raise GridError(f"flist: '{flist}' is invalid, should have a valid flist extension")
            if known(vm.get("gpus")):
                raise GridError("usage of GPU is not allowed unless node is rented")

    def create(self, planned: dict[str, Any]) -> dict[str, Any]:
        """Make the contract and its machines."""
        contract = deployments.create(self._engine, self._twin, self._config(planned))
        return _state(planned, contract)

    def read(self, state: dict[str, Any]) -> dict[str, Any] | None:
        """The state as it is; None when the contract is gone."""
        contract = deployments.live(self._engine, int(state["id"]))
        return None if contract is None else _refreshed(state, contract)

    def update(self, state: dict[str, Any], planned: dict[str, Any]) -> dict[str, Any]:
        """Change it in place; another node means a new contract, as on the grid."""
        contract = deployments.update(self._engine, self._twin, int(state["id"]), self._config(planned))
        return _state(planned, contract)

    def delete(self, state: dict[str, Any]) -> None:
        """Cancel the contract."""
        deployments.cancel(self._engine, int(state["id"]))

    def _config(self, planned: dict[str, Any]) -> deployments.DeploymentConfig:
        network = known(planned.get("network_name"))
        record = self._engine.ledger.network(self._twin, network) if network else None
        prefix = (record or {}).get("mycelium", {}).get(str(int(planned["node"])))
        return deployments.DeploymentConfig(
            name=planned["name"],
            node=int(planned["node"]),
            network=network,
            vms=tuple(_vm(vm, prefix) for vm in planned.get("vms") or []),
            disks=tuple((disk["name"], int(disk["size"])) for disk in planned.get("disks") or []),
            solution_type=planned.get("solution_type") or "",
        )


def _check_mounts(vm: dict[str, Any], disks: set[Any] | None) -> None:
    if disks is None or UNKNOWN in disks:
        return
    for mount in known(vm.get("mounts")) or []:
        if mount["name"] is not UNKNOWN and mount["name"] not in disks:
            raise GridError(f"invalid deployment: vm {vm['name']} mount {mount['name']} was not found")


def _vm(vm: dict[str, Any], mycelium_prefix: str | None) -> deployments.VmConfig:
    memory = int(vm.get("memory") or 0)
    if memory < 250:
        raise GridError("memory capacity can't be less that 250 MB")
    env = known(vm.get("env_vars")) or {}
    keys = tuple(key.strip() for key in re.split(r"[\n,]", env.get("SSH_KEY") or "") if key.strip())
    cpu, rootfs = int(vm.get("cpu") or 1), int(vm.get("rootfs_size") or 0)
    least = _least_rootfs(cpu, memory)
    if rootfs and rootfs < least:
        raise GridError(f"rootfs size can't be less than {least * 1024**2}. Set to 0 for minimum")
    return deployments.VmConfig(
        name=vm["name"],
        cpu=cpu,
        memory=memory,
        rootfs=rootfs or least,
        ip=known(vm.get("ip")) or None,
        public4=bool(vm.get("publicip")),
        public6=bool(vm.get("publicip6")),
        planetary=bool(vm.get("planetary")),
        mycelium_prefix=mycelium_prefix,
        mycelium_seed=known(vm.get("mycelium_ip_seed")) or None,
        keys=keys,
        mounts=tuple((mount["name"], mount["mount_point"]) for mount in vm.get("mounts") or []),
    )


def _least_rootfs(cpu: int, memory: int) -> int:
    """The grid's own minimum: 500 MB for a small machine, else 2 GB."""
    return 500 if cpu * memory / 1024 / 8 < 1 else 2048


def _state(planned: dict[str, Any], contract: Contract) -> dict[str, Any]:
    machines = contract.spec["vms"]
    return {
        **_without_unknown(planned),
        "id": str(contract.id),
        "ip_range": None,
        "vms": [{**_without_unknown(vm), **machines[vm["name"]]} for vm in planned.get("vms") or []],
    }


def _refreshed(state: dict[str, Any], contract: Contract) -> dict[str, Any]:
    """The state with sizes and addresses of what really exists, so that drift is seen."""
    machines = {data["hostname"]: data for data in contract.spec.get("machines", [])}
    details = contract.spec.get("vms", {})

    def vm(item: dict[str, Any]) -> dict[str, Any]:
        real = machines[item["name"]]
        sizes = {"cpu": real["cpu"], "memory": real["memory"]}
        if item.get("rootfs_size"):
            sizes["rootfs_size"] = real["rootfs"]
        return {**item, **sizes, **details[item["name"]]}

    sizes = {name: size for name, size in contract.spec.get("disks", [])}
    disks = [{**disk, "size": sizes[disk["name"]]} for disk in state.get("disks") or [] if disk["name"] in sizes]
    vms = [vm(item) for item in state.get("vms") or [] if item["name"] in machines]
    return {**state, "node": contract.node, "disks": disks, "vms": vms}


def _without_unknown(values: dict[str, Any]) -> dict[str, Any]:
    return {key: known(value) for key, value in values.items()}
