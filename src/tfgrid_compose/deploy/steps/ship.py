"""Step `ship`: one archive brings source, hooks and environment to the machine."""

from __future__ import annotations

import json
import re
import shlex
import time
from typing import Any

from tfgrid_compose.deploy import releases
from tfgrid_compose.deploy.context import Context, addresses_of
from tfgrid_compose.deploy.steps.base import UNKNOWN, Step, short_digest
from tfgrid_compose.deploy.steps.layout import ROOT, VERIFY, lay_out, release_folder
from tfgrid_compose.drivers.dns.providers import CREDENTIALS
from tfgrid_compose.errors import HookError, ReachError
from tfgrid_compose.grids import git
from tfgrid_compose.observe.plain import one_line
from tfgrid_compose.state import blobs
from tfgrid_compose.state.store import Release

_HELPER = """#!/bin/sh
# Prints the address of this machine that is used first (the bash tool's helper of this name).
sed -n 's/^primary_ip: //p' "${1:-/tmp/app-deployment/state.yaml}" | tail -n 1
"""
# Two archives on one stream: the source, which may be there already, and our own files.
_UNPACK = """set -eu
release={release}
mkdir -p "$release"
head -c {size} | tar -xzpf - -C "$release"
tar -xzpf - -C "$release"
chown -R root:root "$release"
chmod 0700 "$release/.tfgrid"
"""
_UNPACK_OWN = """set -eu
release={release}
tar -xzpf - -C "$release"
chown -R root:root "$release"
"""
# Larger releases are proven when they go live and by `drift`, not at every `up`.
_PROBED_BYTES = 64 * 1024 * 1024


class Ship(Step):
    """A new release on the machine, beside the older ones; nothing is switched yet."""

    name = "ship"
    expected = 1.0
    probes_machine = True

    def describe(self, context: Context) -> str:
        """How much, and where to."""
        count, size = len(context.bundle.entries), context.bundle.size
        what = f"release {context.release.label}" if context.release else f"{count} files, {size / 1024:.0f} KB"
        return f"{what}, to {ROOT}/{context.deployment.name}/releases"

    def inputs(self, context: Context) -> dict[str, str]:
        """All that the record of a release holds."""
        return record_inputs(context)

    def probe(self, context: Context) -> bool:
        """Whether the files of the release that shall run are on the machine as they were shipped."""
        release = wanted_release(context)
        if not release or context.bundle.size > _PROBED_BYTES:
            return True
        try:
            return verified(context, release)
        except ReachError:
            return False

    def apply(self, context: Context) -> str:
        """Send what the machine does not have over its stdin and unpack it."""
        release = context.release or self._same(context) or self._new(context)
        context.remember(shipped=release.id)
        folder = shlex.quote(release_folder(context, release.id))
        own = context.bundle.archive_of(_extras(context))
        if context.release is not None and verified(context, release.id, str(release.data["content"])):
            source, script = b"", _UNPACK_OWN.format(release=folder)
        else:
            source = blobs.get(release.data["archive"])
            script = _UNPACK.format(release=folder, size=len(source))
        connection = context.connection(context.hook_machine())
        line = f"sh -c {shlex.quote(script + lay_out(context, release_folder(context, release.id)))}"
        done = connection.run(line, input=source + own, timeout=1800)
        if not done.ok:
            full = "No space left" in done.stderr
            raise HookError(
                "the source could not be unpacked on the machine",
                why="its disk is full" if full else (done.last_lines or ["tar failed"])[-1],
                fix="ask for a larger --disk" if full else "tfgrid-compose up",
                details=done.last_lines,
                code="machine-disk-full" if full else "ship-failed",
            )
        return f"release {release.label}, {len(source + own) / 1024:.0f} KB"

    def undo(self, context: Context) -> str:
        """Remove the half-shipped release; the live one is not touched."""
        shipped, live = context.deployment.data.get("shipped"), context.deployment.data.get("release")
        if context.release is not None or not shipped or shipped == live:
            return "no file of a live release was changed"
        context.connection(context.hook_machine()).run(f"rm -rf {shlex.quote(release_folder(context, str(shipped)))}", timeout=20)
        return "the release that was on its way was removed from the machine again"

    def _same(self, context: Context) -> Release | None:
        """The live release, when it is the very one that is wanted: then its files are only mended."""
        live = context.store.live_release(context.deployment.id)
        return live if live and live.worked and live.data["inputs"] == record_inputs(context) else None

    def _new(self, context: Context) -> Release:
        inputs = record_inputs(context)
        id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{short_digest([inputs, context.run])[:6]}"
        return releases.record(context, id, inputs)


