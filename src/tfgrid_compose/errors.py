"""The error tree: every failure a user can meet, with its reason and the next command.

    TfgridError                 anything we explain; the command line prints it and exits
    |-- UsageError              the command line itself is wrong                      (exit 2)
    |-- ManifestError           the app folder or its manifest is wrong               (exit 3)
    |-- PatternError            a pattern is missing or breaks its contract           (exit 3)
    |-- EnvironmentError_       this computer lacks something                         (exit 4)
    |-- NotFoundError           no such deployment, node, release                     (exit 5)
    |-- BusyError               another run holds the deployment                      (exit 6)
    |-- GridError               the grid refused or failed                            (exit 7)
    |-- InfrastructureError     Terraform failed                                      (exit 7)
    |-- TunnelError             WireGuard failed                                      (exit 8)
    |-- ReachError              a machine does not answer                             (exit 8)
    |-- DnsError                a domain's record can't be made, changed or seen      (exit 8)
    |-- PlatformError           Ansible failed                                        (exit 9)
    |-- HookError               a hook of the app failed                              (exit 9)
    |-- StateError              what we remember is damaged or cannot be written      (exit 10)
    `-- InterruptedError_       the user stopped the run                              (exit 130)

Anything else that escapes is a bug: the command line saves a report and exits with 70.
"""

from __future__ import annotations

from typing import Any


class TfgridError(Exception):
    """A failure that we can explain.

    `what` says what failed, `why` the reason in plain words, `fix` the next command or action.
    `details` are the last lines that matter (already redacted), oldest first; `log` is the path
    of the whole output. `code` is stable and has a page in the docs.

    A known failure also has a `cause`, the code of its row in the table of diagnoses; `transient` says that
    trying again may help.
    """

    code = "error"
    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        fix: str = "",
        code: str | None = None,
        details: list[str] | None = None,
        log: str | None = None,
        exit_code: int | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.details = details or []
        self.log = log
        # What was done about it before anybody read of it, such as going back to the release that worked.
        self.aftermath = ""
        self.cause = ""
        self.transient = False
        if code is not None:
            self.code = code
        if exit_code is not None:
            self.exit_code = exit_code

    def to_dict(self) -> dict[str, Any]:
        """The same facts for `--json`; keys without a value are left out."""
        facts = {
            "code": self.code,
            "cause": self.cause,
            "what": self.what,
            "why": self.why,
            "fix": self.fix,
            "aftermath": self.aftermath,
            "details": self.details,
            "log": self.log,
            "exit_code": self.exit_code,
        }
        return {key: value for key, value in facts.items() if value not in ("", None, [])}


class UsageError(TfgridError):
    """The command line itself is wrong."""

    code = "usage"
    exit_code = 2


class ManifestError(TfgridError):
    """The app folder or its manifest is wrong."""

    code = "manifest-invalid"
    exit_code = 3


class PatternError(TfgridError):
    """A pattern is missing or breaks the pattern contract."""

    code = "pattern-invalid"
    exit_code = 3


class EnvironmentError_(TfgridError):
    """This computer lacks a program, a privilege or room."""

    code = "environment"
    exit_code = 4


class NotFoundError(TfgridError):
    """There is no such deployment, node or release."""

    code = "not-found"
    exit_code = 5


class BusyError(TfgridError):
    """Another run holds the deployment."""

    code = "busy"
    exit_code = 6


class GridError(TfgridError):
    """The grid refused a request or failed to carry it out."""

    code = "grid"
    exit_code = 7


class InfrastructureError(TfgridError):
    """Terraform failed."""

    code = "infrastructure"
    exit_code = 7


class TunnelError(TfgridError):
    """The WireGuard tunnel could not be brought up or down."""

    code = "tunnel"
    exit_code = 8


class ReachError(TfgridError):
    """A machine does not answer, or the connection to it broke."""

    code = "unreachable"
    exit_code = 8


class DnsError(TfgridError):
    """A domain's record can't be made, changed or seen."""

    code = "dns"
    exit_code = 8


class PlatformError(TfgridError):
    """Ansible failed."""

    code = "platform"
    exit_code = 9


class HookError(TfgridError):
    """A hook of the app failed, timed out or could not be started."""

    code = "hook-failed"
    exit_code = 9


class StateError(TfgridError):
    """What we remember is damaged or cannot be written."""

    code = "state"
    exit_code = 10


class InterruptedError_(TfgridError):
    """The user stopped the run."""

    code = "interrupted"
    exit_code = 130
