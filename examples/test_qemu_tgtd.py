"""QEMU keeps its data when the path to tgt misbehaves, and tgt does not notice when data is missing.

    apt-get install tgt qemu-utils qemu-block-extra
    pip install iscsiproxy pytest
    pytest examples/test_qemu_tgtd.py

A failure tells what was expected, what was found, and the PDUs that prove it; the journal of each run and a report to
look at are where it says. The target is a private tgtd on loopback, which is gone at the end.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iscsiproxy.testing import Proxy

IQN = "iqn.2026-01.example:disk"
#: What these two do against the standard with no fault at all
KNOWN = ("tgt-1.0.85", "libiscsi-1.19")


def qemu_io(url: str, *commands: str) -> None:
    """Let QEMU write and read; fails where a command fails, or a pattern is not what it should be."""
    arguments = [word for command in commands for word in ("-c", command)]
    subprocess.run(["qemu-io", "-f", "raw", *arguments, url], check=True, timeout=60)


@pytest.mark.parametrize("fault", ["reset_between_r2t_and_data_out", "logout_requested"])
def test_qemu_keeps_its_data(fault: str, proxy: Proxy) -> None:
    """The session is lost in the middle of a write; tgt wants to end it."""
    with proxy.armed(fault) as run:
        qemu_io(proxy.url, "write -P 0xa5 0 1M", "read -P 0xa5 0 1M")
    assert run.verdict.passed


@pytest.mark.xfail(
    reason="tgt 1.0.85 says GOOD of a write of which a part never arrived", raises=AssertionError, strict=True
)
def test_tgt_notices_that_data_is_missing(proxy: Proxy) -> None:
    """One Data-Out of a burst never arrives."""
    with proxy.armed("data_out_lost", aftermath=lambda: qemu_io(proxy.url, "read 0 1M")) as run:
        qemu_io(proxy.url, "write -P 0xa5 0 1M")
    assert run.verdict.passed


# --- the target ------------------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(tgtd: str, iscsi_proxy_factory: Callable[..., Proxy]) -> Proxy:
    """Stand before the target, all of which may be overwritten."""
    return iscsi_proxy_factory(tgtd, scratch=True, known=KNOWN)


@pytest.fixture
def tgtd(tmp_path: Path) -> Iterator[str]:
    """Start a tgtd with one disk of 16 MiB, and give the URL of that."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
    programs = {name: shutil.which(name, path=path) for name in ("tgtd", "tgtadm", "qemu-io")}
    if missing := [name for name, found in programs.items() if found is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    environment = {**os.environ, "TGT_IPC_SOCKET": str(tmp_path / "control")}

    def admin(mode: str, operation: str, *more: str) -> str:
        command = [str(programs["tgtadm"]), "-C", "0", "--lld", "iscsi", "--mode", mode, "--op", operation, *more]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=mode != "portal").stdout

    with socket.socket() as holder:  # where tgtd cannot have its port it listens everywhere: so nobody else gets it
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        portal = f"127.0.0.1:{holder.getsockname()[1]}"
        with (tmp_path / "tgtd.log").open("wb") as log:
            command = [str(programs["tgtd"]), "-f", "-C", "0", "--iscsi", f"portal={portal}"]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 10
            while portal not in admin("portal", "show") and time.monotonic() < deadline:
                time.sleep(0.05)
            disk = tmp_path / "disk"
            with disk.open("wb") as image:
                image.truncate(16 << 20)
            admin("target", "new", "--tid", "1", "-T", IQN)
            admin("logicalunit", "new", "--tid", "1", "--lun", "1", "--bstype", "rdwr", "-b", str(disk))
            admin("target", "bind", "--tid", "1", "-I", "ALL")
            yield f"iscsi://{portal}/{IQN}/1"
        finally:
            process.kill()  # it takes no other signal
            process.wait()
