"""The manifest as one typed model.

Every shape that apps of the bash tool use is accepted and becomes one form here: scalars become
`Range`s, comma strings become lists, legacy network fields become `provision` and `prefer`.
Field descriptions are the manifest reference of the docs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from tfgrid_compose.manifest.names import mount_refusal, name_refusal, normal
from tfgrid_compose.manifest.sizes import disk_gib, memory_mib, usd

NetworkKind = Literal["mycelium", "wireguard", "ipv4", "ipv6"]
NETWORK_KINDS: tuple[str, ...] = get_args(NetworkKind)
HOOKS = ("setup", "configure", "healthcheck")
# Keys that apps of the bash tool carry and that never had an effect.
DECORATIVE = (
    "author", "license", "type", "complexity", "requires", "variables", "infrastructure", "platform", "health_checks",
    "monitoring", "backup", "tags", "metadata", "documentation", "dependencies", "config", "cache_version", "features",
    "homepage", "repository", "maintainer", "category", "icon", "k3s",
)  # fmt: skip


class Model(BaseModel):
    """Base of all manifest models: frozen; unknown keys are collected, not refused."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, data: Any) -> Any:
        """A key with nothing behind it, such as `network:`, is as good as absent."""
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data

    @classmethod
    def written_keys(cls, value: Any) -> list[str]:
        """The keys of a value, as it stands in the file, that should be fields of this model."""
        return list(value) if isinstance(value, dict) else []


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("write a number, not yes or no")
    return value


