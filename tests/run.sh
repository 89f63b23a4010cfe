#!/usr/bin/env bash
# Check everything: style, types, tests. Further arguments go to pytest.
#
# Needs Debian 12, Ubuntu 24.04 or later, and root or sudo once: what is missing is installed with apt, and a virtual
# environment is made in .venv (or in $ISCSIPROXY_VENV). Where nothing is missing, nothing is installed.
#
# The real peers (tgtd, libiscsi, QEMU, tshark, …) are required: here a missing one is a failure. Bare `pytest` skips
# the tests that need them.

set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"

python=${PYTHON:-python3}
venv=${ISCSIPROXY_VENV:-$root/.venv}
# Daemons are found there, and an ordinary user's PATH often lacks it.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '\n== %s\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "tests/run.sh" "$*" >&2
    exit 1
}

# --- programs ------------------------------------------------------------------------------------------------------

missing=()

# need PACKAGE COMMAND… : the package is missing if the command fails.
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

qemu_speaks_iscsi() {
    # Nobody can listen on port 0, so the answer is a refusal, or that QEMU does not know the protocol.
    local answer
    command -v qemu-io || return
    answer=$(qemu-io -r -f raw -c quit iscsi://127.0.0.1:0/iqn.none/0 2>&1 </dev/null) || true
    [[ $answer != *'Unknown protocol'* ]]
}

find_missing() {
    missing=()
    need python3 command -v "$python"
    if [[ ! -x $venv/bin/python ]]; then
        need python3-venv "$python" -c 'import ensurepip, venv'
    fi
    need tgt command -v tgtd
    need libiscsi-bin command -v iscsi-test-cu
    need qemu-utils command -v qemu-io
    need qemu-block-extra qemu_speaks_iscsi
    need tshark command -v tshark
    need haproxy command -v haproxy
    need socat command -v socat
}

install_missing() {
    local sudo=() policy=/usr/sbin/policy-rc.d
    command -v apt-get >/dev/null || die "please install these (Debian's names): ${missing[*]}"
    if [[ $EUID -ne 0 ]]; then
        command -v sudo >/dev/null || die "not root, and no sudo; please install: ${missing[*]}"
        sudo=(sudo)
    fi
    say "installing ${missing[*]}"
    # Packages start their services when they are installed, and tgt's listens on every address. The tests start
    # what they need by themselves, on loopback: so Debian's switch for that is set while we install.
    if [[ ! -e $policy ]]; then
        # shellcheck disable=SC2064 # the values of now are meant
        trap "${sudo[*]} rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
        "${sudo[@]}" chmod 755 "$policy"
    fi
    local status=0
    {
        "${sudo[@]}" apt-get -q update &&
            "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get -q install -y --no-install-recommends "${missing[@]}"
    } >&2 </dev/null || status=$?
    [[ $status -eq 0 ]] || die "apt-get failed with status $status"
}

find_missing
if [[ ${#missing[@]} -gt 0 ]]; then
    (install_missing)
    find_missing
    [[ ${#missing[@]} -eq 0 ]] || die "still missing after the installation: ${missing[*]}"
fi

# --- Python --------------------------------------------------------------------------------------------------------

check_version='import sys; sys.exit(sys.version_info < (3, 11))'

if [[ ! -x $venv/bin/python ]]; then
    "$python" -c "$check_version" || die "$("$python" -V 2>&1) is too old: 3.11 or later is needed (set PYTHON)"
    say "making a virtual environment in $venv"
    "$python" -m venv "$venv"
fi
"$venv/bin/python" -c "$check_version" || die "the Python in $venv is too old: 3.11 or later is needed"

# Installed once for each state of pyproject.toml and each checkout; remove the stamp, or the environment, to do it anew.
stamp=$venv/.iscsiproxy-installed
state=$(printf '%s\n' "$root" | cat - pyproject.toml | sha256sum)
if [[ ! -f $stamp || $(<"$stamp") != "$state" ]]; then
    say "installing iscsiproxy and its tools into $venv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check -e '.[dev]' >&2
    printf '%s\n' "$state" >"$stamp"
fi

# --- checks --------------------------------------------------------------------------------------------------------

say "ruff check"
"$venv/bin/python" -m ruff check
say "ruff format --check"
"$venv/bin/python" -m ruff format --check
say "mypy"
"$venv/bin/python" -m mypy
say "pytest"
export ISCSIPROXY_REQUIRE_PEERS=1
exec "$venv/bin/python" -m pytest "$@"
