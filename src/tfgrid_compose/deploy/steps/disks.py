"""Steps `snapshot` and `restore-data`: a copy of the machine's disks before a release is replaced, and back."""

from __future__ import annotations

from tfgrid_compose.deploy import releases
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.steps.base import Step, Tolerated
from tfgrid_compose.errors import GridError


class Snapshot(Step):
    """Keeps the disks as they are while the live release runs, for `rollback --with-data`."""

    name = "snapshot"
    changes_machine = False
    with_others = "before the machine is changed"
    expected = 0.5
    only_with_others = True

    def describe(self, context: Context) -> str:
        """Which release's data."""
        return f"the disks as release {_live(context)} leaves them, for `rollback --with-data`"

    def inputs(self, context: Context) -> dict[str, str]:
        """The release that is about to be replaced."""
        return {"release": _live(context)}

    def apply(self, context: Context) -> str:
        """Copy the disks and drop copies of releases that are not kept. A refusal is tolerated: it is an extra."""
        contracts: list[int] = context.deployment.data.get("contracts", [])
        live, grid = _live(context), context.grid
        if _was_taken(context):
            return "the copy of the run before stays: since then the machine was changed"
        if not grid.alive(contracts):
            return "there is no machine to copy"
        try:
            size = grid.snapshot(contracts, live)
        except GridError as error:
            raise Tolerated(f"{error.what}; `rollback --with-data` to {live} won't be possible") from error
        stay = {live, *releases.kept(context.store, context.deployment, context.app.manifest.keep_releases)}
        for old in set(grid.snapshots(contracts)) - stay:
            grid.forget_snapshot(contracts, old)
        return f"{size / 1024**2:.0f} MB"


class RestoreData(Step):
    """Puts the disks back as they were when the release was replaced. What was written since is lost."""

    name = "restore-data"
    always = "asked for with --with-data"
    consent = "the data on the disks is replaced"
    expected = 3.0

    def describe(self, context: Context) -> str:
        """Which copy."""
        return f"the disks as they were with release {context.snapshot}; what was written since is lost"

    def inputs(self, context: Context) -> dict[str, str]:
        """The copy, and the run: to restore twice is to restore twice."""
        return {"snapshot": context.snapshot, "run": str(context.run)}

    def probe(self, context: Context) -> bool:
        """Never there already: data may have changed since."""
        return False

    def replaces(self, context: Context, before: dict[str, str] | None) -> str:
        """What later steps did was on the disks that are replaced."""
        return "the disks are restored"

    def apply(self, context: Context) -> str:
        """Stop the machine, put the copies in place, start it again."""
        context.close()
        # What later steps did is not on these disks, also when this run is cut off before it does them again.
        done = context.store.done(context.deployment.id)
        context.store.undo(context.deployment.id, *(done.keys() - {"snapshot", "infrastructure", "tunnel"}))
        context.grid.restore(context.deployment.data["contracts"], context.snapshot)
        return f"disks of release {context.snapshot}"


def _was_taken(context: Context) -> bool:
    """Whether a run since the last one that succeeded got past this step: the disks are not the live release's any more."""
    for run in context.store.runs(context.deployment.id, 50):
        if run["outcome"] == "succeeded":
            break
        steps = {step["name"]: step["outcome"] for step in context.store.steps(run["id"])}
        if run["id"] != context.run and steps.get(Snapshot.name) in ("done", "tolerated"):
            return True
    return False


def _live(context: Context) -> str:
    return str(context.deployment.data.get("release", ""))