def _words(value: Any) -> Any:
    """`a, b` and `[a, b]` and `a` are the same list."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def _truthy(value: Any) -> Any:
    """The bash tool takes True, yes, on and 1, quoted or not."""
    if isinstance(value, str) and value.lower() in ("true", "yes", "on", "1"):
        return True
    if isinstance(value, str) and value.lower() in ("false", "no", "off", "0", ""):
        return False
    return value


def _text(value: Any) -> Any:
    """A version such as 1.10 that YAML read as a number is still a text."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _value(value: Any) -> Any:
    """The hooks' environment holds texts only: yes and no become the words that a shell compares with."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else _text(value)


def _printable(value: str, allowed: str = "") -> str:
    """Texts go into files of lines and onto terminals, which obey control characters."""
    if not value.isprintable():
        odd = next((sign for sign in value if unicodedata.category(sign) in ("Cc", "Zl", "Zp") and sign not in allowed), None)
        if odd is not None:
            raise ValueError("it is to stand on one line" if odd == "\n" else f"it holds the control character {ascii(odd)}")
    return value


def _prose(value: str) -> str:
    return _printable(value, "\n\r\t")


# What stands before the checks of a type widens what may be written; the JSON Schema must be told.
Truthy = Annotated[bool, BeforeValidator(_truthy), WithJsonSchema({"type": ["boolean", "string", "integer"]})]
Line = Annotated[str, AfterValidator(_printable)]
Prose = Annotated[str, AfterValidator(_prose)]
Text = Annotated[Line, BeforeValidator(_text), WithJsonSchema({"type": ["string", "number"]})]
Value = Annotated[str, BeforeValidator(_value), WithJsonSchema({"type": ["string", "number", "boolean"]})]
Networks = Annotated[
    list[NetworkKind],
    BeforeValidator(_words),
    WithJsonSchema({"type": ["array", "string"], "items": {"enum": list(NETWORK_KINDS)}}),
]
Words = Annotated[list[Line], BeforeValidator(_words), WithJsonSchema({"type": ["array", "string"], "items": {"type": "string"}})]


def _size_schema(low: int, high: int) -> WithJsonSchema:
    return WithJsonSchema({"type": ["number", "string"], "minimum": low, "maximum": high})


Memory = Annotated[int, BeforeValidator(memory_mib), Field(ge=256, le=262144), _size_schema(256, 262144)]
Disk = Annotated[int, BeforeValidator(disk_gib), Field(ge=1, le=10240), _size_schema(1, 10240)]
Cores = Annotated[int, BeforeValidator(_number), Field(ge=1, le=32), _size_schema(1, 32)]


def _range(value: Any) -> Any:
    return value if isinstance(value, dict) or value is None else {"min": value, "recommended": value}


class CpuRange(Model):
    """Cores: the least that works and what is recommended; a plain number is both."""

    min: Cores | None = Field(None, description="The fewest cores that the app runs with.")
    recommended: Cores | None = Field(None, description="The cores that `up` asks for by default.")


class MemoryRange(Model):
    """Memory in MB, or with a unit (`8G`)."""

    min: Memory | None = Field(None, description="The least memory that the app runs with.")
    recommended: Memory | None = Field(None, description="The memory that `up` asks for by default.")


class DiskRange(Model):
    """Root disk in GB, or with a unit (`50G`)."""

    min: Disk | None = Field(None, description="The smallest root disk that the app runs with.")
    recommended: Disk | None = Field(None, description="The root disk that `up` asks for by default.")


class RoleResources(Model):
    """Sizes of the machines of one role."""

    cpu: Annotated[CpuRange | None, BeforeValidator(_range)] = Field(None, description="Cores.")
    memory: Annotated[MemoryRange | None, BeforeValidator(_range)] = Field(None, description="Memory in MB.")
    disk: Annotated[DiskRange | None, BeforeValidator(_range)] = Field(None, description="Root disk in GB.")


class Port(Model):
    """A port that the firewall lets in: `8080`, `8080:http`, `53/udp` or `53/udp:dns`."""

    number: int = Field(ge=1, le=65535, description="Port number.")
    protocol: Literal["tcp", "udp"] = Field("tcp", description="`tcp` or `udp`.")
    name: Line = Field("", description="What answers there: `http` and `https` become links.")

    @classmethod
    def written_keys(cls, value: Any) -> list[str]:
        """In the short form `80: http` the key is the number."""
        return [] if _is_short_port(value) else super().written_keys(value)


_PORT = re.compile(r"^\s*(\d{1,5})(?:/(tcp|udp))?(?:\s*:\s*([\w.-]+))?\s*$")


def _is_short_port(value: Any) -> bool:
    return isinstance(value, dict) and "number" not in value and len(value) == 1


def _port(value: Any) -> Any:
    if _is_short_port(value):
        number, name = next(iter(value.items()))
        value = str(number) if name is None else f"{number}:{name}"
    if isinstance(value, dict):
        return value
    match = _PORT.match(str(value))
    if isinstance(value, bool) or not match:
        raise ValueError(f"{value!r} is not a port; write 8080, 8080:http or 53/udp:dns")
    return {"number": int(match[1]), "protocol": match[2] or "tcp", "name": match[3] or ""}


Ports = list[Annotated[Port, BeforeValidator(_port)]]


class Resources(RoleResources):
    """What the app needs of a machine; a pattern with several roles takes one entry for each."""

    ports: Ports = Field(default_factory=list, description="Ports that the firewall lets in, besides ssh.")
    vm: RoleResources | None = Field(None, description="Sizes for the role `vm`.")
    gateway: RoleResources | None = Field(None, description="Sizes for the role `gateway`.")
    backend: RoleResources | None = Field(None, description="Sizes for the role `backend`.")
    master: RoleResources | None = Field(None, description="Sizes for the role `master`.")
    worker: RoleResources | None = Field(None, description="Sizes for the role `worker`.")
    ingress: RoleResources | None = Field(None, description="Sizes for the role `ingress`.")


class Patterns(Model):
    """Which patterns the app is made for."""

    recommended: Line | None = Field(None, description="The pattern that `up` uses.")
    supported: Words = Field(default_factory=list, description="Patterns that --pattern may choose.")


class Network(Model):
    """Which networks the machines get, and which one is used first."""

    provision: Networks | None = Field(None, description="Networks to make: `mycelium`, `wireguard`, `ipv4`, `ipv6`.")
    prefer: Networks | None = Field(None, description="Order in which addresses are tried.")
    public_ipv4: Truthy | None = Field(None, description="Rent a public IPv4 (the same as `ipv4` in `provision`).")
    main: Literal["wireguard", "mycelium", "public"] | None = Field(None, description="Legacy; use `prefer`.")
    inter_node: Line | None = Field(None, description="Legacy; has no effect.")
    mode: Literal["wireguard-only", "mycelium-only", "both"] | None = Field(None, description="Legacy; use `provision`.")

    def provisioned(self, default: Sequence[str] = ("wireguard", "mycelium")) -> tuple[str, ...]:
        """The networks to make; without a word of the author `default`, of which nothing is paid unless somebody said so."""
        legacy = {"wireguard-only": ["wireguard"], "mycelium-only": ["mycelium"], "both": ["wireguard", "mycelium"]}
        chosen = list(self.provision or legacy.get(self.mode or "", []) or default)
        if (self.public_ipv4 or self.main == "public") and "ipv4" not in chosen:
            chosen.append("ipv4")
        return tuple(dict.fromkeys(chosen))

    def wishes(self) -> tuple[str, ...]:
        """The networks that the author prefers, the best first."""
        main = {"public": "ipv4"}.get(self.main or "", self.main)
        return (*(self.prefer or []), *([main] if main else []))


class Hooks(Model):
    """The scripts that make the app, in the order in which they run on the machine."""

    setup: Line = Field("deployment/setup.sh", description="Installs what the app needs.")
    configure: Line = Field("deployment/configure.sh", description="Writes configuration and starts the app.")
    healthcheck: Line = Field("deployment/healthcheck.sh", description="Exits with 0 when the app works.")


class HookOptions(Model):
    """How one hook is treated."""

    optional: Truthy = Field(False, description="A failure is shown and tolerated.")
    timeout: int = Field(1800, ge=1, le=86400, description="Seconds after which the hook is stopped.")
    description: Prose = Field("", description="For readers.")


class Variable(Model):
    """A value that hooks get in their environment."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Name of the environment variable.")
    description: Prose = Field("", description="What it is for; shown when it is asked for.")
    required: Truthy = Field(False, description="`up` stops when it has no value.")
    default: Value | None = Field(None, description="The value when nobody gives one.")
    secret: Truthy = Field(False, description="Never shown, kept encrypted.")
    options: list[Value] = Field(default_factory=list, description="The only values allowed.")
    depends_on: dict[str, Value] = Field(
        default_factory=dict, description="Asked for only when these variables have these values."
    )


