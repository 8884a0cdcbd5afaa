"""The domain of a deployment: what is wanted, where its credentials come from, and what we made.

`data["dns"]` of a deployment says what was wanted last, and lists every record that we made or were about to make, with
the zone and the provider that it is in. A record is written there before it is made, and leaves only when its provider
has been seen without it. What is not listed there belongs to somebody else, and is never changed or deleted.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfgrid_compose.drivers.dns import names, providers
from tfgrid_compose.drivers.dns.names import Record
from tfgrid_compose.drivers.dns.providers import MANUAL, Access, Look
from tfgrid_compose.errors import ManifestError, StateError
from tfgrid_compose.manifest.model import Domain, Manifest
from tfgrid_compose.observe.redact import Redactor
from tfgrid_compose.state.secrets import folder_owner
from tfgrid_compose.state.store import Deployment, Store

# Where apps of the bash tool have their domain, the first that is set.
FROM_ENVIRONMENT = ("TFGRID_DOMAIN", "DOMAIN", "DOMAIN_NAME")
# Credentials with which records were made, encrypted, so that `down` can delete them from any shell.
SECRET = "dns"  # noqa: S105  # the name of a secret


@dataclass(frozen=True)
class Wanted:
    """A domain that is to lead to the app. `names` are the domain's own and `www.` of it where that is wanted."""

    names: tuple[str, ...]
    zone: str
    provider: str
    ttl: int

    @property
    def name(self) -> str:
        """The domain."""
        return self.names[0]

    @property
    def is_manual(self) -> bool:
        """Whether records are made by hand."""
        return self.provider == MANUAL

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, for the deployment's data."""
        return {"names": list(self.names), "zone": self.zone, "provider": self.provider, "ttl": self.ttl}


@dataclass(frozen=True)
class Made:
    """A record that we made, and where."""

    record: Record
    zone: str
    provider: str

    def to_dict(self) -> dict[str, str]:
        """As JSON values."""
        return {**vars(self.record), "zone": self.zone, "provider": self.provider}


# What is wanted


def wanted(manifest: Manifest, environment: Mapping[str, str], look: Look) -> Wanted | None:
    """The domain of the manifest; else the one of the app's environment, when a provider is named. Raises `ManifestError`."""
    if manifest.domain:
        return _of_domain(manifest.domain, manifest.domain.provider or _provider(look))
    name = next((environment[key] for key in FROM_ENVIRONMENT if environment.get(key)), "")
    if not _is_name(name) or (provider := _provider(look)) == MANUAL:
        return None
    return _of_domain(_checked(name), provider)


def _provider(look: Look) -> str:
    return providers.normal(look(providers.VARIABLE) or MANUAL)


def _of_domain(domain: Domain, provider: str) -> Wanted:
    name = names.plain(domain.name)
    both = (name, f"www.{name}") if domain.www else (name,)
    return Wanted(both, names.zone_of(name, domain.zone), provider, domain.ttl)


def _is_name(text: str) -> bool:
    """Whether it can be a domain at all: `localhost` and addresses stand in many environments."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(text)
        return False
    return bool(text) and text != "localhost" and not text.endswith(".localhost")


def _checked(name: str) -> Domain:
    from pydantic import ValidationError

    try:
        return Domain.model_validate({"name": name})
    except ValidationError as error:
        raise ManifestError(
            f"`{name}` is no domain name",
            why=f"the app's environment has it as {', '.join(FROM_ENVIRONMENT[:2])} or {FROM_ENVIRONMENT[2]}",
            fix=f"correct it, or set {providers.VARIABLE}={MANUAL}",
            code="domain-invalid",
        ) from error


def needs_public_address(domain: Wanted, networks: Iterable[str]) -> None:
    """Raise `ManifestError` when no machine will have an address that the domain could lead to."""
    chosen = list(networks)
    if {"ipv4", "ipv6"} & set(chosen):
        return
    raise ManifestError(
        f"domain {domain.name} needs a public address, and the machine gets none",
        why=f"its networks are {', '.join(chosen)}; their addresses are not the internet's",
        fix=f"set network.provision to [{', '.join([*chosen, 'ipv4'])}] in the manifest, which costs more, or remove `domain`",
        code="domain-needs-public-address",
    )


# Where values come from


def looker(store: Store, deployment: Deployment, environment: Mapping[str, str]) -> Look:
    """Values about DNS: the app's environment, this process, `secrets set`, and what the records were made with."""

    @functools.cache
    def kept() -> dict[str, str]:
        # A shell in which nobody has set the provider must not take the records away.
        before = remembered(deployment)
        found = {providers.VARIABLE: before.provider} if before and not before.is_manual else {}
        with contextlib.suppress(StateError):  # What can't be decrypted is asked for again.
            found |= json.loads(store.secret(deployment.id, SECRET) or b"{}")
            if deployment.app_dir:
                found |= store.app_secrets(folder_owner(Path(deployment.app_dir)))
            found |= store.app_secrets(deployment.id)
        return found

    def look(name: str) -> str | None:
        return environment.get(name) or os.environ.get(name) or kept().get(name) or None

    return look


def access(provider: str, look: Look, redactor: Redactor) -> Access:
    """A provider's credentials, known to the redactor. Raises `DnsError` when some are missing."""
    found = providers.access(providers.known(provider), look)
    values = {variable: look(variable) or "" for variable in found.provider.credentials}
    redactor.add(*(value for variable, value in values.items() if "IP" not in variable))
    return found


def keep(store: Store, deployment: Deployment, provider: str, look: Look) -> None:
    """Keep a provider's credentials, encrypted, beside those of other providers that still have records of ours."""
    kept = json.loads(store.secret(deployment.id, SECRET) or b"{}")
    fresh = {variable: look(variable) for variable in providers.known(provider).credentials}
    store.set_secret(deployment.id, SECRET, json.dumps({**kept, **fresh}).encode())


# What we made


def remembered(deployment: Deployment) -> Wanted | None:
    """What was wanted when the deployment was deployed last."""
    data = deployment.data.get("dns") or {}
    return Wanted(tuple(data["names"]), data["zone"], data["provider"], data["ttl"]) if data.get("names") else None


def ours(deployment: Deployment) -> list[Made]:
    """Every record that we made, or were about to make when a run was cut off."""
    listed = (deployment.data.get("dns") or {}).get("made", [])
    return [Made(Record(item["name"], item["type"], item["content"]), item["zone"], item["provider"]) for item in listed]


def with_made(deployment: Deployment, made: Iterable[Made], domain: Wanted | None = None) -> Deployment:
    """The deployment with other records of ours, and with what is wanted now where that is given."""
    head = (
        domain.to_dict() if domain else {key: value for key, value in (deployment.data.get("dns") or {}).items() if key != "made"}
    )
    return deployment.with_data(dns={**head, "made": [item.to_dict() for item in dict.fromkeys(made)]})


def published(domain: Wanted, machine: Mapping[str, Any]) -> tuple[Record, ...]:
    """The records that lead the domain to a machine."""
    return names.addresses(domain.names, machine)
