"""Faults and verdicts in plain tests, with pytest or without.

    def test_qemu_survives_a_lost_response(iscsi_proxy):
        with iscsi_proxy.armed("scsi_response_lost") as run:
            subprocess.run(["qemu-io", "-f", "raw", "-c", "write 0 1M", iscsi_proxy.url], check=True)
        assert run.verdict.passed

`Proxy` is what that fixture gives, as a context manager; `plugin` is what makes the fixture. Nothing slow is imported
before a proxy is used.
"""

from __future__ import annotations

from iscsiproxy.testing.proxy import Proxy
from iscsiproxy.testing.run import Run
from iscsiproxy.testing.verdict import Verdict

__all__ = ["Proxy", "Run", "Verdict"]
