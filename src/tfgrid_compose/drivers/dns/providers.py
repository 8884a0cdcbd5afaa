"""The providers of DNS that we can change records at, and what each wants to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tfgrid_compose.errors import DnsError, ManifestError
from tfgrid_compose.manifest.load import nearest
from tfgrid_compose.observe.redact import Secret

MANUAL = "manual"
VARIABLE = "DNS_PROVIDER"
# Gives the value of an environment variable, None when nobody has set it.
Look = Callable[[str], str | None]


@dataclass(frozen=True)
class Provider:
    """A provider: `credentials` are {environment variable: the library's name for it}, `ttl` the range it takes in seconds.

    With `whole_zones` it knows zones only by their registrable domain.
    """

    name: str
    title: str
    credentials: Mapping[str, str]
    ttl: tuple[int, int]
    help: str
    whole_zones: bool = False

    def seconds(self, ttl: int) -> int:
        """The nearest time to live that the provider takes."""
        low, high = self.ttl
        return max(low, min(high, ttl))


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider(
            "cloudflare", "Cloudflare", {"CLOUDFLARE_API_TOKEN": "auth_token"}, (60, 86400),
            "a token with the permissions Zone:Read and DNS:Edit, made on https://dash.cloudflare.com/profile/api-tokens",
        ),
        Provider(
            "namecom", "Name.com", {"NAMECOM_USERNAME": "auth_username", "NAMECOM_API_TOKEN": "auth_token"}, (300, 86400),
            "a token, made on https://www.name.com/account/settings/api",
        ),
        Provider(
            "namecheap", "Namecheap",
            {"NAMECHEAP_API_USER": "auth_username", "NAMECHEAP_API_KEY": "auth_token", "NAMECHEAP_CLIENT_IP": "auth_client_ip"},
            (60, 60000),
            "a key, and this computer's public IPv4 on the list of allowed ones, "
            "both on https://ap.www.namecheap.com/settings/tools/apiaccess",
            whole_zones=True,
        ),
    )
}  # fmt: skip
# Every variable that is about DNS; credentials are not meant for the machine.
VARIABLES = frozenset({VARIABLE, *(name for provider in PROVIDERS.values() for name in provider.credentials)})
CREDENTIALS = VARIABLES - {VARIABLE}


@dataclass(frozen=True)
class Access:
    """A provider with the credentials that it wants, by the library's names."""

    provider: Provider
    values: Mapping[str, Secret] = field(default_factory=dict)


def normal(name: str) -> str:
    """A provider's name in our spelling. Raises `ManifestError` for one that is not known."""
    found = {"name.com": "namecom"}.get(name.strip().lower(), name.strip().lower())
    if found in PROVIDERS or found == MANUAL:
        return found
    known = [*PROVIDERS, MANUAL]
    raise ManifestError(
        f"{VARIABLE}={name}: there is no such provider of DNS here",
        why=f"known are {', '.join(known)}",
        fix=nearest(found, known) or f"set {VARIABLE}={MANUAL}, and `up` shows the record to make by hand",
        code="dns-provider-unknown",
    )


def known(name: str) -> Provider:
    """The provider with which records were made. Raises `DnsError` for one that this version does not know."""
    if name not in PROVIDERS:
        raise DnsError(
            f"{name!r} is no provider of DNS here",
            why=f"another version of tfgrid-compose made the records; this one knows {', '.join(PROVIDERS)}",
            fix="take that version, or delete the records by hand and run `tfgrid-compose dns forget` with the deployment's name",
            code="dns-provider-unknown",
        )
    return PROVIDERS[name]


def access(provider: Provider, look: Look) -> Access:
    """The credentials of a provider. Raises `DnsError` that names those that are missing."""
    found = {variable: look(variable) for variable in provider.credentials}
    missing = [variable for variable, value in found.items() if not value]
    if missing:
        raise DnsError(
            f"{provider.title} needs {' and '.join(missing)}",
            why=f"{'they are' if len(missing) > 1 else 'it is'} set neither in the environment nor as a secret of the app",
            fix=f"tfgrid-compose secrets set {missing[0]} (it wants {provider.help}); or set {VARIABLE}={MANUAL}",
            code="dns-credentials",
        )
    return Access(provider, {provider.credentials[name]: Secret(value) for name, value in found.items() if value})
