"""Whether the identity behind an account is verified (KYC): the grid takes no deployments of others, on any node.

The provider asks the same service in the same way before it deploys (facts: tfgrid-sdk-go, `isTwinVerified`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

_PATH, _GOOD = "/api/v1/status", "VERIFIED"
_PATIENCE_S = 10.0
_LONGEST = 64 * 1024


def verified(urls: Sequence[str], twin: int) -> bool | None:
    """Whether a twin is verified, by the first of the services that says it; None when none does."""
    return next((said for url in urls if (said := _asked(url, twin)) is not None), None)


def _asked(url: str, twin: int) -> bool | None:
    import httpx

    from tfgrid_compose.grids.asking import on_loopback

    try:
        with httpx.Client(timeout=_PATIENCE_S, follow_redirects=False, trust_env=not on_loopback(url)) as http:
            with http.stream("GET", url.rstrip("/") + _PATH, params={"twin_id": str(twin)}) as answer:
                body = b""
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > _LONGEST:
                        return None
                return _read(answer.status_code, body)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
        return None


def _read(status: int, body: bytes) -> bool | None:
    """What an answer says; of a twin that never asked to be verified the service knows nothing, which is 404 and JSON."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    if status == 404:
        return False
    result = found.get("result")
    said = result.get("status") if isinstance(result, dict) else None
    return said == _GOOD if status == 200 and isinstance(said, str) else None
