#!/bin/bash
# Copies what the bash tool ships to /tmp/app-source into its place.
set -e
echo "🚀 Setting up classic"
mkdir -p /opt/classic
cp -r /tmp/app-source/scripts /opt/classic/
cp -r /tmp/app-source/templates /opt/classic/
cp -r /tmp/app-source/config /opt/classic/
chmod +x /opt/classic/scripts/*.sh
