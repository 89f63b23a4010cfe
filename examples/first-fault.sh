#!/usr/bin/env bash
# One Data-Out of a WRITE never arrives. What does the target say, and what is on the disk?
#
# Starts a private tgtd on loopback, puts the proxy before it, and lets QEMU write 256 KiB and read them back. Installs
# what is missing first (tgt, QEMU; root or sudo for that). Leaves nothing behind but the virtual environment.

set -euo pipefail

# shellcheck source=.ci/install.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../.ci/install.sh"

need python3 command -v "$python"
need python3-venv venv_can_be_made
need tgt command -v tgtd
need qemu-utils command -v qemu-io
need qemu-block-extra qemu_speaks_iscsi
install_needed
make_venv ""

iqn=iqn.2026-01.example:disk
work=$(mktemp -d)
export TGT_IPC_SOCKET=$work/control
port=$("$venv/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')

tgtd -f -C 0 --iscsi "portal=127.0.0.1:$port" >"$work/tgtd.log" 2>&1 &
tgtd=$!
cleanup() {
    kill -KILL "$tgtd" 2>/dev/null || true
    wait "$tgtd" 2>/dev/null || true
    rm -rf -- "$work"
}
trap cleanup EXIT

admin() { tgtadm -C 0 --lld iscsi "$@"; }
for _ in $(seq 100); do
    admin --mode target --op show >/dev/null 2>&1 && break
    sleep 0.05
done
truncate -s 16M "$work/disk"
admin --mode target --op new --tid 1 -T "$iqn"
admin --mode logicalunit --op new --tid 1 --lun 1 --bstype rdwr -b "$work/disk"
admin --mode target --op bind --tid 1 -I ALL

# qemu-io ends with status 1 when a pattern is not what it should be; so does the proxy, then.
"$venv/bin/iscsiproxy" run --listen 127.0.0.1:0 --target "127.0.0.1:$port" --faults data_out_lost -- \
    qemu-io -f raw -c 'write -P 0xa5 0 256k' -c 'read -P 0xa5 0 256k' "iscsi://{portal}/$iqn/1" 2>&1 |
    tee "$work/output" || true

echo
if grep -q '^wrote 262144/262144' "$work/output" && grep -q '^Pattern verification failed' "$work/output"; then
    echo "The target answered GOOD to a write of which 8 KiB never arrived, and the read found the hole."
else
    echo "That is not what tgt 1.0.85 does: it answers GOOD, and the read finds a hole."
fi
