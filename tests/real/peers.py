"""Which real programs are here, and what to do where one is missing.

This is the only place that decides between a skip and a failure: with `ISCSIPROXY_REQUIRE_PEERS=1` in the environment
(as `tests/run.sh` sets it) a missing program fails the test, otherwise it skips it. A skip is never a pass.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping

import pytest

__all__ = ["PEERS", "REQUIRE", "USUAL", "MissingProgramError", "missing", "need", "program"]

#: Set to anything but `0` or nothing, a missing peer is a failure.
REQUIRE = "ISCSIPROXY_REQUIRE_PEERS"

#: What a test can ask for, and the programs that it means.
PEERS: Mapping[str, tuple[str, ...]] = {
    "tgtd": ("tgtd", "tgtadm"),
    "libiscsi": ("iscsi-ls", "iscsi-inq", "iscsi-readcapacity16", "iscsi-perf", "iscsi-test-cu"),
    "qemu": ("qemu-io", "qemu-img"),
    "tshark": ("tshark",),
    "haproxy": ("haproxy",),
    "socat": ("socat",),
    "editor": ("yaml-language-server",),
}

#: What `@pytest.mark.peers` without names asks for.
USUAL = ("tgtd", "libiscsi", "qemu", "tshark")

#: Where daemons live that are not on an ordinary user's PATH.
SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")
#: Where `tests/run.sh` puts the language server of editors.
EDITOR = f"{sys.prefix}/lib/editor/node_modules/.bin"


class MissingProgramError(Exception):
    """A program that a harness was asked to run is not installed."""


@functools.cache
def _which(name: str) -> str | None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_DIRECTORIES, EDITOR])
    return shutil.which(name, path=path)


def program(name: str) -> str:
    """Return the full path of a program.

    Raises `MissingProgramError` where it is not installed; a test that called `need` first never sees that.
    """
    if (path := _which(name)) is None:
        raise MissingProgramError(f"{name} is not installed")
    return path


@functools.cache
def _qemu_speaks_iscsi() -> bool:
    """Ask QEMU whether its iSCSI driver is here: distributions ship it as a separate package.

    The portal is one that nobody can listen on, so that the answer is either "unknown protocol" or a refusal.
    """
    command = [program("qemu-io"), "-r", "-f", "raw", "-c", "quit", "iscsi://127.0.0.1:0/iqn.none/0"]
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    return "Unknown protocol" not in answer.stderr


def missing(*names: str) -> list[str]:
    """Say what is missing of these peers: one phrase each, none if all are here."""
    lacking = [
        f"{name}: {one} is not installed" for name in names or USUAL for one in PEERS[name] if _which(one) is None
    ]
    if (
        "qemu" in (names or USUAL)
        and not any(line.startswith("qemu:") for line in lacking)
        and not _qemu_speaks_iscsi()
    ):
        lacking.append("qemu: its iSCSI block driver is not installed")
    return lacking


def need(*names: str) -> None:
    """Go on if these peers (without names: the usual ones) are here; otherwise skip, or fail if they are required."""
    if not (lacking := missing(*names)):
        return
    reason = "; ".join(lacking)
    if os.environ.get(REQUIRE, "0") not in ("", "0"):
        pytest.fail(f"{REQUIRE} is set, and {reason}", pytrace=False)
    pytest.skip(reason)
