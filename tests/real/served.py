"""The program as its users start it: a process of its own that serves, and tells what happens as JSON lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import trio

from tests.real.process import kill

__all__ = ["MODULE", "Served", "serving"]

MODULE = ("-X", "dev", "-W", "error", "-m", "iscsiproxy")


@dataclass(slots=True)
class Served:
    """A running subcommand: where it listens, and the events it has printed so far."""

    host: str
    port: int
    process: trio.Process
    ready: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)
    ended: trio.Event = field(default_factory=trio.Event)
    _news: trio.Event = field(default_factory=trio.Event)

    @property
    def alive(self) -> bool:
        """Whether the process is still there."""
        return self.process.poll() is None

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
        """Collect events until it closes its output."""
        *whole, rest = rest.split(b"\n")
        self._add(whole)
        async for chunk in stream:
            *whole, rest = (rest + chunk).split(b"\n")
            self._add(whole)
        self.ended.set()

    def _add(self, lines: list[bytes]) -> None:
        self.events += map(json.loads, lines)
        self._news.set()
        self._news = trio.Event()


S = TypeVar("S", bound=Served)


@asynccontextmanager
async def serving(
    kind: type[S], *command: str, log: Path | None = None, env: Mapping[str, str] | None = None
) -> AsyncIterator[S]:
    """Start a subcommand that serves; at the end of the block it is ended by SIGTERM, and must end well.

    What it prints to stderr goes to `log`, or to ours; `env` is added to our environment.
    """
    process = await trio.lowlevel.open_process(
        [sys.executable, *MODULE, command[0], "--json", *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if log is None else log.open("ab"),
        env=None if env is None else {**os.environ, **env},
    )
    assert process.stdout is not None
    try:
        received = b""
        with trio.fail_after(20.0):
            while b"\n" not in received:
                chunk = await process.stdout.receive_some()
                assert chunk, f"{command[0]} ended before it was ready: {await process.wait()}"
                received += chunk
        first, _, rest = received.partition(b"\n")
        ready = json.loads(first)
        assert ready["event"] == "ready", ready
        host, _, port = ready["listen"][0].rpartition(":")
        served = kind(host=host.strip("[]"), port=int(port), process=process, ready=ready)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.take, process.stdout, rest)
            yield served
            if served.alive:
                status = await served.stop()
                assert status in (0, -signal.SIGKILL), f"{command[0]} ended with {status}: {served.named('warning')}"
            nursery.cancel_scope.cancel()
    finally:
        await kill(process)
        with trio.CancelScope(shield=True):
            await process.stdout.aclose()