class Command(Model):
    """A command of the app: `tfgrid-compose <name>` runs its script on the machine."""

    script: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_prose)] = Field(
        description="Path on the machine, or in the app folder; arguments may follow."
    )
    description: Prose = Field("", description="Shown in the list of commands.")
    args: Annotated[Prose, BeforeValidator(_text), WithJsonSchema({"type": ["string", "number"]})] = Field(
        "", description="How its arguments are written."
    )
    interactive: Truthy = Field(False, description="Talks to the user.")
    allocate_tty: Truthy = Field(True, description="Runs on a terminal when there is one.")
    uses_context: Truthy | str | None = Field(None, description="Accepted for old apps.")
    save_to_context: Line | None = Field(None, description="Accepted for old apps.")


class DataDisk(Model):
    """A disk of its own for data: it stays when the app is deployed again, and goes with the machine."""

    name: str = Field("data", pattern=r"^[a-z][a-z0-9_]{0,35}$", description="Name of the disk.")
    size: Disk = Field(description="Size in GB.")
    mount: str = Field(pattern=r"^/[A-Za-z0-9._/-]+$", description="Where it is mounted.")

    @field_validator("mount")
    @classmethod
    def _not_system(cls, value: str) -> str:
        if why := mount_refusal(value):
            raise ValueError(why)
        return value


class NodeCount(Model):
    """How many machines of a role."""

    count: int = Field(ge=0, le=100, description="Number of machines.")


NodeChoice = int | list[int] | NodeCount | None


