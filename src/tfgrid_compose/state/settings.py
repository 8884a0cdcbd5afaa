"""The user's configuration: one YAML file, `config.yaml`, with a schema.

Files of the bash tool are read too, where ours says nothing: `preferences.yaml`, the flat keys of its
`config.yaml`, `network-provision` and `network-prefer`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tfgrid_compose.errors import StateError
from tfgrid_compose.manifest.model import NETWORK_KINDS, Networks
from tfgrid_compose.state import paths

VERSION = 1
_HEAD = b"# Configuration of tfgrid-compose; `tfgrid-compose config show` explains it.\n"
_FLAT = ("whitelist_nodes", "whitelist_farms", "blacklist_nodes", "blacklist_farms", "max_cpu_usage", "max_disk_usage",
         "min_uptime_days")  # fmt: skip


NetworkName = Literal["local", "main", "test", "qa", "dev"]
# A service of ours is asked over TLS; a stand-in on this computer need not be. The rest is what the grid's provider takes
# (facts: tfgrid-sdk-go, `deployer/validation.go`): it gets the first URL of gridproxy, chain and relay.
_PLACE = r"[a-z0-9]+\.[a-z0-9][^\s<>#%\",{}\\|^\[\]]*"
_HERE = r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/\S*)?"
_HTTP = rf"^(https://{_PLACE}|http://{_HERE})$"
_WS = rf"^(wss://{_PLACE}|ws://{_HERE})$"
_TAKEN = re.compile(rf"(https|wss)://{_PLACE}")
Http = Annotated[str, Field(pattern=_HTTP)]
Socket = Annotated[str, Field(pattern=_WS)]


def taken_by_provider(url: str) -> bool:
    """Whether the grid's provider takes a URL; one of this computer is only for looking."""
    return _TAKEN.fullmatch(url) is not None


class Section(BaseModel):
    """Base of all sections: frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Urls(Section):
    """Other URLs for one network, the first to be asked first."""

    gridproxy: list[Http] = Field(default_factory=list, description="Base URLs of the node directory (https://…).")
    chain: list[Socket] = Field(default_factory=list, description="URLs of chain nodes (wss://…/ws).")
    relay: list[Socket] = Field(default_factory=list, description="URLs of relays (wss://…).")
    graphql: list[Http] = Field(default_factory=list, description="URLs of the chain's index.")
    kyc: list[Http] = Field(default_factory=list, description="URLs of the service that knows which accounts are verified.")


class NodePreferences(Section):
    """Which nodes are chosen when nobody names one."""

    whitelist_nodes: list[int] = Field(default_factory=list, description="Ids of nodes to choose from.")
    whitelist_farms: list[str] = Field(default_factory=list, description="Names or ids of farms to choose from.")
    blacklist_nodes: list[int] = Field(default_factory=list, description="Ids of nodes never to choose.")
    blacklist_farms: list[str] = Field(default_factory=list, description="Names or ids of farms never to choose.")
    max_cpu_usage: float | None = Field(None, ge=0, le=100, description="Most of a node's cores in use, in percent.")
    max_disk_usage: float | None = Field(None, ge=0, le=100, description="Most of a node's SSD in use, in percent.")
    min_uptime_days: float | None = Field(None, ge=0, description="Fewest days that a node has been up.")


class Connect(Section):
    """Networks of machines where the manifest says nothing."""

    provision: Networks | None = Field(None, description="Networks to make.")
    prefer: Networks | None = Field(None, description="Order in which addresses are tried.")


class GitIdentity(Section):
    """Who commits, for apps that work with git; hooks get TFGRID_GIT_NAME and TFGRID_GIT_EMAIL."""

    name: str = Field("", description="Name.")
    email: str = Field("", description="Mail address.")


class Settings(Section):
    """Everything that the configuration can say."""

    version: int = Field(VERSION, ge=1, le=VERSION, description="Version of this file's schema.")
    network: NetworkName | None = Field(None, description="Grid of new deployments; local when it is not set.")
    networks: dict[NetworkName, Urls] = Field(default_factory=dict, description="Other URLs, by network.")
    nodes: NodePreferences = Field(default_factory=NodePreferences, description="Which nodes are chosen.")
    favorites: dict[NetworkName, list[int]] = Field(default_factory=dict, description="Favourite nodes, by network.")
    connect: Connect = Field(default_factory=Connect, description="Networks of machines.")
    git: GitIdentity = Field(default_factory=GitIdentity, description="Git identity for apps.")
    balance_days: float = Field(14, ge=0, description="Warn when the balance lasts less than this many days.")


def path() -> Path:
    """Where the configuration stands."""
    return paths.config_dir() / "config.yaml"


def load() -> Settings:
    """What the configuration says, with the bash tool's files behind it. Raises `StateError` with file and key."""
    try:
        ours = _read(path())
        merged = _merge(_legacy(), _nested(ours))
    except RecursionError as error:
        raise _invalid(path(), "it is nested too deeply") from error
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _invalid(path(), f"{place}: {_plain(first['msg'])}") from error


