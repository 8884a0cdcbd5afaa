"""What the machine's journal says of services when a hook has failed: the reason is there more often than in the hook."""

from __future__ import annotations

import shlex

from tfgrid_compose.deploy.context import Context
from tfgrid_compose.errors import ReachError

_LINES = 8
# The service that the manifest names, and every unit that has failed; only what was written while the hook ran.
SCRIPT = """for unit in {service} $(systemctl list-units --failed --plain --no-legend 2>/dev/null | cut -d' ' -f1); do
case $unit in *.*) ;; *) unit=$unit.service ;; esac
case " $seen " in *" $unit "*) continue ;; esac; seen="$seen $unit"
said=$(journalctl -u "$unit" --since=-{seconds}s -n {lines} --no-pager -q -o cat 2>/dev/null)
[ -z "$said" ] || printf 'journal of %s (%s):\\n%s\\n' "$unit" "$(systemctl is-active "$unit")" "$said"
done"""


def last_words(context: Context, service: str | None, seconds: float) -> list[str]:
    """The last lines of services since a hook began `seconds` ago, secrets masked; none when the machine can't be asked."""
    script = SCRIPT.format(service=shlex.quote(service) if service else "", seconds=int(seconds) + 5, lines=_LINES)
    try:
        done = context.connection(context.hook_machine()).run(f"sh -c {shlex.quote(script)}", timeout=20)
    except ReachError:
        return []
    return [context.redactor.text(line)[:300] for line in done.stdout.splitlines() if line.strip()][: 4 * _LINES]