class Nodes(Model):
    """Nodes chosen by hand."""

    vm: NodeChoice = Field(None, description="Node of the machine.")
    gateway: NodeChoice = Field(None, description="Node of the gateway.")
    backend: NodeChoice = Field(None, description="Nodes of the backends.")
    master: NodeChoice = Field(None, description="Node of the master.")
    masters: NodeChoice = Field(None, description="Nodes or number of masters.")
    workers: NodeChoice = Field(None, description="Nodes or number of workers.")
    ingress: NodeChoice = Field(None, description="Nodes or number of ingress machines.")


class Placement(Model):
    """Which nodes are good enough; what the user or the preferences say comes on top."""

    farms: Words = Field(default_factory=list, description="Farms to choose from, by name or id; all by default.")
    countries: Words = Field(default_factory=list, description="Countries to choose from; all by default.")
    certified: Truthy = Field(False, description="Only nodes with certified hardware.")
    dedicated: Truthy = Field(False, description="Only nodes that the account rents as a whole.")
    spread: Literal["nodes", "farms", "countries", "none"] = Field(
        "nodes",
        description="What machines of one role don't share: `nodes`, `farms`, `countries`; `none` lets them stand together.",
    )
    min_uptime_days: float | None = Field(None, ge=0, description="Days that a node has been up without a break.")
    max_cpu_usage: float | None = Field(None, ge=0, le=100, description="Share of a node's cores that may be in use, in percent.")
    max_disk_usage: float | None = Field(None, ge=0, le=100, description="Share of a node's SSD that may be in use, in percent.")


def _budget(value: Any) -> Any:
    return value.get("monthly") if isinstance(value, dict) and set(value) == {"monthly"} else value


Money = Annotated[
    float, BeforeValidator(usd), BeforeValidator(_budget), Field(gt=0), WithJsonSchema({"type": ["number", "string"]})
]


# Labels of letters, digits, `-` and `_`, at least two of them, the last one no number.
_LABEL = r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?"
_DOMAIN = re.compile(rf"({_LABEL}\.)+[a-zA-Z][a-zA-Z0-9-]{{0,61}}[a-zA-Z0-9]\.?")


def _domain_name(value: str) -> str:
    if len(value) > 253 or not _DOMAIN.fullmatch(value):
        raise ValueError("it is no fully qualified name; write one such as blog.example.com")
    return value


class Domain(Model):
    """A domain name that leads to the app."""

    name: Annotated[str, AfterValidator(_domain_name)] = Field(description="Fully qualified name, such as `blog.example.com`.")
    provider: Literal["manual", "cloudflare", "namecom", "namecheap"] | None = Field(
        None, description="Who serves the zone; `manual` only shows the record. DNS_PROVIDER in the environment by default."
    )
    zone: Line | None = Field(None, description="The zone, when it is not the registrable domain of the name.")
    ttl: int = Field(300, ge=60, le=86400, description="Seconds that others may keep the answer.")
    www: Truthy = Field(False, description="The same for `www.` in front of the name.")


