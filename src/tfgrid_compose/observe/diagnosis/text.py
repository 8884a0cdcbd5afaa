"""What of an error is looked at, and which places its words can come from.

Places:
    terraform   Terraform itself: files, plug-ins, state
    grid        the grid, through its provider
    wireguard   the tunnel's tools
    ssh         the ssh client
    ansible     Ansible itself
    hook        a hook of the app
    machine     any program that ran on the machine
    host        any program that ran on this computer
"""

from __future__ import annotations

from tfgrid_compose import errors
from tfgrid_compose.errors import TfgridError

PLACES = ("terraform", "grid", "wireguard", "ssh", "ansible", "hook", "machine", "host")
# Of a long output the end matters; of a long line both ends do.
MAX_LINES = 80
MAX_LINE = 2000
_MAX_TEXT = 64_000
_JSON_VERBS = ("apply", "destroy")

_BY_CLASS: dict[type[TfgridError], tuple[str, ...]] = {
    errors.InfrastructureError: ("terraform", "grid"),
    errors.GridError: ("grid",),
    errors.TunnelError: ("wireguard", "host"),
    errors.ReachError: ("ssh",),
    errors.PlatformError: ("ansible", "machine"),
    errors.HookError: ("hook", "machine"),
    errors.EnvironmentError_: ("host",),
    # These speak of what the user wrote or asked for, and may quote it: no outside program is involved.
    errors.UsageError: (),
    errors.ManifestError: (),
    errors.PatternError: (),
    errors.NotFoundError: (),
    errors.BusyError: (),
    errors.StateError: (),
    errors.InterruptedError_: (),
    # These come from an HTTP interface, and know their reason.
    errors.DnsError: (),
}
_BY_STEP: dict[str, tuple[str, ...]] = {
    "infrastructure": ("terraform", "grid"),
    "tunnel": ("wireguard", "host"),
    "reach": ("ssh",),
    "platform": ("ansible", "machine"),
    **dict.fromkeys(("ship", "setup", "configure", "healthcheck", "activate"), ("hook", "machine")),
}


def scopes_of(error: TfgridError, step: str = "") -> tuple[str, ...]:
    """The places that an error can come from; by its class, and by the step when the class says nothing."""
    kind = next((kind for kind in type(error).__mro__ if kind in _BY_CLASS), None)
    found = _BY_STEP.get(step, ("host",)) if kind is None else _BY_CLASS[kind]
    if kind is errors.InfrastructureError and "terraform init" in error.what:
        return "terraform", "host"  # Nothing has asked the grid yet.
    if kind is errors.GridError and error.code.startswith("localgrid"):
        return ("host",)  # A machine of the local grid is made by programs of this computer.
    if error.code == "hook-lost-machine" or (kind is errors.PlatformError and _lost(error)):
        return "ssh", *found
    return found


def _lost(error: TfgridError) -> bool:
    return "Ansible lost" in error.what or any("via ssh" in text or "UNREACHABLE" in text for text in (error.why, *error.details))


def text_of(error: TfgridError) -> str:
    """The lines of an error that are looked at, in lower case, with a line break at both ends."""
    output = "\n".join(map(_ends, error.details[-MAX_LINES:]))
    said = [*_lines(error.why), *_lines(output)]
    lines = [*_lines(error.what), *said]
    if isinstance(error, errors.InfrastructureError) and not any(verb in error.what for verb in _JSON_VERBS):
        # Where Terraform doesn't speak JSON it breaks its lines as for a narrow terminal; a sentence is matched whole.
        lines.append(" ".join(said)[-_MAX_TEXT:])
    return "\n" + "\n".join(lines).lower() + "\n"


def _lines(text: str) -> list[str]:
    """The last lines of a text, without the frame that Terraform draws."""
    return [_capped(line.strip("│╷╵ \t\r")) for line in _ends(text).splitlines()[-MAX_LINES:]]


def _ends(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[:MAX_LINE] + "\n" + text[-_MAX_TEXT:]


def _capped(line: str) -> str:
    return line if len(line) <= MAX_LINE else line[: MAX_LINE // 2] + "\n" + line[-MAX_LINE // 2 :]
