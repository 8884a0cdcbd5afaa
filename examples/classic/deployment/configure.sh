#!/bin/bash
set -e
mkdir -p /opt/classic/www
ADDRESS=$(/tmp/app-deployment/get_deployment_ip_vm.sh)
. /opt/classic/config/settings.conf
sed -e "s/{{VERSION}}/$APP_VERSION/" -e "s/{{ADDRESS}}/$ADDRESS/" -e "s/{{MESSAGE}}/$CLASSIC_MESSAGE/" \
    /opt/classic/templates/status.html > /opt/classic/www/index.html
cat > /etc/systemd/system/tfgrid-classic.service <<UNIT
[Unit]
Description=Classic status page
[Service]
WorkingDirectory=/opt/classic/www
ExecStart=/usr/bin/python3 -m http.server $PORT
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable tfgrid-classic
systemctl restart tfgrid-classic
echo "✅ Configured, preferring $DEPLOYMENT_NETWORK_PREFERENCE"
