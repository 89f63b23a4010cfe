"""The proxy under test as its users start it: `iscsiproxy run` in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from tests.real.address import host_and_port
from tests.real.process import Finished, kill, run
from tests.real.tgtd import Tgtd

__all__ = ["Proxied", "captive", "running_proxy"]

_MODULE = ("-X", "dev", "-W", "error", "-m", "iscsiproxy")


@dataclass(slots=True)
class Proxied:
    """A running proxy: where it listens, and the events it has printed so far."""

    host: str
    port: int
    process: trio.Process
    ready: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)
    ended: trio.Event = field(default_factory=trio.Event)
    _news: trio.Event = field(default_factory=trio.Event)

    def named(self, event: str) -> list[dict[str, Any]]:
        """List the events of one kind."""
        return [one for one in self.events if one["event"] == event]

    async def until(self, event: str, count: int = 1, *, within: float = 10.0) -> list[dict[str, Any]]:
        """Wait until that many events of a kind have been printed; raises trio.TooSlowError."""
        with trio.fail_after(within):
            while len(self.named(event)) < count:
                await self._news.wait()
        return self.named(event)

    async def stop(self, how: signal.Signals = signal.SIGTERM, *, within: float = 10.0) -> int:
        """Send a signal, wait for the end of its output, and return the exit status."""
        self.process.send_signal(how)
        with trio.fail_after(within):
            await self.ended.wait()
            return await self.process.wait()

    async def take(self, stream: trio.abc.ReceiveStream, rest: bytes) -> None:
        """Collect events until the proxy closes its output."""
        async for chunk in _lines(stream, rest):
            self.events.append(json.loads(chunk))
            self._news.set()
            self._news = trio.Event()
        self.ended.set()


async def _lines(stream: trio.abc.ReceiveStream, rest: bytes) -> AsyncIterator[bytes]:
    *whole, rest = rest.split(b"\n")
    for line in whole:
        yield line
    async for chunk in stream:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line


@asynccontextmanager
async def running_proxy(
    target: Tgtd | str, *options: str, listen: str = "127.0.0.1:0", log: Path | None = None
) -> AsyncIterator[Proxied]:
    """Start the proxy in front of a target; at the end of the block it is ended by SIGTERM, and must end well.

    `target` is a tgtd or `host:port`. What it prints to stderr goes to `log`, or to ours.
    """
    address = target if isinstance(target, str) else host_and_port(target.host, target.port)
    process = await trio.lowlevel.open_process(
        [sys.executable, *_MODULE, "run", "--listen", listen, "--target", address, "--json", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if log is None else log.open("ab"),
    )
    assert process.stdout is not None
    try:
        received = b""
        with trio.fail_after(20.0):
            while b"\n" not in received:
                chunk = await process.stdout.receive_some()
                assert chunk, f"the proxy ended before it was ready: {await process.wait()}"
                received += chunk
        first, _, rest = received.partition(b"\n")
        ready = json.loads(first)
        assert ready["event"] == "ready", ready
        host, _, port = ready["listen"][0].rpartition(":")
        proxy = Proxied(host=host.strip("[]"), port=int(port), process=process, ready=ready)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(proxy.take, process.stdout, rest)
            yield proxy
            if process.poll() is None:
                status = await proxy.stop()
                assert status in (0, -signal.SIGKILL), f"the proxy ended with {status}"
            nursery.cancel_scope.cancel()
    finally:
        await kill(process)
        with trio.CancelScope(shield=True):
            await process.stdout.aclose()


async def captive(
    target: Tgtd | str, options: Sequence[str], command: Sequence[str], *, within: float = 60.0
) -> tuple[Finished, list[dict[str, Any]]]:
    """Run a command through `iscsiproxy run … -- COMMAND`; give what came of it, and the proxy's events."""
    address = target if isinstance(target, str) else host_and_port(target.host, target.port)
    finished = await run(
        sys.executable,
        *_MODULE,
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
