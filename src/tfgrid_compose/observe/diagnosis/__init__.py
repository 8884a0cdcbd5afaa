"""Known failures: from the text of an error to its reason and the one thing to do.

`explained` is what the engine calls. Rows stand in the modules beside this one, by subject; they
are loaded when the first error is looked at, never by a command that succeeds.
"""

from __future__ import annotations

import functools

from tfgrid_compose.errors import TfgridError
from tfgrid_compose.observe.diagnosis.failure import Failure

__all__ = ["Failure", "all_failures", "diagnose", "explained", "find", "groups"]

# A fix that sites give who don't know the reason.
_GENERIC = ("tfgrid-compose up", "tfgrid-compose doctor", "run the command again")
# What has waited for its own deadline is not tried again by itself: the wait is already over.
_WAITED = ("does not answer on", "did not end within")


@functools.cache
def groups() -> tuple[tuple[str, tuple[Failure, ...]], ...]:
    """All rows as (title, rows), in the order in which they are tried."""
    from tfgrid_compose.observe.diagnosis.table import GROUPS

    return GROUPS


@functools.cache
def all_failures() -> tuple[Failure, ...]:
    """Every row, in the order in which they are tried: the first that matches wins."""
    return tuple(row for _, rows in groups() for row in rows)


def find(code: str) -> Failure | None:
    """The row of a code, None when there is none."""
    return next((row for row in all_failures() if row.code == code), None)


def diagnose(error: TfgridError, step: str = "") -> Failure | None:
    """The row that explains an error, None when no row does.

    `step` is the name of the step that failed. It says where an error of no particular class comes from.
    """
    from tfgrid_compose.observe.diagnosis.text import scopes_of, text_of

    scopes = scopes_of(error, step)
    if not scopes:
        return None
    text = text_of(error)
    return next((row for row in all_failures() if row.applies_to(scopes) and row.matches(text)), None)


def explained(error: TfgridError, name: str = "", step: str = "") -> TfgridError:
    """The same error with reason, fix, `cause` and `transient` of its row; unchanged when no row explains it.

    `name` is the deployment's name and goes into the fix. What stood in `why` becomes the last line of
    `details`. A fix of the error's own stays when the error knew its reason: it has a code other than
    its class's, and a fix that is more than "run it again".
    """
    if error.cause:
        return error
    row = diagnose(error, step)
    if row is None:
        return error
    # A message with a secret in it may well say something that a row before knows.
    private = _private(error, step)
    if private is not None:
        _hide(error, private)
    else:
        _keep(error, error.why)
    if _is_generic(error):
        error.fix = row.fix_for(name)
    error.why = row.reason
    error.cause = row.code
    error.transient = row.transient and not any(words in f"{error.what} {error.details}" for words in _WAITED)
    return error


def _private(error: TfgridError, step: str) -> Failure | None:
    """The row, whichever explains the error, that says that a secret stands in its message."""
    from tfgrid_compose.observe.diagnosis.text import scopes_of, text_of

    scopes, text = scopes_of(error, step), text_of(error)
    return next((row for row in all_failures() if row.private and row.applies_to(scopes) and row.matches(text)), None)


def _keep(error: TfgridError, why: str) -> None:
    """Make the old reason the last of the details, unless it stands there already."""
    if why.strip() and not any(why.strip() in line for line in error.details):
        error.details = [*error.details, *why.strip().splitlines()]


def _hide(error: TfgridError, row: Failure) -> None:
    """The outside program has put a secret into its message: nothing of the message may be shown."""
    error.details = []
    if row.matches(error.what.lower()):
        error.what = "the grid's provider refused its settings"
        error.args = (error.what,)


def _is_generic(error: TfgridError) -> bool:
    return not error.fix or error.code == type(error).code or error.fix in _GENERIC
