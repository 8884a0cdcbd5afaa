#!/usr/bin/env bash
# Exits with 0 when the page answers and is this version.
set -euo pipefail
curl --fail --silent --show-error --max-time 5 http://127.0.0.1/ | grep -qF "version $APP_VERSION"
echo "✅ The page answers"
