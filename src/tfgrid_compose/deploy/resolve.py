"""From an app, the user's options and what is remembered to a fixed description of the deployment."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tfgrid_compose.deploy.limits import check_sizes
from tfgrid_compose.deploy.options import PlacementOptions, UpOptions
from tfgrid_compose.drivers import wireguard
from tfgrid_compose.errors import ManifestError, UsageError
from tfgrid_compose.grids.addresses import AddressError, choose_range
from tfgrid_compose.manifest.limits import refusal
from tfgrid_compose.manifest.load import App, nearest
from tfgrid_compose.manifest.model import RoleResources
from tfgrid_compose.manifest.sizes import NAMED_SIZES
from tfgrid_compose.patterns.load import LoadedPattern
from tfgrid_compose.patterns.model import Role
from tfgrid_compose.state import settings
from tfgrid_compose.state.store import Deployment, Store


def default_network() -> str:
    """The network of new deployments: the configuration's, else the local grid; never one that costs money by itself."""
    return settings.load().network or "local"


# Kind, key and comment; more than any real key has.
_KEY = re.compile(r"((?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]+)\s+([A-Za-z0-9+/]+={0,3})(?:\s+(.*))?")
_KEY_BYTES = 64 * 1024
_SIZES = ("size", "cpu", "memory", "disk")


@dataclass(frozen=True)
class RoleSizes:
    """What each machine of a role gets: cores, MB of memory, GB of root disk."""

    cpu: int
    memory: int
    disk: int


def sizes(app: App, role_name: str, role: Role, overrides: Mapping[str, Any]) -> RoleSizes:
    """Sizes by precedence: user, the role's own entry, the named size or the recommendation, the pattern.

    Raises `ManifestError` when the user asks for less than the app's minimum, or for what no node gives.
    """
    resources = app.manifest.resources
    own: RoleResources | None = getattr(resources, role_name, None) if role_name in type(resources).model_fields else None
    named = overrides.get("size")
    found: dict[str, int] = {}
    for key in ("cpu", "memory", "disk"):
        shared, special = getattr(resources, key), getattr(own, key) if own else None
        low = _first(special and special.min, shared and shared.min)
        normal = _first(special and special.recommended, special and special.min, shared and shared.recommended,
                        low, getattr(role.defaults, key))  # fmt: skip
        assert normal is not None, "the pattern always has a default"
        if named:
            factor = NAMED_SIZES[named]
            normal = (low or normal) if factor == 0 else normal * factor
        chosen = overrides.get(key) or normal
        if low and chosen < low:
            raise ManifestError(
                f"{key} {chosen} is less than the app's minimum of {low}",
                why=f"{app.manifest_path.name} says so under `resources`",
                fix=f"leave --{key} out, or ask for {low} or more",
                code="size-too-small",
            )
        found[key] = int(chosen)
    check_sizes(role_name, found, overrides)
    return RoleSizes(**found)


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value), None)


def overrides_of(options: UpOptions, remembered: Mapping[str, Any]) -> dict[str, Any]:
    """What the user chose, now or in an earlier run; a new --size replaces older single ones."""
    if options.size and options.size not in NAMED_SIZES:
        raise UsageError(
            f"there is no size `{options.size}`", why=f"sizes are {', '.join(NAMED_SIZES)}",
            fix=nearest(options.size, NAMED_SIZES) or "choose one of them",
        )  # fmt: skip
    base = {key: value for key, value in remembered.items() if key not in _SIZES or not options.size}
    given = {"size": options.size, "cpu": options.cpu, "memory": options.memory, "disk": options.disk, "node": options.node,
             "ipv4": options.ipv4}  # fmt: skip
    said = said_of(options.placement)
    about = {"placement": {**(base.get("placement") or {}), **said}} if said else {}
    if said:
        base.pop("node", None)  # Who now says which nodes are good enough does not mean that one any more.
    return {**base, **{key: value for key, value in given.items() if value is not None}, **about}


def said_of(options: PlacementOptions) -> dict[str, Any]:
    """What the user said about nodes, as JSON values."""
    said = {key: value for key, value in asdict(options).items() if value not in (None, ())}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in said.items()}


