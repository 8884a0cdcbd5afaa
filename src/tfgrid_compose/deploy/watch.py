"""What happened to contracts between two looks at them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tfgrid_compose.deploy.contracts import Listing, Row


@dataclass(frozen=True)
class Change:
    """Something that is not as it was: `there`, `new`, `ended`, `changed`, or of a network `unasked` and `asked`."""

    kind: str
    network: str
    text: str
    row: Row | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"event": self.kind, "network": self.network, "text": self.text, "contract": self.row and self.row.to_dict()}


def kept(before: Listing | None, now: Listing) -> Listing:
    """What is listed now, with the contracts that networks had before which can't be asked now."""
    old = [row for row in before.rows if row.network in now.unasked] if before else []
    return replace(now, rows=tuple(sorted([*old, *now.rows], key=lambda row: (row.network, row.id))))


def changes(before: Listing | None, now: Listing) -> list[Change]:
    """What happened between two listings; everything is `there` at first. `now` comes from `kept`."""
    was = {(row.network, row.id): row for row in before.rows} if before else {}
    are = {(row.network, row.id): row for row in now.rows}
    silent, spoke = set(now.unasked), set(before.unasked) if before else set()
    found = [Change("unasked", name, f"network {name} can't be asked: {now.unasked[name]}") for name in sorted(silent - spoke)]
    found += [Change("asked", name, f"network {name} answers again") for name in sorted(spoke - silent)]
    for key in sorted(are.keys() | was.keys()):
        found += _change(was.get(key), are.get(key), before is None)
    return found


def _change(old: Row | None, new: Row | None, first: bool) -> list[Change]:
    if new and not old:
        kind, verb = ("there", f"is {new.contract.state}") if first else ("new", "is new")
        return [Change(kind, new.network, f"{new.text} {verb}", new)]
    if old and not new:
        return [Change("ended", old.network, f"{old.text} ended", old)]
    if old and new and old.contract.state != new.contract.state:
        return [Change("changed", new.network, f"{new.text} was {old.contract.state} and is {new.contract.state}", new)]
    return []
