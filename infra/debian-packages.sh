#!/usr/bin/env bash
# Install Debian packages by name, as root or by sudo; say what to do where neither works.
set -euo pipefail
sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        echo "Debian packages are missing: $*. Run as root: apt-get install $*" >&2
        exit 2
    }
    sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null