def split_variables(app: App, pattern: LoadedPattern, given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """--var values for the app's environment and for the pattern. Raises `UsageError` for others."""
    declared = {variable.name for variable in app.manifest.environment}
    known = pattern.pattern.options
    for name in given:
        if name not in declared and name not in known:
            choices = [*declared, *known]
            raise UsageError(
                f"--var {name}: neither the app nor its pattern knows it",
                why=f"known are {', '.join(choices) or 'none'}",
                fix=nearest(name, choices) or "add it under `environment` in the manifest",
                code="variable-unknown",
            )
        if why := refusal(name, given[name]):
            raise UsageError(
                f"--var {name} can't be taken", why=f"its value {why}", fix="give it another value", code="variable-invalid"
            )
    mine = {name: value for name, value in given.items() if name in declared}
    return mine, {name: value for name, value in given.items() if name not in declared}


def find_deployment(store: Store, app: App, options: UpOptions) -> Deployment | None:
    """The deployment that `up` means: by name and network; another folder's is never taken over."""
    name, network = options.name or app.manifest.name, options.network
    matches = [item for item in store.deployments() if item.name == name and network in (None, item.network)]
    if not matches:
        return None
    # A folder that is gone has moved, or the state was brought here from another computer.
    mine = [item for item in matches if item.app_dir == str(app.folder) or not Path(item.app_dir).is_dir()]
    lost = next((item for item in matches if item.status == "orphaned"), None)
    if lost:
        raise UsageError(
            f"`{name}` stands on network {lost.network}, but its keys are lost",
            why="its record was made again from what the grid knows; nothing can be deployed on it",
            fix=f"tfgrid-compose down {lost.id[:8]} removes it, then run `up` again",
            code="deployment-orphaned",
        )
    if not mine:
        raise UsageError(
            f"a deployment called `{name}` already stands on network {matches[0].network}",
            why=f"it was made from {matches[0].app_dir}",
            fix=f"choose another name: tfgrid-compose up {options.target} --name {name}-2",
            code="name-taken",
        )
    if len(mine) > 1:
        raise UsageError(
            f"`{name}` is deployed on several networks: {', '.join(item.network for item in mine)}",
            why="up changes one deployment at a time",
            fix=f"say which with --network, for example --network {mine[0].network}",
            code="network-ambiguous",
        )
    return mine[0]


def new_deployment(store: Store, app: App, options: UpOptions, pattern: str) -> Deployment:
    """A deployment that does not exist yet, with its id, /16 and interface chosen. Nothing is written."""
    id = secrets.token_hex(8)
    data = {"app_dir": str(app.folder), "app": app.manifest.name, "pattern": pattern}
    now = time.time()
    made = Deployment(id, options.name or app.manifest.name, options.network or default_network(), "new", now, now, data)
    return _Host().fitting(made, store.deployments())


def claim(store: Store, deployment: Deployment) -> Deployment:
    """Record a new deployment, with another /16 or interface when its own was taken since it was chosen.

    Several that are made at the same time may have chosen the same ones; only what is recorded is seen by the others.
    """
    host = _Host()
    return store.add(deployment, lambda others: host.fitting(deployment, others))


@dataclass(frozen=True)
class _Host:
    """What this computer's own networks use already."""

    routes: list[str] = field(default_factory=lambda: wireguard.host_routes())
    interfaces: set[str] = field(default_factory=lambda: wireguard.host_interfaces())

    def fitting(self, deployment: Deployment, others: Iterable[Deployment]) -> Deployment:
        """The deployment with a /16 and an interface that nothing else has; what it has and nobody took, it keeps."""
        taken = [item.data for item in others if item.id != deployment.id]
        ranges = self.routes + [str(data["ip_range"]) for data in taken if data.get("ip_range")]
        interfaces = self.interfaces | {str(data.get("interface", "")) for data in taken}
        own_range, interface = (str(deployment.data.get(key, "")) for key in ("ip_range", "interface"))
        seed = hashlib.sha256(deployment.id.encode()).hexdigest()
        start = int(own_range.split(".")[1]) if own_range else int(seed, 16) % 230 + 1
        try:
            ip_range = choose_range(ranges, start)
        except AddressError as error:
            raise UsageError(
                str(error), why="every deployment needs a private /16 of its own", fix="tfgrid-compose down frees one",
                code="range-exhausted",
            ) from error  # fmt: skip
        if not interface or interface in interfaces:
            interface = wireguard.interface_name(deployment.name, interfaces)
        return deployment.with_data(ip_range=ip_range, interface=interface)


def public_keys(home: Path | None = None) -> list[str]:
    """The user's own ssh public keys, so that plain ssh works too. What is no key in these files is left out."""
    folder = (home or Path.home()) / ".ssh"
    return [key for name in ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub") if (key := _public_key(folder / name))]


def _public_key(path: Path) -> str:
    """The one line of a file that is a public key, its comment in plain ASCII: it goes through Terraform onto a machine."""
    try:
        with path.open("rb") as file:
            text = file.read(_KEY_BYTES).decode("ascii", errors="replace")
    except OSError:
        return ""
    found = next((match for line in text.splitlines() if (match := _KEY.fullmatch(line.strip()))), None)
    return " ".join(filter(None, (found[1], found[2], re.sub(r"[^!-~ ]", "?", found[3] or "").strip()))) if found else ""
