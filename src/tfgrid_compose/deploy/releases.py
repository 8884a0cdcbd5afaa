"""What a release keeps, which ones are kept, and how one becomes files again."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tfgrid_compose.deploy.context import Context, deployment_folder
from tfgrid_compose.errors import NotFoundError, PatternError
from tfgrid_compose.manifest import bundle as bundles
from tfgrid_compose.manifest.envfile import Environment
from tfgrid_compose.manifest.load import App, hook_path
from tfgrid_compose.manifest.model import HOOKS
from tfgrid_compose.patterns import load as patterns
from tfgrid_compose.patterns.load import LoadedPattern
from tfgrid_compose.state import blobs, paths
from tfgrid_compose.state.releases import Release, environment_name
from tfgrid_compose.state.store import Deployment, Store

MANIFEST = "tfgrid-compose.yaml"
_HISTORY = 50


def record(context: Context, id: str, inputs: dict[str, str]) -> Release:
    """Keep all that is needed to come back to what is deployed now: archives first, then the record.

    Raises `StateError` when the disk refuses it.
    """
    environment = context.environment
    text = json.dumps(
        {"values": environment.values, "secrets": sorted(environment.secrets), "given": environment.given}, sort_keys=True
    )
    data = {
        "inputs": inputs,
        "run": context.run,
        "version": context.app.manifest.version,
        "manifest": context.app.manifest_path.read_text(encoding="utf-8"),
        "source": context.bundle.digest,
        "size": context.bundle.size,
        "files": len(context.bundle.entries),
        "content": content_digest(context),
        "archive": blobs.put(source_archive(context)),
        "hooks": _hook_digests(context),
        "pattern": _pattern_facts(context.pattern),
        "pattern_archive": blobs.put(_pattern_archive(context.pattern)),
        "sizes": {role: vars(size) for role, size in context.sizes.items()},
        "disks": [disk.model_dump() for disk in context.disks],
        "nodes": context.nodes,
        "overrides": context.overrides,
        "pattern_options": context.pattern_options,
        "variables": context.deployment.data.get("variables", {}),
        "outputs": context.deployment.data.get("outputs", {}),
        "contracts": context.deployment.data.get("contracts", []),
        "networks": list(context.networks.provision),
        "dotenv": context.dotenv,
    }
    release = context.store.add_release(id, context.deployment.id, data)
    # After the record: a crash between the two leaves a release that never works, and no secret that nobody names.
    context.store.set_secret(context.deployment.id, environment_name(id), text.encode())
    return release


def left_out(app: App, env_file: Path | None) -> tuple[Path, ...]:
    """Files of the app folder that are no files of its releases: the environment, and manifests.

    The manifest that is used comes in under the usual name; one that stands there unused would be a second file of it.
    """
    return tuple(path for path in (env_file, app.manifest_path, app.folder / MANIFEST) if path)


def source_archive(context: Context) -> bytes:
    """The app's files and its manifest under the usual name; no value of the environment is in it."""
    return context.bundle.archive({MANIFEST: context.app.manifest_path.read_bytes()})


def content_digest(context: Context) -> str:
    """The digest of the list of digests that is checked on the machine."""
    return hashlib.sha256(context.bundle.sums()).hexdigest()


def _hook_digests(context: Context) -> dict[str, str]:
    found = {name: hook_path(context.app.folder, getattr(context.app.manifest.hooks, name)) for name in HOOKS}
    playbook = context.app.playbook()
    found |= {"playbook": playbook} if playbook else {}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items() if path and path.is_file()}


def _pattern_facts(pattern: LoadedPattern) -> dict[str, str]:
    return {
        "name": pattern.pattern.name, "version": pattern.pattern.version,
        "infrastructure": pattern.infrastructure_digest, "platform": pattern.platform_digest,
    }  # fmt: skip


def _pattern_archive(pattern: LoadedPattern) -> bytes:
    """The pattern's folder, the same bytes for the same files."""
    return bundles.collect(pattern.folder).archive()


# Choosing


def previous(store: Store, deployment: Deployment) -> Release:
    """The release that was live before the one that is live now. Raises `NotFoundError`.

    After a newer one that failed and was left standing, it is the live one itself: the last that worked.
    """
    everything = store.releases(deployment.id)
    kept = {item.id: item for item in everything if item.worked}
    live = deployment.data.get("release")
    cut_short = store.unfinished(deployment.id)
    if live in kept and not everything[0].worked and cut_short and cut_short["kind"] == "up":
        return kept[live]
    earlier = [id for id in deployment.data.get("went_live", []) if id in kept and id != live]
    if earlier:
        return kept[earlier[-1]]
    raise NotFoundError(
        f"{deployment.name} has no release to go back to",
        why="no other release of it was ever live, or none is kept any more",
        fix="tfgrid-compose history shows what there is; `tfgrid-compose up` deploys the app folder",
        code="release-not-found",
    )


