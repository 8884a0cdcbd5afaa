"""From an app, the user's options and what is remembered to a fixed description of the deployment."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tfgrid_compose.deploy.options import PlacementOptions, UpOptions
from tfgrid_compose.drivers import wireguard
from tfgrid_compose.errors import ManifestError, UsageError
from tfgrid_compose.grids.addresses import AddressError, choose_range
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


_SIZES = ("size", "cpu", "memory", "disk")


@dataclass(frozen=True)
class RoleSizes:
    """What each machine of a role gets: cores, MB of memory, GB of root disk."""

    cpu: int
    memory: int
    disk: int


def sizes(app: App, role_name: str, role: Role, overrides: Mapping[str, Any]) -> RoleSizes:
    """Sizes by precedence: user, the role's own entry, the named size or the recommendation, the pattern.

    Raises `ManifestError` when the user asks for less than the app's minimum.
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
    others = store.deployments()
    routes = wireguard.host_routes() + [str(item.data["ip_range"]) for item in others if item.data.get("ip_range")]
    start = int(hashlib.sha256(id.encode()).hexdigest(), 16) % 230 + 1
    try:
        ip_range = choose_range(routes, start)
    except AddressError as error:
        raise UsageError(
            str(error), why="every deployment needs a private /16 of its own", fix="tfgrid-compose down frees one",
            code="range-exhausted",
        ) from error  # fmt: skip
    taken = wireguard.host_interfaces() | {str(item.data.get("interface", "")) for item in others}
    name = options.name or app.manifest.name
    data = {
        "app_dir": str(app.folder), "app": app.manifest.name, "pattern": pattern, "ip_range": ip_range,
        "interface": wireguard.interface_name(name, taken),
    }  # fmt: skip
    now = time.time()
    return Deployment(id, name, options.network or default_network(), "new", now, now, data)


def public_keys(home: Path | None = None) -> list[str]:
    """The user's own ssh public keys, so that plain ssh works too."""
    folder = (home or Path.home()) / ".ssh"
    keys = []
    for name in ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"):
        path = folder / name
        if path.is_file():
            keys.append(path.read_text().strip())
    return keys
