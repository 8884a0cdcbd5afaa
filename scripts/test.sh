#!/usr/bin/env bash
# All tests, with the coverage of all of them measured together. Tests with real machines mostly wait, so the others run beside
# them; their output comes at the end.
set -euo pipefail
bin=$1
rm -f .coverage .coverage.*
if [ "$(id -u)" = 0 ]; then sudo=""; else sudo="sudo -E"; fi
$sudo true # A password is asked for once, before two programs would.
others=$(mktemp)
$sudo "$bin/coverage" run -m pytest tests --ignore tests/e2e >"$others" 2>&1 &
beside=$!
trap '$sudo kill "$beside" 2>/dev/null || true; rm -f "$others"' EXIT
failed=0
$sudo "$bin/coverage" run -m pytest tests/e2e || failed=$?
wait "$beside" || failed=$?
trap 'rm -f "$others"' EXIT
cat "$others"
[ "$failed" = 0 ]
$sudo "$bin/coverage" combine --quiet
$sudo "$bin/coverage" report --fail-under="${TFGRID_COVERAGE:-90}"
