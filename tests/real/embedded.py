"""The embedded target as its users start it: `iscsiproxy target` in a process of its own."""

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
from typing import Any

import trio

from tests.real.address import Address, Chap
from tests.real.process import kill

__all__ = ["Embedded", "running_target"]

_MODULE = ("-X", "dev", "-W", "error", "-m", "iscsiproxy")


@dataclass(slots=True)
class Embedded:
    """A running target: where it listens, and the events it has printed so far."""

    host: str
    port: int
    iqn: str
    process: trio.Process
    ready: dict[str, Any]
    chap: Chap | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    ended: trio.Event = field(default_factory=trio.Event)
    _news: trio.Event = field(default_factory=trio.Event)

    @property
    def at(self) -> Address:
        """Its first LUN, with the right account."""
        return self.address()

    @property
    def alive(self) -> bool:
        """Whether the process is still there."""
        return self.process.poll() is None

    def address(
        self, *, host: str | None = None, port: int | None = None, lun: int | None = None, chap: Chap | None = None
    ) -> Address:
        """Return the address of a LUN.

        With the host and port of a proxy it leads through the proxy; with an account it logs in with that one.
        """
        return Address(
            host=self.host if host is None else host,
            port=self.port if port is None else port,
            iqn=self.iqn,
            lun=min(map(int, self.ready["luns"])) if lun is None else lun,
            chap=chap or self.chap,
        )

    def named(self, event: str) -> list[dict[str, Any]]:
        """List the events of one kind; with `-v` the target tells of connections."""
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
        """Collect events until the target closes its output."""
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


@asynccontextmanager
async def running_target(
    *options: str,
    listen: str = "127.0.0.1:0",
    chap: Chap | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> AsyncIterator[Embedded]:
    """Start the target; at the end of the block it is ended by SIGTERM, and must end well and have met no error.

    With `chap` initiators need that account. What it prints to stderr goes to `log`, or to ours.
    """
    account = ("--chap", f"{chap.user}:{chap.password}") if chap else ()
    process = await trio.lowlevel.open_process(
        [sys.executable, *_MODULE, "target", "--listen", listen, "--json", *account, *options],
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
                assert chunk, f"the target ended before it was ready: {await process.wait()}"
                received += chunk
        first, _, rest = received.partition(b"\n")
        ready = json.loads(first)
        assert ready["event"] == "ready", ready
        host, _, port = ready["listen"][0].rpartition(":")
        target = Embedded(
            host=host.strip("[]"), port=int(port), iqn=ready["iqn"], process=process, ready=ready, chap=chap
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(target.take, process.stdout, rest)
            yield target
            if target.alive:
                status = await target.stop()
                assert status in (0, -signal.SIGKILL), f"the target ended with {status}: {target.named('warning')}"
            nursery.cancel_scope.cancel()
    finally:
        await kill(process)
        with trio.CancelScope(shield=True):
            await process.stdout.aclose()
