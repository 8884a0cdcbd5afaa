"""`python -m tests.fuzz`: share inputs out over all targets, and print a table of what became of them."""

from __future__ import annotations

import argparse
import resource
import sys
import time

from tests.fuzz.runner import Result, fuzz
from tests.fuzz.targets import ALL, shares
from tests.fuzz.world import world

# Bytes of address space: an input that wants more meets a MemoryError instead of the computer's last page.
_SPACE = 6 * 1024**3


def main() -> int:
    """Run; the exit code is 1 when something was found."""
    arguments = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    arguments.add_argument("--inputs", type=int, default=100_000, help="how many, over all targets (100,000)")
    arguments.add_argument("--seed", type=int, default=1, help="the same seed makes the same inputs (1)")
    arguments.add_argument("--target", choices=sorted(ALL), action="append", help="only this one; repeatable")
    arguments.add_argument("--only", type=int, metavar="INDEX", help="only the input with this number, as a finding names it")
    given = arguments.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_SPACE, resource.RLIM_INFINITY))
    results = []
    with world():
        for name, count in shares(given.inputs, given.target).items():
            numbers = range(count) if given.only is None else range(given.only, given.only + 1)
            results.append(fuzz(ALL[name], numbers, given.seed, lambda finding: print(finding.describe(), flush=True)))
            print(_row(results[-1]), file=sys.stderr, flush=True)
    print(f"\nseed {given.seed}, {time.strftime('%Y-%m-%d')}\n{_table(results)}")
    return 1 if any(result.findings for result in results) else 0


def _table(results: list[Result]) -> str:
    total = Result("all", sum(item.accepted for item in results), sum(item.refused for item in results),
                   sum(item.seconds for item in results), [one for item in results for one in item.findings])  # fmt: skip
    head = f"{'TARGET':<13}{'INPUTS':>8}{'REFUSED':>9}{'ACCEPTED':>10}{'FINDINGS':>10}{'SECONDS':>9}"
    return "\n".join([head, *map(_row, [*results, total])])


def _row(item: Result) -> str:
    return f"{item.target:<13}{item.inputs:>8}{item.refused:>9}{item.accepted:>10}{len(item.findings):>10}{item.seconds:>9.1f}"


if __name__ == "__main__":
    sys.exit(main())
