#!/usr/bin/env bash
# Prints a dump of the database.
set -euo pipefail
exec runuser -u postgres -- pg_dump guestbook
