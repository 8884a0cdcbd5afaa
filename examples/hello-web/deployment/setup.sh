#!/usr/bin/env bash
# Installs nginx. Run again, it changes nothing.
set -euo pipefail
echo "📦 Installing nginx"
command -v nginx >/dev/null || apt-get install -y --no-install-recommends nginx-light
