"""The proxy under test as its users start it: `iscsiproxy run` in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

from tests.real.address import host_and_port
from tests.real.process import Finished, run
from tests.real.served import MODULE, Served, serving
from tests.real.tgtd import Tgtd

__all__ = ["Proxied", "captive", "running_proxy"]

#: A running proxy.
Proxied: TypeAlias = Served


@asynccontextmanager
async def running_proxy(
    target: Tgtd | str, *options: str, listen: str = "127.0.0.1:0", log: Path | None = None
) -> AsyncIterator[Proxied]:
    """Start the proxy in front of a target; at the end of the block it is ended by SIGTERM, and must end well.

    `target` is a tgtd or `host:port`. What it prints to stderr goes to `log`, or to ours.
    """
    address = target if isinstance(target, str) else host_and_port(target.host, target.port)
    async with serving(Served, "run", "--listen", listen, "--target", address, *options, log=log) as proxy:
        yield proxy


async def captive(
    target: Tgtd | str, options: Sequence[str], command: Sequence[str], *, within: float = 60.0
) -> tuple[Finished, list[dict[str, Any]]]:
    """Run a command through `iscsiproxy run … -- COMMAND`; give what came of it, and the proxy's events."""
    address = target if isinstance(target, str) else host_and_port(target.host, target.port)
    finished = await run(
        sys.executable,
        *MODULE,
        "run",
        "--listen",
        "127.0.0.1:0",
        "--target",
        address,
        "--json",
        *options,
        "--",
        *command,
        within=within,
    )
    events = [json.loads(line) for line in finished.stderr.splitlines() if line.startswith('{"event"')]
    return finished, events
