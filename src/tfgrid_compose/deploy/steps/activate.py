"""Step `activate`: the new release becomes the current one, and that is proven."""

from __future__ import annotations

import shlex

from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.steps.base import Step
from tfgrid_compose.deploy.steps.ship import ROOT, release_inputs
from tfgrid_compose.errors import HookError, ReachError

KEEP = 5
_SWITCH = """set -eu
cd {root}
ln -sfn releases/{release} current.new
mv -T current.new current
ls -1d releases/*/ | sed 's:/$::' | sort | head -n -{keep} | while read -r old; do
  [ "$old" = "releases/{release}" ] || rm -rf "$old"
done
readlink current
"""


class Activate(Step):
    """Points `current` at the release and reads it back."""

    name = "activate"
    expected = 0.3
    probes_machine = True

    def describe(self, context: Context) -> str:
        """The link."""
        return f"{ROOT}/{context.deployment.name}/current points to the new release"

    def inputs(self, context: Context) -> dict[str, str]:
        """The release."""
        return release_inputs(context)

    def probe(self, context: Context) -> bool:
        """Whether the machine runs the release that we think it does."""
        try:
            return current_release(context) == context.deployment.data.get("release")
        except ReachError:
            return False

    def apply(self, context: Context) -> str:
        """Switch the link in one move, prune old releases, check."""
        release = str(context.deployment.data["shipped"])
        root = f"{ROOT}/{context.deployment.name}"
        script = _SWITCH.format(root=shlex.quote(root), release=shlex.quote(release), keep=KEEP)
        done = context.connection(context.hook_machine()).run(f"sh -c {shlex.quote(script)}")
        if not done.ok or done.stdout.strip() != f"releases/{release}":
            raise HookError(
                "the new release could not be made current",
                why=(done.last_lines or ["the link was not set"])[-1],
                fix="tfgrid-compose up",
                code="activate-failed",
            )
        newest = context.store.releases(context.deployment.id)
        data = next(item["data"] for item in newest if item["id"] == release)
        context.store.save_release(release, context.deployment.id, "live", data)
        context.remember(release=release)
        return f"release {release}"


def current_release(context: Context) -> str:
    """The release that `current` points to on the machine; empty when there is none."""
    link = f"{ROOT}/{context.deployment.name}/current"
    done = context.connection(context.hook_machine()).run(f"readlink {shlex.quote(link)}", timeout=15)
    return done.stdout.strip().removeprefix("releases/")