def _domain(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Status(Model):
    """How the app's state is read on the machine."""

    method: Text = Field("systemd", description="`systemd` or `http`.")
    service: Text | None = Field(None, description="systemd unit of the app.")
    check_interval: Text | None = Field(None, description="Accepted for old apps.")
    endpoints: list[Any] = Field(default_factory=list, description="Accepted for old apps.")


class Logging(Model):
    """Where the app writes its log."""

    method: Text = Field("systemd", description="`systemd` or `file`.")
    service: Text | None = Field(None, description="systemd unit whose journal `logs` shows.")
    location: Text | None = Field(None, description="Folder or file with logs.")
    driver: Text | None = Field(None, description="Accepted for old apps.")
    options: dict[str, Any] = Field(default_factory=dict, description="Accepted for old apps.")


class Manifest(Model):
    """`tfgrid-compose.yaml`: what an app is and what it needs."""

    name: str = Field(
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$", description="Name of the app; deployments are called after it."
    )
    version: Text = Field("0.0.0", description="Version of the app; hooks get it as APP_VERSION.")
    description: Prose = Field("", description="One sentence about the app.")
    pattern: Line | None = Field(None, description="The pattern to use; short for `patterns.recommended`.")
    patterns: Patterns = Field(default_factory=Patterns, description="Which patterns the app is made for.")
    env_file: Line | None = Field(None, description="File with environment values, relative to the app; `.env` when it exists.")
    resources: Resources = Field(default_factory=Resources, description="Sizes and ports.")
    disks: list[DataDisk] = Field(default_factory=list, description="Disks for data.")
    nodes: Nodes = Field(default_factory=Nodes, description="Nodes chosen by hand.")
    placement: Placement = Field(default_factory=Placement, description="Which nodes are good enough.")
    network: Network = Field(default_factory=Network, description="Networks to make and to prefer.")
    domain: Annotated[Domain | None, BeforeValidator(_domain)] = Field(
        None, description="Domain name that leads to the app; `up` makes the record, `down` deletes it."
    )
    budget: Money | None = Field(
        None,
        description="The most that the deployment may cost in a month, in USD: `10` or `10 USD`; `up` refuses what is dearer.",
    )
    hooks: Hooks = Field(default_factory=Hooks, description="Scripts that make the app.")
    hook_config: dict[Literal["setup", "configure", "healthcheck"], HookOptions] = Field(
        default_factory=dict, description="Deadline and tolerance for each hook."
    )
    environment: list[Variable] = Field(default_factory=list, description="Values for the hooks' environment.")
    commands: dict[Line, Command] = Field(default_factory=dict, description="Commands that the app brings.")
    on_failure: Literal["rollback", "keep", "stop"] = Field(
        "rollback",
        description="What happens when a release fails after another one was live: go back to it (`rollback`), leave all as the "
        "failure left it (`keep`), or stop the app's service (`stop`).",
    )
    keep_releases: int = Field(5, ge=2, le=100, description="How many releases are kept to roll back to.")
    gateway: dict[str, Any] = Field(default_factory=dict, description="Settings of the gateway pattern.")
    backend: dict[str, Any] = Field(default_factory=dict, description="Settings of the gateway pattern.")
    status: Status | None = Field(None, description="How the app's state is read.")
    logging: Annotated[Logging | None, BeforeValidator(lambda value: value if isinstance(value, dict) else None)] = Field(
        None, description="Where the app writes its log."
    )

    @field_validator("name")
    @classmethod
    def _free_name(cls, value: str) -> str:
        if why := name_refusal(value):
            raise ValueError(why)
        return value

    @field_validator("disks")
    @classmethod
    def _distinct_disks(cls, disks: list[DataDisk]) -> list[DataDisk]:
        for key, values in (("name", [disk.name for disk in disks]), ("mount", [normal(disk.mount) for disk in disks])):
            if len(set(values)) != len(values):
                raise ValueError(f"two disks have the same {key}")
        return disks

    @field_validator("environment", mode="before")
    @classmethod
    def _environment_map(cls, value: Any) -> Any:
        """`{NAME: value}` is short for a list of names with defaults."""
        if isinstance(value, dict):
            return [{"name": name, **(item if isinstance(item, dict) else {"default": item})} for name, item in value.items()]
        return value

    @model_validator(mode="after")
    def _one_pattern(self) -> Manifest:
        if self.pattern and self.patterns.recommended and self.pattern != self.patterns.recommended:
            raise ValueError(
                f"`pattern: {self.pattern}` and `patterns.recommended: {self.patterns.recommended}` disagree; keep one"
            )
        return self

    @property
    def pattern_name(self) -> str:
        """The pattern to use when the command line names none."""
        return self.pattern or self.patterns.recommended or "single-vm"

    def hook_options(self, hook: str) -> HookOptions:
        """Deadline and tolerance of a hook."""
        return self.hook_config.get(hook) or HookOptions()  # type: ignore[call-overload]
