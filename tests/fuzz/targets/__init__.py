"""One module for each target, in the order in which they run."""

from __future__ import annotations

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    ansible,
    archive,
    backup,
    environment,
    events,
    export,
    gitrules,
    gridproxy,
    ignore,
    keyfile,
    lease,
    ledger,
    manifest,
    pattern,
    provider,
    statefile,
    terraform,
    words,
)

_MODULES = (
    manifest, pattern, environment, ignore, gitrules, archive, statefile, keyfile, backup, export, ledger, lease, events, terraform, ansible, provider,
    gridproxy, words,
)  # fmt: skip
ALL: dict[str, type[Target]] = {module.Fuzz.name: module.Fuzz for module in _MODULES}


def shares(inputs: int, names: list[str] | None = None) -> dict[str, int]:
    """{target: how many of the inputs it gets}; together exactly `inputs`."""
    chosen = [name for name in ALL if names is None or name in names]
    whole = sum(ALL[name].share for name in chosen)
    found = {name: inputs * ALL[name].share // whole for name in chosen}
    found[chosen[0]] += inputs - sum(found.values())
    return found
