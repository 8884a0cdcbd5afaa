"""What a provider refuses, or fails at, as errors in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests

from tfgrid_compose.drivers.dns.providers import Provider
from tfgrid_compose.errors import DnsError


def message_of(answer: requests.Response | None) -> str:
    """The provider's own words about an error, on one short line; empty when there are none."""
    if answer is None:
        return ""
    try:
        found = answer.json()
        parts = [str(error.get("message", "")) for error in found.get("errors", [])]
        parts = parts or [str(found.get("message", "")), str(found.get("details", ""))]
    except (ValueError, AttributeError, TypeError):
        return ""
    return short(": ".join(part for part in parts if part))


def short(text: str) -> str:
    """At most 200 signs on one line, without a full stop."""
    return " ".join(text.split()).rstrip(".!")[:200]


@contextmanager
def explained(provider: Provider, zone: str) -> Iterator[None]:
    """Whatever the library raises becomes a `DnsError` in our words."""
    from lexicon.exceptions import LexiconError

    try:
        yield
    except DnsError:
        raise
    except requests.exceptions.JSONDecodeError as error:
        raise unreachable(provider, "its answer is none of its interface, perhaps a web page") from error
    except requests.HTTPError as error:
        raise refused(provider, message_of(error.response) or f"it answered with status {_status(error)}") from error
    except requests.Timeout as error:
        raise unreachable(provider, "it did not answer in time") from error
    except requests.RequestException as error:
        raise unreachable(provider, "no connection, or one that broke") from error
    except LexiconError as error:
        raise no_zone(provider, zone) from error
    except (SyntaxError, ValueError, KeyError, TypeError, AttributeError) as error:
        # xml.etree's ParseError is a SyntaxError.
        raise unreachable(provider, "its answer is none of its interface, perhaps a web page") from error
    except Exception as error:
        if "is not controlled by" in str(error):
            raise no_zone(provider, zone) from error
        raise


def _status(error: requests.HTTPError) -> str:
    return str(error.response.status_code) if error.response is not None else "unknown"


def no_access(provider: Provider, zone: str, why: str) -> DnsError:
    """The provider does not let us in."""
    secret = list(provider.credentials)[min(1, len(provider.credentials) - 1)]
    return DnsError(
        f"{provider.title} does not let us change zone {zone}",
        why=why,
        fix=f"tfgrid-compose secrets set {secret} (it wants {provider.help})",
        code="dns-credentials",
    )


def no_zone(provider: Provider, zone: str) -> DnsError:
    """The provider's account has no such zone."""
    return DnsError(
        f"{provider.title} has no zone {zone} in this account",
        why="it belongs to another account, was never added there, or the token may not see it",
        fix="add the zone at the provider, or correct `domain.zone` and `domain.provider` in the manifest",
        code="dns-zone-missing",
    )


def too_often(provider: Provider) -> DnsError:
    """The provider counts requests."""
    error = DnsError(
        f"{provider.title} refuses to answer for now",
        why="there were too many requests with this account",
        fix="wait a few minutes, then run the command again",
        code="dns-refused",
    )
    error.transient = True
    return error


def refused(provider: Provider, why: str) -> DnsError:
    """The provider understood, and does not want to."""
    return DnsError(
        f"{provider.title} refused to change the zone",
        why=why,
        fix="mend what it says, then run the command again",
        code="dns-refused",
    )


def unreachable(provider: Provider, why: str) -> DnsError:
    """The provider did not answer, or not as it should; that passes."""
    error = DnsError(
        f"{provider.title} does not answer as it should",
        why=why,
        fix="run the command again; when it goes on, look at the provider's status page and at this computer's proxy",
        code="dns-unreachable",
    )
    error.transient = True
    return error
