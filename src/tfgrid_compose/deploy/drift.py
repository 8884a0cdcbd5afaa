"""Drift: what was deployed compared with what is there, in every layer. Only looks: no step is applied.

The layers: contracts, Terraform's own refresh, tunnel and addresses, platform (Ansible in check mode), the
release's digest, the app's service; and apart from drift, what changed in the app folder and was not deployed.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from typing import Any

from tfgrid_compose.deploy import diff, trust
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.options import RollbackOptions
from tfgrid_compose.deploy.plan import Plan, make_plan
from tfgrid_compose.deploy.records import shown
from tfgrid_compose.deploy.steps import dns
from tfgrid_compose.deploy.steps.hooks import service_of
from tfgrid_compose.deploy.steps.infrastructure import looking
from tfgrid_compose.deploy.steps.layout import ROOT, release_folder
from tfgrid_compose.deploy.steps.platform import run_playbook, variables
from tfgrid_compose.drivers import wireguard
from tfgrid_compose.errors import DnsError, GridError, NotFoundError, PlatformError, ReachError, TfgridError
from tfgrid_compose.state.store import Deployment, Store

NONE, DRIFT, UNAPPLIED, UNSEEN = 0, 2, 3, 7
_FOLDER = "app folder"


@dataclass(frozen=True)
class Item:
    """One difference: its layer, a dotted path that `--ignore` takes, what was expected and what is there.

    `step` is the one whose work mends it; empty for what only `up` of the app folder changes.
    """

    layer: str
    path: str
    expected: str
    found: str
    step: str = ""


@dataclass(frozen=True)
class Report:
    """What was found; `unseen` are layers that could not be looked at, with the reason."""

    drift: tuple[Item, ...]
    unapplied: tuple[Item, ...]
    unseen: dict[str, str]

    @property
    def exit_code(self) -> int:
        """0 nothing, 2 drift, 7 none was seen but not all could be looked at, 3 only changes that are not deployed yet."""
        if self.drift:
            return DRIFT
        if set(self.unseen) - {_FOLDER}:
            return UNSEEN
        return UNAPPLIED if self.unapplied else NONE

    def without(self, patterns: tuple[str, ...]) -> Report:
        """The report without items whose path, and layers not seen whose name, matches one of the shell-like patterns."""

        def kept(items: tuple[Item, ...]) -> tuple[Item, ...]:
            return tuple(item for item in items if not ignored(item.path))

        def ignored(path: str) -> bool:
            return any(fnmatch(path, pattern) for pattern in patterns)

        unseen = {layer: why for layer, why in self.unseen.items() if not (ignored(layer) or ignored(f"{layer}."))}
        return replace(self, drift=kept(self.drift), unapplied=kept(self.unapplied), unseen=unseen)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "drift": [asdict(item) for item in self.drift], "unapplied": [asdict(item) for item in self.unapplied],
            "unseen": self.unseen, "exit_code": self.exit_code,
        }  # fmt: skip


def live_options(store: Store, deployment: Deployment, **turn: Any) -> RollbackOptions:
    """Options that make the live release the aim. Raises `NotFoundError` when none ever was."""
    live = store.live_release(deployment.id)
    if live is None or not live.worked:
        raise NotFoundError(
            f"{deployment.name} has no release to compare with",
            why=f"no release of it is live; its status is {deployment.status}",
            fix=f"tfgrid-compose up {shlex.quote(deployment.app_dir)}",
            code="release-not-found",
        )
    return RollbackOptions(release=live.id, **turn)


def look(context: Context, folder: bool = True) -> Report:
    """Look at every layer. `context` aims at the live release and records nothing."""
    found: list[Item] = []
    unseen: dict[str, str] = {}

    def layer(name: str, looker: Callable[[Context], Iterator[Item]]) -> bool:
        context.progress("drift", f"looking at {name}", True)
        try:
            found.extend(looker(context))
        except TfgridError as error:
            unseen[name] = f"{error.what}: {error.why}" if error.why else error.what
            return False
        return True

    layer("contracts", _contracts)
    layer("terraform", _terraform)
    layer("tunnel", _tunnel)
    layer("dns", _dns)
    there = not any(item.layer == "contracts" and item.found == "gone" for item in found)
    if there and layer("addresses", _addresses) and not any(item.layer == "addresses" for item in found):
        layer("platform", _platform)
        layer("release", _release)
        layer("service", _service)
    else:
        unseen |= dict.fromkeys(("platform", "release", "service"), "the machine does not answer")
    unapplied: list[Item] = []
    if folder:
        try:
            unapplied = list(_unapplied(context))
        except TfgridError as error:
            unseen[_FOLDER] = f"{error.what}: {error.why}" if error.why else error.what
    return Report(tuple(found), tuple(unapplied), unseen)


# Layers


def _contracts(context: Context) -> Iterator[Item]:
    known = [int(id) for id in context.deployment.data.get("contracts", [])]
    there = {contract.id: contract for contract in context.grid.contracts(context.deployment.id)}
    for id in known:
        if id not in there:
            yield Item("contracts", f"contracts.{id}", "exists", "gone", "infrastructure")
        elif there[id].state != "Created":
            yield Item("contracts", f"contracts.{id}", "Created", there[id].state, "infrastructure")
    for id in sorted(there.keys() - set(known)):
        yield Item("contracts", f"contracts.{id}", "unknown", f"exists on node {there[id].node}", "infrastructure")


def _terraform(context: Context) -> Iterator[Item]:
    with looking(context) as terraform:
        for address, action in terraform.drift():
            found = {"delete": "gone", "update": "changed"}.get(action, action)
            yield Item("terraform", f"terraform.{address}", "as in the state", found, "infrastructure")


def _tunnel(context: Context) -> Iterator[Item]:
    if "wireguard" not in context.networks.provision:
        return
    interface = str(context.deployment.data["interface"])
    if not wireguard.is_up(interface):
        yield Item("tunnel", f"tunnel.{interface}", "up", "down", "tunnel")


def _dns(context: Context) -> Iterator[Item]:
    found = dns.seen(context)
    if found is None:
        return
    if found.right is None:
        raise DnsError(
            f"the servers of zone {found.domain.zone} can't be asked", why=found.why or "none of them answers",
            fix=f"tfgrid-compose dns {context.deployment.name}", code="dns-unserved",
        )  # fmt: skip
    for server in found.servers:
        if server["right"] is False:
            path = f"dns.{found.domain.name}.{server['server']}"
            yield Item("dns", path, shown(found.records), server["answer"], "dns")


def _addresses(context: Context) -> Iterator[Item]:
    for machine in context.machines():
        try:
            context.connection(machine).run("true", timeout=20)
        except ReachError as error:
            context.close()
            yield Item("addresses", f"addresses.{machine['name']}", f"{machine.get('address', '')} answers", error.why, "reach")


def _platform(context: Context) -> Iterator[Item]:
    if trust.unseen(context):
        context.unchecked.append("what the platform would change: nobody agreed to run its playbook here (--trust)")
        return
    try:
        outcome = run_playbook(context, "drift", context.pattern.playbook, variables(context), check=True)
    except PlatformError as error:
        # A task that can't be checked without the ones before it fails: then those are what drifted.
        yield Item("platform", "platform.playbook", "nothing to change", error.why or error.what, "platform")
        return
    for task in outcome.changed:
        yield Item("platform", f"platform.{task}", "nothing to change", "would change", "platform")


_RELEASE = """readlink {current} || echo none
cd {folder} 2>/dev/null || {{ echo ".tfgrid/sha256sums: FAILED"; exit 0; }}
[ "$(sha256sum < .tfgrid/sha256sums | cut -c-64)" = {content} ] || echo ".tfgrid/sha256sums: FAILED"
[ ! -s .tfgrid/sha256sums ] || sha256sum -c --quiet .tfgrid/sha256sums 2>/dev/null
true
"""


def _release(context: Context) -> Iterator[Item]:
    assert context.release is not None, "drift compares with a release"
    release = context.release.id
    script = _RELEASE.format(
        current=shlex.quote(f"{ROOT}/{context.deployment.name}/current"), folder=shlex.quote(release_folder(context, release)),
        content=context.release.data["content"],
    )  # fmt: skip
    lines = context.connection(context.hook_machine()).run(f"sh -c {shlex.quote(script)}", timeout=300).stdout.splitlines()
    live = lines[0].removeprefix("releases/") if lines else "none"
    if live != release:
        yield Item("release", "release.current", release, live, "activate")
    for line in lines[1:]:
        path, _, _ = line.rpartition(": FAILED")
        yield Item("release", f"release.files.{path or line}", "as shipped", "changed or gone", "ship")


def _service(context: Context) -> Iterator[Item]:
    service = service_of(context.app)
    if not service:
        return
    line = f"systemctl is-active {shlex.quote(service)}"
    state = context.connection(context.hook_machine()).run(line, timeout=20).stdout.strip() or "unknown"
    if state != "active":
        yield Item("service", f"service.{service}", "active", state, "configure")


def _unapplied(context: Context) -> Iterator[Item]:
    assert context.release is not None, "drift compares with a release"
    found = diff.compare(diff.of_release(context.store, context.release), diff.of_folder(context.deployment))
    if found.manifest:
        yield Item("app", "app.manifest", found.old, "changed in the folder")
    for file in found.files:
        yield Item("app", f"app.files.{file['path']}", found.old, f"{file['change']} in the folder")
    for item in found.infrastructure:
        yield Item("app", f"app.{item['what'].replace(' ', '.')}", item["old"], item["new"])


# Repair


def repair_plan(context: Context) -> Plan:
    """The plan that mends what drifted. Raises `GridError` when a layer below could not be looked at."""
    report = look(context, folder=False)
    if "contracts" in report.unseen:
        raise GridError(
            f"{context.deployment.name} can't be repaired now",
            why=report.unseen["contracts"],
            fix="tfgrid-compose drift shows what can be seen; try again when the grid answers",
            code="repair-blind",
        )
    again: dict[str, str] = {}
    for item in report.drift:
        again.setdefault(item.step, f"{item.path}: {item.found}")
    if "configure" in again:
        again.setdefault("healthcheck", again["configure"])
    # What a release can't have again is no news here; what is lost with a machine is.
    plan = make_plan(context, again)
    return replace(plan, limits=tuple(text for text in plan.limits if text not in context.limits))