def verified(context: Context, release: str, content: str | None = None) -> bool:
    """Whether the machine has every file of a release as it was shipped. Raises `ReachError`."""
    script = VERIFY.format(
        release=shlex.quote(release_folder(context, release)), content=content or releases.content_digest(context)
    )
    return context.connection(context.hook_machine()).run(f"sh -c {shlex.quote(script)}", timeout=300).ok


def wanted_release(context: Context) -> str:
    """The release that shall run: the one to go back to, else the one that was shipped last; empty before there is one."""
    return context.release.id if context.release else str(context.deployment.data.get("shipped", ""))


def release_inputs(context: Context) -> dict[str, str]:
    """All that decides what runs: the inputs of every hook."""
    if not context.machines():
        return {"machine": UNKNOWN}
    manifest = context.app.manifest
    env = json.dumps(context.environment.values, sort_keys=True).encode()
    shape: dict[str, Any] = {
        "version": manifest.version, "hooks": manifest.hooks.model_dump(),
        "commands": {name: command.model_dump() for name, command in manifest.commands.items()},
    }  # fmt: skip
    if manifest.domain:  # Hooks get its name; without one, releases keep the digest that they have.
        shape["domain"] = manifest.domain.name
    return {
        "source": context.bundle.digest[:16],
        "environment": context.store.vault.fingerprint(env),
        "manifest": short_digest(shape),
        "machine": str(context.hook_machine()["contract"]),
    }


def record_inputs(context: Context) -> dict[str, str]:
    """All that makes a release another one: what runs, and beside it the whole manifest, sizes, disks and the pattern."""
    aim = {
        "manifest": context.app.manifest_path.read_text(encoding="utf-8"),
        "sizes": {role: vars(size) for role, size in context.sizes.items()},
        "disks": [disk.model_dump() for disk in context.disks],
        "options": context.pattern_options,
        "pattern": [context.pattern.infrastructure_digest, context.pattern.platform_digest],
    }
    return {**release_inputs(context), "aim": short_digest(aim)}


def _extras(context: Context) -> dict[str, bytes]:
    """Files of the release that the app folder does not have. All of them are 0600."""
    extras = {
        ".tfgrid/sha256sums": context.bundle.sums(),
        ".tfgrid/state.yaml": _state_yaml(context).encode(),
        ".tfgrid/get_deployment_ip_vm.sh": _HELPER.encode(),
        ".tfgrid/environment": shell_assignments(hook_environment(context)).encode(),
    }
    if context.dotenv:
        extras[".tfgrid/dotenv"] = dotenv(for_machine(context)).encode()
    return extras


