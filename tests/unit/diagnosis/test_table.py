"""The table of known failures: its codes, its patterns and its groups, and when it is loaded."""

from __future__ import annotations

import subprocess
import sys

from tfgrid_compose.observe import diagnosis, error_pages
from tfgrid_compose.observe.diagnosis import all_failures

# Codes that name an error of ours and a row: both mean the same thing.
SHARED = {
    "disk-shrinks", "node-full", "node-not-found", "no-public-ip", "public-ip-added", "route-conflict", "hook-timeout", "machine-disk-full", "disk-full",
    "chain-unreachable", "chain-slow", "chain-behind", "mnemonic-invalid", "key-type-unknown", "port-taken",
}  # fmt: skip


def test_codes_are_unique_and_in_kebab_case() -> None:
    codes = [row.code for row in all_failures()]
    assert len(set(codes)) == len(codes)
    assert all(code == code.lower() and code.replace("-", "").isalnum() for code in codes)
    assert len(codes) > 100


def test_a_code_that_is_also_an_error_means_the_same() -> None:
    errors = {page.code for page in error_pages.all_pages()}
    assert {row.code for row in all_failures()} & errors == SHARED


def test_patterns_are_neither_empty_nor_too_short_to_mean_anything() -> None:
    for row in all_failures():
        assert row.patterns, row.code
        for pattern in row.patterns:
            pieces = pattern.strip("^$").split("…")
            assert len(max(pieces, key=len).strip()) >= 5, (row.code, pattern)
            assert all(len(piece) >= 1 for piece in pieces), (row.code, pattern)


def test_no_pattern_is_hidden_by_another_of_its_row() -> None:
    for row in all_failures():
        for pattern in row.patterns:
            others = [other for other in row.patterns if other is not pattern and "…" not in other and "^" not in other]
            assert not any(other.strip("$").lower() in pattern.lower() for other in others), (row.code, pattern)


def test_groups_hold_every_row_once() -> None:
    titles = [title for title, _ in diagnosis.groups()]
    assert len(set(titles)) == len(titles)
    assert sum(len(rows) for _, rows in diagnosis.groups()) == len(all_failures())


def test_the_table_is_loaded_only_when_an_error_is_looked_at() -> None:
    program = (
        "import sys; import tfgrid_compose.cli.main, tfgrid_compose.observe.diagnosis as d; from tfgrid_compose.errors import *;"
        "rows = [m for m in sys.modules if m.startswith('tfgrid_compose.observe.diagnosis.')];"
        "d.explained(UsageError('x'));"
        "d.explained(HookError('x', why='Killed'));"
        "print(rows, 'tfgrid_compose.observe.diagnosis.table' in sys.modules, 're' in [m for m in rows])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["['tfgrid_compose.observe.diagnosis.failure']", "True", "False"], done.stderr
