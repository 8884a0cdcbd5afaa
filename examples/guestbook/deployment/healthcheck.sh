#!/usr/bin/env bash
# Healthy means that the service answers and its database does too.
set -euo pipefail
for _ in $(seq 50); do
  if curl --fail --silent --max-time 5 http://127.0.0.1:8080/health; then echo; echo "✅ Service and database answer"; exit 0; fi
  sleep 0.2
done
journalctl -u guestbook -n 5 --no-pager
exit 1
