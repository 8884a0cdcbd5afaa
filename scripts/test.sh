#!/usr/bin/env bash
# All tests, with the coverage of all of them measured together. Tests with real machines mostly wait, so the others run beside
# them; their output comes at the end.
set -euo pipefail
bin=$1
rm -f .coverage .coverage.*
if [ "$(id -u)" = 0 ]; then sudo=""; else sudo="sudo -E"; fi
$sudo true # A password is asked for once, before two programs would.
others=$(mktemp) machines=$(mktemp)
$sudo "$bin/coverage" run -m pytest tests --ignore tests/e2e --durations 12 >"$others" 2>&1 &
beside=$!
trap '$sudo kill "$beside" 2>/dev/null || true; rm -f "$others" "$machines"' EXIT
failed=0
$sudo "$bin/coverage" run -m pytest tests/e2e --durations 12 | tee "$machines" || failed=$?
wait "$beside" || failed=$?
trap 'rm -f "$others" "$machines"' EXIT
cat "$others"
if [ "$failed" != 0 ]; then
  # What failed is said once more at the very end, where it is looked for: thousands of lines may lie between.
  cat "$machines" "$others" | grep -E '^(FAILED|ERROR) |^=+ .* in [0-9.]+s' || true
  exit "$failed"
fi
$sudo "$bin/coverage" combine --quiet
$sudo "$bin/coverage" report --fail-under="${TFGRID_COVERAGE:-90}"
