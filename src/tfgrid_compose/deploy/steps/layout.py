"""Where a release stands on the machine, and how hooks find it."""

from __future__ import annotations

import shlex

from tfgrid_compose.deploy.context import Context

ROOT = "/opt/tfgrid-compose"
# Proves the content of a release: the list has the digest that we know, and every file has the one in the list.
VERIFY = """cd {release} && [ "$(sha256sum < .tfgrid/sha256sums | cut -c-64)" = {content} ] &&
{{ [ ! -s .tfgrid/sha256sums ] || sha256sum -c --quiet --strict .tfgrid/sha256sums >/dev/null 2>&1; }}"""
# What apps of the bash tool find: hooks in /tmp/app-deployment, src/* and the rest in /tmp/app-source. Everybody may
# write to /tmp, and hooks run as root: so the files stand in a folder that only root can enter, and /tmp holds links,
# which are looked at each time. Their names can be taken by others; then nothing runs.
LAY_OUT = """work={work} release={release}
rm -rf "$work"
mkdir -p "$work/app-deployment" "$work/app-source"
chmod 0700 "$work"
if [ -d "$release/deployment" ]; then cp -a "$release/deployment/." "$work/app-deployment/"; fi
cp "$release/.tfgrid/state.yaml" "$release/.tfgrid/get_deployment_ip_vm.sh" "$work/app-deployment/"
chmod 0755 "$work/app-deployment/get_deployment_ip_vm.sh"
find "$release" -mindepth 1 -maxdepth 1 ! -name .tfgrid ! -name src ! -name deployment -exec cp -a {{}} "$work/app-source/" \\;
if [ -d "$release/src" ]; then cp -a "$release/src/." "$work/app-source/"; fi
if [ -f "$release/.tfgrid/dotenv" ]; then install -m 0600 "$release/.tfgrid/dotenv" "$work/app-source/.env"; fi
echo "$release" > "$work/app-deployment/.release"
"""
LINK = """work={work}
for link in /tmp/app-deployment /tmp/app-source; do
  name=${{link##*/}}
  ours() {{ [ -L "$link" ] && [ "$(stat -c %u "$link")" = "$(id -u)" ] && [ "$(readlink "$link")" = "$work/$name" ]; }}
  if ! ours; then rm -rf "$link"; ln -sT "$work/$name" "$link" || true; fi
  if ! ours; then echo "another user of the machine holds $link" >&2; exit {taken}; fi
done
"""
# Exit code of LINK when a name in /tmp is not ours.
TAKEN = 73


def release_folder(context: Context, release: str) -> str:
    """Folder of a release on the machine."""
    return f"{ROOT}/{context.deployment.name}/releases/{release}"


def work_folder(context: Context) -> str:
    """Folder on the machine in which the hooks run."""
    return f"{ROOT}/{context.deployment.name}/work"


def link(context: Context) -> str:
    """A shell script that makes or proves the links in /tmp; exits with `TAKEN` when somebody else holds their names."""
    return LINK.format(work=shlex.quote(work_folder(context)), taken=TAKEN)


def lay_out(context: Context, release: str) -> str:
    """A shell script that lays a release, given by its folder, out for its hooks."""
    return LAY_OUT.format(work=shlex.quote(work_folder(context)), release=shlex.quote(release)) + link(context)
