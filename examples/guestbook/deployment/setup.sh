#!/usr/bin/env bash
# PostgreSQL with its data on the data disk, and the service's user. Run again, it changes nothing.
set -euo pipefail
echo "📦 Installing PostgreSQL"
if ! command -v pg_lsclusters >/dev/null; then
  install -d /etc/postgresql-common
  # The cluster is made by us, on the data disk.
  printf 'create_main_cluster = false\n' > /etc/postgresql-common/createcluster.conf
  apt-get install -y --no-install-recommends postgresql python3-psycopg2
fi
version=$(ls /usr/lib/postgresql | sort -V | tail -n 1)
if ! pg_lsclusters -h | grep -q ' main '; then
  install -d -o postgres -g postgres -m 0700 /data/postgresql
  pg_createcluster "$version" main -d /data/postgresql/main -- --encoding=UTF8 --locale=C.UTF-8
fi
pg_ctlcluster "$version" main status >/dev/null || systemctl start "postgresql@$version-main"
systemctl enable --quiet "postgresql@$version-main"
id guestbook >/dev/null 2>&1 || useradd --system --shell /usr/sbin/nologin guestbook
