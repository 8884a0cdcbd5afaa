#!/bin/bash
# Prints what the machine knows about its deployment.
[ "$1" = "--short" ] || cat /tmp/app-deployment/state.yaml
. /etc/profile.d/tfgrid-env.sh
echo "report for $TFGRID_APP_NAME at $TFGRID_VM_IP"
