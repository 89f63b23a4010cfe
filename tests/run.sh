#!/usr/bin/env bash
# Check everything: style, types, tests. Further arguments go to pytest.
#
# Needs Debian 12 or Ubuntu 24.04, and root or sudo once: what is missing is installed with apt, and a virtual
# environment is made in .venv (or in $ISCSIPROXY_VENV), with the language server that YAML editors use. Where nothing is
# missing, nothing is installed. On Debian 13, whose libiscsi and QEMU are newer, three tests fail.
#
# The real peers (tgtd, libiscsi, QEMU, tshark, …) are required: here a missing one is a failure. Bare `pytest` skips
# the tests that need them.

set -euo pipefail

# shellcheck source=.ci/install.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../.ci/install.sh"
cd -- "$root"

need python3 command -v "$python"
need python3-venv venv_can_be_made
need tgt command -v tgtd
need libiscsi-bin command -v iscsi-test-cu
need qemu-utils command -v qemu-io
need qemu-block-extra qemu_speaks_iscsi
need tshark command -v tshark
need haproxy command -v haproxy
need socat command -v socat
need curl command -v curl
install_needed
make_venv dev
make_editor

say "ruff check"
"$venv/bin/python" -m ruff check
say "ruff format --check"
"$venv/bin/python" -m ruff format --check
say "mypy"
"$venv/bin/python" -m mypy
say "pytest"
export ISCSIPROXY_REQUIRE_PEERS=1
# Hundreds of tests start the program: each would compile it anew where nothing compiled is kept.
unset PYTHONDONTWRITEBYTECODE
# Most tests wait for something, so there may be more of them than processors.
exec "$venv/bin/python" -m pytest -n "$((2 * $(nproc)))" --dist worksteal "$@"
