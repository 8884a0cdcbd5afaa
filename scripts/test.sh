#!/usr/bin/env bash
# All tests, with the coverage of all of them measured together.
set -euo pipefail
bin=$1
rm -f .coverage .coverage.*
if [ "$(id -u)" = 0 ]; then sudo=""; else sudo="sudo -E"; fi
$sudo "$bin/coverage" run -m pytest tests
$sudo "$bin/coverage" combine --quiet
$sudo "$bin/coverage" report --fail-under="${TFGRID_COVERAGE:-90}"
