#!/usr/bin/env bash
# Python and its packages into a virtual environment; everything else from the distribution.
# Asks nothing when there is no terminal.
set -euo pipefail
venv=$1

say() { printf '%s\n' "$*" >&2; }
fail() { say "Error: $1"; say "  Reason:  $2"; say "  Next:    $3"; exit 4; }

[ "$(uname -s)" = Linux ] && [ "$(uname -m)" = x86_64 ] ||
  fail "tfgrid-compose is made for Linux on x86_64" "this is $(uname -sm)" "use such a machine, or a virtual one"

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; return; fi
  command -v sudo >/dev/null || fail "installing packages needs root" "there is no sudo" "run as root: $*"
  if [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
}

usable() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

find_python() {
  for name in python3.11 python3.12 python3.13 python3; do
    for path in $(type -aP "$name"); do
      if usable "$path"; then echo "$path"; return; fi
    done
  done
}

python=$(find_python)
if [ -z "$python" ] || ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
  command -v apt-get >/dev/null || fail "no usable Python" "3.11, 3.12 or 3.13 with venv is needed" "install python3.11 and its venv module"
  say "Installing Python's venv module from the distribution"
  as_root apt-get update -q >&2
  version=$([ -n "$python" ] && "$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' || true)
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3 python3-venv \
    ${version:+"python$version-venv"} >&2
  python=$(find_python)
  [ -n "$python" ] || fail "no usable Python" "3.11, 3.12 or 3.13 is needed" "install python3.11"
fi

if ! usable "$venv/bin/python"; then
  say "Making $venv with $python"
  rm -rf "$venv"
  "$python" -m venv "$venv"
fi
say "Installing Python packages"
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
say "Checking this computer"
"$venv/bin/tfgrid-compose" doctor --fix >&2
