"""Step `activate`: the new release becomes the current one, and that is proven."""

from __future__ import annotations

import shlex

from tfgrid_compose.deploy import releases
from tfgrid_compose.deploy.context import Context
from tfgrid_compose.deploy.steps.base import Step
from tfgrid_compose.deploy.steps.layout import ROOT, VERIFY
from tfgrid_compose.deploy.steps.ship import record_inputs, wanted_release
from tfgrid_compose.errors import HookError, ReachError

_CHANGED = 3
_SWITCH = """set -eu
cd {root}
if ! ({verify}); then echo "its files on the machine are not the ones that were shipped"; exit 3; fi
ln -sfn releases/{release} current.new
mv -T current.new current
for old in releases/*/; do
  old=${{old#releases/}}; old=${{old%/}}
  case " {keep} " in *" $old "*) ;; *) rm -rf "releases/$old" ;; esac
done
readlink current
"""


class Activate(Step):
    """Points `current` at the release, after proving that its files are the ones that were shipped."""

    name = "activate"
    expected = 0.3
    probes_machine = True

    def describe(self, context: Context) -> str:
        """The link."""
        which = f"release {context.release.label}" if context.release else "the new release"
        return f"{ROOT}/{context.deployment.name}/current points to {which}; its digest is checked"

    def inputs(self, context: Context) -> dict[str, str]:
        """The release."""
        return record_inputs(context)

    def probe(self, context: Context) -> bool:
        """Whether the machine runs the release that it shall."""
        try:
            return current_release(context) == wanted_release(context)
        except ReachError:
            return False

    def apply(self, context: Context) -> str:
        """Prove the files, switch the link in one move, prune old releases, read the link back."""
        release = wanted_release(context)
        store, deployment, keep = context.store, context.deployment, context.app.manifest.keep_releases
        root = f"{ROOT}/{deployment.name}"
        found = next(item for item in store.releases(deployment.id) if item.id == release)
        verify = VERIFY.format(release=f"releases/{release}", content=found.data["content"])
        stay = {release, str(deployment.data.get("release", "")), *releases.kept(store, deployment, keep, release)}
        script = _SWITCH.format(root=shlex.quote(root), release=release, verify=verify, keep=" ".join(sorted(stay)))
        done = context.connection(context.hook_machine()).run(f"sh -c {shlex.quote(script)}", timeout=300)
        if not done.ok or done.stdout.strip() != f"releases/{release}":
            changed = done.code == _CHANGED
            raise HookError(
                "the new release could not be made current",
                why=(done.last_lines or ["the link was not set"])[-1],
                fix=f"let no hook write below {ROOT}, then run `tfgrid-compose up` again" if changed else "tfgrid-compose up",
                code="activate-failed",
            )
        store.set_release_live(release, deployment.id)
        context.remember(release=release, went_live=releases.went_live(deployment, release))
        releases.prune(store, context.deployment, keep)
        return f"release {found.label} is live, its digest {found.data['source'][:12]} proven"


def current_release(context: Context) -> str:
    """The release that `current` points to on the machine; empty when there is none."""
    link = f"{ROOT}/{context.deployment.name}/current"
    done = context.connection(context.hook_machine()).run(f"readlink {shlex.quote(link)}", timeout=15)
    return done.stdout.strip().removeprefix("releases/")
