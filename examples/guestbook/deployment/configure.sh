#!/usr/bin/env bash
# Database, password, service. The password goes to psql over stdin and into a 0600 file only.
set -euo pipefail
as_postgres() { runuser -u postgres -- "$@"; }
echo "🔐 Setting up the database"
as_postgres psql -qAt -v ON_ERROR_STOP=1 <<SQL
select 'create role guestbook login' where not exists (select from pg_roles where rolname = 'guestbook') \gexec
select format('alter role guestbook password %L', '${DB_PASSWORD//\'/\'\'}') \gexec
select 'create database guestbook owner guestbook' where not exists (select from pg_database where datname = 'guestbook') \gexec
SQL
install -d -m 0755 /opt/guestbook
install -m 0644 /tmp/app-source/guestbook.py /opt/guestbook/guestbook.py
install -d -m 0750 -g guestbook /etc/guestbook
umask 077
printf 'DB_PASSWORD=%s\nTITLE=%s\n' "$DB_PASSWORD" "$TITLE" > /etc/guestbook/environment
cat > /etc/systemd/system/guestbook.service <<'UNIT'
[Unit]
Description=Guest book
After=network.target postgresql.service

[Service]
User=guestbook
EnvironmentFile=/etc/guestbook/environment
ExecStart=/usr/bin/python3 /opt/guestbook/guestbook.py
Restart=on-failure

[Install]
WantedBy=multi-user.target
UNIT
chmod 0644 /etc/systemd/system/guestbook.service
systemctl daemon-reload
systemctl enable --quiet guestbook
systemctl restart guestbook
echo "🌐 The guest book is at http://$PRIMARY_IP:8080/"
