"""What differs between two releases, or between one and the app folder: manifest, files, infrastructure, environment."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfgrid_compose.deploy import releases, resolve
from tfgrid_compose.deploy.networks import choose
from tfgrid_compose.manifest import bundle as bundles
from tfgrid_compose.manifest import envfile
from tfgrid_compose.manifest.load import load_app
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.state import settings
from tfgrid_compose.state.store import Deployment, Release, Store

_CONTEXT_LINES = 3
_TEXT_LIMIT = 200_000


@dataclass(frozen=True)
class Side:
    """One side of a comparison: its name, manifest, {path: (digest, mode)}, and what infrastructure it asks for."""

    name: str
    manifest: str
    files: dict[str, tuple[str, int]]
    infrastructure: dict[str, str]
    text: Callable[[str], str | None]
    environment: dict[str, str] = field(default_factory=dict)
    has_environment: bool = True
    # Where it stood and what its user said about nodes; the folder has neither.
    placement: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """All that differs; `environment` holds names only, never values."""

    old: str
    new: str
    manifest: list[str]
    files: list[dict[str, Any]]
    infrastructure: list[dict[str, str]]
    environment: list[str]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not (self.manifest or self.files or self.infrastructure or self.environment)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "same": self.same}


def compare(old: Side, new: Side) -> Difference:
    """Compare two sides; text files get a unified diff."""
    manifest = _unified(old.manifest, new.manifest, releases.MANIFEST, old.name, new.name)
    paths = sorted({*old.files, *new.files} - {releases.MANIFEST})
    files = [_file(path, old, new) for path in paths if old.files.get(path) != new.files.get(path)]
    placed = bool(old.placement and new.placement)
    before, after = [{**side.infrastructure, **(side.placement if placed else {})} for side in (old, new)]
    infrastructure = [
        {"what": key, "old": before.get(key, ""), "new": after.get(key, "")}
        for key in sorted({*before, *after}) if before.get(key) != after.get(key)
    ]  # fmt: skip
    both = old.has_environment and new.has_environment
    names = sorted({*old.environment, *new.environment}) if both else []
    changed = [name for name in names if old.environment.get(name) != new.environment.get(name)]
    return Difference(old.name, new.name, manifest, files, infrastructure, changed)


def _file(path: str, old: Side, new: Side) -> dict[str, Any]:
    before, after = old.files.get(path), new.files.get(path)
    change = "added" if before is None else "removed" if after is None else "mode" if before[0] == after[0] else "changed"
    lines: list[str] = []
    if change == "changed":
        texts = old.text(path), new.text(path)
        if None not in texts:
            lines = _unified(str(texts[0]), str(texts[1]), path, old.name, new.name)
    return {"path": path, "change": change, "lines": lines}


def _unified(before: str, after: str, path: str, old: str, new: str) -> list[str]:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{path} ({old})", f"{path} ({new})", lineterm="", n=_CONTEXT_LINES
    )
    return list(lines)


# Sides


def of_release(store: Store, release: Release) -> Side:
    """A release as one side. Raises `StateError` when its archive is damaged."""
    data = release.data
    environment = releases.environment_of(store, release)
    prints = {name: store.vault.fingerprint(value.encode()) for name, value in environment.values.items()}
    return Side(
        f"#{release.number}", data["manifest"], releases.files_of(release),
        _infrastructure(data["sizes"], data["disks"], data["networks"], data["pattern"]),
        lambda path: releases.text_of(release, path), prints, placement=_placement(data),
    )  # fmt: skip


def _placement(data: dict[str, Any]) -> dict[str, str]:
    found = {f"{role} on node": ", ".join(map(str, nodes)) for role, nodes in data["nodes"].items()}
    said: dict[str, Any] = data["overrides"].get("placement") or {}
    options = {key: ", ".join(map(str, value)) if isinstance(value, list) else str(value) for key, value in said.items()}
    return {**found, **{f"option {key.replace('_', '-')}": text for key, text in options.items()}}


def of_folder(deployment: Deployment, file: str | None = None) -> Side:
    """The app folder as it is now; its environment is not resolved. Raises `ManifestError`."""
    app = load_app(Path(deployment.app_dir), file=file or deployment.data.get("manifest_name"))
    pattern = patterns.load(str(deployment.data.get("pattern") or app.manifest.pattern_name))
    env_file = envfile.app_file(app)
    bundle = bundles.collect(app.folder, releases.left_out(app, env_file))
    overrides = deployment.data.get("overrides", {})
    sizes = {name: vars(resolve.sizes(app, name, role, overrides)) for name, role in pattern.pattern.roles.items()}
    files = {
        entry.name: (f"-> {entry.path.readlink()}" if entry.path.is_symlink() else digest, entry.mode)
        for entry, digest in zip(bundle.entries, bundle.digests, strict=True)
    }
    disks = [disk.model_dump() for disk in app.manifest.disks]
    made = choose(app.manifest.network, settings.load().connect, ipv4=overrides.get("ipv4")).provision
    facts = {
        "name": pattern.pattern.name, "version": pattern.pattern.version,
        "infrastructure": pattern.infrastructure_digest, "platform": pattern.platform_digest,
    }  # fmt: skip
    wanted = _infrastructure(sizes, disks, list(made), facts)
    manifest = app.manifest_path.read_text(encoding="utf-8")
    return Side("folder", manifest, files, wanted, lambda path: _text(app.folder / path), has_environment=False)


def _text(path: Path) -> str | None:
    try:
        raw = path.read_bytes()
        return None if len(raw) > _TEXT_LIMIT or b"\0" in raw else raw.decode()
    except (OSError, UnicodeDecodeError):
        return None


def _infrastructure(
    sizes: dict[str, dict[str, int]], disks: list[dict[str, Any]], networks: list[str], pattern: dict[str, str]
) -> dict[str, str]:
    units = {"cpu": "", "memory": " MB", "disk": " GB"}
    found = {f"{role} {key}": f"{size[key]}{unit}" for role, size in sizes.items() for key, unit in units.items()}
    found |= {f"disk {disk['name']}": f"{disk['size']} GB at {disk['mount']}" for disk in disks}
    found["networks"] = ", ".join(networks)
    found["pattern"] = f"{pattern['name']} {pattern['version']}"
    found |= {f"pattern's {part}": pattern[part] for part in ("infrastructure", "platform")}
    return found
