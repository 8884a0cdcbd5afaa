"""How a text of an outside program reaches us: one error of ours for each way."""

from __future__ import annotations

from collections.abc import Callable

from tfgrid_compose.errors import (
    EnvironmentError_,
    HookError,
    InfrastructureError,
    PlatformError,
    ReachError,
    TfgridError,
    TunnelError,
)

Make = Callable[[str], TfgridError]
# (how the text reaches us, the code it must be diagnosed with, the texts)
Known = tuple[Make, str, list[str]]


def grid(text: str) -> TfgridError:
    """As Terraform passes the provider's words on."""
    return InfrastructureError("`terraform apply` failed", why=text, log="/l")


def init(text: str) -> TfgridError:
    """Terraform before it has asked any provider; it writes no JSON then, so the text is the last lines."""
    lines = text.splitlines()
    return InfrastructureError("`terraform init` failed", why=lines[-1], details=lines)


def hook(text: str) -> TfgridError:
    return HookError("hook setup failed", why="it exited with 1 after 3.1 s", details=text.splitlines(), fix="mend it")


def ended(text: str) -> TfgridError:
    return HookError("hook setup failed", why=text, details=["Setting up the app"], fix="mend it")


def task(text: str) -> TfgridError:
    return PlatformError("Ansible failed on vm in task «Install»", why=text, log="/l")


def lost(text: str) -> TfgridError:
    return PlatformError("Ansible lost vm in task «Install»", why=text)


def login(text: str) -> TfgridError:
    return ReachError("the connection to vm (10.5.3.2) failed", why=text)


def tunnel(text: str) -> TfgridError:
    return TunnelError("the tunnel wg-app did not come up", why=text, fix="tfgrid-compose doctor")


def here(text: str) -> TfgridError:
    return EnvironmentError_("`mmdebstrap` failed", why="it exited with 1", details=text.splitlines())