def save(settings: Settings) -> Path:
    """Write the configuration, whole or not at all; only what differs from the defaults. Raises `StateError`."""
    data = {"version": VERSION, **settings.model_dump(exclude_defaults=True)}
    whole = settings.model_dump()
    # What the bash tool's files say would come back, unless ours says otherwise, and be it that there is nothing.
    for section, keys in _legacy().items():
        data[section] = {**{key: whole[section][key] for key in keys}, **data.get(section, {})}
    return paths.private_file(path(), _HEAD + yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode())


def full_key(key: str) -> str:
    """A key with its section: the bash tool's flat ones (`max_cpu_usage`) stand in `nodes`."""
    return f"nodes.{key}" if key in _FLAT else key


def changed(before: Settings, key: str, value: str) -> Settings:
    """The configuration with one value changed; lists are written with commas. Raises `ValueError` in plain words."""
    data = before.model_dump(exclude_defaults=True)
    place = data
    *parents, last = key.split(".")
    for part in parents:
        place = place.setdefault(part, {})
    place[last] = value
    try:
        return Settings.model_validate(data)
    except ValidationError:
        place[last] = _listed(last, value) if not last.startswith(("max_", "min_")) else value
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(_plain(first["msg"])) from None


def without(before: Settings, key: str) -> Settings:
    """The configuration with one value, or a whole section, as it is by default."""
    data = before.model_dump(exclude_defaults=True)
    place: Any = data
    *parents, last = key.split(".")
    for part in parents:
        place = place.get(part, {}) if isinstance(place, dict) else {}
    if isinstance(place, dict):
        place.pop(last, None)
    return Settings.model_validate(data)


def _plain(message: str) -> str:
    for pattern, scheme in ((_HTTP, "http"), (_WS, "ws")):
        if pattern in message:
            return (
                f"it should be a URL like {scheme}s://name.of.host: the provider wants a dot, and only small letters and digits "
                f"before it; {scheme}:// does only on this computer itself (127.0.0.1, localhost)"
            )
    return message.replace("Input should be", "it should be").replace("String should match pattern", "it does not match")


def _read(file: Path) -> dict[str, Any]:
    try:
        raw = file.read_bytes()
        data = yaml.safe_load(raw) if raw.strip() else {}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _invalid(file, error.strerror or "it can't be read") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise _invalid(file, " ".join(str(error).split())[:200]) from error
    if not isinstance(data, dict):
        raise _invalid(file, "it must hold keys and values")
    return data


def _nested(data: dict[str, Any]) -> dict[str, Any]:
    """The bash tool wrote what nodes are preferred as flat keys, lists as `"617,892"`."""
    flat = {key: data[key] for key in _FLAT if key in data}
    rest = {key: value for key, value in data.items() if key not in flat}
    return _merge({"nodes": {key: _listed(key, value) for key, value in flat.items()}} if flat else {}, rest)


def _listed(key: str, value: Any) -> Any:
    if key.startswith(("max_", "min_")):
        return value
    items = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    words = [str(item).strip() for item in items if str(item).strip()]
    return [int(word) if word.isdecimal() else word for word in words] if key.endswith("_nodes") else words


def _legacy() -> dict[str, Any]:
    """What `preferences.yaml`, `network-provision` and `network-prefer` of the bash tool say; damaged ones are no errors."""
    folder = paths.config_dir()
    found: dict[str, Any] = {}
    try:
        old = _read(folder / "preferences.yaml")
    except StateError:
        old = {}
    for kind in ("whitelist", "blacklist"):
        lists = old.get(kind)
        if isinstance(lists, dict):
            found |= {f"{kind}_{what}": _listed(f"{kind}_{what}", lists.get(what) or []) for what in ("nodes", "farms")}
    found = {key: value for key, value in found.items() if value}
    nodes: dict[str, Any] = {"nodes": found} if found else {}
    connect = {name: words for name in ("provision", "prefer") if (words := _networks(folder / f"network-{name}"))}
    merged = {**nodes, **({"connect": connect} if connect else {})}
    try:
        Settings.model_validate(merged)
    except ValidationError:
        return {}
    return merged


def _networks(file: Path) -> list[str]:
    try:
        words = [word.strip() for word in file.read_text(encoding="utf-8").split(",")]
    except (OSError, UnicodeDecodeError):
        return []
    return [word for word in words if word in NETWORK_KINDS]


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merge(result[key], value) if both else value
    return result


def _invalid(file: Path, why: str) -> StateError:
    return StateError(
        f"the configuration {file} can't be used", why=why, fix=f"mend it in an editor, or move it away: mv {file} {file}.old",
        code="config-invalid",
    )  # fmt: skip
