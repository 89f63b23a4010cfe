#!/usr/bin/env bash
# See it at work: clean traffic, then three faults, between an initiator and a target of our own, on loopback.
#
# Installs what is missing first (Python's venv, if Debian has left it out; then root or sudo) and leaves nothing behind
# but the virtual environment. Arguments go to `iscsiproxy demo`.

set -euo pipefail

# shellcheck source=.ci/install.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../.ci/install.sh"

need python3 command -v "$python"
need python3-venv venv_can_be_made
install_needed
make_venv ""

exec "$venv/bin/iscsiproxy" demo "$@"
