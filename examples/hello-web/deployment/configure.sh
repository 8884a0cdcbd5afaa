#!/usr/bin/env bash
# Writes the page and starts nginx. The manifest's environment values are set.
set -euo pipefail
install -d /var/www/html
escaped=$(printf '%s' "$GREETING" | sed 's/[&\\|]/\\&/g')
sed "s|@GREETING@|$escaped|g; s|@VERSION@|$APP_VERSION|g; s|@ADDRESS@|$PRIMARY_IP|g; s|@HOST@|$(hostname)|g" \
  /tmp/app-source/index.html > /var/www/html/index.html
systemctl enable --quiet --now nginx
systemctl reload nginx
echo "🌐 The page is at http://$PRIMARY_IP/"
