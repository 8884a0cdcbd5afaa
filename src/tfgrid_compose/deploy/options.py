"""What the user asked `up` for, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class PlacementOptions:
    """What the user says about nodes; empty and None mean that the user said nothing."""

    farms: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    certified: bool | None = None
    dedicated: bool | None = None
    spread: str | None = None
    whitelist_nodes: tuple[int, ...] = ()
    blacklist_nodes: tuple[int, ...] = ()
    blacklist_farms: tuple[str, ...] = ()
    min_uptime_days: float | None = None
    max_cpu_usage: float | None = None
    max_disk_usage: float | None = None


@dataclass(frozen=True)
class UpOptions:
    """Options of `up`; None means that the user said nothing."""

    target: Path
    name: str | None = None
    network: str | None = None
    pattern: str | None = None
    node: int | None = None
    cpu: int | None = None
    memory: int | None = None
    disk: int | None = None
    size: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    env_file: Path | None = None
    file: str | None = None
    strict: bool = False
    terraform: str | None = None
    wait: float = 0.0
    cancel: bool = False
    retry: bool = True
    repair: bool = False
    placement: PlacementOptions = field(default_factory=PlacementOptions)
    # Whether to rent a public IPv4, whatever the manifest says.
    ipv4: bool | None = None
    # The most that the deployment may cost, in USD a month.
    max_monthly: float | None = None
    # Whether code of others may run on this computer.
    trust: bool = False


@dataclass(frozen=True)
class RollbackOptions:
    """Options of `rollback`: which release (None for the one before), and whether its data comes back too."""

    release: str | None = None
    with_data: bool = False
    terraform: str | None = None
    wait: float = 0.0
    cancel: bool = False
    retry: bool = True
    # Whether code of others may run on this computer.
    trust: bool = False