def went_live(deployment: Deployment, release: str) -> list[str]:
    """The order in which releases went live, this one last."""
    history: list[str] = deployment.data.get("went_live", [])
    return [*history, release][-_HISTORY:] if history[-1:] != [release] else history


def kept(store: Store, deployment: Deployment, keep: int, live: str = "") -> list[str]:
    """Ids of the releases that stay: the live one, those that were live last, and the newest of all.

    Releases that failed never push out one that worked: only that can be gone back to. `live` is one that is
    about to be.
    """
    everything = store.releases(deployment.id)
    history = went_live(deployment, live) if live else deployment.data.get("went_live", [])
    order = {id: place for place, id in enumerate(history)}
    worked = [item for item in everything if item.worked or item.id == live]
    worked.sort(key=lambda item: (order.get(item.id, -1), item.number))
    stay = {item.id for item in worked[-keep:]} | {item.id for item in everything if item.status in ("live", "shipped")}
    stay |= {item.id for item in everything[:keep] if not item.worked}
    return [item.id for item in everything if item.id in stay]


def prune(store: Store, deployment: Deployment, keep: int) -> int:
    """Forget releases beyond `keep`, with archives that nothing names any more; returns how many."""
    stay = set(kept(store, deployment, keep))
    gone = [item.id for item in store.releases(deployment.id) if item.id not in stay]
    if gone:
        store.forget_releases(deployment.id, gone)
        prune_archives(store)
    return len(gone)


def prune_archives(store: Store) -> int:
    """Remove archives of releases that are forgotten."""
    needed = set()
    for deployment in store.deployments():
        for item in store.releases(deployment.id):
            needed |= {item.data.get("archive", ""), item.data.get("pattern_archive", "")}
    return blobs.prune(needed)


# Back to files


@contextmanager
def unpacked(deployment: Deployment, release: Release) -> Iterator[Path]:
    """The release's app folder, as long as the context lasts. Raises `StateError` when its archive is damaged."""
    archive = blobs.get(str(release.data.get("archive", "")))
    with _in_use(deployment_folder(deployment) / "tmp") as base:
        folder = Path(tempfile.mkdtemp(prefix="release-", dir=base))
        try:
            bundles.unpack(archive, folder / "app")
            yield folder / "app"
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def tidy(deployment: Deployment) -> None:
    """Remove what a process that was killed has left unpacked."""
    base = paths.deployment_dir(deployment.id) / "tmp"
    if base.is_dir():
        with _in_use(base):
            pass


@contextmanager
def _in_use(base: Path) -> Iterator[Path]:
    """The folder, locked as one of its users; what is there when nobody else is one was left by a crash."""
    descriptor = os.open(paths.private_dir(base), os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in base.iterdir():
                shutil.rmtree(left, ignore_errors=True)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield base
    finally:
        os.close(descriptor)


def pattern_of(release: Release, folder: Path) -> LoadedPattern:
    """The pattern as it was: the installed one when it is the same, else from the archive, unpacked beside `folder`."""
    wanted = release.data["pattern"]
    try:
        installed = patterns.load(wanted["name"])
        if _pattern_facts(installed) == wanted:
            return installed
    except PatternError:
        pass  # It was removed or broken since; the release has its own copy.
    target = paths.below(folder.parent / "patterns", str(wanted["name"]))
    target.mkdir(parents=True)
    bundles.unpack(blobs.get(release.data["pattern_archive"]), target)
    return patterns.load_folder(target)


def environment_of(store: Store, release: Release) -> Environment:
    """The environment as it was. Raises `StateError` when it can't be decrypted."""
    text = store.secret(release.deployment, environment_name(release.id)) or b'{"values": {}, "secrets": [], "given": {}}'
    found: dict[str, Any] = json.loads(text)
    return Environment(found["values"], frozenset(found["secrets"]), found["given"])


def files_of(release: Release) -> dict[str, tuple[str, int]]:
    """{path: (digest, mode)} of a release's archive."""
    found = {}
    with bundles.reading(blobs.get(release.data["archive"])) as tar:
        for member in tar:
            if member.issym():
                found[member.name] = (f"-> {member.linkname}", member.mode)
            elif member.isfile():
                file = tar.extractfile(member)
                found[member.name] = (hashlib.sha256(file.read() if file else b"").hexdigest(), member.mode)
    return found


def text_of(release: Release, path: str, limit: int = 200_000) -> str | None:
    """A file of a release as text; None when it isn't there, is no text, or is larger than `limit` bytes."""
    with bundles.reading(blobs.get(release.data["archive"])) as tar:
        try:
            member = tar.getmember(path)
        except KeyError:
            return None
        # What a link points to is another file, or nothing, or the link itself.
        file = tar.extractfile(member) if member.isreg() else None
        raw = file.read(limit + 1) if file else b"\0"
    if len(raw) > limit or b"\0" in raw:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None
