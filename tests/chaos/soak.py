"""Fifty deployments with ordered faults: one step in five meets one, all succeed, and the journal shows the retries.

    python -m tests.chaos.soak [--deployments N] [--workers N]

Needs root and the tests' local grid (number 1).
"""

from __future__ import annotations

import argparse
import collections
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.chaos.grid import Grid, stage_of_its_own

# What is ordered, and the step that meets it. Every deployment meets two of them: two of its nine steps, one in five.
FAULTS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("provider time-out", ("--timeouts", "1"), "infrastructure"),
    ("dropped answer", ("--dropped", "1"), "infrastructure"),
    ("slow node", ("--slow", "3", "--times", "1"), ""),
    ("apt lock", ("--apt-lock", "14", "--machines", "1"), "setup"),
    ("dropped ssh", ("--drop-ssh", "2", "--machines", "1"), ""),
)
_SETUP = "#!/bin/sh\nset -e\napt-get -o DPkg::Lock::Timeout=1 install -y --no-install-recommends bash\n"


def app_folder(grid: Grid, name: str) -> Path:
    """A small app that takes apt's lock in its setup."""
    folder = grid.home / name
    (folder / "deployment").mkdir(parents=True)
    (folder / "tfgrid-compose.yaml").write_text(
        f"name: {name}\nresources: {{cpu: 1, memory: 512, disk: 4}}\nnetwork: {{provision: wireguard}}\n"
    )
    for hook, text in (
        ("setup", _SETUP),
        ("configure", "#!/bin/sh\ntouch /srv/made\n"),
        ("healthcheck", "#!/bin/sh\ntest -e /srv/made\n"),
    ):
        path = folder / "deployment" / f"{hook}.sh"
        path.write_text(text)
        path.chmod(0o755)
    return folder


def deploy(grid: Grid, number: int) -> dict[str, Any]:
    """One deployment from nothing to gone; what it met and how often steps were tried."""
    name = f"e2e-soak{number}"
    folder = app_folder(grid, name)
    chosen = [FAULTS[number % len(FAULTS)], FAULTS[(number * 3 + 1) % len(FAULTS)]]
    for _, words, _ in dict.fromkeys(chosen):
        grid.run("localgrid", "fault", *words, "--for", name)
    started = time.monotonic()
    done = grid.run("up", str(folder), "--yes", "--json", check=False)
    seconds = time.monotonic() - started
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    retries = [event for event in events if event.get("event") == "step-retry"]
    runs = grid.json("runs", name)
    steps = grid.json("runs", "show", str(runs[0]["id"]))["steps"]
    contracts = [item for item in grid.contracts() if item["name"].startswith("vm_")]
    attempts = {step["name"]: step["attempts"] for step in steps if step["attempts"] > 1}
    down = grid.run("down", name, "--yes", check=False)
    return {
        "name": name, "faults": [fault for fault, _, _ in dict.fromkeys(chosen)], "code": done.returncode, "seconds": seconds,
        "retries": [(event["step"], event["reason"][:90]) for event in retries], "attempts": attempts, "down": down.returncode,
        "error": "" if done.returncode == 0 else done.stderr[-2000:], "machines": len(contracts),
    }  # fmt: skip


def main() -> int:
    """Run them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployments", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    started = time.monotonic()
    with stage_of_its_own() as grid:
        grid.run("localgrid", "up")
        with ThreadPoolExecutor(max_workers=options.workers) as pool:
            found = list(pool.map(lambda number: shown(deploy(grid, number)), range(options.deployments)))
        left = grid.contracts()
        books = grid.run("state", "check", check=False)
    failed = [item for item in found if item["code"] or item["down"]]
    met = collections.Counter(fault for item in found for fault in item["faults"])
    tried = collections.Counter(step for item in found for step, _ in item["retries"])
    print("faults met:   ", dict(met))
    print("steps retried:", dict(tried))
    print(f"{len(found)} deployments, {len(failed)} failed, {sum(tried.values())} retries, {len(left)} contracts left, "
          f"books {'in order' if books.returncode == 0 else 'NOT in order'}, {time.monotonic() - started:.0f} s")  # fmt: skip
    for item in failed:
        print(item["name"], item["faults"], item["error"])
    return 1 if failed or left or books.returncode else 0


def shown(item: dict[str, Any]) -> dict[str, Any]:
    """Print a line as soon as a deployment is through."""
    verdict = "ok" if item["code"] == 0 else f"exit {item['code']}"
    print(f"{item['name']:<12} {item['seconds']:5.1f} s  {verdict:<8} {', '.join(item['faults'])}; retried: {item['attempts'] or 'nothing'}",
          flush=True)  # fmt: skip
    return item


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.TimeoutExpired as error:
        sys.exit(f"{error.cmd} did not end")