def hook_environment(context: Context) -> dict[str, str]:
    """What hooks get: the reference's variables, all addresses, then the manifest's own values."""
    manifest, machine = context.app.manifest, context.hook_machine()
    values = context.environment.values
    domain = next((values[name] for name in ("TFGRID_DOMAIN", "DOMAIN", "DOMAIN_NAME") if values.get(name)), "")
    domain = domain or (manifest.domain.name.rstrip(".").lower() if manifest.domain else "")
    email = next((values[name] for name in ("TFGRID_SSL_EMAIL", "SSL_EMAIL") if values.get(name)), "")
    found = {
        "APP_NAME": context.deployment.name, "APP_VERSION": manifest.version,
        "DEPLOYMENT_ID": context.deployment.id, "TFGRID_APP_NAME": context.deployment.name,
        "DEPLOYMENT_NETWORK_PREFERENCE": context.networks.prefer[0],
        "TFGRID_NETWORK": context.deployment.network,
        "PRIMARY_IP": primary_ip(context), "TFGRID_VM_IP": primary_ip(context),
        "TFGRID_PRIVATE_IP": machine.get("private_ip", ""), "TFGRID_WIREGUARD_IP": machine.get("wireguard_ip", ""),
        "TFGRID_MYCELIUM_IP": machine.get("mycelium_ip", ""), "TFGRID_IPV4_ADDRESS": machine.get("ipv4_address", ""),
        "TFGRID_IPV6_ADDRESS": machine.get("ipv6_address", ""),
        "TFGRID_DATA_MOUNTS": " ".join(disk.mount for disk in manifest.disks),
        **git.identity_environment(),
        "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root", "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    if domain:
        found |= {"TFGRID_DOMAIN": domain, "DOMAIN": domain}
    if email:
        found |= {"TFGRID_SSL_EMAIL": email, "SSL_EMAIL": email}
    return {**found, **for_machine(context)}


def for_machine(context: Context) -> dict[str, str]:
    """The app's values without the keys of its zone, unless the manifest itself asks for them."""
    declared = {variable.name for variable in context.app.manifest.environment}
    return {name: value for name, value in context.environment.values.items() if name in declared or name not in CREDENTIALS}


def primary_ip(context: Context) -> str:
    """The machine's address that is used first."""
    machine = context.hook_machine()
    return str(machine.get("address") or context.deployment.data.get("outputs", {}).get("primary_ip", ""))


def _state_yaml(context: Context) -> str:
    """The bash tool's state.yaml, with its old and its new keys; a value has one line, whoever it comes from."""
    machine, data = context.hook_machine(), context.deployment.data
    lines = {
        "app_name": context.deployment.name, "app_version": context.app.manifest.version,
        "deployment_id": context.deployment.id, "pattern_name": context.pattern.pattern.name,
        "primary_ip": primary_ip(context), "primary_ip_type": _kind_of(context, primary_ip(context)),
        "deployment_name": data.get("outputs", {}).get("deployment_name", ""),
        "wireguard_address": machine.get("wireguard_ip", ""), "mycelium_address": machine.get("mycelium_ip", ""),
        "ipv4_address": machine.get("ipv4_address", ""), "ipv6_address": machine.get("ipv6_address", ""),
        "vm_ip": machine.get("ipv4_address") or machine.get("wireguard_ip", ""), "mycelium_ip": machine.get("mycelium_ip", ""),
    }  # fmt: skip
    return "".join(f"{key}: {one_line(str(value))}\n" for key, value in lines.items())


def _kind_of(context: Context, address: str) -> str:
    """The network of an address of the hook machine: a type that belongs to another address would mislead a hook."""
    kinds = addresses_of(context.deployment, context.hook_machine())
    return next((kind for kind, mine in kinds if mine == address), "")


def dotenv(values: dict[str, str]) -> str:
    """A `.env` that a shell reads back exactly, and, where a form for both exists, what reads such files without one too.

    Those are docker compose, python-dotenv, node's dotenv and the like: they join no quoted parts, as shlex.quote needs
    for an apostrophe. In single quotes all of them take every sign as it is; in double quotes python-dotenv keeps the
    backslash of an escaped dollar sign or backtick, so a value with an apostrophe and one of these has no common form.
    """
    return "".join(f"{name}={_quoted(value)}\n" for name, value in values.items())


def _quoted(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_./:@%+,-]*", value):
        return value
    if "'" not in value:
        return f"'{value}'"
    escaped = re.sub(r'([\\"$`])', r"\\\1", value)
    return f'"{escaped}"'


def shell_assignments(values: dict[str, str]) -> str:
    """`NAME='value'` lines that a shell reads back exactly."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
