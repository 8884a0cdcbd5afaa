"""A new app folder that deploys as it is."""

from __future__ import annotations

import os
import re
from pathlib import Path

import yaml
from pydantic import ValidationError

from tfgrid_compose.errors import ManifestError
from tfgrid_compose.manifest.model import Manifest
from tfgrid_compose.manifest.names import name_refusal

_MANIFEST = """# What this app is and what it needs. All keys: docs/manifest.md
{name}
version: 0.1.0
description: A page served by nginx
pattern: single-vm

resources:
  cpu: {{min: 1, recommended: 1}}
  memory: {{min: 512, recommended: 1024}}   # MB
  disk: {{min: 4, recommended: 10}}         # GB
  ports:
    - 80:http

network:
  provision: wireguard                   # of wireguard, mycelium, ipv4 (paid), ipv6

environment:
  - name: GREETING
    description: What the page says
    default: Hello from the grid

logging:
  method: systemd
  service: nginx
"""
_SETUP = """#!/usr/bin/env bash
# Installs what the app needs. Runs as root on the machine; run again, it must change nothing.
set -euo pipefail
echo "📦 Installing nginx"
command -v nginx >/dev/null || apt-get install -y --no-install-recommends nginx-light
"""
_CONFIGURE = """#!/usr/bin/env bash
# Writes configuration and starts the app. The manifest's environment values are set.
set -euo pipefail
install -d /var/www/html
sed "s|@GREETING@|${GREETING}|; s|@VERSION@|${APP_VERSION}|" /tmp/app-source/index.html > /var/www/html/index.html
systemctl enable --now nginx
systemctl reload nginx
echo "🌐 The page is at http://${PRIMARY_IP}/"
"""
_HEALTHCHECK = """#!/usr/bin/env bash
# Exits with 0 when the app works.
set -euo pipefail
curl --fail --silent --show-error --max-time 5 http://127.0.0.1/ | grep -qF "${GREETING}"
echo "✅ The page answers"
"""
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>@GREETING@</title>
<h1>@GREETING@</h1>
<p>Version @VERSION@, deployed with tfgrid-compose.</p>
</html>
"""


def _name_of(folder: Path) -> str:
    """The folder's name as far as it can be the name of an app."""
    # Unlike Path.resolve, realpath takes a link that points at itself for what it is.
    name = re.sub(r"[^a-z0-9-]+", "-", os.path.basename(os.path.realpath(folder)).lower())[:63].strip("-") or "my-app"
    return f"my-{name}" if name_refusal(name) else name


def write_app(folder: Path, name: str | None = None) -> list[Path]:
    """Write the folder's files and return their paths. Raises `ManifestError` when one exists or the name won't do."""
    name = name or _name_of(folder)
    try:
        Manifest(name=name)
    except ValidationError as error:
        raise ManifestError(
            f"{name!r} can't be the name of an app",
            why=name_refusal(name) or "a name has up to 63 letters, digits, dots, - and _, and begins with a letter or digit",
            fix=f"choose another one, for example {_name_of(folder)}",
            code="app-name-invalid",
        ) from error
    files = {
        # YAML itself knows which names it would read as something else, such as 2024 or on.
        folder / "tfgrid-compose.yaml": _MANIFEST.format(name=yaml.safe_dump({"name": name}).strip()),
        folder / "deployment" / "setup.sh": _SETUP,
        folder / "deployment" / "configure.sh": _CONFIGURE,
        folder / "deployment" / "healthcheck.sh": _HEALTHCHECK,
        folder / "src" / "index.html": _PAGE,
        folder / ".tfgridignore": ".env\n*.log\n",
    }
    existing = [path for path in files if path.exists()]
    if existing:
        raise ManifestError(
            f"{existing[0]} exists already",
            why="init never overwrites a file",
            fix=f"tfgrid-compose up {folder}, or choose another folder",
            code="app-exists",
        )
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            if path.suffix == ".sh":
                path.chmod(0o755)
    except OSError as error:
        raise ManifestError(
            f"{error.filename or folder} can't be written", why=error.strerror or str(error), fix=f"check {folder.parent}",
            code="app-unwritable",
        ) from error  # fmt: skip
    return list(files)
