#!/usr/bin/env bash
# The first minute: a grid on this machine, an app on it, its page.
set -euo pipefail
bin=$1
"$bin/tfgrid-compose" up examples/hello-web --yes
echo
"$bin/tfgrid-compose" status hello-web
echo
page=$("$bin/tfgrid-compose" address hello-web)
echo "\$ curl $page"
curl --fail --silent --show-error --max-time 10 "$page" | head -n 12
cat <<TEXT

Look around:
  source .venv/bin/activate
  tfgrid-compose ps
  tfgrid-compose logs hello-web -f
  tfgrid-compose exec hello-web -- systemctl status nginx
  tfgrid-compose localgrid status
  edit examples/hello-web/src/index.html, then: tfgrid-compose up examples/hello-web
Remove it all:
  tfgrid-compose down hello-web && tfgrid-compose localgrid reset
TEXT
